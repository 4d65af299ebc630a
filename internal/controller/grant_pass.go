// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"golang.org/x/sync/errgroup"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// maxRounds bounds how many decisions one reconcile carries out; the longest way there is takes four.
const maxRounds = 8

// Kinds of tasks.
const (
	taskIdentify = "identify"
	taskSettle   = "settle"
	taskRemove   = "remove"
	taskVerify   = "verify"
	taskRetire   = "retire"
	taskMake     = "make"

	taskDirectory = "directory"
)

// pass is one reconcile of one grant, or of one emergency in the form of a grant.
type pass struct {
	*GrantReconciler
	// g is worked on; stored is what the API server has.
	g, stored *v1alpha1.ProdAccessGrant
	// glass is the emergency that g stands for, and glassStored what the API server has; nil for a grant.
	glass, glassStored *v1alpha1.BreakGlass
	// made is the temporary user that was just made.
	made *v1alpha1.TemporaryUserStatus
	// reportWake is when the report is to be looked at again, reportUnheard that it waits for who is who, and
	// reportUnread that approvals could not be read.
	reportWake                  time.Time
	reportUnheard, reportUnread bool
	// now is read once.
	now   time.Time
	log   logr.Logger
	facts access.Facts
	// ready is the task that has finished since the last reconcile.
	ready *task
	notes status.Notes
	// failed says that something has to be tried again.
	failed bool
	// slow says that a removal was under way before.
	slow bool
	// unrevoked says that the API server itself was asked whether anything is revoked.
	unrevoked bool
	// unfenced says that a sweep did not find the fence.
	unfenced bool
	// heard says that the approvals were read.
	heard bool
	// again is how soon to look at what looks removed, zero if nothing does.
	again time.Duration
	// verdict is what it is taken for that something is gone which the operator did not take away, nil if nothing is.
	verdict *access.Verdict
}

// run decides, carries out, and decides again until nothing is left to do now.
func (p *pass) run(ctx context.Context) (ctrl.Result, error) {
	if err := p.prepare(ctx); err != nil {
		return p.retry(err), nil
	}
	for range maxRounds {
		d := access.Decide(p.facts, p.now)
		if more, err := p.lookOnceMore(ctx, &d); err != nil {
			return p.retry(err), nil
		} else if more {
			continue
		}
		if err := p.record(ctx, &d); err != nil {
			return p.retry(err), nil
		}
		again, inFlight, err := p.carryOut(ctx, &d)
		switch {
		case err != nil:
			return p.retry(err), nil
		case inFlight && p.failed:
			return p.retry(nil), nil
		case inFlight && d.Effect == access.EffectRemove:
			return p.underWay(ctx, &d), nil
		case inFlight:
			return p.wakeAt(&d), nil
		case !again:
			return p.finish(ctx, &d)
		}
	}
	return p.retry(fmt.Errorf("no settled decision after %d rounds", maxRounds)), nil
}

// lookOnceMore collects what a decision needs to be sure of, and says whether that has to be decided upon.
func (p *pass) lookOnceMore(ctx context.Context, d *access.Decision) (more bool, err error) {
	switch {
	case d.Record && !p.unrevoked && (d.State == v1alpha1.StateGranting || d.State == v1alpha1.StateGranted && d.AWS.UserID != p.stored.Status.AWS.UserID):
		// The last look before access is written is at what is stored, not at what a watch has shown.
		return true, p.readLive(ctx)
	case d.Effect == access.EffectRelease && !p.heard:
		// A no that nobody has looked at yet goes with its target, and is remembered.
		return true, p.readApprovals(ctx)
	}
	return false, nil
}

// prepare collects what decisions depend on. Whatever has to end, or is revoked, needs no role, no approvals and no
// person: nothing that can fail stands before it.
func (p *pass) prepare(ctx context.Context) error {
	err := p.readRevocations(ctx)
	switch {
	case access.Terminal(access.StateOf(p.g)):
		p.notice(ctx)
	case p.ending():
	case err != nil:
		return err
	case !p.revoked():
		if err := p.gather(ctx); err != nil {
			return err
		}
	}
	p.lookAfterMemberships(ctx)
	return nil
}

