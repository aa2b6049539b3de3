package bedrocktest

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/dialects"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/promptcache"
)

func TestManyClientsAtOnce(t *testing.T) {
	const clients, calls = 64, 5
	server := New(t, Options{CountTokens: perByte, Reply: sevenTokens})
	var group sync.WaitGroup
	for c := range clients {
		group.Go(func() {
			client := newClient(server)
			for i := range calls {
				p := ask(sonnet45).system(sized(fmt.Sprintf("client %d ", c), 2000)).systemPoint("").user(say(fmt.Sprintf("q%d", i)))
				out, err := client.Converse(context.Background(), &p.in)
				if err != nil {
					t.Errorf("client %d: %v", c, err)
					return
				}
				if want := int32(2000); i > 0 && *out.Usage.CacheReadInputTokens != want {
					t.Errorf("client %d read %d of %d tokens", c, *out.Usage.CacheReadInputTokens, want)
				}
			}
		})
	}
	group.Wait()
	bill := server.Bill()
	require.Equal(t, clients*calls, bill.Inferences)
	require.EqualValues(t, clients*2000, bill.CacheWrite.Tokens)
	require.EqualValues(t, clients*(calls-1)*2000, bill.CacheRead.Tokens)
	require.EqualValues(t, clients*calls*6, bill.Input.Tokens)
	var total int64
	seen := make(map[int]bool)
	for _, i := range server.Inferences() {
		total += i.NanoUSD
		seen[i.Seq] = true
	}
	require.Equal(t, bill.NanoUSD, total)
	require.Len(t, seen, clients*calls)
}

// A request of 400 KB that was never seen before, without the socket: it has to stay below five milliseconds.
func BenchmarkServer_Converse400KB(b *testing.B) {
	m, _, _, _ := modeltable.Lookup(opus46, nil)
	text := strings.Repeat("A sentence of ordinary words, 42 of them. ", 400_000/42)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		r, in := &dialects.Reader{Plain: modeltable.CountTokens}, &inference{Prompt: dialects.Prompt{Model: m}}
		body := fmt.Sprintf(`{"messages":[{"role":"user","content":[{"text":"%d %s"},{"cachePoint":{"type":"default"}}]}]}`, i, text)
		n, refused := jsonnode.Parse([]byte(body))
		if refused == nil {
			refused = r.ParseConverse(n, &in.Prompt)
		}
		if refused == nil {
			refused = in.finish()
		}
		if refused != nil {
			b.Fatal(refused)
		}
		var cache promptcache.Cache
		cache.Serve(&in.Prompt, newFakeClock().Now())
	}
}
