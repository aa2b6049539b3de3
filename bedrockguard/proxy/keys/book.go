package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Book holds keys. A book that can't be read returns an error that is none of ErrNotFound, ErrExpired and ErrRevoked, so that nobody takes
// "could not find out" for "there is none". It is safe for concurrent use.
type Book interface {
	// Find returns a key by its id, ErrNotFound if there is none. What it returns may have expired or been revoked: see Ring.
	Find(ctx context.Context, id string) (Key, error)
	// FindBearer is Find by the hash of a bearer key. A zero hash finds nothing.
	FindBearer(ctx context.Context, hash Hash) (Key, error)
	// List returns all keys, the oldest first, revoked and expired ones, too.
	List(ctx context.Context) ([]Key, error)
	// Put adds a key. A key is never changed by it: ErrExists if its id or its bearer hash is there.
	Put(ctx context.Context, key Key) error
	// Revoke makes a key void, everywhere within two seconds. Once revoked, a key stays so, since its first time. ErrNotFound if there is
	// none.
	Revoke(ctx context.Context, id string, at time.Time) (Key, error)
}

// Ring checks what callers present, by a book and a master key.
type Ring struct {
	Book   Book
	Master Master           // none, if no AWS key pairs are to be good
	Now    func() time.Time // nil is time.Now
}

var errNoMaster = errors.New("keys: no master key is set, so no AWS key pair can be checked: set one, or use a bearer key")

// Bearer returns the key of a caller who presents a bearer key: ErrNotFound, ErrExpired or ErrRevoked if it is not good.
func (r *Ring) Bearer(ctx context.Context, bearer string) (Key, error) {
	hash, ok := HashBearer(bearer)
	if !ok {
		return Key{}, ErrNotFound
	}
	key, err := r.Book.FindBearer(ctx, hash)
	if err != nil {
		return Key{}, err
	}
	if !key.Bearer.Equal(hash) {
		return Key{}, ErrNotFound
	}
	return r.valid(key)
}

// Secrets returns the secrets that may have signed for an access key id, as a verifier of signatures asks for them: ErrNotFound,
// ErrExpired or ErrRevoked if the key is not good.
func (r *Ring) Secrets(ctx context.Context, accessKeyID string) ([][]byte, error) {
	if _, err := r.Key(ctx, accessKeyID); err != nil {
		return nil, err
	}
	if r.Master.IsZero() {
		return nil, errNoMaster
	}
	return r.Master.Secrets(accessKeyID), nil
}

// Key returns a key by its id, with which a signature was verified: ErrNotFound, ErrExpired or ErrRevoked if it is not good.
func (r *Ring) Key(ctx context.Context, id string) (Key, error) {
	if !IsID(id) {
		return Key{}, ErrNotFound
	}
	key, err := r.Book.Find(ctx, id)
	if err != nil {
		return Key{}, err
	}
	if key.ID != id {
		return Key{}, fmt.Errorf("keys: the book returned another key than the one that was asked for")
	}
	return r.valid(key)
}

func (r *Ring) valid(key Key) (Key, error) {
	now := time.Now
	if r.Now != nil {
		now = r.Now
	}
	if err := key.Check(now()); err != nil {
		return Key{}, err
	}
	return key, nil
}
