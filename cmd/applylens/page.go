package main

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/web/page"
)

// webPage makes the web page for an API on a database, and for an OpenID provider if there is one.
func webPage(pool *pgxpool.Pool, log *slog.Logger, settings config.OIDC) func(http.Handler) (api.Page, error) {
	return func(handler http.Handler) (api.Page, error) {
		return page.New(page.Config{API: handler, Users: auth.NewStore(pool), Log: log, Provider: providerOf(settings)})
	}
}

func providerOf(settings config.OIDC) *page.Provider {
	if !settings.Given() {
		return nil
	}
	return &page.Provider{
		Issuer: settings.OIDCIssuer, ClientID: settings.OIDCClientID, ClientSecret: string(settings.OIDCClientSecret), PublicURL: settings.PublicURL,
		AllowedDomains: settings.OIDCAllowedDomains, AllowedGroups: settings.OIDCAllowedGroups, OperatorGroup: settings.OIDCOperatorGroup,
	}
}

// signInLink returns an address that signs a browser in as a user, once and within ten minutes. Without roles the session is an
// owner's.
func signInLink(ctx context.Context, users *auth.Store, userID, address string, roles ...string) (string, error) {
	secret, err := users.CreateToken(ctx, userID, auth.Login, "link", time.Now().Add(auth.LinkFor), roles...)
	if err != nil {
		return "", err
	}
	return address + "/sign-in?link=" + url.QueryEscape(secret), nil
}

type tokenLink struct {
	config.Postgres `embed:"" group:"Connections:"`
	User            string `help:"The user's id. Default: the user of \"applylens up\"." default:"${local_user}" placeholder:"ID"`
	Operator        bool   `help:"Also give the session the role operator, for /ops."`
	URL             string `help:"Where the page is." required:"" env:"APPLYLENS_URL" placeholder:"URL"`
}

// Run prints a link of the kind that "up" prints.
func (c *tokenLink) Run(ctx context.Context, p *process) error {
	to, err := url.Parse(c.URL)
	if err != nil || to.Scheme != "http" && to.Scheme != "https" || to.Host == "" {
		return usageError{fmt.Errorf("--url %q is not an address such as https://mail.example.com", c.URL)}
	}
	return withUsers(ctx, c.Postgres, func(users *auth.Store) error {
		roles := []string{auth.Owner}
		if c.Operator {
			roles = append(roles, auth.Operator)
		}
		link, err := signInLink(ctx, users, c.User, to.Scheme+"://"+to.Host, roles...)
		if err != nil {
			return err
		}
		_, err = fmt.Fprintf(p.stdout, "%s\n", link)
		return err
	})
}
