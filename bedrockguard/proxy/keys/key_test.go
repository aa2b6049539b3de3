package keys

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var noon = time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC)

func aKey() Key { return Key{ID: NewID(), Principal: "ci", Created: noon} }

func TestNewID_IsOfOurOwnForm(t *testing.T) {
	id := NewID()
	assert.Len(t, id, 20)
	assert.True(t, IsID(id))
	assert.NotEqual(t, id, NewID())
	for _, other := range []string{"", "AKIAIOSFODNN7EXAMPLE", id[:19], id + "A", strings.ToLower(id), "BGAK/" + id[5:], "BGAK1" + id[5:], "BGAK\n" + id[5:]} {
		assert.False(t, IsID(other), other)
	}
}

func TestHashBearer(t *testing.T) {
	bearer, hash := NewBearer()
	assert.True(t, strings.HasPrefix(bearer, "bg-"))
	assert.Len(t, bearer, 46, "256 bits")
	got, ok := HashBearer(bearer)
	require.True(t, ok)
	assert.True(t, got.Equal(hash))
	assert.Equal(t, Hash(sha256.Sum256([]byte(bearer))), got)
	another, _ := NewBearer()
	assert.NotEqual(t, bearer, another)
	for _, other := range []string{"", "bg-", bearer[:45], bearer + "A", "sk-" + bearer[3:], bearer[:45] + "!", bearer[:44] + "\r\n", bearer[3:]} {
		_, ok := HashBearer(other)
		assert.False(t, ok, other)
	}
}

func TestHash_Text(t *testing.T) {
	_, hash := NewBearer()
	text, err := json.Marshal(hash)
	require.NoError(t, err)
	var back Hash
	require.NoError(t, json.Unmarshal(text, &back))
	assert.Equal(t, hash, back)
	for _, bad := range []string{`""`, `"00"`, `"` + strings.Repeat("z", 64) + `"`} {
		require.ErrorIs(t, json.Unmarshal([]byte(bad), &back), ErrInvalid)
	}
}

func TestKey_Check(t *testing.T) {
	for name, tc := range map[string]struct {
		key  Key
		want error
	}{
		"for ever":               {Key{}, nil},
		"not yet expired":        {Key{Expires: noon.Add(1)}, nil},
		"just expired":           {Key{Expires: noon}, ErrExpired},
		"revoked":                {Key{Revoked: noon.Add(-time.Hour)}, ErrRevoked},
		"revoked by a fast host": {Key{Revoked: noon.Add(time.Hour)}, ErrRevoked},
		"both":                   {Key{Revoked: noon, Expires: noon}, ErrRevoked},
	} {
		assert.ErrorIs(t, tc.key.Check(noon), tc.want, name)
	}
}

func TestKey_Validate(t *testing.T) {
	good := aKey()
	good.Tags, good.Workflow = map[string]string{"team": "é 1"}, "nightly"
	require.NoError(t, good.Validate())
	for name, change := range map[string]func(*Key){
		"an id of AWS's":       func(k *Key) { k.ID = "AKIAIOSFODNN7EXAMPLE" },
		"no principal":         func(k *Key) { k.Principal = "" },
		"a principal in lines": func(k *Key) { k.Principal = "a\nb" },
		"a principal too long": func(k *Key) { k.Principal = strings.Repeat("a", 257) },
		"broken text":          func(k *Key) { k.Workflow = "\xff" },
		"a tag without a name": func(k *Key) { k.Tags = map[string]string{"": "x"} },
		"a tag with a bell":    func(k *Key) { k.Tags = map[string]string{"x": "\a"} },
		"no creation":          func(k *Key) { k.Created = time.Time{} },
		"too many tags": func(k *Key) {
			k.Tags = map[string]string{}
			for i := range 51 {
				k.Tags[fmt.Sprint(i)] = ""
			}
		},
	} {
		k := aKey()
		change(&k)
		require.ErrorIs(t, k.Validate(), ErrInvalid, name)
	}
}

func TestMaster_Rotates(t *testing.T) {
	a, b := NewMaster(), NewMaster()
	id := NewID()
	read := func(text string) Master {
		m, err := ParseMaster([]byte(text))
		require.NoError(t, err)
		return m
	}
	first := read(a + "\n")
	secret, ok := first.Secret(id)
	require.True(t, ok)
	assert.Len(t, secret, 43)
	assert.NotContains(t, secret, "=")
	assert.Equal(t, [][]byte{[]byte(secret)}, first.Secrets(id))

	both := read("\r\n " + b + " \r\n\n" + a)
	renewed, ok := both.Secret(id)
	require.True(t, ok)
	assert.NotEqual(t, secret, renewed)
	assert.Equal(t, [][]byte{[]byte(renewed), []byte(secret)}, both.Secrets(id), "the old pair is still good")
	assert.Equal(t, [][]byte{[]byte(renewed)}, read(b).Secrets(id), "and void without its master key")

	other, _ := first.Secret(NewID())
	assert.NotEqual(t, secret, other)
	_, ok = first.Secret("AKIAIOSFODNN7EXAMPLE")
	assert.False(t, ok)
	assert.Empty(t, first.Secrets(""))
	_, ok = Master{}.Secret(id)
	assert.False(t, ok)
}

