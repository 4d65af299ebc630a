// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
)

const (
	// skew is how far the operator's clock may be ahead of an API server's, whose clock objects are dated by. (It is never
	// behind: it goes by the Date header of the server's answers.)
	skew = 5 * time.Second
	// memory is how long a gap is remembered. No request lives longer: at most 168 h until its window, and 168 h in it.
	memory = 400 * time.Hour
	// maxGaps bounds what is remembered.
	maxGaps = 32
)

// ledger is what is known of the past; it outlives the process. It knows no clock and no cluster.
type ledger struct {
	// Since is when the guard was first proven whole.
	Since time.Time `json:"since,omitzero"`
	// LastWhole is when it was last proven whole: the beginning of that look.
	LastWhole time.Time `json:"lastWhole,omitzero"`
	// Pins are the policies and bindings as they were then, by kind and name.
	Pins map[string]pin `json:"pins,omitempty"`
	// Gaps are in the order of their beginnings; only the last one may last.
	Gaps []gap `json:"gaps,omitempty"`
}

// pin is one policy or binding.
type pin struct {
	UID        types.UID `json:"uid"`
	Generation int64     `json:"generation"`
	// Spec is a digest: an update that changes nothing we know of has changed something we do not know.
	Spec string `json:"spec"`
}

// gap is a time when the guard was not known to be whole.
type gap struct {
	From time.Time `json:"from"`
	To   time.Time `json:"to,omitzero"`
	// Breach says that the guard was seen not to work, so that pins which turn out unchanged prove nothing.
	Breach bool `json:"breach,omitempty"`
}

// pins are of what is as released.
func (r releases) pins(seen map[object]observed) map[string]pin {
	pins := make(map[string]pin, len(seen))
	for o, s := range seen {
		if !r.know(o, s.spec) {
			continue
		}
		text, err := json.Marshal(s.spec)
		if err != nil {
			panic(fmt.Sprintf("%s has a spec that is no JSON: %v", o, err)) // it came as JSON
		}
		sum := sha256.Sum256(text)
		pins[o.String()] = pin{UID: s.uid, Generation: s.generation, Spec: hex.EncodeToString(sum[:8])}
	}
	return pins
}

// lasting returns the gap that has not ended, nil if there is none.
func (l *ledger) lasting() *gap {
	if n := len(l.Gaps); n > 0 && l.Gaps[n-1].To.IsZero() {
		return &l.Gaps[n-1]
	}
	return nil
}

// proven records that the guard was proven whole by a look that took from began to now. It returns what was found to
// have happened behind our back ("" if nothing), and whether there is something to remember.
func (l *ledger) proven(began, now time.Time, pins map[string]pin) (found string, changed bool) {
	changed = l.Since.IsZero() || !maps.Equal(l.Pins, pins) || l.lasting() != nil
	interrupted := l.interruptions(pins)
	switch open := l.lasting(); {
	case l.Since.IsZero():
		l.Since = now
	case open != nil && (open.Breach || len(interrupted) > 0):
		open.To = now
	case open != nil: // nothing has happened but that it could not be seen, or what was not understood is the next release
		l.Gaps = l.Gaps[:len(l.Gaps)-1]
	case len(interrupted) > 0:
		l.Gaps = append(l.Gaps, gap{From: l.LastWhole.Add(-skew), To: now})
		found = fmt.Sprintf("the admission guard was changed, in steps that nobody saw, between %s and %s: %s; "+
			"what was created in that time has to be created again",
			l.LastWhole.UTC().Format(time.RFC3339), now.UTC().Format(time.RFC3339), list(interrupted))
	}
	l.Pins, l.LastWhole = pins, began
	l.trim(now)
	return found, changed
}

// broken records that the guard is not known to be whole; breach says that it was seen not to work. It returns whether
// there is something to remember.
func (l *ledger) broken(breach bool) bool {
	if l.Since.IsZero() {
		return false
	}
	open := l.lasting()
	if open == nil {
		l.Gaps = append(l.Gaps, gap{From: l.LastWhole.Add(-skew), Breach: breach})
		return true
	}
	changed := breach && !open.Breach
	open.Breach = open.Breach || breach
	return changed
}

// interruptions names what was something else between the last proof and now, although both are whole. One update is
// the step from one release to the other; whatever takes two, or another uid, went through a state nobody saw. So may
// have done what came or went together with such steps: nobody saw in which order.
func (l *ledger) interruptions(pins map[string]pin) []string {
	var broken, stepped, moved []string
	for name, now := range pins {
		before, ok := l.Pins[name]
		switch {
		case !ok:
			moved = append(moved, name)
		case now.UID == before.UID && now.Generation == before.Generation:
		case now.UID == before.UID && now.Generation == before.Generation+1 && now.Spec != before.Spec:
			stepped = append(stepped, name)
		default:
			broken = append(broken, name)
		}
	}
	for name := range l.Pins {
		if _, ok := pins[name]; !ok {
			moved = append(moved, name)
		}
	}
	if len(stepped) > 0 {
		broken = append(broken, moved...)
	}
	slices.Sort(broken)
	return broken
}

// absorb adds what another process, which led at the same time, has recorded.
func (l *ledger) absorb(other ledger, now time.Time) {
	if other.Since.After(l.Since) {
		l.Since = other.Since
	}
	for _, g := range other.Gaps {
		if g.To.IsZero() {
			g.To = now
		}
		if !slices.ContainsFunc(l.Gaps, func(have gap) bool { return have.From.Equal(g.From) }) {
			l.Gaps = append(l.Gaps, g)
		}
	}
	// The one that lasts stays last.
	slices.SortStableFunc(l.Gaps, func(a, b gap) int {
		if a.To.IsZero() != b.To.IsZero() {
			if a.To.IsZero() {
				return 1
			}
			return -1
		}
		return a.From.Compare(b.From)
	})
}

// trim forgets what is too old to matter, so that nothing older counts as proven, and merges the oldest gaps.
func (l *ledger) trim(now time.Time) {
	for len(l.Gaps) > 0 && !l.Gaps[0].To.IsZero() && now.Sub(l.Gaps[0].To) > memory {
		if l.Gaps[0].To.After(l.Since) {
			l.Since = l.Gaps[0].To
		}
		l.Gaps = l.Gaps[1:]
	}
	for len(l.Gaps) > maxGaps {
		if l.Gaps[0].To.After(l.Gaps[1].To) {
			l.Gaps[1].To = l.Gaps[0].To
		}
		l.Gaps[1].From = l.Gaps[0].From
		l.Gaps = l.Gaps[1:]
	}
}

// guard is what decisions need of it.
func (l *ledger) guard(broken string) access.Guard {
	g := access.Guard{Broken: broken, Since: l.Since}
	for _, each := range l.Gaps {
		g.Gaps = append(g.Gaps, access.Gap{From: each.From, To: each.To})
	}
	return g
}

// list names a few things.
func list(names []string) string {
	const most = 3
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
