package outer

import (
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// A Question asks of each action that costs money whether some principals could use it under the Documents; the Answer has the State of that way to
// spend. A door is a group of such actions. Documents are sorted into layers: IAM allows a request only if each layer allows it and none denies it.

// Documents are the documents to check, by how they are attached: to an account or above it (ServiceControl), and to the principal that asks.
type Documents struct {
	ServiceControl []*iam.Policy
	Boundary       []*iam.Policy
	Identity       []*iam.Policy
	// NoFullAccess says that FullAWSAccess, which AWS attaches in addition to service control policies, is not attached.
	NoFullAccess bool
}

// Question says which principals ask, and what is known.
type Question struct {
	// Principals are who asks, one at least. Others returns principals that no document names, for a question that names nobody.
	Principals []string
	// Context has further known keys of the request's context, and Absent the names of those that are missing. Other keys are unknown.
	Context map[string][]string
	Absent  []string
	// At is the time of the request. With Fixed the answer is only for that moment; otherwise a door that is only closed until a date has a
	// state of its own.
	At    time.Time
	Fixed bool
}

// State says whether a door is open.
type State string

// The states, the worst last.
const (
	Closed       State = "closed"
	ClosedForNow State = "closed for now" // it opens at a date
	Depends      State = "depends"        // it depends on unknown keys
	Open         State = "open"
)

// states are ordered from the best to the worst.
var states = []State{Closed, ClosedForNow, Depends, Open}

// Answer is the result for an action: the worst for all principals and resources.
type Answer struct {
	Door      string   `json:"door"`
	Action    string   `json:"action"`
	State     State    `json:"state"`
	By        string   `json:"by"`                // the layer that decided, and its statement if that has a name
	Principal string   `json:"principal"`         // for whom the state is the worst
	Resource  string   `json:"resource"`          // on which it is the worst
	Unknown   []string `json:"unknown,omitempty"` // the keys on which the state depends
}

// Check answers for each action that costs money whether the documents leave it open.
func Check(documents Documents, q Question) []Answer {
	layers := documents.layers()
	var all []Answer
	table := Spending()
	for i := range table.Doors {
		door := &table.Doors[i]
		for j := range door.Actions {
			answer := q.worst(layers, &door.Actions[j])
			answer.Door = door.Name
			all = append(all, answer)
		}
	}
	return all
}

// worst returns the worst answer for an action, of all principals and resources; the first of several that are as bad. Its door is not set.
func (q *Question) worst(layers []iam.Layer, action *Action) Answer {
	worst := Answer{Action: action.Name} // without a principal nobody asks, and it has no state
	for _, principal := range q.Principals {
		for _, resource := range action.on(principal) {
			answer := q.ask(layers, action, principal, resource)
			if worst.State == "" || worse(answer.State, worst.State) {
				worst = answer
			}
		}
	}
	return worst
}

// worse reports whether a is worse than b.
func worse(a, b State) bool { return slices.Index(states, a) > slices.Index(states, b) }

// on returns the resources of an action in the principal's partition, such as aws or aws-us-gov. The table has the ARNs of the partition aws.
func (a *Action) on(principal string) []string {
	if len(a.Resources) == 0 {
		return []string{"*"}
	}
	partition := strings.SplitN(principal, ":", 3)[1]
	all := make([]string, len(a.Resources))
	for i, form := range a.Resources {
		all[i] = "arn:" + partition + strings.TrimPrefix(form, "arn:aws")
	}
	return all
}

// everything is a document that allows everything, such as FullAWSAccess and AdministratorAccess.
var everything = &iam.Policy{Version: iam.Version2012, Statements: []iam.Statement{{Effect: iam.Allow, Actions: []string{"*"}, Resources: []string{"*"}}}}

// layers sorts the documents into layers. If no identity policy is given, or only some that deny, which are attached in addition to others that
// allow, the principal is assumed to be allowed everything by the others.
func (d *Documents) layers() []iam.Layer {
	control := iam.Layer{Name: iam.ServiceControl.String(), Kind: iam.ServiceControl, Policies: slices.Clone(d.ServiceControl)}
	if !d.NoFullAccess {
		control.Policies = append(control.Policies, everything)
	}
	layers := []iam.Layer{control}
	if len(d.Boundary) > 0 {
		layers = append(layers, iam.Layer{Name: iam.Boundary.String(), Kind: iam.Boundary, Policies: d.Boundary})
	}
	identity := iam.Layer{Name: iam.Identity.String(), Kind: iam.Identity, Policies: d.Identity}
	if !allows(d.Identity) {
		identity.Policies = append(slices.Clone(d.Identity), everything)
	}
	return append(layers, identity)
}

// allows reports whether any statement allows something.
func allows(all []*iam.Policy) bool {
	return slices.ContainsFunc(all, func(p *iam.Policy) bool {
		return slices.ContainsFunc(p.Statements, func(s iam.Statement) bool { return s.Effect == iam.Allow })
	})
}

// ask evaluates one action of one principal on one resource. What is denied now, but would not be denied at every time, is only closed for now.
func (q *Question) ask(layers []iam.Layer, action *Action, principal, resource string) Answer {
	r := q.request(action, principal, resource)
	v := iam.Evaluate(layers, r)
	answer := Answer{Action: action.Name, By: v.By, Principal: principal, Resource: resource, Unknown: v.Unknown}
	switch v.Outcome {
	case iam.Allowed:
		answer.State = Open
	case iam.Depends:
		answer.State = Depends
	default:
		answer.State = Closed
		// With the time unknown, Denied means denied at every time.
		if !q.Fixed && iam.Evaluate(layers, timeless(r)).Outcome != iam.Denied {
			answer.State = ClosedForNow
		}
	}
	return answer
}

// tellsTime reports whether a key, in lower case, changes with time.
func tellsTime(key string) bool { return key == "aws:currenttime" || key == "aws:epochtime" }

// timeless returns the request with its time unknown: the keys that change with time are neither in its context nor known to be missing.
func timeless(r *iam.Request) *iam.Request {
	other := &iam.Request{Action: r.Action, Resource: r.Resource, Context: maps.Clone(r.Context)}
	maps.DeleteFunc(other.Context, func(key string, _ []string) bool { return tellsTime(strings.ToLower(key)) })
	other.Absent = func(key string) bool { return !tellsTime(key) && r.Absent(key) }
	return other
}

// request returns the request for IAM: its context has the keys about the caller, and those about the transport and the time. The question's own keys
// come after them, and so prevail. Keys that the action does not support are known to be missing.
func (q *Question) request(action *Action, principal, resource string) *iam.Request {
	context, absent := callerKeys(principal)
	context["aws:principalisawsservice"], context["aws:securetransport"] = []string{"false"}, []string{"true"}
	context["aws:currenttime"], context["aws:epochtime"] = []string{q.At.UTC().Format(time.RFC3339)}, []string{fmt.Sprint(q.At.Unix())}
	for key, values := range q.Context {
		context[strings.ToLower(key)] = values
	}
	for _, key := range q.Absent {
		absent[strings.ToLower(key)] = true
		delete(context, strings.ToLower(key))
	}
	return &iam.Request{Action: action.Name, Resource: resource, Context: context, Absent: func(key string) bool {
		return absent[key] || !action.supports(key)
	}}
}

// callerKeys returns the keys of a request's context that follow from the principal's ARN, arn:PARTITION:iam::ACCOUNT:KIND/NAME, and those that it is
// known not to have. Names of keys are in lower case.
func callerKeys(principal string) (context map[string][]string, absent map[string]bool) {
	parts := strings.SplitN(principal, ":", 6)
	account := parts[4]
	kind, name, _ := strings.Cut(parts[5], "/")
	context = map[string][]string{"aws:principalarn": {principal}, "aws:principalaccount": {account}}
	absent = make(map[string]bool)
	switch kind {
	case "user":
		withoutPath := name[strings.LastIndexByte(name, '/')+1:]
		context["aws:principaltype"], context["aws:username"] = []string{"User"}, []string{withoutPath}
	case "role":
		context["aws:principaltype"] = []string{"AssumedRole"}
		absent["aws:username"] = true
	case "root":
		context["aws:principaltype"] = []string{"Account"}
		absent["aws:username"] = true
	}
	return context, absent
}

// supports reports whether an action may have a key. Global keys, which begin with aws:, are taken to apply to all actions.
func (a *Action) supports(key string) bool {
	service, _, _ := strings.Cut(key, ":")
	if service == "aws" {
		return true
	}
	return slices.ContainsFunc(a.Keys, func(k string) bool { return strings.EqualFold(k, key) })
}

// accountForm is the form of an account's number.
var accountForm = regexp.MustCompile(`^\d{12}$`)

// unnamed is a name that no document should have.
const unnamed = "bedrockguard-check-somebody-else"

// placeholderAccount is an account number for accounts that no document names.
const placeholderAccount = "000000000000"

// Others returns principals that the documents do not name: a role, a user and the root user of each account that they name, and of one that
// they don't.
func Others(d Documents) []string {
	accounts, partitions := map[string]bool{placeholderAccount: true}, map[string]bool{}
	for _, p := range slices.Concat(d.ServiceControl, d.Boundary, d.Identity) {
		for i := range p.Statements {
			// Documents name accounts and partitions in the values of conditions.
			for _, c := range p.Statements[i].Conditions {
				for _, value := range c.Values {
					noteNamed(value, accounts, partitions)
				}
			}
		}
	}
	if len(partitions) == 0 {
		partitions["aws"] = true
	}
	var all []string
	for _, partition := range slices.Sorted(maps.Keys(partitions)) {
		for _, account := range slices.Sorted(maps.Keys(accounts)) {
			for _, name := range [...]string{"role/" + unnamed, "user/" + unnamed, "root"} {
				all = append(all, "arn:"+partition+":iam::"+account+":"+name)
			}
		}
	}
	return all
}

// noteNamed adds the account and the partition that a condition's value names: an account by its number, or both in an ARN,
// arn:PARTITION:SERVICE:REGION:ACCOUNT:RESOURCE.
func noteNamed(value string, accounts, partitions map[string]bool) {
	if accountForm.MatchString(value) {
		accounts[value] = true
	}
	parts := strings.SplitN(value, ":", 6)
	if len(parts) < 6 || parts[0] != "arn" {
		return
	}
	partition, account := parts[1], parts[4]
	if accountForm.MatchString(account) {
		accounts[account] = true
	}
	if strings.HasPrefix(partition, "aws") && !strings.ContainsAny(partition, "*?") {
		partitions[partition] = true
	}
}

// Principal checks the ARN of a principal, and returns its aws:PrincipalArn: that of the role if the ARN is a session's (principalOf).
func Principal(arn string) (string, error) {
	arn = principalOf(arn)
	if !isOnePrincipal(arn) {
		return "", fmt.Errorf("outer: %q is no principal: want one role, user or root user, such as arn:aws:iam::111122223333:role/agents", arn)
	}
	return arn, nil
}

// isOnePrincipal reports whether an aws:PrincipalArn names one principal: without wildcards, no group, which makes no calls, and with a name, except
// that a root user has none. The groups of principalForm are partition, account, kind and name.
func isOnePrincipal(arn string) bool {
	parts := principalForm.FindStringSubmatch(arn)
	if parts == nil {
		return false
	}
	account, kind, name := parts[2], parts[3], parts[4]
	wild := account == "*" || strings.ContainsAny(name, "*?")
	return !wild && kind != "group" && (kind == "root") == (name == "")
}
