package cache

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

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

// countedDocument is a document that counts how often it is serialised.
type countedDocument struct{ serialised int }

func (d *countedDocument) MarshalSmithyDocument() ([]byte, error) {
	d.serialised++
	return []byte(`"` + strings.Repeat("a", 1000) + `"`), nil
}

// What an earlier request of the workflow had is not read again.
func TestTrackersRecogniseWhatTheyHaveSeen(t *testing.T) {
	tracker, d := NewTracker(Policy{Mode: Report}), new(countedDocument)
	for turns := range 3 {
		p := new(prompt.Prompt)
		for i := range 1 + 2*turns {
			p.Message(i, i%2 == 0)
			p.Block(prompt.ToolResult, 0)
			p.Document(d)
		}
		turn := tracker.Check(Call{Workflow: "w", Model: mistral(), At: time.Unix(int64(turns), 0)}, p)
		turn.Send()
		turn.Begin()
		if turns > 0 {
			require.Equal(t, 2, d.serialised, "the two new ones")
		}
		d.serialised = 0
	}
}
