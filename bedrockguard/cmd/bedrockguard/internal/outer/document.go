package outer

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// Document is a policy to attach, with explanations.
type Document struct {
	Name       string
	What       string // what it does, in a sentence
	Kind       iam.Kind
	Statements []Statement
	Notes      []string // what it does not do
}

// Statement is a statement with its explanation.
type Statement struct {
	Sid       string
	Effect    string
	Actions   []string
	Condition map[string]map[string][]string // by operator and key, the values
	Why       string                         // the explanation
}

// policyJSON is a document as IAM reads it.
type policyJSON struct {
	Version   string
	Statement []statementJSON
}

// statementJSON is a statement as IAM reads it. It always applies to all resources.
type statementJSON struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  string
	Condition map[string]map[string][]string `json:",omitempty"`
}

// policy returns the document without its explanations.
func (d *Document) policy() policyJSON {
	p := policyJSON{Version: iam.Version2012}
	for i := range d.Statements {
		s := &d.Statements[i]
		p.Statement = append(p.Statement, statementJSON{s.Sid, s.Effect, s.Actions, "*", s.Condition})
	}
	return p
}

// encode writes JSON without the escapes for HTML; an empty indent writes it on one line.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	_ = e.Encode(v) // can't fail: texts, written into memory
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Size is the number of characters that count towards Limit.
func (d *Document) Size() int { return utf8.RuneCount(encode(d.policy(), "")) }

// Limit is the largest number of characters in a document of a kind. Organizations counts all characters, and IAM all but white space. (AWS
// Organizations User Guide, quotas; IAM User Guide, quotas; read 2026-11-28.)
func Limit(kind iam.Kind) int {
	if kind == iam.ServiceControl {
		return 5_120
	}
	return 6_144
}

// attachable is how many documents of a kind can be attached together: of five service control policies one is FullAWSAccess or its
// replacement; there may be ten managed policies and one boundary. (The pages that Limit names.)
func attachable(kind iam.Kind) int {
	switch kind {
	case iam.ServiceControl:
		return 4
	case iam.Identity:
		return 10
	}
	return 1 // a boundary
}

// JSON returns the document, ready to be attached. It is indented, except for a service control policy that this would make too long: there, white
// space counts.
func (d *Document) JSON() []byte {
	indented := encode(d.policy(), "  ")
	if d.Kind == iam.ServiceControl && utf8.RuneCount(indented) > Limit(d.Kind) {
		return encode(d.policy(), "")
	}
	return indented
}
