package cacheaudit

import (
	"bytes"
	"encoding/json"
	"io"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/price"
	"github.com/bedrockguard/bedrockguard-go/cache"
)

func TestReportOfTheTestdata(t *testing.T) {
	var out bytes.Buffer
	findings, err := Run(nil, &out, io.Discard, []string{"testdata"}, Options{By: "workflow", Top: 20, Width: 100})
	require.NoError(t, err)
	require.Positive(t, findings)
	if *update {
		require.NoError(t, os.WriteFile("testdata/report.golden", out.Bytes(), 0o644))
	}
	want, err := os.ReadFile("testdata/report.golden")
	require.NoError(t, err)
	require.Equal(t, string(want), out.String())
}

// A call that is logged in any of the forms counts the same.
func TestEveryFormOfLog(t *testing.T) {
	g := generate()[folder+"09/20261120T090000000Z_1f.json.gz"]
	line, _, _ := strings.Cut(g, "\n")
	quoted, err := json.Marshal(line)
	require.NoError(t, err)
	var pretty, prettyEvents bytes.Buffer
	require.NoError(t, json.Indent(&pretty, []byte(line), "", "  "))
	events := `{"events":[{"logStreamName":"s","message":` + string(quoted) + `,"eventId":"1"}],"searchedLogStreams":[],"nextToken":"a{b"}`
	require.NoError(t, json.Indent(&prettyEvents, []byte(events), "", "    "))
	results := `{"queryLanguage":"CWLI","results":[[{"field":"@timestamp","value":"2026-11-20"},{"field":"@message","value":` + string(quoted) + `},{"field":"@ptr","value":"x"}]],"statistics":{"recordsMatched":1.0},"status":"Complete"}`
	var prettyResults bytes.Buffer
	require.NoError(t, json.Indent(&prettyResults, []byte(results), "", "    "))
	var fields map[string]any
	require.NoError(t, json.Unmarshal([]byte(line), &fields))
	for _, half := range []string{"input", "output"} {
		of := fields[half].(map[string]any)
		if body, ok := of[half+"BodyJson"]; ok {
			text, err := json.Marshal(body)
			require.NoError(t, err)
			of[half+"BodyJson"] = string(text)
		}
	}
	stringified, err := json.Marshal(fields)
	require.NoError(t, err)
	for name, log := range map[string]string{
		"pretty":                      pretty.String(),
		"pretty, CRLF":                strings.ReplaceAll(pretty.String(), "\n", "\r\n"),
		"pretty, one after the other": "{\n  \"a\": 1\n}\n" + pretty.String() + "\n",
		"array":                       "[" + line + "]",
		"array, pretty":               "[\n" + pretty.String() + "\n]\n",
		"array of many lines":         "[\n" + line + ",\n{}\n]",
		"filter-log-events, pretty":   prettyEvents.String(),
		"get-query-results":           results,
		"get-query-results, pretty":   prettyResults.String(),
		"insights, as a table":        "@timestamp,@message,@ptr\n2026-11-20 09:00," + `"` + strings.ReplaceAll(line, `"`, `""`) + `"` + ",x\n",
		"filter-log-events, as text":  "EVENTS\t1\t1760000000000\t" + line + "\tstream\n",
		"stringified bodies":          string(stringified),
		"a record as the message":     `{"@timestamp":"2026-11-20","message":` + line + `}`,
		"Fluent Bit":                  `{"log":` + string(quoted) + `}`,
		"OpenSearch":                  `{"took":1,"hits":{"total":{"value":1},"hits":[{"_id":"1","_source":` + line + `}]}}`,
		"Firehose":                    `{"records":[{"recordId":"1","data":` + base64JSON(t, pack(t, "x.gz", `{"messageType":"DATA_MESSAGE","logEvents":[{"message":`+string(quoted)+`}]}`)) + `}]}`,
		"Lambda":                      `{"awslogs":{"data":` + base64JSON(t, pack(t, "x.gz", `{"messageType":"DATA_MESSAGE","logEvents":[{"message":`+string(quoted)+`}]}`)) + `}}`,
		"gzip in gzip":                string(pack(t, "x.gz", string(pack(t, "x.gz", line+"\n")))),
		"byte order mark":             "\ufeff" + line,
		"pretty, cut before another":  pretty.String()[:pretty.Len()/2] + "\n" + line,
		"plain":                       line + "\n",
		"no line end":                 line,
		"empty lines":                 "\n\r\n" + line + "\r\n\n",
		"wrapped":                     `{"timestamp":1760000000000,"message":` + string(quoted) + `}`,
		"wrapped by a query":          `{"@timestamp":"2026-11-20","@message":` + string(quoted) + `}`,
		"subscription":                `{"messageType":"DATA_MESSAGE","logEvents":[{"id":"1","timestamp":1,"message":` + string(quoted) + `}]}`,
		"filter-log-events":           `{"events":[{"message":` + string(quoted) + `}],"searchedLogStreams":[]}`,
		"behind a time":               "2026-11-20T09:00:30.000Z " + line,
		"gzip":                        string(pack(t, "x.gz", line+"\n")),
		"gzip in pieces":              string(pack(t, "x.gz", line[:5000])) + string(pack(t, "x.gz", line[5000:]+"\n")),
		"among others":                "{}\nnot a record\n" + line + "\n{\"message\":\"START RequestId\"}\n",
		"cut off in the next one":     line + "\n" + line[:3000],
	} {
		t.Run(name, func(t *testing.T) {
			a := newAudit("workflow", nil)
			a.read(strings.NewReader(log))
			require.Equal(t, 1, a.records)
			sum := a.groups[groupKey{"nightly-refactor", "anthropic.claude-sonnet-4-5-20250929-v1:0"}]
			require.NotNil(t, sum)
			require.Equal(t, 1, sum.calls)
			require.Zero(t, sum.unread)
			require.Positive(t, sum.spent)
			bad := map[string]int{"among others": 3, "cut off in the next one": 1, "pretty, one after the other": 1, "array of many lines": 1, "pretty, cut before another": 1}
			require.Equal(t, bad[name], a.badLines)
			require.Zero(t, a.cutFiles)
		})
	}
}

