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

// Attachment is a file of a message.
type Attachment struct {
	Name string // may be empty
	Type string // the media type, lower case; may be empty
	Size int64  // in bytes, decoded
}

// Mail is the payload of mail.received: one message as its owner received it.
type Mail struct {
	UserID      string
	MessageID   string // without angle brackets; empty if the message has none
	ContentHash string // lower-case hex of a SHA-256 that tells the message from others; required when MessageID is empty
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

	// What a rebuild could not bring back, for whoever shows, answers and acts on mail.
	HTML                string   // the first HTML text, as it was sent; empty if there is none, or if it is longer than 256 KiB
	ListUnsubscribe     string   // the header List-Unsubscribe
	ListUnsubscribePost string   // the header List-Unsubscribe-Post
	DKIMSigned          []string // the headers, lower case, that the valid DKIM signatures cover
	InReplyTo           string   // without angle brackets
	References          []string // the last ones, without angle brackets
	Attachments         []Attachment
	Calendar            string    // the first text/calendar; empty if there is none, or if it is longer than 64 KiB
	To, Cc              []Address // Recipients has both, and those of Bcc

	RecordedAt time.Time
}

func (m *Mail) check(c *checker, _ Type) {
	c.required("user_id", m.UserID, MaxUserID)
	c.text("message_id", m.MessageID, MaxMessageID)
	m.checkContentHash(c)
	c.text("thread", m.Thread, MaxThread)
	c.text("subject", m.Subject, MaxMailSubject)
	m.Sender.check(c, "sender.name", "sender.address")
	checkAddresses(c, "recipients", m.Recipients)
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
	m.checkParts(c)
	c.time("recorded_at", m.RecordedAt)
}

// checkParts checks what only some consumers need.
func (m *Mail) checkParts(c *checker) {
	c.text("html", m.HTML, MaxHTML)
	c.text("list_unsubscribe", m.ListUnsubscribe, MaxListUnsubscribe)
	c.text("list_unsubscribe_post", m.ListUnsubscribePost, MaxListUnsubscribe)
	c.texts("dkim_signed", m.DKIMSigned, MaxDKIMSigned, MaxHeaderName)
	c.text("in_reply_to", m.InReplyTo, MaxMessageID)
	c.texts("references", m.References, MaxReferences, MaxMessageID)
	c.count("attachments", len(m.Attachments), MaxAttachments)
	for i, a := range m.Attachments {
		c.nth = i + 1
		c.text("attachments.name", a.Name, MaxAttachmentName)
		c.text("attachments.type", a.Type, MaxMediaType)
		c.within("attachments.size", a.Size, 0, MaxAttachmentSize)
	}
	c.nth = 0
	c.text("calendar", m.Calendar, MaxCalendar)
	checkAddresses(c, "to", m.To)
	checkAddresses(c, "cc", m.Cc)
}

func checkAddresses(c *checker, name string, list []Address) {
	c.count(name, len(list), MaxRecipients)
	for i := range list {
		c.nth = i + 1
		list[i].check(c, name+".name", name+".address")
	}
	c.nth = 0
}

func (m *Mail) checkContentHash(c *checker) {
	if m.ContentHash == "" {
		if m.MessageID == "" && !c.unread("message_id") {
			c.fail(ReasonSchema, "content_hash", "is empty, as is message_id")
		}
		return
	}
	checkHash(c, m.ContentHash)
}

// checkHash refuses what is no SHA-256 in hex.
func checkHash(c *checker, hash string) {
	ok := len(hash) == contentHashSize
	for _, r := range hash {
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
	writeAddresses(w, fieldRecipients, m.Recipients)
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
	m.writeParts(w)
	if !canonical {
		w.time(fieldRecordedAt, m.RecordedAt)
	}
}

func (m *Mail) writeParts(w *writer) {
	w.textIf(fieldHTML, m.HTML)
	w.textIf(fieldListUnsubscribe, m.ListUnsubscribe)
	w.textIf(fieldListUnsubscribePost, m.ListUnsubscribePost)
	w.textsIf(fieldDKIMSigned, m.DKIMSigned)
	w.textIf(fieldInReplyTo, m.InReplyTo)
	w.textsIf(fieldReferences, m.References)
	if len(m.Attachments) > 0 {
		w.name(fieldAttachments)
		w.b = append(w.b, '[')
		for i := range m.Attachments {
			w.separate()
			m.Attachments[i].write(w)
		}
		w.b = append(w.b, ']')
	}
	w.textIf(fieldCalendar, m.Calendar)
	writeAddresses(w, fieldTo, m.To)
	writeAddresses(w, fieldCc, m.Cc)
}

func (a *Attachment) write(w *writer) {
	w.open()
	w.textIf(fieldName, a.Name)
	w.textIf(fieldType, a.Type)
	w.integer(fieldSize, a.Size)
	w.close()
}

func writeAddresses(w *writer, f field, list []Address) {
	if len(list) == 0 {
		return
	}
	w.name(f)
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
	*a = Mail{
		Recipients: a.Recipients[:0], DeliveredTo: a.DeliveredTo[:0], Labels: a.Labels[:0], DKIMSigned: a.DKIMSigned[:0],
		References: a.References[:0], Attachments: a.Attachments[:0], To: a.To[:0], Cc: a.Cc[:0],
	}
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
		case fieldHTML:
			a.HTML = d.string()
		case fieldListUnsubscribe:
			a.ListUnsubscribe = d.string()
		case fieldListUnsubscribePost:
			a.ListUnsubscribePost = d.interned()
		case fieldDKIMSigned:
			a.DKIMSigned = d.texts(a.DKIMSigned, MaxDKIMSigned)
		case fieldInReplyTo:
			a.InReplyTo = d.string()
		case fieldReferences:
			a.References = d.readReferences(a.References)
		case fieldAttachments:
			a.Attachments = d.readAttachments(a.Attachments)
		case fieldCalendar:
			a.Calendar = d.string()
		case fieldTo:
			a.To = d.readAddresses(a.To)
		case fieldCc:
			a.Cc = d.readAddresses(a.Cc)
		case fieldRecordedAt:
			a.RecordedAt = d.time()
		}
	}
	return a
}

func (d *Decoder) readAddresses(list []Address) []Address {
	for n := 0; d.element(n, MaxRecipients); n++ {
		list = append(list, d.readAddress())
	}
	return list
}

func (d *Decoder) readReferences(list []string) []string {
	for n := 0; d.element(n, MaxReferences); n++ {
		list = append(list, d.string())
	}
	return list
}

func (d *Decoder) readAttachments(list []Attachment) []Attachment {
	for n := 0; d.element(n, MaxAttachments); n++ {
		list = append(list, d.readAttachment())
	}
	return list
}

func (d *Decoder) readAttachment() Attachment {
	var a Attachment
	m := d.object(&attachmentShape)
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldName:
			a.Name = d.string()
		case fieldType:
			a.Type = d.interned()
		case fieldSize:
			a.Size = d.integer()
		}
	}
	return a
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
