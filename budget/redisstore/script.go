package redisstore

import (
	"context"
	"crypto/sha1" //nolint:gosec // the server names scripts by their SHA-1
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// script is one step. Scripts are called by their hash, and sent completely to a server that does not know them. A function library would
// have to be loaded into each node of a cluster, would have to be versioned there, and would need rights that the store does not need
// otherwise. Scripts work again by themselves after a restart, a failover or a move of their slot, and two versions of this library do not
// interfere.
type script struct {
	op     string // the file's name without .lua, which errors have as the step's name
	source string // the text that the server gets, with its first line and all that it includes
	sha    string // the SHA-1 of source, in hexadecimal digits
}

//go:embed lua
var sources embed.FS

// newScript builds a script from a file in lua. flags are Redis's own, in the script's first line: see whenFull, and no-writes for a script that
// only reads.
func newScript(file, flags string) *script {
	source := "#!lua"
	if flags != "" {
		source += " flags=" + flags
	}
	source += "\n" + expand(file)
	sum := sha1.Sum([]byte(source)) //nolint:gosec // the server names scripts by their SHA-1
	return &script{op: file, source: source, sha: hex.EncodeToString(sum[:])}
}

// constants replaces the names of constants in the scripts: see common.lua and entry.lua in lua. Those that repeat something for each unit
// stand for a list of Lua variables or conditions, such as "a1, a2, ..." for @A@. units is how many units a charge has: USD, calls, and the
// kinds of tokens.
var constants = strings.NewReplacer(
	// The number of units: @UNITS@ as a number, and @UNIT@ as a byte in a Lua string, which scripts write in front of what they store, to tell how
	// many units the charges in it have. @SUMS@ is the format of as many 8-byte integers.
	"@UNITS@", strconv.Itoa(units),
	"@SUMS@", strings.Repeat("I8", units),
	"@UNIT@", fmt.Sprintf(`\%03d`, units),
	// The amounts of two charges, a and b, their sums, and whether one is above MAX, the largest sum that the scripts allow.
	"@A@", each("a%[1]d", ", "), "@B@", each("b%[1]d", ", "), "@A+B@", each("a%[1]d + b%[1]d", ", "),
	"@A+B>MAX@", each("a%[1]d + b%[1]d > MAX", " or "), "@B>MAX@", each("b%[1]d > MAX", " or "),
	// A charge of zeros, and the keys of two rows of usage: for calls of which nobody said whose they are, and for those without a row of their own.
	"@NOTHING@", strings.Repeat(`\0`, 8*units),
	"@NOBODY@", luaBytes((*driver.Call)(nil).UsageKey()),
	"@OTHER@", luaBytes(driver.OtherUsage),
	// How long kill flags that have ended are kept, in microseconds.
	"@FLAGS@", strconv.FormatInt(micros(driver.FlagRetention), 10),
)

// each repeats a text for each unit, with the unit's number in it: in a script, loops over tables would take longer than the work itself.
func each(form, between string) string {
	all := make([]string, units)
	for u := range all {
		all[u] = fmt.Sprintf(form, u+1)
	}
	return strings.Join(all, between)
}

// luaBytes writes a key as a Lua string.
func luaBytes(k driver.Key) (text string) {
	for _, b := range k {
		text += fmt.Sprintf(`\%03d`, b)
	}
	return text
}

// expand returns the text of a file in lua, with the files that its lines "-- include NAME" ask for in the place of these lines.
func expand(file string) string {
	text, err := sources.ReadFile("lua/" + file + ".lua")
	if err != nil {
		panic(err) // the files are embedded
	}
	var out strings.Builder
	for line := range strings.Lines(string(text)) {
		if part, ok := strings.CutPrefix(strings.TrimSpace(line), "-- include "); ok {
			line = expand(part)
		}
		out.WriteString(line)
	}
	// A text that was included has its constants replaced already, and is not changed by this.
	return constants.Replace(out.String())
}

// whenFull is the flag of a script that also runs if the server's memory is full: resolving reservations, stopping spend and reading must be
// possible then, while reserving and writing tombstones would use up more memory.
const whenFull = "allow-oom"

// The scripts. Inspect and create, and void and forestal, are the same files with other rights. Inspect can't write. Create, reserve and
// forestal, which writes a tombstone for an unknown id, add to what is stored, and are refused if the memory is full.
var (
	scriptInspect  = newScript("open", "no-writes")
	scriptCreate   = newScript("open", "")
	scriptReserve  = newScript("reserve", "")
	scriptSettle   = newScript("settle", whenFull)
	scriptVoid     = newScript("void", whenFull)
	scriptForestal = newScript("void", "")
	scriptCorrect  = newScript("correct", whenFull)
	scriptExpire   = newScript("expire", whenFull)
	scriptBalances = newScript("balances", whenFull)
	scriptAccount  = newScript("account", whenFull)
	scriptKill     = newScript("kill", whenFull)
	scriptKills    = newScript("kills", whenFull)
	scriptChanges  = newScript("changes", whenFull)
	scriptEntries  = newScript("entries", whenFull)
	scriptAccept   = newScript("accept", whenFull)
	scriptAccounts = newScript("accounts", whenFull)
	scriptPeriods  = newScript("periods", whenFull)
	scriptRows     = newScript("rows", whenFull)
	scriptPolicy   = newScript("policy", whenFull)
)

// once is a command that the client does not retry, however it is configured. Each script is idempotent, but two tries of one can give
// answers that no single step gives: a second Revive that overtakes a Kill, or a second Reserve that meets a flag after the first was
// admitted. Redirections of a cluster are followed: a node that redirects has done nothing.
type once struct{ *redis.Cmd }

// NoRetry tells the client not to retry.
func (once) NoRetry() bool { return true }

// Clone keeps the type of a copy.
func (c once) Clone() redis.Cmder { return once{c.Cmd.Clone().(*redis.Cmd)} }

// run runs a script as one step, within the step's timeout. shard has the keys of hashes of entries that the script uses besides the keys that
// all scripts get; nil if it uses none.
func (s *Store) run(ctx context.Context, sc *script, shard []any, args ...any) (any, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	// enter fails once the store is closed. Otherwise it counts a step, for which Close waits until steps.Done is called, below or in detach.
	if err := s.enter(); err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	if !s.punctual { // the client does not obey ctx
		return s.detach(ctx, cancel, sc, shard, args)
	}
	defer s.steps.Done()
	defer cancel()
	value, err := s.send(ctx, sc, shard, args)
	return value, wrap(sc.op, err)
}

// result is what came back from a script: detach sends it through a channel.
type result struct {
	value any
	err   error
}

// detach runs a script in a goroutine of its own, for a client that does not obey contexts, and returns at the end of ctx at the latest. A script
// that nobody waits for any more ends with the client's own timeouts, and Close waits for that.
func (s *Store) detach(ctx context.Context, cancel func(), sc *script, shard, args []any) (any, error) {
	// With room for one result, so that the goroutine ends even if nobody receives it any more.
	done := make(chan result, 1)
	go func() {
		defer s.steps.Done()
		defer cancel()
		value, err := s.send(ctx, sc, shard, args)
		done <- result{value, err}
	}()
	select {
	case r := <-done:
		return r.value, wrap(sc.op, r.err)
	case <-ctx.Done():
		select {
		case r := <-done: // both may have happened
			return r.value, wrap(sc.op, r.err)
		default:
			return nil, fmt.Errorf("redisstore: %s: the server did not answer in time: %w", sc.op, ctx.Err())
		}
	}
}

// wrap adds the step's name to an error.
func wrap(op string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("redisstore: %s: %w", op, err)
}

// send calls a script by its hash, and sends its text if the server does not know it.
func (s *Store) send(ctx context.Context, sc *script, shard, args []any) (any, error) {
	value, err := s.call(ctx, sc, "evalsha", sc.sha, shard, args)
	if redis.HasErrorPrefix(err, "NOSCRIPT") {
		value, err = s.call(ctx, sc, "eval", sc.source, shard, args)
	}
	return value, err
}

// call sends one command, EVALSHA with a script's hash or EVAL with its text, with the keys of the ledger and of the shard, and the script's
// arguments. A Reserve and a Kill wait for replicas, if Options.MinReplicas asks for that.
func (s *Store) call(ctx context.Context, sc *script, command, hashOrText string, shard, args []any) (any, error) {
	// The order that Redis wants: the command, the hash or the text, the number of keys, the keys, and the other arguments.
	all := make([]any, 0, 3+len(s.keys.head)+len(shard)+len(args))
	all = append(all, command, hashOrText, len(s.keys.head)+len(shard))
	all = append(all, s.keys.head[:]...)
	all = append(all, shard...)
	all = append(all, args...)
	cmd := once{redis.NewCmd(ctx, all...)}
	if s.opts.MinReplicas > 0 && (sc == scriptReserve || sc == scriptKill) {
		return s.callReplicated(ctx, cmd)
	}
	if err := s.rdb.Process(ctx, cmd); err != nil {
		return nil, err
	}
	return cmd.Val(), nil
}

// errReplicas says that a step was done, but that too few replicas have received it.
var errReplicas = errors.New("too few replicas received it in time (Options.MinReplicas)")

// callReplicated sends a command, and behind it on the same connection a WAIT: it waits, for half the timeout, until enough replicas have
// received what this connection has written. If too few have, it returns the command's reply and errReplicas.
func (s *Store) callReplicated(ctx context.Context, cmd once) (any, error) {
	node, err := s.node(ctx)
	if err != nil {
		return nil, err
	}
	// Half the timeout, so that the reply to WAIT arrives before the step's context ends. At least 1 ms: for WAIT, 0 would be without end.
	wait := once{redis.NewCmd(ctx, "wait", s.opts.MinReplicas, max(s.opts.Timeout/2/time.Millisecond, 1))}
	pipe := node.Pipeline()
	// A pipeline's Process only queues a command; Exec sends both.
	_ = pipe.Process(ctx, cmd)
	_ = pipe.Process(ctx, wait)
	_, _ = pipe.Exec(ctx) // each command has its own error
	if err := cmd.Err(); err != nil {
		return nil, err
	}
	// The reply to WAIT is how many replicas have received it.
	if n, err := wait.Int(); err != nil || n < s.opts.MinReplicas {
		return cmd.Val(), errors.Join(errReplicas, err)
	}
	return cmd.Val(), nil
}

// node returns a client of the one server that has the ledger: WAIT has to go to the same one as the script.
func (s *Store) node(ctx context.Context) (*redis.Client, error) {
	switch c := s.rdb.(type) {
	case *redis.Client:
		return c, nil
	case *redis.ClusterClient:
		return c.MasterForKey(ctx, s.keys.ledger)
	default:
		return nil, errReplicaClient
	}
}
