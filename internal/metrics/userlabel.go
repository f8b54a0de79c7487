// Package metrics holds what the product's counters share: the bounded label of a person, and registering on a
// registry that is passed in. It names no metric; the packages that count do.
package metrics

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Other is the label of everything beyond a bound.
const Other = "other"

// The modes of a UserLabel, the values of METRICS_USER_LABEL.
const (
	UserHash  = "hash"  // a keyed hash, 16 hex digits
	UserPlain = "plain" // the user id itself
	UserOff   = "off"   // empty, which Prometheus shows as no label
)

// maxUsers bounds the persons that get a label of their own.
const maxUsers = 1_000

// UserLabel gives persons the values of the label "user": the first 1,000 their own, all later ones Other. It lives
// as long as the process and may be used concurrently.
type UserLabel struct {
	mode string
	key  []byte

	mu     sync.Mutex
	labels map[string]string
}

// NewUserLabel returns a UserLabel of a mode. The key is secret to the deployment, so that nobody can tell whether an
// address is among the users by hashing it.
func NewUserLabel(mode string, key []byte) (*UserLabel, error) {
	switch mode {
	case UserHash, UserPlain, UserOff:
		return &UserLabel{mode: mode, key: key, labels: make(map[string]string)}, nil
	}
	return nil, fmt.Errorf("METRICS_USER_LABEL is %q: use %s, %s or %s", mode, UserHash, UserPlain, UserOff)
}

// Of returns the label of a person, the same one until they are forgotten.
func (l *UserLabel) Of(user string) string {
	if l.mode == UserOff {
		return ""
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	label, known := l.labels[user]
	if known {
		return label
	}
	if len(l.labels) == maxUsers {
		return Other
	}
	label = l.label(user)
	l.labels[user] = label
	return label
}

// Forget drops the series of a person from counters with the label "user", and makes room for another. They begin anew
// when the person is counted again. It returns the label that they had; empty when there are no labels to tell by.
func (l *UserLabel) Forget(user string, counters ...*prometheus.CounterVec) string {
	label := l.label(user)
	if l.mode == UserOff || label == Other {
		return ""
	}
	l.mu.Lock()
	delete(l.labels, user)
	l.mu.Unlock()
	for _, counter := range counters {
		counter.DeletePartialMatch(prometheus.Labels{"user": label})
	}
	return label
}

func (l *UserLabel) label(user string) string {
	if l.mode == UserPlain {
		return user
	}
	mac := hmac.New(sha256.New, l.key)
	mac.Write([]byte(user))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Counter registers a counter with labels, or returns the one that was registered before under the same name, labels
// and help. A nil registry gives a counter that nobody reads.
func Counter(registry prometheus.Registerer, name, help string, labels ...string) *prometheus.CounterVec {
	counter := prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	if registry == nil {
		return counter
	}
	err := registry.Register(counter)
	if before, ok := err.(prometheus.AlreadyRegisteredError); ok {
		return before.ExistingCollector.(*prometheus.CounterVec)
	}
	if err != nil {
		panic(err) // the name or the labels above are wrong: our bug
	}
	return counter
}
