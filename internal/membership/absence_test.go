// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

// after moves the clock on.
func (w *world) after(d time.Duration) { w.clock.SetTime(w.clock.Now().Add(d)) }

func (w *world) inspect(t *testing.T) {
	t.Helper()
	if _, err := w.engine.Inspect(t.Context(), group); err != nil {
		t.Fatal(err)
	}
}

func (w *world) absent() membership.Absence { return w.engine.Absent(w.UserID("alice"), group) }

// granted is a world in which alice has her membership, and a grant has seen it.
func granted(t *testing.T) *world {
	t.Helper()
	w := newWorld(t)
	g := w.record(v1alpha1.StateGranting, 3*time.Hour, true, false)
	if o := w.settle(t); !o.Present {
		t.Fatalf("not granted: %+v", o)
	}
	g.Status.AWS.Groups[0].Observed = true
	g.Status.Conditions[0].Reason = v1alpha1.StateGranted
	return w
}

// A read of IAM may show the past: one from before the membership was made takes nothing away, and adds nothing.
func TestI5OldReadsAreNoRemoval(t *testing.T) {
	w := newWorld(t)
	w.SetStaleness(time.Hour) // reads show alice without the membership from here on
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	w.AddMember(group, "alice")
	for range 2 {
		o := w.settle(t)
		if o.Err == nil || o.Obstacle.Reason != "" || !strings.Contains(o.Err.Error(), "looking again") {
			t.Errorf("an old read came to %+v", o)
		}
		w.after(59 * time.Second)
	}
	w.SetStaleness(0)
	if o := w.settle(t); o.Err != nil || !o.Present {
		t.Errorf("seen again: %+v", o)
	}
	if a := w.absent(); a.Suspected {
		t.Errorf("seen again, and %+v", a)
	}
	// What was seen again begins anew when it is missed.
	w.RemoveMember(group, "alice")
	if o := w.settle(t); o.Obstacle.Reason != "" || o.Err == nil {
		t.Errorf("the first read after that came to %+v", o)
	}
	if n := w.Count("AddUserToGroup"); n != 0 {
		t.Errorf("%d memberships were added meanwhile", n)
	}
}

// Reads that come close after each other may come from the same old copy: they count as one.
func TestI5CloseReadsCountOnce(t *testing.T) {
	for name, test := range map[string]struct {
		steps []time.Duration // between the reads
		want  bool
	}{
		"three reads over two minutes":         {[]time.Duration{time.Minute, time.Minute}, true},
		"three reads over less":                {[]time.Duration{time.Minute, 59 * time.Second}, false},
		"many reads over less":                 {[]time.Duration{29 * time.Second, 29 * time.Second, 29 * time.Second, 29 * time.Second}, false},
		"two reads over more":                  {[]time.Duration{5 * time.Minute}, false},
		"three, two of them close":             {[]time.Duration{2 * time.Minute, 19 * time.Second}, false},
		"three, the last two just far enough":  {[]time.Duration{2 * time.Minute, 20 * time.Second}, true},
		"many reads, one at a time":            {[]time.Duration{15 * time.Second, 15 * time.Second, 15 * time.Second, 15 * time.Second, time.Minute}, true},
		"three, then one close after the time": {[]time.Duration{time.Minute, 59 * time.Second, time.Second}, true},
	} {
		t.Run(name, func(t *testing.T) {
			w := granted(t)
			w.RemoveMember(group, "alice")
			o := w.settle(t)
			for _, step := range test.steps {
				w.after(step)
				o = w.settle(t)
			}
			if confirmed := o.Obstacle.Reason == v1alpha1.ReasonRemovedByOthers; confirmed != test.want || w.absent().Confirmed != test.want {
				t.Errorf("a removal is confirmed: %v %+v, want %v", confirmed, w.absent(), test.want)
			}
			if !w.absent().Suspected || w.IsMember(group, "alice") {
				t.Errorf("given back, or not suspected: %+v", w.absent())
			}
		})
	}
}

// The periodic reading of groups counts as looks at their memberships, beside those at single people.
func TestI5ReadingsOfGroupsCount(t *testing.T) {
	w := granted(t)
	w.AddUser(fake.User{Name: "bob"})
	w.AddMember(group, "bob")
	w.inspect(t)
	if a := w.absent(); a != (membership.Absence{}) {
		t.Errorf("a member is absent: %+v", a)
	}
	w.RemoveMember(group, "alice")
	if a := w.absent(); a.Suspected {
		t.Errorf("before AWS was read: %+v", a)
	}
	w.inspect(t)
	if a := w.absent(); a != (membership.Absence{Suspected: true, Again: time.Minute}) {
		t.Errorf("after the first reading: %+v", a)
	}
	if a := w.engine.Absent(w.UserID("alice"), strings.ToUpper(group)); !a.Suspected {
		t.Error("another case of the name is another group")
	}
	w.after(40 * time.Second)
	if a := w.absent(); a.Again != 20*time.Second {
		t.Errorf("the next reading is due in %s", a.Again)
	}
	w.settle(t)
	w.after(79 * time.Second)
	w.inspect(t)
	if a := w.absent(); !a.Suspected || a.Confirmed || a.Again != time.Second {
		t.Errorf("after three looks in less than two minutes: %+v", a)
	}
	w.after(time.Second)
	w.Inject("GetGroup", fake.AccessDenied)
	if _, err := w.engine.Inspect(t.Context(), group); err == nil || w.absent().Confirmed {
		t.Errorf("a reading that failed confirmed a removal: %v", err)
	}
	w.ClearFaults()
	w.inspect(t)
	if a := w.absent(); a != (membership.Absence{Suspected: true, Confirmed: true}) {
		t.Errorf("after two minutes: %+v", a)
	}
	if o := w.settle(t); o.Obstacle.Reason != v1alpha1.ReasonRemovedByOthers {
		t.Errorf("settled as %+v", o)
	}
	w.AddMember(group, "alice")
	w.inspect(t)
	if a := w.absent(); a.Suspected {
		t.Errorf("seen again in the group, and %+v", a)
	}
}

