package api

import (
	"net"
	"net/http"
	"slices"
	"strings"
)

// LoopbackHosts are the names of this machine that no name server can give to another. A page of another site that has
// given its own name to 127.0.0.1 sends its own name as the Host.
func LoopbackHosts() []string { return []string{"localhost", "127.0.0.1", "::1"} }

// knowsHost tells whether requests may name the host, whatever the port.
func (s *server) knowsHost(host string) bool {
	if len(s.hosts) == 0 {
		return true
	}
	name, _, err := net.SplitHostPort(host)
	if err != nil {
		name, _, err = net.SplitHostPort(host + ":0") // it has no port
	}
	return err == nil && slices.ContainsFunc(s.hosts, func(known string) bool { return strings.EqualFold(known, name) })
}

// refuseHost answers a request for a host that this is not.
func (s *server) refuseHost(w http.ResponseWriter) {
	writeProblem(w, http.StatusMisdirectedRequest, "this server answers only requests for the hosts "+strings.Join(s.hosts, ", ")+
		": open it under one of these names")
}
