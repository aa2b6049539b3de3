// Package iam reads IAM policy documents and says what they make of a request, by the logic that AWS documents: an explicit Deny wins, then
// every layer has to allow.
//
// Not everything about a request is known to whoever asks. A key of the request's context may be known, known to be absent, or unknown, and
// a resource may be one ARN or all of a form. So each part of a statement holds, does not hold, or depends, and so does the verdict: a
// request is Denied only if it is denied whatever the unknown keys are, and Allowed only if it is allowed whatever they are.
//
// Where AWS documents no result, such as for a key of several values under an operator for one, the answer is that it depends.
//
// Resource-based, session and endpoint policies are not known here, nor are resource control policies.
package iam
