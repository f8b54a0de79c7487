package page

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
)

// apiPrefix begins the paths of the API, also of those that a page has too.
const apiPrefix = "/api"

// maxAnswer bounds what a page reads of an answer of the API.
const maxAnswer = 32 << 20

// problem is what the API says when it does not do something (RFC 9457).
type problem struct {
	Status int    `json:"status"`
	Detail string `json:"detail"`
	Errors []struct {
		Message  string `json:"message"`
		Location string `json:"location"`
	} `json:"errors"`
}

// Error implements error.
func (p *problem) Error() string { return fmt.Sprintf("%d %s", p.Status, p.Detail) }

// call asks the API as the visit's person: body is sent as JSON unless it is nil, and the answer is read into out unless that is
// nil.
func (v *visit) call(method, path string, body, out any) *problem {
	answer, wrong := v.send(method, path, body)
	if wrong != nil {
		return wrong
	}
	if out != nil {
		if err := json.Unmarshal(answer.body.Bytes(), out); err != nil {
			return v.broken(path, err)
		}
	}
	return nil
}

// send asks the API as the visit's person, with headers as names and values; an empty value is no header.
func (v *visit) send(method, path string, body any, headers ...string) (*answer, *problem) {
	if body == nil {
		return v.sendBytes(method, path, nil, headers...)
	}
	text, err := json.Marshal(body)
	if err != nil {
		return nil, v.broken(path, err)
	}
	return v.sendBytes(method, path, bytes.NewReader(text), append(headers, "Content-Type", "application/json")...)
}

// sendBytes is send with a body that is sent as it is.
func (v *visit) sendBytes(method, path string, content io.Reader, headers ...string) (*answer, *problem) {
	r, err := http.NewRequestWithContext(v.r.Context(), method, apiPrefix+path, content)
	if err != nil {
		return nil, v.broken(path, err)
	}
	r.Host, r.RemoteAddr = v.r.Host, v.r.RemoteAddr
	r.RequestURI = r.URL.RequestURI()
	r.Header["Cookie"] = v.r.Header["Cookie"]
	r.Header.Set("Accept", "application/json")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] != "" {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	answer := &answer{header: http.Header{}}
	v.api.ServeHTTP(answer, r)
	v.event = answer.header.Get("X-Event-Id")
	if answer.status >= http.StatusBadRequest {
		wrong := &problem{}
		if err := json.Unmarshal(answer.body.Bytes(), wrong); err != nil || wrong.Status == 0 {
			return nil, v.broken(path, fmt.Errorf("status %d: %w", answer.status, err))
		}
		return nil, wrong
	}
	if answer.cut {
		return nil, v.broken(path, fmt.Errorf("the answer has more than %d bytes", maxAnswer))
	}
	return answer, nil
}

// broken reports what should not happen.
func (v *visit) broken(path string, err error) *problem {
	v.log.Error("a page cannot read the API", "path", path, "error", err)
	return &problem{Status: http.StatusInternalServerError, Detail: "Something went wrong on our side."}
}

// answer keeps what a handler writes.
type answer struct {
	header http.Header
	status int
	body   bytes.Buffer
	cut    bool
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if a.status == 0 {
		a.status = status
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.WriteHeader(http.StatusOK)
	if a.body.Len()+len(b) > maxAnswer {
		a.cut = true
		return len(b), nil
	}
	return a.body.Write(b)
}
