// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"math/rand/v2"
	"testing"
	"time"
)

// TestI7NothingCreatedWithoutTheGuardIsEverProven plays random histories: intruders, upgrades, outages, crashes and a
// clock that runs ahead of the server's. Whatever was created while the policies were really not whole is never proven.
func TestI7NothingCreatedWithoutTheGuardIsEverProven(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	random := rand.New(rand.NewPCG(seed, 0))
	proven := 0
	for range 30 {
		proven += playHistory(t, random)
		if t.Failed() {
			return
		}
	}
	if proven == 0 {
		t.Error("nothing was ever proven: the histories test nothing")
	}
}

// playHistory returns how many objects it proved.
func playHistory(t *testing.T, random *rand.Rand) int {
	w := newWorld(t, first, none)
	truth := releases{current: w.parse(second), previous: w.parse(first)}
	var objects []object
	for _, name := range []string{"asked", "bound", "extra", "old", "same"} {
		objects = append(objects, policy(name), binding(name))
	}
	ahead := time.Duration(random.IntN(int(skew))) // of the operator's clock
	upgraded := false
	installed := first
	type creation struct{ at, dated time.Time } // by the operator's clock, and by the server's
	var without, with []creation
	create := func() {
		missing, foreign := truth.judge(w.objects, nil)
		created := creation{w.now, w.now.Add(-ahead).Truncate(time.Second)}
		if w.off || len(missing)+len(foreign) > 0 {
			without = append(without, created)
		} else {
			with = append(with, created)
		}
	}
	check := func(step int) {
		t.Helper()
		state := w.guard.State()
		if state.Broken != "" {
			return // nothing counts now
		}
		for _, created := range without {
			seen := created.at.Before(w.guard.ledger.LastWhole) // what is newer, the next look will see
			if seen && state.Proves(created.dated) {
				t.Fatalf("step %d, after %s: what was created after %s without the guard is proven (since %s, gaps %v)",
					step, w.now.Sub(start), created.at.Sub(start), state.Since, state.Gaps)
			}
		}
	}
	for step := range 120 {
		o := objects[random.IntN(len(objects))]
		switch random.IntN(14) {
		case 0:
			if _, ok := w.objects[o]; ok {
				w.edit(o)
			}
		case 1:
			w.delete(o)
		case 2, 3, 4:
			w.apply(installed)
		case 5:
			if random.IntN(8) == 0 {
				installed = second
			}
		case 6:
			if random.IntN(4) == 0 {
				upgraded = true
			}
			fallthrough
		case 7:
			if random.IntN(2) == 0 {
				w.stop()
			}
			w.pass(time.Duration(random.IntN(int(time.Minute))))
			create()
			if upgraded {
				w.operate(second, first)
			} else {
				w.restart()
			}
		case 8:
			w.down = !w.down
		case 9:
			w.mute = !w.mute
		case 10:
			w.readOnly = !w.readOnly
		case 11: // nobody could know of it who does not look, or cannot remember it
			if w.guard.loaded && !w.down && !w.mute && !w.readOnly {
				w.off = true
				create()
				w.look()
				w.off = false
			}
		default:
			w.look()
		}
		w.pass(time.Duration(random.IntN(int(20 * time.Second))))
		create()
		if random.IntN(2) == 0 {
			w.look()
		}
		check(step)
	}
	w.down, w.mute, w.readOnly = false, false, false
	w.operate(second, first)
	w.apply(second)
	w.delete(policy("old"))
	w.delete(binding("old"))
	w.look()
	w.expect("")
	check(120)
	n := 0
	for _, created := range with {
		if w.guard.State().Proves(created.dated) {
			n++
		}
	}
	return n
}
