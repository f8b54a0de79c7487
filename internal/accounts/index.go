package accounts

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
)

// Folder is a folder of an account, with what was known of it when it was last read to its end.
type Folder struct {
	ID            int64
	Name          string
	Use           string
	Watched       bool
	UIDValidity   uint32
	UIDNext       uint32
	HighestModSeq uint64
}

// Identity is what tells a mail from others: as in mail.received.
type Identity struct {
	MessageID   string
	ContentHash string
}

// Entry is a mail in a folder. One that cannot be read has no identity.
type Entry struct {
	UID      uint32
	Identity Identity
	Flags    []string
}

// Change is what was seen of one folder.
type Change struct {
	Folder      int64
	UIDValidity uint32
	Seen        []Entry  // mails that were not known, whose mail.received has been acknowledged
	Flagged     []Entry  // mails whose flags have changed; their identities are not looked at
	Gone        []uint32 // mails that are not in the folder any more
	Others      bool     // what is known under other UIDVALIDITYs is gone
	Done        *Folder  // the folder was read to its end
}

const (
	selectFolders = `
SELECT id, name, special_use, watched, uidvalidity, uidnext, highestmodseq FROM account_folders WHERE account_id = $1 ORDER BY id`

	upsertFolders = `
INSERT INTO account_folders (account_id, user_id, name, special_use, watched)
SELECT $1, $2, x.name, x.use, x.watched FROM unnest($3::text[], $4::text[], $5::boolean[]) AS x (name, use, watched)
ON CONFLICT (account_id, name) DO UPDATE SET special_use = excluded.special_use, watched = excluded.watched`

	// touchedByFolders finds the mails of folders that are gone, or are not watched any more.
	touchedByFolders = `
SELECT DISTINCT m.message_id, m.content_hash
FROM account_mails m JOIN account_folders f ON f.id = m.folder_id
WHERE f.account_id = $1 AND m.content_hash <> '' AND NOT (f.watched AND f.name = ANY ($2))`

	deleteFolderMails = `
DELETE FROM account_mails m USING account_folders f
WHERE f.id = m.folder_id AND f.account_id = $1 AND NOT (f.watched AND f.name = ANY ($2))`

	deleteFolders = `DELETE FROM account_folders WHERE account_id = $1 AND NOT name = ANY ($2)`

	finishFolder = `
UPDATE account_folders SET uidvalidity = $3, uidnext = $4, highestmodseq = $5 WHERE id = $2 AND account_id = $1`

	insertSeen = `
INSERT INTO account_mails (account_id, user_id, folder_id, uidvalidity, uid, message_id, content_hash, flags)
SELECT $1, $2, $3, $4, x.uid, x.message_id, x.content_hash, string_to_array(x.flags, ' ')
FROM unnest($5::bigint[], $6::text[], $7::text[], $8::text[]) AS x (uid, message_id, content_hash, flags)
ON CONFLICT DO NOTHING`

	updateFlags = `
UPDATE account_mails m SET flags = string_to_array(x.flags, ' ')
FROM unnest($3::bigint[], $4::text[]) AS x (uid, flags)
WHERE m.folder_id = $1 AND m.uidvalidity = $2 AND m.uid = x.uid AND m.flags <> string_to_array(x.flags, ' ')`

	deleteGone   = `DELETE FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2 AND uid = ANY ($3)`
	deleteOthers = `DELETE FROM account_mails WHERE folder_id = $1 AND uidvalidity <> $2`

	// touchedByUIDs and touchedByOthers find the mails that a change is about.
	touchedByUIDs = `
SELECT DISTINCT message_id, content_hash FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2 AND uid = ANY ($3) AND content_hash <> ''`
	touchedByOthers = `
SELECT DISTINCT message_id, content_hash FROM account_mails WHERE folder_id = $1 AND uidvalidity <> $2 AND content_hash <> ''`

	// selectPlaces tells where mails are, and with which keywords.
	selectPlaces = `
SELECT x.message_id, x.content_hash,
       ARRAY(SELECT DISTINCT f.name FROM account_mails m JOIN account_folders f ON f.id = m.folder_id
             WHERE m.account_id = $1 AND m.content_hash = x.content_hash AND m.message_id = x.message_id ORDER BY 1),
       ARRAY(SELECT DISTINCT k FROM account_mails m, unnest(m.flags) AS k
             WHERE m.account_id = $1 AND m.content_hash = x.content_hash AND m.message_id = x.message_id AND left(k, 1) <> '\' ORDER BY 1)
FROM unnest($2::text[], $3::text[]) AS x (message_id, content_hash)`

	// drawSeq draws numbers for changes of an account. They rise also after the database was restored from a backup, as far as
	// the clock does.
	drawSeq = `
UPDATE accounts SET seq = GREATEST(seq, (extract(epoch FROM clock_timestamp()) * 1000000)::bigint) + $2 WHERE id = $1
RETURNING seq, clock_timestamp()`

	selectKnown = `
SELECT DISTINCT message_id, content_hash FROM account_mails WHERE account_id = $1 AND content_hash = ANY ($2)`

	selectEntries = `
SELECT uid, array_to_string(flags, ' ') FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2`

	selectUIDs = `SELECT uid FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2 ORDER BY uid`

	selectHighest = `SELECT COALESCE(max(uid), 0) FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2`

	countEntries = `SELECT count(*) FROM account_mails WHERE folder_id = $1 AND uidvalidity = $2`
)

