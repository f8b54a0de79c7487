package dialer_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/dialer"
)

func TestKind(t *testing.T) {
	for address, want := range map[string]string{
		"93.184.215.14": "", "2606:2800:21f:cb07:6820:80da:af6b:8b2c": "", "8.8.8.8": "", "172.32.0.1": "", "100.128.0.1": "", "2a00:1450::1": "",
		"127.0.0.1": "loopback", "127.255.255.254": "loopback", "::1": "loopback", "::ffff:127.0.0.1": "loopback",
		"0.0.0.0": "unspecified", "0.1.2.3": "unspecified", "::": "unspecified", "::ffff:0.0.0.0": "unspecified",
		"10.0.0.1": "private", "172.16.0.1": "private", "172.31.255.255": "private", "192.168.1.1": "private", "::ffff:10.0.0.1": "private", "fd00::1": "private", "fec0::1": "private",
		"169.254.169.254": "link-local", "fe80::1": "link-local", "fe80::1%eth0": "link-local", "::ffff:169.254.169.254": "link-local",
		"224.0.0.1": "multicast", "ff02::1": "multicast", "239.255.255.255": "multicast",
		"100.64.0.1": "shared (carrier-grade NAT)", "100.127.255.255": "shared (carrier-grade NAT)",
		"255.255.255.255": "reserved", "240.0.0.1": "reserved", "192.0.2.1": "reserved", "198.18.0.1": "reserved", "198.51.100.7": "reserved",
		"203.0.113.9": "reserved", "192.0.0.8": "reserved", "2001:db8::1": "reserved", "100::1": "reserved", "3fff::1": "reserved",
		"64:ff9b::7f00:1": "translated", "64:ff9b::a00:1": "translated", "64:ff9b:1::1": "translated", "2002:7f00:1::": "translated", "2001::1": "translated",
		"::7f00:1": "translated", "::ffff:0:127.0.0.1": "translated", "192.88.99.1": "translated",
	} {
		if got := dialer.Kind(netip.MustParseAddr(address)); got != want {
			t.Errorf("%s is %q, want %q", address, got, want)
		}
	}
	if got := dialer.Kind(netip.Addr{}); got != "invalid" {
		t.Errorf("no address is %q", got)
	}
}

// resolver answers each look-up with the next of its lists, as a name does that is made to rebind.
type resolver struct {
	answers [][]string
	asked   int
}

func (r *resolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	var list []netip.Addr
	for _, text := range r.answers[min(r.asked, len(r.answers)-1)] {
		list = append(list, netip.MustParseAddr(text))
	}
	r.asked++
	return list, nil
}

func TestPrivateAddressesNeedASetting(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	for _, host := range []string{"127.0.0.1", "::ffff:127.0.0.1", "rebind.example"} {
		d := &dialer.Dialer{Resolver: &resolver{answers: [][]string{{"127.0.0.1"}}}}
		var refused *dialer.RefusedError
		if conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port)); !errors.As(err, &refused) || refused.Kind != "loopback" {
			t.Errorf("%s: %v, %v; want a refusal", host, conn, err)
		}
		d = &dialer.Dialer{Private: true, Resolver: &resolver{answers: [][]string{{"127.0.0.1"}}}}
		conn, err := d.DialContext(t.Context(), "tcp", net.JoinHostPort(host, port))
		if err != nil {
			t.Errorf("%s: %v, though it is allowed", host, err)
			continue
		}
		conn.Close()
	}
	d := &dialer.Dialer{Private: true}
	if _, err := d.DialContext(t.Context(), "tcp", "224.0.0.1:993"); err == nil {
		t.Error("a multicast address was dialled")
	}
	if _, err := d.DialContext(t.Context(), "unix", "/tmp/socket"); err == nil {
		t.Error("a socket that is not TCP was dialled")
	}
}

// A name is looked up once: what it is resolved to afterwards is not dialled.
func TestTheCheckedAddressIsDialled(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	names := &resolver{answers: [][]string{{"192.0.2.1", "2001:db8::1"}, {"127.0.0.1"}}}
	d := &dialer.Dialer{Resolver: names, Timeout: time.Second}
	if _, err := d.DialContext(t.Context(), "tcp", "rebind.example:"+port); err == nil {
		t.Error("the second answer was dialled")
	}
	if names.asked != 1 {
		t.Errorf("the name was resolved %d times", names.asked)
	}
}

func TestHTTPClient(t *testing.T) {
	other := httptest.NewServer(http.NotFoundHandler())
	defer other.Close()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /here", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Cookie") != "" {
			t.Error("a cookie was sent")
		}
		_, _ = io.WriteString(w, "here")
	})
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "a", Value: "b"})
		http.Redirect(w, r, r.URL.Query().Get("to"), http.StatusFound)
	})
	mux.HandleFunc("GET /long", func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, strings.Repeat("x", 100)) })
	server := httptest.NewServer(mux)
	defer server.Close()
	client := (&dialer.Dialer{Private: true}).HTTPClient(5*time.Second, 99)
	status := func(method, path string) int {
		t.Helper()
		r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := client.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		return answer.StatusCode
	}
	for _, one := range []struct {
		method, path string
		want         int
	}{
		{"GET", "/here", 200}, {"GET", "/away?to=/here", 200},
		{"POST", "/away?to=/here", 302}, {"GET", "/away?to=" + other.URL, 302}, {"GET", "/away?to=file:///etc/passwd", 302},
	} {
		if got := status(one.method, one.path); got != one.want {
			t.Errorf("%s %s: %d, want %d", one.method, one.path, got, one.want)
		}
	}
	answer, err := client.Get(server.URL + "/long")
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, err := io.ReadAll(answer.Body); !errors.Is(err, dialer.ErrTooLong) || len(text) != 99 {
		t.Errorf("read %d bytes, %v", len(text), err)
	}
	if _, err := (&dialer.Dialer{}).HTTPClient(time.Second, 99).Get(server.URL + "/here"); err == nil {
		t.Error("a loopback address was asked without the setting")
	}
}
