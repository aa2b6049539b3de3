package dynamostore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
)

// wire stands between a client and the server, and does what the service and networks do and the server never does.
type wire struct {
	next http.RoundTripper

	mu   sync.Mutex
	plan func(*call) (*http.Response, error)
	log  []string // the operations, in order
}

// call is one request on the wire.
type call struct {
	ctx     context.Context
	op      string
	body    []byte
	nth     int // of its operation, from 1
	forward func(body []byte) (*http.Response, error)
}

// pass forwards a call as it is.
func (c *call) pass() (*http.Response, error) { return c.forward(c.body) }

// follow sets what happens to each call; nil passes all.
func (w *wire) follow(plan func(*call) (*http.Response, error)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.plan, w.log = plan, nil
}

// calls returns the operations since the plan was set.
func (w *wire) calls() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return append([]string(nil), w.log...)
}

func (w *wire) RoundTrip(req *http.Request) (*http.Response, error) {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	_, op, _ := strings.Cut(req.Header.Get("X-Amz-Target"), ".")
	c := &call{ctx: req.Context(), op: op, body: body, nth: 1, forward: func(body []byte) (*http.Response, error) {
		ctx := req.Context()
		if ctx.Err() != nil { // a duplicate that comes when the caller is gone
			ctx = context.WithoutCancel(ctx)
		}
		again := req.Clone(ctx)
		again.Body, again.ContentLength = io.NopCloser(bytes.NewReader(body)), int64(len(body))
		return w.next.RoundTrip(again)
	}}
	w.mu.Lock()
	for _, before := range w.log {
		if before == op {
			c.nth++
		}
	}
	w.log = append(w.log, op)
	plan := w.plan
	w.mu.Unlock()
	if plan == nil {
		return c.pass()
	}
	return plan(c)
}

// newWire returns a client whose calls run over a wire. Without retries of the SDK unless asked for.
func newWire(tb testing.TB, optFns ...func(*dynamodb.Options)) (*wire, *dynamodb.Client) {
	transport := &http.Transport{MaxIdleConnsPerHost: 64}
	tb.Cleanup(transport.CloseIdleConnections)
	w := &wire{next: transport}
	client := newClient(tb, endpoint(tb), append([]func(*dynamodb.Options){func(o *dynamodb.Options) {
		o.HTTPClient, o.Retryer = &http.Client{Transport: w}, aws.NopRetryer{}
	}}, optFns...)...)
	return w, client
}

// failure is an answer of the service that is an error.
func failure(status int, kind string, more map[string]any) (*http.Response, error) {
	if more == nil {
		more = map[string]any{}
	}
	more["__type"], more["message"] = "com.amazonaws.dynamodb.v20120810#"+kind, "injected"
	raw, err := json.Marshal(more)
	if err != nil {
		return nil, err
	}
	header := http.Header{"Content-Type": {"application/x-amz-json-1.0"}, "Date": {time.Now().UTC().Format(http.TimeFormat)}}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(raw)), ContentLength: int64(len(raw))}, nil
}

// cancelled is a transaction cancelled for a reason at one of its actions; a negative place is that of all.
func cancelled(actions, place int, code string) (*http.Response, error) {
	reasons := make([]map[string]any, actions)
	for i := range reasons {
		reasons[i] = map[string]any{"Code": "None"}
		if i == place || place < 0 {
			reasons[i] = map[string]any{"Code": code, "Message": "injected"}
		}
	}
	return failure(http.StatusBadRequest, "TransactionCanceledException", map[string]any{"CancellationReasons": reasons})
}

var errReset = errors.New("injected: connection reset")

// lost carries a call out and loses the reply.
func (c *call) lost() (*http.Response, error) {
	if resp, err := c.pass(); err == nil {
		_, _ = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	return nil, errReset
}

// cut carries a call out and loses half of the reply.
func (c *call) cut() (*http.Response, error) {
	resp, err := c.pass()
	if err != nil {
		return nil, err
	}
	raw, _ := io.ReadAll(resp.Body)
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(io.MultiReader(bytes.NewReader(raw[:len(raw)/2]), failing{}))
	return resp, nil
}

type failing struct{}

func (failing) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }

