package bedrocktest

import (
	"encoding/json"
	"net/http"
	"strings"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/shapes"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil. s.book.charge adds a call to the bill.

// checkPrices are the list prices of InvokeGuardrailChecks in nano-USD for a text unit: 0.07, 0.08 and 0.10 USD per 1,000 (AWS's price
// list, read 2026-08-09).
var checkPrices = map[string]int64{"contentFilter": 70_000, "promptAttack": 80_000, "sensitiveInformation": 100_000}

// checks serves InvokeGuardrailChecks. Options.Assess makes the findings: its Policies are the results of the checks as a JSON object. A check for
// which it has no result finds nothing.
func (s *Server) checks(w http.ResponseWriter, r *http.Request, seq int, body []byte) *refusal.Error {
	n, refused := jsonnode.Parse(body)
	if refused == nil {
		refused = shapes.Conforms(r, nil, n, "InvokeGuardrailChecksRequest")
	}
	if refused != nil {
		return refused
	}
	texts, units := checkedTexts(n)
	found := map[string]any{}
	if s.opts.Assess != nil {
		_ = json.Unmarshal([]byte(s.opts.Assess("CHECKS", strings.Join(texts, "\n")).Policies), &found) // if it is not an object, nothing was found
	}
	results, usage, cost := map[string]any{}, map[string]any{}, int64(0)
	for name, price := range checkPrices {
		if check := n.Get("checks").Get(name); check != nil {
			cost += units * price
			usage[name], results[name] = map[string]any{"textUnits": units}, found[name]
			if found[name] == nil {
				results[name] = unfound(name, check)
			}
		}
	}
	s.book.charge(Inference{
		Seq: seq, Time: s.opts.Clock(), Operation: "invoke-guardrail-checks", RequestID: w.Header().Get("x-amzn-requestid"),
		InvocationID: r.Header.Get("Amz-Sdk-Invocation-Id"), Reservation: s.reservation(r), GuardrailNanoUSD: cost,
	}, modeltable.Rates{}, 1000) // no tokens are billed, and there is no tier
	return answer(w, map[string]any{"results": results, "usage": usage})
}

// checkedTexts returns the texts of all messages, and their text units, each text by itself.
func checkedTexts(n *jsonnode.Node) (texts []string, units int64) {
	for _, m := range n.Get("messages").List() {
		for _, b := range m.Get("content").List() {
			text := b.Get("text").Text()
			texts = append(texts, text)
			units += modeltable.TextUnits(utf8.RuneCountInString(text))
		}
	}
	return texts, units
}

// unfound returns the results of a check that found nothing.
func unfound(name string, check *jsonnode.Node) map[string]any {
	// This check lists what it finds; the others give each category a score.
	if name == "sensitiveInformation" {
		return map[string]any{"results": []any{}, "truncated": false}
	}
	list := []any{}
	for _, c := range check.Get("categories").List() {
		list = append(list, map[string]any{"category": c.Get("category").Text(), "severityScore": 0})
	}
	return map[string]any{"results": list}
}
