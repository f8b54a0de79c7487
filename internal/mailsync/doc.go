// Package mailsync reads the mailboxes of accounts, all that is there and then what changes, and publishes each mail as mail.received,
// as an import of the same mail would.
//
// Any number of processes share the accounts: each is watched by the one that holds its lease, and taken over by another when that
// is gone. Mail is published, and only when Kafka has acknowledged it does the account's index have it, in one transaction
// with mail.changed; whatever a crash cuts short is read again and has the same identity. The index is compared with
// what the mailbox has whenever counts differ, so it comes to equal it, whatever happened meanwhile.
//
// A mailbox is opened for reading only. The package writes no table: internal/accounts does.
package mailsync
