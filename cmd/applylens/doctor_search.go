package main

import (
	"context"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
)

// patientIndex is how long a change may wait before it is indexed.
const patientIndex = time.Minute

// openIndex prepares the connection to Elasticsearch, if configured, and returns the faults of its settings.
func (c *checkup) openIndex(settings *config.Elasticsearch) []error {
	faults := each(settings.Validate())
	if len(faults) > 0 || !settings.Given() {
		return faults
	}
	var err error
	c.index, err = elastic.Open(*settings)
	c.indexUser = settings.ElasticsearchUsername != "" || settings.ElasticsearchAPIKey != ""
	return each(err)
}

// elasticsearch checks that Elasticsearch responds, and that the alias does not belong to another deployment.
func (c *checkup) elasticsearch(ctx context.Context) bool {
	owners, err := c.index.Owners(ctx, c.index.Alias())
	if err != nil {
		c.add(levelFail, "elasticsearch", "check --elasticsearch-url, the user or key, and that the cluster is running; until then searches that need the index return 503", "%v", err)
		return false
	}
	if !c.indexUser {
		c.add(levelWarn, "elasticsearch access", "enable security in Elasticsearch, and set a user or an API key: docs/index.md",
			"Elasticsearch answers without a user: whoever reaches it reads and changes all mail in the index")
	}
	c.ok("elasticsearch", "it responds; %d indices have the alias %s", len(owners), c.index.Alias())
	return true
}

// alias checks which deployment owns the index behind the alias.
func (c *checkup) alias(ctx context.Context) bool {
	if err := indexer.CheckAlias(ctx, c.pool, c.index); err != nil {
		c.add(levelFail, "elasticsearch", "", "%v", err)
		return false
	}
	return true
}

// indexing checks that mails marked for the index are indexed.
func (c *checkup) indexing(ctx context.Context) bool {
	const check = "index"
	names, err := indexer.Indices(ctx, c.pool)
	if err != nil {
		c.add(levelFail, check, "", "%v", err)
		return false
	}
	if len(names) == 0 {
		if c.index != nil {
			c.add(levelWarn, check, "run: applylens index", "Elasticsearch is configured, but there is no index yet: searches return 503")
		}
		return true
	}
	waiting, err := indexer.ReadWaiting(ctx, c.pool)
	if err != nil {
		c.add(levelFail, check, "", "%v", err)
		return false
	}
	if waiting.Refused > 0 {
		c.add(levelWarn, check, "the log of \"applylens index\" names the first; every mail is retried with growing delays, and at once when it changes",
			"Elasticsearch rejected the documents of %d mails", waiting.Refused)
	}
	if lag := time.Duration(waiting.LagSeconds * float64(time.Second)); lag > patientIndex {
		c.add(levelFail, check, "run \"applylens index\", or see its log; if you no longer want an index: applylens index --forget",
			"%d changed mails are waiting, the oldest for %s", waiting.Changed, lag.Round(time.Second))
		return true
	}
	c.ok(check, "%d mails are waiting", waiting.Changed+waiting.Backfill)
	return true
}
