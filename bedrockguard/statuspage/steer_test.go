package statuspage_test

import (
	"context"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

func tomorrow() time.Time { return time.Now().Add(24 * time.Hour) }

var hrefs = regexp.MustCompile(`href="([^"]*)"`)

// linksOn returns the links of a page that begin with one of these.
func linksOn(body string, starts ...string) (links []string) {
	for _, m := range hrefs.FindAllStringSubmatch(body, -1) {
		link := html.UnescapeString(m[1])
		if slices.ContainsFunc(starts, func(s string) bool { return strings.HasPrefix(link, s) }) {
			links = append(links, link)
		}
	}
	return links
}

// A button on the page ends a stream that runs, and the page shows the flag, who set it, and what the call cost.
func TestKillByButtonEndsARunningStream(t *testing.T) {
	service := bedrocktest.New(t, bedrocktest.Options{EventDelay: time.Hour})
	h := newHouse(t, policy, writable)
	guard, err := bedrockguard.New(h.ledger, bedrockguard.Options{KillPoll: 5 * time.Millisecond, Listeners: []func(context.Context, bedrockguard.Event){h.page.Listen}})
	require.NoError(t, err)
	client := guard.NewFromConfig(service.Config())
	out, err := client.ConverseStream(budget.WithScope(t.Context(), budget.Scope{Workflow: "loop"}), &bedrockruntime.ConverseStreamInput{
		ModelId: aws.String("us.anthropic.claude-sonnet-4-6"), InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(100)},
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello"}}}},
	})
	require.NoError(t, err)
	stream := out.GetStream()
	<-stream.Events()

	h.login(t, "ada")
	calls := linksOn(h.get(t, "/"), "kill?call=")
	require.Len(t, calls, 1, "the stream is a call in flight")
	form := h.get(t, "/"+calls[0])
	require.Contains(t, form, "workflow=loop")
	_, rest, _ := strings.Cut(form, `name="target" value="`)
	token, _, _ := strings.Cut(rest, `"`)
	h.post(t, "/kill", url.Values{"target": {token}, "reason": {"runaway loop"}})
	for range stream.Events() {
	}
	require.ErrorIs(t, stream.Err(), budget.ErrKilled)
	require.ErrorContains(t, stream.Err(), "runaway loop")
	_ = stream.Close()
	require.NoError(t, guard.Close(t.Context()))

	for change, err := range h.ledger.Changes(t.Context(), 0) {
		require.NoError(t, err)
		require.Equal(t, "ada", change.Operator)
	}
	h.serve(t, writable) // a look of its own
	text := textOf(h.get(t, "/"))
	require.Contains(t, text, "ada kill workflow=loop runaway loop")
	require.Contains(t, text, "Calls in flight None.")
}

// Who does not know the secret changes nothing, whatever is sent.
func TestReadOnlyWithoutASecret(t *testing.T) {
	h := newHouse(t, policy, nil)
	h.settle(t, budget.Scope{Workflow: "nightly"}, price.Usage{InputTokens: 9}, 7)
	body := h.get(t, "/")
	require.NotContains(t, body, "<form")
	require.Empty(t, linksOn(body, "kill", "revive", "override", "login"))
	for _, path := range []string{"/kill", "/revive", "/override", "/login"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, _ := h.do(t, method, path, url.Values{"workflow": {"nightly"}, "secret": {""}, "all": {"1"}, "sure": {"yes"}}, nil)
			require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s %s", method, path)
			require.Empty(t, resp.Cookies())
		}
	}
	requireUnchanged(t, h)
}

func requireUnchanged(t *testing.T, h *house) {
	t.Helper()
	for change, err := range h.ledger.Changes(t.Context(), 0) {
		require.NoError(t, err)
		require.Failf(t, "changed", "%+v", change)
	}
}

func TestOnlyWhoKnowsTheSecretMakesChanges(t *testing.T) {
	h := newHouse(t, policy, writable)
	for _, guess := range []string{"", "wrong", secret + " ", secret[:len(secret)-1]} {
		resp, body := h.do(t, http.MethodPost, "/login", url.Values{"secret": {guess}, "name": {"mallory"}}, nil)
		require.Equal(t, http.StatusForbidden, resp.StatusCode)
		require.Empty(t, resp.Cookies())
		require.NotContains(t, body, secret)
	}
	resp, _ := h.do(t, http.MethodPost, "/kill", url.Values{"workflow": {"nightly"}}, func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "bedrockguard_page", Value: "guessed"}) })
	require.Equal(t, http.StatusForbidden, resp.StatusCode)
	resp, _ = h.do(t, http.MethodGet, "/kill", nil, nil)
	require.Equal(t, "login", resp.Header.Get("Location"))
	requireUnchanged(t, h)

	resp, _ = h.do(t, http.MethodPost, "/login", url.Values{"secret": {secret}, "name": {"ada"}}, nil)
	require.Len(t, resp.Cookies(), 1)
	cookie := resp.Cookies()[0]
	require.True(t, cookie.HttpOnly)
	require.Equal(t, http.SameSiteStrictMode, cookie.SameSite)
	require.NotContains(t, cookie.Value, secret)
	h.post(t, "/kill", url.Values{"workflow": {"nightly"}})
	h.post(t, "/logout", nil)
	resp, _ = h.do(t, http.MethodPost, "/kill", url.Values{"workflow": {"other"}}, func(r *http.Request) { r.AddCookie(cookie) })
	require.Equal(t, http.StatusForbidden, resp.StatusCode, "a login that has ended")
}

