//go:build !failpoints

// Package failpoint names points in the code where the crash tests kill, stop or disturb a process. In a normal build its
// functions do nothing; with the build tag failpoints they act as the environment says.
package failpoint

// Enabled tells whether failpoints are compiled in.
const Enabled = false

// Hit marks the failpoint called name.
func Hit(string) {}

// Broken reports whether the guard called name is disabled, so that tests can prove that they detect its absence.
func Broken(string) bool { return false }
