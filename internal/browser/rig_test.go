package browser

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/cdproto/page"
	cdpruntime "github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/statuspage"
	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/memstore"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const (
	secret = "correct horse battery staple"
	model  = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
	// aLongTime is the deadline of a test: far more than a browser needs on a machine that does much else.
	aLongTime = 2 * time.Minute
)

// chromium returns the browser's program, or skips the test where there is none. In CI that fails.
func chromium(t *testing.T) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-headless-shell", "google-chrome"} {
		if program, err := exec.LookPath(name); err == nil {
			return program
		}
	}
	const what = "no Chromium is installed: .ci/install-browser does that"
	if os.Getenv("CI") == "true" {
		t.Fatal(what)
	}
	t.Skip(what)
	return ""
}

// axe returns the source of axe-core.
func axe(t *testing.T) string {
	t.Helper()
	cache, err := os.UserCacheDir()
	require.NoError(t, err)
	source, err := os.ReadFile(filepath.Join(cache, "bedrockguard", "browser", "node_modules", "axe-core", "axe.min.js"))
	if err != nil && os.Getenv("CI") != "true" {
		t.Skip("axe-core is not installed: .ci/install-browser does that")
	}
	require.NoError(t, err, ".ci/install-browser installs axe-core")
	return string(source)
}

// viewer is somebody who looks at pages with a browser of their own. What the browser asked for and complained of is kept.
type viewer struct {
	ctx context.Context

	mu       sync.Mutex
	asked    []string // addresses of requests
	problems []string // dialogs, exceptions, and what the browser logged as an error
}

// look opens a browser.
func look(t *testing.T, options ...chromedp.ExecAllocatorOption) *viewer {
	t.Helper()
	options = append(append(slices.Clone(chromedp.DefaultExecAllocatorOptions[:]), chromedp.ExecPath(chromium(t)), chromedp.NoSandbox), options...)
	base, stop := context.WithTimeout(context.Background(), aLongTime)
	allocator, free := chromedp.NewExecAllocator(base, options...)
	ctx, end := chromedp.NewContext(allocator)
	t.Cleanup(func() { // the browser is asked to leave, and waited for, before the contexts around it end
		_ = chromedp.Cancel(ctx)
		end()
		free()
		stop()
	})
	v := &viewer{ctx: ctx}
	require.NoError(t, chromedp.Listen(ctx, v.hear))
	call(t, v, network.Enable, network.EnableParams{})
	call(t, v, log.Enable, cdp.Empty{})
	return v
}

func (v *viewer) hear(e any) {
	v.mu.Lock()
	defer v.mu.Unlock()
	switch e := e.(type) {
	case *network.EventRequestWillBeSent:
		v.asked = append(v.asked, e.Request.URL)
	case *page.EventJavascriptDialogOpening:
		v.problems = append(v.problems, "a dialog: "+e.Message)
	case *cdpruntime.EventExceptionThrown:
		v.problems = append(v.problems, e.ExceptionDetails.Text)
	case *log.EventEntryAdded:
		if e.Entry.Level == log.EntryLevelError {
			v.problems = append(v.problems, e.Entry.Text+" "+e.Entry.URL)
		}
	}
}

// heard returns the addresses that the browser asked for and its complaints, so far.
func (v *viewer) heard() (asked, problems []string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return slices.Clone(v.asked), slices.Clone(v.problems)
}

// requireQuiet requires that the browser asked nobody but a site, and complained of nothing.
func (v *viewer) requireQuiet(t *testing.T, site string) {
	t.Helper()
	asked, problems := v.heard()
	require.NotEmpty(t, asked)
	for _, address := range asked {
		require.True(t, strings.HasPrefix(address, site+"/"), "the page asked for %s", address)
	}
	require.Empty(t, problems)
}

// call sends a command of the browser's protocol.
func call[P, R any](t *testing.T, v *viewer, c cdp.Command[P, R], params P) {
	t.Helper()
	require.NoError(t, chromedp.Do(v.ctx, chromedp.Func(func(ctx context.Context, target *chromedp.Target) error {
		_, err := cdp.Call(ctx, target, c, params)
		return err
	})))
}

// do runs actions, all of which have to succeed.
func (v *viewer) do(t *testing.T, actions ...chromedp.Action[chromedp.Void]) {
	t.Helper()
	require.NoError(t, chromedp.Do(v.ctx, actions...))
}

