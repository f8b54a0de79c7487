package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/proposer"
	"github.com/applylens/applylens/internal/relaykey"
	"github.com/applylens/applylens/producers/relay"
	"github.com/applylens/applylens/producers/warehouse"
)

const (
	// serverSQL reads the server's version and clock, whether it accepts writes, and its durability settings.
	serverSQL = `
SELECT current_setting('server_version'), clock_timestamp(),
       pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on',
       array_remove(ARRAY[
           CASE WHEN current_setting('fsync') = 'off' THEN 'fsync' END,
           CASE WHEN current_setting('full_page_writes') = 'off' THEN 'full_page_writes' END,
           CASE WHEN current_setting('synchronous_commit') = 'off' THEN 'synchronous_commit' END], NULL)`

	// migratedSQL reports whether any migration was ever run. Listing pending ones before that would create the table.
	migratedSQL = `SELECT to_regclass('goose_db_version') IS NOT NULL`

	// deadRowsSQL counts events that can never be published.
	deadRowsSQL = `SELECT count(*) FROM outbox WHERE state = 'dead'`

	// acceptedSQL reads the greatest partition count that was accepted for a topic.
	acceptedSQL = `SELECT COALESCE(max(partitions), 0) FROM topic_partitions WHERE cluster_id = $1 AND topic_id = $2`

	// openDeadLettersSQL counts dead letters that are neither redriven nor discarded.
	openDeadLettersSQL = `SELECT count(*), COALESCE(min(created_at), now()) FROM dead_letters WHERE group_name = $1 AND state = 'open'`
)

// patientRelay is how long a row may wait in the outbox while a relay runs.
const patientRelay = time.Minute

// patientProposer is how long a new mail may wait while a proposer runs.
const patientProposer = 5 * time.Minute

// patientWarehouse is the greatest normal age of a warehouse's newest row. Warehouses are loaded at least daily.
const patientWarehouse = 48 * time.Hour

// database checks that PostgreSQL responds, its clock, and that the schema matches this binary. It returns false if the
// other checks of the database cannot run.
func (c *checkup) database(ctx context.Context) bool {
	if err := postgres.Ping(ctx, c.pool); err != nil { // so that the time to connect does not count as clock skew
		c.add(levelFail, "postgres", "check --database-url, that the server is running, and that its disk is not full", "no response: %v", err)
		return false
	}
	var version string
	var clock time.Time
	var readOnly bool
	var unsafe []string
	asked := time.Now()
	if err := c.pool.QueryRow(ctx, serverSQL).Scan(&version, &clock, &readOnly, &unsafe); err != nil {
		c.add(levelFail, "postgres", "check --database-url, that the server is running, and that its disk is not full", "no response: %v", err)
		return false
	}
	c.clock(asked, time.Now(), clock)
	switch {
	case readOnly:
		c.add(levelFail, "postgres", "connect to the primary: add target_session_attrs=read-write to --database-url", "PostgreSQL %s is read-only", version)
	case len(unsafe) > 0:
		c.add(levelWarn, "postgres", "turn them on, unless the data may be lost", "PostgreSQL %s runs with %v off: a crash can lose acknowledged decisions", version, unsafe)
	default:
		c.ok("postgres", "PostgreSQL %s responds and accepts writes", version)
	}
	return c.schema(ctx)
}

// clock compares clocks. PostgreSQL read its clock at some moment between asked and answered.
func (c *checkup) clock(asked, answered, clock time.Time) {
	const todo = "synchronise the clocks of both machines with NTP"
	skew := max(0, asked.Sub(clock), clock.Sub(answered))
	switch {
	case skew >= 5*time.Minute:
		c.add(levelFail, "clocks", todo, "PostgreSQL's clock and this one differ by %s; from 5 minutes on, decisions are rejected as dated in the future", skew.Round(time.Second))
	case skew > tolerableSkew:
		c.add(levelWarn, "clocks", todo, "PostgreSQL's clock and this one differ by %s", skew.Round(time.Millisecond))
	default:
		c.ok("clocks", "PostgreSQL's clock and this one agree within %s", max(skew, answered.Sub(asked)).Round(time.Millisecond))
	}
}

