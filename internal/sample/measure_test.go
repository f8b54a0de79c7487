package sample_test

import (
	"bytes"
	"cmp"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/producers/mailimport"
)

var update = flag.Bool("update", false, "write the measured tables to docs/mail.md")

// The halves of the messages classified by hand, see testdata/README.md. Look only at tuning when you write rules.
const (
	tuning  = "tuning"
	heldOut = "held-out"
)

// riskThreshold is the score from which the policies treat a mail as risky.
const riskThreshold = 80

// sorted is a message with its labels and the result of the rules.
type sorted struct {
	half, category, subject string
	risk                    bool
	found                   string
	score                   int
}

// byHand reads the messages classified by hand.
func byHand(t *testing.T) []sorted {
	t.Helper()
	text, err := os.ReadFile("testdata/labels.tsv")
	if err != nil {
		t.Fatal(err)
	}
	labels := map[string]sorted{}
	for line := range strings.Lines(string(text[bytes.IndexByte(text, '\n')+1:])) {
		fields := strings.Split(strings.TrimSuffix(line, "\n"), "\t")
		labels[fields[3]] = sorted{half: fields[0], category: fields[1], risk: fields[2] == "yes", subject: fields[4]}
	}
	var all []sorted
	for _, name := range []string{"testdata/real.mbox.gz", "testdata/invented.mbox"} {
		for _, m := range messages(t, name) {
			id := cmp.Or(m.MessageID, m.ContentHash)
			one, ok := labels[id]
			if !ok {
				t.Fatalf("%s: no label for %s", name, id)
			}
			delete(labels, id)
			if half := []string{tuning, heldOut}[sha256.Sum256([]byte(id))[0]&1]; one.half != half {
				t.Errorf("%s belongs to the half %s", id, half)
			}
			one.found = mailbox.Category(m, domain.OfAddress(m.Sender.Address))
			if m.RiskScore != nil {
				one.score = *m.RiskScore
			}
			all = append(all, one)
		}
	}
	for id := range labels {
		t.Errorf("no message for the label of %s", id)
	}
	return all
}

// messages imports an mbox of the test data.
func messages(t testing.TB, name string) []*events.Mail {
	t.Helper()
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
	reader := mailimport.NewReader(in, name)
	var all []*events.Mail
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all
		}
		if err != nil {
			t.Fatal(err)
		}
		event, err := mailimport.Parse(raw, mailimport.Options{UserID: "u1", RecordedAt: time.Date(2026, 4, 1, 0, 0, 0, 0, time.UTC)})
		if err != nil {
			t.Fatalf("%s: %v", raw.Place, err)
		}
		all = append(all, event.Mail)
	}
}

// TestMeasureRules compares the tables in docs/mail.md with the rules. With -v it lists the errors in the half tuning.
func TestMeasureRules(t *testing.T) {
	all := byHand(t)
	for _, m := range all {
		if m.half != tuning {
			continue
		}
		if m.found != m.category {
			t.Logf("%-12s is classified as %-12s %s", m.category, m.found, m.subject)
		}
		if m.risk != (m.score >= riskThreshold) {
			t.Logf("risk %-5v has the score %-3d      %s", m.risk, m.score, m.subject)
		}
	}
	const begin, end = "<!-- measured by TestMeasureRules -->\n", "<!-- end -->\n"
	const path = "../../docs/mail.md"
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	was, after, closed := strings.Cut(rest, end)
	if !found || !closed {
		t.Fatalf("%s has no markers for the tables", path)
	}
	tables := categoryTables(all) + riskTable(all)
	if *update {
		if err := os.WriteFile(path, []byte(before+begin+tables+end+after), 0o644); err != nil {
			t.Fatal(err)
		}
	} else if was != tables {
		t.Errorf("the tables in %s are out of date: run go test ./internal/sample -update", path)
	}
}

var categories = []string{mailbox.Promo, mailbox.Newsletter, mailbox.Event, mailbox.Finance, mailbox.Applications, mailbox.Discussion, mailbox.Social, mailbox.Personal, mailbox.Other}

// categoryTables formats the confusion matrix of each half.
func categoryTables(all []sorted) string {
	var out strings.Builder
	for _, half := range []string{heldOut, tuning} {
		count := map[[2]string]int{}
		right, total := 0, 0
		for _, m := range all {
			if m.half != half {
				continue
			}
			count[[2]string{m.category, m.found}]++
			total++
			if m.category == m.found {
				right++
			}
		}
		fmt.Fprintf(&out, "\n%s, %d messages, %d %% correct; rows are the category assigned by hand, columns the one the rules assign:\n\n", half, total, 100*right/total)
		fmt.Fprintf(&out, "| | %s | precision | recall |\n|---|%s---|---|\n", strings.Join(categories, " | "), strings.Repeat("---|", len(categories)))
		for _, category := range categories {
			fmt.Fprintf(&out, "| **%s** |", category)
			said, is := 0, 0
			for _, other := range categories {
				fmt.Fprintf(&out, " %s |", blank(count[[2]string{category, other}]))
				is += count[[2]string{category, other}]
				said += count[[2]string{other, category}]
			}
			hits := count[[2]string{category, category}]
			fmt.Fprintf(&out, " %s | %s |\n", share(hits, said), share(hits, is))
		}
	}
	return out.String()
}

func riskTable(all []sorted) string {
	var out strings.Builder
	out.WriteString("\nRisk, by the score from which a mail is classified as risky:\n\n| | score | risky | found | classified as risky | precision | recall |\n|---|---|---|---|---|---|---|\n")
	for _, half := range []string{heldOut, tuning} {
		for _, threshold := range []int{riskThreshold, 50, 20} {
			risks, found, taken := 0, 0, 0
			for _, m := range all {
				if m.half != half {
					continue
				}
				if m.risk {
					risks++
				}
				if m.score >= threshold {
					taken++
					if m.risk {
						found++
					}
				}
			}
			fmt.Fprintf(&out, "| %s | %d | %d | %d | %d | %s | %s |\n", half, threshold, risks, found, taken, share(found, taken), share(found, risks))
		}
	}
	out.WriteString("\n")
	return out.String()
}

func share(part, whole int) string {
	if whole == 0 {
		return "–"
	}
	return fmt.Sprintf("%.2f", float64(part)/float64(whole))
}

func blank(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprint(n)
}
