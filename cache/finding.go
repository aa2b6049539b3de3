package cache

import (
	"fmt"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/cache/internal/estimate"
)

// Finding is one reason why a prompt will not cache, or did not. It never contains prompt text.
type Finding struct {
	Rule   Rule
	Where  string // the place in the request: "system[0]", "messages[3].content[1]"; empty for the whole request
	Detail string // what is wrong there, with the numbers
	// Tokens are the input tokens that each call pays too much for.
	Tokens int64
	// NanoUSD is the avoidable cost of each call. Zero without a price.
	NanoUSD int64
	// NanoUSDPerDay is the avoidable cost at the workflow's present rate of calls. Zero if the rate is not known yet.
	NanoUSDPerDay int64
	// Suspected says that the request alone does not prove the finding. Such a finding never refuses a call, unless the policy names its
	// rule.
	Suspected bool
	// Repeated is how many calls of the workflow in a row, including this one, had this finding; always 1 from Lint.
	Repeated int
}

// String prints the finding in one line.
func (f Finding) String() string {
	var b strings.Builder
	b.WriteString(string(f.Rule))
	info, _ := f.Rule.Info()
	if info.Cause != "" {
		b.WriteString(" (" + info.Cause + ")")
	}
	if f.Where != "" {
		b.WriteString(" at " + f.Where)
	}
	b.WriteString(": " + f.Detail)
	if m := f.money(); m != "" {
		b.WriteString("; costs " + m)
	}
	if info.Advice != "" {
		b.WriteString(": " + info.Advice)
	}
	return b.String()
}

// money prints the cost per call and per day, or nothing.
func (f Finding) money() string {
	if f.NanoUSD <= 0 {
		return ""
	}
	s := estimate.Dollars(f.NanoUSD) + " a call"
	if f.NanoUSDPerDay > 0 {
		s += ", " + estimate.Dollars(f.NanoUSDPerDay) + " a day at the present rate"
	}
	return s
}

// Render prints the finding for a terminal of the given width in columns: what, where, why, what it costs and what to change, in a paragraph
// each. The width is at least 40.
func (f Finding) Render(width int) string {
	info, _ := f.Rule.Info()
	head := string(f.Rule)
	if info.Cause != "" {
		head += " (" + info.Cause + ")"
	}
	if info.Rejected {
		head += ", rejected by the service"
	}
	var b strings.Builder
	b.WriteString(head + "\n")
	paragraph := func(label, text string) {
		if text != "" {
			wrap(&b, "  "+label, text, max(width, 40))
		}
	}
	paragraph("where ", f.Where)
	paragraph("why   ", f.Detail)
	paragraph("costs ", f.money())
	paragraph("change", info.Advice)
	return b.String()
}

// wrap writes a paragraph of at most width columns: the label stands in the first ten, and the text beside it, in all lines.
func wrap(b *strings.Builder, label, text string, width int) {
	const indent = 10
	fmt.Fprintf(b, "%-*s", indent, label)
	column := indent
	for i, word := range strings.Fields(text) {
		if i > 0 && column+1+len(word) > width {
			b.WriteString("\n" + strings.Repeat(" ", indent))
			column = indent
		} else if i > 0 {
			b.WriteByte(' ')
			column++
		}
		b.WriteString(word)
		column += len(word)
	}
	b.WriteByte('\n')
}

// ttlName prints a lifetime as requests have it.
func ttlName(d time.Duration) string {
	switch {
	case d <= 0:
		return "an unknown lifetime"
	case d%time.Hour == 0:
		return fmt.Sprintf("%dh", d/time.Hour)
	default:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
}
