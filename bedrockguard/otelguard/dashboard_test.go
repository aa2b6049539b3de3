package otelguard_test

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/otelguard"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

const dashboardFile = "../../deploy/grafana/bedrockguard.json"

// dashboard is what is read of a Grafana dashboard.
type dashboard struct {
	Templating struct {
		List []struct{ Name, Type, Definition string }
	}
	Panels []struct {
		Type, Title string
		Targets     []struct{ Expr string }
	}
}

func readDashboard(t *testing.T) (d dashboard) {
	t.Helper()
	raw, err := os.ReadFile(dashboardFile)
	require.NoError(t, err)
	require.NoError(t, json.Unmarshal(raw, &d))
	return d
}

// queries are those of all panels, by their titles.
func (d *dashboard) queries() map[string]string {
	all := make(map[string]string)
	for _, p := range d.Panels {
		for i, target := range p.Targets {
			all[fmt.Sprintf("%s/%d", p.Title, i)] = target.Expr
		}
	}
	return all
}

// everything stands for variables: all values, and spans that the example is long enough for.
var everything = strings.NewReplacer("$__rate_interval", "10s", "$__range", "1m", "$workflow", ".*", "$principal", ".*", "$limit", ".*")

// alerts are the expressions of the document's alerts, without what they compare with.
func alerts(t *testing.T) (all []string) {
	t.Helper()
	page, err := os.ReadFile("../../docs/metrics.md")
	require.NoError(t, err)
	for _, m := range regexp.MustCompile(`(?m)^  expr: (.*) > [0-9.]+$`).FindAllSubmatch(page, -1) {
		all = append(all, string(m[1]))
	}
	require.Len(t, all, 3)
	return all
}

// startExample runs the example, and returns where it serves.
func startExample(t *testing.T) (target string) {
	t.Helper()
	program := filepath.Join(t.TempDir(), "example")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", program, "./prometheus")
	build.Dir = "../../examples"
	out, err := build.CombinedOutput()
	require.NoError(t, err, string(out))
	example := exec.Command(program, "-listen", "127.0.0.1:0", "-for", "5m")
	example.Stderr = os.Stderr
	stdout, err := example.StdoutPipe()
	require.NoError(t, err)
	require.NoError(t, example.Start())
	said := bufio.NewReader(stdout)
	t.Cleanup(func() {
		require.NoError(t, example.Process.Signal(syscall.SIGINT))
		rest, err := io.ReadAll(said)
		require.NoError(t, err)
		require.NoError(t, example.Wait())
		t.Logf("%s", rest)
	})
	line, err := said.ReadString('\n')
	require.NoError(t, err)
	at := regexp.MustCompile(`http://([0-9.:]+)/metrics`).FindStringSubmatch(line)
	require.NotNil(t, at, line)
	return at[1]
}

// prometheus asks a server over its HTTP API.
type prometheus struct {
	url    string
	client *http.Client
}

// get returns the data of an answer.
func (p *prometheus) get(t require.TestingT, path string, query url.Values, data any) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, p.url+path+"?"+query.Encode(), http.NoBody)
	require.NoError(t, err)
	resp, err := p.client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	require.Equal(t, http.StatusOK, resp.StatusCode, "%s: %s", query, body)
	answer := struct{ Data any }{data}
	require.NoError(t, json.Unmarshal(body, &answer))
}

// numbers are what a query gives now, without what is no number.
func (p *prometheus) numbers(t require.TestingT, query string) (numbers []float64) {
	var data struct {
		Result []struct{ Value [2]any }
	}
	p.get(t, "/api/v1/query", url.Values{"query": {query}}, &data)
	for _, r := range data.Result {
		text, _ := r.Value[1].(string)
		n, err := strconv.ParseFloat(text, 64)
		require.NoError(t, err)
		if !math.IsNaN(n) && !math.IsInf(n, 0) {
			numbers = append(numbers, n)
		}
	}
	return numbers
}

// Whoever imports the dashboard sees figures in each panel: every query gives data in a real Prometheus that reads the example.
func TestEveryQueryOfTheDashboardGivesData(t *testing.T) {
	d := readDashboard(t)
	queries := d.queries()
	require.Greater(t, len(queries), 20)
	dir := t.TempDir()
	started, err := servers.StartPrometheus(dir, "127.0.0.1:1")
	servers.Require(t, err) // before anything is built
	require.NoError(t, started.Stop())

	server, err := servers.StartPrometheus(t.TempDir(), startExample(t))
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, server.Stop()) })
	p := &prometheus{server.URL, &http.Client{Transport: new(http.Transport)}}
	t.Cleanup(p.client.CloseIdleConnections)
	for title, query := range queries {
		query = everything.Replace(query)
		require.NotContains(t, query, "$", "a variable that is not known here")
		require.Eventually(t, func() bool { return len(p.numbers(t, query)) > 0 }, 90*time.Second, 200*time.Millisecond, "%s: no data for %s", title, query)
	}
	for _, v := range d.Templating.List {
		if v.Type != "query" {
			continue
		}
		parts := regexp.MustCompile(`^label_values\((\w+), (\w+)\)$`).FindStringSubmatch(v.Definition)
		require.NotNil(t, parts, v.Definition)
		var values []string
		p.get(t, "/api/v1/label/"+parts[2]+"/values", url.Values{"match[]": {parts[1]}}, &values)
		require.NotEmpty(t, values, "%s: %s", v.Name, v.Definition)
	}
	for _, alert := range alerts(t) {
		require.Eventually(t, func() bool { return len(p.numbers(t, alert)) > 0 }, 90*time.Second, 200*time.Millisecond, "no data for %s", alert)
	}
	t.Logf("%d queries, %d panels", len(queries), len(d.Panels))
	require.Empty(t, p.numbers(t, `no_such_metric`), "a check that finds data everywhere checks nothing")
}

// A dashboard asks for metrics that exist, and leaves none out.
func TestDashboardShowsEveryMetric(t *testing.T) {
	d := readDashboard(t)
	asked := make(map[string]bool)
	for title, query := range d.queries() {
		found := regexp.MustCompile(`(?:bedrockguard|gen_ai_client)_\w+(?:\{|\[|\)| )`).FindAllString(query, -1)
		require.NotEmpty(t, found, title)
		for _, name := range found {
			asked[strings.TrimRight(name, "{[) ")] = true
		}
	}
	for _, m := range otelguard.Descriptions() {
		name := strings.ReplaceAll(m.Name, ".", "_")
		switch {
		case m.Kind == "counter":
			name += "_total"
		case m.Unit == "s":
			name += "_seconds_count"
		case m.Kind == "histogram":
			name += "_count"
		}
		require.True(t, asked[name], "no panel shows %s", name)
	}
}
