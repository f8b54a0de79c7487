// Package elastic keeps mails in Elasticsearch 8 and finds them there: the client with what it may ask, the documents,
// and the engine behind internal/search.
//
// A client never retries by itself and keeps no text of an answer that could hold somebody's mail. The caller decides
// what is written when; see internal/search/indexer.
package elastic
