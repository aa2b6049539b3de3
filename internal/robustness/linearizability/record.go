package linearizability

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/anishathalye/porcupine"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// recorder carries a plan out against a store and writes down who was told what, when.
type recorder struct {
	plan   *plan
	stores []budget.Store // handles on one ledger, as processes would have them
	first  int64          // the ledger's revision before the history began
	nonce  uint64         // a part of all ids, which keeps this history apart from others in the same ledger
	lost   func() int     // how many messages got lost so far
	begun  time.Time      // times in the history count from here
	late   sync.WaitGroup // the requests of sendLate

	mu      sync.Mutex
	history []porcupine.Operation
	clients int           // how many numbers of clients were used; see note
	failed  []error       // what stores answered that is no answer of the contract
	seen    map[int]int64 // by change: the revision that its client had seen before it asked first
}

// record runs a plan to its end and returns the history, and the errors that left a client without an answer. lost returns how many messages the
// network has lost so far; nil says that it loses none.
func record(ctx context.Context, p *plan, stores []budget.Store, lost func() int) ([]porcupine.Operation, []error) {
	if lost == nil {
		lost = func() int { return 0 }
	}
	r := &recorder{plan: p, stores: stores, nonce: rand.Uint64(), lost: lost, begun: time.Now(), clients: len(p.clients), seen: make(map[int]int64)}
	if first, err := stores[0].Revision(ctx); err == nil { // else first stays 0, and tellRevisions reads the whole audit trail
		r.first = first
	}
	var clients sync.WaitGroup
	for c := range p.clients {
		clients.Go(func() {
			random := rand.New(rand.NewPCG(p.seed, uint64(c)))
			for _, o := range p.clients[c] {
				r.do(ctx, c, o, random)
			}
		})
	}
	clients.Wait()
	r.late.Wait()
	r.tellRevisions(ctx)
	return r.history, r.failed
}

// tellRevisions writes down which revision each change has made, by the audit trail.
func (r *recorder) tellRevisions(ctx context.Context) {
	made, err := r.trail(ctx)
	if err != nil {
		r.failed = append(r.failed, err)
		return
	}
	for i := range r.history {
		o := r.history[i].Input.(op)
		if o.isChange() {
			o.revision = made[r.changeID(o.change)] // 0 if the trail does not have it
			r.history[i].Input = o
		}
	}
}

// trail returns the revisions of all changes since the history began, by the changes' ids.
func (r *recorder) trail(ctx context.Context) (map[budget.ID]int64, error) {
	made := make(map[budget.ID]int64)
	for after := r.first; ; {
		page, err := r.page(ctx, after)
		if err != nil {
			return nil, err
		}
		if len(page) == 0 { // the end of the trail
			return made, nil
		}
		for _, record := range page {
			made[record.ID] = record.Revision
		}
		after = page[len(page)-1].Revision
	}
}

// page reads the next part of the audit trail. It asks again if the network has lost a message.
func (r *recorder) page(ctx context.Context, after int64) (page []driver.Record, err error) {
	for range 20 {
		if page, err = r.stores[0].Changes(ctx, after, 1000); err == nil {
			break
		}
	}
	return page, err
}

// look sets op.seen of a change: the ledger's revision before its client asked first, which a repeat keeps. A change has one client, so that nobody
// else looks for it meanwhile. It returns false if the revision can't be read; then the change is left out.
func (r *recorder) look(ctx context.Context, s budget.Store, o op) (op, bool) {
	r.mu.Lock()
	seen, known := r.seen[o.change]
	r.mu.Unlock()
	if !known {
		var err error
		if seen, err = s.Revision(ctx); err != nil {
			return o, false
		}
		r.mu.Lock()
		r.seen[o.change] = seen
		r.mu.Unlock()
	}
	o.seen = seen
	return o, true
}

// changeID returns the id of change n of the plan. It differs from every id of a reservation by the bit above the number.
func (r *recorder) changeID(n int) (id budget.ID) {
	binary.BigEndian.PutUint64(id[:], r.nonce)
	binary.BigEndian.PutUint64(id[8:], 1<<32|uint64(n))
	return id
}

