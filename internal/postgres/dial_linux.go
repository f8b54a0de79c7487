package postgres

import (
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// giveUpUnacknowledged makes the kernel end a TCP connection when the peer has acknowledged nothing of what was sent, or no
// probe, for deadPeer. libpq's tcp_user_timeout does the same.
func giveUpUnacknowledged(network, _ string, socket syscall.RawConn) error {
	if !strings.HasPrefix(network, "tcp") {
		return nil
	}
	var option error
	err := socket.Control(func(descriptor uintptr) {
		option = unix.SetsockoptInt(int(descriptor), unix.IPPROTO_TCP, unix.TCP_USER_TIMEOUT, int(deadPeer/time.Millisecond))
	})
	if err != nil {
		return err
	}
	return option
}
