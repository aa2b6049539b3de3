package dynamostore

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"math"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// An account is one limit for one value of its scope. It is stored in one item, or spread over several, its shards, each of which may hold a share
// of the limit. It sums up what is settled and what is pending in buckets, each of which begins at its start: a calendar window has one, a
// rolling window up to 61. Times are in nanoseconds since 1970 UTC.

// The attributes of an account's item. Sums change by arithmetic under conditions; everything else changes together with
// the version, by a step that has read the item and requires it to be as it was.
const (
	attrVersion    = "v"  // random, new whenever anything but sums changes
	attrChanges    = "n"  // counts all changes, so that an exact copy can be required
	attrSince      = "w"  // the first bucket that used and settled add up
	attrStart      = "b"  // the bucket of now, at the time of the last look
	attrEnd        = "e"  // when that bucket stops counting
	attrUsed       = "u"  // settled + pending of all buckets from since on
	attrSettled    = "s"  // settled of all buckets from since on
	attrGap        = "g"  // how much may be settled in this shard before a notification threshold is reached, at the earliest: see notice
	attrThresholds = "mh" // a hash of the thresholds for which the gap was computed
	attrQuiet      = "qt" // when the first of the thresholds that were reported may be reported again
	attrFired      = "f"  // when each threshold may be reported again, by its number in the line
	attrLatched    = "lu" // until when a refusal keeps the account closed
	attrMax        = "om" // of an override
	attrMaxUntil   = "ou" // when the override ends
	attrSharesOf   = "cm" // the Max that all shards together keep, each one its share of it
	attrArchivedTo = "pt" // sums of buckets up to this start are in the archive
	// The attributes of sums begin with these, and go on with the bucket's start: see bucketAttribute.
	pendingPrefix = "+"
	settledPrefix = "="
	forgotPrefix  = "~" // what of the settled sum was posted by entries that were forgotten
)

// noWindow is the attribute since of an item in which nothing was booked yet. No window begins there, so that the first reservation, if it is
// sent without reading the account, fails and reads it.
const noWindow = math.MinInt64

// farAway is a gap that no settlement closes.
const farAway = math.MaxInt64

// accountItem is one item: an account, or one shard of it.
type accountItem struct {
	key   driver.Key
	shard int
	found bool // there is an item
	shape
	changes           int64 // see attrChanges
	since, start, end int64 // see attrSince, attrStart and attrEnd
	sharesOf          int64 // the Max of which each shard keeps its share; valid if hasSharesOf
	hasSharesOf       bool
	gap               int64    // see attrGap; at most farAway
	buckets           []bucket // ascending by start; none up to archivedTo
}

// shape is what all shards of an account have in common. Whoever changes any of it also writes a new version.
type shape struct {
	version      []byte           // random; nil if the account does not exist
	override     *driver.Override // nil, or at an end in 1970, if there is none
	latchedUntil int64            // until when a refusal keeps the account closed; 0 if none does
	fired        []int64          // by threshold: when it may be reported again
	// archivedTo is a start up to which buckets are in the archive and none is in the items: that of the newest bucket that was moved there. In a new
	// account it lies just before the first bucket. It is noWindow if nothing was moved, and if the account does not exist.
	archivedTo int64
}

// bucket holds the sums of a part of time. Entries are deleted some time after they were resolved: forgotten is the part of settled that deleted
// entries had posted.
type bucket struct{ start, settled, pending, forgotten int64 }

// add adds to the sum that an attribute's prefix stands for.
func (b *bucket) add(prefix string, n int64) {
	switch prefix {
	case pendingPrefix:
		b.pending += n
	case settledPrefix:
		b.settled += n
	default:
		b.forgotten += n
	}
}

// merge adds the sums of another bucket with the same start: that of another shard of the account. No sum wraps, because whoever books keeps what all
// shards of a bucket hold together within an int64.
func (b *bucket) merge(other bucket) {
	b.settled, b.pending, b.forgotten = b.settled+other.settled, b.pending+other.pending, b.forgotten+other.forgotten
}

// sums calls a function with the sums that are not zero, and the attributes that hold them.
func (b *bucket) sums(each func(attribute string, n int64)) {
	for _, sum := range [...]struct {
		prefix string
		n      int64
	}{{settledPrefix, b.settled}, {pendingPrefix, b.pending}, {forgotPrefix, b.forgotten}} {
		if sum.n != 0 {
			each(bucketAttribute(sum.prefix, b.start), sum.n)
		}
	}
}

// bucketAttribute names the sum of a bucket. Starts in whole seconds, which nearly all are, take few bytes: an account of
// a rolling window has up to 122 of them, and each KB is paid for.
func bucketAttribute(prefix string, start int64) string {
	if start%int64(time.Second) == 0 {
		return prefix + strconv.FormatInt(start/int64(time.Second), 36)
	}
	// The prefix twice says that the start is in nanoseconds.
	return prefix + prefix + strconv.FormatInt(start, 36)
}

