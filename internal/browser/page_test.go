package browser

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// row is a row of the page's table of accounts, as the browser holds it.
type row struct {
	Limit string
	Scope string
	Spent string
	Left  string
}

const readRows = `[...document.querySelectorAll('table.cards tbody tr')].map(r => ({
	Limit: r.querySelector('th b').textContent, Scope: r.querySelector('th span').textContent,
	Spent: r.querySelector('[data-label=Spent] data').value, Left: r.querySelector('[data-label=Left] data').value}))`

// What a person reads on the page is what the ledger holds, to the nano-dollar; and after more was spent, the page follows by itself.
func TestFiguresAreTheLedgers(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{})
	v := look(t)
	for range 3 {
		h.call(t, "nightly")
	}
	h.call(t, "review")
	same := func() {
		t.Helper()
		balances, err := h.ledger.Balances(t.Context(), budget.Scope{Workflow: "nightly"})
		require.NoError(t, err)
		want := make(map[string][2]string)
		for _, b := range balances {
			want[b.Limit] = [2]string{b.Settled.String(), b.Left().String()}
		}
		rows := get(t, v, chromedp.Evaluate[[]row](readRows))
		found := 0
		for _, r := range rows {
			if w, ok := want[r.Limit]; ok && (r.Limit == "month" || strings.Contains(r.Scope, "nightly")) {
				require.Equal(t, w, [2]string{r.Spent, r.Left}, r.Limit)
				found++
			}
		}
		require.Equal(t, 2, found, "%+v", rows)
	}
	v.open(t, h.site+"/")
	same()
	first := v.text(t, "table.cards [data-label=Spent] data")
	h.call(t, "nightly")
	get(t, v, chromedp.Poll[bool](fmt.Sprintf(`document.querySelector('table.cards [data-label=Spent] data').textContent !== %q`, first)))
	same()
	v.requireQuiet(t, h.site)
}

// The page is complete where scripts are switched off.
func TestPageWithoutScripts(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{})
	h.call(t, "nightly")
	v := look(t)
	call(t, v, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true})
	v.open(t, h.site+"/")
	require.Contains(t, v.text(t, "table.cards"), "nightly")
	v.login(t, h.site, "ada")
	require.NotContains(t, v.text(t, "body"), "Pause")
	v.requireQuiet(t, h.site)
}

// Pressing a button ends a stream that runs, and the page says who did it.
func TestAButtonEndsAStream(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{EventDelay: aLongTime}) // it does not end by itself
	v := look(t)
	stream := h.stream(t, "nightly")
	v.login(t, h.site, "ada")
	v.do(t, chromedp.Click(chromedp.CSS(`section[aria-labelledby=calls] a[href^="kill?"]`)), chromedp.WaitVisible(chromedp.CSS("#reason")),
		chromedp.SendKeys(chromedp.CSS("#reason"), "runaway loop"), chromedp.Click(chromedp.CSS("form[action=kill] button.danger")), chromedp.WaitVisible(chromedp.CSS(".done")))
	for range stream.Events() {
	}
	require.ErrorIs(t, stream.Err(), budget.ErrKilled)
	require.ErrorContains(t, stream.Err(), "runaway loop")
	require.Contains(t, v.text(t, `section[aria-labelledby=trail]`), "ada")
	kills, err := h.ledger.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.Equal(t, budget.Scope{Workflow: "nightly"}, kills[0].Scope)
	v.requireQuiet(t, h.site)
}

// odd holds names that callers could choose to harm who reads them.
func odd() []string {
	bytes := make([]byte, driver.MaxScopeValue)
	for i := range bytes {
		bytes[i] = "<>&\"'`=/\\{}%\x00\x01\x1b\x7f\xe2\x80\xae"[i%19]
	}
	return []string{`<script>alert(1)</script>`, `"><img src=x onerror=alert(1)>`, `</title><script>alert(1)</script>`, `{{.}}`, "\u202eevil\u202c", string(bytes)}
}

// A name is text on the page, whatever it holds: it runs nothing, loads nothing and closes no tag.
func TestNamesAreText(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{})
	v := look(t)
	for _, name := range odd() {
		scope := budget.Scope{Workflow: name}
		if _, err := h.ledger.Reserve(t.Context(), budget.Request{Scope: scope, Operation: "Converse", Worst: driver.ChargeOf(price.Usage{InputTokens: 1}, 1)}); err != nil {
			require.ErrorIs(t, err, budget.ErrInvalidScope)
			continue
		}
		_, err := h.ledger.Kill(budget.WithOperator(t.Context(), name), scope, name)
		require.NoError(t, err)
	}
	v.login(t, h.site, odd()[0])
	for _, path := range []string{"/", "/kill", "/override", "/kill?call=" + odd()[1], "/revive?flag=" + odd()[0]} {
		v.open(t, h.site+path)
		require.Zero(t, get(t, v, chromedp.Evaluate[int](`document.querySelectorAll('script:not([src="page.js"]), img, iframe, object, embed, [onerror], [onclick], [style]').length`)), path)
	}
	v.open(t, h.site+"/")
	require.Contains(t, v.text(t, "main"), odd()[0])
	asked, problems := v.heard()
	for _, address := range asked {
		require.True(t, strings.HasPrefix(address, h.site+"/"), address)
	}
	for _, p := range problems { // a link that leads nowhere is answered with 4xx, which the browser logs
		require.Contains(t, p, "Failed to load resource: the server responded with a status of 4")
	}
}

