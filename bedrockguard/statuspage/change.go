package statuspage

import (
	"cmp"
	"context"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
)

// changeTimeout bounds a change. The change is completed even if the browser does not wait.
const changeTimeout = 20 * time.Second

// form is a page with a form that asks before it changes something.
type form struct {
	title string
	// fill sets what the change is about, from the values in a link or in the form itself.
	fill func(p *Page, ctx context.Context, r *http.Request, v *formView) error
	// apply makes the change, and returns the text that the page shows.
	apply func(p *Page, ctx context.Context, r *http.Request, v *formView) (done url.Values, err error)
}

var (
	killForm     = form{"Kill", (*Page).fillKill, (*Page).applyKill}
	reviveForm   = form{"Revive", (*Page).fillRevive, (*Page).applyRevive}
	overrideForm = form{"Override", (*Page).fillOverride, (*Page).applyOverride}
)

// formView has the values that a form shows.
type formView struct {
	frame
	Action  string
	Problem string
	Target  string // a token that the form sends back; empty if the values are typed
	What    string // the target as text
	All     bool   // it is about every call
	Fields  []field
	Reason  string
	Flag    string
	Limits  []choice
	Max     string
	Until   []choice
	Raised  bool // there is an override that can be removed

	target target
	kill   budget.Kill
}

type field struct{ Name, Label, Value string }

type choice struct {
	Value, Label string
	Selected     bool
}

// target is what a change is about. It is sent as encoded bytes, because a browser would alter values that are not valid text.
type target struct {
	Limit string
	Scope budget.Scope
}

// token returns the target in the form in which a form sends it.
func (t *target) token() string {
	s := &t.Scope
	parts := [][]byte{[]byte(t.Limit), []byte(s.Principal), []byte(s.Workflow), []byte(s.Model), []byte(s.Region), []byte(s.Profile), []byte(s.Project)}
	for _, name := range slices.Sorted(maps.Keys(s.Tags)) {
		parts = append(parts, []byte(name), []byte(s.Tags[name]))
	}
	text, err := json.Marshal(parts)
	if err != nil {
		return ""
	}
	return base64.RawURLEncoding.EncodeToString(text)
}

var errTarget = errors.New("the form names nothing that can be read: go back to the page")

// parseTarget parses the result of token.
func parseTarget(token string) (t target, err error) {
	var parts [][]byte
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &parts)
	}
	const fields = 7
	if err != nil || len(parts) < fields || (len(parts)-fields)%2 != 0 {
		return t, errTarget
	}
	t.Limit = string(parts[0])
	s := &t.Scope
	for i, to := range []*string{&s.Principal, &s.Workflow, &s.Model, &s.Region, &s.Profile, &s.Project} {
		*to = string(parts[i+1])
	}
	for i := fields; i < len(parts); i += 2 {
		if s.Tags == nil {
			s.Tags = make(map[string]string)
		}
		s.Tags[string(parts[i])] = string(parts[i+1])
	}
	return t, s.Validate()
}

// typedScope parses the fields of a scope that somebody typed.
func typedScope(r *http.Request) (s budget.Scope, fields []field, err error) {
	for _, f := range []struct {
		name, label string
		to          *string
	}{
		{"workflow", "Workflow", &s.Workflow},
		{"principal", "Principal", &s.Principal},
		{"model", "Model", &s.Model},
		{"region", "Region", &s.Region},
		{"profile", "Inference profile", &s.Profile},
		{"project", "Project", &s.Project},
	} {
		*f.to = strings.TrimSpace(r.FormValue(f.name))
		fields = append(fields, field{f.name, f.label, *f.to})
	}
	tag := strings.TrimSpace(r.FormValue("tag"))
	fields = append(fields, field{"tag", "Tag, as name=value", tag})
	if tag != "" {
		name, value, ok := strings.Cut(tag, "=")
		if !ok || name == "" || value == "" {
			return s, fields, errors.New("a tag is written as name=value")
		}
		s.Tags = map[string]string{name: value}
	}
	return s, fields, s.Validate()
}

// ask shows a form.
func (p *Page) ask(w http.ResponseWriter, r *http.Request, who string, f *form) {
	v := p.newForm(r, who, f)
	if err := f.fill(p, r.Context(), r, v); err != nil {
		p.refuse(w, http.StatusNotFound, sentence(err))
		return
	}
	render(w, http.StatusOK, "change.html", v)
}

func (p *Page) newForm(r *http.Request, who string, f *form) *formView {
	return &formView{
		frame:  frame{Title: f.title, Who: clip(who, shortText), Writable: true, LoggedIn: true},
		Action: strings.TrimPrefix(r.URL.Path, "/"), Reason: r.PostFormValue("reason"), Max: r.PostFormValue("max"), Until: spans(r.PostFormValue("until")),
	}
}

