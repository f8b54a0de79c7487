package bench

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
	publishing "github.com/applylens/applylens/producers/client"
)

// Each person has mailsOfCompany mails of each company where they applied, and four times as many of other companies.
const (
	indexPeople    = 50
	mailsOfCompany = 2
	indexPatience  = 5 * time.Minute
)

const (
	// receivedSQL reports whether all mails are folded.
	receivedSQL = `
SELECT count(*) >= $1 FROM live_mails`

	// changedSQL reports whether all applications have a stage.
	changedSQL = `
SELECT count(*) >= $1 FROM live_applications WHERE stage = $2`
)

var indexTarget = Target{5, 1}

// Indexed is the time from the first change event until search finds all mails by the new stage of their applications.
type Indexed struct {
	Applications int                `json:"applications"`
	Mails        int                `json:"mails"`     // that belong to them
	Documents    int                `json:"documents"` // in the index
	Seconds      []float64          `json:"seconds"`
	PeakMiB      map[string]float64 `json:"peak_mib"` // by subcommand
	Target       Target             `json:"target"`   // of the median
}

// measureIndex changes applications and waits until Elasticsearch finds their mails by the change.
func measureIndex(ctx context.Context, s *stage, report *Report) error {
	engine, err := s.openIndex(ctx)
	if err != nil {
		return err
	}
	publisher, err := publishing.New(publishing.Config{Brokers: s.kafka.KafkaBrokers, TopicPrefix: s.kafka.TopicPrefix, Source: "/bench"})
	if err != nil {
		return err
	}
	defer publisher.Close()
	children, err := s.startAll(ctx, [][]string{consume("mailbox"), consume("enrichment"), {"index", "--metrics-listen="}})
	if err != nil {
		return err
	}
	err = s.measureChanges(ctx, report, engine, publisher)
	if err := errors.Join(err, stopAll(children)); err != nil {
		return fmt.Errorf("index: %w", err)
	}
	report.Indexed.PeakMiB = peaks(children)
	return nil
}

// openIndex creates the index of the stage and returns an engine on it.
func (s *stage) openIndex(ctx context.Context) (search.Engine, error) {
	s.elasticsearch = s.cfg.Elasticsearch
	s.elasticsearch.ElasticsearchAlias = "emails-" + s.name
	var err error
	if s.index, err = elastic.Open(s.elasticsearch); err != nil {
		return nil, err
	}
	if _, err := indexer.Plan(ctx, s.pool, s.index, true); err != nil {
		return nil, err
	}
	return elastic.NewEngine(s.index, nil), nil
}

func (s *stage) measureChanges(ctx context.Context, report *Report, engine search.Engine, publisher *publishing.Client) error {
	companies := max(1, s.cfg.Applications/indexPeople)
	mails := mailboxes(companies)
	for part := range slices.Chunk(mails, 1000) {
		if err := publisher.Publish(ctx, part...); err != nil {
			return err
		}
	}
	if err := s.awaitIndexed(ctx, receivedSQL, len(mails)); err != nil {
		return err
	}
	report.Indexed = &Indexed{Applications: indexPeople * companies, Mails: indexPeople * companies * mailsOfCompany, Documents: len(mails), Target: indexTarget}
	for run := range s.cfg.Runs + 1 { // in the first the applications are new
		changed := changes(companies, run)
		began := time.Now()
		if err := publisher.Publish(ctx, changed...); err != nil {
			return err
		}
		if err := s.awaitIndexed(ctx, changedSQL, len(changed), stageName(run)); err != nil {
			return err
		}
		if took := time.Since(began); run > 0 {
			report.Indexed.Seconds = append(report.Indexed.Seconds, took.Seconds())
			s.cfg.Log.Info("measured", "what", "index", "run", run, "of", s.cfg.Runs, "seconds", took.Seconds())
		}
		if err := s.checkIndexed(ctx, report, engine, run); err != nil {
			return err
		}
	}
	return nil
}

