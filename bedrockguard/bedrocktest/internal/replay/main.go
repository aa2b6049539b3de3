// Replay compares the simulator with recorded calls of the real service, and prints for how many of them the two agree. It reads JSON lines,
// as internal/tools/recordings/calls.py writes them; `make recordings` does both.
//
// Each call is sent to a simulator with the recorded answer as its script, at the time and in the region of the recording. The output has
// figures and names of files, and nothing of their content.
package main

import (
	"bufio"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"slices"
)

// main reads the calls from standard input, and prints the report to standard output.
func main() {
	differences := flag.Bool("differences", false, "name each call that differs")
	flag.Parse()
	calls, err := read(os.Stdin)
	if err == nil {
		err = run(calls, *differences, os.Stdout)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "replay:", err)
		os.Exit(1)
	}
}

// maxLine is the longest line that is read: requests with media in them.
const maxLine = 64 << 20

// read reads the calls to Bedrock, one JSON object a line.
func read(r io.Reader) ([]*call, error) {
	var all []*call
	lines := bufio.NewScanner(r)
	lines.Buffer(nil, maxLine)
	for lines.Scan() {
		c := new(call)
		if err := json.Unmarshal(lines.Bytes(), c); err != nil {
			return nil, err
		}
		if c.bedrock() {
			all = append(all, c)
		}
	}
	return all, lines.Err()
}

// tally counts how often something agreed.
type tally struct{ agreed, of int }

// add counts one more comparison, and whether it agreed.
func (t *tally) add(agreed bool) {
	t.of++
	if agreed {
		t.agreed++
	}
}

// String returns how many agreed, and their share.
func (t *tally) String() string {
	if t.of == 0 {
		return "0 of 0"
	}
	return fmt.Sprintf("%d of %d (%.1f %%)", t.agreed, t.of, 100*float64(t.agreed)/float64(t.of))
}

// report collects what print prints at the end. Each tally counts for how many calls the simulator agreed with the recording in one respect.
type report struct {
	out            io.Writer
	differences    bool
	excluded       map[string]int       // calls that can't be compared, by the reason
	all, living    tally                // the status: of all calls, and of those to models that can still be called
	types          tally                // the type of an error
	events         tally                // the order of a stream's events
	shapes, others tally                // which fields the answer has: in Converse, and in all other operations
	headers        tally                // the names of the service's own headers
	usage          tally                // the names of the token counts
	byFamily       map[string]*tally    // the status, by family
	ratios         map[string][]float64 // counted to recorded input tokens, by kind
	seen           map[string]bool      // requests whose tokens are counted already
	fields         map[string]int       // usage fields that only one of the two has
}

// differs prints a difference between the simulator and a recorded call, if that is asked for.
func (r *report) differs(c *call, format string, args ...any) {
	if r.differences {
		fmt.Fprintf(r.out, "%s %s #%d %s: %s\n", c.Repository, c.File, c.index, c.model(), fmt.Sprintf(format, args...))
	}
}

// run replays all calls, and prints the report.
func run(calls []*call, differences bool, out io.Writer) error {
	r := &report{
		out: out, differences: differences, excluded: map[string]int{}, byFamily: map[string]*tally{}, ratios: map[string][]float64{},
		seen: map[string]bool{}, fields: map[string]int{},
	}
	for _, file := range byFile(calls) {
		if err := r.replay(file); err != nil {
			return err
		}
	}
	r.print(len(calls))
	return nil
}

// byFile splits the calls by recording. The calls of one recording have a common prompt cache.
func byFile(calls []*call) (files [][]*call) {
	for i, c := range calls {
		if i == 0 || c.File != calls[i-1].File || c.Repository != calls[i-1].Repository {
			files = append(files, nil)
		}
		last := len(files) - 1
		c.index = len(files[last])
		files[last] = append(files[last], c)
	}
	return files
}

// print prints how often the simulator agreed with the recordings, in each respect, and how its counts of input tokens compare with those that
// the service billed.
func (r *report) print(calls int) {
	r.printf("%d calls", calls)
	for _, reason := range sorted(r.excluded) {
		r.printf("  not comparable: %d, %s", r.excluded[reason], reason)
	}
	r.printf("status, all models: %s", &r.all)
	r.printf("status, living models: %s", &r.living)
	for _, family := range sorted(r.byFamily) {
		r.printf("  %s: %s", family, r.byFamily[family])
	}
	r.printf("error type: %s", &r.types)
	r.printf("order of events: %s", &r.events)
	r.printf("shape of Converse's answers, scripted: %s", &r.shapes)
	r.printf("shape of all other answers, scripted: %s", &r.others)
	r.printf("names of the service's own headers: %s", &r.headers)
	r.printf("usage fields: %s", &r.usage)
	for _, f := range sorted(r.fields) {
		r.printf("  %s: %d", f, r.fields[f])
	}
	r.printf("counted input to AWS's, distinct calls:")
	var all []float64
	for _, kind := range sorted(r.ratios) {
		all = append(all, r.ratios[kind]...)
		r.printRatios(kind, r.ratios[kind])
	}
	if len(all) > 0 {
		r.printRatios("all", all)
	}
}

// printf prints one line of the report.
func (r *report) printf(format string, args ...any) { fmt.Fprintf(r.out, format+"\n", args...) }

// printRatios prints how many of the ratios of a kind of calls are too small, and how they are distributed. It sorts them.
func (r *report) printRatios(kind string, ratios []float64) {
	slices.Sort(ratios)
	below := 0
	for _, ratio := range ratios {
		if ratio < 1 {
			below++
		}
	}
	n := len(ratios)
	r.printf("  %-24s n %4d  below 1.0: %3d (%4.1f %%)  least %.2f  median %.2f  95 %% %.2f  most %.2f", kind, n, below,
		100*float64(below)/float64(n), ratios[0], ratios[n/2], ratios[n*95/100], ratios[n-1])
}

// sorted returns the keys of a map in order.
func sorted[K cmp.Ordered, V any](m map[K]V) []K {
	keys := make([]K, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
