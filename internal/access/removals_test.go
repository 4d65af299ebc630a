// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
)

const (
	settleTime = 3 * time.Second
	together   = 2 * time.Minute
)

// judgeAll judges the removal of one part of each of n grants at one moment, and returns the last verdict.
func judgeAll(r *access.Removals, n, live int, now time.Time) (v access.Verdict) {
	for i := range n {
		v = r.Judge(grantUID(i), false, false, live, now)
	}
	return v
}

func grantUID(i int) types.UID { return types.UID(fmt.Sprintf("grant-%d", i)) }

// One removal is looked at for three seconds, and is then a person's decision.
func TestI5RemovalSettles(t *testing.T) {
	var r access.Removals
	for _, step := range []struct {
		after time.Duration
		want  access.Verdict
	}{
		{0, access.Verdict{Alike: 1, Again: settleTime}},
		{time.Second, access.Verdict{Alike: 1, Again: 2 * time.Second}},
		{settleTime - 1, access.Verdict{Alike: 1, Again: 1}},
		{settleTime, access.Verdict{Alike: 1, TakenAway: true}},
		{settleTime + time.Second, access.Verdict{Alike: 1, TakenAway: true}},
		{together + time.Hour, access.Verdict{Alike: 0, TakenAway: true}},
		{together + time.Hour + time.Second, access.Verdict{Alike: 0, TakenAway: true}},
	} {
		if got := r.Judge("one", false, false, 1000, begin.Add(step.after)); got != step.want {
			t.Errorf("after %s: %+v, want %+v", step.after, got, step.want)
		}
	}
}

// More than five and more than a fifth of the live grants at once look like an accident; each row has twins beside it
// that are one fewer, or a share that is one smaller.
func TestI5MassRemovalIsHeld(t *testing.T) {
	for _, test := range []struct {
		removed, live int
		held          bool
	}{
		{1, 1, false}, {5, 5, false}, {5, 0, false}, {6, 6, true}, {6, 0, true},
		{6, 29, true}, {6, 30, false}, {6, 31, false}, {7, 34, true}, {7, 35, false}, {200, 1000, false}, {201, 1000, true},
	} {
		var r access.Removals
		v := judgeAll(&r, test.removed, test.live, begin)
		if v.Held != test.held || v.Alike != test.removed || v.TakenAway || (v.Again > 0) == test.held {
			t.Errorf("%d of %d at once: %+v", test.removed, test.live, v)
		}
		for i := range test.removed {
			if v := r.Judge(grantUID(i), false, false, test.live, begin.Add(settleTime)); v.Held != test.held || v.TakenAway == test.held {
				t.Errorf("%d of %d at once, number %d: %+v", test.removed, test.live, i, v)
			}
		}
	}
}

// What was seen first waits with the rest: the settle time is there to see whether much else goes.
func TestI5TheFirstOfManyIsHeld(t *testing.T) {
	var r access.Removals
	for i := range 6 {
		r.Judge(grantUID(i), false, false, 20, begin.Add(time.Duration(i)*500*time.Millisecond))
	}
	if v := r.Judge(grantUID(0), false, false, 20, begin.Add(settleTime)); !v.Held || v.TakenAway {
		t.Errorf("the first of six: %+v", v)
	}
}

// What is held stays held, however long, until somebody confirms it; others are judged for themselves later.
func TestI5HeldUntilConfirmed(t *testing.T) {
	var r access.Removals
	judgeAll(&r, 6, 6, begin)
	late := begin.Add(100 * together)
	for i := range 6 {
		if v := r.Judge(grantUID(i), false, false, 6, late); !v.Held || v.TakenAway {
			t.Errorf("later, number %d: %+v", i, v)
		}
	}
	if v := r.Judge("another", false, false, 6, late); v.Held || v.Again != settleTime || v.Alike != 1 {
		t.Errorf("another: %+v", v)
	}
	if v := r.Judge("another", false, false, 6, late.Add(settleTime)); !v.TakenAway {
		t.Errorf("another, settled: %+v", v)
	}
	if v := r.Judge(grantUID(0), false, true, 6, late); !v.TakenAway || v.Held {
		t.Errorf("confirmed: %+v", v)
	}
	if v := r.Judge(grantUID(1), false, false, 6, late); !v.Held {
		t.Errorf("another was confirmed, and this one is %+v", v)
	}
}

// A confirmation waits for nothing, and is of one grant.
func TestConfirmedAtOnce(t *testing.T) {
	var r access.Removals
	if v := r.Judge("one", false, true, 1, begin); !v.TakenAway || v.Held || v.Again != 0 {
		t.Errorf("confirmed: %+v", v)
	}
	judgeAll(&r, 7, 7, begin)
	if v := r.Judge(grantUID(3), true, true, 7, begin); !v.TakenAway || v.Held {
		t.Errorf("held, and confirmed: %+v", v)
	}
}

// A process that starts knows only what is on record: what was held is held, alone as it may look now.
func TestI5HeldAcrossRestart(t *testing.T) {
	var r access.Removals
	if v := r.Judge("one", true, false, 1000, begin); !v.Held || v.TakenAway || v.Again != 0 {
		t.Errorf("held before: %+v", v)
	}
	for _, after := range []time.Duration{settleTime, together, together + 1, 24 * time.Hour} {
		if v := r.Judge("one", false, false, 1000, begin.Add(after)); !v.Held {
			t.Errorf("after %s: %+v", after, v)
		}
	}
	if v := r.Judge("one", false, true, 1000, begin.Add(24*time.Hour)); !v.TakenAway {
		t.Errorf("confirmed: %+v", v)
	}
	// The twin: nothing on record.
	var other access.Removals
	if v := other.Judge("one", false, false, 1000, begin); v.Held {
		t.Errorf("not held before: %+v", v)
	}
}

// What is there again, or whose object is gone, counts no more, and begins anew.
func TestForgottenRemovals(t *testing.T) {
	var r access.Removals
	r.Forget("never seen")
	judgeAll(&r, 5, 10, begin)
	r.Forget(grantUID(0))
	if v := r.Judge("sixth", false, false, 10, begin.Add(time.Second)); v.Held || v.Alike != 5 {
		t.Errorf("the sixth, when the first is back: %+v", v)
	}
	if v := r.Judge(grantUID(0), false, false, 10, begin.Add(2*time.Second)); !v.Held || v.Alike != 6 {
		t.Errorf("gone again: %+v", v)
	}
	r.Forget(grantUID(0))
	if v := r.Judge(grantUID(0), false, false, 1000, begin.Add(3*time.Second)); v.Held || v.Again != settleTime {
		t.Errorf("given back while it was held, and gone anew: %+v", v)
	}
}

// What went two minutes ago is another event, and no sooner.
func TestRemovalsOfLongAgoAreNotAtOnce(t *testing.T) {
	for after, held := range map[time.Duration]bool{together: true, together + 1: false} {
		var r access.Removals
		judgeAll(&r, 5, 10, begin)
		if v := r.Judge("sixth", false, false, 10, begin.Add(after)); v.Held != held {
			t.Errorf("after %s: %+v", after, v)
		}
	}
}

// Grants are looked at side by side.
func TestRemovalsSideBySide(t *testing.T) {
	var r access.Removals
	var all sync.WaitGroup
	for i := range 8 {
		all.Go(func() {
			r.Judge(grantUID(i), false, false, 8, begin)
			r.Forget("never seen")
		})
	}
	all.Wait()
	if v := r.Judge(grantUID(0), false, false, 8, begin); !v.Held || v.Alike != 8 {
		t.Errorf("eight of eight: %+v", v)
	}
}
