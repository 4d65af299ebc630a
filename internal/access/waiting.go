// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// waiting decides about a grant that has not been active yet: it may be writing, or taking back what it began to write.
func (c *decider) waiting() Decision {
	if c.prior == v1alpha1.StateGranting && (c.TakenAway != "" || c.Obstacle.Reason == v1alpha1.ReasonRemovedByOthers) {
		// A revocation wins before activation as well, and what was taken away is not given back (invariant I5).
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRemovedByOthers)
	}
	if Emergency(c.Grant) {
		return c.settle(c.opening())
	}
	c.question = c.ask()
	c.tally = c.question.count(c.Approvals)
	d := c.settle(c.due())
	d.ApprovalDigest, d.Approvals, d.Approved = c.question.digest, c.tally.counted, c.approved()
	if len(c.Grant.Spec.ReviewedBy) > 0 {
		d.AttestedDigest = c.question.attested()
	}
	return d
}

// settle keeps what was begun and what is due from contradicting each other.
func (c *decider) settle(due Decision) Decision {
	onward := due.State == v1alpha1.StateGranting || due.State == v1alpha1.StateGranted || due.Effect == EffectIdentify
	if c.removedAlready() {
		if obstacle := c.storedObstacle(); onward && c.Done && c.prior == v1alpha1.StateBlocked && obstacle != "" {
			// It was just taken back, and what stood in the way is still there, as far as anybody knows: access that
			// comes and goes by the second helps nobody.
			rest := c.keep(v1alpha1.StateBlocked, obstacle)
			rest.RecheckAfter = RecheckAfter
			return rest
		}
		return due
	}
	// What is being written is what the approvals were for.
	if c.prior == v1alpha1.StateGranting && c.Grant.Status.ApprovalDigest == c.question.digest {
		switch {
		case onward:
			return due
		case due.Cause == v1alpha1.ReasonAWSUnavailable:
			k := c.keep(v1alpha1.StateGranting, due.Cause)
			k.Message, k.Eligible, k.RecheckAfter = due.Message, due.Eligible, due.RecheckAfter
			return k
		}
	}
	// Half of an access is worse than none: what was written is taken back before anything else is considered.
	back := c.keep(v1alpha1.StateBlocked, c.storedObstacle())
	if c.prior != v1alpha1.StateBlocked {
		back.Cause, back.Message, back.Record = due.Cause, due.Message, true
	}
	c.withdraw(&back)
	back.Eligible, back.Effect = due.Eligible, EffectRemove
	return back
}

// storedObstacle reads what stood in the way of writing when it was last tried, "" if nothing did.
func (c *decider) storedObstacle() string {
	return sideReason(c.Grant, obstacles...)
}

var obstacles = []string{
	v1alpha1.ReasonForeignMembership, v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonGroupNotFound, v1alpha1.ReasonRemovedByOthers,
	v1alpha1.ReasonConflict, v1alpha1.ReasonForbidden,
}

