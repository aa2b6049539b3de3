package keys

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base32"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Why a key is refused. A caller should get the same answer for the first three, so that it can't find out which keys exist.
var (
	ErrNotFound = errors.New("keys: no such key")
	ErrExpired  = errors.New("keys: the key has expired")
	ErrRevoked  = errors.New("keys: the key was revoked")
	ErrExists   = errors.New("keys: there is a key with this id or this bearer key already")
	ErrInvalid  = errors.New("keys: invalid key")
)

// Key is one virtual key. It has no secret.
type Key struct {
	ID        string            `json:"id"`                     // also the access key id of its AWS key pair; see NewID
	Bearer    Hash              `json:"bearer_sha256,omitzero"` // of its bearer key; zero if it has none
	Principal string            `json:"principal"`              // who pays
	Workflow  string            `json:"workflow,omitempty"`     // for all of its calls; if empty, callers may name one
	Tags      map[string]string `json:"tags,omitempty"`         // for all of its calls
	Created   time.Time         `json:"created"`                // never zero
	Expires   time.Time         `json:"expires,omitzero"`       // zero means never
	Revoked   time.Time         `json:"revoked,omitzero"`       // zero means that it is not revoked
}

// Check returns ErrRevoked or ErrExpired for a key that is not valid at the given time.
func (k *Key) Check(now time.Time) error {
	switch {
	case !k.Revoked.IsZero():
		return ErrRevoked
	case !k.Expires.IsZero() && !now.Before(k.Expires):
		return ErrExpired
	default:
		return nil
	}
}

const (
	maxNameBytes = 256
	maxTags      = 50
)

// Validate returns ErrInvalid for a key that no book may store.
func (k *Key) Validate() error {
	switch {
	case !IsID(k.ID):
		return fmt.Errorf("%w: its id is not one that NewID makes", ErrInvalid)
	case k.Principal == "" || !printable(k.Principal):
		return fmt.Errorf("%w: its principal is empty, longer than %d bytes or not printable", ErrInvalid, maxNameBytes)
	case !printable(k.Workflow):
		return fmt.Errorf("%w: its workflow is longer than %d bytes or not printable", ErrInvalid, maxNameBytes)
	case len(k.Tags) > maxTags:
		return fmt.Errorf("%w: it has more than %d tags", ErrInvalid, maxTags)
	case k.Created.IsZero():
		return fmt.Errorf("%w: it has no time of creation", ErrInvalid)
	}
	for name, value := range k.Tags {
		if name == "" || !printable(name) || !printable(value) {
			return fmt.Errorf("%w: a tag is without a name, longer than %d bytes or not printable", ErrInvalid, maxNameBytes)
		}
	}
	return nil
}

// printable reports whether a name of a key is short enough, valid UTF-8 and without invisible characters.
func printable(s string) bool {
	if len(s) > maxNameBytes || !utf8.ValidString(s) {
		return false
	}
	for _, r := range s {
		if !unicode.IsPrint(r) {
			return false
		}
	}
	return true
}

const (
	idPrefix     = "BGAK" // differs from AWS's own, so that they can't be confused
	idRandom     = 10     // bytes
	bearerPrefix = "bg-"
	bearerRandom = 32 // bytes
)

// NewID returns a new key id: "BGAK" and 16 random letters and digits. It is not secret.
func NewID() string {
	var b [idRandom]byte
	_, _ = rand.Read(b[:]) // never fails
	return idPrefix + base32.StdEncoding.EncodeToString(b[:])
}

// IsID reports whether an access key id has the form of NewID.
func IsID(id string) bool {
	rest, ok := strings.CutPrefix(id, idPrefix)
	if !ok || len(rest) != base32.StdEncoding.EncodedLen(idRandom) {
		return false
	}
	for _, c := range []byte(rest) {
		if (c < 'A' || c > 'Z') && (c < '2' || c > '7') {
			return false
		}
	}
	return true
}

// Hash is the SHA-256 of a bearer key. Its text is hexadecimal.
type Hash [sha256.Size]byte

// NewBearer returns a new bearer key, which is not stored anywhere, and its hash.
func NewBearer() (bearer string, hash Hash) {
	var b [bearerRandom]byte
	_, _ = rand.Read(b[:]) // never fails
	bearer = bearerPrefix + base64.RawURLEncoding.EncodeToString(b[:])
	return bearer, sha256.Sum256([]byte(bearer))
}

// HashBearer returns the hash of a caller's bearer key, and false if the text does not have the form of one.
func HashBearer(bearer string) (Hash, bool) {
	rest, ok := strings.CutPrefix(bearer, bearerPrefix)
	if !ok || len(rest) != base64.RawURLEncoding.EncodedLen(bearerRandom) {
		return Hash{}, false
	}
	// The decoder skips line breaks, so they are refused apart.
	if _, err := base64.RawURLEncoding.Strict().DecodeString(rest); err != nil || strings.ContainsAny(rest, "\r\n") {
		return Hash{}, false
	}
	return sha256.Sum256([]byte(bearer)), true
}

// Equal compares in constant time.
func (h Hash) Equal(o Hash) bool { return subtle.ConstantTimeCompare(h[:], o[:]) == 1 }

// IsZero reports whether there is no hash.
func (h Hash) IsZero() bool { return h == Hash{} }

// MarshalText writes 64 hexadecimal digits.
func (h Hash) MarshalText() ([]byte, error) { return []byte(hex.EncodeToString(h[:])), nil }

// UnmarshalText reads 64 hexadecimal digits.
func (h *Hash) UnmarshalText(text []byte) error {
	b, err := hex.DecodeString(string(text))
	if err != nil || len(b) != len(h) {
		return fmt.Errorf("%w: its bearer hash is not 64 hexadecimal digits", ErrInvalid)
	}
	copy(h[:], b)
	return nil
}
