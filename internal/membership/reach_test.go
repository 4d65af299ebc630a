// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// silence has AWS answer nothing at all, until it is told otherwise.
func (w *world) silence() { w.Inject(fake.AnyOp, fake.ConnectionReset) }

// ask identifies alice, and tells since when AWS is unreachable, in seconds since the start; -1 if it is not.
func (w *world) ask(t *testing.T) int {
	t.Helper()
	p := w.engine.Identify(t.Context(), "alice", nil)
	if (p.Unavailable == "") != p.Found || p.Unavailable == "" && !p.UnreachableSince.IsZero() {
		t.Fatalf("alice is %+v", p)
	}
	if p.UnreachableSince.IsZero() {
		return -1
	}
	return int(p.UnreachableSince.Sub(start).Seconds())
}

// Since when AWS gives no answer is known from one question to the next. Any answer ends it, be it a refusal; and so does a minute
// in which nobody asked.
func TestI10UnreachableSince(t *testing.T) {
	const never = -1
	type look struct {
		after  int         // seconds after the start
		fault  *fake.Fault // nil: none
		answer int
	}
	reset, throttled, denied, broken, cut := &fake.ConnectionReset, &fake.Throttling, &fake.AccessDenied, &fake.BadGateway, &fake.Truncated
	for name, looks := range map[string][]look{
		"at once":                {{0, reset, 0}},
		"for a while":            {{0, reset, 0}, {10, reset, 0}, {29, reset, 0}, {31, reset, 0}, {80, reset, 0}, {140, reset, 0}},
		"after it was well":      {{0, nil, never}, {10, reset, 10}, {20, reset, 10}},
		"well in between":        {{0, reset, 0}, {10, nil, never}, {20, reset, 20}},
		"throttled in between":   {{0, reset, 0}, {29, throttled, never}, {31, reset, 31}, {60, reset, 31}},
		"denied in between":      {{0, reset, 0}, {29, denied, never}, {31, reset, 31}},
		"a gateway in between":   {{0, reset, 0}, {29, broken, never}, {31, reset, 31}},
		"cut short in between":   {{0, reset, 0}, {29, cut, never}, {31, reset, 31}},
		"throttled all the time": {{0, throttled, never}, {60, throttled, never}},
		"denied all the time":    {{0, denied, never}, {60, denied, never}},
		"cut short all the time": {{0, cut, never}, {60, cut, never}},
		"a minute of silence":    {{0, reset, 0}, {60, reset, 0}},
		"more than a minute":     {{0, reset, 0}, {61, reset, 61}, {70, reset, 61}},
		"the clock set back":     {{100, reset, 100}, {40, reset, 100}, {90, reset, 100}},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			for i, l := range looks {
				w.clock.SetTime(start.Add(time.Duration(l.after) * time.Second))
				w.ClearFaults()
				if l.fault != nil {
					w.Inject(fake.AnyOp, *l.fault)
				}
				if got := w.ask(t); got != l.answer {
					t.Errorf("look %d, after %d s: unreachable since %d, want %d", i, l.after, got, l.answer)
				}
			}
		})
	}
}

// Nobody asks about nobody: an empty name, or one that AWS refuses to look for, says nothing of AWS.
func TestNobodyIsNotUnreachable(t *testing.T) {
	w := newWorld(t)
	w.silence()
	for _, name := range []string{"", "a b", strings.Repeat("a", 65)} {
		if p := w.engine.Identify(t.Context(), name, nil); p.Found || p.Unavailable != "" || !p.UnreachableSince.IsZero() {
			t.Errorf("%q is %+v", name, p)
		}
	}
	if since := w.ask(t); since != 0 {
		t.Errorf("unreachable since %d", since)
	}
}

// Many ask at once: none hears of a time before the last answer that all had, and all hear of an answer.
func TestReachTogether(t *testing.T) {
	w := newWorld(t)
	together := func() []*access.Person {
		people := make([]*access.Person, 8)
		var asking sync.WaitGroup
		for i := range people {
			asking.Go(func() { people[i] = w.engine.Identify(t.Context(), "alice", nil) })
		}
		asking.Wait()
		return people
	}
	for round, silent := range []bool{true, true, false, true} {
		w.clock.SetTime(start.Add(time.Duration(round*10) * time.Second))
		w.ClearFaults()
		if silent {
			w.silence()
		}
		want := map[int]time.Time{0: start, 1: start, 3: start.Add(30 * time.Second)}[round]
		for i, p := range together() {
			if !p.UnreachableSince.Equal(want) || p.Found == silent {
				t.Errorf("round %d, %d: found %t, unreachable since %s, want %s", round, i, p.Found, p.UnreachableSince, want)
			}
		}
	}
}

// A question that is answered only in part is not answered.
func TestPartlyAnswered(t *testing.T) {
	for _, op := range []string{"GetUser", "ListMFADevices", "ListGroupsForUser", "GetAccountAuthorizationDetails"} {
		t.Run(op, func(t *testing.T) {
			w := newWorld(t)
			w.Inject(op, fake.ConnectionReset)
			p := w.engine.Identify(t.Context(), "alice", nil)
			if p.Found || !strings.Contains(p.Unavailable, fmt.Sprintf("AWS IAM %s cannot be reached", op)) {
				t.Errorf("alice is %+v", p)
			}
			w.ClearFaults()
			asked := 0
			w.onCall = func(url.Values) { asked++ }
			if w.ask(t) != -1 || asked == 0 {
				t.Errorf("asked %d times", asked)
			}
		})
	}
}
