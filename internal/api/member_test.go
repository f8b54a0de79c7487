package api

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/applylens/applylens/internal/uploads"
)

// schemaDocument is what the test reads of the OpenAPI document.
type schemaDocument struct {
	Paths      map[string]map[string]schemaOperation
	Components struct{ Schemas map[string]bodySchema }
}

type schemaOperation struct {
	Parameters  []struct{ Name, In string }
	RequestBody struct {
		Content map[string]struct{ Schema bodySchema }
	}
}

type bodySchema struct {
	Ref        string `json:"$ref"`
	Properties map[string]bodySchema
	Items      *bodySchema
}

// members lists the members of a schema at every depth, such as body.decisions[].id.
func (d *schemaDocument) members(place string, s bodySchema) []string {
	if s.Ref != "" {
		s = d.Components.Schemas[strings.TrimPrefix(s.Ref, "#/components/schemas/")]
	}
	var list []string
	for name, inner := range s.Properties {
		list = append(list, place+"."+name)
		list = append(list, d.members(place+"."+name, inner)...)
	}
	if s.Items != nil {
		list = append(list, d.members(place+"[]", *s.Items)...)
	}
	return list
}

// document returns the routes by "METHOD path".
func (w *deployment) document() (*schemaDocument, map[string]schemaOperation) {
	w.Helper()
	document := &schemaDocument{}
	w.Must(json.Unmarshal(w.handler.(*server).document, document))
	routes := map[string]schemaOperation{}
	for path, methods := range document.Paths {
		for method, operation := range methods {
			routes[strings.ToUpper(method)+" "+path] = operation
		}
	}
	return document, routes
}

// member is a member of an object in a body that a test writes.
type member struct{ name, value string }

// write writes a JSON value. edit may change the members of each object.
func write(value any, place string, edit func(place string, members []member) []member) string {
	var parts []string
	switch value := value.(type) {
	case map[string]any:
		var members []member
		for _, name := range slices.Sorted(maps.Keys(value)) {
			members = append(members, member{`"` + name + `"`, write(value[name], place+"."+name, edit)})
		}
		for _, m := range edit(place, members) {
			parts = append(parts, m.name+":"+m.value)
		}
		return "{" + strings.Join(parts, ",") + "}"
	case []any:
		for i, element := range value {
			parts = append(parts, write(element, fmt.Sprintf("%s[%d]", place, i), edit))
		}
		return "[" + strings.Join(parts, ",") + "]"
	}
	text, _ := json.Marshal(value)
	return string(text)
}

// variants are names that Go's decoder takes for name.
func variants(name string) []string {
	list := []string{strings.ToUpper(name), strings.ToUpper(name[:1]) + name[1:],
		strings.Replace(name, "s", "ſ", 1), strings.Replace(name, "k", "\u212a", 1)} // long s and the Kelvin sign
	return slices.DeleteFunc(list, func(variant string) bool { return variant == name })
}

var elementIndex = regexp.MustCompile(`\[\d+\]`)

