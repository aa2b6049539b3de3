package cache

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// changes says how often a part of a request changes: never, in each request, after so many, by turns, now and then, or from
// some request on.
type changes struct {
	kind  string
	every int
}

// drawChanges draws a part that stays the same in so many of ten agents.
func drawChanges(r *rand.Rand, stable int) changes {
	if r.IntN(10) < stable {
		return changes{"never", 1}
	}
	return changes{[]string{"each", "every", "turns", "random", "from"}[r.IntN(5)], 2 + r.IntN(6)}
}

// version returns which text a part has in a request.
func (c changes) version(r *rand.Rand, i, before int) int {
	switch c.kind {
	case "each":
		return i
	case "every":
		return i / c.every
	case "turns":
		return i % c.every
	case "random":
		if r.IntN(c.every) == 0 {
			return before + 1
		}
		return before
	case "from":
		return max(0, i-3*c.every)
	default:
		return 0
	}
}

// drawnAgent is an agent of drawn habits.
type drawnAgent struct {
	tools, systemA, systemB, settings changes
	toolBytes, systemBytes            int
	length, side                      int // turns of a conversation, conversations side by side
	userBytes, replyBytes             int
	mutation                          string
	pause                             changes
	long                              time.Duration
	alone                             bool // each conversation is a workflow
	requests                          int
	steps                             int // tool turns for each question
}

func drawAgent(r *rand.Rand) drawnAgent {
	pick := func(n ...int) int { return n[r.IntN(len(n))] }
	return drawnAgent{
		tools: drawChanges(r, 8), systemA: drawChanges(r, 7), systemB: drawChanges(r, 6), settings: drawChanges(r, 9),
		toolBytes: pick(0, 0, 3000, 30_000), systemBytes: pick(0, 2000, 20_000, 60_000),
		length: pick(1, 1, 2, 3, 5, 20, 50), side: pick(1, 1, 1, 2, 4),
		userBytes: pick(200, 2000, 9000, 40_000), replyBytes: pick(100, 2000),
		mutation: []string{"none", "none", "none", "note", "first", "window", "elide", "compact", "drop"}[r.IntN(9)],
		pause:    drawChanges(r, 6), long: []time.Duration{6 * time.Minute, 20 * time.Minute, 2 * time.Hour}[r.IntN(3)],
		alone: r.IntN(4) == 0, requests: pick(20, 20, 40), steps: pick(0, 0, 3),
	}
}

// drawnRequest is one request of a drawn agent, and the pause before it.
type drawnRequest struct {
	talk     *talk
	workflow string
	pause    time.Duration
}

var drawnTexts = map[string]string{}

// worded returns the same text of n bytes for the same key.
func worded(key string, n int) string {
	k := fmt.Sprint(key, "/", n)
	if _, ok := drawnTexts[k]; !ok {
		drawnTexts[k] = key + " " + words(len(drawnTexts), n)
	}
	return drawnTexts[k]
}

// play returns the agent's requests.
func (a drawnAgent) play(r *rand.Rand) []drawnRequest {
	var all []drawnRequest
	started := make([]int, a.side)
	turn := make([]int, a.side)
	next := 0
	for s := range started {
		started[s] = next
		next++
	}
	var vt, va, vb, vs, vp int
	for i := range a.requests {
		s := i % a.side
		if turn[s] == a.length {
			started[s], turn[s] = next, 0
			next++
		}
		vt, va, vb, vs = a.tools.version(r, i, vt), a.systemA.version(r, i, va), a.systemB.version(r, i, vb), a.settings.version(r, i, vs)
		k := new(talk)
		if a.toolBytes > 0 {
			k.tools = []piece{tool("t", worded(fmt.Sprint("tools", vt), a.toolBytes))}
		}
		if a.systemBytes > 0 {
			k.system = []piece{say(worded(fmt.Sprint("sysA", va), a.systemBytes/2)), say(worded(fmt.Sprint("sysB", vb), a.systemBytes/2))}
		}
		if a.settings.kind != "never" {
			k.set = [][2]string{{"thinking", fmt.Sprint(vs)}}
		}
		a.talk(k, started[s], turn[s], i)
		q := drawnRequest{talk: k, workflow: "w", pause: 20 * time.Second}
		if a.alone {
			q.workflow = fmt.Sprint("w", started[s])
		}
		if p := a.pause.version(r, i, vp); p != vp {
			vp, q.pause = p, a.long
		}
		all = append(all, q)
		turn[s]++
	}
	return all
}

