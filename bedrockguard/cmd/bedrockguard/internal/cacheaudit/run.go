// Package cacheaudit reads Amazon Bedrock's model invocation logs and says what prompt caching saves in them, what it could
// save, and why it does not: by workflow or principal, and model. It sends nothing anywhere.
package cacheaudit

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

// Options say what to print.
type Options struct {
	// By is the key of requestMetadata with the name of the workflow; calls without it are grouped by principal.
	By string
	// Top is how many findings are printed in full, and Width the columns of the terminal. JSON prints all of them, as JSON.
	Top, Width int
	JSON       bool
}

// Run audits the logs in all paths, prints what it found, and returns how many findings there are. Paths are files, folders, or - for standard
// input (in). Logs are the JSON lines that Bedrock writes to S3, gzipped or plain; the same records spread over lines or in an array; exports
// from CloudWatch; and the output of "aws logs filter-log-events" and "aws logs get-query-results". Request bodies that Bedrock stored in objects
// of their own are found if they are in one of the folders. A named file without records is an error, which is returned after the others are
// read; in a folder, some files may have none.
func Run(in io.Reader, out, progress io.Writer, paths []string, o Options) (findings int, err error) {
	src, err := findSources(paths)
	if err != nil {
		return 0, err
	}
	bar := newBar(progress, &src)
	a := newAudit(o.By, src.bodies)
	var missing []error // for each named file without records
	for _, path := range src.logs {
		err := a.file(path, in, src.named[path], bar)
		if errors.Is(err, errNoRecord) {
			missing = append(missing, err)
		} else if err != nil {
			return 0, err
		}
	}
	_ = bar.Finish()
	if a.records == 0 {
		missing = append(missing, fmt.Errorf("nothing to audit: %w, or in any file of it: %s", errNoRecord, strings.Join(paths, ", ")))
		return 0, errors.Join(missing...)
	}
	for _, g := range a.groups {
		findings += len(g.findings)
	}
	if o.JSON {
		err = a.json(out, o)
	} else {
		err = a.report(out, o)
	}
	return findings, errors.Join(append([]error{err}, missing...)...)
}

// newBar returns a bar that shows how much of the logs was read.
func newBar(progress io.Writer, src *sources) *progressbar.ProgressBar {
	return progressbar.NewOptions64(src.size, progressbar.OptionSetWriter(progress), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(fmt.Sprintf("%d files", len(src.logs))), progressbar.OptionThrottle(250*time.Millisecond),
		progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetSpinnerChangeInterval(0)) // its spinner runs in a goroutine that races with the end
}
