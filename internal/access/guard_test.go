// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// What was created in a gap is unproven, to the nanosecond: a creation time is the second in which it happened.
func TestI7GuardProves(t *testing.T) {
	at := func(d time.Duration) time.Time { return begin.Add(d) }
	const ms = time.Millisecond
	since := access.Guard{Since: begin}
	gap := func(from, to time.Duration) access.Guard {
		return access.Guard{Since: begin, Gaps: []access.Gap{{at(from), at(to)}}}
	}
	open := access.Guard{Since: begin, Broken: "gone", Gaps: []access.Gap{{From: at(10 * time.Second)}}}
	two := access.Guard{Since: begin, Gaps: []access.Gap{{at(10 * time.Second), at(20 * time.Second)}, {at(30 * time.Second), at(40 * time.Second)}}}
	tests := map[string]struct {
		guard   access.Guard
		created time.Duration
		proven  bool
		whole   bool
	}{
		"never whole":                          {access.Guard{}, time.Hour, false, false},
		"never whole, and broken":              {access.Guard{Broken: "not verified yet"}, time.Hour, false, false},
		"a nanosecond before the first look":   {since, -1, false, false},
		"the second of a later look":           {access.Guard{Since: at(ms)}, 0, false, false},
		"at the first look":                    {since, 0, true, true},
		"long after":                           {since, 1000 * time.Hour, true, true},
		"broken now, and proven then":          {access.Guard{Since: begin, Broken: "gone"}, time.Second, true, false},
		"the second before a gap":              {gap(10*time.Second, 20*time.Second), 9 * time.Second, true, false},
		"a second in which a gap begins":       {gap(10*time.Second+ms, 20*time.Second), 10 * time.Second, false, false},
		"the nanosecond in which it begins":    {gap(10*time.Second+1, 20*time.Second), 10 * time.Second, false, false},
		"as it begins":                         {gap(10*time.Second, 20*time.Second), 10 * time.Second, false, false},
		"within":                               {gap(10*time.Second, 20*time.Second), 15 * time.Second, false, false},
		"as it ends":                           {gap(10*time.Second, 20*time.Second), 20 * time.Second, false, false},
		"the second in which it ends":          {gap(10*time.Second, 20*time.Second+ms), 20 * time.Second, false, false},
		"the second after it has ended":        {gap(10*time.Second, 20*time.Second), 21 * time.Second, true, true},
		"the second after, with a fraction":    {gap(10*time.Second, 20*time.Second+999*ms), 21 * time.Second, true, true},
		"a gap within one second":              {gap(10*time.Second+ms, 10*time.Second+2*ms), 10 * time.Second, false, false},
		"the second after such a gap":          {gap(10*time.Second+ms, 10*time.Second+2*ms), 11 * time.Second, true, true},
		"before a gap that lasts":              {open, 9 * time.Second, true, false},
		"in a gap that lasts":                  {open, 10 * time.Second, false, false},
		"long into a gap that lasts":           {open, time.Hour, false, false},
		"between two gaps":                     {two, 25 * time.Second, true, false},
		"in the first of two":                  {two, 15 * time.Second, false, false},
		"in the second of two":                 {two, 35 * time.Second, false, false},
		"after both":                           {two, 41 * time.Second, true, true},
		"before the gap that nobody has ended": {access.Guard{Since: begin, Gaps: []access.Gap{{From: at(10 * time.Second)}}}, 9 * time.Second, true, false},
	}
	for name, test := range tests {
		if got := test.guard.Proves(at(test.created)); got != test.proven {
			t.Errorf("%s: proves %v", name, got)
		}
		if got := test.guard.WholeSince(at(test.created)); got != test.whole {
			t.Errorf("%s: whole since then %v", name, got)
		}
	}
}

// What somebody said while nobody watched does not count: each row is a second of a word's, and the twins are the seconds
// around the gap.
func TestI7WordsInAGap(t *testing.T) {
	gap := access.Gap{From: begin.Add(10 * time.Second), To: begin.Add(20 * time.Second)}
	for second, proven := range map[int]bool{9: true, 10: false, 15: false, 20: false, 21: true} {
		for _, decision := range []v1alpha1.ApprovalDecision{v1alpha1.DecisionApprove, v1alpha1.DecisionReject} {
			s := newScene(t)
			s.Guard.Gaps = []access.Gap{gap}
			said := s.approve("erin")
			said.Spec.Decision = decision
			said.CreationTimestamp = metav1.NewTime(begin.Add(time.Duration(second) * time.Second))
			s.Role.Spec.Approval.Required = 3
			state := v1alpha1.StatePendingApproval
			switch {
			case proven && decision == v1alpha1.DecisionApprove:
				state = v1alpha1.StateGranting
			case proven:
				state = v1alpha1.StateRejected
			}
			d := s.decide()
			want{state: state}.check(t, d)
			if !proven {
				want{message: "a2: it was made at " + said.CreationTimestamp.UTC().Format(time.RFC3339) + ", when the admission guard was not known to be whole"}.check(t, d)
			}
		}
	}
	// A review from Git was given when the object was created.
	s := newScene(t)
	s.Approvals, s.Grant.Spec.ReviewedBy = nil, []v1alpha1.Username{"bob", "carol"}
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	s.Guard.Gaps = []access.Gap{{From: begin, To: begin}}
	d := s.decide()
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonUnproven}.check(t, d)
	if len(d.Approvals) > 0 {
		t.Errorf("counted: %v", d.Approvals)
	}
}

// What the API server says about a user with these groups is what counts.
func TestI7RightToApprove(t *testing.T) {
	s := newScene(t)
	s.Approvals[1].Spec.ApproverGroups = []string{"approvers"}
	s.MayApprove = func(user string, groups []string) bool {
		return user == "bob" && len(groups) == 0 || user == "carol" && len(groups) == 1 && groups[0] == "approvers"
	}
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	s.Approvals[1].Spec.ApproverGroups = nil
	want{state: v1alpha1.StatePendingApproval, message: "a1: carol does not hold the verb approve"}.check(t, s.decide())
	// A review from Git comes without groups: nobody has proven any.
	s.Approvals, s.Grant.Spec.ReviewedBy = nil, []v1alpha1.Username{"bob", "carol"}
	want{state: v1alpha1.StatePendingApproval, message: "the review of carol: carol does not hold the verb approve"}.check(t, s.decide())
	s.MayApprove = func(string, []string) bool { return true }
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	s.Grant.Spec.ReviewedBy[1] = "system:serviceaccount:ci:bot"
	want{state: v1alpha1.StatePendingApproval, message: "system:serviceaccount:ci:bot is not a person"}.check(t, s.decide())
	s.Grant.Spec.ReviewedBy[1] = "carol"
	s.revoke("carol")
	want{state: v1alpha1.StatePendingApproval, message: "the review of carol: carol is revoked (r0)"}.check(t, s.decide())
	s.Role = nil
	if d := s.decide(); len(d.Approvals) > 0 {
		t.Errorf("counted without a role: %v", d.Approvals)
	}
}
