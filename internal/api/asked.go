package api

import (
	"context"
	"slices"
	"time"

	"github.com/applylens/applylens/internal/auth"
	"github.com/applylens/applylens/internal/policy"
	"github.com/applylens/applylens/internal/search"
)

// askedAbout reads the mails to propose actions for, newest first. Without a query it does not need the search engine,
// and so works while the engine is down.
func (s *server) askedAbout(ctx context.Context, body *proposeBody, query *search.Query) ([]policy.Mail, error) {
	where := query.At(time.Now())
	if _, all := where.(search.All); all {
		return s.mails(ctx, mailChoice{body.EmailIDs, body.Limit})
	}
	if len(body.EmailIDs) == 0 {
		found, err := s.searchMails(ctx, "body.query", requestFor(ctx, where, nil, body.Limit))
		if err != nil {
			return nil, err
		}
		return s.chooser.Find(ctx, auth.From(ctx).ID, hitIDs(found))
	}
	mails, err := s.mails(ctx, mailChoice{ids: body.EmailIDs})
	if err != nil {
		return nil, err
	}
	return s.among(ctx, where, mails)
}

// amongAtOnce is how many ids a search names; Elasticsearch takes about a thousand parts of a query.
const amongAtOnce = 500

// among returns the mails that a search finds too, in the given order.
func (s *server) among(ctx context.Context, where search.Node, mails []policy.Mail) ([]policy.Mail, error) {
	found := map[string]bool{}
	for some := range slices.Chunk(mails, amongAtOnce) {
		named := make([]string, len(some))
		for i := range some {
			named[i] = some[i].ID
		}
		hits, err := s.searchMails(ctx, "body.query", requestFor(ctx, search.And{where, anyValue(search.ID, named)}, nil, len(some)))
		if err != nil {
			return nil, err
		}
		for _, hit := range hits {
			found[hit.ID.String()] = true
		}
	}
	return slices.DeleteFunc(mails, func(mail policy.Mail) bool { return !found[mail.ID] }), nil
}
