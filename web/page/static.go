package page

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
)

// staticPrefix begins the paths of files. A path has the hash of all files, so that browsers keep them for ever.
const staticPrefix = "/static/"

// static serves files out of memory.
type static struct {
	version string
	files   map[string]file // by name
}

type file struct {
	media         string
	plain, packed []byte
}

func readStatic(from fs.FS) (*static, error) {
	s := &static{files: map[string]file{}}
	sum := sha256.New()
	err := fs.WalkDir(from, "static", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		content, err := fs.ReadFile(from, name)
		if err != nil {
			return err
		}
		_, _ = sum.Write(content) // a hash takes all
		s.files[strings.TrimPrefix(name, "static/")] = file{mediaOf(name), content, pack(content)}
		return nil
	})
	s.version = hex.EncodeToString(sum.Sum(nil))[:12]
	return s, err
}

// mediaOf does not ask the machine, which may know other types.
func mediaOf(name string) string {
	switch path.Ext(name) {
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}

func pack(content []byte) []byte {
	var out bytes.Buffer
	w, _ := gzip.NewWriterLevel(&out, gzip.BestCompression) // the level is valid
	_, _ = w.Write(content)                                 // a buffer takes all
	_ = w.Close()
	return out.Bytes()
}

// path returns the path under which a file is loaded.
func (s *static) path(name string) string { return staticPrefix + s.version + "/" + name }

// ServeHTTP implements http.Handler.
func (s *static) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	version, name, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, staticPrefix), "/")
	found, ok := s.files[name]
	if !ok || version != s.version {
		http.NotFound(w, r)
		return
	}
	header := w.Header()
	header.Set("Content-Type", found.media)
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	header.Set("Vary", "Accept-Encoding")
	content := found.plain
	if acceptsGzip(r) {
		header.Set("Content-Encoding", "gzip")
		content = found.packed
	}
	_, _ = w.Write(content) // the client may be gone
}

func acceptsGzip(r *http.Request) bool {
	for coding := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		name, weight, _ := strings.Cut(strings.TrimSpace(coding), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") && strings.ReplaceAll(weight, " ", "") != "q=0" {
			return true
		}
	}
	return false
}

// packing compresses a page while it is written. No page has a secret beside what others can put into it, so that its length tells
// nothing: cookies stand in headers.
type packing struct {
	http.ResponseWriter
	writer *gzip.Writer
	begun  bool
}

// compressed returns a writer that compresses pages for browsers that take it, and what ends it.
func compressed(w http.ResponseWriter, r *http.Request) (http.ResponseWriter, func()) {
	if strings.HasPrefix(r.URL.Path, staticPrefix) || r.Method == http.MethodHead || !acceptsGzip(r) {
		return w, func() {}
	}
	w.Header().Add("Vary", "Accept-Encoding")
	p := &packing{ResponseWriter: w}
	return p, p.close
}

// WriteHeader implements http.ResponseWriter.
func (p *packing) WriteHeader(status int) {
	if !p.begun {
		p.begun = true
		if strings.HasPrefix(p.Header().Get("Content-Type"), "text/html") {
			p.Header().Set("Content-Encoding", "gzip")
			p.Header().Del("Content-Length")
			p.writer = gzip.NewWriter(p.ResponseWriter)
		}
	}
	p.ResponseWriter.WriteHeader(status)
}

// Write implements http.ResponseWriter.
func (p *packing) Write(b []byte) (int, error) {
	if !p.begun {
		p.WriteHeader(http.StatusOK)
	}
	if p.writer != nil {
		return p.writer.Write(b)
	}
	return p.ResponseWriter.Write(b)
}

// Unwrap serves http.ResponseController.
func (p *packing) Unwrap() http.ResponseWriter { return p.ResponseWriter }

func (p *packing) close() {
	if p.writer != nil {
		_ = p.writer.Close() // the client may be gone
	}
}
