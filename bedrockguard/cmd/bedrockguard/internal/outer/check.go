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

// Documents are what is attached: above an account, and to the principal that asks.
type Documents struct {
	ServiceControl []*iam.Policy
	Boundary       []*iam.Policy
	Identity       []*iam.Policy
	// NoFullAccess says that FullAWSAccess, which AWS attaches beside service control policies, is not attached.
	NoFullAccess bool
}

// Question says who asks, and what is known.
type Question struct {
	// Principals are who asks; none is somebody whom no document names, in each account that they name.
	Principals []string
	// Context holds more keys that are known, and Absent those that are missing. What is neither is unknown.
	Context map[string][]string
	Absent  []string
	// At is when. Fixed says that the answer is wanted for that moment alone; otherwise a door that only a date closes is told apart.
	At    time.Time
	Fixed bool
}

// State says whether a door is open.
type State string

// The states, the worst last.
const (
	Closed       State = "closed"
	ClosedForNow State = "closed for now" // a date will open it
	Depends      State = "depends"        // on keys that are not known
	Open         State = "open"
)

var states = []State{Closed, ClosedForNow, Depends, Open}

// Answer is what documents make of an action, at its worst over all who ask and all that it can be asked on.
type Answer struct {
	Door      string   `json:"door"`
	Action    string   `json:"action"`
	State     State    `json:"state"`
	By        string   `json:"by"`
	Principal string   `json:"principal"`
	Resource  string   `json:"resource"`
	Unknown   []string `json:"unknown,omitempty"`
}

// Check says which doors documents leave open.
func Check(documents Documents, q Question) []Answer {
	layers := documents.layers()
	var all []Answer
	table := Spending()
	for i := range table.Doors {
		for j := range table.Doors[i].Actions {
			action := &table.Doors[i].Actions[j]
			worst := Answer{Door: table.Doors[i].Name, Action: action.Name}
			for _, principal := range q.Principals {
				for _, resource := range action.on(principal) {
					if answer := q.ask(layers, action, principal, resource); worst.State == "" || worse(answer.State, worst.State) {
						answer.Door = worst.Door
						worst = answer
					}
				}
			}
			all = append(all, worst)
		}
	}
	return all
}

func worse(a, b State) bool { return slices.Index(states, a) > slices.Index(states, b) }

// on returns the resources that an action is asked on, in the principal's partition.
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

// layers puts documents in layers. A principal whose identity policies are not given is taken for one that may do everything.
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
	if len(d.Identity) == 0 {
		identity.Policies = []*iam.Policy{everything}
	} else if !allows(d.Identity) {
		identity.Policies = append(slices.Clone(d.Identity), everything) // Deny alone stands beside policies that grant something
	}
	return append(layers, identity)
}

func allows(all []*iam.Policy) bool {
	return slices.ContainsFunc(all, func(p *iam.Policy) bool {
		return slices.ContainsFunc(p.Statements, func(s iam.Statement) bool { return s.Effect == iam.Allow })
	})
}

// ask asks for one action of one principal on one resource.
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
		if !q.Fixed && iam.Evaluate(layers, q.timeless(r)).Outcome != iam.Denied {
			answer.State = ClosedForNow
		}
	}
	return answer
}

// clockKeys are the keys that change by themselves.
var clockKeys = []string{"aws:currenttime", "aws:epochtime"}

// timeless is a request of which it is not known when it is made.
func (q *Question) timeless(r *iam.Request) *iam.Request {
	other := &iam.Request{Action: r.Action, Resource: r.Resource, Context: maps.Clone(r.Context)}
	maps.DeleteFunc(other.Context, func(key string, _ []string) bool { return slices.Contains(clockKeys, strings.ToLower(key)) })
	other.Absent = func(key string) bool { return !slices.Contains(clockKeys, key) && r.Absent(key) }
	return other
}

// request is what IAM is asked. What says who asks follows from the principal.
func (q *Question) request(action *Action, principal, resource string) *iam.Request {
	context := map[string][]string{
		"aws:principalarn": {principal}, "aws:principalisawsservice": {"false"}, "aws:securetransport": {"true"},
		"aws:currenttime": {q.At.UTC().Format(time.RFC3339)}, "aws:epochtime": {fmt.Sprint(q.At.Unix())},
	}
	parts := strings.SplitN(principal, ":", 6)
	context["aws:principalaccount"] = []string{parts[4]}
	absent := make(map[string]bool)
	kind, name, _ := strings.Cut(parts[5], "/")
	switch kind {
	case "user":
		context["aws:principaltype"], context["aws:username"] = []string{"User"}, []string{name[strings.LastIndexByte(name, '/')+1:]}
	case "role":
		context["aws:principaltype"] = []string{"AssumedRole"}
		absent["aws:username"] = true
	case "root":
		context["aws:principaltype"] = []string{"Account"}
		absent["aws:username"] = true
	}
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

// supports says whether an action may have a key. Those that begin with aws: hold for all, but for what is asked of tags.
func (a *Action) supports(key string) bool {
	service, _, _ := strings.Cut(key, ":")
	if service == "aws" {
		return true
	}
	return slices.ContainsFunc(a.Keys, func(k string) bool { return strings.EqualFold(k, key) })
}

var accountForm = regexp.MustCompile(`^\d{12}$`)

// unnamed is a name that no document has a reason to hold.
const unnamed = "bedrockguard-check-somebody-else"

// placeholderAccount is the account of somebody whose account no document names. It has the form of one.
const placeholderAccount = "000000000000"

// Others returns principals that documents do not mean: a role, a user and the root user of each account that they name, and of one that they
// don't.
func Others(d Documents) []string {
	accounts, partitions := map[string]bool{placeholderAccount: true}, map[string]bool{}
	for _, p := range slices.Concat(d.ServiceControl, d.Boundary, d.Identity) {
		for i := range p.Statements {
			for _, c := range p.Statements[i].Conditions {
				for _, value := range c.Values {
					if accountForm.MatchString(value) {
						accounts[value] = true
					}
					if parts := strings.SplitN(value, ":", 6); len(parts) == 6 && parts[0] == "arn" {
						if accountForm.MatchString(parts[4]) {
							accounts[parts[4]] = true
						}
						if strings.HasPrefix(parts[1], "aws") && !strings.ContainsAny(parts[1], "*?") {
							partitions[parts[1]] = true
						}
					}
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

// Principal checks who is said to ask, and returns what aws:PrincipalArn is for it.
func Principal(arn string) (string, error) {
	arn = principalOf(arn)
	parts := principalForm.FindStringSubmatch(arn)
	if parts == nil || parts[2] == "*" || parts[3] == "group" || strings.ContainsAny(parts[4], "*?") || (parts[3] == "root") != (parts[4] == "") {
		return "", fmt.Errorf("outer: %q is no principal: want one role, user or root user, such as arn:aws:iam::111122223333:role/agents", arn)
	}
	return arn, nil
}
