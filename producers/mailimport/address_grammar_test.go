package mailimport

import (
	"math/rand/v2"
	"net/mail"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// lure is the address that headers of the tests display where no address is: in quotes, comments, names and encoded words.
const lure = "ann@bank.example"

// writtenList is an address header as somebody may write it, with the addresses in it: without the quotes of their local parts.
type writtenList struct {
	text   string
	want   []string
	single map[int]bool    // which of them are in single quotes
	traits map[string]bool // what is unusual in it
}

// listWriter writes headers by the grammar of RFC 5322 with its obsolete forms, and other forms of docs/mail.md.
type listWriter struct{ writer }

func (w *listWriter) write() writtenList {
	w.begin(false)
	list := writtenList{single: map[int]bool{}}
	for n := 1 + w.IntN(3); n > 0; n-- {
		if list.text != "" {
			list.text += w.one(",", ", ", " , ", ",\r\n ")
			if w.rarely(20, "empty items") {
				list.text += w.one(",", " , (c),")
			}
		}
		if w.rarely(10, "groups") {
			list.text += w.group(&list)
			continue
		}
		list.text += w.mailbox(&list)
	}
	list.traits = w.traits
	return list
}

func (w *listWriter) group(list *writtenList) string {
	text := w.one("friends", "A Group", `"a, `+lure+`"`, "undisclosed-recipients", "=?utf-8?q?Gr=C3=BC=C3=9Fe?=") + w.space() + ":"
	for i := range w.IntN(3) {
		if i > 0 {
			text += ", "
		}
		text += w.mailbox(list)
	}
	return text + ";"
}

// space writes white space and comments, often nothing.
func (w *listWriter) space() string {
	switch w.IntN(6) {
	case 0:
		w.traits["comments"] = true
		return w.one(" ("+lure+") ", "(c)", " (a (b <"+lure+">) c)", `(\), `+lure+`, \()`, "(, "+lure+",)", `(")`, "()", "(Ann Example)")
	case 1:
		return w.one(" ", "  ", "\t", "\r\n ")
	}
	return ""
}

func (w *listWriter) mailbox(list *writtenList) string {
	local, meant := w.local()
	domain, host := w.domain()
	list.want = append(list.want, meant+"@"+host)
	switch w.IntN(8) {
	case 0, 1:
		return w.space() + local + w.around("@") + domain + w.space()
	case 2:
		if domain != "localhost" && strings.Trim(local+domain, "abcdefghijklmnopqrstuvwxyz.") == "" && w.rarely(2, "spoken") {
			return local + w.one(" at ", " AT ", " [at] ", " (at) ") + domain + w.one("", " (Ann Example)")
		}
		if !strings.ContainsAny(local, `"=`) && domain[0] != '[' && !w.traits["apart"] && w.rarely(2, "single quotes") {
			list.single[len(list.want)-1] = true
			return w.one("'"+local+"@"+domain+"'", "<'"+local+"@"+domain+"'>")
		}
	}
	route := ""
	if w.rarely(15, "route") {
		route = w.one("@a.example:", "@a.example,@b.example:", "@bank.example , @b.example :")
	}
	return w.name() + w.space() + "<" + w.space() + route + local + w.around("@") + domain + w.space() + ">" + w.space()
}

// around writes a special, rarely with white space and comments around it.
func (w *listWriter) around(special string) string {
	if !w.rarely(15, "apart") {
		return special
	}
	return w.space() + special + w.space()
}

// local writes a local part, and returns what it means.
func (w *listWriter) local() (text, meant string) {
	if w.rarely(15, "an encoded word as a local part") {
		return "=?utf-8?q?x?=", "=?utf-8?q?x?="
	}
	text, meant = w.word()
	for w.rarely(8, "words with dots between") {
		word, means := w.word()
		text, meant = text+w.around(".")+word, meant+"."+means
	}
	return text, meant
}

func (w *listWriter) word() (text, meant string) {
	if !w.rarely(4, "quoted local part") {
		if w.rarely(10, "letters beyond ASCII") {
			return "münchen", "münchen"
		}
		text = w.one("x", "ann", "a.b", "o'neil", "a+b", "A-B", "!#$%&*/=?^_`{|}~", "x1")
		return text, text
	}
	meant = w.one("x y", lure, `a"b`, "<"+lure+">", `a\b`, "(c", "a, "+lure+", b", "a; b:", "x", "a..b", "@", " ")
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "x", w.one("x", `\x`)).Replace(meant) + `"`, meant
}

