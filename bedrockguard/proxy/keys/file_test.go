package keys

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// book opens a new file, with a clock that the test sets.
func book(t *testing.T) (f *File, path string, pass func(time.Duration)) {
	path = filepath.Join(t.TempDir(), "keys.json")
	now := noon
	var mu sync.Mutex
	f, err := OpenFile(path, FileOptions{Create: true, Now: func() time.Time {
		mu.Lock()
		defer mu.Unlock()
		return now
	}})
	require.NoError(t, err)
	return f, path, func(d time.Duration) {
		mu.Lock()
		defer mu.Unlock()
		now = now.Add(d)
	}
}

func TestFile(t *testing.T) {
	ctx := t.Context()
	f, path, _ := book(t)
	bearer, hash := NewBearer()
	key := Key{
		ID: NewID(), Bearer: hash, Principal: "ci", Workflow: "nightly", Tags: map[string]string{"team": "research"},
		Created: noon, Expires: noon.Add(time.Hour),
	}
	older := aKey()
	older.Created = noon.Add(-time.Hour)
	require.NoError(t, f.Put(ctx, key))
	require.NoError(t, f.Put(ctx, older))
	got, err := f.Find(ctx, key.ID)
	require.NoError(t, err)
	assert.Equal(t, key, got)
	got.Tags["team"] = "another"
	got, err = f.FindBearer(ctx, hash)
	require.NoError(t, err)
	assert.Equal(t, key, got, "what a caller does to its copy stays there")

	again, err := OpenFile(path, FileOptions{})
	require.NoError(t, err)
	all, err := again.List(ctx)
	require.NoError(t, err)
	assert.Equal(t, []Key{older, key}, all)

	text, err := os.ReadFile(path)
	require.NoError(t, err)
	assert.NotContains(t, string(text), bearer)
	info, err := os.Stat(path)
	require.NoError(t, err)
	assert.Equal(t, os.FileMode(0o600), info.Mode().Perm())
	left, err := filepath.Glob(filepath.Join(filepath.Dir(path), ".keys-*"))
	require.NoError(t, err)
	assert.Empty(t, left)
}

func TestFile_NothingThatIsNotThere(t *testing.T) {
	ctx := t.Context()
	f, _, _ := book(t)
	require.NoError(t, f.Put(ctx, aKey())) // without a bearer key
	_, err := f.Find(ctx, NewID())
	require.ErrorIs(t, err, ErrNotFound)
	_, err = f.FindBearer(ctx, Hash{})
	require.ErrorIs(t, err, ErrNotFound, "no hash is nobody's")
	_, err = f.Revoke(ctx, NewID(), noon)
	require.ErrorIs(t, err, ErrNotFound)
}

// A key that was revoked does not come back by being put again.
func TestFile_PutChangesNoKey(t *testing.T) {
	ctx := t.Context()
	f, _, _ := book(t)
	key := aKey()
	_, key.Bearer = NewBearer()
	require.NoError(t, f.Put(ctx, key))
	first, err := f.Revoke(ctx, key.ID, noon)
	require.NoError(t, err)
	assert.Equal(t, noon, first.Revoked)
	require.ErrorIs(t, f.Put(ctx, key), ErrExists)
	sameBearer := aKey()
	sameBearer.Bearer = key.Bearer
	require.ErrorIs(t, f.Put(ctx, sameBearer), ErrExists)
	require.ErrorIs(t, f.Put(ctx, Key{}), ErrInvalid)
	later, err := f.Revoke(ctx, key.ID, noon.Add(time.Hour))
	require.NoError(t, err)
	assert.Equal(t, first, later, "since the first time")
	got, err := f.Find(ctx, key.ID)
	require.NoError(t, err)
	assert.Equal(t, noon, got.Revoked)
}

func TestFile_RevokedElsewhereWithinASecond(t *testing.T) {
	ctx := t.Context()
	f, path, pass := book(t)
	key := aKey()
	require.NoError(t, f.Put(ctx, key))
	old := time.Now().Add(-time.Hour)
	require.NoError(t, os.Chtimes(path, old, old))
	pass(time.Second)
	_, err := f.Find(ctx, key.ID)
	require.NoError(t, err)

	other, err := OpenFile(path, FileOptions{})
	require.NoError(t, err)
	_, err = other.Revoke(ctx, key.ID, noon)
	require.NoError(t, err)
	pass(time.Second - 1)
	got, err := f.Find(ctx, key.ID)
	require.NoError(t, err)
	assert.True(t, got.Revoked.IsZero(), "a look is taken once a second")
	pass(1)
	got, err = f.Find(ctx, key.ID)
	require.NoError(t, err)
	assert.Equal(t, noon, got.Revoked)
}

// A change that keeps size and time of the file is seen, as long as the file is as young as a clock of files is coarse.
func TestFile_AChangeThatTheTimeDoesNotShow(t *testing.T) {
	ctx := t.Context()
	f, path, pass := book(t)
	key := aKey()
	require.NoError(t, f.Put(ctx, key))
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	info, err := os.Stat(path)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(path, []byte(strings.Replace(string(text), `"ci"`, `"de"`, 1)), 0o600)) // in place
	require.NoError(t, os.Chtimes(path, info.ModTime(), info.ModTime()))
	pass(time.Second)
	got, err := f.Find(ctx, key.ID)
	require.NoError(t, err)
	assert.Equal(t, "de", got.Principal)
}

