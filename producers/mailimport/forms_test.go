package mailimport

import (
	"archive/zip"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/applylens/applylens/internal/testkit/doctable"
)

// document has the tables that the tests below hold to the code.
const document = "../../docs/mail.md"

// none stands in the tables for nothing.
const none = "none"

func TestFormsOfSeparators(t *testing.T) {
	const mail, prose = "\nFrom: ann@example.org\nSubject: Hello\n\ntext\n", "\nis what the log says\nSubject to change: all of it\n"
	answers := map[bool]string{true: "yes", false: "no"}
	listed := ""
	for _, row := range doctable.Rows(t, document, "line", "after an empty line", "without one") {
		line := doctable.Codes(row[0])[0]
		listed += strings.ReplaceAll(line, "ann@example.org", "a@b") + "\n"
		for i, afterBlank := range []bool{true, false} {
			if got := answers[separates([]byte(line+mail), afterBlank)]; got != row[1+i] {
				t.Errorf("%s: %s, the table has %s", line, got, row[1+i])
			}
			if separates([]byte(line+prose), afterBlank) {
				t.Errorf("%s separates prose", line)
			}
		}
	}
	for _, must := range []string{"From nobody", "From -", "(CEST)", "PM", "août", "remote from"} {
		if !strings.Contains(listed, must) {
			t.Errorf("the table has no line with %q", must)
		}
	}
}

// packed writes files of the kinds in the table.
func packed(t *testing.T) map[string]string {
	mail := from + single("one")
	in := archived{"Takeout/Mail/All mail.mbox", mail}
	zipped, tarred := zipOf(t, zip.Store, in), tarOf(t, in)
	return map[string]string{
		"mbox": mail, "mbox, gzipped": gzipOf(t, mail), "zip": zipped, "zip, gzipped": gzipOf(t, zipped),
		"tar": tarred, "tar, gzipped": gzipOf(t, tarred), "zip in a tar": tarOf(t, archived{"a.mbox", zipped}), "mbox, gzipped twice": gzipOf(t, gzipOf(t, mail)), "bzip2": "BZh91AY&SY", "xz": "\xfd7zXZ\x00", "zstd": "(\xb5/\xfd",
		"7z": "7z\xbc\xaf\x27\x1c", "rar": "Rar!\x1a\x07", "Outlook's pst": "!BDN....",
	}
}

// TestFilesThatHoldOthers are known by what they are, whatever their names.
func TestFilesThatHoldOthers(t *testing.T) {
	content := packed(t)
	rows := doctable.Rows(t, document, "file", "import")
	if len(rows) != len(content) {
		t.Errorf("the table has %d rows, want %d", len(rows), len(content))
	}
	for _, row := range rows {
		text, exists := content[row[0]]
		if !exists {
			t.Errorf("no file is %s", row[0])
		}
		for _, name := range []string{"a.mbox", "b.mbox.gz", "c.eml"} {
			got := "read"
			if _, result, err := importFile(t, name, text); err != nil {
				got = "refused"
				if _, kind, found := strings.Cut(err.Error(), " is "); found {
					kind, _, _ = strings.Cut(kind, ": unpack it, and import the directory")
					got += ": " + kind
				}
			} else if result.Imported != 1 {
				t.Errorf("%s, as %s: %+v", row[0], name, result)
			}
			if got != row[1] {
				t.Errorf("%s, as %s: %s, the table has %s", row[0], name, got, row[1])
			}
		}
	}
}

func TestFormsOfDates(t *testing.T) {
	for _, row := range doctable.Rows(t, document, "form", "Date", "time") {
		for _, date := range doctable.Codes(row[1]) {
			got := none
			if at, ok := parseDate(date); ok {
				got = at.Format(time.RFC3339)
			}
			if got != row[2] {
				t.Errorf("%s: %s, the table has %s", date, got, row[2])
			}
		}
	}
}

func TestFormsOfAddresses(t *testing.T) {
	for _, row := range doctable.Rows(t, document, "form", "From", "address") {
		want := doctable.Codes(row[2])
		if (want == nil) != (row[2] == none) {
			t.Errorf("%s has no address, and not %q", row[0], none)
		}
		for _, header := range doctable.Codes(row[1]) {
			var got []string
			for _, a := range parseAddresses(header, "") {
				got = append(got, a.Address)
			}
			if diff := cmp.Diff(want, got); diff != "" {
				t.Errorf("%s (-table +got): %s", header, diff)
			}
		}
	}
}

func TestFormsOfMediaTypes(t *testing.T) {
	for _, row := range doctable.Rows(t, document, "Content-Type", "read as") {
		for _, value := range doctable.Codes(row[0]) {
			kind, parameters := parseMediaType(value)
			for _, name := range []string{"charset", "boundary"} {
				if text := parameters[name]; text != "" {
					kind += "; " + name + "=" + strings.ToLower(text)
				}
			}
			want := row[1]
			if codes := doctable.Codes(want); codes != nil {
				want = codes[0]
			} else {
				want = strings.TrimPrefix(strings.TrimSuffix(want, ", text"), none)
			}
			if kind != want {
				t.Errorf("%s: %q, the table has %s", value, kind, row[1])
			}
			if got := parse(t, mimeHeader+"Content-Type: "+value+"\n\ncafé\n").Text; got != "café" {
				t.Errorf("%s: the text is %q", value, got)
			}
		}
	}
}

func TestFormsOfLists(t *testing.T) {
	hold := func(header string, read func(value string) string, want ...string) {
		seen := map[string]bool{}
		for _, row := range doctable.Rows(t, document, header, want[0]) {
			answer := strings.Trim(row[1], "`")
			seen[answer] = true
			for _, value := range doctable.Codes(row[0]) {
				if got := read(value); got != answer {
					t.Errorf("%s: %s: %s, the table has %s", header, value, got, answer)
				}
			}
		}
		if len(seen) != 2 {
			t.Errorf("the table of %s has the answers %v", header, seen)
		}
	}
	hold("List-Id", func(value string) string {
		if id := parse(t, "From: a@b.example\nList-Id: "+value+"\n\nx\n").ListID; id != "" {
			return id
		}
		return none
	}, "list")
	hold("List-Unsubscribe", func(value string) string {
		return map[bool]string{true: "yes", false: "no"}[parse(t, "From: a@b.example\nList-Unsubscribe: "+value+"\n\nx\n").Unsubscribe]
	}, "a way")
}

func TestFormsOfCharacterSets(t *testing.T) {
	for _, row := range doctable.Rows(t, document, "set", "declared as") {
		for _, label := range doctable.Codes(row[1]) {
			got := "guessed by the bytes"
			if e := encodingOf(strings.ToLower(label)); e != nil {
				got = fmt.Sprint(e)
			}
			if got != row[0] {
				t.Errorf("%s: %s, the table has %s", label, got, row[0])
			}
		}
	}
	for alias := range aliases {
		if !slices.ContainsFunc(doctable.Rows(t, document, "set", "declared as"), func(row []string) bool { return strings.Contains(row[1], "`"+alias+"`") }) {
			t.Errorf("the table has no %s", alias)
		}
	}
}
