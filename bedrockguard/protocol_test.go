package bedrockguard_test

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
)

// Streams of one client at once, with events that the SDK knows and one that it does not, under the race detector.
func TestStreamsOfOneClientRunAtOnce(t *testing.T) {
	unknown := frame(t, "event", "thoughtBubble", `{"bubble":"`+strings.Repeat("x", 300)+`"}`) // which this version of the SDK does not know
	r := newRig(t, settings{config: withTransport(func(req *http.Request) (*http.Response, error) {
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err == nil {
			body := resp.Body
			resp.Body = struct {
				io.Reader
				io.Closer
			}{io.MultiReader(strings.NewReader(unknown), body), body}
			resp.ContentLength = -1
		}
		return resp, err
	})})
	var streams sync.WaitGroup
	for range 16 {
		streams.Go(func() {
			for range 8 {
				out, err := r.client.ConverseStream(context.Background(), streamInput("hello"))
				if err != nil {
					t.Error(err)
					return
				}
				known, other := 0, 0
				for event := range out.GetStream().Events() {
					if u, ok := event.(*types.UnknownUnionMember); ok {
						other++
						if !bytes.Contains(u.Value, []byte("xxx")) {
							t.Errorf("an unknown event of %d bytes", len(u.Value))
						}
						continue
					}
					known++
				}
				if err := out.GetStream().Close(); err != nil {
					t.Error(err)
				}
				if known < 4 || other != 1 {
					t.Errorf("%d known events and %d unknown ones", known, other)
				}
			}
		})
		streams.Go(func() {
			for range 4 {
				out, err := r.client.InvokeModelWithResponseStream(context.Background(), &bedrockruntime.InvokeModelWithResponseStreamInput{ModelId: streamInput("").ModelId, Body: []byte(anthropicBody("hello"))})
				if err != nil {
					t.Error(err)
					return
				}
				for event := range out.GetStream().Events() {
					_ = event
				}
				if err := out.GetStream().Close(); err != nil {
					t.Error(err)
				}
			}
		})
	}
	streams.Wait()
	r.requireExact(t)
}
