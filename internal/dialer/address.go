package dialer

import "net/netip"

// The kinds of addresses that are not public, as messages name them.
const (
	kindInvalid     = "invalid"
	kindUnspecified = "unspecified"
	kindLoopback    = "loopback"
	kindLinkLocal   = "link-local"
	kindMulticast   = "multicast"
	kindPrivate     = "private"
	kindShared      = "shared (carrier-grade NAT)"
	kindTranslated  = "translated"
	kindReserved    = "reserved"
)

// special are the blocks of IANA's registries of special-purpose addresses that netip has no method for.
var special = []struct {
	block netip.Prefix
	kind  string
}{
	{netip.MustParsePrefix("0.0.0.0/8"), kindUnspecified}, // Linux takes all of it for this machine
	{netip.MustParsePrefix("100.64.0.0/10"), kindShared},
	{netip.MustParsePrefix("192.0.0.0/24"), kindReserved},
	{netip.MustParsePrefix("192.0.2.0/24"), kindReserved},
	{netip.MustParsePrefix("192.88.99.0/24"), kindTranslated},
	{netip.MustParsePrefix("198.18.0.0/15"), kindReserved},
	{netip.MustParsePrefix("198.51.100.0/24"), kindReserved},
	{netip.MustParsePrefix("203.0.113.0/24"), kindReserved},
	{netip.MustParsePrefix("240.0.0.0/4"), kindReserved},
	{netip.MustParsePrefix("::/96"), kindTranslated}, // IPv4-compatible
	{netip.MustParsePrefix("::ffff:0:0:0/96"), kindTranslated},
	{netip.MustParsePrefix("64:ff9b::/96"), kindTranslated},
	{netip.MustParsePrefix("64:ff9b:1::/48"), kindTranslated},
	{netip.MustParsePrefix("100::/64"), kindReserved},
	{netip.MustParsePrefix("2001::/23"), kindTranslated}, // Teredo, ORCHID and benchmarks among them
	{netip.MustParsePrefix("2001:db8::/32"), kindReserved},
	{netip.MustParsePrefix("2002::/16"), kindTranslated}, // 6to4
	{netip.MustParsePrefix("3fff::/20"), kindReserved},
	{netip.MustParsePrefix("5f00::/16"), kindReserved},
	{netip.MustParsePrefix("fec0::/10"), kindPrivate},
}

// Kind tells why an address is not public; it is empty for one that is. An IPv4 address in the form of IPv6 is judged as what it is.
func Kind(ip netip.Addr) string {
	ip = ip.Unmap()
	switch {
	case !ip.IsValid():
		return kindInvalid
	case ip.Zone() != "" || ip.IsLinkLocalUnicast():
		return kindLinkLocal
	case ip.IsUnspecified():
		return kindUnspecified
	case ip.IsLoopback():
		return kindLoopback
	case ip.IsMulticast():
		return kindMulticast
	case ip.IsPrivate():
		return kindPrivate
	}
	for _, s := range special {
		if s.block.Contains(ip) {
			return s.kind
		}
	}
	return ""
}

// mayBeAllowed tells whether an operator's setting opens addresses of a kind: no server is at the others.
func mayBeAllowed(kind string) bool { return kind != kindInvalid && kind != kindMulticast }
