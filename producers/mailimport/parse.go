package mailimport

import (
	"bytes"
	"encoding/csv"
	"encoding/hex"
	"net/mail"
	"net/textproto"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jhillyerd/enmime/v2"
	"golang.org/x/text/encoding/charmap"

	"github.com/applylens/applylens/events"
)

// The limits of the import, where they are below those of the events.
const (
	maxRecipients  = 200
	maxDisplayName = 200
)

// Options says for whom messages are parsed.
type Options struct {
	UserID     string
	Addresses  []string  // the owner's own, lower case
	RecordedAt time.Time // the time of the import
}

// BrokenError tells why a message cannot be imported. Its text holds nothing of the message.
type BrokenError struct{ Reason string }

// Error implements error.
func (e *BrokenError) Error() string { return e.Reason }

var parser = enmime.NewParser(
	enmime.SkipMalformedParts(true),
	enmime.MultipartWOBoundaryAsSinglePart(true),
	enmime.StripMediaTypeInvalidCharacters(true),
	enmime.DisableCharacterDetection(true), // where one is declared: a guess is often wrong and takes most of the time
	enmime.MaxStoredPartErrors(10),
	enmime.SetReadPartErrorPolicy(func(*enmime.Part, error) bool { return true }), // what was read of a cut part is better than nothing
)

// Parse turns a message into the event that tells of it. An error is a *BrokenError.
func Parse(raw *Raw, options Options) (event *events.Event, err error) {
	defer func() {
		// A library that meets hostile bytes and fails must cost one message, not the file.
		if recover() != nil {
			event, err = nil, &BrokenError{"the parser gave up on it"}
		}
	}()
	envelope, err := read(raw.Bytes)
	if err != nil {
		return nil, &BrokenError{"it is no MIME message"}
	}
	m := message{envelope: envelope, raw: raw}
	if !m.hasAny("From", "Date", "Subject", "To", "Received", "Message-Id", "Return-Path") {
		return nil, &BrokenError{"it has no header of a mail"}
	}
	result := m.mail(options)
	event = &events.Event{
		Envelope: events.Envelope{
			ID:     events.DeriveUUID(events.TypeMailReceived.String(), result.UserID, identity(result)).String(),
			Source: Source,
			Type:   events.TypeMailReceived,
			Time:   options.RecordedAt,
		},
		Mail: result,
	}
	if err := event.Validate(); err != nil {
		return nil, &BrokenError{err.Error()}
	}
	return event, nil
}

// read parses a message. When bytes get lost since none of its parts names their character set, it is taken for
// Windows-1252, the superset of Latin 1 that most such mail is written in.
func read(raw []byte) (*enmime.Envelope, error) {
	envelope, err := parser.ReadEnvelope(bytes.NewReader(raw))
	if err != nil || utf8.Valid(raw) || !strings.Contains(envelope.Text, replacement) {
		return envelope, err
	}
	again, err := parser.ReadEnvelope(strings.NewReader(fromWindows1252(string(raw))))
	if err != nil || strings.Count(again.Text, replacement) >= strings.Count(envelope.Text, replacement) {
		return envelope, nil
	}
	return again, nil
}

const replacement = "\uFFFD"

// identity tells messages of one person apart.
func identity(m *events.Mail) string {
	if m.MessageID != "" {
		return "id:" + m.MessageID
	}
	return "hash:" + m.ContentHash
}

// message reads the parts of a mail out of a parsed message.
type message struct {
	envelope *enmime.Envelope
	raw      *Raw
}

