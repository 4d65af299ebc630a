// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

func lifted() *v1alpha1.AccessRevocation {
	return &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Generation: 2}, Spec: v1alpha1.AccessRevocationSpec{
		Person: "alice", Lift: &v1alpha1.Lift{By: "frank", Reason: "the laptop was found"},
	}}
}

// Each row spoils what the twin has: a guard that was whole all the time, and a lifter who is somebody else.
func TestI5LiftCountsOnlyIf(t *testing.T) {
	whole := access.Guard{Since: begin}
	gap := func(from, to time.Duration) access.Guard {
		return access.Guard{Since: begin, Gaps: []access.Gap{{From: moment.Add(from), To: moment.Add(to)}}}
	}
	for name, test := range map[string]struct {
		facts           access.LiftFacts
		reason, message string
	}{
		"the twin":                {access.LiftFacts{Guard: whole}, v1alpha1.ReasonLifted, "lifted by frank: the laptop was found"},
		"the guard is broken":     {access.LiftFacts{Guard: access.Guard{Since: begin, Broken: "a policy is gone"}}, v1alpha1.ReasonGuardMissing, "frank is said to have lifted it"},
		"never whole":             {access.LiftFacts{}, v1alpha1.ReasonGuardMissing, "lift it again"},
		"a gap since":             {access.LiftFacts{Guard: gap(time.Second, 2*time.Second)}, v1alpha1.ReasonGuardMissing, "lift it again"},
		"a gap before":            {access.LiftFacts{Guard: gap(-2*time.Second, -time.Second)}, v1alpha1.ReasonLifted, "lifted by frank"},
		"the person":              {access.LiftFacts{Guard: whole, Own: "al"}, v1alpha1.ReasonOwnRevocation, "frank is al, and nobody lifts their own revocation"},
		"nobody can tell":         {access.LiftFacts{Guard: whole, Unknown: "timeout"}, v1alpha1.ReasonAWSUnavailable, "cannot be told: timeout"},
		"not proven, and unknown": {access.LiftFacts{Unknown: "timeout"}, v1alpha1.ReasonGuardMissing, "lift it again"},
	} {
		t.Run(name, func(t *testing.T) {
			test.facts.Revocation, test.facts.Unlifted = lifted(), moment
			a := access.JudgeLift(test.facts)
			if a.Reason != test.reason || a.Yes != (test.reason == v1alpha1.ReasonLifted) || !strings.Contains(a.Message, test.message) {
				t.Errorf("%+v, want %s: %s", a, test.reason, test.message)
			}
		})
	}
}

// A judgement stands for the lift that it was about; one that was in favour stands whatever else becomes of the object.
func TestJudgedLift(t *testing.T) {
	judged := func(status metav1.ConditionStatus, reason string, generation int64) *v1alpha1.AccessRevocation {
		r := lifted()
		r.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLifted, Status: status, Reason: reason, ObservedGeneration: generation}}
		return r
	}
	none := lifted()
	none.Spec.Lift = nil
	for name, test := range map[string]struct {
		r           *v1alpha1.AccessRevocation
		yes, stands bool
	}{
		"no lift":                    {none, false, true},
		"never judged":               {lifted(), false, false},
		"before there was one":       {judged(metav1.ConditionFalse, v1alpha1.ReasonNotLifted, 1), false, false},
		"counted":                    {judged(metav1.ConditionTrue, v1alpha1.ReasonLifted, 2), true, true},
		"counted, and then deleted":  {judged(metav1.ConditionTrue, v1alpha1.ReasonLifted, 1), true, true},
		"their own":                  {judged(metav1.ConditionFalse, v1alpha1.ReasonOwnRevocation, 2), false, true},
		"their own, and then anew":   {judged(metav1.ConditionFalse, v1alpha1.ReasonOwnRevocation, 1), false, false},
		"unproven":                   {judged(metav1.ConditionFalse, v1alpha1.ReasonGuardMissing, 2), false, true},
		"nobody could tell till now": {judged(metav1.ConditionUnknown, v1alpha1.ReasonAWSUnavailable, 2), false, false},
	} {
		if a, stands := access.JudgedLift(test.r); stands != test.stands || stands && a.Yes != test.yes {
			t.Errorf("%s: stands %v, %+v", name, stands, a)
		}
	}
}
