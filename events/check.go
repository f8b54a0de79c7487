package events

import (
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"
)

// checker keeps the first rule that an event breaks. The same rules apply before encoding and after decoding, except
// that the bytes of decoded texts were already checked by the scanner.
type checker struct {
	err     *Error
	scanned bool
	nth     int     // of the element that is being checked, from 1 on; 0 outside of lists
	all     *faults // collects all faults, if it is set; err stays nil then
}

func (c *checker) fail(reason Reason, name, detail string) {
	if c.all != nil {
		c.collect(reason, name, detail)
	} else if c.err == nil {
		c.err = &Error{Reason: reason, Field: name, Detail: detail}
	}
}

// collect passes over what follows from a value that could not be read.
func (c *checker) collect(reason Reason, name, detail string) {
	if !c.all.spoilt(name, c.nth) {
		c.all.add(&Error{Reason: reason, Field: elementPath(name, c.nth), Detail: detail})
	}
}

// unread tells, if all faults are collected, that the value of a field could not be read.
func (c *checker) unread(name string) bool { return c.all != nil && c.all.spoilt(name, 0) }

// sound tells that no fault of a list and its elements was found; or none at all, if only the first is looked for.
func (c *checker) sound(name string) bool {
	if c.all != nil {
		return !c.all.within(name)
	}
	return c.err == nil
}

// text refuses a text that is longer than most bytes, is not UTF-8, or contains NUL.
func (c *checker) text(name, text string, most int) {
	if len(text) > most {
		c.fail(ReasonSchema, name, "is longer than "+strconv.Itoa(most)+" bytes")
		return
	}
	if !c.scanned && (!utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0) {
		c.fail(ReasonMalformed, name, "is not UTF-8 without NUL")
	}
}

// required is text, and refuses an empty one.
func (c *checker) required(name, text string, most int) {
	if text == "" {
		c.fail(ReasonSchema, name, "is empty")
	}
	c.text(name, text, most)
}

func (c *checker) count(name string, n, most int) {
	if n > most {
		c.fail(ReasonSchema, name, "has more than "+strconv.Itoa(most)+" elements")
	}
}

// texts refuses more than most elements, and empty or long ones.
func (c *checker) texts(name string, list []string, most, longest int) {
	c.count(name, len(list), most)
	for i, text := range list {
		c.nth = i + 1
		c.required(name, text, longest)
	}
	c.nth = 0
}

// unique refuses a list of texts, a short one, that has an element twice.
func (c *checker) unique(name string, list []string) {
	for i, text := range list {
		if slices.Contains(list[:i], text) {
			c.fail(ReasonSchema, name, "contains an element twice")
			return
		}
	}
}

func (c *checker) within(name string, n, least, most int64) {
	if n < least || n > most {
		c.fail(ReasonSchema, name, "is not within "+strconv.FormatInt(least, 10)+".."+strconv.FormatInt(most, 10))
	}
}

func (c *checker) floatWithin(name string, x, least, most float64) {
	if !(x >= least && x <= most) { // this form also refuses NaN
		c.fail(ReasonSchema, name, "is not within "+strconv.FormatFloat(least, 'g', -1, 64)+".."+
			strconv.FormatFloat(most, 'g', -1, 64))
	}
}

func (c *checker) uuid(name string, u UUID) {
	if u.IsZero() {
		c.fail(ReasonSchema, name, "is the nil UUID")
	}
}

func (c *checker) time(name string, t time.Time) {
	if !validTime(t) {
		c.fail(ReasonSchema, name, "is not within the years 1000..9999")
	}
}

// timeIf is time for a time that may be absent.
func (c *checker) timeIf(name string, t time.Time) {
	if !t.IsZero() {
		c.time(name, t)
	}
}

// actionTime refuses a time that a proposal or decision recorded at the given time cannot have.
func (c *checker) actionTime(name string, t, recorded time.Time) {
	c.time(name, t)
	if t.Before(minActionTime) || validTime(recorded) && t.After(recorded.Add(clockSkew)) {
		c.fail(ReasonBadTime, name, "is before 2000 or more than 5 minutes after recorded_at")
	}
}

// absent refuses a field that the event's type does not have, since encoding would lose it.
func (c *checker) absent(name string, absent bool) {
	if !absent && c.sound(name) {
		c.fail(ReasonSchema, name, "does not belong to this type")
	}
}

// attribute refuses a CloudEvents attribute that is empty, long, or has control characters.
func (c *checker) attribute(name, text string, most int) {
	if !validAttribute(text, most) {
		c.fail(ReasonEnvelope, name, "must be 1 to "+strconv.Itoa(most)+" bytes of UTF-8 without control characters")
	}
}
