package accounts

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/oauth2"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/secrets"
)

// selectSealed reads what an account signs in with, and updateSealed stores it sealed anew.
const (
	selectSealed = `SELECT secret FROM accounts WHERE id = $1 AND user_id = $2`
	updateSealed = `UPDATE accounts SET secret = $3 WHERE id = $1 AND secret = $2`
)

// Limits of asking for an access token.
const (
	tokenTimeout = 20 * time.Second
	tokenBytes   = 1 << 20
)

// Connector signs in to the mailboxes of accounts.
type Connector struct {
	Keys    *secrets.Keys // nil: no account can be signed in to
	Dialer  *dialer.Dialer
	Roots   *x509.CertPool // Default: those of the machine.
	Timeout time.Duration  // of connecting and of each command. Default: 30 s.
}

// Open signs in to an account that is stored. A secret that was sealed with an earlier key, and a refresh token that was
// replaced, are sealed anew.
func (c *Connector) Open(ctx context.Context, db DB, a *Account) (*imapbox.Box, error) {
	var sealed []byte
	if err := db.QueryRow(ctx, selectSealed, a.ID, a.UserID).Scan(&sealed); err != nil {
		return nil, fmt.Errorf("read the secret of an account: %w", err)
	}
	given, err := open(c.Keys, a, sealed)
	if err != nil {
		return nil, &imapbox.Error{Kind: imapbox.Refused, Words: err.Error(), Err: err}
	}
	box, changed, err := c.OpenWith(ctx, a, given)
	if changed != nil {
		given = *changed
	}
	if changed != nil || !c.Keys.Current(sealed) {
		if _, err := db.Exec(ctx, updateSealed, a.ID, sealed, seal(c.Keys, a, given)); err != nil {
			if box != nil {
				box.Close()
			}
			return nil, fmt.Errorf("seal the secret of an account anew: %w", err)
		}
	}
	return box, err
}

// OpenWith signs in with what is given. If the provider replaced the refresh token, changed has the new one, also when signing
// in fails.
func (c *Connector) OpenWith(ctx context.Context, a *Account, given Entrusted) (box *imapbox.Box, changed *Entrusted, err error) {
	login := imapbox.Login{Name: a.Login, Auth: a.Auth, Secret: given.Password}
	if a.Auth != imapbox.Password {
		token, err := c.accessToken(ctx, a, given)
		if err != nil {
			return nil, nil, err
		}
		login.Secret = secrets.New(token.AccessToken)
		if token.RefreshToken != "" && token.RefreshToken != given.RefreshToken.Reveal() {
			given.RefreshToken = secrets.New(token.RefreshToken)
			changed = &given
		}
	}
	box, err = imapbox.Open(ctx, imapbox.Server{Host: a.Host, Port: a.Port, StartTLS: a.Security == StartTLS, Roots: c.Roots, Dialer: c.Dialer, Timeout: c.Timeout}, login)
	return box, changed, err
}

func (c *Connector) accessToken(ctx context.Context, a *Account, given Entrusted) (*oauth2.Token, error) {
	client := c.Dialer.HTTPClient(tokenTimeout, tokenBytes)
	config := oauth2.Config{ClientID: a.ClientID, ClientSecret: given.ClientSecret.Reveal(), Endpoint: oauth2.Endpoint{TokenURL: a.TokenURL}}
	token, err := config.TokenSource(context.WithValue(ctx, oauth2.HTTPClient, client), &oauth2.Token{RefreshToken: given.RefreshToken.Reveal()}).Token()
	var refused *oauth2.RetrieveError
	switch {
	case err == nil:
		return token, nil
	case errors.As(err, &refused) && refused.Response != nil && refused.Response.StatusCode >= 400 && refused.Response.StatusCode < 500 && refused.Response.StatusCode != 429:
		// Its text may have the secret, so only the code of the standard is told.
		return nil, &imapbox.Error{Kind: imapbox.Refused, Err: errors.New("the token is refused"),
			Words: fmt.Sprintf("the provider does not give access any more (%s): connect the account anew", printable.Text(refused.ErrorCode))}
	}
	return nil, &imapbox.Error{Kind: imapbox.Temporary, Words: "the provider of the sign-in cannot be reached", Err: errors.New("no access token")}
}

