package money_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/mail"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/money"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/producers/mailimport"
)

var update = flag.Bool("update", false, "write the measured table to docs/mail.md")

// sets are the files of testdata, in the order in which they were made.
var sets = []string{"held-out", "tuning", "late", "fresh", "last", "unseen", "blind", "check"}

// What the rules have to reach in each set.
const (
	leastPrecision = 0.95
	leastRecall    = 0.9
	leastAmounts   = 0.95
)

// handMadeMail is a message with its label.
type handMadeMail struct {
	mail     *money.Mail
	receipt  bool
	amount   money.Amount
	merchant string
}

// handMade reads a set. The label of a message is its header X-Receipt: "no", or "12.50 EUR; Paper & Pen".
func handMade(t testing.TB, set string) []handMadeMail {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", set+".mbox"))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = file.Close() }()
	var all []handMadeMail
	each(t, file, set, func(raw []byte, m *money.Mail) {
		header, err := mail.ReadMessage(bytes.NewReader(raw))
		if err != nil {
			t.Fatal(err)
		}
		label := header.Header.Get("X-Receipt")
		one := handMadeMail{mail: m, receipt: label != "no"}
		if one.receipt {
			var decimal, code string
			sum, merchant, _ := strings.Cut(label, "; ")
			if _, err := fmt.Sscan(sum, &decimal, &code); err != nil {
				t.Fatalf("%s: %s: the label %q: %v", set, m.Subject, label, err)
			}
			if one.amount, err = money.ParseAmount(decimal, code); err != nil {
				t.Fatal(err)
			}
			one.merchant = merchant
		}
		all = append(all, one)
	})
	return all
}

