package dialer

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// Limits of requests to hosts that others name.
const (
	mostRedirects   = 3
	mostHeaderBytes = 64 << 10
)

// ErrTooLong tells that an answer is longer than its client reads.
var ErrTooLong = errors.New("the answer is too long")

// HTTPClient returns a client for hosts that others name. A request ends after timeout, and reading more than limit bytes of an
// answer fails with ErrTooLong. It has no cookies and no proxy, keeps no connection, and follows a redirect only of a GET, within
// the same scheme, host and port; any other redirect is the answer.
func (d *Dialer) HTTPClient(timeout time.Duration, limit int64) *http.Client {
	return &http.Client{
		Timeout: timeout,
		Transport: limited{limit, &http.Transport{
			DialContext: d.DialContext, DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: d.Roots, MinVersion: tls.VersionTLS12}, TLSHandshakeTimeout: timeout, ResponseHeaderTimeout: timeout,
			MaxResponseHeaderBytes: mostHeaderBytes,
		}},
		CheckRedirect: func(next *http.Request, via []*http.Request) error {
			first := via[0]
			if first.Method != http.MethodGet || next.URL.Scheme != first.URL.Scheme || next.URL.Host != first.URL.Host {
				return http.ErrUseLastResponse
			}
			if len(via) > mostRedirects {
				return fmt.Errorf("more than %d redirects", mostRedirects)
			}
			return nil
		},
	}
}

// limited bounds the bodies of answers.
type limited struct {
	most int64
	http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (l limited) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := l.RoundTripper.RoundTrip(r)
	if err == nil {
		answer.Body = &boundedBody{answer.Body, l.most}
	}
	return answer, err
}

// boundedBody fails when more is read than is left.
type boundedBody struct {
	io.ReadCloser
	left int64
}

// Read implements io.Reader.
func (b *boundedBody) Read(p []byte) (int, error) {
	if b.left < 0 {
		return 0, ErrTooLong
	}
	if int64(len(p)) > b.left+1 {
		p = p[:b.left+1]
	}
	n, err := b.ReadCloser.Read(p)
	if b.left -= int64(n); b.left < 0 {
		return n - 1, ErrTooLong
	}
	return n, err
}