// parseBucket reads what bucketAttribute prints, and nothing else: of two spellings of one start it accepts that of bucketAttribute.
func parseBucket(attribute string) (prefix string, start int64, ok bool) {
	switch {
	case strings.HasPrefix(attribute, pendingPrefix):
		prefix = pendingPrefix
	case strings.HasPrefix(attribute, settledPrefix):
		prefix = settledPrefix
	case strings.HasPrefix(attribute, forgotPrefix):
		prefix = forgotPrefix
	default:
		return "", 0, false
	}
	digits, unit := attribute[1:], int64(time.Second)
	if strings.HasPrefix(digits, prefix) {
		digits, unit = digits[1:], 1
	}
	n, err := strconv.ParseInt(digits, 36, 64)
	if err != nil || n > math.MaxInt64/unit || n < math.MinInt64/unit || bucketAttribute(prefix, n*unit) != attribute {
		return "", 0, false
	}
	return prefix, n * unit, true
}

// decodeAccount reads an item; one that is not there is an account without anything.
func decodeAccount(key driver.Key, shard int, raw item) (*accountItem, error) {
	a := &accountItem{key: key, shard: shard}
	if len(raw) == 0 {
		return a, nil
	}
	r := reader{item: raw}
	a.found, a.version, a.changes = true, r.blob(attrVersion, versionBytes), r.required(attrChanges)
	a.since, a.start, a.end = r.required(attrSince), r.required(attrStart), r.required(attrEnd)
	a.latchedUntil, _ = r.number(attrLatched)
	a.gap = r.clamped(attrGap)
	a.sharesOf, a.hasSharesOf = r.number(attrSharesOf)
	if n, found := r.number(attrMax); found {
		a.override = &driver.Override{Max: n, Until: time.Unix(0, r.required(attrMaxUntil))}
	}
	fired := r.blob(attrFired, -1) // of any length; nil, like version, if it is missing
	if a.version == nil || len(fired)%8 != 0 || len(fired) > maxFired*8 {
		r.fail(attrFired) // which the error names also for a version that is missing
		return nil, r.err
	}
	for chunk := range slices.Chunk(fired, 8) {
		a.fired = append(a.fired, readInt64(chunk))
	}
	a.buckets = r.buckets()
	if to, found := r.number(attrArchivedTo); found {
		a.archivedTo = to
	} else { // an earlier library wrote it, which had no archive, and dropped the sums of windows that had passed
		a.archivedTo = a.firstKept(a.since)
	}
	return a, r.err
}

// buckets reads the sums of an item, ascending by start, as bucketOf puts them.
func (r *reader) buckets() (all []bucket) {
	for attribute := range r.item {
		prefix, start, ok := parseBucket(attribute)
		if !ok {
			continue
		}
		n := r.required(attribute)
		if n < 0 {
			r.fail(attribute)
		}
		bucketOf(&all, start).add(prefix, n)
	}
	return all
}

// firstKept returns the archivedTo of an item that holds all sums since a moment, and perhaps older buckets: one nanosecond before the moment, or
// before the oldest bucket.
func (a *accountItem) firstKept(since int64) int64 {
	if len(a.buckets) > 0 {
		since = min(since, a.buckets[0].start)
	}
	return less(since, 1)
}

// How long a version is, and how many thresholds an account may have: a longer attribute was written by something else.
const (
	versionBytes = 8
	maxFired     = 1024
)

// newVersion returns a random version.
func newVersion() []byte {
	v := make([]byte, versionBytes)
	rand.Read(v)
	return v
}

// bucket returns the bucket of a start, made if need be. The pointer holds until the next call.
func (a *accountItem) bucket(start int64) *bucket { return bucketOf(&a.buckets, start) }

// bucketOf finds a bucket among those of an item, which are ascending by start. It is made if need be.
func bucketOf(all *[]bucket, start int64) *bucket {
	i, found := slices.BinarySearchFunc(*all, start, func(b bucket, start int64) int { return cmp.Compare(b.start, start) })
	if !found {
		*all = slices.Insert(*all, i, bucket{start: start})
	}
	return &(*all)[i]
}

// roll moves the account to a window, the span. Sums of buckets before it stay in the item until archive moves them away.
func (a *accountItem) roll(span driver.Span) {
	a.since, a.start, a.end = span.Since, span.Start, span.End
}

// used adds up what is settled and pending in buckets that begin at since or later. It is at most math.MaxInt64.
func (a *accountItem) used(since int64) (sum int64) {
	for _, b := range a.buckets {
		if b.start >= since {
			sum, _ = plus(sum, b.settled)
			sum, _ = plus(sum, b.pending)
		}
	}
	return sum
}

// notice is what an item holds about the notification thresholds of one line, so that a settlement sees whether it reaches one without
// reading the other shards.
type notice struct {
	gap   int64  // see attrGap
	quiet int64  // see attrQuiet
	hash  []byte // see attrThresholds; nil says that gap was not computed, so that the next settlement of a line with thresholds reads all shards
}

