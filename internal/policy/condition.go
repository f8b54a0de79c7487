package policy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"regexp/syntax"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/applylens/applylens/internal/moment"
)

// Limits of a condition, checked by Parse.
const (
	MaxNodes  = 100  // of all, any, not and comparisons together
	MaxLevels = 10   // including the outermost
	MaxValues = 1000 // in the list of an operator in
	MaxRegex  = 1000 // bytes of one regular expression
	MaxSteps  = 2000 // compiled instructions of all regular expressions together; each may run once per byte of a text
)

// Error says where and why a condition or a policy is invalid. Pointer is an RFC 6901 JSON pointer, empty for the whole
// document; Detail is a sentence for users.
type Error struct {
	Pointer string
	Detail  string
}

// Error implements error.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Detail
	}
	return e.Pointer + ": " + e.Detail
}

// Condition is a valid condition. It is immutable and safe for concurrent use.
type Condition struct {
	root node
	ats  bool
}

// Parse checks and compiles a condition. The error is an *Error.
func Parse(source []byte) (*Condition, error) {
	if !utf8.Valid(source) {
		return nil, &Error{"", "The condition is not valid UTF-8."}
	}
	p := parser{}
	root, err := p.node(source, "", 1)
	if err != nil {
		return nil, err
	}
	return &Condition{root, p.ats}, nil
}

// ReadsATS reports whether the condition uses an ats field. Otherwise a caller need not load applications.
func (c *Condition) ReadsATS() bool { return c.ats }

// Match reports whether mail fulfils the condition at the time now.
func (c *Condition) Match(mail Mail, now time.Time) bool { return c.root.match(&mail, now) }

type node interface {
	match(mail *Mail, now time.Time) bool
}

type (
	allOf []node
	anyOf []node
	not   struct{ inner node }

	// comparison is false if value is nil, and otherwise the result of test.
	comparison struct {
		value func(mail *Mail, now time.Time) any
		test  test
	}
	test func(value any, now time.Time) bool
)

func (a allOf) match(mail *Mail, now time.Time) bool {
	for _, inner := range a {
		if !inner.match(mail, now) {
			return false
		}
	}
	return true
}

func (a anyOf) match(mail *Mail, now time.Time) bool {
	for _, inner := range a {
		if inner.match(mail, now) {
			return true
		}
	}
	return false
}

func (n not) match(mail *Mail, now time.Time) bool { return !n.inner.match(mail, now) }

func (c comparison) match(mail *Mail, now time.Time) bool {
	value := c.value(mail, now)
	return value != nil && c.test(value, now)
}

// parser counts the parts of one condition.
type parser struct {
	nodes int
	steps int
	ats   bool
}

func (p *parser) node(source []byte, at string, level int) (node, error) {
	if p.nodes++; p.nodes > MaxNodes {
		return nil, &Error{at, fmt.Sprintf("A condition has at most %d parts.", MaxNodes)}
	}
	if level > MaxLevels {
		return nil, &Error{at, fmt.Sprintf("A condition is nested at most %d levels deep.", MaxLevels)}
	}
	op, operand, err := operator(source, at)
	if err != nil {
		return nil, err
	}
	at += "/" + escape(op)
	switch op {
	case "all":
		list, err := p.list(operand, at, level)
		return allOf(list), err
	case "any":
		list, err := p.list(operand, at, level)
		return anyOf(list), err
	case "not":
		inner, err := p.node(operand, at, level+1)
		return not{inner}, err
	}
	return p.compare(op, operand, at)
}

func (p *parser) list(source []byte, at string, level int) ([]node, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(source, &parts); err != nil || parts == nil {
		return nil, &Error{at, "A list of conditions is expected here."}
	}
	if len(parts) == 0 {
		return nil, &Error{at, "The list is empty: it needs at least one condition."}
	}
	nodes := make([]node, 0, min(len(parts), MaxNodes))
	for i, part := range parts {
		inner, err := p.node(part, at+"/"+strconv.Itoa(i), level+1)
		if err != nil {
			return nil, err
		}
		nodes = append(nodes, inner)
	}
	return nodes, nil
}

// operator returns the single member of a condition's object.
func operator(source []byte, at string) (string, json.RawMessage, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(source, &object); err != nil {
		return "", nil, &Error{at, objectFault(source)}
	}
	if len(object) != 1 {
		return "", nil, &Error{at, fmt.Sprintf("A condition is an object with one operator; this one has %d.", len(object))}
	}
	for op, operand := range object {
		return op, operand, nil
	}
	panic("unreachable")
}

func objectFault(source []byte) string {
	if !json.Valid(source) {
		return "The condition is not valid JSON."
	}
	return `A condition is an object such as {"eq":["category","promo"]}.`
}

