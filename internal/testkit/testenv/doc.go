// Package testenv provides real servers for tests: a new migrated database, a topic prefix on a real broker, an in-process
// broker, and dedicated servers that a test may kill, stop or pause.
//
// A test is skipped if its server is missing; the message names the variable to set. The command
//
//	go run ./internal/testkit/testenv/run -elasticsearch -- go test ./...
//
// starts the servers and sets the variables. Everything that a test creates is removed when it ends.
package testenv
