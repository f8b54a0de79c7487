package lag

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/kafkalog"
)

// Projection is a group to look at.
type Projection struct {
	Name  string // short
	Topic string // without the deployment's prefix
}

// Config tells where to look.
type Config struct {
	Broker      *broker.Conn
	Pool        *pgxpool.Pool
	Projections []Projection // all groups, in the order in which reports show them
	Groups      []string     // short names of those to look at. Default: all of Projections.

	Timeout  time.Duration    // Default: 5 s. How long to wait for each of the servers before it counts as away.
	Interval time.Duration    // Default: 5 s. The time between two looks of a Monitor.
	Looks    int              // Default: 6. How many looks a Monitor judges by.
	Now      func() time.Time // Default: time.Now.
}

// Validate lists every fault and fills in the defaults.
func (c *Config) Validate() error {
	var faults []error
	if c.Broker == nil || c.Pool == nil || len(c.Projections) == 0 {
		faults = append(faults, errors.New("lag: Broker, Pool and Projections are required"))
	}
	var names []string
	for _, p := range c.Projections {
		names = append(names, p.Name)
	}
	if len(c.Groups) == 0 {
		c.Groups = names
	}
	for _, name := range c.Groups {
		if !slices.Contains(names, name) {
			faults = append(faults, fmt.Errorf("there is no group %q: take some of %s", name, strings.Join(names, ", ")))
		}
	}
	if c.Timeout <= 0 {
		c.Timeout = 5 * time.Second
	}
	if c.Interval <= 0 {
		c.Interval = 5 * time.Second
	}
	if c.Looks <= 0 {
		c.Looks = 6
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return errors.Join(faults...)
}

// projections are those to look at.
func (c *Config) projections() []Projection {
	var wanted []Projection
	for _, p := range c.Projections {
		if slices.Contains(c.Groups, p.Name) {
			wanted = append(wanted, p)
		}
	}
	return wanted
}

// Read takes one look. Without a window it cannot tell a partition that stands still from one that is behind: both
// are LAGGING. A server that is away leaves nulls and a note; only when both are, there is an error beside the report.
func Read(ctx context.Context, cfg Config) (*Report, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return read(ctx, &cfg, &history{looks: 1})
}

// read takes one look and judges it by the looks before it.
func read(ctx context.Context, cfg *Config, past *history) (*Report, error) {
	seen, err := look(ctx, cfg)
	report := &Report{At: seen.at, Groups: seen.groups(), Notes: seen.notes()}
	if seen.kafka != nil {
		readAges(ctx, cfg, report)
	}
	past.add(report)
	for i := range report.Groups {
		group := &report.Groups[i]
		seen.judge(group, past)
		group.Totals = past.totals(group)
	}
	return report, err
}

// sight is what both servers said at one look.
type sight struct {
	at          time.Time
	wanted      []Projection
	kafka       *kafkaView // nil when away
	kafkaErr    error
	rows        []positionRow
	positions   bool // whether PostgreSQL answered
	databaseErr error
}

// look asks in an order that makes no race look like a fault: starts before positions, so that what was read in time
// never counts as lost; the mirror before the positions that it must not run ahead of; ends after them, so that no
// position is above its end.
func look(ctx context.Context, cfg *Config) (*sight, error) {
	s := &sight{wanted: cfg.projections()}
	s.kafkaErr = within(ctx, cfg.Timeout, func(ctx context.Context) (err error) {
		s.kafka, err = askKafka(ctx, cfg.Broker, s.wanted)
		return err
	})
	s.databaseErr = within(ctx, cfg.Timeout, func(ctx context.Context) (err error) {
		s.rows, err = readPositions(ctx, cfg.Pool, cfg.Groups)
		return err
	})
	s.positions = s.databaseErr == nil
	if s.kafka != nil {
		s.kafkaErr = within(ctx, cfg.Timeout, func(ctx context.Context) error {
			return s.kafka.askEnds(ctx, cfg.Broker, s.wanted, cfg.Timeout)
		})
	}
	if s.kafkaErr != nil {
		s.kafka = nil
	}
	s.at = cfg.Now()
	if s.kafka == nil && !s.positions {
		return s, errors.Join(s.kafkaErr, s.databaseErr)
	}
	return s, nil
}

func within(ctx context.Context, timeout time.Duration, f func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return f(ctx)
}

// recordID is the offset of one record.
type recordID struct {
	topic     string
	partition int
	offset    int64
}

// readAges fills in LagSeconds. Several groups at the same record cost one fetch.
func readAges(ctx context.Context, cfg *Config, report *Report) {
	waiting := map[recordID][]*Partition{}
	for g := range report.Groups {
		group := &report.Groups[g]
		for i := range group.Partitions {
			p := &group.Partitions[i]
			switch {
			case p.LagRecords == nil || p.LostRecords == nil || *p.LostRecords > 0:
			case p.BlockedRecords == nil && *p.LagRecords == 0: // perhaps something stands behind a transaction
			case *p.LagRecords == 0 && *p.BlockedRecords == 0:
				p.LagSeconds = new(float64)
			default:
				at := recordID{group.Topic, p.Partition, *p.from}
				waiting[at] = append(waiting[at], p)
			}
		}
	}
	_ = within(ctx, cfg.Timeout, func(ctx context.Context) error {
		var mu sync.Mutex
		var fetches errgroup.Group
		fetches.SetLimit(8)
		for at, partitions := range waiting {
			fetches.Go(func() error {
				age := ageAt(ctx, cfg, at, partitions[0], report.At)
				mu.Lock()
				defer mu.Unlock()
				for _, p := range partitions {
					p.LagSeconds = age
				}
				return nil
			})
		}
		return fetches.Wait()
	})
}

// ageAt is the age at now of the next record at or above an offset, be it one of an open transaction: 0 when only
// transactions' marks are left, nil when it cannot be read, has no time or a later one.
func ageAt(ctx context.Context, cfg *Config, at recordID, p *Partition, now time.Time) *float64 {
	topic := cfg.Broker.Topic(at.topic)
	record, found, err := kafkalog.Peek(ctx, cfg.Broker, topic, at.partition, at.offset)
	if err == nil && !found && p.BlockedRecords == nil {
		return nil
	}
	if err == nil && !found && *p.BlockedRecords > 0 {
		record, found, err = kafkalog.PeekUncommitted(ctx, cfg.Broker, topic, at.partition, *p.LogEnd)
	}
	switch {
	case err != nil:
		return nil
	case !found:
		return new(float64)
	case record.Time.IsZero() || record.Time.After(now):
		return nil
	}
	age := now.Sub(record.Time).Seconds()
	return &age
}
