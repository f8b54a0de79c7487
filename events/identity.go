package events

import (
	"strconv"
	"sync"
)

// effectKinds are the names, without version, of the types that are deduplicated by action and round.
var effectKinds = [typeCount]string{
	TypeActionProposed: "proposed",
	TypeActionApproved: "approved",
	TypeActionRejected: "rejected",
	TypeActionReverted: "reverted",
}

// EffectID is the identity by which events are deduplicated. For proposals and decisions it is derived from the source,
// the action, the kind and the round, so that a decision published again with another ce_id has no effect. For all
// others it is derived from source and ce_id.
func EffectID(e *Event) UUID {
	kind := effectKinds[min(e.Type, typeCount-1)]
	if kind == "" || e.Action == nil {
		return DeriveUUID(e.Source, e.ID)
	}
	return DeriveUUID(e.Source, e.Action.ActionID.String(), kind, strconv.Itoa(e.Action.Round))
}

// hashed keeps the memory of canonical forms from one hash to the next.
var hashed = sync.Pool{New: func() any { return &writer{b: make([]byte, 0, 1024)} }}

// ContentHash is the 64-bit FNV-1a hash of the type and of the payload in canonical form: as Encode writes it, but
// without recorded_at, and with the features whether they were given or derived. So equal content has the same hash,
// whatever its encoding. Hashes are stored for ever, so the function must never change.
func ContentHash(e *Event) uint64 {
	w := hashed.Get().(*writer)
	defer hashed.Put(w)
	w.b = append(w.b[:0], e.Type.String()...)
	e.write(w, true)
	const (
		offset = 14695981039346656037
		prime  = 1099511628211
	)
	hash := uint64(offset)
	for _, c := range w.b {
		hash = (hash ^ uint64(c)) * prime
	}
	return hash
}