// compare reads the operand [field, value] of a comparison, or [field] of exists.
func (p *parser) compare(op string, operand []byte, at string) (node, error) {
	compile, known := operators[op]
	if !known && op != "exists" {
		return nil, &Error{at, fmt.Sprintf("There is no operator %q: use all, any, not, eq, neq, lt, lte, gt, gte, in, regex, contains or exists.", op)}
	}
	arity, shape := 2, "[field, value]"
	if op == "exists" {
		arity, shape = 1, "[field]"
	}
	var parts []json.RawMessage
	if err := json.Unmarshal(operand, &parts); err != nil || len(parts) != arity {
		return nil, &Error{at, fmt.Sprintf("The operator %s takes %s.", op, shape)}
	}
	left, err := p.field(parts[0], at+"/0")
	if err != nil {
		return nil, err
	}
	if op == "exists" {
		return comparison{left.value, func(any, time.Time) bool { return true }}, nil
	}
	if compile.kinds&(1<<left.kind) == 0 {
		return nil, &Error{at, fmt.Sprintf("The operator %s does not apply to a field that is %s.", op, kindNames[left.kind])}
	}
	right, err := left.stored(op, parts[1], at+"/1")
	if err != nil {
		return nil, err
	}
	compiled, err := compile.compile(left.kind, right, at+"/1")
	if err != nil {
		return nil, err
	}
	if op == "regex" {
		err = p.weigh(parts[1], at+"/1")
	}
	return comparison{left.value, compiled}, err
}

// stored returns the right side of a comparison in the form in which the field's values are stored. What is no text is left to
// the operator.
func (f field) stored(op string, source []byte, at string) ([]byte, error) {
	var list []json.RawMessage
	var text string
	switch {
	case op == "contains" && f.part != nil && json.Unmarshal(source, &text) == nil:
		return json.Marshal(f.part(text))
	case f.whole == nil || op != "eq" && op != "neq" && op != "in":
	case op == "in" && json.Unmarshal(source, &list) == nil:
		for i, part := range list {
			stored, err := f.stored("eq", part, at+"/"+strconv.Itoa(i))
			if err != nil {
				return nil, err
			}
			list[i] = stored
		}
		return json.Marshal(list)
	case op != "in" && json.Unmarshal(source, &text) == nil && text != "":
		stored, detail := f.whole(text)
		if detail != "" {
			return nil, &Error{at, detail}
		}
		return json.Marshal(stored)
	}
	return source, nil
}

// weigh limits the total cost of the condition's regular expressions: counted repetitions multiply, so a short expression
// can compile to hundreds of thousands of instructions.
func (p *parser) weigh(source []byte, at string) error {
	pattern, err := textLiteral(source, at)
	if err != nil {
		return err
	}
	parsed, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return badRegex(err, at)
	}
	program, err := syntax.Compile(parsed.Simplify())
	if err != nil {
		return badRegex(err, at)
	}
	if p.steps += len(program.Inst); p.steps > MaxSteps {
		return &Error{at, "The regular expressions of this condition are too costly in total: use fewer, or smaller counts in repetitions such as {1000}."}
	}
	return nil
}

func (p *parser) field(source []byte, at string) (field, error) {
	var name string
	if err := json.Unmarshal(source, &name); err != nil || isNull(source) {
		return field{}, &Error{at, "The left side must be the name of a field."}
	}
	f, known := fields[name]
	if !known {
		return field{}, &Error{at, fmt.Sprintf("There is no field %q.", name)}
	}
	p.ats = p.ats || strings.HasPrefix(name, "ats.")
	return f, nil
}

// operatorRule has the kinds of fields that an operator applies to, as bits, and how its right side is parsed.
type operatorRule struct {
	kinds   uint8
	compile func(k kind, source []byte, at string) (test, error)
}

const (
	plain   = 1<<textKind | 1<<numberKind | 1<<timeKind | 1<<flagKind
	ordered = 1<<numberKind | 1<<timeKind
)

var operators = map[string]operatorRule{
	"eq":       {plain, equal},
	"neq":      {plain, unequal},
	"lt":       {ordered, order(func(c int) bool { return c < 0 })},
	"lte":      {ordered, order(func(c int) bool { return c <= 0 })},
	"gt":       {ordered, order(func(c int) bool { return c > 0 })},
	"gte":      {ordered, order(func(c int) bool { return c >= 0 })},
	"in":       {plain | 1<<listKind, oneOf},
	"regex":    {1 << textKind, matches},
	"contains": {1<<textKind | 1<<listKind, contains},
}

func equal(k kind, source []byte, at string) (test, error) {
	switch k {
	case textKind, listKind:
		want, err := textLiteral(source, at)
		want = fold(want)
		if k == listKind {
			return func(value any, _ time.Time) bool { return hasLabel(value.([]string), want) }, err
		}
		return func(value any, _ time.Time) bool { return fold(value.(string)) == want }, err
	case flagKind:
		var want bool
		if err := json.Unmarshal(source, &want); err != nil || isNull(source) {
			return nil, &Error{at, "The right side must be true or false."}
		}
		return func(value any, _ time.Time) bool { return value.(bool) == want }, nil
	}
	return order(func(c int) bool { return c == 0 })(k, source, at)
}

