//go:build !linux

package server

import "syscall"

// EndWithParent does nothing: this system does not support it, so a server may outlive a killed owner.
func EndWithParent(*syscall.SysProcAttr, syscall.Signal) {}

// EndWithOwnParent does nothing here either.
func EndWithOwnParent(syscall.Signal) error { return nil }
