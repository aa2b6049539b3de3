package pgstore

import "syscall"

// tcpUserTimeout is the number of the socket option TCP_USER_TIMEOUT, which package syscall lacks: see tcp(7). The value of the option is in
// milliseconds.
const tcpUserTimeout = 18

// setSilence limits for a socket how long sent bytes may stay unacknowledged.
func setSilence(fd uintptr) {
	_ = syscall.SetsockoptInt(int(fd), syscall.IPPROTO_TCP, tcpUserTimeout, int(maxSilence.Milliseconds()))
}
