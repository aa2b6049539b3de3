//go:build linux || darwin || freebsd || netbsd || openbsd || dragonfly

package keys

import (
	"errors"
	"fmt"
	"os"
	"syscall"
)

// locked runs change while no other process changes the file. It locks a second file, because each change puts a new file in the place of the book.
// The second one is never deleted; its lock ends with the process.
func (f *File) locked(change func() error) error {
	lock, err := os.OpenFile(f.path+".lock", os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return fmt.Errorf("keys: %w", err)
	}
	defer lock.Close()
	for {
		err := syscall.Flock(int(lock.Fd()), syscall.LOCK_EX)
		if err == nil {
			return change()
		}
		if !errors.Is(err, syscall.EINTR) {
			return fmt.Errorf("keys: lock %s: %w", lock.Name(), err)
		}
	}
}
