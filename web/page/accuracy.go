package page

import (
	"net/http"
	"net/url"
	"strconv"
)

// windows are the numbers of days that the page of accuracy offers.
var windows = []int{7, 30, 90, 365}

// policyStats is what the API tells of a policy's decisions in a window.
type policyStats struct {
	Name          *string  `json:"name"`
	Precision     float64  `json:"precision"`
	PrecisionLow  float64  `json:"precision_low"`
	PrecisionHigh float64  `json:"precision_high"`
	Approved      int64    `json:"approved"`
	Rejected      int64    `json:"rejected"`
	Fired         int64    `json:"fired"`
	Pending       int64    `json:"pending"`
	Recall        *float64 `json:"recall"`
}

// accuracyBody is what the page of accuracy shows.
type accuracyBody struct {
	Policies []policyStats
	Days     int
	Windows  []int
}

func accuracy(v *visit) {
	body := accuracyBody{Days: 30, Windows: windows}
	if days, err := strconv.Atoi(v.r.URL.Query().Get("days")); err == nil {
		body.Days = days
	}
	query := url.Values{"window_days": {strconv.Itoa(body.Days)}}
	wrong := v.call(http.MethodGet, "/policy/stats?"+query.Encode(), nil, &body.Policies)
	if wrong != nil {
		wrong.Detail = "Failed to load policy stats: " + wrong.Detail
	}
	v.show("accuracy", "Accuracy", "/accuracy", body, wrong)
}