func (w *listWriter) domain() (text, meant string) {
	switch {
	case w.rarely(15, "literal"):
		text = w.one("[192.0.2.1]", "[IPv6:2001:db8::1]")
		return text, text
	case w.rarely(12, "letters beyond ASCII"):
		text = w.one("münchen.example", "例え.example")
		return text, text
	case w.rarely(12, "spaces around dots"):
		return "bank" + w.space() + "." + w.space() + "evil" + w.space() + ".example", "bank.evil.example"
	}
	text = w.one("acme.example", "evil.example", "mail.acme.example", "Acme.Example", "x--y.example", "localhost")
	return text, text
}

// name writes a name before brackets.
func (w *listWriter) name() string {
	text := w.space()
	for range w.IntN(4) {
		switch {
		case w.rarely(12, "an address as a name"):
			text += lure
		case w.rarely(12, "bytes"):
			text += w.one("Andr\xe9", "\xc4\xe3\xba\xc3")
		case w.rarely(12, "dots in a name"):
			text += w.one("A.", "J. R.", "Dr.")
		case w.rarely(12, "a comma in an encoded word"):
			text += w.one("=?utf-8?q?Meier,_A?=", "=?utf-8?q?a;_b:?=")
		default:
			text += w.one("Ann", "Example", "O'Neil", "Zoë", "=?utf-8?q?M=C3=BC?=", "=?utf-8?q?ann=40bank.example?=", "=?utf-8?b?YW5uQGJhbmsuZXhhbXBsZQ==?=",
				`"`+lure+`"`, `"Ann <`+lure+`>"`, `"a, `+lure+`, b"`, `"\", `+lure+`, \\"`, `"(`+lure+`, "`, `"Meier, A"`, `""`, `"=?utf-8?q?=22?="`)
		}
		text += w.one(" ", " ", "\t")
	}
	return text
}

// writtenLists is the corpus of the tests below, the same in each run.
func writtenLists() []writtenList {
	w := listWriter{newWriter(2)}
	return corpus(6000, w.write)
}

// meanings returns the addresses of a header, without the quotes of their local parts.
func meanings(header string) []string {
	var found []string
	for _, a := range parseAddresses(header, "") {
		at := strings.LastIndexByte(a.Address, '@')
		found = append(found, unescaped(lex(a.Address[:at], true)[0])+a.Address[at:])
	}
	return found
}

// TestAddressesAreThoseThatWereWritten: the writer knows each. None is what a header merely displays.
func TestAddressesAreThoseThatWereWritten(t *testing.T) {
	seen := map[string]int{}
	for _, list := range writtenLists() {
		if diff := cmp.Diff(list.want, meanings(list.text)); diff != "" {
			t.Errorf("%q: %s", list.text, diff)
		}
		for trait := range list.traits {
			seen[trait]++
		}
	}
	for trait, count := range seen {
		if count < 30 {
			t.Errorf("only %d headers with %s", count, trait)
		}
	}
}

// singleQuotes is a rule of all others: some programs write addresses in single quotes, which may be part of a local part.
var singleQuotes = difference[writtenList, []string]{
	"single quotes are kept",
	func(list writtenList) bool { return len(list.single) > 0 },
	func(list writtenList, want []string) []string {
		quoted := slices.Clone(want)
		for i := range list.single {
			quoted[i] = "'" + quoted[i] + "'"
		}
		return quoted
	},
}

// TestAddressesAreThoseOfNetMail compares with the headers that net/mail accepts.
func TestAddressesAreThoseOfNetMail(t *testing.T) {
	known := comparison[writtenList, []string]{rules: []difference[writtenList, []string]{singleQuotes}}
	for _, list := range writtenLists() {
		answer, err := mail.ParseAddressList(list.text)
		if err != nil {
			continue
		}
		want, ok := known.expect(list, list.want)
		if diff := cmp.Diff(want, addressesOf(answer)); ok && diff != "" {
			t.Errorf("%q (-want +net/mail): %s", list.text, diff)
		}
	}
	known.check(t, 300)
}

// TestAddressesAreThoseOfPython compares with email.headerregistry of Python.
func TestAddressesAreThoseOfPython(t *testing.T) {
	const program = `
from email import policy
def answer(text):
    try:
        header = policy.default.header_factory("To", text.replace("\r\n", ""))
        return [a.username + "@" + a.domain for a in header.addresses]
    except Exception as e:
        return None
`
	known := comparison[writtenList, []string]{
		beyond: map[string]func(writtenList) bool{
			"Python takes an address that stands before brackets": func(list writtenList) bool { return list.traits["an address as a name"] },
			"Python does not read how archives hide addresses":    func(list writtenList) bool { return list.traits["spoken"] },
		},
		rules: []difference[writtenList, []string]{singleQuotes, {
			"Python decodes encoded words within addresses",
			func(list writtenList) bool { return list.traits["an encoded word as a local part"] },
			func(_ writtenList, want []string) []string {
				return strings.Split(strings.ReplaceAll(strings.Join(want, "\n"), "=?utf-8?q?x?=", "x"), "\n")
			},
		}},
	}
	known.withPython(t, program, writtenLists(), func(list writtenList) string { return list.text }, func(list writtenList) []string { return list.want })
	known.check(t, 2000)
}

