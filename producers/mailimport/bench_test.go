package mailimport

import (
	"bufio"
	"bytes"
	"cmp"
	"errors"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
)

// BenchmarkCorpus parses the mail below MAIL_CORPUS, or else the real messages of the tests. It reports how many messages
// there are, how many are broken, how many lost characters, and how many have no text.
func BenchmarkCorpus(b *testing.B) {
	files, faults, err := inputs(cmp.Or(os.Getenv("MAIL_CORPUS"), "../../internal/sample/testdata/real.mbox.gz"))
	if err != nil || len(faults) > 0 {
		b.Fatal(err, faults)
	}
	var mail []string // unpacked, so that reading files is not measured
	size := int64(0)
	for _, file := range files {
		var read atomic.Int64
		source, err := file.open(b.Context(), nil, bufio.NewReader(nil), &read)
		if err != nil {
			b.Fatal(err)
		}
		var text bytes.Buffer
		if _, err := io.Copy(&text, source); err != nil {
			b.Fatal(err)
		}
		if err := source.close(); err != nil {
			b.Fatal(err)
		}
		mail, size = append(mail, text.String()), size+int64(text.Len())
	}
	b.SetBytes(size)
	count := map[string]int{}
	for b.Loop() {
		clear(count)
		for _, text := range mail {
			parseAll(b, text, count)
		}
	}
	for _, name := range []string{"messages", "broken", "lossy", "textless"} {
		b.ReportMetric(float64(count[name]), name)
	}
	b.ReportMetric(float64(b.N*count["messages"])/b.Elapsed().Seconds(), "messages/s")
}

func parseAll(b *testing.B, text string, count map[string]int) {
	reader := NewReader(strings.NewReader(text), "f")
	for {
		raw, err := reader.Next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			b.Fatal(err)
		}
		count["messages"]++
		event, err := Parse(raw, Options{UserID: "u", RecordedAt: importTime})
		if err != nil {
			count["broken"]++
			continue
		}
		if strings.Contains(event.Mail.Subject+event.Mail.Sender.Name+event.Mail.Text, replacement) {
			count["lossy"]++
		}
		if event.Mail.Text == "" {
			count["textless"]++
		}
	}
}
