package money

import (
	"strings"
	"testing"
	"unicode/utf8"
)

// receipt is a mail that is one, but for its text.
func receipt(text string) *Mail {
	return &Mail{Sender: "orders@shop.example", SenderName: "Shop", SenderDomain: "shop.example", Subject: "Your receipt", Text: text}
}

// Which of several amounts it is.
func TestTheAmount(t *testing.T) {
	f := func(text, want string) {
		t.Helper()
		got, found := Find(receipt(text))
		if text := got.Amount.String(); found && text != want || !found && want != "" {
			t.Errorf("%q: got %s, want %s", text, got.Amount, want)
		}
	}
	f("", "")
	f("Thank you.", "")
	f("Total: $0.00", "")
	f("Total: $5", "5 USD")
	f("Subtotal: $10.00\nShipping: $4.00\nTax: $1.00\nTotal: $15.00", "15.00 USD")
	f("Total: $15.00\nSubtotal: $10.00\nShipping: $4.00\nTax: $1.00", "15.00 USD")
	f("Subtotal $10.00 Shipping $4.00 Total $14.00", "14.00 USD")
	f("Subtotal\n$10.00\nShipping\n$4.00\nTotal\n$14.00", "14.00 USD")
	f("Subtotal\nShipping\nTotal\n\n$10.00\n$4.00\n$14.00\n", "14.00 USD")
	f("Total before tax: $20.00\nTotal tax: $1.60\nOrder total: $21.60\nYou saved: $30.00", "21.60 USD")
	f("Total (excl. VAT): €100.00\nVAT: €19.00\nTotal (incl. VAT): €119.00", "119.00 EUR")
	f("Gesamtsumme inkl. MwSt.: 1.234,56 EUR", "1234.56 EUR")
	f("Summe 47,30 € inkl. 7 % MwSt. 3,09 €", "47.30 EUR")
	f("Netflix Premium $15.49\nNext month: $15.49\nTotal: $15.49", "15.49 USD") // a subscription is not added to its total
	f("Total: $52.31\nPaid with gift card: $10.00\nTotal charged: $42.31", "42.31 USD")
	f("Total: €92.10\nThat is about $100.00. Rate 1.0857\nVAT: €10.00", "92.10 EUR")
	f("You paid $20.00. Your balance is $500.00, your limit $1,000.00.", "20.00 USD")
	f("Total: $15.00\n> Total: $99.00", "15.00 USD")
	f("Total: $15.00\n---------- Forwarded message ----------\nTotal: $99.00", "15.00 USD")
	f("Amount (KWD): 12.345\nPaid by K-NET", "12.345 KWD")
	f("Total: -$41.00", "-41.00 USD")
	f("We have refunded $41.00 of your order of $60.00. Total: $60.00", "-41.00 USD")
	f("Total: $1.5 million", "")
}

func TestRefundsAreNegative(t *testing.T) {
	m := receipt("Total: $41.00")
	m.Subject = "Refund for your order"
	if got, found := Find(m); !found || got.Amount.String() != "-41.00 USD" || !got.Amount.IsNegative() {
		t.Errorf("got %v, %t", got.Amount, found)
	}
}

// What is no receipt, whatever its text says.
func TestNoReceipt(t *testing.T) {
	const text = "Thank you for your order. You paid $5.00.\nTotal: $5.00"
	if _, found := Find(receipt(text)); !found {
		t.Fatal("the receipt is none")
	}
	for name, spoil := range map[string]func(*Mail){
		"risky":         func(m *Mail) { m.Risk = 50 },
		"in quarantine": func(m *Mail) { m.Quarantined = true },
		"an answer":     func(m *Mail) { m.Subject = "Re: " + m.Subject },
		"forwarded":     func(m *Mail) { m.Subject = "WG: " + m.Subject },
		"a quotation":   func(m *Mail) { m.Text = "> " + strings.ReplaceAll(m.Text, "\n", "\n> ") },
		"it failed": func(m *Mail) {
			m.Subject = "Payment failed"
			m.Text += "\nYour card was declined, and you have not been charged."
		},
		"a call": func(m *Mail) {
			m.Sender, m.SenderDomain = "a@gmail.com", "gmail.com"
			m.Text += "\nTo cancel call us toll free."
		},
		"a list": func(m *Mail) { m.Subject, m.ListID, m.Category = "[dev] totals", "dev.shop.example", "discussion" },
	} {
		m := receipt(text)
		spoil(m)
		if got, found := Find(m); found {
			t.Errorf("%s: %v", name, got.Amount)
		}
	}
}