// Pairs that were handed out are good as long as their master key is: a release must not make others of the same.
func TestMaster_SecretsStayAsTheyAre(t *testing.T) {
	m, err := ParseMaster([]byte("a master key of thirty-two bytes"))
	require.NoError(t, err)
	secret, ok := m.Secret("BGAKAAAAAAAAAAAAAAAA")
	require.True(t, ok)
	assert.Equal(t, "n7YwBVGzfR8J4CbB_F0xcSNHPYUzSucQk6B9vZGvTLs", secret)
}

func TestParseMaster_Refusals(t *testing.T) {
	for name, text := range map[string]string{
		"nothing": " \n\n", "short": strings.Repeat("k", 31), "a short second": NewMaster() + "\nk",
		"three": NewMaster() + "\n" + NewMaster() + "\n" + NewMaster(), "twice": "a master key of thirty-two bytes\na master key of thirty-two bytes",
	} {
		m, err := ParseMaster([]byte(text))
		require.Error(t, err, name)
		assert.True(t, m.IsZero())
	}
}

func TestMaster_IsNeverPrinted(t *testing.T) {
	const text = "a master key of thirty-two bytes"
	m, err := ParseMaster([]byte(text))
	require.NoError(t, err)
	var log strings.Builder
	slog.New(slog.NewTextHandler(&log, nil)).Info("x", "master", m, "in", struct{ M Master }{m})
	printed := log.String() + fmt.Sprintf("%v %+v %#v %s %x %v", m, m, m, m, m, Ring{Master: m})
	data, err := json.Marshal(map[string]any{"m": m})
	require.NoError(t, err)
	printed += string(data)
	assert.NotContains(t, printed, text)
	assert.NotContains(t, printed, fmt.Sprintf("%x", text))
	assert.NotContains(t, printed, fmt.Sprint([]byte(text)))
	assert.Contains(t, printed, "keys.Master(1)")
}

// fixed is a book with one key, or one that is away.
type fixed struct {
	Book
	key Key
	err error
}

func (b fixed) Find(context.Context, string) (Key, error)     { return b.key, b.err }
func (b fixed) FindBearer(context.Context, Hash) (Key, error) { return b.key, b.err }

func TestRing(t *testing.T) {
	ctx := t.Context()
	bearer, hash := NewBearer()
	master, err := ParseMaster([]byte(NewMaster()))
	require.NoError(t, err)
	key := aKey()
	key.Bearer = hash
	away := errors.New("away")
	revoked, expired, another := key, key, key
	revoked.Revoked, expired.Expires = noon, noon
	another.ID, another.Bearer = NewID(), Hash{1}
	for name, tc := range map[string]struct {
		book fixed
		want error
	}{
		"good":    {fixed{key: key}, nil},
		"revoked": {fixed{key: revoked}, ErrRevoked},
		"expired": {fixed{key: expired}, ErrExpired},
		"none":    {fixed{err: ErrNotFound}, ErrNotFound},
		"away":    {fixed{key: key, err: away}, away},
	} {
		r := Ring{Book: tc.book, Master: master, Now: func() time.Time { return noon }}
		got, err := r.Bearer(ctx, bearer)
		require.ErrorIs(t, err, tc.want, name)
		all, errSecrets := r.Secrets(ctx, key.ID)
		require.ErrorIs(t, errSecrets, tc.want, name)
		if tc.want == nil {
			assert.Equal(t, key, got)
			assert.Equal(t, master.Secrets(key.ID), all)
		} else {
			assert.Zero(t, got)
			assert.Empty(t, all)
		}
	}
	r := Ring{Book: fixed{key: another}, Master: master}
	_, err = r.Bearer(ctx, bearer)
	require.ErrorIs(t, err, ErrNotFound, "a book that finds another key")
	_, err = r.Key(ctx, key.ID)
	require.Error(t, err)
	r.Book = fixed{key: key}
	_, err = r.Bearer(ctx, key.ID)
	require.ErrorIs(t, err, ErrNotFound)
	_, err = r.Secrets(ctx, "AKIAIOSFODNN7EXAMPLE")
	require.ErrorIs(t, err, ErrNotFound)
	r.Master = Master{}
	_, err = r.Secrets(ctx, key.ID)
	require.ErrorIs(t, err, errNoMaster)
}
