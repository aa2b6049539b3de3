// Package output prints what the commands tell: tables, amounts and moments for people, and the forms of amounts, moments, scopes and kills in JSON.
// Text from elsewhere is printed so that no terminal obeys it.
package output

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/schollz/progressbar/v3"
	"github.com/urfave/cli/v3"
	"golang.org/x/term"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// Printable makes text from elsewhere safe for one line of a terminal: characters that would move the cursor, change colours or reorder
// letters are printed as escapes.
func Printable(s string) string {
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

// unprintable reports whether a character is not to be printed as it is; U+FFFD stands for bytes that are no UTF-8.
func unprintable(r rune) bool { return r == '\uFFFD' || !unicode.IsPrint(r) }

// PrintableLines makes text of several lines safe for a terminal, like Printable.
func PrintableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = Printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

// Table prints rows in columns. Text from elsewhere goes through Printable.
type Table struct {
	text    bytes.Buffer      // the lines, with their columns aligned
	w       *tabwriter.Writer // aligns the columns, and writes into text
	empty   string            // printed in place of a table without rows
	rows    int
	colours map[int]string // by number of the row, from 1 on
}

// NewTable begins a table. If it gets no rows, the text empty is printed instead.
func NewTable(empty string, heads ...string) *Table {
	t := &Table{empty: empty, colours: make(map[int]string)}
	t.w = tabwriter.NewWriter(&t.text, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t.w, strings.Join(heads, "\t"))
	return t
}

// maxCell is how many characters of a value are shown, except in the last column: --json has all of it.
const maxCell = 72

// Row adds a row. A long value is shortened, except in the last column, and an empty one is shown as a dash.
func (t *Table) Row(cells ...string) {
	t.rows++
	for i := range cells {
		cells[i] = Printable(cells[i])
		if i+1 < len(cells) {
			cells[i] = Clipped(cells[i], maxCell)
		}
		if cells[i] == "" {
			cells[i] = "-"
		}
	}
	fmt.Fprintln(t.w, strings.Join(cells, "\t"))
}

// The colours of rows, as escape sequences.
const (
	Red    = "\x1b[31m"
	Yellow = "\x1b[33m"
	Bold   = "\x1b[1m"
	Plain  = "\x1b[0m"
)

// Colour prints the row that was added last in a colour, if colours are used.
func (t *Table) Colour(c string) { t.colours[t.rows] = c }

// Lines returns the lines of the table, the heads first.
func (t *Table) Lines() []string {
	if t.rows == 0 {
		return []string{t.empty}
	}
	_ = t.w.Flush() // can't fail: it writes into memory
	return strings.Split(strings.TrimSuffix(t.text.String(), "\n"), "\n")
}

// End prints the table, or the text for an empty one. Rows have their colours only on a terminal.
func (t *Table) End(w io.Writer) error {
	coloured := Colours(w)
	for i, line := range t.Lines() {
		line = strings.TrimRight(line, " ")
		// Line 0 has the heads, so that line i is row i, counted from 1.
		if c := t.colours[i]; coloured && c != "" {
			line = c + line + Plain
		}
		if _, err := fmt.Fprintln(w, line); err != nil {
			return err
		}
	}
	return nil
}

// When prints a moment in UTC with seconds, and nothing for the zero one.
func When(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// Lasting prints a duration: from two days on in days and hours, from a minute on in hours and minutes, and else in seconds; nothing if it has
// passed.
func Lasting(d time.Duration) string {
	switch {
	case d <= 0:
		return ""
	case d < time.Minute:
		return d.Round(time.Second).String()
	case d < 48*time.Hour:
		return strings.TrimSuffix(d.Round(time.Minute).String(), "0s") // of 1h30m0s the seconds say nothing
	default:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	}
}

// Money prints an amount of a unit. Dollars have cents; below a dollar they have five decimals, and below a thousandth of a dollar all decimals.
// Other units are whole numbers.
func Money(q budget.Quantity) string {
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
		return "$" + Dollars(q.N)
	default:
		return fmt.Sprintf("$%.5f", usd)
	}
}

// Colours reports whether output may have colours: it goes to a terminal, and no setting forbids them.
func Colours(w io.Writer) bool {
	return IsTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"
}

// IsTerminal reports whether a stream is a terminal.
func IsTerminal(stream any) bool {
	f, ok := stream.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// Progress shows on a terminal how many things were done of a work of unknown length; of says what these are.
func Progress(c *cli.Command, of string) *progressbar.ProgressBar {
	w := io.Discard
	if IsTerminal(c.Root().ErrWriter) {
		w = c.Root().ErrWriter
	}
	return progressbar.NewOptions(-1, progressbar.OptionSetWriter(w), progressbar.OptionSetDescription(of), progressbar.OptionShowCount(),
		progressbar.OptionThrottle(250*time.Millisecond), progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // its spinner runs in a goroutine that races with the end
}

// DefaultColumns is the width if the output is not a terminal.
const DefaultColumns = 100

// Columns returns the width of the terminal, or the default if there is none.
func Columns(stream any) int {
	if f, ok := stream.(*os.File); ok {
		if width, _, err := term.GetSize(int(f.Fd())); err == nil && width > 0 {
			return width
		}
	}
	return DefaultColumns
}

// Plural tells how many of a thing there are: "1 limit", "2 limits".
func Plural(n int, one, many string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", n, many)
}

// Dollars prints nano-USD exactly as dollars, without trailing zeros.
func Dollars(nano int64) string { return strings.TrimSuffix(price.Amount(nano).String(), " USD") }

// Clipped shortens a name to the given number of characters, of which the last one is then an ellipsis.
func Clipped(s string, runes int) string {
	if utf8.RuneCountInString(s) <= runes {
		return s
	}
	r := []rune(s)
	return string(r[:runes-1]) + "…"
}

// UnitText prints a unit behind an amount: nothing for dollars, which have their sign, and for a unit that is not known.
func UnitText(u budget.Unit) string {
	if u == budget.UnitUSD || !u.Valid() {
		return ""
	}
	return " " + u.String()
}
