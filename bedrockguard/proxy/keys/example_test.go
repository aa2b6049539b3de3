package keys_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/bedrockguard/bedrockguard-go/bedrockguard/proxy/keys"
)

// A key is made, handed out, presented and revoked.
func ExampleRing() {
	ctx := context.Background()
	folder, _ := os.MkdirTemp("", "keys")
	defer os.RemoveAll(folder)
	book, err := keys.OpenFile(filepath.Join(folder, "keys.json"), keys.FileOptions{Create: true})
	if err != nil {
		fmt.Println(err)
		return
	}
	master, _ := keys.ParseMaster([]byte(keys.NewMaster()))
	ring := keys.Ring{Book: book, Master: master}

	bearer, hash := keys.NewBearer() // shown once
	key := keys.Key{ID: keys.NewID(), Bearer: hash, Principal: "ci", Created: time.Now()}
	if err := book.Put(ctx, key); err != nil {
		fmt.Println(err)
		return
	}
	secret, _ := master.Secret(key.ID) // of the AWS key pair, shown whenever somebody asks

	known, err := ring.Bearer(ctx, bearer)
	fmt.Println(known.Principal, err)
	secrets, err := ring.Secrets(ctx, key.ID)
	fmt.Println(string(secrets[0]) == secret, err)

	_, _ = book.Revoke(ctx, key.ID, time.Now())
	_, err = ring.Bearer(ctx, bearer)
	fmt.Println(errors.Is(err, keys.ErrRevoked))
	// Output:
	// ci <nil>
	// true <nil>
	// true
}
