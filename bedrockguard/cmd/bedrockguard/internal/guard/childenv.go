package guard

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// removedVariables are the variables in which AWS's SDKs and other clients find credentials, endpoints and settings, without those that
// childEnvironment sets itself (their guides on credentials and settings, 2026-11). Without them the child can only reach Bedrock through this
// proxy.
var removedVariables = []string{
	"AWS_SESSION_TOKEN", "AWS_SECURITY_TOKEN", "AWS_CREDENTIAL_EXPIRATION", "AWS_PROFILE", "AWS_DEFAULT_PROFILE", "AWS_BEARER_TOKEN_BEDROCK", "AWS_BEARER_TOKEN",
	"AWS_CONTAINER_CREDENTIALS_RELATIVE_URI", "AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
	"AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN", "AWS_ROLE_SESSION_NAME", "AWS_EC2_METADATA_SERVICE_ENDPOINT", "AWS_EC2_METADATA_SERVICE_ENDPOINT_MODE",
	"AWS_ACCESS_KEY", "AWS_SECRET_KEY", "AWS_CREDENTIAL_FILE", "AWS_LOGIN_CACHE_DIRECTORY", "AWS_ENDPOINT_URL", "AWS_IGNORE_CONFIGURED_ENDPOINT_URLS", "AWS_USE_FIPS_ENDPOINT",
	"AWS_USE_DUALSTACK_ENDPOINT", "AWS_SDK_LOAD_CONFIG", "CLAUDE_CODE_SKIP_BEDROCK_AUTH", "ANTHROPIC_AUTH_TOKEN",
}

// childEnvironment returns the environment of a child whose calls to Bedrock go to base, the URL of this proxy. environ is this process's own;
// scratch is an empty folder for files that the child's clients read. The child gets keys that only this proxy accepts; with keepAWS it keeps its
// AWS credentials.
func childEnvironment(environ []string, base, region, scratch string, keys virtualKeys, keepAWS bool) ([]string, error) {
	opencode, err := openCodeConfig(scratch, base)
	if err != nil {
		return nil, err
	}
	set := endpointVariables(base, region, keys.bearer)
	set["OPENCODE_CONFIG"] = opencode
	var removed []string
	if !keepAWS {
		removed = removedVariables
		if err := setCredentials(set, scratch, keys); err != nil {
			return nil, err
		}
	}
	return changed(environ, set, removed), nil
}

// endpointVariables returns the variables by which clients find the proxy at base, and the bearer key that it accepts.
func endpointVariables(base, region, bearer string) map[string]string {
	return map[string]string{
		"AWS_ENDPOINT_URL_BEDROCK_RUNTIME": base,                // AWS's SDKs, strands, langchain-aws, pydantic-ai, the Vercel AI SDK
		"AWS_ENDPOINT_URL_BEDROCK":         base,                // for lists of models and profiles
		"AWS_BEDROCK_RUNTIME_ENDPOINT":     base,                // LiteLLM
		"ANTHROPIC_BEDROCK_BASE_URL":       base,                // Anthropic's SDKs for Bedrock, Claude Code
		"CLAUDE_CODE_USE_BEDROCK":          "1",                 // which uses the one above, and signs
		"ANTHROPIC_BASE_URL":               base + "/anthropic", // Anthropic's SDKs
		"OPENAI_BASE_URL":                  base + "/openai/v1", // OpenAI's SDKs
		"OPENAI_API_BASE":                  base + "/openai/v1", // LiteLLM's openai/ models
		"ANTHROPIC_API_KEY":                bearer,
		"OPENAI_API_KEY":                   bearer,
		"AWS_REGION":                       region,
		"AWS_DEFAULT_REGION":               region,
	}
}

// setCredentials adds variables that give clients the proxy's key pair in place of the user's credentials: their files are replaced with an empty
// one, and the metadata service, which could give others, is not asked.
func setCredentials(set map[string]string, scratch string, keys virtualKeys) error {
	empty := filepath.Join(scratch, "empty")
	if err := os.WriteFile(empty, nil, 0o600); err != nil {
		return err
	}
	set["AWS_ACCESS_KEY_ID"], set["AWS_SECRET_ACCESS_KEY"] = keys.accessKeyID, keys.secret
	set["AWS_CONFIG_FILE"], set["AWS_SHARED_CREDENTIALS_FILE"], set["BOTO_CONFIG"] = empty, empty, empty
	set["AWS_EC2_METADATA_DISABLED"] = "true"
	return nil
}

// changed returns an environment, sorted, with the variables in set added or replaced, and without those in removed and this command's own settings.
// A proxy of the network must not come between the child and this proxy, so loopback addresses are added to NO_PROXY.
func changed(environ []string, set map[string]string, removed []string) []string {
	out := make([]string, 0, len(environ)+len(set))
	direct := "127.0.0.1,localhost"
	for _, entry := range environ {
		name, value, _ := strings.Cut(entry, "=")
		_, replaced := set[name]
		switch {
		// Both spellings are collected here, and written anew below.
		case strings.EqualFold(name, "NO_PROXY"):
			if value != "" {
				direct += "," + value
			}
		case replaced, slices.Contains(removed, name), strings.HasPrefix(name, "BEDROCKGUARD_"):
		default:
			out = append(out, entry)
		}
	}
	out = append(out, "NO_PROXY="+direct, "no_proxy="+direct)
	for name, value := range set {
		out = append(out, name+"="+value)
	}
	slices.Sort(out)
	return out
}

// openCodeConfig writes a configuration for opencode, which has no variable for its endpoint, and returns the name of the file.
func openCodeConfig(scratch, base string) (string, error) {
	type object = map[string]any
	raw, err := json.Marshal(object{
		"$schema":  "https://opencode.ai/config.json",
		"provider": object{"amazon-bedrock": object{"options": object{"baseURL": base}}},
	})
	if err != nil {
		return "", err
	}
	at := filepath.Join(scratch, "opencode.json")
	return at, os.WriteFile(at, raw, 0o600)
}
