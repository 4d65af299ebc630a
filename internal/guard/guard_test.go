// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"
)

var (
	// second changes asked and bound, drops old and adds extra; changed only changes.
	first   = release("asked", "1", "bound", "1", "old", "1", "same", "1")
	second  = release("asked", "2", "bound", "2", "extra", "1", "same", "1")
	changed = release("asked", "2", "bound", "2", "old", "1", "same", "1")
	none    = fstest.MapFS{}
)

// TestI10OnlyWhatWasCreatedUnderAProvenGuardCounts tells histories.
func TestI10OnlyWhatWasCreatedUnderAProvenGuardCounts(t *testing.T) {
	// Each object was created before, during and after; of those during, each history knows whether it counts.
	tests := map[string]func(*world) (during time.Time, counts bool){
		"nothing happens": func(w *world) (time.Time, bool) {
			w.rest(time.Minute)
			return w.create(), true
		},
		"a binding is deleted and created again, both seen": func(w *world) (time.Time, bool) {
			w.delete(binding("bound"))
			w.look()
			during := w.create()
			w.down = true
			w.rest(3 * interval)
			w.down = false
			w.expect("missing: ValidatingAdmissionPolicyBinding bound") // still the best that is known
			w.apply(first)
			return during, false
		},
		"a binding is deleted and created again, unseen": func(w *world) (time.Time, bool) {
			w.delete(binding("bound"))
			w.pass(2 * time.Second)
			during := w.create()
			w.apply(first)
			return during, false
		},
		"a policy is edited and back, both seen": func(w *world) (time.Time, bool) {
			w.edit(policy("same"))
			w.look()
			w.expect("not as released: ValidatingAdmissionPolicy same")
			during := w.create()
			w.apply(first)
			return during, false
		},
		"a policy is edited and back, unseen": func(w *world) (time.Time, bool) {
			w.edit(policy("same"))
			w.pass(2 * time.Second)
			during := w.create()
			w.apply(first)
			return during, false
		},
		"a binding is edited and back while no operator runs": func(w *world) (time.Time, bool) {
			w.stop()
			w.pass(time.Hour)
			w.edit(binding("same"))
			during := w.create()
			w.pass(time.Hour)
			w.apply(first)
			w.restart()
			return during, false
		},
		"the operator is down and nothing changes": func(w *world) (time.Time, bool) {
			w.stop()
			w.pass(time.Hour)
			during := w.create()
			w.restart()
			w.expect("not been verified")
			return during, true
		},
		"the operator is killed and nothing changes": func(w *world) (time.Time, bool) {
			w.pass(time.Hour)
			during := w.create()
			w.restart()
			return during, true
		},
		"the guard is broken and the operator killed": func(w *world) (time.Time, bool) {
			w.off = true
			w.look()
			w.expect("accepts an object in a forged name")
			w.restart()
			w.pass(time.Hour)
			during := w.create()
			w.off = false
			return during, false
		},
		"a policy is not enforced": func(w *world) (time.Time, bool) {
			w.off = true
			w.pass(time.Second)
			during := w.create()
			w.look()
			w.expect("accepts an object in a forged name")
			w.off = false
			return during, false
		},
		"the record is deleted while the operator is down": func(w *world) (time.Time, bool) {
			during := w.create()
			w.record = nil
			w.restart()
			return during, false
		},
		"the record is no record": func(w *world) (time.Time, bool) {
			during := w.create()
			w.record.Data = map[string]string{recordKey: "{"}
			w.restart()
			return during, false
		},
		"one dry run is not answered": func(w *world) (time.Time, bool) {
			w.mute = true
			w.look()
			w.expect("")
			w.mute = false
			return w.create(), true
		},
		"no call is answered for long, and nothing changes": func(w *world) (time.Time, bool) {
			w.down = true
			w.pass(interval)
			w.look()
			w.expect("")
			w.pass(interval)
			w.look()
			w.expect("not known to be whole: the API server answered")
			during := w.create()
			w.expectProven("in the outage", during, false)
			w.down = false
			return during, true
		},
		"no dry run is answered for long, and nothing changes": func(w *world) (time.Time, bool) {
			w.mute = true
			w.rest(2 * interval)
			w.expect("asked could not be tried")
			during := w.create()
			w.mute = false
			return during, true
		},
		"a policy is deleted and created again in an outage": func(w *world) (time.Time, bool) {
			w.down = true
			w.rest(2 * interval)
			w.delete(policy("same"))
			during := w.create()
			w.apply(first)
			w.down = false
			return during, false
		},
		"no dry run is answered for long, then one is accepted, and the operator is killed": func(w *world) (time.Time, bool) {
			w.mute = true
			w.rest(2 * interval)
			w.mute, w.off = false, true
			w.look()
			w.expect("accepts an object in a forged name")
			during := w.create()
			w.off = false
			w.restart()
			return during, false
		},
		"it breaks during a look, after what it breaks was read": func(w *world) (during time.Time, counts bool) {
			w.meanwhile = func() {
				w.edit(binding("same"))
				w.pass(2 * time.Second)
				during = w.create()
				w.pass(2 * skew)
			}
			w.look()
			w.expect("")
			w.look()
			w.expect("not as released: ValidatingAdmissionPolicyBinding same")
			w.apply(first)
			return during, false
		},
		"the operator is suspended, and wakes to an unanswered call": func(w *world) (time.Time, bool) {
			w.pass(time.Hour)
			w.down = true
			w.look()
			w.expect("")
			w.down = false
			return w.create(), true
		},
		"several calls in a row are not answered, for seconds": func(w *world) (time.Time, bool) {
			w.down = true
			for range 5 {
				w.look()
			}
			w.expect("")
			w.down = false
			return w.create(), true
		},
		"somebody applies the same again": func(w *world) (time.Time, bool) {
			w.apply(first)
			return w.create(), true
		},
		"something is changed that is not in the spec as we know it": func(w *world) (time.Time, bool) {
			during := w.create()
			o := w.objects[policy("same")]
			o.generation++
			w.objects[policy("same")] = o
			return during, false
		},
		"the record cannot be written": func(w *world) (time.Time, bool) {
			w.readOnly = true
			w.delete(binding("same"))
			w.look()
			during := w.create()
			w.apply(first)
			w.look()
			w.expect("")
			w.expectProven("unrecorded", during, false)
			w.readOnly = false
			w.look()
			w.restart()
			return during, false
		},
		"somebody deletes the record": func(w *world) (time.Time, bool) {
			w.record = nil
			w.delete(binding("same"))
			w.look()
			during := w.create()
			w.apply(first)
			w.look()
			w.restart()
			return during, false
		},
		"somebody else wrote the record": func(w *world) (time.Time, bool) {
			during := w.create()
			other := w.guard.ledger
			other.Gaps = []gap{{From: during.Add(-time.Second), To: during.Add(time.Second), Breach: true}}
			if err := (&record{client: w, namespace: namespace, stored: w.record.DeepCopy()}).save(w.t.Context(), other); err != nil {
				w.t.Fatal(err)
			}
			w.rest(time.Minute)
			w.delete(binding("same"))
			w.look()
			w.apply(first)
			w.look()
			w.restart()
			return during, false
		},
	}
	for name, history := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, first, none)
			early := w.create()
			w.look()
			w.expect("")
			w.pass(time.Minute)
			before := w.create()
			w.rest(2 * time.Minute)
			during, counts := history(w)
			w.look()
			w.expect("")
			w.pass(time.Second)
			after := w.create()
			w.rest(2 * time.Minute)
			w.expect("")
			w.expectProven("older than the guard", early, false)
			if !strings.Contains(name, "record is") {
				w.expectProven("before", before, true)
			}
			w.expectProven("during", during, counts)
			w.expectProven("after", after, true)
		})
	}
}

