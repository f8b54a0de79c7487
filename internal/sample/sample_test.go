package sample_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/producers/mailimport"
)

var now = time.Date(2026, 3, 10, 12, 0, 0, 0, time.UTC)

// parsed imports the sample once for all tests.
var parsed = sync.OnceValues(func() ([]*events.Mail, error) {
	reader := mailimport.NewReader(sample.Recent(now), "sample")
	var all []*events.Mail
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return all, nil
		}
		if err != nil {
			return nil, err
		}
		event, err := mailimport.Parse(raw, mailimport.Options{UserID: "u1", RecordedAt: now})
		if err != nil {
			return nil, fmt.Errorf("%s: %w", raw.Place, err)
		}
		all = append(all, event.Mail)
	}
})

// mails returns the recent sample, and fails the test if a message is broken.
func mails(t *testing.T) []*events.Mail {
	t.Helper()
	all, err := parsed()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestRecentMovesOnlyDates(t *testing.T) {
	shipped, recent := lines(t, sample.Open()), lines(t, sample.Recent(now))
	if len(shipped) != len(recent) {
		t.Fatalf("%d lines became %d", len(shipped), len(recent))
	}
	for i, line := range shipped {
		dated := strings.HasPrefix(line, "From sample@home.example ") || strings.HasPrefix(line, "Date: ")
		if line != recent[i] && !dated {
			t.Fatalf("line %d: %q became %q", i+1, line, recent[i])
		}
	}
}

func lines(t *testing.T, in io.Reader) []string {
	t.Helper()
	text, err := io.ReadAll(in)
	if err != nil {
		t.Fatal(err)
	}
	return strings.Split(string(text), "\n")
}

func TestRecentIsRecentAndInOrder(t *testing.T) {
	all := mails(t)
	if len(all) < 2000 {
		t.Fatalf("%d messages", len(all))
	}
	ids := map[string]bool{}
	for i, m := range all {
		if ids[m.MessageID] {
			t.Errorf("message %d has the id of an earlier one", i+1)
		}
		ids[m.MessageID] = true
		if age := now.Sub(m.ReceivedAt); age < 0 || age > sample.Span+time.Hour {
			t.Errorf("message %d is %s old", i+1, age)
		}
		if i > 0 && m.ReceivedAt.Before(all[i-1].ReceivedAt) {
			t.Errorf("message %d is older than the one before it", i+1)
		}
		if !slices.Contains(m.DeliveredTo, sample.Owner) {
			t.Errorf("message %d was delivered to %v", i+1, m.DeliveredTo)
		}
	}
	if last := now.Sub(all[len(all)-1].ReceivedAt); last > time.Hour {
		t.Errorf("the newest message is %s old", last)
	}
}

func TestRecentIsDeterministic(t *testing.T) {
	if !slices.Equal(lines(t, sample.Recent(now)), lines(t, sample.Recent(now))) {
		t.Error("two calls differ")
	}
}

// seen returns a mail as policies see it after the mailbox fold.
func seen(m *events.Mail) policy.Mail {
	domain := domain.OfAddress(m.Sender.Address)
	return policy.Mail{ID: mailbox.MailID(m).String(), Category: mailbox.Category(m, domain), Sender: m.Sender.Address, SenderDomain: domain,
		ListID: m.ListID, Subject: m.Subject, RiskScore: m.RiskScore, Quarantined: m.Quarantined, ReceivedAt: m.ReceivedAt}
}

// TestEveryDefaultPolicyAndCategoryHasMaterial checks that the sample has mail for every default policy and category.
func TestEveryDefaultPolicyAndCategoryHasMaterial(t *testing.T) {
	policies := policy.Defaults()
	for i := range policies {
		policies[i].ID = int64(i + 1)
	}
	set, err := policy.NewSet(policies)
	if err != nil {
		t.Fatal(err)
	}
	chosen, categories := map[string]int{}, map[string]int{}
	for _, m := range mails(t) {
		mail := seen(m)
		categories[mail.Category]++
		if proposal, ok := set.Choose(mail, now, 0, func(string) float64 { return 0 }); ok {
			chosen[proposal.Policy.Name]++
		}
	}
	t.Logf("categories %v, proposals %v", categories, chosen)
	for _, p := range policies {
		if chosen[p.Name] < 10 {
			t.Errorf("policy %q proposes for %d mails", p.Name, chosen[p.Name])
		}
	}
	for _, category := range []string{mailbox.Promo, mailbox.Newsletter, mailbox.Event, mailbox.Finance, mailbox.Applications, mailbox.Discussion, mailbox.Social, mailbox.Personal} {
		if categories[category] < 10 {
			t.Errorf("category %q has %d mails", category, categories[category])
		}
	}
}

// TestTwoApprovalsLiftOtherMeetups is the product's smoke test on the sample mail.
func TestTwoApprovalsLiftOtherMeetups(t *testing.T) {
	var meetups []policy.Mail
	for _, m := range mails(t) {
		if strings.Contains(strings.ToLower(m.Subject), "meetup") && strings.HasSuffix(m.Sender.Address, "@gophers.example") {
			meetups = append(meetups, seen(m))
		}
	}
	if len(meetups) < 10 {
		t.Fatalf("%d meetups", len(meetups))
	}
	learned := map[string]float64{}
	for _, approved := range meetups[:2] {
		for _, feature := range approved.Features() {
			learned[feature] += 0.2
		}
	}
	for _, mail := range meetups[2:] {
		before, _ := policy.Confidence(policy.DefaultThreshold, mail, 0, func(string) float64 { return 0 })
		after, _ := policy.Confidence(policy.DefaultThreshold, mail, 0, func(feature string) float64 { return learned[feature] })
		if lift := after - before; lift < 0.05 || lift > 0.15 {
			t.Errorf("%q: lift %v", mail.Subject, lift)
		}
	}
}
