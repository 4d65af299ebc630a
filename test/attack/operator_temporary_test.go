// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// boundary is the permissions boundary of temporary users.
const boundary = "arn:aws:iam::111122223333:policy/prod-access/break-glass-boundary"

// temporaryDramas are attempts around temporary users. In each, somebody of their own opens it, who has no other access.
func temporaryDramas() []drama {
	return []drama{
		{"a revoked person asks for a temporary user", func(p *play) {
			opener := p.opener()
			p.revokes(either(p, opener.user, username(p.someone())))
			e := p.opens(opener, temporary)
			if p.fair {
				p.lent(e)
				return
			}
			p.state(e, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "revoked by "+sam.user)
			p.unmade(e)
		}},
		{"a temporary user of somebody who is revoked under another name", func(p *play) {
			e := p.opens(p.opener(), temporary)
			p.lent(e)
			p.revokes(either(p, p.subject, p.someone()))
			if p.fair {
				p.lent(e)
				return
			}
			p.state(e, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "revoked by "+sam.user)
			p.returned(e)
		}},
		{"another temporary user does not restart the clock", func(p *play) {
			opener := p.opener()
			first := p.opens(opener, temporary)
			p.lent(first)
			second := p.emergency(opener, temporary, func(s *emergencySpec) { s.Duration.Duration *= 3 })
			if p.fair {
				second.Spec.Incident = "INC-8"
			}
			p.does(opener, second)
			p.lent(second)
			if shared := second.Status.ExpiresAt.Equal(first.Status.ExpiresAt); shared == p.fair {
				p.Errorf("the first lasts until %s, the second until %s", first.Status.ExpiresAt, second.Status.ExpiresAt)
			}
		}},
		{"approving the report on one's temporary user", func(p *play) {
			opener := p.opener()
			e := p.opens(opener, temporary)
			p.lent(e)
			p.revokesEmergency(e)
			p.returned(e)
			p.writes(other, e)
			by := either(p, lead(username(p.subject)), frank)
			a := p.voteOn(by, e)
			p.does(by, a)
			if p.fair {
				p.state(e, v1alpha1.ConditionReported, v1alpha1.ReasonApproved, frank.user)
				return
			}
			p.unreported(e, fmt.Sprintf("%s: %s is the one who opened it", a.Name, by.user))
		}},
		{"recipients to whom nothing can be encrypted", func(p *play) {
			e := p.opens(p.opener(), temporary, func(s *emergencySpec) {
				if !p.fair { // a letter of the checksum
					s.TemporaryUser.Recipients = []v1alpha1.Recipient{v1alpha1.Recipient(recipient[:len(recipient)-1] + "q")}
				}
			})
			if p.fair {
				p.lent(e)
				return
			}
			p.state(e, v1alpha1.ConditionActive, v1alpha1.StateBlocked, "is not a public key of age: it is mistyped or cut")
			p.unmade(e)
		}},
		{"opening another role for a temporary user", func(p *play) {
			e := p.opens(p.opener(), temporary)
			p.lent(e)
			name := either(p, userOf(e), p.someone())
			wider := p.opens(oncall, func(s *emergencySpec) {
				s.Subject, s.Role = v1alpha1.Subject{IAMUser: name}, "infra-manager"
			})
			if p.fair {
				p.state(wider, v1alpha1.ConditionActive, v1alpha1.StateGranted, "access until")
				return
			}
			p.state(wider, v1alpha1.ConditionEligible, v1alpha1.ReasonIdentityMismatch, "temporary user")
			p.lent(e)
		}},
	}
}

// opener is the subject as somebody on call.
func (p *play) opener() person { return person{username(p.subject), oncall.groups} }

// userOf is the name of the temporary user of an emergency.
func userOf(e *v1alpha1.BreakGlass) string { return access.TemporaryUserName(e.Name, e.UID) }

// lent waits until an emergency gives access to its temporary user, and checks that it gives it to nobody else.
func (p *play) lent(e *v1alpha1.BreakGlass) {
	p.Helper()
	p.state(e, v1alpha1.ConditionActive, v1alpha1.StateGranted, "access until")
	bindings, groups := p.has(p.T, userOf(e))
	if len(bindings) > 0 || !slices.Equal(groups, []string{"hera-prod-infra-member"}) {
		p.Errorf("%s is granted, and its temporary user has the bindings %v and the IAM groups %v", e.Name, bindings, groups)
	}
	if s := e.Status.TemporaryUser; s.IAMUser != userOf(e) || !strings.HasPrefix(s.Credentials, "-----BEGIN AGE ENCRYPTED FILE-----") {
		p.Errorf("%s is granted, and tells %+v of its temporary user", e.Name, s)
	}
	p.never(p.T, p.subject)
}

// unmade checks that there never was a temporary user.
func (p *play) unmade(e *v1alpha1.BreakGlass) {
	p.Helper()
	for _, c := range p.iam.Calls() {
		if c.Op == "CreateUser" && c.Params.Get("UserName") == userOf(e) {
			p.Errorf("there was a temporary user of %s", e.Name)
		}
	}
	p.never(p.T, p.subject)
	p.never(p.T, userOf(e))
}

// returned waits until a temporary user is gone, and its credentials with it.
func (p *play) returned(e *v1alpha1.BreakGlass) {
	p.Helper()
	p.eventually("the temporary user of "+e.Name+" is gone", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(e), e)
		return p.iam.UserID(userOf(e)) == "" && e.Status.TemporaryUser.Credentials == "", err
	})
	if e.Status.TemporaryUser.IAMUser != userOf(e) {
		p.Errorf("%s does not tell who its temporary user was: %+v", e.Name, e.Status.TemporaryUser)
	}
}