// TestUpgrade walks from one release to the next, in every order of operator and policies.
func TestUpgrade(t *testing.T) {
	begin := func(t *testing.T) (w *world, before time.Time) {
		w = newWorld(t, first, none)
		w.look()
		w.pass(time.Second)
		before = w.create()
		w.rest(time.Minute)
		return w, before
	}
	finish := func(w *world, proven map[string]time.Time) {
		t.Helper()
		w.look()
		w.expect("")
		for what, created := range proven {
			w.expectProven(what, created, true)
		}
		if len(w.guard.State().Gaps) > 0 {
			w.t.Errorf("an upgrade leaves gaps: %v", w.guard.State().Gaps)
		}
		// The successor finds nothing new.
		w.restart()
		w.look()
		w.expect("")
		for what, created := range proven {
			w.expectProven(what+", after a restart", created, true)
		}
	}
	// What is added comes before what changes, as previous/README.md demands.
	inOrder := func(w *world, each func()) {
		for _, o := range []object{policy("extra"), binding("extra"), policy("bound"), policy("asked")} {
			w.apply(second, o)
			each()
		}
	}

	t.Run("the operator first", func(t *testing.T) {
		w, before := begin(t)
		w.stop()
		w.operate(second, first)
		w.look()
		w.expect("")
		during := w.create()
		inOrder(w, func() {
			w.look()
			w.expect("")
		})
		w.delete(policy("old"))
		w.look()
		w.delete(binding("old"))
		finish(w, map[string]time.Time{"before": before, "during": during})
	})
	t.Run("the policies first, in one go, unseen", func(t *testing.T) {
		w, before := begin(t)
		w.stop()
		w.apply(changed)
		during := w.create()
		w.operate(changed, first)
		finish(w, map[string]time.Time{"before": before, "during": during})
	})
	t.Run("the policies first, under the eyes of the old operator", func(t *testing.T) {
		w, before := begin(t)
		during := w.create()
		for _, o := range []object{policy("bound"), policy("asked")} {
			w.apply(changed, o)
			w.look()
		}
		w.expect("not as released: ValidatingAdmissionPolicy asked, ValidatingAdmissionPolicy bound")
		w.expectProven("what the old operator cannot judge", w.create(), false)
		w.stop()
		w.operate(changed, first)
		finish(w, map[string]time.Time{"before": before, "during": during})
	})
	t.Run("a release that adds and drops, in one go", func(t *testing.T) {
		w, before := begin(t)
		w.stop()
		w.apply(second)
		during := w.create()
		w.operate(second, first)
		w.look()
		w.expect("")
		w.expectProven("before", before, true)
		w.expectProven("in an unknown half of it", during, false)
	})
	t.Run("what is added comes last", func(t *testing.T) {
		w, before := begin(t)
		w.operate(second, first)
		w.look()
		w.apply(second, policy("asked"))
		w.look()
		w.expect("missing: ValidatingAdmissionPolicy extra, ValidatingAdmissionPolicyBinding extra")
		during := w.create()
		w.apply(second)
		w.look()
		w.expect("")
		w.expectProven("before", before, true)
		w.expectProven("while a half of each release was there", during, false)
	})
	t.Run("what was added goes again", func(t *testing.T) {
		w := newWorld(t, release("asked", "1", "extra", "1"), release("asked", "1"))
		w.look()
		w.delete(binding("extra"))
		w.look()
		w.expect("missing: ValidatingAdmissionPolicyBinding extra")
	})
	t.Run("a policy that is probed and not there yet", func(t *testing.T) {
		w := newWorld(t, first, none)
		w.options.Probes = append(w.options.Probes, Probe{Policy: "extra", Forged: forged, Object: DefaultProbes()[0].Object})
		w.operate(second, first)
		w.look()
		w.expect("")
	})
	t.Run("two steps at once", func(t *testing.T) {
		w, before := begin(t)
		w.rest(time.Minute)
		w.apply(second)
		w.apply(first)
		w.look()
		w.expect("")
		w.expectProven("before", before, true)
		w.expectProven("in between", w.now.Add(-2*time.Second), false)
	})
	t.Run("an edit in between", func(t *testing.T) {
		w, before := begin(t)
		w.stop()
		w.edit(policy("asked"))
		during := w.create()
		w.apply(changed)
		w.operate(changed, first)
		w.look()
		w.expect("")
		w.expectProven("before", before, true)
		w.expectProven("during", during, false)
	})
	t.Run("what is left of the previous release is edited", func(t *testing.T) {
		w, _ := begin(t)
		w.operate(second, first)
		w.apply(second)
		w.look()
		w.edit(policy("old"))
		w.look()
		w.expect("")
		w.apply(first, policy("asked"))
		during := w.create()
		w.apply(first)
		w.look()
		w.expect("")
		w.expectProven("when it mattered again", during, false)
		w.edit(policy("old"))
		w.edit(policy("bound"))
		w.look()
		w.expect("not as released: ValidatingAdmissionPolicy bound, ValidatingAdmissionPolicy old")
	})
	t.Run("of neither release", func(t *testing.T) {
		w, _ := begin(t)
		w.operate(second, first)
		w.apply(release("asked", "3"))
		w.look()
		w.expect("not as released: ValidatingAdmissionPolicy asked")
	})
}

