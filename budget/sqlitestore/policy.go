package sqlitestore

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"time"

	"github.com/bedrockguard/bedrockguard-go/budget/driver"
)

// SetPolicy implements driver.Store. The policy's version is the revision of the change, which has just been put into the audit trail.
func (s *Store) SetPolicy(ctx context.Context, document []byte, c driver.Change) error {
	if err := cmp.Or(driver.ValidateDocument(document), c.Validate()); err != nil {
		return err
	}
	r := driver.Record{Change: c, Kind: driver.ChangePolicy, Policy: driver.DocumentSum(document)}
	return s.change(ctx, r, func(t *tx) error {
		var revision int64
		if err := t.stmt(sqlRevision).QueryRow().Scan(&revision); err != nil {
			return err
		}
		// A nil document, which takes the policy back, becomes empty bytes, because the column refuses a null.
		return t.exec(sqlSetPolicy, blob(document), revision, t.now.UnixNano(), []byte(c.Operator), []byte(c.Reason))
	})
}

// Policy implements driver.Store. Without a policy it returns the zero value.
func (s *Store) Policy(ctx context.Context) (d driver.PolicyDocument, err error) {
	err = s.do(ctx, false, func(t *tx) error {
		d = driver.PolicyDocument{}
		var at int64
		var operator, reason []byte
		err := t.stmt(sqlPolicy).QueryRow().Scan(&d.Text, &d.Version, &at, &operator, &reason)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		d.At, d.Operator, d.Reason = time.Unix(0, at), string(operator), string(reason)
		return err
	})
	return d, err
}
