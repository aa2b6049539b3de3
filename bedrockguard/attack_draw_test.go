package bedrockguard_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/document"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
)

// drawCampaign draws a guard, its limits, a service, and the calls.
func drawCampaign(t *rapid.T) campaign {
	d := newDraws(t)
	c := campaign{settings: d.settings()}
	for range d.length() {
		c.calls = append(c.calls, d.call(c.settings.server.Region))
	}
	return c
}

// length draws how many calls there are. In a long campaign the guard learns.
func (d *draws) length() int {
	if d.chance(4) {
		return 50
	}
	return d.size(4, 16)
}

func (d *draws) settings() settings {
	s := settings{limits: d.limits()}
	s.guard.FlatPrices = map[string]price.Amount{"feature:guardrail": 20 * cent, "operation:ApplyGuardrail": 1}
	seed := d.even.Uint64()
	s.server = bedrocktest.Options{
		Without:        bedrocktest.Rules(), // requests are drawn with features that their model may not have
		Region:         one(d, "us-east-1", "us-east-1", "us-east-1", "us-west-2", "eu-west-2", "eu-central-1", "ap-northeast-1", "sa-east-1", "us-gov-west-1", "af-south-1"),
		FirstByteDelay: -1, StallLimit: 1, Reply: replies(seed),
	}
	switch d.even.IntN(10) {
	case 0, 1, 2, 3: // the strictest tokenizer there is
		s.guard.StrictBound = true
		s.server.CountTokens = func(text string) int { return len(text) }
	case 4, 5:
		s.guard.StrictBound = true
	}
	switch d.even.IntN(10) {
	case 0, 1:
		d.surprising, d.replaced, s.server.Serve = true, true, d.serve()
	case 2: // nobody has declared it
		d.surprising, d.guarded, s.server.EnforcedGuardrails = true, true, []string{"gr-hidden"}
	case 3:
		d.guarded, s.server.EnforcedGuardrails = true, []string{"gr-org"}
		s.guard.EnforcedGuardrails = []bedrockguard.Guardrail{{ID: "arn:aws:bedrock:us-east-1:123456789012:guardrail/gr-org"}}
		s.server.Faults = bedrocktest.RandomStreamFaults(seed, 0.2)
	case 4, 5, 6:
		s.server.Faults = bedrocktest.RandomStreamFaults(seed, 0.3)
	}
	return s
}

// traced draws whether the answer tells what a guardrail did that the request names.
func (d *draws) traced() bool { return d.chance(50) }

// replies are answers of all lengths, by the number of the request.
func replies(seed uint64) func(bedrocktest.Request) bedrocktest.Reply {
	return func(r bedrocktest.Request) bedrocktest.Reply {
		random := rand.New(rand.NewPCG(seed, uint64(r.Seq)))
		reply := bedrocktest.Reply{OutputTokens: 1 + random.IntN(max(r.MaxTokens, 1))}
		if random.IntN(8) == 0 {
			reply.OutputTokens = max(r.MaxTokens, 1) // as much as it may
		}
		words := min(1+random.IntN(40), reply.OutputTokens)
		if random.IntN(8) == 0 {
			words = min(1200, reply.OutputTokens)
		}
		reply.Text = strings.Repeat("words, which are long ", (words+3)/4)
		return reply
	}
}

// serve draws who answers in the stead of what was asked.
func (d *draws) serve() func(bedrocktest.Request) bedrocktest.Served {
	seed := d.even.Uint64()
	models := []string{
		"", "", "anthropic.claude-fable-5", "us.anthropic.claude-opus-4-8", "arn:aws:bedrock:us-west-2:123456789012:inference-profile/us.anthropic.claude-opus-4-8",
		"anthropic.claude-haiku-4-5-20251001-v1:0",
	}
	return func(r bedrocktest.Request) bedrocktest.Served {
		random := rand.New(rand.NewPCG(seed, uint64(r.Seq)))
		served := bedrocktest.Served{Model: models[random.IntN(len(models))]}
		if random.IntN(2) == 0 {
			served.Tier = []string{"priority", "flex", "default"}[random.IntN(3)]
		}
		if random.IntN(4) == 0 {
			served.Latency = "optimized"
		}
		return served
	}
}

