// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"slices"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// InForce says whether a revocation stops anything: it does until it was lifted by somebody who may.
func InForce(r *v1alpha1.AccessRevocation) bool {
	return !meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionLifted)
}

// Revokes says whether a revocation names this grant, or its subject under any name that the two know.
func Revokes(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant) bool {
	return Requests(r, g) || ofAny(r, SubjectNames(g), Directory{})
}

// ofAny says whether a revocation is of a person who has one of these names.
func ofAny(r *v1alpha1.AccessRevocation, names []string, who Directory) bool {
	if r.Spec.Person == "" {
		return false
	}
	revoked := append([]string{string(r.Spec.Person)}, r.Status.Names...)
	return slices.ContainsFunc(names, func(n string) bool {
		return slices.ContainsFunc(revoked, func(m string) bool { return who.Same(n, m) })
	})
}

// RevokedNames are the names of the person whose access it is that a revocation ends, as far as they are known.
func RevokedNames(r *v1alpha1.AccessRevocation) []string {
	names := slices.Clone(r.Status.Names)
	if r.Spec.Person != "" {
		names = append(names, string(r.Spec.Person))
	}
	if m := r.Spec.Membership; m != nil {
		names = append(names, m.IAMUser)
	}
	return distinct(names)
}

// namesRequest says whether a revocation is of what the grant asks for, whatever object carries it.
func namesRequest(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant, spec string) bool {
	of := r.Spec.Grant
	return of != nil && of.Kind == KindOf(g) && of.Name == g.Name && of.SpecDigest == spec
}

// Requests says whether a revocation is of exactly what a grant asks for.
func Requests(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant) bool {
	return namesRequest(r, g, requestDigest(g))
}

// SubjectNames are the names of the person that the grant itself knows.
func SubjectNames(g *v1alpha1.ProdAccessGrant) []string {
	names := append(slices.Clone(g.Status.AWS.Names), g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser), g.Status.Kubernetes.User, g.Status.AWS.UserID)
	return Stored(distinct(slices.DeleteFunc(names, func(s string) bool { return s == "" })))
}

// revocation is one that is in force and names the grant or its subject, nil if there is none.
func (c *decider) revocation() *v1alpha1.AccessRevocation {
	names := SubjectNames(c.Grant)
	if p := c.Person; p != nil && p.Found {
		names = append(names, p.Names()...)
	}
	for i := range c.Revocations {
		if r := &c.Revocations[i]; InForce(r) && (namesRequest(r, c.Grant, c.spec) || ofAny(r, names, c.who())) {
			return r
		}
	}
	return nil
}

// memorable says whether the request must stay ended beyond its object: access was approved or refused, its window has
// not ended, and no revocation speaks of it already. One that was lifted speaks of what had ended before.
func (c *decider) memorable() bool {
	g := c.Grant
	if Emergency(g) {
		// Its window begins when it is created, so what has ended would begin anew; one that never gave anything may.
		return begun(g) && !slices.ContainsFunc(c.Revocations, func(r v1alpha1.AccessRevocation) bool { return InForce(&r) && namesRequest(&r, g, c.spec) })
	}
	decided := Terminal(c.prior) || c.prior == v1alpha1.StateRevoking || g.Status.ActivatedAt != nil ||
		meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionApproved) ||
		slices.ContainsFunc(c.Approvals, func(a v1alpha1.AccessApproval) bool {
			// Whether it would have counted nobody can tell any more, when it goes with its target.
			return a.Spec.Decision == v1alpha1.DecisionReject && a.Spec.Target.UID == string(g.UID) && a.Spec.Role == g.Spec.Role
		})
	end := c.now
	if g.Status.EndedAt != nil {
		end = g.Status.EndedAt.Time
	}
	return decided && c.now.Before(c.deadline) && !slices.ContainsFunc(c.Revocations, func(r v1alpha1.AccessRevocation) bool {
		lifted := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionLifted)
		return namesRequest(&r, g, c.spec) && (InForce(&r) || !lifted.LastTransitionTime.Time.Before(end))
	})
}

// who is who, as far as it is known.
func (c *decider) who() Directory {
	if c.Person == nil {
		return Directory{}
	}
	return c.Person.Directory
}

// maxNames is how many names a status can hold; a tag of AWS holds 128 of the shortest.
const maxNames = 160

// Stored are as many names as a status can hold.
func Stored(names []string) []string { return names[:min(len(names), maxNames)] }

// distinct keeps the first of equal strings.
func distinct(names []string) []string {
	var kept []string
	for _, n := range names {
		if !slices.Contains(kept, n) {
			kept = append(kept, n)
		}
	}
	return kept
}
