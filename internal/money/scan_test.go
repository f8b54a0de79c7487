package money

import (
	"strings"
	"testing"
)

// found writes the amounts of a text.
func found(text, domain string) string {
	var list []string
	for _, s := range (region{domain, text}).resolveAll(scan(text)) {
		sign := ""
		if s.minus {
			sign = "-"
		}
		list = append(list, sign+s.decimal+" "+s.code)
	}
	return strings.Join(list, ", ")
}

func TestScan(t *testing.T) {
	f := func(text, want string, domain ...string) {
		t.Helper()
		if got := found(text, strings.Join(domain, "")); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	f("", "")
	f("$1,234.56", "1234.56 USD")
	f("USD 99", "99 USD")
	f("99 USD", "99 USD")
	f("USD99 99USD", "99 USD, 99 USD")
	f("€12,50", "12.50 EUR")
	f("£5", "5 GBP")
	f("1.234,56 EUR", "1234.56 EUR")
	f("1.234,56 €", "1234.56 EUR")
	f("CHF 1'234.50", "1234.50 CHF")
	f("CHF 1’234.50", "1234.50 CHF")
	f("₹1,23,456", "123456 INR")
	f("₹ 12,34,567.50", "1234567.50 INR")
	f("JPY 5,000", "5000 JPY")
	f("¥5,000", "5000 JPY")
	f("5,000円", "5000 JPY")
	f("¥58.00 (58元)", "58.00 CNY, 58 CNY")
	f("12,50 €", "12.50 EUR")
	f("12,50\u00a0€", "12.50 EUR")
	f("1\u202f234,56\u00a0€", "1234.56 EUR")
	f("1 234,56 €", "1234.56 EUR")
	f("1 190,00 kr", "1190.00 SEK")
	f("1.050,00 kr. af beløb", "1050.00 DKK")
	f("kr 189,00 takk for kjøpet", "189.00 NOK")
	f("kr 189,00", "189.00 DKK", "shop.dk")
	f("KWD 12.500", "12.500 KWD")
	f("KWD 1,200.500", "1200.500 KWD")
	f("12,500 TND", "12.500 TND")
	f("USD 1.234", "1234 USD")
	f("R$ 1.234,56", "1234.56 BRL")
	f("CA$20.00 C$5 A$30.00 AU$3 US$7 NZ$8 HK$100 S$9 MX$1,849.00 NT$300", "20.00 CAD, 5 CAD, 30.00 AUD, 3 AUD, 7 USD, 8 NZD, 100 HKD, 9 SGD, 1849.00 MXN, 300 TWD")
	f("$84.69 CAD", "84.69 CAD")
	f("Total in CAD: $84.69", "84.69 CAD")
	f("$84.69", "84.69 CAD", "shop.ca")
	f("$84.69", "84.69 AUD", "shop.com.au")
	f("$41.00 USD", "41.00 USD")
	f("£62.50 GBP", "62.50 GBP")
	f("€12.50 EUR", "12.50 EUR")
	f("Rs. 1,500 Rs 20", "1500 INR, 20 INR")
	f("Rs. 1,500", "1500 PKR", "shop.pk")
	f("R 1,234.50", "1234.50 ZAR", "shop.co.za")
	f("R 1,234.50", "")
	f("349,98 zł", "349.98 PLN")
	f("1 234,56 zł", "1234.56 PLN")
	f("249 Kč", "249 CZK")
	f("CHF 49.– 49,- € 50,- kr", "49 CHF, 49 EUR, 50 SEK")
	f("S/ 25.90", "25.90 PEN")
	f("RM 12.90 Rp 50.000", "12.90 MYR, 50000 IDR")
	f("12,50 Euro", "12.50 EUR")
	f("-$41.00", "-41.00 USD")
	f("$-41.00", "-41.00 USD")
	f("-41,00 €", "-41.00 EUR")
	f("Total: \u221241,00 €", "-41.00 EUR")
	f("USD -41.00", "-41.00 USD")
	f("$10-$20", "10 USD, 20 USD")
	f("$10 - $20", "10 USD, 20 USD")
	f("$10–$20", "10 USD, 20 USD")
	f("Total (EUR): 612.45", "612.45 EUR")
	f("TOTAL EUR        43,20", "43.20 EUR")
	f("2 x € 16,90", "16.90 EUR")
	f("Regenpak maat L          1    € 119,95", "119.95 EUR")
	f("Qty 2 € 10,00", "10.00 EUR")
	f("Qty 1 299,00 €", "1299.00 EUR") // nobody can tell
	f("Item 5 €12.00", "12.00 EUR")
	f("5 € 10 €", "5 EUR, 10 EUR")
	f("5€ 10€", "5 EUR, 10 EUR")
	f("$5 $10", "5 USD, 10 USD")
	f("$2.4 billion, $310 million, $10M, $150k, 3 Mrd. €, €2 Mrd", "")
	f("$5/month", "5 USD")
	f("$9.99/mo.", "9.99 USD")
	f("50% off, 2026-11-02, 12.03.2026, 10:02, +1 (888) 555-0142", "")
	f("version 1.2.3 EUR", "")
	f("order 112-0098812-2210011", "")
	f("TRY 30 DAYS, ALL 5 ITEMS, TOP 10", "")
	f("TRY 1.250,00", "1250.00 TRY")
	f("A12 USD B$ 4", "4 BND")
	f("É12 USD", "")
	f("RTX 3080 USB 3", "")
	f("rate 1.08345 EUR", "")
	f("€0.00", "0.00 EUR")
	f("€007", "7 EUR")
	f("$1,23", "1.23 USD")
	f("$12,345,67", "")
	f("$1.234.567", "1234567 USD")
	f("$"+strings.Repeat("9", 30), "")
	f("$1234567890123", "")
	f("38,20 EUR bei 3 Artikeln", "38.20 EUR")
	f("¥4,500 ¥500", "4500 JPY, 500 JPY")
	f("$20.00\n€30", "20.00 USD, 30 EUR")
	f("x=$5", "5 USD")
}

// FuzzScan: amounts lie within the text, in order, and are decimals in a known currency.
func FuzzScan(f *testing.F) {
	for _, seed := range []string{"Total: 1.234,56 EUR", "₹1,23,456 $5 kr. 1 000", "CHF 1’234.50–$3", "\xff$1\xe2\x80", "R$ 5,00- (EUR): 3", "S/ 5 K.D. 4.500"} {
		f.Add(seed, "shop.se")
	}
	f.Fuzz(func(t *testing.T, text, domain string) {
		sums := scan(text)
		end := 0
		for _, s := range sums {
			if s.start < end || s.end <= s.start || s.end > len(text) {
				t.Fatalf("%q: an amount at %d..%d after %d", text, s.start, s.end, end)
			}
			end = s.end
		}
		for _, s := range (region{domain, text}).resolveAll(sums) {
			if _, err := ParseAmount(s.decimal, s.code); err != nil {
				t.Fatalf("%q: %v", text, err)
			}
		}
	})
}
