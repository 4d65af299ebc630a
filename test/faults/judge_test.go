// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// grace is for how long somebody may be a member after the last deadline once no fault strikes any more: the longest wait
// between two attempts to end something, and as long again for the attempt.
const grace = 2 * maxEndingBackoff

var fenceDate = regexp.MustCompile(`"DateGreaterThanEquals":\{"aws:CurrentTime":"([^"]+)"\}`)

// fences are from when on AWS denies a person everything, by what the documents say.
func (w *world) fences(user string) []time.Time {
	var all []time.Time
	for name, document := range w.account.UserPolicies(user) {
		match := fenceDate.FindStringSubmatch(document)
		if !strings.HasPrefix(name, "prod-access-fence-"+cluster+"-") || match == nil || !strings.Contains(document, `"Effect":"Deny","Action":"*","Resource":"*"`) {
			w.fail("%s has the policy %s: %s", user, name, document)
			continue
		}
		until, err := time.Parse(time.RFC3339, match[1])
		if err != nil {
			w.fail("the fence of %s: %v", user, err)
		}
		all = append(all, until)
	}
	return all
}

// current is the name that a person has now.
func (w *world) current(user string) string {
	if w.account.UserID(user) == "" {
		return user + "-renamed"
	}
	return user
}

func (k *kept) names(group string) bool {
	return slices.Contains(k.role.Groups(), v1alpha1.IAMGroupName(group))
}

// called says whether a grant calls for access now, by what people did.
func (w *world) called(k *kept, now time.Time) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	return !k.ended && !now.Before(k.from) && now.Before(k.until)
}

// judge holds the truth of the account about one person against what people did.
func (w *world) judge(user string) {
	name, now := w.current(user), w.clock.Now()
	fences := w.fences(name)
	denied := slices.ContainsFunc(fences, func(until time.Time) bool { return !w.local.Now().Before(until) })
	var last time.Time
	early := false
	for _, k := range w.of(user) {
		if !now.Before(k.from) && k.until.After(last) {
			last = k.until
		}
		w.mu.Lock()
		early = early || k.ended
		w.mu.Unlock()
	}
	for _, until := range fences {
		if until.After(last) {
			w.fail("I2: a fence of %s stands until %s, after the last deadline %s", user, until.Format(time.TimeOnly), last.Format(time.TimeOnly))
		}
	}
	for _, groups := range groupsOf {
		for _, group := range groups {
			if !w.account.IsMember(string(group), name) {
				continue
			}
			var until time.Time
			for _, k := range w.of(user) {
				if k.names(string(group)) && !now.Before(k.from) && k.until.After(until) {
					until = k.until
				}
			}
			switch late := now.Sub(until); {
			case len(fences) == 0 && !early && !w.unfenced:
				w.fail("I2: %s is in %s, and no fence stands", user, group)
			case until.IsZero():
				w.fail("I1: %s is in %s before any window has begun", user, group)
			case late < 0:
			case !denied && !early && !w.unfenced && !w.skewed:
				w.fail("I2: %s has what %s gives %s after the last deadline: no fence denies it", user, group, late)
			case !w.struck && late > grace && now.Sub(w.ceased) > grace:
				w.fail("I2: %s is in %s %s after the last deadline, and no fault strikes since %s", user, group, late, w.ceased.Format(time.TimeOnly))
			}
		}
	}
}

// judgeEffect holds a write of the operator against what people did. It runs before the answer is given.
func (w *world) judgeEffect(c fake.Call) {
	user, group, now := c.Params.Get("UserName"), c.Params.Get("GroupName"), w.clock.Now()
	user = strings.TrimSuffix(user, "-renamed")
	w.note("%s %s %s%s", c.Op, user, group, c.Params.Get("PolicyName"))
	switch c.Op {
	case "AddUserToGroup":
		w.mu.Lock()
		removed := w.removed[seat{user, group}]
		w.mu.Unlock()
		if removed {
			w.fail("I5: %s is added to %s again, after the administrator took them out", user, group)
		}
		if !slices.ContainsFunc(w.of(user), func(k *kept) bool { return k.names(group) && w.called(k, now) }) {
			w.fail("I1, I3: %s is added to %s, and no approved window is open", user, group)
		}
	case "RemoveUserFromGroup":
		for _, k := range w.of(user) {
			g := k.grant()
			if g == nil || !k.names(group) || !w.called(k, now) {
				continue
			}
			if state := access.StateOf(g); state == v1alpha1.StateGranted || state == v1alpha1.StateGranting {
				w.fail("I4: %s is taken out of %s, and %s, which is %s, calls for it", user, group, k.name, state)
			}
		}
	}
	w.judge(user)
}

