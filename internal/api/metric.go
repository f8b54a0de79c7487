package api

import (
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the API's own metrics:
//
//	applylens_api_requests_total{method,route,status}           answered requests; route is the path's pattern, for pages after "page "
//	applylens_api_request_duration_seconds{method,route}        from the first byte to the last of the answer
//	applylens_api_events_total{type}                            events written to the outbox, counted after the commit
//
// and those of the chat, in chatMetrics.
type metrics struct {
	requests *prometheus.CounterVec
	duration *prometheus.HistogramVec
	events   *prometheus.CounterVec
	chat     chatMetrics
}

func newMetrics(registry prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_api_requests_total", Help: "Answered requests.",
		}, []string{"method", "route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "applylens_api_request_duration_seconds", Help: "Time from a request to the end of its answer.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10},
		}, []string{"method", "route"}),
		events: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_api_events_total", Help: "Events written to the outbox, counted after the commit.",
		}, []string{"type"}),
	}
	m.chat = newChatMetrics()
	for _, collector := range append(m.chat.all(), m.requests, m.duration, m.events) {
		if err := registry.Register(collector); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) observe(seen *observation, method string) {
	method = boundedMethod(method)
	m.requests.WithLabelValues(method, seen.route, strconv.Itoa(max(seen.status, http.StatusOK))).Inc()
	m.duration.WithLabelValues(method, seen.route).Observe(time.Since(seen.start).Seconds())
}

// pageRoute is the label of a page, which may have the path of an operation.
func pageRoute(pattern string) string {
	_, path, _ := strings.Cut(pattern, " ")
	return "page " + strings.TrimSuffix(path, "{$}")
}

// boundedMethod keeps methods that clients invent out of the labels.
func boundedMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodDelete:
		return method
	}
	return "other"
}

// observation collects the metrics of one request while it is answered.
type observation struct {
	writer http.ResponseWriter
	start  time.Time
	route  string
	status int // 0 until the answer begins
}

type observationKey struct{}

func (o *observation) Header() http.Header { return o.writer.Header() }

// Unwrap serves http.ResponseController.
func (o *observation) Unwrap() http.ResponseWriter { return o.writer }

func (o *observation) WriteHeader(status int) {
	if o.status == 0 {
		o.status = status
	}
	o.writer.WriteHeader(status)
}

func (o *observation) Write(b []byte) (int, error) {
	if o.status == 0 {
		o.status = http.StatusOK
	}
	return o.writer.Write(b)
}
