package servers

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"time"
)

// dynamoDBVersion is the version of dynoxide that .ci/install-dynamodb builds.
const dynamoDBVersion = "3.2.0"

// DynamoDB is a running server that speaks DynamoDB's protocol: dynoxide, which keeps its tables in SQLite. Its methods are
// safe for concurrent use.
//
// It is a real server over real sockets, and in what it accepts it follows the service closely: the grammar and the reserved
// words of expressions, the refusal of unused names and values, 100 actions and 4 MB a transaction, 400 KB an item, one reason
// per action of a cancelled transaction in the order of the actions, ALL_OLD, and tokens that make a transaction idempotent for
// ten minutes. It is laxer than the service, or unlike it, in this:
//
//   - Requests are carried out one after the other. TransactWriteItems is atomic and serialisable, and never cancelled with
//     TransactionConflict; TransactionInProgressException does not occur either.
//   - It never throttles, has no capacity, and all its reads are strongly consistent, whether they ask for it or not.
//   - Every failed condition of a cancelled transaction is named; the service does not promise that.
//   - A query never sees a part of a transaction.
//   - Signatures and permissions are not checked.
//   - There are no replicas, backups or global tables; tables are active at once.
//   - Tokens of transactions are forgotten when it restarts.
//
// What only the service does, such as throttling, the tests of the store imitate with a layer between client and server.
type DynamoDB struct {
	port int
	file string // with the tables; empty if they are in memory
	path string // of the program

	mu       sync.Mutex
	*Process // the present one; each Restart makes another
}

// StartDynamoDB starts a server whose tables lie in dir, so that they survive Kill and Restart. Without dir they lie in
// memory. The error is ErrMissing when the program is not installed.
func StartDynamoDB(dir string) (*DynamoDB, error) {
	cache := os.Getenv("XDG_CACHE_HOME")
	if cache == "" {
		cache = filepath.Join(os.Getenv("HOME"), ".cache")
	}
	path, err := program("dynoxide", "run .ci/install-dynamodb", filepath.Join(cache, "bedrockguard", "dynoxide-"+dynamoDBVersion, "bin", "dynoxide"))
	if err != nil {
		return nil, err
	}
	d := &DynamoDB{path: path}
	if dir != "" {
		d.file = filepath.Join(dir, "dynamodb.sqlite")
	}
	for range 3 { // somebody else may take the port
		if d.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = d.run(dir); err == nil {
			return d, nil
		}
	}
	return nil, err
}

// run starts the program, whose log goes to dir (the folder for temporary files if it is empty), and waits until it answers.
func (d *DynamoDB) run(dir string) error {
	args := []string{"serve", "--port", strconv.Itoa(d.port)}
	if d.file != "" {
		args = append(args, "--db-path", d.file)
	}
	p, err := start(dir, exec.Command(d.path, args...))
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.Process = p
	d.mu.Unlock()
	if err := p.await(d.answers); err != nil { // perhaps another program has the port
		return errors.Join(err, p.Kill())
	}
	return nil
}

// Endpoint is the URL for a client's BaseEndpoint.
func (d *DynamoDB) Endpoint() string { return "http://127.0.0.1:" + strconv.Itoa(d.port) }

// Restart starts a server that was stopped or killed again, at the same address, on the same tables.
func (d *DynamoDB) Restart() error {
	if d.file == "" {
		return errors.New("servers: a DynamoDB in memory can't be restarted")
	}
	return d.run(filepath.Dir(d.file))
}

// answers returns nil if the server answers an HTTP request.
func (d *DynamoDB) answers(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, d.Endpoint(), nil)
	if err != nil {
		return err
	}
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(io.Discard, resp.Body); err != nil || resp.StatusCode != http.StatusOK {
		return fmt.Errorf("status %d: %w", resp.StatusCode, errors.Join(err, errors.New("not ready")))
	}
	return nil
}
