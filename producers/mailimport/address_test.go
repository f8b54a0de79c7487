package mailimport

import (
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
	f("empty brackets", "x@y.example <>", x("x@y.example"))
	f("upper case stays", "X@Y.example", events.Address{Address: "X@Y.example"})
	f("dot at the end", "x@y.example.", x(""))
	f("bare bytes", "Andr\xe9 <x@y.example>", x("André"))
	f("no address", "A B")
	f("empty", "")
	f("long name", strings.Repeat("n", 500)+" <x@y.example>", x(strings.Repeat("n", maxDisplayName)))
}

func TestParseAddressesIsBounded(t *testing.T) {
	if got := parseAddresses(strings.Repeat("x@y.example,", 5000), ""); len(got) != maxRecipients {
		t.Errorf("%d addresses", len(got))
	}
}

func FuzzParseAddresses(f *testing.F) {
	f.Add(`"A" <a@b>, c@d (e), g: h@i;`)
	f.Fuzz(func(t *testing.T, header string) {
		for _, address := range parseAddresses(header, "") {
			if !isAddress(address.Address) {
				t.Errorf("%q is not an address", address.Address)
			}
		}
	})
}
