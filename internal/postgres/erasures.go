package postgres

import (
	"context"
	"fmt"
	"time"
)

// Erasures delete a person's rows up to a moment, table by table, in their order. The person is $1 in each statement, the moment $2.
type Erasures []struct{ Table, SQL string }

// Tables lists the tables that Run empties.
func (list Erasures) Tables() []string {
	var tables []string
	for _, e := range list {
		tables = append(tables, e.Table)
	}
	return tables
}

// Run deletes what is kept of a person from before a moment, and returns the number of rows by table.
func (list Erasures) Run(ctx context.Context, db DB, person string, until time.Time) (map[string]int64, error) {
	rows := map[string]int64{}
	for _, e := range list {
		tag, err := db.Exec(ctx, e.SQL, person, until)
		if err != nil {
			return nil, fmt.Errorf("erase from %s: %w", e.Table, err)
		}
		rows[e.Table] = tag.RowsAffected()
	}
	return rows, nil
}
