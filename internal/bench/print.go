package bench

import (
	"encoding/json"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
)

// WriteJSON writes the report as one JSON document.
func (r *Report) WriteJSON(w io.Writer) error {
	encoder := json.NewEncoder(w)
	encoder.SetIndent("", "  ")
	return encoder.Encode(r)
}

// WriteText writes the report as text: method, figures and their targets.
func (r *Report) WriteText(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 8, 2, ' ', 0)
	r.writeMethod(table)
	if len(r.Streams) > 0 {
		r.writeStreams(table)
	}
	if len(r.Rates) > 0 {
		r.writeRates(table)
	}
	if r.Swaps != nil {
		r.Swaps.write(table)
	}
	if r.Latency != nil {
		r.Latency.write(table, r.Settings)
	}
	if r.Distant != nil {
		r.Distant.write(table, r.Settings)
	}
	if r.Indexed != nil {
		r.Indexed.write(table)
	}
	fmt.Fprintln(table)
	for _, fault := range r.Faults {
		fmt.Fprintln(table, "WRONG RESULT:", fault)
	}
	fmt.Fprintf(table, "%d results were checked (ledgers, dead letters, all rows of the tables, rebuilt versions row by row, approvals); %d are wrong.\n", r.Checks, len(r.Faults))
	return table.Flush()
}

func (r *Report) writeMethod(w io.Writer) {
	s, m := &r.Settings, r.Machine
	fmt.Fprintf(w, "Machine: %d cores, %s, %s; Kafka %s; PostgreSQL %s with fsync %s, synchronous_commit %s, shared_buffers %s.\n",
		m.Cores, m.Platform, m.Go, m.Kafka, m.PostgreSQL, m.Fsync, m.SynchronousCommit, m.SharedBuffers)
	fmt.Fprintf(w, "Method: processes of this binary, all guarantees on; servers, processes and bench share the machine. %d partitions.\n", s.Partitions)
	if len(r.Rates) > 0 {
		fmt.Fprintf(w, "Rates: a log of %s records of %s users, a third proposed, the rest decisions; time from the first claim of a position until\n", grouped(float64(s.Events)), grouped(float64(s.Users)))
		fmt.Fprintf(w, "the last commit, with two processes the rebalance included; empty tables and a CHECKPOINT before each run; median of runs: %d.\n", s.Runs)
		fmt.Fprintln(w, "CPU time is that of the measured processes, without the servers'; memory the peak of the largest process over all runs.")
		fmt.Fprintln(w, "In brackets what a figure must reach, and what is aimed at; * marks one that misses it.")
	}
}

func (d *Delays) write(w io.Writer, s Settings) {
	fmt.Fprintln(w)
	fmt.Fprintf(w, "Delays: %d approvals over HTTP, %s a second whatever the answers take, of %d persons, counted from when each was due.\n", d.Approvals, grouped(s.Rate), approvers)
	if d.ExtraRTT > 0 {
		fmt.Fprintf(w, "Each round trip to PostgreSQL takes %.1f ms longer, by a proxy before API, relay and consumer.\n", d.ExtraRTT)
	}
	fmt.Fprintln(w, "MILLISECONDS\tP50\tP90\tP99\tMAX\tP99 AT MOST\tAIM\t")
	d.Answered.write(w, "approve answered", "\t\t")
	t := d.Target
	d.Visible.write(w, "approve to visible in preferences", fmt.Sprintf("%g\t%g\t%s", t.AtLeast, t.Aim, verdict(d.Visible.P99 <= t.AtLeast, d.Visible.P99 <= t.Aim)))
	writePeaks(w, d.PeakMiB)
}

func writePeaks(w io.Writer, peaks map[string]float64) {
	var sizes []string
	for name, size := range peaks {
		sizes = append(sizes, fmt.Sprintf("%s %.0f", name, size))
	}
	slices.Sort(sizes)
	fmt.Fprintln(w, "Peak MiB:", strings.Join(sizes, ", "))
}

func (q Quantiles) write(w io.Writer, what, rest string) {
	fmt.Fprintf(w, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%s\n", what, q.P50, q.P90, q.P99, q.Max, rest)
}

func verdict(enough, aimed bool) string {
	switch {
	case aimed:
		return "aim reached"
	case enough:
		return "enough"
	}
	return "MISSED"
}

// grouped formats a whole number with commas between the thousands.
func grouped(number float64) string {
	text := strconv.FormatFloat(number, 'f', 0, 64)
	for at := len(text) - 3; at > 0; at -= 3 {
		text = text[:at] + "," + text[at:]
	}
	return text
}
