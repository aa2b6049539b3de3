package main

import (
	"archive/zip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"golang.org/x/mod/modfile"
)

const repository = "../../.."

// tree writes a repository of three modules: a command that needs a store, a store that needs the core, and the core.
func tree(t *testing.T) string {
	t.Helper()
	root := t.TempDir()
	for name, text := range map[string]string{
		"go.mod":              "module example.com/core\n\ngo 1.26.0\n",
		"core.go":             "package core\n",
		"LICENSE":             "a licence\n",
		"CHANGELOG.md":        "# Changelog\n\n## [Unreleased]\n\n### Added\n\n- all of it\n",
		"a/command/go.mod":    "module example.com/core/a/command\n\ngo 1.26.0\n\nrequire (\n\texample.com/core v0.0.0\n\texample.com/core/store v0.0.0\n)\n\nreplace (\n\texample.com/core => ../..\n\texample.com/core/store => ../../store\n)\n",
		"a/command/main.go":   "package main\n\nfunc main() {}\n",
		"store/go.mod":        "module example.com/core/store\n\ngo 1.26.0\n\nrequire example.com/core v0.0.0\n\nreplace example.com/core => ..\n",
		"store/store.go":      "package store\n",
		"internal/rig/go.mod": "module example.com/core/internal/rig\n\ngo 1.26.0\n",
		"testdata/go.mod":     "module example.com/elsewhere\n",
	} {
		file := filepath.Join(root, filepath.FromSlash(name))
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, []byte(text), 0o644))
	}
	return root
}

func load(t *testing.T, root string) map[string]*module {
	t.Helper()
	modules, err := loadModules(root)
	require.NoError(t, err)
	byDir := make(map[string]*module)
	for _, m := range modules {
		byDir[m.Dir] = m
	}
	return byDir
}

// A go.sum holds the hashes of the zips of what a module requires, so those must be there first.
func TestModulesComeAfterThoseThatTheyRequire(t *testing.T) {
	modules, err := loadModules(tree(t))
	require.NoError(t, err)
	var dirs []string
	for _, m := range modules {
		dirs = append(dirs, m.Dir)
	}
	require.ElementsMatch(t, []string{".", "store", "a/command", "internal/rig"}, dirs, "and nothing of testdata")
	require.Less(t, slices.Index(dirs, "."), slices.Index(dirs, "store"))
	require.Less(t, slices.Index(dirs, "store"), slices.Index(dirs, "a/command"))
}

func TestModulesThatRequireEachOtherAreRefused(t *testing.T) {
	root := tree(t)
	require.NoError(t, os.WriteFile(filepath.Join(root, "go.mod"), []byte("module example.com/core\n\nrequire example.com/core/store v0.0.0\n"), 0o644))
	_, err := loadModules(root)
	require.ErrorContains(t, err, "requires itself")
}

func TestAReleasedModuleHasVersionsAndNoReplace(t *testing.T) {
	text, err := load(t, tree(t))["a/command"].released("v0.3.0")
	require.NoError(t, err)
	require.NotContains(t, string(text), "replace")
	require.NotContains(t, string(text), "v0.0.0")
	require.Contains(t, string(text), "example.com/core v0.3.0")
	require.Contains(t, string(text), "example.com/core/store v0.3.0")
}

// Who asks for a commit after the release gets the released core with it, so the version must exist.
func TestADevelopedModuleAsksForTheLastReleaseAndReplacesIt(t *testing.T) {
	text, err := load(t, tree(t))["store"].developed("v0.3.0")
	require.NoError(t, err)
	require.Contains(t, string(text), "require example.com/core v0.3.0")
	require.Contains(t, string(text), "replace example.com/core => ..")
}

// A module that replaces somebody else's would behave otherwise for its users than for us.
func TestAReplaceOfSomebodyElsesModuleIsRefused(t *testing.T) {
	root := tree(t)
	file := filepath.Join(root, "store", "go.mod")
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.NoError(t, os.WriteFile(file, append(text, "\nreplace example.org/other => ../other\n"...), 0o644))
	_, err = load(t, root)["store"].released("v0.3.0")
	require.ErrorContains(t, err, "example.org/other")
}

func TestTagsNameTheFolderOfTheModule(t *testing.T) {
	modules := load(t, tree(t))
	require.Equal(t, "v0.3.0", modules["."].tag("v0.3.0"))
	require.Equal(t, "a/command/v0.3.0", modules["a/command"].tag("v0.3.0"))
	require.True(t, modules["store"].public())
	require.False(t, modules["internal/rig"].public())
}

