package testenv

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/postgres"
	"github.com/applylens/applylens/schema"
)

const timeout = 30 * time.Second

// Database returns a new migrated database on the server of DATABASE_URL, and its URL. When the test ends, the pool is closed
// and the database dropped. The test is skipped if the variable is unset.
func Database(t testing.TB) (*pgxpool.Pool, string) {
	t.Helper()
	server := os.Getenv("DATABASE_URL")
	if server == "" {
		t.Skip("set DATABASE_URL to a PostgreSQL superuser's URL to run this test")
	}
	return NewDatabase(t, server)
}

// NewDatabase is like Database for the server of the URL, such as one that the test started.
func NewDatabase(t testing.TB, server string) (*pgxpool.Pool, string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*timeout)
	defer cancel()
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer admin.Close(ctx)
	template, err := templates.get(ctx, admin, server)
	if err != nil {
		t.Fatalf("prepare the template database: %v", err)
	}
	name := "test_" + randomText()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+template); err != nil {
		t.Fatalf("create database: %v", err)
	}
	t.Cleanup(func() { drop(t, server, name) })
	address := withDatabase(server, name)
	pool, err := postgres.Open(context.Background(), config.Postgres{DatabaseURL: config.Secret(address)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool, address
}

// CopyDatabase returns a copy of a test's database in its current state, like a restored backup. It is dropped when the test
// ends. The only connections to the database may be idle ones of the pool, which are closed.
func CopyDatabase(t testing.TB, of *pgxpool.Pool) *pgxpool.Pool {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	of.Reset()
	server := of.Config().ConnString()
	admin, err := pgx.Connect(ctx, withDatabase(server, "postgres"))
	if err != nil {
		t.Fatalf("connect to the test server: %v", err)
	}
	defer admin.Close(ctx)
	name := "test_" + randomText()
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+name+" TEMPLATE "+of.Config().ConnConfig.Database); err != nil {
		t.Fatalf("copy database: %v", err)
	}
	t.Cleanup(func() { drop(t, withDatabase(server, "postgres"), name) })
	address := withDatabase(server, name)
	pool, err := postgres.Open(context.Background(), config.Postgres{DatabaseURL: config.Secret(address)}, "test")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { closePool(t, pool) })
	return pool
}

func closePool(t testing.TB, pool *pgxpool.Pool) {
	closed := make(chan struct{})
	go func() {
		pool.Close()
		close(closed)
	}()
	select {
	case <-closed:
	case <-time.After(timeout):
		t.Errorf("the test ended with %d connections of its pool still in use", pool.Stat().AcquiredConns())
	}
}

// drop drops a database. If the test has already stopped the server, the database is left.
func drop(t testing.TB, server, name string) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	admin, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Logf("database %s is not dropped: %v", name, err)
		return
	}
	defer admin.Close(ctx)
	if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
		t.Logf("database %s is not dropped: %v", name, err)
	}
}

// templates caches which servers have the template of the current schema.
var templates = templateCache{ready: map[string]string{}}

type templateCache struct {
	mu    sync.Mutex
	ready map[string]string // server URL to template name
}

func (c *templateCache) get(ctx context.Context, admin *pgx.Conn, server string) (string, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if name := c.ready[server]; name != "" {
		return name, nil
	}
	sum, err := schemaSum()
	if err != nil {
		return "", err
	}
	name := fmt.Sprintf("template_%x", sum[:8])
	if err := ensureTemplate(ctx, admin, server, name, int64(binary.BigEndian.Uint64(sum[:8]))); err != nil {
		return "", err
	}
	c.ready[server] = name
	return name, nil
}

// ensureTemplate migrates a database under a temporary name and renames it, so that a template with the final name is always
// complete. The advisory lock ensures that concurrent test binaries create it only once.
func ensureTemplate(ctx context.Context, admin *pgx.Conn, server, name string, lock int64) (err error) {
	if _, err := admin.Exec(ctx, "SELECT pg_advisory_lock($1)", lock); err != nil {
		return err
	}
	defer func() {
		_, unlockErr := admin.Exec(ctx, "SELECT pg_advisory_unlock($1)", lock)
		err = errors.Join(err, unlockErr)
	}()
	var exists bool
	if err := admin.QueryRow(ctx, "SELECT EXISTS (SELECT FROM pg_database WHERE datname = $1)", name).Scan(&exists); err != nil || exists {
		return err
	}
	part := name + "_part"
	if _, err := admin.Exec(ctx, "DROP DATABASE IF EXISTS "+part+" WITH (FORCE)"); err != nil {
		return err
	}
	if _, err := admin.Exec(ctx, "CREATE DATABASE "+part+" TEMPLATE template0"); err != nil {
		return err
	}
	if err := migrate(ctx, withDatabase(server, part)); err != nil {
		return err
	}
	_, err = admin.Exec(ctx, "ALTER DATABASE "+part+" RENAME TO "+name)
	return err
}

func migrate(ctx context.Context, address string) error {
	pool, err := postgres.Open(ctx, config.Postgres{DatabaseURL: config.Secret(address)}, "test")
	if err != nil {
		return err
	}
	defer pool.Close()
	return postgres.Migrate(ctx, pool)
}

// schemaSum is a hash over the migrations.
func schemaSum() ([sha256.Size]byte, error) {
	sum := sha256.New()
	err := fs.WalkDir(schema.Migrations, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		text, err := fs.ReadFile(schema.Migrations, path)
		fmt.Fprintf(sum, "%s %d\n", path, len(text))
		sum.Write(text)
		return err
	})
	return [sha256.Size]byte(sum.Sum(nil)), err
}

func withDatabase(server, name string) string {
	address, err := url.Parse(server)
	if err != nil {
		return server
	}
	address.Path = "/" + name
	return address.String()
}

func randomText() string {
	var bytes [8]byte
	_, _ = rand.Read(bytes[:])
	return fmt.Sprintf("%x", bytes)
}
