package bench

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/testkit/load"
)

// The streams that are folded.
const (
	Own     = "own"     // events that the deployment's relay wrote, uncompressed
	Clean   = "clean"   // events of another service, written by an ordinary client of Kafka
	Repeats = "repeats" // clean, with records that are sent again
	Mixed   = "mixed"   // repeats, with records that must be dead-lettered and very large ones
)

// Streams lists the streams in the order in which they are measured.
var Streams = []string{Own, Clean, Repeats, Mixed}

// In the mixed stream one record in refusedIn must be dead-lettered, and one in largeIn has load.LargeBytes more.
const (
	refusedIn = 1000
	largeIn   = 2000
)

// Stream describes a log that was written.
type Stream struct {
	Name string `json:"name"`
	load.ServiceSummary
	Batches int `json:"batches,omitempty"` // of the client; 0: not counted
}

// measureStreams writes each stream once, then measures folds, rebuilds and the naive consumer.
func measureStreams(ctx context.Context, stages []*stage, report *Report) error {
	cfg := stages[0].cfg
	var folded []*stage
	for i, name := range cfg.streams() {
		written, err := stages[i].write(ctx, name)
		if err != nil {
			return fmt.Errorf("write stream %s: %w", name, err)
		}
		report.Streams = append(report.Streams, written)
		if cfg.wants(Fold) && slices.Contains(cfg.Streams, name) {
			folded = append(folded, stages[i])
		}
	}
	if err := measureFolds(ctx, report, folded); err != nil {
		return err
	}
	if !cfg.wants(Rebuild) && !cfg.wants(Naive) {
		return nil
	}
	return measureOwn(ctx, stages[0], report)
}

// measureOwn measures rebuilds and the naive consumer on own events.
func measureOwn(ctx context.Context, s *stage, report *Report) error {
	if s.cfg.wants(Rebuild) {
		for _, p := range s.cfg.projections() {
			if err := s.measureRebuilds(ctx, report, p); err != nil {
				return err
			}
		}
	}
	if s.cfg.wants(Naive) {
		return s.measureNaive(ctx, report)
	}
	return nil
}

// write writes a stream to the topic of actions and sets what each group must make of it.
func (s *stage) write(ctx context.Context, name string) (*Stream, error) {
	s.stream = name
	w := &witness{}
	tallies := map[string]*tally{}
	for _, p := range s.cfg.projections() {
		tallies[p.group] = newTally(&p)
		w.tallies = append(w.tallies, tallies[p.group])
	}
	began := time.Now()
	stream, err := s.fill(ctx, w)
	if err != nil {
		return nil, err
	}
	s.expected = map[string]expectation{}
	for group, t := range tallies {
		s.expected[group] = t.sealed()
	}
	s.cfg.Log.Info("stream written", "stream", name, "records", stream.Records, "bytes", stream.Bytes, "took", time.Since(began).Round(time.Millisecond))
	return stream, nil
}

func (s *stage) fill(ctx context.Context, w *witness) (*Stream, error) {
	if s.stream == Own {
		return s.fillOwn(ctx, w)
	}
	var mix load.Mix
	if s.stream != Clean {
		mix.Repeated = s.cfg.Repeats
	}
	if s.stream == Mixed {
		mix.Refused, mix.Large = refusedIn, largeIn
	}
	service, err := load.NewService(s.profile(), mix, partitions)
	if err != nil {
		return nil, err
	}
	w.Source = service
	client := load.Client{
		Dial: s.broker.Reader, Topic: s.broker.Topic(events.TopicActions), Partitions: partitions,
		Compression: s.cfg.Compression, BatchBytes: s.cfg.BatchBytes, BatchRecords: s.cfg.BatchRecords,
	}
	batches, err := client.Fill(ctx, w, s.cfg.Events)
	return &Stream{s.stream, service.Summary(), batches}, err
}

// fillOwn writes events as the deployment's relay does.
func (s *stage) fillOwn(ctx context.Context, w *witness) (*Stream, error) {
	generator, err := s.newGenerator(ctx)
	if err != nil {
		return nil, err
	}
	w.Source = generator
	writer, err := load.DialWriter(w, s.broker.Topic(events.TopicActions), s.broker.Reader)
	if err != nil {
		return nil, err
	}
	defer writer.Close()
	if err := writer.Write(ctx, s.cfg.Events, 0); err != nil {
		return nil, err
	}
	made := generator.Summary()
	return &Stream{Name: Own, ServiceSummary: load.ServiceSummary{Records: made.Records, Bytes: made.Bytes}}, nil
}

func (s *stage) profile() load.Profile { return load.Profile{Seed: 1, Users: s.cfg.Users} }

// newGenerator returns a generator of own events, stamped by a relay term that the deployment knows.
func (s *stage) newGenerator(ctx context.Context) (*load.Generator, error) {
	identity, err := load.Enlist(ctx, s.pool)
	if err != nil {
		return nil, err
	}
	return load.NewGenerator(s.profile(), identity, partitions)
}
