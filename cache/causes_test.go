package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// scene is a short history of a workflow.
type scene func(y *play) []Finding

// first lints one request, as it is before anything is known of its workflow.
func first(k *talk, change ...func(*play)) scene {
	return func(y *play) []Finding {
		for _, c := range change {
			c(y)
		}
		before, _ := y.send(k)
		return before
	}
}

// last sends several requests and returns what the last one shows before it is sent and after.
func last(requests ...*talk) scene {
	return func(y *play) (found []Finding) {
		for _, k := range requests {
			before, after := y.send(k)
			found = append(before, after...)
		}
		return found
	}
}

func with(change func(*play), s scene) scene {
	return func(y *play) []Finding { change(y); return s(y) }
}

func edited(k *talk, change func(*talk)) *talk {
	k = k.clone()
	change(k)
	return k
}

func nova20() func(*play)             { return func(y *play) { y.model = novaPro() } }
func onMistral() func(*play)          { return func(y *play) { y.model = mistral() } }
func noPoints(k *talk)                { k.system = k.system[:1]; k.unmark() }
func gap(d time.Duration) func(*play) { return func(y *play) { y.gap = d } }

func (k *talk) unmark() {
	for i := range k.turns {
		var parts []piece
		for _, b := range k.turns[i].parts {
			if b.point == 0 {
				parts = append(parts, b)
			}
		}
		k.turns[i].parts = parts
	}
}

// toolLoop is a conversation whose last turn answers so many tool uses at once.
func toolLoop(results int, lagging bool) *talk {
	k := agent(2)
	var uses, answers []piece
	for i := range results {
		uses = append(uses, piece{kind: prompt.ToolUse, text: fmt.Sprint("use ", i)})
		answers = append(answers, piece{kind: prompt.ToolResult, text: fmt.Sprint("result ", i)})
		if lagging && i == results/2 {
			answers = append(answers, here(prompt.FiveMinutes))
		}
	}
	k.assistant(uses...).user(append(answers, here(prompt.FiveMinutes))...)
	k.turns[0].parts, k.turns[2].parts = k.turns[0].parts[:1], k.turns[2].parts[:1]
	return k
}

func usageOf(change func(*Usage)) func(*play) {
	return func(y *play) {
		y.usage = func(u Usage) Usage { change(&u); return u }
	}
}

func nothingCached(u *Usage) {
	u.InputTokens, u.CacheReadTokens, u.CacheWrite5mTokens = u.total(), 0, 0
}

// fresh is a conversation of one turn whose system prompt is like no other.
func fresh(seed int) *talk {
	return (&talk{system: []piece{say(words(1000+seed, 40_000)), here(prompt.FiveMinutes)}}).user(say("summarise this"))
}

func systemIs(text string) *talk {
	return edited(agent(1), func(k *talk) { k.system[0] = say(text + systemText) })
}

func oneHourFirst(ttls ...time.Duration) *talk {
	k := agent(2)
	k.tools = append(k.tools, here(ttls[0]))
	k.system[1] = here(ttls[1])
	k.turns[0].parts = k.turns[0].parts[:1]
	k.turns[2].parts[1] = here(ttls[2])
	return k
}

