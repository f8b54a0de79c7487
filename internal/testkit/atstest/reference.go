// Package atstest has a slow, obvious reference implementation of the match of mails and applications, and random events for
// tests. It shares no code with package ats.
package atstest

import (
	"cmp"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
)

// Start is the time at which mails were received.
var Start = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// sent is a kind of mail: its sender, and how certain a reader would be that it comes from each of the companies (1 is most
// certain).
type sent struct {
	name, address, subject, category string
	list                             string
	from                             map[string]int
}

// The companies of the tests.
const (
	acme     = "Acme"
	acmeInc  = "ACME, Inc."
	acmeTech = "Acme Technologies"
	acmeBots = "Acme Robotics GmbH"
	beta     = "Beta"
	none     = ""
)

var companies = []string{acme, acmeInc, acmeTech, acmeBots, beta, none}

var senders = []sent{
	{name: "Rita", address: "Recruiter@ACME.com", from: map[string]int{acme: 1, acmeInc: 1, acmeTech: 2}},
	{name: "Acme Robotics Hiring", address: "no-reply@us.greenhouse.io", from: map[string]int{acmeBots: 1, acme: 2, acmeInc: 2, acmeTech: 3}},
	{name: "Workday", address: "acme@myworkday.com", from: map[string]int{acme: 1, acmeInc: 1, acmeTech: 2}},
	{name: "Lever", address: "no-reply@hire.lever.co", subject: "Your application at Beta", from: map[string]int{beta: 1}},
	{name: "Beta Weekly", address: "news@beta.com", category: "newsletter"},
	{name: "Beta Shop", address: "shop@beta.com", category: "promo"},
	{name: "Ben", address: "ben@beta.com", list: "go-nuts.example.org"},
	{name: "Bill via Beta", address: "bill@gmail.com", from: map[string]int{beta: 1}},
	{name: "Ada", address: "Ada+x@Example.com"},
	{name: "Carl", address: "carl@example.org"},
	{name: "", address: ""},
}

// addresses in several forms: the normalised form, a space, and the form to use.
var addresses = []string{
	"ada@example.com Ada@Example.com", "ada@example.com ada+jobs@example.com", "bob@xn--mller-kva.de bob@MÜLLER.de",
	"carl@example.org carl@example.org", "recruiter@acme.com recruiter@acme.com",
}

// key returns the normalised form of an address.
func key(address string) string {
	for _, known := range addresses {
		if plain, written, _ := strings.Cut(known, " "); written == address || plain == address {
			return plain
		}
	}
	return strings.Replace(strings.ToLower(address), "+x@", "@", 1)
}

// Reference is the state after a sequence of events, kept in the most obvious way.
type Reference struct {
	Mails map[string]events.Mail // by user and message id, with a space between
	Own   map[string][]string    // a user's addresses, as set by the user

	delivered    map[string]map[string]bool    // as found in Delivered-To
	applications map[string]events.Application // by system and id, including removed ones
	removed      map[string]bool
}

// NewReference returns an empty state.
func NewReference() *Reference {
	return &Reference{map[string]events.Mail{}, map[string][]string{}, map[string]map[string]bool{}, map[string]events.Application{}, map[string]bool{}}
}

// Add applies an event.
func (r *Reference) Add(event *events.Event) {
	switch event.Type {
	case events.TypeMailReceived:
		mail := *event.Mail
		r.Mails[mail.UserID+" "+mail.MessageID] = mail
		for _, address := range mail.DeliveredTo {
			if r.delivered[mail.UserID] == nil {
				r.delivered[mail.UserID] = map[string]bool{}
			}
			r.delivered[mail.UserID][key(address)] = true
		}
	case events.TypeUserErased:
		maps.DeleteFunc(r.Mails, func(_ string, mail events.Mail) bool { return mail.UserID == event.Erasure.UserID })
		delete(r.delivered, event.Erasure.UserID)
	case events.TypeApplicationChanged, events.TypeApplicationRemoved:
		at := event.Application.System + "/" + event.Application.ApplicationID
		if event.Application.SrcVersion > r.applications[at].SrcVersion {
			r.applications[at] = *event.Application
			r.removed[at] = event.Type == events.TypeApplicationRemoved
		}
	}
}

func (r *Reference) owns(user, address string) bool {
	return r.delivered[user][address] || slices.ContainsFunc(r.Own[user], func(own string) bool { return key(own) == address })
}

// match returns how well an application matches a mail; 0: not at all, 1: best.
func (r *Reference) match(mail events.Mail, application events.Application) int {
	best := 0
	consider := func(fit int) {
		if best == 0 || fit < best {
			best = fit
		}
	}
	for _, written := range application.Addresses {
		address := key(written)
		if r.owns(mail.UserID, address) {
			if fit := senderOf(mail).from[application.Company]; fit > 0 {
				consider(fit)
			}
			continue
		}
		if mail.Sender.Address != "" && key(mail.Sender.Address) == address {
			consider(100)
		}
		for _, recipient := range mail.Recipients {
			if key(recipient.Address) == address {
				consider(101)
			}
		}
	}
	return best
}

func senderOf(mail events.Mail) sent {
	return senders[slices.IndexFunc(senders, func(s sent) bool { return s.address == mail.Sender.Address })]
}

// Found is the application of a mail. Times are zero if unknown.
type Found struct {
	System, ID, Stage, Company string
	Change, Interview          time.Time
}

// Risk returns the ghosting risk, by whole days of 24 hours.
func (f Found) Risk(at time.Time) float64 {
	switch {
	case !f.Interview.IsZero():
		return 0.1
	case f.Change.IsZero():
		return 0.2
	}
	days := math.Floor(at.Sub(f.Change).Hours() / 24)
	if days < 14 {
		return 0.1
	}
	return math.Min(1, math.Round(50+3*days)/100)
}

// Applications returns the application of each mail, by user and message id.
func (r *Reference) Applications() map[string]Found {
	result := map[string]Found{}
	for name, mail := range r.Mails {
		var fitting []events.Application
		for at, application := range r.applications {
			if !r.removed[at] && r.match(mail, application) > 0 {
				fitting = append(fitting, application)
			}
		}
		if len(fitting) == 0 {
			continue
		}
		best := slices.MinFunc(fitting, func(a, b events.Application) int {
			return cmp.Or(cmp.Compare(r.match(mail, a), r.match(mail, b)), b.LastStageChange.Compare(a.LastStageChange),
				cmp.Compare(a.System, b.System), cmp.Compare(a.ApplicationID, b.ApplicationID))
		})
		result[name] = Found{best.System, best.ApplicationID, best.Stage, best.Company, best.LastStageChange, best.InterviewDate}
	}
	return result
}
