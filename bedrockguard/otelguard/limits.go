package otelguard

import (
	"cmp"
	"context"
	"slices"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

const (
	// lookTimeout bounds the reading of the ledger.
	lookTimeout = 5 * time.Second
	// restFactor says how long balances are used if reading them was slow: if it took a second, for nine.
	restFactor = 9
)

// looks caches the balances that were read from the ledger. The first collection that finds them too old reads again, and others wait until it has.
type looks struct {
	turn  chan struct{} // a mutex: it holds one value while somebody uses the fields below
	last  []standing    // nil if the last reading failed
	until time.Time     // until when last is used, also if it is nil
}

// standing is the balance of one account, or the sum of several that are reported as one.
type standing struct {
	attrs                     attribute.Set
	spent, pending, left, max float64 // in dollars, tokens or calls
}

// observe reports the gauges at a collection: the balances, and how many answers are being read for nobody. What could not be read is left out: a
// missing figure is noticed, while a wrong one would be believed.
func (t *Telemetry) observe(ctx context.Context, o metric.Observer) error {
	if d := t.drainer.Load(); d != nil {
		o.ObserveInt64(t.instruments.drains, int64(d.draining()))
	}
	if t.opts.Ledger == nil {
		return nil
	}
	for _, s := range t.standings(ctx) {
		with := metric.WithAttributeSet(s.attrs)
		o.ObserveFloat64(t.instruments.spent, s.spent, with)
		o.ObserveFloat64(t.instruments.pending, s.pending, with)
		o.ObserveFloat64(t.instruments.left, s.left, with)
		o.ObserveFloat64(t.instruments.max, s.max, with)
	}
	return nil
}

// standings returns recent balances, or nil if they can't be read.
func (t *Telemetry) standings(ctx context.Context) []standing {
	select {
	case t.looks.turn <- struct{}{}:
		defer func() { <-t.looks.turn }()
	case <-ctx.Done():
		return nil
	}
	began := time.Now()
	if began.Before(t.looks.until) {
		return t.looks.last
	}
	// The reading goes on if this collection is cancelled, because the next one uses the result too.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), lookTimeout)
	defer cancel()
	balances, err := t.balances(ctx)
	t.looks.last = nil
	if err != nil {
		t.instruments.failures.Add(ctx, 1)
	} else {
		t.looks.last = t.tell(balances)
	}
	t.looks.until = time.Now().Add(max(t.opts.Every, restFactor*time.Since(began)))
	return t.looks.last
}

// balances reads the balance of each account. A limit that is not split has one, even if nothing was booked there.
func (t *Telemetry) balances(ctx context.Context) ([]budget.AccountBalance, error) {
	policy := t.opts.Ledger.Policy()
	booked := make(map[string]bool)
	var all []budget.AccountBalance
	for s, err := range t.opts.Ledger.Standing(ctx, policy, budget.AccountQuery{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, s.Balance)
		booked[s.Balance.Limit] = true
	}
	for _, l := range policy.Limits {
		split := l.Per != 0 || len(l.PerTags) > 0 // into accounts, which exist once something was booked there
		if !split && !booked[l.Name] {
			none := budget.Quantity{Unit: l.Max.Unit}
			all = append(all, budget.AccountBalance{Limit: l.Name, Max: l.Max, Settled: none, Pending: none, Observe: l.Observe})
		}
	}
	return all, nil
}

// tell makes of balances what is reported: the fullest accounts of each limit by name, and for each limit one sum of the others. Once there are
// MaxSeries, all further accounts are in such sums.
func (t *Telemetry) tell(balances []budget.AccountBalance) []standing {
	slices.SortFunc(balances, func(a, b budget.AccountBalance) int {
		return cmp.Or(cmp.Compare(fullness(&b), fullness(&a)), cmp.Compare(a.Limit, b.Limit), cmp.Compare(a.Scope.String(), b.Scope.String()))
	})
	var told []standing
	index := make(map[attribute.Distinct]int) // where in told the standing with these attributes is: balances with the same ones are added up
	named := make(map[string]int)             // how many accounts of each limit are reported by name
	for i := range balances {
		b := &balances[i]
		byName := named[b.Limit] < t.opts.MaxValues && len(told) < t.opts.MaxSeries
		if byName {
			named[b.Limit]++
		}
		attrs := t.account(b, byName)
		key := attrs.Equivalent() // equal for equal sets
		at, known := index[key]
		if !known {
			at, told = len(told), append(told, standing{attrs: attrs})
			index[key] = at
		}
		told[at].add(b)
	}
	return told
}

// add adds the balance of one account.
func (s *standing) add(b *budget.AccountBalance) {
	s.spent += amount(b.Settled)
	s.pending += amount(b.Pending)
	s.left += amount(b.Left())
	s.max += amount(b.Max)
}

// account returns the attributes for an account: by name, or those that all other accounts of its limit share.
func (t *Telemetry) account(b *budget.AccountBalance, byName bool) attribute.Set {
	attrs := []attribute.KeyValue{t.cardinality.value(keyLimit, b.Limit), attribute.String(keyUnit, b.Max.Unit.String()), attribute.Bool(keyEnforced, !b.Observe)}
	if !byName {
		return attribute.NewSet(append(attrs, attribute.String(keyAccount, other))...)
	}
	// tell bounds how many accounts get here, so cardinality need not bound these values.
	for key, value := range map[string]string{keyAccount: b.Scope.String(), keyWorkflow: b.Scope.Workflow, keyPrincipal: b.Scope.Principal} {
		if value != "" {
			attrs = append(attrs, attribute.String(key, clean(value)))
		}
	}
	return attribute.NewSet(attrs...)
}

// fullness returns which part of an account's maximum is spent or reserved.
func fullness(b *budget.AccountBalance) float64 {
	return (float64(b.Settled.N) + float64(b.Pending.N)) / max(float64(b.Max.N), 1)
}

// amount returns a quantity in dollars, tokens or calls.
func amount(q budget.Quantity) float64 {
	if q.Unit == budget.UnitUSD {
		return float64(q.N) / 1e9
	}
	return float64(q.N)
}