// each imports the messages of an mbox, as the mailbox fold shows them to money.
func each(t testing.TB, in io.Reader, name string, do func(raw []byte, m *money.Mail)) {
	t.Helper()
	for reader := mailimport.NewReader(in, name); ; {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		event, err := mailimport.Parse(raw, mailimport.Options{UserID: "u1", RecordedAt: time.Date(2026, 12, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatalf("%s: %v", raw.Place, err)
		}
		do(raw.Bytes, shown(event.Mail))
	}
}

func shown(m *events.Mail) *money.Mail {
	of := domain.OfAddress(m.Sender.Address)
	risk := 0
	if m.RiskScore != nil {
		risk = *m.RiskScore
	}
	return &money.Mail{
		Sender: m.Sender.Address, SenderName: m.Sender.Name, SenderDomain: of, Subject: m.Subject, Text: m.Text,
		Category: mailbox.Category(m, of), ListID: m.ListID, Bulk: m.Unsubscribe, Risk: risk, Quarantined: m.Quarantined,
	}
}

// sampleMail is the sample mail without what was invented for it: mailing lists, newsletters and advertising of 2002.
func sampleMail(t testing.TB) (all []*money.Mail) {
	t.Helper()
	each(t, sample.Open(), "sample", func(raw []byte, m *money.Mail) {
		if !bytes.Contains(raw, []byte("<invented-")) {
			all = append(all, m)
		}
	})
	return all
}

// score counts how often the rules are right in a set.
type score struct{ mails, receipts, found, right, amounts, merchants int }

func (s score) precision() float64 { return float64(s.right) / float64(max(s.found, 1)) }
func (s score) recall() float64    { return float64(s.right) / float64(max(s.receipts, 1)) }
func (s score) amount() float64    { return float64(s.amounts) / float64(max(s.right, 1)) }

func measure(t testing.TB, set string) (s score) {
	t.Helper()
	for _, one := range handMade(t, set) {
		s.mails++
		got, found := money.Find(one.mail)
		verdict := ""
		switch {
		case found && !one.receipt:
			verdict = "is no receipt"
		case !found && one.receipt:
			verdict = "is missed"
		case found && !sameAmount(got.Amount, one.amount):
			verdict = "has another amount"
		case found && got.Merchant != one.merchant:
			verdict = "has another merchant"
		}
		if one.receipt {
			s.receipts++
		}
		if found {
			s.found++
		}
		if found && one.receipt {
			s.right++
			s.amounts += one01(sameAmount(got.Amount, one.amount))
			s.merchants += one01(got.Merchant == one.merchant)
		}
		if verdict != "" {
			t.Logf("%-9s %-20s %v %q, labelled %v %q: %s %s", set, verdict, got.Amount, got.Merchant, one.amount, one.merchant, one.mail.Subject, money.Explain(one.mail))
		}
	}
	return s
}

func one01(b bool) int {
	if b {
		return 1
	}
	return 0
}

// sameAmount compares amounts by value: 5 is 5.00.
func sameAmount(a, b money.Amount) bool {
	plain := func(a money.Amount) string {
		if text := a.Decimal(); strings.Contains(text, ".") {
			return strings.TrimRight(strings.TrimRight(text, "0"), ".")
		}
		return a.Decimal()
	}
	return a.Currency() == b.Currency() && plain(a) == plain(b)
}

// TestMeasureReceipts compares the table in docs/mail.md with the rules, and holds them to what they have to reach. With -v it lists the errors.
func TestMeasureReceipts(t *testing.T) {
	var table strings.Builder
	table.WriteString("\n| set | messages | receipts | precision | recall | amounts right | merchants right |\n|---|---|---|---|---|---|---|\n")
	for _, set := range sets {
		s := measure(t, set)
		fmt.Fprintf(&table, "| %s | %d | %d | %.2f | %.2f | %.2f | %d of %d |\n", set, s.mails, s.receipts, s.precision(), s.recall(), s.amount(), s.merchants, s.right)
		if s.precision() < leastPrecision || s.recall() < leastRecall || s.amount() < leastAmounts {
			t.Errorf("%s: precision %.3f, recall %.3f, amounts %.3f", set, s.precision(), s.recall(), s.amount())
		}
	}
	found := 0
	all := sampleMail(t)
	for _, m := range all {
		if receipt, is := money.Find(m); is {
			found++
			t.Logf("sample: %v %q: %s", receipt.Amount, receipt.Merchant, m.Subject)
		}
	}
	fmt.Fprintf(&table, "\nOf the %d messages of mailing lists, newsletters and advertising in the sample, none of which is a receipt, %d are taken for one.\n\n", len(all), found)
	if found > 2 {
		t.Errorf("%d of the sample's messages are taken for receipts", found)
	}
	compareTable(t, table.String())
}

// compareTable compares the measured table with that in docs/mail.md, or writes it there.
func compareTable(t *testing.T, table string) {
	t.Helper()
	const path, begin, end = "../../docs/mail.md", "<!-- measured by TestMeasureReceipts -->\n", "<!-- end of receipts -->\n"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	was, after, closed := strings.Cut(rest, end)
	switch {
	case !found || !closed:
		t.Fatalf("%s has no markers for the table", path)
	case *update:
		if err := os.WriteFile(path, []byte(before+begin+table+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	case was != table:
		t.Errorf("the table in %s is out of date: run go test ./internal/money -run TestMeasureReceipts -update", path)
	}
}

// TestMeasureFile lists the receipts among the sample mail, or among mail of one's own: the mbox files, also gzipped, of RECEIPTS_MBOX.
func TestMeasureFile(t *testing.T) {
	files, own := strings.Fields(os.Getenv("RECEIPTS_MBOX")), true
	if len(files) == 0 {
		files, own = []string{filepath.Join("..", "sample", "mail.mbox.gz")}, false
	}
	for _, name := range files {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var in io.Reader = bytes.NewReader(text)
		if strings.HasSuffix(name, ".gz") {
			if in, err = gzip.NewReader(in); err != nil {
				t.Fatal(err)
			}
		}
		mails, found := 0, 0
		each(t, in, name, func(_ []byte, m *money.Mail) {
			mails++
			if receipt, is := money.Find(m); is {
				found++
				t.Logf("%v %q: %s, from %s", receipt.Amount, receipt.Merchant, m.Subject, cmp.Or(m.SenderName, m.Sender))
			}
		})
		t.Logf("%s: %d receipts among %d messages", name, found, mails)
		if !own && found != 15 {
			t.Errorf("the sample has 15 receipts, and not %d", found)
		}
	}
}
