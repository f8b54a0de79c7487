package mailimport

import (
	"golang.org/x/text/encoding"
	"golang.org/x/text/encoding/charmap"
	"golang.org/x/text/encoding/japanese"
	"golang.org/x/text/encoding/korean"
	"golang.org/x/text/encoding/simplifiedchinese"
	"golang.org/x/text/encoding/traditionalchinese"
)

// minGuessed is how many non-ASCII bytes a guess needs. Shorter text is read as Western European.
const minGuessed = 20

// guess guesses the character set of text that declares none and is not UTF-8: an East Asian one if nearly all byte pairs
// are in the range of its common characters, a Russian one if the bytes form whole words, and otherwise Windows-1252, the
// most frequent set of such mail. Sets with narrower ranges are tried first.
func guess(raw []byte) encoding.Encoding {
	if countHigh(raw) < minGuessed {
		return charmap.Windows1252
	}
	for _, c := range candidates {
		if c.fits(raw) {
			return c.encoding
		}
	}
	return cyrillic(raw)
}

// candidate describes a character set of one and two bytes by the pairs that most of its texts consist of.
type candidate struct {
	encoding encoding.Encoding
	lead     func(b byte) bool // begins a pair
	common   func(lead, trail byte) bool
	frequent func(lead byte) bool // lead bytes of at least a quarter of the pairs; nil: no condition
}

func within(b byte, low, high byte) bool { return b >= low && b <= high }

var candidates = []candidate{
	{japanese.ShiftJIS,
		func(b byte) bool { return within(b, 0x81, 0x9f) || within(b, 0xe0, 0xfc) },
		func(lead, trail byte) bool { return within(lead, 0x81, 0x83) || within(lead, 0x88, 0x97) },
		func(lead byte) bool { return within(lead, 0x82, 0x83) }},
	{japanese.EUCJP, isHigh,
		func(lead, trail byte) bool {
			return isHigh(trail) && (within(lead, 0xa1, 0xa5) || within(lead, 0xb0, 0xcf))
		},
		func(lead byte) bool { return within(lead, 0xa4, 0xa5) }},
	{korean.EUCKR, isHigh,
		func(lead, trail byte) bool { return isHigh(trail) && (lead == 0xa1 || within(lead, 0xb0, 0xc8)) },
		nil},
	{traditionalchinese.Big5, isHigh,
		func(lead, trail byte) bool { return lead == 0xa1 || within(lead, 0xa4, 0xc6) },
		nil},
	{simplifiedchinese.GB18030, isHigh,
		func(lead, trail byte) bool {
			return isHigh(trail) && (lead == 0xa1 || lead == 0xa3 || within(lead, 0xb0, 0xd7))
		},
		nil},
}

func isHigh(b byte) bool { return b >= 0xa1 }

// fits reports whether nine of ten pairs are common in the set.
func (c candidate) fits(raw []byte) bool {
	pairs, common, frequent := 0, 0, 0
	for i := 0; i < len(raw); i++ {
		if raw[i] < 0x80 {
			continue
		}
		pairs++
		if !c.lead(raw[i]) || i+1 == len(raw) || raw[i+1] < 0x40 {
			continue
		}
		if c.common(raw[i], raw[i+1]) {
			common++
		}
		if c.frequent == nil || c.frequent(raw[i]) {
			frequent++
		}
		i++
	}
	return 10*common >= 9*pairs && 4*frequent >= pairs
}

// cyrillic distinguishes KOI8-R and Windows-1251 by the range of their small letters, if the text consists of such words.
func cyrillic(raw []byte) encoding.Encoding {
	high, runs, koi8, windows := 0, 0, 0, 0
	for i, b := range raw {
		if b < 0x80 {
			continue
		}
		high++
		if i == 0 || raw[i-1] < 0x80 {
			runs++
		}
		if within(b, 0xc0, 0xdf) {
			koi8++
		}
		if b >= 0xe0 {
			windows++
		}
	}
	switch {
	case high < 3*runs: // single letters, as accented ones in Western text
		return charmap.Windows1252
	case 4*koi8 >= 3*high:
		return charmap.KOI8R
	case 4*windows >= 3*high:
		return charmap.Windows1251
	}
	return charmap.Windows1252
}
