package guard

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"github.com/urfave/cli/v3"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/exit"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/cmd/bedrockguard/internal/output"
	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
	"github.com/bedrockguard/bedrockguard-go/budget"
)

// keyFlags are the flags for the file with the keys, and for the file with the master key.
func keyFlags() []cli.Flag {
	return []cli.Flag{
		&cli.StringFlag{Name: "keys", Sources: cli.EnvVars("BEDROCKGUARD_KEYS"), TakesFile: true, Usage: "the file that the keys are kept in", HideDefault: true},
		&cli.StringFlag{Name: "master-key", Sources: cli.EnvVars("BEDROCKGUARD_MASTER_KEY_FILE"), TakesFile: true, HideDefault: true, Usage: "a file with the master key, of which the secrets of AWS key pairs are made; with two lines, the second still holds"},
	}
}

// KeysCommand returns the command bedrockguard keys, with its flags and its help.
func KeysCommand() *cli.Command {
	return &cli.Command{
		Name: "keys", Category: "guard", Usage: "the virtual keys by which callers of the proxy are known",
		Description: "A key says who pays, under which tags, and until when. Clients use it as a bearer key, or as an AWS key pair. Neither secret is kept: the bearer key is\n" +
			"shown once, and the secret of the pair is made of the master key whenever it is asked for. A revoked key is void within two seconds.",
		Commands: []*cli.Command{
			{
				Name: "create", Usage: "make a key, and show its secrets",
				Flags: append(keyFlags(),
					&cli.StringFlag{Name: "principal", Required: true, Usage: "who pays"},
					&cli.StringFlag{Name: "workflow", Usage: "the workflow of all of its calls; callers may name one unless set", HideDefault: true},
					&cli.StringMapFlag{Name: "tag", Usage: "key=value, of all calls; can be given more than once"},
					&cli.DurationFlag{Name: "expires", Usage: "how long the key holds; for ever unless set", HideDefault: true},
				),
				Action: createKey,
			},
			{Name: "list", Usage: "show the keys, without their secrets", Flags: keyFlags(), Action: listKeys},
			{Name: "revoke", Usage: "make a key void", ArgsUsage: "ID", Flags: keyFlags(), Action: revokeKey},
			{Name: "master", Usage: "print a new master key", Action: func(_ context.Context, c *cli.Command) error {
				_, err := fmt.Fprintln(c.Root().Writer, keys.NewMaster())
				return err
			}},
		},
	}
}

// openKeys opens the file with the keys; with create it makes the file if there is none.
func openKeys(c *cli.Command, create bool) (*keys.File, error) {
	at := c.String("keys")
	if at == "" {
		return nil, exit.UsageError("no file of keys is named: give --keys or set BEDROCKGUARD_KEYS")
	}
	return keys.OpenFile(at, keys.FileOptions{Create: create})
}

// masterKey reads the master key, from which the secrets of AWS key pairs are derived. Without the flag there is none, and so no key pairs.
func masterKey(c *cli.Command) (keys.Master, error) {
	at := c.String("master-key")
	if at == "" {
		return keys.Master{}, nil
	}
	text, err := os.ReadFile(at)
	if err != nil {
		return keys.Master{}, err
	}
	return keys.ParseMaster(text)
}

// newKeyJSON is a new key with its secrets, which are only shown now. BearerKey is the secret itself; the Bearer in Key is what is kept of it.
type newKeyJSON struct {
	keys.Key
	BearerKey string `json:"bearer"`
	Secret    string `json:"secret_access_key,omitempty"`
}

// createKey runs bedrockguard keys create. The secret of the AWS key pair is derived from the master key and the id, so it exists only with a
// master key.
func createKey(ctx context.Context, c *cli.Command) error {
	const create = true // make the file if there is none
	book, err := openKeys(c, create)
	if err != nil {
		return err
	}
	master, err := masterKey(c)
	if err != nil {
		return err
	}
	made := newKeyJSON{Key: keys.Key{ID: keys.NewID(), Principal: c.String("principal"), Workflow: c.String("workflow"), Tags: c.StringMap("tag"), Created: time.Now().UTC().Truncate(time.Second)}}
	lasts := c.Duration("expires")
	if lasts < 0 {
		return exit.UsageError("--expires %s: want a time to come", lasts)
	}
	if lasts > 0 {
		made.Expires = made.Created.Add(lasts)
	}
	made.BearerKey, made.Bearer = keys.NewBearer() // the secret, and what is kept of it
	made.Secret, _ = master.Secret(made.ID)        // empty without a master key
	if err := book.Put(ctx, made.Key); err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, made)
	}
	made.print(c.Root().Writer)
	return nil
}

// print prints the key with its secrets.
func (k *newKeyJSON) print(w io.Writer) {
	fmt.Fprintf(w, "id      %s\nbearer  %s\n", k.ID, k.BearerKey)
	if k.Secret != "" {
		fmt.Fprintf(w, "AWS     AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n", k.ID, k.Secret)
	}
	fmt.Fprintln(w, "The bearer key is shown this once, and kept nowhere.")
}

// listKeys runs bedrockguard keys list.
func listKeys(ctx context.Context, c *cli.Command) error {
	book, err := openKeys(c, false)
	if err != nil {
		return err
	}
	all, err := book.List(ctx)
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, all)
	}
	t := output.NewTable("There is no key.", "KEY", "FOR", "CREATED", "EXPIRES", "STATE")
	for _, k := range all {
		state := "good"
		if err := k.Check(time.Now()); errors.Is(err, keys.ErrRevoked) {
			state = "revoked " + output.When(k.Revoked)
		} else if err != nil { // a key that was not revoked can only have expired
			state = "expired"
		}
		t.Row(k.ID, output.ScopeText(budget.Scope{Principal: k.Principal, Workflow: k.Workflow, Tags: k.Tags}), output.When(k.Created), output.When(k.Expires), state)
	}
	return t.End(c.Root().Writer)
}

// revokeKey runs bedrockguard keys revoke.
func revokeKey(ctx context.Context, c *cli.Command) error {
	if c.Args().Len() != 1 {
		return exit.UsageError("want the id of one key")
	}
	book, err := openKeys(c, false)
	if err != nil {
		return err
	}
	key, err := book.Revoke(ctx, c.Args().First(), time.Now().UTC().Truncate(time.Second))
	if err != nil {
		return err
	}
	if c.Bool("json") {
		return output.PrintJSON(c, key)
	}
	_, err = fmt.Fprintf(c.Root().Writer, "revoked %s of %s\n", key.ID, output.Printable(key.Principal))
	return err
}
