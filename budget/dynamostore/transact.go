package dynamostore

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	mathrand "math/rand/v2"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb"
	"github.com/aws/aws-sdk-go-v2/service/dynamodb/types"
)

// maxActions is how many items a transaction may touch.
const maxActions = 100

// The pauses between the attempts of a step: a random part of a bound that doubles.
const (
	firstPause = 10 * time.Millisecond
	movedPause = 2 * time.Millisecond // nobody is overloaded: somebody else was faster
	maxPause   = time.Second
)

// attemptShare says which part of a step's time one attempt may take: a third.
const attemptShare = 3

// step is one operation under way. Its name goes into what it writes, so that it recognises its own writing when the
// reply was lost.
type step struct {
	name      [stepBytes]byte // random
	attempt   uint32          // the number of the last attempt that wrote or tried to
	revisions []int64         // of the ledger, which attempts to change it may have made: see readChange
}

// mark begins the next attempt at writing, and returns what it leaves in the entry that it writes: the step's name and the attempt's number.
func (t *step) mark() (m stepMark) {
	t.attempt++
	copy(m[:], t.name[:])
	binary.BigEndian.PutUint32(m[stepBytes:], t.attempt)
	return m
}

// attemptOf returns which attempt wrote a mark.
func attemptOf(m stepMark) uint32 { return binary.BigEndian.Uint32(m[stepBytes:]) }

// do repeats an operation until it has an answer or its time is up: then it fails, and says why. From time to time it also looks whether the table is
// still the one that was opened. All that an operation writes is conditional on what it found, so that a repetition, by this loop or by the SDK
// below it, changes nothing twice.
func (s *Store) do(ctx context.Context, op string, run func(context.Context, *step) error) error {
	return s.anyway(ctx, op, func(ctx context.Context, t *step) error { return s.once(ctx, t, run) })
}

// anyway is do, but does not look whether the table is still the one that was opened. once makes one attempt.
func (s *Store) anyway(ctx context.Context, op string, once func(context.Context, *step) error) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout)
	defer cancel()
	t := &step{}
	rand.Read(t.name[:])
	var last error // what the service said, if it said anything
	for tries := 1; ; tries++ {
		err := once(ctx, t)
		if err == nil {
			return nil
		}
		bound, again := repeatable(err)
		if again && ctx.Err() == nil { // an error from before the end of the time says more than one that the end has caused
			last = err
		}
		// An error that is final ends the step. That a context has ended is none: it is reported below, with what the service answered last.
		if !again && !errors.Is(err, context.Canceled) && !errors.Is(err, context.DeadlineExceeded) {
			return err
		}
		// If the time is up, the error also says what the service answered last.
		if ctx.Err() != nil || !pause(ctx, bound, tries) {
			return fmt.Errorf("dynamostore: %s: no answer in time, %d tries: %w", op, tries, errors.Join(ctx.Err(), cmp.Or(last, err)))
		}
	}
}

// repeatable reports whether another attempt may succeed after an error, and the bound of the first pause before that.
func repeatable(err error) (bound time.Duration, again bool) {
	var transient *transientError
	switch {
	case errors.As(err, &transient), errors.Is(err, errDrained): // it passes; or a kill flag is being set, for which reservations wait
		return firstPause, true
	case errors.Is(err, errMoved): // a condition did not hold: the next attempt decides anew
		return movedPause, true
	default:
		return firstPause, false
	}
}

