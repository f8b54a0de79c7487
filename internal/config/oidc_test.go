package config

import (
	"slices"
	"strings"
	"testing"
)

func TestOIDC(t *testing.T) {
	good := func() OIDC {
		return OIDC{PublicURL: "https://mail.example.com/", OIDCIssuer: "https://accounts.example.com", OIDCClientID: "applylens", OIDCClientSecret: "s",
			OIDCAllowedDomains: []string{" Bücher.example "}}
	}
	f := func(name string, change func(*OIDC), fault string) {
		t.Helper()
		o := good()
		change(&o)
		err := o.Validate()
		if (err == nil) != (fault == "") || err != nil && !strings.Contains(err.Error(), fault) {
			t.Errorf("%s: %v, want %q", name, err, fault)
		}
	}
	f("complete", func(*OIDC) {}, "")
	f("none", func(o *OIDC) { *o = OIDC{OIDCAllowedDomains: []string{"*"}} }, "")
	f("nobody said who may come in", func(o *OIDC) { o.OIDCAllowedDomains = nil }, "everybody could")
	f("a group", func(o *OIDC) { o.OIDCAllowedDomains, o.OIDCAllowedGroups = nil, []string{"family"} }, "")
	f("any domain", func(o *OIDC) { o.OIDCAllowedDomains = []string{"*"} }, `"*" is not a domain`)
	f("an address for a domain", func(o *OIDC) { o.OIDCAllowedDomains = []string{"a@home.example"} }, "is not a domain")
	f("no secret", func(o *OIDC) { o.OIDCClientSecret = "" }, "needs --oidc-client-id")
	f("no page", func(o *OIDC) { o.PublicURL = "" }, "--public-url")
	f("no TLS", func(o *OIDC) { o.OIDCIssuer = "http://accounts.example.com" }, "is not https")
	f("this machine", func(o *OIDC) { o.PublicURL, o.OIDCIssuer = "http://localhost:8003", "http://127.0.0.1:9/oidc" }, "")
	o := good()
	if err := o.Validate(); err != nil || o.PublicURL != "https://mail.example.com" || !slices.Equal(o.OIDCAllowedDomains, []string{"xn--bcher-kva.example"}) {
		t.Errorf("%v %+v", err, o)
	}
}