func (c *checkup) schema(ctx context.Context) bool {
	pending := true
	var began bool
	err := c.pool.QueryRow(ctx, migratedSQL).Scan(&began)
	if began {
		pending, err = postgres.Pending(ctx, c.pool)
	}
	switch {
	case err != nil:
		c.add(levelFail, "schema", "", "%v", err)
	case pending:
		c.add(levelFail, "schema", "run: applylens migrate", "the database lacks migrations that this binary needs")
	default:
		c.ok("schema", "up to date")
	}
	return err == nil && !pending
}

// versions compares the fold rules of the live versions with those of this binary.
func (c *checkup) versions(ctx context.Context) bool {
	for _, group := range knownGroups() {
		versions, err := ledger.Versions(ctx, c.pool, group.Name)
		if err != nil {
			c.add(levelFail, "version "+group.Name, "", "%v", err)
			return false
		}
		for _, v := range versions {
			c.version(v, group.FoldVersion)
		}
	}
	return true
}

func (c *checkup) version(v ledger.Version, rule int) {
	check := "version " + v.Group
	switch {
	case v.State == "live" && v.FoldVersion != rule:
		c.add(levelFail, check, fmt.Sprintf("build a version for this binary with: applylens rebuild run %s; or run the matching binary", v.Group),
			"live version %d was folded by rule %d, but this binary folds by rule %d", v.Version, v.FoldVersion, rule)
	case v.State == "live":
		c.ok(check, "live version %d was folded by rule %d, like this binary", v.Version, rule)
	case v.State == "building" && v.FoldVersion != rule:
		c.add(levelWarn, check, fmt.Sprintf("drop it with: applylens rebuild drop %s %d", v.Group, v.Version),
			"unfinished version %d was folded by rule %d, but this binary folds by rule %d", v.Version, v.FoldVersion, rule)
	case v.State == "building" && v.Paused:
		c.add(levelWarn, check, "resume it with: applylens rebuild pace "+v.Group, "the build of version %d is paused", v.Version)
	case v.State == "building":
		c.ok(check, "version %d is being built, %d records so far", v.Version, v.Records)
	}
}

// sources looks for sources that are set aside.
func (c *checkup) sources(ctx context.Context) bool {
	list, err := ledger.AsideNow(ctx, c.pool, "")
	if err != nil {
		c.add(levelFail, "sources", "", "%v", err)
		return false
	}
	for _, a := range list {
		c.add(levelWarn, "source "+a.Group, fmt.Sprintf("when it is mended: applylens sources release %s %s --reason ...", a.Group, a.Source),
			"%s is set aside in %s/%d: %s", a.Source, a.Topic, a.Partition, a.Detail)
	}
	return true
}

// relayKeys checks that the relay's keys survive the loss of the database.
func (c *checkup) relayKeys(ctx context.Context) bool {
	const check, todo = "relay keys", "keep a master secret outside of the database (openssl rand -hex 32), set RELAY_SECRET_FILE for relay and doctor, and run: applylens keys rotate"
	source, err := outbox.Source(ctx, c.pool)
	var keys *relaykey.Keys
	if err == nil {
		keys, err = relaykey.Load(ctx, c.pool, c.secret, source)
	}
	switch {
	case err != nil:
		c.add(levelFail, check, "", "%v", err)
		return false
	case keys.Fault() != nil:
		c.add(levelFail, check, "set the secret of this deployment", "%v", keys.Fault())
	case keys.Current() == nil:
		c.ok(check, "none yet: the relay makes the first one")
	case c.secret == nil && keys.Current().Derived:
		c.add(levelWarn, check, "set RELAY_SECRET_FILE, to have it checked", "key %d derives from a master secret that is not set here", keys.Current().Number)
	case !keys.Current().Derived:
		c.add(levelWarn, check, todo, "key %d is only in the database: records signed after a backup cannot be told from forged ones once it is rotated and the backup restored", keys.Current().Number)
	default:
		c.ok(check, "key %d signs, and derives from the master secret", keys.Current().Number)
	}
	return true
}

