package bedrockguardgo

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/bedrockguard/bedrockguard-go/"

// room is one row of the table of import directions. It holds for a folder and for the folders below that have no row of their own.
type room struct {
	folder string
	own    []string // folders of the repository that it may import; "budget/..." is budget and all below
	others []string // what it may import of others, by prefix; none is the standard library alone
	why    string
}

const (
	awsSDK   = "github.com/aws/"
	anything = ""
)

var domain = []string{"budget", "budget/driver", "budget/price"}

// Arrows run one way: examples, commands -> bedrockguard -> {budget, cache, internal}; budget -> budget/driver <- stores. Rows of folders
// that are planned bind nobody until the folder is there.
var rooms = []room{
	{".", nil, nil, "the map of the house holds no code"},

	{"budget", []string{"budget/driver", "budget/price", "budget/internal/glob", "budget/internal/key", "budget/internal/quote"}, []string{"go.yaml.in/yaml/"}, "the domain knows no AWS, no HTTP and no cache; policy files are YAML"},
	{"budget/driver", []string{"budget/price", "budget/internal/glob", "budget/internal/key", "budget/internal/quote", "internal/checked"}, nil, "what a ledger asks of a store knows neither"},
	{"budget/price", []string{"internal/checked"}, nil, "prices are known to budget and cache and know nobody"},
	{"budget/internal/glob", nil, nil, "patterns"},
	{"budget/internal/key", nil, nil, "hashes of texts"},
	{"budget/internal/quote", nil, nil, "texts in messages"},
	{"budget/lease", []string{"budget/driver", "budget/price", "budget/internal/key", "internal/checked"}, nil, "leases stand in front of any store and know none"},
	{"budget/reconcile", domain, nil, "pure"},
	{"budget/verify", domain, nil, "a ledger is proved by its own entries"},
	{"budget/internal/account", []string{"budget/driver", "budget/price"}, nil, "what stores share is the domain's"},
	{"budget/internal/earlier", []string{"budget/driver", "budget/storetest"}, []string{"github.com/stretchr/testify"}, "ledgers of earlier versions, for tests"},
	{"budget/storetest", slices.Concat(domain, []string{"budget/storetest/internal/walk"}), []string{"github.com/stretchr/testify"}, "the suite is its own oracle"},
	{"budget/storetest/internal/walk", []string{"budget/driver"}, []string{"github.com/stretchr/testify"}, "random steps and a model; it knows no rule of the suite"},
	{"budget/memstore", storeMayImport, nil, "stores know what a ledger asks of them, and not the ledger"},
	{"budget/sqlitestore", storeMayImport, []string{"modernc.org/sqlite"}, "stores know what a ledger asks of them, and not the ledger"},
	{"budget/redisstore", storeMayImport, []string{"github.com/redis/go-redis"}, "stores know what a ledger asks of them, and not the ledger"},
	{"budget/pgstore", storeMayImport, []string{"github.com/jackc/pgx"}, "stores know what a ledger asks of them, and not the ledger"},
	{"budget/dynamostore", storeMayImport, []string{awsSDK, "golang.org/x/sync/semaphore"}, "stores know what a ledger asks of them, and not the ledger"},

	{"cache", []string{"cache/prompt", "cache/internal/estimate", "cache/internal/hash", "cache/internal/odds"}, nil, "cache is pure, and does not know the domain"},
	{"cache/prompt", []string{"cache/internal/hash", "internal/jsonscan", "internal/request", "internal/request/jsonbody"}, nil, "the form of a request; what its cache points are good for is for cache to judge"},
	{"cache/internal/estimate", []string{"cache/prompt"}, nil, "sizes in, tokens out"},
	{"cache/internal/hash", nil, nil, "hashes of texts"},
	{"cache/internal/odds", nil, nil, "outcomes in, a prediction out"},

	{"bedrockguard", []string{"bedrockguard/event", "bedrockguard/refusal", guardRooms + "brakes", guardRooms + "cachepoints", guardRooms + "chain", guardRooms + "httpdoor", guardRooms + "pricing", guardRooms + "ratelimit", guardRooms + "sdkdoor", "budget", "budget/price", "cache", "internal/catalog", "internal/request"}, []string{awsSDK + "aws-sdk-go-v2/"}, "what users see of the guard; it knows no store and none of its own tools"},
	{"bedrockguard/event", []string{"budget", "budget/price", "cache"}, nil, "what is told of calls knows nothing of how they are handled"},
	{"bedrockguard/refusal", []string{"budget"}, nil, "errors know nothing of who returns them"},
	{guardRooms + "brakes", []string{"bedrockguard/refusal", "budget"}, nil, "counts requests, and knows no call"},
	{guardRooms + "cachepoints", []string{guardRooms + "inputs", "cache", "cache/prompt", "internal/catalog", "internal/request/converse"}, []string{awsSDK}, "reads and edits requests, and knows no call"},
	{guardRooms + "chain", []string{
		"bedrockguard/event", "bedrockguard/refusal", guardRooms + "brakes", guardRooms + "cachepoints", guardRooms + "drain", guardRooms + "identity", guardRooms + "inputs", guardRooms + "listeners",
		guardRooms + "pricing", guardRooms + "ratelimit", guardRooms + "stepctx", guardRooms + "watch", "budget", "budget/driver", "budget/price", "cache", "cache/prompt",
		"internal/catalog", "internal/request", "internal/request/converse", "internal/request/cost", "internal/tokens", "internal/wire",
	}, []string{awsSDK}, "the chain knows no door and no store"},
	{guardRooms + "drain", nil, nil, "the standard library alone"},
	{guardRooms + "httpdoor", []string{"bedrockguard/refusal", guardRooms + "chain", guardRooms + "inputs", "budget", "budget/driver", "cache", "internal/catalog", "internal/request", "internal/request/cost"}, []string{awsSDK}, "doors know the chain, and not each other"},
	{guardRooms + "identity", []string{"bedrockguard/refusal"}, nil, "asks for a name, and knows no call"},
	{guardRooms + "inputs", []string{"internal/request/converse", "internal/request/cost"}, []string{awsSDK}, "requests of both doors; it knows no price"},
	{guardRooms + "listeners", []string{"bedrockguard/event"}, []string{awsSDK}, "delivers events, and knows no call"},
	{guardRooms + "pricing", []string{"budget", "budget/price", "internal/catalog", "internal/request", "internal/request/converse", "internal/request/cost", "internal/tokens", "internal/wire"}, []string{awsSDK}, "what a call can cost; it knows no ledger and no door"},
	{guardRooms + "ratelimit", []string{"bedrockguard/refusal", "budget", "budget/price"}, []string{"golang.org/x/time"}, "token buckets know no call"},
	{guardRooms + "sdkdoor", []string{"bedrockguard/refusal", guardRooms + "chain", guardRooms + "inputs", "internal/catalog"}, []string{awsSDK}, "doors know the chain, and not each other"},
	{guardRooms + "stepctx", nil, nil, "the standard library alone"},
	{guardRooms + "watch", []string{"budget"}, nil, "asks a ledger for kills, and knows no call"},
	{"bedrockguard/proxy", []string{"bedrockguard", "bedrockguard/proxy/...", "budget", "budget/price", "cache", "internal/..."}, nil, "the standard library and this module alone"},
	{"bedrockguard/proxy/sigv4", nil, nil, "the standard library alone"},
	{"bedrockguard/proxy/keys", nil, nil, "the standard library alone"},
	{"bedrockguard/statuspage", []string{"bedrockguard", "budget", "budget/driver", "budget/price", "cache"}, nil, "the standard library and this module alone"},
	{"bedrockguard/notify", []string{"bedrockguard", "budget", "cache"}, nil, "the standard library and this module alone"},
	{"bedrockguard/bedrocktest", []string{simulatorRooms + "..."}, []string{awsSDK}, "the simulator's bill is an oracle: it shares neither prices nor parsers with the guard"},
	{simulatorRooms + "refusal", nil, nil, "the standard library alone"},
	{simulatorRooms + "jsonnode", []string{simulatorRooms + "refusal"}, nil, "reads JSON, and knows no request"},
	{simulatorRooms + "document", nil, nil, "reads files; the standard library alone"},
	{simulatorRooms + "modeltable", []string{simulatorRooms + "document"}, nil, "what is known of models; it knows no request"},
	{simulatorRooms + "shapes", []string{simulatorRooms + "jsonnode", simulatorRooms + "refusal"}, nil, "the service model; it knows no model"},
	{simulatorRooms + "rules", []string{simulatorRooms + "jsonnode", simulatorRooms + "modeltable", simulatorRooms + "refusal"}, nil, "what models refuse; it knows no server"},
	{simulatorRooms + "dialects", []string{simulatorRooms + "document", simulatorRooms + "jsonnode", simulatorRooms + "modeltable", simulatorRooms + "refusal"}, nil, "reads requests, and answers none"},
	{simulatorRooms + "quota", []string{simulatorRooms + "refusal"}, nil, "counts requests, and knows none of them"},
	{simulatorRooms + "promptcache", []string{simulatorRooms + "dialects", simulatorRooms + "modeltable"}, nil, "what of a prompt is cached; it knows no server"},
	{simulatorRooms + "replay", []string{"bedrockguard/bedrocktest"}, []string{awsSDK}, "replays recordings against the simulator"},
	{"bedrockguard/agenttest", []string{"bedrockguard", "bedrockguard/bedrocktest", "budget", "budget/memstore", "budget/price", "cache"}, []string{awsSDK}, "what a user could write"},
	{"bedrockguard/stsidentity", nil, []string{awsSDK}, "an identity is a function"},
	{"bedrockguard/otelguard", []string{"bedrockguard", "budget", "budget/price", "cache"}, []string{"go.opentelemetry.io/"}, "a listener to events"},
	{"bedrockguard/cmd", []string{"bedrockguard/...", "budget/...", "cache", "cache/prompt"}, []string{anything}, "a command may use all that users may"},
	{commandRooms + "exit", nil, []string{"github.com/urfave/cli"}, "how a command ends is told to nobody but the command line's parser"},
	{commandRooms + "output", []string{"budget", "budget/price"}, []string{anything}, "what is printed comes from those who print"},
	{commandRooms + "awsenv", nil, []string{awsSDK}, "what the SDK finds"},
	{commandRooms + "storeurl", []string{commandRooms + "awsenv", commandRooms + "exit", "budget", "budget/..."}, []string{anything}, "opens stores, and prints nothing"},
	{commandRooms + "commandline", []string{commandRooms + "exit", commandRooms + "output", commandRooms + "storeurl", "bedrockguard", "budget", "budget/driver"}, []string{anything}, "what is common to commands knows none of them"},
	{commandRooms + "look", slices.Concat(verbsMayImport, []string{commandRooms + "cacheaudit"}), []string{anything}, "kinds of commands do not know each other"},
	{commandRooms + "steer", verbsMayImport, []string{anything}, "kinds of commands do not know each other"},
	{commandRooms + "setup", slices.Concat(verbsMayImport, []string{commandRooms + "iam", commandRooms + "outer"}), []string{anything}, "kinds of commands do not know each other"},
	{commandRooms + "prove", verbsMayImport, []string{anything}, "kinds of commands do not know each other"},
	{commandRooms + "guard", slices.Concat(verbsMayImport, []string{"bedrockguard/notify", "bedrockguard/otelguard", "bedrockguard/proxy/...", "bedrockguard/statuspage"}), []string{anything}, "kinds of commands do not know each other"},
	{commandRooms + "seed", []string{"budget"}, nil, "makes calls for tests"},

	{"internal/checked", nil, nil, "arithmetic"},
	{"internal/jsonscan", nil, nil, "the standard library alone"},
	{"internal/pixels", nil, nil, "the headers of images; the standard library alone"},
	{"internal/request", []string{"internal/jsonscan", "internal/pixels", "internal/checked"}, nil, "one reading of a request, for cost and for cache"},
	{"internal/request/converse", []string{"internal/request"}, []string{awsSDK}, "the same from the SDK's types"},
	{"internal/request/jsonbody", []string{"internal/jsonscan", "internal/request"}, nil, "the same from JSON in any dialect; it knows none of its sinks"},
	{"internal/request/cost", []string{"budget/price", "internal/jsonscan", "internal/request", "internal/request/jsonbody", "internal/tokens"}, nil, "what a body can cost, told by the walk over it"},
	{"internal/catalog", []string{"budget", "budget/price", "internal/catalog", "internal/checked"}, nil, "prices and limits are data"},
	{"internal/tokens", []string{"internal/tokens/...", "internal/pixels", "internal/checked"}, []string{"github.com/pkoukk/tiktoken-go"}, "bounds on what a text counts"},
	{"internal/wire", []string{"budget", "budget/price", "internal/jsonscan", "internal/request", "internal/checked"}, []string{"github.com/aws/aws-sdk-go-v2/aws/protocol/eventstream"}, "of AWS the decoder of frames alone"},
	{"internal/servers", nil, nil, "starts servers for tests"},
	{"internal/browser", nil, nil, "looks at the page in a real browser, for tests"},
	{"internal/clients", nil, nil, "starts clients that others wrote, for tests"},
	{"internal/robustness", []string{"budget/...", "bedrockguard/...", "internal/..."}, []string{anything}, "tests the whole house"},
	{"internal/tools", nil, []string{"golang.org/x/"}, "tools know the repository as text"},

	{"examples", []string{"bedrockguard/...", "budget/...", "cache", "cache/prompt"}, []string{anything}, "an example uses what users may"},
}