// TestAddressesOfBrokenHeaders changes headers here and there, and compares with what others still accept.
func TestAddressesOfBrokenHeaders(t *testing.T) {
	random := rand.New(rand.NewPCG(5322, 3))
	var texts []string
	for _, list := range writtenLists() {
		text := strings.ReplaceAll(list.text, "\r\n", "")
		for range 1 + random.IntN(3) {
			const letters = `"()<>@,;:\. x`
			at, letter := random.IntN(len(text)+1), string(letters[random.IntN(len(letters))])
			end := at + random.IntN(2)*min(1, len(text)-at)
			text = text[:at] + []string{letter, ""}[random.IntN(2)] + text[end:]
		}
		texts = append(texts, text)
	}
	compared := 0
	for _, text := range texts {
		if answer, err := mail.ParseAddressList(text); err == nil {
			compared++
			if diff := broken(text, addressesOf(answer)); diff != "" {
				t.Errorf("%q (-net/mail +got): %s", text, diff)
			}
		}
	}
	t.Logf("%d are compared with net/mail", compared)
	if compared < 100 {
		t.Errorf("only %d", compared)
	}
	const program = `
from email import policy
def answer(text):
    try:
        header = policy.default.header_factory("To", text.replace("\r\n", ""))
        return None if header.defects else [a.username + "@" + a.domain for a in header.addresses]
    except Exception as e:
        return None
`
	compared = 0
	for i, answer := range askPython[[]string](t, program, texts) {
		if answer == nil || strings.Contains(texts[i], "?q?x?=") || strings.Contains(texts[i], lure+" ") || escapedLiteral.MatchString(texts[i]) {
			continue // see the rules of TestAddressesAreThoseOfPython; and the address of a host has no escapes
		}
		compared++
		if diff := broken(texts[i], answer); diff != "" {
			t.Errorf("%q (-Python +got): %s", texts[i], diff)
		}
	}
	t.Logf("%d are compared with Python", compared)
	if compared < 500 {
		t.Errorf("only %d", compared)
	}
}

// broken compares the addresses that another implementation finds in a header. What programs do not agree on is left out here.
func broken(text string, answer []string) string {
	got, answer := meanings(text), usable(answer)
	if specialWord.MatchString(text) {
		answer = slices.DeleteFunc(answer, func(address string) bool { return !slices.Contains(got, address) })
	}
	return cmp.Diff(answer, got, cmpopts.EquateEmpty())
}

func addressesOf(list []*mail.Address) (addresses []string) {
	for _, a := range list {
		addresses = append(addresses, a.Address)
	}
	return addresses
}

var (
	hostLiteral    = regexp.MustCompile(`^\[[0-9A-Za-z.:-]+\]$`)
	escapedLiteral = regexp.MustCompile(`\[[^\]]*\\`)

	// specialWord is an encoded word with specials in it, which programs do not agree on.
	specialWord = regexp.MustCompile(`=\?[^?]*["()<>@,;:\\ ][^?]*\?[bq]\?[^?]*\?=|=\?[^?]*\?[bq]\?[^?]*["()<>@,;:\\ ][^?]*\?=`)
)

// usable returns those of addresses that mail can have: they have a local part, and a literal host is the address of one. What is
// left of the single quotes around them is no part of them.
func usable(addresses []string) (left []string) {
	for _, address := range addresses {
		at := strings.LastIndexByte(address, '@')
		if literal := strings.Index(address, "@["); literal >= 0 {
			at = literal
		}
		local, host := address[:at], strings.TrimRight(address[at+1:], ".")
		if without, quoted := strings.CutSuffix(host, "'"); quoted {
			local, host = strings.TrimPrefix(local, "'"), without
		}
		if local != "" && (host[0] != '[' || hostLiteral.MatchString(host)) {
			left = append(left, local+"@"+host)
		}
	}
	return left
}

// TestAddressesInBoundedTime checks headers four times as long as the longest that is kept.
func TestAddressesInBoundedTime(t *testing.T) {
	for _, unit := range []string{"(", `"`, "<", `(\`, `"(`, "=?", "=?a?q?", "a@b ", "a@b,", "a.", ".", " . ", "@", ":", "<(", ") (", "\xe9", "a at b.c,", "\u00a0"} {
		began := time.Now()
		parseAddresses(strings.Repeat(unit, 4*maxValue/len(unit))+"@y.example", "")
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%q takes %s", unit, took)
		}
	}
}
