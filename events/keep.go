package events

// Keeper copies events, so that they outlive the next call of their decoder. Its memory is used again after Reset. It is
// for one goroutine.
type Keeper struct {
	events       slab[Event]
	actions      slab[Action]
	preferences  slab[Preference]
	mails        slab[Mail]
	mailChanges  slab[MailChange]
	applications slab[Application]
	erasures     slab[Erasure]
	texts        slab[string]
	addresses    slab[Address]
	attachments  slab[Attachment]
	integers     slab[int64]
	risks        slab[int]
}

// Keep returns a copy of an event that is valid until Reset, and roughly how many bytes it takes.
func (k *Keeper) Keep(event *Event) (kept *Event, size int) {
	kept = keep(&k.events, event)
	size = 200
	switch {
	case event.Action != nil:
		a := keep(&k.actions, event.Action)
		a.Features, a.Policies = keepAll(&k.texts, a.Features), keepAll(&k.integers, a.Policies)
		kept.Action = a
		size += 300 + textBytes(a.Features) + len(a.Mail.Subject) + 8*len(a.Policies)
	case event.Preference != nil:
		kept.Preference = keep(&k.preferences, event.Preference)
		size += 100
	case event.Mail != nil:
		kept.Mail = k.mail(event.Mail)
		size += mailBytes(kept.Mail)
	case event.MailChange != nil:
		c := keep(&k.mailChanges, event.MailChange)
		c.Folders, c.Labels = keepAll(&k.texts, c.Folders), keepAll(&k.texts, c.Labels)
		kept.MailChange = c
		size += 200 + len(c.MessageID) + len(c.ContentHash) + textBytes(c.Folders) + textBytes(c.Labels)
	case event.Application != nil:
		kept.Application = keep(&k.applications, event.Application)
		kept.Application.Addresses = keepAll(&k.texts, event.Application.Addresses)
		size += 300 + textBytes(kept.Application.Addresses)
	case event.Erasure != nil:
		kept.Erasure = keep(&k.erasures, event.Erasure)
		size += 60
	}
	return kept, size
}

// textBytes is what a list of texts takes, as if none of them were there once more.
func textBytes(list []string) int {
	size := 16 * len(list)
	for _, text := range list {
		size += len(text)
	}
	return size
}

func mailBytes(m *Mail) int {
	size := 900 + len(m.MessageID) + len(m.Thread) + len(m.Subject) + len(m.Text) + len(m.HTML) + len(m.Calendar) +
		len(m.ListUnsubscribe) + len(m.ListUnsubscribePost) + len(m.InReplyTo)
	for _, list := range [][]string{m.DeliveredTo, m.Labels, m.DKIMSigned, m.References} {
		size += textBytes(list)
	}
	for _, list := range [][]Address{m.Recipients, m.To, m.Cc} {
		for i := range list {
			size += 32 + len(list[i].Name) + len(list[i].Address)
		}
	}
	for i := range m.Attachments {
		size += 40 + len(m.Attachments[i].Name) + len(m.Attachments[i].Type)
	}
	return size
}

func (k *Keeper) mail(mail *Mail) *Mail {
	m := keep(&k.mails, mail)
	for _, list := range []*[]string{&m.DeliveredTo, &m.Labels, &m.DKIMSigned, &m.References} {
		*list = keepAll(&k.texts, *list)
	}
	for _, list := range []*[]Address{&m.Recipients, &m.To, &m.Cc} {
		*list = keepAll(&k.addresses, *list)
	}
	m.Attachments = keepAll(&k.attachments, m.Attachments)
	if m.RiskScore != nil {
		m.RiskScore = keep(&k.risks, m.RiskScore)
	}
	return m
}

// Reset forgets all copies.
func (k *Keeper) Reset() {
	k.events.reset()
	k.actions.reset()
	k.preferences.reset()
	k.mails.reset()
	k.mailChanges.reset()
	k.applications.reset()
	k.erasures.reset()
	k.texts.reset()
	k.addresses.reset()
	k.attachments.reset()
	k.integers.reset()
	k.risks.reset()
}

// slabLength is how many values a block of a slab has.
const slabLength = 256

// slab hands out memory for values in blocks, which stay where they are. Blocks that were not needed since the last reset
// are given to the garbage collector.
type slab[T any] struct {
	blocks [][]T
	block  int // the one in use
	used   int // of its values
}

// take returns memory for n values, each with any content.
func (s *slab[T]) take(n int) []T {
	if n > slabLength {
		return make([]T, n)
	}
	if len(s.blocks) == 0 {
		s.blocks = append(s.blocks, make([]T, slabLength))
	}
	if s.used+n > slabLength {
		if s.block++; s.block == len(s.blocks) {
			s.blocks = append(s.blocks, make([]T, slabLength))
		}
		s.used = 0
	}
	taken := s.blocks[s.block][s.used : s.used+n : s.used+n]
	s.used += n
	return taken
}

// reset makes all memory free, and keeps as many blocks as were in use. What they hold is cleared, so that no string
// outlives its event.
func (s *slab[T]) reset() {
	if len(s.blocks) == 0 {
		return
	}
	clear(s.blocks[s.block+1:])
	s.blocks = s.blocks[:s.block+1]
	for _, block := range s.blocks {
		clear(block)
	}
	s.block, s.used = 0, 0
}

func keep[T any](s *slab[T], value *T) *T {
	copied := &s.take(1)[0]
	*copied = *value
	return copied
}

func keepAll[T any](s *slab[T], list []T) []T {
	if len(list) == 0 {
		return list
	}
	copied := s.take(len(list))
	copy(copied, list)
	return copied
}