// judgeWrite holds a status that is about to be stored against the one before.
func (w *world) judgeWrite(before, after *v1alpha1.ProdAccessGrant) {
	was, is := access.StateOf(before), access.StateOf(after)
	if access.Terminal(was) && was != is {
		w.fail("I3: %s was %s and becomes %s", after.Name, was, is)
	}
	if b, a := before.Status.ExpiresAt, after.Status.ExpiresAt; a == nil || b != nil && a.After(b.Time) || a.After(after.Spec.ExpiresAt.Time) {
		w.fail("I2: the deadline of %s moves from %v to %v", after.Name, b, a)
	}
	if is == v1alpha1.StateGranted && was != is {
		for _, m := range after.Status.AWS.Groups {
			if m.Intended && !w.account.IsMember(string(m.Name), w.current(after.Spec.Subject.IAMUser)) {
				w.fail("%s is said to be granted, and %s is not in %s", after.Name, after.Spec.Subject.IAMUser, m.Name)
			}
		}
	}
	if access.Terminal(is) && was != is {
		w.judgeEnd(after)
	}
}

// judgeEnd checks that what is said to be gone is gone.
func (w *world) judgeEnd(g *v1alpha1.ProdAccessGrant) {
	user := g.Spec.Subject.IAMUser
	for _, m := range g.Status.AWS.Groups {
		if !w.account.IsMember(string(m.Name), w.current(user)) {
			continue
		}
		if !slices.ContainsFunc(w.of(user), func(k *kept) bool {
			other := k.grant()
			return other != nil && other.UID != g.UID && k.names(string(m.Name)) && !access.Terminal(access.StateOf(other))
		}) {
			w.fail("%s is said to have ended, and %s is in %s", g.Name, user, m.Name)
		}
	}
}

// unsettled says what is not as people want it now, "" if everything is.
func (w *world) unsettled() string {
	now := w.clock.Now()
	members := map[string][]string{}
	for _, groups := range groupsOf {
		for _, group := range groups {
			members[string(group)] = w.account.Members(string(group))
		}
	}
	seen := map[string]bool{}
	for _, k := range w.keeps {
		g, live := k.grant(), w.called(k, now)
		state := ""
		if g != nil {
			state = access.StateOf(g)
		}
		switch over := access.Terminal(state) || g == nil; {
		case k.ended && state == v1alpha1.StateSuspended && now.Before(k.until):
			// A person who was renamed: the grant waits for them until its end, and so does the fence.
			seen[k.user()] = true
		case live && state != v1alpha1.StateGranted:
			return fmt.Sprintf("%s is %s, not granted: %s", k.name, state, cause(g))
		case !live && !over && !now.Before(k.from):
			return fmt.Sprintf("%s is %s, not over: %s", k.name, state, cause(g))
		}
		if seen[k.user()] {
			continue
		}
		seen[k.user()] = true
		if why := w.unsettledPerson(k.user(), members, now); why != "" {
			return why
		}
	}
	for user, done := range w.credentials {
		if !done {
			return "the credentials of " + user + " are not gone"
		}
	}
	return ""
}

func (w *world) unsettledPerson(user string, members map[string][]string, now time.Time) string {
	name := w.current(user)
	wanted := map[string]bool{}
	var last time.Time
	for _, k := range w.of(user) {
		if !w.called(k, now) {
			continue
		}
		for _, group := range k.role.Groups() {
			wanted[string(group)] = true
		}
		if k.until.After(last) {
			last = k.until
		}
	}
	for group, names := range members {
		if is := slices.Contains(names, name); is != wanted[group] {
			return fmt.Sprintf("%s is in %s: %t, want %t", user, group, is, wanted[group])
		}
	}
	switch fences := w.fences(name); {
	case slices.ContainsFunc(fences, func(until time.Time) bool { return until.Before(last) }):
		return fmt.Sprintf("%s has access until %v, and the fences %v", user, last, fences)
	case last.IsZero() && len(fences) > 0:
		return fmt.Sprintf("%s has no access, and the fences %v", user, fences)
	case !last.IsZero() && !w.unfenced && (len(fences) != 1 || !fences[0].Equal(last)):
		return fmt.Sprintf("%s has the fences %v, want %v alone", user, fences, last)
	}
	return ""
}
