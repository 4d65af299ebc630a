// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"

	"github.com/go-logr/logr"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
)

// missing judges that something is gone which the operator did not take away. A revocation by a person ends the grant; so
// much at once that it looks like an accident is held. Nothing is given back meanwhile.
func (p *pass) missing(ctx context.Context, what string, note *access.Obstacle) {
	if p.verdict == nil {
		_, confirmed := p.g.Annotations[v1alpha1.ConfirmRemovalAnnotation]
		v := p.removals.Judge(p.g.UID, access.Held(p.stored), confirmed, p.liveGrants(ctx), p.clock.Now())
		p.verdict = &v
	}
	switch v := p.verdict; {
	case v.TakenAway:
		if p.facts.TakenAway == "" {
			p.facts.TakenAway = what
		}
	case v.Held:
		*note = access.Obstacle{Reason: v1alpha1.ReasonRemovalHeld, Message: fmt.Sprintf("%s is gone, and so is something of %d grants in all at once: that looks "+
			"like an accident, so the grant is not ended, and nothing is given back. If it was meant, confirm it: kubectl annotate %s %s %s=true",
			what, v.Alike, shortNames[access.KindOf(p.g)], p.g.Name, v1alpha1.ConfirmRemovalAnnotation)}
		p.again = access.RecheckAfter
	default:
		*note = access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: what + " is gone; looking whether somebody took it away"}
		p.again = v.Again
	}
}

// nouns are what people call the kinds.
var nouns = map[v1alpha1.TargetKind]string{v1alpha1.TargetGrant: "grant", v1alpha1.TargetBreakGlass: "emergency"}

// shortNames are how kubectl takes the kinds.
var shortNames = map[v1alpha1.TargetKind]string{v1alpha1.TargetGrant: "pag", v1alpha1.TargetBreakGlass: "bg"}

// liveGrants counts the grants that have access.
func (p *pass) liveGrants(ctx context.Context) int {
	grants, err := Grants{p.client}.List(ctx, client.DisableReadYourWritesConsistency)
	if err != nil {
		// Then whatever goes at once is a large share, and is held.
		logr.FromContextOrDiscard(ctx).Error(err, "counting grants")
		return 0
	}
	live := 0
	for i := range grants {
		if access.StateOf(&grants[i]) == v1alpha1.StateGranted {
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

// expelOrphans leaves the memberships of a grant that went while it had access, because somebody took its finalizer off, to
// revocations, which are there until they are carried out. Its bindings go with it, by their owner.
func (r *GrantReconciler) expelOrphans(ctx context.Context, key string) error {
	v, ok := r.orphans.Load(key)
	if !ok {
		return nil
	}
	g := v.(*v1alpha1.ProdAccessGrant) //nolint:forcetypeassert // nothing else is stored
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	for _, m := range g.Status.AWS.Groups {
		if !access.Claims(g, string(m.Name)) {
			continue
		}
		sum := sha256.Sum256([]byte(string(g.UID) + "\n" + string(m.Name)))
		revocation := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: "orphaned-" + hex.EncodeToString(sum[:10])}, Spec: v1alpha1.AccessRevocationSpec{
			Membership: &v1alpha1.MembershipReference{Group: m.Name, IAMUser: g.Spec.Subject.IAMUser}, RevokedBy: v1alpha1.Username(r.self),
			Reason:      fmt.Sprintf("the %s %s went while it had access: somebody took its finalizer off", nouns[access.KindOf(g)], g.Name),
			Credentials: v1alpha1.CredentialsKeep,
		}}
		if err := r.client.Create(ctx, revocation, client.FieldOwner(rbac.FieldOwner)); err != nil && !apierrors.IsAlreadyExists(err) {
			return fmt.Errorf("revoking the membership that %s has left behind: %w", g.Name, err)
		}
	}
	if access.Temporary(g) && r.memberships != nil {
		// What fails here, the next sweep finds.
		r.tasks.begin(g.UID, key, taskRemove, r.tasks.removing, func(ctx context.Context) any { return r.memberships.Delete(ctx, temporaryOf(g)) })
	}
	r.orphans.Delete(key)
	return nil
}
