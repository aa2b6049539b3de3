package dynamostore

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// The attributes of a kill flag's item.
const (
	attrDims   = "di"
	attrScope  = "sc"
	attrReason = "re"
	attrKilled = "ka"
	attrNonce  = "kn"
)

// token stands for a set of kill flags. All gates hold the token of the flags in force, and each Reserve requires the one
// whose flags it knows, so that it needs not read them. It is the exclusive or of a salt and of all nonces, and no token
// ever comes back: a change that arrives a second time, long after, finds another one.
type token [16]byte

func (t token) toggled(nonce token) token {
	for i := range t {
		t[i] ^= nonce[i]
	}
	return t
}

// kill is a flag with the keys that it looks for.
type kill struct {
	budget.Kill
	dims  []budget.Key
	nonce token
}

func (k *kill) holds(dims []budget.Key) bool {
	return !slices.ContainsFunc(k.dims, func(d budget.Key) bool { return !slices.Contains(dims, d) })
}

// flags are all kill flags of one moment.
type flags struct {
	token token
	all   []kill
}

// killed returns a copy of the first flag that holds, or nil.
func (f flags) killed(dims []budget.Key) *budget.Kill {
	for i := range f.all {
		if f.all[i].holds(dims) {
			k := f.all[i].copy()
			return &k
		}
	}
	return nil
}

// copy shares nothing with what is remembered.
func (k *kill) copy() budget.Kill {
	own := k.Kill
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
	known flags
}

func (m *flagMemory) get() flags {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.known
}

func (m *flagMemory) set(f flags) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.known = f
}

// flagsOf returns the flags that a token stands for: those remembered, or those read now. A query sees a transaction that
// is being carried out in part, so what it finds must add up to the token.
func (s *Store) flagsOf(ctx context.Context, g gate) (flags, error) {
	if known := s.flags.get(); known.token == g.token {
		return known, nil
	}
	found, err := s.readFlags(ctx)
	if err != nil {
		return flags{}, err
	}
	if found.token = found.token.toggled(g.salt); found.token != g.token {
		return flags{}, errMoved
	}
	s.flags.set(found)
	return found, nil
}

func (s *Store) readFlags(ctx context.Context) (found flags, err error) {
	in := dynamodb.QueryInput{
		KeyConditionExpression: aws.String("pk = :kill"), ExpressionAttributeValues: item{":kill": text(killPartition)},
	}
	err = s.query(ctx, in, func(raw item) (bool, error) {
		k, err := decodeKill(raw)
		found.all = append(found.all, k)
		found.token = found.token.toggled(k.nonce)
		return true, err
	})
	return found, err
}

func decodeKill(raw item) (kill, error) {
	r := reader{item: raw}
	k := kill{nonce: r.bytes16(attrNonce), Kill: budget.Kill{Reason: string(r.blob(attrReason, -1)), At: time.Unix(0, r.required(attrKilled))}}
	var ok [2]bool
	k.dims, ok[0] = decodeKeys(r.blob(attrDims, -1))
	k.Scope, ok[1] = decodeScope(r.blob(attrScope, -1))
	if !ok[0] || !ok[1] {
		r.fail(attrScope)
	}
	return k, r.err
}

func (k *kill) encode() (item, error) {
	scope, err := encodeScope(k.Scope)
	if err != nil {
		return nil, err
	}
	return killKey(k.dims).with(item{
		attrDims: blob(encodeKeys(k.dims)), attrScope: blob(scope), attrReason: blob([]byte(k.Reason)), attrKilled: number(k.At.UnixNano()),
		attrNonce: blob(k.nonce[:]),
	}), nil
}

// scopeJSON keeps a scope's text as bytes, because it need not be valid UTF-8.
type scopeJSON struct {
	Principal, Workflow, Model []byte
	Tags                       [][2][]byte
}

func encodeScope(s budget.Scope) ([]byte, error) {
	out := scopeJSON{Principal: []byte(s.Principal), Workflow: []byte(s.Workflow), Model: []byte(s.Model)}
	for k, v := range s.Tags {
		out.Tags = append(out.Tags, [2][]byte{[]byte(k), []byte(v)})
	}
	return json.Marshal(out)
}

func decodeScope(raw []byte) (budget.Scope, bool) {
	var in scopeJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return budget.Scope{}, false
	}
	s := budget.Scope{Principal: string(in.Principal), Workflow: string(in.Workflow), Model: string(in.Model)}
	for _, tag := range in.Tags {
		if s.Tags == nil {
			s.Tags = make(map[string]string, len(in.Tags))
		}
		s.Tags[string(tag[0])] = string(tag[1])
	}
	return s, true
}

