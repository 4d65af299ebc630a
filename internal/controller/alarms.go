// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// alarms wake grants at their deadlines. They stand beside the work queue, because an item that waits in the queue with
// the priority of a removal would keep that priority for whatever wakes it earlier. Safe for concurrent use.
type alarms struct {
	clock Clock
	ring  func(name string)

	mu      sync.Mutex
	pending map[types.UID]*alarm
}

type alarm struct {
	at    time.Time
	timer clock.Timer
}

func newAlarms(now Clock, ring func(name string)) *alarms {
	return &alarms{clock: now, ring: ring, pending: map[types.UID]*alarm{}}
}

// set wakes a grant that has not ended at its deadline.
func (a *alarms) set(g *v1alpha1.ProdAccessGrant) {
	at := access.Deadline(g)
	a.mu.Lock()
	defer a.mu.Unlock()
	old := a.pending[g.UID]
	if access.Terminal(access.StateOf(g)) {
		if old != nil {
			old.timer.Stop()
			delete(a.pending, g.UID)
		}
		return
	}
	if old != nil && old.at.Equal(at) {
		return
	}
	if old != nil {
		old.timer.Stop()
	}
	name := keyOf(g)
	a.pending[g.UID] = &alarm{at: at, timer: clock.RealClock{}.AfterFunc(max(0, at.Sub(a.clock.Now())), func() { a.ring(name) })}
}

// stop forgets a grant.
func (a *alarms) stop(uid types.UID) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if old := a.pending[uid]; old != nil {
		old.timer.Stop()
		delete(a.pending, uid)
	}
}
