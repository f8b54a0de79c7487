// Command make builds the sample mail from mbox files. It is run by hand:
//
//	go run ./internal/sample/make OUTPUT INPUT...
//
// It keeps the relevant headers and the first part of each message's text, leaves out messages unsuitable for a demonstration,
// and replaces people's names. It adds invented mail. The same input always gives the same output.
package main

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/mail"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/producers/mailimport"
)

// maxText is how many bytes of a text are kept.
const maxText = 1500

// made is one message of the sample.
type made struct {
	at          time.Time
	from        events.Address
	to          string
	subject     string
	id, thread  string // Message-IDs without brackets
	listID      string
	unsubscribe bool
	verdict     string // of Authentication-Results
	text        string
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: make OUTPUT INPUT...")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, "make:", err)
		os.Exit(1)
	}
}

func run(output string, paths []string) error {
	var all []made
	for _, path := range paths {
		messages, err := extract(path)
		if err != nil {
			return err
		}
		fmt.Printf("%s: %d messages kept\n", filepath.Base(path), len(messages))
		all = append(all, messages...)
	}
	slices.SortStableFunc(all, func(a, b made) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.id, b.id)) })
	all = slices.CompactFunc(all, func(a, b made) bool { return a.id == b.id })
	all = mix(all, invented())
	var packed bytes.Buffer
	writer, err := gzip.NewWriterLevel(&packed, gzip.BestCompression)
	if err != nil {
		return err
	}
	for i := range all {
		if _, err := writer.Write(all[i].mbox()); err != nil {
			return err
		}
	}
	if err := writer.Close(); err != nil {
		return err
	}
	fmt.Printf("%d messages, %d bytes packed\n", len(all), packed.Len())
	return os.WriteFile(output, packed.Bytes(), 0o644)
}

// extract reads the messages of an mbox. Every second message of a file called spam gets failing Authentication-Results.
func extract(path string) ([]made, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	unpacked, err := gzip.NewReader(file)
	if err != nil {
		return nil, fmt.Errorf("unpack %s: %w", path, err)
	}
	spam := strings.HasPrefix(filepath.Base(path), "spam")
	reader := mailimport.NewReader(unpacked, path)
	var all []made
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		event, err := mailimport.Parse(raw, mailimport.Options{UserID: "sample", RecordedAt: time.Date(2003, 12, 31, 0, 0, 0, 0, time.UTC)})
		if err != nil || !presentable(event.Mail) {
			continue
		}
		message := reduce(event.Mail)
		if spam && raw.Number%2 == 0 {
			message.verdict = "spf=fail; dmarc=fail"
		}
		all = append(all, message)
	}
}

// unwanted matches words that are unsuitable for a demonstration.
var unwanted = regexp.MustCompile(`(?i)sex|porn|viagra|peni[sl]|breast|nude|naked|xxx|horny|fuck|shit|cunt|bitch|slut|whore|rape[ds]?\b|perv|fag|nigg|nazi|kill|` +
	`\bcock|\bdick|\bcum\b|lolita|teens?\b|incest|orgas|erect|masturb|prostitut|terroris|murder|suicid|pedophil|paedo|child abuse|girls?\b|lesbian|adult|not safe for work|weener|\bfark`)

func presentable(m *events.Mail) bool {
	return m.Subject != "" && m.Sender.Address != "" && len(m.Text) > 40 && m.ReceivedAt.Year() > 2000 &&
		!strings.Contains(m.Subject+m.Text, "\uFFFD") && !unwanted.MatchString(m.Subject+" "+m.Text+" "+m.Sender.Name+" "+m.Sender.Address)
}

// automatic matches senders that are not persons.
var automatic = regexp.MustCompile(`news|\blist\b|digest|update|feed|subscri|offer|letter|mailer|bulletin|reply|info|service|support`)

// reduce keeps the relevant part of a message and renames its people.
func reduce(m *events.Mail) made {
	from := m.Sender
	local, _, _ := strings.Cut(strings.ToLower(from.Address), "@")
	unsubscribe := m.Unsubscribe || strings.Contains(strings.ToLower(m.Text), "unsubscribe") // usually at the end, which is cut
	if !automatic.MatchString(local) && (m.ListID != "" || m.Unsubscribe || !unsubscribe) {
		from = rename(from)
	}
	to := sample.Owner
	for _, recipient := range m.Recipients {
		if label, _, _ := strings.Cut(m.ListID, "."); label != "" && strings.HasPrefix(strings.ToLower(recipient.Address), label+"@") {
			to = strings.ToLower(recipient.Address)
		}
	}
	id := m.MessageID
	if id == "" {
		id = m.ContentHash
	}
	return made{
		at:          m.ReceivedAt,
		from:        from,
		to:          to,
		subject:     renameAll(m.Subject),
		id:          shortID(id),
		thread:      shortID(cmp.Or(m.Thread, id)),
		listID:      m.ListID,
		unsubscribe: unsubscribe,
		text:        cut(renameAll(m.Text)),
	}
}

