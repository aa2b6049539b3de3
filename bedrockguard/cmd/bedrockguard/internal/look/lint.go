package look

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/commandline"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/cache"
	"github.com/bedrockguard/bedrockguard-go/cache/prompt"
)

// LintCommand returns the command bedrockguard lint, with its flags and its help.
func LintCommand() *cli.Command {
	return &cli.Command{
		Name: "lint", Category: "look", Usage: "say what of a request will not be cached, and why", ArgsUsage: "REQUEST.json",
		Description: "The file holds the body of InvokeModel, or a Converse request as JSON; - is standard input. Nothing is sent anywhere.\n\n" +
			"Exit code 3 says that there are findings.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "model", Usage: "the id that the request is sent to; the request's own modelId unless set", HideDefault: true},
			&cli.StringFlag{Name: "region", Value: "us-east-1", Sources: cli.EnvVars("AWS_REGION"), Usage: "where it is sent from"},
		},
		Action: lint,
	}
}

// findingJSON is a finding, a reason why a part of the request will not be cached, for JSON.
type findingJSON struct {
	Rule      string `json:"rule"`
	Where     string `json:"where,omitempty"`
	Detail    string `json:"detail"`
	Tokens    int64  `json:"tokens,omitempty"`    // how many it is about
	NanoUSD   int64  `json:"nano_usd,omitempty"`  // what it costs
	Suspected bool   `json:"suspected,omitempty"` // the request alone does not prove it
}

// lint runs bedrockguard lint: it parses one request as the model's provider would, and prints what of it will not be cached. It needs no store.
func lint(_ context.Context, c *cli.Command) error {
	name, raw, err := commandline.ReadArgument(c)
	if err != nil {
		return err
	}
	model, err := requestedModel(c, raw)
	if err != nil {
		return err
	}
	// facts are who makes the model, and what its prompt cache accepts. The id may be that of a profile, or an ARN.
	_, facts, err := bedrockguard.ModelFacts(model, c.String("region"))
	if err != nil {
		return err
	}
	var p prompt.Prompt
	if err := prompt.ParseBody(&p, facts.Provider, raw); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	findings := cache.Lint(&p, facts)
	if c.Bool("json") {
		err = output.PrintJSON(c, jsonFindings(findings))
	} else {
		printFindings(c.Root().Writer, name, findings)
	}
	if err == nil && len(findings) > 0 {
		err = exit.Found(fmt.Sprintf("%d findings in %s", len(findings), name))
	}
	return err
}

// requestedModel returns the id in --model, or else the one in the request itself: a Converse request as JSON has it, a body of InvokeModel has not.
func requestedModel(c *cli.Command, raw []byte) (string, error) {
	if model := c.String("model"); model != "" {
		return model, nil
	}
	var request struct {
		ModelID string `json:"modelId"`
	}
	if json.Unmarshal(raw, &request) != nil || request.ModelID == "" {
		return "", exit.UsageError("the request names no modelId: give --model")
	}
	return request.ModelID, nil
}

// jsonFindings converts findings for JSON.
func jsonFindings(findings []cache.Finding) []findingJSON {
	listed := make([]findingJSON, len(findings))
	for i, f := range findings {
		listed[i] = findingJSON{string(f.Rule), f.Where, f.Detail, f.Tokens, f.NanoUSD, f.Suspected}
	}
	return listed
}

// printFindings prints the findings in a request, with an empty line between two of them. name is that of the request's file.
func printFindings(w io.Writer, name string, findings []cache.Finding) {
	for i, f := range findings {
		if i > 0 {
			fmt.Fprintln(w)
		}
		fmt.Fprint(w, output.PrintableLines(f.Render(output.Columns(w))))
	}
	if len(findings) == 0 {
		fmt.Fprintf(w, "%s: nothing to change was found\n", output.Printable(name))
	}
}