// TestFinding is one thing that a test of an account found.
type TestFinding struct {
	OK    bool   `json:"ok"`
	Words string `json:"words"`
}

// TestReport is what a test of an account found.
type TestReport struct {
	OK       bool          `json:"ok" doc:"Mail can be read"`
	Findings []TestFinding `json:"findings" nullable:"false"`
}

func (r *TestReport) add(ok bool, format string, args ...any) {
	r.Findings = append(r.Findings, TestFinding{ok, fmt.Sprintf(format, args...)})
}

// Test signs in to an account that is stored, and tells what its server can.
func (c *Connector) Test(ctx context.Context, db DB, user string, id events.UUID) (TestReport, error) {
	account, err := Get(ctx, db, user, id)
	if err != nil {
		return TestReport{}, err
	}
	box, err := c.Open(ctx, db, &account)
	return examine(ctx, &account, box, err)
}

// TestWith does the same with an account that is not stored yet.
func (c *Connector) TestWith(ctx context.Context, a *Account, given Entrusted) (TestReport, error) {
	box, _, err := c.OpenWith(ctx, a, given)
	return examine(ctx, a, box, err)
}

// examine says what a mailbox can. Errors that are not the mailbox's are returned.
func examine(ctx context.Context, a *Account, box *imapbox.Box, err error) (TestReport, error) {
	report := TestReport{Findings: []TestFinding{}}
	var known *imapbox.Error
	if errors.As(err, &known) {
		report.add(false, "%s", known.Words)
		return report, nil
	}
	if err != nil {
		return report, err
	}
	defer box.Logout()
	report.add(true, "connected to %s and signed in as %s, encrypted", a.Host, a.Login)
	folders, err := box.Folders(ctx)
	if err == nil {
		_, err = box.Examine(ctx, imapbox.Inbox)
	}
	if err != nil {
		report.add(false, "%s", imapbox.Words(err))
		return report, nil
	}
	report.OK = true
	report.add(true, "%d folders", len(folders))
	report.extensions(box)
	uses := map[string]string{}
	for _, f := range folders {
		uses[f.Use] = f.Name
	}
	for _, use := range []string{imapbox.UseArchive, imapbox.UseJunk, imapbox.UseTrash} {
		if name := uses[use]; name != "" {
			report.add(true, "%s is the folder %s", strings.ToLower(use[1:]), name)
		} else {
			report.add(false, "the server names no folder for %s; one is made or chosen by name when it is needed", strings.ToLower(use[1:]))
		}
	}
	return report, nil
}

func (r *TestReport) extensions(box *imapbox.Box) {
	tell := func(name, with, without string) {
		if box.Has(name) {
			r.add(true, "%s: %s", name, with)
		} else {
			r.add(false, "no %s: %s", name, without)
		}
	}
	tell(imapbox.Idling, "new mail is told at once", "new mail is looked for every minute")
	tell(imapbox.CondStore, "changes of flags are told", "all flags are read to find what changed")
	tell(imapbox.SpecialUse, "folders say what they are for", "folders are known by their names")
	switch {
	case box.Has(imapbox.Move):
		r.add(true, "MOVE: mail is moved in one step")
	case box.Has(imapbox.UIDPlus):
		r.add(true, "no MOVE, but UIDPLUS: mail is copied, looked at, and then removed")
	default:
		r.add(false, "neither MOVE nor UIDPLUS: mail cannot be moved here")
	}
	if box.Has(imapbox.GmailLabels) {
		r.add(true, "X-GM-EXT-1: it is Gmail, whose folders are labels")
	}
}