// record stores what a crash must not lose before the effect of a decision.
func (p *pass) record(ctx context.Context, d *access.Decision) error {
	if d.Remember {
		if err := p.remember(ctx, d); err != nil {
			if d.Effect == access.EffectRelease {
				return err
			}
			// What has to go goes meanwhile, and is not let go before it is remembered.
			p.fail(&p.notes.Bindings, err)
		}
	}
	if !d.Record {
		p.g.Status.AWS, p.g.Status.Kubernetes = d.AWS, d.Kubernetes
		return nil
	}
	status.Grant(p.g, d, status.Notes{}, p.now)
	return p.write(ctx)
}

// notice finds bindings of a grant that has ended: a write of a process that was paused may come true at any time.
func (p *pass) notice(ctx context.Context) {
	for i := range p.g.Status.Kubernetes.Bindings {
		if b := &p.g.Status.Kubernetes.Bindings[i]; p.bindings.Seen(ctx, p.g, *b) {
			b.UID, b.Observed = "", true
		}
	}
}

// identified is what AWS said about a person, and when.
type identified struct {
	person *access.Person
	at     time.Time
}

// identityLasts is how long an activation may go on with what AWS said when it began.
const identityLasts = 30 * time.Second

// unlookedRetry is how soon an emergency is looked at again whose role is being looked at.
const unlookedRetry = 2 * time.Second

// slowAfter is how long a removal may take before people are told that it is under way.
const slowAfter = 2 * time.Second

// underWay comes back to a removal that takes long, and says so in the status: not before it has begun, and not at all
// when it is over in a moment.
func (p *pass) underWay(ctx context.Context, d *access.Decision) ctrl.Result {
	if p.slow && access.StateOf(p.stored) != d.State {
		d.AWS, d.Kubernetes = p.g.Status.AWS, p.g.Status.Kubernetes
		status.Grant(p.g, d, p.notes, p.now)
		if err := p.write(ctx); err != nil {
			return p.retry(err)
		}
	}
	return p.after(slowAfter)
}

func (p *pass) ending() bool {
	state := access.StateOf(p.g)
	return access.Terminal(state) || state == v1alpha1.StateRevoking || p.g.DeletionTimestamp != nil || !p.now.Before(access.Deadline(p.g))
}

// gather collects the facts that decisions about an unended grant depend on, and makes sure of the finalizer.
func (p *pass) gather(ctx context.Context) error {
	if !controllerutil.ContainsFinalizer(p.g, v1alpha1.Finalizer) {
		if err := p.setFinalizer(ctx, controllerutil.AddFinalizer); err != nil {
			return err
		}
	}
	var err error
	// What a live grant loses by a role is known at once; what a waiting one may gain waits for the look at the role.
	if p.facts.Role, err = p.roles.Read(ctx, p.g.Spec.Role); errors.Is(err, errNotLookedAt) && p.glass != nil {
		p.again = unlookedRetry // and whoever waits is told what for
	} else if err != nil && (!errors.Is(err, errNotLookedAt) || p.g.Status.ActivatedAt == nil) {
		return err
	}
	p.facts.Guard, p.facts.AuditBroken = p.guard.State(), p.trail.Broken()
	if err := p.hearApprovers(ctx); err != nil {
		return err
	}
	if i := p.justIdentified(); i != nil && (access.StateOf(p.g) == v1alpha1.StateGranting || p.ready != nil && p.ready.kind == taskRetire) {
		p.facts.Person = i.person
	}
	if err := p.lookAround(ctx); err != nil {
		return err
	}
	return p.lookForConflict(ctx)
}

// hearApprovers reads who has approved a grant, and who of them may. An emergency needs nobody's approval.
func (p *pass) hearApprovers(ctx context.Context) (err error) {
	if p.glass != nil {
		return nil
	}
	if err := p.readApprovals(ctx); err != nil || p.g.Status.ActivatedAt != nil {
		return err
	}
	p.facts.MayApprove, err = p.rights.mayApprove(ctx, p.g, p.facts.Approvals, p.now)
	return err
}

// justIdentified is what AWS said about the person a moment ago, nil if it was not asked.
func (p *pass) justIdentified() *identified {
	known, _ := p.people.Load(p.g.UID)
	if i, ok := known.(identified); ok && p.now.Sub(i.at) < identityLasts {
		return &i
	}
	return nil
}

