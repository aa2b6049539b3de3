package notify

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
)

// Format is the format of what a webhook gets.
type Format string

// The formats.
const (
	JSON  Format = "json"  // the notice as an object, with its text in "text"
	Slack Format = "slack" // a message for Slack's incoming webhooks, and compatible ones
)

// WebhookOptions configures NewWebhook.
type WebhookOptions struct {
	Options

	// URL is where notices are posted. It is a secret, as Slack's are: errors and log entries only have its scheme. Required; for Slack it
	// has to be https, or loopback.
	URL string

	// Format is the format of the messages. Empty is JSON.
	Format Format

	// Queue is how many notices may wait. If it is full, notices are dropped, and counted in the next one. Zero is 256.
	Queue int

	// Attempts is how often a notice is sent at most. The pause between attempts is one second at first and doubles each time, or is what
	// the answer's Retry-After asks for; it is at most a minute. Zero is 5.
	Attempts int

	// Log gets notices that could not be delivered. Nil logs nothing.
	Log *slog.Logger

	// Transport sends the requests. Nil uses one of the webhook's own, which follows the environment's proxy settings.
	Transport http.RoundTripper
}

const (
	defaultQueue    = 256              // of WebhookOptions.Queue
	defaultAttempts = 5                // of WebhookOptions.Attempts
	sendTimeout     = 10 * time.Second // of one attempt
	firstPause      = time.Second      // before the second attempt; it doubles each time
	longestPause    = time.Minute
	// answerBytes is how much of an answer is read, so that its connection can be used again.
	answerBytes = 4 << 10
)

// ErrInvalidOptions says that NewWebhook can't work as asked.
var ErrInvalidOptions = errors.New("notify: invalid options")

// Webhook posts notices. It is safe for concurrent use. Close ends it.
type Webhook struct {
	once   *once
	opts   WebhookOptions
	client *http.Client
	own    *http.Transport // nil if the transport is the caller's
	queue  chan Notice
	quit   chan struct{} // closed by Close: deliver what is queued, and end
	abort  context.CancelFunc
	done   chan struct{} // closed when the sender has ended

	mu     sync.Mutex
	closed bool
	untold int64 // how many notices were dropped since the last one was queued: the queue was full, or they could not be delivered
}

