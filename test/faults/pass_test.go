// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

const (
	// identityLasts, maxBackoff and maxEndingBackoff are the controller's.
	identityLasts    = 30 * time.Second
	minBackoff       = 200 * time.Millisecond
	maxBackoff       = time.Minute
	maxEndingBackoff = 5 * time.Second
	maxRounds        = 8
)

// pass is one look at one grant: what internal/controller does, without the API server and without bindings, one step after
// the other. It decides nothing itself.
type pass struct {
	*world
	k         *kept
	g, stored *v1alpha1.ProdAccessGrant
	now       time.Time
	facts     access.Facts
	notes     status.Notes
	failed    bool
	unfenced  bool
	again     time.Duration
	verdict   *access.Verdict
}

func (w *world) look(k *kept) {
	k.wake = time.Time{}
	stored := k.grant()
	if stored == nil || stored.UID == "" {
		return
	}
	p := &pass{world: w, k: k, g: stored.DeepCopy(), stored: stored, now: w.clock.Now()}
	p.facts = access.Facts{
		Grant: p.g, AWS: true, Fences: true, Revocations: w.revocations, Guard: access.Guard{Since: begin.Add(-time.Hour)},
		MayApprove: func(string, []string) bool { return true },
	}
	p.prepare()
	for range maxRounds {
		d := access.Decide(p.facts, p.now)
		if d.Record {
			status.Grant(p.g, &d, status.Notes{}, p.now)
			p.write()
		} else {
			p.g.Status.AWS, p.g.Status.Kubernetes = d.AWS, d.Kubernetes
		}
		if d.Effect == access.EffectRelease {
			w.release(k)
			return
		}
		if !p.carryOut(&d) {
			p.finish(&d)
			return
		}
	}
	w.fail("%s: no settled decision after %d rounds", p.g.Name, maxRounds)
}

func (p *pass) ending() bool {
	state := access.StateOf(p.g)
	return access.Terminal(state) || state == v1alpha1.StateRevoking || p.g.DeletionTimestamp != nil || !p.now.Before(access.Deadline(p.g))
}

func (p *pass) prepare() {
	if !p.ending() {
		p.facts.Role, p.facts.Approvals = p.k.role, p.k.approvals
		if i := p.k.person; i != nil && p.now.Sub(i.at) < identityLasts && access.StateOf(p.g) == v1alpha1.StateGranting {
			p.facts.Person = i.person
		}
		p.lookAround()
	}
	if access.StateOf(p.g) != v1alpha1.StateGranted {
		return
	}
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended && m.Observed && p.engine.Absent(p.g.Status.AWS.UserID, string(m.Name)).Confirmed {
			p.missing("the membership in the IAM group " + string(m.Name))
		}
	}
}

func (p *pass) lookAround() {
	s := &p.g.Status
	if access.StateOf(p.g) != v1alpha1.StateGranted {
		return
	}
	if sweep := p.engine.Swept(s.AWS.UserID); sweep.At.After(p.k.looked) {
		p.facts.Suspicion = access.Suspicion(p.g, p.facts.Role, sweep, p.now)
		p.unfenced = access.Unfenced(p.g, p.engine.Fenced)
	}
	if s.AWS.FencedUntil == nil {
		return
	}
	grants, _ := p.OfPerson(context.Background(), s.AWS.UserID)
	if until := access.FencedUntil(grants, p.now); !until.IsZero() {
		s.AWS.FencedUntil = &metav1.Time{Time: until}
	}
}

func (p *pass) missing(what string) {
	if p.verdict == nil {
		live := 0
		for _, k := range p.keeps {
			if g := k.grant(); g != nil && access.StateOf(g) == v1alpha1.StateGranted {
				live++
			}
		}
		v := p.removals.Judge(p.g.UID, access.Held(p.stored), false, live, p.clock.Now())
		p.verdict = &v
	}
	switch v := p.verdict; {
	case v.TakenAway:
		p.facts.TakenAway = what
	case v.Held:
		p.notes.Memberships = access.Obstacle{Reason: v1alpha1.ReasonRemovalHeld, Message: what + " is gone, like much else"}
		p.again = access.RecheckAfter
	default:
		p.notes.Memberships = access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: what + " is gone"}
		p.again = v.Again
	}
}

