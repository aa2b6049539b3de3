package cache

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

func TestAHealthyAgentIsSilent(t *testing.T) {
	y := newPlay()
	for turns := 1; turns <= 60; turns++ {
		before, after := y.send(agent(turns))
		require.Empty(t, before, "turn %d", turns)
		require.Empty(t, after, "turn %d", turns)
	}
}

func TestTwoBranchesAreSilent(t *testing.T) {
	y := newPlay()
	branch := func(turns int, name string) *talk {
		k := agent(5)
		for i := range turns {
			k.assistant(say(replyText(i))).user(say(name + turnText(100+i)))
		}
		return k.marked()
	}
	for turns := range 30 {
		for _, name := range []string{"left", "right"} {
			before, after := y.send(branch(turns+1, name))
			require.Empty(t, before, "turn %d %s", turns, name)
			require.Empty(t, after, "turn %d %s", turns, name)
		}
	}
}

func TestIdleGapsWithinTheLifetimeAreSilent(t *testing.T) {
	y := newPlay()
	y.gap = 4*time.Minute + 50*time.Second
	for turns := 1; turns <= 20; turns++ {
		before, after := y.send(agent(turns))
		require.Empty(t, append(before, after...), "turn %d", turns)
	}
}
