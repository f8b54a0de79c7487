package main

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/rebuild"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/broker"
	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/embedded"
	"github.com/applylens/applylens/internal/outbox"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/internal/private"
	pgsearch "github.com/applylens/applylens/internal/search/postgres"
	"github.com/applylens/applylens/producers/relay"
)

// localUser is the only user of an embedded deployment. Its token has both roles.
const localUser = "local"

// renewLag is the greatest lag of a renewed version, in records per partition, when it becomes live.
const renewLag = 1000

type upCommand struct {
	Demo      bool    `help:"Import the sample mail, propose and decide, and show what was learned."`
	Listen    address `help:"Address to serve HTTP on. Default: ${usual_listen}, or a free port if it is in use." env:"LISTEN" placeholder:"HOST:PORT"`
	DataDir   dataDir `help:"Data directory. Default: ${data_dir}." env:"DATA_DIR" placeholder:"DIR"`
	UserLabel string  `name:"metrics-user-label" help:"The label user of the product counters: hash, plain or off." enum:"hash,plain,off" default:"hash" env:"METRICS_USER_LABEL"`
}

// Run starts everything in this process, reports when it is ready, and drains when the context ends.
func (c *upCommand) Run(ctx context.Context, p *process) (err error) {
	began := time.Now()
	dir, err := c.dataDir()
	if err != nil {
		return err
	}
	if !isLoopback(c.Listen.or(usualListen)) {
		return usageError{errors.New("--listen: \"up\" serves only this machine; to serve others, run the processes of docker-compose.yml")}
	}
	listener, err := c.Listen.listen("--listen", usualListen, p.log)
	if err != nil {
		return err
	}
	defer listener.Close()
	servers, err := embedded.Start(ctx, dir, p.log)
	if err != nil {
		return err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.Background(), config.ShutdownTimeout)
		defer cancel()
		err = errors.Join(err, servers.Stop(ctx))
	}()
	kafka := servers.Kafka
	database := config.Postgres{DatabaseURL: config.Secret(servers.DatabaseURL), DatabasePoolSize: 40}
	links, err := connect(ctx, &kafka, &database, "applylens up")
	if err != nil {
		return err
	}
	defer links.close()
	secret, err := keptSecret(filepath.Join(dir, relaySecretFile))
	if err != nil {
		return err
	}
	token, err := prepare(ctx, links, dir)
	if err != nil {
		return err
	}
	if err := writeSettings(dir, listener.Addr(), token, servers); err != nil {
		return err
	}
	running, runCtx := errgroup.WithContext(ctx)
	if err := c.startParts(runCtx, running, p, links, secret, listener); err != nil {
		return err
	}
	address := "http://" + listener.Addr().String()
	fmt.Fprintf(p.stdout, "ApplyLens is ready at %s after %s. Settings for other commands: . %s\n", address, time.Since(began).Round(10*time.Millisecond), filepath.Join(dir, "env"))
	if c.Demo {
		running.Go(func() error { return runDemo(runCtx, p, links, address, token, dir) })
	}
	return running.Wait()
}

// dataDir returns --data-dir, or the usual directory.
func (c *upCommand) dataDir() (string, error) {
	if c.DataDir != "" {
		return string(c.DataDir), nil
	}
	dir, err := config.DataDir()
	if err != nil {
		return "", usageError{fmt.Errorf("set --data-dir: %w", err)}
	}
	return dir, nil
}

// prepare brings the schema and the topics up to date and returns the local user's token.
func prepare(ctx context.Context, links *links, dir string) (string, error) {
	if err := postgres.Migrate(ctx, links.pool); err != nil {
		return "", err
	}
	if err := links.broker.EnsureTopics(ctx, broker.Layout{ReplicationFactor: 1}); err != nil {
		return "", err
	}
	users := auth.NewStore(links.pool)
	if _, err := users.CreateUser(ctx, auth.User{ID: localUser}); err != nil {
		return "", err
	}
	return keptToken(ctx, users, filepath.Join(dir, "token"))
}

