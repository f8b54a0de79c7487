package main

import (
	"context"
	"time"

	"github.com/applylens/applylens/internal/config"
	"github.com/applylens/applylens/internal/search/elastic"
	"github.com/applylens/applylens/internal/search/indexer"
)

// patientIndex is how long a change may wait until an index has it.
const patientIndex = time.Minute

// openIndex prepares the connection to Elasticsearch, if one is given, and returns what is wrong with its settings.
func (c *checkup) openIndex(settings *config.Elasticsearch) []error {
	faults := each(settings.Validate())
	if len(faults) > 0 || !settings.Given() {
		return faults
	}
	var err error
	c.index, err = elastic.Open(*settings)
	return each(err)
}

// elasticsearch checks that Elasticsearch answers, and that the alias is not another deployment's.
func (c *checkup) elasticsearch(ctx context.Context) bool {
	owners, err := c.index.Owners(ctx, c.index.Alias())
	if err != nil {
		c.add(levelFail, "elasticsearch", "check --elasticsearch-url, its user or key, and that the cluster runs; until then searches that need the index answer 503", "%v", err)
		return false
	}
	c.ok("elasticsearch", "it answers; %d indices are behind alias %s", len(owners), c.index.Alias())
	return true
}

// alias checks whose the index behind the alias is.
func (c *checkup) alias(ctx context.Context) bool {
	if err := indexer.CheckAlias(ctx, c.pool, c.index); err != nil {
		c.add(levelFail, "elasticsearch", "", "%v", err)
		return false
	}
	return true
}

// indexing checks that what the database has marked for an index gets there.
func (c *checkup) indexing(ctx context.Context) bool {
	const check = "index"
	names, err := indexer.Indices(ctx, c.pool)
	if err != nil {
		c.add(levelFail, check, "", "%v", err)
		return false
	}
	if len(names) == 0 {
		if c.index != nil {
			c.add(levelWarn, check, "run: applylens index", "Elasticsearch is given, and there is no index yet: searches with it answer 503")
		}
		return true
	}
	waiting, err := indexer.ReadWaiting(ctx, c.pool)
	if err != nil {
		c.add(levelFail, check, "", "%v", err)
		return false
	}
	if waiting.Refused > 0 {
		c.add(levelWarn, check, "the log of applylens index names the first; a change of the mail is tried at once, and all are tried again now and then",
			"Elasticsearch refused the documents of %d mails", waiting.Refused)
	}
	if lag := time.Duration(waiting.LagSeconds * float64(time.Second)); lag > patientIndex {
		c.add(levelFail, check, "run applylens index, or look into its log; if no index is wanted any more: applylens index --forget",
			"%d changed mails wait, the oldest change for %s", waiting.Changed, lag.Round(time.Second))
		return true
	}
	c.ok(check, "%d mails wait", waiting.Changed+waiting.Backfill)
	return true
}
