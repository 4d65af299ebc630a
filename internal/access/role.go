// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"regexp"
	"slices"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Role is an AccessRole as it stands now: what it says, and what its ClusterRole comes to.
type Role struct {
	Name string
	// Created is when the object was created.
	Created time.Time
	Spec    v1alpha1.AccessRoleSpec
	// RulesHash is the hash of the ClusterRole's effective rules, "" for a role without a Kubernetes side.
	RulesHash string
	// Forbidden names a rule that may not be bound, "" if there is none.
	Forbidden string
	// NotReady says why the role grants nothing new at the moment, "" if it does.
	NotReady string
	// NotReadyInAWS says that the reason lies in AWS, so that what the role means in Kubernetes could be given.
	NotReadyInAWS bool
}

// Groups are the IAM groups that the role names.
func (r *Role) Groups() []v1alpha1.IAMGroupName {
	if r.Spec.AWS == nil {
		return nil
	}
	return slices.Clone(r.Spec.AWS.Groups)
}

func (r *Role) scope() v1alpha1.Scope {
	if r.Spec.Kubernetes == nil {
		return ""
	}
	return r.Spec.Kubernetes.Scope
}

// required is how many people must approve; never none, whatever is stored.
func (r *Role) required() int { return max(1, int(r.Spec.Approval.Required)) }

// OfAnyAge is the role without its demand on the age of credentials; nil if it is.
func (r *Role) OfAnyAge() *Role {
	if r == nil {
		return nil
	}
	of := *r
	of.Spec.Requirements.MaxCredentialAge = nil
	return &of
}

// TicketPattern compiles what a ticket must match as a whole; nil means that no ticket is needed.
func TicketPattern(spec *v1alpha1.AccessRoleSpec) (*regexp.Regexp, error) {
	pattern := spec.Change.TicketPattern
	if pattern == "" {
		return nil, nil
	}
	// On its own first: "a)|(b" is not an expression, and must not become one by what is put around it.
	if _, err := regexp.Compile(pattern); err != nil {
		return nil, err
	}
	return regexp.Compile(`^(?:` + pattern + `)$`)
}

// violation says how a request is not what its role allows, and who can mend that; "" if it is. Nothing here can change
// by itself, so it is said as soon as it is known, before anybody spends time on an approval.
func violation(g *v1alpha1.ProdAccessGrant, r *Role) string {
	for _, demand := range []func(*v1alpha1.ProdAccessGrant, *Role) string{
		placeDemand, leadTimeDemand, durationDemand, incidentDemand, ticketDemand, evidenceDemand,
	} {
		if why := demand(g, r); why != "" {
			return why
		}
	}
	return ""
}

func placeDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	switch named := len(g.Spec.Namespaces) > 0; {
	case r.scope() == v1alpha1.ScopeNamespaces && !named:
		return fmt.Sprintf("the role %s is bound in namespaces: create another grant that lists them in spec.namespaces", r.Name)
	case r.scope() != v1alpha1.ScopeNamespaces && named:
		return fmt.Sprintf("the role %s is not bound in namespaces: create another grant without spec.namespaces", r.Name)
	}
	return ""
}

func leadTimeDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	if g.Spec.NotBefore == nil {
		return ""
	}
	if lead := g.Spec.NotBefore.Sub(g.CreationTimestamp.Time); lead > r.Spec.MaxLeadTime.Duration {
		return fmt.Sprintf("notBefore is %s ahead, the role %s allows %s: create the grant later, or ask the platform team",
			lead.Round(time.Second), r.Name, r.Spec.MaxLeadTime.Duration)
	}
	return ""
}

func durationDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	start := g.CreationTimestamp.Time
	if nb := g.Spec.NotBefore; nb != nil && nb.After(start) {
		start = nb.Time
	}
	if window := g.Spec.ExpiresAt.Sub(start); window > r.Spec.MaxDuration.Duration {
		return fmt.Sprintf("the window until expiresAt is %s, the role %s allows %s: create another grant that ends earlier",
			window.Round(time.Second), r.Name, r.Spec.MaxDuration.Duration)
	}
	return ""
}

func incidentDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	if r.Spec.Incident == v1alpha1.IncidentRequired && g.Spec.Incident == "" {
		return fmt.Sprintf("the role %s is for incidents only: create another grant that names one in spec.incident", r.Name)
	}
	return ""
}

func ticketDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	switch pattern, err := TicketPattern(&r.Spec); {
	case err != nil:
		return fmt.Sprintf("spec.change.ticketPattern of the role %s is not a regular expression: the platform team must mend it", r.Name)
	case pattern != nil && !pattern.MatchString(g.Spec.ChangeTicket):
		return fmt.Sprintf("changeTicket %q does not match %q, which the role %s demands: create another grant with the ticket",
			g.Spec.ChangeTicket, r.Spec.Change.TicketPattern, r.Name)
	}
	return ""
}

func evidenceDemand(g *v1alpha1.ProdAccessGrant, r *Role) string {
	if r.Spec.Change.StagingEvidence == v1alpha1.EvidenceRequired && g.Spec.StagingEvidence == "" {
		return fmt.Sprintf("the role %s demands proof of a test in staging: create another grant that links it in spec.stagingEvidence", r.Name)
	}
	return ""
}

// NamesGroup says whether a role names an IAM group.
func NamesGroup(spec *v1alpha1.AccessRoleSpec, group v1alpha1.IAMGroupName) bool {
	return spec.AWS != nil && slices.ContainsFunc(spec.AWS.Groups, func(g v1alpha1.IAMGroupName) bool { return sameName(string(g), string(group)) })
}