// limits draws none to three limits, of which most refuse some calls.
func (d *draws) limits() (all []budget.Limit) {
	add := func(name string, most budget.Quantity) {
		if !slices.ContainsFunc(all, func(l budget.Limit) bool { return l.Name == name }) {
			all = append(all, budget.Limit{Name: name, Max: most, Window: budget.Lifetime})
		}
	}
	for range one(d, 0, 0, 1, 1, 2, 3) {
		switch d.even.IntN(4) {
		case 0:
			add("usd", budget.USD(one(d, 0.0005, 0.01, 0.05, 0.3, 2, 20)))
		case 1:
			add("input", budget.InputTokens(one[int64](d, 900, 4000, 20_000, 100_000, 1_000_000)))
		case 2:
			add("output", budget.OutputTokens(one[int64](d, 50, 500, 4000, 40_000, 400_000)))
		default:
			add("calls", budget.Calls(int64(d.size(1, 12))))
		}
	}
	return all
}

// call draws one call, or one that was made before.
func (d *draws) call(region string) attackCall {
	if len(d.memory) > 0 && d.chance(20) {
		again := one(d, d.memory...)
		again.features = append(slices.Clone(again.features), "the same request again")
		return again
	}
	d.features = nil
	d.bare, d.focus = false, nil
	if d.feature("hardly any text", 30) {
		d.bare = true
		d.focus = one(d, nil, []string{"citations", "a document"}, []string{"citations", "a search result"}, []string{"a schema of the output"}, []string{"built-in tools"},
			[]string{"tools"}, []string{"tools", "a strict tool"}, []string{"compaction"}, []string{"an image"}, []string{"a document"},
			[]string{"a document", inFormat + "docx", "pictures in a docx"}, []string{"a document", inFormat + "xlsx"}, []string{"a document", inFormat + "pdf", "a PDF that is a poster"})
	}
	var c attackCall
	switch n := d.even.IntN(20); {
	case n < 9:
		c = d.converseCall(region)
	case n < 19:
		c = d.invokeCall(region)
	default:
		c = d.applyCall()
	}
	c.features = d.features
	d.memory = append(d.memory, c)
	return c
}

// modelID draws one of the forms in which a model is named from a region.
func (d *draws) modelID(model, region string) string {
	geography := map[string]string{"us-": "us", "eu-": "eu", "ap-": "apac"}[region[:3]]
	if strings.HasPrefix(region, "us-gov-") {
		geography = "us-gov"
	}
	switch d.even.IntN(5) {
	case 0:
		d.note("a global profile")
		return "global." + model
	case 1, 2:
		if geography != "" {
			return geography + "." + model
		}
	case 3:
		return "arn:aws:bedrock:" + region + "::foundation-model/" + model
	}
	return model
}

// change draws an interceptor or a middleware that raises the maximum of output tokens on the way.
func (d *draws) change() []func(*bedrockruntime.Options) {
	if !d.feature("changed on the way", 12) {
		return nil
	}
	all := changes()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	name := one(d, names...)
	return []func(*bedrockruntime.Options){all[name]}
}

