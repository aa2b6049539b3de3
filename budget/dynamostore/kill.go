package dynamostore

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// The attributes of a kill flag's item.
const (
	attrDims   = "di" // the keys of the flag's dimensions, the scope values that it sets
	attrScope  = "sc"
	attrReason = "re"
	attrKilled = "ka" // when it was set
	attrNonce  = "kn" // random, new each time the flag is set: see token
	attrMade   = "km" // the revision that set it; none if that was before there were any
	// A flag with patterns or with an end has these, and no attrScope: a library that knows neither can't read it, and refuses.
	attrNewScope = "ns"
	attrPatterns = "kp"
	attrUntil    = "ku" // 0 for never
)

// token stands for a set of kill flags. A gate is an item that holds the ledger's epoch, its random name, and the token of the flags in force. Each
// Reserve checks one of the gates, which are all alike, and requires the token whose flags it knows, so that it needs not read the flags. Each change
// of the flags makes a new random token, and none ever comes back: a change that arrives a second time, long after, finds another token than it
// requires. Beside the token, a gate has a salt, which is made to fit: the exclusive or of the salt and of the nonces of all flags is the token, so
// that whoever reads the flags can tell whether these are all.
type token [16]byte

// toggled returns the exclusive or of t and a nonce: it puts the nonce in, or takes it out.
func (t token) toggled(nonce token) token {
	for i := range t {
		t[i] ^= nonce[i]
	}
	return t
}

// kill is a flag as it is stored.
type kill struct {
	driver.Kill
	dims  []driver.Key // the keys of its dimensions, all of which a call must have for the flag to refuse it
	nonce token
	made  int64 // the revision that set it; 0 if that was before there were any
}

// holds reports whether the flag refuses a reservation at a moment. For the zero time it does not ask whether the flag has ended.
func (k *kill) holds(r *driver.Reservation, now time.Time) bool {
	if !now.IsZero() && k.ended(now) {
		return false
	}
	if k.Patterns { // its values are compared with the call's own, as patterns
		return r.Call != nil && k.Holds(r.Call.Scope)
	}
	dims := r.Dims // all dimensions of the flag have to be among these
	return !slices.ContainsFunc(k.dims, func(d driver.Key) bool { return !slices.Contains(dims, d) })
}

// ended reports whether the flag had an end, which has passed.
func (k *kill) ended(now time.Time) bool { return !k.Until.IsZero() && !now.Before(k.Until) }

// flags are all kill flags of one moment.
type flags struct {
	token token
	all   []kill
}

// killed returns a copy of the first flag that refuses a reservation at a moment, or, for the zero time, whether or not it has ended; nil if none
// does.
func (f flags) killed(r *driver.Reservation, now time.Time) *driver.Kill {
	for i := range f.all {
		if f.all[i].holds(r, now) {
			k := f.all[i].copy()
			return &k
		}
	}
	return nil
}

// copy returns the flag as the contract has it. It shares nothing with what is remembered, so that a caller may change it.
func (k *kill) copy() driver.Kill {
	own := k.Kill // of its fields, only the tags can be changed through a copy
	if own.Scope.Tags != nil {
		tags := make(map[string]string, len(own.Scope.Tags))
		for name, value := range own.Scope.Tags {
			tags[name] = value
		}
		own.Scope.Tags = tags
	}
	return own
}

// flagMemory holds the flags that were last read.
type flagMemory struct {
	mu    sync.Mutex
	known flags // never changed in place
}

// get returns the flags that are remembered.
func (m *flagMemory) get() flags {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

// set remembers flags in the place of the others.
func (m *flagMemory) set(f flags) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = f
}

