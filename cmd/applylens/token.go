package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
)

// tokenCommand manages users and their bearer tokens.
type tokenCommand struct {
	Create tokenCreate `cmd:"" help:"Create a token and print it; it cannot be shown again. Creates the user if necessary."`
	Link   tokenLink   `cmd:"" help:"Print a link that signs a browser in as a user, once and within ten minutes."`
	List   tokenList   `cmd:"" help:"List tokens, without their secrets."`
	Revoke tokenRevoke `cmd:"" help:"Revoke a token at once."`
	Demote tokenDemote `cmd:"" help:"Take the role operator away from a token at once."`
}

type tokenCreate struct {
	config.Postgres `embed:"" group:"Connections:"`
	User            string   `required:"" help:"The user's id; it need not be an address." placeholder:"ID"`
	Address         []string `help:"An address that belongs to the user; may be repeated." placeholder:"ADDRESS"`
	Operator        bool     `help:"Also give this token the role operator, for /ops; other tokens of the user do not get it."`
	Name            string   `help:"What the token is for." placeholder:"TEXT"`
	Expires         days     `help:"How long the token is valid, such as 90d or 12h. Default: for ever." placeholder:"DURATION"`
}

// Run creates the token and prints it on a line of its own.
func (c *tokenCreate) Run(ctx context.Context, p *process) error {
	return withUsers(ctx, c.Postgres, func(users *auth.Store) error {
		if _, err := users.CreateUser(ctx, auth.User{ID: c.User, Addresses: c.Address}); err != nil {
			return err
		}
		roles := []string{auth.Owner}
		if c.Operator {
			roles = append(roles, auth.Operator)
		}
		var expires time.Time
		if c.Expires > 0 {
			expires = time.Now().Add(time.Duration(c.Expires))
		}
		secret, err := users.CreateToken(ctx, c.User, auth.Bearer, c.Name, expires, roles...)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(p.stdout, secret)
		return err
	})
}

type tokenList struct {
	config.Postgres `embed:"" group:"Connections:"`
	output          `embed:""`
	User            string `help:"Show only this user's tokens." placeholder:"ID"`
}

// Run prints the tokens, newest first.
func (c *tokenList) Run(ctx context.Context, p *process) error {
	return withUsers(ctx, c.Postgres, func(users *auth.Store) error {
		tokens, err := users.Tokens(ctx, c.User)
		if err == nil && len(tokens) == 0 && c.User != "" {
			_, err = users.Find(ctx, c.User) // the id may be mistyped
		}
		if err != nil {
			return err
		}
		rows := make([][]string, len(tokens))
		for i, t := range tokens {
			expires := "never"
			if t.ExpiresAt != nil {
				expires = t.ExpiresAt.UTC().Format(time.RFC3339)
			}
			rows[i] = []string{t.ID, t.UserID, t.Kind, strings.Join(t.Roles, ", "), t.Name, t.CreatedAt.UTC().Format(time.RFC3339), expires}
		}
		return c.print(p.stdout, tokens, []string{"ID", "USER", "KIND", "ROLES", "NAME", "CREATED", "EXPIRES"}, rows)
	})
}

type tokenRevoke struct {
	config.Postgres `embed:"" group:"Connections:"`
	ID              string `arg:"" help:"The token's id, as token list prints it."`
}

// Run revokes the token.
func (c *tokenRevoke) Run(ctx context.Context, p *process) error {
	return withUsers(ctx, c.Postgres, func(users *auth.Store) error {
		found, err := users.Revoke(ctx, c.ID)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("there is no token with the id %q", c.ID)
		}
		_, err = fmt.Fprintln(p.stdout, "revoked", c.ID)
		return err
	})
}

type tokenDemote struct {
	config.Postgres `embed:"" group:"Connections:"`
	ID              string `arg:"" help:"The token's id, as token list prints it."`
}

// Run takes the role operator away.
func (c *tokenDemote) Run(ctx context.Context, p *process) error {
	return withUsers(ctx, c.Postgres, func(users *auth.Store) error {
		found, err := users.Demote(ctx, c.ID)
		if err != nil {
			return err
		}
		if !found {
			return fmt.Errorf("there is no token with the id %q that has both roles: see \"applylens token list\"", c.ID)
		}
		_, err = fmt.Fprintln(p.stdout, "demoted", c.ID)
		return err
	})
}

// withUsers runs work on the users of a database with the current schema.
func withUsers(ctx context.Context, settings config.Postgres, work func(*auth.Store) error) error {
	pool, err := postgres.Open(ctx, settings, "applylens token")
	if err != nil {
		return usageError{err}
	}
	defer postgres.ClosePool(pool)
	if err := postgres.Migrate(ctx, pool); err != nil {
		return err
	}
	return work(auth.NewStore(pool))
}

// days is a duration that may also be written in days, such as 90d.
type days time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (d *days) UnmarshalText(text []byte) error {
	value, err := parseDays(string(text))
	if err == nil && value <= 0 {
		err = errors.New("the duration must be above zero")
	}
	*d = days(value)
	return err
}

func parseDays(text string) (time.Duration, error) {
	number, inDays := strings.CutSuffix(text, "d")
	if !inDays {
		return time.ParseDuration(text)
	}
	count, err := strconv.Atoi(number)
	if err != nil || count > 36_500 {
		return 0, fmt.Errorf("%q is not a number of days up to 36500", number)
	}
	return time.Duration(count) * 24 * time.Hour, nil
}
