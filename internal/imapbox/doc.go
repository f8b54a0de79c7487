// Package imapbox is a session with one mailbox over IMAP: what is in its folders, and the few changes that acting needs.
//
// The server is not trusted: every command has a deadline, after which the connection is closed; what a server may send in
// answer to a command is bounded, and so is what is kept of it; numbers that contradict themselves are an error. Every error is an
// *Error, which says whether trying again may help, and in words what a mailbox's owner can do.
//
// A Box is for one goroutine. It decides nothing: which folders are read is internal/mailsync's to say, and what is
// done to a mail that of whoever acts. It alters no message and expunges nothing but the UID that it is told.
package imapbox
