//go:build !linux

package subprocess

import "syscall"

// EndWithParent does nothing: this system does not support it, so a child may outlive a killed parent.
func EndWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// EndWithOwnParent does nothing here either.
func EndWithOwnParent(syscall.Signal) error { return nil }
