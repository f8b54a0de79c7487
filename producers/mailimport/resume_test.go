package mailimport

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kmsg"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// manyMessages returns an mbox of count messages whose subjects are their numbers.
func manyMessages(count int) string {
	var mbox strings.Builder
	for i := range count {
		fmt.Fprintf(&mbox, "%sFrom: a@b.example\nMessage-Id: <%d@b>\nSubject: %d\nDate: 1 Mar 2025 10:00:00 +0000\n\n%s\n\n",
			from, i+1, i+1, strings.Repeat("word ", 100))
	}
	return mbox.String()
}

// interrupt ends an import after it has published at least the given number of messages.
type interrupt struct {
	noProgress
	after int
	end   context.CancelFunc
}

func (i *interrupt) Update(status Status) {
	if status.Imported >= i.after {
		i.end()
	}
}

// published returns the subjects of all mail of user u1, in the order of the log.
func published(t *testing.T, conn *broker.Conn) []string {
	t.Helper()
	ends, err := conn.Admin.ListEndOffsets(t.Context(), conn.Topic(events.TopicMail))
	if err != nil {
		t.Fatal(err)
	}
	end, _ := ends.Lookup(conn.Topic(events.TopicMail), int32(events.Partition([]byte("u1"), partitions)))
	if end.Offset == 0 {
		return nil
	}
	all, _ := subjects(t, consume(t, conn, int(end.Offset)))
	return all
}

// distinct sorts and removes duplicates, which have no effect.
func distinct(all []string) []string {
	all = slices.Clone(all)
	slices.Sort(all)
	return slices.Compact(all)
}

func TestRunResumes(t *testing.T) {
	const count = 5 * batchMessages
	mbox := manyMessages(count)
	var packed bytes.Buffer
	writer := gzip.NewWriter(&packed)
	_, _ = io.WriteString(writer, mbox)
	_ = writer.Close()
	half := strings.Index(mbox, "\n"+from+"From: a@b.example\nMessage-Id: <"+fmt.Sprint(count/2)) + 1
	for name, files := range map[string]map[string]string{
		"an mbox":       {"a.mbox": mbox},
		"a packed mbox": {"a.mbox.gz": packed.String()},
		"a directory":   {"a.mbox": mbox[:half], "b.mbox": mbox[half:]},
	} {
		t.Run(name, func(t *testing.T) {
			_, conn := connect(t)
			dir := tree(t, files)
			config := Config{Paths: []string{dir}, UserID: "u1", StateDir: t.TempDir(), Now: func() time.Time { return importTime }, Log: slog.New(slog.DiscardHandler)}
			if len(files) == 1 {
				for name := range files {
					config.Paths = []string{filepath.Join(dir, name)}
				}
			}
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			config.Progress = &interrupt{after: count / 2, end: cancel}
			first, err := Run(ctx, conn, config)
			if !errors.Is(err, context.Canceled) || first.Imported < count/2 || first.Imported == count {
				t.Fatalf("%+v, %v", first, err)
			}
			config.Progress = nil
			second, err := Run(t.Context(), conn, config)
			if err != nil {
				t.Fatal(err)
			}
			if second.Passed < count/2 || second.Passed+second.Imported != count {
				t.Errorf("%+v after %+v", second, first)
			}
			if got := published(t, conn); len(distinct(got)) != count || len(got) > count+2*batchMessages {
				t.Errorf("%d messages published, %d of them distinct", len(got), len(distinct(got)))
			}
			third, err := Run(t.Context(), conn, config)
			if diff := cmp.Diff(Result{Imported: count}, third); diff != "" || err != nil {
				t.Errorf("repeated after the end: %s, %v", diff, err)
			}
		})
	}
}

