package chat

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// Found says how many mails were found; capped tells that there may be more.
func Found(mails []Mail, count int, capped bool) Claim {
	if count == 0 {
		return Claim{Text: "Nothing was found."}
	}
	number := plural(count, "mail")
	if capped {
		number = "At least " + number
	}
	verb := "match"
	if count == 1 {
		verb = "matches"
	}
	ids := make([]string, len(mails))
	for i := range mails {
		ids[i] = mails[i].ID
	}
	return Claim{fmt.Sprintf("%s %s.", number, verb), ids}
}

// Would says which actions policies would propose, by action.
func Would(byAction map[string]int, mails []string) Claim {
	if len(byAction) == 0 {
		return Claim{Text: "None of your policies proposes an action on this mail."}
	}
	total := 0
	var parts []string
	for _, action := range slices.Sorted(maps.Keys(byAction)) {
		total += byAction[action]
		parts = append(parts, fmt.Sprintf("%s %d", action, byAction[action]))
	}
	return Claim{fmt.Sprintf("Your policies would propose %s on this mail: %s.", plural(total, "action"), strings.Join(parts, ", ")), mails}
}

// Keeps says what would be kept of what the person likes, or why nothing would.
func Keeps(list []Preference, unclear []string) string {
	var parts []string
	for _, p := range list {
		parts = append(parts, fmt.Sprintf("%s with the weight %+g", p.Feature, p.Weight))
	}
	switch {
	case len(parts) > 0:
		return "To be kept: " + strings.Join(parts, ", ") + "."
	case len(unclear) > 1:
		return "Nothing can be kept: several senders are called so (" + strings.Join(unclear, ", ") + "). Name one by its domain."
	}
	return "Nothing can be kept: name a category such as promotions or newsletters, a sender's domain, or one of the words that are learned, such as meetup or invoice."
}

// Helps says what can be asked. It cites nothing.
func Helps(kind Kind) []Claim {
	lines := []string{
		"You can ask for mail (“find the mail from Alice about the lease”), for numbers (“how many promos last week”), for a summary, for receipts, events and applications.",
		"“Archive old promos” asks your policies for proposals, “why did you suggest this” explains them, and “I like meetups” tells what you like.",
	}
	if kind == Unknown {
		lines = append([]string{"This is not done here: nothing was changed. Proposals are decided in the tray, by you."}, lines...)
	}
	claims := make([]Claim, len(lines))
	for i, line := range lines {
		claims[i] = Claim{Text: line}
	}
	return claims
}
