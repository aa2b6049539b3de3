package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	awsconfig "github.com/aws/aws-sdk-go-v2/config"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime"
	"github.com/aws/aws-sdk-go-v2/service/bedrockruntime/types"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/bedrocktest"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/storeurl"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// childVariable has the test's own binary play the program that is run.
const childVariable = "TEST_CHILD"

// children are programs that are run, by name.
var children = map[string]func() error{
	"chat": func() error {
		return askUntilRefused(os.Getenv("OPENAI_BASE_URL")+"/chat/completions", "Authorization", "Bearer "+os.Getenv("OPENAI_API_KEY"))
	},
	"messages": func() error {
		return askUntilRefused(os.Getenv("ANTHROPIC_BASE_URL")+"/v1/messages", "X-Api-Key", os.Getenv("ANTHROPIC_API_KEY"))
	},
	"sdk":   askBySDK,
	"quiet": func() error { return nil },
	"fails": func() error { return fmt.Errorf("of its own accord") },
	"stranger": func() error {
		return askUntilRefused(os.Getenv("OPENAI_BASE_URL")+"/chat/completions", "Authorization", "Bearer bg-guessed")
	},
	"environment": func() error { return json.NewEncoder(os.Stdout).Encode(os.Environ()) },
	"credentials": func() error {
		config, err := awsconfig.LoadDefaultConfig(context.Background())
		if err != nil {
			return err
		}
		found, err := config.Credentials.Retrieve(context.Background())
		fmt.Println(found.AccessKeyID, found.SecretAccessKey, found.SessionToken, found.Source)
		return err
	},
}

// askBySDK asks once, by the SDK and whatever credentials it finds.
func askBySDK() error {
	config, err := awsconfig.LoadDefaultConfig(context.Background())
	if err != nil {
		return err
	}
	_, err = bedrockruntime.NewFromConfig(config).Converse(context.Background(), &bedrockruntime.ConverseInput{
		ModelId:  aws.String("us.anthropic.claude-sonnet-4-6"),
		Messages: []types.Message{{Role: types.ConversationRoleUser, Content: []types.ContentBlock{&types.ContentBlockMemberText{Value: "hello"}}}},
	})
	return err
}

// playChild ends the process as the program that it is to play, if it is to.
func playChild() {
	child := os.Getenv(childVariable)
	if child == "" {
		return
	}
	if err := children[child](); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(7)
	}
	os.Exit(0)
}

// askUntilRefused asks a model again and again, and fails as the last answer does.
func askUntilRefused(url, header, value string) error {
	body := `{"model":"openai.gpt-oss-120b-1:0","max_tokens":2000,"messages":[{"role":"user","content":"hello"}]}`
	if strings.Contains(url, "/anthropic/") {
		body = strings.Replace(body, "openai.gpt-oss-120b-1:0", "us.anthropic.claude-sonnet-4-6", 1)
	}
	for range 200 {
		req, err := http.NewRequest(http.MethodPost, url, strings.NewReader(body))
		if err != nil {
			return err
		}
		req.Header.Set(header, value)
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return err
		}
		var answer bytes.Buffer
		_, err = answer.ReadFrom(resp.Body)
		resp.Body.Close()
		if err != nil {
			return err
		}
		if resp.StatusCode != http.StatusOK {
			return fmt.Errorf("%s: %s", resp.Status, answer.String())
		}
	}
	return nil
}

// runs runs the command in this process, with the test's binary as the program.
func runs(t *testing.T, child string, server *bedrocktest.Server, flags ...string) (code int, out, errOut string) {
	t.Helper()
	t.Setenv(childVariable, child)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAREAL")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "real-secret")
	t.Setenv("AWS_SESSION_TOKEN", "real-token")
	self, err := os.Executable()
	require.NoError(t, err)
	var stdout, stderr bytes.Buffer
	args := append([]string{"bedrockguard", "run", "--region", "us-east-1", "--upstream", server.URL()}, flags...)
	code = run(t.Context(), append(args, "--", self), strings.NewReader(""), &stdout, &stderr)
	return code, stdout.String(), stderr.String()
}

