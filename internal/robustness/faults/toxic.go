package faults

import (
	"context"
	"fmt"
	"strings"
	"testing"

	toxiproxy "github.com/Shopify/toxiproxy/v2"
	"github.com/rs/zerolog"
)

// Toxic disturbs a network while it lasts. Unlike a Cut it also affects new connections.
type Toxic struct {
	Name string
	kind string // of toxiproxy; empty for a proxy that is down
	how  string // its attributes in JSON
}

// Toxics are the ways in which toxiproxy disturbs a network. Times are in milliseconds, except for the slicer's delay, which is in microseconds. A
// timeout of 0 never closes the connection that is silent, and is at once for a reset.
var Toxics = []Toxic{
	{Name: "slow", kind: "latency", how: `{"latency":40,"jitter":20}`},
	{Name: "silent", kind: "timeout", how: `{"timeout":0}`},
	{Name: "silent, then closed", kind: "timeout", how: `{"timeout":50}`},
	{Name: "reset", kind: "reset_peer", how: `{"timeout":0}`},
	{Name: "closed after 10 bytes", kind: "limit_data", how: `{"bytes":10}`},
	{Name: "in slices", kind: "slicer", how: `{"average_size":24,"size_variation":12,"delay":200}`},
	{Name: "20 KB/s", kind: "bandwidth", how: `{"rate":20}`},
	{Name: "closed late", kind: "slow_close", how: `{"delay":200}`},
}

// Streams are the directions in which a toxic can act: on what goes to the server, or on its answers.
var Streams = []string{"upstream", "downstream"}

// ToxicProxy is a toxiproxy in front of one server, in this process.
type ToxicProxy struct{ proxy *toxiproxy.Proxy }

// NewToxicProxy returns a proxy without a toxic, until the test ends.
func NewToxicProxy(tb testing.TB, upstream string) *ToxicProxy {
	quiet := zerolog.Nop()
	server := toxiproxy.NewServer(toxiproxy.NewMetricsContainer(nil), quiet)
	p := toxiproxy.NewProxy(server, "store", "127.0.0.1:0", upstream)
	if err := p.Start(); err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(p.Stop)
	return &ToxicProxy{p}
}

// Addr is where the proxy listens.
func (p *ToxicProxy) Addr() string { return p.proxy.Listen }

// Add adds a toxic to one direction of all connections, including new ones.
func (p *ToxicProxy) Add(t Toxic, stream string) error {
	// A toxicity of 1 is every connection.
	_, err := p.proxy.Toxics.AddToxicJson(strings.NewReader(fmt.Sprintf(
		`{"name":"one","type":%q,"stream":%q,"toxicity":1,"attributes":%s}`, t.kind, stream, t.how)))
	return err
}

// Heal removes the toxic.
func (p *ToxicProxy) Heal() error { return p.proxy.Toxics.RemoveToxic(context.Background(), "one") }

// Down closes every connection and accepts no new ones, until Up.
func (p *ToxicProxy) Down() { p.proxy.Stop() }

// Up listens again, on the same port.
func (p *ToxicProxy) Up() error { return p.proxy.Start() }
