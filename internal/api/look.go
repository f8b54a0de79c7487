package api

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/chat"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/search"
)

// look finds the mail, reads it, and computes all that is said of it without a model.
func (r *chatReply) look(ctx context.Context, mode string) error {
	wanted, err := r.taste(ctx, mode, "")
	if err != nil {
		return err
	}
	wishes := wanted.wishes()
	if err := r.search(ctx, wishes); err != nil {
		return err
	}
	byID, err := r.hitMails(ctx, r.found[:min(len(r.found), answeredMails)])
	if err != nil {
		return err
	}
	for _, f := range r.found[:min(len(r.found), answeredMails)] {
		if m := byID[f.ID]; m != nil {
			m.boostBy(f.Matched, wishes)
			r.mails = append(r.mails, m.forChat())
			if r.Explain && len(m.Boosts) > 0 && len(r.why) < explained {
				r.why = append(r.why, whyHigh(m))
			}
		}
	}
	if r.intent.Kind == chat.Propose || r.Propose && r.intent.Acts() || r.explains() {
		if err := r.wouldPropose(ctx); err != nil {
			return err
		}
	}
	r.resolve()
	err = r.chooser.Processors.Run(ctx, r.compute, func(pause func() error) error {
		r.quotes = chat.Extract(&r.intent, r.mails)
		r.mails = chat.Shorten(&r.intent, r.mails)
		return pause()
	})
	return err
}

func (r *chatReply) explains() bool { return r.Explain || r.intent.Kind == chat.Explain }

// search runs the query, and the wider one when it finds nothing.
func (r *chatReply) search(ctx context.Context, wishes []wish) error {
	var err error
	r.foundBy = r.query
	if r.found, err = r.searchFor(ctx, r.query, wishes); err != nil || len(r.found) > 0 || r.intent.Wider == "" {
		return err
	}
	query := r.intent.Wider
	if r.query != r.intent.Query {
		query = r.within(query)
	}
	if r.found, err = r.searchFor(ctx, query, wishes); err != nil || len(r.found) == 0 {
		return err
	}
	r.wider, r.foundBy = true, query
	return nil
}

func (r *chatReply) searchFor(ctx context.Context, text string, wishes []wish) ([]search.Hit, error) {
	query, err := parseQuery("query.q", text)
	if err != nil {
		return nil, err
	}
	return r.searchMails(ctx, "query.q", requestFor(ctx, query.At(time.Now()), wishes, r.limit()))
}

func (m *hitMail) forChat() chat.Mail {
	mail := chat.Mail{ID: m.ID, Subject: m.Subject, Sender: m.Sender, SenderName: m.SenderName, ReceivedAt: m.ReceivedAt, Text: m.text}
	if m.ATS != nil {
		mail.Application = &chat.Application{Company: m.ATS.Company, Stage: m.ATS.Stage, Risk: m.ATS.GhostingRisk, QuietDays: m.quietDays}
	}
	return mail
}

func whyHigh(m *hitMail) chat.Claim {
	list := make([]string, len(m.Boosts))
	for i, b := range m.Boosts {
		list[i] = b.Why
	}
	return chat.Claim{Text: chat.OneLine(fmt.Sprintf("“%s” ranks high. %s.", m.Subject, strings.Join(list, ". "))), Mails: []string{m.ID}}
}

// wouldPropose lets the policies look at what was found without filing anything, and explains what they would propose and what is
// proposed already.
func (r *chatReply) wouldPropose(ctx context.Context) error {
	mails, err := r.chooser.Find(ctx, auth.From(ctx).ID, hitIDs(r.found))
	if err != nil {
		return err
	}
	proposals, err := r.choose(ctx, mails)
	if err != nil {
		return err
	}
	r.would = map[string]int{}
	for i := range proposals {
		r.would[proposals[i].Action]++
	}
	if !r.explains() {
		return nil
	}
	ids := make([]string, len(mails))
	for i := range mails {
		ids[i] = mails[i].ID
	}
	filed, err := actions.About(ctx, r.pool, auth.From(ctx).ID, ids, explained)
	if err != nil {
		return err
	}
	told := map[string]bool{}
	for _, a := range filed {
		var why policy.Rationale
		if err := json.Unmarshal(a.Rationale, &why); err != nil {
			return fmt.Errorf("read rationale: %w", err)
		}
		told[a.EmailID] = true
		r.why = append(r.why, whyProposed(fmt.Sprintf("%s is %s.", a.Action, a.Status), &why, a.EmailID))
	}
	for i := range proposals {
		if p := &proposals[i]; len(r.why) < 2*explained && !told[p.EmailID] {
			r.why = append(r.why, whyProposed(p.Action+" would be proposed.", &p.Rationale, p.EmailID))
		}
	}
	return nil
}

// whyProposed tells the reasons for a proposal in plain sentences.
func whyProposed(what string, why *policy.Rationale, mail string) chat.Claim {
	text := what + " " + chat.OneLine(why.Narrative.Summary)
	if list := why.Contributions; len(list) > 0 {
		var parts []string
		for _, c := range list[:min(len(list), 3)] {
			parts = append(parts, fmt.Sprintf("%s %+.2f", c.Feature, c.Weight))
		}
		text += " Learned weights: " + strings.Join(parts, ", ") + "."
	}
	return chat.Claim{Text: text, Mails: []string{mail}}
}

// resolve finds the features of what the person says to like: a sender that is named is looked for among those of the mail.
func (r *chatReply) resolve() {
	for _, p := range r.intent.Keep {
		if p.Feature != "" {
			r.keep = append(r.keep, pinned{p.Feature, p.Weight})
			continue
		}
		var features []string
		if !r.wider {
			for i := range r.mails {
				if feature := chat.FeatureOf(r.mails[i].Sender); feature != "" && !slices.Contains(features, feature) {
					features = append(features, feature)
				}
			}
		}
		if len(features) == 1 {
			r.keep = append(r.keep, pinned{features[0], p.Weight})
		} else {
			r.vague = append(r.vague, features[:min(len(features), explained)]...)
		}
	}
}
