package money

import (
	"strings"

	"github.com/bojanz/currency"
)

// The signs and names of currencies whose meaning depends on the mail.
const (
	dollar  = "$"
	crown   = "kr"
	rupee   = "Rs"
	yen     = "¥"
	rand    = "R"
	unknown = ""
)

// signs are the signs of currencies by their text.
var signs = []struct{ text, code string }{
	{"€", "EUR"}, {"£", "GBP"}, {"￡", "GBP"}, {"$", dollar}, {"＄", dollar}, {"¥", yen}, {"￥", yen}, {"円", "JPY"}, {"元", "CNY"}, {"₹", "INR"}, {"₩", "KRW"}, {"원", "KRW"},
	{"₽", "RUB"}, {"₺", "TRY"}, {"₴", "UAH"}, {"₪", "ILS"}, {"₫", "VND"}, {"฿", "THB"}, {"₱", "PHP"}, {"₦", "NGN"}, {"₵", "GHS"}, {"₸", "KZT"}, {"₼", "AZN"}, {"₾", "GEL"},
}

// dollars are what stands before a dollar sign and tells whose it is.
var dollars = map[string]string{
	"US": "USD", "U.S.": "USD", "CA": "CAD", "C": "CAD", "CDN": "CAD", "Can": "CAD", "A": "AUD", "AU": "AUD", "AUD": "AUD", "NZ": "NZD", "HK": "HKD", "S": "SGD", "SG": "SGD",
	"R": "BRL", "MX": "MXN", "Mex": "MXN", "NT": "TWD", "AR": "ARS", "CL": "CLP", "CO": "COP", "COL": "COP", "USD": "USD", "CAD": "CAD", "NZD": "NZD", "SGD": "SGD", "HKD": "HKD", "MXN": "MXN", "BRL": "BRL",
	"TT": "TTD", "J": "JMD", "B": "BND", "EC": "XCD", "UY": "UYU",
}

// names are the words that stand for a currency, beside its code.
var names = map[string]string{
	"Rs": rupee, "Rs.": rupee, "kr": crown, "kr.": crown, "Kr": crown, "Kr.": crown, "KR": crown, "Fr.": "CHF", "SFr.": "CHF", "sFr.": "CHF", "SFr": "CHF", "Fr": "CHF",
	"zł": "PLN", "ZŁ": "PLN", "Kč": "CZK", "Ft": "HUF", "lei": "RON", "Lei": "RON", "RM": "MYR", "Rp": "IDR", "Rp.": "IDR", "R": rand, "Dhs": "AED", "Dhs.": "AED", "Dh": "AED", "TL": "TRY",
	"euro": "EUR", "Euro": "EUR", "euros": "EUR", "Euros": "EUR", "EURO": "EUR", "EUROS": "EUR", "лв": "BGN", "лв.": "BGN", "руб": "RUB", "руб.": "RUB", "грн": "UAH", "DM": "DEM", "Sfr.": "CHF",
	"KD": "KWD", "K.D.": "KWD", "BD": "BHD", "SR": "SAR", "QR": "QAR", "JD": "JOD", "DT": "TND", "Ksh": "KES", "KSh": "KES", "Kshs": "KES",
}

// words are codes that are also words, often in capitals: they need a number with decimals or groups.
var words = map[string]bool{"ALL": true, "TOP": true, "TRY": true, "CUP": true, "MOP": true, "GEL": true, "BAM": true, "PEN": true, "MAD": true, "SOS": true, "BOB": true, "AMD": true, "COP": true,
	"LAK": true, "ANG": true, "RON": true, "MUR": true, "LSL": true, "SLE": true, "TMT": true, "MDL": true, "SEK": false, "BIF": true, "CAD": false, "XAF": false, "BND": true, "SHP": true, "WST": true, "STN": true, "TOT": true, "MGA": true, "NIO": true, "SAR": true}

