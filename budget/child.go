package budget

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/quote"
)

// Child is the budget of a sub-agent: a limit on the calls that are made under a context, in addition to all limits that apply there
// already.
type Child struct {
	// Name tells the children of one parent apart. It has no slash. Required. The path of names, as in "research/summarize", together with
	// the scope of the context, names the account, which never resets: a child with the same path continues where the earlier one stopped,
	// even in another process and after a crash. What is added to the scope below, such as Options.Identity's principal, does not split it.
	Name string
	// Max is the most that the child and its own children may spend together. It is lowered to what the parent has left. The zero Quantity
	// means all of that, in USD.
	Max Quantity
}

// childPrefix begins the names of children's limits, which no policy may use.
const childPrefix = "child:"

// branch is one child in the tree of children. The root of the tree, which stands for the calls outside of any child, is a nil *branch. Once a
// child is open, only its field ended changes.
type branch struct {
	node   *driver.Branch // what a scope holds to say that its calls belong to this child
	parent *branch        // nil for a child of the root
	path   string         // the names from the root to this child, joined with slashes
	depth  int            // 1 for a child of the root
	limit  Limit          // the child's own limit, whose name is childPrefix and the path
	ended  atomic.Bool    // the caller has ended the child: its calls are refused
}

// Child returns a context whose calls also count against a limit of their own, and a function that ends the child. From then on, calls under
// the context are refused with ErrInvalidScope, while calls in flight are settled as usual. end may be called several times and
// concurrently. Children nest.
//
// A child reserves nothing: what it does not spend stays with the parent, and nothing is lost if a process dies without end. Because
// siblings spend from the same parent, a call may be refused by a parent's limit before the child's is full; the *ExceededError names the
// limit, which for a child is "child:" and the path of names. If the parent has nothing left, Child returns an *ExceededError, and if the
// tree would be deeper or wider than Limit.MaxDepth and Limit.MaxChildren allow, an error that is ErrExceeded.
func (l *Ledger) Child(ctx context.Context, c Child) (child context.Context, end func(), err error) {
	s, err := ScopeFrom(ctx)
	if err != nil {
		return nil, nil, err
	}
	parent := branchOf(&s)
	next, err := parent.grow(&s, &c)
	if err != nil {
		return nil, nil, err
	}
	if err := parent.alive(); err != nil {
		return nil, nil, err
	}
	if next.limit.Max, err = l.allowance(ctx, s, next, c.Max); err != nil {
		return nil, nil, err
	}
	// The child is counted last, so that no error leaves it counted as open.
	leave, err := l.children.join(l.rules.Load().policy.Limits, s, next)
	if err != nil {
		return nil, nil, err
	}
	s = driver.WithBranch(s, next.node)
	end = sync.OnceFunc(func() {
		next.ended.Store(true)
		leave()
	})
	// The value that ScopeFrom finds in the context of a call.
	return context.WithValue(ctx, scopeKey{}, scopeValue{scope: s}), end, nil
}

// branchOf returns the child that the calls of a scope belong to; nil if they belong to none.
func branchOf(s *Scope) *branch {
	if node := driver.BranchOf(s); node != nil {
		return node.Child.(*branch)
	}
	return nil
}

// grow returns a new child of b, or of the root if b is nil, for calls of a scope. Its limit has no Max yet: allowance works that out.
func (b *branch) grow(s *Scope, c *Child) (*branch, error) {
	if c.Name == "" || strings.Contains(c.Name, "/") {
		return nil, fmt.Errorf("%w: a child needs a name without a slash: set Child.Name", ErrInvalidScope)
	}
	if c.Max != (Quantity{}) && (!c.Max.Unit.Valid() || c.Max.N < 0) {
		return nil, fmt.Errorf("%w: child %q: Max is negative, or has no unit", ErrInvalidPolicy, quote.Clip(c.Name))
	}
	next := &branch{parent: b, path: c.Name, depth: 1}
	next.node = &driver.Branch{Child: next}
	if b != nil {
		next.node.Parent, next.path, next.depth = b.node, b.path+"/"+c.Name, b.depth+1
	}
	// The limit is split by who spends. Its Max is for all models, regions and profiles that the calls of the child may name.
	next.limit = Limit{Name: childPrefix + next.path, Window: Lifetime, Per: PerPrincipal | PerWorkflow, PerTags: slices.Sorted(maps.Keys(s.Tags))}
	// The scope in which the child was opened decides its account. Calls of the child may carry more, such as a principal that is filled in
	// later, and must still count in that account.
	of := next.limit.split(*s)
	next.limit.of = &of // from now on split returns these values, whatever the scope of a call is
	if len(next.limit.Name) > driver.MaxScopeValue {
		return nil, fmt.Errorf("%w: the path of a child's names has %d bytes, at most %d", ErrInvalidScope, len(next.path), driver.MaxScopeValue-len(childPrefix))
	}
	return next, nil
}

