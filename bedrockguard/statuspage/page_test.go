package statuspage_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// What the page says is what the ledger holds, to the nano-USD.
func TestFiguresAreTheLedgers(t *testing.T) {
	h := newHouse(t, policy, nil)
	total := price.Amount(0)
	for i := range 37 {
		cost := price.Amount(123_456_789 + 1_000_003*i)
		total += cost
		h.settle(t, budget.Scope{Workflow: fmt.Sprintf("flow-%d", i%3), Model: "anthropic.claude-sonnet-4-6", Region: "us-east-1"},
			price.Usage{InputTokens: int64(1000 + i), CacheReadInputTokens: 400, OutputTokens: 77}, cost)
	}
	h.pending(t, budget.Scope{Workflow: "flow-1"}, 987_654_321)
	body := h.get(t, "/")
	shown := accountsOn(body)
	for _, name := range []string{"", "flow-0", "flow-1", "flow-2"} {
		balances, err := h.ledger.Balances(t.Context(), budget.Scope{Workflow: name})
		require.NoError(t, err)
		for _, b := range balances {
			head := "flow workflow=" + name
			if b.Limit == "month" {
				head = "month all calls"
			} else if name == "" {
				continue
			}
			require.Equal(t, map[string]string{"Spent": b.Settled.String(), "Pending": b.Pending.String(), "Left": b.Left().String(), "Of": b.Max.String()}, shown[head], head)
		}
	}
	require.Len(t, shown, 4, slices.Collect(maps.Keys(shown)))
	require.Equal(t, 3, strings.Count(body, `<p><data value="`+total.String()+`"`), "each chart of money adds up to what was spent")
	for row, err := range h.ledger.Usage(t.Context(), budget.UsageQuery{By: budget.PerWorkflow}) {
		require.NoError(t, err)
		require.Contains(t, body, ">"+price.Amount(row.Charge[budget.UnitUSD]).String()+"</td>", row.Scope)
	}
	require.Contains(t, textOf(body), "Calls in flight 1 $0.9877 set aside")
}

// A ledger of which no policy is known is shown as it was booked; the store's own policy counts as soon as there is one.
func TestPageOverAStoreAlone(t *testing.T) {
	h := newHouse(t, policy, nil)
	h.settle(t, budget.Scope{Workflow: "nightly"}, price.Usage{InputTokens: 5}, 1_500_000_001)
	operator, err := budget.Operate(t.Context(), h.store)
	require.NoError(t, err)
	set := func(o *statuspage.Options) { o.Ledger, o.Operator, o.Secret = nil, operator, secret }
	h.serve(t, set)
	body := h.get(t, "/")
	require.Contains(t, body, "No policy is known")
	require.Equal(t, map[string]string{"Spent": "1500000001", "Pending": "0"}, accountsOn(body)["flow workflow=nightly"])
	var text strings.Builder
	require.NoError(t, budget.WritePolicy(&text, policy))
	require.NoError(t, operator.SetPolicyDocument(t.Context(), []byte(text.String()), 0, "the first one"))
	h.serve(t, set)
	body = h.get(t, "/")
	require.Equal(t, map[string]string{"Spent": "1.500000001 USD", "Pending": "0 USD", "Left": "8.499999999 USD", "Of": "10 USD"}, accountsOn(body)["flow workflow=nightly"])
	require.Contains(t, body, "the first one")
	h.login(t, "ada")
	h.post(t, "/kill", url.Values{"workflow": {"nightly"}, "reason": {"loop"}})
	kills, err := operator.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.NotContains(t, h.get(t, "/"), `href="override`)
	resp, _ := h.do(t, http.MethodGet, "/override", nil, nil)
	require.Equal(t, http.StatusNotFound, resp.StatusCode)
}

// deafStore answers nothing once it is told to.
type deafStore struct {
	budget.Store
	deaf bool
}

func (s *deafStore) Kills(ctx context.Context) ([]budget.Kill, error) {
	if s.deaf {
		return nil, errors.New("connection refused by 10.1.2.3")
	}
	return s.Store.Kills(ctx)
}

// A store that does not answer is no zero: the page says so, keeps what it knew, and tells strangers no address.
func TestStoreThatDoesNotAnswer(t *testing.T) {
	store := new(deafStore)
	h := newHouse(t, policy, nil)
	store.Store, store.deaf = h.store, true
	ledger, err := budget.Open(t.Context(), store, policy)
	require.NoError(t, err)
	h.serve(t, func(o *statuspage.Options) { o.Ledger, o.Secret = ledger, secret })
	resp, body := h.do(t, http.MethodGet, "/", nil, nil)
	require.Equal(t, http.StatusServiceUnavailable, resp.StatusCode)
	require.Contains(t, body, "does not answer")
	require.NotContains(t, body, "$0")
	require.NotContains(t, body, "10.1.2.3")
	h.login(t, "ada")
	_, body = h.do(t, http.MethodGet, "/", nil, nil)
	require.Contains(t, body, "10.1.2.3")
}