// carryOut says whether there is something new to decide upon.
func (p *pass) carryOut(d *access.Decision) bool {
	p.facts.Done = false
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout)
	defer cancel()
	switch d.Effect {
	case access.EffectIdentify:
		var others []v1alpha1.IAMGroupName
		for _, m := range p.g.Status.AWS.Groups {
			others = append(others, m.Name)
		}
		p.facts.Person = p.engine.Identify(ctx, p.g.Spec.Subject.IAMUser, p.facts.Role, others...)
		p.k.person, p.k.looked = &identified{p.facts.Person, p.now}, p.now
		return true
	case access.EffectSync:
		return p.sync(ctx, d)
	case access.EffectRemove:
		var groups []v1alpha1.GroupMembership
		for _, m := range p.g.Status.AWS.Groups {
			if m.Intended || m.Observed {
				groups = append(groups, m)
			}
		}
		p.merge(p.each(groups, func(group string) membership.Outcome { return p.engine.Settle(ctx, p.member(), group, true) }))
		p.facts.Done = !p.failed
		return !p.failed
	case access.EffectVerify:
		p.verify(ctx)
		p.facts.Done = !p.failed
		return !p.failed
	case access.EffectDeactivate:
		person, maxAge, told := p.facts.Person, p.facts.Role.MaxCredentialAge(), p.now
		if c := meta.FindStatusCondition(p.g.Status.Conditions, v1alpha1.ConditionEligible); c != nil && c.Reason == v1alpha1.ReasonCredentialsStale {
			told = c.LastTransitionTime.Time
		}
		if keys, password := person.Credentials.Retire(maxAge, told, p.now); len(keys) == 0 && !password {
			p.facts.Done = true
			return true
		}
		done := p.engine.Retire(ctx, membership.Member{UserID: person.UserID, Name: person.Name, Known: person}, maxAge, told)
		p.k.person = nil
		if done.Err != nil {
			p.tryAgain(done.Err)
		}
		p.facts.Done = done.Err == nil
		return p.facts.Done
	case access.EffectMake, access.EffectNone, access.EffectRelease:
	}
	return false
}

func (p *pass) verify(ctx context.Context) {
	all := p.each(p.g.Status.AWS.Groups, func(group string) membership.Outcome { return p.engine.Verify(ctx, p.member(), group) })
	failed := false
	for _, o := range all {
		failed = failed || o.Err != nil
	}
	if fence := p.g.Status.AWS.FencedUntil; fence != nil && !failed && len(all) > 0 {
		if err := p.engine.Unfence(ctx, p.member(), fence.Time); err != nil {
			all[0].Err = err
		}
	}
	p.merge(all)
}

func (p *pass) sync(ctx context.Context, d *access.Decision) bool {
	member := p.member()
	if i := p.k.person; i != nil && p.clock.Now().Sub(i.at) < identityLasts {
		member.Known = i.person
	}
	var fence membership.Fence
	var all []settled
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended == m.Observed && (!m.Intended || !p.unfenced) {
			continue
		}
		var o membership.Outcome
		if m.Intended && fence == (membership.Fence{}) {
			fence = p.engine.Fence(ctx, member)
		}
		if m.Intended && fence.Err != nil {
			o = membership.Outcome{Present: true, Err: fence.Err}
		} else {
			o = p.engine.Settle(ctx, member, string(m.Name), false)
		}
		all = append(all, settled{m.Name, o})
	}
	if len(all) > 0 {
		p.k.looked = p.now
	}
	switch s := &p.g.Status.AWS; {
	case !fence.Until.IsZero():
		s.FencedUntil = &metav1.Time{Time: fence.Until}
		p.notes.Fence.Reason = v1alpha1.ReasonFenced
	case fence.Obstacle.Reason != "":
		s.FencedUntil, p.notes.Fence = nil, fence.Obstacle
	}
	joined := p.merge(all)
	switch {
	case p.facts.TakenAway != "":
		return true
	case d.State == v1alpha1.StateGranted:
		p.failed = p.failed || p.facts.Obstacle.Reason != "" && p.again == 0
		return false
	case p.facts.Obstacle.Reason != "":
		return true
	case p.again > 0:
		return false
	}
	p.facts.Done = joined && !p.failed
	return p.facts.Done
}

