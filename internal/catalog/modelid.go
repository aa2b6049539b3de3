package catalog

import (
	"net/url"
	"strings"
)

// normalID removes the percent-escapes that an id has in a URL, once, and refuses what can't be an id. The second result says what is wrong;
// it is empty if nothing is.
func normalID(id string) (normal, problem string) {
	if id == "" {
		return "", "the model id is empty: set ModelId"
	}
	if len(id) > maxIDBytes {
		return "", "the model id is longer than 2048 bytes"
	}
	if strings.Contains(id, "%") {
		unescaped, err := url.PathUnescape(id)
		if err != nil {
			return "", "the model id is not well escaped: pass it as the AWS console prints it"
		}
		id = unescaped
	}
	if !visible(id) {
		return "", "the model id holds spaces, control or non-ASCII characters: pass it as the AWS console prints it"
	}
	return id, ""
}

// arn has the parts of an ARN that prices depend on.
type arn struct {
	region   string
	kind     string // resource type, such as "inference-profile"
	resource string // the rest, after the type
}

// parseARN splits an ARN of Bedrock or of a marketplace endpoint, in any partition.
func parseARN(s string) (arn, bool) {
	if !strings.HasPrefix(s, "arn:") {
		return arn{}, false
	}
	parts := strings.SplitN(s, ":", 6) // arn, partition, service, region, account, resource
	if len(parts) != 6 {
		return arn{}, false
	}
	partition, service, region := parts[1], parts[2], parts[3]
	if !partitionName(partition) || service != "bedrock" && service != "sagemaker" || region != "" && !regionName(region) {
		return arn{}, false
	}
	kind, resource, found := strings.Cut(parts[5], "/")
	if !found || kind == "" || resource == "" {
		return arn{}, false
	}
	if service == "sagemaker" {
		kind = "sagemaker " + kind // so it differs from all kinds of Bedrock's own ARNs, which may say what model they run
	}
	return arn{region: region, kind: kind, resource: resource}, true
}

// partitionName reports whether s has the form of an AWS partition's name, such as "aws" or "aws-us-gov".
func partitionName(s string) bool {
	return s == "aws" || strings.HasPrefix(s, "aws-")
}

// withoutVersion removes the version from a prompt's ARN, so that one mapping covers all versions.
func withoutVersion(id string, a arn) string {
	if a.kind != "prompt" {
		return id
	}
	if bare, version, found := strings.Cut(a.resource, ":"); found && version != "" {
		return strings.TrimSuffix(id, a.resource) + bare
	}
	return id
}
