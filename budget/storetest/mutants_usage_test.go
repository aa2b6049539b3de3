package storetest_test

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// spending changes what rows of usage are told.
func spending(change func([]driver.UsageRow) []driver.UsageRow) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.usage = func(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
			all, err := b.Store.Usage(ctx, from, limit)
			return change(all), err
		}
	}
}

// charging changes settlements on their way.
func charging(change func(*driver.Settlement)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
			change(&s)
			return b.Store.Settle(ctx, s)
		}
	}
}

// flagging changes kill flags on their way.
func flagging(change func(*driver.Kill)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
			change(&k)
			return b.Store.Kill(ctx, k, c)
		}
	}
}

func each(change func(*driver.UsageRow)) func([]driver.UsageRow) []driver.UsageRow {
	return func(all []driver.UsageRow) []driver.UsageRow {
		for i := range all {
			change(&all[i])
		}
		return all
	}
}

func init() {
	type mutant = struct {
		rules []string
		spoil func(*broken, *storetest.Clock)
	}
	for name, m := range map[string]mutant{
		"forgets whose usage it is": {[]string{"UsageIsAddedUpByDayAndScope", random}, spending(each(func(r *driver.UsageRow) { r.Scope = driver.Scope{} }))},
		"forgets the tags of usage": {[]string{"UsageIsAddedUpByDayAndScope"}, spending(each(func(r *driver.UsageRow) { r.Scope.Tags = nil }))},
		"counts usage in USD alone": {[]string{"UsageIsAddedUpByDayAndScope"}, spending(each(func(r *driver.UsageRow) { r.Charge[driver.UnitCalls] = 0 }))},
		"tells the usage of one day": {[]string{"UsageIsAddedUpByDayAndScope", "UsageComesInPages", random}, spending(func(all []driver.UsageRow) (day []driver.UsageRow) {
			for _, r := range all {
				if r.Day.Equal(all[0].Day) {
					day = append(day, r)
				}
			}
			return day
		})},
		"tells profiles apart":              {[]string{"UsageLeavesProfileAndProjectOut"}, charging(func(s *driver.Settlement) { s.Call = fineCall(s.Call) })},
		"counts nobody's usage never":       {[]string{"UsageOfNobodyIsTold"}, spending(func(all []driver.UsageRow) []driver.UsageRow { return without(all, (*driver.Call)(nil).UsageKey()) })},
		"leaves out what is not told apart": {[]string{"ADayHasSoManyRows"}, spending(func(all []driver.UsageRow) []driver.UsageRow { return without(all, driver.OtherUsage) })},
		"tells the first page of usage again": {[]string{"UsageComesInPages"}, func(b *broken, _ *storetest.Clock) {
			b.usage = func(ctx context.Context, from driver.UsageMark, limit int) ([]driver.UsageRow, error) {
				all, err := b.Store.Usage(ctx, from, limit)
				if len(all) == limit && len(all) > 1 {
					all = all[:limit-1]
				}
				return all, err
			}
		}},
		"gives all of it to the first": {[]string{"SharesDivideUsage", "SharesOfWhatExpired", random}, charging(func(s *driver.Settlement) {
			if len(s.Shares) > 0 {
				s.Call, s.Shares = s.Shares[0].Call, nil
			}
		})},
		"takes shares that do not add up": {[]string{"SharesMustAddUp"}, func(b *broken, _ *storetest.Clock) {
			b.unchecked = true
			b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
				if s.Validate() != nil && len(s.Shares) > 0 {
					s.Shares = nil
				}
				return b.Store.Settle(ctx, s)
			}
		}},
		"counts what expired as nothing": {[]string{"UsageFollowsStates", random}, func(b *broken, _ *storetest.Clock) {
			var mu sync.Mutex
			mine := make(map[driver.ID]*driver.Call)
			b.reserve = func(ctx context.Context, r driver.Reservation) (driver.Decision, error) {
				mu.Lock()
				mine[r.ID] = r.Call
				mu.Unlock()
				r.Call = nil
				return b.Store.Reserve(ctx, r)
			}
			b.settle = func(ctx context.Context, s driver.Settlement) (driver.Posting, error) {
				mu.Lock()
				defer mu.Unlock()
				if s.Call == nil {
					s.Call = mine[s.ID]
				}
				return b.Store.Settle(ctx, s)
			}
		}},
		"forgets usage after a month": {[]string{"UsageIsKeptForItsRetention"}, func(b *broken, clock *storetest.Clock) {
			spending(func(all []driver.UsageRow) []driver.UsageRow {
				var young []driver.UsageRow
				for _, r := range all {
					if clock.Now().Sub(r.Day) < 32*24*time.Hour {
						young = append(young, r)
					}
				}
				return young
			})(b, clock)
		}},
		"keeps the first policy": {[]string{"APolicyIsComparedAndSet"}, func(b *broken, _ *storetest.Clock) {
			b.policy = func(ctx context.Context) (driver.PolicyDocument, error) {
				d, err := b.Store.Policy(ctx)
				if d.Version > 1 {
					d.Text = []byte("first")
				}
				return d, err
			}
		}},
		"sets a policy late": {[]string{"APolicyIsComparedAndSet", "ALateChangeIsToldPolicy", "ALateRepeatIsToldPolicy"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c driver.Change) error {
				return b.Store.SetPolicy(ctx, document, driver.Change{ID: driver.NewID(), Seen: 1 << 62, Operator: c.Operator, Reason: c.Reason})
			}
		}},
		"cuts a policy short": {[]string{"APolicyIsKept", "APolicyHasALength"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c driver.Change) error {
				return b.Store.SetPolicy(ctx, bytes.TrimRight(document[:min(len(document), 1000)], "\x00"), c)
			}
		}},
		"forgets who set a policy": {[]string{"APolicyIsKept"}, func(b *broken, _ *storetest.Clock) {
			b.policy = func(ctx context.Context) (driver.PolicyDocument, error) {
				d, err := b.Store.Policy(ctx)
				d.Operator = ""
				return d, err
			}
		}},
		"keeps a policy that was taken back": {[]string{"APolicyIsTakenBack"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c driver.Change) error {
				if len(document) == 0 && c.Validate() == nil {
					return nil
				}
				return b.Store.SetPolicy(ctx, document, c)
			}
		}},
		"takes patterns for values": {[]string{"PatternsRefuseWhatTheyMatch", "PatternsAreRevivedEverywhere", random}, func(b *broken, _ *storetest.Clock) {
			b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
				if k.Patterns && k.Validate() == nil {
					k.Scope.Workflow += "\x00"
				}
				return b.Store.Kill(ctx, k, c)
			}
		}},
		"takes values for patterns": {[]string{"PatternsAreNoValues"}, flagging(func(k *driver.Kill) { k.Patterns = k.Patterns || k.Scope.Workflow == "n*" })},
		"sets any number of patterns": {[]string{"PatternsAreSoMany"}, func(b *broken, _ *storetest.Clock) {
			b.kill = func(ctx context.Context, k driver.Kill, c driver.Change) error {
				if k.Patterns && k.Scope.Workflow == "64*" {
					k.Patterns = false
				}
				return b.Store.Kill(ctx, k, c)
			}
		}},
		"kills everything by patterns of nothing": {[]string{"PatternsOfNothingAreRefused"}, flagging(func(k *driver.Kill) { k.Patterns = k.Patterns && len(k.Scope.Dims()) > 0 })},
		"has flags without an end":                {[]string{"AFlagEnds", "FlagsThatEndedMakeRoom", random}, flagging(func(k *driver.Kill) { k.Until = time.Time{} })},
		"tells flags that have ended": {[]string{"AFlagEnds"}, func(b *broken, _ *storetest.Clock) {
			var last []driver.Kill
			b.kills = func(ctx context.Context) ([]driver.Kill, error) {
				all, err := b.Store.Kills(ctx)
				if len(all) == 0 {
					return last, err
				}
				last = all
				return all, err
			}
		}},
	} {
		mutants[name] = m
	}
}

// fineCall tells calls apart that differ in profile or project alone.
func fineCall(c *driver.Call) *driver.Call {
	if c == nil {
		return nil
	}
	own := *c
	own.Scope.Workflow += c.Scope.Profile + c.Scope.Project
	return &own
}

func without(all []driver.UsageRow, key driver.Key) (left []driver.UsageRow) {
	for _, r := range all {
		if r.Key != key {
			left = append(left, r)
		}
	}
	return left
}
