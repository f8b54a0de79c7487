package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/retry"
)

// learnedSQL counts the approvals that were learned, by the category: each mail has exactly one.
const learnedSQL = `
SELECT COALESCE(sum(approvals), 0)::bigint FROM weight_counts WHERE feature LIKE 'category:%'`

const (
	approvers    = 100              // users who approve
	warmUp       = 20 * time.Second // not counted: a broker that was just started is still compiling
	readyWithin  = time.Minute
	visibleLimit = "10s"
)

// How soon an approval should be visible, in milliseconds, with PostgreSQL near and 2 ms away.
var (
	visibleTarget = Target{25, 15}
	distantTarget = Target{60, 40}
)

// measureLatency measures approvals on the given connection to PostgreSQL.
func measureLatency(ctx context.Context, s *stage, report *Report) error {
	report.Latency = &Delays{Target: visibleTarget}
	return s.measureApprovals(ctx, report, report.Latency)
}

// measureDistant measures approvals with a longer round trip to PostgreSQL for API, relay and consumer.
func measureDistant(ctx context.Context, s *stage, report *Report) (err error) {
	near, err := roundTrip(ctx, s.postgres.DatabaseURL)
	if err != nil {
		return err
	}
	way, far, err := distant(s.postgres.DatabaseURL, s.cfg.ExtraRTT)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, way.close()) }()
	s.postgres.DatabaseURL = far // of the processes; the pool of the bench keeps its direct connections
	took, err := roundTrip(ctx, far)
	if err != nil {
		return err
	}
	report.Distant = &Delays{Target: distantTarget, ExtraRTT: milliseconds(took - near)}
	return s.measureApprovals(ctx, report, report.Distant)
}

// measureApprovals approves at a steady rate that does not depend on the answers, and waits for each approval to be
// visible. Delays count from the moment at which an approval was due.
func (s *stage) measureApprovals(ctx context.Context, report *Report, result *Delays) error {
	warm := int(s.cfg.Rate * warmUp.Seconds())
	tasks, err := s.prepareApprovals(ctx, warm+int(s.cfg.Rate*float64(s.cfg.LatencySeconds)))
	if err != nil {
		return err
	}
	address, err := freeAddress()
	if err != nil {
		return err
	}
	client := newClient("http://" + address)
	children, err := s.startAll(ctx, [][]string{{"api", "--listen=" + address}, {"relay", "--metrics-listen="}, consume("weights")})
	if err != nil {
		return err
	}
	outcomes, err := client.approveAll(ctx, tasks, s.cfg.Rate, children)
	err = errors.Join(err, stopAll(children))
	if err != nil {
		return fmt.Errorf("latency: %w", err)
	}
	result.take(outcomes[warm:], children)
	s.cfg.Log.Info("measured", "what", "approvals", "extra_rtt_ms", result.ExtraRTT, "visible_p50_ms", result.Visible.P50, "visible_p99_ms", result.Visible.P99)
	return s.checkApprovals(ctx, report, outcomes)
}

// checkApprovals checks that every approval succeeded and was learned. One more was learned while awaiting readiness.
func (s *stage) checkApprovals(ctx context.Context, report *Report, outcomes []outcome) error {
	var failures []error
	for _, o := range outcomes {
		if o.err != nil {
			failures = append(failures, o.err)
		}
	}
	report.expect("approvals", "without success", int64(len(failures)), 0)
	if len(failures) > 0 {
		report.fault("approvals: the first of these: %s", failures[0])
	}
	var learned int64
	if err := s.pool.QueryRow(ctx, learnedSQL).Scan(&learned); err != nil {
		return fmt.Errorf("add up weight_counts: %w", err)
	}
	report.expect("approvals", "approvals in weight_counts", learned, int64(len(outcomes))+1)
	return nil
}

// task is an action that is to be approved.
type task struct {
	action string
	token  string
}

// prepareApprovals creates users and count+1 pending actions; the first action is for awaitReady.
func (s *stage) prepareApprovals(ctx context.Context, count int) ([]task, error) {
	users := auth.NewStore(s.pool)
	tokens := make([]string, approvers)
	for i := range tokens {
		if _, err := users.CreateUser(ctx, auth.User{ID: approver(i)}); err != nil {
			return nil, err
		}
		var err error
		if tokens[i], err = users.CreateToken(ctx, approver(i), auth.Bearer, "bench", time.Time{}); err != nil {
			return nil, err
		}
	}
	tasks := make([]task, count+1)
	rows := make([][]any, len(tasks))
	for i := range tasks {
		id := events.NewUUIDv7(time.Now())
		tasks[i] = task{id.String(), tokens[i%approvers]}
		rows[i] = pendingAction(id, i)
	}
	_, err := s.pool.CopyFrom(ctx, pgx.Identifier{"actions"}, actionColumns, pgx.CopyFromRows(rows))
	if err != nil {
		return nil, fmt.Errorf("add pending actions: %w", err)
	}
	return tasks, s.settle(ctx)
}

