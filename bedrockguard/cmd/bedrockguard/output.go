package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// printable makes text from elsewhere safe for one line of a terminal: characters that would move the cursor, change colours or reorder
// letters are printed as escapes.
func printable(s string) string {
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

func unprintable(r rune) bool { return r == '\uFFFD' || !unicode.IsPrint(r) }

// printableLines is printable for text of several lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// printJSON prints a value as JSON, indented.
func printJSON(c *cli.Command, v any) error {
	e := json.NewEncoder(c.Root().Writer)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

// table prints rows in columns. Text from elsewhere goes through printable.
type table struct {
	text    bytes.Buffer
	w       *tabwriter.Writer
	empty   string
	rows    int
	colours map[int]string // by number of the row
}

// newTable begins a table. If it gets no rows, the text empty is printed instead.
func newTable(empty string, heads ...string) *table {
	t := &table{empty: empty, colours: make(map[int]string)}
	t.w = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t.w, strings.Join(heads, "\t"))
	return t
}

// maxCell is how many characters of a value are shown, except in the last column: --json has all of it.
const maxCell = 72

func (t *table) row(cells ...string) {
	t.rows++
	for i := range cells {
		cells[i] = printable(cells[i])
		if i+1 < len(cells) {
			cells[i] = clipped(cells[i], maxCell)
		}
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// The colours of rows, as escape sequences.
const (
	red    = "\x1b[31m"
	yellow = "\x1b[33m"
	bold   = "\x1b[1m"
	plain  = "\x1b[0m"
)

// colour prints the last row in a colour, if colours are used.
func (t *table) colour(c string) { t.colours[t.rows] = c }

// lines returns the lines of the table, the heads first.
func (t *table) lines() []string {
	if t.rows == 0 {
		return []string{t.empty}
	}
	_ = t.w.Flush() // can't fail: it writes into memory
	return strings.Split(strings.TrimSuffix(t.text.String(), "\n"), "\n")
}

// end prints the table.
func (t *table) end(w io.Writer) error {
	coloured := colours(w)
	for i, line := range t.lines() {
		line = strings.TrimRight(line, " ")
		if c := t.colours[i]; coloured && c != "" {
			line = c + line + plain
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// when prints a moment in UTC with seconds, and nothing for the zero one.
func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// moment is a moment for JSON: nil for the zero one.
func moment(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// lasting prints a duration with its two largest units.
func lasting(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s")
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// money prints an amount of a unit: dollars with the significant digits, others as whole numbers.
func money(q budget.Quantity) string {
	if q.Unit != budget.UnitUSD {
		return fmt.Sprintf("%d", q.N)
	}
	usd := float64(q.N) / 1e9
	switch {
	case q.N == 0:
		return "$0"
	case usd >= 1 || usd <= -1:
		return fmt.Sprintf("$%.2f", usd)
	case usd < 0.001 && usd > -0.001:
		return "$" + dollars(q.N)
	default:
		return fmt.Sprintf("$%.5f", usd)
	}
}

// colours reports whether output may have colours: it goes to a terminal, and no setting forbids them.
func colours(w io.Writer) bool {
	return isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

func isTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// scopeJSON is a scope for JSON, without empty fields.
type scopeJSON struct {
	Principal string            `json:"principal,omitempty"`
	Workflow  string            `json:"workflow,omitempty"`
	Model     string            `json:"model,omitempty"`
	Region    string            `json:"region,omitempty"`
	Profile   string            `json:"profile,omitempty"`
	Project   string            `json:"project,omitempty"`
	Tags      map[string]string `json:"tags,omitempty"`
}

// quantityJSON is an exact quantity for JSON: USD are in nano-USD.
type quantityJSON struct {
	N    int64  `json:"n"`
	Unit string `json:"unit"`
	Text string `json:"text"`
}

func jsonOf(q budget.Quantity) quantityJSON {
	unit := q.Unit.String()
	if q.Unit == budget.UnitUSD {
		unit = "nano-USD"
	}
	return quantityJSON{q.N, unit, q.String()}
}

// progress shows progress on a terminal for work of unknown length.
func progress(c *cli.Command, of string) *progressbar.ProgressBar {
	w := io.Discard
	if isTerminal(c.Root().ErrWriter) {
		w = c.Root().ErrWriter
	}
	return progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(of), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(250*time.Millisecond), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // its spinner runs in a goroutine that races with the end
}

// defaultColumns is the width if the output is not a terminal.
const defaultColumns = 100

// columns returns the width of the terminal, or the default if there is none.
func columns(stream any) int {
	if f, ok := stream.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return defaultColumns
}

// plural tells how many of a thing there are: "1 limit", "2 limits".
func plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}
