package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// meetups returns an mbox with count mails about one organiser's meetups, and some other mail.
func meetups(count int) []byte {
	var mbox bytes.Buffer
	message := func(id, from, subject string, age time.Duration) {
		at := time.Now().UTC().Add(-age)
		fmt.Fprintf(&mbox, "From %s %s\nFrom: %s\nTo: me@home.example\nSubject: %s\nDate: %s\nMessage-ID: <%s>\n\nHello.\n\n",
			from, at.Format(time.ANSIC), from, subject, at.Format(time.RFC1123Z), id)
	}
	for i := range count {
		message(fmt.Sprintf("meetup-%d@gophers.example", i), "hello@gophers.example", fmt.Sprintf("Go meetup number %d", i), time.Duration(i)*time.Minute)
	}
	message("lunch@friends.example", "ann@friends.example", "Lunch?", time.Hour)
	return mbox.Bytes()
}

// client uses a running "up" by HTTP only.
type client struct {
	t   *testing.T
	env map[string]string
}

// ask sends a request with a JSON body and decodes the response into result, unless result is nil. It returns X-Event-Id.
func (c *client) ask(method, path string, body, result any) string {
	c.t.Helper()
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	text, err := json.Marshal(body)
	if err != nil {
		c.t.Fatal(err)
	}
	request, err := http.NewRequestWithContext(ctx, method, c.env["APPLYLENS_URL"]+path, bytes.NewReader(text))
	if err != nil {
		c.t.Fatal(err)
	}
	request.Header.Set("Authorization", "Bearer "+c.env["APPLYLENS_TOKEN"])
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		c.t.Fatal(err)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil || response.StatusCode != http.StatusOK {
		c.t.Fatalf("%s %s: %s %v: %s", method, path, response.Status, err, answer)
	}
	if result != nil {
		if err := json.Unmarshal(answer, result); err != nil {
			c.t.Fatalf("%s %s: %v in %s", method, path, err, answer)
		}
	}
	return response.Header.Get("X-Event-Id")
}

// matching waits until count mails match a condition and returns them. It polls: no event tells when an import is folded.
func (c *client) matching(condition string, count int) []string {
	c.t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		var found struct{ Matches []string }
		c.ask(http.MethodPost, "/policy/test", map[string]any{"condition": json.RawMessage(condition)}, &found)
		if len(found.Matches) == count {
			return found.Matches
		}
		select {
		case <-tick.C:
		case <-deadline:
			c.t.Fatalf("%d mails match %s after a minute, want %d", len(found.Matches), condition, count)
		}
	}
}

type proposal struct {
	ID         string
	PolicyID   int64 `json:"policy_id"`
	Confidence float64
	Explored   bool
}

func (c *client) propose(mails []string) []proposal {
	c.t.Helper()
	var list []proposal
	c.ask(http.MethodPost, "/actions/propose", map[string]any{"email_ids": mails}, &list)
	return list
}

// decide makes the same decision on all proposals and returns when it is folded.
func (c *client) decide(list []proposal, verb string) {
	c.t.Helper()
	event := ""
	for _, p := range list {
		event = c.ask(http.MethodPost, "/actions/"+p.ID+"/"+verb, nil, nil)
	}
	c.ask(http.MethodGet, "/preferences?timeout=20s&wait="+event, nil, nil)
}

// TestSmokeByHTTPAlone checks learning on the whole path, from the API through Kafka to the weights. After two approvals
// of meetups, similar mail is proposed with a higher confidence. After five rejections it is no longer proposed, except
// for about one mail in twenty. Every step waits for the event of the one before. Nothing proposes by itself.
func TestSmokeByHTTPAlone(t *testing.T) {
	const count = 400
	path, dir := binary(t), t.TempDir()
	if err := os.Chmod(filepath.Dir(dir), 0o711); err != nil { // PostgreSQL's user must traverse it
		t.Fatal(err)
	}
	up := startUp(t, path, "--propose=off", "--data-dir", filepath.Join(dir, "data"))
	up.until("ready at", 5*time.Minute)
	c := &client{t, settings(t, filepath.Join(dir, "data"))}
	load := exec.Command(path, "import", "-", "--user", localUser)
	load.Stdin, load.Env = bytes.NewReader(meetups(count)), os.Environ()
	for name, value := range c.env {
		load.Env = append(load.Env, name+"="+value)
	}
	if out, err := load.CombinedOutput(); err != nil {
		t.Fatalf("import: %v: %s", err, out)
	}
	mails := c.matching(`{"all":[{"contains":["subject","meetup"]},{"eq":["sender_domain","gophers.example"]}]}`, count)
	var tray []proposal
	if c.ask(http.MethodGet, "/actions/tray", nil, &tray); len(tray) != 0 {
		t.Errorf("%d proposals with --propose=off, before anybody asked", len(tray))
	}

	first := c.propose(mails[:2])
	if len(first) != 2 {
		t.Fatalf("%d proposals for two meetups", len(first))
	}
	c.decide(first, "approve")
	second := c.propose(mails[2:7])
	if len(second) != 5 {
		t.Fatalf("%d proposals for five more meetups", len(second))
	}
	for _, p := range second {
		if lift := p.Confidence - first[0].Confidence; lift < 0.05 || lift > 0.15 || p.Explored {
			t.Errorf("after two approvals the confidence rose from %v to %v", first[0].Confidence, p.Confidence)
		}
	}
	c.decide(second, "reject")
	rest := c.propose(mails[7:])
	if share := float64(len(rest)) / (count - 7); share < 0.02 || share > 0.09 {
		t.Errorf("after five rejections %d of %d meetups are still proposed, want about one in twenty", len(rest), count-7)
	}
	for _, p := range rest {
		if !p.Explored || p.PolicyID != first[0].PolicyID {
			t.Errorf("after five rejections this is proposed: %+v", p)
		}
	}
	c.checkStats(first[0].PolicyID, int64(7+len(rest)))
	if status := up.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, up.stderr)
	}
}

// checkStats checks the statistics of the policy that fired, including the latest proposals.
func (c *client) checkStats(policy, fired int64) {
	c.t.Helper()
	type counts struct {
		PolicyID                           int64 `json:"policy_id"`
		Fired, Approved, Rejected, Pending int64
	}
	var got []counts
	event := c.ask(http.MethodPost, "/actions/performed", map[string]any{
		"email_id": c.matching(`{"eq":["sender_domain","friends.example"]}`, 1)[0], "action": "archive_email",
	}, nil)
	c.ask(http.MethodGet, "/policy/stats?timeout=20s&wait="+event, nil, &got)
	if want := (counts{policy, fired, 2, 5, fired - 7}); len(got) != 1 || got[0] != want {
		c.t.Errorf("statistics %+v, want %+v", got, want)
	}
}
