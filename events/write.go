package events

import (
	"strconv"
	"time"
)

// writer appends JSON in a fixed form: members in the order of the calls, no white space, times in UTC.
type writer struct{ b []byte }

// separate writes a comma unless the next value is the first of its object or array.
func (w *writer) separate() {
	if last := w.b[len(w.b)-1]; last != '{' && last != '[' {
		w.b = append(w.b, ',')
	}
}

func (w *writer) open()  { w.b = append(w.b, '{') }
func (w *writer) close() { w.b = append(w.b, '}') }

func (w *writer) name(f field) {
	w.separate()
	w.b = append(w.b, '"')
	w.b = append(w.b, fieldNames[f]...)
	w.b = append(w.b, '"', ':')
}

func (w *writer) text(f field, text string) {
	w.name(f)
	w.b = appendText(w.b, text)
}

// textIf writes a text unless it is empty. The other methods named If also omit zero values.
func (w *writer) textIf(f field, text string) {
	if text != "" {
		w.text(f, text)
	}
}

func (w *writer) texts(f field, list []string) {
	w.name(f)
	w.b = append(w.b, '[')
	for _, text := range list {
		w.separate()
		w.b = appendText(w.b, text)
	}
	w.b = append(w.b, ']')
}

func (w *writer) textsIf(f field, list []string) {
	if len(list) > 0 {
		w.texts(f, list)
	}
}

func (w *writer) uuid(f field, u UUID) {
	w.name(f)
	w.b = append(w.b, '"')
	w.b, _ = u.AppendText(w.b)
	w.b = append(w.b, '"')
}

func (w *writer) integer(f field, n int64) {
	w.name(f)
	w.b = strconv.AppendInt(w.b, n, 10)
}

func (w *writer) integersIf(f field, list []int64) {
	if len(list) == 0 {
		return
	}
	w.name(f)
	w.b = append(w.b, '[')
	for _, n := range list {
		w.separate()
		w.b = strconv.AppendInt(w.b, n, 10)
	}
	w.b = append(w.b, ']')
}

// float writes the shortest form that parses to the same number; negative zero becomes zero.
func (w *writer) float(f field, x float64) {
	w.name(f)
	if x == 0 {
		x = 0
	}
	w.b = strconv.AppendFloat(w.b, x, 'g', -1, 64)
}

func (w *writer) boolean(f field, v bool) {
	w.name(f)
	w.b = strconv.AppendBool(w.b, v)
}

func (w *writer) booleanIf(f field, v bool) {
	if v {
		w.boolean(f, v)
	}
}

func (w *writer) time(f field, t time.Time) {
	w.name(f)
	w.b = append(w.b, '"')
	w.b = t.UTC().AppendFormat(w.b, time.RFC3339Nano)
	w.b = append(w.b, '"')
}

func (w *writer) timeIf(f field, t time.Time) {
	if !t.IsZero() {
		w.time(f, t)
	}
}

// appendText appends text as a JSON string, with the minimal escaping.
func appendText(b []byte, text string) []byte {
	const digits = "0123456789abcdef"
	b = append(b, '"')
	start := 0
	for i := 0; i < len(text); i++ {
		c := text[i]
		if c >= ' ' && c != '"' && c != '\\' {
			continue
		}
		b = append(b, text[start:i]...)
		start = i + 1
		switch c {
		case '"', '\\':
			b = append(b, '\\', c)
		case '\n':
			b = append(b, '\\', 'n')
		case '\r':
			b = append(b, '\\', 'r')
		case '\t':
			b = append(b, '\\', 't')
		case '\b':
			b = append(b, '\\', 'b')
		case '\f':
			b = append(b, '\\', 'f')
		default:
			b = append(b, '\\', 'u', '0', '0', digits[c>>4], digits[c&15])
		}
	}
	b = append(b, text[start:]...)
	return append(b, '"')
}
