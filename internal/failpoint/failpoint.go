//go:build !failpoints

// Package failpoint names the moments at which the crash tests end, stop or disturb a process. In a normal build its
// functions do nothing and cost nothing; with the build tag failpoints they obey the environment.
package failpoint

// Enabled tells whether failpoints are compiled in.
const Enabled = false

// Hit marks the moment called name.
func Hit(string) {}

// Broken tells whether the guard called name is switched off, which proves that a test notices its absence.
func Broken(string) bool { return false }
