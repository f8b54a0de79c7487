package api

import (
	"testing"

	"github.com/applylens/applylens/internal/ats"
)

// TestPoliciesSeeTheApplicationOfAMail: conditions on ats fields hold for the mail of a company where the person applied,
// and are false for other mail.
func TestPoliciesSeeTheApplicationOfAMail(t *testing.T) {
	w := newDeployment(t, func(c *Config) { c.ATS = ats.OfMails(c.Pool) })
	ada := w.person("ada")
	w.Exec(`UPDATE users SET addresses = '{ada+jobs@example.org}' WHERE id = 'ada'`)
	w.Exec(`INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
	        VALUES (1, 'lever', '7', '{ada@example.org}', 'Acme', 'Onsite', now() - interval '15 days', 1, false, now())`)
	w.Exec(`INSERT INTO application_keys (version, address, company, system, application_id, whole)
	        VALUES (1, 'ada@example.org', '', 'lever', '7', true), (1, 'ada@example.org', 'acme', 'lever', '7', true)`)
	matched, other := ada.mail(mail{subject: "Next steps"}), ada.mail(mail{subject: "Hello"})
	w.Exec(`UPDATE mails SET companies = '{acme}' WHERE id = $1`, matched)

	ada.policy("ghosted", `{"all":[{"gte":["ats.ghosting_risk",0.9]},{"eq":["ats.stage","Onsite"]},{"eq":["ats.company","Acme"]},{"eq":["ats.system","lever"]}]}`,
		"action", "create_task")
	proposals := ada.propose(map[string]any{"email_ids": []string{matched, other}})
	if len(proposals) != 1 || proposals[0].EmailID != matched {
		t.Errorf("%+v, want one proposal for %s", proposals, matched)
	}
}
