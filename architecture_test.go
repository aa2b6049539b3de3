package bedrockguardgo

import (
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const modulePath = "github.com/bedrockguard/bedrockguard-go/"

// Arrows run one way: examples -> bedrockguard -> {budget, cache, internal}; stores -> budget; bedrocktest shares neither
// prices nor parsers with the guard, so that its bill is an oracle. cache may import internal/jsonscan, and nothing else
// internal. The same rules stand in .golangci.yml.
func TestImportDirections(t *testing.T) {
	forbidden := map[string][]string{
		"budget":                   {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/memstore":          {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/dynamostore":       {modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/pgstore":           {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/redisstore":        {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/sqlitestore":       {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"budget/storetest":         {"github.com/aws", modulePath + "cache", modulePath + "internal", modulePath + "bedrockguard"},
		"cache":                    {"github.com/aws", modulePath + "budget", modulePath + "internal", modulePath + "bedrockguard"},
		"internal/jsonscan":        {"github.com/", "golang.org/"},
		"internal/catalog":         {"github.com/aws", modulePath + "bedrockguard", modulePath + "cache"},
		"internal/tokens":          {"github.com/aws", modulePath + "bedrockguard", modulePath + "cache", modulePath + "budget"},
		"internal/wire":            {"github.com/aws/smithy-go", "github.com/aws/aws-sdk-go-v2/service", modulePath + "bedrockguard", modulePath + "cache"},
		"bedrockguard":             {modulePath + "budget/", modulePath + "bedrockguard/", modulePath + "examples"},
		"bedrockguard/bedrocktest": {modulePath + "budget", modulePath + "internal/catalog", modulePath + "internal/wire", modulePath + "internal/tokens", modulePath + "internal/jsonscan", modulePath + "cache"},
	}
	for dir, banned := range forbidden {
		for file, imports := range importsOf(t, dir) {
			for _, path := range imports {
				if dir == "cache" && path == modulePath+"internal/jsonscan" {
					continue
				}
				for _, prefix := range banned {
					require.False(t, strings.HasPrefix(path, prefix), "%s imports %s", file, path)
				}
			}
		}
	}
}

// importsOf returns what the files of one folder import, tests left out.
func importsOf(t *testing.T, dir string) map[string][]string {
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	require.NoError(t, err)
	imports := make(map[string][]string)
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		parsed, err := parser.ParseFile(token.NewFileSet(), file, nil, parser.ImportsOnly)
		require.NoError(t, err)
		for _, i := range parsed.Imports {
			path, err := strconv.Unquote(i.Path.Value)
			require.NoError(t, err)
			imports[file] = append(imports[file], path)
		}
	}
	return imports
}

// Files stay small enough to be read in one sitting.
func TestNoFileIsLongerThanSixHundredLines(t *testing.T) {
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		set := token.NewFileSet()
		_, err = parser.ParseFile(set, path, nil, parser.PackageClauseOnly)
		require.NoError(t, err)
		set.Iterate(func(f *token.File) bool {
			require.LessOrEqual(t, f.LineCount(), 600, path)
			return true
		})
		return nil
	})
	require.NoError(t, err)
}
