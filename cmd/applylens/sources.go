package main

import "github.com/applylens/applylens/producers/mailimport"

// sources is the flag of every command that folds events. A rebuild must refuse what the live version refused.
type sources struct {
	AllowedSources []string `help:"The ce_sources from which events without a relay sequence are accepted, besides \"applylens import\"; empty: all." env:"ALLOWED_SOURCES" placeholder:"SOURCE"`
}

// allowed returns the accepted sources, and none if all are. Our own import is part of the deployment.
func (s *sources) allowed() []string {
	if len(s.AllowedSources) == 0 {
		return nil
	}
	return append([]string{mailimport.Source}, s.AllowedSources...)
}
