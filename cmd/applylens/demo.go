package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/retry"
	"github.com/applylens/applylens/internal/sample"
	"github.com/applylens/applylens/producers/mailimport"
)

// demo acts as the owner of the sample mail. All its decisions go through the HTTP API.
type demo struct {
	p       *process
	links   *links
	address string
	token   string
}

// play imports the sample, lets the policies propose, and decides some of what they propose.
func (d *demo) play(ctx context.Context) error {
	began := time.Now()
	imported, err := mailimport.Run(ctx, d.links.broker, mailimport.Config{
		Paths: []string{mailimport.Stdin}, Stdin: sample.Recent(began), UserID: demoUser, Addresses: []string{sample.Owner}, Now: time.Now, Log: d.p.log,
	})
	if err != nil {
		return err
	}
	if _, err := d.caughtUp(ctx); err != nil {
		return err
	}
	d.say("imported %d messages of sample mail through Kafka in %s", imported.Imported, time.Since(began).Round(10*time.Millisecond))
	if err := d.learnMeetups(ctx); err != nil {
		return err
	}
	if err := d.decideSome(ctx); err != nil {
		return err
	}
	return d.syncWarehouse(ctx)
}

// meetupMailsSQL selects the meetups of one organiser: a decision changes the confidence of similar mail.
const meetupMailsSQL = `
WITH meetups AS (
	SELECT id, sender_domain, received_at FROM live_mails
	WHERE user_id = $1 AND subject ~* '\mmeetups?\M' AND category = 'event')
SELECT id::text FROM meetups
WHERE sender_domain = (SELECT sender_domain FROM meetups GROUP BY sender_domain ORDER BY count(*) DESC, sender_domain LIMIT 1)
ORDER BY received_at, id LIMIT 20`

// learnMeetups demonstrates learning: approving some proposals raises the confidence of similar ones.
func (d *demo) learnMeetups(ctx context.Context) error {
	rows, err := d.links.pool.Query(ctx, meetupMailsSQL, demoUser)
	if err != nil {
		return err
	}
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if err := rows.Err(); err != nil {
		return err
	}
	if len(ids) < 4 {
		return fmt.Errorf("the sample mail has only %d meetups, too few for the demonstration", len(ids))
	}
	first, err := d.propose(ctx, map[string]any{"email_ids": ids[:2]})
	if err != nil {
		return err
	}
	if len(first) < 2 {
		return fmt.Errorf("%d proposals for two meetups", len(first))
	}
	event := ""
	for _, action := range first {
		if event, err = d.decide(ctx, action.ID, "approve"); err != nil {
			return err
		}
	}
	if err := d.call(ctx, http.MethodGet, "/preferences?timeout=10s&wait="+event, nil, nil); err != nil {
		return err
	}
	second, err := d.propose(ctx, map[string]any{"email_ids": ids[2:]})
	if err != nil {
		return err
	}
	if len(second) == 0 {
		return errors.New("no proposal for the other meetups")
	}
	d.say("two meetups were approved: the confidence of the next one rose from %.2f to %.2f (+%.2f), because %s",
		first[0].Confidence, second[0].Confidence, second[0].Confidence-first[0].Confidence, second[0].because())
	return nil
}

// decideSome approves and rejects proposals in the tray, like somebody who likes some policies more than others.
func (d *demo) decideSome(ctx context.Context) error {
	proposed, err := d.propose(ctx, map[string]any{"limit": 1000})
	if err != nil {
		return err
	}
	approved, rejected, event := 0, 0, ""
	for i, action := range proposed {
		verdict := ""
		switch {
		case i%3 == 0 && action.Action != "unsubscribe_via_header":
			verdict = "approve"
			approved++
		case i%7 == 1:
			verdict = "reject"
			rejected++
		default:
			continue
		}
		if event, err = d.decide(ctx, action.ID, verdict); err != nil {
			return err
		}
		if approved+rejected == 150 {
			break
		}
	}
	d.say("policies proposed %d actions; %d were approved and %d rejected, the rest is pending in the tray", len(proposed), approved, rejected)
	if event == "" {
		return nil
	}
	return d.call(ctx, http.MethodGet, "/policy/stats?timeout=10s&wait="+event, nil, nil)
}