// A group that was deleted took the memberships with it.
func TestI5DeletedGroup(t *testing.T) {
	w := granted(t)
	w.RemoveMember(group, "alice")
	if err := w.Admin("DeleteGroup", map[string]string{"GroupName": group}); err != nil {
		t.Fatal(err)
	}
	w.inspect(t)
	for range 2 {
		if a := w.absent(); !a.Suspected || a.Confirmed {
			t.Errorf("too early: %+v", a)
		}
		w.after(time.Minute)
		w.inspect(t)
	}
	if a := w.absent(); !a.Confirmed {
		t.Errorf("after two minutes: %+v", a)
	}
}

// The grant under which something was taken away may end before that is certain: the next one does not give it back.
func TestI5SuspicionOutlivesItsGrant(t *testing.T) {
	w := granted(t)
	w.RemoveMember(group, "alice")
	second := w.record(v1alpha1.StateGranting, 3*time.Hour, true, false)
	w.settle(t)
	w.grants[0].Status.Conditions[0].Reason = v1alpha1.StateExpired
	w.grants[0].Status.AWS.Groups[0].Observed = false
	for range 2 {
		if w.IsMember(group, "alice") {
			t.Fatal("given back")
		}
		w.after(time.Minute)
		w.settle(t)
	}
	if o := w.settle(t); o.Obstacle.Reason != v1alpha1.ReasonRemovedByOthers || w.IsMember(group, "alice") {
		t.Errorf("after two minutes: %+v", o)
	}
	// With it over, another grant may begin.
	second.Status.Conditions[0].Reason = v1alpha1.StateRevoked
	if o := w.settle(t); o.Present || o.Err != nil {
		t.Errorf("over: %+v", o)
	}
	w.record(v1alpha1.StateGranting, 3*time.Hour, true, false)
	if o := w.settle(t); !o.Present {
		t.Errorf("another grant came to %+v", o)
	}
}

// What is removed by the engine itself is missed by nobody, and neither is what was read before it was made again.
func TestOwnRemovalsAreForgotten(t *testing.T) {
	w := granted(t)
	w.inspect(t)
	w.RemoveMember(group, "alice")
	w.settle(t)
	w.grants[0].Status.Conditions[0].Reason = v1alpha1.StateSuspended
	if o := w.settle(t); o.Present || o.Err != nil {
		t.Fatalf("not taken away: %+v", o)
	}
	w.inspect(t)
	w.grants[0].Status.Conditions[0].Reason = v1alpha1.StateGranted
	w.grants[0].Status.AWS.Groups[0].Observed = false
	if o := w.settle(t); !o.Present {
		t.Errorf("not made again: %+v", o)
	}
	if a := w.absent(); a.Suspected {
		t.Errorf("a reading from before it was made again counts: %+v", a)
	}
}

// A grant that is gone without its end having been settled leaves no suspicion behind.
func TestNobodyIsMissedWithoutAGrant(t *testing.T) {
	w := granted(t)
	w.RemoveMember(group, "alice")
	w.settle(t)
	w.grants = nil
	w.inspect(t)
	w.record(v1alpha1.StateGranting, 3*time.Hour, true, false)
	if o := w.settle(t); !o.Present || o.Err != nil {
		t.Errorf("a new grant came to %+v", o)
	}
}

// Whatever the order of looks, a removal is confirmed only after an unbroken run of absences that is long enough and has
// enough reads apart, and always once such a run went on.
func TestI5ConfirmedIsEarned(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, seed))
	w := granted(t)
	w.grants[0].Spec.ExpiresAt.Time = start.Add(1000 * time.Hour)
	var run []time.Time // the absences since the membership was last there
	for range 400 {
		w.after(time.Duration(r.IntN(50)) * time.Second)
		if r.IntN(12) == 0 {
			w.RemoveMember(group, "alice")
		} else if r.IntN(12) == 0 {
			w.AddMember(group, "alice")
		}
		var confirmed bool
		if r.IntN(2) == 0 {
			confirmed = w.settle(t).Obstacle.Reason == v1alpha1.ReasonRemovedByOthers
		} else {
			w.inspect(t)
			confirmed = w.absent().Confirmed
		}
		if w.IsMember(group, "alice") {
			run = nil
		} else {
			run = append(run, w.clock.Now())
		}
		apart := 0
		for i, last := 0, (time.Time{}); i < len(run); i++ {
			if run[i].Sub(last) >= 20*time.Second {
				apart, last = apart+1, run[i]
			}
		}
		if want := apart >= 3 && run[len(run)-1].Sub(run[0]) >= 2*time.Minute; confirmed != want {
			t.Fatalf("absent at %v: confirmed is %v, want %v", run, confirmed, want)
		}
	}
	if n := w.Count("AddUserToGroup"); n != 1 {
		t.Errorf("%d memberships were added, want the first alone", n)
	}
}
