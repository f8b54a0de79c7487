package relay

import (
	"strings"
	"testing"

	"github.com/applylens/applylens/events"
)

// A redriven record keeps its mode. The next term finds one in structured mode in the log, like all others, and publishes nothing
// again.
func TestStructuredRowIsFoundByTheNextTerm(t *testing.T) {
	w := newDeployment(t)
	row := w.row("ann")
	text := "{"
	for _, header := range row.Headers {
		if name, found := strings.CutPrefix(header.Key, "ce_"); found {
			text += `"` + name + `":"` + string(header.Value) + `",`
		}
	}
	row.Value = []byte(text + `"data":` + string(row.Value) + "}")
	row.Headers = []events.Header{{Key: events.HeaderContentType, Value: []byte("application/cloudevents+json")},
		{Key: events.HeaderRedriveGroup, Value: []byte("weights")},
		{Key: events.HeaderRedrivenFrom, Value: []byte("applylens.actions/0190a4c4-9d1c-7b4e-8f3a-6d1e2c3b4a59/2/0")}}
	w.insert(row)
	stop := w.start()
	w.AwaitPublished()
	stop()
	w.start()
	w.add(1, "bob")
	w.AwaitPublished()
	if repeats := w.checkLog(); repeats > 0 || strings.Contains(w.Logs.String(), "published again") {
		t.Errorf("%d records are published again, or looked for", repeats)
	}
}
