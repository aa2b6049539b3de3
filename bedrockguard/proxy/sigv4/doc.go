// Package sigv4 verifies AWS Signature Version 4 on incoming requests, for a server that stands where a client expects Amazon Bedrock and
// that gave the client its key pair.
//
// It looks at what came over the wire: the raw request target, Host with its port, the headers as received and the bytes of the body. That
// is what the signatures of the clients that were measured agree on (2026-11: boto3, the AWS SDKs for JavaScript and Go, Anthropic's
// SDKs, the Vercel AI SDK, LiteLLM, opencode, Claude Code): the canonical path is each byte of the path as sent, percent-encoded once more
// but for slashes. Whatever stands before the server must therefore leave path, Host and signed headers alone.
//
// A signature is served once. What was seen is remembered by each process for itself, for as long as its date is within the skew.
package sigv4
