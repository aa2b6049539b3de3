package sigv4

import (
	"strconv"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"
)

// clocked returns a verifier, and how to set its clock.
func clocked(o Options) (*Verifier, func(time.Time)) {
	now := noon
	o.Secrets, o.Now = secrets, func() time.Time { return now }
	return New(o), func(t time.Time) { now = t }
}

func TestReplay_RefusedAsLongAsTheDateIsGood(t *testing.T) {
	v, set := clocked(Options{})
	d := plain()
	d.at = noon.Add(5 * time.Minute)
	r := d.signed(t)
	_, err := v.Verify(r, []byte(d.body))
	require.NoError(t, err)
	for _, later := range []time.Duration{0, time.Second, 5 * time.Minute, 10 * time.Minute} {
		set(noon.Add(later))
		_, err = v.Verify(r, []byte(d.body))
		require.ErrorIs(t, err, ErrReplayed, later)
	}
	set(noon.Add(10*time.Minute + time.Second))
	_, err = v.Verify(r, []byte(d.body))
	require.ErrorIs(t, err, ErrSkew)
	another := plain()
	another.at = noon.Add(10 * time.Minute)
	_, err = v.Verify(another.signed(t), []byte(another.body))
	require.NoError(t, err)
	assert.Equal(t, 1, v.seen.n, "what can't come again is forgotten")
	set(noon.Add(6 * time.Minute))
	_, err = v.Verify(r, []byte(d.body))
	require.ErrorIs(t, err, ErrReplayed, "a clock that was set back brings nothing back")
}

// boto3 signs content-type, host and date alone: its retry within the same second has the same signature.
func TestReplay_AnotherAttemptIsNone(t *testing.T) {
	v, _ := clocked(Options{})
	d := plain()
	r := d.signed(t)
	attempt := func(id, request string) error {
		r.Header.Set("Amz-Sdk-Invocation-Id", id) // behind the signature
		r.Header.Set("Amz-Sdk-Request", request)
		_, err := v.Verify(r, []byte(d.body))
		return err
	}
	require.NoError(t, attempt("a", "attempt=1; max=3"))
	require.ErrorIs(t, attempt("a", "attempt=1; max=3"), ErrReplayed)
	require.NoError(t, attempt("a", "attempt=2; max=3"), "a retry")
	require.NoError(t, attempt("b", "attempt=1; max=3"), "an equal call beside it")
	require.ErrorIs(t, attempt("", "attempt=4"), ErrReplayed)
	served := 3
	for i := range 200 {
		if attempt(strconv.Itoa(i), "attempt=1") == nil {
			served++
		}
	}
	assert.Equal(t, maxAttempts, served, "bounded, because whoever replays can write another id")
	var set func(time.Time)
	v, set = clocked(Options{})
	require.NoError(t, attempt("a", "attempt=1"))
	set(noon.Add(repeatWindow + time.Millisecond))
	require.ErrorIs(t, attempt("b", "attempt=1"), ErrReplayed, "later than a client sends it")
}

func TestReplay_AnIdThatCameLaterIsNoAttempt(t *testing.T) {
	v := verifier()
	d := plain()
	r := d.signed(t)
	_, err := v.Verify(r, []byte(d.body))
	require.NoError(t, err)
	r.Header.Set("Amz-Sdk-Invocation-Id", "x")
	_, err = v.Verify(r, []byte(d.body))
	require.ErrorIs(t, err, ErrReplayed)
}

func TestReplay_Duplicates(t *testing.T) {
	once, _ := clocked(Options{Duplicates: 2})
	d := plain()
	r := d.signed(t)
	for i := range 4 {
		_, err := once.Verify(r, []byte(d.body))
		if i < 3 {
			require.NoError(t, err)
		} else {
			require.ErrorIs(t, err, ErrReplayed)
		}
	}
	v, set := clocked(Options{Duplicates: 2})
	_, err := v.Verify(r, []byte(d.body))
	require.NoError(t, err)
	set(noon.Add(repeatWindow + time.Millisecond))
	_, err = v.Verify(r, []byte(d.body))
	require.ErrorIs(t, err, ErrReplayed)
}

func TestReplay_NothingFromBeforeTheProcess(t *testing.T) {
	v, _ := clocked(Options{Since: noon})
	d := plain()
	_, err := v.Verify(d.signed(t), []byte(d.body))
	require.NoError(t, err, "the same second")
	d.at = noon.Add(-time.Second)
	_, err = v.Verify(d.signed(t), []byte(d.body))
	require.ErrorIs(t, err, ErrReplayed)
}

// A request that fails takes no room, and pushes nothing out.
func TestReplay_OnlyWhatWasVerifiedIsRemembered(t *testing.T) {
	v := verifier()
	d := plain()
	d.secret = "another"
	_, err := v.Verify(d.signed(t), []byte(d.body))
	require.ErrorIs(t, err, ErrMismatch)
	assert.Zero(t, v.seen.n)
}

// However many come, whenever they are dated: memory is bounded, and no signature is served twice.
func TestReplay_BoundedAndNeverServedTwice(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		o := Options{MaxSeen: rapid.IntRange(1, 8).Draw(t, "max"), Skew: 4 * time.Second}
		m := newMemory(&o)
		now := noon
		done := map[[32]byte]bool{}
		for range rapid.IntRange(1, 100).Draw(t, "requests") {
			now = now.Add(time.Duration(rapid.IntRange(-1500, 2500).Draw(t, "ms")) * time.Millisecond)
			second := now.Unix() + rapid.Int64Range(-4, 4).Draw(t, "off")
			if now.Sub(time.Unix(second, 0)).Abs() > o.Skew {
				continue // refused before
			}
			signature := [32]byte{byte(rapid.IntRange(0, 3).Draw(t, "which")), byte(second), byte(second >> 8), byte(second >> 16), byte(second >> 24)}
			err := m.take(now, second, signature, 0)
			if err == nil {
				require.False(t, done[signature], "served twice")
				done[signature] = true
			} else {
				require.ErrorIs(t, err, ErrReplayed)
			}
			held := 0
			for s, all := range m.seconds {
				require.Greater(t, s, m.floor)
				require.GreaterOrEqual(t, s, m.oldest)
				held += len(all)
			}
			require.Equal(t, held, m.n)
			require.LessOrEqual(t, m.n, o.MaxSeen)
		}
	})
}

func BenchmarkVerify_20KB(b *testing.B) {
	body := make([]byte, 20<<10)
	d := plain()
	d.body = string(body)
	r := d.signed(b)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := verifier().Verify(r, body); err != nil {
			b.Fatal(err)
		}
	}
}
