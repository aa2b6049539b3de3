package notify_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/notify"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// receiver answers as it is told and keeps what it was sent. It is safe for concurrent use.
type receiver struct {
	mu      sync.Mutex
	bodies  []string
	times   []time.Time
	answers []func() (*http.Response, error) // the last one again and again; none is 200
}

func status(code int, retryAfter string) func() (*http.Response, error) {
	return func() (*http.Response, error) {
		return &http.Response{StatusCode: code, Header: http.Header{"Retry-After": {retryAfter}}, Body: io.NopCloser(strings.NewReader("no_text"))}, nil
	}
}

func fails(err error) func() (*http.Response, error) {
	return func() (*http.Response, error) { return nil, err }
}

func (r *receiver) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.bodies, r.times = append(r.bodies, string(body)), append(r.times, time.Now())
	answer := status(200, "")
	if len(r.answers) > 0 {
		answer = r.answers[min(len(r.bodies), len(r.answers))-1]
	}
	return answer()
}

const secretURL = "https://user:sesame@hooks.example/services/T000/B000/open-sesame?token=sesame"

func newWebhook(t testing.TB, o notify.WebhookOptions) *notify.Webhook {
	t.Helper()
	if o.URL == "" {
		o.URL = secretURL
	}
	w, err := notify.NewWebhook(o)
	require.NoError(t, err)
	return w
}

func workflow(name string) budget.Scope { return budget.Scope{Workflow: name} }

func TestPlainWebhooksGetAnObject(t *testing.T) {
	var got struct{ Kind, Time, Text, Workflow, Limit, Settled, Max string }
	server := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Content-Type") == "application/json" {
			_ = json.NewDecoder(r.Body).Decode(&got)
		}
	}))
	defer server.Close()
	w := newWebhook(t, notify.WebhookOptions{URL: server.URL})
	w.Listen(t.Context(), refused("day", 0, budget.Scope{}, workflow("nightly")))
	w.Listen(t.Context(), refused("day", 0, budget.Scope{}, workflow("nightly")))
	require.NoError(t, w.Close(t.Context()))
	require.Equal(t, "denied", got.Kind)
	require.Equal(t, "2026-11-29T12:00:00Z", got.Time)
	require.Equal(t, "nightly", got.Workflow)
	require.Equal(t, "day", got.Limit)
	require.Equal(t, "9.5 USD", got.Settled)
	require.Equal(t, "10 USD", got.Max)
	require.Contains(t, got.Text, `limit "day" exceeded`)
}

// A workflow's name is anybody's text: it must not call a channel, make a link or break out of its quotation.
func TestSlackMarkupOfOthersIsEscaped(t *testing.T) {
	for _, hostile := range []string{"<!channel> <@U1> <https://evil.example|click>", "` <!here> *bold*", "a\n<!everyone>", strings.Repeat("&", 512), "\xff\xfe", "&lt;!channel&gt;"} {
		r := new(receiver)
		w := newWebhook(t, notify.WebhookOptions{Format: notify.Slack, Transport: r})
		e := refused("<!channel>", 0, workflow(hostile), workflow(hostile))
		w.Listen(t.Context(), e)
		require.NoError(t, w.Close(t.Context()))
		var message struct {
			Text   string
			Blocks []struct {
				Text struct {
					Type, Text string
					Verbatim   bool
				}
			}
		}
		require.NoError(t, json.Unmarshal([]byte(r.bodies[0]), &message))
		require.Len(t, message.Blocks, 1)
		require.True(t, message.Blocks[0].Text.Verbatim)
		for _, text := range []string{message.Text, message.Blocks[0].Text.Text} {
			require.NotContains(t, text, "<")
			require.NotContains(t, text, ">")
			require.Equal(t, 2, strings.Count(text, "`"), "one quotation")
			require.Equal(t, 1, strings.Count(text, "\n"), "in one line")
			require.LessOrEqual(t, len(text), 3000)
		}
	}
}

func TestSendingIsRepeatedWithinBounds(t *testing.T) {
	for name, tc := range map[string]struct {
		answers   []func() (*http.Response, error)
		sent      int
		atLeast   time.Duration
		atMost    time.Duration
		delivered bool
	}{
		"a good day":                      {nil, 1, 0, 0, true},
		"a server error, once":            {[]func() (*http.Response, error){status(500, ""), status(200, "")}, 2, 500 * time.Millisecond, time.Second, true},
		"throttled, with a time":          {[]func() (*http.Response, error){status(429, "30"), status(200, "")}, 2, 30 * time.Second, 30 * time.Second, true},
		"throttled for a year":            {[]func() (*http.Response, error){status(429, "31536000"), status(200, "")}, 2, time.Minute, time.Minute, true},
		"a broken connection":             {[]func() (*http.Response, error){fails(io.ErrUnexpectedEOF), status(204, "")}, 2, 500 * time.Millisecond, time.Second, true},
		"down":                            {[]func() (*http.Response, error){fails(&net.OpError{Op: "dial", Err: errors.New("refused")})}, 5, 7500 * time.Millisecond, 15 * time.Second, false},
		"a webhook that was taken back":   {[]func() (*http.Response, error){status(404, "")}, 1, 0, 0, false},
		"a redirect, which may lead away": {[]func() (*http.Response, error){status(302, "")}, 1, 0, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				r := &receiver{answers: tc.answers}
				w := newWebhook(t, notify.WebhookOptions{Transport: r})
				began := time.Now()
				w.Listen(t.Context(), crossed("day", 0, 0.8))
				err := w.Close(t.Context())
				require.Equal(t, tc.delivered, err == nil, err)
				require.Len(t, r.bodies, tc.sent)
				require.GreaterOrEqual(t, time.Since(began), tc.atLeast)
				require.LessOrEqual(t, time.Since(began), tc.atMost)
			})
		})
	}
}

