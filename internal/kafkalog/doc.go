// Package kafkalog reads the records of a Kafka partition: fetch requests, record batches, compression, control
// batches, aborted transactions, leader epochs and the ends of the log. The consumers' loop, the relay, the lag reports
// and the operators' tools all read through it.
//
// A fetch keeps the broker's answer as bytes; records are cut from it one at a time, so that memory is bounded by the
// compressed answer and the largest record, whatever a batch unpacks to. A batch with a right checksum that still cannot
// be read, such as one of an unknown compression, is delivered as a single record with an Err, so that its reader can
// give it an outcome instead of stopping for ever.
//
// The package moves no position and decides on no record. It writes nothing to Kafka.
package kafkalog
