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
	// What it works with.
	ctx      context.Context
	desk     *commandline.Desk // for kills, which are not paced
	watch    *commandline.Desk // for readings, which are paced
	source   *paced            // the store that watch reads
	policy   budget.Policy
	coloured bool

	// What was read. view compares the newest reading with the oldest one that is kept, and is nil before the first reading.
	readings []*reading // the readings of the last minute, oldest first
	view     *view

	// What is shown.
	lines   []topLine
	cursor  int           // index among the lines that can be selected, not among all lines
	asking  *budget.Scope // the scope that a question is about; nil if none is open
	message string        // shown in place of the list of keys; empty if there is nothing to say
	width   int           // of the terminal, in characters
	height  int           // of the terminal, in lines
}

// The messages of the screen.
type (
	readMsg   struct{ reading *reading } // a reading succeeded
	failedMsg struct{ err error }        // a reading failed
	killedMsg struct {                   // a kill has ended
		scope    budget.Scope
		accounts int // how many known accounts have the scope's values; the screen does not show it
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
	// A signal is a normal end. It ends ctx, by which the library is killed, or the library gets it itself, whichever is first.
	byContext := errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil
	if byContext || errors.Is(err, tea.ErrInterrupted) {
		return nil
	}
	return err
}

// newScreen returns the state of top. It reads the store through paced, so that top does not keep the store busy, and kills without it.
func newScreen(ctx context.Context, d *commandline.Desk, policy budget.Policy, coloured bool) (*screen, error) {
	source := &paced{Store: d.Store, every: pace}
	reader, err := budget.Operate(ctx, source)
	if err != nil {
		return nil, err
	}
	watch := &commandline.Desk{Operator: reader, Store: source, Who: d.Who, StoreTime: d.StoreTime}
	return &screen{
		ctx: ctx, desk: d, watch: watch, source: source, policy: policy, coloured: coloured,
		message: looking,
		width:   output.DefaultColumns, height: 40, // until the terminal reports its own
	}, nil
}

// The messages about a reading: looking is shown until the first one, and noAnswer is the beginning of the message about one that failed.
const (
	looking  = "looking…"
	noAnswer = "no answer: "
)

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
			return s, tea.Quit // it failed because top is ending
		}
		s.message = noAnswer + output.Printable(msg.err.Error())
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
	// Two are kept at least, however old the first of them is: a rate needs two.
	for len(s.readings) > 2 && r.at.Sub(s.readings[1].at) >= rateSpan {
		s.readings = s.readings[1:]
	}
	s.view = compare(s.readings[0], r)
	// What a kill has done stays to be read.
	if s.message == looking || strings.HasPrefix(s.message, noAnswer) {
		s.message = ""
	}
	s.lay()
}

// lay makes the lines of the screen again, because the view or the height has changed. The three tables share the lines that are left for rows.
func (s *screen) lay() {
	if s.view == nil {
		return
	}
	const (
		others  = 9 // lines that are neither rows nor kills: the head, four empty lines, the heads of the tables, and the line below them
		minRows = 3 // of each table, however small the terminal is
	)
	rows := max(minRows, (s.height-others-len(s.view.Kills))/3)
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

// selected returns the index of the selected line, and -1 if no line can be selected.
func (s *screen) selected() int {
	if at := s.selectable(); len(at) > 0 {
		return at[s.cursor]
	}
	return -1
}

// key handles a key, and returns what is to be done next; nil if that is nothing.
func (s *screen) key(key string) tea.Cmd {
	if s.asking != nil {
		return s.answer(key == "y")
	}
	switch key {
	case "q", "esc", "ctrl+c":
		return tea.Quit
	case "up":
		s.cursor = max(0, s.cursor-1)
	case "down":
		s.cursor = min(s.cursor+1, max(0, len(s.selectable())-1))
	case "k":
		if at := s.selected(); at >= 0 {
			s.asking = s.lines[at].scope
		}
	}
	return nil
}

// answer closes the question whether to kill the calls of a scope: y is yes, and any other key no. It returns the kill, or nil for no.
func (s *screen) answer(yes bool) tea.Cmd {
	scope := *s.asking
	s.asking = nil
	if !yes {
		s.message = "nothing was killed"
		return nil
	}
	s.message = "killing " + output.Printable(output.ScopeText(scope)) + "…"
	return func() tea.Msg { return s.kill(scope) }
}

// kill sets a flag for the scope, without waiting for the pace.
func (s *screen) kill(scope budget.Scope) tea.Msg {
	ctx, cancel := context.WithTimeout(s.ctx, killWithin)
	defer cancel()
	accounts, err := s.desk.Kill(ctx, scope, "by "+s.desk.Who+" in top")
	return killedMsg{scope, accounts, err}
}

// tellKilled shows how a kill has ended. The flag is added to the view here, because the next reading has it only some seconds later.
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
	width := max(s.width, 20) // on a narrower terminal nothing could be read in any case
	selected := s.selected()
	for i := range s.lines {
		l := s.lines[i]
		mark := "  "
		if i == selected {
			mark = "> "
		}
		l.text = output.Clipped(mark+l.text, width)
		b.WriteString(l.show(s.coloured) + "\n")
	}
	b.WriteString("\n")
	switch {
	case s.asking != nil:
		fmt.Fprintf(&b, "Kill %s in every process? y kills, any other key does not.\n", output.Printable(output.ScopeText(*s.asking)))
	case s.message != "":
		b.WriteString(output.Clipped(s.message, width) + "\n")
	default:
		b.WriteString("up and down select, k kills, q ends\n")
	}
	return b.String()
}
