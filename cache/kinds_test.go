package cache

import (
	"encoding/base64"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// questioned is a conversation of so many questions, each answered with two tool turns and a text; the last one has had so many
// tool turns yet. Where they are dropped, the earlier questions keep their text alone.
func questioned(dropped bool, questions, turns int) *talk {
	k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say("You are a careful agent. " + systemText), here(prompt.FiveMinutes)}}
	step := func(q, i int) {
		k.assistant(say(fmt.Sprintf("I look at file %d for question %d.", i, q)), piece{kind: prompt.ToolUse, text: fmt.Sprintf("read %d.%d", q, i)})
		k.user(piece{kind: prompt.ToolResult, text: turnText(1000 + 10*q + i)})
	}
	for q := 1; q <= questions; q++ {
		k.user(say(turnText(2000 + q)))
		switch {
		case q == questions:
			for i := range turns {
				step(q, i)
			}
		default:
			if !dropped {
				step(q, 0)
				step(q, 1)
			}
			k.assistant(say(replyText(2000 + q)))
		}
	}
	return k.marked()
}

// novaAsked is a conversation of so many turns with Nova, of which the system prompt is most.
func novaAsked(turns int) *talk {
	k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say(words(4, 12_000)), here(prompt.FiveMinutes)}}
	for i := range turns {
		if i > 0 {
			k.assistant(say("Understood."))
		}
		k.user(say(fmt.Sprint("question ", i)))
	}
	return k
}

// thought is a conversation of so many turns whose answers begin with the model's thinking.
func thought(turns int) *talk {
	k := agent(1)
	for i := range turns {
		if i > 0 {
			k.user(say(turnText(i)))
		}
		k.assistant(piece{kind: prompt.Reasoning, text: replyText(300 + i)}, say(replyText(i)))
	}
	return k.user(say(turnText(turns))).marked()
}

// forgetting has responses of a model read no more than the system prompt from the second one on.
func forgetting(model string) func(*play) {
	n := 0
	return func(y *play) {
		y.model.ID = model
		y.usage = func(u Usage) Usage {
			if n++; n > 1 {
				lost := u.CacheReadTokens / 3
				u.CacheReadTokens, u.CacheWrite5mTokens = u.CacheReadTokens-lost, u.CacheWrite5mTokens+lost
			}
			return u
		}
	}
}

// doubledOnce has the first response tell twice what it wrote.
func doubledOnce() func(*play) {
	n := 0
	return usageOf(func(u *Usage) {
		if n++; n == 1 {
			u.CacheWrite5mTokens *= 2
		}
	})
}

// A counter that was told twice as high must not pass for an eviction in the next turn, nor in any later one.
func TestADoubledCounterIsNoEviction(t *testing.T) {
	for name, doubled := range map[string]func(call int) bool{
		"the first call":       func(call int) bool { return call == 1 },
		"a later call":         func(call int) bool { return call == 4 },
		"every call":           func(int) bool { return true },
		"every call but a few": func(call int) bool { return call%3 > 0 },
	} {
		t.Run(name, func(t *testing.T) {
			y, call := newPlay(), 0
			y.usage = func(u Usage) Usage {
				if call++; doubled(call) {
					u.CacheWrite5mTokens *= 2
				}
				return u
			}
			var all []Finding
			for turns := 1; turns <= 10; turns++ {
				before, after := y.send(agent(turns))
				all = append(append(all, before...), after...)
			}
			require.Contains(t, rules(all), ruleDoubled)
			for _, f := range all {
				require.Equal(t, ruleDoubled, f.Rule, f.String())
				require.True(t, f.Suspected, "it refuses nothing")
			}
		})
	}
}

