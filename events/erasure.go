package events

import "time"

// Erasure is the payload of user.erased: consumers forget everything about UserID from before it.
type Erasure struct {
	UserID     string
	RecordedAt time.Time
}

func (x *Erasure) check(c *checker, _ Type) {
	c.required("user_id", x.UserID, MaxUserID)
	c.time("recorded_at", x.RecordedAt)
}

func (x *Erasure) write(w *writer, _ Type, canonical bool) {
	w.text(fieldUserID, x.UserID)
	if !canonical {
		w.time(fieldRecordedAt, x.RecordedAt)
	}
}

func (d *Decoder) readErasure() *Erasure {
	x := &d.erasure
	*x = Erasure{}
	m := d.object(&shapes[TypeUserErased])
	for f := d.member(&m); f != fieldNone; f = d.member(&m) {
		switch f {
		case fieldUserID:
			x.UserID = d.interned()
		case fieldRecordedAt:
			x.RecordedAt = d.time()
		}
	}
	return x
}
