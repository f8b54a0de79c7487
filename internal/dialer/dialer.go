// Package dialer makes the connections to hosts that a person or a mail names: those of accounts, of sign-in, of autodiscovery and
// of unsubscribing. Nothing else may connect to such a host.
//
// A name is resolved once, each address is checked, and the very address that was checked is dialled, so that a name that
// is resolved to another address in between gains nothing. Addresses that are not public (this machine, private
// networks, and those that are reached through a translation) need an operator's setting.
package dialer

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"time"
)

// Dialer connects to hosts that others name. It is safe for concurrent use and must not be changed after the first use.
type Dialer struct {
	// Private lets it connect to addresses that are not public. Default: it refuses them.
	Private bool

	// Timeout bounds resolving and connecting together. Default: 20 s.
	Timeout time.Duration

	// Roots are the authorities that HTTPClient trusts. Default: those of the machine.
	Roots *x509.CertPool

	// Resolver resolves names. Default: net.DefaultResolver.
	Resolver Resolver
}

// Resolver is the part of net.Resolver that is needed.
type Resolver interface {
	LookupNetIP(ctx context.Context, network, host string) ([]netip.Addr, error)
}

const usualTimeout = 20 * time.Second

// mostAddresses bounds how many addresses of a name are tried.
const mostAddresses = 6

// RefusedError tells that a host has no address that may be connected to.
type RefusedError struct {
	Host    string
	Address netip.Addr
	Kind    string // why: "private", "loopback" …
}

// Error implements error.
func (e *RefusedError) Error() string {
	return fmt.Sprintf("%s has the %s address %s, which is not reached from here: an operator may allow it with --private-hosts", e.Host, e.Kind, e.Address)
}

// DialContext connects to a host and port over TCP. The error is a *RefusedError if the host has addresses, but none that is allowed.
func (d *Dialer) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	switch network {
	case "tcp", "tcp4", "tcp6":
	default:
		return nil, fmt.Errorf("dial %s: only TCP is spoken", network)
	}
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, fmt.Errorf("dial: %w", err)
	}
	timeout := d.Timeout
	if timeout <= 0 {
		timeout = usualTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	allowed, err := d.resolve(ctx, host)
	if err != nil {
		return nil, err
	}
	return dialFirst(ctx, network, allowed, port)
}

// resolve returns the addresses of a host that may be connected to.
func (d *Dialer) resolve(ctx context.Context, host string) ([]netip.Addr, error) {
	var addresses []netip.Addr
	if ip, err := netip.ParseAddr(host); err == nil {
		addresses = []netip.Addr{ip}
	} else {
		var resolver Resolver = net.DefaultResolver
		if d.Resolver != nil {
			resolver = d.Resolver
		}
		if addresses, err = resolver.LookupNetIP(ctx, "ip", host); err != nil {
			return nil, err
		}
	}
	var allowed []netip.Addr
	var refused *RefusedError
	for _, ip := range addresses {
		kind := Kind(ip)
		if kind != "" && !(d.Private && mayBeAllowed(kind)) {
			refused = &RefusedError{host, ip, kind}
			continue
		}
		if len(allowed) < mostAddresses {
			allowed = append(allowed, ip.Unmap())
		}
	}
	switch {
	case len(allowed) > 0:
		return allowed, nil
	case refused != nil:
		return nil, refused
	}
	return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
}

// dialFirst connects to the first address that answers. Each but the last gets its share of the time that is left.
func dialFirst(ctx context.Context, network string, addresses []netip.Addr, port string) (net.Conn, error) {
	var faults []error
	dialer := net.Dialer{KeepAlive: 30 * time.Second}
	for i, ip := range addresses {
		share := ctx
		if deadline, ok := ctx.Deadline(); ok && i+1 < len(addresses) {
			var cancel context.CancelFunc
			share, cancel = context.WithTimeout(ctx, time.Until(deadline)/time.Duration(len(addresses)-i))
			defer cancel()
		}
		conn, err := dialer.DialContext(share, network, net.JoinHostPort(ip.String(), port))
		if err == nil {
			return conn, nil
		}
		faults = append(faults, err)
	}
	return nil, errors.Join(faults...)
}
