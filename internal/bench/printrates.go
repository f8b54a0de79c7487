package bench

import (
	"fmt"
	"io"
	"strconv"
	"strings"
)

// writeStreams writes a line for each stream.
func (r *Report) writeStreams(w io.Writer) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "STREAM\tRECORDS\tREPEATED\tREFUSED\tOF 900 KB\tBYTES/RECORD\tBATCHES\tCOMPRESSION")
	for _, s := range r.Streams {
		batches, compression := grouped(float64(s.Batches)), r.Settings.Compression
		if s.Name == Own {
			batches, compression = "", "none"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", s.Name, grouped(float64(s.Records)), grouped(float64(s.Repeated)),
			grouped(float64(s.Refused)), grouped(float64(s.Large)), grouped(float64(s.Bytes)/float64(s.Records)), batches, compression)
	}
}

// writeRates writes a line for each rate, with the targets in brackets.
func (r *Report) writeRates(w io.Writer) {
	fmt.Fprintln(w)
	fmt.Fprintln(w, "WHAT\tPROCESSES\tEVENTS/S\tMIN..MAX\tTIMES OWN\tTIMES CLEAN\tCPU US/EVENT\tPEAK MIB\tTIMES NAIVE")
	for _, rate := range r.Rates {
		fmt.Fprintln(w, strings.Join(rate.cells(), "\t"))
	}
}

func (r *Rate) cells() []string {
	return []string{
		r.What, strconv.Itoa(r.Processes),
		atLeast(r.Median, 0, r.Target), grouped(r.Min) + ".." + grouped(r.Max),
		atLeast(r.TimesOwn, 2, r.OwnTarget), atLeast(r.TimesClean, 2, r.CleanTarget),
		atMost(r.CPU, 1, r.CPUTarget), atMost(r.PeakMiB, 0, r.PeakTarget),
		atLeast(r.TimesNaive, 1, nil),
	}
}

// atLeast formats a figure that must not be below its target.
func atLeast(figure float64, decimals int, target *Target) string {
	return judged(figure, decimals, target, target != nil && figure < target.AtLeast)
}

// atMost formats a figure that must not be above its target.
func atMost(figure float64, decimals int, target *Target) string {
	return judged(figure, decimals, target, target != nil && figure > target.AtLeast)
}

// judged formats a figure with its target and marks one that misses it. A figure of 0 was not measured and is empty.
func judged(figure float64, decimals int, target *Target, missed bool) string {
	if figure == 0 {
		return ""
	}
	text := decimal(figure, decimals)
	if target != nil {
		text += " [" + decimal(target.AtLeast, decimals) + " " + decimal(target.Aim, decimals) + "]"
	}
	if missed {
		text += "*"
	}
	return text
}

func decimal(number float64, decimals int) string {
	if decimals == 0 {
		return grouped(number)
	}
	return strconv.FormatFloat(number, 'f', decimals, 64)
}
