//go:build !linux

package pgstore

// setSilence does nothing: only on Linux it sets a socket option.
func setSilence(uintptr) {}
