package cacheaudit

import (
	"cmp"
	"encoding/json"
	"io"
	"maps"
	"slices"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// The forms of the report as JSON. Money is in nano-USD. A group is the calls of one workflow or principal to one model.
type (
	reportJSON struct {
		Groups     []groupJSON `json:"groups"`
		BadLines   int         `json:"bad_lines,omitempty"`   // lines that hold no record
		LongLines  int         `json:"long_lines,omitempty"`  // lines that were too long and left out
		EmptyFiles int         `json:"empty_files,omitempty"` // files without a record
		CutFiles   int         `json:"cut_files,omitempty"`   // files that are cut off or damaged
	}
	groupJSON struct {
		Workflow     string       `json:"workflow"` // or principal
		Model        string       `json:"model"`
		Calls        int          `json:"calls"`
		Failed       int          `json:"failed,omitempty"`
		Unread       int          `json:"not_examined,omitempty"` // calls whose body is not at hand or not understood
		InputTokens  int64        `json:"input_tokens"`
		CacheRead    int64        `json:"cache_read_input_tokens"`
		OutputTokens int64        `json:"output_tokens"`
		Spent        price.Amount `json:"spent_nano_usd"`
		CouldSave    price.Amount `json:"could_be_saved_nano_usd"`
		Unpriced     bool         `json:"unpriced,omitempty"` // some calls have no price, and are not in Spent
		Findings     []foundJSON  `json:"findings"`
	}
	foundJSON struct {
		Rule    string `json:"rule"`
		Calls   int    `json:"calls"`
		NanoUSD int64  `json:"nano_usd"`
		Where   string `json:"where,omitempty"` // in the last of the calls
		Detail  string `json:"detail"`
	}
)

// json prints the whole report as JSON. The options say how text is printed, so that they are not used.
func (a *audit) json(w io.Writer, _ Options) error {
	result := reportJSON{Groups: []groupJSON{}, BadLines: a.badLines, LongLines: a.longLines, EmptyFiles: a.emptyFiles, CutFiles: a.cutFiles}
	for _, g := range a.sorted() {
		result.Groups = append(result.Groups, jsonGroup(g))
	}
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(result)
}

// jsonGroup converts a group for JSON, its most expensive findings first.
func jsonGroup(g *group) groupJSON {
	one := groupJSON{
		Workflow: g.who, Model: g.model, Calls: g.calls, Failed: g.failed, Unread: g.unread,
		InputTokens: g.usage.InputTokens, CacheRead: g.usage.CacheReadInputTokens, OutputTokens: g.usage.OutputTokens,
		Spent: g.spent, CouldSave: g.saving.amount(), Unpriced: g.unpriced, Findings: []foundJSON{},
	}
	for _, f := range slices.SortedFunc(maps.Values(g.findings), func(x, y *found) int {
		return cmp.Or(cmp.Compare(y.nanoUSD, x.nanoUSD), cmp.Compare(x.last.Rule, y.last.Rule))
	}) {
		one.Findings = append(one.Findings, foundJSON{Rule: string(f.last.Rule), Calls: f.times, NanoUSD: f.nanoUSD, Where: f.last.Where, Detail: f.last.Detail})
	}
	return one
}
