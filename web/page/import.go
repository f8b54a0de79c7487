package page

import (
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"
)

// maxPlainFile bounds a file that comes by a form, without scripts. It is kept on disk until it is passed on.
const maxPlainFile = 64 << 20

// mostPlainFiles bounds how many of them arrive at once, and with them the disk space that they take.
const mostPlainFiles = 4

// maxInMemory is how much of such a form is kept in memory.
const maxInMemory = 1 << 20

// upload is what the API tells of a file.
type upload struct {
	ID     string `json:"id"`
	Name   string `json:"name"`
	Size   int64  `json:"size"`
	Offset int64  `json:"offset"`
	State  string `json:"state"`
	Import struct {
		ReadBytes  int64    `json:"read_bytes"`
		Imported   int      `json:"imported"`
		Broken     int      `json:"broken"`
		LeftOut    int      `json:"left_out"`
		Unreadable int      `json:"unreadable"`
		Reasons    []string `json:"reasons"`
		Stalled    bool     `json:"stalled"`
	} `json:"import"`
	Error     string    `json:"error"`
	Visible   bool      `json:"visible"`
	CreatedAt time.Time `json:"created_at"`
}

// Pending tells whether something more will come of the file by itself.
func (u upload) Pending() bool {
	return u.State == "waiting" || u.State == "importing" || u.State == "done" && !u.Visible && u.Import.Imported > 0
}

// Share is how much of the file has been sent or, once it is complete, read, of 100.
func (u upload) Share() int64 {
	if u.State == "receiving" {
		return 100 * u.Offset / u.Size
	}
	return 100 * min(u.Import.ReadBytes, u.Size) / u.Size
}

// Sentence says how far the file is.
func (u upload) Sentence() string {
	mails := plural(u.Import.Imported, "mail", "mails")
	switch {
	case u.State == "receiving":
		return fmt.Sprintf("%s of %s are here. Choose the same file again to go on.", bytesText(u.Offset), bytesText(u.Size))
	case u.State == "waiting":
		return "Waits to be read."
	case u.State == "importing" && u.Import.Stalled:
		return mails + " read. Kafka is unavailable; it goes on by itself."
	case u.State == "importing":
		return mails + " read so far."
	case u.State == "failed":
		return "Not imported: " + u.Error
	case u.Pending():
		return mails + " imported, and about to be in your mailbox."
	}
	text := mails + " imported."
	if u.Import.LeftOut > 0 {
		text += " " + plural(u.Import.LeftOut, "other was", "others were") + " left out, in trash, drafts or junk."
	}
	if refused := u.Import.Broken + u.Import.Unreadable; refused > 0 {
		text += " " + plural(refused, "thing was", "things were") + " refused."
	}
	return text
}

// uploadList is what the API tells of all of them.
type uploadList struct {
	Accepted   bool     `json:"accepted"`
	QuotaBytes int64    `json:"quota_bytes"`
	Uploads    []upload `json:"uploads"`
}

// Pending tells whether a file is being imported.
func (l *uploadList) Pending() bool {
	for _, u := range l.Uploads {
		if u.Pending() {
			return true
		}
	}
	return false
}

// welcome is what a page shows to somebody who has no mail.
type welcome struct {
	uploadList
	Demo  bool   // sample mail is offered
	Plain string // the greatest size of a file without scripts
	Here  string // the page that it stands on
}

// offers returns what somebody can begin with; nil for who has mail.
func (v *visit) offers(here string) *welcome {
	var found struct{ Hits []hit }
	if wrong := v.call(http.MethodGet, "/search?limit=1", nil, &found); wrong != nil || len(found.Hits) > 0 {
		return nil
	}
	w, wrong := v.imports(here)
	if wrong != nil {
		return nil
	}
	var demo struct {
		Offered bool `json:"offered"`
	}
	if wrong := v.call(http.MethodGet, "/demo", nil, &demo); wrong == nil {
		w.Demo = demo.Offered
	}
	return w
}

func (v *visit) imports(here string) (*welcome, *problem) {
	w := &welcome{Plain: bytesText(maxPlainFile), Here: here}
	return w, v.call(http.MethodGet, "/uploads", nil, &w.uploadList)
}