// lookAround finds what has happened to the person of live access beside it: what the last sweep saw, and other grants,
// with which the fence moves.
func (p *pass) lookAround(ctx context.Context) error {
	s := &p.g.Status
	if p.memberships == nil || access.StateOf(p.g) != v1alpha1.StateGranted || s.AWS.UserID == "" {
		return nil
	}
	sweep := p.memberships.Swept(s.AWS.UserID)
	last, _ := p.looked.Load(p.g.UID)
	news := last == nil || sweep.At.After(last.(time.Time)) //nolint:forcetypeassert // nothing else is stored
	if news {
		p.facts.Suspicion = access.Suspicion(p.g, p.facts.Role, sweep, p.now)
	}
	if err := p.followFence(ctx); err != nil {
		return err
	}
	p.unfenced = news && access.Unfenced(p.g, p.memberships.Fenced)
	return nil
}

// followFence writes down where the fence has moved with the person's other grants. It may be later at any time, and is
// earlier only when AWS has shown that: it says when access ends at the latest.
func (p *pass) followFence(ctx context.Context) error {
	s := &p.g.Status.AWS
	if s.FencedUntil == nil {
		return nil
	}
	grants, err := Grants{p.client}.OfPerson(ctx, s.UserID)
	if err != nil {
		return err
	}
	is, until := s.FencedUntil.Time, access.FencedUntil(grants, p.now)
	moved := !p.memberships.Fenced(s.UserID, is) && p.memberships.Fenced(s.UserID, until)
	if !until.IsZero() && (until.After(is) || moved) {
		s.FencedUntil = &metav1.Time{Time: until}
	}
	return nil
}

func (p *pass) readApprovals(ctx context.Context) error {
	var approvals v1alpha1.AccessApprovalList
	// The operator writes none, so there is no write of its own to wait for.
	if err := p.client.List(ctx, &approvals, client.MatchingFields{indexTarget: keyOf(p.g)}, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing approvals: %w", err)
	}
	p.facts.Approvals, p.heard = approvals.Items, true
	return nil
}

// lookForConflict looks for what stood in the way the last time before anything is written again, so that a lasting
// conflict costs reads and not access that comes and goes.
func (p *pass) lookForConflict(ctx context.Context) (err error) {
	c := meta.FindStatusCondition(p.g.Status.Conditions, v1alpha1.ConditionBindingsSynced)
	if c != nil && access.StateOf(p.g) == v1alpha1.StateBlocked && c.Reason == v1alpha1.ReasonConflict {
		p.facts.Obstacle, err = p.bindings.InTheWay(ctx, access.BindingName(p.g), p.g.Spec.Namespaces)
	}
	return err
}

// carryOut performs the effect of a decision. again asks for another decision on what it brought to light; inFlight
// says that a task has to finish first.
func (p *pass) carryOut(ctx context.Context, d *access.Decision) (again, inFlight bool, err error) {
	p.facts.Done = false
	switch d.Effect {
	case access.EffectIdentify:
		return p.identify()
	case access.EffectMake:
		return p.makeTemporary(ctx)
	case access.EffectSync:
		return p.sync(ctx, d)
	case access.EffectRemove:
		inFlight = p.remove(ctx)
		p.facts.Done = !p.failed && !inFlight
		return !p.failed, inFlight, nil
	case access.EffectVerify:
		inFlight = p.verify(ctx)
		p.facts.Done = !p.failed && !inFlight
		return !p.failed, inFlight, nil
	case access.EffectDeactivate:
		return p.retire(ctx)
	case access.EffectNone:
	case access.EffectRelease:
		p.tasks.forget(p.g.UID)
		p.backoff.Forget(p.g.UID)
		p.endingBackoff.Forget(p.g.UID)
		p.people.Delete(p.g.UID)
		p.looked.Delete(p.g.UID)
		if controllerutil.ContainsFinalizer(p.g, v1alpha1.Finalizer) {
			return false, false, p.release(ctx, d)
		}
	}
	return false, false, nil
}

