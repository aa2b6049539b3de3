package keys

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"time"
)

const (
	fileVersion = 1
	lookEvery   = time.Second // how often a call looks whether the file has changed
	// coarseTime is how old the file's last change has to be when the file is read, so that any later change can be told by its time. A file
	// that is changed twice within that may keep the same time and size.
	coarseTime = 2 * time.Second
	maxFile    = 64 << 20 // bytes
)

// FileOptions configures a File.
type FileOptions struct {
	Create bool             // make a file if there is none; without it a missing file is an error, because it may have been lost
	Now    func() time.Time // nil is time.Now
}

// File is a Book in a JSON file that only its owner may write. It is read again after a change, for which it is checked at most once a
// second. It is replaced as a whole, so that nobody reads an incomplete one. Processes that change it wait for each other on Linux, macOS
// and the BSDs; elsewhere only one at a time may change it. If the file is missing, damaged or writable for others, every call fails until
// that is corrected.
type File struct {
	path string
	now  func() time.Time

	mu       sync.Mutex
	looked   time.Time       // when look checked the file last, by now
	state    fs.FileInfo     // of the file that was read; nil if that failed
	readAt   time.Time       // when it was read, by the system's clock
	err      error           // of the latest reading: every call fails with it until a reading succeeds
	byID     map[string]Key  // the keys that were read
	byBearer map[Hash]string // their ids, by the hash of their bearer keys
}

var _ Book = (*File)(nil)

// document is the content of the file.
type document struct {
	Version int   `json:"version"`
	Keys    []Key `json:"keys"`
}

// OpenFile opens a book in a file.
func OpenFile(path string, o FileOptions) (*File, error) {
	f := &File{path: path, now: o.Now}
	if f.now == nil {
		f.now = time.Now
	}
	if path == "" {
		return nil, errors.New("keys: no file is named")
	}
	if o.Create {
		if err := f.create(); err != nil {
			return nil, err
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return nil, err
	}
	return f, nil
}

// create makes a file without keys, unless there is one.
func (f *File) create() error {
	return f.locked(func() error {
		if _, err := os.Stat(f.path); !errors.Is(err, fs.ErrNotExist) {
			// err is nil if there is a file.
			return err
		}
		return f.write(document{Version: fileVersion, Keys: []Key{}})
	})
}

// Find implements Book.
func (f *File) Find(_ context.Context, id string) (Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		return Key{}, err
	}
	return f.key(id)
}

// FindBearer implements Book.
func (f *File) FindBearer(_ context.Context, hash Hash) (Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.look(); err != nil {
		return Key{}, err
	}
	id, ok := f.byBearer[hash]
	if !ok || hash.IsZero() {
		return Key{}, ErrNotFound
	}
	return f.key(id)
}

// key returns a copy of a key. Requires mu held.
func (f *File) key(id string) (Key, error) {
	key, ok := f.byID[id]
	if !ok {
		return Key{}, ErrNotFound
	}
	key.Tags = maps.Clone(key.Tags)
	return key, nil
}

// List implements Book. It reads the file anew, while Find may use what was read up to a second ago.
func (f *File) List(context.Context) ([]Key, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if err := f.read(); err != nil {
		return nil, err
	}
	return f.all(), nil
}

// all returns copies of all keys, the oldest first. Requires mu held.
func (f *File) all() []Key {
	all := make([]Key, 0, len(f.byID))
	for id := range f.byID {
		key, _ := f.key(id)
		all = append(all, key)
	}
	slices.SortFunc(all, func(a, b Key) int { return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.ID, b.ID)) })
	return all
}

// Put implements Book.
func (f *File) Put(_ context.Context, key Key) error {
	if err := key.Validate(); err != nil {
		return err
	}
	return f.change(func(all []Key) ([]Key, error) {
		for i := range all {
			if all[i].ID == key.ID || !key.Bearer.IsZero() && all[i].Bearer == key.Bearer {
				return nil, ErrExists
			}
		}
		return append(all, key), nil
	})
}

// Revoke implements Book.
func (f *File) Revoke(_ context.Context, id string, at time.Time) (Key, error) {
	var revoked Key
	if at.IsZero() {
		at = f.now()
	}
	err := f.change(func(all []Key) ([]Key, error) {
		i := slices.IndexFunc(all, func(k Key) bool { return k.ID == id })
		if i < 0 {
			return nil, ErrNotFound
		}
		// A repeat keeps the time of the first one.
		if all[i].Revoked.IsZero() {
			all[i].Revoked = at.UTC()
		}
		revoked = all[i]
		return all, nil
	})
	return revoked, err
}

// change reads the file, and replaces it with the keys that edit returns.
func (f *File) change(edit func([]Key) ([]Key, error)) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.locked(func() error {
		if err := f.read(); err != nil {
			return err
		}
		all, err := edit(f.all())
		if err != nil {
			return err
		}
		if err := f.write(document{Version: fileVersion, Keys: all}); err != nil {
			return err
		}
		// This process sees its own change at once, and not only when it looks at the file again.
		return f.read()
	})
}