// Each root cause that a client can see has a request, a pair of requests or a response that shows it, and a healthy twin
// that shows nothing.
var causes = []struct {
	cause   string
	name    string
	rule    Rule
	sick    scene
	healthy scene
}{
	{"G1", "no point at all", ruleNoPoint, first(edited(agent(3), noPoints)), first(agent(3))},
	{
		"G1", "nothing cached in several calls", ruleIdle,
		with(usageOf(nothingCached), last(edited(agent(1), noPoints), edited(agent(2), noPoints), edited(agent(3), noPoints), edited(agent(4), noPoints))),
		last(agent(1), agent(2), agent(3), agent(4)),
	},
	{
		"G2", "fewer points than were meant", rulePointsLost,
		with(func(y *play) { y.tracker = NewTracker(Policy{Mode: Report, MinPoints: 3}) }, first(agent(1))),
		with(func(y *play) { y.tracker = NewTracker(Policy{Mode: Report, MinPoints: 3}) }, first(agent(2))),
	},
	{"G2", "a marker of another dialect", ruleDialect, first(edited(agent(2), func(k *talk) {
		k.flaws = []prompt.Flaw{{Rule: prompt.WrongDialect, Where: "additionalModelRequestFields"}}
	})), first(agent(2))},
	{"G2", "points that do nothing", ruleSilentMiss, with(usageOf(nothingCached), last(agent(3))), last(agent(3))},
	{
		"G3", "only the system prompt is marked", ruleTail,
		first(edited(agent(1), func(k *talk) { k.turns[0].parts = []piece{say(words(5, 30_000))} })),
		first(edited(agent(1), func(k *talk) { k.turns[0].parts = []piece{say(words(5, 30_000)), here(prompt.FiveMinutes)} })),
	},
	{
		"G3", "the point stays where it is", ruleFrozen,
		last(agent(1), edited(agent(2), pointAt(0)), edited(agent(9), pointAt(0)), edited(agent(10), pointAt(0))),
		last(agent(1), agent(2), agent(9), agent(10)),
	},
	{
		"G3", "the point moves away from what was written", ruleJumping,
		last(edited(agent(6), pointAt(10)), edited(agent(7), pointAt(4))),
		last(edited(agent(6), pointAt(10)), edited(agent(7), pointAt(10, 12))),
	},
	{"G4", "a turn of more blocks than are searched, first request", ruleLookback, first(toolLoop(25, false)), first(toolLoop(9, false))},
	{"G4", "a turn of more blocks than are searched", ruleLookback, last(agent(2), toolLoop(25, false)), last(agent(2), toolLoop(9, false))},
	{"G4", "a lagging point", ruleLookback, last(agent(2), toolLoop(25, false)), last(agent(2), toolLoop(12, true))},
	{"G5", "a time of day in the system prompt", ruleVolatileText, first(systemIs("Current time: 2026-04-06T08:00:03Z\n")), first(edited(agent(1), func(k *talk) { k.turns[0].parts[0] = say("Current time: 2026-04-06T08:00:03Z") }))},
	{"G5", "a unique id", ruleVolatileText, first(systemIs("session: 3f2504e0-4f89-11d3-9a0c-0305e82c3301\n")), first(systemIs("version 3.2.1-4\n"))},
	{"G5", "a nonce", ruleVolatileText, first(systemIs("cch: a81f3\n")), first(systemIs("colour: a81f3\n"))},
	{"G5", "the state of a checkout", ruleVolatileText, first(systemIs("git status:\nOn branch main\n")), first(systemIs("Use git often.\n"))},
	{"G5", "a working directory", ruleVolatileText, first(systemIs("Working directory: /home/ci/build\n")), first(systemIs("Work in the directory that you are given.\n"))},
	{
		"G5", "a time of day that has changed", ruleVolatileText,
		last(edited(agent(2), systemText2("It is 08:00:03 now. ")), edited(agent(3), systemText2("It is 08:01:04 now. "))),
		last(edited(agent(2), systemText2("It is early. ")), edited(agent(3), systemText2("It is early. "))),
	},
	{
		"G6", "recalled memories in the system prompt", ruleVolatileBlock,
		last(edited(agent(2), systemText2("The user likes tea. ")), edited(agent(3), systemText2("The user likes coffee. "))),
		last(edited(agent(2), systemText2("The user likes tea. ")), edited(agent(3), systemText2("The user likes tea. "))),
	},
	{
		"G7", "tools in another order", ruleToolOrder,
		last(agent(2), edited(agent(3), func(k *talk) { k.tools[0], k.tools[1] = k.tools[1], k.tools[0] })),
		last(agent(2), edited(agent(3), func(k *talk) { k.tools = append([]piece(nil), k.tools...) })),
	},
	{
		"G7", "keys in another order", ruleKeyOrder,
		last(agent(2), edited(agent(3), func(k *talk) {
			k.tools[0] = tool("read_file", `{"properties":{"limit":{"type":"integer"},"path":{"type":"string"}},"type":"object"}`)
		})),
		last(agent(2), edited(agent(3), func(k *talk) { k.tools[0] = tool("read_file", strings.Clone(twoTools[0].text)) })),
	},
	{
		"G8", "a tool is added", ruleToolSet,
		last(agent(2), edited(agent(3), func(k *talk) { k.tools = append(k.tools, tool("deploy", "{}")) })),
		last(agent(2), agent(3)),
	},
	{
		"G8", "a description has changed", ruleToolSet,
		last(agent(2), edited(agent(3), func(k *talk) { k.tools[1] = tool("run_tests", `{"type":"object"}`) })),
		last(agent(2), agent(3)),
	},
	{
		"G9", "an old message is cut", ruleRewritten,
		last(agent(5), edited(agent(6), func(k *talk) { k.turns[2].parts[0] = say("[cut]") })),
		last(agent(5), agent(6)),
	},
	{
		"G9", "a compaction", ruleRewritten, last(agent(12), compacted(13)),
		with(func(y *play) { y.compact = true }, func(y *play) []Finding {
			found := last(agent(12), compacted(13))(y)
			return found
		}),
	},
	{
		"G9", "each request changes the newest message of the one before", ruleRewritten,
		last(noted(1), noted(2), noted(3), noted(4), noted(5)), last(agent(1), agent(2), agent(3), agent(4), agent(5)),
	},
	{
		"G9", "the tool choice has changed", ruleSettings,
		last(edited(agent(9), choose("auto")), edited(agent(10), choose("any"))), last(edited(agent(9), choose("auto")), edited(agent(10), choose("auto"))),
	},
	{"G10", "a model that takes no points", ruleUnsupported, first(agent(2), onMistral()), first(edited(agent(2), noPoints), onMistral())},
	{"G10", "a section that takes none", ruleSection, first(novaTalk(func(k *talk) { k.tools = append(k.tools, here(prompt.FiveMinutes)) }), nova20()), first(novaTalk(nil), nova20())},
	{"G11", "behind reasoning", rulePosition, first(edited(agent(3), func(k *talk) {
		k.turns[1].parts = []piece{{kind: prompt.Reasoning, text: "so"}, here(prompt.FiveMinutes)}
		k.turns[2].parts = k.turns[2].parts[:1]
	})), first(edited(agent(3), func(k *talk) { k.turns[1].parts = []piece{{kind: prompt.Reasoning, text: "so"}, say("yes")} }))},
	{"G11", "behind an empty text", rulePosition, first(edited(agent(1), func(k *talk) { k.turns[0].parts = []piece{say("q"), say(""), here(prompt.FiveMinutes)} })), first(agent(1))},
	{"G11", "inside of a tool result", rulePosition, first(edited(agent(2), func(k *talk) {
		k.turns[2].parts[0] = piece{kind: prompt.ToolResult, text: "r", nested: prompt.FiveMinutes}
		k.turns[0].parts = k.turns[0].parts[:1]
	})), first(edited(agent(2), func(k *talk) { k.turns[2].parts[0] = piece{kind: prompt.ToolResult, text: "r"} }))},
	{"G11", "first in its message", rulePosition, first(edited(agent(2), func(k *talk) {
		k.turns[1].parts = []piece{here(prompt.FiveMinutes), say("a")}
		k.turns[0].parts = k.turns[0].parts[:1]
	})), first(agent(2))},
	{"G11", "Nova behind a tool result", rulePosition, first(novaTalk(func(k *talk) { k.user(piece{kind: prompt.ToolResult, text: "r"}, here(prompt.FiveMinutes)) }), nova20()), first(novaTalk(func(k *talk) {
		k.user(piece{kind: prompt.ToolResult, text: "r"}, say("go on"), here(prompt.FiveMinutes))
	}), nova20())},
	{"G11", "behind a document", ruleAfterDocument, first(edited(agent(1), func(k *talk) {
		k.turns[0].parts = []piece{{kind: prompt.Document, text: "%PDF", media: 9000}, here(prompt.FiveMinutes)}
	})), first(edited(agent(1), func(k *talk) {
		k.turns[0].parts = []piece{{kind: prompt.Document, text: "%PDF", media: 9000}, say("read it"), here(prompt.FiveMinutes)}
	}))},
	{
		"G9", "tool turns dropped at the next question", ruleDropped,
		last(questioned(true, 1, 0), questioned(true, 1, 1), questioned(true, 1, 2), questioned(true, 2, 0)),
		last(questioned(false, 1, 0), questioned(false, 1, 1), questioned(false, 1, 2), questioned(false, 2, 0)),
	},
	{
		"G9", "a tool choice on Nova, where it stands before the system prompt", ruleSettings,
		with(nova20(), last(edited(novaAsked(1), choose("tool")), edited(novaAsked(2), choose("auto")))),
		with(nova20(), last(edited(novaAsked(1), choose("auto")), edited(novaAsked(2), choose("auto")))),
	},
	{
		"G9", "thinking that an earlier model drops", ruleThinking,
		with(forgetting("anthropic.claude-sonnet-4-5-20250929-v1:0"), last(thought(1), thought(2))),
		with(func(y *play) { y.model.ID = "anthropic.claude-opus-4-6-v1" }, last(thought(1), thought(2))),
	},
	{"G11", "at the top level", ruleTopLevel, first(edited(agent(1), func(k *talk) { k.flaws = []prompt.Flaw{{Rule: prompt.TopLevelMarker, Where: "cache_control"}} })), first(agent(1))},
	{"G11", "on a deferred tool", ruleDeferred, first(edited(agent(1), func(k *talk) { k.flaws = []prompt.Flaw{{Rule: prompt.DeferredMarker, Where: "tools[1]"}} })), first(agent(1))},
	{"G12", "five points", ruleTooMany, first(edited(agent(3), func(k *talk) {
		k.tools = append(k.tools, here(prompt.FiveMinutes))
		k.turns[0].parts = append(k.turns[0].parts, here(prompt.FiveMinutes))
	})), first(edited(agent(3), func(k *talk) { k.tools = append(k.tools, here(prompt.FiveMinutes)) }))},
	{"G13", "an hour behind five minutes", ruleTTLOrder, first(oneHourFirst(prompt.FiveMinutes, prompt.OneHour, prompt.FiveMinutes)), first(oneHourFirst(prompt.OneHour, prompt.OneHour, prompt.FiveMinutes))},
	{"G13", "an hour where there is none", ruleTTLUnsupported, first(novaTalk(func(k *talk) { k.system[1] = here(prompt.OneHour) }), nova20()), first(novaTalk(nil), nova20())},
	{"G13", "a lifetime that nobody knows", ruleTTLUnsupported, first(edited(agent(1), func(k *talk) { k.system[1] = here(-1) })), first(agent(1))},
	{
		"G13", "written for five minutes instead of an hour", ruleDowngraded, last(oneHourFirst(prompt.OneHour, prompt.OneHour, prompt.OneHour)),
		with(usageOf(func(u *Usage) { u.CacheWrite1hTokens, u.CacheWrite5mTokens = u.CacheWrite5mTokens, 0 }), last(oneHourFirst(prompt.OneHour, prompt.OneHour, prompt.OneHour))),
	},
	{"G14", "a prefix below the minimum", ruleBelowMinimum, first(small(377)), first(small(40_000))},
	{"G14", "nothing was written", ruleBelowMinimum, with(usageOf(nothingCached), last(small(16_000))), last(small(40_000))},
	{"G14", "a prefix above the maximum", ruleAboveMaximum, first(novaTalk(func(k *talk) { k.turns[0].parts[0] = say(words(9, 200_000)) }), nova20()), first(novaTalk(nil), nova20())},
	{"G15", "a pause longer than the lifetime", ruleExpired, with(gap(6*time.Minute), last(agent(3), agent(4))), with(gap(4*time.Minute), last(agent(3), agent(4)))},
	{"G16", "another region", ruleSwitched, func(y *play) []Finding { y.send(agent(9)); y.place = "us-west-2"; return last(agent(10))(y) }, last(agent(9), agent(10))},
	{"G16", "another model", ruleSwitched, func(y *play) []Finding { y.send(agent(9)); y.model.ID += "x"; return last(agent(10))(y) }, last(agent(9), agent(10))},
	{"G17", "a cold fan-out", ruleFanOut, fanOut(false), fanOut(true)},
	{"G18", "counters that contradict each other", ruleContradiction, with(usageOf(func(u *Usage) { u.InputTokens = -4 }), last(agent(2))), last(agent(2))},
	{"G18", "counters that the dialect's reader can't reconcile", ruleContradiction, with(usageOf(func(u *Usage) { u.Contradicts = true }), last(agent(2))), last(agent(2))},
	{"G18", "twice as many tokens as were written", ruleDoubled, with(doubledOnce(), last(agent(1), agent(2))), last(agent(1), agent(2))},
	{"G19", "a response without usage", ruleUsageMissing, lostUsage(true), lostUsage(false)},
	{"G22", "the same request again and again", ruleIdentical, last(agent(2), agent(2), agent(2), agent(2), agent(2)), last(agent(2), agent(2), agent(3))},
	{"G23", "attempts that were billed", ruleRetried, with(usageOf(func(u *Usage) { u.Billed = 2 }), last(agent(2))), last(agent(2))},
	{"G24", "writes that nobody reads", ruleNeverRead, last(fresh(1), fresh(2), fresh(3), fresh(4)), last(fresh(1), fresh(1), fresh(2), fresh(2))},
}

