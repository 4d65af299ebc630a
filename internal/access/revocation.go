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

// Revokes says whether a revocation names this grant, or its subject under any name that is known.
func Revokes(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant, who Directory) bool {
	return revokes(r, g, SpecDigest(&g.Spec), who)
}

func revokes(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant, spec string, who Directory) bool {
	switch {
	case r.Spec.Grant != nil:
		return namesRequest(r, g, spec)
	case r.Spec.Person != "":
		return slices.ContainsFunc(subjectNames(g), func(name string) bool { return who.Same(name, string(r.Spec.Person)) })
	}
	return false
}

// namesRequest says whether a revocation is of what the grant asks for, whatever object carries it.
func namesRequest(r *v1alpha1.AccessRevocation, g *v1alpha1.ProdAccessGrant, spec string) bool {
	of := r.Spec.Grant
	return of != nil && of.Kind == v1alpha1.TargetGrant && of.Name == g.Name && of.SpecDigest == spec
}

// subjectNames are the names of the person that the grant itself knows.
func subjectNames(g *v1alpha1.ProdAccessGrant) []string {
	return slices.DeleteFunc(append(slices.Clone(g.Status.AWS.Names),
		g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser), g.Status.Kubernetes.User), func(s string) bool { return s == "" })
}

// revocation is one that is in force and names the grant or its subject, nil if there is none.
func (c *decider) revocation() *v1alpha1.AccessRevocation {
	names := subjectNames(c.Grant)
	if p := c.Person; p != nil && p.Found {
		names = append(names, p.Names()...)
	}
	for i := range c.Revocations {
		r := &c.Revocations[i]
		if !InForce(r) {
			continue
		}
		if namesRequest(r, c.Grant, c.spec) || r.Spec.Person != "" && slices.ContainsFunc(names, func(n string) bool { return c.who().Same(n, string(r.Spec.Person)) }) {
			return r
		}
	}
	return nil
}

// memorable says whether the request must stay ended beyond its object: access was approved or refused, its window has
// not ended, and no revocation, not even a lifted one, speaks of it already.
func (c *decider) memorable() bool {
	g := c.Grant
	decided := Terminal(c.prior) || c.prior == v1alpha1.StateRevoking || g.Status.ActivatedAt != nil ||
		meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionApproved)
	return decided && c.now.Before(c.deadline) &&
		!slices.ContainsFunc(c.Revocations, func(r v1alpha1.AccessRevocation) bool { return namesRequest(&r, g, c.spec) })
}

// who is who, as far as it is known.
func (c *decider) who() Directory {
	if c.Person == nil {
		return Directory{}
	}
	return c.Person.Directory
}

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
