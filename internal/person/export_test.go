package person_test

import (
	"bufio"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	erasing "github.com/applylens/applylens/internal/person"
	"github.com/applylens/applylens/internal/testkit/world"
)

// peopled is a world with two persons of whom every table has something. Nothing runs any more.
func peopled(t *testing.T) (w *deployment, ann, bob *person) {
	t.Helper()
	w = newDeployment(t)
	stopRelay, stopFolds := w.relay(), w.fold()
	ann, bob = w.newPerson(canary), w.newPerson(bystander)
	for _, p := range []*person{ann, bob} {
		p.receive(0, 5)
		w.settled()
		p.decide()
		p.foreign(0)
	}
	w.settled()
	stopFolds()
	stopRelay()
	return w, ann, bob
}

// exported are the columns of a table but for those that an export leaves out: hashes, sealed secrets, the version of a projection, and
// what search looks up.
const exported = `
SELECT column_name::text FROM information_schema.columns
WHERE table_name = $1 AND column_name NOT IN ('hash', 'parent', 'request_hash', 'search_words', 'secret') AND (column_name <> 'version' OR $1 = 'dead_letters')`

func TestExportIsComplete(t *testing.T) {
	w, ann, _ := peopled(t)
	w.Exec(`INSERT INTO applications (version, system, application_id, addresses, company, stage, src_version, removed, updated_at)
		VALUES (1, 'greenhouse', '1', ARRAY['news@' || $1 || '.example'], $1, 'Onsite', 1, false, now())`, canary)
	w.Exec(`INSERT INTO application_keys (version, address, company, system, application_id, whole)
		VALUES (1, 'news@' || $1 || '.example', '', 'greenhouse', '1', true)`, canary)
	dir := filepath.Join(t.TempDir(), "out")
	var heard, expected int64
	manifest, err := erasing.Export(t.Context(), w.Pool, ann.id, dir, func(rows, of int64) { heard, expected = rows, of })
	w.Must(err)
	total := int64(0)
	for _, file := range manifest.Files {
		w.checkFile(dir, file)
		total += file.Rows
	}
	if mails := rowsOf(manifest, "mails"); mails != 5 {
		t.Errorf("%d mails, want 5", mails)
	}
	if total < 30 || heard != total || expected != total {
		t.Errorf("%d rows in all; %d of %d were told", total, heard, expected)
	}
	var written erasing.Manifest
	text, err := os.ReadFile(filepath.Join(dir, "manifest.json"))
	w.Must(err)
	w.Must(json.Unmarshal(text, &written))
	if diff := cmp.Diff(*manifest, written); diff != "" {
		t.Errorf("manifest.json (-returned +written):\n%s", diff)
	}
	for name, mode := range map[string]os.FileMode{"": 0o700, "manifest.json": 0o600, "mails.jsonl": 0o600} {
		info, err := os.Stat(filepath.Join(dir, name))
		w.Must(err)
		if info.Mode().Perm() != mode {
			t.Errorf("%q has mode %o, want %o", name, info.Mode().Perm(), mode)
		}
	}
	if _, err := erasing.Export(t.Context(), w.Pool, ann.id, dir, nil); err == nil {
		t.Error("an export went over another")
	}
}

func rowsOf(m *erasing.Manifest, table string) int64 {
	i := slices.IndexFunc(m.Files, func(f erasing.File) bool { return f.Table == table })
	return m.Files[i].Rows
}

// checkFile holds that a file has what the manifest says, every column of its table, and nobody else's data.
func (w *deployment) checkFile(dir string, file erasing.File) {
	w.Helper()
	text, err := os.ReadFile(filepath.Join(dir, file.Name))
	w.Must(err)
	sum := sha256.Sum256(text)
	if hex.EncodeToString(sum[:]) != file.SHA256 || int64(len(text)) != file.Bytes {
		w.Errorf("%s is not what the manifest says", file.Name)
	}
	if !strings.Contains(string(text), canary) || strings.Contains(string(text), bystander) {
		w.Errorf("%s holds another's data, or nothing of the person's:\n%.2000s", file.Name, text)
	}
	columns := world.Column[string](w, exported, file.Table)
	lines := int64(0)
	for scanner := bufio.NewScanner(strings.NewReader(string(text))); scanner.Scan(); lines++ {
		var row map[string]any
		w.Must(json.Unmarshal(scanner.Bytes(), &row))
		for _, column := range columns {
			_, plain := row[column]
			_, encoded := row[column+"_base64"]
			if plain == encoded {
				w.Fatalf("%s lacks %s: %s", file.Name, column, scanner.Bytes())
			}
		}
		if len(row) != len(columns) {
			w.Fatalf("%s has more than the columns %v: %s", file.Name, columns, scanner.Bytes())
		}
	}
	if lines != file.Rows || lines == 0 {
		w.Errorf("%s has %d lines, and %d by the manifest", file.Name, lines, file.Rows)
	}
}

func TestExportIsOneSnapshot(t *testing.T) {
	w, ann, _ := peopled(t)
	manifest, err := erasing.Export(t.Context(), w.Pool, ann.id, filepath.Join(t.TempDir(), "out"), func(rows, _ int64) {
		if rows == 1 {
			_, err := erasing.Erase(t.Context(), w.Pool, ann.id)
			w.Must(err)
		}
	})
	w.Must(err)
	if mails := rowsOf(manifest, "mails"); mails != 5 {
		t.Errorf("%d mails, want the 5 of when the export began", mails)
	}
}

func TestFailedExportLeavesNothing(t *testing.T) {
	w, ann, _ := peopled(t)
	ctx, cancel := context.WithCancel(t.Context())
	dir := filepath.Join(t.TempDir(), "out")
	_, err := erasing.Export(ctx, w.Pool, ann.id, dir, func(rows, of int64) {
		if rows == of/2 {
			cancel()
		}
	})
	if !errors.Is(err, context.Canceled) {
		t.Errorf("an interrupted export gives %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("an interrupted export left something: %v", err)
	}
	if _, err := erasing.Export(t.Context(), w.Pool, "nobody", dir, nil); !errors.Is(err, erasing.ErrUnknown) {
		t.Errorf("the export of nobody gives %v", err)
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the export of nobody left something: %v", err)
	}
	empty := t.TempDir()
	if _, err := erasing.Export(t.Context(), w.Pool, "nobody", empty, nil); !errors.Is(err, erasing.ErrUnknown) {
		t.Error(err)
	}
	if entries, err := os.ReadDir(empty); err != nil || len(entries) != 0 {
		t.Errorf("the given directory has %v (%v), want it empty", entries, err)
	}
}
