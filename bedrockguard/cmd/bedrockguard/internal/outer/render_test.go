package outer_test

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v4"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/outer"
)

// checkForms holds Terraform and CloudFormation to the JSON of the same documents.
func checkForms(t require.TestingT, documents []outer.Document) {
	var want []any
	for i := range documents {
		var policy any
		require.NoError(t, json.Unmarshal(documents[i].JSON(), &policy))
		want = append(want, policy)
	}
	text, err := outer.Render(outer.CloudFormation, documents)
	require.NoError(t, err)
	require.Equal(t, want, inTemplate(t, text))
	text, err = outer.Render(outer.Terraform, documents)
	require.NoError(t, err)
	require.Equal(t, want, inTerraform(t, text))
}

// The three forms say the same.
func TestEveryFormSaysTheSame(t *testing.T) {
	for _, options := range plans {
		documents, err := outer.Plan(options)
		require.NoError(t, err)
		checkForms(t, documents)
	}
}

// What Terraform would take for an expression, or either for the end of a text, stays text.
func TestOddTextsAreQuoted(t *testing.T) {
	odd := []string{"${aws:username}", "%{ if true }", "a\"b\\c", "$${x}", "#", ": yes", "!Sub x", "<&>"}
	checkForms(t, []outer.Document{{
		Name: "odd", What: "Odd ${x} \"texts\"", Kind: iam.ServiceControl,
		Statements: []outer.Statement{{Sid: "Odd", Effect: iam.Deny, Actions: odd, Why: "why ${x}", Condition: map[string]map[string][]string{"StringLike": {"aws:PrincipalTag/a b": odd}}}},
	}})
}

// inTemplate returns the documents of a template.
func inTemplate(t require.TestingT, text string) (all []any) {
	var template yaml.Node
	require.NoError(t, yaml.Unmarshal([]byte(text), &template), text)
	resources := member(template.Content[0], "Resources")
	for i := 1; i < len(resources.Content); i += 2 {
		properties := member(resources.Content[i], "Properties")
		document := member(properties, "PolicyDocument")
		if member(resources.Content[i], "Type").Value == "AWS::Organizations::Policy" {
			require.Equal(t, "SERVICE_CONTROL_POLICY", member(properties, "Type").Value)
			document = member(properties, "Content")
		}
		var policy any
		require.NoError(t, document.Decode(&policy))
		all = append(all, policy)
	}
	return all
}

func member(n *yaml.Node, name string) *yaml.Node {
	for i := 0; n != nil && i+1 < len(n.Content); i += 2 {
		if n.Content[i].Value == name {
			return n.Content[i+1]
		}
	}
	return nil
}

// inTerraform returns what is handed to jsonencode: objects, lists and quoted texts, which is all of HCL that is written.
func inTerraform(t require.TestingT, text string) (all []any) {
	parts := strings.Split(text, "= jsonencode(")
	for _, part := range parts[1:] {
		p := &hclReader{rest: part}
		v, err := p.value()
		require.NoError(t, err, part)
		p.space()
		require.True(t, strings.HasPrefix(p.rest, ")\n}"), p.rest)
		all = append(all, v)
	}
	return all
}

type hclReader struct{ rest string }

// space leaves out blanks, commas and comments.
func (p *hclReader) space() {
	for {
		p.rest = strings.TrimLeft(p.rest, " \n,")
		if !strings.HasPrefix(p.rest, "#") {
			return
		}
		_, p.rest, _ = strings.Cut(p.rest, "\n")
	}
}

func (p *hclReader) value() (any, error) {
	p.space()
	switch {
	case strings.HasPrefix(p.rest, "{"):
		return p.object()
	case strings.HasPrefix(p.rest, "["):
		list := []any{}
		for p.rest = p.rest[1:]; ; {
			if p.space(); strings.HasPrefix(p.rest, "]") {
				p.rest = p.rest[1:]
				return list, nil
			}
			v, err := p.value()
			if err != nil {
				return nil, err
			}
			list = append(list, v)
		}
	}
	return p.text()
}

func (p *hclReader) object() (any, error) {
	object := map[string]any{}
	for p.rest = p.rest[1:]; ; {
		p.space()
		if strings.HasPrefix(p.rest, "}") {
			p.rest = p.rest[1:]
			return object, nil
		}
		name, err := p.name()
		if err != nil {
			return nil, err
		}
		p.space()
		if !strings.HasPrefix(p.rest, "=") {
			return nil, fmt.Errorf("want = at %.20q", p.rest)
		}
		p.rest = p.rest[1:]
		if object[name], err = p.value(); err != nil {
			return nil, err
		}
	}
}

func (p *hclReader) name() (string, error) {
	if strings.HasPrefix(p.rest, `"`) {
		v, err := p.text()
		return v, err
	}
	end := strings.IndexAny(p.rest, " =")
	if end <= 0 {
		return "", fmt.Errorf("want a name at %.20q", p.rest)
	}
	name := p.rest[:end]
	p.rest = p.rest[end:]
	return name, nil
}

// text reads a quoted text. An expression in it is an error.
func (p *hclReader) text() (string, error) {
	quoted, err := strconv.QuotedPrefix(p.rest)
	if err != nil {
		return "", fmt.Errorf("want a text at %.20q", p.rest)
	}
	p.rest = p.rest[len(quoted):]
	text, err := strconv.Unquote(quoted)
	if err != nil {
		return "", err
	}
	plain := strings.NewReplacer("$${", "\x00", "%%{", "\x01").Replace(text)
	if strings.Contains(plain, "${") || strings.Contains(plain, "%{") {
		return "", fmt.Errorf("an expression in %s", quoted)
	}
	return strings.NewReplacer("\x00", "${", "\x01", "%{").Replace(plain), nil
}
