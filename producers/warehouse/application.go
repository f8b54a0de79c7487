package warehouse

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/applylens/applylens/events"
)

// application is one row of the view as it is to be published.
type application struct {
	system, id      string
	addresses       []string // lower case, sorted, without repeats
	company, stage  string
	lastStageChange time.Time // zero when unknown
	interviewDate   time.Time // zero when there is none
	syncedAt        time.Time // zero when unknown
	removed         bool
	broken          bool // nothing but the key can be read: what is known of it stays
}

// Fault is something in a row that could not be taken over. It holds nothing of a person.
type Fault struct {
	Column  string // empty when the whole row is meant
	Problem string
}

// decoder reads rows whose columns stand at known places. It is not for concurrent use.
type decoder struct {
	at     places
	values []any
	faults []Fault
}

// decode reads a row and tells what could not be taken over. It returns false when not even the key can be read.
func (d *decoder) decode(values []any) (application, []Fault, bool) {
	d.values, d.faults = values, d.faults[:0]
	var a application
	a.system = strings.ToLower(d.text(columnSystem, &a))
	a.id = d.text(columnApplicationID, &a)
	if !d.key(&a) {
		return a, d.faults, false
	}
	a.removed = read(d, columnDeleted, &a, boolOf)
	a.syncedAt = read(d, columnSyncedAt, &a, timeOf)
	if a.removed {
		return a, d.faults, true
	}
	a.addresses = d.addresses(&a)
	a.company = d.cut(columnCompany, &a, events.MaxCompany)
	a.stage = d.cut(columnStage, &a, events.MaxStage)
	a.lastStageChange = read(d, columnLastStageChange, &a, timeOf)
	a.interviewDate = read(d, columnInterviewDate, &a, timeOf)
	return a, d.faults, true
}

func (d *decoder) fault(column int, problem string) {
	d.faults = append(d.faults, Fault{columnNames[column], problem})
}

// read reads a value; one that cannot be read breaks the row.
func read[T any](d *decoder, column int, a *application, as func(any) (T, error)) T {
	value, err := as(d.values[d.at[column]])
	if err != nil {
		d.fault(column, err.Error())
		a.broken = true
	}
	return value
}

func (d *decoder) text(column int, a *application) string { return read(d, column, a, textOf) }

// key checks the two columns that identify the row.
func (d *decoder) key(a *application) bool {
	if a.broken {
		return false
	}
	for _, part := range []struct {
		column int
		text   string
		most   int
	}{{columnSystem, a.system, events.MaxSystem}, {columnApplicationID, a.id, events.MaxApplication}} {
		switch {
		case part.text == "":
			d.fault(part.column, "is empty")
		case len(part.text) > part.most:
			d.fault(part.column, fmt.Sprintf("is longer than %d bytes", part.most))
		case !utf8.ValidString(part.text) || strings.ContainsRune(part.text, 0):
			d.fault(part.column, "is not UTF-8 without NUL")
		case part.column == columnSystem && strings.Contains(part.text, "/"):
			d.fault(part.column, "has a slash")
		}
	}
	return len(d.faults) == 0
}

// cut reads a text of at most so many bytes and reports a longer one.
func (d *decoder) cut(column int, a *application, most int) string {
	text := d.text(column, a)
	if len(text) > most {
		d.fault(column, fmt.Sprintf("was cut to %d bytes", most))
	}
	return strings.TrimSpace(events.CleanText(text, most))
}

// addresses reads the candidate's addresses and leaves out, with a report, what is none.
func (d *decoder) addresses(a *application) []string {
	list := read(d, columnAddresses, a, textsOf)
	addresses := make([]string, 0, len(list))
	for _, text := range list {
		address := strings.ToLower(strings.TrimSpace(text))
		switch {
		case address == "":
		case !isAddress(address):
			d.fault(columnAddresses, "has an element that is no address")
		default:
			addresses = append(addresses, address)
		}
	}
	slices.Sort(addresses)
	addresses = slices.Compact(addresses)
	if len(addresses) > events.MaxAddresses {
		d.fault(columnAddresses, fmt.Sprintf("was cut to %d elements", events.MaxAddresses))
		addresses = addresses[:events.MaxAddresses]
	}
	return addresses
}

// isAddress accepts what a mail may be delivered to, roughly: the match compares addresses as texts.
func isAddress(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && at < len(text)-1 && len(text) <= events.MaxAddress && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>"(),;`, r) })
}

// event returns the change or removal that the row means, at a version.
func (a *application) event(version int64, at time.Time) *events.Event {
	payload := &events.Application{System: a.system, ApplicationID: a.id, SrcVersion: version, RecordedAt: at}
	kind := events.TypeApplicationRemoved
	if !a.removed {
		kind = events.TypeApplicationChanged
		payload.Addresses, payload.Company, payload.Stage = a.addresses, a.company, a.stage
		payload.LastStageChange, payload.InterviewDate = a.lastStageChange, a.interviewDate
	}
	return &events.Event{Envelope: events.Envelope{Type: kind, Time: at}, Application: payload}
}

// hash tells whether two rows of an application mean the same, whatever their versions.
func (a *application) hash() int64 { return int64(events.ContentHash(a.event(0, time.Time{}))) }

// filled has a bit for each column that is not empty.
func (a *application) filled() int16 {
	var bits int16
	for column, full := range [columnCount]bool{
		columnAddresses: len(a.addresses) > 0, columnCompany: a.company != "", columnStage: a.stage != "",
		columnLastStageChange: !a.lastStageChange.IsZero(), columnInterviewDate: !a.interviewDate.IsZero(),
	} {
		if full {
			bits |= 1 << column
		}
	}
	return bits
}

// valid tells what an event of the row would be refused for. The rules above leave nothing; should the event's rules grow
// stricter, the row is reported instead of stopping the sync.
func (a *application) valid() error {
	event := a.event(1, time.Unix(0, 0))
	event.ID, event.Source = "check", "/check"
	var refusal *events.Error
	if err := event.Validate(); errors.As(err, &refusal) {
		return refusal
	}
	return nil
}