// guardRooms is the folder with the inner packages of the guard.
const guardRooms = "bedrockguard/internal/"

// simulatorRooms is the folder with the packages of the simulator.
const simulatorRooms = "bedrockguard/bedrocktest/internal/"

// commandRooms is the folder with the packages of the command.
const commandRooms = "bedrockguard/cmd/bedrockguard/internal/"

// verbsMayImport is what each kind of commands may import: what they share, and what users have.
var verbsMayImport = []string{
	commandRooms + "awsenv", commandRooms + "commandline", commandRooms + "exit", commandRooms + "output", commandRooms + "storeurl",
	"bedrockguard", "budget", "budget/...", "cache", "cache/prompt",
}

var storeMayImport = []string{"budget/driver", "budget/price", "budget/internal/account"}

// Every folder with Go code has a row, and its files keep to it, tests left out. There is no other list of these rules.
func TestImportDirections(t *testing.T) {
	for file, imports := range importsOfAll(t) {
		row := roomOf(filepath.ToSlash(filepath.Dir(file)))
		require.NotNil(t, row, "%s: no row of the table of rooms holds for this folder: add one", file)
		for _, path := range imports {
			require.True(t, row.allows(path), "%s imports %s: %s", file, path, row.why)
		}
	}
}

// Whoever looks for something finds it on the map.
func TestTheMapNamesEveryRoom(t *testing.T) {
	text, err := os.ReadFile("doc.go")
	require.NoError(t, err)
	for file := range importsOfAll(t) {
		row := roomOf(filepath.ToSlash(filepath.Dir(file)))
		if row == nil || strings.Contains(row.folder+"/", "/internal/") {
			continue // no row is another test's matter; what is internal to a room is not on the map
		}
		require.Regexp(t, `(^|[^\w/])`+regexp.QuoteMeta(row.folder)+`([^\w/]|$)`, string(text), "doc.go does not name %s", row.folder)
	}
}

