package outer

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/iam"
)

// Format is how documents are written.
type Format string

// The formats.
const (
	JSON           Format = "json" // one document after another, as IAM reads them
	Terraform      Format = "terraform"
	CloudFormation Format = "cloudformation"
)

// Render writes documents. JSON has no explanations: use Explain.
func Render(format Format, all []Document) (string, error) {
	switch format {
	case JSON:
		var b strings.Builder
		for i := range all {
			b.Write(all[i].JSON())
			b.WriteByte('\n')
		}
		return b.String(), nil
	case Terraform:
		return terraform(all), nil
	case CloudFormation:
		return cloudFormation(all), nil
	}
	return "", fmt.Errorf("outer: there is no format %q: want %s, %s or %s", format, JSON, Terraform, CloudFormation)
}

// Explain says what each statement does, and what the documents do not do.
func Explain(all []Document) string {
	var b strings.Builder
	for i := range all {
		d := &all[i]
		fmt.Fprintf(&b, "%s: %s.\n  %d characters count, of %d that are taken (%s).\n", d.Name, d.What, d.Size(), Limit(d.Kind), d.Kind)
		for j := range d.Statements {
			b.WriteString(wrapped("  "+d.Statements[j].Sid+": ", "    ", d.Statements[j].Why))
		}
		for _, note := range d.Notes {
			b.WriteString(wrapped("  - ", "    ", note))
		}
	}
	return b.String()
}

// textWidth is the column at which explanations are wrapped.
const textWidth = 120

// wrapped breaks a text into lines. The first one begins with first, and the others with rest.
func wrapped(first, rest, text string) string {
	var b strings.Builder
	line := first
	empty := true // the line has no word yet
	for _, word := range strings.Fields(text) {
		if !empty && len(line)+1+len(word) > textWidth {
			b.WriteString(line + "\n")
			line, empty = rest, true
		}
		if !empty {
			line += " "
		}
		line += word
		empty = false
	}
	b.WriteString(line + "\n")
	return b.String()
}

// comments returns what the document does and does not do as comments, for Terraform and YAML. The statements' own explanations are not among
// them.
func (d *Document) comments(indent string) string {
	var b strings.Builder
	b.WriteString(wrapped(indent+"# ", indent+"# ", d.What+"."))
	for _, note := range d.Notes {
		b.WriteString(wrapped(indent+"# - ", indent+"#   ", note))
	}
	return b.String()
}

// terraform writes a resource of the provider hashicorp/aws for each document.
func terraform(all []Document) string {
	var b strings.Builder
	for i := range all {
		d := &all[i]
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(d.comments(""))
		resource, document := "aws_iam_policy", "policy"
		if d.Kind == iam.ServiceControl {
			resource, document = "aws_organizations_policy", "content"
		}
		label := strings.ReplaceAll(d.Name, "-", "_")
		fmt.Fprintf(&b, "resource \"%s\" %s {\n  name        = %s\n  description = %s\n", resource, hcl(label), hcl(d.Name), hcl(d.What))
		if d.Kind == iam.ServiceControl {
			b.WriteString("  type        = \"SERVICE_CONTROL_POLICY\"\n")
		}
		fmt.Fprintf(&b, "  %s = jsonencode({\n    Version = %s\n    Statement = [\n", document, hcl(iam.Version2012))
		for j := range d.Statements {
			d.Statements[j].terraform(&b)
		}
		b.WriteString("    ]\n  })\n}\n")
	}
	return b.String()
}

// terraform writes a statement as an object in HCL, with its explanation above it.
func (s *Statement) terraform(b *strings.Builder) {
	b.WriteString(wrapped("      # ", "      # ", s.Why))
	fmt.Fprintf(b, "      {\n        Sid    = %s\n        Effect = %s\n        Action = [\n", hcl(s.Sid), hcl(s.Effect))
	for _, action := range s.Actions {
		fmt.Fprintf(b, "          %s,\n", hcl(action))
	}
	b.WriteString("        ]\n        Resource = \"*\"\n")
	if len(s.Condition) > 0 {
		s.terraformCondition(b)
	}
	b.WriteString("      },\n")
}

// terraformCondition writes the Condition of a statement: an object of operators, each with an object of keys and their lists of values.
func (s *Statement) terraformCondition(b *strings.Builder) {
	b.WriteString("        Condition = {\n")
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		fmt.Fprintf(b, "          %s = {\n", hcl(operator))
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			fmt.Fprintf(b, "            %s = [\n", hcl(key))
			for _, value := range s.Condition[operator][key] {
				fmt.Fprintf(b, "              %s,\n", hcl(value))
			}
			b.WriteString("            ]\n")
		}
		b.WriteString("          }\n")
	}
	b.WriteString("        }\n")
}

