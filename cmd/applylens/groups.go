package main

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/consumers"
	"github.com/applylens/applylens/consumers/enrichment"
	"github.com/applylens/applylens/consumers/lag"
	"github.com/applylens/applylens/consumers/mailbox"
	"github.com/applylens/applylens/consumers/policystats"
	"github.com/applylens/applylens/consumers/weights"
	"github.com/applylens/applylens/internal/metrics"
)

// newGroups returns the projections that this binary can fold, in the order in which people are shown them. It is the one
// list of groups: everything else is told by it.
func newGroups(registry prometheus.Registerer, users *metrics.UserLabel) consumers.Groups {
	return consumers.Groups{weights.Group(registry, users), policystats.Group(registry, users), mailbox.Group(), enrichment.Group()}
}

// knownGroups are the groups with counters that nobody reads.
var knownGroups = sync.OnceValue(func() consumers.Groups {
	users, err := metrics.NewUserLabel(metrics.UserOff, nil)
	if err != nil {
		panic(err) // the mode above is wrong: our bug
	}
	return newGroups(nil, users)
})

// projections are the groups as lag reports look at them.
func projections() []lag.Projection {
	var list []lag.Projection
	for _, group := range knownGroups() {
		list = append(list, lag.Projection{Name: group.Name, Topic: group.Topic})
	}
	return list
}
