package mailimport

import (
	"regexp"
	"slices"
	"strings"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/domain"
)

var (
	// tag matches a tag of a DKIM-Signature (RFC 6376, section 3.2).
	tag = regexp.MustCompile(`(?:^|;)\s*([a-zA-Z][a-zA-Z0-9_]*)\s*=\s*([^;]*)`)

	// passed matches a signature that the server which received the message found valid, in Authentication-Results (RFC 8601), and
	// the rest of what it says of that one.
	passed = regexp.MustCompile(`(?i)(?:^|[;\s])dkim\s*=\s*pass\b([^;]*)`)

	// signer matches whose signature that is.
	signer = regexp.MustCompile(`(?i)\bheader\.([di])\s*=\s*"?(?:[^\s@;"]*@)?([^\s@;"]+)`)

	comment = regexp.MustCompile(`\([^()]*\)|\breason\s*=\s*"[^"]*"`)
)

// signature is a valid one: of a domain, or of an agent at one, which may be a part of the signature's.
type signature struct {
	domain string
	agent  bool
}

func (s signature) isOf(of string) bool {
	return s.domain == of || s.agent && strings.HasSuffix(s.domain, "."+of) && domain.Of(s.domain) == domain.Of(of)
}

// signedHeaders returns the names, lower case, of the headers that DKIM signatures cover, as far as the server that received the
// message found the signature of that domain valid.
func signedHeaders(signatures []string, results string) []string {
	var valid []signature
	for _, result := range passed.FindAllStringSubmatch(comment.ReplaceAllString(results, " "), -1) {
		for _, found := range signer.FindAllStringSubmatch(result[1], -1) {
			valid = append(valid, signature{strings.ToLower(found[2]), strings.EqualFold(found[1], "i")})
		}
	}
	var names []string
	for _, header := range signatures {
		tags := map[string]string{}
		for _, found := range tag.FindAllStringSubmatch(header, -1) {
			tags[found[1]] = strings.Join(strings.Fields(found[2]), "")
		}
		of := strings.ToLower(tags["d"])
		if of == "" || !slices.ContainsFunc(valid, func(s signature) bool { return s.isOf(of) }) {
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
