package keys

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
)

const (
	// minMasterBytes is how long a master key has to be at least.
	minMasterBytes = 32
	// sigV4Purpose stands before the access key id in the text of which the master key makes a secret, so that a secret for another purpose
	// would differ from it.
	sigV4Purpose = "bedrockguard sigv4\x00"
)

// Master makes the secrets of AWS key pairs. Printing it does not show its keys. The zero value makes none; get one from ParseMaster.
type Master struct{ keys [][]byte }

// NewMaster returns the text of a new master key: 256 random bits.
func NewMaster() string {
	var b [minMasterBytes]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// ParseMaster parses one or two master keys, one in each line: those of NewMaster, or any others of at least 32 bytes that nobody can guess.
// New secrets are made with the first; those of the second are still valid. White space around a line and empty lines are ignored. The
// result does not share memory with text.
func ParseMaster(text []byte) (Master, error) {
	var m Master
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(line) < minMasterBytes {
			return Master{}, fmt.Errorf("keys: a master key of %d bytes: at least %d are needed", len(line), minMasterBytes)
		}
		m.keys = append(m.keys, bytes.Clone(line))
	}
	switch {
	case len(m.keys) == 0:
		return Master{}, errors.New("keys: no master key")
	case len(m.keys) > 2:
		return Master{}, fmt.Errorf("keys: %d master keys: at most two can be valid at once", len(m.keys))
	case len(m.keys) == 2 && bytes.Equal(m.keys[0], m.keys[1]):
		return Master{}, errors.New("keys: the same master key twice: leave one out")
	}
	return m, nil
}

// Secret returns the secret of the AWS key pair with an access key id, made with the first master key. It returns false without a master
// key, and for an id that does not have the form of NewID.
func (m Master) Secret(accessKeyID string) (string, bool) {
	if len(m.keys) == 0 || !IsID(accessKeyID) {
		return "", false
	}
	return secretOf(m.keys[0], accessKeyID), true
}

// Secrets returns the valid secrets for an access key id: one for each master key.
func (m Master) Secrets(accessKeyID string) [][]byte {
	if !IsID(accessKeyID) {
		return nil
	}
	var all [][]byte
	for _, key := range m.keys {
		all = append(all, []byte(secretOf(key, accessKeyID)))
	}
	return all
}

// secretOf returns the secret that a master key makes for an access key id, always the same one, so that it need not be stored.
func secretOf(master []byte, accessKeyID string) string {
	h := hmac.New(sha256.New, master)
	h.Write([]byte(sigV4Purpose + accessKeyID))
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// IsZero reports whether there is no master key.
func (m Master) IsZero() bool { return len(m.keys) == 0 }

// Format prints the number of master keys, whatever the verb.
func (m Master) Format(s fmt.State, _ rune) { fmt.Fprintf(s, "keys.Master(%d)", len(m.keys)) }

// LogValue returns what Format prints.
func (m Master) LogValue() slog.Value { return slog.StringValue(fmt.Sprint(m)) }