// allowance returns the Max for a child: what a child with the same path has used before, plus what the parent has left now. asked is the Max that
// the caller asks for, and the most that is returned; zero if the caller has asked for none.
//
// What the parent has left is what is left of the fullest of its sure limits, which hold for every call of the child. Limits that hold for some calls
// only, such as those of one model, take their place if none is sure and asked is zero. They do not lower a Max that was asked for: other calls of
// the child may spend it, and each call that such a limit selects is checked against it anyway.
func (l *Ledger) allowance(ctx context.Context, s Scope, b *branch, asked Quantity) (Quantity, error) {
	unit := cmp.Or(asked.Unit, UnitUSD)
	// The key of the child's account has the limit's unit in it. With that, Balances also returns the child's own account; the Max does not matter yet.
	b.limit.Max = Quantity{N: 0, Unit: unit}
	balances, err := l.Balances(ctx, driver.WithBranch(s, b.node))
	if err != nil {
		return Quantity{}, err
	}
	sure := b.parent.sureLimits(l.rules.Load().policy.Limits, s)
	fullest := fullestOf(balances, unit, func(limit string) bool { return sure[limit] })
	if fullest == nil && asked.Unit == 0 {
		fullest = fullestOf(balances, unit, func(limit string) bool { return !sure[limit] && limit != b.limit.Name }) // without the child's own
	}
	switch {
	case fullest == nil && asked.Unit == 0:
		return Quantity{}, fmt.Errorf("%w: child %q has no Max, and its parent has no limit in USD to take it from", ErrInvalidPolicy, quote.Clip(b.path))
	case fullest == nil:
		return asked, nil // no limit of the parent counts in this unit for every call
	case fullest.Left().N == 0:
		return Quantity{}, nothingLeft(fullest, asked)
	}
	used := usedIn(balances, b.limit.Name)
	most := Quantity{N: used + min(fullest.Left().N, math.MaxInt64-used), Unit: unit} // at most MaxInt64, because the sum could overflow
	if asked.Unit != 0 {
		most.N = min(asked.N, most.N)
	}
	return most, nil
}

// fullestOf returns the balance with the least left, of those limits that count in this unit, are enforced, and have a name that selects selects; nil
// if there is none.
func fullestOf(balances []AccountBalance, unit Unit, selects func(limit string) bool) *AccountBalance {
	var fullest *AccountBalance
	for i := range balances {
		b := &balances[i]
		if b.Max.Unit != unit || b.Observe || !selects(b.Limit) {
			continue
		}
		if fullest == nil || b.Left().N < fullest.Left().N {
			fullest = b
		}
	}
	return fullest
}

// usedIn returns what is settled and pending under the limit of this name, at most MaxInt64; 0 if no balance is of this limit.
func usedIn(balances []AccountBalance, limit string) (used int64) {
	for _, b := range balances {
		if b.Limit == limit {
			used = b.Settled.N + min(b.Pending.N, math.MaxInt64-b.Settled.N)
		}
	}
	return used
}

