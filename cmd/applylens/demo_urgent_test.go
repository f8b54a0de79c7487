package main

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"testing"
)

func TestDemoShowsUrgentMail(t *testing.T) {
	answer := ""
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.String() != "/search?limit=5" {
			t.Errorf("asked for %s", r.URL)
		}
		_, _ = w.Write([]byte(answer))
	}))
	defer server.Close()
	f := func(hits, want string) {
		t.Helper()
		answer = `{"hits":[` + hits + `]}`
		var out bytes.Buffer
		d := &demo{p: &process{stdout: &out}, address: server.URL}
		if err := d.showUrgent(t.Context()); err != nil || out.String() != want {
			t.Errorf("error %v, printed %q, want %q", err, out.String(), want)
		}
	}
	const urgent = `{"subject":"Your visit","ats":{"company":"Acme","stage":"Onsite","ghosting_risk":0.98},"boosts":[{"boost":"ghosting_risk","why":"No answer"},{"boost":"stage","why":"At Onsite"}]}`
	const quiet = `{"subject":"Thank you","ats":{"company":"Beta","stage":"Applied","ghosting_risk":0.1},"boosts":[]}`
	const none = `{"subject":"Dinner?","ats":null,"boosts":[]}`
	f("", "")
	f(quiet+","+none, "")
	f(urgent+","+quiet+","+none, "urgent recruiter mail first:\n  Your visit (Acme, stage Onsite, risk 0.98)\n    No answer\n    At Onsite\n")
}