// Whoever can read a log must not be able to post into a channel.
func TestTheURLIsASecret(t *testing.T) {
	var log bytes.Buffer
	inner := &url.Error{Op: "Post", URL: secretURL, Err: fmt.Errorf("proxyconnect %s: no", secretURL)}
	for _, err := range []error{inner, &net.DNSError{Err: "no such host " + secretURL, Name: "hooks.example"}, &net.OpError{Op: "dial", Err: inner}, context.DeadlineExceeded} {
		w := newWebhook(t, notify.WebhookOptions{Transport: &receiver{answers: []func() (*http.Response, error){fails(err)}}, Attempts: 1, Log: slog.New(slog.NewTextHandler(&log, nil))})
		w.Listen(t.Context(), crossed("day", 0, 0.8))
		require.NotContains(t, w.Close(t.Context()).Error(), "sesame")
	}
	require.Equal(t, 4, strings.Count(log.String(), "was not delivered"), log.String())
	require.NotContains(t, log.String(), "sesame")
	for _, bad := range []string{"", "sesame", "https://", "ftp://sesame/", "https://sesame:%zz@host/", "http://hooks.example/sesame", "https://a/\x7fsesame"} {
		_, err := notify.NewWebhook(notify.WebhookOptions{URL: bad, Format: notify.Slack})
		require.ErrorIs(t, err, notify.ErrInvalidOptions, bad)
		require.NotContains(t, err.Error(), "sesame")
	}
}

// A receiver that hangs must neither hold up calls nor fill the memory, and Close must come to an end.
func TestAHangingReceiverCostsABoundedQueue(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answers: []func() (*http.Response, error){status(503, "60")}}
		w := newWebhook(t, notify.WebhookOptions{Transport: r, Queue: 4})
		for i := range 100 {
			who := workflow(fmt.Sprint(i))
			w.Listen(t.Context(), refused("day", 0, who, who))
		}
		ctx, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		began := time.Now()
		err := w.Close(ctx)
		require.LessOrEqual(t, time.Since(began), 6*time.Second)
		require.ErrorContains(t, err, "100 notices were not delivered")
		w.Listen(t.Context(), crossed("day", 0, 0.9)) // after Close: nothing happens
		require.Error(t, w.Close(t.Context()))
	})
}

// What did not fit into the queue is told as a number by the next notice.
func TestNoticesThatFoundTheQueueFullAreCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answers: []func() (*http.Response, error){status(429, "10"), status(200, "")}}
		w := newWebhook(t, notify.WebhookOptions{Transport: r, Queue: 1})
		for i := range 10 {
			who := workflow(fmt.Sprint(i))
			w.Listen(t.Context(), refused("day", 0, who, who))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		w.Listen(t.Context(), crossed("day", 0, 0.8))
		require.NoError(t, w.Close(t.Context()))
		require.Len(t, r.bodies, 4, "the first one twice, the one in the queue, and the last")
		require.Contains(t, r.bodies[3], `"untold":8`)
	})
}

// What was not told for one reason and for another is one number.
func TestNoticesThatAreNotToldAreCountedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := &receiver{answers: []func() (*http.Response, error){status(429, "10"), status(200, "")}}
		w := newWebhook(t, notify.WebhookOptions{Transport: r, Queue: 1, Options: notify.Options{MaxRemembered: 2}})
		for i, after := range []time.Duration{0, 1, 2, 13 * time.Hour} { // sent, queued, too many to remember, and no room in the queue
			who := workflow(fmt.Sprint(i))
			w.Listen(t.Context(), refused("day", after, who, who))
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		w.Listen(t.Context(), crossed("day", 13*time.Hour, 0.8))
		require.NoError(t, w.Close(t.Context()))
		require.Contains(t, r.bodies[len(r.bodies)-1], `"untold":2`)
	})
}

// A webhook that was taken over must not hand notices on to somebody else.
func TestRedirectsAreNotFollowed(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a notice went elsewhere") }))
	defer elsewhere.Close()
	server := httptest.NewServer(http.RedirectHandler(elsewhere.URL, http.StatusTemporaryRedirect))
	defer server.Close()
	w := newWebhook(t, notify.WebhookOptions{URL: server.URL})
	w.Listen(t.Context(), crossed("day", 0, 0.8))
	require.Error(t, w.Close(t.Context()))
}

func TestOptionsThatMakeNoSenseAreRefused(t *testing.T) {
	for _, o := range []notify.WebhookOptions{{URL: "https://a/b", Format: "xml"}, {URL: "https://a/b", Queue: -1}, {URL: "https://a/b", Attempts: -1}, {URL: "https://a/b", Options: notify.Options{Quiet: -1}}} {
		_, err := notify.NewWebhook(o)
		require.ErrorIs(t, err, notify.ErrInvalidOptions)
	}
	w, err := notify.NewWebhook(notify.WebhookOptions{URL: "http://[::1]:1/", Format: notify.Slack})
	require.NoError(t, err, "loopback may be in the clear")
	require.NoError(t, w.Close(t.Context()))
}

func TestDroppedEventsAreTold(t *testing.T) {
	r := new(receiver)
	w := newWebhook(t, notify.WebhookOptions{Transport: r})
	w.Listen(t.Context(), bedrockguard.Event{Kind: bedrockguard.EventSettled, Dropped: 7})
	w.Listen(t.Context(), crossed("day", 0, 0.8))
	require.NoError(t, w.Close(t.Context()))
	require.Contains(t, r.bodies[0], `"dropped_events":7`)
}