// A rule that nothing can break checks nothing.
func TestImportDirectionsRefuseWhatTheyNameAsWrong(t *testing.T) {
	for folder, path := range map[string]string{
		"budget":                   modulePath + "cache",
		"budget/driver":            modulePath + "budget",
		"budget/pgstore":           modulePath + "budget",
		"budget/memstore":          "github.com/aws/aws-sdk-go-v2/aws",
		"budget/sqlitestore/inner": modulePath + "bedrockguard",
		"cache":                    modulePath + "internal/wire",
		"cache/prompt":             modulePath + "cache",
		"bedrockguard":             modulePath + "budget/memstore",
		"bedrockguard/event":       modulePath + "bedrockguard/refusal",
		guardRooms + "chain":       modulePath + guardRooms + "httpdoor",
		guardRooms + "sdkdoor":     modulePath + guardRooms + "httpdoor",
		guardRooms + "pricing":     modulePath + guardRooms + "chain",
		"bedrockguard/bedrocktest": modulePath + "internal/catalog",
		"internal/jsonscan":        "golang.org/x/text",
		"internal/request/cost":    modulePath + "internal/wire",
		"internal/wire/inner":      modulePath + "internal/request/cost",
		"internal/wire":            "github.com/aws/aws-sdk-go-v2/service/bedrockruntime",
		"bedrockguard/stsidentity": modulePath + "budget",
		"bedrockguard/notify":      "go.opentelemetry.io/otel",
		"bedrockguard/otelguard":   "github.com/prometheus/client_golang/prometheus",
		"bedrockguard/proxy/sigv4": "github.com/aws/aws-sdk-go-v2/aws/signer/v4",
		"internal/servers":         modulePath + "budget",
		"examples/quickstart":      modulePath + "internal/tokens",
		simulatorRooms + "shapes":  modulePath + "internal/request",
		simulatorRooms + "refusal": modulePath + "bedrockguard/bedrocktest",
		commandRooms + "look":      modulePath + commandRooms + "guard",
		commandRooms + "output":    modulePath + commandRooms + "commandline",
	} {
		row := roomOf(folder)
		require.NotNil(t, row, folder)
		require.False(t, row.allows(path), "%s may import %s", folder, path)
	}
	require.Nil(t, roomOf("somewhere"), "a folder without a row")
}

