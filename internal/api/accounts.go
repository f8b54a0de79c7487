package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/secrets"
)

// accountBody is a mail account as its owner describes it. What is left out gets the usual value.
type accountBody struct {
	Label     string `json:"label,omitempty" maxLength:"320" doc:"How its owner calls it. Default: the address"`
	Address   string `json:"address" minLength:"3" maxLength:"320" doc:"Of the mailbox's owner"`
	Host      string `json:"host" minLength:"1" maxLength:"253" doc:"Of the IMAP server; GET /accounts/discover proposes one"`
	Port      int    `json:"port,omitempty" minimum:"1" maximum:"65535" doc:"Default: 993, or 143 with starttls"`
	Security  string `json:"security,omitempty" enum:"tls,starttls" default:"tls"`
	Login     string `json:"login,omitempty" maxLength:"320" doc:"Default: the address"`
	Auth      string `json:"auth,omitempty" enum:"password,xoauth2,oauthbearer" default:"password"`
	TokenURL  string `json:"token_url,omitempty" maxLength:"2000" doc:"Of OAuth 2"`
	ClientID  string `json:"client_id,omitempty" maxLength:"320" doc:"Of OAuth 2"`
	CalDAVURL string `json:"caldav_url,omitempty" maxLength:"2000"`
	SieveHost string `json:"sieve_host,omitempty" maxLength:"253" doc:"host:port of ManageSieve"`
	SMTPHost  string `json:"smtp_host,omitempty" maxLength:"253" doc:"host:port of SMTP"`

	Password     string `json:"password,omitempty" maxLength:"10000" writeOnly:"true"`
	ClientSecret string `json:"client_secret,omitempty" maxLength:"10000" writeOnly:"true"`
	RefreshToken string `json:"refresh_token,omitempty" maxLength:"10000" writeOnly:"true"`
}

// accountView is a mail account as it is shown: nothing of what it signs in with.
type accountView struct {
	ID         string    `json:"id" format:"uuid"`
	Label      string    `json:"label"`
	Address    string    `json:"address"`
	Host       string    `json:"host"`
	Port       int       `json:"port"`
	Security   string    `json:"security" enum:"tls,starttls"`
	Login      string    `json:"login"`
	Auth       string    `json:"auth" enum:"password,xoauth2,oauthbearer"`
	CalDAVURL  string    `json:"caldav_url,omitempty"`
	SieveHost  string    `json:"sieve_host,omitempty"`
	SMTPHost   string    `json:"smtp_host,omitempty"`
	Mode       string    `json:"mode" enum:"watch,ask" doc:"watch: nothing is done in the mailbox. ask: what its owner approves is to be done; this version does nothing yet"`
	ModeSince  time.Time `json:"mode_since" doc:"Only what is decided later counts"`
	Stopped    bool      `json:"stopped" doc:"Its owner has stopped everything"`
	State      string    `json:"state" enum:"new,syncing,live,failing"`
	Error      string    `json:"error" doc:"What is wrong, if it is failing"`
	MailsDone  int64     `json:"mails_done" doc:"Of the mails that were found new when it was last read"`
	MailsTotal int64     `json:"mails_total"`
	CreatedAt  time.Time `json:"created_at"`
}

func viewOfAccount(a accounts.Account) accountView {
	return accountView{ID: a.ID.String(), Label: a.Label, Address: a.Address, Host: a.Host, Port: a.Port, Security: a.Security, Login: a.Login, Auth: a.Auth,
		CalDAVURL: a.CalDAVURL, SieveHost: a.SieveHost, SMTPHost: a.SMTPHost, Mode: a.Mode, ModeSince: a.ModeSince.UTC(), Stopped: a.Stopped,
		State: a.State, Error: a.Error, MailsDone: a.MailsDone, MailsTotal: a.MailsTotal, CreatedAt: a.CreatedAt.UTC()}
}

type (
	AccountID struct {
		ID string `path:"id"`
	}
	accountCreate struct {
		Idempotent
		Body accountBody
	}
	accountUpdate struct {
		AccountID
		Body struct {
			Mode    string `json:"mode" enum:"watch,ask"`
			Stopped bool   `json:"stopped,omitempty" doc:"Nothing is read or done until it is false again"`
		}
	}
	accountsOutput struct {
		Body []accountView `nullable:"false"`
	}
	accountTest struct {
		AccountID
		Idempotent
	}
	reportOutput struct {
		Body accounts.TestReport
	}
	discoverInput struct {
		Address string `query:"address" required:"true" maxLength:"320" doc:"Of the mailbox's owner"`
	}
	discoverOutput struct {
		Body accounts.Proposed
	}
)

func (s *server) routeAccounts(api huma.API) {
	tags := []string{"accounts"}
	Route(api, huma.Operation{OperationID: "listAccounts", Method: http.MethodGet, Path: "/accounts", Tags: tags,
		Summary: "List the mail accounts, and how they are"}, s.listAccounts)
	Route(api, huma.Operation{OperationID: "addAccount", Method: http.MethodPost, Path: "/accounts", Tags: tags,
		DefaultStatus: http.StatusCreated, Errors: []int{http.StatusConflict}, Summary: "Add a mail account, whose mail then comes in by itself"}, s.addAccount)
	Route(api, huma.Operation{OperationID: "discoverAccount", Method: http.MethodGet, Path: "/accounts/discover", Tags: tags,
		Errors: []int{http.StatusNotFound}, Summary: "Propose where the mailbox of an address may be"}, s.discoverAccount)
	Route(api, huma.Operation{OperationID: "changeAccount", Method: http.MethodPut, Path: "/accounts/{id}", Tags: tags,
		Summary: "Say what may be done in an account"}, s.changeAccount)
	Route(api, huma.Operation{OperationID: "removeAccount", Method: http.MethodDelete, Path: "/accounts/{id}", Tags: tags,
		DefaultStatus: http.StatusNoContent, Summary: "Forget an account; its mail stays"}, s.removeAccount)
	Route(api, huma.Operation{OperationID: "testAccount", Method: http.MethodPost, Path: "/accounts/{id}/test", Tags: tags,
		Summary: "Sign in to an account, and say what its server can"}, s.testAccount)
}

