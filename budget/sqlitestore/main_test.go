package sqlitestore

import (
	"os"
	"testing"

	"go.uber.org/goleak"
)

func TestMain(m *testing.M) {
	benchmarkChild()
	crashChild()
	goleak.VerifyTestMain(m, goleak.IgnoreCurrent())
}

func tempFile(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "sqlitestore")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir + "/spend.db"
}
