package ats

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/net/idna"
	"golang.org/x/text/unicode/norm"

	"github.com/applylens/applylens/internal/domain"
)

// Name is a form of a company's name for comparison with a sender: its words in lower case, without diacritics and spaces,
// such as "acmerobotics". Whole means that it is the complete name, with or without the legal form; otherwise words such
// as "technologies" were dropped.
type Name struct {
	Text  string
	Whole bool
}

// Names returns the forms of a company's name, the most exact first; none if the name has no letters or digits.
func Names(company string) []Name {
	all := words(company)
	named := trimEnd(all, legalForms)
	core := trimEnd(named, commonEndings)
	if len(core) > 1 && core[0] == "the" {
		core = core[1:]
	}
	var names []Name
	for _, form := range []Name{{join(all), true}, {join(named), true}, {join(core), false}} {
		known := slices.ContainsFunc(names, func(n Name) bool { return n.Text == form.Text })
		if form.Text != "" && !known {
			names = append(names, form)
		}
	}
	return names
}

// Sender is the part of a mail that shows which company sent it.
type Sender struct {
	Name    string // display name
	Address string
	Domain  string // registrable
	Subject string
	Bulk    bool // a newsletter, a promotion or mail of a mailing list
}

// Companies returns the names, in the form of Names, of the companies that may have sent a mail, the most certain first: that
// of the sender's domain, then runs of words of the display name, the longest first. Applicant tracking systems send on
// behalf of others: for their mail, the display name counts, then the client in the address, as in acme@myworkday.com, then
// the subject. Other bulk mail yields no company.
func (s Sender) Companies() []string {
	relay := IsRelay(s.Domain)
	if s.Bulk && !relay {
		return nil
	}
	var names []string
	if !relay {
		names = domainNames(s.Domain)
	}
	names = append(names, runs(words(s.Name), maxNameWords)...)
	if relay {
		names = append(names, clientNames(s.Address, s.Domain)...)
		names = append(names, runs(words(s.Subject), maxSubjectWords)...)
	}
	return unique(names)
}

// IsRelay reports whether a registrable domain belongs to an applicant tracking system, which sends mail for companies.
func IsRelay(domain string) bool { return relays[domain] }

// Limits on untrusted texts.
const (
	maxNameWords    = 12
	maxSubjectWords = 24
	maxRun          = 6 // words of a company's name
)

// domainNames returns the names of a registrable domain: booking and bookingcom for booking.com. A domain that offers
// addresses to anybody has none.
func domainNames(name string) []string {
	label, suffix, found := strings.Cut(name, ".")
	if !found || domain.Open(name) {
		return nil
	}
	if decoded, err := idna.ToUnicode(label); err == nil {
		label = decoded
	}
	own := join(words(label))
	return []string{own, own + join(words(suffix))}
}

// clientNames returns the names in the local part of a relay's address, and in its host left of the registrable domain.
func clientNames(address, domain string) []string {
	at := strings.LastIndexByte(address, '@')
	if at < 0 {
		return nil
	}
	host := strings.TrimSuffix(strings.TrimSuffix(address[at+1:], domain), ".")
	return append(runs(words(address[:at]), maxNameWords), runs(words(host), maxNameWords)...)
}

// runs returns all runs of up to maxRun of the first most words, the longest first.
func runs(list []string, most int) []string {
	list = list[:min(len(list), most)]
	var found []string
	for length := min(len(list), maxRun); length > 0; length-- {
		for first := range len(list) - length + 1 {
			found = append(found, join(list[first:first+length]))
		}
	}
	return found
}

func unique(list []string) []string {
	seen := make(map[string]bool, len(list))
	return slices.DeleteFunc(list, func(text string) bool {
		known := seen[text] || text == ""
		seen[text] = true
		return known
	})
}

func join(list []string) string { return strings.Join(list, "") }

// trimEnd drops words in endings from the end, but not the last word left.
func trimEnd(list []string, endings map[string]bool) []string {
	for len(list) > 1 && endings[list[len(list)-1]] {
		list = list[:len(list)-1]
	}
	return list
}

// maxNamed is how many bytes of a name or subject are read.
const maxNamed = 500

// words returns the words of a name in lower case without diacritics. Apostrophes, and the full stops of an abbreviation such
// as S.A., join the letters around them.
func words(text string) []string {
	text = plainLetters(strings.ToValidUTF8(text[:min(len(text), maxNamed)], ""))
	var found []string
	for _, field := range strings.FieldsFunc(text, func(r rune) bool { return r != '.' && !unicode.IsLetter(r) && !unicode.IsDigit(r) }) {
		parts := strings.FieldsFunc(field, func(r rune) bool { return r == '.' })
		if len(parts) > 1 && !slices.ContainsFunc(parts, func(part string) bool { return len(part) > 1 }) {
			parts = []string{join(parts)}
		}
		found = append(found, parts...)
	}
	return found
}

func isASCII(text string) bool {
	return !strings.ContainsFunc(text, func(r rune) bool { return r >= 0x80 })
}

// plainLetters returns text in lower case without diacritics and apostrophes.
func plainLetters(text string) string {
	text = joinedLetters.Replace(strings.ToLower(text))
	if isASCII(text) {
		return text
	}
	return strings.Map(func(r rune) rune {
		if unicode.Is(unicode.Mn, r) {
			return -1
		}
		return r
	}, norm.NFKD.String(text))
}

// joinedLetters replaces letters that NFKD does not decompose.
var joinedLetters = strings.NewReplacer("'", "", "’", "", "ß", "ss", "æ", "ae", "œ", "oe", "ø", "o", "ł", "l", "đ", "d")

func set(names ...string) map[string]bool {
	result := make(map[string]bool, len(names))
	for _, name := range names {
		result[name] = true
	}
	return result
}

var (
	// legalForms do not help to identify a company.
	legalForms = set("inc", "incorporated", "llc", "llp", "lp", "ltd", "limited", "corp", "corporation", "co", "company", "plc",
		"gmbh", "mbh", "ag", "kg", "se", "ug", "sa", "sas", "sarl", "srl", "spa", "bv", "nv", "ab", "as", "asa", "oy", "oyj", "aps",
		"pty", "pte", "kk", "sro")

	// commonEndings are often left out of a domain and of a display name.
	commonEndings = set("technologies", "technology", "tech", "labs", "lab", "software", "solutions", "systems", "services",
		"group", "holding", "holdings", "international", "global", "usa", "us", "uk", "com", "io", "ai", "net", "org",
		"inc", "llc", "ltd", "limited", "corp", "corporation", "co", "company", "gmbh", "ag", "se", "plc")

	relays = set("greenhouse.io", "greenhouse-mail.io", "lever.co", "myworkday.com", "myworkdayjobs.com", "smartrecruiters.com",
		"ashbyhq.com", "icims.com", "jobvite.com", "workable.com", "workablemail.com", "bamboohr.com", "taleo.net",
		"successfactors.com", "successfactors.eu", "recruitee.com", "teamtailor.com", "teamtailor-mail.com", "breezy.hr",
		"personio.de", "applytojob.com")
)
