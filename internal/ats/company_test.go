package ats

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestKey(t *testing.T) {
	for address, want := range map[string]string{
		"Ada@Example.COM":        "ada@example.com",
		" ada+jobs@x.org ":       "ada@x.org",
		"ada+a+b@x.org":          "ada@x.org",
		"+ada@x.org":             "+ada@x.org",
		"a+b":                    "a+b",
		"Zoë@MÜLLER.de":          "zoë@xn--mller-kva.de",
		"zoë+x@xn--mller-kva.de": "zoë@xn--mller-kva.de",
		`"a@b"+c@x.org`:          `"a@b"@x.org`,
		"a@b+c.org":              "a@b+c.org",
		"a@ü%.de":                "a@ü%.de", // an invalid host
		"":                       "",
	} {
		if got := Key(address); got != want {
			t.Errorf("Key(%q) is %q, want %q", address, got, want)
		}
	}
}

func TestNames(t *testing.T) {
	for company, want := range map[string][]Name{
		"Acme":                 {{"acme", true}},
		"ACME, Inc.":           {{"acmeinc", true}, {"acme", true}},
		"Acme Robotics GmbH":   {{"acmeroboticsgmbh", true}, {"acmerobotics", true}},
		"Acme Technologies Co": {{"acmetechnologiesco", true}, {"acmetechnologies", true}, {"acme", false}},
		"The Hershey Company":  {{"thehersheycompany", true}, {"thehershey", true}, {"hershey", false}},
		"Booking.com":          {{"bookingcom", true}, {"booking", false}},
		"Telefónica S.A.":      {{"telefonicasa", true}, {"telefonica", true}},
		"Macy’s":               {{"macys", true}},
		"AT&T":                 {{"att", true}},
		"Group":                {{"group", true}},
		"Großmann & Söhne":     {{"grossmannsohne", true}},
		"  ":                   nil,
		"!?":                   nil,
	} {
		if diff := cmp.Diff(want, Names(company)); diff != "" {
			t.Errorf("%q (-want +got)\n%s", company, diff)
		}
	}
}

func TestCompanies(t *testing.T) {
	for name, test := range map[string]struct {
		sender Sender
		want   []string
	}{
		"the domain, then the display name": {
			Sender{Name: "Rita Acme", Address: "rita@mail.acme.com", Domain: "acme.com", Subject: "Beta"},
			[]string{"acme", "acmecom", "ritaacme", "rita"},
		},
		"a domain in another script": {
			Sender{Address: "rita@xn--mnch-0ra.de", Domain: "xn--mnch-0ra.de"}, []string{"munch", "munchde"},
		},
		"a domain where anybody has an address": {
			Sender{Name: "Acme Jobs", Address: "acme@gmail.com", Domain: "gmail.com"}, []string{"acmejobs", "acme", "jobs"},
		},
		"a newsletter":     {Sender{Name: "Acme Weekly", Address: "news@acme.com", Domain: "acme.com", Bulk: true}, nil},
		"a sender unknown": {Sender{}, nil},
		"a host by itself": {Sender{Address: "root@localhost", Domain: "localhost"}, nil},
		"a relay with the client in the display name": {
			Sender{Name: "Acme Hiring", Address: "no-reply@us.greenhouse.io", Domain: "greenhouse.io", Subject: "Beta?", Bulk: true},
			[]string{"acmehiring", "acme", "hiring", "noreply", "no", "reply", "us", "beta"},
		},
		"a relay with the client in its address": {
			Sender{Address: "acme@myworkday.com", Domain: "myworkday.com"}, []string{"acme"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			if diff := cmp.Diff(test.want, test.sender.Companies()); diff != "" {
				t.Errorf("(-want +got)\n%s", diff)
			}
		})
	}
}

func TestCompaniesAreBounded(t *testing.T) {
	long := strings.Repeat("wörter ", 10_000)
	got := Sender{Name: long, Address: "x@lever.co", Domain: "lever.co", Subject: strings.Repeat("a b c d e f g ", 1000)}.Companies()
	if len(got) > 300 {
		t.Errorf("%d names", len(got))
	}
	if slices.ContainsFunc(got, func(name string) bool { return len(name) > 200 }) {
		t.Error("a name is too long")
	}
}
