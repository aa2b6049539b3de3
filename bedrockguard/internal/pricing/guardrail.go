package pricing

import (
	"strings"
	"sync"
	"sync/atomic"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/internal/catalog"
	"github.com/bedrockguard/bedrockguard-go/internal/wire"
)

// A guardrail is billed by text units, of up to TextUnitCharacters characters each, for every policy that evaluates them, and by images. A call may
// name one. The account may enforce others, which evaluate each call without being named.

// Guardrail is bedrockguard.Guardrail, whose fields it has: an enforced one.
type Guardrail struct {
	ID       string
	TextUnit price.Amount // what one text unit costs with all policies together; zero is the list price of all that there are
	Image    price.Amount // what one image costs; zero is the list price
}

// charactersPerToken bounds how many characters a model writes with one token, on the average of an answer. English has about four.
const charactersPerToken = 16

// textUnit and image return the guardrail's prices, with the list price for zero. That of a text unit is what all text policies cost together.
func (g *Guardrail) textUnit() price.Amount {
	if g.TextUnit > 0 {
		return g.TextUnit
	}
	return catalog.DearestGuardrailUnit()
}

func (g *Guardrail) image() price.Amount {
	if g.Image > 0 {
		return g.Image
	}
	return catalog.Guardrails().ContentImage
}

// worst bounds the cost of evaluating a request and its answer. The request has at most as many characters as bytes; bodyBytes is -1 for a body of
// unknown length. Each of its texts begins a new unit, and so does the answer.
func (g *Guardrail) worst(bodyBytes, texts, images, outputTokens int64) (price.Amount, error) {
	characters, _ := mul(outputTokens, charactersPerToken) // at most math.MaxInt64
	// Both divisions round down. A unit for each text of the request, and two for the answer, make up for that.
	units := addSat(addSat(max(bodyBytes, 0)/catalog.TextUnitCharacters, texts+2), characters/catalog.TextUnitCharacters)
	text, ok := mul(units, int64(g.textUnit()))
	if !ok {
		return 0, budget.ErrOverflow
	}
	if images == 0 {
		return price.Amount(text), nil
	}
	pictures, ok := mul(images, int64(g.image()))
	if !ok {
		return 0, budget.ErrOverflow
	}
	return price.Amount(text).Add(price.Amount(pictures))
}

// GuardrailCost prices what an answer reports of guardrails, by the policies that were evaluated.
func GuardrailCost(all []wire.GuardrailUsage) (price.Amount, error) {
	var total price.Amount
	for i := range all {
		for unit, n := range all[i].Units {
			if n == 0 {
				continue
			}
			cost, ok := mul(n, int64(policyPrice(wire.GuardrailUnit(unit))))
			if !ok {
				return 0, budget.ErrOverflow
			}
			var err error
			if total, err = total.Add(price.Amount(cost)); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

// policyPrice returns the list price of one unit of a kind; zero for the kind that is free.
func policyPrice(unit wire.GuardrailUnit) price.Amount {
	rates := catalog.Guardrails()
	switch unit {
	case wire.GuardrailContent:
		return rates.Content
	case wire.GuardrailTopic:
		return rates.Topic
	case wire.GuardrailWord:
		return rates.Word
	case wire.GuardrailSensitiveInformation:
		return rates.SensitiveInformation
	case wire.GuardrailContextualGrounding:
		return rates.ContextualGrounding
	case wire.GuardrailAutomatedReasoning:
		return rates.AutomatedReasoning
	case wire.GuardrailContentImage:
		return rates.ContentImage
	default:
		return 0
	}
}

// Enforced knows the guardrails that evaluate calls without being named: those that Options.EnforcedGuardrails declares, and those that an answer
// has shown. It is safe for concurrent use.
type Enforced struct {
	now atomic.Pointer[[]Guardrail] // never changed in place
	mu  sync.Mutex                  // held while now is replaced
}

// maxEnforced is how many guardrails are remembered at most: no account enforces more.
const maxEnforced = 32

// NewEnforced returns the guardrails that were declared.
func NewEnforced(declared []Guardrail) *Enforced {
	e := new(Enforced)
	all := append([]Guardrail(nil), declared...)
	e.now.Store(&all)
	return e
}

func (e *Enforced) all() []Guardrail { return *e.now.Load() }

// Learn adds the guardrails that an answer shows, and returns the ids of new ones. named is the one that the request named, which is not
// added. If its id is not known (unnamedGuardrail), any of those shown may be it, and none is added.
func (e *Enforced) Learn(shown []wire.GuardrailUsage, named string) []string {
	var found []string
	for i := range shown {
		if named != unnamedGuardrail && !sameGuardrail(named, shown[i].ID) && e.add(shown[i].ID) {
			found = append(found, shown[i].ID)
		}
	}
	return found
}

// add adds an id, and returns whether it was new.
func (e *Enforced) add(id string) bool {
	if e.knows(id) {
		return false
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	old := e.all()
	// Another goroutine may have added the id before the lock was held.
	if e.knows(id) || len(old) >= maxEnforced {
		return false
	}
	// append makes a new array here, because others read the old one without the lock.
	all := append(old[:len(old):len(old)], Guardrail{ID: id})
	e.now.Store(&all)
	return true
}

// knows reports whether a guardrail is among the enforced ones.
func (e *Enforced) knows(id string) bool {
	for _, g := range e.all() {
		if sameGuardrail(g.ID, id) {
			return true
		}
	}
	return false
}

// sameGuardrail reports whether two ids, each of which may be an ARN, end in the same part after the last slash.
func sameGuardrail(a, b string) bool {
	short := func(id string) string { return id[strings.LastIndexByte(id, '/')+1:] }
	return short(a) == short(b)
}
