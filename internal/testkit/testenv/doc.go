// Package testenv gives tests real servers: a migrated database of their own, topics of their own on a real broker, an
// in-process broker, and whole servers that a test may kill, stop or pause.
//
// A test that needs a server which is not there skips and names the variable that brings it. The command
//
//	go run ./internal/testkit/testenv/run -elasticsearch -- go test ./...
//
// starts the servers and sets the variables. What a test made is removed when it ends.
package testenv