// base64JSON is data as a JSON string.
func base64JSON(t *testing.T, data []byte) string {
	raw, err := json.Marshal(data)
	require.NoError(t, err)
	return string(raw)
}

// A file that is cut off, as one that is still being written, counts up to there.
func TestCutGzipCountsUpToThere(t *testing.T) {
	log := generate()[folder+"09/20261120T090000000Z_1f.json.gz"]
	packed := pack(t, "x.gz", log)
	a := newAudit("workflow", nil)
	a.read(bytes.NewReader(packed[:len(packed)*2/3]))
	require.Equal(t, 1, a.cutFiles)
	require.Greater(t, a.records, 3)
	require.Less(t, a.records, strings.Count(log, "\n"))

	a.read(bytes.NewReader(packed[:5]))
	require.Equal(t, 2, a.cutFiles)
}

// filler is text without end.
type filler struct{ left int }

func (f *filler) Read(p []byte) (int, error) {
	if f.left == 0 {
		return 0, io.EOF
	}
	n := min(len(p), f.left)
	for i := range p[:n] {
		p[i] = 'x'
	}
	f.left -= n
	return n, nil
}

func TestLinesMayBeOfAnyLength(t *testing.T) {
	read := func(limit int, r io.Reader) (lengths []int, tooLong int) {
		tooLong, err := eachLine(r, limit, func(line []byte) { lengths = append(lengths, len(line)) })
		require.NoError(t, err)
		return lengths, tooLong
	}
	long := strings.Repeat("x", 3<<20)
	lengths, tooLong := read(4<<20, strings.NewReader("a\n"+long+"\nbc\n"))
	assert.Equal(t, []int{1, 3 << 20, 2}, lengths)
	assert.Zero(t, tooLong)

	lengths, tooLong = read(1<<20, strings.NewReader("a\n"+long+"\nbc\n"+long))
	assert.Equal(t, []int{1, 2}, lengths)
	assert.Equal(t, 2, tooLong)

	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	lengths, tooLong = read(1<<20, io.MultiReader(&filler{200 << 20}, strings.NewReader("\nd\n")))
	runtime.ReadMemStats(&after)
	assert.Equal(t, []int{1}, lengths)
	assert.Equal(t, 1, tooLong)
	assert.Less(t, after.TotalAlloc-before.TotalAlloc, uint64(16<<20), "200 MB pass through a bounded buffer")
}

