// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// drama is an attempt around an emergency that admission lets pass, so that what comes of it is the operator's doing. It
// goes well for the twin.
type drama struct {
	name string
	act  func(*play)
}

func dramas() []drama {
	return []drama{
		{"opening once more does not restart the clock", func(p *play) {
			first := p.opens(oncall)
			p.active(first)
			second := p.emergency(oncall, func(s *emergencySpec) { s.Duration.Duration *= 3 })
			if p.fair {
				second.Spec.Incident = "INC-8"
			}
			p.does(oncall, second)
			p.active(second)
			if shared := second.Status.ExpiresAt.Equal(first.Status.ExpiresAt); shared == p.fair {
				p.Errorf("the first lasts until %s, the second until %s", first.Status.ExpiresAt, second.Status.ExpiresAt)
			}
		}},
		{"a revoked person opens for somebody else", func(p *play) {
			opener := person{username(p.someone()), oncall.groups}
			p.revokes(either(p, opener.user, username(p.someone())))
			e := p.opens(opener)
			if p.fair {
				p.active(e)
				return
			}
			p.state(e, v1alpha1.ConditionActive, v1alpha1.StateBlocked, opener.user+", who opened it, is revoked")
			p.never(p.T, p.subject)
		}},
		{"opening for somebody who is revoked", func(p *play) {
			p.revokes(either(p, nickname(p.subject), username(p.someone())))
			e := p.opens(oncall)
			if p.fair {
				p.active(e)
				return
			}
			p.state(e, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "revoked by "+sam.user)
			p.never(p.T, p.subject)
		}},
		{"the approval of an earlier text", func(p *play) {
			e := p.written(oncall, other)
			earlier := p.voteOn(frank, e)
			p.patches(other, e, `{"spec":{"report":{"summary":"nothing happened, and nobody did anything"}}}`)
			p.eventually("the digest of the new text", func(ctx context.Context) (bool, error) {
				err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(e), e)
				return e.Status.ReportDigest != "" && e.Status.ReportDigest != earlier.Spec.Digest, err
			})
			p.does(frank, either(p, earlier, p.voteOn(frank, e)))
			if p.fair {
				p.state(e, v1alpha1.ConditionReported, v1alpha1.ReasonApproved, frank.user)
				return
			}
			p.unreported(e, "its digest is not status.reportDigest")
		}},
	}
}

// ownReport: of an emergency with an approver each as its opener, its subject and its writer, none approves the report by
// this name, and somebody else does.
func ownReport(p *play, s spelling) {
	opener, writer := p.someone(), p.someone()
	e := p.written(person{username(opener), oncall.groups}, person{username(writer), oncall.groups})
	for _, name := range []string{opener, p.subject, writer} {
		by := lead(s.spell(name))
		a := p.voteOn(by, e)
		p.does(by, a)
		p.unreported(e, fmt.Sprintf("%s: %s is the one who opened it, whose access it was, or who wrote the report", a.Name, by.user))
	}
	p.does(frank, p.voteOn(frank, e))
	p.state(e, v1alpha1.ConditionReported, v1alpha1.ReasonApproved, frank.user)
}

// emergency is one for the subject, not yet opened.
func (p *play) emergency(by person, changes ...func(*emergencySpec)) *v1alpha1.BreakGlass {
	e := emergency(by, func(s *emergencySpec) {
		s.Subject = v1alpha1.Subject{IAMUser: p.subject, KubernetesUser: v1alpha1.Username(username(p.subject))}
		s.Role = "infra-member"
	})
	e.Name = p.subject + "-" + p.next()
	e.Labels = map[string]string{walked: "true"}
	for _, change := range changes {
		change(&e.Spec)
	}
	return e
}

// opens lets somebody open one.
func (p *play) opens(by person, changes ...func(*emergencySpec)) *v1alpha1.BreakGlass {
	p.Helper()
	e := p.emergency(by, changes...)
	p.does(by, e)
	return e
}

