package mailbox

import (
	"testing"

	"github.com/applylens/applylens/events"
)

func TestRegistrable(t *testing.T) {
	f := func(address, want string) {
		t.Helper()
		if got := Registrable(address); got != want {
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

func TestCategory(t *testing.T) {
	f := func(name string, m events.Mail, want string) {
		t.Run(name, func(t *testing.T) {
			if got := Category(&m, Registrable(m.Sender.Address)); got != want {
				t.Errorf("got %q, want %q", got, want)
			}
		})
	}
	mail := func(sender, subject string) events.Mail {
		return events.Mail{Sender: events.Address{Address: sender}, Subject: subject}
	}
	bulk := func(sender, subject string) events.Mail {
		m := mail(sender, subject)
		m.Unsubscribe = true
		return m
	}
	list := func(id, subject string) events.Mail {
		m := bulk("someone@home.example", subject)
		m.ListID = id
		return m
	}
	given := mail("a@b.example", "50% off")
	given.Category = " Finance "
	footer := mail("hello@shop.example", "Things for spring")
	footer.Text = "To unsubscribe, reply."

	f("given by the producer", given, Finance)
	f("applicant tracking system", mail("no-reply@us.greenhouse-mail.io", "Thanks"), Applications)
	f("interview", mail("jo@acme.example", "Interview invitation: Acme"), Applications)
	f("answer about an application", mail("jo@acme.example", "Re: your application"), Applications)
	f("receipt", mail("shop@acme.example", "Your receipt #17"), Finance)
	f("processor", mail("service@mail.paypal.com", "You have news"), Finance)
	f("answer about an invoice", mail("jo@acme.example", "Re: invoice"), Personal)
	f("meetup", list("go-meetup.example", "Go meetup on Thursday"), Event)
	f("tickets", bulk("x@eventbrite.com", "Hello"), Event)
	f("answer about a conference on a list", list("dev.example", "Re: [dev] conference"), Social)
	f("social network", bulk("x@facebookmail.com", "Ann has a new offer"), Social)
	f("hard sell", mail("jo@x.example", "Get 50% off today"), Promo)
	f("bulk mail with an offer", bulk("hello@shop.example", "New deals for you"), Promo)
	f("salesforce is no sale", bulk("hello@shop.example", "Salesforce in practice"), Newsletter)
	f("bulk mail", footer, Newsletter)
	f("newsletter", mail("jo@x.example", "The Monday newsletter"), Newsletter)
	f("announcing list", list("announce.example", "Version 2"), Newsletter)
	f("discussion", list("dev.example", "Free software and sales"), Social)
	f("person", mail("jo@x.example", "Lunch?"), Personal)
	f("automatic", mail("no-reply@x.example", "Signed in"), Other)
	f("nobody", mail("", "x"), Other)
}

func TestSizeFollowsWhatIsHeld(t *testing.T) {
	fold := NewFold()
	fold.Add(received("u1", "a", "x", 0, "me@x.example"))
	one := fold.Size()
	fold.Add(received("u1", "a", "x", 1, "me@x.example"))
	if fold.Size() != one {
		t.Errorf("a repeat moved the size from %d to %d", one, fold.Size())
	}
	fold.Add(received("u1", "b", "x", 2))
	if fold.Size() <= one {
		t.Errorf("a second mail moved the size from %d to %d", one, fold.Size())
	}
	fold.Add(erased("u1"))
	if fold.Size() > 64 {
		t.Errorf("size %d after all is erased", fold.Size())
	}
}