func (p *pass) identify() (again, inFlight bool, err error) {
	name, role := p.g.Spec.Subject.IAMUser, p.facts.Role
	if access.Emergency(p.g) {
		// How old credentials are does not keep anybody out of an emergency, and is not waited for.
		role = role.OfAnyAge()
	}
	var others []v1alpha1.IAMGroupName
	for _, m := range p.g.Status.AWS.Groups {
		others = append(others, m.Name)
	}
	temporary, inspected := p.temporary(), access.Temporary(p.g)
	answer, ok := await(p, fmt.Sprint(taskIdentify, role.Groups(), others), p.lane(), func(ctx context.Context) identified {
		asked := p.clock.Now() // the answer may wait to be heard
		if inspected {
			return identified{p.memberships.Examine(p.urgently(ctx), temporary), asked}
		}
		return identified{p.memberships.Identify(p.urgently(ctx), name, role, others...), asked}
	})
	if ok {
		p.facts.Person = answer.person
		p.people.Store(p.g.UID, answer)
		if answer.person.Unavailable == "" {
			p.looked.Store(p.g.UID, answer.at)
		}
	}
	return true, !ok, nil
}

// retire makes credentials of the person that are too old unusable. The trail hears of it before it is done: nobody could
// tell afterwards.
func (p *pass) retire(ctx context.Context) (again, inFlight bool, err error) {
	person, maxAge, told := p.facts.Person, p.facts.Role.MaxCredentialAge(), p.now
	if c := meta.FindStatusCondition(p.g.Status.Conditions, v1alpha1.ConditionEligible); c != nil && c.Reason == v1alpha1.ReasonCredentialsStale {
		told = c.LastTransitionTime.Time
	}
	keys, password := person.Credentials.Retire(maxAge, told, p.now)
	if len(keys) == 0 && !password {
		p.facts.Done = true
		return true, false, nil
	}
	if p.ready == nil || p.ready.kind != taskRetire {
		var old []string
		for _, k := range keys {
			old = append(old, "the access key "+k.ID)
		}
		if password {
			old = append(old, "the console password")
		}
		what := fmt.Sprintf("of the IAM user %s, what is older than %s is made unusable: %s", person.Name, maxAge, strings.Join(old, ", "))
		p.tell(ctx, []v1alpha1.OutboxEntry{{Event: audit.EventCredentials, At: metav1.NewTime(p.now.Truncate(time.Second)), Message: what}})
		p.recorder.Eventf(p.g, nil, corev1.EventTypeWarning, "CredentialsDeactivated", "Decide", "%s", what)
	}
	done, ok := await(p, taskRetire, p.tasks.removing, func(ctx context.Context) membership.Deactivation {
		return p.memberships.Retire(ctx, membership.Member{UserID: person.UserID, Name: person.Name, Known: person}, maxAge, told)
	})
	if !ok {
		return false, true, nil
	}
	p.people.Delete(p.g.UID)
	p.again = access.RetryAfter
	if p.facts.Done = done.Err == nil; !p.facts.Done {
		p.fail(&p.notes.Memberships, done.Err)
	}
	return p.facts.Done, false, nil
}

// sync makes exist what is intended, memberships before bindings, and takes away what is not.
func (p *pass) sync(ctx context.Context, d *access.Decision) (again, inFlight bool, err error) {
	// What the role no longer names goes first and waits for nobody.
	p.unbind(ctx, func(b v1alpha1.GrantBinding) bool { return !b.Intended && b.Observed })
	asked := len(p.unsettled()) > 0
	joined, ok := p.join()
	if !ok {
		return false, true, nil
	}
	// In an emergency Kubernetes is not held back by what AWS does not do: the person is known.
	if joined || d.State == v1alpha1.StateGranted || p.glass != nil && p.facts.Obstacle.Reason == "" {
		p.bind(ctx)
	}
	return p.concluded(d, joined, asked), false, nil
}

// concluded says whether what came of writing access has to be decided upon. asked says that memberships were to be settled,
// and joined that they are.
func (p *pass) concluded(d *access.Decision, joined, asked bool) (again bool) {
	switch {
	case p.facts.TakenAway != "":
		return true
	case d.State == v1alpha1.StateGranted:
		p.failed = p.failed || p.facts.Obstacle.Reason != "" && p.again == 0
		// What has followed in an emergency is told.
		return p.glass != nil && asked && joined && !p.failed
	case p.facts.Obstacle.Reason != "":
		return true
	case p.again > 0:
		return false
	}
	p.facts.Done = joined && !p.failed || p.opened()
	return p.facts.Done
}

