// Package mailimport reads mail files (mbox also as Gmail Takeout writes it, Maildir, single messages, each plain or
// gzipped) and publishes each message as mail.received.
//
// It promises that a file of any size is read in bounded memory, that no message costs much more time or memory than its
// bytes, that a broken message is reported with its place and skipped but never the file, that an import that was
// interrupted goes on where it was, and that the same file imported twice gives the same mails: what identifies a message
// is its Message-ID, or else a SHA-256 over its content, and the time of the import is in no field that is kept but
// recorded_at. While Kafka is away it waits. It folds nothing and writes no table.
package mailimport