// talk fills in the messages of a conversation's turn.
func (a drawnAgent) talk(k *talk, c, turn, i int) {
	text := func(t int) string { return worded(fmt.Sprint("u", c, ".", t), a.userBytes) }
	reply := func(t int) string { return worded(fmt.Sprint("a", c, ".", t), a.replyBytes) }
	from := 0
	switch a.mutation {
	case "window":
		from = max(0, turn-4)
	case "compact":
		if from = turn / 6 * 6; from > 0 {
			k.user(say(worded(fmt.Sprint("summary", c, from), 4000))).assistant(say("I see."))
		}
	}
	for t := from; t <= turn; t++ {
		u := text(t)
		if a.mutation == "first" && t == 0 {
			u = fmt.Sprint("nonce ", i, u)
		}
		if a.mutation == "elide" && t < turn-2 {
			u = "(left out)"
		}
		if a.mutation == "drop" && a.steps > 0 && t/(a.steps+1) < turn/(a.steps+1) && t%(a.steps+1) > 0 {
			continue
		}
		parts := []piece{say(u)}
		if a.mutation == "note" && t == turn {
			parts = append(parts, say(worded(fmt.Sprint("note", i), 2000)))
		}
		k.user(parts...)
		if t < turn {
			k.assistant(say(reply(t)))
		}
	}
}

// costOf plays requests, with points placed or without, and returns the price of their input in pico-USD.
func costOf(requests []drawnRequest, fix bool) (cost int64, unread int) {
	tracker, service, m := NewTracker(Policy{Mode: Fix}), newService(), opus()
	at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
	var wrote []Usage
	for _, q := range requests {
		at = at.Add(q.pause)
		p := q.talk.prompt()
		var turn *Turn
		if fix {
			turn = tracker.Fix(Call{Workflow: q.workflow, Model: m, At: at}, p, func(edits []prompt.Edit) *prompt.Prompt {
				p = q.talk.prompt()
				p.Points = applied(p.Points, edits, p)
				return p
			})
		}
		long := slices.ContainsFunc(p.Points, func(pt prompt.Point) bool { return pt.TTL > prompt.FiveMinutes })
		u := service.answer(p, m, "", at)
		write := m.CacheWrite5mPrice
		if long {
			write = m.CacheWrite1hPrice
		}
		cost += u.InputTokens*m.InputPrice + u.CacheReadTokens*m.CacheReadPrice + u.CacheWrite5mTokens*write
		if turn != nil {
			turn.Send()
			turn.Begin()
			turn.End(u, at)
		}
		wrote = append(wrote, u)
	}
	for i := range wrote[:len(wrote)-1] {
		if wrote[i].CacheWrite5mTokens > 0 && !slices.ContainsFunc(wrote[i+1:], func(u Usage) bool { return u.CacheReadTokens > wrote[i].CacheReadTokens }) {
			unread++
		}
	}
	return cost, unread
}

// applied returns the points of a prompt after edits.
func applied(points []prompt.Point, edits []prompt.Edit, p *prompt.Prompt) []prompt.Point {
	var out []prompt.Point
	for i, pt := range points {
		if !slices.ContainsFunc(edits, func(e prompt.Edit) bool { return e.Remove == i }) {
			out = append(out, pt)
		}
	}
	for _, e := range edits {
		if e.After >= 0 {
			out = append(out, prompt.Point{Where: p.Blocks[e.After].Where, Block: e.After, TTL: e.TTL})
		}
	}
	slices.SortFunc(out, func(a, b prompt.Point) int { return a.Block - b.Block })
	return out
}

// Of agents whose habits are drawn at random, Fix must save money in sum, and few of them may pay more than without it: those
// whose conversations end, or whose habits change, right behind a write that the record spoke for.
func TestFixSavesOverDrawnAgents(t *testing.T) {
	const agents, fewDearer = 400, 15
	dearer, unread := 0, 0
	var off, fix float64
	worst := ""
	most := 0.0
	for seed := range uint64(agents) {
		r := rand.New(rand.NewPCG(seed, 1))
		a := drawAgent(r)
		requests := a.play(r)
		without, _ := costOf(requests, false)
		with, n := costOf(requests, true)
		off, fix, unread = off+float64(without), fix+float64(with), unread+n
		more := 100 * (float64(with)/float64(without) - 1)
		if more > 2 {
			dearer++
		}
		if more > most {
			most, worst = more, fmt.Sprintf("%+.1f %%, seed %d, %+v", more, seed, a)
		}
	}
	t.Logf("%d agents: %.1f %% of the cost without, %d of them more than 2 %% dearer, %d unread writes; the worst: %s", agents, 100*fix/off, dearer, unread, worst)
	require.Less(t, fix, 0.85*off, "in sum")
	require.LessOrEqual(t, dearer, fewDearer, worst)
}