// relay checks that decisions reach Kafka.
func (c *checkup) relay(ctx context.Context) bool {
	leads, err := relay.HasLeader(ctx, c.pool)
	if err != nil {
		c.add(levelFail, "relay", "", "%v", err)
		return false
	}
	backlog, err := outbox.ReadBacklog(ctx, c.pool)
	if err != nil {
		c.add(levelFail, "relay", "", "%v", err)
		return false
	}
	age := backlog.Age.Round(time.Millisecond)
	switch {
	case !leads && backlog.Rows > 0:
		c.add(levelFail, "relay", "start one with: applylens relay", "no relay is running; %d events are waiting, the oldest for %s", backlog.Rows, age)
	case !leads:
		c.add(levelWarn, "relay", "start one with: applylens relay", "no relay is running")
	case backlog.Age > patientRelay:
		c.add(levelWarn, "relay", "see the relay's log; Kafka may be rejecting writes", "a relay is the leader, but %d events are waiting, the oldest for %s", backlog.Rows, age)
	default:
		c.ok("relay", "a relay is the leader; %d events are waiting, the oldest for %s", backlog.Rows, age)
	}
	var dead int64
	if err := c.pool.QueryRow(ctx, deadRowsSQL).Scan(&dead); err != nil {
		c.add(levelFail, "outbox", "", "count dead rows: %v", err)
	} else if dead > 0 {
		c.add(levelWarn, "outbox", "see: SELECT id, error FROM outbox WHERE state = 'dead'", "%d events can never be published", dead)
	}
	return true
}

// proposer checks that new mail is put before its owners' policies.
func (c *checkup) proposer(ctx context.Context) bool {
	const check = "proposer"
	leads, err := proposer.HasLeader(ctx, c.pool)
	var waiting actions.WaitingCount
	if err == nil {
		waiting, err = actions.CountWaiting(ctx, c.pool)
	}
	oldest := time.Duration(waiting.Seconds * float64(time.Second)).Round(time.Second)
	switch {
	case err != nil:
		c.add(levelFail, check, "", "%v", err)
		return false
	case !leads:
		c.add(levelWarn, check, "unless it is meant to be so: start \"applylens api\" without --propose=off", "nobody proposes unless asked; %d new mails are waiting", waiting.Mails)
	case oldest > patientProposer:
		c.add(levelWarn, check, "see the log of the process that leads: somebody's policies may not be readable", "%d new mails are waiting, the oldest for %s", waiting.Mails, oldest)
	default:
		c.ok(check, "new mail is put before its owners' policies; %d are waiting", waiting.Mails)
	}
	return true
}

func (c *checkup) deadLetters(ctx context.Context) bool {
	total := int64(0)
	for _, name := range knownGroups().Names() {
		var open int64
		var oldest time.Time
		if err := c.pool.QueryRow(ctx, openDeadLettersSQL, name).Scan(&open, &oldest); err != nil {
			c.add(levelFail, "dead letters", "", "count dead letters: %v", err)
			return false
		}
		total += open
		if open > 0 {
			c.add(levelWarn, "dead letters", "list them with: applylens deadletters list "+name,
				"%d of %s are open, the oldest since %s", open, name, oldest.UTC().Format(time.RFC3339))
		}
	}
	if total == 0 {
		c.ok("dead letters", "none is open")
	}
	return true
}

// warehouse checks the sources of job applications, if there are any.
func (c *checkup) warehouse(ctx context.Context) bool {
	sources, err := warehouse.ReadStatus(ctx, c.pool)
	if err != nil {
		c.add(levelFail, "warehouse", "", "%v", err)
		return false
	}
	for _, s := range sources {
		c.warehouseSource(&s)
	}
	return true
}

func (c *checkup) warehouseSource(s *warehouse.Status) {
	const check = "warehouse"
	switch {
	case s.HeldAt != nil:
		c.add(levelFail, check, s.HeldReason.ToDo()+orForget(s),
			"%s has been held since %s for %s: %s", s.Source, moment(s.HeldAt), s.HeldReason, s.HeldDetail)
	case s.Error != "":
		c.add(levelWarn, check, "a running \"applylens warehouse run\" retries by itself"+orForget(s), "the last sync of %s failed: %s", s.Source, s.Error)
	case s.NewestRow != nil && time.Since(*s.NewestRow) > patientWarehouse:
		c.add(levelWarn, check, "check the connector that loads the warehouse"+orForget(s), "the newest row of %s is from %s", s.Source, moment(s.NewestRow))
	default:
		c.ok(check, "%d applications of %s, synced at %s", s.Applications, s.Source, moment(s.SyncedAt))
	}
}

