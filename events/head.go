package events

import (
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	specVersion = "1.0"
	ownTypes    = "applylens."
)

var typesByName = func() map[string]Type {
	types := make(map[string]Type, typeCount)
	for t, name := range typeNames {
		if name != "" {
			types[name] = Type(t)
		}
	}
	return types
}()

// typeOf returns the Type with a name: TypeUnknown for other names of our namespace, TypeForeign for names outside it.
func typeOf(name []byte) Type {
	if t, ok := typesByName[string(name)]; ok {
		return t
	}
	if strings.HasPrefix(string(name), ownTypes) {
		return TypeUnknown
	}
	return TypeForeign
}

// heading collects headers. It refuses duplicates.
type heading struct {
	values [headerCount][]byte
	seen   [headerCount]bool
	err    *Error
	all    *faults // collects the first fault of each header, if it is set; err stays nil then
}

// The headers that Head reads.
const (
	atSpecVersion = iota
	atID
	atSource
	atType
	atTime
	atSubject
	atRelayID
	atRelaySeq
	atRedriveGroup
	atRedrivenFrom
	atRedriveForce
	headerCount
)

var headerNames = [headerCount]string{HeaderSpecVersion, HeaderID, HeaderSource, HeaderType, HeaderTime, HeaderSubject,
	HeaderRelayID, HeaderRelaySeq, HeaderRedriveGroup, HeaderRedrivenFrom, HeaderRedriveForce}

func headerAt(name string) int {
	switch name {
	case HeaderSpecVersion:
		return atSpecVersion
	case HeaderID:
		return atID
	case HeaderSource:
		return atSource
	case HeaderType:
		return atType
	case HeaderTime:
		return atTime
	case HeaderSubject:
		return atSubject
	case HeaderRelayID:
		return atRelayID
	case HeaderRelaySeq:
		return atRelaySeq
	case HeaderRedriveGroup:
		return atRedriveGroup
	case HeaderRedrivenFrom:
		return atRedrivenFrom
	case HeaderRedriveForce:
		return atRedriveForce
	}
	return headerCount
}

func (h *heading) fail(at int, detail string) { h.refuse(headerNames[at], detail) }

func (h *heading) refuse(name, detail string) {
	if h.all != nil {
		if !h.all.within(name) {
			h.all.add(&Error{Reason: ReasonEnvelope, Field: name, Detail: detail})
		}
	} else if h.err == nil {
		h.err = &Error{Reason: ReasonEnvelope, Field: name, Detail: detail}
	}
}

// collect keeps the headers that Head reads, from the first given one on.
func (h *heading) collect(headers []Header, first int) {
	for i := range headers {
		at := headerAt(headers[i].Key)
		if at < first || at == headerCount {
			continue
		}
		if h.seen[at] {
			h.fail(at, "is present twice")
		}
		h.values[at], h.seen[at] = headers[i].Value, true
	}
}

// attribute refuses an attribute that is absent, empty, longer than most bytes, or has control characters.
func (h *heading) attribute(at, most int) []byte {
	value := h.values[at]
	switch {
	case !h.seen[at]:
		h.fail(at, "is missing")
	case !validAttribute(value, most):
		h.fail(at, "must be 1 to "+strconv.Itoa(most)+" bytes of UTF-8 without control characters")
	}
	return value
}

// validAttribute reports whether a CloudEvents attribute is 1 to most bytes of UTF-8 without control characters.
func validAttribute[T string | []byte](value T, most int) bool {
	if len(value) == 0 || len(value) > most {
		return false
	}
	ascii := true
	for i := range len(value) {
		if c := value[i]; c < ' ' || c == 0x7f {
			return false
		} else if c >= utf8.RuneSelf {
			ascii = false
		}
	}
	return ascii || validUnicode(string(value))
}

// validUnicode reports whether text is UTF-8 without non-ASCII control characters.
func validUnicode(text string) bool {
	for _, r := range text {
		if r >= 0x80 && r < 0xa0 {
			return false
		}
	}
	return utf8.ValidString(text)
}

