package accounts

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/secrets"
)

// The modes of an account.
const (
	Watch = "watch" // mail comes in, and nothing is done in the mailbox
	Ask   = "ask"   // what the owner approves is done
)

// The ways to encrypt a connection.
const (
	TLS      = "tls"
	StartTLS = "starttls"
)

// Account is a mailbox of a person, without its secret.
type Account struct {
	ID         events.UUID
	UserID     string
	Label      string
	Address    string
	Host       string
	Port       int
	Security   string // TLS or StartTLS
	Login      string
	Auth       string // imapbox.Password, XOAuth2 or OAuthBearer
	TokenURL   string
	ClientID   string
	CalDAVURL  string
	SieveHost  string
	SMTPHost   string
	Mode       string
	ModeSince  time.Time
	Stopped    bool
	State      string // new, syncing, live or failing
	Error      string // for the owner
	MailsDone  int64
	MailsTotal int64
	CreatedAt  time.Time
}

// Entrusted is what an account signs in with. It is sealed as one.
type Entrusted struct {
	Password     secrets.Secret
	ClientSecret secrets.Secret // of OAuth 2; some clients have none
	RefreshToken secrets.Secret
}

// The errors that callers decide by.
var (
	ErrNotFound = errors.New("there is no such account")
	ErrTaken    = errors.New("this mailbox is among the accounts already")
	ErrTooMany  = fmt.Errorf("there are %d accounts already: remove one first", mostAccounts)
	ErrNoKeys   = errors.New("this deployment takes no accounts yet: its operator has to set --secrets-key-file")
)

// mostAccounts is how many accounts a person may have.
const mostAccounts = 20

// Fault is what is wrong with a field of an account.
type Fault struct{ Field, Detail string }

// Limits of texts, in bytes.
const (
	longestText = 320
	longestURL  = 2000
	longestHost = 253
	// longestSecret bounds a password and a token.
	longestSecret = 10_000
)

// Validate sets defaults and lists what is wrong.
func (a *Account) Validate(given Entrusted) []Fault {
	var faults []Fault
	fail := func(field, format string, args ...any) {
		faults = append(faults, Fault{field, fmt.Sprintf(format, args...)})
	}
	a.setDefaults()
	for _, one := range []struct {
		field, text string
		most        int
		required    bool
	}{
		{"label", a.Label, longestText, true}, {"address", a.Address, longestText, true}, {"host", a.Host, longestHost, true}, {"login", a.Login, longestText, true},
		{"client_id", a.ClientID, longestText, false}, {"token_url", a.TokenURL, longestURL, false}, {"caldav_url", a.CalDAVURL, longestURL, false},
		{"sieve_host", a.SieveHost, longestHost, false}, {"smtp_host", a.SMTPHost, longestHost, false},
	} {
		switch {
		case one.required && one.text == "":
			fail(one.field, "it is empty")
		case len(one.text) > one.most:
			fail(one.field, "it is longer than %d bytes", one.most)
		case strings.ContainsFunc(one.text, func(r rune) bool { return r < ' ' || r == 0x7f || r == 0xfffd }):
			fail(one.field, "it has characters that cannot be printed")
		}
	}
	if at := strings.LastIndexByte(a.Address, '@'); a.Address != "" && (at < 1 || at == len(a.Address)-1) {
		fail("address", "%q is not a mail address", a.Address)
	}
	if strings.ContainsAny(a.Host, "/@ []") || strings.Contains(a.Host, ":") && net.ParseIP(a.Host) == nil {
		fail("host", "%q is not the name of a host, such as imap.example.com", a.Host)
	}
	if a.Port < 1 || a.Port > 65535 {
		fail("port", "it is not within 1..65535")
	}
	if a.Security != TLS && a.Security != StartTLS {
		fail("security", "it is neither tls nor starttls: mail is not read over a connection that is not encrypted")
	}
	if a.Mode != Watch && a.Mode != Ask {
		fail("mode", "it is neither watch nor ask")
	}
	for field, text := range map[string]string{"token_url": a.TokenURL, "caldav_url": a.CalDAVURL} {
		if text != "" && !isHTTPS(text) {
			fail(field, "%q is not an address such as https://example.com/", text)
		}
	}
	for field, text := range map[string]string{"sieve_host": a.SieveHost, "smtp_host": a.SMTPHost} {
		if text != "" && !isHostPort(text) {
			fail(field, "%q is not a host and a port, such as mail.example.com:587", text)
		}
	}
	return append(faults, a.checkSecret(given)...)
}

