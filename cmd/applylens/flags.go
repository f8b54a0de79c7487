package main

import (
	"errors"
	"reflect"
	"strings"

	"github.com/alecthomas/kong"

	"github.com/applylens/applylens/internal/config"
)

// newParser returns the parser of the command line.
func newParser(line *commandLine, options ...kong.Option) (*kong.Kong, error) {
	variables := kong.Vars{
		"groups": strings.Join(knownGroups().Names(), ","), "data_dir": "a directory in your home", "local_user": localUser,
		"usual_listen": usualListen, "relay_metrics": relayMetrics, "consume_metrics": consumeMetrics, "index_metrics": indexMetrics, "sync_metrics": syncMetrics, "mail_metrics": mailMetrics,
	}
	if dir, err := config.DataDir(); err == nil {
		variables["data_dir"] = dir
	}
	return kong.New(line, append(options, kong.Name("applylens"),
		kong.Description("Learns from people's decisions on their mail, event by event."),
		variables, kong.NamedMapper("path", kong.MapperFunc(path)), kong.ConfigureHelp(kong.HelpOptions{Compact: true}))...)
}

// path makes a path absolute. An empty one counts as not set; it is not the current directory.
func path(ctx *kong.DecodeContext, target reflect.Value) error {
	var text string
	if err := ctx.Scan.PopValueInto("path", &text); err != nil {
		return err
	}
	if text != "" {
		text = kong.ExpandPath(text)
	}
	target.SetString(text)
	return nil
}

// dataDir is the flag --data-dir.
type dataDir string

// UnmarshalText implements encoding.TextUnmarshaler. An empty text is more likely a mistake than a directory.
func (d *dataDir) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		return errors.New("it is empty: name a directory, or leave it out for the default")
	}
	*d = dataDir(kong.ExpandPath(string(text)))
	return nil
}
