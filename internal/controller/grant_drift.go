// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	"github.com/go-logr/logr"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// missing judges that something is gone which the operator did not take away. A revocation by a person ends the grant; so
// much at once that it looks like an accident is held. Nothing is given back meanwhile.
func (p *pass) missing(ctx context.Context, what string, note *access.Obstacle) {
	p.missed = true
	_, confirmed := p.g.Annotations[v1alpha1.ConfirmRemovalAnnotation]
	v := p.removals.Judge(p.g.UID, p.held(), confirmed, p.liveGrants(ctx), p.clock.Now())
	switch {
	case v.TakenAway:
		if p.facts.TakenAway == "" {
			p.facts.TakenAway = what
		}
	case v.Held:
		*note = access.Obstacle{Reason: v1alpha1.ReasonRemovalHeld, Message: fmt.Sprintf("%s is gone, and so is something of %d grants in all at once: that looks "+
			"like an accident, so the grant is not ended, and nothing is given back. If it was meant, confirm it: kubectl annotate pag %s %s=true",
			what, v.Alike, p.g.Name, v1alpha1.ConfirmRemovalAnnotation)}
		p.again = access.RecheckAfter
	default:
		*note = access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: what + " is gone; looking whether somebody took it away"}
		p.again = v.Again
	}
}

// held says whether an earlier look, perhaps by an earlier process, held the removal.
func (p *pass) held() bool {
	for _, side := range []string{v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced} {
		if c := meta.FindStatusCondition(p.stored.Status.Conditions, side); c != nil && c.Reason == v1alpha1.ReasonRemovalHeld {
			return true
		}
	}
	return false
}

// liveGrants counts the grants that have access.
func (p *pass) liveGrants(ctx context.Context) int {
	var list v1alpha1.ProdAccessGrantList
	if err := p.client.List(ctx, &list, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency); err != nil {
		// Then whatever goes at once is a large share, and is held.
		logr.FromContextOrDiscard(ctx).Error(err, "counting grants")
		return 0
	}
	live := 0
	for i := range list.Items {
		if access.StateOf(&list.Items[i]) == v1alpha1.StateGranted {
			live++
		}
	}
	return live
}

// lookAfterMemberships finds memberships that AWS does not show any more, as the periodic look at the groups has seen it.
func (p *pass) lookAfterMemberships(ctx context.Context) {
	if p.memberships == nil || access.StateOf(p.g) != v1alpha1.StateGranted {
		return
	}
	for _, m := range p.g.Status.AWS.Groups {
		if !m.Intended || !m.Observed {
			continue
		}
		if a := p.memberships.Absent(p.g.Status.AWS.UserID, string(m.Name)); a.Confirmed {
			p.missing(ctx, fmt.Sprintf("the membership in the IAM group %s", m.Name), &p.notes.Memberships)
		}
	}
}

// orphaned takes away the memberships of a grant that is gone although access may exist: somebody took its finalizer off.
// Its bindings go with it, by their owner.
func (r *GrantReconciler) orphaned(g *v1alpha1.ProdAccessGrant) {
	if r.memberships == nil {
		return
	}
	member := membership.Member{UserID: g.Status.AWS.UserID, Name: g.Spec.Subject.IAMUser}
	r.tasks.begin(g.UID, g.Name, taskOrphaned, r.tasks.removing, func(ctx context.Context) any {
		defer r.tasks.forget(g.UID)
		for _, m := range g.Status.AWS.Groups {
			if !access.Claims(g, string(m.Name)) {
				continue
			}
			if o := r.memberships.Settle(ctx, member, string(m.Name), true); o.Err != nil {
				r.expelLater(ctx, g, m.Name, o.Err)
			}
		}
		return nil
	})
}

// expelLater leaves to a revocation what could not be taken away at once.
func (r *GrantReconciler) expelLater(ctx context.Context, g *v1alpha1.ProdAccessGrant, group v1alpha1.IAMGroupName, why error) {
	v := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{GenerateName: "orphaned-"}, Spec: v1alpha1.AccessRevocationSpec{
		Membership: &v1alpha1.MembershipReference{Group: group, IAMUser: g.Spec.Subject.IAMUser}, RevokedBy: v1alpha1.Username(r.self),
		Reason:      status.Bounded(fmt.Sprintf("the grant %s went while it had access: %s", g.Name, why)),
		Credentials: v1alpha1.CredentialsKeep,
	}}
	if err := r.client.Create(context.WithoutCancel(ctx), v, client.FieldOwner(rbac.FieldOwner)); err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "a membership without a grant stays, and is reported as a stranger's", "grant", g.Name)
	}
}
