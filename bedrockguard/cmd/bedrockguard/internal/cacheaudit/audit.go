package cacheaudit

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// A log has records, one for each call. The audit gives each call to a cache.Tracker as a guard would have done, which returns findings: reasons
// why less was read from the prompt cache than could have been. Sums and findings are kept by group, which is a workflow or principal and a
// model.

// audit reads calls in the order of the logs. It keeps sums, hashes and sizes, but no text.
type audit struct {
	by      string              // the key of requestMetadata that names the workflow
	bodies  bodies              // request bodies that are not in the log itself
	tracker *cache.Tracker      // compares each request with those before it
	prompt  prompt.Prompt       // the request of the last call, whose memory the next one uses again
	facts   map[[2]string]facts // by model id and region
	groups  map[groupKey]*group

	records    int // records that were read
	badLines   int // lines without a record
	longLines  int // lines that were too long
	cutFiles   int // files that are cut off
	emptyFiles int // files without a record
}

// facts are what the catalog knows of a model in a region.
type facts struct {
	price  price.Price
	model  cache.Model
	priced bool // whether price is known
}

// groupKey is by what the figures are split: the workflow or principal (who), and the model.
type groupKey struct{ who, model string }

// group is the sum of the calls of one workflow or principal to one model.
type group struct {
	groupKey
	calls, failed int
	unread        int // calls whose body is not available, or in an unknown dialect
	usage         price.Usage
	spent         price.Amount
	unpriced      bool   // some calls have no price, and are not in spent
	saving        saving // how much less ideal caching would have cost
	findings      map[cache.Rule]*found
}

// found is one kind of finding in a group, with all calls that had it: how many, what it cost them together, and the finding in the last of them.
type found struct {
	times   int
	nanoUSD int64
	last    cache.Finding
	call    int // the number of the last call that had it
}

// maxGroups bounds the memory: logs may have a new workflow for each call.
const maxGroups = 10_000

// newAudit returns an audit that has read nothing. by is the key of requestMetadata that names the workflow.
func newAudit(by string, b bodies) *audit {
	const noFloor = -1 // a floor stops workflows that read too little from the cache, and one in a log can't be stopped
	return &audit{
		by: by, bodies: b, tracker: cache.NewTracker(cache.Policy{Mode: cache.Report, Floor: noFloor}),
		facts: make(map[[2]string]facts), groups: make(map[groupKey]*group),
	}
}

// file reads one log; in is standard input, and progress counts the bytes that are read. If the log has no record, and the user has named this
// file, it returns errNoRecord.
func (a *audit) file(path string, in io.Reader, named bool, progress io.Writer) error {
	before := a.records
	if path != standardInput {
		f, err := os.Open(path)
		if err != nil {
			return err
		}
		defer f.Close()
		in = f
	}
	a.read(io.TeeReader(in, progress))
	switch {
	case a.records > before:
	case named:
		return fmt.Errorf("%s: %w", path, errNoRecord)
	default:
		a.emptyFiles++
	}
	return nil
}

// errNoRecord says that a file which the user has named is not such a log.
var errNoRecord = errors.New("no record of Bedrock's model invocation log in it")

// read reads a log; of one that is cut off, what comes before. The splitter finds the records in the lines and passes them to add. If the first line
// is the head of a table that CloudWatch has exported (newTable returns nil if it is not), each further line is a row with the record in one of its
// cells.
func (a *audit) read(in io.Reader) {
	log, err := uncompressed(in)
	if err != nil {
		a.cutFiles++
		return
	}
	objects := splitter{limit: maxLine, found: func(object []byte) bool { return parseObject(object, a.add) }}
	var export *table // nil if the log is none
	first := true
	tooLong, err := eachLine(log, maxLine, func(line []byte) {
		if first {
			first = false
			export = newTable(line)
			if export != nil {
				return // the head has no record
			}
		}
		if export != nil {
			line = export.message(line)
		}
		objects.line(line)
	})
	objects.end()
	a.badLines += objects.bad
	a.longLines += tooLong + objects.tooLong
	if err != nil {
		a.cutFiles++
	}
}

// add adds one call to its group. A failed call used nothing. A call whose body can't be read is charged, but has no findings.
func (a *audit) add(r *record) {
	a.records++
	f := a.factsOf(r)
	g := a.group(r, f)
	g.calls++
	if r.ErrorCode != "" {
		g.failed++
		return
	}
	body := []byte(r.Input.Body)
	if len(body) == 0 {
		body = a.bodies.load(r.Input.BodyPath)
	}
	if err := prompt.ParseBody(&a.prompt, f.model.Provider, body); err != nil {
		g.unread++
		// Without the request it is not known for how long tokens were written to the cache: five minutes, unless the response says otherwise.
		const askedHour, avoidable = false, 0
		g.charge(f, r.usage(askedHour), r.Output.Tokens, avoidable)
		return
	}
	a.check(r, f, g)
}