// TestAudit: the trail alternates, and says nothing at rest.
func TestAudit(t *testing.T) {
	w := newWorld(t, first, none)
	want := func(texts ...string) {
		t.Helper()
		if !slices.EqualFunc(w.audit, texts, strings.Contains) {
			t.Errorf("the trail says %q, want %q", w.audit, texts)
		}
		w.audit = nil
	}
	w.delete(binding("same"))
	w.look()
	want() // never whole, so nothing has changed
	w.apply(first)
	w.look()
	want("whole")
	w.rest(time.Minute)
	w.restart()
	w.rest(time.Minute)
	want()
	w.delete(binding("same"))
	w.look()
	w.delete(binding("bound"))
	w.look()
	w.restart()
	w.look()
	want("missing: ValidatingAdmissionPolicyBinding same")
	w.apply(first)
	w.look()
	want("whole")
	w.edit(policy("same"))
	w.apply(first)
	w.look()
	want("changed, in steps that nobody saw", "whole")
	w.mute = true
	w.rest(2 * time.Minute)
	want("not known to be whole")
	w.mute = false
	w.look()
	want("whole")
	w.restart()
	w.down = true
	w.rest(2 * time.Minute)
	w.expect("not been verified yet: the API server answered: Timeout")
	want("not been verified yet")
	w.down = false
	w.look()
	want("whole")
	w.expectProven("before an outage that the process began in", start.Add(90*time.Second), true)
}

