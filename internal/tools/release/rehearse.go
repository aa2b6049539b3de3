package main

import (
	"context"
	_ "embed"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"
)

// rehearsal is a release in a copy of the working tree, and what a user does with it afterwards.
type rehearsal struct {
	*workshop
	root    string // the copy
	version string
	zips    []published // the modules of the release
}

// rehearse makes a release in a copy of the working tree, then installs, builds and runs each of its modules in an empty module, and each
// command. It changes nothing outside of a scratch folder, which it removes unless keep is set.
func rehearse(ctx context.Context, tree, version string, keep bool) (err error) {
	began := time.Now()
	modules, err := loadModules(tree)
	if err != nil {
		return err
	}
	w, err := newWorkshop(ctx, modulePathOf(modules))
	if err != nil {
		return err
	}
	if keep {
		fmt.Println("scratch folder:", w.dir)
	} else {
		defer func() { err = errors.Join(err, w.close()) }()
	}
	w.isolateGit(modulePathOf(modules)) // from here on no command of git uses the user's settings
	r := &rehearsal{workshop: w, root: filepath.Join(w.dir, "tree"), version: version}
	if err := r.copyTree(ctx, tree); err != nil {
		return err
	}
	fmt.Printf("== Release %s in a copy of the tree\n", version)
	if r.zips, err = cut(ctx, w, r.root, version); err != nil {
		return err
	}
	for _, step := range []func(context.Context) error{r.showZips, r.checkTags, r.installModules, r.installCommands, r.runProgram} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	fmt.Printf("== %d modules install from the proxy into empty modules, build and run (%.0f s)\n", len(r.zips), time.Since(began).Seconds())
	return nil
}

// isolateGit makes git ignore the user's settings, commit under a name of the rehearsal, and find the repository in the copy: instead of the
// repository's public address (https and the module path), it reads the copy.
func (w *workshop) isolateGit(modulePath string) {
	// GIT_CONFIG_COUNT is the number of settings in the environment: here one, url.COPY.insteadOf, with the public address as its value.
	for key, value := range map[string]string{
		"GIT_CONFIG_GLOBAL": os.DevNull, "GIT_CONFIG_SYSTEM": os.DevNull, "GIT_CONFIG_COUNT": "1",
		"GIT_CONFIG_KEY_0": "url." + fileURL(filepath.Join(w.dir, "tree")) + ".insteadOf", "GIT_CONFIG_VALUE_0": "https://" + modulePath,
		"GIT_AUTHOR_NAME": "rehearsal", "GIT_AUTHOR_EMAIL": "rehearsal@example.com",
		"GIT_COMMITTER_NAME": "rehearsal", "GIT_COMMITTER_EMAIL": "rehearsal@example.com",
	} {
		w.gitEnv = append(w.gitEnv, key+"="+value)
	}
}

// copyTree copies the files of the working tree that git tracks, or would after git add, into a new repository, and commits them.
func (r *rehearsal) copyTree(ctx context.Context, tree string) error {
	listed, err := r.git(ctx, tree, "ls-files", "-z", "--cached", "--others", "--exclude-standard")
	if err != nil {
		return err
	}
	for name := range strings.SplitSeq(strings.TrimRight(listed, "\x00"), "\x00") {
		from, to := filepath.Join(tree, name), filepath.Join(r.root, name)
		data, err := os.ReadFile(from)
		if errors.Is(err, os.ErrNotExist) {
			continue // removed, but not yet committed
		}
		if err != nil {
			return err
		}
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(to, data, 0o644); err != nil {
			return err
		}
	}
	// --force: of the files in the copy none is to be ignored, whatever its .gitignore says.
	for _, args := range [][]string{{"init", "--quiet"}, {"add", "--all", "--force"}, {"commit", "--quiet", "--message", "As it lies"}} {
		if _, err := r.git(ctx, r.root, args...); err != nil {
			return err
		}
	}
	return nil
}

// showZips prints the tag, the size and the hash of each module.
func (r *rehearsal) showZips(context.Context) error {
	for _, zip := range r.zips {
		fmt.Printf("%-68s %4d files %6.0f kB  h1:%s…\n", zip.Module.tag(r.version), zip.Files, float64(zip.Bytes)/1000, zip.shortHash())
	}
	return nil
}

// checkTags lets Go fetch each module from the copy's tags, without a proxy, as it will from the real repository. What it gets must have the hash of
// the zip that cut has made, because the go.sum files of the release have that hash.
func (r *rehearsal) checkTags(ctx context.Context) error {
	fmt.Println("== Tags, as Go reads them from git")
	// A cache of its own, because the modules in the workshop's came from the proxy. git may read the copy, but nothing over a network. Of two values
	// of a variable the last one holds.
	env := append(r.environment(), "GOPROXY=direct", "GOVCS=*:git", "GIT_ALLOW_PROTOCOL=file", "GOMODCACHE="+filepath.Join(r.dir, "vcs"))
	for _, zip := range r.zips {
		out, err := r.command(ctx, r.dir, env, "go", "mod", "download", "-json", zip.Module.Path+"@"+r.version)
		if err != nil {
			return err
		}
		var found struct{ Sum string }
		if err := json.Unmarshal([]byte(out), &found); err != nil {
			return err
		}
		if found.Sum != zip.Hash {
			return fmt.Errorf("%s: the tag gives %s, the zip has %s", zip.Module.tag(r.version), found.Sum, zip.Hash)
		}
	}
	fmt.Printf("all %d give the zips of the proxy\n", len(r.zips))
	return nil
}