// nothingLeft returns the error for a child that can't be opened, because a limit of its parent is full.
func nothingLeft(full *AccountBalance, asked Quantity) error {
	return &ExceededError{
		Limit: full.Limit, Scope: full.Scope, Max: full.Max, Settled: full.Settled, Pending: full.Pending, Requested: asked,
		ResetAfter: full.ResetAfter, Latched: full.Latched, Reason: "there is nothing left for a child",
	}
}

// alive returns an error if b or one of its parents has ended. The root, a nil b, never ends.
func (b *branch) alive() error {
	for ; b != nil; b = b.parent {
		if b.ended.Load() {
			return fmt.Errorf("%w: the child %s has ended: make its calls before, or another child with Ledger.Child", ErrInvalidScope, quote.Value(b.path))
		}
	}
	return nil
}

// sureLimits returns the names of those limits, of the policy and of b and its parents, that hold for every call of a scope, whichever model,
// region and profile the call names later.
func (b *branch) sureLimits(policy []Limit, s Scope) map[string]bool {
	sure := make(map[string]bool)
	for _, l := range b.limits(policy) {
		sure[l.Name] = l.Per&(PerModel|PerRegion|PerProfile) == 0 && l.Match.surelySelects(s)
	}
	return sure
}

// limits returns a policy's limits, followed by the limits of b and its parents.
func (b *branch) limits(policy []Limit) []Limit {
	if b == nil {
		return policy
	}
	all := slices.Clone(policy)
	for ; b != nil; b = b.parent {
		all = append(all, b.limit)
	}
	return all
}

// siblings counts the open children of each parent in this process. Its zero value is ready to use.
type siblings struct {
	mu   sync.Mutex
	open map[Key]int // by parent: see branch.key
}

// join counts the child b as open, and leave ends that. It returns an error if a limit's MaxDepth or MaxChildren would be exceeded, or if more
// limits than MaxLimits would hold for the child's calls.
func (f *siblings) join(policy []Limit, s Scope, b *branch) (leave func(), err error) {
	parent := b.parent.key(s)
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := b.mayJoin(policy, s, f.open[parent]); err != nil {
		return nil, err
	}
	if f.open == nil {
		f.open = make(map[Key]int)
	}
	f.open[parent]++
	return func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.open[parent]--; f.open[parent] == 0 {
			delete(f.open, parent)
		}
	}, nil
}

// mayJoin returns an error if b would be too deep, or one child too many beside its siblings, the open children of its parent, or if too many limits
// would hold for its calls.
func (b *branch) mayJoin(policy []Limit, s Scope, siblings int) error {
	lines := b.depth // how many accounts a call of b counts in; so far one for the limit of each child from the root to b
	for _, l := range policy {
		if !l.Match.mayApply(s) { // it selects no call of the child, whatever the call leaves open now
			continue
		}
		_, keys := l.accounts(s) // one, or two if an older version kept the account under another spelling of the time zone
		lines += len(keys)
		switch {
		case l.MaxDepth > 0 && b.depth > l.MaxDepth:
			return fmt.Errorf("%w: limit %q lets children be %d deep, and %s would be %d deep: make its calls as its parent, or raise MaxDepth", ErrExceeded, l.Name, l.MaxDepth, quote.Value(b.path), b.depth)
		case l.MaxChildren > 0 && siblings >= l.MaxChildren:
			return fmt.Errorf("%w: limit %q lets at most %d children of one parent be open, and %s would be one more: end one of them first, or raise MaxChildren", ErrExceeded, l.Name, l.MaxChildren, quote.Value(b.path))
		}
	}
	if lines > MaxLimits {
		return fmt.Errorf("%w: %d limits would hold for the calls of %s, its parents' included, at most %d", ErrInvalidScope, lines, quote.Value(b.path), MaxLimits)
	}
	return nil
}

// key names a parent in siblings.open. It is made from the scope's values and the path of b, which is empty if the parent is the root.
func (b *branch) key(s Scope) Key {
	name := ""
	if b != nil {
		name = b.path
	}
	l := Limit{Name: name, Per: PerPrincipal | PerWorkflow, PerTags: slices.Sorted(maps.Keys(s.Tags))}
	return l.key(l.split(s), "") // without a window: the key is of no account, only of the map
}
