// Package rebuild builds a version of a projection from the log beside the live one: it plans, folds, compares both at
// exactly the same positions, swaps, and rolls back.
//
// The folding is the consumers' loop, and every statement on versions and positions the ledger's. A version that is being
// built has no effect outside its own rows.
package rebuild
