package policy

import (
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

// The actions that a policy can propose.
const (
	LabelEmail           = "label_email"
	ArchiveEmail         = "archive_email"
	MoveToFolder         = "move_to_folder"
	UnsubscribeViaHeader = "unsubscribe_via_header"
	CreateCalendarEvent  = "create_calendar_event"
	CreateTask           = "create_task"
	BlockSender          = "block_sender"
	QuarantineAttachment = "quarantine_attachment"
)

// Actions lists all actions.
var Actions = []string{LabelEmail, ArchiveEmail, MoveToFolder, UnsubscribeViaHeader,
	CreateCalendarEvent, CreateTask, BlockSender, QuarantineAttachment}

// The default values of a policy.
const (
	DefaultPriority  = 100
	DefaultThreshold = 0.7
)

// Policy is a rule of a user: for mail that fulfils Condition, propose Action.
type Policy struct {
	ID        int64
	Name      string // 1..255 characters, unique among the user's policies
	Enabled   bool
	Priority  int             // 1..1000, lower first
	Condition json.RawMessage // see the package comment
	Action    string          // one of Actions
	Threshold float64         // 0..1
	CreatedAt time.Time
	UpdatedAt time.Time
}

// Validate lists every fault, with pointers into the JSON form; nil if there is none. It does not check whether the name is
// taken.
func (p *Policy) Validate() []*Error {
	var faults []*Error
	refuse := func(pointer, format string, args ...any) {
		faults = append(faults, &Error{pointer, fmt.Sprintf(format, args...)})
	}
	if n := utf8.RuneCountInString(p.Name); n < 1 || n > 255 || strings.TrimSpace(p.Name) == "" {
		refuse("/name", "A name must have 1 to 255 characters.")
	} else if strings.Contains(p.Name, "\x00") || !utf8.ValidString(p.Name) {
		refuse("/name", "The name contains a character that is not allowed.")
	}
	if p.Priority < 1 || p.Priority > 1000 {
		refuse("/priority", "A priority must be 1 to 1000.")
	}
	if !(p.Threshold >= 0 && p.Threshold <= 1) {
		refuse("/confidence_threshold", "A threshold must be 0 to 1.")
	}
	if !slices.Contains(Actions, p.Action) {
		refuse("/action", "There is no action %q: use %s.", p.Action, strings.Join(Actions, ", "))
	}
	if _, err := Parse(p.Condition); err != nil {
		fault := conditionFault(err)
		refuse("/condition"+fault.Pointer, "%s", fault.Detail)
	}
	return faults
}

func conditionFault(err error) *Error {
	var fault *Error
	if !errors.As(err, &fault) {
		panic("policy: Parse returned an error that is not an *Error")
	}
	return fault
}

// Set is a user's enabled policies in the order in which they are tried. It is immutable and safe for concurrent use.
type Set struct {
	rules []rule
	pause func() error // nil: none
}

type rule struct {
	policy    Policy
	condition *Condition
}

// NewSet compiles the enabled policies: lower priority first, and at equal priority the newest first. An error names the
// policy whose condition this binary does not support.
func NewSet(policies []Policy) (*Set, error) {
	set := &Set{}
	for _, policy := range policies {
		if !policy.Enabled {
			continue
		}
		condition, err := Parse(policy.Condition)
		if err != nil {
			return nil, fmt.Errorf("compile condition of policy %d: %w", policy.ID, err)
		}
		set.rules = append(set.rules, rule{policy, condition})
	}
	slices.SortFunc(set.rules, func(a, b rule) int {
		return cmp.Or(cmp.Compare(a.policy.Priority, b.policy.Priority),
			b.policy.CreatedAt.Compare(a.policy.CreatedAt), cmp.Compare(b.policy.ID, a.policy.ID))
	})
	return set, nil
}

// Pausing returns a set of the same policies that calls pause before it tries a condition, since one may compute for a tenth of
// a second. When pause returns an error, the rest is not tried, and the caller must not use the result.
func (s *Set) Pausing(pause func() error) *Set { return &Set{s.rules, pause} }

// goesOn calls pause and tells whether the next condition may be tried.
func (s *Set) goesOn() bool { return s.pause == nil || s.pause() == nil }

// Proposal is what a policy proposes for a mail.
type Proposal struct {
	Policy     Policy
	Confidence float64
	Explored   bool
	Features   []string
	Params     map[string]string
	Rationale  Rationale
}

// Choose returns the proposal of the first policy that matches and fires, and false if there is none. It does not know earlier
// proposals and decisions. If the chosen policy has a pending proposal or a standing decision for the mail, the caller must
// propose nothing, not the proposal of a later policy, so that repeated requests have no effect. promoRatio is the share of
// promotions among the sender's mail to the user in the last 90 days, 0..1.
func (s *Set) Choose(mail Mail, now time.Time, promoRatio float64, weights func(feature string) float64) (Proposal, bool) {
	var features []string
	for i := range s.rules {
		if !s.goesOn() {
			break
		}
		policy := &s.rules[i].policy
		if !s.rules[i].condition.Match(mail, now) {
			continue
		}
		if features == nil {
			features = mail.Features()
		}
		score := scoreOf(policy.Threshold, &mail, features, promoRatio, weights)
		fires, explored := Fires(score.confidence, policy.Threshold, mail.ID, policy.ID)
		if !fires {
			continue
		}
		return Proposal{
			Policy:     *policy,
			Confidence: round(score.confidence),
			Explored:   explored,
			Features:   features,
			Params:     Params(policy.Action, mail),
			Rationale:  explain(policy, &mail, now, promoRatio, score, explored),
		}, true
	}
	return Proposal{}, false
}

// Matching returns the policies that match mail and propose action, in the order of the set, whether they fire or not.
func (s *Set) Matching(mail Mail, now time.Time, action string) []Policy {
	var found []Policy
	for _, r := range s.rules {
		if r.policy.Action == action && s.goesOn() && r.condition.Match(mail, now) {
			found = append(found, r.policy)
		}
	}
	return found
}

// round removes floating-point noise, so that users see 0.78 and not 0.7799999999999999.
func round(x float64) float64 { return math.Round(x*1e6) / 1e6 }

// Params returns the parameters of the action. It is never nil.
func Params(action string, mail Mail) map[string]string {
	params := map[string]string{}
	set := func(name, value string) {
		if value != "" {
			params[name] = value
		}
	}
	switch action {
	case LabelEmail:
		set("label", cmp.Or(mail.Category, "other"))
	case MoveToFolder:
		set("folder", cmp.Or(mail.Category, "other"))
	case CreateCalendarEvent, CreateTask:
		set("title", mail.Subject)
	case BlockSender:
		set("sender", mail.Sender)
	case UnsubscribeViaHeader:
		set("list_id", mail.ListID)
		set("sender", mail.Sender)
	}
	return params
}
