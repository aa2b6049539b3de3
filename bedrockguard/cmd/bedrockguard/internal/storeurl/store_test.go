package storeurl

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// No error about a store's address repeats its password, whatever is wrong with the rest.
func FuzzStoreAddressKeepsItsSecret(f *testing.F) {
	const secret = "hunter2hunter2"
	for _, rest := range []string{"host:6379/0", "host:notaport/0", "host/db?sslmode=perhaps", "%zz", "[::1", "host/0?retention=x", "host:1,other:2/db", "host?addr=h:1", "host/0?dial_timeout=x", "\x7f", "a b"} {
		for _, scheme := range []string{"redis", "rediss", "postgres", "dynamodb", "sqlite", "mysql", "unix"} {
			f.Add(scheme, rest)
		}
	}
	f.Fuzz(func(t *testing.T, scheme, rest string) {
		if strings.Contains(scheme, "hunter2") || strings.Contains(rest, "hunter2") {
			return
		}
		u, err := parseStoreURL(scheme + "://user:" + secret + "@" + rest)
		if err == nil && u.kind == "redis" {
			client, clientErr := u.redisClient()
			if err = clientErr; client != nil {
				require.NoError(t, client.Close())
			}
		}
		if err == nil && u.kind == "postgres" {
			_, err = u.poolConfig()
		}
		if err != nil {
			require.NotContains(t, err.Error(), "hunter2")
		}
	})
}