func (m message) mail(options Options) *events.Mail {
	text, truncated := m.text()
	labels := m.labels()
	folders := foldersOf(labels)
	listID := m.listID()
	result := &events.Mail{
		UserID:      options.UserID,
		MessageID:   messageID(m.get("Message-Id"), events.MaxMessageID),
		ContentHash: hex.EncodeToString(m.raw.Hash[:]),
		Subject:     events.CleanText(m.get("Subject"), events.MaxMailSubject),
		Sender:      m.sender(),
		Recipients:  m.recipients(),
		DeliveredTo: m.deliveredTo(options.Addresses),
		ListID:      listID,
		Unsubscribe: m.get("List-Unsubscribe") != "",
		ReceivedAt: dates{
			date:     m.get("Date"),
			received: m.all("Received"),
			delivery: m.get("Delivery-Date"),
			envelope: m.raw.Envelope,
		}.receivedAt(options.RecordedAt.Add(48 * time.Hour)),
		Category: folders.category,
		RiskScore: evidence{
			authentication: m.get("Authentication-Results"),
			spamFlag:       m.get("X-Spam-Flag"),
			spamStatus:     m.get("X-Spam-Status"),
			list:           listID != "",
			spamFolder:     folders.spam,
			attachments:    m.attachments(),
		}.riskScore(),
		Quarantined: folders.spam,
		Labels:      labels,
		Text:        text,
		Truncated:   truncated,
		RecordedAt:  options.RecordedAt,
	}
	result.Thread = m.thread(result.MessageID)
	if expires, ok := parseDate(m.get("Expires")); ok && expires.After(result.ReceivedAt) {
		result.ExpiresAt = expires
	}
	return result
}

// get returns a header on one line, decoded; the first when there are several.
func (m message) get(name string) string {
	values := m.all(name)
	if len(values) == 0 {
		return ""
	}
	return values[0]
}

func (m message) all(name string) []string {
	values := m.envelope.GetHeaderValues(name)
	for i, raw := range m.envelope.Root.Header[textproto.CanonicalMIMEHeaderKey(name)] {
		// Old mail has bare eight-bit headers, nearly always of Western Europe.
		if !utf8.ValidString(raw) && i < len(values) {
			values[i] = fromWindows1252(raw)
		}
	}
	for i, value := range values {
		values[i] = strings.Join(strings.Fields(events.CleanText(value, len(value))), " ")
	}
	return values
}

func (m message) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return m.get(name) != "" })
}

func fromWindows1252(s string) string {
	decoded, err := charmap.Windows1252.NewDecoder().String(s)
	if err != nil {
		return strings.ToValidUTF8(s, replacement)
	}
	return decoded
}

// text returns the body as people would read it.
func (m message) text() (text string, truncated bool) {
	text = m.envelope.Text
	if root := m.envelope.Root; text == "" && root.FirstChild == nil && strings.HasPrefix(root.ContentType, "multipart/") {
		text = string(root.Content) // a multipart without a boundary is one text
	}
	if !utf8.ValidString(text) {
		text = fromWindows1252(text)
	}
	text = strings.TrimSpace(strings.ReplaceAll(text, "\r\n", "\n"))
	cut := events.CleanText(text, events.MaxText)
	return cut, len(cut) < len(text) && len(text) > events.MaxText
}

var angled = regexp.MustCompile(`<([^<>\s]+)>`)

// messageID returns the id without brackets and empty when there is none that fits.
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

// thread is the first message that this one goes back to, or itself.
func (m message) thread(own string) string {
	for _, name := range []string{"References", "In-Reply-To"} {
		if first := angled.FindString(m.get(name)); first != "" {
			if id := messageID(first, events.MaxThread); id != "" {
				return id
			}
		}
	}
	return own
}

func (m message) sender() events.Address {
	for _, name := range []string{"From", "Sender", "Reply-To", "Return-Path"} {
		if list := addresses(m.get(name)); len(list) > 0 {
			return list[0]
		}
	}
	if first, _, _ := strings.Cut(m.raw.Envelope, " "); isAddress(first) {
		return events.Address{Address: first}
	}
	return events.Address{Name: events.CleanText(m.get("From"), maxDisplayName)}
}