// Kill implements budget.Store.
func (s *Store) Kill(ctx context.Context, k budget.Kill) error {
	flag := kill{Kill: k, dims: k.Scope.Dims(), nonce: random16()}
	return s.changeFlags(ctx, "kill", flag.dims, &flag)
}

// Revive implements budget.Store.
func (s *Store) Revive(ctx context.Context, scope budget.Scope) error {
	return s.changeFlags(ctx, "revive", scope.Dims(), nil)
}

// drainAfter is how often a change of flags is tried before reservations are asked to wait. A transaction over all gates
// is in conflict with every reservation that is under way.
const drainAfter = 2

// changeFlags puts a flag in the place of another one, or of none, and changes the token in all gates with it. A nil flag
// removes.
func (s *Store) changeFlags(ctx context.Context, op string, dims []budget.Key, flag *kill) error {
	attempts := 0
	return s.do(ctx, op, func(ctx context.Context, _ *step) error {
		items, err := s.snapshot(ctx, []itemKey{gateKey(0), killKey(dims)})
		if err != nil {
			return err
		}
		g, err := s.gate(items[0])
		if err != nil {
			return err
		}
		nonces, x := g.token.toggled(g.salt), &expression{}
		if len(items[1]) == 0 {
			x.requireNone(partitionKey)
		} else {
			before, err := decodeKill(items[1])
			if err != nil {
				return err
			}
			if flag != nil && before.nonce == flag.nonce {
				return nil // an earlier attempt did it, and its reply was lost
			}
			nonces = nonces.toggled(before.nonce)
			x.require(attrNonce, "=", blob(before.nonce[:]))
		}
		if flag == nil && len(items[1]) == 0 {
			return nil
		}
		now, err := s.clock.now()
		if err != nil {
			return err
		}
		action := s.remove(killKey(dims), x)
		if flag != nil {
			flag.At = now
			nonces = nonces.toggled(flag.nonce)
			whole, err := flag.encode()
			if err != nil {
				return err
			}
			action = s.put(whole, x)
		}
		actions := append(s.switchGates(g, nonces), action)
		if attempts++; attempts <= drainAfter {
			return s.write(ctx, actions)
		}
		if err := s.drain(ctx, g, now); err != nil {
			return err
		}
		return s.insist(ctx, actions)
	})
}

// insist sends a transaction until it is not in conflict any more.
func (s *Store) insist(ctx context.Context, actions []types.TransactWriteItem) error {
	for tries := 1; ; tries++ {
		err := s.write(ctx, actions)
		var transient *transientError
		if !errors.As(err, &transient) || !pause(ctx, movedPause, min(tries, 4)) {
			return err
		}
	}
}

// switchGates gives all gates another token, in place of the one that they have, for flags of these nonces.
func (s *Store) switchGates(g gate, nonces token) []types.TransactWriteItem {
	next := token(random16())
	salt := next.toggled(nonces)
	actions := make([]types.TransactWriteItem, 0, gateCount+1)
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

// drain asks reservations to wait, gate by gate, so that the transaction over all gates finds them free.
func (s *Store) drain(ctx context.Context, g gate, now time.Time) error {
	until := number(now.Add(drainTime).UnixNano())
	errs := make([]error, drainWorkers)
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

// drainGate asks at one gate. It is a transaction so that it can be told how it failed.
func (s *Store) drainGate(ctx context.Context, g gate, n int, until types.AttributeValue) error {
	x := &expression{}
	x.require(attrEpoch, "=", blob(g.epoch[:]))
	x.require(attrToken, "=", blob(g.token[:]))
	x.set(attrDrain, until)
	return s.insist(ctx, []types.TransactWriteItem{s.update(gateKey(n), x)})
}

// Kills implements budget.Store.
func (s *Store) Kills(ctx context.Context) (all []budget.Kill, err error) {
	err = s.do(ctx, "kills", func(ctx context.Context, _ *step) error {
		g, err := s.readGate(ctx)
		if err != nil {
			return err
		}
		f, err := s.flagsOf(ctx, g)
		if err != nil {
			return err
		}
		all = make([]budget.Kill, len(f.all))
		for i := range f.all {
			all[i] = f.all[i].copy()
		}
		return nil
	})
	return all, err
}
