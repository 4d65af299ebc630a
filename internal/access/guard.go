// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"slices"
	"time"
)

// Guard is what is known about the admission policies, which prove who asked, who approved and who lifted.
type Guard struct {
	// Broken says why they cannot be relied on now, "" if they can.
	Broken string
	// Since is when they were first known to be whole; zero when they never were.
	Since time.Time
	// Gaps are the times since then when they were not known to be whole. One that lasts has a zero To.
	Gaps []Gap
}

// Gap is a time when the guard was not known to be whole, both ends included.
type Gap struct{ From, To time.Time }

// WholeSince says whether the guard has been whole, without a gap, from a time until now.
func (g Guard) WholeSince(t time.Time) bool {
	return g.Broken == "" && !g.Since.IsZero() && !t.Before(g.Since) &&
		!slices.ContainsFunc(g.Gaps, func(gap Gap) bool { return gap.To.IsZero() || !gap.To.Before(t) })
}

// Proves says whether what was created at a time had to pass the guard. Creation times are in whole seconds, rounded
// down, so the whole second counts.
func (g Guard) Proves(created time.Time) bool {
	if g.Since.IsZero() || created.Before(g.Since) {
		return false
	}
	end := created.Add(time.Second)
	return !slices.ContainsFunc(g.Gaps, func(gap Gap) bool {
		return end.After(gap.From) && (gap.To.IsZero() || !created.After(gap.To))
	})
}
