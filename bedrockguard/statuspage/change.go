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

// A change takes two requests: a link on the page opens a form (GET, see ask), and the form makes the change and leads back to the page (POST,
// see change). One of these values of the request says what the change is about:
//
//	all      a kill of every call
//	target   what a form was about when it was shown, as the text that target.token returns
//	account  the key of an account, in hexadecimal, from a link in the table of limits
//	call     the id of a call in flight, from a link in the table of calls
//	flag     the key of a kill flag (see flagKey), from a link in the table of flags
//
// Without any of them, the form has inputs for the values of a scope, and somebody types them.

// changeTimeout bounds a change. The change is completed even if the browser does not wait.
const changeTimeout = 20 * time.Second

// form is one kind of change. A GET calls fill and shows the form; a POST calls fill and apply.
type form struct {
	title string
	// fill sets what the change is about, from the values of the request, and what the form shows of it.
	fill func(p *Page, ctx context.Context, r *http.Request, v *formView) error
	// apply makes the change. The browser goes back to the page with the URL parameters done, from which doneText makes the text for the operator.
	apply func(p *Page, ctx context.Context, r *http.Request, v *formView) (done url.Values, err error)
}

// The forms, by the last part of their paths; see Page.routes.
var (
	killForm     = form{"Kill", (*Page).fillKill, (*Page).applyKill}
	reviveForm   = form{"Revive", (*Page).fillRevive, (*Page).applyRevive}
	overrideForm = form{"Override", (*Page).fillOverride, (*Page).applyOverride}
)

// formView has the values that a form shows. Each kind of change uses some of them.
type formView struct {
	frame
	Action  string   // the path that the form is sent to: kill, revive or override
	Problem string   // why the change was not made; empty until the form is sent
	Target  string   // the target as a token, which the form sends back; empty if the values are typed
	What    string   // the target as text
	All     bool     // a kill of every call
	Fields  []field  // inputs for the values of a scope; nil if a link has said what the change is about
	Reason  string   // for the audit trail, as typed
	Flag    string   // the key of the flag that is revived
	Limits  []choice // the limits of which an override can choose one; nil if a link has chosen the account
	Max     string   // an override's maximum, as typed
	Until   []choice // how long the change lasts
	Raised  bool     // there is an override that can be removed

	target target      // of a kill or an override
	kill   budget.Kill // the flag that is revived
}

// field is a text input of a form.
type field struct{ Name, Label, Value string }

// choice is one entry of a list in a form.
type choice struct {
	Value, Label string
	Selected     bool
}

// target is what a kill or an override is about. It is sent as encoded bytes, because a browser would alter values that are not valid text.
type target struct {
	Limit string // the limit to override; empty for a kill
	Scope budget.Scope
}

// token returns the target as text for a form: the limit, the six values of the scope, and then name and value of each tag.
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

// parseTarget parses the result of token. The order of the parts has to be the same.
func parseTarget(token string) (t target, err error) {
	var parts [][]byte
	text, err := base64.RawURLEncoding.DecodeString(token)
	if err == nil {
		err = json.Unmarshal(text, &parts)
	}
	const fields = 7 // without the tags
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

// typedScope returns the scope that somebody typed, and the form's inputs with what was typed, so that a form with an error is shown again as it
// was.
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

// ask answers a GET with a form. who is the operator who is logged in.
func (p *Page) ask(w http.ResponseWriter, r *http.Request, who string, f *form) {
	v := p.newForm(r, who, f)
	if err := f.fill(p, r.Context(), r, v); err != nil {
		p.refuse(w, http.StatusNotFound, sentence(err))
		return
	}
	render(w, http.StatusOK, "change.html", v)
}

// newForm returns what a form shows of the request alone; its fill adds what the change is about.
func (p *Page) newForm(r *http.Request, who string, f *form) *formView {
	// What a POST has sent is shown again if the change fails; in a GET these values are empty.
	return &formView{
		frame:  frame{Title: f.title, Who: clip(who, shortText), Writable: true, LoggedIn: true},
		Action: strings.TrimPrefix(r.URL.Path, "/"), Reason: r.PostFormValue("reason"), Max: r.PostFormValue("max"), Until: spans(r.PostFormValue("until")),
	}
}

// change answers a POST: it makes the change and leads back to the page, or shows the form again with the problem.
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
		p.outdate() // the page reads the ledger anew; after an error too, because a part of the change may have been made
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
		v.target.Limit = "" // a kill stops all calls of the account's scope, whatever the limit
	case r.FormValue("call") != "":
		v.target, err = p.callTarget(ctx, r.FormValue("call"))
	default:
		v.target.Scope, v.Fields, err = typedScope(r)
		if r.Method == http.MethodPost && err == nil && len(v.target.Scope.Dims()) == 0 { // a GET shows the form before anything is typed
			err = errors.New("nothing to kill is named")
		}
		return err
	}
	v.Target, v.What = v.target.token(), scopeText(v.target.Scope, "")
	if err == nil && v.What == "" { // the scope is empty, which would stop every call
		return errors.New("that names no scope: kill everything instead, if that is meant")
	}
	return err
}

