// Package crash holds the tests that break things: they run the real binary, built with the tag failpoints, against a
// real broker and a real PostgreSQL of their own, kill, stop and disturb all three under load, and then hold the
// tables against what package oracle reads from the log.
//
// Every fault proves that it really bit, and with a guard switched off the comparison must fail. A short form of a
// minute or two is part of the normal tests; SOAK=10m makes TestSoak go on for that long instead of for one short round.
// SEED repeats a run: the events and the faults are the same again, though not the machine's timing.
//
// Package pgproxy spoils COMMITs; package oracle knows what is right.
package crash
