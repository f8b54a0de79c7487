package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"golang.org/x/term"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/accounts"
	"github.com/applylens/applylens/internal/actions"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/imapbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/printable"
	"github.com/applylens/applylens/internal/secrets"
	"github.com/applylens/applylens/producers/mailimport"
)

// accountCommand manages the mail accounts of a person.
type accountCommand struct {
	Add    accountAdd    `cmd:"" help:"Add a mail account. The password is asked for, or read from a file or the environment."`
	List   accountList   `cmd:"" help:"List a user's accounts, and how they are."`
	Test   accountTest   `cmd:"" help:"Sign in to an account, and say what its server can."`
	Remove accountRemove `cmd:"" help:"Forget an account; its mail stays."`
}

// accountOwner says whose accounts they are.
type accountOwner struct {
	Postgres  config.Postgres `embed:"" group:"Connections:"`
	User      string          `help:"Id of the user. Default: the user of the token." env:"APPLYLENS_USER" placeholder:"ID"`
	Token     config.Secret   `help:"Token of the user." env:"APPLYLENS_TOKEN"`
	TokenFile string          `help:"File that contains the token." env:"APPLYLENS_TOKEN_FILE" type:"path"`
}

// with calls f with the database and the user.
func (o *accountOwner) with(ctx context.Context, f func(pool *pgxpool.Pool, user string) error) error {
	if err := o.Postgres.Validate(); err != nil {
		return usageError{err}
	}
	pool, err := postgres.Open(ctx, o.Postgres, "applylens account")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	user := o.User
	if user == "" {
		token, err := (&importCommand{Token: o.Token, TokenFile: o.TokenFile}).token()
		if err != nil {
			return usageError{err}
		}
		if user, err = mailimport.UserOf(ctx, pool, token); err != nil {
			return err
		}
	}
	return f(pool, user)
}

type accountAdd struct {
	accountOwner `embed:""`
	Accounts     config.Accounts `embed:"" group:"Mail accounts:"`

	Address  string `arg:"" help:"The mailbox's address."`
	Label    string `help:"What to call it. Default: the address."`
	Host     string `help:"The IMAP server. Default: what is known of the address's domain."`
	Port     int    `help:"Default: 993, or 143 with starttls."`
	Security string `help:"tls or starttls." enum:",tls,starttls" default:""`
	Login    string `help:"Default: the address."`
	Auth     string `help:"password, xoauth2 or oauthbearer. Default: as the provider has it." enum:",password,xoauth2,oauthbearer" default:""`
	TokenURL string `name:"token-url" help:"OAuth 2: where access tokens are got."`
	ClientID string `name:"client-id" help:"OAuth 2: what the provider calls this deployment."`
	CalDAV   string `name:"caldav-url" help:"Calendar of the account."`
	Sieve    string `name:"sieve-host" help:"host:port of ManageSieve."`
	SMTP     string `name:"smtp-host" help:"host:port of SMTP."`
	Mode     string `help:"watch: nothing is done in the mailbox. ask: what the owner approves is to be done there; this version does nothing yet." enum:"watch,ask" default:"watch"`
	Untested bool   `help:"Add it even if signing in fails now."`

	PasswordFile     string `help:"File that contains the password. Default: ACCOUNT_PASSWORD, or it is asked for." env:"ACCOUNT_PASSWORD_FILE" type:"path"`
	ClientSecretFile string `help:"OAuth 2: file that contains the client's secret." env:"ACCOUNT_CLIENT_SECRET_FILE" type:"path"`
	RefreshTokenFile string `help:"OAuth 2: file that contains the refresh token." env:"ACCOUNT_REFRESH_TOKEN_FILE" type:"path"`
}

