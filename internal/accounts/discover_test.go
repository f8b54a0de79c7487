package accounts_test

import (
	"context"
	"errors"
	"net"
	"testing"

	"github.com/applylens/applylens/internal/accounts"
)

// names is what DNS says: of services by "service domain", of mail by domain.
type names struct {
	srv map[string]*net.SRV
	mx  map[string]string
}

func (n names) LookupSRV(_ context.Context, service, _, name string) (string, []*net.SRV, error) {
	if found := n.srv[service+" "+name]; found != nil {
		return "", []*net.SRV{found}, nil
	}
	return "", nil, errors.New("no such host")
}

func (n names) LookupMX(_ context.Context, name string) ([]*net.MX, error) {
	if host := n.mx[name]; host != "" {
		return []*net.MX{{Host: "backup.example.", Pref: 20}, {Host: host, Pref: 10}}, nil
	}
	return nil, errors.New("no such host")
}

func TestDiscover(t *testing.T) {
	dns := names{
		srv: map[string]*net.SRV{"imaps one.example": {Target: "mail.one.example.", Port: 1993}, "imaps two.example": {Target: "."}, "imap two.example": {Target: "mx.two.example.", Port: 143}},
		mx:  map[string]string{"company.example": "aspmx.l.google.com.", "office.example": "office-example.mail.protection.outlook.com."},
	}
	for address, want := range map[string]accounts.Proposed{
		"ann@Gmail.com":       {Host: "imap.gmail.com", Port: 993, Security: "tls", Auth: "xoauth2", From: "preset"},
		"ann@company.example": {Host: "imap.gmail.com", Port: 993, Security: "tls", Auth: "xoauth2", From: "preset"},
		"ann@office.example":  {Host: "outlook.office365.com", Port: 993, Security: "tls", Auth: "xoauth2", From: "preset"},
		"ann@one.example":     {Host: "mail.one.example", Port: 1993, Security: "tls", Auth: "password", From: "dns"},
		"ann@two.example":     {Host: "mx.two.example", Port: 143, Security: "starttls", Auth: "password", From: "dns"},
		"ann@three.example":   {Host: "imap.three.example", Port: 993, Security: "tls", Auth: "password", From: "guess"},
		"ann@bücher.example":  {Host: "imap.xn--bcher-kva.example", Port: 993, Security: "tls", Auth: "password", From: "guess"},
	} {
		got, found := accounts.Discover(t.Context(), dns, address)
		got.TokenURL, got.SMTPHost = "", ""
		if !found || got != want {
			t.Errorf("%s: %+v, %t; want %+v", address, got, found, want)
		}
	}
	for _, address := range []string{"", "ann", "@example.org", "ann@", "ann@[127.0.0.1]", "ann@a/b"} {
		if got, found := accounts.Discover(t.Context(), dns, address); found {
			t.Errorf("%q: %+v", address, got)
		}
	}
}
