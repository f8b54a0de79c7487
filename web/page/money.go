package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// The bounds of what the pages draw.
const (
	mostMonths     = 24
	mostMerchants  = 10
	panelMerchants = 5
	panelPairs     = 5
)

// apart are the numbers of days that may lie between duplicates.
var apart = []int{1, 7, 30, 90}

// amount is money of a merchant, a month or a currency. It is shown as the API wrote it, and is a float only for a chart.
type amount struct {
	Name  string
	Value json.Number
}

// amounts are in the order of the API's object.
type amounts []amount

// UnmarshalJSON implements json.Unmarshaler.
func (list *amounts) UnmarshalJSON(text []byte) error {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	if _, err := decoder.Token(); err != nil { // {
		return err
	}
	for decoder.More() {
		name, err := decoder.Token()
		if err != nil {
			return err
		}
		one := amount{Name: fmt.Sprint(name)}
		if err := decoder.Decode(&one.Value); err != nil {
			return err
		}
		*list = append(*list, one)
	}
	return nil
}

// Minus tells whether more was refunded than paid.
func (a amount) Minus() bool { return strings.HasPrefix(a.Value.String(), "-") }

func (a amount) size() float64 {
	value, _ := a.Value.Float64() // the API's
	return math.Abs(value)
}

// spending is what the API tells of all receipts.
type spending struct {
	Total      json.Number `json:"total_amount"`
	Count      int         `json:"count"`
	ByMerchant amounts     `json:"by_merchant"`
	ByMonth    amounts     `json:"by_month"`
	Currency   string      `json:"currency"`
	ByCurrency amounts     `json:"by_currency"`
}

// column is a month in a chart of height 40, where months are 10 wide.
type column struct {
	amount
	X, Y, Height float64
}

// Months are the last months with receipts, and those between them.
func (s *spending) Months() []column {
	if len(s.ByMonth) == 0 {
		return nil
	}
	last := s.ByMonth[len(s.ByMonth)-1]
	at, err := time.Parse("2006-01", last.Name)
	first, err2 := time.Parse("2006-01", s.ByMonth[0].Name)
	if err != nil || err2 != nil {
		return nil
	}
	of := map[string]amount{}
	for _, month := range s.ByMonth {
		of[month.Name] = month
	}
	var list []column
	most := 0.0
	for month := at.AddDate(0, 1-mostMonths, 0); !month.After(at); month = month.AddDate(0, 1, 0) {
		name := month.Format("2006-01")
		if month.Before(first) {
			continue
		}
		c := column{amount: amount{name, "0.00"}, X: 10*float64(len(list)) + 1}
		if found, ok := of[name]; ok {
			c.amount = found
		}
		most = max(most, c.size())
		list = append(list, c)
	}
	for i := range list {
		list[i].Height = 40 * list[i].size() / math.Max(most, 1e-9)
		list[i].Y = 40 - list[i].Height
	}
	return list
}

// Latest are the months with receipts, the newest first.
func (s *spending) Latest() amounts {
	list := make(amounts, 0, len(s.ByMonth))
	for i := len(s.ByMonth) - 1; i >= 0; i-- {
		list = append(list, s.ByMonth[i])
	}
	return list
}

// Others are the currencies besides the main one.
func (s *spending) Others() amounts { return s.ByCurrency[min(1, len(s.ByCurrency)):] }

// Largest are the merchants with the most money, with bars.
func (s *spending) Largest() []merchantBar { return s.largest(mostMerchants) }

// Few are the first of them, for the panel.
func (s *spending) Few() []merchantBar { return s.largest(panelMerchants) }

// merchantBar is a merchant with its share of the largest, in per cent.
type merchantBar struct {
	amount
	Width float64
}

func (s *spending) largest(most int) (list []merchantBar) {
	for _, merchant := range s.ByMerchant[:min(len(s.ByMerchant), most)] {
		list = append(list, merchantBar{merchant, 100 * merchant.size() / math.Max(s.ByMerchant[0].size(), 1e-9)})
	}
	for i := range list {
		list[i].Width = min(list[i].Width, 100) // refunds may be larger
	}
	return list
}

// pair are two charges that may be one.
type pair struct {
	Merchant  string      `json:"merchant"`
	Amount    json.Number `json:"amount"`
	Currency  string      `json:"currency"`
	Earlier   charge      `json:"earlier"`
	Later     charge      `json:"later"`
	DaysApart int         `json:"days_apart"`
}

type charge struct {
	ID      string    `json:"id"`
	Date    time.Time `json:"date"`
	Subject string    `json:"subject"`
}