// A setting that changes must be named by what it is, whichever model and section it concerns, and never pass for an eviction.
func TestAChangedSettingIsNoEviction(t *testing.T) {
	set := func(name, value string) func(*talk) { return func(k *talk) { k.set = [][2]string{{name, value}} } }
	claude, amazon := func(y *play) {}, func(y *play) { y.model = novaPro() }
	for name, tc := range map[string]struct {
		model         func(*play)
		before, after func(*talk)
		short         bool // the conversation behind the system prompt is short
		heads         bool // the system prompt is written again too
		want          string
	}{
		"Nova, a tool, then any":     {amazon, set("toolChoice", "tool"), set("toolChoice", "auto"), true, true, "the tool choice"},
		"Nova, none, then a tool":    {amazon, func(*talk) {}, set("toolChoice", "tool"), true, true, "the tool choice"},
		"Claude, thinking on":        {claude, func(*talk) {}, set("thinking", "on"), false, false, "how the model thinks"},
		"Claude, another budget":     {claude, set("thinking", "1"), set("thinking", "2"), false, false, "how the model thinks"},
		"Claude, effort":             {claude, set("effort", "low"), set("effort", "high"), false, false, "how the model thinks"},
		"Claude, a forced tool":      {claude, set("tool_choice", "x"), set("tool_choice", "y"), false, false, "the tool choice"},
		"Claude, fast":               {claude, func(*talk) {}, set("speed", "fast"), true, true, "the speed"},
		"Claude, slow again":         {claude, set("speed", "fast"), func(*talk) {}, true, true, "the speed"},
		"Claude, citations":          {claude, func(*talk) {}, set("citations", "enabled"), true, true, "the citations"},
		"Claude, form of the answer": {claude, set("output_config", "1"), set("output_config", "2"), false, false, "the form of the answer"},
	} {
		t.Run(name, func(t *testing.T) {
			y := newPlay()
			tc.model(y)
			one, two := agent(9), agent(10)
			if tc.short {
				one, two = novaAsked(1), novaAsked(2)
				if y.model.Provider != nova {
					one.system[0].text = "You are a careful agent. " + systemText
					two.system[0].text = one.system[0].text
				}
			}
			y.send(edited(one, tc.before))
			y.usage = func(u Usage) Usage {
				if tc.heads { // the whole prefix is written again
					u.CacheWrite5mTokens, u.CacheReadTokens = u.CacheWrite5mTokens+u.CacheReadTokens, 0
				}
				return u
			}
			before, after := y.send(edited(two, tc.after))
			require.Equal(t, []Rule{ruleSettings}, rules(before))
			require.Contains(t, before[0].Detail, tc.want)
			require.Empty(t, rules(after))
			y.usage = nil
		})
	}
}

// On Claude a changed tool choice leaves the system prompt cached: nothing is lost where only that is long.
func TestAToolChoiceOnClaudeKeepsTheSystemPrompt(t *testing.T) {
	y := newPlay()
	one, two := novaAsked(1), novaAsked(2)
	one.system[0].text = "You are a careful agent. " + systemText
	two.system[0].text = one.system[0].text
	y.send(edited(one, choose("tool")))
	before, after := y.send(edited(two, choose("auto")))
	require.Empty(t, rules(append(before, after...)))
}

// Where both answers of a request are branches, each with the tool turns of its own, nothing was dropped.
func TestABranchIsNoDroppedHistory(t *testing.T) {
	y := newPlay()
	y.send(questioned(false, 1, 0))
	y.send(questioned(false, 1, 1))
	y.send(questioned(false, 1, 2))
	y.send(questioned(false, 1, 0)) // the user asks for another answer
	branch := questioned(false, 1, 0).assistant(say("I need no file for that: " + replyText(77))).user(say(turnText(78))).marked()
	before, after := y.send(branch)
	require.NotContains(t, rules(append(before, after...)), ruleDropped)

	y = newPlay()
	y.compact = true
	for _, k := range []*talk{questioned(true, 1, 0), questioned(true, 1, 1), questioned(true, 1, 2), questioned(true, 2, 0)} {
		before, after = y.send(k)
	}
	require.NotContains(t, rules(append(before, after...)), ruleDropped, "it was announced")
}

// A conversation that drops its tool turns once may have its reasons; one that does it at each question is refused.
func TestDroppedHistoryIsSuspectedOnceAndCertainTwice(t *testing.T) {
	y := newPlay()
	var certain []bool
	for _, k := range []*talk{
		questioned(true, 1, 0), questioned(true, 1, 1), questioned(true, 1, 2),
		questioned(true, 2, 0), questioned(true, 2, 1), questioned(true, 2, 2), questioned(true, 3, 0),
	} {
		before, after := y.send(k)
		for _, f := range append(before, after...) {
			require.Equal(t, ruleDropped, f.Rule, f.String())
			require.Positive(t, f.Tokens)
			certain = append(certain, !f.Suspected)
		}
	}
	require.Equal(t, []bool{false, true}, certain)
}