func replies(tokens int) bedrocktest.Options {
	return bedrocktest.Options{Reply: func(bedrocktest.Request) bedrocktest.Reply { return bedrocktest.Reply{OutputTokens: tokens} }}
}

func TestRunStopsAProgramAtItsLimit(t *testing.T) {
	for _, child := range []string{"chat", "messages"} {
		t.Run(child, func(t *testing.T) {
			server := bedrocktest.New(t, replies(1000))
			code, _, text := runs(t, child, server, "--max", "0.05USD")
			require.Equal(t, exit.CodeStopped, code, text)
			require.Contains(t, text, "402 Payment Required")
			require.Contains(t, text, "of 0.05 USD")
			require.LessOrEqual(t, server.Bill().NanoUSD, int64(50_000_000))
			require.Greater(t, server.Bill().NanoUSD, int64(47_500_000), "a limit that can't be used up is of no use")
		})
	}
}

// A program that asks the same for ever is stopped long before its money is.
func TestRunBrakesAProgramThatRunsInCircles(t *testing.T) {
	server := bedrocktest.New(t, replies(10))
	code, _, errOut := runs(t, "chat", server, "--max", "5USD", "--brake-identical", "6")
	require.Equal(t, exit.CodeStopped, code, errOut)
	require.Contains(t, errOut, "7 identical requests in a row, at most 6")
	require.Equal(t, 6, server.Bill().Inferences)
}

func TestRunTellsTheProgramsOwnExitCode(t *testing.T) {
	server := bedrocktest.New(t, bedrocktest.Options{})
	code, _, text := runs(t, "fails", server, "--max", "1 USD")
	require.Equal(t, 7, code)
	require.Contains(t, text, "no call came through")
	code, _, _ = runs(t, "quiet", server, "--max", "3 calls", "--per", "daily")
	require.Zero(t, code)
	require.Zero(t, server.Requests())
}

// The endpoint serves nobody but the program: others on the machine could spend its budget.
func TestRunServesNobodyElse(t *testing.T) {
	server := bedrocktest.New(t, bedrocktest.Options{})
	code, _, text := runs(t, "stranger", server, "--max", "1 USD")
	require.Equal(t, 7, code)
	require.Contains(t, text, "401")
	require.Zero(t, server.Requests())
}

// A program that looks for credentials wherever the SDKs look finds those that are worth nothing.
func TestRunHidesTheCredentialsThatThereAre(t *testing.T) {
	home := t.TempDir()
	require.NoError(t, os.MkdirAll(filepath.Join(home, ".aws"), 0o700))
	require.NoError(t, os.WriteFile(filepath.Join(home, ".aws", "credentials"), []byte("[default]\naws_access_key_id = AKIAFILE\naws_secret_access_key = file-secret\n[other]\naws_access_key_id = AKIAOTHER\naws_secret_access_key = other-secret\n"), 0o600))
	t.Setenv("HOME", home)
	t.Setenv("AWS_PROFILE", "other")
	t.Setenv("AWS_SHARED_CREDENTIALS_FILE", filepath.Join(home, ".aws", "credentials"))
	t.Setenv("AWS_CONTAINER_CREDENTIALS_FULL_URI", "http://127.0.0.1:1/")
	t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", "/nowhere")
	t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::123456789012:role/x")
	server := bedrocktest.New(t, bedrocktest.Options{})
	code, out, text := runs(t, "credentials", server, "--max", "1 USD")
	require.Zero(t, code, text)
	require.True(t, strings.HasPrefix(out, "BGRUN"), out)
	code, out, _ = runs(t, "environment", server, "--max", "1 USD")
	require.Zero(t, code)
	var environ []string
	require.NoError(t, json.Unmarshal([]byte(out), &environ))
	for _, secret := range []string{"AKIAREAL", "real-secret", "real-token", "AKIAFILE", "AKIAOTHER", "/nowhere"} {
		require.NotContains(t, out, secret)
	}
	require.True(t, slices.ContainsFunc(environ, func(e string) bool { return strings.HasPrefix(e, "AWS_ENDPOINT_URL_BEDROCK_RUNTIME=http://127.0.0.1:") }))
	_, out, text = runs(t, "credentials", server, "--max", "1 USD", "--keep-aws")
	require.Contains(t, out, "AKIAREAL")
	require.Contains(t, text, "can go round the limit")
	code, _, text = runs(t, "sdk", server, "--max", "1 USD", "--keep-aws")
	require.Zero(t, code, text)
	require.Equal(t, 1, server.Bill().Inferences, "a program that keeps its credentials is capped all the same, as long as it asks here")
}

