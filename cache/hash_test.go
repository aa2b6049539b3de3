package cache

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
	"unsafe"

	"github.com/stretchr/testify/require"
)

func TestCanonicalHashIgnoresTheOrderOfKeys(t *testing.T) {
	same := [][2]string{
		{`{"a":1,"b":{"c":[1,2],"d":null}}`, `{ "b": {"d":null, "c":[1, 2]}, "a":1 }`},
		{`{"a":{"x":1,"y":2},"b":{"x":1,"y":2}}`, `{"b":{"y":2,"x":1},"a":{"x":1,"y":2}}`},
		{`{}`, ` { } `},
	}
	for _, pair := range same {
		require.Equal(t, canonicalHash(pair[0]), canonicalHash(pair[1]), pair)
	}
	differ := [][2]string{
		{`{"a":[1,2]}`, `{"a":[2,1]}`},
		{`{"a":1,"b":2}`, `{"a":2,"b":1}`},
		{`{"a":{"b":1}}`, `{"a":[{"b":1}]}`},
		{`{"a":"1"}`, `{"a":1}`},
		{`{"a":"x y"}`, `{"a":"xy"}`},
		{`{"a":1}`, `{"a":1`},
		{`{"a":1,"a":1}`, `{"a":1}`},
	}
	for _, pair := range differ {
		require.NotEqual(t, canonicalHash(pair[0]), canonicalHash(pair[1]), pair)
	}
	deep := strings.Repeat("[", 5000)
	require.Equal(t, canonicalHash(deep), canonicalHash(deep))
}

func FuzzCanonicalHash(f *testing.F) {
	f.Add(`{"type":"object","properties":{"path":{"type":"string"},"n":[1,2.5e3,true,null]}}`)
	f.Add(`{"a":"\"}","b":{`)
	f.Fuzz(func(t *testing.T, s string) {
		h := canonicalHash(s)
		require.Equal(t, h, canonicalHash(strings.Clone(s)))
		var v any
		if json.Unmarshal([]byte(s), &v) != nil {
			return
		}
		sorted, err := json.Marshal(v) // keys in order, no white space
		require.NoError(t, err)
		again, err := json.Marshal(v)
		require.NoError(t, err)
		require.Equal(t, canonicalHash(string(sorted)), canonicalHash(string(again)))
	})
}

func FuzzFindVolatile(f *testing.F) {
	f.Add("Current time: 2026-04-06T08:00:03Z, session 3f2504e0-4f89-11d3-9a0c-0305e82c3301, nonce: a81f3, 23:59")
	f.Add("08:00:")
	f.Fuzz(func(t *testing.T, s string) {
		v := findVolatile(s)
		if v.kind == volatileNone {
			require.Zero(t, v)
			return
		}
		require.Less(t, int(v.offset), len(s))
		require.GreaterOrEqual(t, int(v.offset), 0)
		require.Equal(t, 1+strings.Count(s[:v.offset], "\n"), int(v.line))
	})
}

// A text that is built anew lies elsewhere and is the same; one that lies where it lay is not read again.
func TestTextsAreRecognisedWhereTheyLie(t *testing.T) {
	y := newPlay()
	k := agent(5)
	y.send(k)
	k.assistant(say(replyText(4))).user(say(turnText(5))).marked()
	s := y.tracker.session("w")
	p := k.prompt()
	p.record(s.knownLeaves(nil))
	read := 0
	for i := range p.leaves {
		if p.leaves[i].fresh && p.leaves[i].n >= shortLeaf {
			read += p.leaves[i].n
		}
	}
	require.Less(t, read, 10_000, "of %d bytes only the new turn is read", p.total().bytes)

	anew := k.clone()
	anew.system[0].text = strings.Clone(anew.system[0].text)
	q := anew.prompt()
	q.record(nil)
	require.Equal(t, p.records[len(p.records)-1].chain, q.records[len(q.records)-1].chain)
}

// remembering returns what a path remembers of a prompt's leaves.
func remembering(p *Prompt) []leafRecord {
	s := NewTracker(Policy{}).session("w")
	conv := s.newConversation()
	s.extend(conv, p, len(p.records))
	return conv.leaves
}

// What a buffer holds can change where it lies.
func TestABufferThatIsFilledAgainIsNotTheSame(t *testing.T) {
	data := []byte(strings.Repeat("pixels", 1000))
	build := func() *Prompt {
		p := new(Prompt)
		p.Message(0, true)
		p.Block(Image, 0)
		p.Binary(data)
		p.Media(Image, 100)
		return p
	}
	first := build()
	first.record(nil)
	copy(data, strings.Repeat("others", 1000))
	second := build()
	second.record([][]leafRecord{remembering(first)})
	require.NotEqual(t, first.records[0].hash, second.records[0].hash)
}