// encode returns the whole item to be written, with its count of changes raised by one.
func (a *accountItem) encode(n notice, retention time.Duration) item {
	out := accountKey(a.key, a.shard).with(item{
		attrVersion: blob(a.version), attrChanges: number(a.changes + 1), attrSince: number(a.since), attrStart: number(a.start),
		attrEnd: number(a.end), attrGap: number(n.gap), attrQuiet: number(n.quiet), attrArchivedTo: number(a.archivedTo),
	})
	a.encodeSums(out)
	if n.hash != nil {
		out[attrThresholds] = blob(n.hash)
	}
	if a.latchedUntil != 0 {
		out[attrLatched] = number(a.latchedUntil)
	}
	if a.override != nil {
		out[attrMax], out[attrMaxUntil] = number(a.override.Max), number(a.override.Until.UnixNano())
	}
	if a.hasSharesOf {
		out[attrSharesOf] = number(a.sharesOf)
	}
	var fired []byte
	for _, until := range a.fired {
		fired = appendInt64(fired, until)
	}
	if fired != nil {
		out[attrFired] = blob(fired)
	}
	if ttl, ends := a.ttl(retention); ends {
		out[ttlAttribute] = number(ttl)
	}
	return out
}

// encodeSums adds to the item the sums of each bucket, and the totals of those in the window: what is settled, and what is used, settled or pending.
// A total may be larger than an int64: it is stored exactly, because increments go on from it.
func (a *accountItem) encodeSums(out item) {
	var settled, pending, used big.Int
	for _, b := range a.buckets {
		b.sums(func(attribute string, n int64) { out[attribute] = number(n) })
		if b.start >= a.since {
			settled.Add(&settled, big.NewInt(b.settled))
			pending.Add(&pending, big.NewInt(b.pending))
		}
	}
	out[attrUsed], out[attrSettled] = bigNumber(used.Add(&settled, &pending)), bigNumber(&settled)
}

// ttl returns the second after which DynamoDB may delete the item. ends is false if it never may.
func (a *accountItem) ttl(retention time.Duration) (second int64, ends bool) {
	return expiry(a.last(), a.keeps(retention))
}

// forgetMargin is how long after their retention entries may still be there.
const forgetMargin = 3 * 24 * time.Hour

// keeps returns how long sums of windows that have passed are kept: as long as entries, and those of calendar windows of a day or longer for
// as long as rows of usage.
func (a *accountItem) keeps(retention time.Duration) time.Duration {
	keep := max(retention, DefaultRetention)
	if a.inLongWindow() {
		keep = max(keep, driver.UsageRetention)
	}
	if keep > math.MaxInt64-forgetMargin { // the sum would not fit
		return keep
	}
	return keep + forgetMargin
}

// inLongWindow reports whether the item is in a calendar window of a day or longer, or in a lifetime. Of the calendar windows only an hour is
// shorter, and two hours are a bound between an hour and the shortest day.
func (a *accountItem) inLongWindow() bool {
	calendar := a.start == a.since          // the bucket of now is the first that counts
	hasWindow := a.start >= 0 && a.end >= 0 // without one, since, start and end are noWindow, which is negative
	return calendar && hasWindow && a.end-a.start > int64(2*time.Hour)
}

// last returns until when the account has an effect: the latest of the ends of its window, its latch, its override and its reported thresholds.
func (a *accountItem) last() int64 {
	last := max(a.end, a.latchedUntil)
	if a.override != nil {
		last = max(last, a.override.Until.UnixNano())
	}
	for _, until := range a.fired {
		last = max(last, until)
	}
	return last
}

// expiry returns the first full second that is a retention after a moment, and false if that does not fit into an int64: then it never ends.
func expiry(at int64, retention time.Duration) (second int64, ends bool) {
	if at > math.MaxInt64-int64(retention)-int64(time.Second) {
		return 0, false
	}
	return (at+int64(retention))/int64(time.Second) + 1, true
}

// unchanged adds to x the requirement that the item is exactly as it was read, its sums included.
func (a *accountItem) unchanged(x *expression) {
	if !a.found { // every item has a partition key, so that this requires that there is none
		x.requireNone(partitionKey)
		return
	}
	x.require(attrVersion, "=", blob(a.version))
	x.require(attrChanges, "=", number(a.changes))
}

// hashThresholds returns a hash of the amounts at which a line's notification thresholds are, with max in force.
func hashThresholds(line *driver.Line, max int64) []byte {
	var raw []byte
	for m := range line.Notify {
		raw = appendInt64(raw, line.Threshold(m, max))
	}
	sum := sha256.Sum256(raw)
	return sum[:versionBytes] // so many tell thresholds apart, as they do versions
}

// plus returns a+b, at most math.MaxInt64, and whether it had to be cut. Neither may be negative.
func plus(a, b int64) (int64, bool) {
	if a > math.MaxInt64-b {
		return math.MaxInt64, true
	}
	return a + b, false
}

// less returns a-b, at least math.MinInt64. b may not be negative.
func less(a, b int64) int64 {
	if a < math.MinInt64+b {
		return math.MinInt64
	}
	return a - b
}