// change returns what a store needs to know of a change.
func (r *recorder) change(o op) driver.Change {
	return driver.Change{ID: r.changeID(o.change), Seen: o.seen, Operator: "history"}
}

// maxLate is how long a request may be under way after its client gave up.
const maxLate = 3 * time.Millisecond

// do carries out one operation of a client, lets it meet its loss, and writes down what the client learns. The losses are played here: a client that
// gets no answer has asked the store after all (replyLost), asks it later (sentLate), or does not ask (neverSent).
// One that has its answer may ask once more later (repeatedLate).
func (r *recorder) do(ctx context.Context, client int, o op, random *rand.Rand) {
	store := r.stores[random.IntN(len(r.stores))]
	if o.isChange() { // it needs the revision that its client has seen
		var ok bool
		if o, ok = r.look(ctx, store, o); !ok {
			return
		}
	}
	call := time.Since(r.begun)
	switch o.loss {
	case neverSent: // all that is done is to write it down
		r.note(client, o, noAnswer, call)
	case sentLate:
		r.note(client, o, noAnswer, call)
		r.sendLate(ctx, store, o, random)
	case repeatedLate:
		r.doNow(ctx, store, client, o, call)
		r.note(client, o, noAnswer, time.Since(r.begun)) // the repetition is an operation of its own, to which nobody hears the answer
		r.sendLate(ctx, store, o, random)
	default: // delivered or replyLost
		r.doNow(ctx, store, client, o, call)
	}
}

// noAnswer is what a client learns that gets no answer.
var noAnswer = result{unknown: true}

// doNow asks the store, and writes the answer down unless it is lost. call is when the client asked.
func (r *recorder) doNow(ctx context.Context, store budget.Store, client int, o op, call time.Duration) {
	before := r.lost()
	got, err := r.ask(ctx, store, o)
	// If the network has lost a message, the store's client may have sent the request twice, and the answer is that to the second: so the first is
	// one more operation in the history, without an answer.
	if err == nil && r.lost() > before {
		r.note(client, o, noAnswer, call)
	}
	if err != nil {
		r.mu.Lock()
		r.failed = append(r.failed, fmt.Errorf("%s: %w", o, err))
		r.mu.Unlock()
	}
	if err != nil || o.loss == replyLost {
		got = noAnswer
	}
	r.note(client, o, got, call)
}

// sendLate lets a request arrive when nobody waits for it any more, so that its answer is dropped.
func (r *recorder) sendLate(ctx context.Context, store budget.Store, o op, random *rand.Rand) {
	wait := time.Duration(random.Int64N(int64(maxLate >> random.IntN(8)))) // often much shorter, because a fast store ends a history early
	r.late.Go(func() {
		time.Sleep(wait) // this is the network, and not a wait for anything
		_, _ = r.ask(ctx, store, o)
	})
}

// note writes an operation down. One without an answer never ends. The checker allows each client one operation at a time, so such an operation gets
// a client number of its own.
func (r *recorder) note(client int, o op, got result, call time.Duration) {
	back := time.Since(r.begun)
	r.mu.Lock()
	defer r.mu.Unlock()
	if got.unknown {
		back, client = math.MaxInt64, r.clients
		r.clients++
	}
	r.history = append(r.history, porcupine.Operation{ClientId: client, Input: o, Call: int64(call), Output: got, Return: int64(back)})
}

// ask puts one operation to a store. Errors that the store's contract has for refusals are part of the result; err is any other.
func (r *recorder) ask(ctx context.Context, s budget.Store, o op) (got result, err error) {
	switch o.kind {
	case reserve:
		return r.reserve(ctx, s, o)
	case settle:
		var p driver.Posting
		p, err = s.Settle(ctx, driver.Settlement{ID: r.id(o.hold), Owner: r.owner(), Actual: usd(o.amount), Lines: r.lines(r.plan.holds[o.hold].accounts)})
		got.from, got.replayed = p.From, p.Replayed
	case void:
		err = s.Void(ctx, r.id(o.hold), r.owner())
	case correct:
		var p driver.Posting
		p, err = s.Correct(ctx, driver.Correction{ID: r.id(o.hold), Actual: usd(o.amount), Change: r.change(o)})
		got.from, got.replayed = p.From, p.Replayed
	case killFlag:
		err = s.Kill(ctx, budget.Kill{Scope: r.scope(o.flag), Reason: "history"}, r.change(o))
	case reviveFlag:
		err = s.Revive(ctx, budget.Flag{Scope: r.scope(o.flag)}, r.change(o))
	default:
		return r.balances(ctx, s)
	}
	return answer(got, err)
}