// Conversations that end with the request that first is long enough to be cached must not pay for a write in each.
func TestFixLearnsWhereConversationsEnd(t *testing.T) {
	a := drawnAgent{length: 3, side: 1, userBytes: 9000, replyBytes: 100, requests: 45, alone: true}
	for _, alone := range []bool{true, false} {
		a.alone = alone
		_, unread := costOf(a.play(rand.New(rand.NewPCG(1, 1))), true)
		require.LessOrEqual(t, unread, 4)
	}
}

// A service that never serves what it wrote must not be written to again and again.
func TestFixGivesUpOnACacheThatIsNeverRead(t *testing.T) {
	written := func(calls int, read func(call int) bool) (n int) {
		tracker, service, m, k := NewTracker(Policy{Mode: Fix}), newService(), opus(), new(talk)
		k.system = []piece{say(systemText)}
		at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
		for i := range calls {
			k = k.clone().user(say(turnText(i)))
			p := k.prompt()
			turn := tracker.Fix(Call{Workflow: "w", Model: m, At: at}, p, func(edits []prompt.Edit) *prompt.Prompt {
				p = k.prompt()
				p.Points = applied(p.Points, edits, p)
				return p
			})
			u := service.answer(p, m, "", at)
			if !read(i) {
				u.CacheWrite5mTokens, u.CacheReadTokens = u.CacheWrite5mTokens+u.CacheReadTokens, 0
			}
			if u.CacheReadTokens == 0 && u.CacheWrite5mTokens > 0 {
				n++
			}
			turn.Send()
			turn.Begin()
			turn.End(u, at)
			at = at.Add(time.Minute)
			k.assistant(say("ok"))
		}
		return n
	}
	require.LessOrEqual(t, written(40, func(int) bool { return false }), 4)
	require.LessOrEqual(t, written(40, func(call int) bool { return call < 20 }), 7)
	require.LessOrEqual(t, written(40, func(call int) bool { return call != 20 }), 2, "one eviction")
}

// What is refused or never sent must not count as a request that others could have read.
func TestFixLearnsNothingFromWhatIsNotSent(t *testing.T) {
	tracker, m := NewTracker(Policy{Mode: Fix}), opus()
	at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
	k := (&talk{system: []piece{say(systemText)}}).user(say("one")).assistant(say("ok")).user(say("two"))
	points := 0
	for range 5 {
		turn := tracker.Fix(Call{Workflow: "w", Model: m, At: at}, k.prompt(), func(edits []prompt.Edit) *prompt.Prompt { points += len(edits); return nil })
		turn.Fail()
		at = at.Add(time.Minute)
	}
	require.Zero(t, tracker.steps)
	s := tracker.session("w")
	require.Zero(t, s.trials)
	require.Zero(t, s.unread)
	require.Positive(t, points, "each time as the first request of a workflow with a history")
}

// A request that failed must not keep later ones from using what they have in common.
func TestFixForgetsThatAFailedRequestIsRunning(t *testing.T) {
	tracker, m := NewTracker(Policy{Mode: Fix}), opus()
	at := time.Date(2026, 4, 6, 8, 0, 0, 0, time.UTC)
	points := 0
	for i := range 2 {
		k := (&talk{system: []piece{say(systemText)}}).user(say(turnText(i)))
		turn := tracker.Fix(Call{Workflow: "w", Model: m, At: at}, k.prompt(), func(edits []prompt.Edit) *prompt.Prompt { points = len(edits); return nil })
		turn.Send()
		turn.Fail()
		at = at.Add(time.Minute)
	}
	require.Positive(t, points)
}

// A point of the caller's that stands where the service takes none must move, not go, in a first request too.
func TestFixMovesTheCallersPointsInAFirstRequest(t *testing.T) {
	k := &talk{system: []piece{say(systemText)}}
	k.user(say("q")).assistant(piece{kind: prompt.Reasoning, text: replyText(1)}, here(prompt.FiveMinutes))
	k.system = append(k.system, say(" "), here(prompt.FiveMinutes))
	var edits []prompt.Edit
	NewTracker(Policy{Mode: Fix}).Fix(Call{Workflow: "w", Model: opus()}, k.prompt(), func(e []prompt.Edit) *prompt.Prompt { edits = e; return nil })
	require.Contains(t, edits, prompt.Edit{Remove: 0, After: 0, TTL: prompt.FiveMinutes})
}
