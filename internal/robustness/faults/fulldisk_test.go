package faults

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/bedrockguard/bedrockguard-go/budget/sqlitestore"
	"github.com/bedrockguard/bedrockguard-go/internal/robustness/backend"
)

// TestFullDisk fills the file system on which a SQLite ledger lies, and makes room again.
func TestFullDisk(t *testing.T) {
	backend.Each(t, backend.Named("sqlite"), func(t *testing.T, b backend.Backend, _ backend.Server) {
		dir := smallDisk(t)
		filler := filepath.Join(dir, "filler")
		c := &cell{address: b.Name + ":" + filepath.Join(dir, "spend.db"), trouble: trouble{
			name:  "disk full",
			begin: func(string) error { return fill(filler) },
			end:   func(string) error { return os.Remove(filler) },
		}}
		made, err := sqlitestore.Open(t.Context(), filepath.Join(dir, "spend.db"), sqlitestore.Options{Create: true})
		require.NoError(t, err)
		require.NoError(t, made.Close())
		c.run(t)
		require.Positive(t, c.during.unasked, "the disk was not full")
		m := newMatrix()
		m.add(b.Name, c)
		t.Log(m)
	})
}

// smallDisk mounts a file system of four megabytes until the test ends. Not everybody may.
func smallDisk(t *testing.T) string {
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size=4m"); err != nil {
		t.Skipf("this needs the right to mount a small file system: %v", err)
	}
	t.Cleanup(func() { require.NoError(t, syscall.Unmount(dir, syscall.MNT_DETACH)) })
	return dir
}

// fill writes until nothing more fits.
func fill(path string) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	defer f.Close()
	for block := make([]byte, 64<<10); len(block) > 0; {
		n, err := f.Write(block)
		if errors.Is(err, syscall.ENOSPC) {
			block = block[:n/2] // to the last byte
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}