// onePage is a PDF of one page with hardly a word on it.
func onePage(word string) string {
	return "%PDF-1.4\n1 0 obj<</Type/Catalog/Pages 2 0 R>>endobj\n2 0 obj<</Type /Pages/Kids[3 0 R]/Count 1>>endobj\n3 0 obj<</Type /Page/Parent 2 0 R>>endobj\n%" + word
}

// Media must not make a request long enough for a cache that it is too short for, whichever reader sees them.
func TestMediaDoNotMakeAShortRequestLong(t *testing.T) {
	pdf := func(word string) string {
		return `{"type":"document","source":{"type":"base64","media_type":"application/pdf","data":"` + base64.StdEncoding.EncodeToString([]byte(onePage(word))) + `"}}`
	}
	image := `{"type":"image","source":{"type":"url","url":"https://example.com/a.png"}}`
	for name, block := range map[string]string{"PDF": pdf("a") + "," + pdf("b"), "images": strings.Repeat(image+",", 5) + image} {
		t.Run(name, func(t *testing.T) {
			body := `{"anthropic_version":"bedrock-2023-05-31","max_tokens":100,"messages":[{"role":"user","content":[` + block + `,{"type":"text","text":"compare"}]},` +
				`{"role":"assistant","content":[{"type":"text","text":"They agree."}]},{"role":"user","content":[{"type":"text","text":"sure?"}]}]}`
			m := opus()
			m.MinTokens = 1024
			require.Empty(t, Lint(mustParse(t, "anthropic", body), m))

			tracker := NewTracker(Policy{Mode: Refuse})
			call := Call{Workflow: "w", Model: m, At: time.Date(2026, 11, 28, 8, 0, 0, 0, time.UTC)}
			for range 8 {
				turn := tracker.Check(call, mustParse(t, "anthropic", body))
				turn.Send()
				turn.Begin()
				for _, f := range append(turn.Findings, turn.End(Usage{InputTokens: 145}, call.At)...) {
					require.Equal(t, ruleIdentical, f.Rule, f.String())
				}
				call.At = call.At.Add(time.Minute)
			}
		})
	}
}

// Text of which a token takes many bytes must not pass for a long prompt: neither before a response has told its tokens nor
// afterwards.
func TestSparseTextDoesNotMakeAShortRequestLong(t *testing.T) {
	for name, text := range map[string]string{
		"blanks": strings.Repeat(" ", 60_000), "rules": strings.Repeat("=", 60_000), "empty lines": strings.Repeat("\n", 60_000),
		"indented": strings.Repeat(strings.Repeat(" ", 60)+"x\n", 1000),
	} {
		t.Run(name, func(t *testing.T) {
			k := &talk{system: []piece{say(text)}}
			k.user(say("go"))
			require.Empty(t, rules(Lint(k.prompt(), opus())))
		})
	}
	y := newPlay()
	for turns := 1; turns <= 3; turns++ {
		y.send(agent(turns)) // what these count must not speak for another text
	}
	before, _ := y.send((&talk{system: []piece{say(strings.Repeat("=", 60_000))}}).user(say("go")))
	require.Empty(t, rules(before))

	y = newPlay()
	y.usage = func(u Usage) Usage { return Usage{InputTokens: 300} }
	dense := strings.Repeat("ab ", 60_000)
	k := (&talk{system: []piece{say(dense)}}).user(say("go"))
	before, _ = y.send(k)
	require.Equal(t, []Rule{ruleNoPoint}, rules(before), "as far as anybody can tell")
	before, _ = y.send(edited(k, func(k *talk) { k.assistant(say("ok")).user(say("on")) }))
	require.Empty(t, rules(before), "the response has told that it is short")
}

