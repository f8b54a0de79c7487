package page

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"

	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/internal/api"
	"github.com/applylens/applylens/internal/demoperson"
	"github.com/applylens/applylens/internal/testkit/grouptest"
	"github.com/applylens/applylens/internal/testkit/world"
	"github.com/applylens/applylens/internal/uploads"
	"github.com/applylens/applylens/producers/relay"
	"github.com/applylens/applylens/producers/uploadimport"
)

// newImportSite is a site with a broker, whose uploads are imported and whose mail is folded.
func newImportSite(t *testing.T) *site { t.Helper(); return newImportSiteWith(t, func(*api.Config) {}) }

// newImportSiteWith is newImportSite with further settings of the API.
func newImportSiteWith(t *testing.T, adjust func(*api.Config)) *site {
	t.Helper()
	t.Parallel()
	w := world.New(t).Kafka()
	w.Patience = time.Minute
	store, err := uploads.Open(w.Pool, filepath.Join(t.TempDir(), "uploads"), uploads.DefaultLimits())
	w.Must(err)
	s := newSiteOn(t, w, nil, func(c *api.Config) {
		c.Uploads, c.Demos, c.Wake = store, &demoperson.Persons{Pool: w.Pool, Store: store, Most: 2, Log: w.Logger}, w.Signal.Set
		adjust(c)
	})
	grouptest.Start(w, grouptest.Config(w, mailbox.Group()))
	w.Background("the relay", func(ctx context.Context) error {
		return relay.Run(ctx, relay.Config{Pool: w.Pool, Conn: w.Conn, Log: w.Logger, Signal: w.Signal})
	})
	w.Background("the importer", func(ctx context.Context) error {
		return uploadimport.Run(ctx, uploadimport.Config{Pool: w.Pool, Conn: w.Conn, Store: store, Log: w.Logger, Poll: 50 * time.Millisecond})
	})
	return s
}

// mbox has numbered promotions, each with about so many bytes.
func mbox(count, size int) string {
	var b strings.Builder
	for i := range count {
		fmt.Fprintf(&b, "From x Mon Nov  2 12:00:00 2026\nMessage-ID: <%d@shop.example>\nDate: %s\nFrom: news@shop.example\nSubject: Offer %d\n\n%s\n\n",
			i, time.Now().Add(-time.Hour).Format(time.RFC1123Z), i, strings.Repeat("All is cheap. ", size/14))
	}
	return b.String()
}

// sendFile sends a form with a file, as a browser without scripts does.
func (o *owner) sendFile(name, content string) *shown {
	o.Helper()
	var body bytes.Buffer
	w := multipart.NewWriter(&body)
	part, err := w.CreateFormFile("file", name)
	o.Must(err)
	_, err = io.WriteString(part, content)
	o.Must(err)
	o.Must(w.Close())
	r, err := http.NewRequestWithContext(o.Context(), http.MethodPost, o.url+"/import", &body)
	o.Must(err)
	r.Header.Set("Accept", "text/html,application/xhtml+xml")
	r.Header.Set("Content-Type", w.FormDataContentType())
	return o.do(r)
}

// imported waits until the person has so many mails.
func (o *owner) imported(count int) {
	o.Helper()
	o.Until(fmt.Sprint(count, " mails are there"), func() bool {
		return o.Int(`SELECT count(*) FROM live_mails WHERE user_id = $1`, o.id) == count
	})
}

