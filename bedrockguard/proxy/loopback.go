package proxy

import (
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// Loopback admits every request, all with one scope, for a listener that only this machine can reach. It refuses a request from another
// machine, one whose Host is not a name of the loopback interface, and one that a browser made for a page, because otherwise any website
// could spend money here.
func Loopback(scope budget.Scope) Callers {
	return Checks(func(r *http.Request, _ []byte) (budget.Scope, error) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		switch {
		case err != nil || !from.Addr().Unmap().IsLoopback():
			return budget.Scope{}, fmt.Errorf("%w: only this machine may ask here", bedrockguard.ErrUnauthenticated)
		case !isLoopback(r.Host):
			return budget.Scope{}, fmt.Errorf("%w: the request's Host is not localhost", bedrockguard.ErrUnauthenticated)
		case r.Header.Get("Origin") != "" || r.Header.Get("Sec-Fetch-Site") != "":
			return budget.Scope{}, fmt.Errorf("%w: pages in browsers may not ask here", bedrockguard.ErrUnauthenticated)
		}
		return scope, nil
	})
}

// isLoopback reports whether a Host header, with or without a port, names this machine.
func isLoopback(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	addr, err := netip.ParseAddr(host)
	return err == nil && addr.IsLoopback()
}
