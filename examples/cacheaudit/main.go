// Command cacheaudit reads Amazon Bedrock's model invocation logs and says what prompt caching saves in them, what it could
// save, and why it does not: by workflow or principal, and model. It sends nothing anywhere.
//
//	aws s3 sync s3://my-log-bucket/AWSLogs ./logs
//	go run ./examples/cacheaudit ./logs
//	zcat more/*.gz | go run ./examples/cacheaudit -by team -
//
// Arguments are files, folders, or - for standard input: the JSON lines that Bedrock writes to S3, gzipped or plain, the same records
// spread over lines or in an array, exports from CloudWatch, and what "aws logs filter-log-events" and "aws logs get-query-results"
// print. Request bodies that Bedrock stored as objects of their own are found if they lie in one of the folders. A file that holds no
// record is an error, and the exit status is 1; files in a folder may hold none as long as others do.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/schollz/progressbar/v3"
)

func main() {
	by := flag.String("by", "workflow", "the key of requestMetadata that names a workflow; calls without it go by their principal")
	top := flag.Int("top", 8, "how many findings to print in full")
	width := flag.Int("width", 100, "columns of the terminal")
	flag.Parse()
	if flag.NArg() == 0 {
		fmt.Fprintln(os.Stderr, "usage: cacheaudit [flags] file-or-folder ...")
		flag.PrintDefaults()
		os.Exit(2)
	}
	if err := run(os.Stdout, os.Stderr, flag.Args(), *by, reportOptions{top: *top, width: *width}); err != nil {
		fmt.Fprintln(os.Stderr, "cacheaudit:", err)
		os.Exit(1)
	}
}

// run audits the logs in all paths and prints what it found.
func run(out, progress io.Writer, paths []string, by string, o reportOptions) error {
	src, err := findSources(paths)
	if err != nil {
		return err
	}
	bar := progressbar.NewOptions64(src.size, progressbar.OptionSetWriter(progress), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(fmt.Sprintf("%d files", len(src.logs))), progressbar.OptionThrottle(250*time.Millisecond),
		progressbar.OptionSetWidth(30), progressbar.OptionClearOnFinish())
	a := newAudit(by, src.bodies)
	var missing []error
	for _, path := range src.logs {
		switch err := a.file(path, src.named[path], bar); {
		case errors.Is(err, errNoRecord):
			missing = append(missing, err)
		case err != nil:
			return err
		}
	}
	_ = bar.Finish()
	if a.records == 0 {
		missing = append(missing, fmt.Errorf("nothing to audit: %w, or in any file of it: %s", errNoRecord, strings.Join(paths, ", ")))
		return errors.Join(missing...)
	}
	return errors.Join(append([]error{a.report(out, o)}, missing...)...)
}