// Head decodes the headers of a record. It returns an *Error of ReasonEnvelope for headers that are not valid CloudEvents
// 1.0 attributes, for an incomplete or malformed relay sequence, and for duplicate headers. An unknown type is not an
// error here: see TypeUnknown and TypeForeign.
func (d *Decoder) Head(headers []Header) (Head, error) {
	h := heading{all: d.all}
	h.collect(headers, 0)
	return d.head(&h)
}

// head makes a Head of what was collected.
func (d *Decoder) head(h *heading) (Head, error) {
	if version := h.attribute(atSpecVersion, len(specVersion)); string(version) != specVersion {
		h.fail(atSpecVersion, "is not "+specVersion)
	}
	id, source, name := h.attribute(atID, MaxID), h.attribute(atSource, MaxSource), h.attribute(atType, MaxID)
	var head Head
	if h.seen[atTime] {
		t, ok := parseTime(h.values[atTime])
		if !ok {
			h.fail(atTime, "is not an RFC 3339 time")
		}
		head.Time = t
	}
	if h.seen[atSubject] {
		h.attribute(atSubject, MaxSubject)
	}
	head.Stamp = h.stamp()
	h.redrive(d, &head)
	if h.err != nil {
		return Head{}, h.err
	}
	head.Type, head.Source = typeOf(name), d.intern(source)
	head.ID, head.Subject = twoTexts(id, h.values[atSubject])
	return head, nil
}

// twoTexts converts two texts with one allocation.
func twoTexts(a, b []byte) (string, string) {
	var room [MaxID + MaxSubject]byte
	both := string(append(append(room[:0], a...), b...))
	return both[:len(a)], both[len(a):]
}

// stamp reads the relay's two headers. Both or neither must be present.
func (h *heading) stamp() Stamp {
	if !h.seen[atRelayID] && !h.seen[atRelaySeq] {
		return Stamp{}
	}
	id, err := ParseUUID(h.values[atRelayID])
	if err != nil || id.IsZero() {
		h.fail(atRelayID, "is not a UUID")
	}
	seq, ok := parsePositive(h.values[atRelaySeq])
	if !ok {
		h.fail(atRelaySeq, "is not a positive decimal number")
	}
	return Stamp{Relay: id, Seq: seq}
}

// parsePositive reads a decimal number of 1 and more, without sign or leading zeros.
func parsePositive(digits []byte) (int64, bool) {
	if len(digits) == 0 || len(digits) > 19 || digits[0] == '0' {
		return 0, false
	}
	var n uint64
	for _, c := range digits {
		if c-'0' > 9 {
			return 0, false
		}
		n = n*10 + uint64(c-'0')
	}
	return int64(n), n <= 1<<63-1
}

// redrive reads the headers of a redriven dead letter. The others require the group.
func (h *heading) redrive(d *Decoder, head *Head) {
	if !h.seen[atRedriveGroup] {
		for _, at := range []int{atRedrivenFrom, atRedriveForce} {
			if h.seen[at] {
				h.fail(at, "requires "+HeaderRedriveGroup)
			}
		}
		return
	}
	head.RedriveGroup = d.intern(h.attribute(atRedriveGroup, maxRedriveGroup))
	head.RedrivenFrom = string(h.attribute(atRedrivenFrom, maxRedriveFrom))
	if force := string(h.values[atRedriveForce]); force == "true" {
		head.RedriveForce = true
	} else if h.seen[atRedriveForce] && force != "false" {
		h.fail(atRedriveForce, "is not true or false")
	}
}

// Headers returns the relay's two headers.
func (s Stamp) Headers() []Header {
	return []Header{
		{HeaderRelayID, []byte(s.Relay.String())},
		{HeaderRelaySeq, strconv.AppendInt(nil, s.Seq, 10)},
	}
}
