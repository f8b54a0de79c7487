// Package mailimport reads mail files (mbox also as Gmail Takeout writes it, Maildir, single messages, each plain or
// gzipped, or in a zip or tar archive) and publishes each message as mail.received.
//
// A file of any size is read in bounded memory, and the time and memory of a message are proportional to its size. A broken
// message is reported with its position and skipped; the rest of the file is imported. An interrupted import can be
// resumed. Importing a file twice yields the same mails: a message is identified by its Message-ID, or else by a SHA-256
// over its content, and only recorded_at depends on the time of the import. While Kafka is unavailable, the import waits.
// The package writes no table.
package mailimport