func TestImportWithoutScripts(t *testing.T) {
	o := newImportSite(t).owner("alice").signIn()
	o.get("/tray").want(http.StatusOK, "There is no mail yet", "Look around with sample mail", `enctype="multipart/form-data"`)
	o.get("/").want(http.StatusOK, "There is no mail yet")
	o.sendFile("box.mbox", mbox(30, 100)).leads("/import")
	o.imported(30)
	o.Until("the page says so", func() bool { return strings.Contains(o.get("/import").text, "30 mails imported.") })
	if page := o.get("/tray").want(http.StatusOK); strings.Contains(page.text, "There is no mail yet") {
		t.Error("the tray still offers to import")
	}
	o.sendFile("a.png", "\x89PNG\r\n\x1a\n").leads("/import")
	o.Until("the page says why", func() bool {
		return strings.Contains(o.get("/import").text, "Not imported: there is no mail in a.png: expected an mbox")
	})
	o.sendFile("empty.mbox", "").want(http.StatusBadRequest, "The file is empty")
	o.sendFile("large.mbox", strings.Repeat("x", maxPlainFile+1<<20)).want(http.StatusRequestEntityTooLarge, "Without scripts a file can have 64 MiB")
	id := o.unfinished("half.mbox", mbox(10, 100))
	o.get("/import").want(http.StatusOK, "Choose the same file again to go on")
	o.post("/import", url.Values{"delete": {id}}).leads("/import")
	if page := o.get("/import"); strings.Contains(page.text, "half.mbox") {
		t.Error("a deleted upload is shown")
	}
	o.post("/import", url.Values{"delete": {id}}).want(http.StatusNotFound)
}

// unfinished announces a file and sends none of it.
func (o *owner) unfinished(name, content string) (id string) {
	o.Helper()
	var made upload
	o.json(http.MethodPost, "/uploads", fmt.Sprintf(`{"name":%q,"size":%d}`, name, len(content)), &made)
	return made.ID
}

// chosen lets the browser choose a file.
func (b *browser) chosen(path string) {
	b.Helper()
	b.do(chromedp.SetUploadFiles(chromedp.CSS("#file"), []string{path}))
	b.do(chromedp.Click(chromedp.CSS("#drop button")))
}

func TestImportInABrowser(t *testing.T) {
	o := newImportSite(t).owner("alice").signIn()
	b := o.browser()
	b.enter("/tray")
	b.until(`document.querySelector("[data-welcome]") !== null`)
	content := mbox(2000, 12_000) // three chunks
	path := filepath.Join(t.TempDir(), "box.mbox")
	b.Must(os.WriteFile(path, []byte(content), 0o600))

	// After the first chunk the connection is gone.
	b.do(chromedp.Evaluate[chromedp.Void](`
		const real = fetch;
		window.sent = [];
		window.fetch = (url, options) => {
			if (options?.method !== "PUT") return real(url, options);
			if (sent.length >= 1) return Promise.reject(new TypeError("offline"));
			sent.push(url);
			return real(url, options);
		};`))
	b.chosen(path)
	b.until(`document.querySelector("#sending .state").innerText.includes("Paused")`)
	if at := value[float64](b, `document.querySelector("#sending progress").value`); at < 30 || at > 40 {
		t.Errorf("after a chunk of three the bar is at %v", at)
	}
	b.look("import-paused")
	// The page is loaded anew, and the same file chosen again.
	b.open("/import")
	b.until(`document.querySelector("#upload-list").innerText.includes("Choose the same file again")`)
	b.do(chromedp.Evaluate[chromedp.Void](`
		const real = fetch;
		window.sent = [];
		window.fetch = (url, options) => { if (options?.method === "PUT") sent.push(url); return real(url, options); };`))
	b.chosen(path)
	b.until(`document.querySelector("#upload-list").innerText.includes("2000 mails imported.")`)
	if first := value[string](b, `sent[0]`); !strings.HasSuffix(first, fmt.Sprint("?offset=", 8<<20)) || value[int](b, `sent.length`) != 2 {
		t.Errorf("it went on at %s", first)
	}
	o.imported(2000)
	b.look("import-done")
	if len(o.tray()) == 0 {
		o.propose()
	}
	b.open("/tray")
	b.until(`document.querySelectorAll("[data-item]").length > 0`)
	b.quiet()

	// A dropped file, and one that is no mail.
	b.open("/import")
	b.do(chromedp.Evaluate[chromedp.Void](`
		const data = new DataTransfer();
		data.items.add(new File(["just words"], "letter.txt"));
		document.getElementById("drop").dispatchEvent(new DragEvent("dragover", {dataTransfer: data, bubbles: true, cancelable: true}));
		document.getElementById("drop").dispatchEvent(new DragEvent("drop", {dataTransfer: data, bubbles: true, cancelable: true}));`))
	b.until(`document.querySelector("#upload-list").innerText.includes("Not imported: there is no mail in letter.txt")`)
	b.look("import-refused")
	for _, barrier := range b.barriers {
		t.Error(barrier)
	}
	b.quiet()
}

