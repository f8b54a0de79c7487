package elastic

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/testkit/searchtest"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// open returns a client for an alias of the test's own, and the name of an index behind it.
func open(t testing.TB) (*Client, string) {
	t.Helper()
	address, prefix := testenv.Elasticsearch(t)
	client, err := Open(config.Elasticsearch{ElasticsearchURL: []string{address}, ElasticsearchAlias: prefix + "emails"})
	if err != nil {
		t.Fatal(err)
	}
	index := prefix + "1"
	if err := errors.Join(client.Create(t.Context(), index, "test"), client.Serve(t.Context(), index)); err != nil {
		t.Fatal(err)
	}
	return client, index
}

func settled(context.Context, string, time.Time) (bool, error) { return true, nil }

// mailOf is the mail as the mailbox fold would have stored it.
func mailOf(m *searchtest.Mail) *Mail {
	mail := &Mail{
		ID: m.ID().String(), UserID: m.UserID, ReceivedAt: m.ReceivedAt, Subject: m.Subject, Text: m.Text, SenderName: m.Sender.Name, Sender: domain.Address(m.Sender.Address),
		SenderDomain: domain.OfAddress(m.Sender.Address), Category: m.Category, Labels: m.Labels, ListID: m.ListID, RiskScore: m.RiskScore,
		Quarantined: m.Quarantined,
	}
	for _, recipient := range m.Recipients {
		mail.Recipients = append(mail.Recipients, domain.Address(recipient.Address))
	}
	if !m.ExpiresAt.IsZero() {
		mail.ExpiresAt = &m.ExpiresAt
	}
	if a := m.Application; a != nil {
		mail.ATS = &ATS{System: a.System, Stage: a.Stage, Company: a.Company, GhostingRisk: searchtest.GhostingRisk(a)}
	}
	return mail
}

func TestEngine(t *testing.T) {
	client, index := open(t)
	var version int64
	put := func(t testing.TB, mails ...searchtest.Mail) {
		t.Helper()
		var bulk Bulk
		version++
		for i := range mails {
			if err := bulk.Put(index, NewDocument(mailOf(&mails[i])), version); err != nil {
				t.Fatal(err)
			}
		}
		outcomes, err := client.Send(t.Context(), &bulk)
		if err := errors.Join(err, client.Refresh(t.Context(), index)); err != nil {
			t.Fatal(err)
		}
		for i, outcome := range outcomes {
			if outcome != Written {
				t.Fatalf("mail %d: outcome %d", i, outcome)
			}
		}
	}
	searchtest.Run(t, searchtest.Subject{Engine: NewEngine(client, settled), Put: put})
}

func TestEngineWithoutIndexIsUnavailable(t *testing.T) {
	client, index := open(t)
	if err := client.Drop(t.Context(), index); err != nil {
		t.Fatal(err)
	}
	_, err := NewEngine(client, settled).Search(t.Context(), search.Request{UserID: "u", Where: search.All{}, Limit: 1})
	if !errors.Is(err, search.ErrUnavailable) {
		t.Errorf("got %v", err)
	}
}
