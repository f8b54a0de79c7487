package indexer

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// proxy stands in front of Elasticsearch and disturbs what fault says.
type proxy struct {
	url    string
	server string

	mu       sync.Mutex
	fault    fault
	requests map[string]int // by method and the last part of the path
}

// fault answers a request instead of the server, or lets it pass by returning false. forward passes a request on and
// returns the answer.
type fault func(w http.ResponseWriter, r *http.Request, body []byte, forward func([]byte) (int, []byte)) bool

func startProxy(t testing.TB, server string) *proxy {
	p := &proxy{server: server, requests: map[string]int{}}
	listener := httptest.NewServer(p)
	t.Cleanup(listener.Close)
	p.url = listener.URL
	return p
}

// inject makes a fault of every request from now on; nil ends it.
func (p *proxy) inject(f fault) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.fault = f
}

// count tells how many requests of a kind came, such as "POST _bulk".
func (p *proxy) count(kind string) int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.requests[kind]
}

// ServeHTTP implements http.Handler.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	p.mu.Lock()
	p.requests[r.Method+" "+r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:]]++
	f := p.fault
	p.mu.Unlock()
	forward := func(body []byte) (int, []byte) { return p.forward(r, body) }
	if f != nil && f(w, r, body, forward) {
		return
	}
	status, answer := forward(body)
	reply(w, status, answer)
}

func (p *proxy) forward(r *http.Request, body []byte) (int, []byte) {
	request, err := http.NewRequestWithContext(r.Context(), r.Method, p.server+r.URL.RequestURI(), bytes.NewReader(body))
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	request.Header = r.Header.Clone()
	request.Header.Del("Accept-Encoding") // so that answers can be read
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	return response.StatusCode, answer
}

func reply(w http.ResponseWriter, status int, answer []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Elastic-Product", "Elasticsearch")
	w.WriteHeader(status)
	_, _ = w.Write(answer) // the client may be gone
}

func isBulk(r *http.Request) bool { return strings.HasSuffix(r.URL.Path, "/_bulk") }

// unavailable answers 503 to everything.
func unavailable(w http.ResponseWriter, _ *http.Request, _ []byte, _ func([]byte) (int, []byte)) bool {
	reply(w, http.StatusServiceUnavailable, []byte(`{"error":{"type":"cluster_block_exception"},"status":503}`))
	return true
}

// lostAnswer lets bulks land and cuts the connection instead of answering.
func lostAnswer(_ http.ResponseWriter, r *http.Request, body []byte, forward func([]byte) (int, []byte)) bool {
	if isBulk(r) {
		forward(body)
		panic(http.ErrAbortHandler)
	}
	return false
}

// rejects answers for every n-th operation of a bulk, instead of Elasticsearch, that it cannot be taken now.
func rejects(n int) fault {
	return answersFor(http.StatusTooManyRequests, "es_rejected_execution_exception", func(number int, _ []byte) bool { return number%n == 0 })
}

// refuses answers for one document that it can never be taken.
func refuses(id string) fault {
	return answersFor(http.StatusBadRequest, "document_parsing_exception", func(_ int, operation []byte) bool { return bytes.Contains(operation, []byte(id)) })
}

// answersFor answers for some operations of a bulk and passes the others on.
func answersFor(status int, kind string, which func(number int, operation []byte) bool) fault {
	return func(w http.ResponseWriter, r *http.Request, body []byte, forward func([]byte) (int, []byte)) bool {
		if !isBulk(r) {
			return false
		}
		kept, answered := split(body, which)
		var items []json.RawMessage
		if len(kept) > 0 {
			_, answer := forward(kept)
			var parsed struct{ Items []json.RawMessage }
			if err := json.Unmarshal(answer, &parsed); err != nil || len(parsed.Items) == 0 {
				panic(fmt.Sprintf("the answer of a bulk: %s", answer))
			}
			items = parsed.Items
		}
		var all []json.RawMessage
		for _, is := range answered {
			if is {
				all = append(all, json.RawMessage(fmt.Sprintf(`{"index":{"status":%d,"error":{"type":%q}}}`, status, kind)))
			} else {
				all, items = append(all, items[0]), items[1:]
			}
		}
		answer, err := json.Marshal(map[string]any{"items": all})
		if err != nil {
			panic(err)
		}
		reply(w, http.StatusOK, answer)
		return true
	}
}

// split returns the operations that pass, and for each whether it is answered for.
func split(body []byte, which func(number int, operation []byte) bool) (kept []byte, answered []bool) {
	lines := bytes.SplitAfter(bytes.TrimSuffix(body, []byte("\n")), []byte("\n"))
	for at := 0; at < len(lines); {
		end := at + 1
		if bytes.HasPrefix(lines[at], []byte(`{"index"`)) {
			end++
		}
		is := which(len(answered), lines[at])
		answered = append(answered, is)
		if !is {
			kept = append(kept, bytes.Join(lines[at:end], nil)...)
		}
		at = end
	}
	if len(kept) > 0 && kept[len(kept)-1] != '\n' {
		kept = append(kept, '\n')
	}
	return kept, answered
}