// NewWebhook starts the goroutine that sends notices. Close the webhook after the guard.
func NewWebhook(o WebhookOptions) (*Webhook, error) {
	o.Format, o.Queue, o.Attempts = cmp.Or(o.Format, JSON), cmp.Or(o.Queue, defaultQueue), cmp.Or(o.Attempts, defaultAttempts)
	if err := o.validate(); err != nil {
		return nil, err
	}
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	w := &Webhook{once: newOnce(o.Options), opts: o, queue: make(chan Notice, o.Queue), quit: make(chan struct{}), done: make(chan struct{})}
	transport := o.Transport
	if transport == nil {
		w.own = &http.Transport{Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, MaxIdleConns: 1, IdleConnTimeout: time.Minute}
		transport = w.own
	}
	// A redirect is not followed: it could send the notice to somebody else.
	w.client = &http.Client{Transport: transport, Timeout: sendTimeout, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	ctx, abort := context.WithCancel(context.Background())
	w.abort = abort
	go w.work(ctx)
	return w, nil
}

// validate returns what is wrong with the options, after defaults were filled in. Its errors do not quote the URL, which is a secret.
func (o *WebhookOptions) validate() error {
	invalid := func(format string, args ...any) error {
		return fmt.Errorf("%w: "+format, append([]any{ErrInvalidOptions}, args...)...)
	}
	u, err := url.Parse(o.URL)
	switch {
	case o.URL == "":
		return invalid("no URL")
	case err != nil || u.Host == "": // url.Parse quotes the URL in its error
		return invalid("the webhook's URL can't be parsed: want https://host/path")
	case u.Scheme != "https" && u.Scheme != "http":
		return invalid("the webhook's URL is neither https nor http")
	case o.Format != JSON && o.Format != Slack:
		return invalid("format %q: want %q or %q", o.Format, JSON, Slack)
	case o.Format == Slack && u.Scheme != "https" && !loopback(u.Hostname()):
		return invalid("the webhook's URL is a secret, and would travel in the clear: want https")
	case o.Queue < 0 || o.Attempts < 0 || o.Quiet < 0 || o.MaxRemembered < 0:
		return invalid("Queue %d, Attempts %d, Quiet %s and MaxRemembered %d must not be negative", o.Queue, o.Attempts, o.Quiet, o.MaxRemembered)
	}
	return nil
}

// loopback reports whether a host name, without a port, is this machine's own.
func loopback(host string) bool {
	addr, err := netip.ParseAddr(host)
	return host == "localhost" || err == nil && addr.Unmap().IsLoopback()
}

// Listen queues a notice if the event needs one: put it into bedrockguard.Options.Listeners. It never waits.
func (w *Webhook) Listen(_ context.Context, e bedrockguard.Event) {
	n, ok := w.once.notice(&e)
	if !ok {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.closed {
		return
	}
	// n.Untold already has those that were left out because too much was remembered.
	n.Untold += w.untold
	select {
	case w.queue <- n:
		w.untold = 0
	default:
		w.untold = n.Untold + 1 // this notice, and those that it would have counted
	}
}

// Close sends what is queued until the context ends, and then ends the sender. It returns an error if notices were not delivered and no
// later notice has counted them. Later events are dropped.
func (w *Webhook) Close(ctx context.Context) error {
	w.mu.Lock()
	if !w.closed {
		w.closed = true
		close(w.quit) // what was queued before is sent; nothing more is queued
	}
	w.mu.Unlock()
	select {
	case <-w.done:
	case <-ctx.Done():
		w.abort()
		<-w.done
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.untold > 0 {
		return fmt.Errorf("notify: %d notices were not delivered to the webhook", w.untold)
	}
	return nil
}

// work sends what is queued until Close. Then it sends what is still in the queue, and ends.
func (w *Webhook) work(ctx context.Context) {
	defer close(w.done)
	defer w.abort()
	if w.own != nil {
		defer w.own.CloseIdleConnections()
	}
	for {
		select {
		case n := <-w.queue:
			w.deliver(ctx, &n)
		case <-w.quit:
			w.empty(ctx)
			return
		}
	}
}

// empty sends what is in the queue, to which nothing is added any more.
func (w *Webhook) empty(ctx context.Context) {
	for {
		select {
		case n := <-w.queue:
			w.deliver(ctx, &n)
		default:
			return
		}
	}
}

// deliver sends one notice. If it can't, the notice is logged, and counted in the next one.
func (w *Webhook) deliver(ctx context.Context, n *Notice) {
	body, err := w.opts.Format.message(n)
	if err == nil {
		err = w.send(ctx, body)
	}
	if err == nil {
		return
	}
	w.mu.Lock()
	w.untold += n.Untold + 1
	w.mu.Unlock()
	w.opts.Log.LogAttrs(ctx, slog.LevelError, "a notice was not delivered to the webhook", slog.String("notice", n.Text), slog.String("error", err.Error()))
}

// send posts a message, and again after a failure that may pass, until Attempts are made. It returns nil once the webhook has taken the message, and
// else why it was given up.
func (w *Webhook) send(ctx context.Context, body []byte) error {
	pause := firstPause
	for attempt := 1; ; attempt++ {
		again, wait, err := w.post(ctx, body)
		if err == nil || !again || attempt == w.opts.Attempts {
			return err
		}
		// A random part of the pause keeps processes that failed at the same time from sending again at the same time.
		if err := rest(ctx, max(wait, pause/2+rand.N(pause/2))); err != nil {
			return err
		}
		pause = min(2*pause, longestPause)
	}
}

// rest waits, and returns an error if Close has run out of time meanwhile.
func rest(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return errors.New("closed before it could be sent again")
	}
}

// post sends a message once. again says whether another attempt may help, after wait at the earliest. Its error has nothing of the URL.
func (w *Webhook) post(ctx context.Context, body []byte) (again bool, wait time.Duration, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, w.opts.URL, bytes.NewReader(body))
	if err != nil {
		return false, 0, errors.New("the webhook's URL can't be used")
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("User-Agent", "bedrockguard")
	resp, err := w.client.Do(req)
	if err != nil {
		return ctx.Err() == nil, 0, errors.New(failure(err)) // not again if Close has given up
	}
	defer resp.Body.Close()
	_, _ = io.CopyN(io.Discard, resp.Body, answerBytes)
	if resp.StatusCode >= 200 && resp.StatusCode <= 299 {
		return false, 0, nil
	}
	again = resp.StatusCode == http.StatusTooManyRequests || resp.StatusCode == http.StatusRequestTimeout || resp.StatusCode >= 500
	if seconds, err := strconv.Atoi(resp.Header.Get("Retry-After")); err == nil && seconds > 0 {
		wait = min(time.Duration(min(seconds, 3600))*time.Second, longestPause) // the inner bound prevents an overflow
	}
	return again, wait, fmt.Errorf("the webhook answered %d", resp.StatusCode)
}

// failure says why there was no answer, without the texts of net/http, which quote URLs.
func failure(err error) string {
	var name *net.DNSError
	var op *net.OpError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, context.Canceled):
		return "closed before it was sent"
	case errors.As(err, &timeout) && timeout.Timeout():
		return "the webhook does not answer in time"
	case errors.As(err, &name):
		return "the webhook's host name is not known"
	case errors.As(err, &op):
		// Op is one word, such as dial or read.
		return "the webhook can't be reached: " + op.Op
	default:
		return "the webhook can't be reached"
	}
}

// message returns the body that is posted: for Slack the text with its markup (see slackText), and nothing that would make Slack fetch a link.
func (f Format) message(n *Notice) ([]byte, error) {
	if f == JSON {
		return json.Marshal(n)
	}
	text := slackText(n)
	return json.Marshal(map[string]any{
		"text": text,
		"blocks": []any{map[string]any{
			"type": "section", "text": map[string]any{"type": "mrkdwn", "text": text, "verbatim": true},
		}},
		"unfurl_links": false, "unfurl_media": false,
	})
}

// slackEscapes escapes the characters with which Slack marks mentions, channels and links (its documentation on formatting, 2026-11), and
// backquotes, which would end the quotation around texts from elsewhere.
var slackEscapes = strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;", "`", "'", "\n", " ", "\r", " ")

// longestSlackText is how many bytes of a notice Slack gets: escaped they can become five times as long, which is less than the 3,000
// characters of a section.
const longestSlackText = 500

// slackText returns a notice in Slack's markup. Everything that callers chose is quoted, so that it can't be markup.
func slackText(n *Notice) string {
	told := n.Text
	if len(told) > longestSlackText {
		told = strings.ToValidUTF8(told[:longestSlackText], "") + "…"
	}
	text := "*bedrockguard: " + string(n.Kind) + "*\n`" + slackEscapes.Replace(told) + "`"
	if n.Untold > 0 {
		text += fmt.Sprintf("\n%d more notices were not told.", n.Untold)
	}
	return text
}
