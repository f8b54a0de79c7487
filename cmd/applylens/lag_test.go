package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/testkit/testenv"
)

// newLagCommand returns a command on a broker and a database of the test's own.
func newLagCommand(t *testing.T) *lagCommand {
	t.Helper()
	_, kafka := testenv.Kfake(t)
	_, url := testenv.Database(t)
	conn, err := broker.Open(kafka)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.EnsureTopics(t.Context(), broker.Layout{Partitions: 1, ReplicationFactor: 1}); err != nil {
		t.Fatal(err)
	}
	return &lagCommand{Kafka: kafka, Postgres: config.Postgres{DatabaseURL: config.Secret(url)}, Interval: 10 * time.Millisecond}
}

func TestLagPrintsATableOrJSON(t *testing.T) {
	c := newLagCommand(t)
	var out bytes.Buffer
	p := &process{log: slog.New(slog.DiscardHandler), stdout: &out}
	if err := c.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	text := out.String()
	if strings.Contains(text, "\x1b") || strings.Count(text, "total") != 4 || !strings.Contains(text, "start one with applylens consume enrichment") {
		t.Errorf("table:\n%s", text)
	}
	out.Reset()
	c.JSON, c.Groups = true, []string{"mailbox"}
	if err := c.Run(t.Context(), p); err != nil {
		t.Fatal(err)
	}
	var report lag.Report
	if err := json.Unmarshal(out.Bytes(), &report); err != nil || len(report.Groups) != 1 || report.Groups[0].Status != lag.Stopped {
		t.Errorf("%v in %s", err, out.String())
	}
}

func TestLagWatchesUntilItIsStopped(t *testing.T) {
	c := newLagCommand(t)
	c.Watch, c.JSON = true, true
	ctx, cancel := context.WithCancel(t.Context())
	in, out := io.Pipe()
	ended := make(chan error, 1)
	go func() {
		ended <- c.Run(ctx, &process{log: slog.New(slog.DiscardHandler), stdout: out})
		out.Close()
	}()
	lines := bufio.NewScanner(in)
	lines.Buffer(nil, 1<<20)
	var last lag.Report
	for range 3 {
		if !lines.Scan() {
			t.Fatal("the output ended")
		}
		if err := json.Unmarshal(lines.Bytes(), &last); err != nil {
			t.Fatal(err)
		}
	}
	if got := last.Groups[0].Totals.Trend; got != "steady" {
		t.Errorf("trend %q after three looks, want steady", got)
	}
	cancel()
	_, _ = io.Copy(io.Discard, in)
	if err := <-ended; err != nil {
		t.Errorf("a stopped watch ended with %v", err)
	}
}

func TestLagRefusesAnUnknownGroup(t *testing.T) {
	c := newLagCommand(t)
	c.Groups = []string{"nothing"}
	var usage usageError
	if err := c.Run(t.Context(), &process{stdout: io.Discard}); !errors.As(err, &usage) {
		t.Errorf("Run = %v, want wrong usage", err)
	}
}

func TestLagIsMeasuredForMetrics(t *testing.T) {
	c := newLagCommand(t)
	ctx, cancel := context.WithCancel(t.Context())
	links, err := connect(ctx, &c.Kafka, &c.Postgres, "test")
	mustDo(t, err)
	defer links.close()
	registry := prometheus.NewRegistry()
	running, ctx := errgroup.WithContext(ctx)
	mustDo(t, watchLag(ctx, running, links, registry))
	deadline := time.After(30 * time.Second)
	for found := 0; found == 0; {
		families, err := registry.Gather()
		mustDo(t, err)
		for _, family := range families {
			if family.GetName() == "applylens_consumer_lag_records" {
				found = len(family.Metric)
			}
		}
		select {
		case <-deadline:
			t.Fatal("no lag was measured")
		default:
		}
	}
	cancel()
	mustDo(t, running.Wait())
}