func TestFindingsRender(t *testing.T) {
	f := Finding{Rule: ruleTail, Where: "messages[0].content[0]", Detail: "the last cache point stands at system[1]", NanoUSD: 43_400_000, NanoUSDPerDay: 12_400_000_000}
	require.Equal(t, "uncached-tail (G3) at messages[0].content[0]: the last cache point stands at system[1]; costs $0.0434 a call, $12.40 a day at the present rate: put a cache point behind the last user turn too, and move it on with each turn", f.String())
	for _, width := range []int{0, 60, 100} {
		for line := range strings.Lines(f.Render(width)) {
			require.LessOrEqual(t, len(strings.TrimRight(line, "\n")), max(width, 40))
		}
	}
	require.Contains(t, f.Render(60), "\n  costs   $0.0434 a call, $12.40 a day at the present rate\n")
	require.Equal(t, "unheard-of: x", Finding{Rule: "unheard-of", Detail: "x"}.String())
	for nano, want := range map[int64]string{1: "$0.000000001", 20_000: "$0.000020", 10_000_000: "$0.0100", 1_500_000_000: "$1.50", 250_000_000_000: "$250"} {
		require.Equal(t, want, dollars(nano))
	}
	require.Equal(t, []string{"5m", "1h", "90m", "an unknown lifetime"}, []string{ttlName(FiveMinutes), ttlName(OneHour), ttlName(90 * OneHour / 60), ttlName(0)})
}

func TestEveryRuleIsDescribed(t *testing.T) {
	seen := map[Rule]bool{}
	for _, info := range Rules() {
		require.False(t, seen[info.Rule], info.Rule)
		seen[info.Rule] = true
		require.NotEmpty(t, info.Cause, info.Rule)
		require.NotEmpty(t, info.Advice, info.Rule)
	}
	tested := map[Rule]bool{ruleTripped: true, ruleEvicted: true}
	for _, c := range causes {
		tested[c.rule] = true
	}
	for r := range seen {
		require.True(t, tested[r], "no row of the table of causes shows %s", r)
	}
}

// The service may evict an entry when it likes: once is its business, again and again is a cache that does not work.
func TestEvictionsAreToldFromMisses(t *testing.T) {
	y := newPlay()
	evicted := 0
	y.usage = func(u Usage) Usage {
		if evicted++; evicted > 2 {
			u.CacheWrite5mTokens += u.CacheReadTokens
			u.CacheReadTokens = 0
		}
		return u
	}
	var after []Finding
	for turns := 1; turns <= 3; turns++ {
		_, after = y.send(agent(turns))
	}
	require.Equal(t, []Rule{ruleEvicted}, rules(after))
	require.True(t, after[0].Suspected, "it refuses nothing")
	for turns := 4; turns <= 5; turns++ {
		_, after = y.send(agent(turns))
	}
	require.Contains(t, rules(after), ruleSilentMiss)
}

// The memory of a tracker is bounded, however many workflows there are and whether they get through or not.
func TestTrackersForget(t *testing.T) {
	tracker := NewTracker(Policy{Mode: Report})
	for i := range 3 * maxSessions {
		turn := tracker.Check(Call{Workflow: fmt.Sprint(i), Model: opus()}, agent(1).prompt())
		if i%2 == 0 {
			turn.Send()
		}
		turn.Fail()
	}
	require.LessOrEqual(t, tracker.order.Len(), maxSessions)
	require.Len(t, tracker.sessions, tracker.order.Len())
	require.LessOrEqual(t, tracker.memory.records, maxAllRecords)
	require.LessOrEqual(t, tracker.memory.retained, int64(maxAllRetained))
	records := 0
	for e := tracker.order.Front(); e != nil; e = e.Next() {
		records += e.Value.(*session).memory.records
	}
	require.Equal(t, records, tracker.memory.records)
}

// documentPointer is a document as the SDK has them, behind a pointer.
type documentPointer struct{ text string }

func (d *documentPointer) MarshalSmithyDocument() ([]byte, error) { return []byte(d.text), nil }

// dataOf reads an interface as memory. It rests on how Go lays interfaces out, which no specification promises.
func TestTheAddressOfADocumentIsItsPointer(t *testing.T) {
	one, other := &documentPointer{"the same"}, &documentPointer{"the same"}
	require.Equal(t, unsafe.Pointer(one), dataOf(one))
	require.Equal(t, dataOf(one), dataOf(Marshaler(one)), "an address is the same at each look")
	require.NotEqual(t, dataOf(one), dataOf(other), "equal content elsewhere is another document")
}
