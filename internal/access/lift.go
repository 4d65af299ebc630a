// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// keptFor is how long a revocation outlives the window that it is about.
const keptFor = time.Minute

// LiftFacts are what the judgement of a lift depends on.
type LiftFacts struct {
	// Revocation as it is stored.
	Revocation *v1alpha1.AccessRevocation
	// Guard is what is known about the admission guard.
	Guard Guard
	// Unlifted is when it was last seen without a lift that was still to be judged.
	Unlifted time.Time
	// Own is the name under which the lifter is the person whose access it is, "" if they are somebody else; Unknown says
	// why that could not be told, "" if it could. Neither is looked at before the guard has proven who lifted.
	Own, Unknown string
}

// JudgedLift is the answer that is stored and stands: there is no lift, it counted and cannot change any more, or this
// one did not count. Otherwise, ok is false, and it is to be judged.
func JudgedLift(r *v1alpha1.AccessRevocation) (a Answer, ok bool) {
	if r.Spec.Lift == nil {
		return Answer{Reason: v1alpha1.ReasonNotLifted, Message: "in force until somebody with the verb lift on accessrevocations lifts it"}, true
	}
	last := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionLifted)
	if last == nil {
		return Answer{}, false
	}
	counted := last.Status == metav1.ConditionTrue
	refused := last.ObservedGeneration == r.Generation && (last.Reason == v1alpha1.ReasonGuardMissing || last.Reason == v1alpha1.ReasonOwnRevocation)
	return Answer{Yes: counted, Reason: last.Reason, Message: last.Message}, counted || refused
}

// JudgeLift says whether a lift counts: only if admission has proven who lifted, and they are not the person whose access
// it is, under any name. What is not known is no lift.
func JudgeLift(f LiftFacts) Answer {
	by := f.Revocation.Spec.Lift.By
	switch {
	case !f.Guard.WholeSince(f.Unlifted):
		return Answer{Reason: v1alpha1.ReasonGuardMissing, Message: fmt.Sprintf("%s is said to have lifted it when the admission guard was not known to be whole, "+
			"so that is not proven: lift it again", by)}
	case f.Unknown != "":
		return Answer{Reason: v1alpha1.ReasonAWSUnavailable, Message: "whether the person lifted it themselves cannot be told: " + f.Unknown}
	case f.Own != "":
		return Answer{Reason: v1alpha1.ReasonOwnRevocation, Message: fmt.Sprintf("%s is %s, and nobody lifts their own revocation: somebody else has to lift it", by, f.Own)}
	}
	return Answer{Yes: true, Reason: v1alpha1.ReasonLifted, Message: fmt.Sprintf("lifted by %s: %s", by, f.Revocation.Spec.Lift.Reason)}
}

// RevocationEnds is when a revocation has nothing left to say, zero if that is not known.
func RevocationEnds(r *v1alpha1.AccessRevocation) time.Time {
	if r.Status.EndsAt == nil {
		return time.Time{}
	}
	return r.Status.EndsAt.Add(keptFor)
}
