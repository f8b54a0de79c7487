package page

import (
	"fmt"
	"html/template"
	"io/fs"
	"math"
	"strings"
	"time"

	"github.com/applylens/applylens/web"
)

// shared are the templates that pages consist of; every other one is a page, which defines "main".
var shared = []string{"template/layout.html", "template/component.html"}

// parseTemplates returns the pages by name. asset returns the path of a static file.
func parseTemplates(asset func(string) string) (map[string]*template.Template, error) {
	functions := template.FuncMap{
		"asset": asset, "moment": moment, "utc": utc, "percent": percent, "scale": scale, "width": width, "row": row, "signed": signed, "bar": bar, "plural": plural, "actionName": actionName, "featureName": featureName,
		"money": moneyText, "bytes": bytesText, "sum": sumOf, "merchants": merchantsOf, "last": last,
	}
	base, err := template.New("").Option("missingkey=error").Funcs(functions).ParseFS(web.Templates, shared...)
	if err != nil {
		return nil, err
	}
	names, err := fs.Glob(web.Templates, "template/*.html")
	if err != nil {
		return nil, err
	}
	pages := map[string]*template.Template{}
	for _, name := range names {
		page, err := template.Must(base.Clone()).ParseFS(web.Templates, name)
		if err != nil {
			return nil, err
		}
		pages[strings.TrimSuffix(strings.TrimPrefix(name, "template/"), ".html")] = page
	}
	return pages, nil
}

// moment is a time for machines; scripts show it in the browser's zone.
func moment(at time.Time) string { return at.UTC().Format(time.RFC3339) }

// utc is a time for people without scripts.
func utc(at time.Time) string { return at.UTC().Format("2 Jan 2006 15:04 UTC") }

func percent(share float64) string { return fmt.Sprintf("%.0f %%", 100*share) }

// signed writes a weight with its sign, and a minus as wide as the plus.
func signed(weight float64) string {
	return strings.Replace(fmt.Sprintf("%+.2f", weight), "-", "−", 1)
}

// span is a bar from the middle of a scale of 100 units.
type span struct{ From, Width float64 }

// bar is that of a weight, where most is the greatest on the page.
func bar(weight, most float64) span {
	width := 50 * min(math.Abs(weight)/math.Max(most, 1e-9), 1)
	if weight < 0 {
		return span{50 - width, width}
	}
	return span{50, width}
}

// scale is a share on a scale of 100 units.
func scale(share float64) float64 { return 100 * min(max(share, 0), 1) }

// width is the distance of two shares on the scale.
func width(low, high float64) float64 { return max(scale(high)-scale(low), 0) }

// preferenceRow is what a row of the preferences is made of.
type preferenceRow struct {
	Preference preference
	Strongest  float64
}

func row(p preference, strongest float64) preferenceRow { return preferenceRow{p, strongest} }

func plural(count int, one, many string) string {
	if count == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %s", count, many)
}

// actionNames say what an action does, as a button or a sentence has it.
var actionNames = map[string]string{
	"label_email": "Label", "archive_email": "Archive", "move_to_folder": "Move to a folder", "unsubscribe_via_header": "Unsubscribe",
	"create_calendar_event": "Add to the calendar", "create_task": "Make a task", "block_sender": "Block the sender", "quarantine_attachment": "Quarantine",
}

func actionName(action string) string {
	if name, ok := actionNames[action]; ok {
		return name
	}
	return strings.ReplaceAll(action, "_", " ")
}

// featureNames say what a feature of mail is.
var featureNames = map[string]string{
	"category": "category", "sender_domain": "from", "sender": "from", "listid": "list", "contains": "subject has",
}

// featureName writes a feature for people.
func featureName(feature string) string {
	kind, value, found := strings.Cut(feature, ":")
	if name, ok := featureNames[kind]; ok && found {
		return name + " " + value
	}
	return feature
}
