package page

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
)

// browser is a tab of a real Chromium.
type browser struct {
	*owner
	ctx context.Context

	barriers []string // what keeps people from using pages

	mu     sync.Mutex
	faults []string // what pages wrote to the console: errors of scripts and of the content policy
}

// browser opens a tab with a profile of its own. The test skips when CHROMIUM is unset.
func (o *owner) browser() *browser {
	o.Helper()
	program := os.Getenv("CHROMIUM")
	if program == "" {
		o.Skip("set CHROMIUM to the program of a Chromium to run this test")
	}
	bounded, cancel := context.WithTimeout(o.Context(), 2*time.Minute)
	o.Cleanup(cancel)
	allocator, cancel := chromedp.NewExecAllocator(bounded, append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(program), chromedp.NoSandbox, chromedp.Flag("disable-dev-shm-usage", true), chromedp.Flag("disable-gpu", true), chromedp.Flag("no-proxy-server", true),
		chromedp.Env("TZ=Europe/Lisbon", "LANG=en_GB.UTF-8"))...)
	o.Cleanup(cancel)
	ctx, cancel := chromedp.NewContext(allocator)
	o.Cleanup(cancel)
	b := &browser{owner: o, ctx: ctx}
	b.do(chromedp.Navigate("about:blank"))
	go func() {
		for message, err := range chromedp.Console(ctx) {
			if err != nil {
				return
			}
			if text := fmt.Sprint(message); strings.Contains(strings.ToLower(text), "error") || strings.Contains(text, "Content Security Policy") {
				b.mu.Lock()
				b.faults = append(b.faults, text)
				b.mu.Unlock()
			}
		}
	}()
	return b
}

func (b *browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.Fatal(errors.Join(err, b.ctx.Err()))
	}
}

// until waits until a script's expression is true, in whatever page the browser is by then.
func (b *browser) until(expression string) {
	b.Helper()
	b.Eventually(expression, func() error {
		holds, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool](expression))
		if err == nil && !holds {
			text, _ := chromedp.Run(b.ctx, chromedp.Evaluate[string](`document.body.innerText`))
			err = fmt.Errorf("the page says: %s", text)
		}
		return err
	})
}

// value returns the value of a script's expression.
func value[T any](b *browser, expression string) T {
	b.Helper()
	got, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression))
	if err != nil {
		b.Fatalf("%s: %v", expression, err)
	}
	return got
}

// open goes to a page and waits for its scripts.
func (b *browser) open(path string) {
	b.Helper()
	b.do(chromedp.Navigate(b.url + path))
	b.ready()
}

// enter signs the browser in and goes to a page.
func (b *browser) enter(path string) {
	b.Helper()
	b.open("/sign-in?link=" + b.link() + "&next=" + url.QueryEscape(path))
	b.do(chromedp.Click(chromedp.CSS(`button.main`)))
	b.until(`location.pathname === "` + path + `"`)
	b.ready()
}

func (b *browser) ready() { b.Helper(); b.until(`document.documentElement.dataset.ready === "true"`) }

// keys presses keys, one after the other.
func (b *browser) keys(keys string) { b.Helper(); b.do(chromedp.KeyEvent(keys)) }

// forgetFaults returns what pages wrote so far, and forgets it.
func (b *browser) forgetFaults() []string {
	b.mu.Lock()
	defer b.mu.Unlock()
	faults := b.faults
	b.faults = nil
	return faults
}

// quiet fails if pages had errors.
func (b *browser) quiet() {
	b.Helper()
	for _, fault := range b.forgetFaults() {
		b.Error(fault)
	}
}

// From the link to a decided tray without a mouse.
func TestDecideByKeyboard(t *testing.T) {
	o := newSite(t).owner("alice")
	ids := o.mails(4, "news@shop.example")
	b := o.browser()
	b.open("/sign-in?link=" + b.link() + "&next=/tray")
	b.keys("\t\t\t\r") // past the link to the content and the name
	b.until(`location.pathname === "/tray"`)
	b.ready()
	b.keys("jj")
	second := value[string](b, `document.querySelector(".item.here").id`)
	if second != "item-"+ids[1] {
		t.Fatalf("after two steps %s is marked, want %s", second, ids[1])
	}
	b.keys("e")
	b.until(`document.querySelector(".item.here details").open && document.querySelector(".item.here .reason").innerText.includes("Archive promotions")`)
	b.keys("a")
	b.until(`document.querySelectorAll("[data-item]").length === 3 && document.getElementById("status").innerText.includes("1 approved")`)
	b.keys("r")
	b.until(`document.querySelectorAll("[data-item]").length === 2`)
	if waiting := b.tray(); len(waiting) != 2 {
		t.Fatalf("%d wait at the server", len(waiting))
	}
	b.keys("u")
	b.until(`document.querySelectorAll("[data-item]").length === 3 && document.querySelector(".item.here").id === "item-` + ids[2] + `"`)
	if waiting := b.tray(); len(waiting) != 3 {
		t.Errorf("%d wait at the server after one was taken back", len(waiting))
	}
	b.keys("?")
	b.until(`document.getElementById("keys").open`)
	b.quiet()
}

