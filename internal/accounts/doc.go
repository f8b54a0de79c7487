// Package accounts keeps the mail accounts that people give us: where they are, how to sign in, what their owners let us do,
// which process watches each, and which UID of which folder is which mail. It is the only writer of these tables.
//
// The secret of an account is sealed before it comes here and bound to the account and the person; it is opened only to connect,
// and no function returns it. Every write of whoever watches an account names its lease, and is refused when another
// has taken over. What the index of mails comes to is told in mail.changed, in the transaction that changes it.
//
// The package decides nothing about mail: internal/mailsync reads mailboxes, and acting is another's.
package accounts