// flagsOf returns the flags that the token of a gate stands for: those remembered, or those read now. A query may see a part of a transaction that is
// being carried out, so what it finds must add up to the token; flagsGone says what it means if it does not.
func (s *Store) flagsOf(ctx context.Context, g gate) (flags, error) {
	if known := s.flags.get(); known.token == g.token {
		return known, nil
	}
	found, err := s.readFlags(ctx)
	if err != nil {
		return flags{}, err
	}
	if found.token = found.token.toggled(g.salt); found.token != g.token {
		return flags{}, s.flagsGone(ctx, g, found)
	}
	s.flags.set(found)
	return found, nil
}

// readFlags reads all flags. The token in the result is the exclusive or of their nonces, still without a gate's salt.
func (s *Store) readFlags(ctx context.Context) (found flags, err error) {
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :kill"), ExpressionAttributeValues: item{":kill": text(killPartition)},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		k, err := decodeKill(raw)
		found.all = append(found.all, k)
		found.token = found.token.toggled(k.nonce)
		return true, err // on to the next item
	})
	return found, err
}

// decodeKill decodes a flag's item. A flag with patterns or an end has its scope in another attribute: see encode.
func decodeKill(raw item) (kill, error) {
	r := reader{item: raw}
	// With -1, blob takes any length, and nil stands for an attribute that is missing.
	k := kill{nonce: r.bytes16(attrNonce), Kill: driver.Kill{Reason: string(r.blob(attrReason, -1)), At: time.Unix(0, r.required(attrKilled))}}
	dims, dimsFit := decodeKeys(r.blob(attrDims, -1))
	k.dims = dims
	k.made, _ = r.number(attrMade)
	encoded := r.blob(attrScope, -1)
	if encoded == nil {
		encoded = r.blob(attrNewScope, -1)
		k.Patterns, k.Until = r.flag(attrPatterns), account.Ended(r.required(attrUntil)) // the zero time if the flag never ends
	}
	scope, err := account.DecodeScope(encoded)
	k.Scope = scope
	if err != nil || !dimsFit { // the error names the scope for both
		r.fail(attrScope)
	}
	return k, r.err
}

// encode returns a flag's item. An earlier library knows neither patterns nor ends, and must not take such a flag for a plain one: so the scope
// of such a flag is in attrNewScope, where that library does not find it, which is an error there.
func (k *kill) encode() (item, error) {
	scope, err := account.EncodeScope(k.Scope)
	if err != nil {
		return nil, err
	}
	out := killKey(k.Flag()).with(item{
		attrDims: blob(encodeKeys(k.dims)), attrReason: blob([]byte(k.Reason)), attrKilled: number(k.At.UnixNano()), attrNonce: blob(k.nonce[:]),
		attrMade: number(k.made),
	})
	if !k.Patterns && k.Until.IsZero() {
		out[attrScope] = blob(scope)
		return out, nil
	}
	// account.End returns 0 for a flag that never ends.
	out[attrNewScope], out[attrPatterns], out[attrUntil] = blob(scope), number(0), number(account.End(k.Until))
	if k.Patterns {
		out[attrPatterns] = number(1)
	}
	return out, nil
}

// Kill implements driver.Store. Once it has returned, no process admits a call that the flag covers: see changeFlags.
func (s *Store) Kill(ctx context.Context, k driver.Kill, c driver.Change) error {
	if err := cmp.Or(c.Validate(), k.Validate()); err != nil {
		return err
	}
	flag := kill{Kill: k, dims: k.Scope.Dims(), nonce: random16()}
	r := driver.Record{Change: c, Kind: driver.ChangeKill, Scope: k.Scope, Patterns: k.Patterns, Until: k.Until}
	return s.changeFlags(ctx, "kill", r, &flag)
}

// Revive implements driver.Store. It removes the flag that Kill has set.
func (s *Store) Revive(ctx context.Context, f driver.Flag, c driver.Change) error {
	r := driver.Record{Change: c, Kind: driver.ChangeRevive, Scope: f.Scope, Patterns: f.Patterns}
	return s.changeFlags(ctx, "revive", r, nil)
}