type duplicates struct {
	Pairs []pair `json:"duplicates"`
	Count int    `json:"count"`
}

// Few are the newest, for the panel.
func (d *duplicates) Few() []pair { return d.Pairs[:min(len(d.Pairs), panelPairs)] }

// receipts are some of the receipts.
type receipts struct {
	Receipts []struct {
		EmailID  string      `json:"email_id"`
		Date     time.Time   `json:"date"`
		Merchant string      `json:"merchant"`
		Amount   json.Number `json:"amount"`
		Currency string      `json:"currency"`
		Subject  string      `json:"subject"`
	} `json:"receipts"`
	More bool `json:"more"`
}

// moneyBody is what the page of money shows.
type moneyBody struct {
	Spending          spending
	SpendingProblem   *problem
	Text, Month       string
	From              string // the receipt before the first that is shown
	Receipts          receipts
	ReceiptsProblem   *problem
	Days              int
	Apart             []int
	Duplicates        duplicates
	DuplicatesProblem *problem
}

func money(v *visit) {
	asked := v.r.URL.Query()
	body := &moneyBody{Text: asked.Get("q"), Month: asked.Get("month"), From: asked.Get("before"), Days: 7, Apart: apart}
	if days, err := strconv.Atoi(asked.Get("days")); err == nil {
		body.Days = days
	}
	body.SpendingProblem = v.call(http.MethodGet, "/money/summary", nil, &body.Spending)
	query := url.Values{}
	for name, value := range map[string]string{"q": body.Text, "month": body.Month, "before": body.From} {
		if value != "" {
			query.Set(name, value)
		}
	}
	body.ReceiptsProblem = v.call(http.MethodGet, "/money/receipts?"+query.Encode(), nil, &body.Receipts)
	body.Duplicates, body.DuplicatesProblem = v.duplicates(body.Days)
	v.show("money", "Money", "/money", body, nil)
}

func (v *visit) duplicates(days int) (found duplicates, wrong *problem) {
	wrong = v.call(http.MethodGet, "/money/duplicates?window_days="+strconv.Itoa(days), nil, &found)
	return found, wrong
}

// Narrowed tells whether not all receipts are meant.
func (b *moneyBody) Narrowed() bool { return b.Text != "" || b.Month != "" || b.From != "" }

// Older is the page with the receipts that follow.
func (b *moneyBody) Older() string {
	query := url.Values{"before": {b.Receipts.Receipts[len(b.Receipts.Receipts)-1].EmailID}, "days": {strconv.Itoa(b.Days)}}
	if b.Text != "" {
		query.Set("q", b.Text)
	}
	if b.Month != "" {
		query.Set("month", b.Month)
	}
	return "/money?" + query.Encode() + "#receipts"
}

// MonthPage is the page with the receipts of a month.
func (b *moneyBody) MonthPage(month string) string {
	return "/money?" + url.Values{"month": {month}}.Encode() + "#receipts"
}

// The tools of the assistant's panel.
const (
	toolDuplicates = "duplicates"
	toolSpending   = "spending"
)

// moneyTools is the assistant's panel of money.
type moneyTools struct {
	Tool       string // the one that is open
	Address    string // of the page without a tool
	Spending   spending
	Duplicates duplicates
	Problem    *problem
}

// openTool fills in what a tool of the panel shows.
func (v *visit) openTool(tool, address string) moneyTools {
	panel := moneyTools{Tool: tool, Address: address}
	switch tool {
	case toolDuplicates:
		panel.Duplicates, panel.Problem = v.duplicates(7)
	case toolSpending:
		panel.Problem = v.call(http.MethodGet, "/money/summary", nil, &panel.Spending)
	default:
		panel.Tool = ""
	}
	return panel
}

// Opened is the page with a tool open.
func (m *moneyTools) Opened(tool string) string {
	to, err := url.Parse(m.Address)
	if err != nil {
		return "/?tool=" + tool
	}
	query := to.Query()
	query.Set("tool", tool)
	return "/?" + query.Encode() + "#money-tools"
}

// moneyText is an amount for people without scripts.
func moneyText(value json.Number, currency string) string {
	return strings.Replace(value.String(), "-", "−", 1) + " " + currency
}

// sum is an amount with its currency, as the template "amount" takes it.
type sum struct {
	Value    json.Number
	Currency string
}

func sumOf(value json.Number, currency string) sum { return sum{value, currency} }

// merchantList is what the template "merchants" shows.
type merchantList struct {
	Bars     []merchantBar
	Currency string
}

func merchantsOf(bars []merchantBar, currency string) merchantList {
	return merchantList{bars, currency}
}

func last(months []column) column { return months[len(months)-1] }