// applyKill sets the kill flag. Killing every call needs a box to be checked, and has no end. Only typed values can be patterns.
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

// counted returns the URL parameters that say what was done, and how many accounts it touches.
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

// applyRevive removes the flag.
func (p *Page) applyRevive(ctx context.Context, _ *http.Request, v *formView) (url.Values, error) {
	// A latch keeps an account closed after a refusal. The ledger knows the policy, so it also opens the latches of the flag's accounts.
	if p.ledger != nil {
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
		return p.offerLimits(r, v)
	}
	if err != nil {
		return err
	}
	v.Target, v.What = v.target.token(), clip(v.target.Limit, shortText)+", "+scopeText(v.target.Scope, "all calls")
	v.Raised, err = p.raised(ctx, &v.target)
	return err
}

// offerLimits fills in the form of an override in which the limit is chosen from a list, and the scope is typed. The list has tokens, because a
// limit's name may be no valid text, which a browser would alter. A link may have the name itself.
func (p *Page) offerLimits(r *http.Request, v *formView) (err error) {
	v.target.Limit = r.FormValue("limit")
	if chosen, err := parseTarget(r.FormValue("limit")); err == nil {
		v.target.Limit = chosen.Limit
	}
	for _, l := range p.ledger.Policy().Limits {
		offered := target{Limit: l.Name}
		v.Limits = append(v.Limits, choice{offered.token(), clip(l.Name, shortText) + ": " + l.Max.String() + " " + l.Window.String(), l.Name == v.target.Limit})
	}
	v.target.Scope, v.Fields, err = typedScope(r)
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

// applyOverride sets the new maximum, or removes the override if the form was sent with its button "restore".
func (p *Page) applyOverride(ctx context.Context, r *http.Request, v *formView) (url.Values, error) {
	// fillOverride came first, and has refused a page without a ledger.
	i := slices.IndexFunc(p.ledger.Policy().Limits, func(l budget.Limit) bool { return l.Name == v.target.Limit })
	if i < 0 {
		return nil, errors.New("no limit of that name is enforced")
	}
	limit := p.ledger.Policy().Limits[i]
	if r.PostFormValue("restore") != "" {
		_, err := p.ledger.Override(ctx, limit.Name, v.target.Scope, limit.Max, time.Unix(1, 0)) // an end in the past removes it
		return url.Values{"done": {"restore"}}, err
	}
	most, err := maximumOf(v.Max, limit.Max.Unit)
	if err != nil {
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

// maximumOf parses a maximum as it was typed. A number alone is in the limit's unit.
func maximumOf(typed string, unit budget.Unit) (most budget.Quantity, err error) {
	text := strings.TrimSpace(typed)
	if strings.Trim(text, "0123456789._") == "" {
		text += " " + unit.String()
	}
	err = most.UnmarshalText([]byte(text))
	return most, err
}

// accountTarget returns the limit and the scope of an account of the last snapshot, by the account's key in hexadecimal.
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

// callTarget returns what to kill in order to stop a call in flight, by the call's id: its workflow, or all values of its scope if it has none.
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
	// A kill flag names values of a scope, and never a single call.
	scope := budget.Scope{Workflow: of.Workflow}
	if of.Workflow == "" {
		scope = of
	}
	return target{Scope: scope}, nil
}

// spanTexts are the durations of a change, each with its value for time.ParseDuration. Only a kill can do without an end: the form of an
// override leaves out the first one.
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
	// The choice "until it is taken back" has the empty value.
	text := cmp.Or(r.PostFormValue("until"), "0s")
	span, err := time.ParseDuration(text)
	if err != nil || span < 0 {
		return 0, fmt.Errorf("%q is no length of time: write 90m, or 12h", clip(text, shortText))
	}
	return span, nil
}
