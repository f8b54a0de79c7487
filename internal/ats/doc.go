// Package ats matches mails with job applications.
//
// The match is a join in the database, the view live_ats: an application matches a mail by an address and, if that address is
// the mailbox owner's own, also by the company that sent the mail. This package computes the keys that the view compares and
// the projections store: normalised addresses, the names of a company, and the company names of a sender. It also reads the
// view for policies. It writes nothing.
package ats
