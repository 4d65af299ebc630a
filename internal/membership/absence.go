// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"strings"
	"sync"
	"time"
)

// A membership that was seen and is gone was taken away by a person only when it is "absent in 3 reads over 2 minutes", and
// "nothing is added meanwhile" (design, section 7): reads of IAM may be minutes old.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot.html#troubleshoot_general_eventual-consistency
const (
	absentReads = 3
	absentFor   = 2 * time.Minute
	// separateReads is how far apart two reads are that count as two: closer ones may come from the same old copy.
	separateReads = 20 * time.Second
)

// Absence is what is known about a membership that should exist.
type Absence struct {
	// Suspected says that AWS did not show it when it was last read: nothing may be added.
	Suspected bool
	// Confirmed says that it was absent in enough reads for long enough: a person took it away.
	Confirmed bool
	// Again is how long to wait before the read that may confirm it, or bring that nearer; zero when Confirmed, and when
	// the read is due.
	Again time.Duration
}

type seat struct{ userID, group string }

// absences remembers since when memberships that should exist are not shown. It is in memory alone: after a restart it
// begins anew, which makes a removal known later, never earlier. Safe for concurrent use.
type absences struct {
	mu      sync.Mutex
	missing map[seat]*absence
	groups  map[string]groupRead // by name
}

// absence is a membership that was missing in every read since the first.
type absence struct {
	first, last time.Time // last is that of the last read that counted
	reads       int
	confirmed   bool
}

// groupRead is the last whole reading of a group.
type groupRead struct {
	at time.Time
	// present are the UserIds of whom the reading says that nothing is missing, or says nothing any more.
	present map[string]bool
}

func seatOf(userID, group string) seat { return seat{userID, strings.ToLower(group)} }

// clear forgets an absence: the membership was seen, or need not exist.
func (a *absences) clear(userID, group string) {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := seatOf(userID, group)
	delete(a.missing, s)
	if read, ok := a.groups[s.group]; ok {
		read.present[userID] = true
	}
}

// miss notes that a read showed no membership.
func (a *absences) miss(userID, group string, now time.Time) Absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := seatOf(userID, group)
	a.note(s, now)
	return a.missing[s].at(now)
}

func (a *absences) note(s seat, now time.Time) {
	if a.missing == nil {
		a.missing = map[seat]*absence{}
	}
	m := a.missing[s]
	if m == nil {
		a.missing[s] = &absence{first: now, last: now, reads: 1}
		return
	}
	if now.Sub(m.last) >= separateReads {
		m.last = now
		m.reads++
	}
	m.confirmed = m.confirmed || m.reads >= absentReads && now.Sub(m.first) >= absentFor
}

// sawGroup notes a whole reading of a group, with the UserIds of its members.
func (a *absences) sawGroup(group string, members map[string]bool, now time.Time) {
	a.mu.Lock()
	defer a.mu.Unlock()
	group = strings.ToLower(group)
	for s := range a.missing {
		switch {
		case s.group != group:
		case members[s.userID]:
			delete(a.missing, s)
		default:
			a.note(s, now)
		}
	}
	if a.groups == nil {
		a.groups = map[string]groupRead{}
	}
	a.groups[group] = groupRead{at: now, present: members}
}

// suspects says whether a membership is missed already.
func (a *absences) suspects(userID, group string) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.missing[seatOf(userID, group)] != nil
}

// missed are the UserIds of those who are missed in a group.
func (a *absences) missed(group string) []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	var missed []string
	for s := range a.missing {
		if s.group == strings.ToLower(group) {
			missed = append(missed, s.userID)
		}
	}
	return missed
}

// of is what is known about a membership that should exist; whom the last reading of the group lacks is missed from then on.
func (a *absences) of(userID, group string, now time.Time) Absence {
	a.mu.Lock()
	defer a.mu.Unlock()
	s := seatOf(userID, group)
	if read, ok := a.groups[s.group]; ok && a.missing[s] == nil && !read.present[userID] {
		a.note(s, read.at)
	}
	return a.missing[s].at(now)
}

func (m *absence) at(now time.Time) Absence {
	switch {
	case m == nil:
		return Absence{}
	case m.confirmed:
		return Absence{Suspected: true, Confirmed: true}
	}
	// The reads are spread over the time that an absence must last.
	due := m.first.Add(time.Duration(min(m.reads, absentReads-1)) * absentFor / (absentReads - 1))
	if earliest := m.last.Add(separateReads); m.reads < absentReads && due.Before(earliest) {
		due = earliest
	}
	return Absence{Suspected: true, Again: max(due.Sub(now), 0)}
}
