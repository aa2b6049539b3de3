package main

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/internal/servers"
)

// What is told, stopped and reported is the same over each store: the scripts in testdata/stores run on all of them.
func TestCommandsOverEachStore(t *testing.T) {
	for name, start := range map[string]func(t *testing.T) (at func() string){
		"sqlite": func(t *testing.T) func() string {
			dir := t.TempDir()
			return func() string { return fmt.Sprintf("sqlite:%s/%d.db", dir, ledgers.Add(1)) }
		},
		"redis": startRedis, "postgres": startPostgres, "dynamodb": startDynamoDB,
	} {
		t.Run(name, func(t *testing.T) {
			at := start(t)
			testscript.Run(t, testscript.Params{
				Dir: "testdata/stores", Cmds: scriptCommands, RequireUniqueNames: true,
				Setup: func(env *testscript.Env) error {
					env.Setenv("BEDROCKGUARD_STORE", at())
					env.Setenv("BEDROCKGUARD_OPERATOR", "ada")
					env.Setenv("GORACE", os.Getenv("GORACE"))
					env.Setenv("AWS_ACCESS_KEY_ID", "test")
					env.Setenv("AWS_SECRET_ACCESS_KEY", "test")
					return nil
				},
			})
		})
	}
}

// A server that may forget what it acknowledges is refused, and the parameter that vouches for it is named; doctor says so, too.
func TestAServerThatForgetsIsRefused(t *testing.T) {
	server, err := servers.StartRedis(serverDir(t), "appendonly no")
	servers.Require(t, err)
	stops = append([]func() error{server.Stop}, stops...)
	at := fmt.Sprintf("redis://%s/0", server.Addr)
	code, _, errOut := command(t, "--store", at, "init")
	require.Equal(t, exit.CodeFailure, code)
	require.Contains(t, errOut, "appendonly is off")
	require.Contains(t, errOut, "allow-no-append-only=true")
	code, out, _ := command(t, "--store", at, "doctor", "--no-aws")
	require.Equal(t, exit.CodeFound, code)
	require.Contains(t, out, "appendonly is off")
	code, _, errOut = command(t, "--store", at+"?allow-no-append-only=true", "init")
	require.Zero(t, code, errOut)
	code, out, errOut = command(t, "--store", at+"?allow-no-append-only=true", "kills")
	require.Zero(t, code, errOut)
	require.Contains(t, out, "Nothing is killed.")
}

// ledgers counts ledgers, so that each script has one of its own.
var ledgers atomic.Int64

// stops ends the servers that were started. They live until all tests have ended.
var stops []func() error

func stopServers() {
	for _, stop := range stops {
		if err := stop(); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
	}
}

// serverDir returns a folder that a server run by another user can reach.
func serverDir(t *testing.T) string {
	dir, err := os.MkdirTemp("", "bedrockguard")
	require.NoError(t, err)
	stops = append(stops, func() error { return os.RemoveAll(dir) })
	return dir
}

func startRedis(t *testing.T) func() string {
	dir := serverDir(t)
	server, err := servers.StartRedis(dir, "appendonly yes")
	servers.Require(t, err)
	stops = append([]func() error{server.Stop}, stops...)
	return func() string { return fmt.Sprintf("redis://%s/0?ledger=%d", server.Addr, ledgers.Add(1)) }
}

func startPostgres(t *testing.T) func() string {
	server, err := servers.StartPostgres(serverDir(t))
	servers.Require(t, err)
	stops = append([]func() error{server.Stop}, stops...)
	return func() string {
		return fmt.Sprintf("postgres://postgres@%s/postgres?sslmode=disable&schema=ledger_%d", server.Addr(), ledgers.Add(1))
	}
}

func startDynamoDB(t *testing.T) func() string {
	server, err := servers.StartDynamoDB(filepath.Clean(serverDir(t)))
	servers.Require(t, err)
	stops = append([]func() error{server.Stop}, stops...)
	return func() string {
		return fmt.Sprintf("dynamodb://ledger-%d?region=us-east-1&endpoint=%s", ledgers.Add(1), server.Endpoint())
	}
}