func unequal(k kind, source []byte, at string) (test, error) {
	same, err := equal(k, source, at)
	return func(value any, now time.Time) bool { return !same(value, now) }, err
}

// order compares numbers and times; holds decides by the sign of left minus right.
func order(holds func(sign int) bool) func(kind, []byte, string) (test, error) {
	return func(k kind, source []byte, at string) (test, error) {
		if k == timeKind {
			want, err := timeLiteral(source, at)
			return func(value any, now time.Time) bool { return holds(against(value.(time.Time), want, now)) }, err
		}
		var want float64
		if err := json.Unmarshal(source, &want); err != nil || isNull(source) {
			return nil, &Error{at, "The right side must be a number."}
		}
		return func(value any, _ time.Time) bool { return holds(sign(value.(float64) - want)) }, nil
	}
}

// against tells whether a time lies before (-1), in (0) or behind (1) a period.
func against(at time.Time, period moment.Period, now time.Time) int {
	begin, next := period.Bounds(now)
	switch {
	case at.Before(begin):
		return -1
	case at.Equal(begin), at.Before(next):
		return 0
	}
	return 1
}

func sign(x float64) int {
	switch {
	case x < 0:
		return -1
	case x > 0:
		return 1
	}
	return 0
}

// oneOf is true if any value of the list is equal; for labels, if any of them is present.
func oneOf(k kind, source []byte, at string) (test, error) {
	var parts []json.RawMessage
	if err := json.Unmarshal(source, &parts); err != nil || parts == nil {
		return nil, &Error{at, "The right side of in must be a list of values."}
	}
	if len(parts) == 0 {
		return nil, &Error{at, "The list is empty: it needs at least one value."}
	}
	if len(parts) > MaxValues {
		return nil, &Error{at, fmt.Sprintf("The list has at most %d values.", MaxValues)}
	}
	tests := make([]test, 0, len(parts))
	for i, part := range parts {
		same, err := equal(k, part, at+"/"+strconv.Itoa(i))
		if err != nil {
			return nil, err
		}
		tests = append(tests, same)
	}
	return func(value any, now time.Time) bool {
		for _, same := range tests {
			if same(value, now) {
				return true
			}
		}
		return false
	}, nil
}

func matches(_ kind, source []byte, at string) (test, error) {
	pattern, err := textLiteral(source, at)
	if err != nil {
		return nil, err
	}
	if len(pattern) > MaxRegex {
		return nil, &Error{at, fmt.Sprintf("A regular expression has at most %d bytes.", MaxRegex)}
	}
	compiled, err := regexp.Compile(pattern)
	if err != nil {
		return nil, badRegex(err, at)
	}
	return func(value any, _ time.Time) bool { return compiled.MatchString(value.(string)) }, nil
}

func badRegex(err error, at string) *Error {
	return &Error{at, "This is not a valid RE2 regular expression: " + strings.TrimPrefix(err.Error(), "error parsing regexp: ") + "."}
}

func contains(k kind, source []byte, at string) (test, error) {
	if k == listKind {
		return equal(k, source, at)
	}
	part, err := textLiteral(source, at)
	part = fold(part)
	return func(value any, _ time.Time) bool { return strings.Contains(fold(value.(string)), part) }, err
}

func hasLabel(labels []string, folded string) bool {
	for _, label := range labels {
		if fold(label) == folded {
			return true
		}
	}
	return false
}

// textLiteral refuses the empty text, which does not match a missing field as one might expect, and text that PostgreSQL
// cannot store.
func textLiteral(source []byte, at string) (string, error) {
	var s string
	if err := json.Unmarshal(source, &s); err != nil || isNull(source) {
		return "", &Error{at, "The right side must be a text."}
	}
	if s == "" {
		return "", &Error{at, `The text is empty: to find mail without this field, use {"not":{"exists":[field]}}.`}
	}
	if strings.ContainsAny(s, "\x00\uFFFD") {
		return "", &Error{at, "The text contains a character that is not allowed: NUL, or half of a surrogate pair."}
	}
	return s, nil
}

func timeLiteral(source []byte, at string) (moment.Period, error) {
	fault := &Error{at, `The right side must be a time: a date such as "2026-01-31", RFC 3339 such as "2026-01-31T09:00:00Z", or relative such as "now-7d" or "now/d".`}
	var s string
	if err := json.Unmarshal(source, &s); err != nil {
		return moment.Period{}, fault
	}
	m, err := moment.Parse(s)
	switch {
	case errors.Is(err, moment.ErrFar):
		return m, &Error{at, "A relative time must be within 100 years from now."}
	case err != nil:
		return m, fault
	}
	return m, nil
}

func isNull(source []byte) bool { return bytes.Equal(bytes.TrimSpace(source), []byte("null")) }

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func escape(token string) string { return pointerEscapes.Replace(token) }