// get runs an action and returns its value.
func get[T any](t *testing.T, v *viewer, action chromedp.Action[T]) T {
	t.Helper()
	value, err := chromedp.Run(v.ctx, action)
	require.NoError(t, err)
	return value
}

// open goes to an address and waits for the page.
func (v *viewer) open(t *testing.T, address string) {
	t.Helper()
	v.do(t, chromedp.Navigate(address), chromedp.WaitReady(chromedp.CSS("main")))
}

// text returns the text of the first element that a selector names.
func (v *viewer) text(t *testing.T, selector string) string {
	t.Helper()
	return get(t, v, chromedp.Text(chromedp.CSS(selector)))
}

// login logs the viewer in at a site.
func (v *viewer) login(t *testing.T, site, name string) {
	t.Helper()
	v.do(t, chromedp.Navigate(site+"/login"), chromedp.SendKeys(chromedp.CSS("#name"), name), chromedp.SendKeys(chromedp.CSS("#secret"), secret),
		chromedp.Click(chromedp.CSS("main button")), chromedp.WaitVisible(chromedp.CSS("#kill-all")))
}

// house is an agent's guard, with the ledger and the page over it.
type house struct {
	ledger  *budget.Ledger
	client  *bedrockruntime.Client
	bedrock *bedrocktest.Server
	site    string
}

var policy = budget.Policy{Limits: []budget.Limit{
	{Name: "month", Max: budget.USD(200), Window: budget.Monthly},
	{Name: "flow", Max: budget.USD(10), Window: budget.Daily, Per: budget.PerWorkflow},
}}

func newHouse(t *testing.T, o bedrocktest.Options) *house {
	t.Helper()
	ctx := context.Background()
	h := &house{}
	var err error
	h.ledger, err = budget.Open(ctx, memstore.New(memstore.Options{}), policy)
	require.NoError(t, err)
	shown, err := statuspage.New(statuspage.Options{Ledger: h.ledger, Secret: secret})
	require.NoError(t, err)
	h.bedrock = bedrocktest.New(t, o)
	guard, err := bedrockguard.New(h.ledger, bedrockguard.Options{
		Listeners:    []func(context.Context, bedrockguard.Event){shown.Listen},
		DrainTimeout: -1, // a stream that is left open would be read on
	})
	require.NoError(t, err)
	t.Cleanup(func() { require.NoError(t, guard.Close(ctx)) })
	h.client = guard.NewFromConfig(h.bedrock.Config())
	server := httptest.NewServer(shown)
	t.Cleanup(server.Close)
	h.site = server.URL
	return h
}

// input is a prompt for the simulated model.
func input() *bedrockruntime.ConverseInput {
	return &bedrockruntime.ConverseInput{
		ModelId:         aws.String(model),
		Messages:        []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: strings.Repeat("what does the rail hold? ", 400)}}}},
		InferenceConfig: &types.InferenceConfiguration{MaxTokens: aws.Int32(1000)},
	}
}

// call makes a call for a workflow.
func (h *house) call(t *testing.T, workflow string) {
	t.Helper()
	_, err := h.client.Converse(budget.WithScope(t.Context(), budget.Scope{Workflow: workflow}), input())
	require.NoError(t, err)
}

// stream starts a stream for a workflow, and returns it when its first event is there.
func (h *house) stream(t *testing.T, workflow string) *bedrockruntime.ConverseStreamEventStream {
	t.Helper()
	in := input()
	out, err := h.client.ConverseStream(budget.WithScope(t.Context(), budget.Scope{Workflow: workflow}),
		&bedrockruntime.ConverseStreamInput{ModelId: in.ModelId, Messages: in.Messages, InferenceConfig: in.InferenceConfig})
	require.NoError(t, err)
	stream := out.GetStream()
	t.Cleanup(func() { _ = stream.Close() })
	<-stream.Events()
	return stream
}

// elsewhere serves a page of another site.
func elsewhere(t *testing.T, body string) *url.URL {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = w.Write([]byte("<!DOCTYPE html><title>elsewhere</title>" + body))
	}))
	t.Cleanup(server.Close)
	address, err := url.Parse(server.URL)
	require.NoError(t, err)
	address.Host = "localhost:" + address.Port() // another site than 127.0.0.1
	return address
}