// codeOf returns the currency that a word stands for; sure is whether it is meant whatever number stands beside it.
func codeOf(word string) (code string, sure, found bool) {
	if code, named := names[word]; named {
		return code, len(word) > 2 || code == crown || code == rupee || code == "PLN" || code == "CZK", true
	}
	if len(word) == 3 && isUpper(word[0]) && isUpper(word[1]) && isUpper(word[2]) && currency.IsValid(word) {
		return word, !words[word], true
	}
	return unknown, false, false
}

func isUpper(b byte) bool { return b >= 'A' && b <= 'Z' }

// region tells what the ambiguous signs mean in a mail.
type region struct {
	domain string // the sender's, registrable
	text   string
}

// countries are the currencies of the dollar sign by the last label of a domain.
var countries = map[string]string{"ca": "CAD", "au": "AUD", "nz": "NZD", "sg": "SGD", "hk": "HKD", "mx": "MXN", "tw": "TWD", "ar": "ARS", "cl": "CLP", "uy": "UYU", "jm": "JMD", "tt": "TTD", "bb": "BBD"}

// dollarCodes are the dollars that a text may name once for all of its amounts.
var dollarCodes = []string{"CAD", "AUD", "NZD", "SGD", "HKD", "MXN", "TWD", "ARS", "CLP", "COP"}

// resolve returns the code of a sign or name.
func (r region) resolve(sign string) string {
	_, country, _ := cutLast(r.domain, ".")
	switch sign {
	case dollar:
		if code, known := countries[country]; known {
			return code
		}
		if strings.HasSuffix(r.domain, ".com.co") || strings.HasSuffix(r.domain, ".com.br") {
			return map[byte]string{'o': "COP", 'r': "BRL"}[r.domain[len(r.domain)-1]]
		}
		return r.first(dollarCodes, "USD")
	case crown:
		if code, known := map[string]string{"se": "SEK", "no": "NOK", "dk": "DKK", "is": "ISK"}[country]; known {
			return code
		}
		return r.first([]string{"SEK", "NOK", "DKK", "ISK"}, r.nordic())
	case rupee:
		if code, known := map[string]string{"pk": "PKR", "lk": "LKR", "np": "NPR", "mu": "MUR"}[country]; known {
			return code
		}
		return "INR"
	case yen:
		if country == "cn" || strings.Contains(r.text, "元") || strings.Contains(r.text, "CNY") || strings.Contains(r.text, "RMB") {
			return "CNY"
		}
		return "JPY"
	case rand:
		if country == "za" || strings.Contains(r.text, "ZAR") {
			return "ZAR"
		}
		return unknown
	}
	return sign
}

// first returns the first of some codes that the text has as a word, or usual if it has none.
func (r region) first(codes []string, usual string) string {
	for _, code := range codes {
		for rest, at := r.text, 0; ; rest = rest[at+len(code):] {
			if at = strings.Index(rest, code); at < 0 {
				break
			}
			if (at == 0 || !isLetter(rest[at-1])) && (at+3 == len(rest) || !isLetter(rest[at+3])) {
				return code
			}
		}
	}
	return usual
}

// nordic guesses the country of crowns by words that only its language has.
func (r region) nordic() string {
	lower := strings.ToLower(r.text[:min(len(r.text), 4000)])
	for _, guess := range []struct {
		code  string
		words []string
	}{
		{"SEK", []string{" och ", " köp", " är ", "tack", "beställ", "betalning", "att betala", "för "}},
		{"DKK", []string{" køb", "beløb", " af ", "kvittering for", "i alt", "modtaget", "levering", " tak ", "hej "}},
		{"NOK", []string{" kjøp", "beløp", " av ", "takk", "mva", "frakt", "bestilling"}},
	} {
		for _, word := range guess.words {
			if strings.Contains(lower, word) {
				return guess.code
			}
		}
	}
	return "SEK"
}

// cutLast cuts a text at the last separator.
func cutLast(text, separator string) (before, after string, found bool) {
	if i := strings.LastIndex(text, separator); i >= 0 {
		return text[:i], text[i+len(separator):], true
	}
	return text, text, false
}