// White space is text to Converse and to Nova; only a text without any character takes no point for certain.
func TestAPointBehindWhiteSpaceIsNotRefused(t *testing.T) {
	for name, tc := range map[string]struct {
		text      string
		found     bool
		suspected bool
	}{"nothing": {"", true, false}, "a line end": {"\n", false, false}, "a blank": {" ", false, false}, "a wide blank": {"\u3000", false, false}} {
		k := edited(agent(1), func(k *talk) { k.turns[0].parts = []piece{say("q"), say(tc.text), here(prompt.FiveMinutes)} })
		require.Equal(t, tc.found, len(Lint(k.prompt(), opus())) > 0, name)
	}
	claude := func(text string) []Finding {
		p := mustParse(t, "anthropic", `{"anthropic_version":"x","messages":[{"role":"user","content":[{"type":"text","text":"q"},{"type":"text","text":"`+text+`","cache_control":{"type":"ephemeral"}}]}]}`)
		return Lint(p, opus())
	}
	refuses := func(found []Finding) bool {
		for _, f := range found {
			if (Policy{Mode: Refuse}).Action(f, "") == Refuse {
				return true
			}
		}
		return false
	}
	require.True(t, refuses(claude("")))
	require.False(t, refuses(claude(`\n`)), "users report it of some requests alone")
	for _, provider := range []string{"amazon", "anthropic"} {
		p := mustParse(t, provider, `{"inferenceConfig":{},"messages":[{"role":"user","content":[{"text":"q"},{"text":"\n"},{"cachePoint":{"type":"default"}}]}]}`)
		require.Empty(t, rules(Lint(p, opus())), provider)
	}
}

// A turn of tool results keeps the thinking: what is missing then has another cause.
func TestThinkingIsNotDroppedBehindToolResults(t *testing.T) {
	y := newPlay()
	forgetting("anthropic.claude-haiku-4-5-20251001-v1:0")(y)
	y.send(thought(1))
	k := thought(1).assistant(piece{kind: prompt.ToolUse, text: "use"}).user(piece{kind: prompt.ToolResult, text: turnText(5)}).marked()
	_, after := y.send(k)
	require.Equal(t, []Rule{ruleEvicted}, rules(after))
}

// A short request that marks its newest turn as all others do, such as one for a title, costs nothing and needs no word.
func TestAShortRequestOfAMarkingClientIsSilent(t *testing.T) {
	y := newPlay()
	y.usage = func(u Usage) Usage { nothingCached(&u); return u }
	k := (&talk{system: []piece{say(words(3, 2000)), here(prompt.FiveMinutes)}}).user(say(words(4, 12_000)), here(prompt.FiveMinutes))
	before, after := y.send(k)
	require.Empty(t, rules(append(before, after...)))
}

// What a response counts of media must not pass for what text counts.
func TestMediaTeachNothingAboutText(t *testing.T) {
	var s estimate.Scale
	s.Learn(prompt.Size{Bytes: 7000, Media: 4000}, 150)
	require.Zero(t, s.Factor)
	s.Learn(prompt.Size{Bytes: 7000, Media: 100}, 2100)
	require.EqualValues(t, 1000, s.Factor)
}

// A conversation that is sent with two settings by turns has an entry for each. Reading one renews the lifetime of that one alone, so that the other
// one lapses, which is no eviction.
func TestReadingAnEntryRenewsNoneOfOtherSettings(t *testing.T) {
	budget := func(tokens string, turns int) *talk {
		return edited(agent(turns), func(k *talk) { k.set = [][2]string{{"thinking", tokens}} })
	}
	y := newPlay()
	y.send(budget("1", 9))
	y.send(budget("2", 9))
	y.gap = 3 * time.Minute
	_, after := y.send(budget("2", 10)) // 4 minutes after the first
	require.Empty(t, rules(after))
	y.gap = 2 * time.Minute
	_, after = y.send(budget("1", 10)) // a minute after the first one's entry has lapsed
	require.NotContains(t, rules(after), ruleEvicted)
}

// A write that is kept for five minutes instead of an hour shortens the lifetime of that entry alone, and not of the same blocks in another region.
func TestAShortenedLifetimeConcernsNoOtherRegion(t *testing.T) {
	hour := oneHourFirst(prompt.OneHour, prompt.OneHour, prompt.OneHour)
	written := func(oneHour bool) func(Usage) Usage {
		return func(u Usage) Usage {
			if oneHour {
				u.CacheWrite1hTokens, u.CacheWrite5mTokens = u.CacheWrite5mTokens, 0
			}
			return u
		}
	}
	y := newPlay()
	y.place, y.usage = "us-east-1", written(true)
	y.send(hour)
	y.place, y.usage = "eu-west-1", written(false)
	_, after := y.send(hour)
	require.Contains(t, rules(after), ruleDowngraded)
	y.at = y.at.Add(10 * time.Minute)
	y.place, y.usage = "us-east-1", written(true)
	before, after := y.send(hour)
	require.NotContains(t, rules(append(before, after...)), ruleExpired)
}
