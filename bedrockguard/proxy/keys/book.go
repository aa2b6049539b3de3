package keys

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// Book stores keys. If it can't be read it returns an error that is not one of ErrNotFound, ErrExpired and ErrRevoked, because then it is
// not known whether the key exists. It is safe for concurrent use.
type Book interface {
	// Find returns a key by its id, and ErrNotFound if there is none. The key may have expired or been revoked: see Ring.
	Find(ctx context.Context, id string) (Key, error)
	// FindBearer is Find by the hash of a bearer key. A zero hash finds nothing.
	FindBearer(ctx context.Context, hash Hash) (Key, error)
	// List returns all keys, including revoked and expired ones, the oldest first.
	List(ctx context.Context) ([]Key, error)
	// Put adds a key. It never changes one: if its id or its bearer hash exists, the error is ErrExists.
	Put(ctx context.Context, key Key) error
	// Revoke makes a key invalid, in every process within two seconds. A repeat keeps the time of the first one. If there is no such key,
	// the error is ErrNotFound.
	Revoke(ctx context.Context, id string, at time.Time) (Key, error)
}

// Ring checks the keys of callers with a book and a master key.
type Ring struct {
	Book   Book
	Master Master           // the zero value if AWS key pairs are not accepted
	Now    func() time.Time // nil is time.Now
}

var errNoMaster = errors.New("keys: no master key is set, so no AWS key pair can be checked: set one, or use a bearer key")

// Bearer returns the key of a caller with a bearer key; ErrNotFound, ErrExpired or ErrRevoked if it is not valid.
func (r *Ring) Bearer(ctx context.Context, bearer string) (Key, error) {
	hash, ok := HashBearer(bearer)
	if !ok {
		return Key{}, ErrNotFound
	}
	key, err := r.Book.FindBearer(ctx, hash)
	if err != nil {
		return Key{}, err
	}
	// The book is not trusted to have compared the whole hash.
	if !key.Bearer.Equal(hash) {
		return Key{}, ErrNotFound
	}
	return r.valid(key)
}

// Secrets returns the secrets with which requests of an access key id may be signed; ErrNotFound, ErrExpired or ErrRevoked if the key is not
// valid.
func (r *Ring) Secrets(ctx context.Context, accessKeyID string) ([][]byte, error) {
	if _, err := r.Key(ctx, accessKeyID); err != nil {
		return nil, err
	}
	if r.Master.IsZero() {
		return nil, errNoMaster
	}
	return r.Master.Secrets(accessKeyID), nil
}

// Key returns the key with an id whose signature was verified; ErrNotFound, ErrExpired or ErrRevoked if it is not valid.
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

// valid returns the key if it is valid now.
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
