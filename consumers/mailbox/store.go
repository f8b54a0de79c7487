package mailbox

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/money"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/search/keys"
)

// eraseMails removes all mails of persons from a version and returns their ids.
const eraseMails = `
DELETE FROM mails WHERE version = $1 AND user_id = ANY ($2::text[]) RETURNING id`

// eraseAddresses and eraseCorrespondents remove all addresses of persons from a version; of their own it returns the keys.
const (
	eraseAddresses = `
DELETE FROM mail_addresses WHERE version = $1 AND user_id = ANY ($2::text[]) RETURNING address_key(address)`
	eraseCorrespondents = `
DELETE FROM mail_correspondents WHERE version = $1 AND user_id = ANY ($2::text[])`
)

// lockMarks is what whoever changes marks calls first; markAddresses and markMails do.
const lockMarks = `
SELECT lock_marks()`

// unmarkAddresses takes back what markAddresses told of addresses that are nobody's own any more. It locks marks in the order
// in which they are made.
const unmarkAddresses = `
WITH marked AS (
    SELECT address, company FROM dirty_addresses WHERE address = ANY ($2::text[]) AND company = '*'
    ORDER BY address COLLATE "C", company COLLATE "C" FOR UPDATE)
DELETE FROM dirty_addresses d USING marked
WHERE d.address = marked.address AND d.company = marked.company
  AND NOT EXISTS (SELECT FROM mail_addresses o WHERE o.version = $1 AND address_key(o.address) = d.address)
  AND NOT EXISTS (SELECT FROM own_addresses o WHERE o.address = d.address)`

// removeMails removes single mails of persons from a version, so that what follows is no repeat of what the table has.
const removeMails = `
DELETE FROM mails m USING unnest($2::uuid[], $3::text[]) AS x(id, user_id)
WHERE m.version = $1 AND m.id = x.id AND m.user_id = x.user_id`

// selectFirst returns what tells mails of a version from others of their Message-IDs.
const selectFirst = `
SELECT id, identity_hash, sender FROM mails WHERE version = $1 AND id = ANY ($2::uuid[])`

// putMails makes or replaces rows of a version in the order given, and returns the ids of those that changed: a row
// with the same content stays as it is, and so does one of another person, if the hashes that ids are made of ever meet.
// Ids are unique within a statement. Lists come as array literals, since unnest would flatten a list of lists.
const putMails = `
INSERT INTO mails AS t (version, id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
    recipients, list_id, received_at, category, risk_score, quarantined, labels, expires_at, text, truncated,
    content_hash, updated_at, parties, companies, search_words, identity_hash,
    receipt_merchant, receipt_key, receipt_amount, receipt_currency, html)
SELECT $1, x.id, x.user_id, x.message_id, x.thread, x.subject, x.sender, x.sender_name, x.sender_domain,
    x.recipients::text[], x.list_id, x.received_at, x.category, x.risk_score, x.quarantined, x.labels::text[],
    x.expires_at, x.text, x.truncated, x.content_hash, x.updated_at, x.parties::text[], x.companies::text[], x.search_words, x.identity_hash,
    x.receipt_merchant, x.receipt_key, x.receipt_amount::numeric, x.receipt_currency, NULLIF(x.html, '')
FROM unnest($2::uuid[], $3::text[], $4::text[], $5::text[], $6::text[], $7::text[], $8::text[], $9::text[],
    $10::text[], $11::text[], $12::timestamptz[], $13::text[], $14::int[], $15::bool[], $16::text[],
    $17::timestamptz[], $18::text[], $19::bool[], $20::bigint[], $21::timestamptz[], $22::text[], $23::text[], $24::text[], $25::bytea[],
    $26::text[], $27::text[], $28::text[], $29::text[], $30::text[])
    AS x(id, user_id, message_id, thread, subject, sender, sender_name, sender_domain,
    recipients, list_id, received_at, category, risk_score, quarantined, labels,
    expires_at, text, truncated, content_hash, updated_at, parties, companies, search_words, identity_hash,
    receipt_merchant, receipt_key, receipt_amount, receipt_currency, html)
ON CONFLICT (id, version) DO UPDATE SET
    thread        = excluded.thread,
    subject       = excluded.subject,
    sender        = excluded.sender,
    sender_name   = excluded.sender_name,
    sender_domain = excluded.sender_domain,
    recipients    = excluded.recipients,
    list_id       = excluded.list_id,
    received_at   = excluded.received_at,
    category      = excluded.category,
    risk_score    = excluded.risk_score,
    quarantined   = excluded.quarantined,
    labels        = excluded.labels,
    expires_at    = excluded.expires_at,
    text          = excluded.text,
    truncated     = excluded.truncated,
    content_hash  = excluded.content_hash,
    updated_at    = excluded.updated_at,
    parties       = excluded.parties,
    companies     = excluded.companies,
    search_words  = excluded.search_words,
    identity_hash = excluded.identity_hash,
    receipt_merchant = excluded.receipt_merchant,
    receipt_key      = excluded.receipt_key,
    receipt_amount   = excluded.receipt_amount,
    receipt_currency = excluded.receipt_currency,
    html             = excluded.html
WHERE t.user_id = excluded.user_id AND t.content_hash <> excluded.content_hash
RETURNING t.id`

