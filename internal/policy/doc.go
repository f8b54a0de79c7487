// Package policy decides which action to propose for a mail: the condition language, the confidence that decisions
// taught, and the choice among a person's policies.
//
// It is pure: it reads no clock, no table and no log, and the same input gives the same answer for ever. Who calls it
// brings the mail, the time, the learned weights and the share of promotions, and stores what comes out.
//
// # Conditions
//
// A condition is {"all":[...]}, {"any":[...]}, {"not":...} or one comparison {"op":[field, value]}. The fields and the
// operators that they take:
//
//	field                                              kind    operators
//	category, sender, sender_domain, subject, list_id  text    eq neq in contains regex exists
//	ats.stage, ats.system, ats.company                 text    eq neq in contains regex exists
//	risk_score, age_days, expired_days                 number  eq neq lt lte gt gte in exists
//	ats.ghosting_risk                                  number  eq neq lt lte gt gte in exists
//	received_at, expires_at                            time    eq neq lt lte gt gte in exists
//	quarantined                                        flag    eq neq in exists
//	labels                                             list    contains (one label), in (any of), exists
//
// Text is compared without regard to case by eq, neq, in and contains, labels too: nobody remembers how a stage or a
// sender was written. A regex (RE2 syntax) is taken as written and may begin with (?i); contains looks for a part of the text. sender is
// the address, without the display name. A text that is empty counts as missing.
//
// A time is an RFC 3339 time or relative to now: "now", "now-7d", "now+12h", with the units m, h, d (24 hours) and w.
// age_days and expired_days are whole days of 24 hours since received_at and expires_at, rounded down, and negative
// before them.
//
// A comparison of a missing field is false, neq included; not inverts what stands inside it, so
// {"not":{"eq":["ats.stage","Offer"]}} also matches mail without a stage.
//
// A condition has at most MaxNodes parts in MaxLevels levels. Its regular expressions take time in proportion to the
// text, and MaxSteps bounds the factor: no condition takes longer than a fraction of a second for a mail.
package policy