func shortID(id string) string {
	sum := sha256.Sum256([]byte(id))
	return hex.EncodeToString(sum[:9]) + "@sample.home.example"
}

// cut shortens a text at the end of a line.
func cut(text string) string {
	text = strings.ReplaceAll(text, "\r", "")
	if len(text) <= maxText {
		return text
	}
	short := events.CleanText(text, maxText)
	if end := strings.LastIndexByte(short, '\n'); end > maxText/2 {
		short = short[:end]
	}
	return short
}

var (
	firstNames = strings.Fields("Ada Alma Amir Anja Arne Bela Bram Carla Chen Dana Dario Elif Emil Enzo Eva Femi Finn Gita Hana Hugo " +
		"Ida Ines Ivan Jana Jonas Kaya Kofi Lars Lena Liam Lina Luca Maja Malik Marta Mila Nadia Nils Noor Olga " +
		"Omar Oskar Petra Pia Quinn Rafa Rosa Ruben Sana Sven Tara Theo Tomas Uma Vera Viggo Wanda Yara Yusuf Zoe")
	lastNames = strings.Fields("Abel Arden Bakker Berg Blum Brook Castel Conti Dahl Dorn Ekman Engel Faber Field Forst Garde Grove Hale Haas Holm " +
		"Iversen Jansen Keller Kern Lang Lind Lopez Maas Marsh Meyer Moreau Nagel Nord Novak Olsen Otto Park Penn Quist Ramos " +
		"Reed Rivera Roth Sand Silva Stone Storm Tamm Thorn Toth Ueda Vale Vogel Wald Weber West Wolff Yilmaz Young Zeller")
	anyAddress = regexp.MustCompile(`[A-Za-z0-9][A-Za-z0-9._%+=-]*@[A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+`)
)

// rename gives the owner of an address an invented name, always the same one. The domain stays.
func rename(a events.Address) events.Address {
	_, domain, _ := strings.Cut(a.Address, "@")
	sum := sha256.Sum256([]byte(strings.ToLower(a.Address)))
	first, last := firstNames[int(sum[0])%len(firstNames)], lastNames[int(sum[1])%len(lastNames)]
	return events.Address{Name: first + " " + last, Address: strings.ToLower(first + "." + last + "@" + domain)}
}

func renameAll(text string) string {
	return anyAddress.ReplaceAllStringFunc(text, func(found string) string {
		return rename(events.Address{Address: found}).Address
	})
}

// mix distributes the messages of few evenly among those of many. Both keep their order.
func mix(many, few []made) []made {
	all := make([]made, 0, len(many)+len(few))
	next := 0
	for i, message := range few {
		upTo := (i + 1) * len(many) / (len(few) + 1)
		all = append(all, many[next:upTo]...)
		next = upTo
		message.at = many[upTo-1].at
		all = append(all, message)
	}
	return append(all, many[next:]...)
}

// mbox returns the message in mbox format with mboxrd quoting.
func (m *made) mbox() []byte {
	var b bytes.Buffer
	at := m.at.UTC()
	fmt.Fprintf(&b, "From sample@home.example %s\n", at.Format(time.ANSIC))
	fmt.Fprintf(&b, "Delivered-To: %s\n", sample.Owner)
	if m.verdict != "" {
		fmt.Fprintf(&b, "Authentication-Results: mx.home.example; %s\n", m.verdict)
	}
	from := mail.Address{Name: m.from.Name, Address: m.from.Address}
	fmt.Fprintf(&b, "From: %s\nTo: %s\nSubject: %s\n", from.String(), m.to, mime.QEncoding.Encode("utf-8", m.subject))
	fmt.Fprintf(&b, "Date: %s\nMessage-ID: <%s>\n", at.Format(time.RFC1123Z), m.id)
	if m.thread != "" && m.thread != m.id {
		fmt.Fprintf(&b, "References: <%s>\n", m.thread)
	}
	if m.listID != "" {
		fmt.Fprintf(&b, "List-Id: <%s>\n", m.listID)
	}
	if m.unsubscribe {
		fmt.Fprintf(&b, "List-Unsubscribe: <mailto:unsubscribe@%s>\n", m.from.Address[strings.LastIndexByte(m.from.Address, '@')+1:])
	}
	b.WriteString("MIME-Version: 1.0\nContent-Type: text/plain; charset=utf-8\nContent-Transfer-Encoding: 8bit\n\n")
	if !utf8.ValidString(m.text) {
		panic("a text is not UTF-8") // CleanText ensures it
	}
	for line := range strings.Lines(strings.TrimSpace(m.text) + "\n") {
		if strings.HasPrefix(strings.TrimLeft(line, ">"), "From ") {
			b.WriteByte('>')
		}
		b.WriteString(line)
	}
	b.WriteByte('\n')
	return b.Bytes()
}
