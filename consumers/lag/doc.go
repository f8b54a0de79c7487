// Package lag tells how far behind the log every projection is: in records that can still be read, in records that stand
// behind an open transaction, in records that retention took before they were read, and in seconds, which are exact, since
// they are the age of the very record that is to be read next. It judges from a window of looks, without thresholds, whether a partition keeps up.
//
// Positions are PostgreSQL's; while it is away, those that are mirrored in Kafka are shown instead, and marked. What
// cannot be known is null, never 0, and no total adds it up. The package changes nothing anywhere.
package lag
