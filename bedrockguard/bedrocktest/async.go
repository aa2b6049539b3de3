package bedrocktest

import (
	"cmp"
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
// a repeated request finds the job; output is the S3 URI to which the results would go; failed says that the job ends with an error.
type job struct {
	arn, model, token, output string
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
// ModelError makes the job fail. A request with the token of an earlier request gets the job of that one, and is not billed.
func (s *Server) startAsync(w http.ResponseWriter, r *http.Request, seq int, body []byte) *refusal.Error {
	n, refused := jsonnode.Parse(body)
	if refused == nil {
		refused = shapes.Conforms(r, nil, n, "StartAsyncInvokeRequest")
	}
	if refused != nil {
		return refused
	}
	id := n.Get("modelId").Text()
	if j := s.jobs.byToken(n.Get("clientRequestToken").Text()); j != nil {
		return answer(w, map[string]any{"invocationArn": j.arn})
	}
	if refused := s.asyncModel(id); refused != nil {
		return refused
	}
	request := Request{Seq: seq, Operation: "start-async-invoke", ModelID: id, AskedID: id, Header: r.Header, Messages: 1}
	request.describe(n, body)
	s.record(request)
	fault, latency := s.asyncReply(request)
	// A fault without a status of its own, such as a stall, does nothing here.
	if refused := fault.status(); refused != nil && fault != ModelError {
		return refused
	}
	j := s.newJob(n, latency, fault == ModelError)
	// A job is billed when it is started. No tokens are billed, and there is no tier.
	s.book.charge(Inference{
		Seq: seq, Time: j.submitted, Operation: request.Operation, ModelID: id, AskedModelID: id, RequestID: w.Header().Get("x-amzn-requestid"),
		InvocationID: r.Header.Get("Amz-Sdk-Invocation-Id"), Reservation: s.reservation(r), UnitsNanoUSD: s.jobPrice(id, n.Get("modelInput")), Fault: fault,
	}, modeltable.Rates{}, 1000)
	return answer(w, map[string]any{"invocationArn": j.arn})
}

// newJob makes a job of a request, which takes so long and fails or not. Its arn ends with the last twelve digits of a random id.
func (s *Server) newJob(n *jsonnode.Node, latency time.Duration, fails bool) *job {
	now := s.opts.Clock()
	j := &job{
		arn:   "arn:aws:bedrock:" + s.opts.Region + ":123456789012:async-invoke/" + strings.ToLower(requestID()[24:]),
		model: n.Get("modelId").Text(), token: n.Get("clientRequestToken").Text(), output: n.Get("outputDataConfig").Get("s3OutputDataConfig").Get("s3Uri").Text(),
		submitted: now, done: now.Add(latency), failed: fails,
	}
	s.jobs.mu.Lock()
	defer s.jobs.mu.Unlock()
	s.jobs.all = append(s.jobs.all, j)
	return j
}

// asyncModel refuses an id that can't be called. Models that only make or embed videos are accepted even if they are not in the price table.
func (s *Server) asyncModel(id string) *refusal.Error {
	if m, _, _, ok := s.lookup(id); ok {
		return s.available(id, m)
	}
	if strings.Contains(id, "nova-reel") || strings.Contains(id, "twelvelabs") {
		return nil
	}
	return refusal.Invalid("The provided model identifier is invalid.")
}

// asyncReply returns what goes wrong with a job, and how long it takes. The fault that Options give the request comes before that of the reply.
func (s *Server) asyncReply(request Request) (FaultKind, time.Duration) {
	fault := s.faultOf(request)
	if s.opts.Reply == nil {
		return fault, 0
	}
	reply := s.opts.Reply(request)
	return cmp.Or(fault, reply.Fault), reply.Latency
}

// defaultFilm is the length, in seconds, of a Nova Reel video for which none is asked, and the shortest that is billed; longestFilm is the longest.
// longestMedia is the length of the longest video or audio that a job embeds (Nova's guide, 2026-11).
const (
	defaultFilm  = 6
	longestFilm  = 120
	longestMedia = 2 * 3600
)

// jobPrice returns the price of a job in nano-USD: that of the seconds of a generated video, or of media to embed, which are not opened, and count
// with the greatest length.
func (s *Server) jobPrice(id string, input *jsonnode.Node) int64 {
	if strings.Contains(id, "nova-reel") {
		seconds := defaultFilm
		for _, key := range []string{"videoGenerationConfig", "multiShotAutomatedParams"} {
			if v, ok := input.Get(key).Get("durationSeconds").Number(); ok {
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
		return longestMedia * fees.VideoSecond
	case params.Get("audio") != nil:
		return longestMedia * fees.AudioSecond
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
		"outputDataConfig": map[string]any{"s3OutputDataConfig": map[string]any{"s3Uri": j.output}},
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
