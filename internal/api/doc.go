// Package api is the HTTP interface: policies, proposals and decisions, preferences and statistics, as JSON.
//
// It promises that an answer is given only when what it tells is committed, that whoever asks sees and changes their
// own data only, that repeating a request is harmless, and that no inner error text reaches a client. It owns the
// tables policies, actions, idempotency_keys, forgotten_features and performed_actions, and the column users.forgets;
// it writes events through internal/outbox in the transaction of the change, and reads the projections through their
// views; Kafka is not needed for any answer.
//
// # Writing
//
// Every change of a person's actions, policies and preferences runs in one transaction that first locks the person's
// row. So decisions, reverts and their events have one order per person, in the tables, in the outbox and in the log. See
// write.go.
//
// # Extending
//
// Route registers one more operation; every operation is authenticated, limited and documented without further code.
// Paths below /ops/ need the role operator, all others the role owner.
package api