//go:embed consumer.go.tmpl
var consumerText string

// consumer makes a program that imports a list of packages.
var consumer = template.Must(template.New("consumer").Parse(consumerText))

// installModules adds each module to an empty one, which imports all of its importable packages, builds and runs.
func (r *rehearsal) installModules(ctx context.Context) error {
	fmt.Println("== Each module into an empty module: go get, go vet, go build, run")
	for _, zip := range r.zips {
		packages, err := r.packages(ctx, zip.Module, false) // not its commands
		if err != nil {
			return err
		}
		if len(packages) == 0 {
			continue // it has only commands
		}
		if err := r.installModule(ctx, zip.Module.Path, packages); err != nil {
			return err
		}
	}
	return nil
}

// installModule adds a module to an empty one, with a program that imports these packages of the module, and builds and runs the program.
func (r *rehearsal) installModule(ctx context.Context, path string, packages []string) error {
	dir, err := r.emptyModule(ctx)
	if err != nil {
		return err
	}
	if _, err := r.goTool(ctx, dir, "get", path+"@"+r.version); err != nil {
		return err
	}
	var program strings.Builder
	if err := consumer.Execute(&program, packages); err != nil {
		return err
	}
	out, err := r.buildAndRun(ctx, dir, program.String())
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	fmt.Printf("%-68s %2d packages, %s", path, len(packages), out)
	return nil
}

// emptyModule makes a module without files, outside of the repository.
func (r *rehearsal) emptyModule(ctx context.Context) (string, error) {
	dir, err := os.MkdirTemp(r.dir, "empty-")
	if err != nil {
		return "", err
	}
	_, err = r.goTool(ctx, dir, "mod", "init", "example.com/user")
	return dir, err
}

// buildAndRun builds a program in a module and returns what it prints.
func (r *rehearsal) buildAndRun(ctx context.Context, dir, program string) (string, error) {
	if err := os.WriteFile(filepath.Join(dir, "main.go"), []byte(program), 0o644); err != nil {
		return "", err
	}
	for _, args := range [][]string{{"mod", "tidy"}, {"vet", "./..."}, {"build", "-o", "program", "."}} {
		if _, err := r.goTool(ctx, dir, args...); err != nil {
			return "", err
		}
	}
	return r.command(ctx, dir, r.environment(), filepath.Join(dir, "program"))
}

// packages lists the import paths of a module's packages that others may import, or, if commands is set, of its commands.
func (r *rehearsal) packages(ctx context.Context, m *module, commands bool) ([]string, error) {
	out, err := r.goTool(ctx, filepath.Join(r.root, filepath.FromSlash(m.Dir)), "list", "-f", "{{.Name}} {{.ImportPath}} {{len .GoFiles}}", "./...")
	if err != nil {
		return nil, err
	}
	var paths []string
	for line := range strings.Lines(out) {
		fields := strings.Fields(line)
		if len(fields) != 3 {
			continue
		}
		name, importPath, goFiles := fields[0], fields[1], fields[2] // goFiles is how many there are besides tests
		isInternal, isCommand := strings.Contains(importPath+"/", "/internal/"), name == "main"
		if goFiles != "0" && !isInternal && isCommand == commands {
			paths = append(paths, importPath)
		}
	}
	return paths, nil
}

// installCommands installs each command by its path and version, outside of any module.
func (r *rehearsal) installCommands(ctx context.Context) error {
	fmt.Println("== Each command: go install")
	for _, zip := range r.zips {
		commands, err := r.packages(ctx, zip.Module, true) // true for commands
		if err != nil {
			return err
		}
		for _, path := range commands {
			if _, err := r.goTool(ctx, r.dir, "install", path+"@"+r.version); err != nil {
				return err
			}
			fmt.Printf("%s@%s\n", path, r.version)
		}
	}
	return nil
}

// programFolder is the example that the rehearsal runs as a user's own program: guarded calls of a simulated Bedrock, with a ledger in a file.
const programFolder = "examples/ledgerfile"

// runProgram copies the program into an empty module and runs it twice: the second run must see what the first one has spent.
func (r *rehearsal) runProgram(ctx context.Context) error {
	fmt.Println("== A program of a user's own: guarded calls of the simulator, a ledger in a file, run twice")
	dir, err := r.emptyModule(ctx)
	if err != nil {
		return err
	}
	text, err := os.ReadFile(filepath.Join(r.root, filepath.FromSlash(programFolder), "main.go"))
	if err != nil {
		return err
	}
	var installs []string // all modules: go mod tidy removes those that the program does not use
	for _, zip := range r.zips {
		installs = append(installs, zip.Module.Path+"@"+r.version)
	}
	if _, err := r.goTool(ctx, dir, append([]string{"get"}, installs...)...); err != nil {
		return err
	}
	out, err := r.buildAndRun(ctx, dir, string(text))
	if err != nil {
		return err
	}
	again, err := r.command(ctx, dir, r.environment(), filepath.Join(dir, "program"))
	if err != nil {
		return err
	}
	fmt.Print(out, again)
	return nil
}
