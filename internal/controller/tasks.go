// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"sync"
	"time"

	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
)

// Widths of the lanes in which slow calls run. Removals have a lane of their own, and a wide one, so that they never
// queue behind grants.
const (
	grantingLane = 16
	removingLane = 64
	// taskTimeout bounds one task: a few calls, each tried a few times.
	taskTimeout = 45 * time.Second
	// drainTimeout bounds how long the end of the operator waits for tasks that run.
	drainTimeout = 10 * time.Second
)

// tasks runs calls that may be slow, such as those to AWS, beside the reconcile workers: one at a time for each object,
// whose reconcile is woken when it is done. What is in flight is not stored anywhere: after a restart it is begun anew.
// Safe for concurrent use.
type tasks struct {
	wake                       func(name string, priority int)
	clock                      clock.Clock
	granting, removing, urgent *lane

	running sync.WaitGroup

	mu        sync.Mutex
	base      context.Context //nolint:containedctx // tasks outlive the reconcile that begins them, and end with the manager
	accepting bool
	known     map[types.UID]*task
}

type task struct {
	kind   string
	cancel context.CancelFunc
	done   bool
	result any
}

// lane is how many tasks of a sort run side by side, and how urgent what comes of them is.
type lane struct {
	slots    chan struct{}
	priority int
}

func newTasks(wake func(name string, priority int)) *tasks {
	return &tasks{
		wake:     wake,
		clock:    clock.RealClock{},
		granting: &lane{make(chan struct{}, grantingLane), priorityOrdinary},
		removing: &lane{make(chan struct{}, removingLane), priorityRemoval},
		urgent:   &lane{make(chan struct{}, grantingLane), priorityEmergency},
		known:    map[types.UID]*task{},
	}
}

// Start implements manager.Runnable: it lends the tasks the lifetime of the manager, and lets those that run at its end
// come to their end, for a while: a call that is cut off may have had its effect.
func (t *tasks) Start(ctx context.Context) error {
	base, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	t.accept(base, true)
	<-ctx.Done()
	t.accept(base, false)
	ended := make(chan struct{})
	go func() {
		t.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-t.clock.After(drainTimeout):
	}
	return nil
}

// accept says whether tasks are begun, and what they live on.
func (t *tasks) accept(base context.Context, yes bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.base, t.accepting = base, yes
}

// take hands over the finished task of an object, nil if there is none. A result that the reconcile which takes it has
// no use for is dropped: it would be stale for the next.
func (t *tasks) take(uid types.UID) *task {
	t.mu.Lock()
	defer t.mu.Unlock()
	k := t.known[uid]
	if k == nil || !k.done {
		return nil
	}
	delete(t.known, uid)
	return k
}

// begin starts a task, unless one of its kind runs already; one of another kind is called off, and its end wakes the
// object, which then begins this one.
func (t *tasks) begin(uid types.UID, name, kind string, in *lane, work func(context.Context) any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[uid]; k != nil && !k.done {
		if k.kind != kind {
			k.cancel()
		}
		return
	}
	if !t.accepting {
		return
	}
	ctx, cancel := context.WithCancel(t.base)
	k := &task{kind: kind, cancel: cancel}
	t.known[uid] = k
	t.running.Go(func() {
		defer cancel()
		// Called off while it waits, the work finds that out by its first call.
		select {
		case in.slots <- struct{}{}:
			defer func() { <-in.slots }()
		case <-ctx.Done():
		}
		working, cancel := context.WithTimeout(ctx, taskTimeout)
		defer cancel()
		result := work(working)
		t.mu.Lock()
		k.done, k.result = true, result
		t.mu.Unlock()
		t.wake(name, in.priority)
	})
}

// forget calls off and drops the task of an object that is gone.
func (t *tasks) forget(uid types.UID) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if k := t.known[uid]; k != nil {
		k.cancel()
		delete(t.known, uid)
	}
}