// join makes the memberships as they are intended, and says whether they are; ok is false while that is under way.
func (p *pass) join() (joined, ok bool) {
	groups := p.unsettled()
	if len(groups) == 0 {
		return true, true
	}
	given, ok := await(p, about(taskSettle, groups), p.lane(), p.give(groups))
	if !ok {
		return false, false
	}
	p.looked.Store(p.g.UID, p.now)
	p.unfenced = false
	p.fenced(given.fence)
	return p.merge(given.groups), true
}

// unsettled are the memberships that are not as intended, or not fenced as they were.
func (p *pass) unsettled() []v1alpha1.GroupMembership {
	var groups []v1alpha1.GroupMembership
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended != m.Observed || m.Intended && p.unfenced {
			groups = append(groups, m)
		}
	}
	return groups
}

// about tells tasks of one kind apart by what they ask: the answer to another question is no answer.
func about(kind string, groups []v1alpha1.GroupMembership) string {
	return fmt.Sprint(kind, groups)
}

// remove takes everything away: both sides side by side, and neither is stopped by the other's failure.
func (p *pass) remove(ctx context.Context) (inFlight bool) {
	var groups []v1alpha1.GroupMembership
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended || m.Observed {
			groups = append(groups, m)
		}
	}
	var outcomes []settled
	left := true
	removal := p.settle(groups, settleOurs)
	if access.Temporary(p.g) {
		removal = p.deleteTemporary(groups)
	}
	if len(groups) > 0 {
		outcomes, left = await(p, about(taskRemove, groups), p.tasks.removing, removal)
	}
	if gone, ok := p.unbound.LoadAndDelete(p.g.UID); ok {
		p.g.Status.Kubernetes.Bindings = gone.([]v1alpha1.GrantBinding) //nolint:forcetypeassert // stored below
		p.slow = true
	} else {
		p.unbind(ctx, func(b v1alpha1.GrantBinding) bool { return b.Intended || b.Observed })
	}
	if !left {
		if !p.failed {
			p.unbound.Store(p.g.UID, p.g.Status.Kubernetes.Bindings)
		}
		return true
	}
	p.merge(outcomes)
	return false
}

// verify looks once more for everything that the grant ever called for.
func (p *pass) verify(ctx context.Context) (inFlight bool) {
	if s := &p.g.Status.AWS; len(s.Groups) > 0 || s.FencedUntil != nil {
		last, ok := await(p, taskVerify, p.tasks.removing, p.settleForGood(s.Groups))
		if !ok {
			return true
		}
		p.merge(last.groups)
		if last.fence.Err != nil {
			p.fail(&p.notes.Memberships, last.fence.Err)
		}
	}
	for i := range p.g.Status.Kubernetes.Bindings {
		// A write that was in flight may have made a binding whose uid nobody recorded: its owner tells that it is ours.
		b := p.g.Status.Kubernetes.Bindings[i]
		b.UID = ""
		if o := p.bindings.Remove(ctx, p.g, b); o.Err != nil {
			p.fail(&p.notes.Bindings, o.Err)
		}
	}
	return false
}

// settleForGood looks once more at memberships that have been settled, and removes the fence once they are gone.
func (p *pass) settleForGood(groups []v1alpha1.GroupMembership) func(context.Context) given {
	again, member, fence := p.settle(groups, settleAgain), p.member(), p.g.Status.AWS.FencedUntil
	if access.Temporary(p.g) {
		again, fence = p.deleteTemporary(groups), nil // gone with the user
	}
	return func(ctx context.Context) given {
		last := given{groups: again(ctx)}
		if fence != nil && p.memberships != nil && !slices.ContainsFunc(last.groups, func(o settled) bool { return o.Err != nil }) {
			last.fence.Err = p.memberships.Unfence(ctx, member, fence.Time)
		}
		return last
	}
}

// settled is what became of one membership of a grant.
type settled struct {
	group v1alpha1.IAMGroupName
	membership.Outcome
}

// settling is one way to settle a membership.
type settling func(context.Context, *membership.Engine, membership.Member, string) membership.Outcome

// settleRecorded leaves a membership that no grant has on record alone.
func settleRecorded(ctx context.Context, e *membership.Engine, m membership.Member, group string) membership.Outcome {
	return e.Settle(ctx, m, group, false)
}

// settleOurs is for a membership that this grant has on record, in a status that may not be stored yet.
func settleOurs(ctx context.Context, e *membership.Engine, m membership.Member, group string) membership.Outcome {
	return e.Settle(ctx, m, group, true)
}

