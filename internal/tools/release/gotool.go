package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// workshop runs go and git in a scratch folder, with a module cache and a file proxy of its own, so that a rehearsal leaves nothing in the
// user's caches. Modules of others come from the user's module cache first, then from where the user's Go gets them.
type workshop struct {
	dir      string            // the scratch folder
	proxy    fileProxy         // a folder in it from which Go installs the modules of this release
	goEnv    []string          // "NAME=value", for every command; see environment
	gitEnv   []string          // likewise; empty until isolateGit sets it
	scrubber *strings.Replacer // removes names of hosts from what is printed
}

// newWorkshop makes a workshop in a new folder. ownPath is the path under which all modules of the repository lie: Go does not look for them in the
// public checksum database, which does not know an unpublished version.
func newWorkshop(ctx context.Context, ownPath string) (*workshop, error) {
	configured, err := goEnv(ctx, "GOPROXY")
	if err != nil {
		return nil, err
	}
	cache, err := goEnv(ctx, "GOMODCACHE")
	if err != nil {
		return nil, err
	}
	dir, err := scratchFolder("proxy", "cache", "bin", "home")
	if err != nil {
		return nil, err
	}
	w := &workshop{dir: dir, proxy: fileProxy{filepath.Join(dir, "proxy")}, scrubber: withoutHosts(configured)}
	// Go asks one after the other: this release's modules, what the user has downloaded before, and then the user's own proxies.
	proxies := strings.Join([]string{fileURL(w.proxy.dir), fileURL(filepath.Join(cache, "cache", "download")), configured}, ",")
	// Go may change go.mod (-mod=mod), writes a module cache that can be deleted (-modcacherw), and fetches no other version of itself.
	w.goEnv = append(w.goEnv,
		"GOWORK=off", "GOFLAGS=-mod=mod -modcacherw -trimpath", "GOPROXY="+proxies, "GONOSUMDB="+ownPath, "GOTOOLCHAIN=local",
		"GOMODCACHE="+filepath.Join(dir, "cache"), "GOBIN="+filepath.Join(dir, "bin"))
	return w, nil
}

// scratchFolder makes a new temporary folder with these folders in it, and returns its path without symbolic links.
func scratchFolder(inside ...string) (string, error) {
	dir, err := os.MkdirTemp("", "bedrockguard-release-")
	if err != nil {
		return "", err
	}
	resolved, err := filepath.EvalSymlinks(dir)
	for _, name := range inside {
		if err == nil {
			err = os.Mkdir(filepath.Join(resolved, name), 0o755)
		}
	}
	if err != nil {
		return "", errors.Join(err, os.RemoveAll(dir))
	}
	return resolved, nil
}

// close removes all that the workshop wrote.
func (w *workshop) close() error { return os.RemoveAll(w.dir) }

// goTool runs go in a folder and returns what it printed on its standard output.
func (w *workshop) goTool(ctx context.Context, dir string, args ...string) (string, error) {
	return w.command(ctx, dir, w.environment(), "go", args...)
}

// environment returns the environment for any command in the workshop.
func (w *workshop) environment() []string { return slices.Concat(cleanEnv(), w.goEnv, w.gitEnv) }

// git runs git with the user's settings, or without them after isolateGit.
func (w *workshop) git(ctx context.Context, dir string, args ...string) (string, error) {
	return w.command(ctx, dir, w.environment(), "git", args...)
}

// command runs a program in a folder with an environment, and returns what it printed on its standard output.
func (w *workshop) command(ctx context.Context, dir string, env []string, name string, args ...string) (string, error) {
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = dir, env
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("%s %s: %w\n%s%s", filepath.Base(name), strings.Join(args, " "), err,
			w.scrubber.Replace(stdout.String()), w.scrubber.Replace(stderr.String()))
	}
	return w.scrubber.Replace(stdout.String()), nil
}

// cleanEnv returns the environment without variables that would influence a rehearsal.
func cleanEnv() []string {
	var kept []string
	for _, pair := range os.Environ() {
		switch name, _, _ := strings.Cut(pair, "="); name {
		case "GOWORK", "GOFLAGS", "GOPROXY", "GONOSUMDB", "GONOPROXY", "GOPRIVATE", "GOMODCACHE", "GOBIN", "GOTOOLCHAIN",
			"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "MAKEFLAGS", "MAKELEVEL":
		default:
			kept = append(kept, pair)
		}
	}
	return kept
}

// goEnv returns the user's value of a variable of go env.
func goEnv(ctx context.Context, name string) (string, error) {
	out, err := exec.CommandContext(ctx, "go", "env", name).Output()
	if err != nil {
		return "", fmt.Errorf("go env %s: %w", name, err)
	}
	return strings.TrimSpace(string(out)), nil
}

// fileURL returns the file:// address of a folder.
func fileURL(dir string) string {
	return (&url.URL{Scheme: "file", Path: filepath.ToSlash(dir)}).String()
}

// withoutHosts replaces the hosts of a GOPROXY list: a log may be public, and the user's proxies may not be.
func withoutHosts(proxies string) *strings.Replacer {
	var pairs []string
	for _, entry := range strings.FieldsFunc(proxies, func(r rune) bool { return r == ',' || r == '|' }) {
		if u, err := url.Parse(entry); err == nil && u.Host != "" {
			// The whole address, with its path, stands in messages of Go; the host alone in those of the network.
			pairs = append(pairs, strings.TrimSuffix(entry, "/"), "<proxy>", u.Host, "<proxy>")
		}
	}
	return strings.NewReplacer(pairs...)
}
