package ops

import (
	"net/http"
	"testing"
)

// TestClientsAreBounded: whatever a client does not send or read, its connection ends.
func TestClientsAreBounded(t *testing.T) {
	s := newServer(http.NotFoundHandler())
	if s.ReadHeaderTimeout <= 0 || s.ReadTimeout <= 0 || s.WriteTimeout <= 0 || s.IdleTimeout <= 0 || s.MaxHeaderBytes <= 0 {
		t.Errorf("time-outs of header %s, request %s, answer %s and idle connections %s; %d bytes of header",
			s.ReadHeaderTimeout, s.ReadTimeout, s.WriteTimeout, s.IdleTimeout, s.MaxHeaderBytes)
	}
}
