// Package operate holds the verbs by which operators move positions on where the loop would not do so by itself, and
// decide on dead letters: adopt, rewind, skip, redrive and discard.
//
// Every verb is one transaction or a few, audited with actor and reason. The statements are the ledger's; the package folds
// nothing.
package operate