func TestLoginToRead(t *testing.T) {
	h := newHouse(t, policy, func(o *statuspage.Options) { o.Secret, o.LoginToRead = secret, true })
	h.settle(t, budget.Scope{Workflow: "nightly"}, price.Usage{InputTokens: 9}, 7)
	resp, body := h.do(t, http.MethodGet, "/", nil, nil)
	require.Equal(t, "login", resp.Header.Get("Location"))
	require.NotContains(t, body, "nightly")
	h.login(t, "")
	require.Contains(t, h.get(t, "/"), "nightly")
}

// A website that is open in the same browser can neither ask nor frame the page, under a name of its own or not.
func TestOtherSitesReachNothing(t *testing.T) {
	h := newHouse(t, policy, writable)
	h.login(t, "ada")
	for _, host := range []string{"evil.example", "evil.example:80", "127.0.0.1.evil.example", "10.0.0.1", "", "localhost.evil.example:1"} {
		for _, method := range []string{http.MethodGet, http.MethodPost} {
			resp, body := h.do(t, method, "/kill", url.Values{"workflow": {"nightly"}}, func(r *http.Request) {
				r.Host = host
				if host == "" {
					r.Host = "\t"
				}
			})
			require.Contains(t, []int{http.StatusMisdirectedRequest, http.StatusBadRequest}, resp.StatusCode, "%q: %s", host, body)
		}
	}
	for name, change := range map[string]func(http.Header){
		"cross-site":       func(h http.Header) { h.Set("Sec-Fetch-Site", "cross-site") },
		"same site":        func(h http.Header) { h.Set("Sec-Fetch-Site", "same-site") },
		"an older browser": func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "http://evil.example") },
		"a null origin":    func(h http.Header) { h.Del("Sec-Fetch-Site"); h.Set("Origin", "null") },
	} {
		for _, path := range []string{"/kill", "/revive", "/override", "/login", "/logout"} {
			resp, _ := h.do(t, http.MethodPost, path, url.Values{"workflow": {"nightly"}, "secret": {secret}}, func(r *http.Request) { change(r.Header) })
			require.Equal(t, http.StatusForbidden, resp.StatusCode, "%s: %s", name, path)
		}
	}
	requireUnchanged(t, h)
	for _, path := range []string{"/", "/kill", "/login", "/style.css", "/page.js", "/nothing"} {
		resp, body := h.do(t, http.MethodGet, path, nil, nil)
		csp := resp.Header.Get("Content-Security-Policy")
		require.Contains(t, csp, "default-src 'none'")
		require.Contains(t, csp, "frame-ancestors 'none'")
		require.NotContains(t, csp, "unsafe")
		require.Equal(t, "DENY", resp.Header.Get("X-Frame-Options"))
		require.Equal(t, "nosniff", resp.Header.Get("X-Content-Type-Options"))
		require.Equal(t, "no-store", resp.Header.Get("Cache-Control"))
		require.Equal(t, "same-origin", resp.Header.Get("Referrer-Policy"))
		require.NotContains(t, body, "http://", "%s: a request that leaves the page", path)
		require.NotContains(t, body, "https://", path)
	}
}

func TestHostsThatAreAllowed(t *testing.T) {
	h := newHouse(t, policy, func(o *statuspage.Options) { o.Hosts = []string{"spend.example"} })
	for host, status := range map[string]int{"spend.example": http.StatusOK, "SPEND.example.:8443": http.StatusOK, "127.0.0.1": http.StatusMisdirectedRequest} {
		resp, _ := h.do(t, http.MethodGet, "/", nil, func(r *http.Request) { r.Host = host })
		require.Equal(t, status, resp.StatusCode, host)
	}
	h.serve(t, nil)
	for _, host := range []string{"localhost:1", "127.0.0.9", "[::1]:80", "[::1]", "LOCALHOST"} {
		resp, _ := h.do(t, http.MethodGet, "/", nil, func(r *http.Request) { r.Host = host })
		require.Equal(t, http.StatusOK, resp.StatusCode, host)
	}
}

