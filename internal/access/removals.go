// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
)

const (
	// settleFor is how long nothing else must go before what looks removed is taken for a person's decision, and settleMost
	// how long that is waited for.
	settleFor  = 3 * time.Second
	settleMost = 30 * time.Second
	// atOnce is how long removals count as one event, such as a restored backup or a run of another tool.
	atOnce = 2 * time.Minute
	// fewRemovals are never held, however small the installation; beyond them, more than one in massShare is.
	fewRemovals = 5
	massShare   = 5
)

// Removals judges grants of which something has gone that the operator did not take away: a person's revocation, or an
// accident that took much at once. Nothing is given back in either case. Safe for concurrent use.
type Removals struct {
	mu   sync.Mutex
	seen map[types.UID]removal
}

type removal struct {
	since time.Time
	held  bool
}

// Verdict is what a removal is taken for.
type Verdict struct {
	// TakenAway says that it is a revocation.
	TakenAway bool
	// Held says that too much went at once: it is not taken for one until somebody confirms it.
	Held bool
	// Alike is how many grants look removed at once.
	Alike int
	// Again is how soon to look again, where neither is clear yet.
	Again time.Duration
}

// Judge says what to make of it that something of a grant is gone. live is how many grants have access; held says that
// the grant was held before, perhaps by an earlier process; confirmed says that somebody has confirmed the removal.
func (r *Removals) Judge(grant types.UID, held, confirmed bool, live int, now time.Time) Verdict {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.seen == nil {
		r.seen = map[types.UID]removal{}
	}
	mine, known := r.seen[grant]
	if !known {
		mine.since = now
	}
	mine.held = mine.held || held
	r.seen[grant] = mine
	alike, latest := 0, mine.since
	for uid, s := range r.seen {
		if s.since.After(latest) {
			latest = s.since
		}
		switch {
		case now.Sub(s.since) <= atOnce:
			alike++
		case !s.held:
			delete(r.seen, uid)
		}
	}
	r.seen[grant] = mine
	v := Verdict{Alike: alike}
	if confirmed {
		v.TakenAway = true
		return v
	}
	if alike > fewRemovals && alike*massShare > live {
		for uid, s := range r.seen {
			s.held = true
			r.seen[uid] = s
		}
		mine.held = true
	}
	switch left := min(settleFor-now.Sub(latest), settleMost-now.Sub(mine.since)); {
	case mine.held:
		v.Held = true
	case left > 0:
		v.Again = left
	default:
		v.TakenAway = true
	}
	return v
}

// Forget drops what is known about a grant: all that it calls for is there again, or its object is gone.
func (r *Removals) Forget(grant types.UID) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.seen, grant)
}
