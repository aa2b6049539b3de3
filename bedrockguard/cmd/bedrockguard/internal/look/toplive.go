package look

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The screen is a model of the library Bubble Tea (tea): Update gets keys and messages one at a time and returns the next command, a function that
// runs beside it and whose result is the next message. View returns what is shown. readLedger reads the ledger once, compare makes a view of two
// readings, and lines makes the lines of the screen of that.

const (
	pace       = time.Second      // between two requests to the store
	rateSpan   = time.Minute      // the time over which rates are measured
	retryAfter = 3 * time.Second  // after which a store that did not answer is asked again
	killWithin = 15 * time.Second // how long a kill may take
	readWithin = time.Minute      // how long one reading may take, waiting for the pace included
)

// screen is the state of top on a terminal. Only Update changes its fields.
type screen struct {
	ctx      context.Context
	desk     *commandline.Desk // for kills, which are not paced
	watch    *commandline.Desk // for readings, which are paced
	source   *paced            // the store that watch reads
	policy   budget.Policy
	coloured bool

	readings []*reading // the readings of the last minute, oldest first
	view     *view
	lines    []topLine
	cursor   int           // index among the lines that can be selected
	asking   *budget.Scope // the scope that a question is about; nil if none is open
	message  string
	width    int
	height   int
}

// The messages of the screen.
type (
	readMsg   struct{ reading *reading } // a reading succeeded
	failedMsg struct{ err error }        // a reading failed
	killedMsg struct {                   // a kill has ended
		scope    budget.Scope
		accounts int
		err      error
	}
	againMsg struct{} // retryAfter has passed since a reading failed
)

// topLive shows the screen until the user ends it.
func topLive(ctx context.Context, c *cli.Command, d *commandline.Desk) error {
	// Without a policy this is one without limits.
	policy, err := d.Policy(ctx, c)
	if err != nil {
		return err
	}
	s, err := newScreen(ctx, d, policy, output.Colours(c.Root().Writer))
	if err != nil {
		return err
	}
	_, err = tea.NewProgram(s, tea.WithContext(ctx), tea.WithInput(c.Root().Reader), tea.WithOutput(c.Root().Writer)).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil || errors.Is(err, tea.ErrInterrupted) {
		return nil // ended by a signal, which is a normal end
	}
	return err
}

// newScreen returns the state of top. It reads the store through paced, so that top does not keep it busy, and kills without it.
func newScreen(ctx context.Context, d *commandline.Desk, policy budget.Policy, coloured bool) (*screen, error) {
	source := &paced{Store: d.Store, every: pace}
	watch, err := budget.Operate(ctx, source)
	if err != nil {
		return nil, err
	}
	// The width and the height hold until the terminal reports its own.
	return &screen{
		ctx: ctx, desk: d, watch: &commandline.Desk{Operator: watch, Store: source, Who: d.Who, StoreTime: d.StoreTime}, source: source, policy: policy, coloured: coloured,
		width: output.DefaultColumns, height: 40, message: "looking…",
	}, nil
}

// Init implements tea.Model.
func (s *screen) Init() tea.Cmd { return s.look }

// look reads once, at the pace that watch allows.
func (s *screen) look() tea.Msg {
	ctx, cancel := context.WithTimeout(s.ctx, readWithin)
	defer cancel()
	r, err := readLedger(ctx, s.watch, s.policy)
	if err != nil {
		return failedMsg{err}
	}
	return readMsg{r}
}

// Update implements tea.Model: it handles one message. The next reading begins as soon as one has succeeded, at the pace of the store, and after
// a failure once retryAfter has passed.
func (s *screen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
		s.lay()
	case readMsg:
		s.take(msg.reading)
		return s, s.look
	case failedMsg:
		if s.ctx.Err() != nil {
			return s, tea.Quit
		}
		s.message = "no answer: " + output.Printable(msg.err.Error())
		return s, tea.Tick(retryAfter, func(time.Time) tea.Msg { return againMsg{} })
	case againMsg:
		return s, s.look
	case killedMsg:
		s.tellKilled(&msg)
	case tea.KeyPressMsg:
		return s, s.key(msg.String())
	}
	return s, nil
}

