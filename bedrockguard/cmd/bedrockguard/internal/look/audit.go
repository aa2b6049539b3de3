package look

import (
	"context"
	"fmt"
	"io"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/cacheaudit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
)

// AuditCommand returns the command bedrockguard audit, with its flags and its help.
func AuditCommand() *cli.Command {
	return &cli.Command{
		Name: "audit", Category: "look", Usage: "say what prompt caching saves in Bedrock's invocation logs, could save, and why it does not", ArgsUsage: "FILE-OR-FOLDER…",
		Description: "Reads the logs that Bedrock writes to S3 or CloudWatch, gzipped or plain, and exports of them; - is standard input. Request bodies that were stored\n" +
			"as objects of their own are found if they lie in one of the folders. Nothing is sent anywhere.\n\n" +
			"  aws s3 sync s3://my-log-bucket/AWSLogs ./logs\n" +
			"  bedrockguard audit ./logs\n\nExit code 3 says that there are findings.",
		Flags: []cli.Flag{
			&cli.StringFlag{Name: "by", Value: "workflow", Usage: "the key of requestMetadata that names a workflow; calls without it go by their principal"},
			&cli.IntFlag{Name: "top", Value: 8, Usage: "how many findings to print in full"},
		},
		Action: audit,
	}
}

// audit runs bedrockguard audit. It needs no store. Progress is shown only on a terminal.
func audit(_ context.Context, c *cli.Command) error {
	if !c.Args().Present() {
		return exit.UsageError("want logs: files, folders, or - for standard input")
	}
	root := c.Root()
	progress := io.Discard
	if output.IsTerminal(root.ErrWriter) {
		progress = root.ErrWriter
	}
	findings, err := cacheaudit.Run(root.Reader, root.Writer, progress, c.Args().Slice(),
		cacheaudit.Options{By: c.String("by"), Top: c.Int("top"), Width: output.Columns(root.Writer), JSON: c.Bool("json")})
	if err == nil && findings > 0 {
		err = exit.Found(fmt.Sprintf("%d findings", findings))
	}
	return err
}
