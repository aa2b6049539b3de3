// Package statuspage is a web page about a ledger, for whoever is called at three in the morning: what was spent, on what, how fast, what is
// left, and buttons that stop it.
//
//	page, err := statuspage.New(statuspage.Options{Ledger: ledger})
//	go http.Serve(listener, page) // on loopback
//
// It only needs the ledger. With Page.Listen as one of bedrockguard.Options.Listeners it also shows what is not in a ledger: the
// last hour by the minute, findings of the cache check with their price, and refusals.
//
// # Who may do what
//
// Without Options.Secret nobody can change anything. With it, whoever logs in with the secret may kill, revive and override; each
// change is made in the name that was given at the login, and is a row of the audit trail, which the page shows. Requests for another host
// name than those of Options.Hosts are refused, so that a website can't reach the page under a name of its own; changes are POST requests of
// the page's own origin; no other page may frame it; it loads nothing from elsewhere, and no text that a caller chose becomes markup.
//
// The page is plain HTTP. Serve it on loopback, or behind a proxy with TLS, and set Options.LoginToRead there.
//
// # What it costs
//
// All viewers share what is read from the ledger: it is read at most once a second, and for at most a tenth of the time. Nothing runs while
// nobody views the page.
package statuspage

import (
	"crypto/sha256"
	"embed"
	"errors"
	"fmt"
	"html/template"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// DefaultMaxRows is how many rows a table has at most if Options.MaxRows is zero.
const DefaultMaxRows = 300

// minSecret is the least length of a secret, in bytes, that can't be guessed.
const minSecret = 16

// Options configures a Page. One of Ledger and Operator is required.
type Options struct {
	// Ledger is the ledger that the page shows, with its policy. With it everything can be changed.
	Ledger *budget.Ledger
	// Operator is used instead of a Ledger. The limits are then read from the policy document in the store; without one the page shows what
	// was booked, and no limits. Overrides need a Ledger.
	Operator *budget.Operator
	// Secret lets those who know it make changes. At least 16 bytes; empty makes the page read-only.
	Secret string
	// LoginToRead asks for the secret before anything is shown. It needs a Secret.
	LoginToRead bool
	// Hosts are the host names of the page, without ports. Nil means localhost and the loopback addresses.
	Hosts []string
	// MaxRows is how many rows of each table are shown; further ones are only counted. Zero means DefaultMaxRows.
	MaxRows int
}

// Page is an http.Handler that shows a ledger. It has to be mounted below a path that ends with a slash, with that path stripped. It is safe
// for concurrent use, and owns no goroutine.
type Page struct {
	operator  *budget.Operator
	ledger    *budget.Ledger    // nil if the page was made with an Operator
	secret    [sha256.Size]byte // the hash of Options.Secret
	writable  bool              // there is a secret: who logs in can make changes
	private   bool              // Options.LoginToRead
	hosts     []string          // Options.Hosts; nil means loopback
	maxRows   int
	handler   http.Handler // of all routes; see routes
	sessions  sessions     // who is logged in
	snapshots snapshots    // what was read from the ledger
	events    events       // what Listen got
}

//go:embed assets
var assets embed.FS

var templates = template.Must(template.New("").Funcs(functions).ParseFS(assets, "assets/*.html"))

// problems returns all errors in the options, joined.
func (o *Options) problems() error {
	var errs []error
	if (o.Ledger == nil) == (o.Operator == nil) {
		errs = append(errs, errors.New("statuspage: want a Ledger or an Operator, and not both"))
	}
	if o.Secret != "" && len(o.Secret) < minSecret {
		errs = append(errs, fmt.Errorf("statuspage: a secret of %d bytes, want at least %d: make one with openssl rand -hex 16", len(o.Secret), minSecret))
	}
	if o.LoginToRead && o.Secret == "" {
		errs = append(errs, errors.New("statuspage: LoginToRead without a Secret would let nobody in"))
	}
	if o.MaxRows < 0 {
		errs = append(errs, fmt.Errorf("statuspage: %d rows, want 0 or more", o.MaxRows))
	}
	return errors.Join(errs...)
}

// New returns a page, or all errors in the options.
func New(o Options) (*Page, error) {
	if err := o.problems(); err != nil {
		return nil, err
	}
	p := &Page{
		operator: o.Operator, ledger: o.Ledger, secret: sha256.Sum256([]byte(o.Secret)), writable: o.Secret != "", private: o.LoginToRead,
		hosts: slices.Clone(o.Hosts), maxRows: o.MaxRows,
	}
	if p.maxRows == 0 {
		p.maxRows = DefaultMaxRows
	}
	if p.ledger != nil {
		// A Ledger has all methods of an Operator, with which the page reads.
		p.operator = &p.ledger.Operator
	}
	p.snapshots.turn = make(chan struct{}, 1)
	p.handler = p.routes()
	return p, nil
}

// routes returns the handler for all paths of the page. It refuses changes that do not come from the page's own origin. ServeHTTP has already
// checked the host name. reader and writer check who is logged in.
func (p *Page) routes() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /{$}", p.reader(p.show))
	mux.HandleFunc("GET /style.css", asset("style.css", "text/css; charset=utf-8"))
	mux.HandleFunc("GET /page.js", asset("page.js", "text/javascript; charset=utf-8"))
	mux.HandleFunc("GET /login", p.askLogin)
	mux.HandleFunc("POST /login", p.login)
	mux.HandleFunc("POST /logout", p.logout)
	for path, f := range map[string]*form{"/kill": &killForm, "/revive": &reviveForm, "/override": &overrideForm} {
		mux.HandleFunc("GET "+path, p.writer(func(w http.ResponseWriter, r *http.Request, who string) { p.ask(w, r, who, f) }))
		mux.HandleFunc("POST "+path, p.writer(func(w http.ResponseWriter, r *http.Request, who string) { p.change(w, r, who, f) }))
	}
	return http.NewCrossOriginProtection().Handler(mux)
}