// drainAfter is how often a change of flags is tried before reservations are asked to wait. Its transaction changes all gates, and is in conflict
// with every reservation that is under way, as each of them checks a gate.
const drainAfter = 2

// changeFlags sets a flag, in the place of the one with the same scope if there is one. If flag is nil, it removes the one with the scope of r, which
// is the change's record.
// The same transaction gives all gates another token: a reservation that does not know the flag yet fails from then on, and reads the flags.
func (s *Store) changeFlags(ctx context.Context, op string, r driver.Record, flag *kill) error {
	if err := r.Change.Validate(); err != nil {
		return err
	}
	writes := 0
	return s.do(ctx, op, func(ctx context.Context, t *step) error { return s.changeFlagsOnce(ctx, t, r, flag, &writes) })
}

// changeFlagsOnce is one attempt at changeFlags. writes is how many attempts have come as far as to write all gates.
func (s *Store) changeFlagsOnce(ctx context.Context, t *step, r driver.Record, flag *kill, writes *int) error {
	unlock, err := s.changeLock.lock(ctx)
	if err != nil {
		return err
	}
	defer unlock()
	// This read comes first: if flags change after it, so does the ledger's revision, and the transaction fails.
	c, err := s.readChange(ctx, t, r)
	if err != nil {
		return err
	}
	if !c.fresh[0] { // nothing is to be done: an earlier attempt did it; or somebody has decided otherwise since, which superseded says
		_, err := s.readGate(ctx) // only to find out whether this is still the ledger
		return errors.Join(err, c.superseded())
	}
	f, err := s.readFlagChange(ctx, c, driver.Flag{Scope: r.Scope, Patterns: r.Patterns}, flag)
	if err != nil {
		return err
	}
	recorded, err := s.recordChange(c, f.now)
	if err != nil {
		return err
	}
	if flag == nil && len(f.before) == 0 { // there is no flag to remove: only the audit trail is written
		// checkEpoch requires the ledger's name in a gate, which switchGates requires otherwise.
		return s.write(ctx, append(recorded, s.checkEpoch(driver.ID{}), s.checkNoFlag(f.of)))
	}
	changes, err := s.flagActions(ctx, f)
	if err != nil {
		return err
	}
	*writes++
	return s.writeFlags(ctx, f, append(recorded, changes...), *writes > drainAfter)
}

// checkNoFlag returns the action that lets a transaction pass only if a flag is not set.
func (s *Store) checkNoFlag(of driver.Flag) types.TransactWriteItem {
	x := &expression{}
	x.requireNone(partitionKey)
	return s.check(killKey(of), x)
}

// writeFlags sends the transaction of a change of flags. hold says that reservations have to wait until the flag is set, because the attempts before
// have failed: as a rule, they met reservations.
func (s *Store) writeFlags(ctx context.Context, f flagChange, actions []types.TransactWriteItem, hold bool) error {
	if !hold {
		return s.write(ctx, actions)
	}
	if err := s.drain(ctx, f.gate, f.now); err != nil {
		return err
	}
	return s.insist(ctx, actions)
}

// flagChange is one attempt at a change of a flag, with what was read for it at one moment.
type flagChange struct {
	*changing             // the state of the audit trail, which was read before that moment
	of        driver.Flag // the flag that is set or removed
	flag      *kill       // what is written in its place; nil if it is removed
	before    item        // its item as it was read; empty if no such flag is set
	gate      gate
	now       time.Time
}

// readFlagChange reads a gate and the item of a flag for a change of it. flag is nil if the change removes it.
func (s *Store) readFlagChange(ctx context.Context, c *changing, of driver.Flag, flag *kill) (f flagChange, err error) {
	items, err := s.snapshot(ctx, []itemKey{gateKey(0), killKey(of)})
	if err != nil {
		return f, err
	}
	f = flagChange{changing: c, of: of, flag: flag, before: items[1]}
	if f.gate, err = s.gate(items[0]); err != nil {
		return f, err
	}
	f.now, err = s.clock.now()
	return f, err
}

