package warehouse

import (
	"fmt"
	"regexp"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/applylens/applylens/schema"
)

// Dialect is the SQL of a warehouse.
type Dialect string

// The dialects.
const (
	PostgreSQL Dialect = "postgresql"
	BigQuery   Dialect = "bigquery"
)

// Account is one account of an applicant tracking system, loaded by a connector into a schema of the warehouse.
type Account struct {
	System  string // greenhouse, lever or workday
	Schema  string // in BigQuery a dataset, optionally with its project: "acme-prod.greenhouse"
	Company string // the employer that owns the account; the tables do not name it
}

// ParseAccount reads SYSTEM:SCHEMA:COMPANY.
func ParseAccount(text string) (Account, error) {
	parts := strings.SplitN(text, ":", 3)
	if len(parts) != 3 || parts[0] == "" || parts[1] == "" || strings.TrimSpace(parts[2]) == "" {
		return Account{}, fmt.Errorf("%q is not SYSTEM:SCHEMA:COMPANY, such as greenhouse:greenhouse:Acme", text)
	}
	return Account{strings.ToLower(parts[0]), parts[1], strings.TrimSpace(parts[2])}, nil
}

// Definition returns the statement that creates the view over all accounts.
func Definition(dialect Dialect, view string, accounts []Account) (string, error) {
	if len(accounts) == 0 {
		return "", fmt.Errorf("no account is set")
	}
	name, err := dialect.identifier(view)
	if err != nil {
		return "", err
	}
	parts := make([]string, len(accounts))
	for i, account := range accounts {
		if parts[i], err = dialect.query(account); err != nil {
			return "", err
		}
	}
	return "CREATE OR REPLACE VIEW " + name + " AS\n" + strings.Join(parts, "UNION ALL\n") + ";\n", nil
}

func (d Dialect) query(account Account) (string, error) {
	text, err := schema.Warehouse.ReadFile("warehouse/" + string(d) + "/" + account.System + ".sql")
	if err != nil {
		return "", fmt.Errorf("there is no view for %s in %s: systems are greenhouse, lever and workday", account.System, d)
	}
	quoted, err := d.identifier(account.Schema)
	if err != nil {
		return "", err
	}
	return strings.NewReplacer("{{schema}}", quoted, "{{company}}", d.literal(account.Company)).Replace(string(text)), nil
}

var bigQueryName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9_-]*(\.[A-Za-z0-9_][A-Za-z0-9_-]*){0,2}$`)

// identifier quotes a name with the schemas before it.
func (d Dialect) identifier(name string) (string, error) {
	if d == PostgreSQL {
		return pgx.Identifier(strings.Split(name, ".")).Sanitize(), nil
	}
	if !bigQueryName.MatchString(name) {
		return "", fmt.Errorf("%q is not a valid name in BigQuery", name)
	}
	return "`" + strings.ReplaceAll(name, ".", "`.`") + "`", nil
}

// literal quotes a text.
func (d Dialect) literal(text string) string {
	if d == PostgreSQL {
		return "'" + strings.ReplaceAll(text, "'", "''") + "'" // with standard_conforming_strings
	}
	return "'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`, "\n", `\n`).Replace(text) + "'"
}
