//go:build !linux

package pgstore

func setSilence(uintptr) {}
