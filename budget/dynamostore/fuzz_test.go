package dynamostore

import (
	"encoding/json"
	"slices"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// itemOf makes an item of fuzzed JSON: {"attribute": {"N": "1"}}, with B as base64.
func itemOf(raw []byte) (item, bool) {
	var in map[string]struct {
		N, S *string
		B    []byte
	}
	if json.Unmarshal(raw, &in) != nil {
		return nil, false
	}
	out := make(item, len(in))
	for name, v := range in {
		switch {
		case v.N != nil:
			out[name] = &types.AttributeValueMemberN{Value: *v.N}
		case v.S != nil:
			out[name] = text(*v.S)
		default:
			out[name] = blob(v.B)
		}
	}
	return out, true
}

// jsonOf is the other way.
func jsonOf(tb testing.TB, in item) []byte {
	out := make(map[string]map[string]any, len(in))
	for name, v := range in {
		switch v := v.(type) {
		case *types.AttributeValueMemberN:
			out[name] = map[string]any{"N": v.Value}
		case *types.AttributeValueMemberS:
			out[name] = map[string]any{"S": v.Value}
		case *types.AttributeValueMemberB:
			out[name] = map[string]any{"B": v.Value}
		}
	}
	raw, err := json.Marshal(out)
	require.NoError(tb, err)
	return raw
}

// Whatever stands in the table, reading it gives an error or something that is written as it was read: no panic, no
// negative sum, and no amount out of nothing.
func FuzzDecode(f *testing.F) {
	span := driver.Rolling(time.Hour).At(time.Unix(1_800_000_000, 5))
	a := &accountItem{key: driver.Key{1}, shape: shape{version: newVersion(), fired: []int64{1, 2}, override: &driver.Override{Max: 3, Until: time.Unix(4, 5)}}, hasSharesOf: true, sharesOf: 9}
	a.roll(span)
	a.bucket(span.Start).pending, a.bucket(span.Start+1).settled = 7, 8
	f.Add(jsonOf(f, a.encode(notice{gap: 5, quiet: 6, hash: hashThresholds(&driver.Line{Notify: []float64{1}}, 1)}, time.Hour)))
	e := &entry{id: driver.NewID(), state: driver.Settled, reserved: usd(5), actual: usd(4), bookings: []booking{{unit: driver.UnitUSD, amount: 4}}}
	f.Add(jsonOf(f, e.encode()))
	f.Add(jsonOf(f, newGate("t", 2).encode(3)))
	flag := kill{Kill: driver.Kill{Scope: driver.Scope{Principal: "\xff", Tags: map[string]string{"a": ""}}, Reason: "r", At: time.Unix(1, 2)}, dims: []driver.Key{{1}}}
	raw, err := flag.encode()
	require.NoError(f, err)
	f.Add(jsonOf(f, raw))
	f.Add([]byte(`{"+zz":{"N":"-1"},"=9223372036854775807":{"N":"99999999999999999999"}}`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		in, ok := itemOf(raw)
		if !ok || len(in) == 0 {
			return
		}
		if a, err := decodeAccount(driver.Key{1}, 0, in); err == nil {
			b, err := decodeAccount(driver.Key{1}, 0, a.encode(notice{}, time.Hour))
			require.NoError(t, err)
			require.Equal(t, live(a.buckets), b.buckets)
			for _, bucket := range a.buckets {
				require.False(t, bucket.settled < 0 || bucket.pending < 0)
			}
			g := newGroup([]*accountItem{a})
			l := driver.Line{Unit: driver.UnitUSD, Window: driver.Rolling(time.Hour), Max: 1, Notify: []float64{1}}
			now, at := g.moment(l.Window, time.Unix(1_800_000_000, 0), false)
			balance, _ := g.balance(&l, at, now, 1)
			require.False(t, balance.Settled < 0 || balance.Pending < 0)
			g.wait(l.Window, at, now, 1)
			g.report(g.due(&l, 0, at, now), at, now)
		}
		if e, err := decodeEntry(driver.ID{}, in); err == nil {
			again, err := decodeEntry(driver.ID{}, e.encode())
			require.NoError(t, err)
			if e.state == driver.Pending {
				again.resolvedAt = e.resolvedAt
			}
			require.Equal(t, e, again)
			for _, sh := range e.shifts(usd(10)) {
				require.GreaterOrEqual(t, sh.amount, int64(0))
			}
		}
		_, _ = decodeGate(in)
		if k, err := decodeKill(in); err == nil {
			_, err := k.encode()
			require.NoError(t, err)
		}
		_, _, _ = parseDue(string(raw))
	})
}

// live are the buckets that an item keeps.
func live(buckets []bucket) []bucket {
	return slices.DeleteFunc(slices.Clone(buckets), func(b bucket) bool { return b.settled == 0 && b.pending == 0 })
}

func TestBucketNamesComeBack(t *testing.T) {
	for _, start := range []int64{0, 1, -1, int64(time.Second), -int64(time.Second), 1_800_000_000_000_000_000, 1_800_000_000_000_000_001, -1 << 63, 1<<63 - 1} {
		for _, prefix := range []string{pendingPrefix, settledPrefix} {
			gotPrefix, got, ok := parseBucket(bucketAttribute(prefix, start))
			require.True(t, ok, start)
			require.Equal(t, prefix, gotPrefix)
			require.Equal(t, start, got)
		}
	}
	for _, other := range []string{"", "+", "=", "++", "+-", "+ 1", "pk", "u", "+01", "+A", "++" + "zz0000000000000000", "+1y2p0ij32e8e8"} {
		_, _, ok := parseBucket(other)
		require.False(t, ok, other)
	}
}

// Wherever two reservations are due, their keys sort by time.
func TestDueKeysSortByTime(t *testing.T) {
	times := []int64{-5, 0, 1, 15, 16, 255, 1 << 40, 1_800_000_000_000_000_000, 1<<63 - 1}
	var keys []string
	for _, at := range times {
		id := driver.NewID()
		key := dueKey(id, at).sort
		keys = append(keys, key)
		gotID, got, err := parseDue(key)
		require.NoError(t, err)
		require.Equal(t, id, gotID)
		require.Equal(t, max(at, 0), got)
		require.Greater(t, sortable(at)+"$", key)
	}
	require.True(t, slices.IsSortedFunc(keys[1:], func(a, b string) int { return slices.Compare([]byte(a), []byte(b)) }))
}