func (d *draws) invokeCall(region string) attackCall {
	all := dialectModels()
	names := make([]string, 0, len(all))
	for name := range all {
		names = append(names, name)
	}
	slices.Sort(names)
	dialect := one(d, append(names, "Anthropic", "Anthropic", "Anthropic", "Nova", "OpenAI")...)
	model := one(d, all[dialect]...)
	body, id := d.body(dialect, model), d.modelID(model, region)
	tier := types.ServiceTierType("")
	if dialect != "Anthropic" && d.feature("a tier in the header", 20) {
		tier = one(d, types.ServiceTierTypeFlex, types.ServiceTierTypePriority, types.ServiceTierTypeDefault)
	}
	trace, guardrail := types.TraceDisabled, (*string)(nil)
	if embeds := strings.Contains(dialect, "embed") || dialect == "rerank"; !embeds && d.feature("a guardrail by name", 5) {
		trace, guardrail = types.TraceEnabled, aws.String("gr-own")
		if !d.traced() {
			trace = types.TraceDisabled
		}
	}
	options := d.change()
	if streams(dialect) && d.chance(50) {
		early := !d.surprising && d.feature("a stream left early", 8)
		return attackCall{kind: "InvokeModelWithResponseStream of " + dialect, send: func(ctx context.Context, r *rig) error {
			out, err := r.newClient().InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{
				ModelId: aws.String(id), Body: body, ServiceTier: tier, Trace: trace, GuardrailIdentifier: guardrail, GuardrailVersion: versionOf(guardrail),
			}, options...)
			if err != nil {
				return err
			}
			stream := out.GetStream()
			return drain(stream.Events(), stream, early)
		}}
	}
	return attackCall{kind: "InvokeModel of " + dialect, send: func(ctx context.Context, r *rig) error {
		_, err := r.client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{
			ModelId: aws.String(id), Body: body, ServiceTier: tier, Trace: trace, GuardrailIdentifier: guardrail, GuardrailVersion: versionOf(guardrail),
		}, options...)
		return err
	}}
}

func versionOf(guardrail *string) *string {
	if guardrail == nil {
		return nil
	}
	return aws.String("1")
}

// drain reads a stream to its end, or leaves it after its first event.
func drain[E any](events <-chan E, stream interface {
	Close() error
	Err() error
}, early bool,
) error {
	for range events {
		if early {
			break
		}
	}
	return errors.Join(stream.Err(), stream.Close())
}

func (d *draws) applyCall() attackCall {
	var content []types.GuardrailContentBlock
	for range d.size(1, 5) {
		content = append(content, &types.GuardrailContentBlockMemberText{Value: types.GuardrailTextBlock{Text: aws.String(d.text())}})
	}
	return attackCall{kind: "ApplyGuardrail", send: func(ctx context.Context, r *rig) error {
		_, err := r.client.ApplyGuardrail(ctx, &bedrockruntime.ApplyGuardrailInput{
			GuardrailIdentifier: aws.String("gr-own"), GuardrailVersion: aws.String("1"), Source: types.GuardrailContentSourceInput, Content: content,
		})
		return err
	}}
}

func (d *draws) converseCall(region string) attackCall {
	model := one(d, converseModels()...)
	in := d.converseInput(model, region)
	options := d.change()
	if d.chance(45) {
		early := !d.surprising && d.feature("a stream left early", 8)
		return attackCall{kind: "ConverseStream of " + model, send: func(ctx context.Context, r *rig) error {
			out, err := r.newClient().ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
				ModelId: in.ModelId, Messages: in.Messages, System: in.System, ToolConfig: in.ToolConfig, InferenceConfig: cloneConfig(in.InferenceConfig),
				AdditionalModelRequestFields: in.AdditionalModelRequestFields, ServiceTier: in.ServiceTier, PerformanceConfig: in.PerformanceConfig,
				OutputConfig: in.OutputConfig, GuardrailConfig: guardrailOfStream(in.GuardrailConfig),
			}, options...)
			if err != nil {
				return err
			}
			stream := out.GetStream()
			return drain(stream.Events(), stream, early)
		}}
	}
	return attackCall{kind: "Converse of " + model, send: func(ctx context.Context, r *rig) error {
		own := *in
		own.InferenceConfig = cloneConfig(in.InferenceConfig)
		_, err := r.client.Converse(ctx, &own, options...)
		return err
	}}
}

// cloneConfig keeps an interceptor's change out of the drawn request, which can be sent again.
func cloneConfig(c *types.InferenceConfiguration) *types.InferenceConfiguration {
	if c == nil {
		return nil
	}
	own := *c
	return &own
}

func guardrailOfStream(c *types.GuardrailConfiguration) *types.GuardrailStreamConfiguration {
	if c == nil {
		return nil
	}
	return &types.GuardrailStreamConfiguration{GuardrailIdentifier: c.GuardrailIdentifier, GuardrailVersion: c.GuardrailVersion, Trace: c.Trace}
}

func lazy(o object) document.Interface { return document.NewLazyDocument(o) }
