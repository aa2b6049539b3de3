package bedrockguard_test

import (
	"fmt"
	"slices"
	"time"
)

const costTurns = 20

// The texts of the agents. A prompt of 40,000 bytes is about twice the model's minimum.
var (
	promptText = passage(1, 40_000)
	toolTexts  = []string{passage(2, 15_000), passage(3, 15_000)}
)

func asks(i int) said      { return said{true, []string{passage(100+i, 3000)}} }
func answersTo(i int) said { return said{false, []string{passage(200+i, 1000)}} }

// history is a conversation up to its turn i.
func history(i int) []said {
	var all []said
	for k := range i + 1 {
		all = append(all, asks(k))
		if k < i {
			all = append(all, answersTo(k))
		}
	}
	return all
}

// rounds makes an agent's requests from the first one on; change makes each what it is.
func rounds(n int, change func(i int, r *round)) []round {
	all := make([]round, n)
	for i := range all {
		all[i] = round{workflow: "w", tools: toolTexts, system: []string{promptText}, messages: history(i)}
		change(i, &all[i])
	}
	return all
}

func clockText(i int) string {
	return fmt.Sprintf("Current time: 2026-04-06T08:%02d:%02dZ", i/60%60, i%60)
}

// costAgents are agents of many habits. The later ones are harder to tell from those that go on.
func costAgents() []costAgent {
	return slices.Concat(steadyAgents(), volatileAgents(), shortAgents(), changingAgents(), markingAgents())
}

// steadyAgents repeat what they sent, and gain.
func steadyAgents() []costAgent {
	return []costAgent{
		{name: "healthy", saves: 75, rounds: rounds(costTurns, func(int, *round) {})},
		{name: "healthy, plain strings", saves: 75, rounds: rounds(costTurns, func(_ int, r *round) { r.plain = true })},
		{name: "healthy, no tools", saves: 75, rounds: rounds(costTurns, func(_ int, r *round) { r.tools = nil })},
		{name: "resumed", saves: 78, rounds: rounds(costTurns, func(i int, r *round) { r.messages = history(i + 5) })},
		{name: "ten-minute pauses", saves: 55, rounds: rounds(costTurns, func(_ int, r *round) { r.pause = 10 * time.Minute })},
		{name: "a break after every fifth turn", saves: 60, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			if i > 0 && i%5 == 0 {
				r.pause = 10 * time.Minute
			}
		})},
		{name: "one compaction in seven turns", saves: 70, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.messages = history(i % 7)
			if i >= 7 {
				r.messages[0].texts = []string{passage(900+i/7, 5000)}
			}
		})},
		{name: "questions about one document", saves: 75, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, nil
			r.messages = []said{{true, []string{promptText, passage(100+i, 300)}}}
		})},
		{name: "one-shot calls with the same prompt", saves: 70, rounds: rounds(costTurns, func(i int, r *round) { r.messages = []said{asks(i)} })},
	}
}

