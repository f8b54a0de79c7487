package chat

import (
	"fmt"
	"strings"
	"time"
)

// Mail is a mail that was found, as answers are made from it.
type Mail struct {
	ID          string
	Subject     string
	Sender      string // the address
	SenderName  string
	ReceivedAt  time.Time
	Text        string // the beginning of the body
	Application *Application
}

// Application is the job application that a mail belongs to.
type Application struct {
	Company, Stage string
	Risk           float64 // of being forgotten, 0 to 1
	QuietDays      int     // since the stage changed
}

// Claim is one sentence of an answer and the ids of the mails that it is from.
type Claim struct {
	Text  string
	Mails []string
}

// from returns who sent the mail, as people read it.
func (m *Mail) from() string {
	if name := OneLine(m.SenderName); name != "" {
		return name
	}
	return OneLine(m.Sender)
}

// headline tells what a mail is in one sentence.
func (m *Mail) headline() Claim {
	subject := cutText(OneLine(m.Subject), mostSentence)
	if subject == "" {
		subject = "(no subject)"
	}
	return Claim{fmt.Sprintf("“%s” from %s, %s.", subject, m.from(), day(m.ReceivedAt)), []string{m.ID}}
}

func day(at time.Time) string { return at.UTC().Format("2 January 2006") }

// OneLine writes a text of a mail on one line, without characters that would control a terminal or turn the direction of writing.
func OneLine(text string) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case r == '\n' || r == '\r' || r == '\t':
			return ' '
		case invisible(r):
			return -1
		}
		return r
	}, text)
	return strings.Join(strings.Fields(text), " ")
}

// cutText returns at most so many characters, with dots where something is left out.
func cutText(text string, most int) string {
	count := 0
	for at := range text {
		if count == most {
			return text[:at] + "…"
		}
		count++
	}
	return text
}
