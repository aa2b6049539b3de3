package pgstore

import "syscall"

// tcpUserTimeout is TCP_USER_TIMEOUT, in milliseconds: see tcp(7).
const tcpUserTimeout = 18

func setSilence(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(maxSilence.Milliseconds()))
}
