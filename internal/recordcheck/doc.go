// Package recordcheck checks records in files against the contract for producers, without any server: what the consumers' decoder
// refuses, and the rules for topic, key and partition. It tells all faults of each record, and what to do about them.
//
// Records are JSON documents, one a line or several lines long:
//
//   - events in the structured mode of CloudEvents: objects with specversion, and the payload as data;
//   - records with headers, key and payload, as kcat prints them with -J, "applylens deadletters show" as JSON, and the golden samples in
//     events/testdata have them;
//   - with Options.Type, payloads alone.
//
// Text that is not JSON is one broken record. Reading goes on behind it, and needs memory for one document of MaxDocument bytes,
// however long the file is.
package recordcheck
