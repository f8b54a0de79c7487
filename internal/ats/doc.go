// Package ats tells which job application a mail belongs to.
//
// The rule is a join in the database, the view live_ats: an application meets a mail by an address, and, when that
// address is the mailbox owner's own, also by the company that sent it. This package makes the keys that the view
// compares, which the projections store: addresses in one form, and the names under which a company is known and under
// which a sender may be a company. It also reads the view for policies. It writes nothing.
package ats