// reserve does what ask does, for a reserve.
func (r *recorder) reserve(ctx context.Context, s budget.Store, o op) (got result, err error) {
	h := r.plan.holds[o.hold]
	d, err := s.Reserve(ctx, driver.Reservation{
		ID: r.id(o.hold), Owner: r.owner(), Charge: usd(h.reserved(o.other)), Lines: r.lines(h.accounts),
		Dims: r.scope(h.flag).Dims(), TTL: time.Hour,
	})
	got.admitted, got.replayed, got.killed = d.Admitted, d.Replayed, d.Killed != nil // Killed is the flag that refuses it, or nil
	if len(d.Denied) > 0 {
		first := d.Denied[0]
		got.denied, got.line, got.at = true, first.Line, sums{first.Settled, first.Pending}
	}
	if err == nil && !got.admitted && !got.killed && !got.denied {
		return got, errors.New("neither admitted nor refused")
	}
	return answer(got, err)
}

// balances does what ask does, for the balances of all accounts.
func (r *recorder) balances(ctx context.Context, s budget.Store) (got result, err error) {
	all, err := s.Balances(ctx, r.lines([]int{0, 1, 2})) // the numbers of all numAccounts accounts
	if err == nil && len(all) != numAccounts {
		err = fmt.Errorf("%d balances of %d accounts", len(all), numAccounts)
	}
	for a := range min(len(all), numAccounts) {
		got.accounts[a] = sums{all[a].Settled, all[a].Pending}
	}
	return answer(got, err)
}

// answer turns an error that the store's contract has for a refusal into a result, and returns any other as it is.
func answer(got result, err error) (result, error) {
	if err == nil {
		return got, nil
	}
	for _, own := range [...]error{driver.ErrResolved, driver.ErrIDConflict, budget.ErrNotFound, budget.ErrSuperseded} {
		if errors.Is(err, own) {
			return result{err: own}, nil
		}
	}
	return result{}, err
}

// id returns the id of a reservation.
func (r *recorder) id(hold int) (id budget.ID) {
	binary.BigEndian.PutUint64(id[:], r.nonce)
	binary.BigEndian.PutUint64(id[8:], uint64(hold)+1) // below 1<<32, the bit that changeID sets
	return id
}

// owner returns the owner of all reservations: any will do, as long as it is the same for each request.
func (r *recorder) owner() budget.Key { return budget.Key{15: 1} }

// scope returns the scope that a flag kills. Reservations that fall under the flag have it too.
func (r *recorder) scope(flag int) budget.Scope {
	return budget.Scope{Workflow: fmt.Sprintf("history-%x-%d", r.nonce, flag)}
}

// lines returns what a store checks for a reservation in these accounts: one line each, with the account's limit.
func (r *recorder) lines(accounts []int) []driver.Line {
	lines := make([]driver.Line, len(accounts))
	for i, a := range accounts {
		lines[i] = driver.Line{Account: r.account(a), Unit: budget.UnitUSD, Window: budget.Lifetime, Max: r.plan.max[a]}
	}
	return lines
}

// account returns the key of an account. Keys ascend with the accounts' numbers, because a store requires lines in the order of their keys.
func (r *recorder) account(a int) (key budget.Key) {
	binary.BigEndian.PutUint64(key[:], r.nonce)
	key[15] = byte(a + 1)
	return key
}

// usd returns a charge of n nano-USD.
func usd(n int64) (c budget.Charge) {
	c[budget.UnitUSD] = n
	return c
}
