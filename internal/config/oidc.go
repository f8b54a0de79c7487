package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"strings"

	"github.com/applylens/applylens/internal/domain"
)

// OIDC says which OpenID provider signs people in at the web page, and whom it may let in.
type OIDC struct {
	PublicURL            string   `name:"public-url" help:"Where browsers reach the page, such as https://mail.example.com; required with --oidc-issuer." env:"PUBLIC_URL" placeholder:"URL"`
	OIDCIssuer           string   `name:"oidc-issuer" help:"The OpenID provider that signs people in, such as https://accounts.google.com. Default: none." env:"OIDC_ISSUER" placeholder:"URL"`
	OIDCClientID         string   `name:"oidc-client-id" help:"What the provider calls this deployment." env:"OIDC_CLIENT_ID" placeholder:"ID"`
	OIDCClientSecret     Secret   `name:"oidc-client-secret" help:"The provider's secret for it." env:"OIDC_CLIENT_SECRET" placeholder:"SECRET"`
	OIDCClientSecretFile string   `name:"oidc-client-secret-file" help:"File that contains the secret." env:"OIDC_CLIENT_SECRET_FILE" type:"path"`
	OIDCAllowedDomains   []string `name:"oidc-allowed-domains" help:"People with a verified address at one of these domains may come in." env:"OIDC_ALLOWED_DOMAINS" placeholder:"DOMAIN,..."`
	OIDCAllowedGroups    []string `name:"oidc-allowed-groups" help:"So may members of one of these groups of the provider." env:"OIDC_ALLOWED_GROUPS" placeholder:"GROUP,..."`
	OIDCOperatorGroup    string   `name:"oidc-operator-group" help:"Members of this group also get the role operator." env:"OIDC_OPERATOR_GROUP" placeholder:"GROUP"`
}

// Given tells whether there is a provider.
func (o *OIDC) Given() bool { return o.OIDCIssuer != "" }

// Validate lists every fault of the settings, and brings domains to the form in which they are compared. Without a provider there is
// none.
func (o *OIDC) Validate() error {
	if !o.Given() {
		return nil
	}
	var faults []error
	for name, text := range map[string]string{"--oidc-issuer": o.OIDCIssuer, "--public-url": o.PublicURL} {
		if err := checkPublic(text); err != nil {
			faults = append(faults, fmt.Errorf("%s: %w", name, err))
		}
	}
	var err error
	if o.OIDCClientSecret, err = fromFile(o.OIDCClientSecret, o.OIDCClientSecretFile, "oidc-client-secret"); err != nil {
		faults = append(faults, err)
	}
	o.OIDCClientSecretFile = "" // so that Validate can be called again
	if o.OIDCClientID == "" || o.OIDCClientSecret == "" {
		faults = append(faults, errors.New("--oidc-issuer needs --oidc-client-id and --oidc-client-secret"))
	}
	if len(o.OIDCAllowedDomains)+len(o.OIDCAllowedGroups) == 0 {
		faults = append(faults, errors.New("say who may come in with --oidc-allowed-domains or --oidc-allowed-groups: otherwise everybody could whom the provider knows"))
	}
	for i, name := range o.OIDCAllowedDomains {
		name = domain.Part(strings.TrimSpace(name))
		if name == "" || strings.ContainsAny(name, "@*/ ") {
			faults = append(faults, fmt.Errorf("--oidc-allowed-domains: %q is not a domain such as example.com", name))
		}
		o.OIDCAllowedDomains[i] = name
	}
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	return errors.Join(faults...)
}

// checkPublic refuses what is no address over TLS; on this machine it may be one without.
func checkPublic(text string) error {
	address, err := url.Parse(text)
	if err != nil || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "" {
		return fmt.Errorf("%q is not an address such as https://example.com", text)
	}
	ip, _ := netip.ParseAddr(address.Hostname())
	if address.Scheme != "https" && !(address.Scheme == "http" && (ip.IsLoopback() || address.Hostname() == "localhost")) {
		return fmt.Errorf("%q is not https", text)
	}
	return nil
}
