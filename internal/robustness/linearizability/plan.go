package linearizability

import (
	"math/rand/v2"
)

// plan is what every client of one history will ask for. All of it is drawn at random from the seed; only the timing differs from run to run. A loss
// is a message that does not arrive, or not in time: see the type.
type plan struct {
	seed    uint64
	max     [numAccounts]int64 // the limit of each account
	holds   []hold             // the reservations
	clients [][]op             // what each client asks for, in order
	changes int                // how many changes (corrections, kills and revives) were drawn
}

// maxOps bounds what one client asks for.
const maxOps = 60

// clientCounts are drawn from. The search for an order is exponential in how many operations overlap, and one without an
// answer overlaps with all that come after it: many small histories find more than a few large ones.
var clientCounts = []int{2, 3, 3, 4, 4, 5, 6, 6, 8, 8, 10, 12}

// maxOverlap bounds how many operations may overlap: the sum of the clients and of the operations without an answer.
const maxOverlap = 12

// newPlan draws a history. It has one of counts as its number of clients, and about so many operations in all, but at most maxOps a client. losses
// is the share of operations that meet a loss, in percent.
func newPlan(seed uint64, counts []int, operations, losses int) *plan {
	random := rand.New(rand.NewPCG(seed, 0x6c696e)) // a constant that no other use of the seed has
	p := &plan{seed: seed}
	clients := counts[random.IntN(len(counts))]
	each := min(max(operations/clients, 4), maxOps)
	// Limits grow with the number of operations, and are tight, so that denials constrain the search.
	for a := range p.max {
		p.max[a] = int64(8 + each*clients/12 + random.IntN(12))
	}
	recent, lost := make([][]int, clients), 0 // the reservations that each client has made; how many losses were drawn
	p.clients = make([][]op, clients)
	for range each {
		for c := range clients {
			o := p.draw(random, &recent[c])
			if n := len(p.clients[c]); n > 0 && random.IntN(20) == 0 {
				o = p.clients[c][n-1] // asked again, although it was answered, and with the same loss
			}
			mayLose := lost < maxOverlap-clients
			if what, drawn := drawLoss(random, losses, o.isChange(), mayLose); drawn {
				o.loss = what
				lost++
			}
			p.clients[c] = append(p.clients[c], o)
		}
	}
	for c := range clients { // last, because it replaces operations that come after a loss
		p.insist(random, c)
	}
	return p
}

// drawLoss draws whether an operation meets a loss, and which. Changes are repeated late more often than the rest.
func drawLoss(random *rand.Rand, percent int, isChange, mayLose bool) (what loss, drawn bool) {
	switch {
	case random.IntN(100) < percent && mayLose:
		return neverSent + loss(random.IntN(4)), true // any of the four
	case isChange && random.IntN(3) == 0 && mayLose:
		return repeatedLate, true
	default:
		return delivered, false
	}
}

// draw returns one client's next operation. Of 100 about 42 reserve, 20 settle, 14 void, 5 correct, 11 read balances, 2 kill and 6 revive, so that
// little is killed for long. Most are about the client's own latest reservations (recent), some about anybody's.
func (p *plan) draw(random *rand.Rand, recent *[]int) op {
	switch n := random.IntN(100); {
	case n < 42 || len(p.holds) == 0: // most of the others need a reservation
		return p.drawReserve(random, recent)
	case n < 62:
		return op{kind: settle, hold: p.recall(random, *recent), amount: drawAmount(random)}
	case n < 76:
		return op{kind: void, hold: p.recall(random, *recent)}
	case n < 81:
		return op{kind: correct, hold: p.recall(random, *recent), amount: drawAmount(random), change: p.newChange()}
	case n < 92:
		return op{kind: balances}
	case n < 94:
		return op{kind: killFlag, flag: random.IntN(numFlags), change: p.newChange()}
	default:
		return op{kind: reviveFlag, flag: random.IntN(numFlags), change: p.newChange()}
	}
}

// newChange numbers a change. Repeats of it keep the number.
func (p *plan) newChange() int {
	p.changes++
	return p.changes
}

// drawReserve returns a reserve: of a new reservation, or sometimes of an earlier one once more, a few of these for another amount.
func (p *plan) drawReserve(random *rand.Rand, recent *[]int) op {
	if len(p.holds) > 0 && random.IntN(6) == 0 {
		return op{kind: reserve, hold: p.recall(random, *recent), other: random.IntN(5) == 0}
	}
	h := hold{amount: 1 + random.Int64N(7), flag: random.IntN(numFlags)}
	h.otherAmount = h.amount + 1
	for a := range numAccounts {
		if random.IntN(3) > 0 { // two times in three, so that some reservations count in no account
			h.accounts = append(h.accounts, a)
		}
	}
	p.holds = append(p.holds, h)
	*recent = append(*recent, len(p.holds)-1)
	return op{kind: reserve, hold: len(p.holds) - 1}
}

// recall picks a reservation: as a rule one of the client's latest three, sometimes anybody's.
func (p *plan) recall(random *rand.Rand, recent []int) int {
	if len(recent) == 0 || random.IntN(6) == 0 {
		return random.IntN(len(p.holds))
	}
	return recent[len(recent)-1-random.IntN(min(len(recent), 3))]
}

// drawAmount returns an amount to settle. It is 0 or small as a rule, because what is settled never leaves its account: the limits would be reached
// at once, and stay reached.
func drawAmount(random *rand.Rand) int64 {
	switch random.IntN(10) {
	case 0:
		return random.Int64N(maxActual + 1) // may be more than was reserved
	case 1, 2, 3:
		return 1 + random.Int64N(2)
	default:
		return 0
	}
}

// insist lets a client do what real ones do when an operation met a loss on its way: ask again, or take the reservation back. Two times out of
// three that replaces the client's next operation. The new one keeps the loss that was drawn for the old one, so that there are no more losses
// than newPlan has counted.
func (p *plan) insist(random *rand.Rand, c int) {
	ops := p.clients[c]
	for i := range len(ops) - 1 { // the last one has no next
		if ops[i].loss == delivered || random.IntN(3) == 0 {
			continue
		}
		next := ops[i]
		next.loss = ops[i+1].loss
		if next.kind == reserve && random.IntN(2) == 0 {
			next.kind, next.other = void, false
		}
		ops[i+1] = next
	}
}
