package outer

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// Document is a policy to attach, and what has to be known of it.
type Document struct {
	Name       string
	What       string // in a sentence
	Kind       iam.Kind
	Statements []Statement
	Notes      []string // what it does not do
}

// Statement is a statement, and why it is there.
type Statement struct {
	Sid       string
	Effect    string
	Actions   []string
	Condition map[string]map[string][]string
	Why       string
}

// policyJSON is a document as IAM reads it.
type policyJSON struct {
	Version   string
	Statement []statementJSON
}

type statementJSON struct {
	Sid       string
	Effect    string
	Action    []string
	Resource  string
	Condition map[string]map[string][]string `json:",omitempty"`
}

func (d *Document) policy() policyJSON {
	p := policyJSON{Version: iam.Version2012}
	for i := range d.Statements {
		s := &d.Statements[i]
		p.Statement = append(p.Statement, statementJSON{s.Sid, s.Effect, s.Actions, "*", s.Condition})
	}
	return p
}

// encode writes JSON as it is kept: without the escapes that are meant for pages.
func encode(v any, indent string) []byte {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", indent)
	_ = e.Encode(v) // of texts, into memory
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// Size is the number of characters that count, of Limit.
func (d *Document) Size() int { return utf8.RuneCount(encode(d.policy(), "")) }

// Limit is the number of characters that a document of a kind may have. Organizations counts all of them, and IAM all but white space.
// (AWS Organizations User Guide, quotas; IAM User Guide, quotas; read 2026-11-28.)
func Limit(kind iam.Kind) int {
	if kind == iam.ServiceControl {
		return 5_120
	}
	return 6_144
}

// attachable is how many documents of a kind can be attached side by side: of five service control policies one is FullAWSAccess, or what
// stands in its place, of ten managed policies each, and of boundaries one. (The same pages.)
func attachable(kind iam.Kind) int {
	switch kind {
	case iam.ServiceControl:
		return 4
	case iam.Identity:
		return 10
	}
	return 1
}

// JSON returns the document, ready to be attached. It is indented where it is small enough for that: white space in a service control policy
// counts.
func (d *Document) JSON() []byte {
	if text := encode(d.policy(), "  "); d.Kind != iam.ServiceControl || utf8.RuneCount(text) <= Limit(d.Kind) {
		return text
	}
	return encode(d.policy(), "")
}