func TestVersionsThatGoWouldNotTakeAreRefused(t *testing.T) {
	for _, version := range []string{"", "0.3.0", "v0.3", "v2.0.0", "v0.3.0+build", "latest"} {
		require.Error(t, checkVersion(version), version)
	}
	for _, version := range []string{"v0.3.0", "v1.0.0", "v0.3.0-rc.1"} {
		require.NoError(t, checkVersion(version), version)
	}
}

// Go gives a module without a LICENSE that of the repository, and leaves modules below it out: else the hashes would differ.
func TestAZipHoldsWhatGoWouldPack(t *testing.T) {
	proxy := fileProxy{t.TempDir()}
	modules := load(t, tree(t))
	for dir, want := range map[string][]string{
		".":     {"CHANGELOG.md", "LICENSE", "core.go", "go.mod"},
		"store": {"LICENSE", "go.mod", "store.go"},
	} {
		m := modules[dir]
		_, err := proxy.publish(m, "v0.3.0")
		require.NoError(t, err)
		packed, err := zip.OpenReader(filepath.Join(proxy.dir, m.Path, "@v", "v0.3.0.zip"))
		require.NoError(t, err)
		t.Cleanup(func() { require.NoError(t, packed.Close()) })
		var names []string
		for _, f := range packed.File {
			names = append(names, strings.TrimPrefix(f.Name, m.Path+"@v0.3.0/"))
		}
		require.Subset(t, names, want)
		require.NotContains(t, names, "store/store.go", "of a module below")
	}
}

func TestTheChangelogGetsTheVersionOnce(t *testing.T) {
	file := filepath.Join(tree(t), "CHANGELOG.md")
	require.NoError(t, dateChangelog(file, "v0.3.0", time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)))
	text, err := os.ReadFile(file)
	require.NoError(t, err)
	require.Contains(t, string(text), "## [Unreleased]\n\n## [0.3.0] - 2026-12-01\n\n### Added")
	require.NoError(t, os.WriteFile(file, []byte("# Changelog\n"), 0o644))
	require.ErrorContains(t, dateChangelog(file, "v0.3.1", time.Now()), "Unreleased")
}

// Where somebody's modules come from is nobody's business who reads a log.
func TestNoHostOfAProxyIsPrinted(t *testing.T) {
	scrubber := withoutHosts("https://one.example/path/,http://two.example:8080|direct")
	require.Equal(t, "<proxy>/m/@v/list: no such host <proxy>, direct",
		scrubber.Replace("https://one.example/path/m/@v/list: no such host two.example:8080, direct"))
}

// The repository's own modules: what tidy, go.work and a release rest on.
func TestModulesOfTheRepositoryAgree(t *testing.T) {
	modules, err := loadModules(repository)
	require.NoError(t, err)
	work, err := os.ReadFile(filepath.Join(repository, "go.work"))
	require.NoError(t, err)
	var used []string
	for _, match := range regexp.MustCompile(`(?m)^\t(\S+)$`).FindAllStringSubmatch(string(work), -1) {
		used = append(used, filepath.ToSlash(filepath.Clean(match[1])))
	}
	text, err := os.ReadFile(filepath.Join(repository, "go.mod"))
	require.NoError(t, err)
	core, err := modfile.Parse("go.mod", text, nil)
	require.NoError(t, err)
	versions := make(map[string]string)
	for _, m := range modules {
		f, err := modfile.Parse(m.Dir, m.Mod, nil)
		require.NoError(t, err)
		require.Equal(t, core.Go.Version, f.Go.Version, "the go line of %s", m.Dir)
		if strings.HasPrefix(m.Dir, "internal/tools") {
			require.NotContains(t, used, m.Dir, "what tools need is not what the library needs")
			continue
		}
		require.Contains(t, used, m.Dir, "go.work")
		require.Len(t, f.Replace, len(m.own), "%s replaces each module of the repository that it requires, and nothing else", m.Dir)
		for _, r := range f.Require {
			if first, seen := versions[r.Mod.Path]; seen {
				require.Equal(t, first, r.Mod.Version, "%s in %s: run make tidy", r.Mod.Path, m.Dir)
			}
			versions[r.Mod.Path] = r.Mod.Version
		}
	}
}