// take shows a reading, compared with the oldest one that is kept. The oldest is dropped once the one after it is a minute old, so that rates are
// measured over a minute, or over the time since the first reading.
func (s *screen) take(r *reading) {
	s.readings = append(s.readings, r)
	for len(s.readings) > 2 && r.at.Sub(s.readings[1].at) >= rateSpan {
		s.readings = s.readings[1:]
	}
	s.view = compare(s.readings[0], r)
	// These are the messages about a reading that is awaited or has failed; what a kill has done stays to be read.
	if strings.HasPrefix(s.message, "looking") || strings.HasPrefix(s.message, "no answer") {
		s.message = ""
	}
	s.lay()
}

// lay makes the lines of the screen again, because the view or the height has changed.
func (s *screen) lay() {
	if s.view == nil {
		return
	}
	const heads = 9 // lines that are not rows
	// The three tables share the rest of the screen.
	rows := max(3, (s.height-heads-len(s.view.Kills))/3)
	s.lines = s.view.lines(rows)
	s.cursor = min(s.cursor, max(0, len(s.selectable())-1))
}

// selectable returns the indexes of the lines that can be selected.
func (s *screen) selectable() (at []int) {
	for i := range s.lines {
		if s.lines[i].scope != nil {
			at = append(at, i)
		}
	}
	return at
}

// key handles a key. While a question is open, y is yes and any other key no.
func (s *screen) key(key string) tea.Cmd {
	if s.asking != nil {
		// The question is answered by any key.
		scope := *s.asking
		s.asking = nil
		if key != "y" {
			s.message = "nothing was killed"
			return nil
		}
		s.message = "killing " + output.Printable(output.ScopeText(scope)) + "…"
		return func() tea.Msg { return s.kill(scope) }
	}
	switch key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "up":
		s.cursor = max(0, s.cursor-1)
	case "down":
		s.cursor = min(s.cursor+1, max(0, len(s.selectable())-1))
	case "k":
		if at := s.selectable(); len(at) > 0 {
			s.asking = s.lines[at[s.cursor]].scope
		}
	}
	return nil
}

// kill sets a flag for the scope, without waiting for the pace.
func (s *screen) kill(scope budget.Scope) tea.Msg {
	ctx, cancel := context.WithTimeout(s.ctx, killWithin)
	defer cancel()
	accounts, err := s.desk.Kill(ctx, scope, "by "+s.desk.Who+" in top")
	return killedMsg{scope, accounts, err}
}

// tellKilled shows how a kill has ended. The flag is shown at once, before the next reading has it.
func (s *screen) tellKilled(k *killedMsg) {
	if k.err != nil {
		s.message = "not killed: " + output.Printable(k.err.Error())
		return
	}
	s.message = fmt.Sprintf("killed %s; take it back with bedrockguard revive", output.Printable(output.ScopeText(k.scope)))
	if s.view != nil {
		s.view.Kills = append(s.view.Kills, output.JSONKill(&budget.Kill{Scope: k.scope}))
		s.lay()
	}
}

// View implements tea.Model.
func (s *screen) View() tea.View {
	v := tea.NewView(s.render())
	v.AltScreen = true
	v.WindowTitle = "bedrockguard top"
	return v
}

// render returns the text of the screen: the lines, with a mark at the selected one, and a question, a message or the keys below them.
func (s *screen) render() string {
	var b strings.Builder
	selected := -1
	if at := s.selectable(); len(at) > 0 {
		selected = at[s.cursor]
	}
	for i := range s.lines {
		l := s.lines[i]
		mark := "  "
		if i == selected {
			mark = "> "
		}
		l.text = output.Clipped(mark+l.text, max(s.width, 20))
		b.WriteString(l.show(s.coloured) + "\n")
	}
	b.WriteString("\n")
	switch {
	case s.asking != nil:
		fmt.Fprintf(&b, "Kill %s in every process? y kills, any other key does not.\n", output.Printable(output.ScopeText(*s.asking)))
	case s.message != "":
		b.WriteString(output.Clipped(s.message, max(s.width, 20)) + "\n")
	default:
		b.WriteString("up and down select, k kills, q ends\n")
	}
	return b.String()
}
