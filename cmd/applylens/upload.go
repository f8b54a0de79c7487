package main

import (
	"context"
	"log/slog"

	"github.com/prometheus/client_golang/prometheus"
	"golang.org/x/sync/errgroup"

	"github.com/applylens/applylens/internal/demoperson"
	"github.com/applylens/applylens/internal/uploads"
	"github.com/applylens/applylens/producers/uploadimport"
)

// uploading is the part of "api" and "up" that takes files of mail and imports them, and has demo persons.
type uploading struct {
	UploadsDir  string `help:"Directory for files of mail that persons upload, the same for all \"api\" processes. Default: none, and no file is taken." env:"UPLOADS_DIR" type:"path" placeholder:"DIR"`
	UploadQuota int64  `help:"Most bytes of a person's uploaded files that are not imported yet." env:"UPLOAD_QUOTA" default:"21474836480" placeholder:"BYTES"`
	DemoPersons int    `help:"Most persons at once who look around with sample mail; needs --uploads-dir. Default: none." env:"DEMO_PERSONS" default:"0" placeholder:"COUNT"`
}

// upDemoPersons is how many demo persons "up" has at most.
const upDemoPersons = 10

// open returns the stores, nil for what is off.
func (c *uploading) open(links *links, log *slog.Logger) (*uploads.Store, *demoperson.Persons, error) {
	if c.UploadsDir == "" {
		return nil, nil, nil
	}
	limits := uploads.DefaultLimits()
	if c.UploadQuota > 0 {
		limits.Quota = c.UploadQuota
	}
	store, err := uploads.Open(links.pool, c.UploadsDir, limits)
	if err != nil || c.DemoPersons <= 0 {
		return store, nil, err
	}
	return store, &demoperson.Persons{Pool: links.pool, Store: store, Most: c.DemoPersons, Log: log}, nil
}

// start imports what is uploaded and removes demo persons whose time is up, until ctx ends.
func (c *uploading) start(ctx context.Context, running *errgroup.Group, links *links, log *slog.Logger, registry prometheus.Registerer, store *uploads.Store, demos *demoperson.Persons) {
	if store == nil {
		log.Info("no uploads are taken: UPLOADS_DIR is not set")
		return
	}
	running.Go(func() error {
		return uploadimport.Run(ctx, uploadimport.Config{Pool: links.pool, Conn: links.broker, Store: store, Log: log, Registry: registry})
	})
	if demos != nil {
		running.Go(func() error { demos.Run(ctx); return nil })
	}
}
