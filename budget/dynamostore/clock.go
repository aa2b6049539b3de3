package dynamostore

import (
	"errors"
	"net/http"
	"sync"
	"time"

	awsmiddleware "github.com/aws/aws-sdk-go-v2/aws/middleware"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/smithy-go/middleware"
)

// serverClock is the service's time, learned from the Date of its responses: no condition of DynamoDB can ask for it. A
// Date says that the service's clock stood within the second that begins there, at some moment between request and
// response. Each response narrows what is known, and only the host's monotonic clock carries it on, so that a host whose
// wall clock is wrong or is set books in the same windows as all others. It never runs back.
//
// A Date that contradicts what is known by more than clocks drift is not believed by itself: several answers must agree on it, and they must do so
// for a while if the host's wall clock agrees with what is known. One wrong answer, or a server that is wrong for a moment, opens no window.
type serverClock struct {
	fake func() time.Time // of tests; nil for the service's

	mu     sync.Mutex
	base   time.Time     // when the first response came, by this host; it carries a monotonic reading
	offset time.Duration // service time is base's wall time plus what has passed plus offset
	known  bool          // the offset can be believed: the host's wall clock agrees, or so many responses as witnesses says
	last   time.Time     // the latest time that now has returned: it never returns an earlier one

	agreed  int           // how many responses agree on the offset
	doubted time.Duration // another offset, which the last responses tell
	doubts  int           // how many responses in a row tell the offset doubted
	since   time.Time     // when the first of these responses came
}

// resolution is that of a Date, the header of a response, which has whole seconds.
const resolution = time.Second

const (
	// drift is by how much an answer may contradict what is known without being doubted.
	drift = 2 * time.Second
	// witnesses is how many answers have to agree before they are believed.
	witnesses = 3
	// insistence is for how long the answers have to agree if the host's wall clock contradicts them, and agrees with what is known.
	insistence = 30 * time.Second
	// agreement is how far a host's wall clock may be off to be a witness.
	agreement = time.Minute
)

// errNoTime says that no response has told the time yet.
var errNoTime = errors.New("dynamostore: the service's responses carry no Date: a proxy on the way must keep it")

// began returns the moment a request is made.
func (c *serverClock) began() time.Time { return time.Now() }

// saw learns from a response.
func (c *serverClock) saw(metadata middleware.Metadata, began time.Time) {
	if date, ok := awsmiddleware.GetServerTime(metadata); ok {
		c.learn(date, began, time.Now())
	}
}

// sawError learns from a response that was an error.
func (c *serverClock) sawError(err error, began time.Time) {
	var response *awshttp.ResponseError
	if !errors.As(err, &response) || response.Response == nil || response.Response.Response == nil {
		return
	}
	if date, err := http.ParseTime(response.Response.Header.Get("Date")); err == nil {
		c.learn(date, began, time.Now())
	}
}

// learn takes a Date that was told between two moments of this host. If the time that is known contradicts it, the offset is changed by no more than
// the Date requires; if that is more than drift, only once other responses agree.
func (c *serverClock) learn(date, began, ended time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.base.IsZero() {
		c.base = ended
		c.offset = date.Sub(ended.Round(0)) // Round(0) takes the monotonic reading off, so that wall clocks are compared
		// It is believed at once if the host's wall clock agrees with it.
		c.known = near(date, ended, agreement)
		c.agreed = 1
		return
	}
	told := c.at(ended) // what is known
	// As far as the Date tells, the response came between the Date and this moment.
	latest := date.Add(resolution + ended.Sub(began))
	offset := c.offset + correction(told, date, latest)
	switch {
	case (offset - c.offset).Abs() <= drift: // it is not contradicted, or no more than clocks drift
		c.offset, c.doubts = offset, 0
		c.agreed++
		c.known = c.known || c.agreed >= witnesses
	case !c.known: // the first answers contradict each other: the next ones tell
		c.offset, c.agreed = offset, 1
	case c.insists(offset, date, told, ended):
		c.offset, c.doubts = offset, 0
	}
}

// correction returns what has to be added to a moment so that it is not before the earliest and not after the latest one: 0 if it lies between them.
func correction(at, earliest, latest time.Time) time.Duration {
	switch {
	case at.Before(earliest):
		return earliest.Sub(at)
	case at.After(latest):
		return -at.Sub(latest)
	}
	return 0
}

// insists reports whether an offset that contradicts what is known was told often enough: by as many responses in a row as witnesses says; and for as
// long as insistence says, if the host's wall clock agrees with what is known (told) and not with the response (date). Requires mu held.
func (c *serverClock) insists(offset time.Duration, date, told, ended time.Time) bool {
	if c.doubts == 0 || (offset-c.doubted).Abs() > drift { // the count begins anew: no other response has told this offset just before
		c.doubted, c.doubts, c.since = offset, 0, ended
	}
	c.doubts++
	if near(told, ended, agreement) && !near(date, ended, agreement) && ended.Sub(c.since) < insistence {
		return false
	}
	return c.doubts >= witnesses
}

// near reports whether a time differs from a host's wall clock by no more than most.
func near(at, host time.Time, most time.Duration) bool { return at.Sub(host.Round(0)).Abs() <= most }

// at is the service's time at a moment of this host. Requires mu held.
func (c *serverClock) at(moment time.Time) time.Time {
	// The wall clock is read off base alone. From there on the monotonic readings count, by which moment.Sub goes.
	return c.base.Round(0).Add(moment.Sub(c.base) + c.offset)
}

// now returns the service's time.
func (c *serverClock) now() (time.Time, error) {
	if c.fake != nil {
		return c.fake(), nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		return time.Time{}, errNoTime
	}
	if t := c.at(time.Now()); t.After(c.last) {
		c.last = t
	}
	return c.last, nil
}