// check gives a call to the tracker, as a guard would have done before it, while it ran and after it, and adds what the tracker says to the call's
// group. The call's request is in a.prompt.
func (a *audit) check(r *record, f facts, g *group) {
	call := cache.Call{
		Workflow: r.AccountID + "/" + g.who, Model: f.model, At: r.at,
		Place: r.Region + "/" + r.ModelID, // where the prompt cache is: what was cached in one place can't be read in another
	}
	turn := a.tracker.Check(call, &a.prompt)
	used := r.usage(asksHour(&a.prompt))
	// The log does not say when the response began: it counts as begun at once.
	turn.Send()
	turn.Begin()
	g.note(turn.Findings)
	g.note(turn.End(used, r.at))
	g.charge(f, used, r.Output.Tokens, turn.Avoidable())
}

// factsOf returns what the catalog knows of a record's model in its region, and remembers that for the next record, of as many models as maxGroups
// allows. Of a model that the catalog does not know, only the id is known.
func (a *audit) factsOf(r *record) facts {
	key := [2]string{r.ModelID, r.Region}
	f, remembered := a.facts[key]
	if remembered {
		return f
	}
	list, model, err := bedrockguard.ModelFacts(r.ModelID, r.Region)
	f = facts{price: list, model: model, priced: err == nil}
	if !f.priced {
		f.model.ID = r.ModelID
	}
	if len(a.facts) < maxGroups {
		a.facts[key] = f
	}
	return f
}

// group returns the group of a record, and makes it if it is new. Once there are maxGroups, all others are one group.
func (a *audit) group(r *record, f facts) *group {
	who, _ := r.RequestMetadata[a.by].(string)
	if who == "" {
		who = r.principal()
	}
	key := groupKey{printable(who), printable(f.model.ID)}
	if g := a.groups[key]; g != nil {
		return g
	}
	if len(a.groups) >= maxGroups {
		key = groupKey{"all others", ""} // the models are not told apart either
	}
	g := a.groups[key]
	if g == nil {
		g = &group{groupKey: key, findings: make(map[cache.Rule]*found)}
		a.groups[key] = g
	}
	return g
}

// printable makes a name from a log safe for a terminal, and shortens it to maxName characters.
func printable(s string) string {
	if r := []rune(s); len(r) > maxName {
		s = string(r[:maxName-1]) + "…"
	}
	return strings.Map(func(c rune) rune {
		if !unicode.IsPrint(c) {
			return '?'
		}
		return c
	}, s)
}

// maxName is how many characters of a name are shown: two names, of a group's workflow and model, stand beside its figures.
const maxName = 48

// asksHour reports whether every cache point asks for a lifetime of an hour.
func asksHour(p *prompt.Prompt) bool {
	for _, pt := range p.Points {
		if pt.TTL != prompt.OneHour {
			return false
		}
	}
	return len(p.Points) > 0
}

// note adds findings of the group's last call. A call counts once for each rule: of several findings of the same rule, only the one with the
// highest cost counts.
func (g *group) note(list []cache.Finding) {
	for _, f := range list {
		s := g.findings[f.Rule]
		if s == nil {
			s = new(found)
			g.findings[f.Rule] = s
		}
		repeated := s.call == g.calls // the call has had a finding of this rule already, which is s.last
		switch {
		case !repeated:
			s.times++
			s.call = g.calls
			s.nanoUSD += f.NanoUSD
			s.last = f
		case f.NanoUSD > s.last.NanoUSD:
			s.nanoUSD += f.NanoUSD - s.last.NanoUSD // in place of the one before
			s.last = f
		}
	}
}

// charge adds a call's usage, its cost, and what ideal caching would have saved. output are the output tokens; avoidable says how many input
// tokens could have been read from the cache.
func (g *group) charge(f facts, u cache.Usage, output, avoidable int64) {
	used := price.Usage{
		// The input tokens of u are those beside the cache; those of a price.Usage are all.
		InputTokens:          u.InputTokens + u.CacheReadTokens + u.CacheWrite5mTokens + u.CacheWrite1hTokens,
		CacheReadInputTokens: u.CacheReadTokens, CacheWrite5mInputTokens: u.CacheWrite5mTokens, CacheWrite1hInputTokens: u.CacheWrite1hTokens,
		OutputTokens: output,
	}
	sum := &g.usage
	sum.InputTokens += used.InputTokens
	sum.CacheReadInputTokens += used.CacheReadInputTokens
	sum.CacheWrite5mInputTokens += used.CacheWrite5mInputTokens
	sum.CacheWrite1hInputTokens += used.CacheWrite1hInputTokens
	sum.OutputTokens += used.OutputTokens
	// Without a known price the cost is not used, and the call is only marked.
	cost, err := f.price.Cost(used, price.TierStandard)
	total, overflow := g.spent.Add(cost)
	if !f.priced || err != nil || overflow != nil {
		g.unpriced = true
		return
	}
	g.spent = total
	g.saving.add(f.price.Rates, f.model, used, avoidable)
}