// flagActions returns the actions that make the change: they forget flags that have ended, give all gates another token, and set or remove the flag.
func (s *Store) flagActions(ctx context.Context, f flagChange) (actions []types.TransactWriteItem, err error) {
	replaced, nonces, err := s.replaceFlag(f)
	if err != nil {
		return nil, err
	}
	if f.flag != nil {
		if actions, err = s.makeRoom(ctx, f, &nonces); err != nil {
			return nil, err
		}
	}
	return append(append(actions, s.switchGates(f.gate, nonces)...), replaced), nil
}

// maxDropped is how many flags that have ended one change forgets. Its transaction has room for as many beside the gates and the audit trail.
const maxDropped = 20

// makeRoom returns the actions that forget flags that ended long ago. If the new flag has patterns, and there is no room for one more such flag, they
// also forget some with patterns that have ended since. nonces is the exclusive or of the nonces of all flags after the change: makeRoom takes those
// of the forgotten ones out.
func (s *Store) makeRoom(ctx context.Context, f flagChange, nonces *token) (actions []types.TransactWriteItem, err error) {
	known, err := s.flagsOf(ctx, f.gate)
	if err != nil {
		return nil, err
	}
	old, ended, patterns := known.beside(f.of, f.now)
	if f.flag.Patterns && patterns >= driver.MaxPatterns {
		if len(ended) == 0 {
			return nil, driver.ErrTooManyFlags
		}
		old = append(ended, old...) // first, because at least one with patterns has to go
	}
	for _, k := range old[:min(len(old), maxDropped)] {
		x := &expression{}
		x.require(attrNonce, "=", blob(k.nonce[:]))
		actions = append(actions, s.remove(killKey(k.Flag()), x))
		*nonces = nonces.toggled(k.nonce)
	}
	return actions, nil
}

// beside returns, of all flags but one, which is about to be replaced: those that ended longer ago than ended flags are kept; of the others, those
// with patterns that have ended; and how many of the others have patterns, whether or not they have ended.
func (f flags) beside(replaced driver.Flag, now time.Time) (old, ended []*kill, patterns int) {
	for i := range f.all {
		k := &f.all[i]
		if k.Flag().Object() == replaced.Object() {
			continue
		}
		if k.ended(now.Add(-driver.FlagRetention)) {
			old = append(old, k)
			continue
		}
		if k.Patterns {
			patterns++
			if k.ended(now) {
				ended = append(ended, k)
			}
		}
	}
	return old, ended, patterns
}

// replaceFlag returns the action that sets or removes the flag, and the exclusive or of the nonces of all flags after that.
func (s *Store) replaceFlag(f flagChange) (action types.TransactWriteItem, nonces token, err error) {
	// Token and salt together give the exclusive or of the nonces of all flags: here of those before the change.
	nonces, x := f.gate.token.toggled(f.gate.salt), &expression{}
	if len(f.before) == 0 {
		x.requireNone(partitionKey)
	} else {
		before, err := decodeKill(f.before)
		if err != nil {
			return action, nonces, err
		}
		if before.made > f.revision {
			return action, nonces, errMoved // it was set since the changes were read
		}
		changeKnown := f.known[0] // there is an item that says which change was the last of this flag
		if before.made > 0 && !changeKnown && len(s.acceptance()) == 0 {
			// A change has set the flag, and that item is lost. Without it, a repetition of the change that arrives late would look like a new one.
			// Only once an operator has accepted a loss does the step go on.
			return action, nonces, errHead
		}
		nonces = nonces.toggled(before.nonce)
		x.require(attrNonce, "=", blob(before.nonce[:]))
	}
	if f.flag == nil {
		return s.remove(killKey(f.of), x), nonces, nil
	}
	f.flag.At, f.flag.made = f.now, f.revision+1
	whole, err := f.flag.encode()
	return s.put(whole, x), nonces.toggled(f.flag.nonce), err
}

