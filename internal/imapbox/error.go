package imapbox

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/emersion/go-imap/v2"

	"github.com/applylens/applylens/internal/dialer"
	"github.com/applylens/applylens/internal/printable"
)

// Kind is what an error means for whoever tries again.
type Kind int

// The kinds of errors.
const (
	Temporary Kind = iota // the server cannot do it now, or there is no network
	Refused               // the server, or a rule of ours, does not let it happen: somebody has to change something
	Lost                  // the connection is gone, and whether the command was carried out is not known
)

// Error is what went wrong with a server.
type Error struct {
	Kind  Kind
	Words string // for the owner of the mailbox
	Err   error  // for operators
}

// Error implements error.
func (e *Error) Error() string { return fmt.Sprintf("%s: %v", e.Words, e.Err) }

// Unwrap implements errors.
func (e *Error) Unwrap() error { return e.Err }

// Words returns what the owner of a mailbox reads of an error.
func Words(err error) string {
	var known *Error
	if errors.As(err, &known) {
		return known.Words
	}
	return "it failed for a reason that is in our log"
}

// KindOf returns the kind of an error.
func KindOf(err error) Kind {
	var known *Error
	if errors.As(err, &known) {
		return known.Kind
	}
	return Temporary
}

// errTooMuch tells that the server sent more than a command may bring.
var errTooMuch = errors.New("the server sent more than it was asked for")

// errContradicts tells that the server contradicts itself.
var errContradicts = errors.New("the server's answer contradicts itself")

// connecting classifies an error of connecting to a host.
func connecting(host string, err error) error {
	var refused *dialer.RefusedError
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	var other x509.HostnameError
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &refused):
		return &Error{Refused, refused.Error(), err}
	case errors.As(err, &name) && name.IsNotFound:
		return &Error{Refused, fmt.Sprintf("there is no host %s: check its name", host), err}
	case errors.As(err, &name):
		return &Error{Temporary, fmt.Sprintf("the name %s cannot be resolved now", host), err}
	case errors.As(err, &other):
		return &Error{Refused, fmt.Sprintf("the certificate of the server is not for %s: use the name that your provider gives", host), err}
	case errors.As(err, &certificate):
		return &Error{Refused, fmt.Sprintf("the certificate of %s is not trusted: it is expired, or its authority is not known here", host), err}
	case errors.As(err, &record):
		return &Error{Refused, fmt.Sprintf("%s does not speak TLS at this port: try STARTTLS, or the port 993", host), err}
	case errors.Is(err, syscall.ECONNREFUSED):
		return &Error{Temporary, fmt.Sprintf("%s refuses connections: is the port right?", host), err}
	case timedOut(err):
		return &Error{Temporary, fmt.Sprintf("%s does not answer in time", host), err}
	}
	return &Error{Temporary, fmt.Sprintf("%s cannot be reached", host), err}
}

func timedOut(err error) bool {
	var network net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.Is(err, os.ErrDeadlineExceeded) || errors.As(err, &network) && network.Timeout()
}

// answered classifies an error of a command.
func answered(doing string, err error) error {
	var known *Error
	if err == nil || errors.As(err, &known) {
		return err
	}
	var status *imap.Error
	if !errors.As(err, &status) {
		words := "the connection was lost"
		switch {
		case errors.Is(err, errTooMuch):
			words = "the server sent more than it was asked for"
		case timedOut(err):
			words = "the server did not answer in time"
		}
		return &Error{Lost, fmt.Sprintf("to %s: %s", doing, words), err}
	}
	text := said(status)
	switch status.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit, imap.ResponseCodeServerBug:
		return &Error{Temporary, fmt.Sprintf("to %s: the server cannot do it now: %s", doing, text), err}
	case imap.ResponseCodeOverQuota:
		return &Error{Refused, fmt.Sprintf("to %s: the mailbox is full", doing), err}
	}
	return &Error{Refused, fmt.Sprintf("to %s: the server refuses: %s", doing, text), err}
}

// longestSaid bounds what a server's words take in ours, in bytes.
const longestSaid = 300

// said is what a server said, as it may be shown.
func said(status *imap.Error) string {
	return printable.Text(strings.ToValidUTF8(status.Text[:min(len(status.Text), longestSaid)], ""))
}

// signingIn classifies an error of signing in.
func signingIn(err error) error {
	var status *imap.Error
	if !errors.As(err, &status) {
		return answered("sign in", err)
	}
	switch status.Code {
	case imap.ResponseCodeUnavailable, imap.ResponseCodeInUse, imap.ResponseCodeLimit:
		return &Error{Temporary, "the server does not let anybody sign in now: " + said(status), err}
	}
	return &Error{Refused, "the server does not accept the login name or the password: " + said(status), err}
}
