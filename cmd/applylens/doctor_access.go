package main

import (
	"context"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// anonymousPatience is how long a server may take to turn away a client without a password.
const anonymousPatience = 2 * time.Second

// kafkaAccess checks that the brokers turn away clients without a password, by connecting as one, and that ours does not
// travel in the clear.
func (c *checkup) kafkaAccess(ctx context.Context) bool {
	const check = "kafka access"
	const todo = "enable SASL on every listener, and set --kafka-sasl-mechanism, --kafka-sasl-username and --kafka-sasl-password; docs/operate.md says how"
	patience, cancel := context.WithTimeout(ctx, anonymousPatience)
	defer cancel()
	switch {
	case c.broker.AdmitsAnyone(patience):
		c.add(levelWarn, check, todo, "the brokers admit clients without a password: whoever reaches them reads all mail and can erase people")
	case c.clearPassword:
		c.add(levelWarn, check, "use scram-sha-256 or scram-sha-512, which do not send the password, or add --kafka-tls",
			"SASL mechanism plain without TLS sends the password to whoever listens on the way or in the place of a broker")
	default:
		c.ok(check, "the brokers turn away clients without a password")
	}
	return true
}

// databaseAccess checks that PostgreSQL does not admit our user without its password.
func (c *checkup) databaseAccess(ctx context.Context) bool {
	const check = "postgres access"
	settings := c.pool.Config().ConnConfig.Copy()
	if strings.HasPrefix(settings.Host, "/") || settings.TLSConfig != nil && len(settings.TLSConfig.Certificates) > 0 {
		c.ok(check, "user %s is known by its account on this machine, or by its certificate", settings.User)
		return true
	}
	settings.Password = ""
	patience, cancel := context.WithTimeout(ctx, anonymousPatience)
	defer cancel()
	conn, err := pgx.ConnectConfig(patience, settings)
	if err != nil {
		c.ok(check, "user %s is not admitted without its password", settings.User)
		return true
	}
	_ = conn.Close(patience)
	c.add(levelWarn, check, "replace trust by scram-sha-256 in pg_hba.conf", "PostgreSQL admits user %s without its password: whoever reaches it reads all mail", settings.User)
	return true
}