// Folders lists the folders of an account.
func Folders(ctx context.Context, db DB, account events.UUID) ([]Folder, error) {
	rows, err := db.Query(ctx, selectFolders, account)
	if err != nil {
		return nil, fmt.Errorf("read folders: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Folder])
	if err != nil {
		return nil, fmt.Errorf("read folders: %w", err)
	}
	return list, nil
}

// Known returns which of these mails are in some folder of the account.
func Known(ctx context.Context, db DB, account events.UUID, list []Identity) (map[Identity]bool, error) {
	hashes := make([]string, len(list))
	for i, one := range list {
		hashes[i] = one.ContentHash
	}
	found, err := identities(ctx, db, selectKnown, account, hashes)
	known := make(map[Identity]bool, len(found))
	for _, one := range found {
		known[one] = true
	}
	return known, err
}

// Entries returns the UIDs that are known of a folder with their flags, for servers that do not tell what changed.
func Entries(ctx context.Context, db DB, folder int64, uidValidity uint32) (map[uint32][]string, error) {
	rows, err := db.Query(ctx, selectEntries, folder, uidValidity)
	if err != nil {
		return nil, fmt.Errorf("read the index of a folder: %w", err)
	}
	entries := map[uint32][]string{}
	var uid uint32
	var flags string
	if _, err := pgx.ForEachRow(rows, []any{&uid, &flags}, func() error { entries[uid] = strings.Fields(flags); return nil }); err != nil {
		return nil, fmt.Errorf("read the index of a folder: %w", err)
	}
	return entries, nil
}

// UIDs returns the UIDs that are known of a folder, ascending.
func UIDs(ctx context.Context, db DB, folder int64, uidValidity uint32) ([]uint32, error) {
	rows, err := db.Query(ctx, selectUIDs, folder, uidValidity)
	if err != nil {
		return nil, fmt.Errorf("read the index of a folder: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowTo[uint32])
	if err != nil {
		return nil, fmt.Errorf("read the index of a folder: %w", err)
	}
	return list, nil
}

// Highest returns the highest UID that is known of a folder, 0 if none is.
func Highest(ctx context.Context, db DB, folder int64, uidValidity uint32) (uid uint32, err error) {
	if err := db.QueryRow(ctx, selectHighest, folder, uidValidity).Scan(&uid); err != nil {
		return 0, fmt.Errorf("read the index of a folder: %w", err)
	}
	return uid, nil
}

// Count tells how many UIDs are known of a folder.
func Count(ctx context.Context, db DB, folder int64, uidValidity uint32) (count int64, err error) {
	if err := db.QueryRow(ctx, countEntries, folder, uidValidity).Scan(&count); err != nil {
		return 0, fmt.Errorf("count the index of a folder: %w", err)
	}
	return count, nil
}

func identities(ctx context.Context, db DB, sql string, args ...any) ([]Identity, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return nil, fmt.Errorf("read the index of mails: %w", err)
	}
	list, err := pgx.CollectRows(rows, pgx.RowToStructByPos[Identity])
	if err != nil {
		return nil, fmt.Errorf("read the index of mails: %w", err)
	}
	return list, nil
}

// Index writes the index of mails, for the holder of a lease.
type Index struct {
	Pool   *pgxpool.Pool
	Source string // of the events
	Gate   func(b *pgx.Batch, person string)
}

// conflictAttempts is how often a transaction is tried that met a deadlock.
const conflictAttempts = 5

// write does work in one transaction under the person's lock, while the lease is held, and returns how many changes it told of. The
// error is ErrLost, outbox.ErrRestored, or one of the database.
func (x *Index) write(ctx context.Context, l Lease, touched func(tx pgx.Tx) ([]Identity, error), work func(tx pgx.Tx) error) (told int, err error) {
	for attempt := 1; ; attempt++ {
		err = pgx.BeginFunc(ctx, x.Pool, func(tx pgx.Tx) error {
			b := &pgx.Batch{}
			actions.Lock(b, l.UserID, l.UserSince)
			x.Gate(b, l.UserID)
			l.hold(b)
			if err := tx.SendBatch(ctx, b).Close(); err != nil {
				return err
			}
			told, err = x.tell(ctx, tx, l, touched, work)
			return err
		})
		if errors.Is(err, actions.ErrErased) {
			return 0, ErrLost
		}
		if postgres.Classify(err) != postgres.Conflict || attempt == conflictAttempts {
			return told, err
		}
	}
}

// place is where a mail is, and with which keywords.
type place struct {
	Folders, Keywords []string
}

// tell does work, and tells of every mail whose folders or keywords it changed.
func (x *Index) tell(ctx context.Context, tx pgx.Tx, l Lease, touched func(tx pgx.Tx) ([]Identity, error), work func(tx pgx.Tx) error) (int, error) {
	about, err := touched(tx)
	if err != nil {
		return 0, err
	}
	before, err := places(ctx, tx, l.AccountID, about)
	if err != nil {
		return 0, err
	}
	if err := work(tx); err != nil {
		return 0, err
	}
	after, err := places(ctx, tx, l.AccountID, about)
	if err != nil {
		return 0, err
	}
	var changed []Identity
	for _, one := range about {
		old, now := before[one], after[one]
		if !slices.Equal(old.Folders, now.Folders) || !slices.Equal(old.Keywords, now.Keywords) {
			changed = append(changed, one)
			before[one] = now // told once, also if it is in about twice
		}
	}
	if len(changed) == 0 {
		return 0, nil
	}
	var last int64
	var at time.Time
	if err := tx.QueryRow(ctx, drawSeq, l.AccountID, len(changed)).Scan(&last, &at); err != nil {
		return 0, fmt.Errorf("number the changes of an account: %w", err)
	}
	list := make([]*events.Event, len(changed))
	for i, one := range changed {
		now := after[one]
		list[i] = &events.Event{
			Envelope: events.Envelope{Type: events.TypeMailChanged, ID: events.NewUUIDv7(at).String(), Source: x.Source, Time: at.UTC()},
			MailChange: &events.MailChange{UserID: l.UserID, MessageID: one.MessageID, ContentHash: one.ContentHash, AccountID: l.AccountID,
				AccountSeq: last - int64(len(changed)-1-i), Folders: first(now.Folders, events.MaxFolders), Labels: first(now.Keywords, events.MaxLabels), RecordedAt: at.UTC()},
		}
	}
	return len(changed), outbox.Add(ctx, tx, list...)
}

func first(list []string, most int) []string { return list[:min(len(list), most)] }

func places(ctx context.Context, tx pgx.Tx, account events.UUID, about []Identity) (map[Identity]place, error) {
	found := make(map[Identity]place, len(about))
	if len(about) == 0 {
		return found, nil
	}
	ids, hashes := make([]string, len(about)), make([]string, len(about))
	for i, one := range about {
		ids[i], hashes[i] = one.MessageID, one.ContentHash
	}
	rows, err := tx.Query(ctx, selectPlaces, account, ids, hashes)
	if err != nil {
		return nil, fmt.Errorf("read where mails are: %w", err)
	}
	var one Identity
	var at place
	if _, err := pgx.ForEachRow(rows, []any{&one.MessageID, &one.ContentHash, &at.Folders, &at.Keywords}, func() error {
		found[one] = place{slices.Clone(at.Folders), slices.Clone(at.Keywords)}
		return nil
	}); err != nil {
		return nil, fmt.Errorf("read where mails are: %w", err)
	}
	return found, nil
}

// AddFolders stores the folders of an account, and forgets none.
func (x *Index) AddFolders(ctx context.Context, l Lease, list []Folder) error {
	_, err := x.write(ctx, l, none, func(tx pgx.Tx) error {
		names, uses, watched := folderColumns(list)
		return run(ctx, tx, "store folders", [][]any{{upsertFolders, l.AccountID, l.UserID, names, uses, watched}})
	})
	return err
}

func none(pgx.Tx) ([]Identity, error) { return nil, nil }

func folderColumns(list []Folder) (names, uses []string, watched []bool) {
	names, uses, watched = make([]string, len(list)), make([]string, len(list)), make([]bool, len(list))
	for i, f := range list {
		names[i], uses[i], watched[i] = f.Name, f.Use, f.Watched
	}
	return names, uses, watched
}

// SetFolders stores which folders an account has. The mail of those that are gone, or are not watched any more, is gone too.
func (x *Index) SetFolders(ctx context.Context, l Lease, list []Folder) (told int, err error) {
	names, uses, watched := folderColumns(list)
	return x.write(ctx, l, func(tx pgx.Tx) ([]Identity, error) {
		if _, err := tx.Exec(ctx, upsertFolders, l.AccountID, l.UserID, names, uses, watched); err != nil {
			return nil, fmt.Errorf("store folders: %w", err)
		}
		return identities(ctx, tx, touchedByFolders, l.AccountID, names)
	}, func(tx pgx.Tx) error {
		return run(ctx, tx, "remove folders", [][]any{{deleteFolderMails, l.AccountID, names}, {deleteFolders, l.AccountID, names}})
	})
}

// Apply writes what was seen of a folder, and tells of each mail whose folders or keywords that changes. All of it happens or nothing.
func (x *Index) Apply(ctx context.Context, l Lease, c Change) (told int, err error) {
	return x.write(ctx, l, func(tx pgx.Tx) ([]Identity, error) {
		var about []Identity
		for _, entry := range c.Seen {
			if entry.Identity.ContentHash != "" {
				about = append(about, entry.Identity)
			}
		}
		uids := slices.Clone(c.Gone)
		for _, entry := range c.Flagged {
			uids = append(uids, entry.UID)
		}
		if len(uids) > 0 {
			more, err := identities(ctx, tx, touchedByUIDs, c.Folder, c.UIDValidity, uids)
			if err != nil {
				return nil, err
			}
			about = append(about, more...)
		}
		if c.Others {
			more, err := identities(ctx, tx, touchedByOthers, c.Folder, c.UIDValidity)
			if err != nil {
				return nil, err
			}
			about = append(about, more...)
		}
		return about, nil
	}, func(tx pgx.Tx) error { return run(ctx, tx, "write the index of mails", c.statements(l)) })
}

// statements are what a change does to the tables.
func (c *Change) statements(l Lease) (list [][]any) {
	if len(c.Seen) > 0 {
		uids, flags := columns(c.Seen)
		ids, hashes := make([]string, len(c.Seen)), make([]string, len(c.Seen))
		for i, entry := range c.Seen {
			ids[i], hashes[i] = entry.Identity.MessageID, entry.Identity.ContentHash
		}
		list = append(list, []any{insertSeen, l.AccountID, l.UserID, c.Folder, c.UIDValidity, uids, ids, hashes, flags})
	}
	if len(c.Flagged) > 0 {
		uids, flags := columns(c.Flagged)
		list = append(list, []any{updateFlags, c.Folder, c.UIDValidity, uids, flags})
	}
	if len(c.Gone) > 0 {
		list = append(list, []any{deleteGone, c.Folder, c.UIDValidity, c.Gone})
	}
	if c.Others {
		list = append(list, []any{deleteOthers, c.Folder, c.UIDValidity})
	}
	if c.Done != nil {
		list = append(list, []any{finishFolder, l.AccountID, c.Folder, c.UIDValidity, c.Done.UIDNext, int64(c.Done.HighestModSeq)})
	}
	return list
}

func columns(entries []Entry) (uids []uint32, flags []string) {
	uids, flags = make([]uint32, len(entries)), make([]string, len(entries))
	for i, entry := range entries {
		uids[i], flags[i] = entry.UID, strings.Join(entry.Flags, " ")
	}
	return uids, flags
}

// run runs statements, each with its arguments behind it.
func run(ctx context.Context, tx pgx.Tx, doing string, statements [][]any) error {
	b := &pgx.Batch{}
	for _, s := range statements {
		b.Queue(s[0].(string), s[1:]...)
	}
	if err := tx.SendBatch(ctx, b).Close(); err != nil {
		return fmt.Errorf("%s: %w", doing, err)
	}
	return nil
}