// insist sends a transaction again and again while it fails for a reason that passes, such as a conflict with another one, until the context ends.
// Its pauses stay below 17 ms, because reservations may be waiting for it.
func (s *Store) insist(ctx context.Context, actions []types.TransactWriteItem) error {
	for tries := 1; ; tries++ {
		err := s.write(ctx, actions)
		var transient *transientError
		// The bound of a pause doubles with the number of the try, here at most three times.
		if !errors.As(err, &transient) || !pause(ctx, movedPause, min(tries, 4)) {
			return err
		}
	}
}

// switchGates returns the actions that give all gates another token in the place of the one that they have, with a salt that fits to it and to the
// exclusive or of all flags' nonces. Reservations need not wait any more.
func (s *Store) switchGates(g gate, nonces token) []types.TransactWriteItem {
	next := token(random16())
	salt := next.toggled(nonces)
	actions := make([]types.TransactWriteItem, 0, gateCount+1) // and the flag's own action, which the caller appends
	for n := range gateCount {
		x := &expression{}
		x.require(attrEpoch, "=", blob(g.epoch[:]))
		x.require(attrToken, "=", blob(g.token[:]))
		x.set(attrToken, blob(next[:]))
		x.set(attrSalt, blob(salt[:]))
		x.set(attrDrain, number(0))
		actions = append(actions, s.update(gateKey(n), x))
	}
	return actions
}

// drainTime is how long reservations wait for a flag, should the process that sets it die.
const drainTime = 10 * time.Second

// drainWorkers is how many gates are asked at the same time.
const drainWorkers = 8

// drain writes into each gate, in a transaction of its own, until when reservations have to wait, so that the transaction that changes all gates
// finds no reservation under way.
func (s *Store) drain(ctx context.Context, g gate, now time.Time) error {
	until := number(now.Add(drainTime).UnixNano())
	errs := make([]error, drainWorkers) // by worker, which ends with its first error
	var workers sync.WaitGroup
	for w := range drainWorkers {
		workers.Go(func() {
			for n := w; n < gateCount && errs[w] == nil; n += drainWorkers {
				errs[w] = s.drainGate(ctx, g, n, until)
			}
		})
	}
	workers.Wait()
	return firstFinal(errs)
}

// firstFinal returns the error that decides what happens next: one that is final before one that may pass.
func firstFinal(errs []error) error {
	var passing error
	for _, err := range errs {
		var transient *transientError
		if err != nil && !errors.As(err, &transient) {
			return err
		}
		passing = cmp.Or(passing, err)
	}
	return passing
}

// drainGate is drain for one gate. It writes in a transaction, because only that says how it failed.
func (s *Store) drainGate(ctx context.Context, g gate, n int, until types.AttributeValue) error {
	x := &expression{}
	x.require(attrEpoch, "=", blob(g.epoch[:]))
	x.require(attrToken, "=", blob(g.token[:]))
	x.set(attrDrain, until)
	return s.insist(ctx, []types.TransactWriteItem{s.update(gateKey(n), x)})
}

// Kills implements driver.Store. It reads the flags only if the token in a gate shows that they have changed.
func (s *Store) Kills(ctx context.Context) (all []driver.Kill, err error) {
	err = s.do(ctx, "kills", func(ctx context.Context, _ *step) error {
		g, err := s.readGate(ctx)
		if err != nil {
			return err
		}
		f, err := s.flagsOf(ctx, g)
		if err != nil {
			return err
		}
		now, err := s.clock.now()
		if err != nil {
			return err
		}
		all = make([]driver.Kill, 0, len(f.all))
		for i := range f.all {
			if !f.all[i].ended(now) {
				all = append(all, f.all[i].copy())
			}
		}
		return nil
	})
	return all, err
}