// putAddresses adds the addresses that are missing in a version, in the order given, and returns those.
const putAddresses = `
INSERT INTO mail_addresses (version, user_id, address)
SELECT $1, x.user_id, x.address FROM unnest($2::text[], $3::text[]) AS x(user_id, address)
ON CONFLICT DO NOTHING
RETURNING address`

// putCorrespondents adds the correspondents that are missing in a version, in the order given.
const putCorrespondents = `
INSERT INTO mail_correspondents (version, user_id, address)
SELECT $1, x.user_id, x.address FROM unnest($2::text[], $3::text[]) AS x(user_id, address)
ON CONFLICT DO NOTHING`

// markMails tells the indexer which mails to look at again.
const markMails = `
SELECT mark_mails($1)`

// markAddresses tells the indexer that these addresses became a person's own, so that mail may match another
// application now.
const markAddresses = `
SELECT mark_addresses($1, array_fill('*'::text, ARRAY[cardinality($1::text[])]))`

// The limits of one statement, which bound the memory of both sides.
const (
	maxRows  = 5000
	maxBytes = 2 << 20

	maxCorrespondents = 20_000
)

// changes are what a transaction changed, as far as others care.
type changes struct {
	mails     [][16]byte
	addresses []string // keys
	forgotten []string // keys of addresses of erased persons
	new       newMails // what the proposer cares for
}

// write brings the fold into a version and returns what changed by it.
func write(ctx context.Context, tx *postgres.Tx, version int, fold *Fold) (changes, error) {
	var changed changes
	if err := erase(ctx, tx, version, fold, &changed); err != nil {
		return changed, err
	}
	first, err := firstMails(ctx, tx, version, fold.firstIDs())
	if err != nil {
		return changed, err
	}
	entries := fold.sorted(first)
	changed.new.add(entries, time.Now())
	if err := writeMails(ctx, tx, version, entries, &changed); err != nil {
		return changed, err
	}
	if err := writeCorrespondents(ctx, tx, version, fold.correspondents); err != nil {
		return changed, err
	}
	return changed, writeAddresses(ctx, tx, version, fold.addresses, &changed)
}

func erase(ctx context.Context, tx *postgres.Tx, version int, fold *Fold, changed *changes) error {
	if len(fold.erased) == 0 {
		return nil
	}
	users := make([]string, 0, len(fold.erased))
	for user := range fold.erased {
		users = append(users, user)
	}
	slices.Sort(users)
	ids, err := postgres.Collect[[16]byte](ctx, tx, eraseMails, version, users)
	if err != nil {
		return fmt.Errorf("erase mails: %w", err)
	}
	changed.mails = append(changed.mails, ids...)
	if changed.forgotten, err = postgres.Collect[string](ctx, tx, eraseAddresses, version, users); err != nil {
		return fmt.Errorf("erase mail addresses: %w", err)
	}
	if _, err := tx.Exec(ctx, eraseCorrespondents, version, users); err != nil {
		return fmt.Errorf("erase correspondents: %w", err)
	}
	return nil
}

