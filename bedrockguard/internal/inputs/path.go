package inputs

import (
	"net/url"
	"strings"
)

// ModelInPath returns the model id of a path such as /model/{id}/converse, and false if it is none of Converse or InvokeModel. An endpoint may have
// put a prefix before /model/, and an id that is an ARN may have slashes, so that the id is whatever stands between /model/ and the last part.
func ModelInPath(u *url.URL) (string, bool) {
	path := u.EscapedPath()
	at := strings.LastIndex(path, "/model/")
	if at < 0 {
		return "", false
	}
	rest := path[at+len("/model/"):]
	end := strings.LastIndexByte(rest, '/')
	// -1: nothing follows the id. 0: the id is empty.
	if end <= 0 {
		return "", false
	}
	switch rest[end+1:] {
	case "converse", "converse-stream", "invoke", "invoke-with-response-stream":
	default:
		return "", false
	}
	id, err := url.PathUnescape(rest[:end])
	return id, err == nil
}
