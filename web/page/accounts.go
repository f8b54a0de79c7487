package page

import (
	"crypto/rand"
	"encoding/json"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// account is what the API tells of a mail account.
type account struct {
	ID         string    `json:"id"`
	Label      string    `json:"label"`
	Address    string    `json:"address"`
	Host       string    `json:"host"`
	Login      string    `json:"login"`
	State      string    `json:"state"`
	Error      string    `json:"error"`
	Stopped    bool      `json:"stopped"`
	Mode       string    `json:"mode"`
	MailsDone  int64     `json:"mails_done"`
	MailsTotal int64     `json:"mails_total"`
	CreatedAt  time.Time `json:"created_at"`
}

// Share is how much of the mail that was found is here, in per cent.
func (a *account) Share() int64 {
	if a.MailsTotal == 0 {
		return 0
	}
	return min(100*a.MailsDone/a.MailsTotal, 100)
}

// finding is one thing that the test of an account found.
type finding struct {
	OK    bool   `json:"ok"`
	Words string `json:"words"`
}

// report is what the test of an account found.
type report struct {
	OK       bool      `json:"ok"`
	Findings []finding `json:"findings"`
}

// connection is the form for another account, as it was filled in; its password is never shown again.
type connection struct {
	Address, Host, Port, Security, Login string

	Key string // tells the form from others, so that sent twice it adds one account
}

// accountsBody is what the page of mail accounts shows.
type accountsBody struct {
	Accounts []account
	Done     string
	Form     connection
	Tested   string // the id of the account that Report is of
	Report   *report
}

// accountsDone are the sentences for what forms do.
var accountsDone = map[string]string{
	"add":    "The mailbox is connected. Its mail comes in, the newest first.",
	"remove": "The account and its password are forgotten. Its mail stays.",
	"stop":   "Nothing is read of the mailbox until you let it go on.",
	"go-on":  "The mailbox is read again.",
}

func mailAccounts(v *visit) {
	v.showAccounts(&accountsBody{Done: accountsDone[v.r.URL.Query().Get("done")]}, nil)
}

// showAccounts shows the accounts as they are, with what else the body has.
func (v *visit) showAccounts(body *accountsBody, wrong *problem) {
	body.Form.Key = rand.Text()
	if failed := v.call(http.MethodGet, "/accounts", nil, &body.Accounts); failed != nil && wrong == nil {
		wrong = failed
	}
	v.show("accounts", "Mail accounts", "/accounts", body, wrong)
}

// changeMailAccounts connects a mailbox, or does what the form says with one that is connected.
func changeMailAccounts(v *visit) {
	if !v.readForm() {
		return
	}
	form := v.r.PostForm
	do, path := form.Get("do"), "/accounts/"+url.PathEscape(form.Get("id"))
	var wrong *problem
	switch do {
	case "add":
		v.connect()
		return
	case "test":
		v.testAccount(path, form.Get("id"))
		return
	case "stop", "go-on":
		mode := form.Get("mode")
		if mode == "" {
			mode = "watch"
		}
		wrong = v.call(http.MethodPut, path, map[string]any{"mode": mode, "stopped": do == "stop"}, nil)
	case "remove":
		wrong = v.call(http.MethodDelete, path, nil, nil)
	default:
		wrong = &problem{Status: http.StatusBadRequest, Detail: "The form does not say what to do. Nothing was changed."}
	}
	if wrong != nil {
		v.showAccounts(&accountsBody{}, wrong)
		return
	}
	v.redirect("/accounts?done=" + do)
}

// connect adds the account of the form. It stays only if its mail can be read.
func (v *visit) connect() {
	form := v.r.PostForm
	filled := connection{Address: strings.TrimSpace(form.Get("address")), Host: strings.TrimSpace(form.Get("host")), Port: strings.TrimSpace(form.Get("port")),
		Security: form.Get("security"), Login: strings.TrimSpace(form.Get("login"))}
	fail := func(wrong *problem) { v.showAccounts(&accountsBody{Form: filled}, wrong) }
	request, wrong := v.requestOf(&filled, form.Get("password"))
	if wrong != nil {
		fail(wrong)
		return
	}
	answer, wrong := v.send(http.MethodPost, "/accounts", request, "Idempotency-Key", form.Get("key"))
	if wrong != nil {
		fail(wrong)
		return
	}
	var added account
	if err := json.Unmarshal(answer.body.Bytes(), &added); err != nil {
		fail(v.broken("/accounts", err))
		return
	}
	path := "/accounts/" + added.ID
	var found report
	if wrong = v.call(http.MethodPost, path+"/test", nil, &found); wrong == nil && !found.OK {
		wrong = &problem{Status: http.StatusUnprocessableEntity, Detail: "The mailbox was not connected: " + found.fault() + "."}
	}
	if wrong != nil {
		if kept := v.call(http.MethodDelete, path, nil, nil); kept != nil {
			wrong.Detail += " The account was added all the same, and could not be removed: " + kept.Detail
		}
		fail(wrong)
		return
	}
	v.redirect("/accounts?done=add")
}

// fault is the first thing that is wrong.
func (r *report) fault() string {
	for _, f := range r.Findings {
		if !f.OK {
			return strings.TrimSuffix(f.Words, ".")
		}
	}
	return "its mail cannot be read"
}

// requestOf makes the request of a form. Where it names no server, the address tells one, which the form then has.
func (v *visit) requestOf(filled *connection, password string) (map[string]any, *problem) {
	switch {
	case !strings.Contains(filled.Address, "@"):
		return nil, &problem{Status: http.StatusUnprocessableEntity, Detail: "Give the address of the mailbox, such as alice@example.org. Nothing was changed."}
	case password == "":
		return nil, &problem{Status: http.StatusUnprocessableEntity, Detail: "Give the password of the mailbox. Nothing was changed."}
	}
	port := 0
	if filled.Port != "" {
		var err error
		if port, err = strconv.Atoi(filled.Port); err != nil || port < 1 || port > 65535 {
			return nil, &problem{Status: http.StatusUnprocessableEntity, Detail: "The port is a number from 1 to 65535: 993 for most servers. Nothing was changed."}
		}
	}
	if filled.Host == "" {
		var proposed struct {
			Host     string `json:"host"`
			Port     int    `json:"port"`
			Security string `json:"security"`
		}
		if wrong := v.call(http.MethodGet, "/accounts/discover?address="+url.QueryEscape(filled.Address), nil, &proposed); wrong != nil {
			return nil, wrong
		}
		filled.Host, filled.Security = proposed.Host, proposed.Security
		if port == 0 {
			port = proposed.Port
			filled.Port = strconv.Itoa(port)
		}
	}
	request := map[string]any{"address": filled.Address, "host": filled.Host, "auth": "password", "password": password}
	if port != 0 {
		request["port"] = port
	}
	if filled.Security != "" {
		request["security"] = filled.Security
	}
	if filled.Login != "" {
		request["login"] = filled.Login
	}
	return request, nil
}

// testAccount signs in to an account once more, and shows what its server can.
func (v *visit) testAccount(path, id string) {
	var found report
	if wrong := v.call(http.MethodPost, path+"/test", nil, &found); wrong != nil {
		v.showAccounts(&accountsBody{}, wrong)
		return
	}
	v.showAccounts(&accountsBody{Tested: id, Report: &found}, nil)
}