func (a *Account) setDefaults() {
	a.Host = strings.ToLower(strings.TrimSuffix(strings.TrimSpace(a.Host), "."))
	a.Address = strings.TrimSpace(a.Address)
	if a.Login == "" {
		a.Login = a.Address
	}
	if a.Label == "" {
		a.Label = a.Address
	}
	if a.Security == "" {
		a.Security = TLS
	}
	if a.Port == 0 {
		a.Port = 993
		if a.Security == StartTLS {
			a.Port = 143
		}
	}
	if a.Auth == "" {
		a.Auth = imapbox.Password
	}
	if a.Mode == "" {
		a.Mode = Watch
	}
}

func (a *Account) checkSecret(given Entrusted) (faults []Fault) {
	for field, secret := range map[string]secrets.Secret{"password": given.Password, "client_secret": given.ClientSecret, "refresh_token": given.RefreshToken} {
		if text := secret.Reveal(); len(text) > longestSecret || strings.ContainsRune(text, 0) {
			faults = append(faults, Fault{field, fmt.Sprintf("it is longer than %d bytes, or has a NUL", longestSecret)})
		}
	}
	switch a.Auth {
	case imapbox.Password:
		if given.Password.Empty() {
			faults = append(faults, Fault{"password", "it is empty"})
		}
	case imapbox.XOAuth2, imapbox.OAuthBearer:
		for field, missing := range map[string]bool{"token_url": a.TokenURL == "", "client_id": a.ClientID == "", "refresh_token": given.RefreshToken.Empty()} {
			if missing {
				faults = append(faults, Fault{field, "it is empty, and OAuth 2 needs it"})
			}
		}
	default:
		faults = append(faults, Fault{"auth", "it is not password, xoauth2 or oauthbearer"})
	}
	return faults
}

func isHTTPS(text string) bool {
	address, err := url.Parse(text)
	return err == nil && address.Scheme == "https" && address.Host != "" && address.User == nil
}

func isHostPort(text string) bool {
	host, port, err := net.SplitHostPort(text)
	number, numberErr := strconv.Atoi(port)
	return err == nil && numberErr == nil && host != "" && number > 0 && number < 65536 && !strings.ContainsAny(host, "/@ ")
}

// DB is a pool, a connection or a transaction.
type DB = postgres.DB

const accountColumns = ` id, user_id, label, address, host, port, security, login, auth, token_url, client_id, caldav_url, sieve_host, smtp_host,
mode, mode_since, stopped, state, error, mails_done, mails_total, created_at`

// selectAccounts lists a person's accounts, and selectAccount one of them. One that is about to be erased is gone already.
const (
	selectAccounts = `SELECT` + accountColumns + ` FROM accounts WHERE user_id = $1 AND NOT ending ORDER BY created_at, id`
	selectAccount  = `SELECT` + accountColumns + ` FROM accounts WHERE user_id = $1 AND id = $2 AND NOT ending`
)

// insertAccount adds an account with its lease, unless the person has too many; then it returns no row.
const insertAccount = `
WITH added AS (
    INSERT INTO accounts (id, user_id, label, address, host, port, security, login, auth, token_url, client_id, caldav_url, sieve_host, smtp_host, mode, secret)
    SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16
    WHERE (SELECT count(*) FROM accounts WHERE user_id = $2) < $17
    RETURNING` + accountColumns + `),
leased AS (INSERT INTO account_leases (account_id, user_id) SELECT id, user_id FROM added)
SELECT * FROM added`

// updateMode sets what the owner lets us do. The time changes only with the mode, since only what is decided later is done.
const updateMode = `
UPDATE accounts
SET mode = $3, stopped = $4, mode_since = CASE WHEN mode = $3 AND stopped = $4 THEN mode_since ELSE now() END
WHERE user_id = $1 AND id = $2 AND NOT ending
RETURNING` + accountColumns

// retrySoon lets an account that failed be tried again at once.
const retrySoon = `UPDATE account_leases SET retry_at = '-infinity', failures = 0 WHERE account_id = $1`

const deleteAccount = `DELETE FROM accounts WHERE user_id = $1 AND id = $2`

func scanAccount(row pgx.CollectableRow) (a Account, err error) {
	err = row.Scan(&a.ID, &a.UserID, &a.Label, &a.Address, &a.Host, &a.Port, &a.Security, &a.Login, &a.Auth, &a.TokenURL, &a.ClientID,
		&a.CalDAVURL, &a.SieveHost, &a.SMTPHost, &a.Mode, &a.ModeSince, &a.Stopped, &a.State, &a.Error, &a.MailsDone, &a.MailsTotal, &a.CreatedAt)
	return a, err
}

