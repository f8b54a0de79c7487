package operate

import (
	"context"
	"fmt"

	"github.com/applylens/applylens/consumers/ledger"
	"github.com/applylens/applylens/internal/postgres"
)

// Release lets a source speak again that was set aside, and returns in which partitions it was. What it wrote meanwhile are dead
// letters, which can be redriven.
func (o *Operator) Release(ctx context.Context, source string) (partitions []int, err error) {
	err = postgres.InTx(ctx, o.Config.Pool, func(tx *postgres.Tx) error {
		live, _, err := ledger.LiveVersion(ctx, tx, o.Config.Group.Name)
		if err != nil {
			return err
		}
		if partitions, err = ledger.Release(ctx, tx, o.Config.Group.Name, live, source); err != nil {
			return err
		}
		if len(partitions) == 0 {
			return fmt.Errorf("%s has not set that source aside", o.Config.Group.Name)
		}
		for i := range partitions {
			o.audit(tx, "release", live, &partitions[i], 0, 0)
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("release %s: %w", source, err)
	}
	return partitions, nil
}
