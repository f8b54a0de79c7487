package crash

import (
	"context"
	"strconv"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"

	"github.com/applylens/applylens/events"
)

// forge does what anybody can who may read and write the topic: it takes the last records of ours in each partition and publishes
// others like them under the numbers that our relay gives next, and far later ones, in the hope that they are taken for its own.
func (w *deployment) forge() {
	w.Helper()
	ctx, cancel := context.WithTimeout(w.Context(), patience)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(w.Settings.KafkaBrokers...), kgo.RecordPartitioner(kgo.ManualPartitioner()))
	w.Must(err)
	defer client.Close()
	for _, model := range w.lastOfOurs(ctx, client) {
		for _, ahead := range []int64{1, 2, 1000} {
			w.Must(client.ProduceSync(ctx, forgery(model, ahead)).FirstErr())
		}
	}
}

// forgery returns another event like the model's under a later number, with the model's signature.
func forgery(model *kgo.Record, ahead int64) *kgo.Record {
	forged := &kgo.Record{Topic: model.Topic, Partition: model.Partition, Key: model.Key, Value: model.Value}
	for _, h := range model.Headers {
		switch h.Key {
		case events.HeaderID:
			h.Value = []byte(events.NewUUIDv7(time.Now()).String())
		case events.HeaderRelaySeq:
			seq, _ := strconv.ParseInt(string(h.Value), 10, 64)
			h.Value = strconv.AppendInt(nil, seq+ahead, 10)
		}
		forged.Headers = append(forged.Headers, h)
	}
	return forged
}

// lastOfOurs returns the last record of ours of each partition that has one near its end.
func (w *deployment) lastOfOurs(ctx context.Context, client *kgo.Client) map[int32]*kgo.Record {
	w.Helper()
	topic := w.Conn.Topic(events.TopicActions)
	found, left, from := map[int32]*kgo.Record{}, map[int32]int64{}, map[int32]kgo.Offset{}
	w.Eventually("every leader tells the end of its partition", func() error {
		ends, err := w.Ends(events.TopicActions)
		for partition, end := range ends {
			if end > 0 {
				left[partition], from[partition] = end, kgo.NewOffset().At(max(0, end-200))
			}
		}
		return err
	})
	client.AddConsumePartitions(map[string]map[int32]kgo.Offset{topic: from})
	for len(left) > 0 {
		fetches := client.PollFetches(ctx)
		w.Must(ctx.Err())
		fetches.EachRecord(func(r *kgo.Record) {
			if isOurs(r) {
				found[r.Partition] = r
			}
			if r.Offset+1 >= left[r.Partition] {
				delete(left, r.Partition)
			}
		})
	}
	return found
}

// isOurs tells whether a record is a decision that our relay published: another one has an effect of its own.
func isOurs(r *kgo.Record) bool {
	stamped, decision := false, false
	for _, h := range r.Headers {
		stamped = stamped || h.Key == events.HeaderRelaySignature
		decision = decision || h.Key == events.HeaderType && (string(h.Value) == events.TypeActionApproved.String() || string(h.Value) == events.TypeActionRejected.String())
	}
	return stamped && decision
}

// forgedWhileRunning forges under load, until forgeries stand before and behind records of ours.
func forgedWhileRunning(w *deployment, variables ...string) {
	w.write(500, 0)
	w.consume(variables...)
	for range 3 {
		w.forge()
		w.write(500, 0)
	}
	w.forge()
	if len(variables) > 0 {
		return // the forgeries may have halted a partition
	}
	w.awaitFolded()
	if n := w.Int("SELECT count(*) FROM dead_letters WHERE reason = 'signature'"); n == 0 {
		w.Fatal("no forgery was met")
	}
}