// List lists a person's accounts.
func List(ctx context.Context, db DB, user string) ([]Account, error) {
	rows, err := db.Query(ctx, selectAccounts, user)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	list, err := pgx.CollectRows(rows, scanAccount)
	if err != nil {
		return nil, fmt.Errorf("read accounts: %w", err)
	}
	return list, nil
}

// Get returns an account of a person. The error is ErrNotFound when there is no such account.
func Get(ctx context.Context, db DB, user string, id events.UUID) (Account, error) {
	return one(ctx, db, "read account", selectAccount, user, id)
}

func one(ctx context.Context, db DB, doing, sql string, args ...any) (Account, error) {
	rows, err := db.Query(ctx, sql, args...)
	if err != nil {
		return Account{}, fmt.Errorf("%s: %w", doing, err)
	}
	account, err := pgx.CollectExactlyOneRow(rows, scanAccount)
	if errors.Is(err, pgx.ErrNoRows) {
		return Account{}, ErrNotFound
	}
	if err != nil {
		return Account{}, fmt.Errorf("%s: %w", doing, err)
	}
	return account, nil
}

// Add adds a valid account of a.UserID with what it signs in with, which keys seal. The error is ErrTaken, ErrTooMany or ErrNoKeys.
// The caller holds the person's lock.
func Add(ctx context.Context, db DB, keys *secrets.Keys, a Account, given Entrusted) (Account, error) {
	if keys == nil {
		return Account{}, ErrNoKeys
	}
	a.ID = events.NewUUIDv7(time.Now())
	sealed := seal(keys, &a, given)
	added, err := one(ctx, db, "add account", insertAccount, a.ID, a.UserID, a.Label, a.Address, a.Host, a.Port, a.Security, a.Login, a.Auth, a.TokenURL,
		a.ClientID, a.CalDAVURL, a.SieveHost, a.SMTPHost, a.Mode, sealed, mostAccounts)
	var refused *pgconn.PgError
	switch {
	case errors.Is(err, ErrNotFound):
		return Account{}, ErrTooMany
	case errors.As(err, &refused) && refused.ConstraintName == "accounts_mailbox":
		return Account{}, ErrTaken
	}
	return added, err
}

// SetMode sets what the owner lets us do in an account: its mode, and whether all stops. The error is ErrNotFound.
func SetMode(ctx context.Context, db DB, user string, id events.UUID, mode string, stopped bool) (Account, error) {
	changed, err := one(ctx, db, "change account", updateMode, user, id, mode, stopped)
	if err == nil && !stopped {
		_, err = db.Exec(ctx, retrySoon, id)
	}
	return changed, err
}

// Remove forgets an account of a person, with its secret and what is known of its mail, and tells whether there was one. Mail that
// came in stays.
func Remove(ctx context.Context, db DB, user string, id events.UUID) (bool, error) {
	tag, err := db.Exec(ctx, deleteAccount, user, id)
	if err != nil {
		return false, fmt.Errorf("remove account: %w", err)
	}
	return tag.RowsAffected() > 0, nil
}

// seal seals what an account signs in with, bound to the account, its person, and where it is sent: a row whose host was
// changed sends the secret nowhere.
func seal(keys *secrets.Keys, a *Account, given Entrusted) []byte {
	text, _ := json.Marshal(map[string]string{ // strings can always be written
		"password": given.Password.Reveal(), "client_secret": given.ClientSecret.Reveal(), "refresh_token": given.RefreshToken.Reveal(),
	})
	return keys.Seal(secrets.New(string(text)), bound(a)...)
}

func bound(a *Account) []string {
	return []string{"account", a.ID.String(), a.UserID, a.Host, strconv.Itoa(a.Port), a.Security, a.Login, a.Auth, a.TokenURL}
}

// open opens what an account signs in with.
func open(keys *secrets.Keys, a *Account, sealed []byte) (Entrusted, error) {
	if keys == nil {
		return Entrusted{}, ErrNoKeys
	}
	secret, err := keys.Open(sealed, bound(a)...)
	if err != nil {
		return Entrusted{}, fmt.Errorf("the secret of the account cannot be opened: %w", err)
	}
	var text map[string]string
	if err := json.Unmarshal([]byte(secret.Reveal()), &text); err != nil {
		return Entrusted{}, errors.New("the secret of the account is not what was sealed")
	}
	return Entrusted{secrets.New(text["password"]), secrets.New(text["client_secret"]), secrets.New(text["refresh_token"])}, nil
}
