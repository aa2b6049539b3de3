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
type serverClock struct {
	fake func() time.Time // of tests; nil for the service's

	mu     sync.Mutex
	base   time.Time     // carries a monotonic reading
	offset time.Duration // service time is base's wall time plus what has passed plus offset
	known  bool
	last   time.Time // never told an earlier time than this
}

// resolution is that of a Date.
const resolution = time.Second

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

// learn narrows the offset to what a Date between two moments of this host allows.
func (c *serverClock) learn(date, began, ended time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.known {
		c.base, c.known = ended, true
		c.offset = date.Sub(ended.Round(0))
		return
	}
	told := c.at(ended)
	earliest, latest := date, date.Add(resolution+ended.Sub(began))
	switch {
	case told.Before(earliest):
		c.offset += earliest.Sub(told)
	case told.After(latest):
		c.offset -= told.Sub(latest)
	}
}

// at is the service's time at a moment of this host. Requires mu held.
func (c *serverClock) at(moment time.Time) time.Time {
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