func TestFindSources(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"b/20261120_2.json.gz", "b/data/1_input.json.gz", "b/data/1_output.json.gz", "a/20261120_1.json", "a/notes.md",
		"amazon-bedrock-logs-permission-check", "c.log", ".hidden.json", "x.png",
	} {
		require.NoError(t, os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755))
		require.NoError(t, os.WriteFile(filepath.Join(dir, name), []byte("12345"), 0o644))
	}
	s, err := findSources([]string{dir, filepath.Join(dir, "a/notes.md")})
	require.NoError(t, err)
	for i := range s.logs {
		s.logs[i], _ = filepath.Rel(dir, s.logs[i])
	}
	require.Equal(t, []string{"a/20261120_1.json", "b/20261120_2.json.gz", "c.log", "a/notes.md"}, s.logs)
	require.EqualValues(t, 20, s.size)
	require.Equal(t, "12345", string(s.bodies.load("s3://bucket/some/where/data/1_input.json.gz")))
	require.Nil(t, s.bodies.load("s3://bucket/some/where/data/2_input.json.gz"))
	require.Nil(t, s.bodies.load(""))

	_, err = findSources([]string{filepath.Join(dir, "nowhere")})
	require.Error(t, err)
}

func TestHourWrites(t *testing.T) {
	for body, want := range map[string]int64{
		``:                            -1,
		`{"usage":{"inputTokens":3}}`: -1,
		`{"usage":{"cacheDetails":[{"ttl":"1h","inputTokens":70},{"ttl":"5m","inputTokens":30}]}}`:                                                               70,
		`{"usage":{"cacheDetails":[{"ttl":"5m","inputTokens":30}]}}`:                                                                                             0,
		`{"usage":{"cache_creation":{"ephemeral_5m_input_tokens":1,"ephemeral_1h_input_tokens":9}}}`:                                                             9,
		`[{"type":"message_start","message":{"usage":{"cache_creation":{"ephemeral_1h_input_tokens":9}}}},{"type":"message_delta","usage":{"output_tokens":5}}]`: 9,
		`"cache_creation"`: -1,
	} {
		hour, told := hourWrites([]byte(body))
		if want < 0 {
			require.False(t, told, body)
			continue
		}
		require.True(t, told, body)
		require.Equal(t, want, hour, body)
	}
	r := new(record)
	r.Input.CacheWriteTokens = 10
	require.Equal(t, cache.Usage{CacheWrite5mTokens: 10}, r.usage(false))
	require.Equal(t, cache.Usage{CacheWrite1hTokens: 10}, r.usage(true), "every point asked for an hour")
}

// Ten calls that each repeat the one before and add a tenth of it.
func TestSaving(t *testing.T) {
	rates := price.Rates{Input: 3_000_000, CacheRead: 300_000, CacheWrite5m: 3_750_000}
	m := cache.Model{Explicit: true, MinTokens: 1024}
	var s saving
	for total := int64(10_000); total <= 19_000; total += 1000 {
		avoidable := total - 1000
		if total == 10_000 {
			avoidable = 0
		}
		s.add(rates, m, price.Usage{InputTokens: total}, avoidable)
	}
	// 126,000 tokens are repeats, at 2.70 $ less a million; 18,000 of them were written once, at 0.75 $ more.
	require.EqualValues(t, 126_000*2700-18_000*750, s.amount())

	var once saving
	once.add(rates, m, price.Usage{InputTokens: 50_000}, 0)
	require.Zero(t, once.amount(), "nobody goes on from it")

	var perfect saving
	perfect.add(rates, m, price.Usage{InputTokens: 10_000, CacheWrite5mInputTokens: 10_000}, 0)
	perfect.add(rates, m, price.Usage{InputTokens: 11_000, CacheReadInputTokens: 10_000, CacheWrite5mInputTokens: 1000}, 10_000)
	require.EqualValues(t, 1000*750, perfect.amount(), "no more than the premium for what was never read")
}

// A rule that shows in a request and in its response counts once, at its dearest.
func TestNoteCountsCalls(t *testing.T) {
	g := group{findings: make(map[cache.Rule]*found)}
	for _, nanoUSD := range []int64{5, 7} {
		g.calls++
		g.note([]cache.Finding{{Rule: "below-minimum", NanoUSD: nanoUSD}})
		g.note([]cache.Finding{{Rule: "below-minimum", NanoUSD: 6}})
	}
	f := g.findings["below-minimum"]
	require.Equal(t, 2, f.times)
	require.EqualValues(t, 6+7, f.nanoUSD)
}

