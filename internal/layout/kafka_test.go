package layout_test

import (
	"go/ast"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"testing"
)

// The packages of the two Kafka clients that can read a log.
const (
	kafkaGo    = "github.com/segmentio/kafka-go"
	kafkaFetch = "github.com/segmentio/kafka-go/protocol/fetch"
	franzGo    = "github.com/twmb/franz-go/pkg/kgo"
	franzKmsg  = "github.com/twmb/franz-go/pkg/kmsg"
)

// fetches are what a log is read with, by package.
var fetches = map[string][]string{
	kafkaGo:   {"NewReader", "Reader", "ReaderConfig", "FetchRequest", "Dial", "DialContext", "DialLeader", "DialPartition", "NewConn", "NewConnWith", "Conn"},
	franzGo:   {"ConsumeTopics", "ConsumePartitions", "ConsumeRegex", "ConsumerGroup"},
	franzKmsg: {"FetchRequest", "NewFetchRequest", "NewPtrFetchRequest", "ShareFetchRequest", "NewShareFetchRequest", "NewPtrShareFetchRequest"},
}

// polls are methods of franz-go's client, whoever made it.
var polls = []string{"AddConsumePartitions", "AddConsumeTopics", "PollFetches", "PollRecords"}

// readers are the folders that read a log, with the reason.
var readers = map[string]string{
	"internal/kafkalog":   "the one reader of the deployment's log",
	"producers/warehouse": "it reads a change topic of another service, which is no log of the deployment",
	"internal/bench":      "the naive consumer that the loop is measured against",
	"internal/testkit":    "tests read with another client than what they check",
}

// franzUsers are the folders that import franz-go's client, with the reason.
var franzUsers = map[string]string{
	"internal/broker":     "it opens the connections for everybody",
	"producers/warehouse": readers["producers/warehouse"],
	"internal/testkit":    readers["internal/testkit"],
}

// majorVersion is the last part of an import path that does not name the package.
var majorVersion = regexp.MustCompile(`^v[0-9]+$`)

// names maps the names under which a file imports packages to their paths.
func names(file *ast.File) map[string]string {
	result := map[string]string{}
	for _, spec := range file.Imports {
		imported, _ := strconv.Unquote(spec.Path.Value)
		name := path.Base(imported)
		switch {
		case imported == kafkaGo:
			name = "kafka"
		case majorVersion.MatchString(name):
			name = path.Base(path.Dir(imported))
		}
		if spec.Name != nil {
			name = spec.Name.Name
		}
		result[name] = imported
	}
	return result
}

// fetching lists what a file uses to read a log.
func fetching(file *ast.File) []string {
	var found []string
	imported := names(file)
	for name, whole := range imported {
		if whole == kafkaFetch || name == "." && fetches[whole] != nil {
			found = append(found, whole)
		}
	}
	ast.Inspect(file, func(node ast.Node) bool {
		if selector, ok := node.(*ast.SelectorExpr); ok {
			of, ok := selector.X.(*ast.Ident)
			switch {
			case ok && slices.Contains(fetches[imported[of.Name]], selector.Sel.Name):
				found = append(found, of.Name+"."+selector.Sel.Name)
			case slices.Contains(polls, selector.Sel.Name):
				found = append(found, selector.Sel.Name)
			}
		}
		return true
	})
	return found
}

func TestOnlyKafkalogReadsTheLog(t *testing.T) {
	used := map[string]bool{}
	for name, file := range sources(t) {
		folder := filepath.ToSlash(filepath.Dir(name))
		for _, how := range fetching(file) {
			used[folder] = true
			if !anyWithin(folder, readers) {
				t.Errorf("%s reads a log by %s: use internal/kafkalog, or give a reason in readers", name, how)
			}
		}
	}
	checkUsed(t, "reading a log", readers, used)
}

func TestOnlyTheBrokerOpensFranzClients(t *testing.T) {
	used := map[string]bool{}
	for folder, list := range imports(t) {
		if !slices.Contains(list, franzGo) {
			continue
		}
		used[folder] = true
		if !anyWithin(folder, franzUsers) {
			t.Errorf("%s imports %s: use internal/broker, or give a reason in franzUsers", folder, franzGo)
		}
	}
	checkUsed(t, "importing kgo", franzUsers, used)
}

// checkUsed reports excuses for what nobody does any more.
func checkUsed(t *testing.T, what string, reasons map[string]string, used map[string]bool) {
	t.Helper()
	for folder := range reasons {
		found := false
		for user := range used {
			found = found || within(user, folder)
		}
		if !found {
			t.Errorf("%s is excused for %s but does not do it", folder, what)
		}
	}
}

// The scan must see what it is meant to see, also under other names.
func TestFetchesAreFound(t *testing.T) {
	file := parse(t, `package p
import (
	"github.com/segmentio/kafka-go"
	api "github.com/segmentio/kafka-go/protocol/fetch"
	fast "github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)
func f(c *kafka.Client, w *kafka.Writer) {
	c.Fetch(ctx, &kafka.FetchRequest{}); r := kafka.NewReader(kafka.ReaderConfig{}); c.Do(ctx, &api.Request{})
	fast.NewClient(fast.SeedBrokers("a"), fast.ConsumeTopics("t")); kmsg.NewPtrFetchRequest(); r.client.PollFetches(ctx)
}
`)
	got := fetching(file)
	slices.Sort(got)
	want := []string{"PollFetches", "fast.ConsumeTopics", kafkaFetch, "kafka.FetchRequest", "kafka.NewReader", "kafka.ReaderConfig", "kmsg.NewPtrFetchRequest"}
	if !slices.Equal(got, want) {
		t.Errorf("found %q, want %q", got, want)
	}
	if got := fetching(parse(t, `package p
import . "github.com/twmb/franz-go/pkg/kgo"
`)); len(got) != 1 {
		t.Errorf("a dot import hides what is used: found %q", got)
	}
}
