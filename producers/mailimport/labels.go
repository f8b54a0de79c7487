package mailimport

import (
	"encoding/csv"
	"regexp"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
)

// gmailLabels returns the labels of a Gmail Takeout, a list with commas and quotes. Those of the first header are Gmail's own.
func (m *message) gmailLabels() []string {
	header := m.get("X-Gmail-Labels")
	if header == "" {
		return nil
	}
	reader := csv.NewReader(strings.NewReader(header))
	reader.LazyQuotes, reader.TrimLeadingSpace = true, true
	fields, err := reader.Read()
	if err != nil {
		fields = strings.Split(header, ",")
	}
	var labels []string
	for _, field := range fields {
		// Quotes are doubled even in labels that are not quoted.
		label := events.CleanText(strings.TrimSpace(strings.ReplaceAll(field, `""`, `"`)), events.MaxLabel)
		if label != "" && !slices.Contains(labels, label) && len(labels) < events.MaxLabels {
			labels = append(labels, label)
		}
	}
	return labels
}

// gmailTab matches the label of one of Gmail's tabs, which a Takeout writes in its owner's language: "Category Promotions",
// "Kategorie: "Werbung"", "Catégorie : Promotions".
var gmailTab = regexp.MustCompile(`^(?:category|kategorie|catégorie|categoría|categoria|categorie)\s*:?\s*["„“”«»]?\s*(.*)`)

// gmailTabs maps a tab to its category by the beginning of its name, in English, German, French, Spanish, Italian,
// Portuguese, Dutch and Czech. Mail in the other tabs, primary and updates, can be of any kind, so the rules decide.
var gmailTabs = []struct{ name, category string }{
	{"promotion", "promo"}, {"werbung", "promo"}, {"promoci", "promo"}, {"promozion", "promo"}, {"promoç", "promo"}, {"reclame", "promo"}, {"promoakce", "promo"},
	{"soci", "social"}, {"sozial", "social"}, {"réseaux soci", "social"}, {"redes soci", "social"},
	{"for", "discussion"}, {"fór", "discussion"}, {"diskusní fór", "discussion"},
	{"purchase", "finance"}, {"käufe", "finance"}, {"einkäufe", "finance"}, {"achats", "finance"}, {"compras", "finance"}, {"acquisti", "finance"},
	{"aankopen", "finance"}, {"nákupy", "finance"},
}

// categoryOf returns the category that the last label of a tab means, "" if there is none.
func categoryOf(labels []string) (category string) {
	for _, label := range labels {
		tab := gmailTab.FindStringSubmatch(strings.ToLower(label))
		if tab == nil {
			continue
		}
		for _, known := range gmailTabs {
			if strings.HasPrefix(tab[1], known.name) {
				category = known.category
				break
			}
		}
	}
	return category
}
