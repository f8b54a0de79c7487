package api

import (
	"net/http"
	"net/http/httptest"
	"testing"
)

// TestOtherHostsAreRefused: a name that another site's page has given to this machine is refused on every path.
func TestOtherHostsAreRefused(t *testing.T) {
	w := newDeployment(t, func(c *Config) { c.Hosts = append(LoopbackHosts(), "127.0.0.7") })
	p := w.person("alice")
	f := func(host string, want int) {
		t.Helper()
		for _, path := range []string{"/policy", "/api/policy", "/healthz", "/metrics", "/openapi.json"} {
			r := httptest.NewRequestWithContext(t.Context(), "GET", path, nil)
			r.Host = host
			r.Header.Set("Authorization", "Bearer "+p.token)
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, r)
			(&reply{t, recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}).want(want)
		}
	}
	for _, host := range []string{"localhost", "localhost:8003", "LocalHost:8003", "127.0.0.1", "127.0.0.1:80", "[::1]", "[::1]:8003", "127.0.0.7:1"} {
		f(host, http.StatusOK)
	}
	for _, host := range []string{"", "evil.example", "evil.example:8003", "localhost.evil.example", "127.0.0.1.evil.example:8003",
		"127.0.0.8", "[::2]:8003", "[::1", ":8003", "localhost:8003:1"} {
		f(host, http.StatusMisdirectedRequest)
	}
}

func TestAnyHostWithoutAList(t *testing.T) {
	w := newDeployment(t)
	p := w.person("alice")
	r := httptest.NewRequestWithContext(t.Context(), "GET", "/policy", nil)
	r.Host = "mail.example"
	r.Header.Set("Authorization", "Bearer "+p.token)
	recorder := httptest.NewRecorder()
	w.handler.ServeHTTP(recorder, r)
	same(t, recorder.Code, http.StatusOK)
}
