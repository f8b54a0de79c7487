package main

import (
	"context"
	"net/http"
)

// showUrgent prints the mail about applications that a search ranks first, and why; nothing if there is none.
func (d *demo) showUrgent(ctx context.Context) error {
	var found struct {
		Hits []struct {
			Subject string
			ATS     *struct {
				Company, Stage string
				GhostingRisk   float64 `json:"ghosting_risk"`
			}
			Boosts []struct{ Why string }
		}
	}
	if err := d.call(ctx, http.MethodGet, "/search?limit=5", nil, &found); err != nil {
		return err
	}
	said := false
	for _, hit := range found.Hits {
		if hit.ATS == nil || len(hit.Boosts) == 0 {
			continue
		}
		if !said {
			d.say("urgent recruiter mail first:")
			said = true
		}
		d.say("  %s (%s, stage %s, risk %.2f)", hit.Subject, hit.ATS.Company, hit.ATS.Stage, hit.ATS.GhostingRisk)
		for _, boost := range hit.Boosts {
			d.say("    %s", boost.Why)
		}
	}
	return nil
}