// settleAgain looks once more at a membership that has been settled.
func settleAgain(ctx context.Context, e *membership.Engine, m membership.Member, group string) membership.Outcome {
	return e.Verify(ctx, m, group)
}

func (p *pass) member() membership.Member {
	return membership.Member{UserID: p.g.Status.AWS.UserID, Name: p.g.Spec.Subject.IAMUser}
}

// given is what became of memberships, and of the fence around them.
type given struct {
	fence  membership.Fence
	groups []settled
}

// give makes memberships, behind a fence.
func (p *pass) give(groups []v1alpha1.GroupMembership) func(context.Context) given {
	member, just, temporary, made := p.member(), p.justIdentified(), access.Temporary(p.g), p.temporary()
	return func(ctx context.Context) given {
		ctx = p.urgently(ctx)
		// The work may have waited for its turn.
		if just != nil && p.clock.Now().Sub(just.at) < identityLasts {
			member.Known = just.person
		}
		var g given
		var incomplete error
		if temporary && p.memberships != nil {
			ctx = aws.OnTemporaryUser(ctx)
			incomplete = p.memberships.Complete(ctx, made)
		}
		for _, m := range groups {
			o := membership.Outcome{Present: true, Err: errAWSDisabled}
			switch {
			case p.memberships == nil:
			case !m.Intended:
				o = settleRecorded(ctx, p.memberships, member, string(m.Name))
			case incomplete != nil:
				o = membership.Outcome{Covered: true, Err: incomplete}
			default:
				if g.fence == (membership.Fence{}) {
					g.fence = p.memberships.Fence(ctx, member)
				}
				if o.Err = g.fence.Err; o.Err == nil && temporary && g.fence.Until.IsZero() {
					o.Err = errUnfenced
				}
				if o.Err == nil {
					o = settleRecorded(ctx, p.memberships, member, string(m.Name))
				}
			}
			g.groups = append(g.groups, settled{m.Name, o})
		}
		return g
	}
}

// fenced writes down what became of the fence.
func (p *pass) fenced(f membership.Fence) {
	switch s := &p.g.Status.AWS; {
	case !f.Until.IsZero():
		s.FencedUntil = &metav1.Time{Time: f.Until}
		p.notes.Fence.Reason = v1alpha1.ReasonFenced
	case f.Obstacle.Reason != "":
		s.FencedUntil, p.notes.Fence = nil, f.Obstacle
	}
}

func (p *pass) settle(groups []v1alpha1.GroupMembership, by settling) func(context.Context) []settled {
	member := p.member()
	return func(ctx context.Context) []settled {
		var all []settled
		for _, m := range groups {
			o := membership.Outcome{Present: true, Err: errAWSDisabled}
			if p.memberships != nil {
				o = by(ctx, p.memberships, member, string(m.Name))
			}
			all = append(all, settled{m.Name, o})
		}
		return all
	}
}

// merge writes down what was seen of the memberships, and says whether all that are intended exist.
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
				// Another live grant covers it: it is that one's from now on, with all that may be wrong with it.
				m.Observed, o.Obstacle, o.Err = false, access.Obstacle{}, nil
			case o.Err == nil:
				m.Observed = o.Present
			}
			joined = joined && (m.Observed || !m.Intended)
		}
		switch {
		case o.Obstacle.Reason == "":
		case p.glass != nil && o.Obstacle.Reason != v1alpha1.ReasonRemovedByOthers:
			// Tried again, and what there is stays meanwhile.
			p.failed, joined, p.notes.Memberships = true, false, o.Obstacle
		default:
			p.facts.Obstacle, p.notes.Memberships = o.Obstacle, o.Obstacle
		}
		if o.Err != nil {
			p.fail(&p.notes.Memberships, o.Err)
		}
	}
	return joined && p.facts.Obstacle.Reason == ""
}

