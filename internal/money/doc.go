// Package money finds out whether a mail is a receipt, and of which amount and merchant: whether it tells its owner that money was
// charged, paid or refunded for something. It knows no clock, no database and no network: the same mail always gives the same.
//
// Find looks first for amounts, which most mail has none of (scan.go, number.go, currencies.go). Then it looks at what stands beside each
// amount (label.go), weighs the words of the subject and the text (judge.go, words.go), and takes the amount that is labelled
// most clearly as the total. Amounts are never added up. Who is paid is read from the text or from the sender's name (merchant.go).
//
// Time and memory are bounded, whatever the text. What this package finds is stored: a change of it is a change of the
// mailbox's fold.
package money
