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