// change makes the change of a submitted form.
func (p *Page) change(w http.ResponseWriter, r *http.Request, who string, f *form) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.Context()), changeTimeout)
	defer cancel()
	if err := r.ParseForm(); err != nil {
		p.refuse(w, http.StatusBadRequest, "The form can't be read.")
		return
	}
	v := p.newForm(r, who, f)
	err := f.fill(p, ctx, r, v)
	var done url.Values
	if err == nil {
		done, err = f.apply(p, budget.WithOperator(ctx, who), r, v)
		p.outdate()
	}
	if err != nil {
		status := http.StatusUnprocessableEntity
		if errors.Is(err, budget.ErrStore) {
			status = http.StatusServiceUnavailable
		}
		v.Problem = sentence(err)
		render(w, status, "change.html", v)
		return
	}
	redirect(w, "./?"+done.Encode())
}

// sentence turns the text of an error into a sentence.
func sentence(err error) string {
	text := clip(strings.TrimPrefix(err.Error(), "budget: "), longText)
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text + "."
}

// fillKill finds what is to be killed: an account, the workflow of a call, every call, or a typed scope.
func (p *Page) fillKill(ctx context.Context, r *http.Request, v *formView) (err error) {
	switch {
	case r.FormValue("all") != "":
		v.All, v.What = true, "Every call there is, of everybody, in every process"
		return nil
	case r.FormValue("target") != "":
		v.target, err = parseTarget(r.FormValue("target"))
	case r.FormValue("account") != "":
		v.target, err = p.accountTarget(ctx, r.FormValue("account"))
		v.target.Limit = ""
	case r.FormValue("call") != "":
		v.target, err = p.callTarget(ctx, r.FormValue("call"))
	default:
		v.target.Scope, v.Fields, err = typedScope(r)
		if r.Method == http.MethodPost && err == nil && len(v.target.Scope.Dims()) == 0 {
			err = errors.New("nothing to kill is named")
		}
		return err
	}
	v.Target, v.What = v.target.token(), scopeText(v.target.Scope, "")
	if err == nil && v.What == "" {
		return errors.New("that names no scope: kill everything instead, if that is meant")
	}
	return err
}

func (p *Page) applyKill(ctx context.Context, r *http.Request, v *formView) (url.Values, error) {
	if v.All {
		if r.PostFormValue("sure") != "yes" {
			return nil, errors.New("check the box to kill everything")
		}
		accounts, err := p.operator.KillAll(ctx, v.Reason)
		return counted("kill", accounts), err
	}
	kill := budget.Kill{Scope: v.target.Scope, Reason: v.Reason, Patterns: v.Fields != nil && r.PostFormValue("patterns") == "yes"}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	if span > 0 {
		kill.Until = time.Now().Add(span)
	}
	accounts, err := p.operator.KillAs(ctx, kill)
	return counted("kill", accounts), err
}

func counted(done string, accounts int) url.Values {
	return url.Values{"done": {done}, "accounts": {strconv.Itoa(accounts)}}
}

// fillRevive finds the flag by its key.
func (p *Page) fillRevive(ctx context.Context, r *http.Request, v *formView) error {
	kills, err := p.operator.Kills(ctx)
	if err != nil {
		return err
	}
	v.Flag = r.FormValue("flag")
	i := slices.IndexFunc(kills, func(k budget.Kill) bool { return flagKey(&k) == v.Flag })
	if i < 0 {
		v.Flag = ""
		return errors.New("that flag is not in force: somebody took it back, or it has ended")
	}
	v.kill = kills[i]
	v.What = scopeText(v.kill.Scope, "Every call")
	if v.kill.Patterns {
		v.What += " (patterns)"
	}
	return nil
}

func (p *Page) applyRevive(ctx context.Context, _ *http.Request, v *formView) (url.Values, error) {
	if p.ledger != nil { // the ledger's Revive also opens latches
		return url.Values{"done": {"revive"}}, p.ledger.ReviveFlag(ctx, v.kill.Flag())
	}
	return url.Values{"done": {"revive"}}, p.operator.ReviveFlag(ctx, v.kill.Flag())
}

