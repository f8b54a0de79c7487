package ats

import (
	"strings"

	"golang.org/x/net/idna"
)

// Plain returns an address in lower case with its domain in ASCII, the form in which own addresses are stored.
func Plain(address string) string {
	address = strings.ToLower(strings.TrimSpace(address))
	at := strings.LastIndexByte(address, '@')
	if at < 0 || isASCII(address[at+1:]) {
		return address
	}
	domain, err := idna.Lookup.ToASCII(address[at+1:])
	if err != nil {
		return address
	}
	return address[:at+1] + domain
}

// Key returns the form in which addresses are compared: Plain without the +tag of the local part. The SQL function
// address_key derives it from a plain address.
func Key(address string) string {
	address = Plain(address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	if plus := strings.IndexByte(address[:at], '+'); plus > 0 {
		return address[:plus] + address[at:]
	}
	return address
}

func isASCII(text string) bool {
	for i := range len(text) {
		if text[i] >= 0x80 {
			return false
		}
	}
	return true
}
