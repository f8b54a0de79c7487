package events

import (
	"bytes"
	"math"
	"slices"
	"strconv"
)

// number reads a number literal; integral reports that it has neither fraction nor exponent.
func (s *scanner) number() (literal []byte, integral bool) {
	c := s.peek()
	if c != '-' && (c < '0' || c > '9') {
		s.want("a number")
		return nil, false
	}
	start := s.at
	if c == '-' {
		s.at++
	}
	if s.at < len(s.data) && s.data[s.at] == '0' {
		s.at++
	} else {
		s.digits()
	}
	integral = true
	if s.at < len(s.data) && s.data[s.at] == '.' {
		integral = false
		s.at++
		s.digits()
	}
	if s.at < len(s.data) && s.data[s.at]|0x20 == 'e' {
		integral = false
		s.at++
		if s.at < len(s.data) && (s.data[s.at] == '+' || s.data[s.at] == '-') {
			s.at++
		}
		s.digits()
	}
	if s.err != nil {
		return nil, false
	}
	return s.data[start:s.at], integral
}

// digits reads at least one digit.
func (s *scanner) digits() {
	start := s.at
	for s.at < len(s.data) && s.data[s.at]-'0' <= 9 {
		s.at++
	}
	if s.at == start {
		s.malformed("no digit")
	}
}

// tens are the powers of ten by which decimal divides: those within the 53 bits that a float64 holds exactly.
var tens = [16]float64{1, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15}

// decimal reads a literal of at most 15 digits without sign and exponent, such as 0.82. It divides two exact numbers,
// which rounds once, so the result equals that of strconv.ParseFloat.
func decimal(literal []byte) (x float64, ok bool) {
	if len(literal) > 16 {
		return 0, false
	}
	var digits int64
	scale := 0
	for i, c := range literal {
		switch {
		case c == '.':
			scale = len(literal) - 1 - i
		case c-'0' > 9:
			return 0, false
		default:
			digits = digits*10 + int64(c-'0')
		}
	}
	return float64(digits) / tens[scale], digits < 1e15
}

func (s *scanner) float() float64 {
	literal, _ := s.number()
	if literal == nil {
		return 0
	}
	if x, ok := decimal(literal); ok {
		return x
	}
	f, err := strconv.ParseFloat(string(literal), 64)
	if err != nil {
		s.fail(ReasonSchema, "is out of range")
	}
	return f
}

// integer reads a number without a fractional part. 1.0 and 1e2 are integers, as in JSON Schema.
func (s *scanner) integer() int64 {
	literal, integral := s.number()
	if literal == nil {
		return 0
	}
	if !integral {
		if literal = expand(literal); literal == nil {
			s.fail(ReasonSchema, "is not an integer within 64 bits")
			return 0
		}
	}
	if len(literal) < 19 && literal[0] != '-' {
		var n int64
		for _, c := range literal {
			n = n*10 + int64(c-'0')
		}
		return n
	}
	n, err := strconv.ParseInt(string(literal), 10, 64)
	if err != nil {
		s.fail(ReasonSchema, "is not an integer within 64 bits")
	}
	return n
}

// expand writes a literal with fraction or exponent as plain digits; nil if it is not an integer or too long.
func expand(literal []byte) []byte {
	const most = 19 // digits of the greatest int64
	mantissa, exponent := literal, 0
	if i := bytes.IndexAny(literal, "eE"); i >= 0 {
		mantissa = literal[:i]
		exponent, _ = strconv.Atoi(string(literal[i+1:])) // clamped to the range of int
		exponent = min(max(exponent, math.MinInt32), math.MaxInt32)
	}
	whole, negative := bytes.CutPrefix(mantissa, []byte("-"))
	whole, fraction, _ := bytes.Cut(whole, []byte("."))
	digits := bytes.TrimLeft(slices.Concat(whole, fraction), "0")
	significant := bytes.TrimRight(digits, "0")
	zeros := exponent - len(fraction) + len(digits) - len(significant)
	switch {
	case len(significant) == 0:
		return []byte("0")
	case zeros < 0 || len(significant)+zeros > most:
		return nil
	}
	plain := append(significant, bytes.Repeat([]byte("0"), zeros)...)
	if negative {
		plain = slices.Insert(plain, 0, '-')
	}
	return plain
}
