package look

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// ModelsCommand returns the command bedrockguard models, with its flags and its help.
func ModelsCommand() *cli.Command {
	return &cli.Command{
		Name: "models", Category: "look", Usage: "list the models of the built-in catalog", ArgsUsage: "[PATTERN]",
		Description: "PATTERN is compared with ids, and may hold * and ?. Exit code 3 says that it matches none.",
		Action:      models,
	}
}

// modelsLike returns the models of the catalog whose ids match the pattern on the command line.
func modelsLike(c *cli.Command) (all []bedrockguard.Model, err error) {
	if c.Args().Len() > 1 {
		return nil, exit.UsageError("want one pattern at most: put it into quotes")
	}
	// Without an argument the pattern is empty, and an empty one matches every id.
	like := budget.Match{Model: c.Args().First()}
	for m := range bedrockguard.Models() {
		if slices.ContainsFunc(append([]string{m.ID}, m.Aliases...), func(id string) bool { return like.Selects(budget.Scope{Model: id}) }) {
			all = append(all, m)
		}
	}
	if len(all) == 0 {
		return nil, exit.Found(fmt.Sprintf("no model of the catalog is like %q", c.Args().First()))
	}
	return all, nil
}

// modelRow is a model of the catalog for JSON.
type modelRow struct {
	ID              string   `json:"id"`
	Aliases         []string `json:"aliases,omitempty"`
	Provider        string   `json:"provider"`
	Mode            string   `json:"mode"`
	Lifecycle       string   `json:"lifecycle"`
	Profiles        []string `json:"profiles,omitempty"`
	MaxInputTokens  int64    `json:"max_input_tokens,omitempty"`
	MaxOutputTokens int64    `json:"max_output_tokens,omitempty"`
	Unpriced        bool     `json:"unpriced,omitempty"` // no price is published
	Source          string   `json:"source,omitempty"`
}

// modelRowOf converts a model for JSON. In the catalog an empty mode means chat, and an empty lifecycle active.
func modelRowOf(m *bedrockguard.Model) modelRow {
	mode := cmp.Or(m.Mode, bedrockguard.ModeChat)
	lifecycle := cmp.Or(m.Lifecycle, bedrockguard.LifecycleActive)
	return modelRow{m.ID, m.Aliases, m.Provider, string(mode), string(lifecycle), m.Profiles, m.MaxInputTokens, m.MaxOutputTokens, m.Unpriced, m.Source}
}

// models runs bedrockguard models: it lists those that match the pattern on the command line.
func models(_ context.Context, c *cli.Command) error {
	all, err := modelsLike(c)
	if err != nil {
		return err
	}
	listed := []modelRow{}
	t := output.NewTable("", "ID", "PROVIDER", "MODE", "LIFECYCLE", "CONTEXT", "MAX OUTPUT", "NOTES")
	for i := range all {
		row, note := modelRowOf(&all[i]), ""
		if row.Unpriced {
			note = "no price is published: calls are refused"
		}
		listed = append(listed, row)
		t.Row(row.ID, row.Provider, row.Mode, row.Lifecycle, count(row.MaxInputTokens), count(row.MaxOutputTokens), note)
	}
	if c.Bool("json") {
		return output.PrintJSON(c, listed)
	}
	return t.End(c.Root().Writer)
}

// count prints a number, and nothing for zero, which means unknown.
func count(n int64) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}

// PricesCommand returns the command bedrockguard prices, with its flags and its help.
func PricesCommand() *cli.Command {
	return &cli.Command{
		Name: "prices", Category: "look", Usage: "list what models cost in a region, in USD per million tokens", ArgsUsage: "[PATTERN]",
		Description: "PATTERN is compared with ids, and may hold * and ?. Ids of inference profiles, which have other prices in some places, are given whole.",
		Flags:       []cli.Flag{&cli.StringFlag{Name: "region", Value: "us-east-1", Sources: cli.EnvVars("AWS_REGION"), Usage: "where calls are made from"}},
		Action:      prices,
	}
}