// Run signs in, and adds the account if that works.
func (c *accountAdd) Run(ctx context.Context, p *process) error {
	connector, err := newConnector(&c.Accounts)
	if err != nil {
		return usageError{err}
	}
	if connector.Keys == nil {
		return usageError{accounts.ErrNoKeys}
	}
	return c.with(ctx, func(pool *pgxpool.Pool, user string) error {
		account := c.account(ctx, user)
		given, err := c.entrusted(account.Auth)
		if err != nil {
			return usageError{err}
		}
		if faults := account.Validate(given); faults != nil {
			var list []error
			for _, fault := range faults {
				list = append(list, fmt.Errorf("%s: %s", fault.Field, fault.Detail))
			}
			return usageError{errors.Join(list...)}
		}
		report, err := connector.TestWith(ctx, &account, given)
		if err != nil {
			return err
		}
		writeReport(p.stdout, report)
		if !report.OK && !c.Untested {
			return errors.New("the account was not added: signing in failed; --untested adds it all the same")
		}
		return c.add(ctx, p, pool, connector.Keys, account, given)
	})
}

func (c *accountAdd) add(ctx context.Context, p *process, pool *pgxpool.Pool, keys *secrets.Keys, account accounts.Account, given accounts.Entrusted) error {
	owner, err := auth.NewStore(pool).Find(ctx, account.UserID)
	if err != nil {
		return err
	}
	return pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
		b := &pgx.Batch{}
		actions.Lock(b, owner.ID, owner.CreatedAt)
		if err := tx.SendBatch(ctx, b).Close(); err != nil {
			return err
		}
		added, err := accounts.Add(ctx, tx, keys, account, given)
		if err == nil {
			_, err = fmt.Fprintln(p.stdout, "added", added.ID)
		}
		return err
	})
}

// account fills in what is known of the address's provider.
func (c *accountAdd) account(ctx context.Context, user string) accounts.Account {
	a := accounts.Account{UserID: user, Label: c.Label, Address: c.Address, Host: c.Host, Port: c.Port, Security: c.Security, Login: c.Login, Auth: c.Auth,
		TokenURL: c.TokenURL, ClientID: c.ClientID, CalDAVURL: c.CalDAV, SieveHost: c.Sieve, SMTPHost: c.SMTP, Mode: c.Mode}
	if a.Host != "" {
		return a
	}
	if found, ok := accounts.Discover(ctx, net.DefaultResolver, c.Address); ok {
		a.Host, a.Port, a.Security = found.Host, found.Port, found.Security
		for _, one := range []struct {
			field *string
			value string
		}{{&a.Auth, found.Auth}, {&a.TokenURL, found.TokenURL}, {&a.SMTPHost, found.SMTPHost}} {
			if *one.field == "" {
				*one.field = one.value
			}
		}
	}
	return a
}

// entrusted reads what the account signs in with.
func (c *accountAdd) entrusted(how string) (given accounts.Entrusted, err error) {
	for path, into := range map[string]*secrets.Secret{c.PasswordFile: &given.Password, c.ClientSecretFile: &given.ClientSecret, c.RefreshTokenFile: &given.RefreshToken} {
		if path == "" {
			continue
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return given, err
		}
		*into = secrets.New(strings.TrimRight(string(text), "\r\n"))
	}
	if how != "" && how != imapbox.Password || c.PasswordFile != "" {
		return given, nil
	}
	if password := config.AccountPassword(); password != "" {
		given.Password = secrets.New(string(password))
		return given, nil
	}
	given.Password, err = askPassword(os.Stdin, os.Stderr)
	return given, err
}

// askPassword reads a password, without showing it if it is typed.
func askPassword(in *os.File, out io.Writer) (secrets.Secret, error) {
	if isTerminal(in) {
		fmt.Fprint(out, "Password: ")
		text, err := term.ReadPassword(int(in.Fd()))
		fmt.Fprintln(out)
		return secrets.New(string(text)), err
	}
	line, err := bufio.NewReader(in).ReadString('\n')
	if line = strings.TrimRight(line, "\r\n"); line == "" {
		return secrets.Secret{}, errors.Join(errors.New("no password: set ACCOUNT_PASSWORD or --password-file, or write it to standard input"), noEOF(err))
	}
	return secrets.New(line), nil
}

