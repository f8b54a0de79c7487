// Package api is the HTTP interface: policies, proposals and decisions, preferences and statistics, as JSON.
//
// It promises that it answers only after the commit, that callers see and change only their own data, that repeating a
// request is harmless, and that no internal error text reaches a client. It owns no table: internal/actions writes what it
// decides by. It writes events through internal/outbox in the transaction of the change, and reads the projections. It
// answers without Kafka.
//
// # Writing
//
// Every change of a person's actions, policies and preferences runs in one transaction that first locks the person's
// row. So decisions, reverts and their events have the same order per person in the tables, in the outbox and in the log.
// What needs nothing but the lock goes out with BEGIN, and events and the remembered answer go out with COMMIT: most
// changes take two round trips to PostgreSQL. See write.go.
//
// # Before the handler
//
// Middlewares authenticate the caller, count what the person has under way (admit.go), refuse parameters that are given twice,
// read and check the body (body.go, text.go), and wait for one of the person's slots (slots.go), in this order: nothing is read
// of a stranger, and a slow body keeps no slot. What computes in a handler does it in turns (internal/turns).
//
// # Streaming
//
// GET /chat/stream answers with server-sent events for as long as a language model takes. It holds slots of its own, and takes those
// of the others only while it searches, reads or writes (chat.go, answer.go, look.go, reword.go, feed.go). It ends soon after its
// secret does (signedin.go).
//
// # Extending
//
// Route registers one more operation; every operation is authenticated, limited and documented without further code.
// Paths below /ops/ need a token with the role operator, all others one with the role owner.
package api