// show prints what was learned and counted.
func (d *demo) show(ctx context.Context) error {
	var preferences struct {
		Liked, Disliked []struct {
			Feature    string  `json:"feature"`
			Weight     float64 `json:"weight"`
			Approvals  int64   `json:"approvals"`
			Rejections int64   `json:"rejections"`
		}
	}
	if err := d.call(ctx, http.MethodGet, "/preferences?limit=5", nil, &preferences); err != nil {
		return err
	}
	d.say("learned weights, strongest first:")
	for _, w := range append(preferences.Liked, preferences.Disliked...) {
		d.say("  %+5.1f  %-40s %d approved, %d rejected", w.Weight, w.Feature, w.Approvals, w.Rejections)
	}
	var stats []struct {
		Name      *string `json:"name"`
		Fired     int64   `json:"fired"`
		Approved  int64   `json:"approved"`
		Rejected  int64   `json:"rejected"`
		Precision float64 `json:"precision"`
	}
	if err := d.call(ctx, http.MethodGet, "/policy/stats", nil, &stats); err != nil {
		return err
	}
	d.say("policies, last 30 days:")
	for _, s := range stats {
		name := "(deleted)"
		if s.Name != nil {
			name = *s.Name
		}
		d.say("  %-40s fired %d, approved %d, rejected %d, precision %.3f", name, s.Fired, s.Approved, s.Rejected, s.Precision)
	}
	if err := d.showLag(ctx); err != nil {
		return err
	}
	return d.showUrgent(ctx)
}

// showLag waits until everything is folded and prints the lag.
func (d *demo) showLag(ctx context.Context) error {
	groups, err := d.caughtUp(ctx)
	if err == nil {
		d.say("lag: 0 records and 0 seconds in all %d groups", groups)
	}
	return err
}

// foldedEvery is how often at most the demonstration looks whether everything is folded.
const foldedEvery = 200 * time.Millisecond

// errBehind tells that a group has not caught up with the log yet.
var errBehind = errors.New("a group is behind the log")

// caughtUp waits until all groups have caught up with the log, and returns the number of groups.
func (d *demo) caughtUp(ctx context.Context) (groups int, err error) {
	err = retry.Until(ctx, foldedEvery, foldedEvery, func(int) error {
		report, err := lag.Read(ctx, lag.Config{Projections: projections(), Broker: d.links.broker, Pool: d.links.pool})
		if err != nil {
			return retry.Stop(err)
		}
		if slices.ContainsFunc(report.Groups, func(g lag.Group) bool { return g.Status != lag.OK }) {
			return errBehind
		}
		groups = len(report.Groups)
		return nil
	})
	return groups, err
}

type shownAction struct {
	ID         string  `json:"id"`
	Action     string  `json:"action"`
	Confidence float64 `json:"confidence"`
	Rationale  struct {
		Contributions []struct {
			Feature string  `json:"feature"`
			Weight  float64 `json:"weight"`
		} `json:"contributions"`
	} `json:"rationale"`
}

// because lists the features that moved the confidence.
func (a *shownAction) because() string {
	var parts []string
	for _, c := range a.Rationale.Contributions {
		if c.Weight != 0 {
			parts = append(parts, fmt.Sprintf("%s has the weight %+.1f", c.Feature, c.Weight))
		}
	}
	return strings.Join(parts, ", ")
}

func (d *demo) propose(ctx context.Context, body map[string]any) ([]shownAction, error) {
	var actions []shownAction
	err := d.call(ctx, http.MethodPost, "/actions/propose", body, &actions)
	return actions, err
}

// decide decides on an action and returns the id of the decision's event.
func (d *demo) decide(ctx context.Context, id, verdict string) (string, error) {
	response, err := d.request(ctx, http.MethodPost, "/actions/"+id+"/"+verdict, nil)
	if err != nil {
		return "", err
	}
	return response.Header.Get("X-Event-Id"), response.Body.Close()
}

// call sends a request and decodes the JSON of the response into result, unless result is nil.
func (d *demo) call(ctx context.Context, method, path string, body, result any) error {
	response, err := d.request(ctx, method, path, body)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if result == nil {
		return nil
	}
	return json.NewDecoder(response.Body).Decode(result)
}

func (d *demo) request(ctx context.Context, method, path string, body any) (*http.Response, error) {
	var reader io.Reader
	if body != nil {
		text, err := json.Marshal(body)
		if err != nil {
			return nil, err
		}
		reader = bytes.NewReader(text)
	}
	request, err := http.NewRequestWithContext(ctx, method, d.address+path, reader)
	if err != nil {
		return nil, err
	}
	request.Header.Set("Authorization", "Bearer "+d.token)
	if body != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	if response.StatusCode >= 300 {
		text, _ := io.ReadAll(io.LimitReader(response.Body, 2000))
		response.Body.Close()
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, text)
	}
	return response, nil
}

func (d *demo) say(format string, args ...any) {
	fmt.Fprintln(d.p.stdout, printable.Text(fmt.Sprintf(format, args...)))
}