func (s *server) listAccounts(ctx context.Context, _ *struct{}) (*accountsOutput, error) {
	list, err := accounts.List(ctx, s.pool, auth.From(ctx).ID)
	if err != nil {
		return nil, err
	}
	out := &accountsOutput{Body: make([]accountView, 0, len(list))}
	for _, a := range list {
		out.Body = append(out.Body, viewOfAccount(a))
	}
	return out, nil
}

func (s *server) addAccount(ctx context.Context, in *accountCreate) (*answered[accountView], error) {
	b := &in.Body
	a := accounts.Account{UserID: auth.From(ctx).ID, Label: b.Label, Address: b.Address, Host: b.Host, Port: b.Port, Security: b.Security, Login: b.Login,
		Auth: b.Auth, TokenURL: b.TokenURL, ClientID: b.ClientID, CalDAVURL: b.CalDAVURL, SieveHost: b.SieveHost, SMTPHost: b.SMTPHost}
	given := accounts.Entrusted{Password: secrets.New(b.Password), ClientSecret: secrets.New(b.ClientSecret), RefreshToken: secrets.New(b.RefreshToken)}
	if faults := a.Validate(given); faults != nil {
		details := make([]*huma.ErrorDetail, len(faults))
		for i, fault := range faults {
			details[i] = &huma.ErrorDetail{Location: "body." + fault.Field, Message: fault.Detail}
		}
		return nil, invalid(details...)
	}
	ctx = withoutSecrets(ctx, *b)
	return change(ctx, s, in.Key, http.StatusCreated, work[accountView]{then: func(ctx context.Context, tx *transaction) (accountView, error) {
		added, err := accounts.Add(ctx, tx, s.accounts.Keys, a, given)
		return viewOfAccount(added), accountProblem(err)
	}})
}

// withoutSecrets replaces the hash of the request that an idempotency key remembers by one of the request without its secrets: a
// password could be guessed from the hash of it.
func withoutSecrets(ctx context.Context, b accountBody) context.Context {
	if requestHash(ctx) == nil {
		return ctx
	}
	b.Password, b.ClientSecret, b.RefreshToken = "", "", ""
	text, _ := json.Marshal(b) // texts and a number
	sum := sha256.Sum256(append([]byte("POST /accounts\n"), text...))
	return context.WithValue(ctx, requestHashKey{}, sum[:])
}

func (s *server) discoverAccount(ctx context.Context, in *discoverInput) (*discoverOutput, error) {
	proposed, found := accounts.Discover(ctx, net.DefaultResolver, in.Address)
	if !found {
		return nil, invalidField("query.address", "it is not a mail address")
	}
	return &discoverOutput{proposed}, nil
}

func (s *server) changeAccount(ctx context.Context, in *accountUpdate) (*answered[accountView], error) {
	id, err := accountID(in.ID)
	if err != nil {
		return nil, err
	}
	return change(ctx, s, "", http.StatusOK, work[accountView]{then: func(ctx context.Context, tx *transaction) (accountView, error) {
		changed, err := accounts.SetMode(ctx, tx, tx.user, id, in.Body.Mode, in.Body.Stopped)
		return viewOfAccount(changed), accountProblem(err)
	}})
}

func (s *server) removeAccount(ctx context.Context, in *AccountID) (*struct{}, error) {
	id, err := accountID(in.ID)
	if err != nil {
		return nil, err
	}
	_, err = change(ctx, s, "", http.StatusNoContent, work[struct{}]{then: func(ctx context.Context, tx *transaction) (struct{}, error) {
		removed, err := accounts.Remove(ctx, tx, tx.user, id)
		if err == nil && !removed {
			err = accounts.ErrNotFound
		}
		return struct{}{}, accountProblem(err)
	}})
	return nil, err
}

// testTimeout is how long a test of an account may take, within the time of a request.
const testTimeout = 12 * time.Second

func (s *server) testAccount(ctx context.Context, in *accountTest) (*reportOutput, error) {
	id, err := accountID(in.ID)
	if err != nil {
		return nil, err
	}
	if err := checkKey(in.Key); err != nil { // it is asked anew each time
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, testTimeout)
	defer cancel()
	report, err := s.accounts.Test(ctx, s.pool, auth.From(ctx).ID, id)
	if err != nil {
		return nil, accountProblem(err)
	}
	return &reportOutput{report}, nil
}

func accountID(text string) (events.UUID, error) {
	id, err := events.ParseUUID([]byte(text))
	if err != nil {
		return id, notFound("account")
	}
	return id, nil
}

// accountProblem turns the error of a statement on an account into an answer.
func accountProblem(err error) error {
	switch {
	case errors.Is(err, accounts.ErrNotFound):
		return notFound("account")
	case errors.Is(err, accounts.ErrTaken):
		return huma.Error409Conflict(accounts.ErrTaken.Error(), &huma.ErrorDetail{Location: "body.login", Message: "another of your accounts has this host and login"})
	case errors.Is(err, accounts.ErrTooMany):
		return huma.Error422UnprocessableEntity(err.Error())
	case errors.Is(err, accounts.ErrNoKeys):
		return huma.Error503ServiceUnavailable(err.Error())
	}
	return err
}
