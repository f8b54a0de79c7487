// Package domain reduces the hosts of addresses to registrable domains, for mail that is stored and for what is compared
// with it. It knows no mail.
package domain

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// OfAddress returns the registrable domain of an address, as Of does; an address without a domain has none.
func OfAddress(address string) string {
	if !strings.Contains(address, "@") {
		return ""
	}
	return Of(address)
}

// Of returns the registrable domain of a host, or of that of an address, by the public suffix list, in ASCII and lower case: example.co.uk for
// mail.example.co.uk. A host without one, such as localhost or an IP address, stands for itself.
func Of(text string) string {
	host := strings.Trim(strings.ToLower(text[strings.LastIndexByte(text, '@')+1:]), ".[] ")
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