// fillOverride finds the account that gets another maximum.
func (p *Page) fillOverride(ctx context.Context, r *http.Request, v *formView) (err error) {
	if p.ledger == nil {
		return errors.New("overrides need the policy, and this page was started without one: bedrockguard override --help")
	}
	switch {
	case r.FormValue("target") != "":
		v.target, err = parseTarget(r.FormValue("target"))
	case r.FormValue("account") != "":
		v.target, err = p.accountTarget(ctx, r.FormValue("account"))
	default:
		v.target.Limit = r.FormValue("limit")
		if named, err := parseTarget(r.FormValue("limit")); err == nil {
			v.target.Limit = named.Limit
		}
		for _, l := range p.ledger.Policy().Limits {
			named := target{Limit: l.Name}
			v.Limits = append(v.Limits, choice{named.token(), clip(l.Name, shortText) + ": " + l.Max.String() + " " + l.Window.String(), l.Name == v.target.Limit})
		}
		v.target.Scope, v.Fields, err = typedScope(r)
		return err
	}
	if err != nil {
		return err
	}
	v.Target, v.What = v.target.token(), clip(v.target.Limit, shortText)+", "+scopeText(v.target.Scope, "all calls")
	v.Raised, err = p.raised(ctx, &v.target)
	return err
}

// raised reports whether an override of the target is in force.
func (p *Page) raised(ctx context.Context, t *target) (bool, error) {
	s, err := p.snapshot(ctx)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(s.accounts, func(a *account) bool {
		return a.override != nil && a.balance.Limit == t.Limit && a.balance.Scope.String() == t.Scope.String()
	}), nil
}

func (p *Page) applyOverride(ctx context.Context, r *http.Request, v *formView) (url.Values, error) {
	i := slices.IndexFunc(p.ledger.Policy().Limits, func(l budget.Limit) bool { return l.Name == v.target.Limit })
	if i < 0 {
		return nil, errors.New("no limit of that name is enforced")
	}
	limit := p.ledger.Policy().Limits[i]
	if r.PostFormValue("restore") != "" {
		_, err := p.ledger.Override(ctx, limit.Name, v.target.Scope, limit.Max, time.Unix(1, 0))
		return url.Values{"done": {"restore"}}, err
	}
	text := strings.TrimSpace(v.Max)
	if strings.Trim(text, "0123456789._") == "" {
		text += " " + limit.Max.Unit.String()
	}
	var most budget.Quantity
	if err := most.UnmarshalText([]byte(text)); err != nil {
		return nil, err
	}
	span, err := spanOf(r)
	if err != nil {
		return nil, err
	}
	if span == 0 {
		return nil, errors.New("an override needs an end")
	}
	accounts, err := p.ledger.Override(ctx, limit.Name, v.target.Scope, most, time.Now().Add(span))
	return counted("override", accounts), err
}

// accountTarget returns the target for an account of the last snapshot.
func (p *Page) accountTarget(ctx context.Context, key string) (target, error) {
	s, err := p.snapshot(ctx)
	if err != nil {
		return target{}, err
	}
	raw, err := hex.DecodeString(key)
	if err != nil {
		return target{}, errTarget
	}
	i := slices.IndexFunc(s.accounts, func(a *account) bool { return string(a.key[:]) == string(raw) })
	if i < 0 {
		return target{}, errors.New("there is no such account")
	}
	return target{s.accounts[i].balance.Limit, s.accounts[i].balance.Scope}, nil
}

// callTarget returns the target for a call in flight: its workflow, or else its principal.
func (p *Page) callTarget(ctx context.Context, key string) (target, error) {
	s, err := p.snapshot(ctx)
	if err != nil {
		return target{}, err
	}
	i := slices.IndexFunc(s.pending, func(e budget.Entry) bool { return e.ID.String() == key })
	if i < 0 {
		return target{}, errors.New("that call has ended")
	}
	of := s.pending[i].Scope
	scope := budget.Scope{Workflow: of.Workflow}
	if of.Workflow == "" {
		scope = of
	}
	return target{Scope: scope}, nil
}

// The durations of a change. The first one for kills has no end.
var spanTexts = []choice{
	{"", "until it is taken back", false}, {"1h", "for 1 hour", false}, {"4h", "for 4 hours", false}, {"24h", "for 24 hours", false}, {"168h", "for 7 days", false},
}

// spans returns the durations, with the chosen one marked.
func spans(chosen string) []choice {
	all := slices.Clone(spanTexts)
	for i := range all {
		all[i].Selected = all[i].Value == chosen
	}
	return all
}

// spanOf parses the chosen duration; zero means no end.
func spanOf(r *http.Request) (time.Duration, error) {
	text := cmp.Or(r.PostFormValue("until"), "0s")
	span, err := time.ParseDuration(text)
	if err != nil || span < 0 {
		return 0, fmt.Errorf("%q is no length of time: write 90m, or 12h", clip(text, shortText))
	}
	return span, nil
}
