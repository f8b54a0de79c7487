package main

import (
	"context"
	"log/slog"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/applylens/applylens/internal/ats"
	"github.com/applylens/applylens/internal/proposals"
	"github.com/applylens/applylens/internal/proposer"
	"github.com/applylens/applylens/internal/turns"
)

// proposing is the part of "api" and "up" that proposes by itself.
type proposing struct {
	Propose string `help:"on: put new mail before its owner's policies. off: propose only when asked." enum:"on,off" default:"on" env:"PROPOSE"`
}

// run proposes until ctx ends, unless it is off. It computes in turns with the API.
func (c *proposing) run(ctx context.Context, pool *pgxpool.Pool, processors *turns.Processors, log *slog.Logger, registry prometheus.Registerer, wake func()) error {
	if c.Propose == "off" {
		log.Info("no proposals are made unless somebody asks for them")
		return nil
	}
	chooser := &proposals.Chooser{Mails: proposals.Mails{Pool: pool, ATS: ats.OfMails(pool)}, Processors: processors}
	return proposer.Run(ctx, proposer.Config{Pool: pool, Chooser: chooser, Log: log, Registry: registry, Wake: wake})
}