func FuzzReadLog(f *testing.F) {
	for _, text := range generate() {
		line, _, _ := strings.Cut(text, "\n")
		f.Add([]byte(line[:min(len(line), 4000)]))
	}
	f.Add([]byte(`{"schemaType":"ModelInvocationLog","timestamp":"2026-11-20T09:00:00Z","modelId":"anthropic.claude-sonnet-5","input":{"inputTokenCount":5,"inputBodyJson":{"messages":[{"role":"user","content":"x"}],"anthropic_version":"1"}},"output":{"outputBodyJson":[],"outputTokenCount":1}}`))
	f.Add([]byte(`{"message":"{\"schemaType\":\"ModelInvocationLog\",\"modelId\":\"m\",\"requestMetadata\":{\"workflow\":7},\"errorCode\":\"x\"}"}`))
	f.Fuzz(func(t *testing.T, log []byte) {
		a := newAudit("workflow", nil)
		a.read(bytes.NewReader(log))
		calls := 0
		for _, g := range a.groups {
			calls += g.calls
			require.True(t, g.spent >= 0 && g.saving.amount() >= 0 && g.usage.Validate() == nil)
		}
		require.Equal(t, a.records, calls)
		require.NoError(t, a.report(io.Discard, Options{Top: 5, Width: 80}))
	})
}

// What is no log of Bedrock's is an error, and no report of nothing.
func TestAFileWithoutARecordIsAnError(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(path), 0o755))
		require.NoError(t, os.WriteFile(path, []byte(text), 0o644))
		return path
	}
	good, _, _ := strings.Cut(generate()[folder+"09/20261120T090000000Z_1f.json.gz"], "\n")
	audit := func(paths ...string) (string, error) {
		var out bytes.Buffer
		_, err := Run(nil, &out, io.Discard, paths, Options{By: "workflow", Top: 5, Width: 80})
		return out.String(), err
	}
	for name, text := range map[string]string{"empty.json": "", "other.json": `{"a":1}`, "text.log": "hello\n", "list.json": "[]"} {
		out, err := audit(write(name, text))
		require.ErrorIs(t, err, errNoRecord, name)
		require.ErrorContains(t, err, name)
		require.Empty(t, out, name)
	}
	out, err := audit(write("good.json", good), write("other.json", `{"a":1}`))
	require.ErrorIs(t, err, errNoRecord)
	require.Contains(t, out, "nightly-refactor", "what was read is told all the same")
	_, err = audit(filepath.Dir(write("none/a.json", `{"a":1}`)))
	require.ErrorIs(t, err, errNoRecord)
	out, err = audit(filepath.Dir(write("some/a.json", `{"a":1}`)), filepath.Dir(write("some/b.json", good)))
	require.NoError(t, err)
	require.Contains(t, out, "files hold no record")
}

// A list of events as the AWS CLI prints it, larger than what is held at once, is read one event after the other.
func TestAListOfEventsMayBeOfAnySize(t *testing.T) {
	line, _, _ := strings.Cut(generate()[folder+"09/20261120T090000000Z_1f.json.gz"], "\n")
	quoted, err := json.Marshal(line)
	require.NoError(t, err)
	var list strings.Builder
	list.WriteString("{\n    \"searchedLogStreams\": [],\n    \"events\": [\n")
	n := 0
	for ; list.Len() < 3<<20; n++ {
		if n > 0 {
			list.WriteString(",\n")
		}
		list.WriteString("        {\n            \"message\": " + string(quoted) + "\n        }")
	}
	list.WriteString("\n    ],\n    \"nextToken\": \"abc\"\n}\n")
	records := 0
	s := splitter{limit: 1 << 20, found: func(object []byte) bool { return parseObject(object, func(*record) { records++ }) }}
	_, err = eachLine(strings.NewReader(list.String()), 1<<20, s.line)
	require.NoError(t, err)
	s.end()
	require.Equal(t, [3]int{n, 0, 0}, [3]int{records, s.bad, s.tooLong})
}

// A record in so many envelopes that they are not all opened is told as unread, and not left out in silence.
func TestTooManyEnvelopesAreNotRead(t *testing.T) {
	object := `{"schemaType":"ModelInvocationLog","timestamp":"2026-11-01T00:00:00Z","modelId":"m","input":{},"output":{}}`
	for depth := range 7 {
		records := 0
		read := parseObject([]byte(object), func(*record) { records++ })
		require.Equal(t, depth <= maxEnvelopes, read, "%d envelopes", depth)
		require.Equal(t, read, records == 1)
		quoted, err := json.Marshal(object)
		require.NoError(t, err)
		object = `{"message":` + string(quoted) + `}`
	}
}
