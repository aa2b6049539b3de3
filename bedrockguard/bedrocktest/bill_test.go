package bedrocktest

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
)

// Prices of Opus 4.6 in nano-USD per token, under global and under everything else: input 5000/5500, output 25000/27500,
// read 500/550, write for five minutes 6250/6875 and for an hour 10000/11000.
func TestBillsOfConverse(t *testing.T) {
	cached := func(model string, ttl types.CacheTTL) *prompt {
		return ask(model).system(sized("s", 5000)).systemPoint(ttl).user(say("q"))
	}
	haiku := func(user int) *prompt {
		return ask(haiku55).system(sized("s", 99_000)).systemPoint("").user(say(sized("u", user-4)))
	}
	tests := map[string]struct {
		prompts []*prompt
		want    []int64
		region  string
	}{
		"Opus 4.6 under us": {
			[]*prompt{cached(opus46, ""), cached(opus46, "")},
			[]int64{5*5500 + 5000*6875 + 7*27500, 5*5500 + 5000*550 + 7*27500},
			"",
		},
		"Opus 4.6 under global": {
			[]*prompt{cached("global."+bare(opus46), ""), cached("global."+bare(opus46), "")},
			[]int64{31_450_000, 2_700_000},
			"",
		},
		"Opus 4.6 bare bears the premium": {
			[]*prompt{cached(opus46, ""), cached(opus46, "")},
			[]int64{34_595_000, 2_970_000},
			"",
		},
		"Opus 4.6 for an hour": {
			[]*prompt{cached(opus46, oneHour), cached("global."+bare(opus46), oneHour)},
			[]int64{5*5500 + 5000*11000 + 7*27500, 5*5000 + 5000*10000 + 7*25000},
			"",
		},
		"Haiku 5.5 at 100,000 tokens": {
			[]*prompt{ask(haiku55).user(say(sized("u", 99_996)))}, []int64{100_000*110 + 7*550}, "",
		},
		"Haiku 5.5 at 100,001 tokens, all at fivefold": {
			[]*prompt{ask(haiku55).user(say(sized("u", 99_997)))}, []int64{100_001*550 + 7*2750}, "",
		},
		"Haiku 5.5 counts cached tokens into the threshold": {
			[]*prompt{haiku(1000), haiku(1001)},
			[]int64{99_000*137.5 + 1000*110 + 7*550, 99_000*55 + 1001*550 + 7*2750},
			"",
		},
		"Nova Pro in us-east-1": {
			[]*prompt{ask("us." + novaPro).user(say("hello"))}, []int64{9*800 + 7*3200}, "",
		},
		"Nova Pro in Tokyo, with and without a profile": {
			[]*prompt{ask("apac." + novaPro).user(say("hello")), ask(novaPro).user(say("hello"))},
			[]int64{9*960 + 7*3840, 9*960 + 7*3840},
			"ap-northeast-1",
		},
		"Nova 2 Lite under global goes by the region that it is called from": {
			[]*prompt{ask("global.amazon.nova-2-lite-v1:0").user(say("hello"))}, []int64{59*360 + 7*3010}, "ap-northeast-1",
		},
		"GovCloud": {
			[]*prompt{ask(gptOSS).user(say("hello"))}, []int64{79*180 + 7*720}, "us-gov-west-1",
		},
		"a region without a price bears the dearest factor": {
			[]*prompt{ask("meta.llama3-1-8b-instruct-v1:0").user(say("hello"))}, []int64{39*374 + 7*374}, "af-south-1",
		},
		"Nova's writes bear no premium, its reads cost a quarter": {
			[]*prompt{ask("apac."+novaPro).user(say(sized("u", 1000)), point("")), ask("apac."+novaPro).user(say(sized("u", 1000)), point(""))},
			[]int64{1004*960 + 7*3840, 1004*240 + 7*3840},
			"ap-northeast-1",
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens, Region: test.region, Without: []Rule{RuleProfileOnly, RuleRegionOfProfile}})
			var total int64
			for i, p := range test.prompts {
				converse(t, server, p)
				require.Equal(t, test.want[i], server.Inferences()[i].NanoUSD, "request %d", i+1)
				total += test.want[i]
			}
			bill := server.Bill()
			require.Equal(t, total, bill.NanoUSD)
			require.Equal(t, total, bill.Input.NanoUSD+bill.CacheRead.NanoUSD+bill.CacheWrite.NanoUSD+bill.Output.NanoUSD)
			require.Len(t, bill.ByModel, 1)
			require.Equal(t, len(test.prompts), bill.Inferences)
		})
	}
}

