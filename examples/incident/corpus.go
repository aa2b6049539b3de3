package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// corpus is what the agent reads: the source files of this repository, one after the other and again from the start.
type corpus struct {
	text string
	at   int // where next goes on
}

// openCorpus reads the repository that the working folder lies in.
func openCorpus() (*corpus, error) {
	root, err := repositoryRoot()
	if err != nil {
		return nil, err
	}
	var b strings.Builder
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && d.Name() != "." && strings.HasPrefix(d.Name(), "."): // a hidden folder
			return fs.SkipDir
		case d.IsDir() || !slices.Contains([]string{".go", ".md", ".mod"}, filepath.Ext(path)):
			return nil
		}
		data, err := os.ReadFile(path)
		if err == nil {
			b.WriteString("// file " + filepath.ToSlash(strings.TrimPrefix(path, root)) + "\n" + strings.ToValidUTF8(string(data), "?") + "\n")
		}
		return err
	})
	// The agent's system prompt alone has about 64 KB, in which a smaller corpus would repeat itself.
	if err == nil && b.Len() < 1<<16 {
		err = errors.New("too few source files to read")
	}
	return &corpus{text: b.String()}, err
}

// repositoryRoot returns the folder at or above the working folder that has a go.work.
func repositoryRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.work")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("run it inside of the repository: its files are what the agent reads")
		}
		dir = parent
	}
}

// next returns about n bytes more, cut at a line's end.
func (c *corpus) next(n int) string {
	var b strings.Builder
	for b.Len() < n {
		rest := c.text[c.at:]
		take := min(n-b.Len(), len(rest))
		// Goes on to the end of the line, or of the corpus if that comes first.
		if end := strings.IndexByte(rest[take:], '\n'); end >= 0 {
			take += end + 1
		} else {
			take = len(rest)
		}
		b.WriteString(rest[:take])
		if c.at += take; c.at >= len(c.text) {
			c.at = 0
		}
	}
	return b.String()
}

// spread returns about n bytes in pieces of whole lines from all over the corpus, so that they are like the rest of it.
func (c *corpus) spread(n int) string {
	const piece = 1000
	last := int64(len(c.text) - piece) // where the last piece can begin
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		// A piece has the same relative place in the corpus as in the result. Pieces that were cut at a line's end are shorter, so that it takes more
		// of them: these begin at the front of the corpus again (% last).
		at := int(int64(i) * piece * last / int64(n) % last)
		for at > 0 && c.text[at-1] != '\n' {
			at-- // back to the start of a line
		}
		text := c.text[at : at+piece]
		b.WriteString(strings.ToValidUTF8(text[:strings.LastIndexByte(text, '\n')+1], ""))
		if strings.IndexByte(text, '\n') < 0 { // the piece is in one long line
			b.WriteString(strings.ToValidUTF8(text, ""))
		}
	}
	return b.String()
}