// TestAtRest: nothing is written and nobody is called.
func TestAtRest(t *testing.T) {
	w := newWorld(t, first, none)
	w.look()
	writes, changes := w.writes, w.changes
	w.rest(time.Hour)
	if w.writes != writes || w.changes != changes {
		t.Errorf("in an hour at rest: %d writes, %d changes", w.writes-writes, w.changes-changes)
	}
	whole := w.now
	w.stop()
	w.pass(time.Hour)
	w.delete(policy("same"))
	w.apply(first)
	w.restart()
	w.look()
	// Only the downtime is doubtful, because the parting process said when it was last whole.
	w.expectProven("before the downtime", whole.Add(-skew-2*time.Second), true)
	w.expectProven("in the downtime", whole.Add(time.Minute), false)
}

// TestGapsAreBounded: forgetting and merging never make anything proven.
func TestGapsAreBounded(t *testing.T) {
	w := newWorld(t, first, none)
	w.look()
	var during []time.Time
	for range 2 * maxGaps {
		w.rest(time.Minute)
		w.delete(policy("same"))
		w.pass(time.Second)
		during = append(during, w.create())
		w.apply(first)
		w.look()
	}
	check := func() {
		t.Helper()
		for _, created := range during {
			w.expectProven("in a gap", created, false)
		}
		w.look()
		w.pass(time.Second)
		w.expectProven("now", w.create(), true)
	}
	check()
	if n := len(w.guard.State().Gaps); n > maxGaps {
		t.Errorf("%d gaps are remembered, want at most %d", n, maxGaps)
	}
	w.pass(memory + time.Hour)
	w.look()
	if n := len(w.guard.State().Gaps); n > 0 {
		t.Errorf("%d gaps are remembered for ever", n)
	}
	check()
}