// look reads the file again if it has changed or could not be read, at most once a second. Requires mu held.
func (f *File) look() error {
	now := f.now()
	// Abs, because a clock that was set back must not keep the file from being read.
	if now.Sub(f.looked).Abs() < lookEvery {
		return f.err
	}
	f.looked = now
	if f.err == nil && f.unchanged() {
		return nil
	}
	return f.read()
}

// unchanged reports whether the file is certainly the one that was read: it looks the same, and a change since the reading would show in its time.
// Requires mu held, and a reading that has succeeded.
func (f *File) unchanged() bool {
	state, err := os.Stat(f.path)
	if err != nil {
		return false
	}
	same := os.SameFile(state, f.state) && state.ModTime().Equal(f.state.ModTime()) && state.Size() == f.state.Size() && state.Mode() == f.state.Mode()
	return same && f.readAt.Sub(state.ModTime()).Abs() > coarseTime
}

// read reads the file, whether it has changed or not. Requires mu held.
func (f *File) read() error {
	f.looked = f.now()
	state, text, err := load(f.path)
	if err == nil {
		err = f.index(text)
	}
	if err != nil {
		f.byID, f.byBearer, state = nil, nil, nil
	}
	f.state, f.readAt, f.err = state, time.Now(), err // times of files are the system's, so Options.Now is not used
	return err
}

// load returns the content of a file and its state. It refuses a file that others may write.
func load(path string) (state fs.FileInfo, text []byte, err error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	defer file.Close()
	if state, err = file.Stat(); err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if runtime.GOOS != "windows" && state.Mode().Perm()&0o022 != 0 {
		return nil, nil, fmt.Errorf("keys: %s may be written by others than its owner, who could add keys: chmod 600 it", path)
	}
	// One byte more than is allowed shows that the file is too large.
	text, err = io.ReadAll(io.LimitReader(file, maxFile+1))
	if err != nil {
		return nil, nil, fmt.Errorf("keys: %w", err)
	}
	if len(text) > maxFile {
		return nil, nil, fmt.Errorf("keys: %s has more than %d MiB", path, maxFile>>20)
	}
	return state, text, nil
}

// index parses the content of the file, and takes its keys in. It refuses what is not a whole document, and two keys with the same id or bearer key.
// Requires mu held.
func (f *File) index(text []byte) error {
	doc, err := decode(text)
	if err != nil {
		return fmt.Errorf("keys: %s is not a book of keys: %w", f.path, err)
	}
	f.byID, f.byBearer = make(map[string]Key, len(doc.Keys)), make(map[Hash]string, len(doc.Keys))
	for _, key := range doc.Keys {
		_, sameID := f.byID[key.ID]
		// Keys without a bearer key have the zero hash, which is not put into byBearer.
		if _, sameBearer := f.byBearer[key.Bearer]; sameID || sameBearer {
			return fmt.Errorf("keys: %s: %w", f.path, ErrExists)
		}
		f.byID[key.ID] = key
		if !key.Bearer.IsZero() {
			f.byBearer[key.Bearer] = key.ID
		}
	}
	return nil
}

// decode parses a file, and refuses one with unknown fields: they might make a key invalid.
func decode(text []byte) (doc document, err error) {
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&doc); err != nil {
		return doc, err
	}
	// After one document the file has to end.
	if _, err := d.Token(); !errors.Is(err, io.EOF) {
		return doc, errors.New("data after its end")
	}
	if doc.Version != fileVersion {
		return doc, fmt.Errorf("version %d, and this library reads version %d", doc.Version, fileVersion)
	}
	for i := range doc.Keys {
		if err := doc.Keys[i].Validate(); err != nil {
			return doc, fmt.Errorf("key %d: %w", i+1, err)
		}
	}
	return doc, nil
}

// write replaces the file as a whole: it writes another file in the same folder, and renames it. If the path is a symbolic link, the file to which it
// leads is replaced.
func (f *File) write(doc document) error {
	text, err := json.MarshalIndent(doc, "", "  ")
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	target := f.path
	if linked, err := filepath.EvalSymlinks(f.path); err == nil {
		target = linked
	}
	folder := filepath.Dir(target)
	file, err := os.CreateTemp(folder, ".keys-*") // with the permissions 0600
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer os.Remove(file.Name()) // fails after the rename, which is fine
	_, err = file.Write(append(text, '\n'))
	err = errors.Join(err, file.Sync())
	if err = errors.Join(err, file.Close()); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if err := os.Rename(file.Name(), target); err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	if d, err := os.Open(folder); err == nil { // not every system can sync a folder
		_ = d.Sync()
		_ = d.Close()
	}
	return nil
}