func imports(v *visit) {
	w, wrong := v.imports("/import")
	v.show("import", "Import", "/import", w, wrong)
}

// showUploads answers with the list alone, for scripts.
func showUploads(v *visit) {
	w, wrong := v.imports("/import")
	if wrong != nil {
		v.fail(wrong)
		return
	}
	v.fragment("import", "uploads", w)
}

// changeImports takes a file, or deletes an upload.
func changeImports(v *visit) {
	media, _, _ := mime.ParseMediaType(v.r.Header.Get("Content-Type"))
	if media == "multipart/form-data" {
		v.takeFile()
		return
	}
	if !v.readForm() {
		return
	}
	if wrong := v.call(http.MethodDelete, "/uploads/"+segment(v.r.PostForm.Get("delete")), nil, nil); wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/import")
}

// takeFile passes the file of a form on, as a client of the API does.
func (v *visit) takeFile() {
	select {
	case v.forms <- struct{}{}:
		defer func() { <-v.forms }()
	default:
		v.fail(&problem{Status: http.StatusServiceUnavailable, Detail: "As many files as may are arriving without scripts. Try again in a minute."})
		return
	}
	v.r.Body = http.MaxBytesReader(v.w, v.r.Body, maxPlainFile+maxForm)
	err := v.r.ParseMultipartForm(maxInMemory)
	if form := v.r.MultipartForm; form != nil {
		defer func() { _ = form.RemoveAll() }()
	}
	var tooLarge *http.MaxBytesError
	var own *os.PathError
	switch {
	case errors.As(err, &tooLarge):
		v.fail(&problem{Status: http.StatusRequestEntityTooLarge, Detail: "Without scripts a file can have " + bytesText(maxPlainFile) +
			". Turn scripts on, or use: applylens import"})
		return
	case errors.Is(err, os.ErrDeadlineExceeded):
		v.fail(&problem{Status: http.StatusRequestTimeout, Detail: "The file did not arrive in time. Nothing was imported."})
		return
	case errors.As(err, &own):
		v.fail(v.broken("/import", err))
		return
	case err != nil:
		v.fail(&problem{Status: http.StatusBadRequest, Detail: "The file did not arrive as a whole. Nothing was imported."})
		return
	}
	file, header, err := v.r.FormFile("file")
	if err != nil || header.Size == 0 {
		v.fail(&problem{Status: http.StatusBadRequest, Detail: "The file is empty, or none was chosen. Nothing was imported."})
		return
	}
	defer file.Close()
	if wrong := v.pass(file, header); wrong != nil {
		v.fail(wrong)
		return
	}
	v.redirect("/import")
}

func (v *visit) pass(file multipart.File, header *multipart.FileHeader) *problem {
	var made upload
	if wrong := v.call(http.MethodPost, "/uploads", map[string]any{"name": header.Filename, "size": header.Size}, &made); wrong != nil {
		return wrong
	}
	chunk := make([]byte, chunkBytes)
	for at := int64(0); at < header.Size; {
		n, err := io.ReadFull(file, chunk)
		if err != nil && !errors.Is(err, io.ErrUnexpectedEOF) {
			return v.broken("/uploads", err)
		}
		sum := sha256.Sum256(chunk[:n])
		path := fmt.Sprintf("/uploads/%s?offset=%d", url.PathEscape(made.ID), at)
		digest := "sha-256=:" + base64.StdEncoding.EncodeToString(sum[:]) + ":"
		if _, wrong := v.sendBytes(http.MethodPut, path, bytes.NewReader(chunk[:n]), "Content-Digest", digest); wrong != nil {
			_ = v.call(http.MethodDelete, "/uploads/"+segment(made.ID), nil, nil)
			return wrong
		}
		at += int64(n)
	}
	return nil
}

// chunkBytes is the size of a chunk, as the API takes it.
const chunkBytes = 8 << 20

// bytesText writes a size for people.
func bytesText(size int64) string {
	const unit = 1024
	value, name := float64(size), "bytes"
	for _, next := range []string{"KiB", "MiB", "GiB"} {
		if value < unit {
			break
		}
		value, name = value/unit, next
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", value), ".0") + " " + name
}
