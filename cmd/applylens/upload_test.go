package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

// uploaded is what the API tells of a file.
type uploaded struct {
	ID     string
	Offset int
	State  string
	Import struct{ Imported int }
	Error  string
}

// send sends a request with a body as it is.
func (c *client) send(method, path string, body io.Reader, headers ...string) (result uploaded, err error) {
	ctx, cancel := context.WithTimeout(c.t.Context(), 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, c.env["APPLYLENS_URL"]+path, body)
	if err != nil {
		return result, err
	}
	request.Header.Set("Authorization", "Bearer "+c.env["APPLYLENS_TOKEN"])
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return result, err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err == nil && response.StatusCode >= 300 {
		err = fmt.Errorf("%s: %s", response.Status, text)
	}
	if err != nil {
		return result, err
	}
	return result, json.Unmarshal(text, &result)
}

func digestOf(chunk []byte) string {
	sum := sha256.Sum256(chunk)
	return "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
}

// TestUploadsOutliveKills kills up in the middle of a chunk, and in the middle of the import: what was answered is stored, and all mail
// comes, once.
func TestUploadsOutliveKills(t *testing.T) {
	const mails, chunk = 20_000, 8 << 20
	var mbox bytes.Buffer
	for i := range mails {
		fmt.Fprintf(&mbox, "From x Mon Nov  2 12:00:00 2026\nFrom: news@shop.example\nSubject: Offer %d\nDate: Mon, 2 Nov 2026 12:00:00 +0000\nMessage-ID: <%d@shop.example>\n\n%s\n\n",
			i, i, strings.Repeat("All is cheap. ", 60))
	}
	content := mbox.Bytes()
	if len(content) < 2*chunk {
		t.Fatalf("the file has %d bytes only", len(content))
	}
	path, dir := binary(t), newDataDir(t)
	up := startUp(t, path, "--data-dir", dir, "--propose=off")
	up.until(lastLine, 5*time.Minute)
	c := &client{t, settings(t, dir)}
	file, err := c.send(http.MethodPost, "/uploads", strings.NewReader(fmt.Sprintf(`{"name":"box.mbox","size":%d}`, len(content))), "Content-Type", "application/json")
	if err != nil {
		t.Fatal(err)
	}
	put := func(at int, body io.Reader, of []byte) (uploaded, error) {
		return c.send(http.MethodPut, fmt.Sprintf("/uploads/%s?offset=%d", file.ID, at), body, "Content-Digest", digestOf(of))
	}
	if _, err := put(0, bytes.NewReader(content[:chunk]), content[:chunk]); err != nil {
		t.Fatal(err)
	}
	out, in := io.Pipe()
	cut := make(chan error, 1)
	go func() {
		_, err := put(chunk, out, content[chunk:2*chunk])
		cut <- err
	}()
	if _, err := in.Write(content[chunk : chunk+chunk/2]); err != nil {
		t.Fatal(err)
	}
	up.kill()
	_ = in.CloseWithError(io.ErrUnexpectedEOF) // or the client would wait for the rest of its own body
	if err := <-cut; err == nil {
		t.Fatal("half a chunk was answered")
	}

	again := startUp(t, path, "--data-dir", dir, "--propose=off")
	again.until(lastLine, time.Minute)
	c.env = settings(t, dir)
	if file, err = c.send(http.MethodGet, "/uploads/"+file.ID, nil); err != nil || file.Offset != chunk {
		t.Fatalf("after the kill it stands at %d, %v", file.Offset, err)
	}
	for at := file.Offset; at < len(content); at = file.Offset {
		piece := content[at:min(at+chunk, len(content))]
		if file, err = put(at, bytes.NewReader(piece), piece); err != nil {
			t.Fatal(err)
		}
	}
	state := func(what string, holds func(uploaded) bool) {
		t.Helper()
		deadline := time.After(time.Minute)
		for look := time.NewTicker(20 * time.Millisecond); ; {
			file, err := c.send(http.MethodGet, "/uploads/"+file.ID, nil)
			if err != nil {
				t.Fatal(err)
			}
			if holds(file) {
				return
			}
			select {
			case <-look.C:
			case <-deadline:
				t.Fatalf("waiting until %s: %+v", what, file)
			}
		}
	}
	state("it is being imported", func(u uploaded) bool { return u.Import.Imported > 0 })
	again.kill()

	last := startUp(t, path, "--data-dir", dir, "--propose=off")
	last.until(lastLine, time.Minute)
	c.env = settings(t, dir)
	state("all is imported", func(u uploaded) bool { return u.State == "done" && u.Import.Imported == mails })
	c.matching(`{"eq":["sender_domain","shop.example"]}`, mails)
	if status := last.interrupt(); status != 0 {
		t.Errorf("SIGINT ends it with status %d:\n%s", status, last.stderr)
	}
}
