package ats

import (
	"strings"

	"github.com/applylens/applylens/internal/domain"
)

// Key returns the form in which addresses are compared: that of domain.Address without the +tag of the local part. The SQL function
// address_key derives it from a plain address.
func Key(address string) string {
	address = domain.Address(address)
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return address
	}
	if plus := strings.IndexByte(address[:at], '+'); plus > 0 {
		return address[:plus] + address[at:]
	}
	return address
}
