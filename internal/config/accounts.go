package config

import (
	"crypto/x509"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/applylens/applylens/internal/secrets"
)

// Accounts has the settings of people's mail accounts.
type Accounts struct {
	SecretsKey     Secret `name:"secrets-key" help:"Keys that seal the passwords of mail accounts: each 32 random bytes in base64, separated by commas; the first one seals. Keep them outside of the database and its backups." env:"SECRETS_KEY"`
	SecretsKeyFile string `name:"secrets-key-file" help:"File that contains these keys, each on a line; the first one seals." env:"SECRETS_KEY_FILE" type:"path"`
	PrivateHosts   bool   `name:"private-hosts" help:"Let accounts be on hosts with private addresses, such as those of this machine and its network." env:"PRIVATE_HOSTS"`
	AccountsCAFile string `name:"accounts-ca-file" help:"PEM file of certificate authorities of mail servers, in addition to this machine's." env:"ACCOUNTS_CA_FILE" type:"path"`
}

// Keys returns the keys, nil if none are set.
func (a *Accounts) Keys() (*secrets.Keys, error) {
	text, err := fromFile(a.SecretsKey, a.SecretsKeyFile, "secrets-key")
	if err != nil || text == "" {
		return nil, err
	}
	keys, err := secrets.Parse(strings.ReplaceAll(string(text), ",", "\n"))
	if err != nil {
		return nil, fmt.Errorf("--secrets-key-file: %w", err)
	}
	return keys, nil
}

// AccountPassword returns the password in the environment for an account that is added. It is no flag: a command line can be read by
// everybody on the machine.
func AccountPassword() Secret { return Secret(os.Getenv("ACCOUNT_PASSWORD")) }

// Roots returns the authorities of mail servers, nil for this machine's.
func (a *Accounts) Roots() (*x509.CertPool, error) {
	if a.AccountsCAFile == "" {
		return nil, nil
	}
	text, err := os.ReadFile(a.AccountsCAFile)
	if err != nil {
		return nil, fmt.Errorf("--accounts-ca-file: %w", err)
	}
	roots, err := x509.SystemCertPool()
	if err != nil {
		return nil, fmt.Errorf("--accounts-ca-file: %w", err)
	}
	if !roots.AppendCertsFromPEM(text) {
		return nil, errors.New("--accounts-ca-file: there is no certificate in it")
	}
	return roots, nil
}
