package relay

import (
	"testing"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/outbox"
)

func TestOnKafka(t *testing.T) {
	w := onKafka(t)
	w.start()
	w.add(500, "ann", "bob", "cid", "dan", "eve")
	w.Signal.Set()
	w.AwaitPublished()
	w.killLeader()
	w.add(500, "ann", "bob", "cid", "dan", "eve")
	w.AwaitPublished()
	w.checkLog()
}

func TestKafkaRefusesWhatIsTooLarge(t *testing.T) {
	w := onKafka(t)
	rows := []outbox.Row{w.row("ann"), w.row("ann"), w.row("ann")}
	rows[1].Value = make([]byte, 1<<20+1000)
	w.insert(rows...)
	w.start()
	w.AwaitPublished()
	w.checkLog()
	if list := w.log(); len(list) != 3 || list[1].kind != events.TypeVoid {
		t.Errorf("log %v, want the second of three void", list)
	}
}

func TestKafkaTruncated(t *testing.T) {
	w := onKafka(t)
	w.add(20, "ann")
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.lose(7)
	w.foreign("ann", 30)
	w.add(4, "ann")
	w.start()
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats != 0 {
		t.Errorf("%d repeats, want none", repeats)
	}
}

// BenchmarkRelay measures rows per second from the outbox to Kafka, and BenchmarkLatency the time from the commit of
// one row until it is marked published.
func BenchmarkRelay(b *testing.B) {
	const rows = 20000
	w := onKafka(b)
	keys := make([]string, 100)
	for i := range keys {
		keys[i] = "user-" + string([]byte{byte('a' + i/10), byte('a' + i%10)})
	}
	for b.Loop() {
		b.StopTimer()
		for range rows / 1000 {
			w.add(1000, keys...)
		}
		b.StartTimer()
		stop := w.start()
		w.AwaitPublished()
		b.StopTimer()
		stop()
		b.StartTimer()
	}
	b.ReportMetric(float64(rows*b.N)/b.Elapsed().Seconds(), "rows/s")
}

func BenchmarkLatency(b *testing.B) {
	w := onKafka(b)
	w.start()
	w.untilReconciled()
	b.ResetTimer()
	for b.Loop() {
		w.add(1, "ann")
		w.Signal.Set()
		for w.Int("SELECT count(*) FROM outbox WHERE published_at IS NULL") > 0 {
		}
	}
}
