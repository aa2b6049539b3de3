package storetest_test

import (
	"bytes"
	"context"
	"sync"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget"
	"github.com/bedrockguard/bedrockguard-go/budget/storetest"
)

// spending changes what rows of usage are told.
func spending(change func([]budget.UsageRow) []budget.UsageRow) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.usage = func(ctx context.Context, from budget.UsageMark, limit int) ([]budget.UsageRow, error) {
			all, err := b.Store.Usage(ctx, from, limit)
			return change(all), err
		}
	}
}

// charging changes settlements on their way.
func charging(change func(*budget.Settlement)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.settle = func(ctx context.Context, s budget.Settlement) (budget.Posting, error) {
			change(&s)
			return b.Store.Settle(ctx, s)
		}
	}
}

// flagging changes kill flags on their way.
func flagging(change func(*budget.Kill)) func(*broken, *storetest.Clock) {
	return func(b *broken, _ *storetest.Clock) {
		b.kill = func(ctx context.Context, k budget.Kill, c budget.Change) error {
			change(&k)
			return b.Store.Kill(ctx, k, c)
		}
	}
}

func each(change func(*budget.UsageRow)) func([]budget.UsageRow) []budget.UsageRow {
	return func(all []budget.UsageRow) []budget.UsageRow {
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
		"forgets whose usage it is": {[]string{"UsageIsAddedUpByDayAndScope", random}, spending(each(func(r *budget.UsageRow) { r.Scope = budget.Scope{} }))},
		"forgets the tags of usage": {[]string{"UsageIsAddedUpByDayAndScope"}, spending(each(func(r *budget.UsageRow) { r.Scope.Tags = nil }))},
		"counts usage in USD alone": {[]string{"UsageIsAddedUpByDayAndScope"}, spending(each(func(r *budget.UsageRow) { r.Charge[budget.UnitCalls] = 0 }))},
		"tells the usage of one day": {[]string{"UsageIsAddedUpByDayAndScope", "UsageComesInPages", random}, spending(func(all []budget.UsageRow) (day []budget.UsageRow) {
			for _, r := range all {
				if r.Day.Equal(all[0].Day) {
					day = append(day, r)
				}
			}
			return day
		})},
		"tells profiles apart":              {[]string{"UsageLeavesProfileAndProjectOut"}, charging(func(s *budget.Settlement) { s.Call = fineCall(s.Call) })},
		"counts nobody's usage never":       {[]string{"UsageOfNobodyIsTold"}, spending(func(all []budget.UsageRow) []budget.UsageRow { return without(all, (*budget.Call)(nil).UsageKey()) })},
		"leaves out what is not told apart": {[]string{"ADayHasSoManyRows"}, spending(func(all []budget.UsageRow) []budget.UsageRow { return without(all, budget.OtherUsage) })},
		"tells the first page of usage again": {[]string{"UsageComesInPages"}, func(b *broken, _ *storetest.Clock) {
			b.usage = func(ctx context.Context, from budget.UsageMark, limit int) ([]budget.UsageRow, error) {
				all, err := b.Store.Usage(ctx, from, limit)
				if len(all) == limit && len(all) > 1 {
					all = all[:limit-1]
				}
				return all, err
			}
		}},
		"gives all of it to the first": {[]string{"SharesDivideUsage", "SharesOfWhatExpired", random}, charging(func(s *budget.Settlement) {
			if len(s.Shares) > 0 {
				s.Call, s.Shares = s.Shares[0].Call, nil
			}
		})},
		"takes shares that do not add up": {[]string{"SharesMustAddUp"}, func(b *broken, _ *storetest.Clock) {
			b.unchecked = true
			b.settle = func(ctx context.Context, s budget.Settlement) (budget.Posting, error) {
				if s.Validate() != nil && len(s.Shares) > 0 {
					s.Shares = nil
				}
				return b.Store.Settle(ctx, s)
			}
		}},
		"counts what expired as nothing": {[]string{"UsageFollowsStates", random}, func(b *broken, _ *storetest.Clock) {
			var mu sync.Mutex
			mine := make(map[budget.ID]*budget.Call)
			b.reserve = func(ctx context.Context, r budget.Reservation) (budget.Decision, error) {
				mu.Lock()
				mine[r.ID] = r.Call
				mu.Unlock()
				r.Call = nil
				return b.Store.Reserve(ctx, r)
			}
			b.settle = func(ctx context.Context, s budget.Settlement) (budget.Posting, error) {
				mu.Lock()
				defer mu.Unlock()
				if s.Call == nil {
					s.Call = mine[s.ID]
				}
				return b.Store.Settle(ctx, s)
			}
		}},
		"forgets usage after a month": {[]string{"UsageIsKeptForItsRetention"}, func(b *broken, clock *storetest.Clock) {
			spending(func(all []budget.UsageRow) []budget.UsageRow {
				var young []budget.UsageRow
				for _, r := range all {
					if clock.Now().Sub(r.Day) < 32*24*time.Hour {
						young = append(young, r)
					}
				}
				return young
			})(b, clock)
		}},
		"keeps the first policy": {[]string{"APolicyIsComparedAndSet"}, func(b *broken, _ *storetest.Clock) {
			b.policy = func(ctx context.Context) (budget.PolicyDocument, error) {
				d, err := b.Store.Policy(ctx)
				if d.Version > 1 {
					d.Text = []byte("first")
				}
				return d, err
			}
		}},
		"sets a policy late": {[]string{"APolicyIsComparedAndSet", "ALateChangeIsToldPolicy", "ALateRepeatIsToldPolicy"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c budget.Change) error {
				return b.Store.SetPolicy(ctx, document, budget.Change{ID: budget.NewID(), Seen: 1 << 62, Operator: c.Operator, Reason: c.Reason})
			}
		}},
		"cuts a policy short": {[]string{"APolicyIsKept", "APolicyHasALength"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c budget.Change) error {
				return b.Store.SetPolicy(ctx, bytes.TrimRight(document[:min(len(document), 1000)], "\x00"), c)
			}
		}},
		"forgets who set a policy": {[]string{"APolicyIsKept"}, func(b *broken, _ *storetest.Clock) {
			b.policy = func(ctx context.Context) (budget.PolicyDocument, error) {
				d, err := b.Store.Policy(ctx)
				d.Operator = ""
				return d, err
			}
		}},
		"keeps a policy that was taken back": {[]string{"APolicyIsTakenBack"}, func(b *broken, _ *storetest.Clock) {
			b.setPolicy = func(ctx context.Context, document []byte, c budget.Change) error {
				if len(document) == 0 && c.Validate() == nil {
					return nil
				}
				return b.Store.SetPolicy(ctx, document, c)
			}
		}},
		"takes patterns for values": {[]string{"PatternsRefuseWhatTheyMatch", "PatternsAreRevivedEverywhere", random}, func(b *broken, _ *storetest.Clock) {
			b.kill = func(ctx context.Context, k budget.Kill, c budget.Change) error {
				if k.Patterns && k.Validate() == nil {
					k.Scope.Workflow += "\x00"
				}
				return b.Store.Kill(ctx, k, c)
			}
		}},
		"takes values for patterns": {[]string{"PatternsAreNoValues"}, flagging(func(k *budget.Kill) { k.Patterns = k.Patterns || k.Scope.Workflow == "n*" })},
		"sets any number of patterns": {[]string{"PatternsAreSoMany"}, func(b *broken, _ *storetest.Clock) {
			b.kill = func(ctx context.Context, k budget.Kill, c budget.Change) error {
				if k.Patterns && k.Scope.Workflow == "64*" {
					k.Patterns = false
				}
				return b.Store.Kill(ctx, k, c)
			}
		}},
		"kills everything by patterns of nothing": {[]string{"PatternsOfNothingAreRefused"}, flagging(func(k *budget.Kill) { k.Patterns = k.Patterns && len(k.Scope.Dims()) > 0 })},
		"has flags without an end":                {[]string{"AFlagEnds", "FlagsThatEndedMakeRoom", random}, flagging(func(k *budget.Kill) { k.Until = time.Time{} })},
		"tells flags that have ended": {[]string{"AFlagEnds"}, func(b *broken, _ *storetest.Clock) {
			var last []budget.Kill
			b.kills = func(ctx context.Context) ([]budget.Kill, error) {
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
func fineCall(c *budget.Call) *budget.Call {
	if c == nil {
		return nil
	}
	own := *c
	own.Scope.Workflow += c.Scope.Profile + c.Scope.Project
	return &own
}

func without(all []budget.UsageRow, key budget.Key) (left []budget.UsageRow) {
	for _, r := range all {
		if r.Key != key {
			left = append(left, r)
		}
	}
	return left
}
