package api

import "github.com/prometheus/client_golang/prometheus"

// chatMetrics are those of the chat:
//
//	applylens_chat_open_streams                      streams under way
//	applylens_chat_streams_total{intent,outcome}     ended streams: done, failed, gone or signed_out
//	applylens_chat_model_requests_total{outcome}     requests to the language model: answered, unsupported, slow, failed or over_budget
//	applylens_chat_model_claims_total{outcome}       sentences of the model: kept, uncited or unsupported
type chatMetrics struct {
	open     prometheus.Gauge
	streams  *prometheus.CounterVec
	requests *prometheus.CounterVec
	claims   *prometheus.CounterVec
}

func newChatMetrics() chatMetrics {
	return chatMetrics{
		open: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "applylens_chat_open_streams", Help: "Streams of the chat that are under way.",
		}),
		streams: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_chat_streams_total", Help: "Streams of the chat that have ended, by intent and outcome.",
		}, []string{"intent", "outcome"}),
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_chat_model_requests_total", Help: "Requests to the language model, by outcome.",
		}, []string{"outcome"}),
		claims: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "applylens_chat_model_claims_total", Help: "Sentences of the language model, by what became of them.",
		}, []string{"outcome"}),
	}
}

func (m *chatMetrics) all() []prometheus.Collector {
	return []prometheus.Collector{m.open, m.streams, m.requests, m.claims}
}