func TestDecideASelection(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.mails(5, "news@shop.example")
	b := o.browser()
	b.enter("/tray")
	b.keys("jxjjx")
	b.do(chromedp.Click(chromedp.CSS(`button[value="reject"][name="all"]`)))
	b.until(`document.querySelectorAll("[data-item]").length === 3`)
	b.do(chromedp.Click(chromedp.CSS(`button[value="approve"][name="all"]`)))
	b.until(`document.querySelectorAll("[data-item]").length === 0 && document.querySelector(".heading p").innerText === "0 proposals"`)
	b.do(chromedp.Click(chromedp.CSS(`#status button`))) // undo
	b.until(`document.querySelectorAll("[data-item]").length === 3`)
	if waiting := b.tray(); len(waiting) != 3 {
		t.Errorf("%d wait at the server", len(waiting))
	}
	var decided []proposal
	b.json(http.MethodGet, "/actions/history", "", &decided)
	if len(decided) != 2 || decided[0].Status != "rejected" {
		t.Errorf("decided: %v", decided)
	}
	b.quiet()
}

// Held keys, second clicks and Enter in a field decide nothing that nobody chose.
func TestWhatDecidesNothing(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	ids := o.mails(6, "news@shop.example")
	b := o.browser()
	b.enter("/tray")
	waiting := func() int { return len(b.tray()) }
	b.do(chromedp.Focus(chromedp.CSS(`#item-` + ids[0] + ` input[type=checkbox]`)))
	b.keys("\r")
	b.do(chromedp.Evaluate[chromedp.Void](`document.body.dispatchEvent(new KeyboardEvent("keydown", {key: "a", repeat: true, bubbles: true}))`))
	b.do(chromedp.Evaluate[chromedp.Void](`(() => { const button = document.querySelector("button[name=approve]"); button.click(); button.click(); })()`))
	b.until(`document.querySelectorAll("[data-item]").length === 5 && document.getElementById("status").innerText.includes("1 approved")`)
	b.do(chromedp.Evaluate[chromedp.Void](`document.querySelector("button[name=approve]").click()`)) // it stands where the first one stood
	if got := waiting(); got != 5 {
		t.Fatalf("%d wait at the server", got)
	}
	b.keys("u")
	b.until(`document.querySelectorAll("[data-item]").length === 6`)
	// What another tab decided is not taken back here.
	b.json(http.MethodPost, "/actions/"+ids[0]+"/reject", "", nil)
	b.keys("a")
	b.until(`document.querySelectorAll("[data-item]").length === 5 && document.getElementById("status").innerText.includes("decided elsewhere")`)
	b.keys("u")
	b.until(`document.querySelectorAll("[data-item]").length === 5`)
	if got := waiting(); got != 5 {
		t.Errorf("%d wait at the server", got)
	}
	b.quiet()
}

// What fails is said, and nothing is shown as done.
func TestDecideWithoutAServer(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.mails(2, "news@shop.example")
	b := o.browser()
	b.enter("/tray")
	o.Exec(`ALTER TABLE actions RENAME TO elsewhere`)
	b.keys("ja")
	b.until(`document.getElementById("status").innerText.includes("went wrong")`)
	o.Exec(`ALTER TABLE elsewhere RENAME TO actions`)
	if count := value[int](b, `document.querySelectorAll("[data-item]").length`); count != 2 {
		t.Errorf("%d proposals are shown", count)
	}
	b.post("/sign-out", nil, "Content-Type", "application/x-www-form-urlencoded")
	o.Exec(`DELETE FROM tokens WHERE kind = 'session'`)
	b.keys("a")
	b.until(`document.getElementById("status").innerText.includes("signed out")`)
}

