package redisstore

import (
	"context"
	"encoding/json"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/internal/account"
)

// flagJSON is the payload of a kill flag: what is stored of it besides the time when it was set. It keeps text as bytes, because it need not
// be valid UTF-8. Until is in nanoseconds since 1970, 0 for a flag without an end. What has omitempty was added later, and is
// not in flags that were stored before.
type flagJSON struct {
	Principal, Workflow, Model, Reason []byte
	Region, Profile, Project           []byte `json:",omitempty"`
	Tags                               [][2][]byte
	Patterns                           bool  `json:",omitempty"`
	Until                              int64 `json:",omitempty"`
}

// encodeFlag returns the payload of a flag. account.End, and Ended, which is its reverse, convert its end as flagJSON says.
func encodeFlag(k driver.Kill) ([]byte, error) {
	s := k.Scope
	out := flagJSON{Principal: []byte(s.Principal), Workflow: []byte(s.Workflow), Model: []byte(s.Model), Reason: []byte(k.Reason), Patterns: k.Patterns, Until: account.End(k.Until)}
	out.Region, out.Profile, out.Project = []byte(s.Region), []byte(s.Profile), []byte(s.Project)
	for name, value := range s.Tags {
		out.Tags = append(out.Tags, [2][]byte{[]byte(name), []byte(value)})
	}
	return json.Marshal(out)
}

// decodeFlag decodes what encodeFlag returned. It leaves out when the flag was set, which is stored beside the payload.
func decodeFlag(raw string) (k driver.Kill, err error) {
	var in flagJSON
	if err := json.Unmarshal([]byte(raw), &in); err != nil {
		return k, errReply
	}
	k.Scope = driver.Scope{
		Principal: string(in.Principal), Workflow: string(in.Workflow), Model: string(in.Model),
		Region: string(in.Region), Profile: string(in.Profile), Project: string(in.Project),
	}
	k.Reason, k.Patterns, k.Until = string(in.Reason), in.Patterns, account.Ended(in.Until)
	for _, tag := range in.Tags {
		if k.Scope.Tags == nil {
			k.Scope.Tags = make(map[string]string, len(in.Tags))
		}
		k.Scope.Tags[string(tag[0])] = string(tag[1])
	}
	return k, nil
}

// parseFlag decodes the payload of a flag that was set at a given time, in microseconds.
func parseFlag(at int64, payload string) (driver.Kill, error) {
	k, err := decodeFlag(payload)
	if at > never {
		err = errReply
	}
	k.At = fromMicro(min(at, never)) // never is the latest time in a ledger, and the latest that can be converted
	return k, err
}

// parseFlags decodes several kill flags, one after the other, as the script returns them, and leaves out those that have ended by now. Times are
// in microseconds.
func parseFlags(in reader, now int64) (all []driver.Kill, err error) {
	for !in.failed && in.text != "" {
		in.bytes(16 * int(in.number(1))) // the keys of its dimensions, by which the script tells whether it holds for a call; the payload has its scope
		at, until := in.count(), in.count()
		payload := in.bytes(int(in.number(4)))
		if in.failed {
			break
		}
		k, err := parseFlag(at, payload)
		if err != nil {
			return nil, err
		}
		// until is 0 for a flag without an end.
		if until == 0 || now < until {
			all = append(all, k)
		}
	}
	if in.failed {
		return nil, errReply
	}
	return all, nil
}

// Kills implements driver.Store. The script returns flags that have ended, too; they are left out here, by the server's time. The request
// holds the ledger's random name (epoch) and the highest sequence seen, by which the script notices a ledger that was lost.
func (s *Store) Kills(ctx context.Context) ([]driver.Kill, error) {
	answer, err := s.ask(ctx, scriptKills, nil, func(_, clock int64) ([]any, error) {
		return []any{[]byte(newHead(s.epoch()).numbers(s.seen.Load(), clock))}, nil
	})
	if err != nil {
		return nil, err
	}
	return parseFlags(answer.rest, answer.now)
}
