// Package server runs real PostgreSQL, Kafka and Elasticsearch servers as child processes: one of each for a whole test
// run, and own ones for tests that kill, stop or pause them. A server listens on loopback, on a port that the kernel
// picked and that it keeps over restarts, and ends with the process that started it, even when that one is killed.
//
// It finds or fetches the programs too. It knows nothing of tests: package testenv gives servers to them.
package server