// ServeHTTP implements http.Handler. It refuses other host names than the page's, because a website could make its own name lead here.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	for name, value := range headers {
		h.Set(name, value)
	}
	if !p.knows(r.Host) {
		http.Error(w, "this page does not answer to that host name: add it to the page's hosts if it should", http.StatusMisdirectedRequest)
		return
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxForm)
	p.handler.ServeHTTP(w, r)
}

// maxForm is the largest body of a request: all fields of a scope, written as %XX.
const maxForm = 64 << 10

// headers are those of every answer. The referrer is only sent within the page. It is not switched off, because browsers would then not send the
// origin either, which has to be checked before a change.
var headers = map[string]string{
	"Content-Security-Policy": "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
	"X-Frame-Options":         "DENY", "X-Content-Type-Options": "nosniff", "Cache-Control": "no-store", "Referrer-Policy": "same-origin",
	"Cross-Origin-Opener-Policy": "same-origin", "Cross-Origin-Resource-Policy": "same-origin",
}

// knows reports whether a host is one of the page's.
func (p *Page) knows(host string) bool {
	name := hostname(host)
	if p.hosts == nil {
		return isLoopback(name)
	}
	return slices.ContainsFunc(p.hosts, func(h string) bool { return strings.EqualFold(hostname(h), name) })
}

// hostname returns a host without its port, its brackets and a dot at its end.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	return strings.TrimSuffix(strings.Trim(host, "[]"), ".")
}

// isLoopback reports whether a host name, without a port, is this machine's own.
func isLoopback(name string) bool {
	addr, err := netip.ParseAddr(name)
	return strings.EqualFold(name, "localhost") || err == nil && addr.IsLoopback()
}

// asset serves one of the page's own files.
func asset(name, mediaType string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		text, err := assets.ReadFile("assets/" + name)
		if err != nil {
			http.Error(w, "there is no such file", http.StatusNotFound)
			return
		}
		w.Header().Set("Content-Type", mediaType)
		_, _ = w.Write(text)
	}
}
