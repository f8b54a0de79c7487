package events

import (
	"math"
	"strings"
	"time"
)

// Application is the payload of application.changed, and of application.removed, which has only System,
// ApplicationID, SrcVersion and RecordedAt.
type Application struct {
	System          string // "greenhouse", "lever", "workday", ...
	ApplicationID   string
	Addresses       []string // the candidate's, lower case
	Company         string
	Stage           string
	LastStageChange time.Time // zero when unknown
	InterviewDate   time.Time // zero when there is none
	SrcVersion      int64     // increases with every change of the application; the highest wins
	RecordedAt      time.Time
}

func (a *Application) check(c *checker, t Type) {
	c.required("system", a.System, MaxSystem)
	if strings.Contains(a.System, "/") {
		c.fail(ReasonSchema, "system", "contains a slash, which is the separator of the key")
	}
	c.required("application_id", a.ApplicationID, MaxApplication)
	c.within("src_version", a.SrcVersion, 1, math.MaxInt64)
	c.time("recorded_at", a.RecordedAt)
	if t == TypeApplicationRemoved {
		c.absent("addresses", len(a.Addresses) == 0)
		c.absent("company", a.Company == "")
		c.absent("stage", a.Stage == "")
		c.absent("last_stage_change", a.LastStageChange.IsZero())
		c.absent("interview_date", a.InterviewDate.IsZero())
	}
	c.texts("addresses", a.Addresses, MaxAddresses, MaxAddress)
	c.text("company", a.Company, MaxCompany)
	c.text("stage", a.Stage, MaxStage)
	c.timeIf("last_stage_change", a.LastStageChange)
	c.timeIf("interview_date", a.InterviewDate)
}

func (a *Application) write(w *writer, t Type, canonical bool) {
	w.text(fieldSystem, a.System)
	w.text(fieldApplicationID, a.ApplicationID)
	if t == TypeApplicationChanged {
		w.texts(fieldAddresses, a.Addresses)
		w.textIf(fieldCompany, a.Company)
		w.textIf(fieldStage, a.Stage)
		w.timeIf(fieldLastStageChange, a.LastStageChange)
		w.timeIf(fieldInterviewDate, a.InterviewDate)
	}
	w.integer(fieldSrcVersion, a.SrcVersion)
	if !canonical {
		w.time(fieldRecordedAt, a.RecordedAt)
	}
}

func (d *Decoder) readApplication(t Type) *Application {
	a := &d.application
	*a = Application{Addresses: a.Addresses[:0]}
	m := d.object(&shapes[t])
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldSystem:
			a.System = d.interned()
		case fieldApplicationID:
			a.ApplicationID = d.string()
		case fieldAddresses:
			a.Addresses = d.texts(a.Addresses, MaxAddresses)
		case fieldCompany:
			a.Company = d.interned()
		case fieldStage:
			a.Stage = d.interned()
		case fieldLastStageChange:
			a.LastStageChange = d.time()
		case fieldInterviewDate:
			a.InterviewDate = d.time()
		case fieldSrcVersion:
			a.SrcVersion = d.integer()
		case fieldRecordedAt:
			a.RecordedAt = d.time()
		}
	}
	return a
}
