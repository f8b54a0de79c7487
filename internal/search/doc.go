// Package search is the query language of mail search and the port that the engines implement. It knows no database.
//
// A query is text in the form that people know from Lucene. Parse checks it and makes a tree of allowed fields of it;
// engines get that tree and never the text. docs/search.md describes the language.
//
// What a query means is the same for every engine, and searchtest holds them to it: words are those of internal/tokenize, a
// comparison with a field that a mail lacks is false and its negation true, and of the order of hits only what Engine
// promises counts, no score.
package search
