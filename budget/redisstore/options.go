package redisstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// DefaultRetention is how long resolved reservations are remembered: until the invoice of their month has come.
const DefaultRetention = 35 * 24 * time.Hour

// DefaultTimeout bounds each step whose context ends later.
const DefaultTimeout = 2 * time.Second

// maxRetention keeps sums of times within the range of exact doubles.
const maxRetention = 100 * 366 * 24 * time.Hour

// Options configures a Store. The zero value opens the unnamed ledger of a server that keeps what it acknowledges.
type Options struct {
	// Ledger names the ledger, so that one server can have several. Keys only contain a hash of the name. The empty name is valid.
	Ledger string
	// Create makes the ledger if there is none. Without it Open refuses a server without the ledger, because a server that has lost its data
	// looks like a new one. Set it for the first start, or in a step of the deployment that runs once: processes that always set it spend
	// their limits a second time after data was lost.
	Create bool
	// Retention is how long resolved reservations and the sums of past windows are remembered, for replays and
	// corrections; the sums of a rolling window for 100 of its lengths at most. A reservation takes about 600 bytes of the
	// server's memory with its names, and 30 more for each limit. Zero or less is DefaultRetention; more than 100 years is 100 years.
	Retention time.Duration
	// UsageRows is how many rows of usage are kept for one day; usage that would need more is added to driver.OtherUsage. A row takes about
	// 300 bytes of the server's memory. Zero or less is driver.DefaultUsageRows.
	UsageRows int
	// Timeout bounds each step, waiting for a connection included, unless its context's deadline is earlier. Zero or less is
	// DefaultTimeout. A step whose context is cancelled while the server works on it may go on until then. Expire and
	// Entries of more than one batch are bounded batch by batch.
	Timeout time.Duration
	// MinReplicas is how many replicas must have received a reservation, or a kill flag, before Reserve or Kill returns. A
	// reservation that they did not receive within half the Timeout is voided, and Reserve fails; a flag stays, and Kill
	// fails. It needs a *redis.Client or a *redis.ClusterClient. Zero waits for none; the package says what that can lose.
	MinReplicas int
	// AllowEviction accepts a server whose maxmemory-policy is not noeviction, or not known. Such a server may delete sums if its memory is
	// full.
	AllowEviction bool
	// AllowNoAppendOnly accepts a server whose appendonly is off, or not known. Such a server loses acknowledged writes when it restarts,
	// unless it is durable by other means, as some managed services are.
	AllowNoAppendOnly bool
	// Clock replaces the server's time, which all processes share. It is meant for tests. Nil is the server's time.
	Clock func() time.Time
}

// complete checks the options, and puts the defaults in the place of zeros.
func (o *Options) complete(rdb redis.UniversalClient) error {
	if o.Retention <= 0 {
		o.Retention = DefaultRetention
	}
	o.Retention = min(o.Retention, maxRetention)
	if o.UsageRows <= 0 {
		o.UsageRows = driver.DefaultUsageRows
	}
	if o.Timeout <= 0 {
		o.Timeout = DefaultTimeout
	}
	if o.MinReplicas < 0 {
		return fmt.Errorf("redisstore: MinReplicas is %d, want 0 or more", o.MinReplicas)
	}
	if rdb == nil {
		return errors.New("redisstore: no client")
	}
	return nil
}

// adopt returns the client to use, and whether it obeys the deadlines of contexts. For a *redis.Client it makes a copy that does, and shares
// its connections and its hooks. A client that neither obeys them nor has a read timeout is refused: a step that nobody waits for would
// leave its goroutine behind for ever.
func (o *Options) adopt(rdb redis.UniversalClient) (_ redis.UniversalClient, punctual bool, err error) {
	readsEnd := true // another type of client does not tell: its reads are taken to have a timeout
	switch c := rdb.(type) {
	case *redis.Client:
		// WithTimeout copies the client, with this timeout for reads and writes.
		own := c.WithTimeout(o.Timeout)
		own.Options().ContextTimeoutEnabled = true // only the copy has these options
		return own, true, nil
	case *redis.ClusterClient:
		punctual, readsEnd = c.Options().ContextTimeoutEnabled, c.Options().ReadTimeout > 0
	case *redis.Ring:
		punctual, readsEnd = c.Options().ContextTimeoutEnabled, c.Options().ReadTimeout > 0
	}
	if !punctual && !readsEnd {
		return nil, false, errors.New("redisstore: the client waits for replies without end: set its ContextTimeoutEnabled, or a ReadTimeout")
	}
	// WAIT, which waits for replicas, has to go to the server that has the ledger. A *redis.Client, which was returned above, has one server; of the
	// other clients only a cluster's is asked for that server.
	if _, isCluster := rdb.(*redis.ClusterClient); o.MinReplicas > 0 && !isCluster {
		return nil, false, errReplicaClient
	}
	return rdb, punctual, nil
}

// errReplicaClient refuses MinReplicas for a client of which the one server that has the ledger can't be asked.
var errReplicaClient = errors.New("redisstore: MinReplicas needs a *redis.Client or a *redis.ClusterClient")