// TestMembersAreExact tries, for every member of every route's body, other cases of its name and the name twice.
func TestMembersAreExact(t *testing.T) {
	w := takesUploads(t, uploads.Limits{Quota: 1 << 20, Unfinished: 1000, Expires: time.Hour, Kept: time.Hour}).deployment
	p := w.person("alice")
	action := p.action()
	other, mail, id := p.action().ID, action.EmailID, fmt.Sprint(action.PolicyID)
	account := decode[accountView](p.post("/accounts", map[string]any{"address": "b@example.org", "host": "imap.example.org", "password": "x"}).want(http.StatusCreated)).ID
	const condition = `"condition":{"all":[{"not":{"eq":["category","promo"]}},{"exists":["subject"]}]}`
	const policy = `"name":"n","enabled":true,"priority":3,"action":"create_task","confidence_threshold":0.5,` + condition
	bodies := map[string]string{
		"POST /actions/decide":       `{"decisions":[{"id":"` + action.ID + `","decision":"approve"},{"id":"` + other + `","decision":"reject"}]}`,
		"POST /actions/performed":    `{"email_id":"` + mail + `","action":"create_task"}`,
		"POST /actions/propose":      `{"query":"category:promo","email_ids":["` + mail + `"],"limit":1}`,
		"POST /chat":                 `{"q":"x","mode":"money","propose":true,"explain":true,"remember":true,"plain":true,"window_days":7}`,
		"POST /policy":               `{` + policy + `}`,
		"POST /policy/test":          `{` + policy + `,"email_ids":["` + mail + `"],"limit":1}`,
		"PUT /policy/{id}":           `{` + strings.Replace(policy, `"n"`, `"m"`, 1) + `}`,
		"POST /policy/{id}/test":     `{"email_ids":["` + mail + `"],"limit":1}`,
		"PUT /preferences/{feature}": `{"weight":1}`,
		"PUT /preferences":           `{"feature":"category:promo","weight":1}`,
		"POST /preferences/forget":   `{"feature":"category:promo"}`,
		"POST /uploads":              `{"name":"a.mbox","size":1,"sha256":"` + strings.Repeat("0", 64) + `","fingerprint":"f"}`,
		"POST /accounts": `{"label":"l","address":"a@example.org","host":"imap.example.org","port":993,"security":"tls","login":"a","auth":"password",` +
			`"token_url":"https://example.org","client_id":"c","caldav_url":"https://example.org","sieve_host":"x:4190","smtp_host":"x:587",` +
			`"password":"p","client_secret":"s","refresh_token":"t"}`,
		"PUT /accounts/{id}": `{"mode":"ask","stopped":true}`,
	}
	document, routes := w.document()
	for route, operation := range routes {
		content, has := operation.RequestBody.Content["application/json"]
		if !has {
			continue
		}
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("/accounts/{id}", "/accounts/"+account, "{id}", id, "{feature}", "category:promo").Replace(path)
		var body any
		if err := json.Unmarshal([]byte(bodies[route]), &body); err != nil {
			t.Errorf("%s has no body in this test", route)
			continue
		}
		places := map[string][]string{} // names of members, by the place of their object
		valid := write(body, "body", func(place string, members []member) []member {
			for _, m := range members {
				places[place] = append(places[place], strings.Trim(m.name, `"`))
			}
			return members
		})
		if answer := p.ask(method, path, valid); answer.status >= 300 {
			t.Errorf("%s %s: %d %s", route, valid, answer.status, answer.body)
		}
		var tried []string
		for place, names := range places {
			for _, name := range names {
				tried = append(tried, elementIndex.ReplaceAllString(place+"."+name, "[]"))
				tryMember(t, p, method, path, body, place, name)
			}
		}
		for _, m := range document.members("body", content.Schema) {
			if !slices.Contains(tried, m) {
				t.Errorf("%s: the body of this test lacks %s", route, m)
			}
		}
	}
}

// tryMember writes one member of a valid body in every wrong way.
func tryMember(t *testing.T, p *person, method, path string, body any, place, name string) {
	t.Helper()
	f := func(want string, edit func(m member) []member) {
		t.Helper()
		text := write(body, "body", func(at string, members []member) []member {
			if at != place {
				return members
			}
			i := slices.IndexFunc(members, func(m member) bool { return m.name == `"`+name+`"` })
			return slices.Replace(members, i, i+1, edit(members[i])...)
		})
		answer := p.ask(method, path, text)
		if answer.status != http.StatusUnprocessableEntity {
			t.Errorf("%s %s %s: %d %s", method, path, text, answer.status, answer.body)
			return
		}
		for _, fault := range answer.problem().Errors {
			if strings.HasPrefix(fault.Location, want) {
				return
			}
		}
		t.Errorf("%s %s %s: nothing is said of %s: %s", method, path, text, want, answer.body)
	}
	f(place+"."+name, func(m member) []member { return []member{m, m} })
	f(place+"."+name, func(m member) []member { return []member{m, {m.name, "null"}} })
	f(place+"."+name, func(m member) []member {
		return []member{{fmt.Sprintf(`"\u%04x%s"`, name[0], name[1:]), m.value}, m}
	})
	for _, variant := range variants(name) {
		at, quoted := place+"."+variant, `"`+variant+`"`
		if strings.Contains(at, ".condition.") {
			at = place // the condition's own errors
		}
		f(at, func(m member) []member { return []member{{quoted, m.value}} })
		f(at, func(m member) []member { return []member{{quoted, m.value}, m} })
		f(at, func(m member) []member { return []member{m, {quoted, m.value}} })
	}
}

