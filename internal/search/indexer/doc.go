// Package indexer keeps an Elasticsearch index like the database: what the folds mark, it reads again with the
// application that belongs to it and writes as a whole document.
//
// A mark says only that something may have changed, and is taken away when what was read after it can be found. So the
// index may be behind, and is never wrong for good: an outage, a refused bulk or a lost answer leaves marks behind, and a
// lost index is made anew by marking everything. Any number of processes may run it; one leads, for the sake of
// economy. That two write at once does no harm, since a document's version is drawn before it is read, under the lock
// of its mark: what has the higher version was read later.
//
// The risk of an application grows without an event: those that come to a certain age are marked by the clock.
package indexer