// Whoever can't find out does not say "there is none", and goes on by itself once the file is mended.
func TestFile_FailsClosed(t *testing.T) {
	ctx := t.Context()
	f, path, pass := book(t)
	key := aKey()
	require.NoError(t, f.Put(ctx, key))
	good, err := os.ReadFile(path)
	require.NoError(t, err)
	line := string(good)
	for name, damage := range map[string]func() error{
		"gone":           func() error { return os.Remove(path) },
		"cut":            func() error { return os.WriteFile(path, good[:len(good)/2], 0o600) },
		"empty":          func() error { return os.WriteFile(path, nil, 0o600) },
		"more behind it": func() error { return os.WriteFile(path, append(good[:len(good):len(good)], '{', '}'), 0o600) },
		"a newer version": func() error {
			return os.WriteFile(path, []byte(strings.Replace(line, `"version": 1`, `"version": 2`, 1)), 0o600)
		},
		"an unknown field": func() error {
			return os.WriteFile(path, []byte(strings.Replace(line, `"principal"`, `"suspended": true, "principal"`, 1)), 0o600)
		},
		"an invalid key": func() error { return os.WriteFile(path, []byte(strings.Replace(line, `"ci"`, `""`, 1)), 0o600) },
		"a key twice": func() error {
			return os.WriteFile(path, []byte(strings.Replace(line, "[", "["+member(line)+",", 1)), 0o600)
		},
		"writable by group": func() error { return os.Chmod(path, 0o620) },
	} {
		require.NoError(t, damage(), name)
		pass(time.Second)
		for range 2 {
			_, err = f.Find(ctx, key.ID)
			require.Error(t, err, name)
			require.NotErrorIs(t, err, ErrNotFound, name)
		}
		_, err = f.FindBearer(ctx, Hash{1})
		require.NotErrorIs(t, err, ErrNotFound, name)
		require.Error(t, f.Put(ctx, aKey()), name)
		_, err = OpenFile(path, FileOptions{})
		require.Error(t, err, name)
		require.NoError(t, os.WriteFile(path, good, 0o600))
		require.NoError(t, os.Chmod(path, 0o600))
		pass(time.Second)
		_, err = f.Find(ctx, key.ID)
		require.NoError(t, err, name)
	}
	_, err = OpenFile("", FileOptions{Create: true})
	require.Error(t, err)
	_, err = OpenFile(filepath.Join(t.TempDir(), "none", "keys.json"), FileOptions{Create: true})
	require.Error(t, err)
}

// member returns the text of the only key in a file.
func member(text string) string {
	return text[strings.Index(text, "[")+1 : strings.LastIndex(text, "]")]
}

func TestFile_CreateKeepsWhatIsThere(t *testing.T) {
	ctx := t.Context()
	f, path, _ := book(t)
	key := aKey()
	require.NoError(t, f.Put(ctx, key))
	again, err := OpenFile(path, FileOptions{Create: true})
	require.NoError(t, err)
	_, err = again.Find(ctx, key.ID)
	require.NoError(t, err)
}

func TestFile_ALinkStaysOne(t *testing.T) {
	ctx := t.Context()
	_, path, _ := book(t)
	link := filepath.Join(t.TempDir(), "link.json")
	require.NoError(t, os.Symlink(path, link))
	f, err := OpenFile(link, FileOptions{})
	require.NoError(t, err)
	require.NoError(t, f.Put(ctx, aKey()))
	info, err := os.Lstat(link)
	require.NoError(t, err)
	assert.NotZero(t, info.Mode()&os.ModeSymlink)
	direct, err := OpenFile(path, FileOptions{})
	require.NoError(t, err)
	all, err := direct.List(ctx)
	require.NoError(t, err)
	assert.Len(t, all, 1)
}

// Of keys that several processes put at once none is lost.
func TestFile_ManyWriters(t *testing.T) {
	const writersVariable = "KEYS_TEST_FILE"
	ctx := t.Context()
	if path := os.Getenv(writersVariable); path != "" {
		f, err := OpenFile(path, FileOptions{})
		require.NoError(t, err)
		for range 10 {
			require.NoError(t, f.Put(ctx, aKey()))
		}
		return
	}
	f, path, _ := book(t)
	var writers sync.WaitGroup
	for range 3 {
		writers.Go(func() {
			cmd := exec.Command(os.Args[0], "-test.run=^TestFile_ManyWriters$")
			cmd.Env = append(os.Environ(), writersVariable+"="+path)
			out, err := cmd.CombinedOutput()
			assert.NoError(t, err, string(out))
		})
		writers.Go(func() {
			for range 10 {
				assert.NoError(t, f.Put(ctx, aKey()))
			}
		})
	}
	for range 20 {
		_, err := f.FindBearer(ctx, Hash{1})
		require.ErrorIs(t, err, ErrNotFound)
	}
	writers.Wait()
	all, err := f.List(ctx)
	require.NoError(t, err)
	assert.Len(t, all, 60)
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"id":"BGAKAAAAAAAAAAAAAAAA","bearer_sha256":"` + strings.Repeat("0a", 32) + `","principal":"ci","created":"2026-11-29T12:00:00Z"}]}`))
	f.Add([]byte(`{"version":1,"keys":[]} x`))
	f.Fuzz(func(t *testing.T, text []byte) {
		doc, err := decode(text)
		if err != nil {
			return
		}
		for i := range doc.Keys {
			require.NoError(t, doc.Keys[i].Validate())
		}
	})
}