// firstMails returns the identities of those mails that a version has.
func firstMails(ctx context.Context, tx *postgres.Tx, version int, ids [][16]byte) (map[events.UUID]identity, error) {
	first := map[events.UUID]identity{}
	for part := range slices.Chunk(ids, maxRows) {
		rows, err := tx.Query(ctx, selectFirst, version, part)
		if err != nil {
			return nil, fmt.Errorf("find first mails: %w", err)
		}
		var id [16]byte
		var found identity
		_, err = pgx.ForEachRow(rows, []any{&id, &found.hash, &found.sender}, func() error {
			first[id] = identity{slices.Clone(found.hash), found.sender}
			return nil
		})
		if err != nil {
			return nil, fmt.Errorf("find first mails: %w", err)
		}
	}
	return first, nil
}

func writeMails(ctx context.Context, tx *postgres.Tx, version int, entries []*entry, changed *changes) error {
	var replaced [][16]byte
	var persons []string
	for _, entry := range entries {
		if entry.replaces {
			replaced, persons = append(replaced, entry.row.ID), append(persons, entry.row.UserID)
		}
	}
	if len(replaced) > 0 {
		if _, err := tx.Exec(ctx, removeMails, version, replaced, persons); err != nil {
			return fmt.Errorf("remove replaced mails: %w", err)
		}
	}
	for len(entries) > 0 {
		var columns columns
		count := 0
		for size := 0; count < len(entries) && count < maxRows && (count == 0 || size < maxBytes); count++ {
			size += columns.add(&entries[count].row)
		}
		entries = entries[count:]
		ids, err := postgres.Collect[[16]byte](ctx, tx, putMails, columns.arguments(version)...)
		if err != nil {
			return fmt.Errorf("put mails: %w", err)
		}
		changed.mails = append(changed.mails, ids...)
	}
	return nil
}

func writeCorrespondents(ctx context.Context, tx *postgres.Tx, version int, correspondents addresses) error {
	for part := range slices.Chunk(correspondents.sorted(), maxCorrespondents) {
		users, names := columnsOf(part)
		if _, err := tx.Exec(ctx, putCorrespondents, version, users, names); err != nil {
			return fmt.Errorf("put correspondents: %w", err)
		}
	}
	return nil
}

// columnsOf returns addresses as the arguments of a statement.
func columnsOf(list []address) (users, names []string) {
	users, names = make([]string, len(list)), make([]string, len(list))
	for i, a := range list {
		users[i], names[i] = a.user, a.address
	}
	return users, names
}

func writeAddresses(ctx context.Context, tx *postgres.Tx, version int, own addresses, changed *changes) error {
	if len(own) == 0 {
		return nil
	}
	users, names := columnsOf(own.sorted())
	added, err := postgres.Collect[string](ctx, tx, putAddresses, version, users, names)
	if err != nil {
		return fmt.Errorf("put mail addresses: %w", err)
	}
	for _, address := range added {
		changed.addresses = append(changed.addresses, ats.Key(address))
	}
	return nil
}

// mark writes the marks of changes: those of addresses first, as the indexer does, which turns them into marks of mails.
func mark(ctx context.Context, tx *postgres.Tx, version int, changed changes) error {
	if len(changed.addresses) > 0 {
		if _, err := tx.Exec(ctx, markAddresses, changed.addresses); err != nil {
			return fmt.Errorf("mark addresses: %w", err)
		}
	}
	if len(changed.forgotten) > 0 {
		if _, err := tx.Exec(ctx, lockMarks); err != nil {
			return fmt.Errorf("lock marks: %w", err)
		}
		if _, err := tx.Exec(ctx, unmarkAddresses, version, changed.forgotten); err != nil {
			return fmt.Errorf("take marks off addresses: %w", err)
		}
	}
	if len(changed.mails) > 0 {
		if _, err := tx.Exec(ctx, markMails, changed.mails); err != nil {
			return fmt.Errorf("mark mails: %w", err)
		}
	}
	return nil
}

