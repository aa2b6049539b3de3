package statuspage_test

import (
	"context"
	"html"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

const secret = "correct horse battery staple"

// policy has a limit for all calls and one for each workflow.
var policy = budget.Policy{Limits: []budget.Limit{
	{Name: "month", Max: budget.USD(200), Window: budget.Monthly},
	{Name: "flow", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
}}

// house is a page on a loopback server, with a browser that keeps cookies.
type house struct {
	store   budget.Store
	ledger  *budget.Ledger
	page    *statuspage.Page
	server  *httptest.Server
	browser *http.Client
}

func newHouse(t testing.TB, p budget.Policy, set func(*statuspage.Options)) *house {
	t.Helper()
	h := &house{store: memstore.New(memstore.Options{})}
	var err error
	h.ledger, err = budget.Open(context.Background(), h.store, p)
	require.NoError(t, err)
	h.serve(t, set)
	return h
}

func (h *house) serve(t testing.TB, set func(*statuspage.Options)) {
	t.Helper()
	o := statuspage.Options{Ledger: h.ledger}
	if set != nil {
		set(&o)
	}
	var err error
	h.page, err = statuspage.New(o)
	require.NoError(t, err)
	h.server = httptest.NewServer(h.page)
	t.Cleanup(h.server.Close)
	jar, err := cookiejar.New(nil)
	require.NoError(t, err)
	h.browser = &http.Client{Jar: jar, Transport: new(http.Transport), CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	t.Cleanup(h.browser.CloseIdleConnections)
}

func writable(o *statuspage.Options) { o.Secret = secret }

// do sends a request, as changed, and returns the answer with its body.
func (h *house) do(t testing.TB, method, path string, form url.Values, change func(*http.Request)) (*http.Response, string) {
	t.Helper()
	r, err := http.NewRequest(method, h.server.URL+path, strings.NewReader(form.Encode()))
	require.NoError(t, err)
	if method == http.MethodPost {
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		r.Header.Set("Origin", h.server.URL)
		r.Header.Set("Sec-Fetch-Site", "same-origin")
	}
	if change != nil {
		change(r)
	}
	resp, err := h.browser.Do(r)
	require.NoError(t, err)
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.NoError(t, resp.Body.Close())
	return resp, string(body)
}

// get returns the text of a page that has to be there.
func (h *house) get(t testing.TB, path string) string {
	t.Helper()
	resp, body := h.do(t, http.MethodGet, path, nil, nil)
	require.Equal(t, http.StatusOK, resp.StatusCode, body)
	return body
}

// post sends a form that has to be taken.
func (h *house) post(t testing.TB, path string, form url.Values) {
	t.Helper()
	resp, body := h.do(t, http.MethodPost, path, form, nil)
	require.Equal(t, http.StatusSeeOther, resp.StatusCode, body)
}

// login logs the browser in.
func (h *house) login(t testing.TB, name string) {
	t.Helper()
	h.post(t, "/login", url.Values{"name": {name}, "secret": {secret}})
}

// settle books a call that cost an amount.
func (h *house) settle(t testing.TB, s budget.Scope, usage price.Usage, cost price.Amount) {
	t.Helper()
	charge := driver.ChargeOf(usage, cost)
	receipt, err := h.ledger.Reserve(context.Background(), budget.Request{Scope: s, Operation: "Converse", Worst: charge})
	require.NoError(t, err)
	_, err = h.ledger.Settle(context.Background(), receipt, charge, false)
	require.NoError(t, err)
}

// pending books a call that has not ended.
func (h *house) pending(t testing.TB, s budget.Scope, worst price.Amount) *budget.Receipt {
	t.Helper()
	receipt, err := h.ledger.Reserve(context.Background(), budget.Request{Scope: s, Operation: "ConverseStream", Worst: driver.ChargeOf(price.Usage{InputTokens: 10, OutputTokens: 10}, worst)})
	require.NoError(t, err)
	return receipt
}

var tag = regexp.MustCompile(`<[^>]*>`)

// textOf is a page as it is read: without its markup.
func textOf(body string) string {
	return strings.Join(strings.Fields(html.UnescapeString(tag.ReplaceAllString(body, " "))), " ")
}

var (
	rowPattern  = regexp.MustCompile(`(?s)<tr role="row">\s*<th role="rowheader".*?</tr>`)
	dataPattern = regexp.MustCompile(`data-label="(Spent|Pending|Left|Of)">(?:<span>)?<data value="([^"]*)"`)
)

// accountsOn reads the exact figures of the accounts that a page shows, by what names them.
func accountsOn(body string) map[string]map[string]string {
	all := make(map[string]map[string]string)
	for _, row := range rowPattern.FindAllString(body, -1) {
		head, _, _ := strings.Cut(row, "</th>")
		figures := make(map[string]string)
		for _, m := range dataPattern.FindAllStringSubmatch(row, -1) {
			figures[m[1]] = html.UnescapeString(m[2])
		}
		all[textOf(head)] = figures
	}
	return all
}