func TestCauses(t *testing.T) {
	for _, c := range causes {
		t.Run(c.cause+" "+c.name, func(t *testing.T) {
			info, ok := c.rule.Info()
			require.True(t, ok)
			require.Equal(t, c.cause, info.Cause)
			require.NotEmpty(t, info.Advice)
			found := c.sick(newPlay())
			require.Contains(t, rules(found), c.rule)
			for _, f := range found {
				require.NotEmpty(t, f.Detail, f.Rule)
				require.NotZero(t, f.Repeated, f.Rule)
			}
			require.Empty(t, rules(c.healthy(newPlay())), "the healthy twin")
		})
	}
}

// What looks like a cause and is none: each of these has once been taken for one.
func TestLookalikesAreSilent(t *testing.T) {
	ticket := func(n int, system string) *talk {
		k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say(system + systemText), here(prompt.FiveMinutes)}}
		return k.user(say(words(9000+n, 3000)))
	}
	phrase := say("Understood. I will look at the ticket, at the code around it and at the tests, and answer in one paragraph.")
	answered := func(n int) *talk {
		return ticket(n, "").assistant(phrase).user(say(words(9500+n, 3000))).marked()
	}
	tests := map[string]scene{
		"the same question to agents with system prompts of their own": last(ticket(1, "You are strict. ").marked(), ticket(1, "You are kind. ").marked()),
		"conversations whose answers begin with the same phrase":       last(answered(1), answered(2)),
		"two conversations that begin alike":                           last(agent(3), agent(3).assistant(say("one")).user(say("first way")).marked(), agent(3).assistant(say("two")).user(say("other way")).marked()),
		"a conversation that goes back to an earlier turn":             last(agent(6), agent(4)),
		"an agent without tools that is asked once":                    last(edited(fresh(1), func(k *talk) { k.turns[0].parts = []piece{say(words(5, 60_000))} })),
		"a forced answer that nothing follows":                         last(edited(agent(1), func(k *talk) { k.turns[0].parts = []piece{say(words(5, 30_000))}; k.final = true })),
	}
	for name, run := range tests {
		t.Run(name, func(t *testing.T) { require.Empty(t, rules(run(newPlay()))) })
	}
}