// roomOf returns the row of the nearest folder, or nil.
func roomOf(folder string) *room {
	for {
		if i := slices.IndexFunc(rooms, func(r room) bool { return r.folder == folder }); i >= 0 {
			return &rooms[i]
		}
		slash := strings.LastIndexByte(folder, '/')
		if slash < 0 {
			return nil
		}
		folder = folder[:slash]
	}
}

func (r *room) allows(path string) bool {
	if own, ok := strings.CutPrefix(path, modulePath); ok {
		return slices.ContainsFunc(r.own, func(pattern string) bool {
			tree, all := strings.CutSuffix(pattern, "/...")
			below := all && strings.HasPrefix(own, tree+"/")
			return own == tree || below
		})
	}
	if first, _, _ := strings.Cut(path, "/"); !strings.Contains(first, ".") {
		return true // the standard library
	}
	return slices.ContainsFunc(r.others, func(prefix string) bool { return strings.HasPrefix(path, prefix) })
}

// importsOfAll returns what each file of the repository imports, tests and their data left out.
func importsOfAll(t *testing.T) map[string][]string {
	imports := make(map[string][]string)
	eachGoFile(t, func(file string) {
		if strings.HasSuffix(file, "_test.go") {
			return
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		imports[file] = nil
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			imports[file] = append(imports[file], path)
		}
	})
	require.NotEmpty(t, imports)
	return imports
}