type settled struct {
	group v1alpha1.IAMGroupName
	membership.Outcome
}

func (p *pass) each(groups []v1alpha1.GroupMembership, by func(string) membership.Outcome) []settled {
	var all []settled
	for _, m := range groups {
		all = append(all, settled{m.Name, by(string(m.Name))})
	}
	return all
}

func (p *pass) member() membership.Member {
	return membership.Member{UserID: p.g.Status.AWS.UserID, Name: p.g.Spec.Subject.IAMUser}
}

func (p *pass) merge(outcomes []settled) bool {
	joined := true
	for _, o := range outcomes {
		for i := range p.g.Status.AWS.Groups {
			m := &p.g.Status.AWS.Groups[i]
			if m.Name != o.group {
				continue
			}
			switch {
			case o.Covered && !m.Intended:
				m.Observed, o.Obstacle, o.Err = false, access.Obstacle{}, nil
			case o.Err == nil:
				m.Observed = o.Present
			}
			joined = joined && (m.Observed || !m.Intended)
		}
		if o.Obstacle.Reason != "" {
			p.facts.Obstacle, p.notes.Memberships = o.Obstacle, o.Obstacle
		}
		if o.Err != nil {
			p.tryAgain(o.Err)
		}
	}
	return joined && p.facts.Obstacle.Reason == ""
}

func (p *pass) tryAgain(err error) {
	p.failed = true
	p.notes.Memberships = access.Obstacle{Reason: v1alpha1.ReasonError, Message: err.Error()}
}

func (p *pass) write() {
	before := access.StateOf(p.stored)
	if !equality.Semantic.DeepEqual(p.stored.Status, p.g.Status) {
		p.judgeWrite(p.stored, p.g)
		p.stored = p.g.DeepCopy()
		p.store(p.k, p.stored)
	}
	after := access.StateOf(p.g)
	if before == after || p.g.Status.AWS.FencedUntil == nil || before != v1alpha1.StateGranted && after != v1alpha1.StateGranted {
		return
	}
	for _, other := range p.keeps {
		if g := other.grant(); other != p.k && g != nil && g.Status.AWS.UserID == p.g.Status.AWS.UserID && access.StateOf(g) == v1alpha1.StateGranted {
			other.wakeAt(p.local.Now())
		}
	}
}

func (p *pass) finish(d *access.Decision) {
	d.AWS, d.Kubernetes = p.g.Status.AWS, p.g.Status.Kubernetes
	status.Grant(p.g, d, p.notes, p.now)
	p.write()
	if access.MayExist(p.g) && !p.ending() {
		p.k.wakeAt(p.local.Now().Add(access.Deadline(p.g).Sub(p.now)))
	}
	if p.failed {
		backoff := p.k.backoff
		if p.ending() {
			backoff = p.k.endingBackoff
		}
		p.k.wakeAt(p.local.Now().Add(backoff.When(p.g.UID)))
		return
	}
	p.k.backoff.Forget(p.g.UID)
	p.k.endingBackoff.Forget(p.g.UID)
	if d.State != v1alpha1.StateGranting {
		p.k.person = nil
	}
	if d.State == v1alpha1.StateGranted && p.verdict == nil {
		p.removals.Forget(p.g.UID)
	}
	if p.again > 0 && (d.RecheckAfter == 0 || p.again < d.RecheckAfter) {
		d.RecheckAfter = p.again
	}
	if d.RecheckAfter > 0 {
		p.k.wakeAt(p.local.Now().Add(d.RecheckAfter))
	}
	if !d.WakeAt.IsZero() {
		p.k.wakeAt(p.local.Now().Add(max(d.WakeAt.Sub(p.now), time.Millisecond)))
	}
}

// cause is the reason that a grant's end was stored with.
func cause(g *v1alpha1.ProdAccessGrant) string {
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); c != nil {
		return c.Message
	}
	return ""
}
