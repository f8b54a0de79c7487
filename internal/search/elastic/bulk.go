package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"
)

// Outcome is what became of one operation of a bulk.
type Outcome int

// The outcomes.
const (
	Written    Outcome = iota // or deleted, also when there was nothing to delete
	Superseded                // a newer version of the document is there
	Delayed                   // not now: the queue is full, a node is away, the index is read-only
	Refused                   // this document will never be taken
	Missing                   // there is no such index
)

// Bulk collects operations. The zero value is empty.
type Bulk struct {
	body    bytes.Buffer
	count   int
	expires time.Time // zero: never
}

// ErrExpired tells that a bulk was not sent, or not the whole, since its documents were read too long ago.
var ErrExpired = errors.New("the documents were read too long ago to be sent")

// Expire keeps the operations from being sent from a time on. Elasticsearch forgets the version of a deleted document after a
// while, and does not know then that an operation comes late.
func (b *Bulk) Expire(at time.Time) { b.expires = at }

// expired also looks at the wall clock, since the other one stands still in a suspended machine.
func (b *Bulk) expired() bool {
	now := time.Now()
	return !b.expires.IsZero() && (!now.Before(b.expires) || !now.Round(0).Before(b.expires.Round(0)))
}

// pending is the body of a request, which ends with an error when its bulk expires.
type pending struct {
	bulk *Bulk
	rest *bytes.Reader
}

func (b *Bulk) reader() *pending { return &pending{b, bytes.NewReader(b.body.Bytes())} }

// Read implements io.Reader.
func (p *pending) Read(into []byte) (int, error) {
	if p.bulk.expired() {
		return 0, ErrExpired
	}
	return p.rest.Read(into)
}

// Size is the number of bytes of the operations.
func (b *Bulk) Size() int { return b.body.Len() }

// Len is the number of operations.
func (b *Bulk) Len() int { return b.count }

// operation is the first line of one in the body of _bulk; one of its members is set.
type operation struct {
	Index  *target `json:"index,omitempty"`
	Delete *target `json:"delete,omitempty"`
}

// target is the document of an operation. A version that is not lower than the stored one is taken: a bulk whose answer
// was lost may be sent again.
type target struct {
	Index       string `json:"_index"`
	ID          string `json:"_id"`
	Version     int64  `json:"version"`
	VersionType string `json:"version_type"`
}

// Put adds the writing of a document as of a version.
func (b *Bulk) Put(index string, document *Document, version int64) error {
	document.Rev = version
	if err := b.line(operation{Index: &target{writeAlias(index), document.ID, version, "external_gte"}}); err != nil {
		return err
	}
	b.count++
	return b.line(document)
}

// Delete adds the deletion of a document as of a version.
func (b *Bulk) Delete(index, id string, version int64) error {
	b.count++
	return b.line(operation{Delete: &target{writeAlias(index), id, version, "external_gte"}})
}

func (b *Bulk) line(value any) error {
	encoder := json.NewEncoder(&b.body) // ends each value with a newline, as _bulk wants it
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		return fmt.Errorf("write a bulk: %w", err)
	}
	return nil
}

// item is the part of an answer that is looked at.
type item struct {
	Status int `json:"status"`
	Error  struct {
		Type string `json:"type"`
	} `json:"error"`
}

// Send sends the operations in one request and tells what became of each, in their order. After an error any of them
// may have been carried out, but after ErrExpired none that had not gone out before the bulk expired.
func (c *Client) Send(ctx context.Context, bulk *Bulk) ([]Outcome, error) {
	var answer struct {
		Items []map[string]item `json:"items"`
	}
	yes, no := true, false
	err := c.do(ctx, esapi.BulkRequest{
		Body:                 bulk.reader(),
		RequireAlias:         &yes, // so that a lost index is missed, and not made anew without our mapping
		IncludeSourceOnError: &no,
		FilterPath:           []string{"items.*.status", "items.*.error.type"},
	}, &answer)
	if err != nil {
		return nil, fmt.Errorf("send a bulk: %w", err)
	}
	if len(answer.Items) != bulk.count {
		return nil, fmt.Errorf("send a bulk: %d answers to %d operations", len(answer.Items), bulk.count)
	}
	outcomes := make([]Outcome, bulk.count)
	for i, results := range answer.Items {
		for _, result := range results { // there is one
			outcomes[i] = outcome(result)
		}
	}
	return outcomes, nil
}

func outcome(result item) Outcome {
	switch {
	case result.Error.Type == "index_not_found_exception":
		return Missing
	case result.Status < 300 || result.Status == http.StatusNotFound: // to delete what is not there succeeds
		return Written
	case result.Status == http.StatusConflict:
		return Superseded
	case result.Status == http.StatusTooManyRequests || result.Status >= 500 || result.Status == http.StatusForbidden: // 403: a block
		return Delayed
	}
	return Refused
}
