package searchtest

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/tokenize"
)

// Mail is a received mail and its application, if any. No other mail of the suite has the application's address among its
// recipients.
type Mail struct {
	events.Mail
	Application *events.Application
}

// apply adds an application that matches only this mail. Its last change was days and a half ago, so that the risk does not
// change while the tests run; if days is negative, it is unknown.
func (m *Mail) apply(system, stage, company string, days int) {
	address := m.ID().String() + "@apply.example"
	m.Recipients = append(m.Recipients, events.Address{Address: address})
	m.Application = &events.Application{System: system, ApplicationID: m.ID().String(), Addresses: []string{address}, Company: company, Stage: stage,
		SrcVersion: 1, RecordedAt: now}
	if days >= 0 {
		m.Application.LastStageChange = time.Now().Add(-time.Duration(days)*24*time.Hour - 12*time.Hour).Truncate(time.Second)
	}
}

// GhostingRisk is the product's definition of the risk that nobody will reply.
func GhostingRisk(a *events.Application) float64 {
	days := math.Floor(time.Since(a.LastStageChange).Hours() / 24)
	switch {
	case !a.InterviewDate.IsZero():
		return 0.1
	case a.LastStageChange.IsZero():
		return 0.2
	case days < 14:
		return 0.1
	}
	return min(1, (50+3*days)/100)
}

// ID is the id of the mail in search results.
func (m *Mail) ID() events.UUID { return mailbox.MailID(&m.Mail) }

// fulfils reports, in the most obvious way, whether a mail matches a node.
func (m *Mail) fulfils(n search.Node) bool {
	switch n := n.(type) {
	case search.All:
		return true
	case search.And:
		return !slices.ContainsFunc(n, func(part search.Node) bool { return !m.fulfils(part) })
	case search.Or:
		return slices.ContainsFunc(n, m.fulfils)
	case search.Not:
		return !m.fulfils(n.Inner)
	case search.Phrase:
		return slices.ContainsFunc(m.texts(n.Field), func(text string) bool { return says(text, n) })
	case search.Value:
		return slices.ContainsFunc(m.values(n.Field), func(value string) bool {
			value = tokenize.Lower(value)
			return value == n.Text || n.Prefix && strings.HasPrefix(value, n.Text)
		})
	case search.Between[float64]:
		value, ok := m.number(n.Field)
		return ok && (n.Low == nil || value > n.Low.Value || value == n.Low.Value && !n.Low.Excluded) &&
			(n.High == nil || value < n.High.Value || value == n.High.Value && !n.High.Excluded)
	case search.Between[time.Time]:
		value, ok := m.time(n.Field)
		return ok && (n.Low == nil || value.After(n.Low.Value) || value.Equal(n.Low.Value) && !n.Low.Excluded) &&
			(n.High == nil || value.Before(n.High.Value) || value.Equal(n.High.Value) && !n.High.Excluded)
	case search.Exists:
		return m.has(n.Field)
	}
	panic("unknown node")
}

// says reports whether a text contains the words of a phrase next to each other.
func says(text string, n search.Phrase) bool {
	sought := " " + strings.Join(n.Words, " ")
	if !n.Prefix {
		sought += " "
	}
	return strings.Contains(" "+tokenize.Join(text)+" ", sought)
}

func (m *Mail) texts(field search.Field) []string {
	switch field {
	case search.Subject:
		return []string{m.Subject}
	case search.Body:
		return []string{m.Text}
	case search.Sender:
		return append([]string{m.Sender.Name}, written(m.Sender.Address)...)
	}
	var texts []string
	for _, address := range m.values(field) { // of To
		texts = append(texts, written(address)...)
	}
	return texts
}

// written returns an address as it is stored and, if that is another form, as people write it.
func written(address string) []string {
	return domain.Forms(domain.Address(address))
}

// values returns the non-empty texts of a field.
func (m *Mail) values(field search.Field) []string {
	var list []string
	switch field {
	case search.Subject:
		list = []string{m.Subject}
	case search.Body:
		list = []string{m.Text}
	case search.Sender:
		list = []string{domain.Address(m.Sender.Address)}
	case search.To:
		for _, recipient := range m.Recipients {
			list = append(list, domain.Address(recipient.Address))
		}
	case search.SenderDomain:
		list = []string{domain.OfAddress(m.Sender.Address)}
	case search.Category:
		list = []string{m.Category}
	case search.Labels:
		list = m.Labels
	case search.ListID:
		list = []string{m.ListID}
	case search.ID:
		list = []string{m.ID().String()}
	case search.Quarantined:
		list = []string{map[bool]string{false: "false", true: "true"}[m.Quarantined]}
	}
	if m.Application != nil {
		switch field {
		case search.System:
			list = []string{m.Application.System}
		case search.Stage:
			list = []string{m.Application.Stage}
		case search.Company:
			list = []string{m.Application.Company}
		}
	}
	return slices.DeleteFunc(slices.Clone(list), func(text string) bool { return text == "" })
}

func (m *Mail) number(field search.Field) (float64, bool) {
	switch {
	case field == search.RiskScore && m.RiskScore != nil:
		return float64(*m.RiskScore), true
	case field == search.GhostingRisk && m.Application != nil:
		return GhostingRisk(m.Application), true
	}
	return 0, false
}

func (m *Mail) time(field search.Field) (time.Time, bool) {
	if field == search.ExpiresAt {
		return m.ExpiresAt, !m.ExpiresAt.IsZero()
	}
	return m.ReceivedAt, true
}

func (m *Mail) has(field search.Field) bool {
	switch field {
	case search.RiskScore, search.GhostingRisk:
		_, ok := m.number(field)
		return ok
	case search.ReceivedAt, search.ExpiresAt:
		_, ok := m.time(field)
		return ok
	}
	return len(m.values(field)) > 0
}

// expected returns the hits of a correct engine with the mails.
func expected(mails []Mail, request search.Request) []search.Hit {
	hits := []search.Hit{}
	for i := range mails {
		m := &mails[i]
		if m.UserID != request.UserID || !m.fulfils(request.Where) {
			continue
		}
		hit := search.Hit{ID: m.ID(), ReceivedAt: m.ReceivedAt}
		for i, wish := range request.Should {
			if m.fulfils(wish) {
				hit.Matched = append(hit.Matched, i)
			}
		}
		hits = append(hits, hit)
	}
	slices.SortFunc(hits, func(a, b search.Hit) int {
		if diff := len(b.Matched) - len(a.Matched); diff != 0 {
			return diff
		}
		if diff := b.ReceivedAt.Compare(a.ReceivedAt); diff != 0 {
			return diff
		}
		return strings.Compare(a.ID.String(), b.ID.String())
	})
	return hits[:min(len(hits), request.Limit)]
}
