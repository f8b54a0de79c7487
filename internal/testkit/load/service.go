package load

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"

	"github.com/applylens/applylens/events"
)

// Mix tells what a service sends besides new, small and valid events.
type Mix struct {
	Repeated float64 // share of the records that were sent before, half of them shortly before, half at any time
	Refused  int     // one record in so many must become a dead letter; 0: none
	Large    int     // one record in so many has a member of LargeBytes that ApplyLens ignores; 0: none
}

// LargeBytes is the size of the ignored member of a large event. It leaves room for the rest below events.MaxValue.
const LargeBytes = 900_000

const (
	lateRepeats  = 20_000 // records that are kept, a uniform sample of all before
	earlyRepeats = 64     // records that are kept, the last ones
)

// Service makes the records of another service: without the stamp of a relay, with nine headers, and with the fields of
// the mail instead of features, so that consumers derive them. It is not for concurrent use.
type Service struct {
	generator     *Generator
	mix           Mix
	random        *rand.Rand
	refused       spread
	large         spread
	made          int64 // records that may be sent again
	late          []Record
	early         [earlyRepeats]Record
	conversations string // what large events carry
	summary       ServiceSummary
}

// ServiceSummary counts what Next returned.
type ServiceSummary struct {
	Records  int64 `json:"records"`
	Repeated int64 `json:"repeated"`
	Refused  int64 `json:"refused"`
	Large    int64 `json:"large"`
	Bytes    int64 `json:"bytes"` // of keys, values and headers
}

// NewService returns a service for a topic with the given number of partitions. It overrides the profile's Foreign,
// Derived, Repeated and Refused.
func NewService(profile Profile, mix Mix, partitions int) (*Service, error) {
	profile.Foreign, profile.Derived, profile.Repeated, profile.Refused = 1, 1, 0, 0
	if mix.Repeated < 0 || mix.Repeated >= 1 || mix.Refused < 0 || mix.Large < 0 {
		return nil, fmt.Errorf("mix %+v: Repeated must be a share below 1, the others not negative", mix)
	}
	generator, err := NewGenerator(profile, Identity{}, partitions)
	if err != nil {
		return nil, err
	}
	s := &Service{generator: generator, mix: mix, random: rand.New(rand.NewPCG(profile.Seed, 0x2545f4914f6cdd1d))}
	s.refused, s.large = spread{every: int64(mix.Refused)}, spread{every: int64(mix.Large)}
	if mix.Large > 0 {
		s.conversations = conversations(profile.Seed)
	}
	return s, nil
}

// conversations returns JSON text of twice LargeBytes, of which each large event takes a part.
func conversations(seed uint64) string {
	mails := NewMails(seed)
	var b strings.Builder
	for b.Len() < 2*LargeBytes {
		b.WriteString(mails.text(12))
		b.WriteString(`\n`)
	}
	return b.String()
}

// Summary counts what Next returned.
func (s *Service) Summary() ServiceSummary { return s.summary }

// Next returns the next record. The caller may keep its bytes but must not change them.
func (s *Service) Next() (Record, error) {
	at := s.summary.Records
	s.summary.Records++
	large, refused := s.large.hits(at, s.random), s.refused.hits(at, s.random)
	record, err := s.next(large, refused)
	s.summary.Bytes += int64(contentSize(&record.Record))
	return record, err
}

func (s *Service) next(large, refused bool) (Record, error) {
	switch {
	case refused:
		return s.spoil()
	case !large && s.made > 0 && s.random.Float64() < s.mix.Repeated:
		return s.again(), nil
	}
	record, err := s.event()
	if err != nil {
		return record, err
	}
	if large {
		s.enlarge(&record)
		return record, nil
	}
	s.remember(record)
	return record, nil
}

// event makes a record of a new event.
func (s *Service) event() (Record, error) {
	who, event := s.generator.happen()
	event.Subject = event.Key()
	encoded, err := events.Encode(event)
	if err != nil {
		return Record{}, fmt.Errorf("encode %s: %w", event.Type, err)
	}
	trace, span := s.random.Uint64(), s.random.Uint64()
	encoded.Headers = append(encoded.Headers,
		events.Header{Key: events.HeaderTraceparent, Value: fmt.Appendf(nil, "00-%016x%016x-%016x-01", trace, span, trace^span)},
		events.Header{Key: "ce_dataschema", Value: []byte("https://service.example/schemas/action-v1.json")})
	return Record{Record: encoded, Partition: who.partition, Event: event}, nil
}

// remember samples a record for repeats.
func (s *Service) remember(record Record) {
	s.early[s.made%earlyRepeats] = record
	s.made++
	if len(s.late) < lateRepeats {
		s.late = append(s.late, record)
	} else if at := s.random.Int64N(s.made); at < lateRepeats {
		s.late[at] = record
	}
}

// earlier returns a random record that was sent before: one of the last, or one from any time.
func (s *Service) earlier() Record {
	if s.random.IntN(2) == 0 {
		return s.early[s.random.Int64N(min(s.made, earlyRepeats))]
	}
	return s.late[s.random.IntN(len(s.late))]
}

func (s *Service) again() Record {
	s.summary.Repeated++
	record := s.earlier()
	record.Fate = Repeated
	return record
}

// spoil makes a record that must be dead-lettered, for each reason in turn.
func (s *Service) spoil() (Record, error) {
	kind := int(s.summary.Refused) % len(faults)
	if kind == conflicting && s.made == 0 {
		kind++
	}
	s.summary.Refused++
	if kind == conflicting {
		return spoilt(s.earlier(), kind), nil
	}
	record, err := s.event()
	if err != nil {
		return record, err
	}
	return spoilt(record, kind), nil
}

// enlarge adds a large member that ApplyLens does not know.
func (s *Service) enlarge(record *Record) {
	s.summary.Large++
	from := s.random.IntN(len(s.conversations) - LargeBytes)
	text := strings.TrimSuffix(s.conversations[from:from+LargeBytes], `\`) // not half of an escape
	var b bytes.Buffer
	b.Grow(len(record.Value) + LargeBytes + 20)
	b.WriteString(`{"conversation":"`)
	b.WriteString(text)
	b.WriteString(`",`)
	b.Write(record.Value[1:])
	record.Value = b.Bytes()
}

// spread selects one number in so many, at random within each run of that length.
type spread struct{ every, at int64 }

func (s *spread) hits(number int64, random *rand.Rand) bool {
	if s.every == 0 {
		return false
	}
	if number%s.every == 0 {
		s.at = number + random.Int64N(s.every)
	}
	return number == s.at
}

// size returns an upper estimate of the size of a record in a batch.
func size(r *events.Record) int { return contentSize(r) + 30 + 6*len(r.Headers) }

// contentSize returns the size of key, value and headers.
func contentSize(r *events.Record) int {
	total := len(r.Key) + len(r.Value)
	for i := range r.Headers {
		total += len(r.Headers[i].Key) + len(r.Headers[i].Value)
	}
	return total
}
