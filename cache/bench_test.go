package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// longTalk is a conversation of so many turns and about so many bytes, its last turn new.
func longTalk(turns, bytes, last int) *talk {
	k := &talk{tools: append([]piece(nil), twoTools...), system: []piece{say(systemText), here(prompt.FiveMinutes)}}
	for i := range turns {
		key := fmt.Sprint("long", i, bytes/turns)
		if _, ok := texts[key]; !ok {
			texts[key] = strings.Repeat(fmt.Sprintf("turn %d moves the parser; ", i), bytes/turns/2/24+1)
		}
		k.user(say(texts[key]))
		if i < turns-1 {
			k.assistant(say(texts[key][1:]))
		}
	}
	k.turns[len(k.turns)-1].parts[0] = say(fmt.Sprintf("new question %d", last))
	return k.marked()
}

// BenchmarkTracker_Turn is what Lint and the Tracker cost for one more turn of a conversation that they know: reading the
// request into a Prompt is not in it.
func BenchmarkTracker_Turn(b *testing.B) {
	for _, turns := range []int{10, 100} {
		b.Run(fmt.Sprint(turns), func(b *testing.B) {
			tracker, at := NewTracker(Policy{Mode: Report}), time.Unix(1_800_000_000, 0)
			b.ReportAllocs()
			prompts := make([]*prompt.Prompt, 64)
			for i := range prompts {
				prompts[i] = longTalk(turns, turns*8000, i).prompt()
			}
			for i := 0; b.Loop(); i++ {
				p := prompts[i%len(prompts)]
				t := tracker.Check(Call{Workflow: "w", Model: opus(), At: at}, p)
				t.Send()
				t.Begin()
				t.End(Usage{CacheReadTokens: 200_000, CacheWrite5mTokens: 100}, at)
				at = at.Add(time.Second)
				if len(t.Findings) > 0 && i == 2 {
					b.Fatal(t.Findings)
				}
			}
		})
	}
}

// BenchmarkTracker_FirstSight is what a request costs whose texts were never seen: each is hashed once.
func BenchmarkTracker_FirstSight(b *testing.B) {
	k := longTalk(100, 800_000, 1)
	p := k.prompt()
	bytes := 0
	for i := range p.Blocks {
		bytes += p.Blocks[i].Bytes
	}
	b.SetBytes(int64(bytes))
	b.ReportAllocs()
	at := time.Unix(1_800_000_000, 0)
	for i := 0; b.Loop(); i++ {
		NewTracker(Policy{Mode: Report}).Check(Call{Workflow: "w", Model: opus(), At: at}, p)
	}
}