// columns are rows as the arguments of putMails.
type columns struct {
	ids                                                    [][16]byte
	users, messageIDs, threads, subjects                   []string
	senders, senderNames, senderDomains, recipients, lists []string
	receivedAt                                             []time.Time
	categories                                             []string
	riskScores                                             []*int32
	quarantined                                            []bool
	labels                                                 []string
	expiresAt                                              []*time.Time
	texts                                                  []string
	truncated                                              []bool
	hashes                                                 []int64
	updatedAt                                              []time.Time
	parties, companies, searchWords                        []string
	identities                                             [][]byte
	merchants, merchantKeys, amounts, currencies           []*string
	pages                                                  []string
}

// add adds a row and returns roughly how many bytes it takes. What search looks at is made here and not in the fold,
// which would hold it for a whole batch.
func (c *columns) add(r *Row) int {
	c.ids = append(c.ids, r.ID)
	c.users = append(c.users, r.UserID)
	c.messageIDs = append(c.messageIDs, r.MessageID)
	c.threads = append(c.threads, r.Thread)
	c.subjects = append(c.subjects, r.Subject)
	c.senders = append(c.senders, r.Sender)
	c.senderNames = append(c.senderNames, r.SenderName)
	c.senderDomains = append(c.senderDomains, r.SenderDomain)
	c.recipients = append(c.recipients, arrayLiteral(r.Recipients))
	c.lists = append(c.lists, r.ListID)
	c.receivedAt = append(c.receivedAt, r.ReceivedAt)
	c.categories = append(c.categories, r.Category)
	c.riskScores = append(c.riskScores, r.RiskScore)
	c.quarantined = append(c.quarantined, r.Quarantined)
	c.labels = append(c.labels, arrayLiteral(r.Labels))
	c.expiresAt = append(c.expiresAt, r.ExpiresAt)
	c.texts = append(c.texts, r.Text)
	c.truncated = append(c.truncated, r.Truncated)
	c.hashes = append(c.hashes, int64(r.ContentHash))
	c.updatedAt = append(c.updatedAt, r.UpdatedAt)
	c.parties = append(c.parties, arrayLiteral(r.Parties))
	c.companies = append(c.companies, arrayLiteral(r.Companies))
	sought := keys.Mail{
		UserID: r.UserID, Subject: r.Subject, Text: r.Text, Sender: r.Sender, SenderName: r.SenderName, SenderDomain: r.SenderDomain,
		Recipients: r.Recipients, Labels: r.Labels, Category: r.Category, ListID: r.ListID,
		Quarantined: r.Quarantined, HasRiskScore: r.RiskScore != nil, HasExpiry: r.ExpiresAt != nil,
	}
	words := sought.Join()
	c.searchWords = append(c.searchWords, words)
	c.identities = append(c.identities, r.Identity)
	c.addReceipt(r.Receipt)
	c.pages = append(c.pages, r.HTML)
	return r.size() + len(words)
}

// addReceipt adds what a mail tells of money, NULLs for none.
func (c *columns) addReceipt(r *money.Receipt) {
	var merchant, key, amount, currency *string
	if r != nil {
		decimal, code := r.Amount.Decimal(), r.Amount.Currency()
		merchant, key, amount, currency = &r.Merchant, &r.Key, &decimal, &code
	}
	c.merchants, c.merchantKeys = append(c.merchants, merchant), append(c.merchantKeys, key)
	c.amounts, c.currencies = append(c.amounts, amount), append(c.currencies, currency)
}

func (c *columns) arguments(version int) []any {
	return []any{version, c.ids, c.users, c.messageIDs, c.threads, c.subjects, c.senders, c.senderNames, c.senderDomains,
		c.recipients, c.lists, c.receivedAt, c.categories, c.riskScores, c.quarantined, c.labels,
		c.expiresAt, c.texts, c.truncated, c.hashes, c.updatedAt, c.parties, c.companies, c.searchWords, c.identities,
		c.merchants, c.merchantKeys, c.amounts, c.currencies, c.pages}
}

var literalEscapes = strings.NewReplacer(`\`, `\\`, `"`, `\"`)

// arrayLiteral is the text form of a text[].
func arrayLiteral(values []string) string {
	var b strings.Builder
	b.WriteByte('{')
	for i, value := range values {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteByte('"')
		_, _ = literalEscapes.WriteString(&b, value) // a strings.Builder takes all
		b.WriteByte('"')
	}
	b.WriteByte('}')
	return b.String()
}