// TestParametersAreExact does so with the parameters of every route: one that counts for nothing would not be missed.
func TestParametersAreExact(t *testing.T) {
	w := takesUploads(t, uploads.DefaultLimits()).deployment
	p := w.person("alice")
	values := map[string]string{"limit": "5", "wait": "x", "timeout": "1s", "window_days": "7", "min": "0.1", "q": "x", "mode": "money", "near": "Berlin",
		"propose": "1", "explain": "1", "remember": "1", "plain": "1", "stream": strings.Repeat("0", 32), "month": "2026-03",
		"address": "ann@gmail.com", "before": "6b1fd3ea-2b8c-4f6e-9a43-5f2d6f0f3c11", "offset": "0"}
	_, routes := w.document()
	for route, operation := range routes {
		method, path, _ := strings.Cut(route, " ")
		path = strings.NewReplacer("{id}", "1", "{feature}", "category:promo").Replace(path)
		f := func(location, query string, headers ...string) {
			t.Helper()
			r := httptest.NewRequestWithContext(t.Context(), method, path+"?"+query, nil)
			r.Header.Set("Authorization", "Bearer "+p.token)
			for _, name := range headers {
				r.Header[http.CanonicalHeaderKey(name)] = []string{"a", "b"}
			}
			recorder := httptest.NewRecorder()
			w.handler.ServeHTTP(recorder, r)
			answer := &reply{t, recorder.Code, recorder.Result().Header, recorder.Body.Bytes()}
			same(t, answer.want(http.StatusUnprocessableEntity).problem().Errors[0].Location, location)
		}
		f("query.color", "color=red")
		for _, parameter := range operation.Parameters {
			switch parameter.In {
			case "header":
				f("header."+parameter.Name, "", parameter.Name)
			case "query":
				value := url.QueryEscape(values[parameter.Name])
				if value == "" {
					t.Errorf("%s: %s has no value in this test", route, parameter.Name)
				}
				f("query."+parameter.Name, parameter.Name+"="+value+"&"+parameter.Name+"="+value)
				for _, variant := range variants(parameter.Name) {
					f("query."+variant, url.QueryEscape(variant)+"="+value)
				}
			}
		}
	}
}

func TestDuplicateMembers(t *testing.T) {
	f := func(body, want string) {
		t.Helper()
		same(t, duplicateMember([]byte(body)), want)
	}
	f(`{}`, "")
	f(`1`, "")
	f(`"a"`, "")
	f(`[]`, "")
	f(`{"a":1,"b":{"a":1},"c":[{"a":1},{"a":1}]}`, "")
	f(`{"a":"a","b":"a"}`, "")
	f(`{"a":["a","a"],"A":1}`, "")
	f(`{"a":1,"a":1}`, "body.a")
	f(`{"a\"b":1,"a\u0022b":1}`, `body.a"b`)
	f(`{"a":{"b":1,"\u0062":2}}`, "body.a.b")
	f(`{"a":[{"x":[1,2]},{"b":1,"c":"{\"b\\\\","b":1}]}`, "body.a[1].b")
	f(`[[],[{"":1,"":1}]]`, "body[1][0].")
	f(strings.Repeat(`{"a":`, 5000)+`1`+strings.Repeat(`}`, 5000), "")
}