// anew is a call's body under another token, so that the server does not recognise it.
func (c *call) anew() []byte {
	var in map[string]json.RawMessage
	if json.Unmarshal(c.body, &in) != nil || in["ClientRequestToken"] == nil {
		return c.body
	}
	delete(in, "ClientRequestToken")
	raw, _ := json.Marshal(in)
	return raw
}

// twice delivers a call two times; the reply is that of the first.
func (c *call) twice() (*http.Response, error) {
	resp, err := c.pass()
	if again, err := c.forward(c.anew()); err == nil {
		_, _ = io.Copy(io.Discard, again.Body)
		_ = again.Body.Close()
	}
	return resp, err
}

// written is what a call writes: the names of its actions' items.
func (c *call) written() (keys []string) {
	var in struct {
		TransactItems []map[string]struct {
			Key  map[string]map[string]string
			Item map[string]map[string]any
		}
	}
	if json.Unmarshal(c.body, &in) != nil {
		return nil
	}
	for _, action := range in.TransactItems {
		for _, a := range action {
			if a.Key != nil {
				keys = append(keys, a.Key[partitionKey]["S"]+"/"+a.Key[sortKey]["S"])
			} else {
				pk, _ := a.Item[partitionKey]["S"].(string)
				sk, _ := a.Item[sortKey]["S"].(string)
				keys = append(keys, pk+"/"+sk)
			}
		}
	}
	return keys
}

// conflicts makes a server that does one thing after the other behave as the service does when transactions meet: an item
// that is part of one under way cancels every other one.
type conflicts struct {
	latency time.Duration

	mu     sync.Mutex
	locked map[string]bool
	met    int
}

func (k *conflicts) plan(c *call) (*http.Response, error) {
	if !strings.HasPrefix(c.op, "Transact") {
		return c.pass()
	}
	keys, reads := c.written(), c.op == "TransactGetItems"
	if place := k.lock(keys, reads); place >= 0 {
		return cancelled(len(keys), place, "TransactionConflict")
	}
	if reads {
		return c.pass()
	}
	defer k.unlock(keys)
	time.Sleep(k.latency) // what the service takes, and the server does not
	return c.pass()
}

func (k *conflicts) lock(keys []string, reads bool) (place int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for i, key := range keys {
		if k.locked[key] {
			k.met++
			return i
		}
	}
	if reads { // they hinder nobody
		return -1
	}
	if k.locked == nil {
		k.locked = make(map[string]bool)
	}
	for _, key := range keys {
		k.locked[key] = true
	}
	return -1
}

// conflicts returns how often a transaction has met another one.
func (k *conflicts) conflicts() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.met
}

func (k *conflicts) unlock(keys []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, key := range keys {
		delete(k.locked, key)
	}
}

// chaos does everything that can go wrong at random.
func chaos(seed uint64) func(*call) (*http.Response, error) {
	var mu sync.Mutex
	random := rand.New(rand.NewPCG(seed, 1))
	return func(c *call) (*http.Response, error) {
		mu.Lock()
		dice, n := random.IntN(120), len(c.written())
		place := random.IntN(max(n, 1))
		mu.Unlock()
		transact := c.op == "TransactWriteItems"
		switch {
		case dice == 0:
			return nil, errReset
		case dice == 1:
			return c.lost()
		case dice == 2:
			return c.cut()
		case dice == 3 && transact:
			return c.twice()
		case dice == 4 && transact:
			if _, err := c.lost(); err != nil { // carried out, and reported as in conflict when it is repeated
				return cancelled(n, 0, "TransactionConflict")
			}
		case dice == 5 && n > 0:
			return cancelled(n, place, "ThrottlingError")
		case dice == 6:
			return failure(http.StatusBadRequest, "ProvisionedThroughputExceededException", nil)
		case dice == 7:
			return failure(http.StatusInternalServerError, "InternalServerError", nil)
		case dice == 8 && transact: // no room here, says a condition that is fine
			return cancelled(n, n-1, "ConditionalCheckFailed")
		}
		return c.pass()
	}
}

// lostOnce loses the reply to the first transaction.
func lostOnce(c *call) (*http.Response, error) {
	if c.op == "TransactWriteItems" && c.nth == 1 {
		return c.lost()
	}
	return c.pass()
}
