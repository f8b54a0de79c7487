package elastic

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/elastic/go-elasticsearch/v8/esapi"

	"github.com/applylens/applylens/schema"
)

// writeAlias is the name by which an index is written. It goes with the index.
func writeAlias(index string) string { return index + ".write" }

// meta is what an index says of itself.
type meta struct {
	Version    int    `json:"version"`              // of the mapping
	Deployment string `json:"deployment,omitempty"` // whose it is
}

// MappingVersion is that of the mapping in this binary.
func MappingVersion() int {
	var index struct {
		Mappings struct {
			Meta meta `json:"_meta"`
		} `json:"mappings"`
	}
	if err := json.Unmarshal(schema.EmailIndex, &index); err != nil || index.Mappings.Meta.Version < 1 {
		panic(fmt.Sprintf("schema/elasticsearch/emails.json has no version: %v", err))
	}
	return index.Mappings.Meta.Version
}

// Create makes an empty index of a deployment. That it exists already is no error.
func (c *Client) Create(ctx context.Context, index, deployment string) error {
	var body map[string]map[string]any
	if err := json.Unmarshal(schema.EmailIndex, &body); err != nil {
		return fmt.Errorf("read the index's schema: %w", err)
	}
	body["mappings"]["_meta"] = meta{MappingVersion(), deployment}
	body["aliases"] = map[string]any{writeAlias(index): map[string]any{}}
	text, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("write the index's schema: %w", err)
	}
	err = c.do(ctx, esapi.IndicesCreateRequest{Index: index, Body: bytes.NewReader(text)}, nil)
	if err != nil && !is(err, "resource_already_exists_exception") {
		return fmt.Errorf("create index %s: %w", index, err)
	}
	return nil
}

// Drop deletes an index. That there is none is no error.
func (c *Client) Drop(ctx context.Context, index string) error {
	err := c.do(ctx, esapi.IndicesDeleteRequest{Index: []string{index}}, nil)
	if err != nil && !IsMissing(err) {
		return fmt.Errorf("delete index %s: %w", index, err)
	}
	return nil
}

// Refresh makes what was written to the indices visible to searches.
func (c *Client) Refresh(ctx context.Context, indices ...string) error {
	if err := c.do(ctx, esapi.IndicesRefreshRequest{Index: indices}, nil); err != nil {
		return fmt.Errorf("refresh the index: %w", err)
	}
	return nil
}

// Owners returns the indices with the name, which may be an alias, and the deployment that made each.
func (c *Client) Owners(ctx context.Context, name string) (map[string]string, error) {
	var answer map[string]struct {
		Mappings struct {
			Meta meta `json:"_meta"`
		} `json:"mappings"`
	}
	err := c.do(ctx, esapi.IndicesGetMappingRequest{Index: []string{name}}, &answer)
	if IsMissing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("look for index %s: %w", name, err)
	}
	owners := make(map[string]string, len(answer))
	for index, found := range answer {
		owners[index] = found.Mappings.Meta.Deployment
	}
	return owners, nil
}

// Serve lets searches read an index from now on, and no other, without a moment in between.
func (c *Client) Serve(ctx context.Context, index string) error {
	before, err := c.Owners(ctx, c.alias)
	if err != nil {
		return err
	}
	if _, already := before[index]; already && len(before) == 1 {
		return nil
	}
	actions := []map[string]any{{"add": map[string]any{"index": index, "alias": c.alias}}}
	for other := range before {
		if other != index {
			actions = append(actions, map[string]any{"remove": map[string]any{"index": other, "alias": c.alias}})
		}
	}
	text, err := json.Marshal(map[string]any{"actions": actions})
	if err != nil {
		return fmt.Errorf("write alias actions: %w", err)
	}
	if err := c.do(ctx, esapi.IndicesUpdateAliasesRequest{Body: bytes.NewReader(text)}, nil); err != nil {
		return fmt.Errorf("let alias %s point at %s: %w", c.alias, index, err)
	}
	return nil
}

// Newest returns the highest version of the documents that can be found in an index, 0 when there are none.
func (c *Client) Newest(ctx context.Context, index string) (int64, error) {
	const body = `{"size": 1, "sort": [{"rev": {"order": "desc", "unmapped_type": "long"}}], "_source": false, "track_total_hits": false}`
	var answer struct {
		Hits struct {
			Hits []struct {
				Sort []int64 `json:"sort"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if err := c.do(ctx, esapi.SearchRequest{Index: []string{index}, Body: strings.NewReader(body)}, &answer); err != nil {
		return 0, fmt.Errorf("look for the newest document: %w", err)
	}
	for _, hit := range answer.Hits.Hits {
		if len(hit.Sort) == 1 {
			return hit.Sort[0], nil
		}
	}
	return 0, nil
}
