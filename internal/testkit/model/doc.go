// Package model is a model checker for positions: it explores everything that two workers, the group's coordinator,
// PostgreSQL, the log and an operator can do to one or two partitions, in every order, breadth first. It checks the
// invariants of the consumer loop in every state, and returns the shortest trace to a state that breaks one.
//
// It is a model, not the loop. It shows that the rules are sufficient and, by disabling them one at a time, that each is
// necessary. The crash tests show that the loop follows them. Actions have the names of failpoints, so that a trace can be
// turned into a crash test:
//
//	action           failpoint        what happens
//	claim            after_claim      owner_epoch increases; the log is inspected; the position is read
//	fetch            after_fetch      one or two records are read at the position
//	inspect          -                the topic id and the end of the leader epoch are compared, after the fetch
//	compare_and_set  after_cas        the transaction's first statement locks the row
//	effects          after_effects    the rest of the transaction, not yet visible
//	commit           after_commit     position and effects become visible together
//	lose_answer      before_commit    COMMIT was sent, but its response is lost
//	server_commits   -                ... and it was committed
//	server_aborts    -                ... and it was rolled back
//	mirror           after_mirror     the position is copied to Kafka by a member of the current generation
//	mirror_late      -                ... or only with the next batch
//	swap             swap_after_flip  another version, built meanwhile, becomes live
//
// Without a failpoint: join, crash, restart, pause, resume, expire, rebalance, terminate (the server ends the session), elect
// (a new leader that lost no records), truncate (one that did), recreate (the topic), adopt and rewind (the operator; the
// rewind is the hardest one: the version is emptied and folded again by other code).
package model
