package account_test

import (
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func drawScope(t *rapid.T) driver.Scope {
	text := rapid.Map(rapid.SliceOfN(rapid.Byte(), 0, 20), func(b []byte) string { return string(b) })
	s := driver.Scope{Principal: text.Draw(t, "principal"), Workflow: text.Draw(t, "workflow"), Model: text.Draw(t, "model")}
	if tags := rapid.MapOfN(text, text, 0, 3).Draw(t, "tags"); len(tags) > 0 {
		s.Tags = tags
	}
	return s
}

func TestScopesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		want := drawScope(t)
		raw, err := account.EncodeScope(want)
		require.NoError(t, err)
		got, err := account.DecodeScope(raw)
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestRecordsComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<62)
		want := driver.Record{
			Change:   driver.Change{ID: driver.NewID(), Seen: n.Draw(t, "seen"), Operator: "anna\xff", Reason: "why\x00"},
			Revision: n.Draw(t, "revision"), At: time.Unix(0, n.Draw(t, "at")),
			Kind: driver.ChangeKind(rapid.IntRange(1, 7).Draw(t, "kind")),
		}
		switch want.Kind {
		case driver.ChangeKill, driver.ChangeRevive:
			want.Scope = drawScope(t)
			if want.Patterns = rapid.Bool().Draw(t, "patterns"); want.Patterns {
				want.Until = time.Unix(0, n.Draw(t, "until")+1)
			}
		case driver.ChangePolicy:
			want.Policy = driver.DocumentSum([]byte(rapid.String().Draw(t, "document")))
		case driver.ChangeAcceptLoss:
		case driver.ChangeCorrect:
			want.Reservation = driver.NewID()
			for u := range want.From {
				want.From[u], want.To[u] = n.Draw(t, "from"), n.Draw(t, "to")
			}
		case driver.ChangeOverride:
			want.Account = driver.Key{1, 2}
			if rapid.Bool().Draw(t, "set") {
				want.Override = &driver.Override{Max: n.Draw(t, "max"), Until: time.Unix(0, n.Draw(t, "until"))}
			}
		default:
			want.Account = driver.Key{3}
		}
		raw, err := account.EncodeRecord(&want)
		require.NoError(t, err)
		got, err := account.DecodeRecord(raw, want.Revision, want.At.UnixNano())
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
}

func TestARecordOfMoreUnitsIsRefusedByName(t *testing.T) {
	_, err := account.DecodeRecord([]byte(`{"Kind":5,"From":[0,1,2,3,4,5,6,7,8]}`), 1, 1)
	require.ErrorIs(t, err, account.ErrEncoding)
	require.ErrorContains(t, err, "8 units, this one knows 7")
	_, err = account.DecodeRecord([]byte(`[]`), 1, 1)
	require.ErrorIs(t, err, account.ErrEncoding)
}

func TestUsesComeBackAsTheyWere(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var want []account.Use
		for range rapid.IntRange(0, 5).Draw(t, "uses") {
			u := account.Use{Key: driver.Key(rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "key"))}
			for unit := range u.Amount[1:] {
				u.Amount[unit+1] = rapid.Int64Min(0).Draw(t, "amount")
			}
			want = append(want, u)
		}
		got, err := account.DecodeUses(account.EncodeUses(want))
		require.NoError(t, err)
		require.Equal(t, want, got)
	})
	_, err := account.DecodeUses([]byte{1, 8})
	require.ErrorContains(t, err, "8 units, this one knows 7")
	for _, raw := range [][]byte{{2}, {1}, {1, 7, 0}, append([]byte{1, 7}, make([]byte, 17)...)} {
		_, err := account.DecodeUses(raw)
		require.ErrorIs(t, err, account.ErrEncoding)
	}
}

func TestMomentsBeyondTheRangeAreCut(t *testing.T) {
	require.Equal(t, int64(1<<63-1), account.Nanos(time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)))
	require.Equal(t, int64(-1<<63), account.Nanos(time.Time{}))
	require.Equal(t, int64(5), account.Nanos(time.Unix(0, 5)))
}

func FuzzDecode(f *testing.F) {
	scope, err := account.EncodeScope(driver.Scope{Principal: "\xff", Tags: map[string]string{"a": "b"}})
	require.NoError(f, err)
	f.Add(scope)
	record, err := account.EncodeRecord(&driver.Record{Kind: driver.ChangeOverride, Override: &driver.Override{Max: 1}})
	require.NoError(f, err)
	f.Add(record)
	f.Fuzz(func(t *testing.T, raw []byte) {
		if s, err := account.DecodeScope(raw); err == nil {
			again, err := account.EncodeScope(s)
			require.NoError(t, err)
			back, err := account.DecodeScope(again)
			require.NoError(t, err)
			require.Equal(t, s, back)
		}
		_, _ = account.DecodeRecord(raw, 1, 1)
		if uses, err := account.DecodeUses(raw); err == nil && len(uses) > 0 {
			back, err := account.DecodeUses(account.EncodeUses(uses))
			require.NoError(t, err)
			require.Equal(t, uses, back)
		}
	})
}
