package bedrockguardgo

import (
	"bytes"
	"errors"
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// docsImports are the packages that code in documents may use. They are looked up in the module of the examples, which requires them all.
var docsImports = []string{
	"context", "errors", "fmt", "log/slog", "net/http", "os", "testing", "time",
	"github.com/anthropics/anthropic-sdk-go",
	"github.com/aws/aws-sdk-go-v2/aws", "github.com/aws/aws-sdk-go-v2/service/bedrockruntime",
	modulePath + "bedrockguard", modulePath + "bedrockguard/agenttest", modulePath + "bedrockguard/bedrocktest", modulePath + "bedrockguard/notify",
	modulePath + "bedrockguard/otelguard", modulePath + "bedrockguard/statuspage",
	modulePath + "budget", modulePath + "budget/lease", modulePath + "budget/memstore", modulePath + "budget/price", modulePath + "budget/sqlitestore", modulePath + "cache",
}

// docsContext is what the reader of a document has at hand. What a block declares hides it.
const docsContext = `
	t *testing.T, ctx context.Context, until, tomorrow time.Time, cfg aws.Config, input *bedrockruntime.ConverseInput,
	store *sqlitestore.Store, ledger *budget.Ledger, operator *budget.Operator, guard *bedrockguard.Guard, client *bedrockruntime.Client,
	id budget.ID, actual budget.Charge, err error,
	runMyAgent func(context.Context, *bedrockruntime.Client) error,`

// Whoever copies code from a document gets code that compiles. A block that declares a function is an Example, word for word; any other
// is checked as the body of a function.
func TestGoCodeInDocumentsCompiles(t *testing.T) {
	check := newBlockChecker(t)
	examples := exampleFiles(t)
	found := 0
	for _, document := range documents(t) {
		for line, code := range goBlocks(t, document) {
			found++
			if strings.HasPrefix(code, "func ") {
				require.Contains(t, examples, code, "%s:%d shows a function that no file of tests holds", document, line)
				continue
			}
			require.NoError(t, check(fmt.Sprintf("//line %s:%d\n%s", document, line+1, code)))
		}
	}
	require.Positive(t, found)
}

// A check that lets everything through checks nothing.
func TestCodeThatDoesNotCompileIsFound(t *testing.T) {
	check := newBlockChecker(t)
	require.NoError(t, check(`balances, err := ledger.Balances(ctx, budget.Scope{})`))
	require.ErrorContains(t, check(`balances, err := ledger.Balance(ctx)`), "ledger.Balance undefined")
	require.ErrorContains(t, check(`_ = budget.Limit{Maximum: budget.USD(1)}`), "unknown field Maximum")
	require.Error(t, check(`for change := range changes { … }`))
}

// newBlockChecker returns a function that type-checks a block of statements. Variables that are never used are no error in a document.
func newBlockChecker(t *testing.T) func(code string) error {
	exports := exportFiles(t)
	set := token.NewFileSet()
	packages := importer.ForCompiler(set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return func(code string) error {
		source := "package document\n"
		for _, path := range docsImports {
			source += fmt.Sprintf("import %q\n", path)
		}
		source += "func _(" + docsContext + ") {\n{\n" + code + "\n}\n}\n"
		file, err := parser.ParseFile(set, "block.go", source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		var problems []error
		config := types.Config{Importer: packages, Error: func(err error) {
			var problem types.Error
			if !errors.As(err, &problem) || !problem.Soft {
				problems = append(problems, err)
			}
		}}
		_, _ = config.Check("document", set, []*ast.File{file}, nil) // its error is the first of those that Error was told
		return errors.Join(problems...)
	}
}

// exportFiles returns where the compiler has put what each package exports.
func exportFiles(t *testing.T) map[string]string {
	args := append([]string{"list", "-export", "-deps", "-f", "{{if .Export}}{{.ImportPath}} {{.Export}}{{end}}"}, docsImports...)
	list := exec.CommandContext(t.Context(), "go", args...)
	list.Dir = "examples"
	var problems bytes.Buffer
	list.Stderr = &problems
	out, err := list.Output()
	require.NoError(t, err, problems.String())
	files := make(map[string]string)
	for line := range strings.Lines(string(out)) {
		path, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[path] = file
	}
	return files
}

// documents returns the pages that users read.
func documents(t *testing.T) []string {
	top, err := filepath.Glob("*.md")
	require.NoError(t, err)
	docs, err := filepath.Glob("docs/*.md")
	require.NoError(t, err)
	return append(top, docs...)
}

// goBlocks returns the blocks of Go code in a document by the line on which each begins.
func goBlocks(t *testing.T, document string) map[int]string {
	text, err := os.ReadFile(document)
	require.NoError(t, err)
	blocks := make(map[int]string)
	parts := strings.Split(string(text), "```go\n")
	line := 1
	for i, part := range parts {
		if i > 0 {
			code, _, closed := strings.Cut(part, "```")
			require.True(t, closed, "%s:%d: a block of code that does not end", document, line)
			blocks[line] = code
			line++
		}
		line += strings.Count(part, "\n")
	}
	return blocks
}

// exampleFiles returns the text of all files of tests that hold Examples.
func exampleFiles(t *testing.T) string {
	var all strings.Builder
	eachGoFile(t, func(file string) {
		if !strings.HasSuffix(file, "_test.go") {
			return
		}
		text, err := os.ReadFile(file)
		require.NoError(t, err)
		if bytes.Contains(text, []byte("\nfunc Example")) {
			all.Write(text)
		}
	})
	return all.String()
}