// TestLooks takes pictures of all pages, wide and narrow, light and dark, into the directory of artifacts (go test -artifacts), and
// checks that nothing is wider than the window and that no page has errors.
func TestLooks(t *testing.T) {
	o := newSite(t).owner("alice")
	o.mails(3, "news@shop.example")
	o.mail("long", "a-very-long-address-of-somebody-who-never-stops@subdomain.of.a.company.with.a.long.name.example", strings.Repeat("Offer without any space", 40))
	o.mail("rtl", "shop@example.com", "\u202eعرض خاص اليوم فقط")
	o.mail("markup", "x@example.com", "<b>not bold</b> & <script>document.title='owned'</script>")
	o.propose()
	decided := o.tray()[0].ID
	o.json(http.MethodPost, "/actions/"+decided+"/approve", "", nil)
	b := o.browser()
	b.open("/sign-in?link=" + b.link() + "&next=/tray")
	b.look("sign-in")
	b.do(chromedp.Click(chromedp.CSS(`button.main`)))
	b.until(`location.pathname === "/tray"`)
	b.look("tray")
	b.open("/tray?as=approved&decided=1&id=" + decided)
	b.look("tray-done")
	b.open("/tray")
	b.do(chromedp.Click(chromedp.CSS(`details.why summary`)))
	b.look("tray-why")
	b.open("/history")
	b.look("history")
	o.Exec(`INSERT INTO weight_counts (version, user_id, feature, approvals, rejections, pinned, updated_at)
		VALUES (1, 'alice', 'category:promo', 19, 1, NULL, now()), (1, 'alice', 'contains:meetup', 6, 0, NULL, now()), (1, 'alice', 'sender_domain:shop.example', 0, 9, NULL, now()),
		(1, 'alice', 'listid:a-very-long-name-of-a-list.subdomain.of.a.company.with.a.long.name.example', 1, 4, -3, now())`)
	o.Exec(`INSERT INTO policy_days (version, policy_id, user_id, day, fired, approved, rejected, missed, updated_at)
		SELECT 1, id, 'alice', (now() AT TIME ZONE 'UTC')::date, 60, 40, 10, 2, now() FROM policies WHERE user_id = 'alice'`)
	o.received("walk", "events@club.example", "Meetup on Thursday: generics in practice, and a tour of the scheduler", "event", strings.Repeat("A walk along the harbour. ", 20))
	b.open("/")
	b.look("assistant-first")
	b.open("/?q=offer+OR+meetup&mode=networking")
	b.look("assistant")
	for _, name := range []string{"preferences", "policies", "policies/new", "accuracy"} {
		b.open("/" + name)
		b.look(strings.ReplaceAll(name, "/", "-"))
	}
	b.open(o.letter())
	b.until(`performance.getEntriesByType("resource").some(r => r.name.endsWith("/html"))`)
	b.look("mail")
	b.do(chromedp.Evaluate[chromedp.Void](`for (const more of document.querySelectorAll("main details")) more.open = true`))
	b.look("mail-open")
	b.open(o.html("markup", "")) // no HTML, no text
	b.look("mail-plain")
	b.open(o.html("walk", ""))
	b.look("mail-text")
	b.open("/nothing")
	b.Until("the status of the page is told", func() bool { return len(b.forgetFaults()) > 0 })
	b.look("not-found")
	if title := value[string](b, `document.title`); !strings.Contains(title, "ApplyLens") {
		t.Errorf("a subject became a script: the title is %q", title)
	}
	t.Run("everybody can use them", func(t *testing.T) {
		if os.Getenv("AXE") == "" {
			t.Skip("set AXE to the path of axe-core's script to run this test")
		}
		for _, barrier := range b.barriers {
			t.Error(barrier)
		}
	})
}

// look takes pictures of the page.
func (b *browser) look(name string) {
	b.Helper()
	for _, scheme := range []string{"light", "dark"} {
		if _, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
			Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: scheme}},
		}); err != nil {
			b.Fatal(err)
		}
		for _, width := range []int64{390, 1280, 1920} {
			b.do(chromedp.EmulateViewport(width, 900))
			picture, err := chromedp.Run(b.ctx, chromedp.FullScreenshot(100))
			b.Must(err)
			b.Must(os.WriteFile(filepath.Join(b.artifacts(), fmt.Sprintf("%s-%s-%d.png", name, scheme, width)), picture, 0o644))
			if wide := value[int](b, `document.documentElement.scrollWidth`); wide > int(width) {
				b.Errorf("%s is %d wide in a window of %d", name, wide, width)
			}
			if width < 1920 {
				b.accessible(fmt.Sprintf("%s, %s, %d wide", name, scheme, width))
			}
		}
	}
	b.quiet()
}

// accessible notes what axe-core finds on the page that keeps people from using it.
func (b *browser) accessible(name string) {
	b.Helper()
	path := os.Getenv("AXE")
	if path == "" {
		return
	}
	script, err := os.ReadFile(path)
	b.Must(err)
	b.do(chromedp.Evaluate[chromedp.Void](string(script)))
	const run = `axe.run(document, {resultTypes: ["violations"]}).then((found) => found.violations.flatMap((v) => v.nodes.map((node) => v.id + ": " + node.html.slice(0, 200) + " " + node.failureSummary)))`
	found, err := chromedp.Run(b.ctx, chromedp.Evaluate[[]string](run, chromedp.EvalAwaitPromise))
	b.Must(err)
	for _, fault := range found {
		b.barriers = append(b.barriers, name+": "+fault)
	}
}

func (b *browser) artifacts() string {
	if t, ok := b.TB.(*testing.T); ok {
		return t.ArtifactDir()
	}
	return b.TempDir()
}
