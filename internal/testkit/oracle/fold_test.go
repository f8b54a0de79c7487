package oracle

import (
	"encoding/json"
	"fmt"
	"maps"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kgo"
)

const (
	ours  = "/applylens/00000000-0000-4000-8000-000000000001"
	relay = "00000000-0000-4000-8000-000000000002"
)

var monday = time.Date(2026, 3, 2, 23, 30, 0, 0, time.UTC)

type fields = map[string]any

// script is a log of one partition under construction.
type script struct {
	folder  *folder
	records int64
}

func newScript() *script {
	return &script{folder: &folder{
		trust:      Trust{Source: ours, Relays: map[string]int{relay: 0}},
		expected:   newExpected(),
		partitions: map[string]int{"applylens.actions": 1, "applylens.mail": 1, "applylens.applications": 1},
		effects:    map[effect]string{},
	}}
}

// add folds one record, with headers and payload in addition to the common ones.
func (s *script) add(t *testing.T, topic, kind, id string, payload fields, headers ...string) {
	t.Helper()
	all := fields{"user_id": "ann", "recorded_at": monday}
	maps.Copy(all, payload)
	value, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	key, _ := all["user_id"].(string)
	if system, found := all["system"]; found {
		key = fmt.Sprintf("%v/%v", system, all["application_id"])
	}
	s.raw(t, topic, key, value, append([]string{"ce_type", kind, "ce_id", id, "ce_source", "/elsewhere"}, headers...)...)
}

func (s *script) raw(t *testing.T, topic, key string, value []byte, headers ...string) {
	t.Helper()
	record := &kgo.Record{Topic: topic, Key: []byte(key), Value: value, Offset: s.records}
	for i := 0; i < len(headers); i += 2 {
		record.Headers = append(record.Headers, kgo.RecordHeader{Key: headers[i], Value: []byte(headers[i+1])})
	}
	s.records++
	if err := s.folder.fold(placeOf(record, ""), record); err != nil {
		t.Fatal(err)
	}
}

func action(id string, more fields) fields {
	all := fields{
		"action_id": id, "policy_id": 7, "proposed_at": monday, "decided_at": monday.Add(time.Hour),
		"recorded_at": monday.Add(time.Hour), "features": []string{"category:promo", "listid:x"}, "round": 0,
		"mail": fields{"id": "m"},
	}
	maps.Copy(all, more)
	return all
}