// Everything is killed only by somebody who said so twice.
func TestKillOfEverythingAsks(t *testing.T) {
	h := newHouse(t, policy, writable)
	h.login(t, "ada")
	require.Contains(t, h.get(t, "/kill?all=1"), `name="sure" value="yes" required`)
	for _, form := range []url.Values{{"all": {"1"}}, {}, {"workflow": {" "}}, {"target": {"WyIiLCIiLCIiLCIiLCIiLCIiLCIiXQ"}}, {"target": {"nonsense"}}, {"tag": {"x"}}, {"workflow": {"x"}, "until": {"soon"}}} {
		resp, body := h.do(t, http.MethodPost, "/kill", form, nil)
		require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode, body)
	}
	requireUnchanged(t, h)
	h.post(t, "/kill", url.Values{"all": {"1"}, "sure": {"yes"}, "reason": {"stop"}})
	_, err := h.ledger.Reserve(t.Context(), budget.Request{})
	require.ErrorIs(t, err, budget.ErrKilled)
}

// A kill may be of patterns, and end by itself.
func TestKillOfPatternsForAWhile(t *testing.T) {
	h := newHouse(t, policy, writable)
	h.login(t, "ada")
	h.settle(t, budget.Scope{Workflow: "nightly-1"}, price.Usage{InputTokens: 9}, 7)
	resp, _ := h.do(t, http.MethodPost, "/kill", url.Values{"workflow": {"nightly-*"}, "patterns": {"yes"}, "until": {"4h"}, "tag": {""}}, nil)
	require.Equal(t, "./?accounts=1&done=kill", resp.Header.Get("Location"))
	require.Contains(t, h.get(t, "/?accounts=1&done=kill"), "One known account carries these values.")
	kills, err := h.ledger.Kills(t.Context())
	require.NoError(t, err)
	require.Len(t, kills, 1)
	require.True(t, kills[0].Patterns)
	require.WithinDuration(t, time.Now().Add(4*time.Hour), kills[0].Until, time.Minute)
	resp, _ = h.do(t, http.MethodPost, "/kill", url.Values{"workflow": {"misspelled"}}, nil)
	require.Contains(t, h.get(t, strings.TrimPrefix(resp.Header.Get("Location"), ".")), "misspelled?")
}

// An override gives room until it ends or is taken back, and both are in the audit trail that the page shows.
func TestOverrideAndTakeBack(t *testing.T) {
	h := newHouse(t, policy, writable)
	h.settle(t, budget.Scope{Workflow: "nightly"}, price.Usage{InputTokens: 9}, 9_000_000_000)
	h.login(t, "ada")
	links := linksOn(h.get(t, "/"), "override?account=")
	require.Len(t, links, 2)
	token := func() string {
		_, rest, _ := strings.Cut(h.get(t, "/"+links[0]), `name="target" value="`)
		token, _, _ := strings.Cut(rest, `"`)
		return token
	}()
	for _, form := range []url.Values{{"max": {"20"}}, {"max": {"20 calls"}, "until": {"1h"}}, {"max": {"-3"}, "until": {"1h"}}, {"max": {""}, "until": {"1h"}}, {"max": {"20"}, "until": {"-1h"}}} {
		form.Set("target", token)
		resp, body := h.do(t, http.MethodPost, "/override", form, nil)
		require.Equal(t, http.StatusUnprocessableEntity, resp.StatusCode, body)
	}
	requireUnchanged(t, h)
	h.post(t, "/override", url.Values{"target": {token}, "max": {"20.5"}, "until": {"1h"}})
	body := h.get(t, "/")
	require.Equal(t, "11.5 USD", accountsOn(body)[rowNamed(body, "flow workflow=nightly")]["Left"])
	require.Contains(t, textOf(body), "ada override flow, workflow=nightly: 20.5 USD until")
	require.Contains(t, h.get(t, "/"+links[0]), "Take the override back")
	h.post(t, "/override", url.Values{"target": {token}, "restore": {"yes"}})
	body = h.get(t, "/")
	require.Equal(t, "1 USD", accountsOn(body)["flow workflow=nightly"]["Left"])
	typed := regexp.MustCompile(`<option value="([^"]+)">flow:`).FindStringSubmatch(h.get(t, "/override"))
	require.Len(t, typed, 2)
	h.post(t, "/override", url.Values{"limit": {typed[1]}, "workflow": {"unheard-of"}, "max": {"3 USD"}, "until": {"24h"}})
	balances, err := h.ledger.Balances(t.Context(), budget.Scope{Workflow: "unheard-of"})
	require.NoError(t, err)
	require.Equal(t, budget.USD(3), balances[1].Max)
}

// rowNamed returns the name of the row that begins like that.
func rowNamed(body, start string) string {
	for name := range accountsOn(body) {
		if strings.HasPrefix(name, start) {
			return name
		}
	}
	return ""
}
