// Package metrics has what the product counters share: the bounded label user, and registration on a registry that is passed
// in. It defines no metric; the packages that count do.
package metrics

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// Other is the label of all users beyond the limit.
const Other = "other"

// The modes of a UserLabel, the values of METRICS_USER_LABEL.
const (
	UserHash  = "hash"  // a keyed hash, 16 hex digits
	UserPlain = "plain" // the user id itself
	UserOff   = "off"   // empty, which Prometheus shows as no label
)

// maxUsers is how many users get a label of their own.
const maxUsers = 1_000

// UserLabel assigns the values of the label "user": the first 1,000 users have their own, all later ones Other. It lasts as
// long as the process and is safe for concurrent use.
type UserLabel struct {
	mode string
	key  []byte

	mu     sync.Mutex
	labels map[string]string
}

// NewUserLabel returns a UserLabel with a mode. The key is a secret of the deployment, so that nobody can find out by hashing
// whether an address is among the users.
func NewUserLabel(mode string, key []byte) (*UserLabel, error) {
	switch mode {
	case UserHash, UserPlain, UserOff:
		return &UserLabel{mode: mode, key: key, labels: make(map[string]string)}, nil
	}
	return nil, fmt.Errorf("METRICS_USER_LABEL is %q: use %s, %s or %s", mode, UserHash, UserPlain, UserOff)
}

// Of returns the label of a user, which is the same until Forget.
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

// Forget deletes the series of a user from counters with the label "user", and makes room for another user. New series start at
// 0. It returns the label that the user had, empty if labels are off.
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

// Counter registers a counter with labels, or returns the one registered before with the same name, labels and help. With a
// nil registry the counter is not served.
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
		panic(err) // an invalid name or label is a bug
	}
	return counter
}
