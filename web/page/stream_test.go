package page

import (
	"testing"

	"github.com/chromedp/chromedp"
)

// A page of ours asks the chat as a browser does: it announces a question by its cookie, and reads the events. When the stream has ended, the
// browser asks again by itself, is told that nothing follows, and stops.
const askByStream = `
window.seen = {};
for (const path of ["/chat", "/api/chat"]) {
	fetch(path, {method: "POST", headers: {"Content-Type": "application/json", "Idempotency-Key": path}, body: JSON.stringify({q: "archive promos", propose: true})})
		.then(answer => answer.json())
		.then(announced => {
			const source = new EventSource(path + "/stream?stream=" + announced.stream);
			const seen = window.seen[path] = {source: source, names: [], proposed: 0};
			for (const name of ["ready", "intent", "tool", "answer", "filed", "memory", "done"]) {
				source.addEventListener(name, event => {
					seen.names.push(name);
					if (name === "filed") seen.proposed += JSON.parse(event.data).proposed;
				});
			}
		});
}`

func TestABrowserReadsStreams(t *testing.T) {
	o := newSite(t).owner("alice").signIn()
	o.received("6b1fd3ea-2b8c-4f6e-9a43-5f2d6f0f3c11", "shop@shop.example", "Big sale", "promo", "All is cheap in our shop today, come and buy.")
	b := o.browser()
	b.enter("/tray")
	b.do(chromedp.Evaluate[chromedp.Void](askByStream))
	b.until(`Object.keys(seen).length === 2 && Object.values(seen).every(s => s.source.readyState === EventSource.CLOSED)`)
	for _, path := range []string{"/chat", "/api/chat"} {
		const want = "ready intent tool answer filed done"
		if got := value[string](b, `seen["`+path+`"].names.filter((name, i, all) => name !== all[i-1]).join(" ")`); got != want {
			t.Errorf("%s sends %s, want %s", path, got, want)
		}
	}
	if got := value[float64](b, `seen["/chat"].proposed + seen["/api/chat"].proposed`); got != 1 || len(b.tray()) != 1 {
		t.Errorf("the streams proposed %v times, %d proposals wait", got, len(b.tray()))
	}
	b.quiet()
}
