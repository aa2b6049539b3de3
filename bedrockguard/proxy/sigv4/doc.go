// Package sigv4 verifies AWS Signature Version 4 on incoming requests, for a server that clients use in the place of Amazon Bedrock, with
// key pairs that the server gave them.
//
// It verifies what was received: the raw request target, Host with its port, the headers and the bytes of the body. The signatures of all
// measured clients agree with that (2026-11: boto3, the AWS SDKs for JavaScript and Go, Anthropic's SDKs, the Vercel AI SDK, LiteLLM,
// opencode, Claude Code): the canonical path is each byte of the path as sent, percent-encoded once more except for slashes. So a proxy in
// front of the server must not change path, Host and signed headers.
//
// A signature is served once. Each process remembers by itself which signatures it has seen, for as long as their dates are within the skew.
package sigv4
