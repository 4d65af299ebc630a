// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// live decides about a grant that has been active: nothing is ever added to it, and only what is known to be bad takes
// anything away (invariants I1, I10).
func (c *decider) live() Decision {
	if c.TakenAway != "" || c.Obstacle.Reason == v1alpha1.ReasonRemovedByOthers {
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRemovedByOthers)
	}
	d := c.keep(c.prior, "")
	d.Record = c.unname(&d)
	if !intends(&d) {
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRoleChanged)
	}
	if r := c.Role; r.Forbidden != "" && !Temporary(c.Grant) {
		return c.suspend(d, Obstacle{v1alpha1.ReasonRoleNotReady,
			fmt.Sprintf("access is taken away until the platform team mends the role %s: %s", r.Name, r.Forbidden)}, Answer{})
	}
	switch {
	case c.prior == v1alpha1.StateGranted && c.owing():
		return c.verify(d)
	case c.prior == v1alpha1.StateGranted:
		return c.stay(d)
	}
	return c.comeBack(d)
}

// stay decides about access that exists.
func (c *decider) stay(d Decision) Decision {
	if c.AWS && c.Person == nil && c.Suspicion != "" {
		return c.identify(d)
	}
	if p := c.Person; c.AWS && p != nil && p.Unavailable == "" {
		d.Eligible = c.eligible()
		if e := d.Eligible; !e.Yes {
			return c.suspend(d, Obstacle{e.Reason, e.Message}, e)
		}
	}
	d.Effect, d.Message = EffectSync, c.grantedMessage(&d)
	return d
}

// comeBack decides about access that was suspended. Everything is asked again that was asked before it was first
// written, approvals aside; what is not known leaves things as they are.
func (c *decider) comeBack(d Decision) Decision {
	if c.prior == v1alpha1.StateSuspended && !c.removedAlready() {
		// Nothing comes back before it is gone.
		d.Effect = EffectRemove
		return d
	}
	if r := c.Role; r.NotReady != "" {
		return c.suspend(d, Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("access stays away until the role %s is ready: %s", r.Name, r.NotReady)}, Answer{})
	}
	if o := c.unwatched(); o.Reason != "" {
		return c.suspend(d, o, Answer{})
	}
	if c.AWS && c.Person == nil {
		return c.identify(d)
	}
	var groups []v1alpha1.IAMGroupName
	for _, m := range d.AWS.Groups {
		if m.Intended {
			groups = append(groups, m.Name)
		}
	}
	o, eligible := c.hurdle(groups)
	switch o.Reason {
	case "":
	case v1alpha1.ReasonAWSUnavailable:
		d.Eligible, d.RecheckAfter = eligible, recheckAfter(o)
		return d
	default:
		if c.owing() && !eligible.Yes {
			return c.turnedOut(eligible)
		}
		return c.suspend(d, o, eligible)
	}
	d.Record = d.Record || c.prior != v1alpha1.StateGranting
	d.State, d.Message, d.Effect, d.Eligible = v1alpha1.StateGranting, "access is being given back", EffectSync, eligible
	return c.whenDone(d)
}

func (c *decider) suspend(d Decision, o Obstacle, eligible Answer) Decision {
	if Temporary(c.Grant) {
		// Its credentials are deleted with it, so that nothing could come back.
		c.found = o
		d := c.end(v1alpha1.StateRevoked, o.Reason)
		d.Eligible = eligible
		return d
	}
	if c.prior == v1alpha1.StateGranted && sideReason(c.Grant, v1alpha1.ReasonRemovedByOthers, v1alpha1.ReasonRemovalHeld) != "" {
		// What comes back from a suspension is made anew: so would be what somebody took away.
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRemovedByOthers)
	}
	d.Record = d.Record || c.prior != v1alpha1.StateSuspended
	// The intentions stand, so that access can come back; what may have come of them has to go.
	for intended, observed := range parts(&d.AWS, &d.Kubernetes) {
		*observed = possible(c.prior, *intended, *observed)
	}
	d.State, d.Cause, d.Message, d.Eligible, d.RecheckAfter = v1alpha1.StateSuspended, o.Reason, o.Message, eligible, RecheckAfter
	if mayExist(d.State, &d.AWS, &d.Kubernetes) {
		d.Effect = EffectRemove
		return d
	}
	return c.retire(d)
}

// unname withdraws the intention for everything that the role no longer names, and says whether that was anything.
func (c *decider) unname(d *Decision) (changed bool) {
	var groups []v1alpha1.IAMGroupName
	var k *v1alpha1.KubernetesRole
	if r := c.Role; r != nil {
		groups = r.Groups()
		if k = r.Spec.Kubernetes; k != nil && k.ClusterRole == d.Kubernetes.ClusterRole {
			d.Kubernetes.RulesHash = r.RulesHash
		}
	}
	withdraw := func(intended, observed *bool) {
		changed = changed || *intended
		*intended, *observed = false, possible(c.prior, *intended, *observed)
	}
	for i := range d.AWS.Groups {
		m := &d.AWS.Groups[i]
		if !slices.ContainsFunc(groups, func(group v1alpha1.IAMGroupName) bool { return sameName(string(group), string(m.Name)) }) {
			withdraw(&m.Intended, &m.Observed)
		}
	}
	for i := range d.Kubernetes.Bindings {
		b := &d.Kubernetes.Bindings[i]
		if k == nil || k.ClusterRole != d.Kubernetes.ClusterRole || (k.Scope == v1alpha1.ScopeCluster) != (b.Namespace == "") {
			withdraw(&b.Intended, &b.Observed)
		}
	}
	return changed
}

// intends says whether the grant calls for anything.
func intends(d *Decision) bool {
	for intended := range parts(&d.AWS, &d.Kubernetes) {
		if *intended {
			return true
		}
	}
	return false
}