// priceRow has the prices of a model, in USD per million tokens, as decimal text. Long is nil if long requests cost no more than others.
type priceRow struct {
	ID           string     `json:"id"`
	Region       string     `json:"region"`
	Input        string     `json:"input_usd_per_mtok"`
	Output       string     `json:"output_usd_per_mtok"`
	CacheRead    string     `json:"cache_read_usd_per_mtok"`
	CacheWrite5m string     `json:"cache_write_5m_usd_per_mtok"`
	CacheWrite1h string     `json:"cache_write_1h_usd_per_mtok"`
	Long         *longPrice `json:"long_context,omitempty"`
}

// longPrice is what a request with more input tokens than Above costs.
type longPrice struct {
	Above  int64  `json:"above_input_tokens"`
	Input  string `json:"input_usd_per_mtok"`
	Output string `json:"output_usd_per_mtok"`
}

// prices runs bedrockguard prices: it lists what the models cost that the argument selects. The JSON has prices only, so it leaves out models whose
// price is not known.
func prices(_ context.Context, c *cli.Command) error {
	region := c.String("region")
	ids, err := pricedIDs(c, region)
	if err != nil {
		return err
	}
	listed := []priceRow{}
	t := output.NewTable("", "ID", "INPUT", "OUTPUT", "CACHE READ", "WRITE 5 MIN", "WRITE 1 H", "NOTES")
	for _, id := range ids {
		list, _, err := bedrockguard.ModelFacts(id, region)
		if err != nil {
			t.Row(id, "", "", "", "", "", "no price is known")
			continue
		}
		row, note := priceRowOf(id, region, &list), ""
		if long := row.Long; long != nil {
			note = fmt.Sprintf("above %d input tokens %s and %s", long.Above, long.Input, long.Output)
		}
		listed = append(listed, row)
		t.Row(id, row.Input, row.Output, row.CacheRead, row.CacheWrite5m, row.CacheWrite1h, note)
	}
	if c.Bool("json") {
		return output.PrintJSON(c, listed)
	}
	if err := t.End(c.Root().Writer); err != nil {
		return err
	}
	_, err = fmt.Fprintf(c.Root().Writer, "\nList prices of %s, for calls from %s.\n", bedrockguard.CatalogDate().Format(time.DateOnly), output.Printable(region))
	return err
}

// pricedIDs returns the ids that the argument selects. An argument that is the id of a model or a profile is taken whole, because a profile may have
// other prices than its model; any other argument is a pattern of models' ids.
func pricedIDs(c *cli.Command, region string) (ids []string, err error) {
	if id := c.Args().First(); id != "" && c.Args().Len() == 1 {
		if _, _, err := bedrockguard.ModelFacts(id, region); err == nil {
			return []string{id}, nil
		}
	}
	// The argument is a pattern or missing, or there are several, which modelsLike refuses.
	all, err := modelsLike(c)
	if err != nil {
		return nil, err
	}
	for _, m := range all {
		ids = append(ids, m.ID)
	}
	return ids, nil
}

// priceRowOf converts a price of a model in a region.
func priceRowOf(id, region string, list *price.Price) priceRow {
	r := list.Rates
	row := priceRow{
		ID: id, Region: region, Input: perMTok(r.Input), Output: perMTok(r.Output),
		CacheRead: perMTok(r.CacheRead), CacheWrite5m: perMTok(r.CacheWrite5m), CacheWrite1h: perMTok(r.CacheWrite1h),
	}
	if long := list.LongContext; long.Threshold > 0 {
		row.Long = &longPrice{long.Threshold, perMTok(long.Rates.Input), perMTok(long.Rates.Output)}
	}
	return row
}

// perMTok prints a price in USD per million tokens. p is in pico-USD per token, which as a number is the same as micro-USD per million tokens.
func perMTok(p price.PicoUSD) string {
	text := fmt.Sprintf("%d.%06d", p/1_000_000, p%1_000_000)
	return strings.TrimSuffix(strings.TrimRight(text, "0"), ".")
}
