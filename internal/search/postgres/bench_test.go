package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	database "github.com/applylens/applylens/internal/postgres"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
	"github.com/applylens/applylens/internal/testkit/load"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// The mailboxes of the benchmark: one person's, and those of others who receive mail at the same time.
const (
	ownMails   = 100_000
	otherMails = 50_000
	others     = 50
)

// mailboxes folds the mails of everybody in the order in which they came, one about every ten minutes for ann, and lets
// the database clean up before the last of them. One mail in a hundred belongs to one of 200 applications. It returns
// some of ann's texts.
func mailboxes(b *testing.B) (*pgxpool.Pool, []string) {
	pool, _ := testenv.Database(b)
	execute(b, pool, `
		INSERT INTO applications (version, system, application_id, addresses, company, stage, last_stage_change, src_version, removed, updated_at)
		SELECT 1, 'lever', n, ARRAY['applicant' || n || '@apply.example'], 'Acme', (ARRAY['Applied', 'Onsite', 'Offer', 'Rejected'])[1 + n % 4],
		    now() - n % 20 * interval '1 day', 1, false, now() FROM generate_series(0, 199) n;
		INSERT INTO application_keys (version, address, company, system, application_id, whole)
		SELECT 1, addresses[1], '', system, application_id, true FROM applications`)
	f := folder{pool: pool, mails: load.NewMails(1), random: rand.New(rand.NewPCG(1, 2))}
	const all, last = ownMails + otherMails, 200
	for f.number < all-last {
		f.fold(b, min(5000, all-last-f.number))
	}
	execute(b, pool, "VACUUM ANALYZE")
	f.fold(b, last)
	return pool, f.texts
}

func execute(b *testing.B, pool *pgxpool.Pool, sql string) {
	b.Helper()
	if _, err := pool.Exec(context.Background(), sql); err != nil {
		b.Fatal(err)
	}
}

// folder folds made mails.
type folder struct {
	pool   *pgxpool.Pool
	mails  *load.Mails
	random *rand.Rand
	number int // of the next mail
	texts  []string
}

func (f *folder) fold(b *testing.B, count int) {
	b.Helper()
	batch := mailbox.Group().NewBatch()
	for range count {
		batch.Add(&events.Event{Envelope: events.Envelope{Type: events.TypeMailReceived}, Mail: f.next()})
	}
	err := database.InTx(context.Background(), f.pool, func(tx *database.Tx) error {
		return batch.Write(context.Background(), tx, consumers.Version{Number: 1})
	})
	if err != nil {
		b.Fatal(err)
	}
}

func (f *folder) next() *events.Mail {
	const all = ownMails + otherMails
	user := "ann"
	if f.number%(all/otherMails) == 0 {
		user = fmt.Sprint("other-", f.number%others)
	}
	mail := f.mails.Next(user, f.number, now.Add(-time.Duration(all-f.number)*7*time.Minute))
	if f.random.IntN(100) == 0 {
		mail.Recipients = append(mail.Recipients, events.Address{Address: fmt.Sprintf("applicant%d@apply.example", f.random.IntN(200))})
	}
	if user == "ann" && f.random.IntN(200) == 0 {
		f.texts = append(f.texts, mail.Text)
	}
	f.number++
	return mail
}

// BenchmarkSearch searches 100,000 mails of one person beside the mail of others, with the wishes of the modes in turn,
// and reports the median and the 99th percentile of each kind of query.
func BenchmarkSearch(b *testing.B) {
	pool, texts := mailboxes(b)
	engine := New(pool)
	random := rand.New(rand.NewPCG(3, 4))
	pick := func(list ...string) string { return list[random.IntN(len(list))] }
	word := func(least int) string {
		for {
			for _, word := range strings.Fields(strings.ReplaceAll(pick(texts...), ".", "")) {
				if len(word) >= least && random.IntN(20) == 0 {
					return word
				}
			}
		}
	}
	phrase := func() string {
		list := strings.Fields(pick(texts...))
		at := random.IntN(len(list) - 3)
		return `"` + strings.Join(list[at:at+2+random.IntN(2)], " ") + `"`
	}
	topic := func() string {
		return pick("invoice", "payment", "interview", "offer", "meetup", "receipt", "conference")
	}
	common := func() string { return pick("meeting", "week", "please", "project", "the", "and", "information") }
	kinds := []struct {
		name string
		make func() string
	}{
		{"newest", func() string { return "" }},
		{"rare word", func() string { return word(8) }},
		{"word", topic},
		{"frequent word", common},
		{"words", func() string { return topic() + " " + common() }},
		{"phrase", phrase},
		{"category and dates", func() string {
			days := random.IntN(300)
			return fmt.Sprintf("category:%s AND received_at:[now-%dd TO now-%dd]", pick("promo", "event", "finance"), days+30, days)
		}},
		{"sender domain", func() string { return fmt.Sprintf("sender_domain:sender-%d.example", random.IntN(300)) }},
		{"and, or, not", func() string { return fmt.Sprintf("(%s OR %s) %s -%s", topic(), topic(), common(), common()) }},
		{"not", func() string { return "-category:" + pick("promo", "newsletter") + " -" + topic() }},
		{"application", func() string {
			return pick("ats.stage:offer", "ats.ghosting_risk:>0.6 ") + " " + pick("", topic(), common())
		}},
		{"anything", func() string { return randomQuery(random) }},
	}
	for _, kind := range kinds {
		b.Run(kind.name, func(b *testing.B) { measure(b, engine, kind.make) })
	}
}

// modes are the wishes of propose, of a plain search and of one in the mode networking.
var modes = [][]search.Node{nil, wishes[:2], {wishes[0], wishes[1], at("category:event"), at("meetup OR meetups"), at("conference OR conferences"), at("webinar OR webinars")}}

func measure(b *testing.B, engine *Engine, query func() string) {
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		parsed, err := search.Parse(query())
		if err != nil {
			continue
		}
		began := time.Now()
		_, err = engine.Search(b.Context(), search.Request{UserID: "ann", Where: parsed.At(now), Should: modes[i%len(modes)], Limit: 20})
		if err != nil && !errors.Is(err, search.ErrTooSlow) {
			b.Fatal(err)
		}
		took = append(took, time.Since(began))
	}
	slices.Sort(took)
	for _, part := range []struct {
		name  string
		share int
	}{{"p50", 50}, {"p99", 99}, {"max", 100}} {
		b.ReportMetric(float64(took[(len(took)-1)*part.share/100].Microseconds())/1000, part.name+"-ms")
	}
}
