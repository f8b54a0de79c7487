// Package crash has the crash tests. They run the real binary, built with the tag failpoints, against a dedicated broker and
// PostgreSQL, kill, stop and disturb all three under load, and then compare the tables with what package oracle computes
// from the log.
//
// Every test checks that its fault really happened, and with a guard disabled the comparison must fail. A short form of a
// minute or two is part of the normal tests; SOAK=10m makes TestSoak run for that long instead of one short round.
// SEED repeats a run with the same events and faults, though not with the same timing.
//
// Package pgproxy injects faults into COMMITs; package oracle computes the expected tables.
package crash