// volatileAgents carry something in their prefix that differs in each request.
func volatileAgents() []costAgent {
	return []costAgent{
		{name: "clock before the system prompt", saves: 18, rounds: rounds(costTurns, func(i int, r *round) {
			r.system = []string{clockText(i) + "\n" + promptText}
		})},
		{name: "clock, no tools", rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, []string{clockText(i) + "\n" + promptText}
		})},
		{name: "clock over 40 turns", rounds: rounds(40, func(i int, r *round) {
			r.tools, r.system = nil, []string{clockText(i) + "\n" + promptText}
		})},
		{name: "clock in a block behind the prompt", saves: 35, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, []string{promptText, clockText(i)}
		})},
		{name: "clock that shows minutes, two calls each", saves: 20, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, []string{clockText(i/2) + "\n" + promptText}
		})},
		{name: "one-shot calls with such a clock", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = nil, []string{clockText(i/2) + "\n" + promptText}, []said{asks(i)}
		})},
		{name: "clock from the twelfth turn on", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			if i >= 11 {
				r.system = []string{clockText(i) + "\n" + promptText}
			}
		})},
		{name: "nonce in a tool", rounds: rounds(costTurns, func(i int, r *round) {
			r.tools = []string{fmt.Sprintf("nonce: %08x ", 7919*i+1<<24) + toolTexts[0], toolTexts[1]}
		})},
		{name: "nonce in the first message", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, nil
			r.messages[0] = said{true, []string{fmt.Sprintf("[%08x] ", 7919*i+1<<24) + promptText}}
		})},
		{name: "surroundings in the newest message alone", saves: 68, rounds: rounds(costTurns, func(i int, r *round) {
			last := &r.messages[len(r.messages)-1]
			last.texts = []string{last.texts[0] + "\n" + clockText(i) + passage(700+i, 4000)}
		})},
		{name: "surroundings in a block of their own", saves: 68, rounds: rounds(costTurns, func(i int, r *round) {
			last := &r.messages[len(r.messages)-1]
			last.texts = []string{last.texts[0], clockText(i) + passage(700+i, 4000)}
		})},
	}
}

// shortAgents ask once, or hardly more.
func shortAgents() []costAgent {
	alone := func(i int) string { return fmt.Sprint("run-", i) }
	return []costAgent{
		{name: "one-shot calls", rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = nil, nil, []said{{true, []string{passage(300+i, 30_000)}}}
		})},
		{name: "one-shot calls with tools, a workflow each", rounds: rounds(costTurns, func(i int, r *round) {
			r.workflow, r.messages = alone(i), []said{asks(i)}
		})},
		{name: "one-shot calls with tools and a prompt of their own", rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = []string{passage(300+i, 9000)}, []string{passage(400+i, 20_000)}, []said{asks(i)}
		})},
		{name: "system prompt by user, one call each", saves: 28, rounds: rounds(costTurns, func(i int, r *round) {
			r.system, r.messages = []string{fmt.Sprintf("You serve user %d. ", i) + promptText}, []said{asks(i)}
		})},
		{name: "system prompt by user, two calls each", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = nil, []string{fmt.Sprintf("You serve user %d. ", i/2) + promptText}, []said{asks(i)}
		})},
		{name: "system prompt by user, five by turns", unread: 3, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, []string{fmt.Sprintf("You serve user %d. ", i%5) + promptText}
			r.messages = history(i / 5)
			r.messages[0] = said{true, []string{passage(800+i%5, 3000)}}
		})},
		{name: "fan-out", rounds: rounds(costTurns, func(i int, r *round) {
			r.messages, r.atOnce = []said{asks(i)}, i > 0
		})},
		{name: "fan-out after a first call", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.messages, r.atOnce = []said{asks(i)}, i > 1
		})},
		{name: "fan-out of five, four times", saves: 38, rounds: rounds(costTurns, func(i int, r *round) {
			r.messages, r.atOnce = []said{asks(i)}, i%5 > 0
		})},
		{name: "conversations of two requests", saves: 20, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = nil, []string{passage(400+i/2, 25_000)}, history(i%2)
		})},
		{name: "conversations of two requests, a workflow each", unread: 1, rounds: rounds(40, func(i int, r *round) {
			r.workflow, r.tools, r.system, r.messages = alone(i/2), nil, []string{passage(400+i/2, 25_000)}, history(i%2)
		})},
		{name: "one-shot calls with examples, a workflow each", unread: 1, rounds: rounds(3*costTurns, func(i int, r *round) {
			r.workflow, r.messages = alone(i), append(history(3), answersTo(3), asks(100+i))
		})},
		{name: "one-shot calls with examples", saves: 75, rounds: rounds(costTurns, func(i int, r *round) {
			r.messages = append(history(3), answersTo(3), asks(100+i))
		})},
		{name: "pauses of more than an hour", rounds: rounds(costTurns, func(_ int, r *round) { r.pause = 70 * time.Minute })},
		{name: "one-shot calls with long pauses", rounds: rounds(costTurns, func(i int, r *round) { r.messages, r.pause = []said{asks(i)}, 70*time.Minute })},
		{name: "a long pause after every second turn", saves: 18, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			if i%2 == 0 {
				r.pause = 70 * time.Minute
			}
		})},
	}
}