func (m message) recipients() []events.Address {
	var found []events.Address
	seen := map[string]bool{}
	for _, name := range []string{"To", "Cc", "Bcc"} {
		for _, header := range m.all(name) {
			for _, address := range addresses(header) {
				if key := strings.ToLower(address.Address); !seen[key] && len(found) < maxRecipients {
					seen[key] = true
					found = append(found, address)
				}
			}
		}
	}
	return found
}

// deliveredTo joins the addresses that the owner named with the one that the last server delivered to; those below it
// are of lists and forwarders on the way.
func (m message) deliveredTo(own []string) []string {
	found := slices.Clone(own)
	if last := strings.ToLower(strings.Trim(m.get("Delivered-To"), "<>")); isAddress(last) && !slices.Contains(found, last) {
		found = append(found, last)
	}
	return found
}

var bareAddress = regexp.MustCompile(`[^\s<>,;:"()\[\]\\@]+@[^\s<>,;:"()\\@]+`)

func isAddress(s string) bool {
	return len(s) <= events.MaxAddress && bareAddress.FindString(s) == s && s != ""
}

// addresses reads an address header; of one that breaks the rules it takes what looks like an address.
func addresses(header string) []events.Address {
	if header == "" {
		return nil
	}
	if len(header) > 64<<10 {
		header = header[:64<<10]
	}
	parsed, err := enmime.ParseAddressList(header)
	if err != nil {
		parsed = nil
		for _, found := range bareAddress.FindAllString(header, maxRecipients) {
			parsed = append(parsed, &mail.Address{Address: found})
		}
	}
	var list []events.Address
	for _, p := range parsed {
		if address := strings.Trim(p.Address, ". '"); isAddress(address) && utf8.ValidString(address) {
			name := strings.Join(strings.Fields(events.CleanText(p.Name, maxDisplayName)), " ")
			list = append(list, events.Address{Name: name, Address: address})
		}
	}
	return list
}

// listID is what stands in brackets in List-Id, lower case.
func (m message) listID() string {
	id := m.get("List-Id")
	if match := angled.FindStringSubmatch(id); match != nil {
		id = match[1]
	} else if at := strings.LastIndexByte(id, ' '); at >= 0 {
		id = id[at+1:]
	}
	id = strings.ToLower(strings.Trim(id, "<>"))
	if len(id) > events.MaxListID {
		return ""
	}
	return id
}

func (m message) attachments() []string {
	var names []string
	for _, parts := range [][]*enmime.Part{m.envelope.Attachments, m.envelope.Inlines, m.envelope.OtherParts} {
		for _, part := range parts {
			names = append(names, part.FileName)
		}
	}
	return names
}

// labels are those of a Gmail Takeout, a list with commas and quotes.
func (m message) labels() []string {
	header := m.get("X-Gmail-Labels")
	if header == "" {
		return nil
	}
	reader := csv.NewReader(strings.NewReader(header))
	reader.LazyQuotes, reader.TrimLeadingSpace = true, true
	fields, err := reader.Read()
	if err != nil {
		fields = strings.Split(header, ",")
	}
	var labels []string
	for _, field := range fields {
		label := events.CleanText(strings.TrimSpace(field), events.MaxLabel)
		if label != "" && !slices.Contains(labels, label) && len(labels) < events.MaxLabels {
			labels = append(labels, label)
		}
	}
	return labels
}

type folders struct {
	category string
	spam     bool
}

// gmailCategories are Gmail's tabs. Its updates hold anything from receipts to alerts, which the rules tell better.
var gmailCategories = map[string]string{
	"category promotions": "promo",
	"category social":     "social",
	"category forums":     "social",
	"category purchases":  "finance",
}

func foldersOf(labels []string) folders {
	var found folders
	for _, label := range labels {
		label = strings.ToLower(label)
		if category, known := gmailCategories[label]; known {
			found.category = category
		}
		found.spam = found.spam || label == "spam"
	}
	return found
}
