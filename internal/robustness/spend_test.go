package robustness

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// maxRefusals is how often a worker is refused before it gives up: what others have pending may come back.
const maxRefusals = 3

// spend makes calls of every kind until it is refused. Faults of the simulator are its daily bread; an error that is
// neither a fault nor a refusal ends it.
func spend(ctx context.Context, ledger *budget.Ledger, newClient func() *bedrockruntime.Client, random *rand.Rand, job childJob) error {
	ctx = budget.WithScope(ctx, budget.Scope{Principal: "ci", Workflow: fmt.Sprintf("w%d", random.IntN(4))})
	if job.Lively && random.IntN(2) == 0 { // several workers of a name share a child, and several processes do
		child, end, err := ledger.Child(ctx, budget.Child{Name: fmt.Sprintf("c%d", random.IntN(3)), Max: budget.USD(job.LimitUSD / 4)})
		if err == nil {
			defer end()
			ctx = child
		} else if !errors.Is(err, budget.ErrExceeded) {
			return err
		}
	}
	patience := func() int { return 1 + random.IntN(40) }
	if job.Complete {
		patience = func() int { return -1 }
	}
	refusals := 0
	for range job.Calls {
		err := call(ctx, newClient(), random, patience())
		switch {
		case err == nil:
		case errors.Is(err, budget.ErrExceeded):
			if refusals++; refusals == maxRefusals {
				return nil
			}
		case errors.Is(err, budget.ErrStore), errors.Is(err, bedrockguard.ErrMalformedRequest), errors.Is(err, bedrockguard.ErrUnpriced):
			return err
		}
	}
	return nil
}

const (
	opus  = "us.anthropic.claude-opus-4-6-v1"
	haiku = "us.anthropic.claude-haiku-4-5-20251001-v1:0"
)

func call(ctx context.Context, client *bedrockruntime.Client, random *rand.Rand, patience int) error {
	text := prompt(random)
	maxTokens := int32(50 + random.IntN(400))
	switch random.IntN(4) {
	case 0:
		_, err := client.Converse(ctx, &bedrockruntime.ConverseInput{
			ModelId: aws.String(opus), Messages: userSays(text, random.IntN(2) == 0),
			InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(maxTokens)},
		})
		return err
	case 1:
		out, err := client.ConverseStream(ctx, &bedrockruntime.ConverseStreamInput{
			ModelId: aws.String(opus), Messages: userSays(text, false),
			InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(maxTokens)},
		})
		if err != nil {
			return err
		}
		return readStream(out.GetStream(), patience)
	case 2:
		_, err := client.InvokeModel(ctx, &bedrockruntime.InvokeModelInput{
			ModelId: aws.String(haiku), ContentType: aws.String("application/json"), Body: anthropicBody(text, maxTokens),
		})
		return err
	default:
		out, err := client.InvokeModelWithResponseStream(ctx, &bedrockruntime.InvokeModelWithResponseStreamInput{
			ModelId: aws.String(haiku), ContentType: aws.String("application/json"), Body: anthropicBody(text, maxTokens),
		})
		if err != nil {
			return err
		}
		return readStream(out.GetStream(), patience)
	}
}

// stream is what the two event streams have in common here.
type stream[T any] interface {
	Events() <-chan T
	Close() error
	Err() error
}

// readStream abandons the stream after as many events, as users do, or reads to the end.
func readStream[T any](s stream[T], patience int) error {
	defer s.Close()
	for range s.Events() {
		if patience--; patience == 0 {
			return nil
		}
	}
	return s.Err()
}

func userSays(text string, cached bool) []types.Message {
	content := []types.ContentBlock{&types.ContentBlockMemberText{Value: text}}
	if cached {
		content = append(content, &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: types.CachePointTypeDefault, Ttl: types.CacheTTLOneHour}})
	}
	return []types.Message{{Role: types.ConversationRoleUser, Content: content}}
}

func anthropicBody(text string, maxTokens int32) []byte {
	body, _ := json.Marshal(map[string]any{
		"anthropic_version": "bedrock-2023-05-31", "max_tokens": maxTokens,
		"messages": []any{map[string]any{"role": "user", "content": []any{map[string]any{"type": "text", "text": text}}}},
	})
	return body
}

// prompt returns 1 to 6 KB of words, and now and then 30 KB; half of them are common to many calls, so that the cache has
// something to find.
func prompt(random *rand.Rand) string {
	words := []string{"ledger", "reserve", "settle", "window", "the", "of", "0x7f", "func", "{", "}", "größer", "予算"}
	n := 100 + random.IntN(900)
	if random.IntN(20) == 0 {
		n = 5000
	}
	text := make([]byte, 0, n*7)
	shared := rand.New(rand.NewPCG(uint64(random.IntN(3)), 7))
	for i := range n {
		source := shared
		if i > n/2 {
			source = random
		}
		text = append(text, words[source.IntN(len(words))]...)
		text = append(text, ' ')
	}
	return string(text)
}
