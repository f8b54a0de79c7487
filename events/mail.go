package events

import "time"

// Amount is a sum of money found in a mail: Value is a decimal such as "-12.50", Currency an ISO 4217 code.
type Amount struct {
	Value    string
	Currency string
}

// Address is one mailbox of a header: a display name and an address.
type Address struct {
	Name    string
	Address string
}

// Mail is the payload of mail.received: one message as its owner received it.
type Mail struct {
	UserID      string
	MessageID   string // without angle brackets; empty if the message has none
	ContentHash string // lower-case hex of a SHA-256 over the message; required when MessageID is empty
	Thread      string
	Subject     string
	Sender      Address
	Recipients  []Address
	DeliveredTo []string // the owner's own addresses, from Delivered-To
	ListID      string
	Unsubscribe bool // the message has a List-Unsubscribe header
	ReceivedAt  time.Time
	Category    string   // empty: the rules of the mailbox fold decide
	RiskScore   *int     // 0..100; nil without any evidence
	Quarantined bool     //
	Labels      []string //
	ExpiresAt   time.Time
	Text        string // at most 128 KiB; longer text is cut and Truncated set
	Truncated   bool
	RecordedAt  time.Time
}

func (m *Mail) check(c *checker, _ Type) {
	c.required("user_id", m.UserID, MaxUserID)
	c.text("message_id", m.MessageID, MaxMessageID)
	m.checkContentHash(c)
	c.text("thread", m.Thread, MaxThread)
	c.text("subject", m.Subject, MaxMailSubject)
	m.Sender.check(c, "sender.name", "sender.address")
	c.count("recipients", len(m.Recipients), MaxRecipients)
	for i := range m.Recipients {
		m.Recipients[i].check(c, "recipients.name", "recipients.address")
	}
	c.texts("delivered_to", m.DeliveredTo, MaxDeliveredTo, MaxAddress)
	c.text("list_id", m.ListID, MaxListID)
	c.time("received_at", m.ReceivedAt)
	c.text("category", m.Category, MaxCategory)
	if m.RiskScore != nil {
		c.within("risk_score", int64(*m.RiskScore), 0, MaxRiskScore)
	}
	c.texts("labels", m.Labels, MaxLabels, MaxLabel)
	c.timeIf("expires_at", m.ExpiresAt)
	c.text("text", m.Text, MaxText)
	c.time("recorded_at", m.RecordedAt)
}

func (m *Mail) checkContentHash(c *checker) {
	if m.ContentHash == "" {
		if m.MessageID == "" {
			c.fail(ReasonSchema, "content_hash", "is empty, as is message_id")
		}
		return
	}
	ok := len(m.ContentHash) == contentHashSize
	for _, r := range m.ContentHash {
		ok = ok && (r >= '0' && r <= '9' || r >= 'a' && r <= 'f')
	}
	if !ok {
		c.fail(ReasonSchema, "content_hash", "is not 64 lower-case hexadecimal digits")
	}
}

func (a *Address) check(c *checker, name, address string) {
	c.text(name, a.Name, MaxName)
	c.text(address, a.Address, MaxAddress)
}

func (m *Mail) write(w *writer, _ Type, canonical bool) {
	w.text(fieldUserID, m.UserID)
	w.textIf(fieldMessageID, m.MessageID)
	w.textIf(fieldContentHash, m.ContentHash)
	w.textIf(fieldThread, m.Thread)
	w.textIf(fieldSubject, m.Subject)
	if m.Sender != (Address{}) {
		w.name(fieldSender)
		m.Sender.write(w)
	}
	writeAddresses(w, m.Recipients)
	w.textsIf(fieldDeliveredTo, m.DeliveredTo)
	w.textIf(fieldListID, m.ListID)
	w.booleanIf(fieldUnsubscribe, m.Unsubscribe)
	w.time(fieldReceivedAt, m.ReceivedAt)
	w.textIf(fieldCategory, m.Category)
	if m.RiskScore != nil {
		w.integer(fieldRiskScore, int64(*m.RiskScore))
	}
	w.booleanIf(fieldQuarantined, m.Quarantined)
	w.textsIf(fieldLabels, m.Labels)
	w.timeIf(fieldExpiresAt, m.ExpiresAt)
	w.textIf(fieldText, m.Text)
	w.booleanIf(fieldTruncated, m.Truncated)
	if !canonical {
		w.time(fieldRecordedAt, m.RecordedAt)
	}
}

func writeAddresses(w *writer, list []Address) {
	if len(list) == 0 {
		return
	}
	w.name(fieldRecipients)
	w.b = append(w.b, '[')
	for i := range list {
		w.separate()
		list[i].write(w)
	}
	w.b = append(w.b, ']')
}

func (a *Address) write(w *writer) {
	w.open()
	w.textIf(fieldName, a.Name)
	w.textIf(fieldAddress, a.Address)
	w.close()
}

func (d *Decoder) readMail() *Mail {
	a := &d.mail
	*a = Mail{Recipients: a.Recipients[:0], DeliveredTo: a.DeliveredTo[:0], Labels: a.Labels[:0]}
	m := d.object(&shapes[TypeMailReceived])
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldUserID:
			a.UserID = d.interned()
		case fieldMessageID:
			a.MessageID = d.string()
		case fieldContentHash:
			a.ContentHash = d.string()
		case fieldThread:
			a.Thread = d.string()
		case fieldSubject:
			a.Subject = d.string()
		case fieldSender:
			a.Sender = d.readAddress()
		case fieldRecipients:
			a.Recipients = d.readAddresses(a.Recipients)
		case fieldDeliveredTo:
			a.DeliveredTo = d.texts(a.DeliveredTo, MaxDeliveredTo)
		case fieldListID:
			a.ListID = d.interned()
		case fieldUnsubscribe:
			a.Unsubscribe = d.boolean()
		case fieldReceivedAt:
			a.ReceivedAt = d.time()
		case fieldCategory:
			a.Category = d.interned()
		case fieldRiskScore:
			d.risk = d.small(MaxRiskScore)
			a.RiskScore = &d.risk
		case fieldQuarantined:
			a.Quarantined = d.boolean()
		case fieldLabels:
			a.Labels = d.texts(a.Labels, MaxLabels)
		case fieldExpiresAt:
			a.ExpiresAt = d.time()
		case fieldText:
			a.Text = d.string()
		case fieldTruncated:
			a.Truncated = d.boolean()
		case fieldRecordedAt:
			a.RecordedAt = d.time()
		}
	}
	return a
}

func (d *Decoder) readAddresses(list []Address) []Address {
	d.array()
	for n := 0; d.element(n, MaxRecipients); n++ {
		list = append(list, d.readAddress())
	}
	return list
}

func (d *Decoder) readAddress() Address {
	var a Address
	m := d.object(&addressShape)
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldName:
			a.Name = d.interned()
		case fieldAddress:
			a.Address = d.interned()
		}
	}
	return a
}
