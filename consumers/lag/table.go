package lag

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/applylens/applylens/internal/printable"
)

// WriteTable writes the report for people: a line per partition, totals per group, then causes and notes. It writes
// plain text, without control characters, whatever Kafka's clients call themselves.
func (r *Report) WriteTable(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintln(table, "GROUP\tPARTITION\tSTATUS\tLAG\tBLOCKED\tSECONDS\tLOST\tPOSITION\tEND\tDRIFT\tRATE\tTREND\tETA\tMEMBER")
	for i := range r.Groups {
		r.Groups[i].writeRows(table)
	}
	if err := table.Flush(); err != nil {
		return err
	}
	for i := range r.Groups {
		if err := r.Groups[i].writeCauses(w); err != nil {
			return err
		}
	}
	for _, note := range r.Notes {
		if _, err := fmt.Fprintln(w, "note:", printable.Text(note)); err != nil {
			return err
		}
	}
	return nil
}

// title is the group with its version, marked when that is not the live one.
func (g *Group) title() string {
	switch {
	case g.Version == nil:
		return g.Name
	case g.Building:
		return fmt.Sprintf("%s v%d (building)", g.Name, *g.Version)
	}
	return fmt.Sprintf("%s v%d", g.Name, *g.Version)
}

func (g *Group) writeRows(w io.Writer) {
	for i := range g.Partitions {
		p := &g.Partitions[i]
		reader := p.Member
		if g.Building {
			reader = p.Owner
		}
		fmt.Fprintf(w, "%s\t%s/%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\t\t\t%s\t%s\n", g.title(), g.Topic, p.Partition, p.Status, number(p.LagRecords), number(p.BlockedRecords),
			seconds(p.LagSeconds), number(p.LostRecords), number(p.Position), number(p.LogEnd), number(p.MirrorDrift), eta(p.ETASeconds), printable.Text(reader))
	}
	t := &g.Totals
	rate := ""
	if t.RecordsPerSecond != nil {
		rate = fmt.Sprintf("%.0f/s", *t.RecordsPerSecond)
	}
	fmt.Fprintf(w, "%s\ttotal\t%s\t%s\t%s\t%s\t%s\t\t\t\t%s\t%s\t%s\t\n", g.title(), g.Status, and(number(t.LagRecords), t.LagRecordsUnknown), and(number(t.BlockedRecords), t.BlockedRecordsUnknown),
		and(seconds(t.LagSeconds), t.LagSecondsUnknown), and(number(t.LostRecords), t.LostRecordsUnknown), rate, t.Trend, eta(t.ETASeconds))
}

// writeCauses tells each cause once, with the partitions that it holds up.
func (g *Group) writeCauses(w io.Writer) error {
	if len(g.Partitions) == 0 {
		_, err := fmt.Fprintf(w, "%s: %s: %s\n", g.title(), g.Status, printable.Text(g.Cause))
		return err
	}
	var causes []string
	partitions := map[string][]int{}
	for i := range g.Partitions {
		p := &g.Partitions[i]
		if p.Cause == "" {
			continue
		}
		cause := fmt.Sprintf("%s: %s", p.Status, p.Cause)
		if partitions[cause] == nil {
			causes = append(causes, cause)
		}
		partitions[cause] = append(partitions[cause], p.Partition)
	}
	for _, cause := range causes {
		if _, err := fmt.Fprintf(w, "%s %v: %s\n", g.title(), partitions[cause], printable.Text(cause)); err != nil {
			return err
		}
	}
	return nil
}

func number(value *int64) string {
	if value == nil {
		return "unknown"
	}
	return fmt.Sprint(*value)
}

func seconds(value *float64) string {
	if value == nil {
		return "unknown"
	}
	return fmt.Sprintf("%.3f", *value)
}

// eta is empty when there is none, which is so without a window and when the lag does not shrink.
func eta(value *float64) string {
	if value == nil || *value == 0 {
		return ""
	}
	return max(time.Second, time.Duration(*value*float64(time.Second)).Round(time.Second)).String()
}

func and(sum string, unknown int) string {
	if unknown == 0 || sum == "unknown" {
		return sum
	}
	return fmt.Sprintf("%s + %d unknown", sum, unknown)
}
