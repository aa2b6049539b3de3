package statuspage

import (
	"cmp"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

const (
	// sessionCookie is the beginning of the name of the cookie with a session's key.
	sessionCookie = "bedrockguard_page"
	// sessionLength is how long a login lasts: a night shift.
	sessionLength = 12 * time.Hour
	// maxSessions is how many logins are remembered; if there are more, the oldest one ends.
	maxSessions = 1000
	// nobody is the operator's name if none was given.
	nobody = "status page"
)

// sessions are the logins, by the hash of their key. The zero value is empty. It is safe for concurrent use.
type sessions struct {
	mu  sync.Mutex
	all map[[sha256.Size]byte]session
}

// session is one login.
type session struct {
	name  string // of the operator, for the audit trail
	until time.Time
}

// cookieName returns the cookie's name, which has the port in it: browsers share cookies among the ports of a host, and two pages on one
// machine need two logins.
func cookieName(r *http.Request) string {
	_, port, err := net.SplitHostPort(r.Host)
	if err != nil || strings.Trim(port, "0123456789") != "" {
		return sessionCookie
	}
	return sessionCookie + port
}

// begin makes a session, and returns its key. It forgets sessions that have ended and, if too many remain, the one that would end first.
func (s *sessions) begin(name string) string {
	key := rand.Text()
	now := time.Now()
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.all == nil {
		s.all = make(map[[sha256.Size]byte]session)
	}
	var oldest [sha256.Size]byte // no session has this hash until one that remains was seen
	for hash, login := range s.all {
		if !now.Before(login.until) {
			delete(s.all, hash)
		} else if first, ok := s.all[oldest]; !ok || login.until.Before(first.until) {
			oldest = hash
		}
	}
	if len(s.all) >= maxSessions {
		delete(s.all, oldest)
	}
	s.all[sha256.Sum256([]byte(key))] = session{name, now.Add(sessionLength)}
	return key
}

// of returns the name of the operator who made the request, and whether somebody is logged in. An ended login is none.
func (s *sessions) of(r *http.Request) (name string, ok bool) {
	cookie, err := r.Cookie(cookieName(r))
	if err != nil {
		return "", false
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	login, ok := s.all[sha256.Sum256([]byte(cookie.Value))]
	if !ok || !time.Now().Before(login.until) {
		return "", false
	}
	return login.name, true
}

// end ends the session of the request, if it has one.
func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(cookieName(r)); err == nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.all, sha256.Sum256([]byte(cookie.Value)))
	}
}

// reader admits requests that may read the page. It passes on who is logged in; empty for nobody.
func (p *Page) reader(show func(w http.ResponseWriter, r *http.Request, who string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := p.sessions.of(r)
		if p.private && !ok {
			redirect(w, "login")
			return
		}
		show(w, r, who)
	}
}

// writer admits requests that may make changes. It passes on who is logged in.
func (p *Page) writer(change func(w http.ResponseWriter, r *http.Request, who string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		who, ok := p.sessions.of(r)
		switch {
		case !p.writable:
			p.refuse(w, http.StatusForbidden, "This page is read-only: it was started without a secret. The command kills, revives and overrides: bedrockguard kill --help.")
		case !ok && r.Method == http.MethodGet:
			redirect(w, "login")
		case !ok:
			p.refuse(w, http.StatusForbidden, "Nobody is logged in here, or the login has ended: log in, and try again.")
		default:
			change(w, r, who)
		}
	}
}

// loginView has the values that the login form shows.
type loginView struct {
	frame
	Problem string
	Name    string
}

// askLogin shows the login form.
func (p *Page) askLogin(w http.ResponseWriter, _ *http.Request) {
	if !p.writable {
		p.refuse(w, http.StatusForbidden, "This page is read-only: it was started without a secret, so that there is nothing to log in for.")
		return
	}
	render(w, http.StatusOK, "login.html", loginView{frame: frame{Title: "Log in"}})
}

// login checks the secret, and begins a session under the name that was given.
func (p *Page) login(w http.ResponseWriter, r *http.Request) {
	if !p.writable {
		p.askLogin(w, r)
		return
	}
	given := sha256.Sum256([]byte(r.PostFormValue("secret")))
	name := strings.TrimSpace(strings.ToValidUTF8(r.PostFormValue("name"), ""))
	problem := ""
	switch {
	case subtle.ConstantTimeCompare(given[:], p.secret[:]) != 1:
		problem = "That is not the secret."
	case len(name) > driver.MaxScopeValue:
		problem = "That name is too long."
	}
	if problem != "" {
		render(w, http.StatusForbidden, "login.html", loginView{frame: frame{Title: "Log in"}, Problem: problem, Name: clip(name, longText)})
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: cookieName(r), Value: p.sessions.begin(cmp.Or(name, nobody)), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		// Only on loopback may the cookie travel without TLS. Elsewhere a proxy in front of the page speaks TLS with the browser.
		Secure: r.TLS != nil || !isLoopback(hostname(r.Host)), MaxAge: int(sessionLength / time.Second),
	})
	redirect(w, "./")
}

// logout ends the session and deletes its cookie.
func (p *Page) logout(w http.ResponseWriter, r *http.Request) {
	p.sessions.end(r)
	http.SetCookie(w, &http.Cookie{Name: cookieName(r), HttpOnly: true, SameSite: http.SameSiteStrictMode, MaxAge: -1})
	redirect(w, "./")
}

// redirect sends the browser on with a GET. The path is relative to the page's, which may be mounted anywhere.
func redirect(w http.ResponseWriter, to string) {
	w.Header().Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}