func approver(i int) string { return fmt.Sprintf("approver-%d", i%approvers) }

var actionColumns = []string{
	"id", "user_id", "policy_id", "email_id", "action", "confidence", "features", "feature_rule", "mail_category", "mail_sender_domain", "created_at",
}

func pendingAction(id events.UUID, i int) []any {
	mail := events.MailRef{
		ID: fmt.Sprintf("mail-%d", i), Category: "promo", SenderDomain: fmt.Sprintf("sender-%d.example", i%300), Subject: "Our biggest sale",
	}
	return []any{
		[16]byte(id), approver(i), int64(1 + i%12), mail.ID, "archive_email", 0.8, events.Features(mail), events.FeatureRule,
		mail.Category, mail.SenderDomain, time.Now(),
	}
}

// freeAddress returns a loopback address with a port that is free at this moment.
func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", fmt.Errorf("find a free port: %w", err)
	}
	return listener.Addr().String(), listener.Close()
}

// client sends requests to the API.
type client struct {
	http *http.Client
	base string
}

func newClient(base string) *client {
	transport := &http.Transport{MaxIdleConnsPerHost: 1000, DisableCompression: true}
	return &client{&http.Client{Transport: transport, Timeout: 30 * time.Second}, base}
}

// ask sends a request without a body and returns the X-Event-Id of the answer. Any status but 200 is an error.
func (c *client) ask(ctx context.Context, method, path, token string) (event string, err error) {
	request, err := http.NewRequestWithContext(ctx, method, c.base+path, nil)
	if err != nil {
		return "", err
	}
	request.Header.Set("Authorization", "Bearer "+token)
	response, err := c.http.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s answers %d: %s", method, path, response.StatusCode, body)
	}
	return response.Header.Get("X-Event-Id"), nil
}

// outcome is the result of one approval.
type outcome struct {
	answered, visible time.Duration
	err               error
}

// approve approves an action and waits until it is visible in the preferences.
func (c *client) approve(ctx context.Context, t task, due time.Time) (o outcome) {
	event, err := c.ask(ctx, http.MethodPost, "/actions/"+t.action+"/approve", t.token)
	o.answered = time.Since(due)
	if err == nil {
		_, err = c.ask(ctx, http.MethodGet, "/preferences?wait="+url.QueryEscape(event)+"&timeout="+visibleLimit, t.token)
	}
	o.visible, o.err = time.Since(due), err
	return o
}

// approveAll waits until the first task succeeds, then approves the others at the rate.
func (c *client) approveAll(ctx context.Context, tasks []task, rate float64, children []*child) ([]outcome, error) {
	defer c.http.CloseIdleConnections()
	if err := c.awaitReady(ctx, tasks[0], children); err != nil {
		return nil, err
	}
	tasks = tasks[1:]
	outcomes := make([]outcome, len(tasks))
	var running sync.WaitGroup
	defer running.Wait()
	began := time.Now()
	for i := range tasks {
		due := began.Add(time.Duration(float64(i) / rate * float64(time.Second)))
		if err := retry.Wait(ctx, time.Until(due)); err != nil {
			return nil, err
		}
		running.Go(func() { outcomes[i] = c.approve(ctx, tasks[i], due) })
	}
	running.Wait()
	return outcomes, nil
}

// awaitReady approves the first task until that is visible, for which every process must work.
func (c *client) awaitReady(ctx context.Context, first task, children []*child) error {
	const every = 100 * time.Millisecond
	err := retry.Within(ctx, readyWithin, every, every, func(int) error {
		err := c.approve(ctx, first, time.Now()).err
		if err == nil {
			return nil
		}
		for _, child := range children {
			select {
			case <-child.done:
				return retry.Stop(child.failure("it ended too early"))
			default:
			}
		}
		return err
	})
	if err != nil {
		return fmt.Errorf("not ready within %s: %w", readyWithin, err)
	}
	return nil
}

func (d *Delays) take(outcomes []outcome, children []*child) {
	var answered, visible []float64
	for _, o := range outcomes {
		if o.err == nil {
			answered = append(answered, milliseconds(o.answered))
			visible = append(visible, milliseconds(o.visible))
		}
	}
	d.Approvals, d.Answered, d.Visible = len(outcomes), quantiles(answered), quantiles(visible)
	d.PeakMiB = peaks(children)
}

// peaks returns the peak memory of each process by its subcommand.
func peaks(children []*child) map[string]float64 {
	sizes := map[string]float64{}
	for _, c := range children {
		name, _, _ := strings.Cut(c.name, " --")
		sizes[name] = mebibytes(c.peak)
	}
	return sizes
}

func quantiles(values []float64) Quantiles {
	if len(values) == 0 {
		return Quantiles{}
	}
	slices.Sort(values)
	return Quantiles{quantile(values, 0.5), quantile(values, 0.9), quantile(values, 0.99), values[len(values)-1]}
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