// bind makes the intended bindings exist.
func (p *pass) bind(ctx context.Context) {
	// A write that is still being tried when the deadline passes must not succeed after it.
	ctx, cancel := context.WithTimeout(ctx, access.Deadline(p.g).Sub(p.clock.Now()))
	defer cancel()
	p.eachBinding(func(b v1alpha1.GrantBinding) bool { return b.Intended }, func(b v1alpha1.GrantBinding) rbac.Outcome {
		return p.bindings.Ensure(ctx, p.g, b)
	}, func(b *v1alpha1.GrantBinding, o rbac.Outcome) {
		*b = o.Binding
		if o.TakenAway {
			// On record for as long as it is not clear who took it: without the uid it would be made anew.
			b.Observed = true
		}
		switch {
		case o.TakenAway:
			p.missing(ctx, rbac.Describe(*b), &p.notes.Bindings)
		case o.Obstacle.Reason != "":
			p.facts.Obstacle, p.notes.Bindings = o.Obstacle, o.Obstacle
		}
	})
}

// unbind removes bindings.
func (p *pass) unbind(ctx context.Context, which func(v1alpha1.GrantBinding) bool) {
	suspended := access.StateOf(p.g) == v1alpha1.StateSuspended
	p.eachBinding(which, func(b v1alpha1.GrantBinding) rbac.Outcome {
		return p.bindings.Remove(ctx, p.g, b)
	}, func(b *v1alpha1.GrantBinding, o rbac.Outcome) {
		if b.Observed = o.Binding.Observed || o.Err != nil; suspended && !b.Observed {
			// What comes back is a new binding.
			b.UID, b.NamespaceUID = "", ""
		}
	})
}

func (p *pass) eachBinding(which func(v1alpha1.GrantBinding) bool, work func(v1alpha1.GrantBinding) rbac.Outcome, note func(*v1alpha1.GrantBinding, rbac.Outcome)) {
	bindings := p.g.Status.Kubernetes.Bindings
	outcomes := make([]*rbac.Outcome, len(bindings))
	var side errgroup.Group
	side.SetLimit(bindingWorkers)
	for i, b := range bindings {
		if which(b) {
			side.Go(func() error {
				o := work(b)
				outcomes[i] = &o
				return nil
			})
		}
	}
	_ = side.Wait() // the work tells of its failures in its outcomes
	for i, o := range outcomes {
		if o == nil {
			continue
		}
		note(&bindings[i], *o)
		if o.Err != nil {
			p.fail(&p.notes.Bindings, o.Err)
		}
	}
}

func (p *pass) fail(note *access.Obstacle, err error) {
	p.failed = true
	*note = access.Obstacle{Reason: v1alpha1.ReasonError, Message: err.Error()}
	p.log.Info("will be tried again", "trouble", err.Error())
}

// finish writes the status down, tells of a change of state, and says when to look again.
func (p *pass) finish(ctx context.Context, d *access.Decision) (ctrl.Result, error) {
	if d.Effect == access.EffectRelease {
		return ctrl.Result{}, nil
	}
	p.flush(ctx)
	d.AWS, d.Kubernetes = p.g.Status.AWS, p.g.Status.Kubernetes
	status.Grant(p.g, d, p.notes, p.now)
	if err := p.write(ctx); err != nil {
		return p.retry(err), nil
	}
	p.unbound.Delete(p.g.UID)
	if p.failed {
		return p.retry(nil), nil
	}
	p.backoff.Forget(p.g.UID)
	p.endingBackoff.Forget(p.g.UID)
	if d.State != v1alpha1.StateGranting {
		p.people.Delete(p.g.UID)
	}
	if d.State == v1alpha1.StateGranted && p.verdict == nil {
		p.removals.Forget(p.g.UID)
	}
	if len(p.g.Status.Outbox) > 0 {
		p.again = access.RetryAfter
	}
	p.followReport(ctx, d)
	if p.again > 0 && (d.RecheckAfter == 0 || p.again < d.RecheckAfter) {
		d.RecheckAfter = p.again
	}
	return p.wakeAt(d), nil
}

// write stores the status if it changed, provided that nobody changed the object meanwhile, and tells of a change of
// state once it is stored.
func (p *pass) write(ctx context.Context) error {
	before, after := access.StateOf(p.stored), access.StateOf(p.g)
	told := changes(p.stored, p.g, p.now)
	if p.glass != nil {
		told = append(told, p.account(ctx, told)...)
	}
	if equality.Semantic.DeepEqual(p.stored.Status, p.g.Status) && (p.glass == nil || equality.Semantic.DeepEqual(p.glassStored.Status, p.glass.Status)) {
		return nil
	}
	p.tell(ctx, told)
	// From here on: a trail that hangs takes time of its own.
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	if err := p.storeStatus(ctx); err != nil {
		return err
	}
	p.stored = p.g.DeepCopy()
	p.alarms.set(p.g)
	if before != after {
		p.announce(ctx, before, after)
	}
	for _, e := range told {
		if before == after && e.Event == audit.EventGranted {
			p.recorder.Eventf(p.g, nil, corev1.EventTypeWarning, v1alpha1.StateGranted, "Decide", "%s", e.Message)
		}
		if reason, also := eventReasons[e.Event]; also {
			p.recorder.Eventf(p.g, nil, reason.kind, reason.name, "Decide", "%s", e.Message)
		}
	}
	return nil
}

