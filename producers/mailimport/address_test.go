package mailimport

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/events"
)

func TestParseAddresses(t *testing.T) {
	f := func(name, header string, want ...events.Address) {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(want, parseAddresses(header, "")); diff != "" {
				t.Error(diff)
			}
		})
	}
	x := func(name string) events.Address { return events.Address{Name: name, Address: "x@y.example"} }
	f("bare", "x@y.example", x(""))
	f("in brackets", "<x@y.example>", x(""))
	f("with a name", "A. B <x@y.example>", x("A. B"))
	f("quoted name", `"Meier, \"A\"" <x@y.example>`, x(`Meier, "A"`))
	f("encoded name with a comma", "=?utf-8?q?Meier=2C_Andr=C3=A9?= <x@y.example>", x("Meier, André"))
	f("encoded name with a bare comma", "=?utf-8?q?Meier,_A?= <x@y.example>", x("Meier, A"))
	f("quoted encoded name", `"=?utf-8?q?Andr=C3=A9?=" <x@y.example>`, x("André"))
	f("name after it", "x@y.example (A B)", x("A B"))
	f("address as the name", `"x@y.example" <z@y.example>`, events.Address{Name: "x@y.example", Address: "z@y.example"})
	f("list", "x@y.example, A <z@y.example>; b@y.example", x(""), events.Address{Name: "A", Address: "z@y.example"}, events.Address{Address: "b@y.example"})
	f("group", "friends: x@y.example, z@y.example;", x(""), events.Address{Address: "z@y.example"})
	f("undisclosed", "undisclosed-recipients:;")
	f("quote without an end", `"A <x@y.example>, b@y.example`, x(`"A`), events.Address{Address: "b@y.example"})
	f("comment without an end", "Joe :( <x@y.example>, b@y.example", x("Joe :("), events.Address{Address: "b@y.example"})
	f("bracket without an end", "A <x@y.example, b@y.example", x("A"), events.Address{Address: "b@y.example"})
	f("empty brackets", "x@y.example <>", x(""))
	f("upper case stays", "X@Y.example", events.Address{Address: "X@Y.example"})
	f("dot at the end", "x@y.example.", x(""))
	f("bare bytes", "Andr\xe9 <x@y.example>", x("André"))
	at := func(name, address string) events.Address { return events.Address{Name: name, Address: address} }
	f("quoted local part with an address in it", `"hr@acme.example"@evil.example`, at("", `"hr@acme.example"@evil.example`))
	f("an address before brackets with a quoted local part", `ann@bank.example <"x y"@evil.example>`, at("ann@bank.example", `"x y"@evil.example`))
	f("an address in a comment", "(ann@bank.example) x@y.example", x("ann@bank.example"))
	f("an address in a comment in brackets' front", "A (<ann@bank.example>) <x@y.example>", x("A"))
	f("brackets in a quoted name", `"A <ann@bank.example>" <x@y.example>`, x("A <ann@bank.example>"))
	f("brackets in a quoted name alone", `"A <ann@bank.example>" x@y.example`, x(""))
	f("a comment in a comment", "x@y.example (A (B) C)", x("A (B) C"))
	f("an escaped parenthesis", `x@y.example (A \) <ann@bank.example>)`, x("A ) <ann@bank.example>"))
	f("a quoted local part with a space", `"john smith"@y.example`, at("", `"john smith"@y.example`))
	f("a quoted local part that needs no quotes", `"x"@y.example`, x(""))
	f("a quoted local part in brackets", `A <"john smith"@y.example>`, at("A", `"john smith"@y.example`))
	f("an escape in a quoted local part", `"a\"b"@y.example`, at("", `"a\"b"@y.example`))
	f("of the archive of a list", "x at y.example (Ann Example)", x("Ann Example"))
	f("two words that are no address", "x at home (Ann Example)")
	f("an obsolete route", "<@a.example,@b.example:x@y.example>", x(""))
	f("a control character", "A <\x06@y.example>")
	f("bytes in the local part", "\xa4O\xb1 <\xa4O\xb1@y.example>")
	f("UTF-8 in the local part", "münchen@y.example", at("", "münchen@y.example"))
	f("a comment within an address", "x@(home)y.example", x("home"))
	f("no address", "A B")
	f("empty", "")
	f("long name", strings.Repeat("n", 500)+" <x@y.example>", x(strings.Repeat("n", maxDisplayName)))
}

func TestParseAddressesIsBounded(t *testing.T) {
	if got := parseAddresses(strings.Repeat("x@y.example,", 5000), ""); len(got) != maxRecipients {
		t.Errorf("%d addresses", len(got))
	}
}

// FuzzParseAddresses changes headers. A comment before one changes nothing.
func FuzzParseAddresses(f *testing.F) {
	f.Add(`"A" <a@b>, c@d (e), g: h@i;`)
	for _, list := range writtenLists()[:300] {
		f.Add(list.text)
	}
	f.Fuzz(func(t *testing.T, header string) {
		list := parseAddresses(header, "")
		for _, address := range list {
			if !isAddress(address.Address) {
				t.Errorf("%q is not an address", address.Address)
			}
		}
		behind := parseAddresses(" ("+lure+`, \)) `+header, "")
		if !slices.EqualFunc(list, behind, func(a, b events.Address) bool { return a.Address == b.Address }) {
			t.Errorf("%q: got %v, and %v behind a comment", header, list, behind)
		}
	})
}