func TestRunRefusesACommandLineThatMakesNoSense(t *testing.T) {
	server := bedrocktest.New(t, bedrocktest.Options{})
	for _, flags := range [][]string{{"--max", "5 euros"}, {"--max", "5USD", "--per", "weekly-ish"}, {}, {"--max", "5USD", "--upstream", "ftp://x"}} {
		code, _, text := runs(t, "quiet", server, flags...)
		require.Equal(t, exit.CodeUsage, code, text)
	}
	var errOut bytes.Buffer
	require.Equal(t, exit.CodeUsage, run(t.Context(), []string{"bedrockguard", "run", "--max", "5USD"}, strings.NewReader(""), &errOut, &errOut))
	require.Equal(t, exit.CodeUsage, run(t.Context(), []string{"bedrockguard", "run", "--max", "5USD", "--region", "us-east-1", "--", "/no/such/program"}, strings.NewReader(""), &errOut, &errOut), errOut.String())
}

// The limit of a run stands beside the policy that the store holds, which is meant for all processes: the lower one stops the program, and a
// change of the policy reaches a run that is under way.
func TestRunHeedsThePolicyOfTheStore(t *testing.T) {
	address := "sqlite:" + filepath.Join(t.TempDir(), "spend.db")
	store, closeStore, err := storeurl.Open(t.Context(), address, true)
	require.NoError(t, err)
	defer func() { require.NoError(t, closeStore()) }()
	operator, err := budget.Operate(t.Context(), store)
	require.NoError(t, err)
	push := func(text string) {
		d, err := operator.PolicyDocument(t.Context())
		require.NoError(t, err)
		require.NoError(t, operator.SetPolicyDocument(t.Context(), []byte(text), d.Version, ""))
	}
	push("limits: [{name: workflow-day, max: 0.10 USD, window: daily, per: [workflow]}]")
	for flag, want := range map[string]string{"0.05USD": `limit "run" exceeded`, "5USD": `limit "workflow-day" exceeded`} {
		server := bedrocktest.New(t, replies(1000))
		code, _, text := runs(t, "chat", server, "--store", address, "--max", flag, "--per", "daily", "--workflow", "of "+flag)
		require.Equal(t, exit.CodeStopped, code, text)
		require.Contains(t, text, want)
	}

	push("limits: [{name: workflow-day, max: 50 USD, window: daily, per: [workflow]}]")
	options := replies(1000)
	answer := options.Reply
	options.Reply = func(r bedrocktest.Request) bedrocktest.Reply {
		if r.Seq == 3 {
			push("limits: [{name: workflow-day, max: 0 USD, window: daily, per: [workflow]}]")
		}
		return answer(r)
	}
	options.FirstByteDelay = 50 * time.Millisecond // the program asks 200 times, for ten seconds in all
	code, _, text := runs(t, "chat", bedrocktest.New(t, options), "--store", address, "--max", "500USD", "--workflow", "changed")
	require.Equal(t, exit.CodeStopped, code, text)
	require.Contains(t, text, `limit "workflow-day" exceeded`)
	require.Contains(t, text, "of 0 USD left")
}
