package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// A release is two commits. The first has the tags: it gives every module of the repository the version, drops replace and writes the hashes
// of the zips into go.sum. The second restores replace, so that the modules are developed together again.

// cutForReal rehearses a release, then makes its commits and tags in the repository at root. It pushes nothing.
func cutForReal(ctx context.Context, root, version string) (err error) {
	root, err = filepath.Abs(root)
	if err != nil {
		return err
	}
	modules, err := loadModules(root)
	if err != nil {
		return err
	}
	// A workshop runs go and git in a scratch folder. The rehearsal has one of its own: in this one git has the user's settings.
	w, err := newWorkshop(ctx, modulePathOf(modules))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, w.close()) }()
	if err := refuseUnready(ctx, w, root, modules, version); err != nil {
		return err
	}
	if err := rehearse(ctx, root, version, false); err != nil { // the false removes what the rehearsal has made
		return err
	}
	if _, err := cut(ctx, w, root, version); err != nil { // the zips were tried out in the rehearsal
		return err
	}
	fmt.Printf("\n%s is committed and tagged. Nothing was pushed yet:\n\tgit push --atomic origin HEAD %s\n", version, strings.Join(tagsOf(modules, version), " "))
	return nil
}

// tagsOf returns the tags that cut makes: those of the modules that are released.
func tagsOf(modules []*module, version string) []string {
	tags := make([]string, 0, len(modules))
	for _, m := range modules {
		if m.public() {
			tags = append(tags, m.tag(version))
		}
	}
	return tags
}

// refuseUnready refuses a tree with changes, and a version that was released already.
func refuseUnready(ctx context.Context, w *workshop, root string, modules []*module, version string) error {
	status, err := w.git(ctx, root, "status", "--porcelain")
	if err != nil {
		return err
	}
	if status != "" {
		return fmt.Errorf("commit or stash these first:\n%s", status)
	}
	for _, m := range modules { // also those that are not released: they have no tag
		found, err := w.git(ctx, root, "tag", "--list", m.tag(version))
		if err != nil {
			return err
		}
		if found != "" {
			return fmt.Errorf("tag %s is there already: a version that somebody may have is never made anew", m.tag(version))
		}
	}
	return nil
}

// cut makes the two commits and the tags in a repository without uncommitted changes, and returns the modules that it has zipped into the workshop's
// proxy. If it fails, it restores the files as they were at the last commit.
func cut(ctx context.Context, w *workshop, root, version string) (_ []published, err error) {
	modules, err := loadModules(root)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			// It also has to be done after an interrupt, which ends ctx.
			_, undone := w.git(context.WithoutCancel(ctx), root, "checkout", "--quiet", "HEAD", "--", ".")
			err = errors.Join(err, undone)
		}
	}()
	// The first commit, with the tags.
	if err := dateChangelog(filepath.Join(root, "CHANGELOG.md"), version, time.Now().UTC()); err != nil {
		return nil, err
	}
	zips, err := writeVersions(ctx, w, modules, version)
	if err != nil {
		return nil, err
	}
	if _, err := w.git(ctx, root, "commit", "--quiet", "--all", "--message", "Release "+version); err != nil {
		return nil, err
	}
	for _, zip := range zips { // writeVersions zips the modules that are released
		if _, err := w.git(ctx, root, "tag", "--message", zip.Module.Path+" "+version, zip.Module.tag(version)); err != nil {
			return nil, err
		}
	}
	return zips, backToDevelopment(ctx, w, root, modules, version) // the second commit
}

// writeVersions makes each module require the version of the repository's other modules, and zips it into the workshop's proxy. The modules come in
// an order in which each follows those that it requires: its go.sum has the hashes of their zips, which go mod tidy reads from the proxy.
func writeVersions(ctx context.Context, w *workshop, modules []*module, version string) ([]published, error) {
	var zips []published
	for _, m := range modules {
		if len(m.own) > 0 { // own are the repository's modules that m requires; one that requires none of them stays as it is
			released, err := m.released(version) // its go.mod for the release
			if err != nil {
				return nil, err
			}
			if err := os.WriteFile(m.file("go.mod"), released, 0o644); err != nil {
				return nil, err
			}
			if _, err := w.goTool(ctx, filepath.Dir(m.file("go.mod")), "mod", "tidy"); err != nil {
				return nil, err
			}
		}
		if !m.public() { // it is not released, but its go.mod requires the version, too
			continue
		}
		zip, err := w.proxy.publish(m, version)
		if err != nil {
			return nil, err
		}
		zips = append(zips, zip)
	}
	return zips, nil
}

// backToDevelopment restores the module files from before the release, except for the versions that they require.
func backToDevelopment(ctx context.Context, w *workshop, root string, modules []*module, version string) error {
	for _, m := range modules {
		if len(m.own) == 0 { // writeVersions has changed neither of its files
			continue
		}
		developed, err := m.developed(version)
		if err != nil {
			return err
		}
		if err := os.WriteFile(m.file("go.mod"), developed, 0o644); err != nil {
			return err
		}
		if err := os.WriteFile(m.file("go.sum"), m.Sum, 0o644); err != nil {
			return err
		}
	}
	_, err := w.git(ctx, root, "commit", "--quiet", "--all", "--message", "Modules are developed together again after "+version)
	return err
}

// dateChangelog moves the unreleased entries under a heading with the version and date.
func dateChangelog(file, version string, now time.Time) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	const unreleased = "## [Unreleased]\n"
	if bytes.Count(text, []byte(unreleased)) != 1 {
		return fmt.Errorf("%s has no heading %q, or several", file, strings.TrimSpace(unreleased))
	}
	heading := fmt.Sprintf("%s\n## [%s] - %s\n", unreleased, strings.TrimPrefix(version, "v"), now.Format(time.DateOnly))
	return os.WriteFile(file, bytes.Replace(text, []byte(unreleased), []byte(heading), 1), 0o644)
}

// modulePathOf returns the path of the core module, which is the prefix of all others.
func modulePathOf(modules []*module) string {
	for _, m := range modules {
		if m.Dir == "." {
			return m.Path
		}
	}
	return ""
}