// announce tells of a change of state.
func (p *pass) announce(ctx context.Context, before, after string) {
	c := meta.FindStatusCondition(p.g.Status.Conditions, v1alpha1.ConditionActive)
	p.log.Info("state changed", "from", before, "to", after, "message", c.Message)
	kind := corev1.EventTypeNormal
	if after == v1alpha1.StateBlocked || after == v1alpha1.StateSuspended || after == v1alpha1.StateRejected || p.glass != nil {
		kind = corev1.EventTypeWarning
	}
	measure(p.g, after, p.clock.Now())
	if after == v1alpha1.StateGranted || before == v1alpha1.StateGranted {
		p.wakePeers(ctx)
	}
	p.recorder.Eventf(p.g, nil, kind, after, "Decide", "%s", c.Message)
}

// wakePeers looks again at the other live grants of the person, with whose fence this one's moves.
func (p *pass) wakePeers(ctx context.Context) {
	if p.g.Status.AWS.FencedUntil == nil {
		return
	}
	grants, err := Grants{p.client}.OfPerson(ctx, p.g.Status.AWS.UserID)
	if err != nil {
		p.log.Error(err, "looking for other grants of the person")
		return
	}
	for i := range grants {
		if g := &grants[i]; g.UID != p.g.UID && access.StateOf(g) == v1alpha1.StateGranted {
			p.wake.wake(keyOf(g), priorityOf(g))
		}
	}
}

func (p *pass) setFinalizer(ctx context.Context, change func(client.Object, string) bool) error {
	base := p.g.DeepCopy()
	change(p.g, v1alpha1.Finalizer)
	if p.glass != nil {
		return p.storeFinalizers(ctx)
	}
	if err := p.client.Patch(ctx, p.g, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner)); err != nil {
		return client.IgnoreNotFound(err)
	}
	p.stored = p.g.DeepCopy()
	return nil
}

// retry looks again after a growing wait.
func (p *pass) retry(err error) ctrl.Result {
	backoff := p.backoff
	if p.ending() {
		backoff = p.endingBackoff
	}
	wait := backoff.When(p.g.UID)
	if err != nil && !apierrors.IsConflict(err) && !errors.Is(err, errNotLookedAt) {
		p.log.Error(err, "will be tried again", "after", wait)
	}
	return p.after(wait)
}

func (p *pass) wakeAt(d *access.Decision) ctrl.Result {
	switch {
	case d.WakeAt.IsZero() && d.RecheckAfter == 0:
		return ctrl.Result{}
	case d.WakeAt.IsZero():
		return p.after(d.RecheckAfter)
	case d.RecheckAfter == 0:
		return p.after(d.WakeAt.Sub(p.now))
	}
	return p.after(min(d.RecheckAfter, d.WakeAt.Sub(p.now)))
}

// after asks for another reconcile. The wait counts from when the time was read, not from now.
func (p *pass) after(wait time.Duration) ctrl.Result {
	priority := priorityOf(p.g)
	if p.ending() && access.MayExist(p.g) {
		priority = priorityRemoval
	}
	wait -= p.clock.Now().Sub(p.now)
	return ctrl.Result{RequeueAfter: max(wait, time.Millisecond), Priority: &priority}
}

// await returns the result of a task of this kind, or begins it and reports false: the grant is woken when it is done.
func await[R any](p *pass, kind string, in *lane, work func(context.Context) R) (result R, ok bool) {
	if p.ready != nil && p.ready.kind == kind {
		result, ok = p.ready.result.(R)
		p.ready = nil
		return result, ok
	}
	p.tasks.begin(p.g.UID, keyOf(p.g), kind, in, func(ctx context.Context) any { return work(ctx) })
	return result, false
}
