package faults

import (
	"testing"

	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// trouble is a row of the matrix: something that begins, and as a rule ends, between a store and where it keeps its ledger.
type trouble struct {
	name    string
	via     string // where the store under test connects; empty for the server itself
	begin   func(address string) error
	end     func(address string) error
	each    func() // before each call, for faults that hit one message
	forgets bool   // the ledger may be gone, so that a store that was open must refuse for good
}

// troubles returns everything that can happen to a ledger: to its server, and to the network if there is one.
func troubles(t *testing.T, server backend.Server) (all []trouble) {
	if n, ok := server.(backend.Networked); ok {
		all = append(all, toxicTroubles(NewToxicProxy(t, n.HostPort()))...)
		all = append(all, cutTroubles(NewProxy(t, n.HostPort()))...)
	}
	for _, f := range server.Faults() {
		if f.End == nil {
			f.End = nothing
		}
		all = append(all, trouble{name: f.Name, forgets: f.Forgets, begin: f.Begin, end: f.End})
	}
	return all
}

func nothing(string) error { return nil }

func toxicTroubles(p *ToxicProxy) (all []trouble) {
	for _, toxic := range Toxics {
		for _, stream := range Streams {
			all = append(all, trouble{
				name: "network " + toxic.Name + ", " + stream, via: p.Addr(),
				begin: func(string) error { return p.Add(toxic, stream) }, end: func(string) error { return p.Heal() },
			})
		}
	}
	return append(all, trouble{
		name: "network down", via: p.Addr(),
		begin: func(string) error { p.Down(); return nil }, end: func(string) error { return p.Up() },
	})
}

func cutTroubles(p *Proxy) (all []trouble) {
	for _, cut := range Cuts {
		all = append(all, trouble{
			name: "one message in two lost, " + cut.Name, via: p.Addr(),
			begin: nothing, end: func(string) error { p.Disarm(); return nil },
			each: func() { p.Arm(cut, 1) },
		})
	}
	return all
}