func TestMerchant(t *testing.T) {
	f := func(name, domain, subject, text, want string) {
		t.Helper()
		m := &Mail{Sender: "mail@" + domain, SenderName: name, SenderDomain: domain, Subject: subject, Text: text}
		if got := read(m).merchant(); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
	f("Amazon.de", "amazon.de", "Bestellung", "Summe 5 €", "Amazon.de")
	f("Paper & Pen", "x.example", "", "$5", "Paper & Pen")
	f(`"Paper & Pen"`, "x.example", "", "$5", "Paper & Pen")
	f("Paper & Pen via PayPal", "x.example", "", "$5", "Paper & Pen")
	f("Paper & Pen Customer Service", "x.example", "", "$5", "Paper & Pen")
	f("Paper & Pen - Billing Team", "x.example", "", "$5", "Paper & Pen")
	f("Ann from Paper & Pen", "x.example", "", "$5", "Paper & Pen")
	f("Team Paper", "x.example", "", "$5", "Paper")
	f("", "paper.example", "", "$5", "paper.example")
	f("", "xn--bcher-kva.example", "", "$5", "bücher.example")
	f("no-reply", "paper.example", "", "$5", "paper.example")
	f("orders@paper.example", "paper.example", "", "$5", "paper.example")
	f("Billing", "paper.example", "", "$5", "paper.example")
	f("service@paypal.com", "paypal.com", "Receipt for your payment to Lantern Books", "You paid $5.00 USD to Lantern Books.", "Lantern Books")
	f("PayPal", "paypal.de", "Ihre Zahlung", "Sie haben eine Zahlung über 5,00 € EUR an Radhaus Nord GmbH gesendet.", "Radhaus Nord GmbH")
	f("PayPal", "paypal.com", "Receipt", "Merchant\nLantern Books\nTotal $5.00", "Lantern Books")
	f("PayPal", "paypal.com", "Receipt", "Total $5.00", "PayPal")
	f("Stripe", "stripe.com", "Your receipt from Pixelhost #2881", "Amount paid $5.00", "Pixelhost")
	f("Venmo", "venmo.com", "You paid Alex Turner $32.00", "", "Alex Turner")
	f("Northbank", "northbank.example", "Purchase", "You spent $5.00 at Corner Roastery on Nov 3.", "Corner Roastery")
	f(strings.Repeat("ä", 100), "x.example", "", "$5", strings.Repeat("ä", maxMerchant/2))
}

func TestKey(t *testing.T) {
	for name, want := range map[string]string{
		"Paper & Pen": "paperpen", "PAPER & PEN Ltd.": "paperpen", "paper-pen.example": "paperpen", "The Paper Pen Co": "paperpen", "Amazon.de": "amazon", "amazon.com": "amazon",
		"GmbH": "gmbh", "Bücher": "bücher", "": "", "3M": "3m",
	} {
		if got := Key(name); got != want {
			t.Errorf("%q: got %q, want %q", name, got, want)
		}
	}
}

func TestParseAmount(t *testing.T) {
	for _, bad := range [][2]string{{"", "EUR"}, {"a", "EUR"}, {"1,5", "EUR"}, {"1", ""}, {"1", "XYZ"}, {"1", "eur"}} {
		if got, err := ParseAmount(bad[0], bad[1]); err == nil {
			t.Errorf("%v is %v", bad, got)
		}
	}
	amount, err := ParseAmount("-12.50", "EUR")
	if err != nil || amount.Decimal() != "-12.50" || amount.Currency() != "EUR" || amount.IsZero() || !amount.IsNegative() {
		t.Errorf("%v, %v", amount, err)
	}
	if (Amount{}).IsNegative() || !(Amount{}).IsZero() {
		t.Error("no amount is some")
	}
}

// FuzzFind: whatever a mail says, a receipt has a merchant that can be stored and an amount that is not nothing.
func FuzzFind(f *testing.F) {
	f.Add("Your receipt", "Total: $5.00\n", "Shop", "shop.example")
	f.Add("Erstattung über 5 €", "Summe\nSteuer\n5,00 €\n1,00 €", "PayPal", "paypal.de")
	f.Add("You paid A $5", "> x\n$1\n\n\n$2 at \xff, a.b. c", "\x00\u202e", "")
	f.Fuzz(func(t *testing.T, subject, text, name, domain string) {
		m := &Mail{Sender: "a@" + domain, SenderName: name, SenderDomain: domain, Subject: subject, Text: text}
		l := read(m)
		if len(l.sums) == 0 {
			return
		}
		l.evidence().weight()
		amount, found := l.total()
		if !found {
			t.Fatalf("no amount of %q", text)
		}
		if _, err := ParseAmount(amount.Decimal(), amount.Currency()); err != nil {
			t.Fatal(err)
		}
		merchant := l.merchant()
		if len(merchant) > maxMerchant {
			t.Fatalf("the merchant has %d bytes", len(merchant))
		}
		valid := utf8.ValidString(subject) && utf8.ValidString(text) && utf8.ValidString(name) && utf8.ValidString(domain)
		if valid && !utf8.ValidString(merchant) {
			t.Fatalf("the merchant %q is cut within a character", merchant)
		}
		Find(m)
	})
}

// TestLongTexts: time does not grow faster than the text, and much of anything is cut.
func TestLongTexts(t *testing.T) {
	for name, text := range map[string]string{
		"amounts":     strings.Repeat("Total: $5.00 ", 10_000),
		"lines":       strings.Repeat("$5.00\n", 20_000),
		"labels":      strings.Repeat("Total\n", 10_000) + strings.Repeat("$5.00\n", 10_000),
		"digits":      strings.Repeat("1", 128<<10),
		"groups":      strings.Repeat("1,", 64<<10),
		"spaces":      strings.Repeat("1 ", 64<<10) + "$",
		"signs":       strings.Repeat("$", 128<<10),
		"one word":    "$5 " + strings.Repeat("a", 128<<10),
		"one line":    "$5 " + strings.Repeat("you paid to ", 10_000),
		"no sentence": strings.Repeat("paid. ", 20_000) + "$5",
		"broken":      "$5 " + strings.Repeat("\xe2\x80", 64<<10),
	} {
		m := receipt(text)
		for _, m := range []*Mail{m, {SenderName: text, Subject: text, Sender: text, SenderDomain: "paypal.com"}} {
			if l := read(m); len(l.sums) > maxSums {
				t.Errorf("%s: %d amounts", name, len(l.sums))
			}
			Find(m)
		}
	}
}
