package statuspage

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/require"
)

// A login that has ended names nobody, so that the page shows its reader what it shows to everybody.
func TestAnEndedLoginIsNobodys(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var logins sessions
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://127.0.0.1:8788/", http.NoBody)
		r.AddCookie(&http.Cookie{Name: cookieName(r), Value: logins.begin("ada")})
		name, ok := logins.of(r)
		require.Equal(t, [2]any{"ada", true}, [2]any{name, ok})
		time.Sleep(sessionLength)
		name, ok = logins.of(r)
		require.Equal(t, [2]any{"", false}, [2]any{name, ok})
	})
}
