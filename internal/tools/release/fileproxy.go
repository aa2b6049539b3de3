package main

import (
	"encoding/json"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	gomodule "golang.org/x/mod/module"
	"golang.org/x/mod/sumdb/dirhash"
	"golang.org/x/mod/zip"
)

// fileProxy is a folder in the layout of the Go module proxy protocol, for GOPROXY=file://...
type fileProxy struct {
	dir string
}

// published is a module in a proxy.
type published struct {
	Module *module
	Hash   string // as in go.sum
	Bytes  int64
	Files  int
}

// publish puts a version of a module into the proxy: its zip, and the small files that Go asks for before it. The zip has all files of the module's
// folder, so there must be none that git does not track.
func (p fileProxy) publish(m *module, version string) (published, error) {
	escaped, err := gomodule.EscapePath(m.Path) // with "!" and a small letter for a capital one
	if err != nil {
		return published{}, err
	}
	dir := filepath.Join(p.dir, filepath.FromSlash(escaped), "@v")
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return published{}, err
	}
	mod, err := os.ReadFile(m.file("go.mod"))
	if err != nil {
		return published{}, err
	}
	// The protocol's three small files: the list of versions, of a version its name and time, and its go.mod.
	info, err := json.Marshal(struct {
		Version string
		Time    time.Time
	}{version, time.Now().UTC().Truncate(time.Second)})
	if err != nil {
		return published{}, err
	}
	for name, data := range map[string][]byte{"list": []byte(version + "\n"), version + ".info": info, version + ".mod": mod} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o644); err != nil {
			return published{}, err
		}
	}
	return zipModule(filepath.Join(dir, version+".zip"), m, version)
}

// zipModule writes the zip of a module to a file, and returns its hash and size.
func zipModule(name string, m *module, version string) (published, error) {
	files, err := filesOf(m)
	if err != nil {
		return published{}, err
	}
	out, err := os.Create(name)
	if err != nil {
		return published{}, err
	}
	if err := zip.Create(out, gomodule.Version{Path: m.Path, Version: version}, files); err != nil {
		_ = out.Close() // the error of zip.Create is returned
		return published{}, fmt.Errorf("zip %s: %w", m.Path, err)
	}
	if err := out.Close(); err != nil {
		return published{}, err
	}
	hash, err := dirhash.HashZip(name, dirhash.Hash1)
	if err != nil {
		return published{}, err
	}
	stat, err := os.Stat(name)
	if err != nil {
		return published{}, err
	}
	return published{Module: m, Hash: hash, Bytes: stat.Size(), Files: len(files)}, nil
}

// filesOf lists the files that Go packs for a module: its folder without the modules below, and the root's LICENSE if it has none of its
// own.
func filesOf(m *module) ([]zip.File, error) {
	base := filepath.Join(m.root, filepath.FromSlash(m.Dir))
	checked, err := zip.CheckDir(base)
	if err != nil {
		return nil, err
	}
	var files []zip.File
	licensed := false
	for _, name := range checked.Valid { // without the folders of other modules
		relative, err := filepath.Rel(base, name)
		if err != nil {
			return nil, err
		}
		licensed = licensed || relative == "LICENSE"
		files = append(files, diskFile{path: filepath.ToSlash(relative), on: name})
	}
	if !licensed {
		files = append(files, diskFile{path: "LICENSE", on: filepath.Join(m.root, "LICENSE")})
	}
	return files, nil
}

// diskFile is a zip.File, an interface of three methods: path is its name in the zip, and on its path on disk.
type diskFile struct {
	path, on string
}

func (f diskFile) Path() string                 { return f.path }
func (f diskFile) Lstat() (fs.FileInfo, error)  { return os.Lstat(f.on) }
func (f diskFile) Open() (io.ReadCloser, error) { return os.Open(f.on) }

// shortHash returns enough of a hash to distinguish two in a log.
func (p published) shortHash() string {
	return strings.TrimPrefix(p.Hash, "h1:")[:12]
}
