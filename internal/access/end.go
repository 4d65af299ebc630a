// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// over is what becomes of a grant that has ended: nothing, but that its absence is verified once more, and that a
// deleted object is kept until then.
func (c *decider) over() Decision {
	g := c.Grant
	d := c.keep(c.prior, "")
	if !c.removedAlready() {
		d.Effect = EffectRemove
		return d
	}
	verifyAt := c.now
	if held(&d) && g.Status.EndedAt != nil {
		verifyAt = g.Status.EndedAt.Add(verifyAfter)
	}
	switch {
	case c.now.Before(verifyAt):
		d.WakeAt = verifyAt
	case held(&d) && !c.Done && c.now.Before(verifyAt.Add(window(&d))):
		d.Effect = EffectVerify
	case g.DeletionTimestamp != nil:
		d.Effect = EffectRelease
	}
	return d
}

// window is for how long the absence is verified, as long as that does not succeed.
func window(d *Decision) time.Duration {
	if d.AWS.FencedUntil != nil {
		return fenceWindow
	}
	return verifyWindow
}

// held says whether there was anything to take away; a fence is, too, because nobody else removes it.
func held(d *Decision) bool {
	return len(d.AWS.Groups)+len(d.Kubernetes.Bindings) > 0 || d.AWS.FencedUntil != nil
}

// ended carries over what is stored, but for what was gone before the end came: it is not looked for once more, because
// what is there now is somebody else's (invariant I9).
func (c *decider) ended(outcome, cause string) Decision {
	d := c.keep(outcome, cause)
	if c.prior == v1alpha1.StateRevoking || c.Done {
		return d
	}
	d.AWS.Groups = slices.DeleteFunc(d.AWS.Groups, func(m v1alpha1.GroupMembership) bool {
		return !possible(c.prior, m.Intended, m.Observed)
	})
	d.Kubernetes.Bindings = slices.DeleteFunc(d.Kubernetes.Bindings, func(b v1alpha1.GrantBinding) bool {
		return !possible(c.prior, b.Intended, b.Observed)
	})
	return d
}

// end takes everything away for good.
func (c *decider) end(outcome, cause string) Decision {
	d := c.ended(outcome, cause)
	c.withdraw(&d)
	d.Remember = cause == v1alpha1.ReasonRemovedByOthers && c.memorable()
	d.Message = c.endMessage(cause)
	switch {
	case !c.removedAlready():
		d.State, d.Effect = v1alpha1.StateRevoking, EffectRemove
		// A deadline stays passed and a deletion stays asked for: whoever comes after a crash decides the same. Every
		// other cause can go away again, and must not take the decision with it.
		d.Record = cause != v1alpha1.ReasonDeadline && cause != v1alpha1.ReasonDeleted && c.prior != v1alpha1.StateRevoking
	case c.Grant.DeletionTimestamp != nil && !held(&d):
		d.Effect = EffectRelease
	}
	return d
}

// decidedEnd reads what an end that is under way was decided to be.
func (c *decider) decidedEnd() (state, cause string) {
	if r := meta.FindStatusCondition(c.Grant.Status.Conditions, v1alpha1.ConditionReconciling); r != nil {
		cause = r.Reason
	}
	if cause == v1alpha1.ReasonDeadline {
		return v1alpha1.StateExpired, cause
	}
	return v1alpha1.StateRevoked, cause
}

func (c *decider) endMessage(cause string) string {
	g := c.Grant
	switch cause {
	case v1alpha1.ReasonRevoked:
		if r := c.revocation(); r != nil {
			return fmt.Sprintf("revoked by %s (%s): %s", r.Spec.RevokedBy, r.Name, r.Spec.Reason)
		}
	case v1alpha1.ReasonDeadline:
		if Emergency(g) && !c.deadline.After(g.CreationTimestamp.Time) {
			return fmt.Sprintf("an emergency for the same subject, role and incident ended at %s, and opening it once more does not restart the clock: if access is "+
				"needed again, that is another incident", stamp(c.deadline))
		}
		if g.Status.ActivatedAt == nil {
			return fmt.Sprintf("the window ended at %s without access having been granted", stamp(c.deadline))
		}
		return fmt.Sprintf("access ended at the deadline, %s", stamp(c.deadline))
	case v1alpha1.ReasonDeleted:
		return "the grant was deleted"
	case v1alpha1.ReasonRoleChanged:
		return fmt.Sprintf("the role %s no longer names anything that this grant holds: create another grant if access is still needed", g.Spec.Role)
	case v1alpha1.ReasonRemovedByOthers:
		if c.TakenAway != "" {
			return fmt.Sprintf("somebody took %s away, so the whole grant ends: create another grant if access is still needed", c.TakenAway)
		}
		if c.Obstacle.Message != "" {
			return c.Obstacle.Message
		}
		if c.prior != v1alpha1.StateRevoking {
			return "somebody took a part of it away, so the whole grant ends: create another grant if access is still needed"
		}
	}
	if found := c.foundMessage(); found != "" {
		return found
	}
	if a := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); a != nil {
		return a.Message
	}
	return "the grant was revoked"
}

// foundMessage says what an emergency ends for that turned out while it lasted, "" if nothing did.
func (c *decider) foundMessage() string {
	if c.found.Message == "" || Temporary(c.Grant) {
		return c.found.Message
	}
	return "MFA was unverified when Kubernetes was opened, and now AWS answers: " + c.found.Message
}