// pointAt marks these messages, and no others.
func pointAt(messages ...int) func(*talk) {
	return func(k *talk) {
		k.unmark()
		for _, i := range messages {
			k.turns[i].parts = append(k.turns[i].parts, here(prompt.FiveMinutes))
		}
	}
}

func systemText2(s string) func(*talk) { return func(k *talk) { k.system[0] = say(s + systemText) } }

func choose(v string) func(*talk) {
	return func(k *talk) { k.set = [][2]string{{"toolChoice", v}} }
}

// compacted is the conversation of so many turns with its first ones summarised.
func compacted(turns int) *talk {
	k := agent(turns)
	rest := append([]turnOf(nil), k.turns[16:]...)
	k.turns = append([]turnOf{{true, []piece{say("what has happened so far: " + words(77, 3000))}}, {false, []piece{say("I see.")}}}, rest...)
	return k.marked()
}

// noted is a conversation whose newest turn carries a note that is gone in the next request.
func noted(turns int) *talk {
	k := agent(turns)
	m := &k.turns[len(k.turns)-1]
	m.parts = append([]piece{say(fmt.Sprintf("<reminder %d>", turns))}, m.parts...)
	return k
}

func small(system int) *talk {
	return (&talk{system: []piece{say(words(3, system)), here(prompt.FiveMinutes)}}).user(say("hello"))
}

func novaTalk(change func(*talk)) *talk {
	k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say(words(4, 12_000)), here(prompt.FiveMinutes)}}
	k.user(say(turnText(1)), here(prompt.FiveMinutes))
	if change != nil {
		change(k)
	}
	return k
}

// fanOut sends a second request before or after the response to the first one has begun.
func fanOut(begun bool) scene {
	return func(y *play) []Finding {
		call := Call{Workflow: "w", Model: y.model, At: y.at}
		a := y.tracker.Check(call, agent(2).prompt())
		a.Send()
		if begun {
			a.Begin()
		}
		return y.tracker.Check(call, edited(agent(2), func(k *talk) { k.user(say("more")) }).prompt()).Findings
	}
}

func lostUsage(lost bool) scene {
	return func(y *play) []Finding {
		t := y.tracker.Check(Call{Workflow: "w", Model: y.model, At: y.at}, agent(2).prompt())
		t.Send()
		t.Begin()
		if lost {
			return t.Fail()
		}
		return t.End(y.service.answer(agent(2).prompt(), y.model, "", y.at), y.at)
	}
}
