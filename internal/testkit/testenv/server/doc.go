// Package server runs real PostgreSQL, Kafka and Elasticsearch servers as child processes: one of each for a whole test run,
// and dedicated ones for tests that kill, stop or pause them. A server listens on a free loopback port, which it keeps
// across restarts, and ends with the process that started it, even if that is killed.
//
// It also finds or downloads the programs, and clients in other languages. It does not depend on package testing; package testenv does.
package server