// pause waits for a random part of a bound that doubles with each try. It reports false if the context ended first.
func pause(ctx context.Context, bound time.Duration, tries int) bool {
	timer := time.NewTimer(mathrand.N(min(bound<<min(tries-1, 10), maxPause) + 1))
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// once makes one attempt at a step. It has a part of the step's time, so that a connection which does not answer does not take all of it. It also
// finds out whether the table is gone; a loss that an operator has accepted makes the step start again.
func (s *Store) once(ctx context.Context, t *step, run func(context.Context, *step) error) error {
	if s.closed.Load() {
		return errClosed
	}
	outer := ctx
	ctx, cancel := context.WithTimeout(ctx, s.opts.Timeout/attemptShare)
	defer cancel()
	err := s.verify(ctx) // looks up the table's id, when it is time
	if err == nil {
		err = run(ctx, t)
	}
	if err != nil && ctx.Err() != nil && outer.Err() == nil {
		return &transientError{err} // a connection that went silent holds up one attempt, not the step
	}
	if missing(err) && s.identity.of() == "" { // no ledger was opened yet
		return fmt.Errorf("dynamostore: there is no such table: CreateTable makes one: %w", err)
	}
	if missing(err) { // with doubt, no step goes on before it has looked what table is there
		s.identity.doubt()
		err = errors.Join(errReplaced, err)
	}
	if errors.Is(err, errReplaced) && s.accepted(outer) { // outer: this asks the service, and little may be left of the attempt's part
		return errMoved // the step is decided anew, on what is there
	}
	return err
}

// write sends a transaction. If transactions have met in one of its items lately, it waits until no other step of this process uses the item. began
// and saw learn the service's time from the response.
func (s *Store) write(ctx context.Context, actions []types.TransactWriteItem) error {
	keys := keysOf(actions)
	leave, err := s.hot.queue(ctx, keys, hotReaders) // as much as all reads that an item has room for
	if err != nil {
		return err
	}
	defer leave()
	began := s.clock.began()
	out, err := s.client.TransactWriteItems(ctx, &dynamodb.TransactWriteItemsInput{TransactItems: actions})
	if err != nil {
		s.clock.sawError(err, began)
		s.noteConflicts(err, keys)
		return classify(ctx, err, len(actions))
	}
	s.clock.saw(out.ResultMetadata, began)
	return nil
}

// snapshot reads items as they stood at one moment, in the order of their keys; one that does not exist is empty. At items in which transactions have
// met lately, it waits for writes of this process.
func (s *Store) snapshot(ctx context.Context, keys []itemKey) ([]item, error) {
	gets := make([]types.TransactGetItem, len(keys))
	for i, k := range keys {
		gets[i].Get = &types.Get{TableName: &s.table, Key: k.attributes()}
	}
	leave, err := s.hot.queue(ctx, keys, 1) // beside other reads
	if err != nil {
		return nil, err
	}
	defer leave()
	began := s.clock.began()
	out, err := s.client.TransactGetItems(ctx, &dynamodb.TransactGetItemsInput{TransactItems: gets})
	if err != nil {
		s.clock.sawError(err, began)
		s.noteConflicts(err, keys)
		return nil, classify(ctx, err, len(keys))
	}
	s.clock.saw(out.ResultMetadata, began)
	if len(out.Responses) != len(keys) {
		return nil, fmt.Errorf("dynamostore: %d answers to %d questions", len(out.Responses), len(keys))
	}
	items := make([]item, len(keys))
	for i := range items {
		items[i] = out.Responses[i].Item
	}
	return items, nil
}

// get reads one item.
func (s *Store) get(ctx context.Context, k itemKey) (item, error) {
	began := s.clock.began()
	out, err := s.client.GetItem(ctx, &dynamodb.GetItemInput{TableName: &s.table, Key: k.attributes(), ConsistentRead: aws.Bool(true)})
	if err != nil {
		s.clock.sawError(err, began)
		return nil, classify(ctx, err, 1) // the number matters for a transaction alone
	}
	s.clock.saw(out.ResultMetadata, began)
	return out.Item, nil
}

// query reads a partition, or a part of it, page by page, and calls each for each item, until that returns false or an error, or there are no more.
func (s *Store) query(ctx context.Context, in dynamodb.QueryInput, each func(item) (more bool, err error)) error {
	in.TableName, in.ConsistentRead = &s.table, aws.Bool(true)
	for {
		began := s.clock.began()
		out, err := s.client.Query(ctx, &in)
		if err != nil {
			s.clock.sawError(err, began)
			return classify(ctx, err, 1)
		}
		s.clock.saw(out.ResultMetadata, began)
		for _, found := range out.Items {
			if more, err := each(found); err != nil || !more {
				return err
			}
		}
		if len(out.LastEvaluatedKey) == 0 {
			return nil
		}
		in.ExclusiveStartKey = out.LastEvaluatedKey
	}
}

// The actions of a transaction. If the condition of one does not hold, the error has the item that stood there.

// old has the service return that item. Without a condition there is nothing to ask for.
func (x *expression) old() types.ReturnValuesOnConditionCheckFailure {
	if len(x.conditions) == 0 {
		return ""
	}
	return types.ReturnValuesOnConditionCheckFailureAllOld
}

// put returns the action that writes a whole item, under the condition of x.
func (s *Store) put(whole item, x *expression) types.TransactWriteItem {
	return types.TransactWriteItem{Put: &types.Put{
		TableName: &s.table, Item: whole, ConditionExpression: x.condition(), ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: x.old(),
	}}
}

// update returns the action that changes attributes of an item, which need not exist, as x says, under the condition of x.
func (s *Store) update(k itemKey, x *expression) types.TransactWriteItem {
	return types.TransactWriteItem{Update: &types.Update{
		TableName: &s.table, Key: k.attributes(), UpdateExpression: x.update(), ConditionExpression: x.condition(), ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: x.old(),
	}}
}

// remove returns the action that deletes an item, under the condition of x.
func (s *Store) remove(k itemKey, x *expression) types.TransactWriteItem {
	return types.TransactWriteItem{Delete: &types.Delete{
		TableName: &s.table, Key: k.attributes(), ConditionExpression: x.condition(), ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: x.old(),
	}}
}

// check returns the action that changes nothing, and lets the transaction pass only under the condition of x.
func (s *Store) check(k itemKey, x *expression) types.TransactWriteItem {
	return types.TransactWriteItem{ConditionCheck: &types.ConditionCheck{
		TableName: &s.table, Key: k.attributes(), ConditionExpression: x.condition(), ExpressionAttributeNames: x.names,
		ExpressionAttributeValues: x.values, ReturnValuesOnConditionCheckFailure: x.old(),
	}}
}
