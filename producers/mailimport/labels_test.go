package mailimport

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestParseGmailLabels(t *testing.T) {
	got := parse(t, "From: a@b.example\nX-Gmail-Labels: Inbox,\"Jobs, 2026\",Category Promotions,Spam,Inbox\n\nx\n")
	if diff := cmp.Diff([]string{"Inbox", "Jobs, 2026", "Category Promotions", "Spam"}, got.Labels); diff != "" {
		t.Error(diff)
	}
	if got.Category != "promo" || !got.Quarantined || got.RiskScore == nil || *got.RiskScore != 90 {
		t.Errorf("got %q %v %v", got.Category, got.Quarantined, got.RiskScore)
	}
}

// TestGmailLabelsInOtherLanguages uses labels of real Takeouts.
func TestGmailLabelsInOtherLanguages(t *testing.T) {
	f := func(header, category string, want ...string) {
		t.Helper()
		got := parse(t, "From: a@b.example\nX-Gmail-Labels: "+header+"\n\nx\n")
		if diff := cmp.Diff(want, got.Labels); diff != "" || got.Category != category {
			t.Errorf("%s: category %q %s", header, got.Category, diff)
		}
	}
	f("=?UTF-8?Q?Archiviert,Ge=C3=B6ffnet,Kategorie:_=22=22Werbung=22=22?=", "promo", "Archiviert", "Geöffnet", `Kategorie: "Werbung"`)
	f("=?UTF-8?Q?Kategorie:_=22Pers=C3=B6nlich=22?=", "", `Kategorie: "Persönlich"`)
	f("=?UTF-8?Q?Messages_archiv=C3=A9s,Cat=C3=A9gorie=C2=A0:_?=\n =?UTF-8?Q?R=C3=A9seaux_sociaux,\"Culture,_concerts\"?=", "social",
		"Messages archivés", "Catégorie : Réseaux sociaux", "Culture, concerts")
	f("=?UTF-8?Q?Archivov=C3=A1no,Kategorie:_Soci=C3?=\n =?UTF-8?Q?=A1ln=C3=AD_s=C3=ADt=C4=9B?=", "social", "Archivováno", "Kategorie: Sociální sítě")
	f("Inbox,Category Updates", "", "Inbox", "Category Updates")
	f("Category Purchases,\"open", "finance", "Category Purchases", "open")
	f("Category Forums", "discussion", "Category Forums")
	f("Kategorie: Foren", "discussion", "Kategorie: Foren")
	f("Promotions", "", "Promotions")
}
