// Command release cuts a release of every module of the repository, and rehearses one.
//
//	release rehearse [-version v0.1.0] [-keep]   in a copy: commit, tag, zip, install into empty modules, build and run
//	release cut -version v0.1.0                  rehearse, then commit and tag in the repository itself; pushes nothing
//
// It is run by make rehearse and make release VERSION=v0.1.0, from the root of the repository.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"

	"golang.org/x/mod/semver"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "release:", err)
		os.Exit(1)
	}
}

// run parses the arguments, the verb first, and carries the verb out.
func run(ctx context.Context, args []string) error {
	if len(args) == 0 {
		return errors.New("say what to do: rehearse or cut")
	}
	flags := flag.NewFlagSet(args[0], flag.ContinueOnError)
	version := flags.String("version", "v0.0.1-rehearsal", "the version that every module gets")
	root := flags.String("tree", ".", "root of the repository")
	keep := flags.Bool("keep", false, "leave the scratch folder for a look")
	if err := flags.Parse(args[1:]); err != nil {
		return err
	}
	if err := checkVersion(*version); err != nil {
		return err
	}
	switch args[0] {
	case "rehearse":
		return rehearse(ctx, *root, *version, *keep)
	case "cut":
		return cutForReal(ctx, *root, *version)
	}
	return fmt.Errorf("%q is neither rehearse nor cut", args[0])
}

// checkVersion refuses a version that Go would not accept for these module paths: from v2 on a path ends in /v2.
func checkVersion(version string) error {
	if !semver.IsValid(version) || semver.Canonical(version) != version { // v0.3 is valid, and v0.3.0 its canonical form
		return fmt.Errorf("%q is no version: write it as v0.3.1", version)
	}
	if major := semver.Major(version); major != "v0" && major != "v1" {
		return fmt.Errorf("version %s needs module paths that end in /%s", version, major)
	}
	return nil
}
