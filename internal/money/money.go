package money

import "strings"

// Mail is what is looked at of a mail.
type Mail struct {
	Sender       string // the address
	SenderName   string
	SenderDomain string // registrable
	Subject      string
	Text         string
	Category     string // by the producer or by rules; "" is unknown
	ListID       string
	Bulk         bool // it can be unsubscribed
	Risk         int  // 0..100; 0 is unknown
	Quarantined  bool
}

// Receipt is what a mail tells of money.
type Receipt struct {
	Merchant string // a name that people know
	Key      string // the same for forms of one name
	Amount   Amount // negative for a refund
}

// Find returns the receipt that a mail is, if it is one.
func Find(m *Mail) (Receipt, bool) {
	if m.Quarantined || m.Risk >= risky {
		return Receipt{}, false
	}
	l := read(m)
	if len(l.sums) == 0 || !l.isReceipt() {
		return Receipt{}, false
	}
	amount, found := l.total()
	if !found {
		return Receipt{}, false
	}
	name := strings.Clone(l.merchant()) // not the whole text
	return Receipt{Merchant: name, Key: Key(name), Amount: amount}, true
}

// risky is the score from which a mail is not taken for what it says.
const risky = 50
