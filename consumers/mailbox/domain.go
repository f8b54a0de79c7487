package mailbox

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Registrable returns the registrable domain of an address by the public suffix list, in ASCII and lower case:
// example.co.uk for a@mail.example.co.uk. A host without one, such as localhost or an IP address, stands for itself;
// an address without a domain has none.
func Registrable(address string) string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return ""
	}
	host := strings.Trim(strings.ToLower(address[at+1:]), ".[] ")
	if _, err := netip.ParseAddr(host); err == nil {
		return host
	}
	if ascii, err := idna.Lookup.ToASCII(host); err == nil {
		host = ascii
	}
	if domain, err := publicsuffix.EffectiveTLDPlusOne(host); err == nil {
		return domain
	}
	return host
}
