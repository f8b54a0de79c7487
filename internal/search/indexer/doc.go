// Package indexer keeps an Elasticsearch index in step with the database. The folds mark the mails that changed; the indexer
// reads each of them with its application and writes the whole document.
//
// A mark says only that something may have changed. It is removed once the document read after it is searchable. So the
// index may lag, but it converges: after an outage, a refused bulk or a lost answer the marks remain, and a lost index is
// rebuilt by marking everything. Any number of processes may run; one leads, to save work. Two writers at once do no
// harm: a document's version is drawn before the document is read, under the lock of its mark, so the higher version was
// read later.
//
// The risk of an application grows without an event. Applications that reach a certain age are marked by the clock.
package indexer
