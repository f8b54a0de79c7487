// Package proposer puts mail that is newly folded before its person's policies, once, so that the tray fills by itself.
//
// The mailbox tells of new mail in the transaction that folds it (new_mails). One process leads, by an advisory lock, and lets
// persons have turns: in a turn the policies choose for some of a person's mails, and one transaction under the person's lock
// notes that these mails were considered, inserts what is proposed, and puts the events into the outbox. A crash undoes all of it or
// nothing. That each mail is considered once does not depend on who leads: the transaction considers only what still waits.
//
// Who may be proposed to, by which policy and with what confidence is internal/proposals' to say, as for a request that
// proposes. The package has no statements on tables; internal/actions has.
package proposer
