// Package policy decides which action to propose for a mail: the condition language, the confidence learned from decisions,
// and the choice among a user's policies.
//
// It is pure: it reads no clock, table or log, and the same input always has the same result. The caller provides the mail,
// the time, the learned weights and the share of promotions, and stores the result.
//
// # Conditions
//
// A condition is {"all":[...]}, {"any":[...]}, {"not":...} or one comparison {"op":[field, value]}. These are the fields
// and their operators:
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
// eq, neq, in and contains compare text and labels case-insensitively. A regex (RE2 syntax) is case-sensitive unless it begins
// with (?i). contains searches for a substring. sender is the address without the display name. An empty text counts as
// missing.
//
// A time is an RFC 3339 time, or relative to now: "now", "now-7d", "now+12h", with the units m, h, d (24 hours) and w.
// age_days and expired_days are days of 24 hours since received_at and expires_at, rounded down; before these times they are
// negative.
//
// A comparison of a missing field is false, including neq. not inverts its operand, so
// {"not":{"eq":["ats.stage","Offer"]}} also matches mail without a stage.
//
// A condition has at most MaxNodes parts in MaxLevels levels. The time of its regular expressions is proportional to the text,
// and MaxSteps limits the factor: no condition takes longer than a fraction of a second per mail.
package policy