// mailboxes returns the mails of all persons.
func mailboxes(companies int) []*events.Event {
	var list []*events.Event
	now := time.Now()
	for person := range indexPeople {
		for i := range 5 * companies * mailsOfCompany {
			mail := &events.Mail{
				UserID: indexPerson(person), MessageID: fmt.Sprintf("%d-%d@bench.example", person, i), Subject: fmt.Sprintf("About number %d", i),
				Text: mailText(i), Sender: events.Address{Name: "Rita", Address: fmt.Sprintf("rita@company%d.example", i%companies)},
				Recipients:  []events.Address{{Address: indexPerson(person) + "@home.example"}},
				DeliveredTo: []string{indexPerson(person) + "@home.example"}, ReceivedAt: now.Add(-time.Duration(i) * time.Minute), RecordedAt: now,
			}
			if i >= companies*mailsOfCompany {
				mail.Sender.Address = fmt.Sprintf("shop@shop%d.example", i)
			}
			list = append(list, &events.Event{Envelope: envelope(events.TypeMailReceived, mail.MessageID, now), Mail: mail})
		}
	}
	return list
}

func indexPerson(i int) string { return fmt.Sprintf("person-%d", i) }

// mailText returns 300 words, about as many as mail usually has.
func mailText(i int) string {
	text := make([]byte, 0, 2000)
	for n := range 300 {
		text = fmt.Appendf(text, "word%d ", (i*7+n*n)%5000)
	}
	return string(text)
}

func envelope(kind events.Type, id string, at time.Time) events.Envelope {
	return events.Envelope{Type: kind, ID: id, Time: at}
}

func stageName(run int) string { return fmt.Sprintf("Stage %d", run) }

// changes move every application to the stage of a run.
func changes(companies, run int) []*events.Event {
	var list []*events.Event
	now := time.Now()
	for person := range indexPeople {
		for i := range companies {
			application := &events.Application{
				System: "bench", ApplicationID: fmt.Sprintf("%d-%d", person, i), Addresses: []string{indexPerson(person) + "@home.example"},
				Company: fmt.Sprintf("Company%d", i), Stage: stageName(run), LastStageChange: now, SrcVersion: int64(run + 1), RecordedAt: now,
			}
			id := fmt.Sprintf("%s-%d", application.ApplicationID, run)
			list = append(list, &events.Event{Envelope: envelope(events.TypeApplicationChanged, id, now), Application: application})
		}
	}
	return list
}

// awaitIndexed waits until the statement reports that count rows are folded and the indexer has settled.
func (s *stage) awaitIndexed(ctx context.Context, folded string, count int, arguments ...any) error {
	ticker := time.NewTicker(progressInterval)
	defer ticker.Stop()
	for began := time.Now(); ; {
		var done bool
		err := s.pool.QueryRow(ctx, folded, append([]any{count}, arguments...)...).Scan(&done)
		if err == nil && done {
			done, err = indexer.Settled(ctx, s.pool, "", time.Now(), time.Now())
		}
		if err != nil || done {
			return err
		}
		if time.Since(began) > indexPatience {
			return fmt.Errorf("not indexed within %s", indexPatience)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-ticker.C:
		}
	}
}

// checkIndexed compares the number of mails that search finds by the stage of a run.
func (s *stage) checkIndexed(ctx context.Context, report *Report, engine search.Engine, run int) error {
	found := 0
	where := search.MustParse(fmt.Sprintf("ats.stage:%q", stageName(run))).At(time.Now())
	for person := range indexPeople {
		hits, err := engine.Search(ctx, search.Request{UserID: indexPerson(person), Where: where, Limit: search.MaxLimit})
		if err != nil {
			return err
		}
		found += len(hits)
	}
	report.expect("index", "mails found by their stage", int64(found), int64(report.Indexed.Mails))
	return nil
}

func (i *Indexed) write(w io.Writer) {
	sorted := slices.Sorted(slices.Values(i.Seconds))
	median := quantile(sorted, 0.5)
	fmt.Fprintln(w)
	fmt.Fprintf(w, "Index: %s applications change, to which %s of %s mails belong; time from the first event until a search finds all by the new stage.\n",
		grouped(float64(i.Applications)), grouped(float64(i.Mails)), grouped(float64(i.Documents)))
	fmt.Fprintln(w, "SECONDS\tMEDIAN\tMIN..MAX\tAT MOST\tAIM\t")
	fmt.Fprintf(w, "change to found\t%.2f\t%.2f..%.2f\t%g\t%g\t%s\n", median, sorted[0], sorted[len(sorted)-1],
		i.Target.AtLeast, i.Target.Aim, verdict(median <= i.Target.AtLeast, median <= i.Target.Aim))
	writePeaks(w, i.PeakMiB)
}