// TestResumeReadsWhatItMust checks that nothing is skipped that may not have been imported.
func TestResumeReadsWhatItMust(t *testing.T) {
	const count = 3 * batchMessages
	stop := func(t *testing.T, conn *broker.Conn, config Config) {
		t.Helper()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		config.Progress = &interrupt{after: batchMessages, end: cancel}
		if result, err := Run(ctx, conn, config); !errors.Is(err, context.Canceled) || result.Imported == count {
			t.Fatalf("%+v, %v", result, err)
		}
	}
	f := func(name string, change func(t *testing.T, conn *broker.Conn, config *Config)) {
		t.Run(name, func(t *testing.T) {
			_, conn := connect(t)
			config, _ := configOf(t, []byte(manyMessages(count)))
			config.StateDir = t.TempDir()
			stop(t, conn, config)
			change(t, conn, &config)
			result, err := Run(t.Context(), conn, config)
			if err != nil || result.Passed != 0 || result.Imported < count {
				t.Errorf("%+v, %v", result, err)
			}
		})
	}
	write := func(t *testing.T, path, content string) {
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	f("the file grew", func(t *testing.T, _ *broker.Conn, config *Config) {
		write(t, config.Paths[0], manyMessages(count)+threeMessages)
	})
	f("the beginning of the file changed", func(t *testing.T, _ *broker.Conn, config *Config) {
		write(t, config.Paths[0], strings.Replace(manyMessages(count), "word", "Word", 1))
	})
	f("the file changed inside and kept its size", func(t *testing.T, _ *broker.Conn, config *Config) {
		text := manyMessages(count)
		cut := strings.Index(text, "\nSubject: 500\n")
		write(t, config.Paths[0], text[:cut]+strings.Replace(text[cut:], "word ", "", 2)+"word word ")
	})
	f("another user", func(_ *testing.T, _ *broker.Conn, config *Config) { config.UserID = "u2" })
	f("restart", func(_ *testing.T, _ *broker.Conn, config *Config) { config.Restart = true })
	f("no checkpoint", func(_ *testing.T, _ *broker.Conn, config *Config) { config.StateDir = "" })
	f("the topic was recreated", func(t *testing.T, conn *broker.Conn, config *Config) {
		if _, err := conn.Admin.DeleteTopics(t.Context(), conn.Topic(events.TopicMail)); err != nil {
			t.Fatal(err)
		}
		if err := conn.EnsureTopics(t.Context(), broker.Layout{Partitions: partitions, ReplicationFactor: 1}); err != nil {
			t.Fatal(err)
		}
	})
}

// TestResumeFollowsRenames checks that mail that a mail program has moved is neither lost nor imported twice.
func TestResumeFollowsRenames(t *testing.T) {
	_, conn := connect(t)
	const count = 2*batchMessages + 200
	files := map[string]string{}
	for i := range count {
		files[fmt.Sprintf("Maildir/new/%05d", i)] = fmt.Sprintf("From: a@b.example\nMessage-Id: <%d@b>\nSubject: %d\n\nx\n", i, i)
	}
	dir := tree(t, files)
	config := Config{Paths: []string{dir}, UserID: "u1", StateDir: t.TempDir(), Now: func() time.Time { return importTime }, Log: slog.New(slog.DiscardHandler)}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	config.Progress = &interrupt{after: batchMessages, end: cancel}
	if _, err := Run(ctx, conn, config); !errors.Is(err, context.Canceled) {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "Maildir/cur"), 0o700); err != nil {
		t.Fatal(err)
	}
	for i := range count { // "cur" comes before "new" in the order of names
		name := fmt.Sprintf("%05d", i)
		if err := os.Rename(filepath.Join(dir, "Maildir/new", name), filepath.Join(dir, "Maildir/cur", name+":2,S")); err != nil {
			t.Fatal(err)
		}
	}
	config.Progress = nil
	result, err := Run(t.Context(), conn, config)
	if err != nil || result.Passed < batchMessages-1 || result.Passed+result.Imported != count {
		t.Errorf("%+v, %v", result, err)
	}
	if got := distinct(published(t, conn)); len(got) != count {
		t.Errorf("%d different messages", len(got))
	}
}

// TestReaderResumesAnywhere checks that reading from the place of any message returns that message and all later ones.
func TestReaderResumesAnywhere(t *testing.T) {
	mbox := threeMessages + "\n" + from + "Content-Length: 55\n\n" + from + "no message\n\n" + from + "A: 5\n"
	all := func(reader *Reader) (places []Place, hashes [][32]byte) {
		for {
			raw, err := reader.Next()
			if errors.Is(err, io.EOF) {
				return places, hashes
			}
			if err != nil {
				t.Fatal(err)
			}
			places, hashes = append(places, raw.Place), append(hashes, raw.Hash)
		}
	}
	places, hashes := all(NewReader(strings.NewReader(mbox), "f"))
	if len(places) != 5 {
		t.Fatalf("%d messages", len(places))
	}
	reader := NewReader(nil, "")
	for i, place := range places {
		reader.reset(strings.NewReader(mbox[place.Offset:]), Place{"f", place.Number - 1, place.Offset})
		if ok, err := reader.resumes(); !ok || err != nil {
			t.Fatalf("%v: %v, %v", place, ok, err)
		}
		gotPlaces, gotHashes := all(reader)
		if !cmp.Equal(places[i:], gotPlaces) || !cmp.Equal(hashes[i:], gotHashes) {
			t.Errorf("from %v: %v", place, gotPlaces)
		}
	}
}

