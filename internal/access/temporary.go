// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// TemporaryUserName is the name of the temporary user of an emergency: readable, and different for each object. The two tell each
// other apart from every person: nobody can know the UID of an object before it exists.
func TemporaryUserName(name string, uid types.UID) string {
	const readable, short = 52, 8 // of the 64 characters that IAM allows
	return "bg-" + strings.TrimRight(name[:min(len(name), readable)], ".-") + "-" + string(uid[:min(len(uid), short)])
}

// Temporary says whether a grant stands for an emergency with a temporary user.
func Temporary(g *v1alpha1.ProdAccessGrant) bool {
	return Emergency(g) && g.Spec.Subject.IAMUser == TemporaryUserName(g.Name, g.UID)
}

// temporarySubject is who an emergency is for: a person, or a temporary user of whoever opened it. The opener is its person
// then in every comparison: revoking them ends it, and opening it once more does not restart the clock.
func temporarySubject(b *v1alpha1.BreakGlass) v1alpha1.Subject {
	if b.Spec.TemporaryUser == nil {
		return b.Spec.Subject
	}
	return v1alpha1.Subject{IAMUser: TemporaryUserName(b.Name, b.UID), KubernetesUser: b.Spec.OpenedBy}
}

// openTemporary asks, in turn, everything that must be so before a temporary user gets access. What has to be so whoever the
// person is was asked before.
func (c *decider) openTemporary() Decision {
	if o := c.noTemporary(); o.Reason != "" {
		d := c.blocked(o)
		d.RecheckAfter = RetryAfter
		return d
	}
	d := c.keep(v1alpha1.StateGranting, "")
	if c.prior != v1alpha1.StateGranting {
		d.Record = true
		d.AWS = v1alpha1.GrantAWSStatus{FencedUntil: &metav1.Time{Time: c.deadline}}
		for _, group := range c.Role.Groups() {
			d.AWS.Groups = append(d.AWS.Groups, v1alpha1.GroupMembership{Name: group, Intended: true})
		}
		d.Kubernetes = v1alpha1.GrantKubernetesStatus{}
	}
	if d.AWS.UserID == "" {
		d.Effect, d.Message = EffectMake, fmt.Sprintf("the temporary IAM user %s is being made", c.Grant.Spec.Subject.IAMUser)
		return d
	}
	d.Effect = EffectSync
	d.Message = fmt.Sprintf("the temporary IAM user %s is made, its credentials are in status.temporaryUser, and it gets its IAM groups when AWS shows it as it was made", c.Grant.Spec.Subject.IAMUser)
	if d = c.whenDone(d); d.State == v1alpha1.StateGranted {
		d.Eligible = c.asMade()
	}
	return d
}

// noTemporary says what stands in the way of a temporary user.
func (c *decider) noTemporary() Obstacle {
	r := c.Role
	switch {
	case len(r.Groups()) == 0:
		return Obstacle{v1alpha1.ReasonPolicyViolation, fmt.Sprintf("the role %s has no IAM groups, so that a temporary user could do nothing: open it for a person, by "+
			"spec.subject of another BreakGlass", r.Name)}
	case !c.AWS:
		return Obstacle{v1alpha1.ReasonAWSDisabled, "the operator runs with --aws=disabled, and makes no temporary users: open it for a person, by spec.subject of another BreakGlass"}
	case c.NoTemporary.Reason != "":
		return c.NoTemporary
	case r.NotReady != "":
		return Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", r.Name, r.NotReady)}
	}
	return c.Obstacle
}

// asMade says that a temporary user was read back.
func (c *decider) asMade() Answer {
	return Answer{Yes: true, Reason: v1alpha1.ReasonEligible, Message: fmt.Sprintf("the temporary IAM user %s (%s) has an MFA device and its permissions boundary",
		c.Grant.Spec.Subject.IAMUser, c.Grant.Status.AWS.UserID)}
}

// intact says whether a temporary user is still as it was made.
func (c *decider) intact() Answer {
	p, user := c.Person, c.Grant.Spec.Subject.IAMUser
	tampered := func(what string) Answer {
		return Answer{Reason: v1alpha1.ReasonTampered, Message: fmt.Sprintf("the temporary IAM user %s is not as it was made, so it is deleted: %s; open another BreakGlass if access is "+
			"still needed", user, what)}
	}
	switch {
	case p.Unavailable != "":
		return Answer{Reason: v1alpha1.ReasonAWSUnavailable, Message: fmt.Sprintf("the temporary IAM user %s cannot be looked at: %s", user, p.Unavailable)}
	case !p.Found:
		return tampered("AWS has none of that name")
	case p.UserID != c.Grant.Status.AWS.UserID:
		return tampered("AWS has another one of that name")
	case p.Doubt != "":
		return tampered(p.Doubt)
	case !p.MFA:
		return tampered("it has no MFA device")
	}
	return c.asMade()
}

// Stray says whether what a temporary user was made for has no more use for it. Emergencies are all that there are, in the form
// of grants; uid is that of the one on its tag.
func Stray(uid types.UID, emergencies []*v1alpha1.ProdAccessGrant) bool {
	for _, g := range emergencies {
		if g.UID == uid {
			return !Temporary(g) || Terminal(StateOf(g))
		}
	}
	return true
}