// hcl quotes a text for Terraform, in which ${ and %{ begin an expression.
func hcl(text string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(quoted(text))
}

// quoted returns a text as a JSON string, which is also valid in HCL and YAML. encode writes JSON, here without indentation.
func quoted(text string) string { return string(encode(text, "")) }

// cloudFormation writes a template in YAML, with a resource for each document.
func cloudFormation(all []Document) string {
	var b strings.Builder
	b.WriteString("AWSTemplateFormatVersion: \"2010-09-09\"\nDescription: \"What may spend on Amazon Bedrock, by bedrockguard outer plan\"\nResources:\n")
	for i := range all {
		d := &all[i]
		b.WriteString(d.comments("  "))
		fmt.Fprintf(&b, "  %s:\n", logicalName(d.Name))
		property := d.cloudFormationHead(&b)
		fmt.Fprintf(&b, "      Description: %s\n      %s:\n        Version: %s\n        Statement:\n", quoted(d.What), property, quoted(iam.Version2012))
		for j := range d.Statements {
			d.Statements[j].cloudFormation(&b)
		}
	}
	return b.String()
}

// cloudFormationHead writes the type and the name of the document's resource, and returns the name of its property that holds the document itself.
func (d *Document) cloudFormationHead(b *strings.Builder) (property string) {
	if d.Kind == iam.ServiceControl {
		fmt.Fprintf(b, "    Type: AWS::Organizations::Policy\n    Properties:\n      Name: %s\n      Type: SERVICE_CONTROL_POLICY\n", quoted(d.Name))
		return "Content"
	}
	fmt.Fprintf(b, "    Type: AWS::IAM::ManagedPolicy\n    Properties:\n      ManagedPolicyName: %s\n", quoted(d.Name))
	return "PolicyDocument"
}

// cloudFormation writes a statement as an item of a list in YAML, with its explanation above it.
func (s *Statement) cloudFormation(b *strings.Builder) {
	const indent = "          "
	b.WriteString(wrapped(indent+"# ", indent+"# ", s.Why))
	fmt.Fprintf(b, "%s- Sid: %s\n%s  Effect: %s\n%s  Action:\n", indent, quoted(s.Sid), indent, quoted(s.Effect), indent)
	for _, action := range s.Actions {
		fmt.Fprintf(b, "%s    - %s\n", indent, quoted(action))
	}
	fmt.Fprintf(b, "%s  Resource: \"*\"\n", indent)
	if len(s.Condition) == 0 {
		return
	}
	fmt.Fprintf(b, "%s  Condition:\n", indent)
	for _, operator := range slices.Sorted(maps.Keys(s.Condition)) {
		fmt.Fprintf(b, "%s    %s:\n", indent, quoted(operator))
		for _, key := range slices.Sorted(maps.Keys(s.Condition[operator])) {
			fmt.Fprintf(b, "%s      %s:\n", indent, quoted(key))
			for _, value := range s.Condition[operator][key] {
				fmt.Fprintf(b, "%s        - %s\n", indent, quoted(value))
			}
		}
	}
}

// logicalName makes the name of a template's resource, which may only have letters and digits: bedrockguard-kill becomes BedrockguardKill.
func logicalName(name string) string {
	var b strings.Builder
	for _, word := range strings.Split(name, "-") {
		b.WriteString(strings.ToUpper(word[:1]) + word[1:])
	}
	return b.String()
}

// MarshalJSON writes a document with its sizes and explanations.
func (d Document) MarshalJSON() ([]byte, error) {
	type why struct {
		Sid string `json:"sid"`
		Why string `json:"why"`
	}
	result := struct {
		Name       string     `json:"name"`
		What       string     `json:"what"`
		Kind       string     `json:"kind"`
		Characters int        `json:"characters"`
		Limit      int        `json:"limit"`
		Policy     policyJSON `json:"policy"`
		Statements []why      `json:"statements"`
		Notes      []string   `json:"notes"`
	}{Name: d.Name, What: d.What, Kind: d.Kind.String(), Characters: d.Size(), Limit: Limit(d.Kind), Policy: d.policy(), Notes: d.Notes}
	for i := range d.Statements {
		result.Statements = append(result.Statements, why{d.Statements[i].Sid, d.Statements[i].Why})
	}
	return json.Marshal(result)
}