// changingAgents change what precedes their conversation, or the conversation itself.
func changingAgents() []costAgent {
	tools := func(n int) []string { return []string{passage(500+n, 20_000), toolTexts[1]} }
	return []costAgent{
		{name: "tools that change in each turn", rounds: rounds(costTurns, func(i int, r *round) { r.tools = tools(i) })},
		{name: "tools that change every fourth turn", saves: 42, unread: 4, rounds: rounds(costTurns, func(i int, r *round) { r.tools = tools(i / 4) })},
		{name: "tools that change once", saves: 62, unread: 1, rounds: rounds(costTurns, func(i int, r *round) { r.tools = tools(i / 10) })},
		{name: "two sets of tools by turns", saves: 60, rounds: rounds(costTurns, func(i int, r *round) { r.tools = tools(i % 2) })},
		{name: "thinking that differs in each turn", saves: 45, rounds: rounds(costTurns, func(i int, r *round) { r.thinking = 1024 + i })},
		{name: "two models by turns", saves: 35, rounds: rounds(costTurns, func(i int, r *round) {
			r.model = []string{opus46, "us.anthropic.claude-opus-4-5-20251101-v1:0"}[i%2]
		})},
		{name: "results dropped from the history", saves: 58, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			for k := range r.messages {
				if r.messages[k].user && k < len(r.messages)-3 {
					r.messages[k].texts = []string{"(left out)"}
				}
			}
		})},
		{name: "tool turns dropped at each question", saves: 70, rounds: rounds(costTurns, func(i int, r *round) {
			question, step := i/4, i%4
			r.messages = nil
			for k := range question + 1 {
				r.messages = append(r.messages, asks(k))
				if k < question {
					r.messages = append(r.messages, answersTo(k))
				}
			}
			for k := range step {
				r.messages = append(r.messages, answersTo(1000+10*question+k), asks(1000+10*question+k))
			}
		})},
		{name: "the oldest turn dropped in each", saves: 58, rounds: rounds(costTurns, func(i int, r *round) {
			r.messages = nil
			for k := range 5 {
				if k > 0 {
					r.messages = append(r.messages, answersTo(i+k-1))
				}
				r.messages = append(r.messages, asks(i+k))
			}
		})},
	}
}

// markingAgents set cache points themselves.
func markingAgents() []costAgent {
	marked := func(r *round, newest bool) {
		r.system = []string{pointSign + r.system[0]}
		if newest {
			last := &r.messages[len(r.messages)-1]
			last.texts = []string{pointSign + last.texts[0]}
		}
	}
	return []costAgent{
		{name: "own points, healthy", rounds: rounds(costTurns, func(_ int, r *round) { marked(r, true) })},
		{name: "own point on the system prompt", saves: 55, rounds: rounds(costTurns, func(_ int, r *round) { marked(r, false) })},
		{name: "own points behind a clock", saves: 15, unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system = nil, []string{clockText(i) + "\n" + promptText}
			marked(r, true)
		})},
		{name: "own points, tools that change once", unread: 1, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools = []string{passage(500+i/10, 20_000)}
			marked(r, true)
		})},
		{name: "own points, pauses of more than an hour", unread: 2, rounds: rounds(costTurns, func(_ int, r *round) {
			r.pause = 70 * time.Minute
			marked(r, true)
		})},
		{name: "own points on one-shot calls", unread: 2, rounds: rounds(costTurns, func(i int, r *round) {
			r.tools, r.system, r.messages = nil, []string{passage(400+i, 25_000)}, []said{asks(i)}
			marked(r, true)
		})},
	}
}
