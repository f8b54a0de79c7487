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

// application is one row of the view, ready to be published.
type application struct {
	system, id      string
	addresses       []string // lower case, sorted, without duplicates
	company, stage  string
	lastStageChange time.Time // zero if unknown
	interviewDate   time.Time // zero if there is none
	syncedAt        time.Time // zero if unknown
	removed         bool
	broken          bool // only the key is readable: the last known state is kept
}

// Fault is an invalid value in a row. It contains no personal data.
type Fault struct {
	Column  string // empty: the whole row
	Problem string
}

// decoder decodes rows whose columns are at known indices. It is not safe for concurrent use.
type decoder struct {
	at     places
	values []any
	faults []Fault
}

// decode reads a row and returns its faults. It returns false if even the key cannot be read.
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

// read reads a value. An unreadable value makes the row broken.
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
			d.fault(part.column, "contains a slash")
		}
	}
	return len(d.faults) == 0
}

// cut reads a text, and cuts and reports one of more than most bytes.
func (d *decoder) cut(column int, a *application, most int) string {
	text := d.text(column, a)
	if len(text) > most {
		d.fault(column, fmt.Sprintf("was cut to %d bytes", most))
	}
	return strings.TrimSpace(events.CleanText(text, most))
}

// addresses reads the candidate's addresses. It reports and leaves out invalid ones.
func (d *decoder) addresses(a *application) []string {
	list := read(d, columnAddresses, a, textsOf)
	addresses := make([]string, 0, len(list))
	for _, text := range list {
		address := strings.ToLower(strings.TrimSpace(named.ReplaceAllString(text, "$1 $2 ")))
		switch {
		case address == "":
		case !isAddress(address):
			d.fault(columnAddresses, "has an element that is not an address")
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

// isAddress checks roughly for a mail address. Addresses are only compared as texts.
func isAddress(text string) bool {
	at := strings.LastIndexByte(text, '@')
	return at > 0 && at < len(text)-1 && len(text) <= events.MaxAddress && utf8.ValidString(text) &&
		!strings.ContainsFunc(text, func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`<>"(),;`, r) })
}

// event returns the row's event, a change or a removal, with a version.
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

// hash is the same for rows of an application with equal content, whatever their versions.
func (a *application) hash() int64 { return int64(events.ContentHash(a.event(0, time.Time{}))) }

// filled has a bit for each non-empty column.
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

// valid returns the error with which the row's event would be refused. The checks above make that impossible today; if the
// rules of events become stricter, the row is reported instead of stopping the sync.
func (a *application) valid() error {
	event := a.event(1, time.Unix(0, 0))
	event.ID, event.Source = "check", "/check"
	var refusal *events.Error
	if err := event.Validate(); errors.As(err, &refusal) {
		return refusal
	}
	return nil
}
