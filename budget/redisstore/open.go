package redisstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// layout is the version of the format in which the scripts keep their data. A ledger in layout 1 or 2 is brought up to date when it is opened.
const layout = "3"

// found is what a server reports about itself and the ledger.
type found struct {
	epoch    string            // the ledger's random name; empty if there is no ledger
	sequence int64             // a number that each step that writes raises
	now      int64             // the server's time in microseconds
	layout   string            // the ledger's version of the format; empty if there is no ledger
	accepted string            // the id of the change by which an operator accepted the last loss
	remains  bool              // some keys of the ledger exist
	info     map[string]string // what the command INFO returns; empty if the server does not report it
}

// open checks the server, opens or makes the ledger, and reads the server's time. If keys of the ledger are there, but not the head, which has the
// epoch, the ledger has lost a part: it is opened so that an operator can accept the loss, and refuses all steps until then.
func (s *Store) open(ctx context.Context) error {
	f, err := s.look(ctx, scriptInspect, actionInspect)
	if err != nil {
		if strings.Contains(err.Error(), "near '#'") { // Redis before version 7 does not know a script's first line, "#!lua"
			err = errors.New("the server is too old: Redis 7 or Valkey is needed")
		}
		return err
	}
	if err := f.serverProblems(&s.opts); err != nil {
		return err
	}
	if f, err = s.makeCurrent(ctx, f); err != nil {
		return err
	}
	switch lostHead := f.epoch == "" && f.remains; {
	case lostHead:
		s.time.set(f.now)
		s.known.Store(&known{lost: true})
		return nil
	case f.epoch == "":
		return fmt.Errorf("%w named %q. On its first start, set Options.Create; if it was there before, its data was lost, and with it what was spent", driver.ErrNoLedger, s.opts.Ledger)
	case f.layout != layout:
		return fmt.Errorf("the ledger has layout %q, this library knows %s: use a newer library", f.layout, layout)
	}
	// From here on it is the ledger that this process knows: another one in its place is a loss.
	s.adopt(f)
	return nil
}

// makeCurrent makes the ledger if there is none and Options.Create allows that, brings one of an earlier layout up to date, and returns what is there
// then. It leaves any other ledger as it is.
func (s *Store) makeCurrent(ctx context.Context, f *found) (_ *found, err error) {
	// If another process has made one meanwhile, the script leaves that as it is and returns it.
	if !f.remains && s.opts.Create {
		if f, err = s.look(ctx, scriptCreate, actionCreate); err != nil {
			return nil, err
		}
	}
	if isEarlier := f.layout == "1" || f.layout == "2"; isEarlier && f.epoch != "" {
		return s.look(ctx, scriptCreate, actionUpdate)
	}
	return f, nil
}

// The actions of the script lua/open.lua.
const (
	actionInspect = "i" // tells what is there, and changes nothing
	actionCreate  = "c" // makes the ledger if there is none
	actionUpdate  = "u" // brings a ledger of an earlier layout up to date
)

// look runs the script that opens a ledger, with a new epoch in case it makes one or brings one up to date, and returns what is on the server then.
// sc is scriptInspect, which can't write, or scriptCreate.
func (s *Store) look(ctx context.Context, sc *script, action string) (*found, error) {
	var epoch [16]byte
	rand.Read(epoch[:])
	// Not by guess: that counts on from a time of the server, and the first one is in the answer to this script.
	clock := int64(0) // 0 means the server's own
	if s.opts.Clock != nil {
		clock = max(moment(s.opts.Clock()), 1)
	}
	// The script gets all keys of the ledger, because any of them may be what remains of it.
	value, err := s.run(ctx, sc, s.keys.shard[:], action, epoch[:], layout, s.opts.Ledger, []byte(newHead().numbers(clock)))
	if err != nil {
		return nil, err
	}
	return parseFound(value)
}

// parseFound decodes the answer of lua/open.lua, which has six texts.
func parseFound(value any) (*found, error) {
	parts, ok := value.([]any)
	if !ok || len(parts) != 6 {
		return nil, errReply
	}
	var texts [6]string
	for i := range parts {
		if texts[i], ok = parts[i].(string); !ok {
			return nil, errReply
		}
	}
	// The head has the epoch and the sequence, and goes on with numbers that only scripts use. It is empty if there is no ledger. remains is 1 if
	// keys of the ledger exist.
	head, now, version, remains, info, accepted := texts[0], texts[1], texts[2], texts[3], texts[4], texts[5]
	f := &found{layout: version, remains: remains == "1", accepted: accepted, info: make(map[string]string)}
	if head != "" {
		in := reader{text: head}
		f.epoch, f.sequence = in.bytes(16), in.count()
		if in.text == "" || in.failed {
			return nil, errReply
		}
	}
	var err error
	if f.now, err = strconv.ParseInt(now, 10, 64); err != nil || f.now < 0 || f.now > never {
		return nil, errReply
	}
	for line := range strings.Lines(info) {
		if name, value, ok := strings.Cut(strings.TrimSpace(line), ":"); ok {
			f.info[name] = value
		}
	}
	return f, nil
}

// serverProblems returns all reasons why the server is not safe for a ledger, in one error; nil if there are none. told says whether the server
// tells a value at all. It uses INFO rather than CONFIG, which managed services forbid.
func (f *found) serverProblems(o *Options) error {
	var problems []error
	// A role that is not told is no problem: a replica refuses writes by itself, unless it is configured not to.
	role, told := f.info["role"]
	if told && role != "master" {
		problems = append(problems, fmt.Errorf("the server is a %s: a ledger needs the primary, which takes writes", role))
	}
	switch policy, told := f.info["maxmemory_policy"]; {
	case o.AllowEviction || policy == "noeviction": // no problem
	case !told:
		problems = append(problems, errors.New("the server does not tell its maxmemory-policy (INFO is forbidden or cut): if you know it to be noeviction, set Options.AllowEviction"))
	default:
		problems = append(problems, fmt.Errorf("maxmemory-policy is %s, which can evict sums: set it to noeviction, or set Options.AllowEviction", policy))
	}
	switch enabled, told := f.info["aof_enabled"]; {
	case o.AllowNoAppendOnly || enabled == "1": // no problem
	case !told:
		problems = append(problems, errors.New("the server does not tell whether appendonly is on (INFO is forbidden or cut): if you know it to be durable, set Options.AllowNoAppendOnly"))
	default:
		problems = append(problems, errors.New("appendonly is off, so that a restart forgets what was spent: set it to yes, or set Options.AllowNoAppendOnly if the server is durable by other means"))
	}
	return errors.Join(problems...)
}
