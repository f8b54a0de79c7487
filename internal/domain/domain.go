// Package domain has the forms in which addresses and their domains are stored, for mail and for what is compared with it. It knows
// no mail.
package domain

import (
	"net/netip"
	"strings"

	"golang.org/x/net/idna"
	"golang.org/x/net/publicsuffix"
)

// Address returns an address in the form in which addresses are stored: in lower case, with its domain in ASCII.
func Address(text string) string {
	text = strings.ToLower(strings.TrimSpace(text))
	at := strings.LastIndexByte(text, '@')
	if at < 0 || !strings.ContainsFunc(text[at+1:], func(r rune) bool { return r >= 0x80 }) {
		return text
	}
	domain, err := idna.Lookup.ToASCII(text[at+1:])
	if err != nil {
		return text
	}
	return text[:at+1] + domain
}

// Part returns labels of a domain in ASCII and lower case, as Of has those of a whole one.
func Part(text string) string {
	text = strings.ToLower(text)
	if ascii, err := idna.Lookup.ToASCII(text); err == nil {
		return ascii
	}
	return text
}

// Readable returns an address, or a domain, as people write it, with the letters that its domain has in ASCII only.
func Readable(text string) string {
	at := strings.LastIndexByte(text, '@')
	if !strings.Contains(text[at+1:], "xn--") {
		return text
	}
	readable, err := idna.ToUnicode(text[at+1:])
	if err != nil {
		return text
	}
	return text[:at+1] + readable
}

// Forms returns an address as it is and, if that is another form, as people write it.
func Forms(address string) []string {
	if readable := Readable(address); readable != address {
		return []string{address, readable}
	}
	return []string{address}
}

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