// state waits until a condition of an emergency has a reason, and a message with these words.
func (p *play) state(e *v1alpha1.BreakGlass, condition, reason, words string) {
	p.Helper()
	p.eventually(fmt.Sprintf("%s of %s is %s: %s", condition, e.Name, reason, words), func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(e), e)
		c := meta.FindStatusCondition(e.Status.Conditions, condition)
		return c != nil && c.Reason == reason && strings.Contains(c.Message, words), err
	})
}

// active waits until an emergency gives access on both sides.
func (p *play) active(e *v1alpha1.BreakGlass) {
	p.Helper()
	p.state(e, v1alpha1.ConditionActive, v1alpha1.StateGranted, "access until")
	bindings, groups := p.has(p.T, e.Spec.Subject.IAMUser)
	if len(bindings) == 0 || !slices.Contains(groups, "hera-prod-infra-member") {
		p.Errorf("%s is granted, and there are the bindings %v and the IAM groups %v", e.Name, bindings, groups)
	}
}

// written is an emergency that was opened, ended early, and on which a report was written.
func (p *play) written(by, writer person) *v1alpha1.BreakGlass {
	p.Helper()
	e := p.opens(by)
	p.active(e)
	p.revokesEmergency(e)
	p.nothing(p.T, p.subject)
	p.writes(writer, e)
	return e
}

// revokesEmergency ends one early.
func (p *play) revokesEmergency(e *v1alpha1.BreakGlass) {
	p.Helper()
	p.does(sam, &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: e.Name}, Spec: v1alpha1.AccessRevocationSpec{
		Grant:  &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: e.Name, SpecDigest: e.Status.SpecDigest},
		Reason: "the volume was enlarged, all is well", RevokedBy: v1alpha1.Username(sam.user),
	}})
	p.state(e, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "")
}

// writes lets somebody write the report on one that is over.
func (p *play) writes(by person, e *v1alpha1.BreakGlass) {
	p.Helper()
	p.patches(by, e, writing(by))
	p.eventually("the digest of the report on "+e.Name, func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(e), e)
		return e.Status.ReportDigest != "", err
	})
}

// voteOn is somebody's yes to the report as it is now, not yet made.
func (p *play) voteOn(by person, e *v1alpha1.BreakGlass) *v1alpha1.AccessApproval {
	a := approval(by, ofReport(e), func(s *approvalSpec) { s.Digest, s.ApproverGroups = e.Status.ReportDigest, by.groups })
	a.Name = fmt.Sprintf("%s-%s", e.Name, p.next())
	return a
}

// unreported waits until a report says what was not counted; it stays due, and nobody helps themselves.
func (p *play) unreported(e *v1alpha1.BreakGlass, words string) {
	p.Helper()
	p.state(e, v1alpha1.ConditionReported, v1alpha1.ReasonReportPending, words)
	p.refused(ada, "status", "the operator alone", patchStatus(e, `{"status":{"reportApprovedBy":"frank@hera.example"}}`))
	p.refused(oncall, "emergencies", "it is kept until its report is approved", remove(e))
}

// patches lets somebody change an object for good.
func (p *play) patches(by person, o client.Object, merge string) {
	p.Helper()
	if err := as(p.T, by).Patch(p.Context(), o, client.RawPatch("application/merge-patch+json", []byte(merge))); err != nil {
		p.Fatalf("%s cannot change %s: %v", by.user, o.GetName(), err)
	}
}

// forgedEmergencies are opened in Otto's name by the person whom the access is for; and of somebody who deletes one that
// lasts, which ends it all the same.
func forgedEmergencies(live *v1alpha1.BreakGlass) func(*play) func(*play) {
	return func(p *play) func(*play) {
		forger := person{user: username(p.subject)}
		forged := p.emergency(oncall)
		p.does(forger, forged)
		p.deletes(forger, live)
		p.nothing(p.T, live.Spec.Subject.IAMUser)
		p.never(p.T, p.subject)
		return func(p *play) {
			p.state(forged, v1alpha1.ConditionStalled, v1alpha1.ReasonUnproven, "nobody has proven who")
			p.never(p.T, forged.Spec.Subject.IAMUser)
			p.gone(live)
			p.active(p.opens(oncall))
		}
	}
}
