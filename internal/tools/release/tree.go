package main

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/mod/modfile"
)

// module is one go.mod of the repository.
type module struct {
	Dir  string // relative to the root, with slashes; "." is the core
	Path string // under which it is imported
	Mod  []byte // go.mod as it was read
	Sum  []byte // go.sum as it was read, nil if there is none

	root string   // of the repository
	own  []string // the paths of the repository's modules that it requires
}

// loadModules reads every module under root. Each comes after those that it requires.
func loadModules(root string) ([]*module, error) {
	var modules []*module
	err := filepath.WalkDir(root, func(file string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() && (entry.Name() == ".git" || entry.Name() == "testdata") {
			return filepath.SkipDir
		}
		if entry.IsDir() || entry.Name() != "go.mod" {
			return nil
		}
		m, err := readModule(root, filepath.Dir(file))
		modules = append(modules, m) // nil after an error, which ends the walk; then the list is dropped
		return err
	})
	if err != nil {
		return nil, err
	}
	return ordered(modules)
}

// readModule reads the module in a folder. Its field own has all modules that it requires; ordered removes those of others.
func readModule(root, dir string) (*module, error) {
	relative, err := filepath.Rel(root, dir)
	if err != nil {
		return nil, err
	}
	m := &module{Dir: filepath.ToSlash(relative), root: root}
	if m.Mod, err = os.ReadFile(m.file("go.mod")); err != nil {
		return nil, err
	}
	if m.Sum, err = os.ReadFile(m.file("go.sum")); err != nil && !os.IsNotExist(err) {
		return nil, err
	}
	parsed, err := modfile.Parse(m.file("go.mod"), m.Mod, nil)
	if err != nil {
		return nil, err
	}
	if parsed.Module == nil {
		return nil, fmt.Errorf("%s names no module", m.file("go.mod"))
	}
	m.Path = parsed.Module.Mod.Path
	for _, r := range parsed.Require {
		m.own = append(m.own, r.Mod.Path)
	}
	return m, nil
}

// ordered sorts the modules so that each comes after those that it requires, and removes from each own the modules that are not of this repository.
func ordered(modules []*module) ([]*module, error) {
	s := sorter{byPath: make(map[string]*module, len(modules)), state: make(map[*module]visitState, len(modules))}
	for _, m := range modules {
		s.byPath[m.Path] = m
	}
	for _, m := range modules {
		m.own = slices.DeleteFunc(m.own, func(p string) bool { return s.byPath[p] == nil })
	}
	slices.SortFunc(modules, func(a, b *module) int { return strings.Compare(a.Path, b.Path) })
	for _, m := range modules {
		if err := s.visit(m); err != nil {
			return nil, err
		}
	}
	return s.sorted, nil
}

// sorter sorts modules by what they require.
type sorter struct {
	byPath map[string]*module
	state  map[*module]visitState
	sorted []*module // those that were left, in the order in which they were
}

// visitState is how far sorter.visit has come with a module; zero if it was not visited yet.
type visitState int

// The states of a module that was visited.
const (
	entered visitState = iota + 1 // its requirements are being visited, so it must not occur among them
	left                          // it is sorted, behind its requirements
)

// visit adds the modules that m requires to the sorted ones, and then m itself, unless they are there already.
func (s *sorter) visit(m *module) error {
	switch s.state[m] {
	case entered:
		return fmt.Errorf("module %s requires itself by way of others", m.Path)
	case left:
		return nil
	}
	s.state[m] = entered
	for _, p := range m.own {
		if err := s.visit(s.byPath[p]); err != nil {
			return err
		}
	}
	s.state[m] = left
	s.sorted = append(s.sorted, m)
	return nil
}

// file returns the path of a file in the module's folder.
func (m *module) file(name string) string {
	return filepath.Join(m.root, filepath.FromSlash(m.Dir), name)
}

// public reports whether anything of the module can be installed. Modules under internal are not released.
func (m *module) public() bool {
	return !slices.Contains(strings.Split(m.Path, "/"), "internal")
}

// tag returns the git tag with which Go finds a version of the module.
func (m *module) tag(version string) string {
	if m.Dir == "." {
		return version
	}
	return path.Join(m.Dir, version)
}

// released returns the module's go.mod for a release: it requires the version of each module of the repository, and replaces none.
func (m *module) released(version string) ([]byte, error) {
	return m.edit(func(f *modfile.File) error {
		for _, r := range slices.Clone(f.Replace) {
			if !slices.Contains(m.own, r.Old.Path) {
				return fmt.Errorf("%s replaces %s, which installs would not do", m.file("go.mod"), r.Old.Path)
			}
			if err := f.DropReplace(r.Old.Path, r.Old.Version); err != nil {
				return err
			}
		}
		return m.require(f, version)
	})
}

// developed returns the module's go.mod after a release: it requires the released version, and still replaces it with the folder in the
// repository.
func (m *module) developed(version string) ([]byte, error) {
	return m.edit(func(f *modfile.File) error { return m.require(f, version) })
}

// require makes a go.mod require the version of each module of the repository that the module requires at all.
func (m *module) require(f *modfile.File, version string) error {
	for _, p := range m.own {
		if err := f.AddRequire(p, version); err != nil {
			return err
		}
	}
	return nil
}

// edit returns the module's go.mod, as it was read, after a change.
func (m *module) edit(change func(*modfile.File) error) ([]byte, error) {
	f, err := modfile.Parse(m.file("go.mod"), m.Mod, nil)
	if err != nil {
		return nil, err
	}
	if err := change(f); err != nil {
		return nil, err
	}
	f.Cleanup() // removes what DropReplace has only emptied
	return f.Format()
}