func TestOptionsThatMakeNoSense(t *testing.T) {
	h := newHouse(t, policy, nil)
	operator, err := budget.Operate(t.Context(), h.store)
	require.NoError(t, err)
	for _, o := range []statuspage.Options{
		{}, {Ledger: h.ledger, Operator: operator}, {Ledger: h.ledger, Secret: "short"}, {Ledger: h.ledger, LoginToRead: true}, {Ledger: h.ledger, MaxRows: -1},
	} {
		_, err := statuspage.New(o)
		require.ErrorContains(t, err, "statuspage: ")
	}
}

// What callers call themselves never becomes markup, and what has no shape is shown by its number.
func TestOddNamesAreHarmless(t *testing.T) {
	h := newHouse(t, policy, writable)
	odd := make([]byte, 0, driver.MaxScopeValue)
	for i := range driver.MaxScopeValue {
		odd = append(odd, byte(i))
	}
	names := []string{"<script>alert(1)</script>", `"><img src=x onerror=alert(1)>`, "a\u202eb\x1b[2Jc", string(odd), "'; background: url(//x)"}
	for _, name := range names {
		h.settle(t, budget.Scope{Workflow: name, Model: name, Principal: name, Tags: map[string]string{name: name}}, price.Usage{InputTokens: 9}, 7)
		h.pending(t, budget.Scope{Workflow: name, Model: name}, 3)
		_, err := h.ledger.Kill(budget.WithOperator(t.Context(), name), budget.Scope{Workflow: name}, name)
		require.NoError(t, err)
		_, err = h.ledger.Override(budget.WithOperator(t.Context(), name), "flow", budget.Scope{Workflow: name}, budget.USD(20), tomorrow())
		require.NoError(t, err)
	}
	h.login(t, names[0])
	pages := []string{"/", "/kill", "/kill?workflow=" + url.QueryEscape(names[0]) + "&tag=" + url.QueryEscape(names[1]+"="+names[0])}
	body := h.get(t, "/")
	for _, link := range linksOn(body, "kill?account=", "override?account=", "revive?flag=", "kill?call=") {
		pages = append(pages, "/"+link)
	}
	require.Greater(t, len(pages), 15)
	for _, path := range pages {
		body := h.get(t, path)
		require.True(t, utf8.ValidString(body), path)
		require.NotContains(t, body, "<script>", path)
		require.NotContains(t, body, "<img", path)
		require.NotContains(t, body, "onerror=alert(1)>", path)
		require.NotContains(t, body, "style=", path)
		require.NotContains(t, body, "\u202e", path)
		require.Equal(t, -1, strings.IndexFunc(body, func(r rune) bool { return r < ' ' && r != '\n' }), "%s: a control character", path)
		require.Equal(t, strings.Count(body, "<script"), strings.Count(body, `<script src="page.js" defer></script>`), path)
	}
}

// Text of 512 odd bytes survives the way through a browser's form.
func TestOddNamesAreKilledByteByByte(t *testing.T) {
	h := newHouse(t, policy, writable)
	odd := "\x00\xff\r\n\tz\u2028<&\"'" + strings.Repeat("\xfe", 400)
	h.settle(t, budget.Scope{Workflow: odd}, price.Usage{InputTokens: 9}, 7)
	h.login(t, "ada")
	links := linksOn(h.get(t, "/"), "kill?account=")
	require.Len(t, links, 1)
	body := h.get(t, "/"+links[0])
	_, rest, ok := strings.Cut(body, `name="target" value="`)
	require.True(t, ok)
	token, _, _ := strings.Cut(rest, `"`)
	h.post(t, "/kill", url.Values{"target": {token}, "reason": {"loop"}})
	kills, err := h.ledger.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.Equal(t, budget.Scope{Workflow: odd}, kills[0].Scope)
	links = linksOn(h.get(t, "/"), "revive?flag=")
	require.Len(t, links, 1)
	h.post(t, "/revive", url.Values{"flag": {strings.TrimPrefix(links[0], "revive?flag=")}})
	kills, err = h.ledger.Kills(t.Context())
	require.NoError(t, err)
	require.Empty(t, kills)
}