// No other site can send the page's forms in the name of somebody who is logged in, or frame it, or reach it under a name of its own.
func TestOtherSitesAreKeptOut(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{})
	v := look(t, chromedp.Flag("host-resolver-rules", "MAP evil.example 127.0.0.1"))
	v.login(t, h.site, "ada")

	forged := elsewhere(t, `<form method="post" action="`+h.site+`/kill"><input name="all" value="1"><input name="sure" value="yes"><input name="reason" value="forged"></form>
		<script>document.forms[0].submit()</script>`)
	v.do(t, chromedp.Navigate(forged.String()))
	get(t, v, chromedp.Poll[bool](`location.origin === '`+h.site+`' && document.readyState === 'complete'`))
	require.Contains(t, v.text(t, "body"), "cross-origin request")
	kills, err := h.ledger.Kills(t.Context())
	require.NoError(t, err)
	require.Empty(t, kills)

	framing := elsewhere(t, `<iframe id="frame" src="`+h.site+`/"></iframe>`)
	v.do(t, chromedp.Navigate(framing.String()))
	_, problems := v.heard()
	require.Contains(t, strings.Join(problems, "\n"), "frame-ancestors")

	v.do(t, chromedp.Navigate(strings.Replace(h.site, "127.0.0.1", "evil.example", 1)+"/"))
	require.Contains(t, v.text(t, "body"), "does not answer to that host name")
	require.NotContains(t, v.text(t, "body"), "USD")
}

// violation is what axe-core has to complain of.
type violation struct {
	ID    string   `json:"id"`
	Help  string   `json:"help"`
	Nodes []string `json:"nodes"`
}

const runAxe = `axe.run(document, {resultTypes: ['violations']}).then(r => r.violations.map(v => ({id: v.id, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 200))})))`

// Every page is usable by keyboard and screen reader as far as a program can tell, fits every width, and is readable in light and dark.
// `-artifacts` keeps a picture of each.
func TestPagesAreUsable(t *testing.T) {
	h := newHouse(t, bedrocktest.Options{EventDelay: aLongTime})
	source := axe(t)
	v := look(t)
	for _, workflow := range []string{"nightly", "review", "team-7/nightly-refactoring-of-everything-that-is-left"} {
		h.call(t, workflow)
	}
	h.stream(t, "nightly")
	ctx := budget.WithOperator(t.Context(), "ada")
	_, err := h.ledger.Kill(ctx, budget.Scope{Workflow: "review"}, "it ran away in the night")
	require.NoError(t, err)
	for name, path := range map[string]string{"before-login": "/", "login": "/login"} {
		t.Run(name, func(t *testing.T) { v.inspect(t, h.site+path, name, source) })
	}
	v.login(t, h.site, "ada")
	for name, path := range map[string]string{"page": "/", "kill": "/kill", "kill-all": "/kill?all=1", "override": "/override", "problem": "/revive?flag=none"} {
		t.Run(name, func(t *testing.T) { v.inspect(t, h.site+path, name, source) })
	}
}

// inspect looks at a page in light and dark and at three widths.
func (v *viewer) inspect(t *testing.T, address, name, axe string) {
	for _, scheme := range []string{"light", "dark"} {
		for _, width := range []int64{400, 900, 1600} {
			call(t, v, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}}})
			v.do(t, chromedp.EmulateViewport(width, 900))
			v.open(t, address)
			require.LessOrEqual(t, get(t, v, chromedp.Evaluate[int64](`document.documentElement.scrollWidth`)), width, "%s, %s: it has to be scrolled sideways", name, scheme)
			v.do(t, chromedp.Evaluate[chromedp.Void](axe))
			require.Empty(t, get(t, v, chromedp.Evaluate[[]violation](runAxe, chromedp.EvalAwaitPromise)), "%s, %s, %d pixels", name, scheme, width)
			picture := get(t, v, chromedp.FullScreenshot(100))
			require.NoError(t, os.WriteFile(filepath.Join(t.ArtifactDir(), fmt.Sprintf("%s-%s-%d.png", name, scheme, width)), picture, 0o600))
		}
	}
}