// orForget is the way to be rid of a source, for one that was only mistyped or is gone.
func orForget(s *warehouse.Status) string {
	return "; if it is no source any more: applylens warehouse forget " + quote(s.Source) + " --reason ..."
}

// partitionCounts checks that no topic has more partitions than were accepted.
func (c *checkup) partitionCounts(ctx context.Context) bool {
	for _, topic := range events.Topics {
		found, err := c.broker.DescribeTopic(ctx, c.broker.Topic(topic))
		if err != nil {
			continue // it was reported with the topics
		}
		var accepted int
		if err := c.pool.QueryRow(ctx, acceptedSQL, found.Cluster, found.ID).Scan(&accepted); err != nil {
			c.add(levelFail, "partitions", "", "read accepted partition counts: %v", err)
			return false
		}
		if accepted != 0 && accepted != found.Partitions {
			c.add(levelFail, "partitions", "accept it with: applylens positions adopt GROUP "+topic+" --reason ...",
				"topic %s has %d partitions instead of %d, so users may have moved to other partitions", topic, found.Partitions, accepted)
		}
	}
	return true
}

// members checks that no other deployment is in our groups.
func (c *checkup) members(ctx context.Context) bool {
	const remedy = "set TOPIC_PREFIX of one of the two to a prefix of its own"
	source, err := outbox.Source(ctx, c.pool)
	if err == nil {
		err = consumers.CheckMembers(ctx, c.broker, knownGroups(), source)
	}
	for _, fault := range each(err) {
		if errors.Is(fault, consumers.ErrStrangers) {
			c.add(levelFail, "members", remedy, "%v", fault)
		} else {
			c.add(levelWarn, "members", "", "%v", fault)
		}
	}
	return err == nil
}

// positions reports the status of the groups, as "applylens lag" shows it.
func (c *checkup) positions(ctx context.Context) {
	report, err := lag.Read(ctx, lag.Config{Projections: projections(), Broker: c.broker, Pool: c.pool, Timeout: c.timeout})
	if err != nil {
		c.add(levelFail, "groups", "", "%v", err)
		return
	}
	for _, note := range report.Notes {
		c.add(levelWarn, "groups", "", "%s", note)
	}
	for i := range report.Groups {
		c.group(&report.Groups[i])
	}
}

func (c *checkup) group(g *lag.Group) {
	check := "group " + g.Name
	if g.Building {
		check += " (building)"
	}
	if g.Status == lag.OK || g.Status == lag.Lagging {
		c.ok(check, "%s; %s", g.Status, behind(&g.Totals))
		return
	}
	level := levelWarn
	if g.Status == lag.Halted || g.Status == lag.Lost {
		level = levelFail
	}
	todo := "see: applylens lag " + g.Name
	if g.Status == lag.Blocked {
		todo += `; "An open transaction" in docs/operate.md tells how to end it`
	}
	c.add(level, check, todo, "%s; %s; %s", g.Status, g.Cause, behind(&g.Totals))
}

// behind describes the totals in words.
func behind(t *lag.Totals) string {
	if t.LagRecords == nil {
		return "lag unknown"
	}
	text := fmt.Sprintf("%d records behind", *t.LagRecords)
	if t.LagSeconds != nil {
		text += fmt.Sprintf(", %.3f seconds", *t.LagSeconds)
	}
	if t.BlockedRecords != nil && *t.BlockedRecords > 0 {
		text += fmt.Sprintf(", and %d records behind an open transaction", *t.BlockedRecords)
	}
	if t.LagRecordsUnknown > 0 {
		text += fmt.Sprintf(", without %d partitions whose lag is unknown", t.LagRecordsUnknown)
	}
	return text
}
