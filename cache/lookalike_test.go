package cache

import (
	"fmt"
	"math"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

func refusing(found []Finding) []string {
	var r []string
	for _, f := range found {
		if (Policy{Mode: Refuse}).Action(f, "w") == Refuse {
			r = append(r, f.String())
		}
	}
	return r
}

func sys() []piece { return []piece{say("You are careful. " + systemText), here(prompt.FiveMinutes)} }

// One picture or document a request, the fixed question behind it, the system prompt cached.
func TestPicturesOneByOneAreNoRewrittenHistory(t *testing.T) {
	y := newPlay()
	for i := range 4 {
		k := &talk{system: sys()}
		k.user(piece{kind: prompt.Image, text: words(100+i, 3000), media: 1500}, say("Describe the picture in two sentences, name each object, and answer in JSON with the fields a and b."))
		before, after := y.send(k)
		require.Empty(t, refusing(before), "item %d", i)
		require.Empty(t, refusing(after), "item %d", i)
	}
}

// Items one after the other, each a conversation with a scripted second question.
func TestAFixedSecondQuestionIsNoRewrittenHistory(t *testing.T) {
	y := newPlay()
	follow := "Now grade your answer from one to ten against the rubric, and answer in JSON with the fields grade and reason."
	for i := range 4 {
		k := &talk{system: sys()}
		k.user(say(fmt.Sprintf("Classify item %d", i)))
		b, _ := y.send(k.clone())
		require.Empty(t, refusing(b), "item %d first", i)
		k.assistant(say(fmt.Sprintf("class %d", i))).user(say(follow))
		b, _ = y.send(k)
		require.Empty(t, refusing(b), "item %d follow-up", i)
	}
}

// The same task sampled twice, answers differ, the scripted question is the same.
func TestSamplingATaskTwiceIsNoRewrittenHistory(t *testing.T) {
	y := newPlay()
	obs := "Observation: " + words(77, 2000)
	for i := range 3 {
		k := &talk{system: sys()}
		k.user(say("Fix the build"), here(prompt.FiveMinutes))
		b, _ := y.send(k.clone())
		require.Empty(t, refusing(b), "sample %d first", i)
		k.assistant(say(fmt.Sprintf("Thought: let me look (%d). Action: read main.go", i))).user(say(obs), here(prompt.FiveMinutes))
		b, _ = y.send(k)
		require.Empty(t, refusing(b), "sample %d", i)
	}
}

// An example in a tool's schema, and a log excerpt in a fixed system prompt.
func TestExamplesThatLookVolatileRefuseNothing(t *testing.T) {
	y := newPlay()
	k := &talk{system: sys(), tools: []piece{tool("create_event", `{"type":"object","properties":{"timestamp":{"type":"string","example":"2024-05-01T12:00:00Z"}}}`)}}
	k.user(say("hello"))
	b, _ := y.send(k)
	t.Run("tool", func(t *testing.T) { require.Empty(t, refusing(b)) })
	k = &talk{system: []piece{say("Convert log lines to JSON. Example: time: 12:30:05 level=info. " + systemText), here(prompt.FiveMinutes)}}
	k.user(say("hello"))
	b, _ = newPlay().send(k)
	require.Empty(t, refusing(b))
}

// An hour for the system prompt, five minutes for the messages, ten minutes between turns.
func TestMixedLifetimesDoNotTrip(t *testing.T) {
	y := newPlay()
	y.gap = 10 * time.Minute
	for turns := 1; turns < 20; turns++ {
		k := agent(turns + 12)
		k.system = []piece{say("You are careful. " + systemText[:20_000]), here(prompt.OneHour)}
		b, a := y.send(k)
		require.Empty(t, refusing(b), "turn %d", turns)
		require.NotContains(t, rules(a), Rule("hit-ratio-below-floor"), "turn %d", turns)
	}
}

// The response said that the prefix was written, and the next request is told that it is too short.
func TestAResponseRefutesBelowMinimum(t *testing.T) {
	tr := NewTracker(Policy{Mode: Refuse})
	m := opus()
	m.MinTokens = 1024
	at := time.Now()
	for i := range 3 {
		p := (&talk{system: []piece{say(words(5, 3600)), here(prompt.FiveMinutes)}}).user(say(words(50+i, 100_000))).prompt()
		turn := tr.Check(Call{Workflow: "w", Model: m, At: at}, p)
		require.Empty(t, refusing(turn.Findings), "call %d", i)
		turn.Send()
		turn.Begin()
		u := Usage{InputTokens: 21_000, CacheReadTokens: 1200}
		if i == 0 {
			u = Usage{InputTokens: 21_000, CacheWrite5mTokens: 1200}
		}
		turn.End(u, at)
		at = at.Add(time.Minute)
	}
}

// A marked prefix a little below the minimum, so that the service caches nothing.
func TestAPrefixThatIsTooShortDoesNotTrip(t *testing.T) {
	tr := NewTracker(Policy{Mode: Refuse})
	m := opus()
	m.MinTokens = 1024
	at := time.Now()
	for i := range 8 {
		p := (&talk{system: []piece{say(words(5, 3650)), here(prompt.FiveMinutes)}}).user(say(words(50+i, 700))).prompt()
		turn := tr.Check(Call{Workflow: "w", Model: m, At: at}, p)
		require.Empty(t, refusing(turn.Findings), "call %d", i)
		turn.Send()
		turn.Begin()
		turn.End(Usage{InputTokens: 1010 + 260}, at) // 1,010 of them before the point: under the minimum
		at = at.Add(time.Minute)
	}
}

// One question with tools, the last of the conversation by all that is known.
func TestOneQuestionWithToolsIsNotRefused(t *testing.T) {
	k := &talk{tools: twoTools, system: sys()}
	k.user(say(words(9, 8000)))
	require.Empty(t, refusing(Lint(k.prompt(), opus())))
}

// What is accounted comes back.
func TestWhatIsAccountedComesBack(t *testing.T) {
	tr := NewTracker(Policy{Mode: Report})
	var wg sync.WaitGroup
	texts := make([]string, 64)
	for i := range texts {
		texts[i] = words(i, 400)
	}
	for g := range 16 {
		wg.Go(func() {
			for i := range 1000 {
				k := (&talk{system: []piece{say(texts[(g+i)%64])}}).user(say(texts[i%64]), say(texts[(i*7)%64]))
				turn := tr.Check(Call{Workflow: fmt.Sprint((g*7919 + i) % 3000), Model: opus(), At: time.Now()}, k.prompt())
				turn.Send()
				turn.Fail()
			}
		})
		wg.Go(func() {
			for i := range 1000 {
				name := fmt.Sprint((g*7919 + i) % 3000)
				tr.Revive(func(w string) bool { return w == name })
			}
		})
	}
	wg.Wait()
	tr.Revive(func(string) bool { return true })
	require.Zero(t, tr.order.Len())
	require.Equal(t, []int64{0, 0}, []int64{int64(tr.memory.records), tr.memory.retained}, "records, bytes")
}

// Leaves of a body are kept one by one, and none is accounted.
func TestLeavesThatCanNotBeRecognisedAreNotKept(t *testing.T) {
	body := []byte(`{"anthropic_version":"x","max_tokens":1,"messages":[{"role":"user","content":[{"type":"extra","data":[` + strings.Repeat("1,", 1_000_000) + `1]}]}]}`)
	tr := NewTracker(Policy{Mode: Report})
	p := new(prompt.Prompt)
	require.NoError(t, prompt.ParseBody(p, "anthropic", body))
	turn := tr.Check(Call{Workflow: "w", Model: opus(), At: time.Now()}, p)
	turn.Send()
	s := tr.session("w")
	require.Equal(t, len(s.conversations[0].blocks), s.memory.records, "records of blocks alone")
}

// Points that were not honoured, ten seconds ago, did not lapse.
func TestPointsThatWereNotHonouredDidNotLapse(t *testing.T) {
	y := newPlay()
	y.gap = 10 * time.Second
	y.usage = func(u Usage) Usage { return Usage{InputTokens: u.total()} }
	for turns := 1; turns < 4; turns++ {
		b, _ := y.send(agent(turns))
		require.NotContains(t, rules(b), Rule("idle-expiry"), "%v", b)
	}
}

// Very many tools.
func TestVeryManyTools(t *testing.T) {
	y := newPlay()
	k := &talk{}
	for i := range 9000 {
		k.tools = append(k.tools, tool(fmt.Sprint("tool", i), `{}`))
	}
	k.user(say("hello"))
	y.send(k)
	k = k.clone()
	k.tools[0].name = "other"
	require.NotPanics(t, func() { y.send(k) })
}

// Arithmetic.
func TestUsageDoesNotWrap(t *testing.T) {
	y := newPlay()
	y.usage = func(Usage) Usage { return Usage{InputTokens: math.MaxInt64, CacheReadTokens: math.MaxInt64, Billed: 3} }
	_, a := y.send(agent(3))
	for _, f := range a {
		require.GreaterOrEqual(t, f.Tokens, int64(0), "%v", f)
		require.GreaterOrEqual(t, f.NanoUSD, int64(0), "%v", f)
	}
}

// A check that fails unsent leaves no trace.
func TestAFailedTurnLeavesNoTrace(t *testing.T) {
	y := newPlay()
	y.gap = 6 * time.Minute
	y.send(agent(3))
	p := agent(4).prompt()
	c := Call{Workflow: "w", Model: y.model, At: y.at}
	first := y.tracker.Check(c, p)
	first.Fail()
	second := y.tracker.Check(c, agent(4).prompt())
	require.Equal(t, first.Findings, second.Findings)
}

// A path that serves again while a turn of it is on its way.
func TestConversationsInFlightShareNoPath(t *testing.T) {
	tr := NewTracker(Policy{Mode: Report})
	at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
	start := func(i int) *Turn {
		p := (&talk{system: []piece{say(fmt.Sprint(i) + systemText), here(prompt.FiveMinutes)}}).user(say("hello")).prompt()
		turn := tr.Check(Call{Workflow: "w", Model: opus(), At: at}, p)
		turn.Send()
		return turn
	}
	first := start(0)
	var last *Turn
	for i := 1; i <= 8; i++ {
		last = start(i)
	}
	require.NotSame(t, first.conversation, last.conversation, "two conversations in flight share one path")
}

// The same, as far as a workflow sees it: one conversation's beginning counts for another's, and the workflow trips.
func TestWhatIsNotYetAnsweredCanNotBeRead(t *testing.T) {
	for _, begins := range []bool{false, true} {
		t.Run(fmt.Sprint("first begins: ", begins), func(t *testing.T) {
			tr := NewTracker(Policy{Mode: Report})
			at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
			start := func(i int) *Turn {
				p := (&talk{system: []piece{say(fmt.Sprint(i) + systemText), here(prompt.FiveMinutes)}}).user(say("hello")).prompt()
				turn := tr.Check(Call{Workflow: "w", Model: opus(), At: at}, p)
				turn.Send()
				return turn
			}
			first := start(0)
			for i := 1; i <= 8; i++ {
				start(i)
			}
			if begins {
				first.Begin()
			}
			var fan []*Turn
			for range 5 {
				fan = append(fan, start(8)) // runs at the same time as the one that writes its prefix
			}
			for _, turn := range fan {
				require.Zero(t, turn.Avoidable(), "nothing can be read yet")
			}
		})
	}
}
