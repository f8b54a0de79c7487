// Package model explores the machine of positions: everything that two workers, the group's coordinator, PostgreSQL,
// the log and an operator can do to one or two partitions, in every order, breadth first. It holds the invariants of
// the consumer loop on every state, and gives the shortest trace to a state that breaks one.
//
// It is a model, not the loop: it promises that the rules are sufficient, and by switching them off one at a time that
// each is needed. That the loop follows them is what the crash tests show; the names of the actions are the names of
// the failpoints, so that a trace becomes a crash test:
//
//	action           failpoint        what happens
//	claim            after_claim      owner_epoch grows; the log is inspected; the position is read
//	fetch            after_fetch      one or two records from the position on
//	inspect          -                topic id and end of the leader epoch are compared, after the fetch
//	compare_and_set  after_cas        the transaction's first statement takes the row's lock
//	effects          after_effects    the rest of the transaction, visible to nobody yet
//	commit           after_commit     position and effects become visible at once
//	lose_answer      before_commit    COMMIT was sent, its answer never comes
//	server_commits   -                ... and it had been carried out
//	server_aborts    -                ... and it had not
//	mirror           after_mirror     the position is repeated to Kafka through the owning generation
//	mirror_late      -                ... or not before the next batch
//	swap             swap_after_flip  another version, built meanwhile, becomes the live one
//
// and without a failpoint: join, crash, restart, pause, resume, expire, rebalance, terminate (the server ends the
// session), elect (a new leader that lost nothing), truncate (one that did), recreate (the topic), adopt and rewind
// (the operator; a rewind is the harshest one: the version is emptied and folded anew by other code).
package model
