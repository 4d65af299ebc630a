// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/cache/informertest"
)

// TestRhythm: it looks every interval, soon when something is wrong, and says goodbye.
func TestRhythm(t *testing.T) {
	w := newWorld(t, first, none)
	timers := testclock.NewFakeClock(start)
	w.options.Clock, w.options.Now = timers, timers.Now
	w.options.Cache = &informertest.FakeInformers{Scheme: newScheme(t)}
	w.restart()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- w.guard.Start(ctx) }()
	// The loop is at rest when it waits on the clock: only then may the test touch the world.
	looks := func(what string, want int) {
		t.Helper()
		eventually(t, "the loop to rest, "+what, timers.HasWaiters)
		if w.looks != want {
			t.Errorf("%s: looked %d times, want %d", what, w.looks, want)
		}
		w.looks = 0
	}
	looks("at the start", 1)
	timers.Step(interval - time.Nanosecond)
	looks("before the interval is over", 0)
	timers.Step(time.Nanosecond)
	looks("after it", 1)

	w.delete(binding("same"))
	timers.Step(interval)
	looks("when it breaks", 1)
	for _, seconds := range []int{1, 2, 4, 8, 16, 30, 30} {
		timers.Step(time.Duration(seconds)*time.Second - time.Nanosecond)
		looks("before a retry", 0)
		timers.Step(time.Nanosecond)
		looks("at a retry", 1)
	}
	w.apply(first)
	timers.Step(interval)
	looks("when it is mended", 1)
	timers.Step(interval)
	looks("whole again", 1)

	writes := w.writes
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if w.writes != writes+1 {
		t.Errorf("the parting process wrote %d times, want once", w.writes-writes)
	}
	if l, err := w.guard.record.load(t.Context()); err != nil || !l.LastWhole.Equal(timers.Now()) {
		t.Errorf("the successor is told %v, %v, want %v", l.LastWhole, err, timers.Now())
	}
}

// TestEvents: a look is due when one of ours changes, and only then.
func TestEvents(t *testing.T) {
	w := newWorld(t, first, none)
	of := func(name string, generation int64) *metav1.PartialObjectMetadata {
		return &metav1.PartialObjectMetadata{ObjectMeta: metav1.ObjectMeta{Name: name, UID: "1", Generation: generation}}
	}
	tests := map[string]struct {
		tell func(toolscache.ResourceEventHandler)
		want bool
	}{
		"created": {func(h toolscache.ResourceEventHandler) { h.OnAdd(of("same", 1), false) }, true},
		"changed": {func(h toolscache.ResourceEventHandler) { h.OnUpdate(of("same", 1), of("same", 2)) }, true},
		"status":  {func(h toolscache.ResourceEventHandler) { h.OnUpdate(of("same", 1), of("same", 1)) }, false},
		"deleted": {func(h toolscache.ResourceEventHandler) { h.OnDelete(of("same", 1)) }, true},
		"found deleted": {func(h toolscache.ResourceEventHandler) {
			h.OnDelete(toolscache.DeletedFinalStateUnknown{Obj: of("same", 1)})
		}, true},
		"foreign": {func(h toolscache.ResourceEventHandler) { h.OnDelete(of("theirs", 1)) }, false},
	}
	for name, tt := range tests {
		for range 2 { // the second event must not block
			tt.tell(w.guard.handler(policyKind))
		}
		got := false
		select {
		case <-w.guard.kick:
			got = true
		default:
		}
		if got != tt.want {
			t.Errorf("%s: a look is due: %v, want %v", name, got, tt.want)
		}
	}
}
