package bedrocktest

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/jsonnode"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/modeltable"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/refusal"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest/internal/shapes"
)

// Functions that serve a request return the refusal that their caller has to write, or nil if they have written the answer. answer writes a body with
// status 200, and returns nil. s.book.charge adds a call to the bill.

// job is an asynchronous invocation. It is running until its latency has passed, and writes nothing to S3. token is the client's own id, by which
// a repeated request finds the job; bucket is the S3 URI for the output.
type job struct {
	arn, model, token, bucket string
	submitted, done           time.Time
	failed                    bool
}

// jobs are the asynchronous invocations, in their order. They are safe for concurrent use.
type jobs struct {
	mu  sync.Mutex
	all []*job
}

// byToken returns the job of a client request token; nil where there is none.
func (j *jobs) byToken(token string) *job {
	j.mu.Lock()
	defer j.mu.Unlock()
	if i := slices.IndexFunc(j.all, func(x *job) bool { return token != "" && x.token == token }); i >= 0 {
		return j.all[i]
	}
	return nil
}

// reelSecond is the list price of a second of Nova Reel's video in nano-USD: 0.08 USD (Amazon Bedrock's pricing page, read 2026-11).
const reelSecond = 80_000_000

// startAsync serves StartAsyncInvoke. Options.Reply is asked with the operation "start-async-invoke"; its latency is how long the job takes, and
// ModelError makes the job fail. A job is billed when it is started. A request with the token of an earlier request gets the job of that one, and is
// not billed.
func (s *Server) startAsync(w http.ResponseWriter, r *http.Request, seq int, body []byte) *refusal.Error {
	n, refused := jsonnode.Parse(body)
	if refused == nil {
		refused = shapes.Conforms(r, nil, n, "StartAsyncInvokeRequest")
	}
	if refused != nil {
		return refused
	}
	id, token := n.Get("modelId").Text(), n.Get("clientRequestToken").Text()
	if j := s.jobs.byToken(token); j != nil {
		return answer(w, map[string]any{"invocationArn": j.arn})
	}
	// Models that only make or embed videos are accepted even if they are not in the price table.
	if m, _, _, ok := s.lookup(id); ok {
		refused = s.available(id, m)
	} else if !strings.Contains(id, "nova-reel") && !strings.Contains(id, "twelvelabs") {
		refused = refusal.Invalid("The provided model identifier is invalid.")
	}
	if refused != nil {
		return refused
	}
	request := Request{Seq: seq, Operation: "start-async-invoke", ModelID: id, AskedID: id, Header: r.Header, Messages: 1}
	request.describe(n, body)
	s.record(request)
	// A fault without a status of its own, such as a stall, does nothing here: status returns nil for it. ModelError makes the job fail later.
	fault := s.faultOf(request)
	var reply Reply
	if s.opts.Reply != nil {
		reply = s.opts.Reply(request)
	}
	if fault == "" {
		fault = reply.Fault
	}
	if refused := fault.status(); refused != nil && fault != ModelError {
		return refused
	}
	now := s.opts.Clock()
	// The arn ends with the last twelve digits of a random id.
	j := &job{
		arn:   "arn:aws:bedrock:" + s.opts.Region + ":123456789012:async-invoke/" + strings.ToLower(requestID()[24:]),
		model: id, token: token, bucket: n.Get("outputDataConfig").Get("s3OutputDataConfig").Get("s3Uri").Text(),
		submitted: now, done: now.Add(reply.Latency), failed: fault == ModelError,
	}
	s.jobs.mu.Lock()
	s.jobs.all = append(s.jobs.all, j)
	s.jobs.mu.Unlock()
	s.book.charge(Inference{
		Seq: seq, Time: now, Operation: request.Operation, ModelID: id, AskedModelID: id, RequestID: w.Header().Get("x-amzn-requestid"),
		InvocationID: r.Header.Get("Amz-Sdk-Invocation-Id"), Reservation: s.reservation(r), UnitsNanoUSD: s.jobUnits(id, n.Get("modelInput")), Fault: fault,
	}, modeltable.Rates{}, 1000) // no tokens are billed, and there is no tier
	return answer(w, map[string]any{"invocationArn": j.arn})
}

// defaultFilm is the length, in seconds, of a Nova Reel video for which none is asked; longestFilm is the longest.
const (
	defaultFilm = 6
	longestFilm = 120
)

// jobUnits returns the price of a job: the seconds of a generated video, or of media to embed, which count with the greatest length that a
// job accepts (Nova's guide, 2026-11: two hours).
func (s *Server) jobUnits(id string, input *jsonnode.Node) int64 {
	if strings.Contains(id, "nova-reel") {
		seconds := defaultFilm
		for _, key := range []string{"videoGenerationConfig", "multiShotAutomatedParams"} {
			if v, ok := input.Get(key).Get("durationSeconds").Number(); ok {
				// A video that is shorter than the default counts with the default.
				seconds = min(max(v, seconds), longestFilm)
			}
		}
		return int64(seconds) * reelSecond
	}
	m, _, _, ok := s.lookup(id)
	if !ok {
		return 0
	}
	fees := m.FeesAt(s.opts.Region)
	switch params := input.Get("segmentedEmbeddingParams"); {
	case params.Get("video") != nil:
		return 7200 * fees.VideoSecond // two hours
	case params.Get("audio") != nil:
		return 7200 * fees.AudioSecond // two hours
	default:
		return 0
	}
}

// jobJSON describes a job in the form of GetAsyncInvoke and ListAsyncInvokes.
func (s *Server) jobJSON(j *job) map[string]any {
	now, status := s.opts.Clock(), "InProgress"
	out := map[string]any{
		"invocationArn": j.arn, "modelArn": "arn:aws:bedrock:" + s.opts.Region + "::foundation-model/" + j.model, "clientRequestToken": j.token,
		"submitTime": j.submitted.UTC().Format(time.RFC3339), "lastModifiedTime": j.submitted.UTC().Format(time.RFC3339),
		"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": j.bucket}},
	}
	if !now.Before(j.done) {
		status = "Completed"
		if j.failed {
			status, out["failureMessage"] = "Failed", "The model returned an error."
		}
		out["endTime"], out["lastModifiedTime"] = j.done.UTC().Format(time.RFC3339), j.done.UTC().Format(time.RFC3339)
	}
	out["status"] = status
	return out
}

// getAsync serves GetAsyncInvoke.
func (s *Server) getAsync(w http.ResponseWriter, arn string) *refusal.Error {
	arn, _ = url.PathUnescape(arn)
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	for _, j := range s.jobs.all {
		if j.arn == arn {
			return answer(w, s.jobJSON(j))
		}
	}
	return refusal.New(404, "ResourceNotFoundException", "There is no such asynchronous invocation.")
}

// listAsync serves ListAsyncInvokes, the newest first, on one page.
func (s *Server) listAsync(w http.ResponseWriter, query url.Values) *refusal.Error {
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	all := []any{}
	for _, j := range slices.Backward(s.jobs.all) {
		listed := s.jobJSON(j)
		if status := query.Get("statusEquals"); status == "" || status == listed["status"] {
			all = append(all, listed)
		}
	}
	if query.Get("sortOrder") == "Ascending" {
		slices.Reverse(all)
	}
	return answer(w, map[string]any{"asyncInvokeSummaries": all})
}