// keptToken returns the token of an earlier start if it is still valid and has both roles, and otherwise a new one.
func keptToken(ctx context.Context, users *auth.Store, path string) (string, error) {
	if text, err := os.ReadFile(path); err == nil {
		token := strings.TrimSpace(string(text))
		request := &http.Request{Header: http.Header{"Authorization": {"Bearer " + token}}}
		if caller, err := users.Authenticate(ctx, request); err == nil && caller.Has(auth.Owner) && caller.Has(auth.Operator) {
			return token, nil
		}
	}
	token, err := users.CreateToken(ctx, localUser, auth.Bearer, "up", time.Time{}, auth.Owner, auth.Operator)
	if err != nil {
		return "", err
	}
	return token, private.WriteFile(path, []byte(token+"\n"))
}

// relaySecretFile is the name of the file with the master secret of the relay's keys.
const relaySecretFile = "relay-secret"

// keptSecret returns the master secret of an earlier start, or makes one.
func keptSecret(path string) ([]byte, error) {
	kept := config.RelaySecret{RelaySecretFile: path}
	secret, err := kept.Secret()
	if !errors.Is(err, os.ErrNotExist) {
		return secret, err
	}
	secret = []byte(rand.Text() + rand.Text())
	return secret, private.WriteFile(path, append(secret, '\n'))
}

// shellQuoted returns a word of a shell that stands for text.
func shellQuoted(text string) string { return "'" + strings.ReplaceAll(text, "'", `'\''`) + "'" }

// writeSettings writes the settings that curl, psql, kcat and the other subcommands need.
func writeSettings(dir string, listen net.Addr, token string, servers *embedded.Servers) error {
	kcat, err := writeKcat(dir, &servers.Kafka)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("export APPLYLENS_URL=http://%s\nexport APPLYLENS_TOKEN=%s\nexport DATABASE_URL='%s'\nexport KCAT_CONFIG=%s\nexport RELAY_SECRET_FILE=%s\n",
		listen, token, servers.DatabaseURL, shellQuoted(kcat), shellQuoted(filepath.Join(dir, relaySecretFile)))
	for _, setting := range config.Environ(nil, &servers.Kafka) {
		text += "export " + setting + "\n"
	}
	path := filepath.Join(dir, "env")
	if err := private.WriteFile(path, []byte(text)); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

// startParts starts the API, the relay and all groups.
func (c *upCommand) startParts(ctx context.Context, running *errgroup.Group, p *process, links *links, secret []byte, listener net.Listener) error {
	registry := newRegistry()
	users, err := newUserLabel(ctx, c.UserLabel, links.pool)
	if err != nil {
		return err
	}
	signal := outbox.NewSignal()
	handler, err := api.New(api.Config{
		Pool: links.pool, Search: pgsearch.New(links.pool), Log: p.log, Registry: registry, Wake: signal.Set, ATS: ats.OfMails(links.pool), Hosts: ownHosts(listener.Addr()),
		Extend: operations(links),
	})
	if err != nil {
		return err
	}
	loop := consumers.NewMetrics(registry)
	for _, group := range newGroups(registry, users) {
		running.Go(func() error {
			return foldGroup(ctx, consumers.Config{Group: group, Broker: links.broker, Pool: links.pool, Log: p.log, Metrics: loop, Owner: owner()})
		})
	}
	running.Go(func() error {
		return relay.Run(ctx, relay.Config{Pool: links.pool, Conn: links.broker, Log: p.log, Registry: registry, Signal: signal, Secret: secret})
	})
	running.Go(func() error { return api.Serve(ctx, listener, handler, p.log) })
	return watchLag(ctx, running, links, registry)
}

// ownHosts are the names under which a browser on this machine reaches an address.
func ownHosts(listen net.Addr) []string {
	hosts := api.LoopbackHosts()
	if tcp, ok := listen.(*net.TCPAddr); ok {
		hosts = append(hosts, tcp.IP.String())
	}
	slices.Sort(hosts)
	return slices.Compact(hosts)
}

// foldGroup folds a group until ctx ends. If another fold rule folded the live version, it first builds a new version. If
// that fails, it logs the error and the group halts, for an operator to fix.
func foldGroup(ctx context.Context, cfg consumers.Config) error {
	if err := rebuild.Renew(ctx, cfg, renewLag, "up"); err != nil && ctx.Err() == nil {
		cfg.Log.Error("version not renewed", "group", cfg.Group.Name, "error", err)
	}
	return consumers.Run(ctx, cfg)
}
