package driver

import (
	"crypto/rand"
	"encoding/hex"
	"fmt"
)

// ID names a reservation: 128 random bits, made by the library before anything is sent.
type ID [16]byte

// String prints the id as 32 hexadecimal digits.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// NewID returns a fresh id.
func NewID() ID {
	var id ID
	rand.Read(id[:])
	return id
}

// ParseID parses what String prints.
func ParseID(s string) (ID, error) {
	var id ID
	if len(s) != 2*len(id) {
		return id, fmt.Errorf("budget: reservation id of %d characters, want %d", len(s), 2*len(id))
	}
	if _, err := hex.Decode(id[:], []byte(s)); err != nil {
		return ID{}, fmt.Errorf("budget: reservation id is not hexadecimal")
	}
	return id, nil
}

// State is where a reservation stands.
type State uint8

// The states and their transitions: none -> Pending -> Settled | Voided | Expired, and Expired -> Settled by a late Settle.
const (
	Pending State = iota + 1 // its worst case is reserved
	Settled                  // its actual cost is posted
	Voided                   // nothing was consumed
	Expired                  // nobody settled it before it expired: its worst case is posted
)

// stateNames are the names of the states; the first is that of the zero State.
var stateNames = [...]string{"none", "pending", "settled", "voided", "expired"}

// String returns the state's name.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return fmt.Sprintf("state(%d)", uint8(s))
}
