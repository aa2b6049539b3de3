package corpus

import (
	"fmt"
	"strings"
)

// uuid writes a random UUID.
func uuid(r source, b *strings.Builder) {
	x := r.bytes(16)
	fmt.Fprintf(b, "%x-%x-%x-%x-%x\n", x[:4], x[4:6], x[6:8], x[8:10], x[10:])
}

// csvLine writes a line of eight numbers with commas between them.
func csvLine(r source, b *strings.Builder) {
	for i := range 8 {
		if i > 0 {
			b.WriteByte(',')
		}
		switch r.IntN(4) {
		case 0:
			fmt.Fprintf(b, "%d", r.IntN(1_000_000))
		case 1:
			fmt.Fprintf(b, "%.2f", r.Float64()*1000)
		case 2:
			fmt.Fprintf(b, "-%.6f", r.Float64())
		default:
			fmt.Fprintf(b, "%d", r.IntN(10))
		}
	}
	b.WriteByte('\n')
}

// fixedWidth writes a line of seven numbers, right-aligned in columns of random width.
func fixedWidth(r source, b *strings.Builder) {
	for range 7 {
		fmt.Fprintf(b, "%*d", 6+r.IntN(8), r.IntN(100_000))
	}
	b.WriteByte('\n')
}

// spaceTable writes four words in columns that are filled up with spaces.
func spaceTable(r source, b *strings.Builder, words []string) {
	for range 4 {
		fmt.Fprintf(b, "%-*s", 8+r.IntN(30), r.from(words))
	}
	b.WriteByte(r.pick("\n\n\n|")) // three of four lines end here
}

// ruleLine writes a line of one repeated sign, as between the parts of a text.
func ruleLine(r source, b *strings.Builder) {
	unit := r.from([]string{"-", "=", "*", "_", ".", "#", "~", "+", "-=", "- ", "* ", "+-", "/", "\\", "<>", "|", "%", "^", "\u2500", "\u2550", "\u2022"})
	b.WriteString(strings.Repeat(unit, 1+r.IntN(120)))
	b.WriteByte(r.pick("\n\n ")) // a line break, twice as often as a space
}

// logLine writes a line of a program's log.
func logLine(r source, b *strings.Builder, words []string) {
	levels := []string{"INFO", "WARN", "ERROR", "DEBUG", "TRACE"}
	fmt.Fprintf(b, "2026-%02d-%02dT%02d:%02d:%02d.%06dZ %-5s [worker-%d] com.example.%s.%s: %s %s took %dms (id=%x, size=%d)\n",
		1+r.IntN(12), 1+r.IntN(28), r.IntN(24), r.IntN(60), r.IntN(60), r.IntN(1_000_000), r.from(levels), r.IntN(64),
		strings.ToLower(r.from(words)), r.from(words), r.from(words), r.from(words), r.IntN(10_000), r.bytes(6), r.IntN(1<<20))
}

// diffLine writes a line of a diff over the given lines, or the head of one of its hunks.
func diffLine(r source, b *strings.Builder, lines []string) {
	if r.IntN(8) == 0 {
		fmt.Fprintf(b, "@@ -%d,%d +%d,%d @@ %s\n", r.IntN(900), r.IntN(20), r.IntN(900), r.IntN(20), r.from(lines))
		return
	}
	fmt.Fprintf(b, "%c%s\n", r.pick("+-  "), r.from(lines))
}

// url writes an address with a query and a fragment.
func url(r source, b *strings.Builder, words []string) {
	fmt.Fprintf(b, "https://%s.example.%s/%s/%s-%s_%d?%s=%s&utm_source=%s&sig=%%2F%x%%3D#%s\n", strings.ToLower(r.from(words)),
		r.from([]string{"com", "org", "co.uk", "io", "dev"}), r.from(words), r.from(words), r.from(words), r.IntN(5000),
		r.from(words), r.from(words), r.from(words), r.bytes(8), r.from(words))
}

// jsonObject writes an object of six members, on one line if compact, else with a line for each.
func jsonObject(r source, b *strings.Builder, words []string, compact bool) {
	colon, newLine, end := ": ", "\n  ", "\n}\n"
	if compact {
		colon, newLine, end = ":", "", "}\n"
	}
	b.WriteByte('{')
	for i := range 6 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(newLine)
		fmt.Fprintf(b, "%q%s", strings.ToLower(r.from(words)), colon)
		switch r.IntN(6) {
		case 0:
			fmt.Fprintf(b, "%d", r.IntN(100_000))
		case 1:
			b.WriteString(r.from([]string{"true", "false", "null"}))
		case 2:
			fmt.Fprintf(b, "[%q,%q,%.3f]", r.from(words), r.from(words), r.Float64())
		case 3:
			fmt.Fprintf(b, "{%q%s%q}", r.from(words), colon, r.from(words))
		default:
			fmt.Fprintf(b, "%q", r.from(words)+" "+r.from(words))
		}
	}
	b.WriteString(end)
}

// minified writes JavaScript as a bundler does.
func minified(r source, b *strings.Builder) {
	name := func() string {
		return string(r.pick(lower+upper+"_$")) + strings.Repeat(string(r.pick(lower)), r.IntN(2))
	}
	shapes := []string{
		"function %s(%s,%s){return %s?%s(%s):void 0}", "var %s=%s[%s],%s=!0,%s=%s||{};", "%s.prototype.%s=function(%s){this.%s=%s,%s()};",
		"for(var %s=0,%s=%s.length;%s<%s;%s++)", "if(!%s&&%s!==%s)throw new Error(%s+\":\"+%s[%s]);", "%s=(%s,%s)=>{let{%s:%s}=%s;return null==",
	}
	shape := r.from(shapes)
	args := make([]any, strings.Count(shape, "%s"))
	for i := range args {
		args[i] = name()
	}
	fmt.Fprintf(b, shape, args...)
}

// codeBlock writes a few consecutive lines, so that the indentation is realistic.
func codeBlock(r source, b *strings.Builder, lines []string) {
	from := r.IntN(len(lines))
	for _, line := range lines[from:min(from+1+r.IntN(12), len(lines))] {
		b.WriteString(line)
	}
}
