package cacheaudit

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// sources are the files to read. The files of a folder are sorted by name, which in Bedrock's layout is the order of time.
type sources struct {
	logs   []string
	named  map[string]bool // files that the user has named, as opposed to those found in a folder
	bodies bodies
	size   int64 // of the logs, in bytes; -1, which is unknown, when standard input is among them
}

// standardInput stands for standard input among the paths.
const standardInput = "-"

// findSources returns the files to read for paths: the files themselves, all logs and bodies in folders, and standard input for "-".
func findSources(paths []string) (sources, error) {
	s := sources{bodies: bodies{}, named: make(map[string]bool)}
	for _, p := range paths {
		if p == standardInput {
			s.logs, s.size, s.named[p] = append(s.logs, p), -1, true
			continue
		}
		err := filepath.WalkDir(p, func(name string, d fs.DirEntry, err error) error {
			if err != nil || !d.Type().IsRegular() {
				return err
			}
			return s.add(name, d, name == p)
		})
		if err != nil {
			return s, err
		}
	}
	return s, nil
}

// add sorts a file by its name: a log or a body. Bedrock puts bodies into a folder named data, and a file that only checks its permission among
// the logs. A file that the user has named is a log in any case.
func (s *sources) add(name string, d fs.DirEntry, named bool) error {
	base := filepath.Base(name)
	switch {
	case named:
	case filepath.Base(filepath.Dir(name)) == "data":
		s.bodies[base] = name
		return nil
	case strings.HasPrefix(base, "amazon-bedrock-logs-permission-check"), !isLogName(base):
		return nil
	}
	info, err := d.Info()
	if err != nil {
		return err
	}
	s.logs = append(s.logs, name)
	// A file may be named, and also be found in a folder.
	s.named[name] = s.named[name] || named
	if s.size >= 0 {
		s.size += info.Size()
	}
	return nil
}

// isLogName reports whether a file in a folder may be a log, by its extension before a .gz. Hidden files are none.
func isLogName(base string) bool {
	if strings.HasPrefix(base, ".") {
		return false
	}
	switch filepath.Ext(strings.TrimSuffix(base, ".gz")) {
	case ".json", ".jsonl", ".ndjson", ".log", ".txt", ".csv", "":
		return true
	}
	return false
}

// bodies finds the request bodies that Bedrock stored as objects of their own, by the last part of their S3 path.
type bodies map[string]string

// load returns a body, or nothing if it is not available.
func (b bodies) load(s3Path string) []byte {
	name, ok := b[path.Base(s3Path)]
	if !ok {
		return nil
	}
	f, err := os.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	r, err := uncompressed(f)
	if err != nil {
		return nil
	}
	body, err := io.ReadAll(io.LimitReader(r, maxLine+1))
	if err != nil || len(body) > maxLine {
		return nil
	}
	return body
}

// uncompressed decompresses the data if it is gzipped, whatever the name of its file. Some data is gzipped twice, by tools that compress gzipped
// objects.
func uncompressed(r io.Reader) (io.Reader, error) {
	buffered := bufio.NewReaderSize(r, 64<<10)
	if !gzipped(buffered) {
		return buffered, nil
	}
	once, err := gzip.NewReader(buffered)
	if err != nil {
		return nil, err
	}
	again := bufio.NewReaderSize(once, 64<<10)
	if gzipped(again) {
		return gzip.NewReader(again)
	}
	return again, nil
}

// gzipped reports whether the data that comes next begins as gzip does. It reads nothing off.
func gzipped(r *bufio.Reader) bool {
	magic, _ := r.Peek(2)
	return bytes.Equal(magic, []byte{0x1f, 0x8b})
}

// maxLine bounds the memory for a line. Bedrock accepts requests of 25 MB at most, and a line has no body of more than 100 KB unless
// somebody else has written the log.
const maxLine = 32 << 20

// eachLine calls f with each line that is not empty, and returns how many lines were too long and left out. The bytes are valid during the call.
// An error of the reader, for example where a file was cut off, is returned after the last complete line.
func eachLine(r io.Reader, limit int, f func(line []byte)) (tooLong int, err error) {
	in := bufio.NewReaderSize(r, 64<<10)
	var line []byte
	skipping := false // the line is too long
	for {
		part, err := in.ReadSlice('\n')
		if len(line)+len(part) > limit && !skipping {
			skipping = true
			tooLong++
		}
		if !skipping {
			line = append(line, part...)
		}
		if errors.Is(err, bufio.ErrBufferFull) {
			continue // the line is longer than the reader's buffer, and goes on
		}
		ended := errors.Is(err, io.EOF)
		complete := err == nil || ended // any other error has cut the line off
		line = bytes.TrimRight(line, " \t\r\n")
		if complete && !skipping && len(line) > 0 {
			f(line)
		}
		if ended {
			return tooLong, nil
		}
		if err != nil {
			return tooLong, fmt.Errorf("read the log: %w", err)
		}
		line, skipping = line[:0], false
	}
}
