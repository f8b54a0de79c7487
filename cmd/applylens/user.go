package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
)

type userCommand struct {
	Export userExportCommand `cmd:"" help:"Write everything that is kept of a user as files."`
	Erase  userEraseCommand  `cmd:"" help:"Erase a user from tables, index, outbox and dead letters, and publish user.erased for every fold and rebuild."`
}

type userExportCommand struct {
	config.Postgres `embed:"" group:"Connections:"`
	output          `embed:""`
	ID              string `arg:"" name:"id" help:"The user's id."`
	Out             string `help:"New or empty directory; default: one in the current directory, named by the time." type:"path" placeholder:"DIR"`
}

// Run exports and lists the files.
func (c *userExportCommand) Run(ctx context.Context, p *process) error {
	if err := c.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens user export")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	if c.Out == "" {
		c.Out = "applylens-export-" + time.Now().UTC().Format("20060102T150405Z") // no id: it may be an address
	}
	manifest, err := person.Export(ctx, pool, c.ID, c.Out, reportRows(os.Stderr, time.Now))
	if err != nil {
		return err
	}
	rows := make([][]string, len(manifest.Files))
	for i, f := range manifest.Files {
		rows[i] = []string{f.Name, number(f.Rows), number(f.Bytes)}
	}
	if err := c.print(p.stdout, manifest, []string{"FILE", "ROWS", "BYTES"}, rows); err != nil || c.JSON {
		return err
	}
	fmt.Fprintf(p.stdout, "written to %s; manifest.json has the checksums and lists what is left out\n", c.Out)
	return nil
}

// reportRows prints an export's progress and remaining time every two seconds.
func reportRows(w io.Writer, clock func() time.Time) func(rows, of int64) {
	const interval = 2 * time.Second
	began := clock()
	next := began.Add(interval)
	return func(rows, of int64) {
		now := clock()
		if now.Before(next) {
			return
		}
		next = now.Add(interval)
		left := time.Duration(float64(now.Sub(began)) / float64(rows) * float64(of-rows))
		fmt.Fprintf(w, "%d of %d rows, %s left\n", rows, of, left.Round(time.Second))
	}
}

type userEraseCommand struct {
	config.Postgres `embed:"" group:"Connections:"`
	output          `embed:""`
	ID              string `arg:"" name:"id" help:"The user's id."`
	Yes             bool   `help:"Do not ask for confirmation."`
	Unknown         bool   `help:"Publish user.erased even if nothing is kept of the user, for events that are not folded yet."`
}

// remains lists what an erasure cannot reach.
const remains = `Folds and rebuilds forget the user when they reach the event. Until then, older events that were not folded yet may become visible; see: applylens lag
Still there:
  the Kafka log, which keeps old records
  PostgreSQL's backups, write-ahead log and, until VACUUM ANALYZE, dead rows and statistics
  exports, and what Prometheus has stored
  the event user.erased itself, with the id: in the outbox until it is sent and OUTBOX_KEEP has passed
`

// Run asks for confirmation, erases, and prints what was erased and what remains.
func (c *userEraseCommand) Run(ctx context.Context, p *process) error {
	if err := c.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	if !c.Yes {
		if err := confirm(os.Stdin, os.Stderr, c.ID); err != nil {
			return err
		}
	}
	pool, err := postgres.Open(ctx, c.Postgres, "applylens user erase")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	erase := person.EraseKnown
	if c.Unknown {
		erase = person.Erase
	}
	erased, err := erase(ctx, pool, c.ID)
	var refused *events.Error
	if errors.As(err, &refused) {
		return usageError{fmt.Errorf("%q cannot be a user's id: %w", c.ID, err)}
	}
	if errors.Is(err, person.ErrUnknown) {
		return fmt.Errorf("%w: %q; to publish user.erased all the same, for events that are not folded yet, add --unknown", person.ErrUnknown, c.ID)
	}
	if err != nil {
		return err
	}
	var rows [][]string
	for _, table := range slices.Sorted(maps.Keys(erased.Rows)) {
		rows = append(rows, []string{table, number(erased.Rows[table])})
	}
	if err := c.print(p.stdout, erased, []string{"TABLE", "ROWS"}, rows); err != nil || c.JSON {
		return err
	}
	fmt.Fprintf(p.stdout, "user.erased will be published to both topics keyed by user, as event %s.\n%s", erased.EventID, remains)
	return nil
}

// confirm asks the operator to type the id again.
func confirm(in io.Reader, out io.Writer, id string) error {
	fmt.Fprintf(out, "This erases everything of user %s and cannot be undone.\n", printable.Text(id))
	return confirmed(in, out, id)
}

// confirmed asks the operator to type a text again.
func confirmed(in io.Reader, out io.Writer, id string) error {
	fmt.Fprint(out, "Type it again to continue: ")
	answer, err := bufio.NewReader(in).ReadString('\n')
	switch {
	case err != nil && !errors.Is(err, io.EOF):
		return fmt.Errorf("read the answer: %w", err)
	case answer == "":
		return usageError{errors.New("no answer on standard input: use --yes in scripts")}
	case strings.TrimRight(answer, "\r\n") != id:
		return errors.New("not confirmed: nothing was changed")
	}
	return nil
}