func TestLookAroundAsADemoPerson(t *testing.T) {
	s := newImportSite(t)
	o := s.owner("alice").signIn()
	b := o.browser()
	b.enter("/tray")
	b.look("welcome")
	b.open("/")
	b.look("welcome-assistant")
	b.do(chromedp.Click(chromedp.CSS(`.ways button`)))
	b.until(`location.pathname === "/tray" && document.querySelector(".demo") !== null`)
	b.look("demo-reading")
	demo := world.Scalar[string](o, `SELECT id FROM users WHERE demo_of = 'alice'`)
	o.Until("the sample mail is there", func() bool { return o.Int(`SELECT count(*) FROM live_mails WHERE user_id = $1`, demo) > 1000 })
	b.until(`document.querySelector("[data-welcome]") === null && document.querySelector(".demo") !== null`)
	b.open("/?q=meetup")
	b.until(`document.querySelectorAll("#hits .item").length > 5`)
	b.look("demo-search")
	b.open("/import")
	if value[bool](b, `document.getElementById("drop") !== null`) {
		t.Error("a demo person is offered to import")
	}
	b.do(chromedp.Click(chromedp.CSS(`.demo button`)))
	b.until(`location.pathname === "/" && document.querySelector(".demo") === null`)
	if who := value[string](b, `document.querySelector(".person .name").title`); who != "alice" {
		t.Errorf("back as %s", who)
	}
	o.AwaitPublished()
	o.AwaitFolded("mailbox", "applylens.mail")
	if left := o.Int(`SELECT (SELECT count(*) FROM users WHERE id = $1) + (SELECT count(*) FROM mails WHERE user_id = $1) + (SELECT count(*) FROM uploads WHERE user_id = $1)`, demo); left != 0 {
		t.Errorf("%d rows of the demo person are left", left)
	}
	for _, barrier := range b.barriers {
		t.Error(barrier)
	}
	b.quiet()
}

// What a demo person may do, and what becomes of the browser when they are gone.
func TestDemoPersons(t *testing.T) {
	s := newImportSite(t)
	o := s.owner("alice").signIn()
	o.post("/demo", url.Values{"leave": {"1"}}).want(http.StatusConflict, "You look at your own mail")
	o.post("/demo", url.Values{"look": {"1"}}).leads("/tray")
	o.get("/tray").want(http.StatusOK, "Remove it and go back", "Your mail is being read")
	o.post("/demo", url.Values{"look": {"1"}}).want(http.StatusForbidden, "sample mail already")
	o.sendFile("box.mbox", mbox(1, 10)).want(http.StatusForbidden, "go back to your own mail")
	o.post("/demo", url.Values{"leave": {"1"}}).leads("/")
	o.get("/import").want(http.StatusOK, `title="alice"`)

	// When their day is over, the browser is the person's own again.
	o.post("/demo", url.Values{"look": {"1"}}).leads("/tray")
	o.Exec(`DELETE FROM users WHERE demo_of = 'alice'`)
	o.get("/tray").leads("/tray")
	o.get("/tray").want(http.StatusOK, `title="alice"`)

	// Whoever signs out is signed out.
	o.post("/demo", url.Values{"look": {"1"}}).leads("/tray")
	o.post("/sign-out", url.Values{}).leads("/sign-in")
	o.get("/tray").leads("/sign-in?next=%2Ftray")
	if left := o.Int(`SELECT count(*) FROM tokens WHERE kind = 'session'`); left != 0 {
		t.Errorf("%d sessions are left", left)
	}
	bob, carol := s.owner("bob").signIn(), s.owner("carol").signIn()
	bob.post("/demo", url.Values{"look": {"1"}}).leads("/tray")
	carol.post("/demo", url.Values{"look": {"1"}}).want(http.StatusServiceUnavailable, "as many people")
}
