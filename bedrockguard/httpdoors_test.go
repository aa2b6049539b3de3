package bedrockguard_test

import (
	"bytes"
	"io"
	"net/http"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
	"pgregory.net/rapid"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

// The same request costs the same through either door: what is set aside, and what is settled. The cache check finds the same in it.
func TestBothDoorsReserveAndSettleAlike(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		d := newDraws(rt)
		const region = "us-east-1"
		strict := d.chance(50)
		tb := &tbOf{TB: t}
		defer tb.end()
		mk := func(config func(*aws.Config)) *rig {
			return newRig(tb, settings{
				server: bedrocktest.Options{Region: region, Without: bedrocktest.Rules()},
				guard:  bedrockguard.Options{StrictBound: strict, FlatPrices: map[string]price.Amount{"feature:guardrail": 20 * cent}, Cache: cache.Policy{Mode: cache.Report}},
				config: config,
			})
		}
		var sent *http.Request
		var body []byte
		base := &http.Transport{}
		defer base.CloseIdleConnections()
		sdk := mk(func(c *aws.Config) {
			c.HTTPClient = &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
				var err error
				if sent == nil && r.Body != nil {
					sent = r
					if body, err = io.ReadAll(r.Body); err != nil {
						return nil, err
					}
					r.Body = io.NopCloser(bytes.NewReader(body))
				}
				return base.RoundTrip(r)
			})}
		})
		var err error
		if d.chance(60) {
			model := one(d, converseModels()...)
			_, err = sdk.client.Converse(t.Context(), d.converseInput(model, region))
		} else {
			all := dialectModels()
			names := make([]string, 0, len(all))
			for name := range all {
				names = append(names, name)
			}
			slices.Sort(names)
			dialect := one(d, append(names, "Anthropic", "Anthropic", "Nova", "OpenAI")...)
			model := one(d, all[dialect]...)
			raw, id := d.body(dialect, model), d.modelID(model, region)
			_, err = sdk.client.InvokeModel(t.Context(), &bedrockruntime.InvokeModelInput{ModelId: aws.String(id), Body: raw, ServiceTier: one(d, types.ServiceTierType(""), types.ServiceTierTypeFlex)})
		}
		if sent == nil {
			return // refused by the SDK door: nothing to send over HTTP
		}
		web := mk(nil)
		at, _ := url.Parse(web.server.URL())
		client := &http.Client{Transport: web.guard.Transport(base, bedrockguard.TransportOptions{Hosts: map[string]string{at.Host: region}})}
		req, _ := http.NewRequestWithContext(t.Context(), http.MethodPost, web.server.URL()+sent.URL.EscapedPath(), bytes.NewReader(body))
		for _, name := range []string{"Content-Type", "X-Amzn-Bedrock-Service-Tier", "X-Amzn-Bedrock-Performanceconfig-Latency", "X-Amzn-Bedrock-Guardrailidentifier", "X-Amzn-Bedrock-Guardrailversion", "X-Amzn-Bedrock-Trace"} {
			if v := sent.Header.Get(name); v != "" {
				req.Header.Set(name, v)
			}
		}
		req.Header.Set("Authorization", "Bearer test")
		resp, errWeb := client.Do(req)
		require.NoError(rt, errWeb)
		answer, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		a, b := sdk.events.of(bedrockguard.EventReserved), web.events.of(bedrockguard.EventReserved)
		require.NotEmpty(rt, b, "%v %s %s %s", err, sent.URL, answer, clip(string(body), 2000))
		for unit := range a[0].Worst {
			require.Equal(rt, a[0].Worst[unit], b[0].Worst[unit], "%v %s %s", d.features, sent.URL, clip(string(body), 3000))
		}
		require.Equal(rt, findings(sdk), findings(web), "%v %s %s", d.features, sent.URL, clip(string(body), 3000))
		require.Equal(rt, sdk.balance(tb, total).Settled.N, web.balance(tb, total).Settled.N, "%v %s %s\n%s", d.features, sent.URL, clip(string(body), 3000), answer)
	})
}

// findings are what the cache check has told of a request and its answer.
func findings(r *rig) (all []cache.Finding) {
	for _, e := range r.events.of(bedrockguard.EventCacheFinding) {
		all = append(all, e.Finding)
	}
	return all
}

// tbOf runs cleanups at the end of one draw.
type tbOf struct {
	testing.TB
	cleanups []func()
}

func (t *tbOf) Cleanup(f func()) { t.cleanups = append(t.cleanups, f) }

func (t *tbOf) end() {
	for _, f := range slices.Backward(t.cleanups) {
		f()
	}
}
