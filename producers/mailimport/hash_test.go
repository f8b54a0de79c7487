package mailimport

import (
	"strings"
	"testing"
)

// The same message has the same hash whatever way it came, and another message has another one.
func TestContentHash(t *testing.T) {
	hash := func(file, text string) [32]byte {
		t.Helper()
		raw, err := NewReader(strings.NewReader(text), file).Next()
		if err != nil {
			t.Fatal(err)
		}
		return raw.Hash
	}
	const message = "From: Ann <ann@b.example>\nDate: Thu, 22 Aug 2024 13:17:22 +0200\nSubject: one\n two\nMessage-ID: <1@b>\n\n" +
		"text\n\n>From here\nFrom there\n"
	first := hash("m.eml", message)
	for name, text := range map[string]string{
		"CRLF":                         strings.ReplaceAll(message, "\n", "\r\n"),
		"an mbox that quotes (mboxo)":  from + strings.ReplaceAll(message, "\nFrom there", "\n>From there") + "\n",
		"an mbox that quotes (mboxrd)": from + strings.NewReplacer("\n>From", "\n>>From", "\nFrom there", "\n>From there").Replace(message) + "\n\n",
		"headers of servers":           "Return-Path: <x@y>\nReceived: by z;\n Thu\nX-Gmail-Labels: a\nStatus: RO\n" + message,
		"headers in another order":     "Subject: one\n two\nDate: Thu, 22 Aug 2024 13:17:22 +0200\nFrom: Ann <ann@b.example>\n\n" + message[strings.Index(message, "\n\n")+2:],
		"folded otherwise":             strings.Replace(message, "one\n two", "one two", 1),
		"folded with a tab":            strings.Replace(message, "one\n two", "one\r\n\ttwo", 1),
		"other case of names":          strings.Replace(message, "From:", "FROM :", 1),
		"a second subject":             strings.Replace(message, "Message-ID", "Subject: three\nMessage-ID", 1),
		"the line of an older mbox":    ">From ann Thu Aug 22 13:17:22 2024\n" + message,
		"empty lines behind it":        message + "\n\n",
	} {
		if hash("f", text) != first {
			t.Errorf("%s: another hash", name)
		}
	}
	for name, text := range map[string]string{
		"sender":                 strings.Replace(message, "Ann", "Bob", 1),
		"date":                   strings.Replace(message, ":22 +", ":23 +", 1),
		"subject":                strings.Replace(message, "two", "three", 1),
		"text":                   strings.Replace(message, "text", "other", 1),
		"end of the text":        message + "more\n",
		"a field of the text":    strings.Replace(message, "text", "Subject: text", 1),
		"subject or text":        strings.Replace(message, "\n two", "\n\n two", 1),
		"nothing between fields": "From: Ann\nSubject: one\n\ntext\n",
		"no empty line":          "From: Ann\nSubject: one\ntext\n",
		"no empty line, changed": "From: Ann\nSubject: one\nother\n",
	} {
		if hash("f", text) == first {
			t.Errorf("%s: the same hash", name)
		}
	}
	alarm := func(hops string) [32]byte { return hash("f", hops+"From: disk@b.example\nSubject: full\n\ntext\n") }
	if alarm("Received: by y; later\nReceived: by z; Thu\n 11:00\n") != alarm("Received: by x; today\nReceived: by z; Thu 11:00\n") {
		t.Error("a message without a date has another hash in another archive")
	}
	if alarm("Received: by z; Thu 11:00\n") == alarm("Received: by z; Fri 11:00\n") {
		t.Error("two messages without a date are one")
	}
	if hash("f", "From: Ann\nSubject: one\ntext\n") == hash("f", "From: Ann\nSubject: one\nother\n") {
		t.Error("without an empty line the text does not count")
	}
}
