package main

import (
	"bytes"
	"io"
	"log/slog"
	"net"
	"strings"
	"testing"
)

func TestAUsualAddressInUseIsReplaced(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	usual := taken.Addr().String()
	var log bytes.Buffer
	other, err := address{}.listen("--metrics-listen", usual, slog.New(slog.NewTextHandler(&log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close()
	if got := other.Addr().String(); got == usual || !strings.HasPrefix(got, "127.0.0.1:") {
		t.Errorf("it listens on %s", got)
	}
	inOrder(t, log.String(), "--metrics-listen", "usual="+usual, "address="+other.Addr().String())

	_, err = address{text: usual, given: true}.listen("--metrics-listen", usual, slog.New(slog.DiscardHandler))
	if err == nil || !strings.Contains(err.Error(), "--metrics-listen: ") {
		t.Errorf("the same address, given explicitly: %v", err)
	}
}

func TestAddressesOfTheCommandLine(t *testing.T) {
	t.Setenv("KAFKA_BROKERS", "nowhere:1")
	t.Setenv("DATABASE_URL", "postgres://nowhere")
	parse := func(args ...string) address {
		t.Helper()
		var line commandLine
		parser, err := newParser(&line)
		if err != nil {
			t.Fatal(err)
		}
		parser.Stdout, parser.Stderr = io.Discard, io.Discard
		if _, err := parser.Parse(append([]string{"consume", "weights"}, args...)); err != nil {
			t.Fatal(err)
		}
		return line.Consume.MetricsListen
	}
	if got := parse(); got.given || got.none() || got.or(consumeMetrics) != consumeMetrics {
		t.Errorf("without the flag: %+v", got)
	}
	if got := parse("--metrics-listen="); !got.none() {
		t.Errorf("an empty flag: %+v", got)
	}
	if got := parse("--metrics-listen=:1"); got.none() || got.or(consumeMetrics) != ":1" {
		t.Errorf("the flag: %+v", got)
	}
	t.Setenv("METRICS_LISTEN", consumeMetrics)
	if got := parse(); !got.given {
		t.Errorf("the variable: %+v", got)
	}
}
