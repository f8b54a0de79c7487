package mailimport

import (
	"regexp"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
)

var (
	// tag matches a tag of a DKIM-Signature (RFC 6376, section 3.2).
	tag = regexp.MustCompile(`(?:^|;)\s*([a-zA-Z][a-zA-Z0-9_]*)\s*=\s*([^;]*)`)

	// passed matches a signature that the server which received the message found valid, in Authentication-Results (RFC 8601), and
	// the rest of what it says of that one.
	passed = regexp.MustCompile(`(?i)(?:^|[;\s])dkim\s*=\s*pass\b([^;]*)`)

	// signer matches whose signature that is.
	signer = regexp.MustCompile(`(?i)\bheader\.([di])\s*=\s*"?(?:[^\s@;"]*@)?([^\s@;"]+)`)

	comment = regexp.MustCompile(`\([^()]*\)`)
)

// signedHeaders returns the names, lower case, of the headers that DKIM signatures cover, as far as the server that received the
// message found the signature of that domain valid.
func signedHeaders(signatures []string, results string) []string {
	var valid []string
	for _, result := range passed.FindAllStringSubmatch(comment.ReplaceAllString(results, " "), -1) {
		for _, found := range signer.FindAllStringSubmatch(result[1], -1) {
			valid = append(valid, "."+strings.ToLower(found[2]))
		}
	}
	var names []string
	for _, signature := range signatures {
		tags := map[string]string{}
		for _, found := range tag.FindAllStringSubmatch(signature, -1) {
			tags[found[1]] = strings.Join(strings.Fields(found[2]), "")
		}
		domain := "." + strings.ToLower(tags["d"]) // header.i may name a part of it
		if domain == "." || !slices.ContainsFunc(valid, func(name string) bool { return strings.HasSuffix(name, domain) }) {
			continue
		}
		for name := range strings.SplitSeq(strings.ToLower(tags["h"]), ":") {
			if name != "" && len(name) <= events.MaxHeaderName && len(names) < events.MaxDKIMSigned && !slices.Contains(names, name) {
				names = append(names, events.CleanText(name, events.MaxHeaderName))
			}
		}
	}
	return names
}
