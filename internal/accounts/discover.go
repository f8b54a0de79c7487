package accounts

import (
	"context"
	"net"
	"sort"
	"strings"

	"github.com/applylens/applylens/internal/domain"
)

// Proposed is where a mailbox may be, by its owner's address.
type Proposed struct {
	Host     string `json:"host"`
	Port     int    `json:"port"`
	Security string `json:"security"`
	Auth     string `json:"auth" doc:"How the provider lets programs sign in"`
	TokenURL string `json:"token_url,omitempty"`
	SMTPHost string `json:"smtp_host,omitempty"`
	From     string `json:"from" doc:"preset, or dns: what its domain says, or guess: the usual name"`
}

// presets are providers whose servers are known.
var presets = []struct {
	domains []string // of addresses
	mx      string   // the end of the names of the servers that take mail for other domains
	Proposed
}{
	{[]string{"gmail.com", "googlemail.com"}, ".google.com", Proposed{"imap.gmail.com", 993, TLS, "xoauth2", "https://oauth2.googleapis.com/token", "smtp.gmail.com:465", "preset"}},
	{[]string{"outlook.com", "hotmail.com", "live.com", "msn.com"}, ".mail.protection.outlook.com",
		Proposed{"outlook.office365.com", 993, TLS, "xoauth2", "https://login.microsoftonline.com/common/oauth2/v2.0/token", "smtp.office365.com:587", "preset"}},
}

// Resolver is the part of net.Resolver that autodiscovery needs.
type Resolver interface {
	LookupSRV(ctx context.Context, service, proto, name string) (string, []*net.SRV, error)
	LookupMX(ctx context.Context, name string) ([]*net.MX, error)
}

// Discover proposes where the mailbox of an address may be: a provider that is known, else what the domain says by RFC 6186, else the
// usual name. It connects to no server; names are those of the domain's owner, so they are only proposed.
func Discover(ctx context.Context, resolver Resolver, address string) (Proposed, bool) {
	at := strings.LastIndexByte(address, '@')
	name := domain.Part(strings.ToLower(strings.TrimSpace(address[at+1:])))
	if at < 1 || name == "" || strings.ContainsAny(name, "/@ []:") {
		return Proposed{}, false
	}
	for _, p := range presets {
		for _, known := range p.domains {
			if name == known {
				return p.Proposed, true
			}
		}
	}
	for _, service := range []struct{ name, security string }{{"imaps", TLS}, {"imap", StartTLS}} {
		_, found, err := resolver.LookupSRV(ctx, service.name, "tcp", name)
		if err != nil || len(found) == 0 || found[0].Target == "." { // "." says that there is none
			continue
		}
		return Proposed{Host: strings.TrimSuffix(found[0].Target, "."), Port: int(found[0].Port), Security: service.security, Auth: "password", From: "dns"}, true
	}
	if found, err := resolver.LookupMX(ctx, name); err == nil && len(found) > 0 {
		sort.Slice(found, func(i, j int) bool { return found[i].Pref < found[j].Pref })
		host := strings.ToLower(strings.TrimSuffix(found[0].Host, "."))
		for _, p := range presets {
			if strings.HasSuffix(host, p.mx) {
				return p.Proposed, true
			}
		}
	}
	return Proposed{Host: "imap." + name, Port: 993, Security: TLS, Auth: "password", From: "guess"}, true
}
