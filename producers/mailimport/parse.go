package mailimport

import (
	"cmp"
	"encoding/hex"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// Options has the owner of the messages and the time of the import.
type Options struct {
	UserID     string
	Addresses  []string  // the owner's own, lower case
	RecordedAt time.Time // the time of the import

	folder folder // that of the message's file
}

// BrokenError says why a message cannot be imported. Its text contains nothing of the message.
type BrokenError struct{ Reason string }

// Error implements error.
func (e *BrokenError) Error() string { return e.Reason }

// Parse converts a message to its event. Errors are of type *BrokenError.
func Parse(raw *Raw, options Options) (*events.Event, error) {
	event, _, err := parseMessage(raw, options)
	return event, err
}

// parseMessage is Parse, and returns the folder that the message is in.
func parseMessage(raw *Raw, options Options) (event *events.Event, in folder, err error) {
	defer func() {
		// A parser that panics on hostile bytes must cost one message, not the file.
		if recover() != nil {
			event, err = nil, &BrokenError{"the parser cannot read it"}
		}
	}()
	if raw.Fragment {
		return nil, noFolder, &BrokenError{"its beginning is missing"}
	}
	m, err := read(raw)
	if err != nil {
		return nil, noFolder, err
	}
	if options.folder == noFolder {
		options.folder = m.folder()
	}
	result := m.mail(options)
	event = &events.Event{
		Envelope: events.Envelope{
			ID:     events.DeriveUUID(events.TypeMailReceived.String(), result.UserID, result.MessageID, result.ContentHash).String(),
			Source: Source,
			Type:   events.TypeMailReceived,
			Time:   options.RecordedAt,
		},
		Mail: result,
	}
	if err := event.Validate(); err != nil {
		return nil, noFolder, &BrokenError{err.Error()}
	}
	return event, options.folder, nil
}

// message extracts the fields of a mail from a parsed message.
type message struct {
	raw     *Raw
	root    *part
	body    body
	charset string // of header bytes that are neither ASCII nor encoded: that of the text, which is longer
	labels  []string
}

func read(raw *Raw) (*message, error) {
	left := &room{parts: maxParts, names: maxNames}
	m := &message{raw: raw, root: parsePart(raw.Bytes, 0, left), body: body{room: left, source: raw}}
	if !m.hasAny("From", "Date", "Subject", "To", "Received", "Message-Id", "Return-Path") {
		return nil, &BrokenError{"its header is not that of a mail"}
	}
	m.body.add(m.root, 0)
	m.charset = cmp.Or(m.body.charset, m.body.guessed)
	m.labels = m.gmailLabels()
	return m, nil
}

func (m *message) mail(options Options) *events.Mail {
	text, truncated := m.text()
	junked := options.folder == junk
	to, cc := m.addresses("To"), m.addresses("Cc")
	recipients := once(to, cc, m.addresses("Bcc"))
	listID := m.listID()
	subject, sender := events.CleanText(m.get("Subject"), events.MaxMailSubject), m.sender()
	result := &events.Mail{
		UserID:      options.UserID,
		MessageID:   messageID(m.get("Message-Id"), events.MaxMessageID),
		ContentHash: hex.EncodeToString(m.raw.Hash[:]),
		Subject:     subject,
		Sender:      sender,
		Recipients:  recipients,
		DeliveredTo: m.deliveredTo(options.Addresses),
		ListID:      listID,
		Unsubscribe: m.unsubscribes(),
		ReceivedAt: dates{
			date:     m.get("Date"),
			received: m.all("Received"),
			delivery: m.get("Delivery-Date"),
			envelope: m.raw.Envelope,
		}.receivedAt(options.RecordedAt.Add(48 * time.Hour)),
		Category: categoryOf(m.labels),
		RiskScore: evidence{
			authentication: m.get("Authentication-Results"),
			spamFlag:       m.get("X-Spam-Flag"),
			spamStatus:     m.get("X-Spam-Status"),
			list:           listID != "" || m.hasAny("List-Post", "Mailing-List"),
			spamFolder:     junked,
			attachments:    m.body.attachments,
			received:       m.root.header["Received"],
			to:             m.get("To"),
			recipients:     recipients,
			sender:         sender.Address,
			replyTo:        m.replyTo(),
			encoded:        m.body.encoded,
			subject:        subject,
			text:           text,
			page:           m.body.page,
			links:          m.body.links,
		}.riskScore(),
		Quarantined: junked,
		Labels:      m.labels,
		Text:        text,
		Truncated:   truncated,

		HTML:                m.body.page,
		ListUnsubscribe:     ifShort(m.get("List-Unsubscribe"), events.MaxListUnsubscribe),
		ListUnsubscribePost: ifShort(m.get("List-Unsubscribe-Post"), events.MaxListUnsubscribe),
		DKIMSigned:          signedHeaders(m.all("Dkim-Signature"), m.get("Authentication-Results")),
		InReplyTo:           messageID(m.get("In-Reply-To"), events.MaxMessageID),
		References:          m.references(),
		Attachments:         m.body.attachments,
		Calendar:            m.body.calendar,
		To:                  to,
		Cc:                  cc,

		RecordedAt: options.RecordedAt,
	}
	result.Thread = m.thread(result.MessageID)
	if expires, ok := parseDate(m.get("Expires")); ok && expires.After(result.ReceivedAt) {
		result.ExpiresAt = expires
	}
	return result
}

// get returns the first header of a name, unfolded and decoded.
func (m *message) get(name string) string {
	return m.decode(m.root.get(name))
}

func (m *message) all(name string) []string {
	values := slices.Clone(m.root.header[name])
	for i, value := range values {
		values[i] = m.decode(value)
	}
	return values
}

func (m *message) decode(value string) string {
	decoded := decodeHeader(value, m.charset)
	return strings.Join(strings.Fields(strings.ReplaceAll(decoded, "\x00", replacement)), " ")
}

func (m *message) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return len(m.root.header[name]) > 0 })
}

