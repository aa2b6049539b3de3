package bedrocktest

import (
	"context"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"
)

const (
	fiveMinutes = types.CacheTTLFiveMinutes
	oneHour     = types.CacheTTLOneHour
)

func TestCachePointRefusals(t *testing.T) {
	const validation, denied = "ValidationException", "AccessDeniedException"
	q, p5, p1 := say("q"), point(fiveMinutes), point(oneHour)
	tests := map[string]struct {
		prompt *prompt
		status int
		code   string
	}{
		"a model without caching":       {ask(gptOSS).user(q, p5), 403, denied},
		"a model without caching, ARN":  {ask("arn:aws:bedrock:us-east-1::foundation-model/"+gptOSS).user(q, p5), 403, denied},
		"five points":                   {ask(opus46).user(q, p5, q, p5, q, p5, q, p5, q, p5), 400, validation},
		"five points over sections":     {ask(opus46).tool("a", "d").toolPoint("").system("s").systemPoint("").user(q, p5, q, p5, q, p5), 400, validation},
		"1h behind 5m":                  {ask(opus46).user(q, p5, q, p1), 400, validation},
		"1h behind an omitted ttl":      {ask(opus46).system("s").systemPoint("").user(q, p1), 400, validation},
		"1h in system behind 5m tools":  {ask(opus46).tool("a", "d").toolPoint(fiveMinutes).system("s").systemPoint(oneHour).user(q), 400, validation},
		"1h where only 5m is offered":   {ask(opus41).user(q, p1), 400, validation},
		"an unknown ttl":                {ask(opus46).user(q, point("2h")), 400, validation},
		"an unknown type":               {ask(opus46).user(q, &types.ContentBlockMemberCachePoint{Value: types.CachePointBlock{Type: "ephemeral"}}), 400, validation},
		"behind reasoning":              {ask(opus46).user(q).assistant(reasoning("r"), p5).user(q), 400, validation},
		"two points behind one block":   {ask(opus46).user(q, p5, p5), 400, validation},
		"first in its section":          {ask(opus46).tool("a", "d").systemPoint("").user(q), 400, validation},
		"first in its message":          {ask(opus46).user(q).assistant(p5).user(q), 400, validation},
		"tools of Nova":                 {ask(novaPro).tool("a", "d").toolPoint("").user(q), 400, validation},
		"1h on Nova":                    {ask(novaPro).user(q, p1), 400, validation},
		"behind a tool result on Nova":  {ask(novaPro).tool("read", "d").user(q).assistant(useTool("1")).user(toolResult("1", "r"), p5), 400, validation},
		"behind a tool use on Nova":     {ask(novaPro).tool("read", "d").user(q).assistant(q, useTool("1"), p5).user(toolResult("1", "r")), 400, validation},
		"first in a message, on Nova":   {ask(novaPro).user(q).assistant(p5), 400, validation},
		"a point alone makes no prompt": {ask(opus46).user(p5), 400, validation},
	}
	server := New(t, Options{})
	client := newClient(server)
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			_, err := client.Converse(context.Background(), &test.prompt.in)
			requireRefused(t, err, test.status, test.code)
		})
	}
	require.Zero(t, server.Bill(), "refusals are free")
	require.Equal(t, len(tests), server.Requests())
}

func TestCachePointsThatAreAccepted(t *testing.T) {
	q, p5, p1 := say("q"), point(fiveMinutes), point(oneHour)
	tests := map[string]*prompt{
		"four points":                     ask(opus46).user(q, p5, q, p5, q, p5, q, p5),
		"four over all sections":          ask(opus46).tool("a", "d").toolPoint(oneHour).system("s").systemPoint(oneHour).user(q, p1, q, p5),
		"5m behind 1h":                    ask(opus46).user(q, p1, q, p5),
		"in an assistant message":         ask(opus46).user(q).assistant(q, p5).user(q),
		"behind a tool result":            ask(opus46).tool("read", "d").user(q).assistant(useTool("1")).user(toolResult("1", "r"), p5),
		"behind text that reasoning came": ask(opus46).user(q).assistant(reasoning("r"), q, p5).user(q),
		"Nova behind text":                ask(novaPro).system("s").systemPoint("").user(q, p5),
		"Nova, tool result then text":     ask(novaPro).tool("read", "d").user(q).assistant(useTool("1")).user(toolResult("1", "r"), q, p5),
	}
	server := New(t, Options{})
	for name, p := range tests {
		t.Run(name, func(t *testing.T) { converse(t, server, p) })
	}
}