// eachGoFile calls visit with each Go file of every module.
func eachGoFile(t *testing.T, visit func(file string)) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() && d.Name() == "testdata" {
			return filepath.SkipDir
		}
		if err == nil && !d.IsDir() && strings.HasSuffix(path, ".go") {
			visit(path)
		}
		return err
	})
	require.NoError(t, err)
}

// Files stay small enough to be read in one sitting.
func TestNoFileIsLongerThanSixHundredLines(t *testing.T) {
	eachGoFile(t, func(path string) {
		set := token.NewFileSet()
		_, err := parser.ParseFile(set, path, nil, parser.PackageClauseOnly)
		require.NoError(t, err)
		set.Iterate(func(f *token.File) bool {
			require.LessOrEqual(t, f.LineCount(), 600, path)
			return true
		})
	})
}

// mostLines is how many lines a package may have, tests left out, before it has to be cut into rooms. Stores may have more: what one of them
// does to its server is one thing.
const mostLines = 4000

// Packages stay small enough to be known.
func TestNoPackageIsLongerThanFourThousandLines(t *testing.T) {
	lines := make(map[string]int)
	eachGoFile(t, func(path string) {
		if strings.HasSuffix(path, "_test.go") {
			return
		}
		text, err := os.ReadFile(path)
		require.NoError(t, err)
		lines[filepath.ToSlash(filepath.Dir(path))] += strings.Count(string(text), "\n")
	})
	var long []string
	for folder, n := range lines {
		isStore := strings.HasPrefix(folder, "budget/") && strings.HasSuffix(folder, "store")
		if n > mostLines && !isStore {
			long = append(long, fmt.Sprintf("%s has %d lines", folder, n))
		}
	}
	slices.Sort(long)
	require.Empty(t, long, "packages of more than %d lines: cut them into rooms", mostLines)
}
