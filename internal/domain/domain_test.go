package domain

import "testing"

func TestOfAddress(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if got := OfAddress(address); got != want {
			t.Errorf("%q: got %q, want %q", address, got, want)
		}
	}
	f("a@example.com", "example.com")
	f("a@Mail.Shop.Example.co.uk", "example.co.uk")
	f("a@user.github.io", "user.github.io")
	f("a@github.io", "github.io")
	f("a@mail.bücher.de", "xn--bcher-kva.de")
	f("a@localhost", "localhost")
	f("a@[192.0.2.7]", "192.0.2.7")
	f("a@example.com.", "example.com")
	f(`"a@b"@example.com`, "example.com")
	f("nobody", "")
	f("", "")
}

func TestAddress(t *testing.T) {
	for address, want := range map[string]string{
		" Ann@B\u00fccher.Example ": "ann@xn--bcher-kva.example", "ann@xn--bcher-kva.example": "ann@xn--bcher-kva.example", "Jo@Example.org": "jo@example.org",
		"\"a@b\"@b\u00fccher.example": `"a@b"@xn--bcher-kva.example`, "j\u00f6@example.org": "j\u00f6@example.org", "nobody": "nobody", "": "",
	} {
		if got := Address(address); got != want {
			t.Errorf("%q is stored as %q, want %q", address, got, want)
		}
		if readable := Address(Readable(Address(address))); readable != want {
			t.Errorf("%q is %q after it was made readable", address, readable)
		}
	}
	if got := Readable("ann@xn--bcher-kva.example"); got != "ann@b\u00fccher.example" {
		t.Errorf("readable: %q", got)
	}
}