func noEOF(err error) error {
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

func writeReport(out io.Writer, report accounts.TestReport) {
	for _, finding := range report.Findings {
		mark := "ok  "
		if !finding.OK {
			mark = "no  "
		}
		fmt.Fprintln(out, mark+printable.Text(finding.Words))
	}
}

type accountList struct {
	accountOwner `embed:""`
	output       `embed:""`
}

// accountReport describes an account.
type accountReport struct {
	ID      string `json:"id"`
	Label   string `json:"label"`
	Address string `json:"address"`
	Server  string `json:"server"`
	Mode    string `json:"mode"`
	Stopped bool   `json:"stopped"`
	State   string `json:"state"`
	Error   string `json:"error"`
	Done    int64  `json:"mails_done"`
	Total   int64  `json:"mails_total"`
}

// Run prints the accounts.
func (c *accountList) Run(ctx context.Context, p *process) error {
	return c.with(ctx, func(pool *pgxpool.Pool, user string) error {
		list, err := accounts.List(ctx, pool, user)
		if err != nil {
			return err
		}
		reports, rows := make([]accountReport, 0, len(list)), make([][]string, 0, len(list))
		for _, a := range list {
			server := net.JoinHostPort(a.Host, strconv.Itoa(a.Port))
			reports = append(reports, accountReport{a.ID.String(), a.Label, a.Address, server, a.Mode, a.Stopped, a.State, a.Error, a.MailsDone, a.MailsTotal})
			state := a.State
			switch {
			case a.Stopped:
				state = "stopped"
			case a.State == accounts.StateSyncing:
				state = fmt.Sprintf("%d of %d mails", a.MailsDone, a.MailsTotal)
			}
			rows = append(rows, []string{a.ID.String(), a.Address, server, a.Mode, state, a.Error})
		}
		return c.print(p.stdout, reports, []string{"ID", "ADDRESS", "SERVER", "MODE", "STATE", "ERROR"}, rows)
	})
}

type accountTest struct {
	accountOwner `embed:""`
	output       `embed:""`
	Accounts     config.Accounts `embed:"" group:"Mail accounts:"`
	ID           string          `arg:"" name:"id" help:"Id of the account."`
}

// Run signs in and prints what was found. Its status is 1 if mail cannot be read.
func (c *accountTest) Run(ctx context.Context, p *process) error {
	id, err := events.ParseUUID([]byte(c.ID))
	if err != nil {
		return usageError{fmt.Errorf("%q is not the id of an account: see \"applylens account list\"", c.ID)}
	}
	connector, err := newConnector(&c.Accounts)
	if err != nil {
		return usageError{err}
	}
	return c.with(ctx, func(pool *pgxpool.Pool, user string) error {
		report, err := connector.Test(ctx, pool, user, id)
		if err != nil {
			return err
		}
		if c.JSON {
			err = c.print(p.stdout, report, nil, nil)
		} else {
			writeReport(p.stdout, report)
		}
		if err == nil && !report.OK {
			err = errors.New("mail cannot be read from this account")
		}
		return err
	})
}

type accountRemove struct {
	accountOwner `embed:""`
	ID           string `arg:"" name:"id" help:"Id of the account."`
	Yes          bool   `help:"Do not ask for confirmation."`
}

// Run forgets the account.
func (c *accountRemove) Run(ctx context.Context, p *process) error {
	id, err := events.ParseUUID([]byte(c.ID))
	if err != nil {
		return usageError{fmt.Errorf("%q is not the id of an account: see \"applylens account list\"", c.ID)}
	}
	return c.with(ctx, func(pool *pgxpool.Pool, user string) error {
		account, err := accounts.Get(ctx, pool, user, id)
		if err != nil {
			return err
		}
		if !c.Yes {
			fmt.Fprintf(os.Stderr, "This forgets the account %s with its password; mail that came in stays.\n", printable.Text(account.Address))
			if err := confirmed(os.Stdin, os.Stderr, account.Address); err != nil {
				return err
			}
		}
		if _, err := accounts.Remove(ctx, pool, user, id); err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.stdout, "removed", id)
		return err
	})
}
