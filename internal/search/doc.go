// Package search is the query language of mail search and the port that the engines implement. It knows no database.
//
// The syntax of queries follows Lucene. Parse checks a query and turns it into a tree of allowed fields; engines get that
// tree and never the text. docs/search.md describes the language.
//
// A query means the same to every engine, which searchtest checks: words come from internal/tokenize, a comparison with a
// missing field is false and its negation true, and hits are ordered as Engine promises, without scores.
package search
