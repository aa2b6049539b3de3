//go:build !(linux || darwin || freebsd || netbsd || openbsd || dragonfly)

package keys

// locked runs change. There is no lock between processes here.
func (f *File) locked(change func() error) error { return change() }
