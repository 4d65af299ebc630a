// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package access decides. It is pure and total: given an object, its role, its approvals, what is known about the
// person and the time, it says what the state is, what has to be done next and when to look again. It performs nothing.
package access

import (
	"crypto/sha256"
	"encoding/hex"
	"iter"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// StateOf reads the state that a grant was last seen in, "" for a new one.
func StateOf(g *v1alpha1.ProdAccessGrant) string {
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); c != nil {
		return c.Reason
	}
	return ""
}

// Terminal says whether a state is final.
func Terminal(state string) bool {
	return state == v1alpha1.StateExpired || state == v1alpha1.StateRevoked || state == v1alpha1.StateRejected
}

// Deadline is the instant after which the grant gives nothing: what was stored, or what was asked for if that is
// earlier or nothing is stored yet.
func Deadline(g *v1alpha1.ProdAccessGrant) time.Time {
	d := g.Spec.ExpiresAt.Time
	if s := g.Status.ExpiresAt; s != nil && s.Time.Before(d) {
		return s.Time
	}
	return d
}

// Held says whether something of the grant is gone, and that was too much at once to be taken for a revocation.
func Held(g *v1alpha1.ProdAccessGrant) bool { return sideReason(g, v1alpha1.ReasonRemovalHeld) != "" }

// sideReason is the first of these reasons that either side of the grant's access is stored with, "" if neither is.
func sideReason(g *v1alpha1.ProdAccessGrant, reasons ...string) string {
	for _, side := range []string{v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced} {
		if c := meta.FindStatusCondition(g.Status.Conditions, side); c != nil && slices.Contains(reasons, c.Reason) {
			return c.Reason
		}
	}
	return ""
}

// MayExist says whether access may exist on the account of the grant, whatever its state says.
func MayExist(g *v1alpha1.ProdAccessGrant) bool {
	return mayExist(StateOf(g), &g.Status.AWS, &g.Status.Kubernetes)
}

// Covers says whether the grant is a reason for its person to be in the group now: the union of these answers over all
// grants is what the membership is reconciled against (invariant I4).
func Covers(g *v1alpha1.ProdAccessGrant, group string, now time.Time) bool {
	state := StateOf(g)
	if state != v1alpha1.StateGranting && state != v1alpha1.StateGranted || g.DeletionTimestamp != nil || !now.Before(Deadline(g)) {
		return false
	}
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool {
		return sameName(string(m.Name), group) && m.Intended
	})
}

// FencedUntil is the last deadline of a person's live grants with memberships: from then on AWS is to deny them everything
// by itself. Zero if there is none.
func FencedUntil(grants []v1alpha1.ProdAccessGrant, now time.Time) time.Time {
	var last time.Time
	for i := range grants {
		g := &grants[i]
		for _, m := range g.Status.AWS.Groups {
			if until := Deadline(g); Covers(g, string(m.Name), now) && until.After(last) {
				last = until
			}
		}
	}
	return last
}

// Unfenced says whether the fence of a live grant does not stand, as a look at the account has shown it, or something stood in
// its way that may have been mended since.
func Unfenced(g *v1alpha1.ProdAccessGrant, stands func(userID string, until time.Time) bool) bool {
	fence, until := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionFenced), g.Status.AWS.FencedUntil
	switch {
	case fence == nil:
		return false
	case fence.Reason == v1alpha1.ReasonFenceForbidden || fence.Reason == v1alpha1.ReasonFenceTooLarge:
		return true
	}
	return fence.Status == metav1.ConditionTrue && until != nil && !stands(g.Status.AWS.UserID, until.Time)
}

// Claims says whether a membership in the group may have been made on the account of the grant: it is ours, then.
func Claims(g *v1alpha1.ProdAccessGrant, group string) bool {
	state := StateOf(g)
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool {
		return sameName(string(m.Name), group) && possible(state, m.Intended, m.Observed)
	})
}

// BindingName is the name of every binding of a grant: readable, bounded, and different for each object, so that a
// re-created grant never meets the bindings of the one before it.
func BindingName(g *v1alpha1.ProdAccessGrant) string {
	const readable = 40
	name := g.Name
	if len(name) > readable {
		name = name[:readable]
	}
	sum := sha256.Sum256([]byte(g.UID))
	return "prod-access-" + name + "-" + hex.EncodeToString(sum[:5])
}

// parts are the intention and the observation of each membership and binding that a grant calls for.
func parts(aws *v1alpha1.GrantAWSStatus, kube *v1alpha1.GrantKubernetesStatus) iter.Seq2[*bool, *bool] {
	return func(yield func(intended, observed *bool) bool) {
		for i := range aws.Groups {
			if m := &aws.Groups[i]; !yield(&m.Intended, &m.Observed) {
				return
			}
		}
		for i := range kube.Bindings {
			if b := &kube.Bindings[i]; !yield(&b.Intended, &b.Observed) {
				return
			}
		}
	}
}

// possible says whether a part may exist. What is intended may, because the intention is stored before the part is made;
// but while a grant is suspended its intentions stand only so that it can come back.
func possible(state string, intended, observed bool) bool {
	return observed || intended && state != v1alpha1.StateSuspended
}

func mayExist(state string, aws *v1alpha1.GrantAWSStatus, kube *v1alpha1.GrantKubernetesStatus) bool {
	for intended, observed := range parts(aws, kube) {
		if possible(state, *intended, *observed) {
			return true
		}
	}
	return false
}
