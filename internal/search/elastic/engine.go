package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/applylens/applylens/events"
	"github.com/applylens/applylens/internal/search"
)

// searchTime is how long a search may take.
const searchTime = 2 * time.Second

// Engine implements search.Engine on the index behind the alias.
type Engine struct {
	client  *Client
	settled func(ctx context.Context, userID string, asked time.Time) (bool, error)
}

// NewEngine returns an engine. settled tells whether everything of a person's that was folded before a time is in the
// index, as the indexer's marks say.
func NewEngine(client *Client, settled func(ctx context.Context, userID string, asked time.Time) (bool, error)) *Engine {
	return &Engine{client, settled}
}

// answer is what of a search's answer is looked at.
type answer struct {
	TimedOut bool `json:"timed_out"`
	Shards   struct {
		Failed int `json:"failed"`
	} `json:"_shards"`
	Hits struct {
		Hits []struct {
			ID      string            `json:"_id"`
			Sort    []json.RawMessage `json:"sort"` // as in body
			Matched []string          `json:"matched_queries"`
		} `json:"hits"`
	} `json:"hits"`
}

// Search implements search.Engine.
func (e *Engine) Search(ctx context.Context, request search.Request) ([]search.Hit, error) {
	text, err := json.Marshal(body(request))
	if err != nil {
		return nil, fmt.Errorf("write a search: %w", err)
	}
	// The server gives up by itself first, unless it is too busy even for that.
	limited, cancel := context.WithTimeout(ctx, searchTime+500*time.Millisecond)
	defer cancel()
	var found answer
	err = e.client.do(limited, esapi.SearchRequest{
		Index: []string{e.client.alias}, Body: bytes.NewReader(text),
		FilterPath: []string{"timed_out", "_shards.failed", "hits.hits._id", "hits.hits.sort", "hits.hits.matched_queries"},
	}, &found)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case errors.Is(err, context.DeadlineExceeded), err == nil && found.TimedOut:
		return nil, search.ErrTooSlow
	case err != nil:
		return nil, unavailable(err)
	case found.Shards.Failed > 0:
		return nil, fmt.Errorf("%w: %d shards failed", search.ErrUnavailable, found.Shards.Failed)
	}
	return found.list()
}

// unavailable tells a cluster that is away, busy or without our index from a request that it does not understand.
func unavailable(err error) error {
	var refused *Error
	if errors.As(err, &refused) && refused.Status == http.StatusBadRequest {
		return fmt.Errorf("search: %w", err)
	}
	return fmt.Errorf("%w: %w", search.ErrUnavailable, err)
}

func (a *answer) list() ([]search.Hit, error) {
	hits := make([]search.Hit, len(a.Hits.Hits))
	for i, found := range a.Hits.Hits {
		id, err := events.ParseUUID(found.ID)
		var received int64
		if err == nil && len(found.Sort) == 3 {
			err = json.Unmarshal(found.Sort[1], &received)
		}
		if err != nil {
			return nil, fmt.Errorf("read a hit: %w", err)
		}
		hits[i] = search.Hit{ID: id, ReceivedAt: time.UnixMicro(received).UTC()}
		for _, name := range found.Matched {
			number, err := strconv.Atoi(name)
			if err != nil {
				return nil, fmt.Errorf("read a hit: %w", err)
			}
			hits[i].Matched = append(hits[i].Matched, number)
		}
		slices.Sort(hits[i].Matched)
	}
	return hits, nil
}

// Indexed implements search.Engine.
func (e *Engine) Indexed(ctx context.Context, userID string, asked time.Time) (bool, error) {
	return e.settled(ctx, userID, asked)
}
