package odds

import "time"

// step is one request, and whether another request of its conversation, or of its workflow, followed it.
type step struct {
	workflow uint64 // its number; a pointer would keep a forgotten workflow in memory
	at       time.Time
	depth    int  // its rank in its conversation, or in its workflow plus WorkflowDepth; ranks begin at 1
	followed bool // another request followed
	met      bool // the request that followed could read all of this one from the cache
}

// Depths that are no rank in a conversation.
const (
	UnknownDepth  = 0    // of a request that continues a conversation of which nothing was seen before
	WorkflowDepth = 1000 // plus its rank in its workflow, counted from 1: of one of a workflow's first requests
)

// Steps are the last requests of all workflows. They say how many of the requests at a depth, their rank in their conversation counted from 1, were
// followed by another one. The zero value is empty. It is not safe for concurrent use.
type Steps struct {
	last [maxSteps]step // a ring
	n    int            // how many requests were added, of which the last maxSteps are there
	gap  time.Duration  // the average pause between two requests of a conversation
}

// maxSteps is how many requests are remembered, of all workflows together.
const maxSteps = 256

// Add records a request of a workflow, and returns the request's number.
func (k *Steps) Add(workflow uint64, depth int, at time.Time) int {
	k.last[k.n%maxSteps] = step{workflow: workflow, depth: depth, at: at}
	k.n++
	return k.n - 1
}

// Follow records that another request has followed one, by its number, and whether that could read all of it from the cache. A negative number
// stands for no request.
func (k *Steps) Follow(number int, at time.Time, met bool) {
	if number < 0 || number < k.n-maxSteps {
		return // forgotten already
	}
	s := &k.last[number%maxSteps]
	if gap := at.Sub(s.at); gap > 0 {
		if k.gap == 0 {
			k.gap = gap // the first pause
		}
		k.gap += (gap - k.gap) / 8 // by an eighth of the difference, so that newer pauses weigh more
	}
	s.followed, s.met = true, s.met || met // several branches can follow one request
}

// quietGaps is after how many average pauses a silent conversation counts as over.
const quietGaps = 4

// count returns, of the requests at a depth, how many were followed by one that could read all of them, how many were not, and how many
// still may be. It counts those of one workflow, by its number, or of all for 0.
func (k *Steps) count(workflow uint64, depth int, now time.Time) (met, over, open int) {
	for i := range min(k.n, maxSteps) {
		s := &k.last[i]
		switch {
		case s.depth != depth || workflow != 0 && s.workflow != workflow: // not counted
		case s.met:
			met++
		// By one that could not read it, or by none for too long. While no pause is known gap is 0, and any silence is too long.
		case s.followed || now.Sub(s.at) > quietGaps*k.gap:
			over++
		default:
			open++
		}
	}
	return met, over, open
}

const (
	fewSteps = 2 // so many requests with a known outcome are needed before they prevent another write
	fewOpen  = 1 // so many second requests may be written, and no more until one of them was followed by a third that could read it
)

// RarelyGoOn reports whether less than a third of the requests at a depth were followed by one that could read them: of the workflow's
// requests, or of all if it has few. Second requests are the first that write a whole conversation: after a few of them, some have to be
// followed before more are written.
func (k *Steps) RarelyGoOn(workflow uint64, depth int, now time.Time) bool {
	met, over, open := k.count(workflow, depth, now)
	if met+over < fewSteps {
		met, over, open = k.count(0, depth, now)
	}
	// One of unknown depth counts as a second one: it has a history, and is the first request of its conversation that was seen.
	isSecond := depth == 2 || depth == UnknownDepth || depth == WorkflowDepth+2
	if isSecond && met == 0 && over+open >= fewOpen {
		return true
	}
	return met+over >= fewSteps && 2*met < over // met is less than a third of both together
}

// MostlyGoOn reports whether more than half of the conversations that a workflow began had a second request that could read the first.
func (k *Steps) MostlyGoOn(workflow uint64, now time.Time) bool {
	met, over, open := k.count(workflow, 1, now)
	return met > over+open // those that may still be followed count as not followed
}
