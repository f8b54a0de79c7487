package events

// Decoder decodes records. It is for use by one goroutine. Returned values are valid until the next call of the same
// method, except strings, which are immutable.
type Decoder struct {
	scanner
	checker checker
	*interner
	action      Action
	preference  Preference
	mail        Mail
	mailChange  MailChange
	risk        int
	application Application
	erasure     Erasure
}

// NewDecoder returns a Decoder with an empty table of interned texts.
func NewDecoder() *Decoder { return &Decoder{interner: newInterner()} }

// Decode decodes the value of a record with the given head into e. The payload of e is valid until the next call. Void
// and foreign events have no payload, and their value is not read. If an action event carries no features, they are
// derived from its mail; FeatureRule is then the rule and HasFeatures false.
//
// It returns an *Error for a value that breaks the rules of the type, and for TypeUnknown; e is then invalid. It ignores
// unknown fields, and treats null as the absence of an optional field.
func (d *Decoder) Decode(head *Head, value []byte, e *Event) error {
	*e = Event{Envelope: head.Envelope}
	switch {
	case e.Type == TypeForeign || e.Type == TypeVoid:
		return nil
	case e.Type == TypeUnknown || e.Type >= typeCount:
		return &Error{Reason: ReasonUnknownType, Field: HeaderType, Detail: "is unknown"}
	case len(value) > MaxValue:
		return &Error{Reason: ReasonMalformed, Detail: "value is too long"}
	}
	d.reset(value)
	d.read(e)
	d.end()
	if d.err != nil {
		return d.err
	}
	d.checker = checker{scanned: true, all: d.all}
	if e.payload().check(&d.checker, e.Type); d.checker.err != nil {
		return d.checker.err
	}
	return nil
}

// read decodes the payload that the event's type names.
func (d *Decoder) read(e *Event) {
	switch e.Type {
	case TypePreferenceChanged:
		e.Preference = d.readPreference()
	case TypeMailReceived:
		e.Mail = d.readMail()
	case TypeMailChanged:
		e.MailChange = d.readMailChange()
	case TypeApplicationChanged, TypeApplicationRemoved:
		e.Application = d.readApplication(e.Type)
	case TypeUserErased:
		e.Erasure = d.readErasure()
	default:
		e.Action = d.readAction(e.Type)
	}
}

// string reads a text that rarely occurs again.
func (d *Decoder) string() string { return string(d.text()) }

// interned reads a text that is likely to occur again.
func (d *Decoder) interned() string { return d.intern(d.text()) }

// texts appends an array of texts that are likely to occur again.
func (d *Decoder) texts(list []string, limit int) []string {
	for n := 0; d.element(n, limit); n++ {
		list = append(list, d.interned())
	}
	return list
}

func (d *Decoder) integers(list []int64, limit int) []int64 {
	for n := 0; d.element(n, limit); n++ {
		list = append(list, d.integer())
	}
	return list
}

// small reads an integer within 0..most.
func (d *Decoder) small(most int64) int {
	n := d.integer()
	if n < 0 || n > most {
		d.fail(ReasonSchema, "is out of range")
		return 0
	}
	return int(n)
}