// text returns the body as people would read it.
func (m *message) text() (text string, truncated bool) {
	text = strings.TrimSpace(m.body.text.String())
	cut := events.CleanText(text, events.MaxText)
	return cut, len(cut) < len(text) && len(text) > events.MaxText || m.raw.Cut
}

var angled = regexp.MustCompile(`<([^<>\s]+)>`)

// messageID returns the id without brackets, empty if there is none within the limit.
func messageID(header string, limit int) string {
	id := header
	if m := angled.FindStringSubmatch(header); m != nil {
		id = m[1]
	}
	id = strings.Trim(strings.TrimSpace(id), "<>")
	if strings.ContainsAny(id, " "+replacement) || len(id) > limit {
		return ""
	}
	return id
}

// thread returns the first message of the conversation, or the message itself.
func (m *message) thread(own string) string {
	for _, name := range []string{"References", "In-Reply-To"} {
		if first := angled.FindString(m.get(name)); first != "" {
			if id := messageID(first, events.MaxThread); id != "" {
				return id
			}
		}
	}
	return own
}

func (m *message) sender() events.Address {
	for _, name := range []string{"From", "Sender", "Reply-To", "Return-Path"} {
		for _, header := range m.root.header[name] {
			if list := parseAddresses(header, m.charset); len(list) > 0 {
				return list[0]
			}
		}
	}
	if first, _, _ := strings.Cut(m.raw.Envelope, " "); isAddress(first) {
		return events.Address{Address: first}
	}
	return events.Address{Name: events.CleanText(m.get("From"), maxDisplayName)}
}

// replyTo returns the address for replies, if it differs from the sender's.
func (m *message) replyTo() string {
	if list := parseAddresses(m.root.get("Reply-To"), m.charset); len(list) > 0 {
		return list[0].Address
	}
	return ""
}

// addresses returns those of a header, once each.
func (m *message) addresses(name string) []events.Address {
	var lists [][]events.Address
	for _, header := range m.root.header[name] {
		lists = append(lists, parseAddresses(header, m.charset))
	}
	return once(lists...)
}

// once returns the addresses of lists, once each and at most maxRecipients.
func once(lists ...[]events.Address) (found []events.Address) {
	seen := map[string]bool{}
	for _, list := range lists {
		for _, address := range list {
			if key := strings.ToLower(address.Address); !seen[key] && len(found) < maxRecipients {
				seen[key] = true
				found = append(found, address)
			}
		}
	}
	return found
}

// references returns the last ids in References.
func (m *message) references() []string {
	var ids []string
	for _, found := range angled.FindAllString(m.get("References"), -1) {
		if id := messageID(found, events.MaxMessageID); id != "" {
			ids = append(ids, id)
		}
	}
	return ids[max(0, len(ids)-events.MaxReferences):]
}

// deliveredTo returns the owner's configured addresses and the one that the last server delivered to. The Delivered-To
// headers below it were added by lists and forwarders on the way.
func (m *message) deliveredTo(own []string) []string {
	found := slices.Clone(own)
	if last := strings.ToLower(strings.Trim(m.get("Delivered-To"), "<>")); isAddress(last) && !slices.Contains(found, last) {
		found = append(found, last)
	}
	return found
}

// listID returns the part of List-Id in brackets, lower case: of RFC 2919, where the name before it may be quoted and have
// brackets too, and comments may stand around it.
func (m *message) listID() string {
	id := withoutComments(quotedText.ReplaceAllString(m.get("List-Id"), " "))
	if found := angled.FindAllStringSubmatch(id, -1); found != nil {
		id = found[len(found)-1][1]
	} else {
		words := strings.Fields(cmp.Or(strings.TrimSpace(id), m.get("List-Id"), "-"))
		id = words[len(words)-1]
	}
	id = strings.ToLower(strings.Trim(id, `<>"-`))
	if len(id) > events.MaxListID {
		return ""
	}
	return id
}

// quotedText is a quoted string.
var quotedText = regexp.MustCompile(`"(?:[^"\\]|\\.)*"`)

// unsubscribes tells whether the message names a way to unsubscribe. RFC 2369 has "NO" for a list that has none.
func (m *message) unsubscribes() bool {
	ways := strings.Fields(strings.Trim(withoutComments(m.get("List-Unsubscribe")), " <>,;"))
	return len(ways) > 0 && !strings.EqualFold(strings.TrimRight(ways[0], ",;.:"), "no")
}