// gpt-oss-120b costs 150 nano-USD a token in and 600 out; each class is rounded up by itself. It begins each prompt with 70 tokens of
// its own.
func TestBillsOfServiceTiers(t *testing.T) {
	tests := map[types.ServiceTierType]int64{
		"": 85*150 + 7*600, "default": 85*150 + 7*600, "flex": 85*75 + 7*300, "priority": 22313 + 7350, "reserved": 85*150 + 7*600,
	}
	for tier, want := range tests {
		t.Run("invoke "+string(tier), func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
			out, err := newClient(server).InvokeModel(context.Background(), &bedrockruntime.InvokeModelInput{
				ModelId: aws.String(gptOSS), Body: []byte(chatBody), ServiceTier: tier,
			})
			require.NoError(t, err)
			require.Equal(t, want, server.Bill().NanoUSD)
			require.Equal(t, string(tier), server.Inferences()[0].Tier)
			require.Equal(t, tier, out.ServiceTier)
		})
		t.Run("converse "+string(tier), func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
			p := ask(gptOSS).user(say("hello worlds")) // 16 tokens and 70
			if tier != "" {
				p.in.ServiceTier = &types.ServiceTier{Type: tier}
			}
			out, err := newClient(server).Converse(context.Background(), &p.in)
			require.NoError(t, err)
			scale := map[types.ServiceTierType]int64{"flex": 500, "priority": 1750}[tier]
			if scale == 0 {
				scale = 1000
			}
			require.Equal(t, 86*150*scale/1000+7*600*scale/1000, server.Bill().NanoUSD)
			if tier != "" {
				require.Equal(t, tier, out.ServiceTier.Type)
			}
		})
	}
}

func TestBillsOfEmbeddings(t *testing.T) {
	tests := map[string]struct {
		body string
		want int64
	}{
		"amazon.titan-embed-text-v2:0": {`{"inputText":"hello"}`, 5 * 20},
		"amazon.titan-embed-text-v1":   {`{"inputText":"hello"}`, 5 * 100},
		"cohere.embed-english-v3":      {`{"texts":["hello","you"],"input_type":"search_query"}`, 8 * 100},
		"cohere.embed-v4:0":            {`{"texts":["hello"],"input_type":"search_query"}`, 5 * 120},
	}
	for model, test := range tests {
		t.Run(model, func(t *testing.T) {
			server := New(t, Options{CountTokens: perByte})
			_, err := invoke(server, model, test.body)
			require.NoError(t, err)
			require.Equal(t, test.want, server.Bill().NanoUSD)
			require.Zero(t, server.Bill().Output)
		})
	}
}

func TestBillArithmetic(t *testing.T) {
	require.Equal(t, int64(0), nano(0, 5_000_000, 1000))
	require.Equal(t, int64(1), nano(1, 1, 1000), "a thousandth of a nano-USD is rounded up")
	require.Equal(t, int64(9), nano(1, 8750, 1000))
	require.Equal(t, int64(35), nano(4, 8750, 1000))
	var dearest uint64
	for _, m := range modeltable.Table().ByID {
		for _, r := range []modeltable.Rates{m.Rates, m.Long.Rates} {
			for _, price := range r {
				dearest = max(dearest, price)
			}
		}
	}
	require.Positive(t, nano(dialects.MaxInput, 2*dearest, 1750), "the largest product fits")
}

func TestBillCanBeResetAndSummed(t *testing.T) {
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	p := ask(opus46).system(sized("s", 5000)).systemPoint("").user(say("q"))
	converse(t, server, p)
	require.Zero(t, server.Bill().CacheHitShare())
	converse(t, server, p)
	require.InDelta(t, 5000.0/10010.0, server.Bill().CacheHitShare(), 1e-9)
	require.InDelta(t, 0.037565, server.Bill().USD(), 1e-9)
	server.Reset()
	require.Zero(t, server.Bill())
	require.Zero(t, Bill{}.CacheHitShare())
	require.Empty(t, server.Inferences())
	require.Equal(t, split{input: 5, read: 5000}, converse(t, server, p), "the cache stays")
}
