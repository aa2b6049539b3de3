// Package account has the encodings that all stores use for names, scopes, usage and rows of the audit trail.
package account

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// ErrEncoding says that a stored value can't be read: something else wrote it, or a newer library.
var ErrEncoding = errors.New("a stored value can't be read: something else wrote it, or a newer version of this library")

// scopeJSON is a scope as it is stored in JSON. It has texts as bytes, which JSON holds in base64, because they need not be valid UTF-8.
type scopeJSON struct {
	Principal, Workflow, Model []byte
	Region, Profile, Project   []byte `json:",omitempty"`
	Tags                       [][2][]byte
}

// newScopeJSON returns the stored form of a scope.
func newScopeJSON(s driver.Scope) *scopeJSON {
	out := &scopeJSON{Principal: []byte(s.Principal), Workflow: []byte(s.Workflow), Model: []byte(s.Model), Region: []byte(s.Region), Profile: []byte(s.Profile), Project: []byte(s.Project)}
	for k, v := range s.Tags {
		out.Tags = append(out.Tags, [2][]byte{[]byte(k), []byte(v)})
	}
	return out
}

// scope returns the scope of a stored form.
func (in *scopeJSON) scope() driver.Scope {
	s := driver.Scope{Principal: string(in.Principal), Workflow: string(in.Workflow), Model: string(in.Model), Region: string(in.Region), Profile: string(in.Profile), Project: string(in.Project)}
	for _, tag := range in.Tags {
		if s.Tags == nil {
			s.Tags = make(map[string]string, len(in.Tags))
		}
		s.Tags[string(tag[0])] = string(tag[1])
	}
	return s
}

// EncodeScope writes a scope as a value.
func EncodeScope(s driver.Scope) ([]byte, error) { return json.Marshal(newScopeJSON(s)) }

// DecodeScope reads what EncodeScope wrote, or returns ErrEncoding.
func DecodeScope(raw []byte) (driver.Scope, error) {
	var in scopeJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return driver.Scope{}, ErrEncoding
	}
	return in.scope(), nil
}

// recordJSON is a row of the audit trail, a driver.Record, as it is stored in JSON: without its revision and its time, for which stores have columns
// of their own. Only the fields that its kind of change uses are set. Until is what End returns.
type recordJSON struct {
	ID               []byte
	Seen             int64             `json:",omitempty"`
	Operator, Reason []byte            `json:",omitempty"`
	Kind             driver.ChangeKind `json:",omitempty"`
	Scope            *scopeJSON        `json:",omitempty"`
	Patterns         bool              `json:",omitempty"`
	Until            int64             `json:",omitempty"`
	Policy           []byte            `json:",omitempty"`
	Account          []byte            `json:",omitempty"`
	Override         *overrideJSON     `json:",omitempty"`
	Reservation      []byte            `json:",omitempty"`
	From, To         []int64           `json:",omitempty"`
}

// overrideJSON is a driver.Override as it is stored; Until is in nanoseconds since 1970 UTC. An override always has an end, so that, unlike in the
// Until of a flag, no number has to stand for none.
type overrideJSON struct{ Max, Until int64 }

// EncodeRecord encodes a row of the audit trail without its revision and its time.
func EncodeRecord(r *driver.Record) ([]byte, error) {
	out := recordJSON{ID: r.ID[:], Seen: r.Seen, Operator: []byte(r.Operator), Reason: []byte(r.Reason), Kind: r.Kind}
	switch r.Kind {
	case driver.ChangeKill, driver.ChangeRevive:
		out.Scope, out.Patterns, out.Until = newScopeJSON(r.Scope), r.Patterns, End(r.Until)
	case driver.ChangePolicy:
		if r.Policy != ([32]byte{}) {
			out.Policy = r.Policy[:]
		}
	case driver.ChangeCorrect:
		out.Reservation, out.From, out.To = r.Reservation[:], r.From[:], r.To[:]
	case driver.ChangeAcceptLoss: // it has nothing but its reason
	default: // an override or an unlatch
		out.Account = r.Account[:]
	}
	if r.Override != nil {
		out.Override = &overrideJSON{r.Override.Max, Nanos(r.Override.Until)}
	}
	return json.Marshal(out)
}

// DecodeRecord reads what EncodeRecord wrote, or returns ErrEncoding.
func DecodeRecord(raw []byte, revision, at int64) (r driver.Record, err error) {
	var in recordJSON
	if err := json.Unmarshal(raw, &in); err != nil {
		return r, ErrEncoding
	}
	r = driver.Record{
		Change:   driver.Change{Seen: in.Seen, Operator: string(in.Operator), Reason: string(in.Reason)},
		Revision: revision, At: time.Unix(0, at), Kind: in.Kind,
	}
	complete := copyWhole(r.ID[:], in.ID) && copyWhole(r.Account[:], in.Account) && copyWhole(r.Reservation[:], in.Reservation) &&
		copyWhole(r.Policy[:], in.Policy)
	if !complete {
		return driver.Record{}, ErrEncoding
	}
	if in.Scope != nil {
		r.Scope, r.Patterns, r.Until = in.Scope.scope(), in.Patterns, Ended(in.Until)
	}
	if in.Override != nil {
		r.Override = &driver.Override{Max: in.Override.Max, Until: time.Unix(0, in.Override.Until)}
	}
	// A newer library may have written more units. Index 0 of a Charge is no unit, and is not counted in the error.
	if len(in.From) > len(r.From) || len(in.To) > len(r.To) {
		return driver.Record{}, fmt.Errorf("%w: it counts %d units, this one knows %d", ErrEncoding, max(len(in.From), len(in.To))-1, driver.NumUnits-1)
	}
	copy(r.From[:], in.From)
	copy(r.To[:], in.To)
	return r, nil
}

// copyWhole copies a stored value of a fixed length, and reports whether it has that length. A value that the kind of change does not use is stored
// as no bytes: that fits, too, and stays zero.
func copyWhole(to, stored []byte) bool {
	copy(to, stored)
	return len(stored) == len(to) || len(stored) == 0
}

// End encodes the end of a flag in nanoseconds since 1970 UTC; 0 means that it has none. An end in 1970 or before is encoded as 1, which is long
// past, too.
func End(until time.Time) int64 {
	if until.IsZero() {
		return 0
	}
	return max(Nanos(until), 1)
}

// Ended decodes what End returned.
func Ended(end int64) time.Time {
	if end == 0 {
		return time.Time{}
	}
	return time.Unix(0, end)
}

// Nanos returns a moment in nanoseconds since 1970 UTC, limited to the range of int64.
func Nanos(t time.Time) int64 {
	const most = int64(1<<63-1) / int64(time.Second)
	switch s := t.Unix(); {
	// Seconds whose nanoseconds might not fit.
	case s >= most:
		return 1<<63 - 1
	case s <= -most:
		return -1 << 63
	default:
		return t.UnixNano()
	}
}