// due asks, in turn, everything that must be so before access is written. It starts from what is stored.
func (c *decider) due() Decision {
	g, r := c.Grant, c.Role
	if a := c.tally.rejected; a != nil {
		d := c.ended(v1alpha1.StateRejected, v1alpha1.ReasonRejected)
		c.withdraw(&d)
		d.Message = fmt.Sprintf("%s rejected it (%s)", a.Spec.Approver, a.Name)
		if a.Spec.Comment != "" {
			d.Message += ": " + a.Spec.Comment
		}
		return d
	}
	if r == nil {
		return c.blocked(Obstacle{v1alpha1.ReasonRoleNotFound, c.noRole()})
	}
	if why := violation(g, r); why != "" {
		return c.blocked(Obstacle{v1alpha1.ReasonPolicyViolation, why})
	}
	if o := c.unproven(); o.Reason != "" {
		return c.blocked(o)
	}
	if len(c.tally.counted) < r.required() {
		d := c.keep(v1alpha1.StatePendingApproval, "")
		d.Message = c.tally.message(r.required())
		if c.Person != nil {
			d.RecheckAfter = RecheckAfter
		}
		return d
	}
	if nb := g.Spec.NotBefore; nb != nil && c.now.Before(nb.Time) {
		d := c.keep(v1alpha1.StateScheduled, "")
		d.Message = fmt.Sprintf("approved; the window begins at %s", stamp(nb.Time))
		d.WakeAt = nb.Time
		return d
	}
	if why := cmp.Or(r.Forbidden, r.NotReady); why != "" {
		return c.blocked(Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", r.Name, why)})
	}
	if o := c.unwatched(); o.Reason != "" {
		d := c.blocked(o)
		d.RecheckAfter = RetryAfter // nothing tells of a trail that works again
		return d
	}
	if c.AWS && c.Person == nil {
		return c.identify(c.keep(c.prior, ""))
	}
	o, eligible := c.hurdle(r.Groups())
	if o.Reason != "" {
		d := c.blocked(o)
		d.Eligible, d.RecheckAfter = eligible, recheckAfter(o)
		return c.retire(d)
	}
	d := c.plan()
	d.Eligible = eligible
	return d
}

func (c *decider) blocked(o Obstacle) Decision {
	d := c.keep(v1alpha1.StateBlocked, o.Reason)
	d.Message = o.Message
	return d
}

func (c *decider) noRole() string {
	return fmt.Sprintf("there is no AccessRole %s: ask the platform team for it, or create another grant", c.Grant.Spec.Role)
}

// unproven says why nobody can know who really asks. The grant never changes, so that cannot be mended.
func (c *decider) unproven() Obstacle {
	created := c.Grant.CreationTimestamp
	switch {
	case c.Guard.Since.IsZero():
		// Nothing was ever verified, and nothing can be said yet about what was created before.
		return Obstacle{v1alpha1.ReasonGuardMissing, c.Guard.Broken}
	case !c.Guard.Proves(created.Time):
		return Obstacle{v1alpha1.ReasonUnproven, fmt.Sprintf("the grant was created at %s, when the admission guard was not known to be whole, so nobody has "+
			"proven who asks: create another grant", stamp(created.Time))}
	}
	return Obstacle{}
}

// unwatched says why nothing new is granted at the moment, whoever asks (invariants I8, I10).
func (c *decider) unwatched() Obstacle {
	if why := c.Guard.Broken; why != "" {
		return Obstacle{v1alpha1.ReasonGuardMissing, "nothing new is granted until the admission guard is whole: " + why}
	}
	if why := c.AuditBroken; why != "" && !Emergency(c.Grant) {
		return Obstacle{v1alpha1.ReasonAuditUnavailable, "nothing new is granted until the audit trail can be written: " + why}
	}
	return Obstacle{}
}

// plan calls for everything that the role means.
func (c *decider) plan() Decision {
	d := c.keep(v1alpha1.StateGranting, "")
	d.Effect, d.Message = EffectSync, "access is being written"
	if c.prior == v1alpha1.StateGranting {
		return c.whenDone(d)
	}
	d.Record = true
	c.planAWS(&d)
	p := c.Person
	if !c.AWS {
		p = nil
	}
	c.planKubernetes(&d, kubernetesUser(c.Grant.Spec.Subject, p))
	return d
}

// planAWS calls for the memberships of the role. In an emergency those that somebody else made are left alone: the person
// has what they give.
func (c *decider) planAWS(d *Decision) {
	p := c.Person
	groups := slices.DeleteFunc(c.Role.Groups(), func(group v1alpha1.IAMGroupName) bool {
		return c.AWS && Emergency(c.Grant) && slices.ContainsFunc(p.Foreign, func(name string) bool { return sameName(name, string(group)) })
	})
	if c.AWS {
		d.AWS.UserID, d.AWS.Names = p.UserID, Stored(p.Names())
		if c.Fences && p.Bounded && len(groups) > 0 {
			d.AWS.FencedUntil = &metav1.Time{Time: c.deadline}
		}
	}
	d.AWS.Groups = nil
	for _, group := range groups {
		d.AWS.Groups = append(d.AWS.Groups, v1alpha1.GroupMembership{Name: group, Intended: true})
	}
}

// planKubernetes calls for the bindings of the role.
func (c *decider) planKubernetes(d *Decision, user string) {
	g, r := c.Grant, c.Role
	d.Kubernetes = v1alpha1.GrantKubernetesStatus{}
	if k := r.Spec.Kubernetes; k != nil {
		d.Kubernetes.User, d.Kubernetes.ClusterRole, d.Kubernetes.RulesHash = user, k.ClusterRole, r.RulesHash
		name := BindingName(g)
		if k.Scope == v1alpha1.ScopeCluster {
			d.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Name: name, Intended: true}}
		}
		for _, ns := range g.Spec.Namespaces {
			d.Kubernetes.Bindings = append(d.Kubernetes.Bindings, v1alpha1.GrantBinding{Namespace: string(ns), Name: name, Intended: true})
		}
	}
}

func (c *decider) approved() Answer {
	switch a := c.tally.rejected; {
	case a != nil:
		return Answer{Reason: v1alpha1.ReasonRejected, Message: fmt.Sprintf("%s rejected it", a.Spec.Approver)}
	case c.Role == nil:
		return Answer{Reason: v1alpha1.ReasonRoleNotFound, Message: c.noRole()}
	}
	required := c.Role.required()
	m := c.tally.message(required)
	if len(c.tally.counted) < required {
		return Answer{Reason: v1alpha1.ReasonApprovalsMissing, Message: m}
	}
	return Answer{Yes: true, Reason: v1alpha1.ReasonApproved, Message: m}
}