func TestDecisionsAndTheirRepeats(t *testing.T) {
	s := newScript()
	add := func(kind, id string, payload fields, headers ...string) {
		s.add(t, "applylens.actions", kind, id, payload, headers...)
	}
	add("applylens.action.proposed.v1", "p1", action("a1", fields{"recorded_at": monday}))
	add("applylens.action.approved.v1", "d1", action("a1", nil))
	add("applylens.action.approved.v1", "d1 again", action("a1", fields{"recorded_at": monday.Add(90 * time.Minute)})) // the same decision
	add("applylens.action.approved.v1", "d1 other", action("a1", fields{"features": []string{"other"}}))               // conflicts with it
	add("applylens.action.reverted.v1", "r1", action("a1", fields{"decision": "approved"}))
	add("applylens.action.rejected.v1", "d2", action("a1", fields{"round": 1, "recorded_at": monday.Add(2 * time.Hour)}))
	stamp := []string{"ce_source", ours, "applylens_relay_id", relay, "applylens_relay_seq", "1"}
	for range 2 { // published twice
		add("applylens.action.approved.v1", "own", action("a2", nil), stamp...)
	}
	add("com.example.other", "f", nil)
	add("applylens.action.performed.v1", "m1", action("a3", fields{"policies": []int64{7, 8}, "proposed_at": monday.Add(time.Hour)}))

	wantWeight := Weight{Approvals: 1, Rejections: 1, UpdatedAt: monday.Add(2 * time.Hour)}
	if diff := cmp.Diff(map[WeightKey]Weight{
		{"ann", "category:promo"}: wantWeight, {"ann", "listid:x"}: wantWeight,
	}, s.folder.expected.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[DayKey]Day{
		{"ann", 7, "2026-03-02"}: {Fired: 1, Approved: 1, Rejected: 1, UpdatedAt: monday.Add(2 * time.Hour)},
		{"ann", 7, "2026-03-03"}: {Missed: 1, UpdatedAt: monday.Add(time.Hour)},
		{"ann", 8, "2026-03-03"}: {Missed: 1, UpdatedAt: monday.Add(time.Hour)},
	}, s.folder.expected.Days); diff != "" {
		t.Errorf("days (-want +got):\n%s", diff)
	}
	conflict := map[Place]string{{Partition{"applylens.actions", 0}, 3}: "conflict"}
	if diff := cmp.Diff(map[string]map[Place]string{Weights: conflict, PolicyStats: conflict, Mailbox: {}, Enrichment: {}}, s.folder.expected.DeadLetters); diff != "" {
		t.Errorf("dead letters (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{Weights: 2, PolicyStats: 2}, s.folder.expected.Repeats); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
}

func TestPreferencesAndErasure(t *testing.T) {
	s := newScript()
	add := func(kind, id string, payload fields) { s.add(t, "applylens.actions", kind, id, payload) }
	add("applylens.action.approved.v1", "1", action("a1", nil))
	add("applylens.preference.changed.v1", "2", fields{"op": "forget", "feature": "listid:x"})
	add("applylens.preference.changed.v1", "3", fields{"op": "pin", "feature": "category:promo", "weight": -2.5})
	add("applylens.action.approved.v1", "4", action("a2", fields{"user_id": "bob"}))
	add("applylens.preference.changed.v1", "5", fields{"op": "reset", "user_id": "bob"})
	add("applylens.action.approved.v1", "6", action("a3", fields{"user_id": "eve"}))
	add("applylens.user.erased.v1", "7", fields{"user_id": "eve"})
	pin := -2.5
	if diff := cmp.Diff(map[WeightKey]Weight{
		{"ann", "category:promo"}: {Approvals: 1, Pinned: &pin, UpdatedAt: monday.Add(time.Hour)},
	}, s.folder.expected.Weights); diff != "" {
		t.Errorf("weights (-want +got):\n%s", diff)
	}
	if _, found := s.folder.expected.Days[DayKey{"eve", 7, "2026-03-02"}]; found {
		t.Error("an erased user has statistics")
	}
}

func TestMailsAndApplications(t *testing.T) {
	s := newScript()
	for _, subject := range []string{"first", "second", "second"} {
		s.add(t, "applylens.mail", "applylens.mail.received.v1", subject, fields{"message_id": "m@x", "subject": subject, "received_at": monday})
	}
	application := func(kind string, version int64, stage string) {
		s.add(t, "applylens.applications", kind, stage, fields{"system": "lever", "application_id": "1", "stage": stage, "src_version": version})
	}
	application("applylens.application.changed.v1", 3, "Offer")
	application("applylens.application.changed.v1", 2, "Screen")
	if diff := cmp.Diff(map[ApplicationKey]Application{{"lever", "1"}: {Stage: "Offer", SrcVersion: 3}}, s.folder.expected.Applications); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	application("applylens.application.removed.v1", 4, "")
	if diff := cmp.Diff(map[ApplicationKey]Application{{"lever", "1"}: {SrcVersion: 4, Removed: true}}, s.folder.expected.Applications); diff != "" {
		t.Errorf("applications (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[MailKey]Mail{{"ann", "m@x", ""}: {Subject: "second", ReceivedAt: monday}}, s.folder.expected.Mails); diff != "" {
		t.Errorf("mails (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(map[string]int64{Mailbox: 1, Enrichment: 1}, s.folder.expected.Repeats); diff != "" {
		t.Errorf("repeats (-want +got):\n%s", diff)
	}
}

func TestRefusals(t *testing.T) {
	good, _ := json.Marshal(action("a1", fields{"user_id": "ann"}))
	late, _ := json.Marshal(action("a1", fields{"user_id": "ann", "decided_at": monday.Add(2 * time.Hour)}))
	stamp := []string{"applylens_relay_id", relay, "applylens_relay_seq", "1"}
	tests := []struct {
		reason  string
		key     string
		value   []byte
		headers []string
	}{
		{"", "ann", good, []string{"ce_source", "/elsewhere"}},
		{"malformed", "ann", []byte("{"), []string{"ce_source", "/elsewhere"}},
		{"schema", "ann", []byte("{}"), []string{"ce_source", "/elsewhere"}},
		{"key", "bob", good, []string{"ce_source", "/elsewhere"}},
		{"bad_time", "ann", late, []string{"ce_source", "/elsewhere"}},
		{"source", "ann", good, []string{"ce_source", ours}},
		{"source", "ann", good, append([]string{"ce_source", "/elsewhere"}, stamp...)},
		{"", "ann", good, append([]string{"ce_source", ours}, stamp...)},
	}
	for _, test := range tests {
		s := newScript()
		s.raw(t, "applylens.actions", test.key, test.value, append([]string{"ce_type", "applylens.action.approved.v1", "ce_id", "1"}, test.headers...)...)
		if got := s.folder.expected.DeadLetters[Weights][Place{Partition{"applylens.actions", 0}, 0}]; got != test.reason {
			t.Errorf("%s %s: refused for %q, want %q", test.value, test.headers, got, test.reason)
		}
	}
}

func TestFeaturesOfForeignMail(t *testing.T) {
	got := features(mailRef{Category: "promo", SenderDomain: "x.com", ListID: "l", Subject: "Salesforce: border order, 2 DEALS!"})
	want := []string{"category:promo", "sender_domain:x.com", "listid:l", "contains:deal", "contains:order"}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

// TestIndependence checks that the oracle shares no code with the product.
func TestIndependence(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	for _, dep := range strings.Fields(string(out)) {
		if strings.HasPrefix(dep, "github.com/applylens/") && !strings.HasSuffix(dep, "/oracle") {
			t.Errorf("imports %s", dep)
		}
	}
}
