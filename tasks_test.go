package bedrockguardgo

import (
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"os"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// taskRow is a row of the table of tasks: number, task, file, perhaps a function of it, and lines.
var taskRow = regexp.MustCompile("(?m)^\\| (\\d+) \\| .* \\| `([^`]+\\.go)`(?:, `(\\w+)`)? \\| (\\d+) \\|$")

// Whoever reads how little a task takes finds just that: the lines of each program are counted, and those that are promised to be short are.
func TestTasksTakeTheLinesThatTheTableSays(t *testing.T) {
	table, err := os.ReadFile("docs/tasks.md")
	require.NoError(t, err)
	seen := make(map[string]int)
	for _, row := range taskRow.FindAllStringSubmatch(string(table), -1) {
		number, path, function, said := row[1], row[2], row[3], row[4]
		lines := linesOf(t, path, function)
		assert.Equal(t, said, strconv.Itoa(lines), "task %s, %s %s", number, path, function)
		seen[number] = max(seen[number], lines)
	}
	for n := 1; n <= 14; n++ {
		assert.Contains(t, seen, strconv.Itoa(n), "no row for the task")
	}
	assert.Less(t, seen["12"], 20)
	assert.Less(t, seen["13"], 20)
	assert.Len(t, taskRow.FindAllString(string(table), -1), strings.Count(string(table), "\n| ")-1, "a row that can't be read is not counted")
}

// linesOf counts the lines of a file, or of a function, that hold code: no blank ones, no comments, no package clause and no imports.
func linesOf(t *testing.T, path, function string) int {
	source, err := os.ReadFile(path)
	require.NoError(t, err)
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, path, source, parser.SkipObjectResolution)
	require.NoError(t, err)
	from, to := bodyOf(file, function)
	require.NotZero(t, to, "%s has no %s", path, function)
	first, last := set.Position(from).Line, set.Position(to).Line

	var s scanner.Scanner
	again := token.NewFileSet()
	s.Init(again.AddFile(path, -1, len(source)), source, nil, 0)
	code := make(map[int]bool)
	for {
		at, kind, text := s.Scan()
		if kind == token.EOF {
			break
		}
		if kind == token.SEMICOLON && text == "\n" {
			continue
		}
		begins := again.Position(at).Line
		for line := begins; line <= begins+strings.Count(text, "\n"); line++ {
			code[line] = line >= first && line <= last
		}
	}
	n := 0
	for _, counts := range code {
		if counts {
			n++
		}
	}
	return n
}

// bodyOf is where the declarations behind the imports are, or where a function is.
func bodyOf(file *ast.File, function string) (from, to token.Pos) {
	for _, d := range file.Decls {
		f, isFunction := d.(*ast.FuncDecl)
		if function != "" {
			if isFunction && f.Name.Name == function {
				return f.Pos(), f.End()
			}
			continue
		}
		if g, general := d.(*ast.GenDecl); general && g.Tok == token.IMPORT {
			continue
		}
		if from == 0 {
			from = d.Pos()
		}
		to = d.End()
	}
	return from, to
}
