package commandline

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// ScopeFlags are the flags for the values of a scope: what a call is counted under, or what selects calls.
func ScopeFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "principal", Usage: "who pays", HideDefault: true},
		&cli.StringFlag{Name: "workflow", Usage: "what runs", HideDefault: true},
		&cli.StringFlag{Name: "model", Usage: "the id of the foundation model", HideDefault: true},
		&cli.StringFlag{Name: "region", Usage: "where calls are sent to", HideDefault: true},
		&cli.StringFlag{Name: "profile", Usage: "the inference profile", HideDefault: true},
		&cli.StringFlag{Name: "project", Usage: "the provider's project", HideDefault: true},
		&cli.StringSliceFlag{Name: "tag", Usage: "a tag, as NAME=VALUE; may be repeated", HideDefault: true},
	}
}

// ScopeOf returns the scope of the flags. A flag with an empty value is an error, because that is usually an unset variable.
func ScopeOf(c *cli.Command) (s budget.Scope, err error) {
	for name, field := range map[string]*string{
		"principal": &s.Principal, "workflow": &s.Workflow, "model": &s.Model, "region": &s.Region, "profile": &s.Profile, "project": &s.Project,
	} {
		*field = c.String(name)
		if c.IsSet(name) && *field == "" {
			return s, exit.UsageError("--%s is empty: is a variable not set?", name)
		}
	}
	for _, tag := range c.StringSlice("tag") {
		name, value, ok := strings.Cut(tag, "=")
		if !ok || name == "" || value == "" {
			return s, exit.UsageError("--tag %q: want NAME=VALUE", tag)
		}
		if s.Tags == nil {
			s.Tags = make(map[string]string)
		}
		s.Tags[name] = value
	}
	return s, s.Validate()
}

// ResolveModel replaces the id of an inference profile, or an ARN, with the id of its foundation model, because that is the model in a call's
// scope. It says so to the user. An unknown id stays.
func ResolveModel(c *cli.Command, s *budget.Scope) {
	if s.Model == "" {
		return
	}
	// The region stands for any: only the id is wanted here, and not the prices.
	_, facts, err := bedrockguard.ModelFacts(s.Model, "us-east-1")
	if err != nil || facts.ID == "" || facts.ID == s.Model {
		return
	}
	fmt.Fprintf(c.Root().ErrWriter, "%s is the model %s\n", output.Printable(s.Model), facts.ID)
	s.Model = facts.ID
}

// IsEmpty reports whether a scope has no value, which selects every call.
func IsEmpty(s budget.Scope) bool { return len(s.Dims()) == 0 }

// HasGlob reports whether any value of the scope is a pattern.
func HasGlob(s budget.Scope) bool {
	values := append(slices.Collect(maps.Values(s.Tags)), s.Principal, s.Workflow, s.Model, s.Region, s.Profile, s.Project)
	return slices.ContainsFunc(values, func(v string) bool { return strings.ContainsAny(v, "*?") })
}