// The environment of the import that TestKilledImportResumes kills.
const (
	childBrokers  = "MAILIMPORT_TEST_BROKERS"
	childPrefix   = "MAILIMPORT_TEST_PREFIX"
	childPath     = "MAILIMPORT_TEST_PATH"
	childStateDir = "MAILIMPORT_TEST_STATE_DIR"
)

// TestMain runs an import instead of the tests if the environment says so.
func TestMain(m *testing.M) {
	if os.Getenv(childBrokers) == "" {
		os.Exit(m.Run())
	}
	settings := config.Kafka{KafkaBrokers: strings.Split(os.Getenv(childBrokers), ","), TopicPrefix: os.Getenv(childPrefix)}
	conn, err := broker.Open(settings)
	if err == nil {
		_, err = Run(context.Background(), conn, Config{Paths: []string{os.Getenv(childPath)}, UserID: "u1", StateDir: os.Getenv(childStateDir),
			Now: time.Now, Log: slog.New(slog.DiscardHandler)})
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

// child starts the import in a process of its own.
func child(t *testing.T, settings config.Kafka, path, stateDir string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0])
	command.Env = append(os.Environ(), childBrokers+"="+strings.Join(settings.KafkaBrokers, ","), childPrefix+"="+settings.TopicPrefix,
		childPath+"="+path, childStateDir+"="+stateDir)
	command.Stderr = os.Stderr
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	return command
}

// TestKilledImportResumes kills an import repeatedly while it publishes. It must resume each time, and every message must be
// in the log.
func TestKilledImportResumes(t *testing.T) {
	const count = 8 * batchMessages
	cluster, settings := testenv.Kfake(t)
	conn := openConn(t, settings)
	path := filepath.Join(tree(t, map[string]string{"a.mbox": manyMessages(count)}), "a.mbox")
	stateDir := t.TempDir()
	var requests atomic.Int64
	deadly := make(chan struct{})
	cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		cluster.KeepControl()
		if requests.Add(1)%3 == 0 {
			deadly <- struct{}{} // killed before the acknowledgement; the message may be stored
		}
		return nil, nil, false
	})
	kills := 0
	for finished := false; !finished; {
		command := child(t, settings, path, stateDir)
		ended := make(chan error, 1)
		go func() { ended <- command.Wait() }()
		select {
		case <-deadly:
			if err := command.Process.Kill(); err != nil {
				t.Fatal(err)
			}
			<-ended
			kills++
		case err := <-ended:
			if err != nil {
				t.Fatal(err)
			}
			finished = true
		case <-time.After(30 * time.Second):
			t.Fatal("the import neither ends nor goes on")
		}
	}
	got := published(t, conn)
	if len(distinct(got)) != count {
		t.Errorf("%d different messages of %d", len(distinct(got)), count)
	}
	if kills < 3 || len(got) > count+kills*2*batchMessages {
		t.Errorf("%d kills, %d records", kills, len(got))
	}
	if entries, err := os.ReadDir(stateDir); err != nil || len(entries) > 0 {
		t.Errorf("left in the state directory: %v, %v", entries, err)
	}
}

// TestKilledImportResumesOnKafka does the same on a real broker, with kills at random moments.
func TestKilledImportResumesOnKafka(t *testing.T) {
	const count = 20 * batchMessages
	settings := testenv.Kafka(t)
	conn := openConn(t, settings)
	path := filepath.Join(tree(t, map[string]string{"a.mbox": manyMessages(count)}), "a.mbox")
	stateDir := t.TempDir()
	for after := 1; after <= 3; after++ {
		command := child(t, settings, path, stateDir)
		waitForRecords(t, conn, after*3*batchMessages)
		_ = command.Process.Kill() // it may have exited already
		_ = command.Wait()
	}
	if err := child(t, settings, path, stateDir).Wait(); err != nil {
		t.Fatal(err)
	}
	got := published(t, conn)
	if len(distinct(got)) != count || len(got) > count+3*2*batchMessages {
		t.Errorf("%d records, %d different messages of %d", len(got), len(distinct(got)), count)
	}
}

func waitForRecords(t *testing.T, conn *broker.Conn, count int) {
	t.Helper()
	testenv.Eventually(t, 30*time.Second, 5*time.Millisecond, "enough is published", func() error {
		ends, err := conn.Admin.ListEndOffsets(t.Context(), conn.Topic(events.TopicMail))
		if err != nil {
			t.Fatal(err)
		}
		total := int64(0)
		ends.Each(func(end kadm.ListedOffset) { total += end.Offset })
		if total < int64(count) {
			return fmt.Errorf("%d records of %d", total, count)
		}
		return nil
	})
}
