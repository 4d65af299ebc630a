// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Effect is what has to be done next.
type Effect string

// What has to be done next.
const (
	// EffectNone asks for nothing but the status.
	EffectNone Effect = ""
	// EffectIdentify asks AWS about the person, and then for another decision. The status stays as it is meanwhile.
	EffectIdentify Effect = "Identify"
	// EffectSync makes exist what is intended and takes away what is not.
	EffectSync Effect = "Sync"
	// EffectRemove takes away whatever may exist.
	EffectRemove Effect = "Remove"
	// EffectVerify looks once more that nothing exists, and takes away what does.
	EffectVerify Effect = "Verify"
	// EffectRelease lets the object go: its finalizer is removed.
	EffectRelease Effect = "Release"
)

const (
	// RecheckAfter is how long to wait before looking again at something that can be mended outside the cluster.
	RecheckAfter = time.Minute
	// RetryAfter is how long to wait before asking AWS again when it could not be asked.
	RetryAfter = 10 * time.Second
	// CallTimeout bounds one call to AWS or to the API server. A write that a paused process had in flight is over
	// after that long, so absence is verified once more that long after an end.
	CallTimeout = 5 * time.Second
	// verifyWindow is how long after that moment a process that starts still verifies.
	verifyWindow = 2 * CallTimeout
)

// Facts are everything that a decision depends on, besides the time.
type Facts struct {
	// Grant as it is stored.
	Grant *v1alpha1.ProdAccessGrant
	// Role that the grant names; nil when there is none, read live if the grant holds anything.
	Role *Role
	// Approvals that name the grant.
	Approvals []v1alpha1.AccessApproval
	// AWS is false when the operator runs with --aws=disabled.
	AWS bool
	// Person is what AWS has just said; nil when it was not asked.
	Person *Person
	// Obstacle is why access could not be written although all was well, for as long as nobody mends it.
	Obstacle Obstacle
	// TakenAway names a binding or membership that somebody else removed, "" if nobody did.
	TakenAway string
	// Done says that the effect of the last decision was just carried out, and that everything was seen to be as it
	// called for.
	Done bool
}

// Obstacle is a reason for machines and a message for people; zero when there is none.
type Obstacle struct{ Reason, Message string }

// Decision is the answer.
type Decision struct {
	// State that the grant is in; see the State constants of the API.
	State string
	// Cause is the reason behind the state, where the state alone does not say it.
	Cause string
	// Message for people.
	Message string
	// Effect is what has to be done next.
	Effect Effect
	// Record says that State, AWS and Kubernetes must be stored before the effect: without it a crash would lose
	// what was intended.
	Record bool
	// WakeAt is when time alone changes the answer; zero when it never does.
	WakeAt time.Time
	// RecheckAfter is how long to wait before looking at outside facts again; zero when only events matter.
	RecheckAfter time.Duration

	SpecDigest     string
	ApprovalDigest string
	Approvals      []v1alpha1.CountedApproval
	// Approved and Eligible are the answers behind the conditions of these names.
	Approved, Eligible Answer
	// AWS and Kubernetes are what the grant calls for.
	AWS        v1alpha1.GrantAWSStatus
	Kubernetes v1alpha1.GrantKubernetesStatus
}

// Answer is a yes or no with its reason. The zero Answer means that the question was not looked at this time.
type Answer struct {
	Yes             bool
	Reason, Message string
}

// StateOf reads the state that a grant was last seen in, "" for a new one.
func StateOf(g *v1alpha1.ProdAccessGrant) string {
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); c != nil {
		return c.Reason
	}
	return ""
}

// Terminal says whether a state is final.
func Terminal(state string) bool {
	return state == v1alpha1.StateExpired || state == v1alpha1.StateRevoked || state == v1alpha1.StateRejected
}

// Deadline is the instant after which the grant gives nothing: what was stored, or what was asked for if that is
// earlier or nothing is stored yet.
func Deadline(g *v1alpha1.ProdAccessGrant) time.Time {
	d := g.Spec.ExpiresAt.Time
	if s := g.Status.ExpiresAt; s != nil && s.Time.Before(d) {
		return s.Time
	}
	return d
}

// MayExist says whether access may exist on the account of the grant, whatever its state says.
func MayExist(g *v1alpha1.ProdAccessGrant) bool {
	return mayExist(StateOf(g), &g.Status.AWS, &g.Status.Kubernetes)
}

// While a grant is suspended its intentions stand, so that it can come back; only what was seen may exist then.
func mayExist(state string, aws *v1alpha1.GrantAWSStatus, kube *v1alpha1.GrantKubernetesStatus) bool {
	suspended := state == v1alpha1.StateSuspended
	return slices.ContainsFunc(aws.Groups, func(m v1alpha1.GroupMembership) bool { return m.Observed || m.Intended && !suspended }) ||
		slices.ContainsFunc(kube.Bindings, func(b v1alpha1.GrantBinding) bool { return b.Observed || b.Intended && !suspended })
}

// Covers says whether the grant is a reason for its person to be in the group now: the union of these answers over all
// grants is what the membership is reconciled against (invariant I4).
func Covers(g *v1alpha1.ProdAccessGrant, group string, now time.Time) bool {
	state := StateOf(g)
	if state != v1alpha1.StateGranting && state != v1alpha1.StateGranted || g.DeletionTimestamp != nil || !now.Before(Deadline(g)) {
		return false
	}
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return string(m.Name) == group && m.Intended })
}

// Claims says whether a membership in the group may have been made on the account of the grant: it is ours, then.
func Claims(g *v1alpha1.ProdAccessGrant, group string) bool {
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool {
		return string(m.Name) == group && (m.Intended || m.Observed)
	})
}

// Decide says what becomes of a grant now.
//
// The order of the questions is the order of what must never wait: an end that was decided stays decided (I3), a
// deletion and the deadline come before everything that can be unknown (I2), and only then come role, approvals and
// person.
func Decide(f Facts, now time.Time) Decision {
	c := &decider{Facts: f, now: now, prior: StateOf(f.Grant), deadline: Deadline(f.Grant)}
	return c.decide()
}

type decider struct {
	Facts
	now      time.Time
	prior    string
	deadline time.Time
	tally    tally
}

func (c *decider) decide() Decision {
	g := c.Grant
	if Terminal(c.prior) {
		return c.over()
	}
	if g.DeletionTimestamp != nil {
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonDeleted)
	}
	if c.prior == v1alpha1.StateRevoking {
		return c.end(c.decidedEnd())
	}
	if !c.now.Before(c.deadline) {
		return c.end(v1alpha1.StateExpired, v1alpha1.ReasonDeadline)
	}
	var d Decision
	if g.Status.ActivatedAt != nil {
		d = c.live()
	} else {
		d = c.waiting()
	}
	if d.WakeAt.IsZero() && !Terminal(d.State) {
		d.WakeAt = c.deadline
	}
	return d
}

// over is what becomes of a grant that has ended: nothing, but that its absence is verified once more, and that a
// deleted object is kept until then.
func (c *decider) over() Decision {
	g := c.Grant
	d := c.keep(c.prior, "")
	if mayExist(c.prior, &d.AWS, &d.Kubernetes) {
		d.Effect = EffectRemove
		return d
	}
	verifyAt := c.now
	if held(&d) && g.Status.EndedAt != nil {
		verifyAt = g.Status.EndedAt.Add(CallTimeout)
	}
	switch {
	case c.now.Before(verifyAt):
		d.WakeAt = verifyAt
	case held(&d) && !c.Done && c.now.Before(verifyAt.Add(verifyWindow)):
		d.Effect = EffectVerify
	case g.DeletionTimestamp != nil:
		d.Effect = EffectRelease
	}
	return d
}

// held says whether the grant ever called for anything.
func held(d *Decision) bool { return len(d.AWS.Groups)+len(d.Kubernetes.Bindings) > 0 }

// decidedEnd reads what an end that is under way was decided to be.
func (c *decider) decidedEnd() (state, cause string) {
	if r := meta.FindStatusCondition(c.Grant.Status.Conditions, v1alpha1.ConditionReconciling); r != nil {
		if r.Reason == v1alpha1.ReasonDeadline {
			return v1alpha1.StateExpired, r.Reason
		}
		return v1alpha1.StateRevoked, r.Reason
	}
	return v1alpha1.StateRevoked, v1alpha1.ReasonDeleted
}

// end takes everything away for good.
func (c *decider) end(outcome, cause string) Decision {
	d := c.keep(outcome, cause)
	for i := range d.AWS.Groups {
		m := &d.AWS.Groups[i]
		m.Intended, m.Observed = false, m.Intended || m.Observed
	}
	for i := range d.Kubernetes.Bindings {
		b := &d.Kubernetes.Bindings[i]
		b.Intended, b.Observed = false, b.Intended || b.Observed
	}
	d.Message = c.endMessage(cause)
	if c.removedAlready() {
		switch {
		case held(&d):
			d.WakeAt = c.now.Add(CallTimeout)
		case cause == v1alpha1.ReasonDeleted:
			d.Effect = EffectRelease
		}
		return d
	}
	d.State, d.Effect = v1alpha1.StateRevoking, EffectRemove
	// A deadline stays passed and a deletion stays asked for: whoever comes after a crash decides the same. Every
	// other cause can go away again, and must not take the decision with it.
	d.Record = cause != v1alpha1.ReasonDeadline && cause != v1alpha1.ReasonDeleted && c.prior != v1alpha1.StateRevoking
	return d
}

func (c *decider) removedAlready() bool {
	return !mayExist(c.prior, &c.Grant.Status.AWS, &c.Grant.Status.Kubernetes)
}

func (c *decider) endMessage(cause string) string {
	g := c.Grant
	switch cause {
	case v1alpha1.ReasonDeadline:
		if g.Status.ActivatedAt == nil {
			return fmt.Sprintf("the window ended at %s without access having been granted", stamp(c.deadline))
		}
		return fmt.Sprintf("access ended at the deadline, %s", stamp(c.deadline))
	case v1alpha1.ReasonDeleted:
		return "the grant was deleted"
	case v1alpha1.ReasonRoleChanged:
		return fmt.Sprintf("the role %s no longer names anything that this grant holds: create another grant if access is still needed", g.Spec.Role)
	case v1alpha1.ReasonRemovedByOthers:
		if c.TakenAway != "" {
			return fmt.Sprintf("somebody took %s away, so the whole grant ends: create another grant if access is still needed", c.TakenAway)
		}
		if c.Obstacle.Message != "" {
			return c.Obstacle.Message
		}
	}
	if a := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); a != nil {
		return a.Message
	}
	return "the grant was revoked"
}

// keep carries over what is stored.
func (c *decider) keep(state, cause string) Decision {
	s := c.Grant.Status.DeepCopy()
	d := Decision{State: state, Cause: cause, AWS: s.AWS, Kubernetes: s.Kubernetes,
		SpecDigest: SpecDigest(&c.Grant.Spec), ApprovalDigest: s.ApprovalDigest, Approvals: s.Approvals}
	if a := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionActive); a != nil {
		d.Message = a.Message
	}
	return d
}

// waiting decides about a grant that has not been active yet: it may be writing, or taking back what it began to write.
func (c *decider) waiting() Decision {
	if c.Role != nil {
		c.tally = count(c.Grant, c.Role, c.Person, c.Approvals)
	}
	d := c.settle(c.due())
	d.ApprovalDigest, d.Approvals = "", nil
	if c.Role != nil {
		d.ApprovalDigest = ApprovalDigest(string(c.Grant.UID), d.SpecDigest, c.Role.MeaningDigest())
		d.Approvals, d.Approved = c.tally.counted, c.approved()
	}
	return d
}

// settle keeps what was begun and what is due from contradicting each other.
func (c *decider) settle(d Decision) Decision {
	if c.prior == v1alpha1.StateBlocked && (c.Done || !c.removedAlready()) {
		return c.backing(d)
	}
	if c.removedAlready() {
		return d
	}
	unavailable := d.Cause == v1alpha1.ReasonAWSUnavailable
	onward := d.State == v1alpha1.StateGranting || d.State == v1alpha1.StateGranted || d.Effect == EffectIdentify
	if c.prior == v1alpha1.StateGranting && (onward || unavailable) {
		if unavailable {
			k := c.keep(v1alpha1.StateGranting, d.Cause)
			k.Message, k.Eligible, k.RecheckAfter = d.Message, d.Eligible, d.RecheckAfter
			return k
		}
		return d
	}
	// Half of an access is worse than none: what was written is taken back before anything else is considered.
	back := c.end(v1alpha1.StateBlocked, d.Cause)
	back.State, back.Record = v1alpha1.StateBlocked, true
	back.Message, back.Eligible = d.Message, d.Eligible
	return back
}

// backing goes on taking back what was written, and then rests: what stood in the way is still there, as far as anybody
// knows, and access that comes and goes by the second helps nobody.
func (c *decider) backing(d Decision) Decision {
	k := c.keep(v1alpha1.StateBlocked, c.storedObstacle())
	switch {
	case !c.removedAlready():
		k.Effect = EffectRemove
	case k.Cause == "":
		return d
	}
	k.RecheckAfter = RecheckAfter
	return k
}

// storedObstacle reads what stood in the way of writing when it was last tried, "" if nothing did.
func (c *decider) storedObstacle() string {
	for _, kind := range []string{v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced} {
		if s := meta.FindStatusCondition(c.Grant.Status.Conditions, kind); s != nil && slices.Contains(obstacles, s.Reason) {
			return s.Reason
		}
	}
	return ""
}

var obstacles = []string{
	v1alpha1.ReasonForeignMembership, v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonGroupNotFound, v1alpha1.ReasonRemovedByOthers,
	v1alpha1.ReasonConflict, v1alpha1.ReasonForbidden,
}

// due asks, in turn, everything that must be so before access is written. It starts from what is stored.
func (c *decider) due() Decision {
	g, r := c.Grant, c.Role
	blocked := func(cause, message string) Decision {
		d := c.keep(v1alpha1.StateBlocked, cause)
		d.Message = message
		return d
	}
	if r == nil {
		return blocked(v1alpha1.ReasonRoleNotFound, fmt.Sprintf("there is no AccessRole %s: ask the platform team for it, or create another grant", g.Spec.Role))
	}
	if why := violation(g, r); why != "" {
		return blocked(v1alpha1.ReasonPolicyViolation, why)
	}
	if rejection := c.tally.rejected; rejection != nil {
		d := c.keep(v1alpha1.StateRejected, v1alpha1.ReasonRejected)
		d.Message = fmt.Sprintf("%s rejected it (%s)", rejection.Spec.Approver, rejection.Name)
		if rejection.Spec.Comment != "" {
			d.Message += ": " + rejection.Spec.Comment
		}
		return d
	}
	if required := r.Spec.Approval.Required; len(c.tally.counted) < int(required) {
		d := c.keep(v1alpha1.StatePendingApproval, "")
		d.Message = c.tally.message(g, required)
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
		return blocked(v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", r.Name, why))
	}
	return c.person(blocked)
}

// person asks about the person and about what stands in the way of writing.
func (c *decider) person(blocked func(cause, message string) Decision) Decision {
	g, r, p := c.Grant, c.Role, c.Person
	if !c.AWS {
		if len(r.groups()) > 0 {
			v := verdict{v1alpha1.ReasonAWSDisabled, fmt.Sprintf("the role %s has IAM groups, and the operator runs with --aws=disabled: "+
				"ask the platform team to enable AWS or for a role without groups", r.Name)}
			d := blocked(v.reason, v.message)
			d.Eligible = no(v)
			return d
		}
		p = nil
	} else if p == nil {
		d := c.keep(c.prior, "")
		d.Effect = EffectIdentify
		return d
	}
	block := func(cause, message string, eligible Answer) Decision {
		d := blocked(cause, message)
		d.Eligible, d.RecheckAfter = eligible, RecheckAfter
		return d
	}
	if v := identity(g.Spec.Subject, p); v.bad() {
		d := block(v.reason, v.message, no(v))
		if v.reason == v1alpha1.ReasonAWSUnavailable {
			d.RecheckAfter = RetryAfter
		}
		return d
	}
	eligible := c.eligible(p)
	if p != nil {
		if len(p.Foreign) > 0 {
			return block(v1alpha1.ReasonForeignMembership, fmt.Sprintf("%s is already in the IAM group %s, and not by a grant: ask the AWS administrator "+
				"to remove the membership; it is not taken over, because it would outlast the grant or end with it", p.Name, listed(p.Foreign)), eligible)
		}
		if joined := c.joinable(p); len(p.Memberships)+joined > MaxGroupsPerUser {
			return block(v1alpha1.ReasonQuotaExceeded, fmt.Sprintf("%s is in %d IAM groups already, and AWS allows %d: ask the AWS administrator to free %d",
				p.Name, len(p.Memberships), MaxGroupsPerUser, len(p.Memberships)+joined-MaxGroupsPerUser), eligible)
		}
	}
	if c.Obstacle.Reason != "" {
		return block(c.Obstacle.Reason, c.Obstacle.Message, eligible)
	}
	d := c.plan(p)
	d.Eligible = eligible
	return d
}

// joinable counts the groups of the role that the person is not in yet.
func (c *decider) joinable(p *Person) int {
	n := 0
	for _, group := range c.Role.groups() {
		if !isOneOf(string(group), p.Memberships) {
			n++
		}
	}
	return n
}

// plan calls for everything that the role means.
func (c *decider) plan(p *Person) Decision {
	g, r := c.Grant, c.Role
	d := c.keep(v1alpha1.StateGranting, "")
	d.Effect, d.Record = EffectSync, c.prior != v1alpha1.StateGranting
	d.Message = "access is being written"
	if c.prior == v1alpha1.StateGranting {
		return c.whenDone(d)
	}
	if p != nil {
		d.AWS.UserID = p.UserID
	}
	d.AWS.Groups = nil
	for _, group := range r.groups() {
		d.AWS.Groups = append(d.AWS.Groups, v1alpha1.GroupMembership{Name: group, Intended: true})
	}
	d.Kubernetes = v1alpha1.GrantKubernetesStatus{}
	if k := r.Spec.Kubernetes; k != nil {
		d.Kubernetes.User, d.Kubernetes.ClusterRole, d.Kubernetes.RulesHash = kubernetesUser(g.Spec.Subject, p), k.ClusterRole, r.RulesHash
		name := BindingName(g)
		if k.Scope == v1alpha1.ScopeCluster {
			d.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Name: name, Intended: true}}
		}
		for _, ns := range g.Spec.Namespaces {
			d.Kubernetes.Bindings = append(d.Kubernetes.Bindings, v1alpha1.GrantBinding{Namespace: string(ns), Name: name, Intended: true})
		}
	}
	return d
}

// live decides about a grant that has been active: nothing is ever added to it, and only what is known to be bad takes
// anything away (invariants I1, I10).
func (c *decider) live() Decision {
	g, r := c.Grant, c.Role
	if c.TakenAway != "" || c.Obstacle.Reason == v1alpha1.ReasonRemovedByOthers {
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRemovedByOthers)
	}
	d := c.keep(c.prior, "")
	dropped := unname(&d, r)
	if !slices.ContainsFunc(d.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return m.Intended }) &&
		!slices.ContainsFunc(d.Kubernetes.Bindings, func(b v1alpha1.GrantBinding) bool { return b.Intended }) {
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRoleChanged)
	}
	d.Kubernetes.RulesHash = r.RulesHash
	d.Record = dropped
	if r.Forbidden != "" {
		return c.suspend(d, v1alpha1.ReasonRoleNotReady, fmt.Sprintf("access is taken away until the platform team mends the role %s: %s", r.Name, r.Forbidden), Answer{})
	}
	if c.prior == v1alpha1.StateSuspended && !c.removedAlready() {
		// Nothing comes back before it is gone.
		d.Effect = EffectRemove
		return d
	}
	if c.prior == v1alpha1.StateSuspended && c.AWS && c.Person == nil {
		d.Effect = EffectIdentify
		return d
	}
	if p := c.Person; p != nil && p.Unavailable == "" {
		v := identity(g.Spec.Subject, p)
		if !v.bad() && p.UserID != d.AWS.UserID {
			v = verdict{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the IAM user %s was created anew and is not the one that was granted access: create another grant", p.Name)}
		}
		if v.bad() {
			return c.suspend(d, v.reason, v.message, no(v))
		}
		d.Eligible = c.eligible(p)
	} else if p != nil && c.prior == v1alpha1.StateSuspended {
		d.Eligible, d.RecheckAfter = no(identity(g.Spec.Subject, p)), RetryAfter
		return d
	}
	if o := c.Obstacle; o.Reason != "" && c.prior != v1alpha1.StateGranted {
		return c.suspend(d, o.Reason, o.Message, d.Eligible)
	}
	d.Effect = EffectSync
	if c.prior == v1alpha1.StateGranted {
		d.Message = c.grantedMessage(&d)
		return d
	}
	d.State, d.Message = v1alpha1.StateGranting, "access is being given back"
	d.Record = d.Record || c.prior != v1alpha1.StateGranting
	return c.whenDone(d)
}

// whenDone turns Granting into Granted once everything was seen to exist.
func (c *decider) whenDone(d Decision) Decision {
	if c.Done && c.prior == v1alpha1.StateGranting {
		d.State, d.Effect, d.Record = v1alpha1.StateGranted, EffectNone, false
		d.Message = c.grantedMessage(&d)
	}
	return d
}

func (c *decider) suspend(d Decision, cause, message string, eligible Answer) Decision {
	d.Record = d.Record || c.prior != v1alpha1.StateSuspended
	if c.prior != v1alpha1.StateSuspended {
		for i := range d.AWS.Groups {
			d.AWS.Groups[i].Observed = d.AWS.Groups[i].Observed || d.AWS.Groups[i].Intended
		}
		for i := range d.Kubernetes.Bindings {
			d.Kubernetes.Bindings[i].Observed = d.Kubernetes.Bindings[i].Observed || d.Kubernetes.Bindings[i].Intended
		}
	}
	d.State, d.Cause, d.Message, d.Eligible, d.RecheckAfter = v1alpha1.StateSuspended, cause, message, eligible, RecheckAfter
	d.Effect = removalOf(d)
	return d
}

func removalOf(d Decision) Effect {
	if mayExist(d.State, &d.AWS, &d.Kubernetes) {
		return EffectRemove
	}
	return EffectNone
}

// unname withdraws the intention for everything that the role no longer names, and says whether that was anything.
func unname(d *Decision, r *Role) bool {
	changed := false
	withdraw := func(intended, observed *bool) {
		if *intended {
			*intended, *observed, changed = false, true, true
		}
	}
	for i := range d.AWS.Groups {
		if m := &d.AWS.Groups[i]; r == nil || !slices.Contains(r.groups(), m.Name) {
			withdraw(&m.Intended, &m.Observed)
		}
	}
	for i := range d.Kubernetes.Bindings {
		b := &d.Kubernetes.Bindings[i]
		named := r != nil && r.Spec.Kubernetes != nil && r.Spec.Kubernetes.ClusterRole == d.Kubernetes.ClusterRole &&
			(r.Spec.Kubernetes.Scope == v1alpha1.ScopeCluster) == (b.Namespace == "")
		if !named {
			withdraw(&b.Intended, &b.Observed)
		}
	}
	return changed
}

func (c *decider) approved() Answer {
	if rejection := c.tally.rejected; rejection != nil {
		return Answer{Reason: v1alpha1.ReasonRejected, Message: fmt.Sprintf("%s rejected it", rejection.Spec.Approver)}
	}
	required := c.Role.Spec.Approval.Required
	m := c.tally.message(c.Grant, required)
	if len(c.tally.counted) < int(required) {
		return Answer{Reason: v1alpha1.ReasonApprovalsMissing, Message: m}
	}
	return Answer{Yes: true, Reason: v1alpha1.ReasonApproved, Message: m}
}

func (c *decider) eligible(p *Person) Answer {
	if p == nil {
		return Answer{Yes: true, Reason: v1alpha1.ReasonEligible, Message: "AWS is disabled; the Kubernetes username stands alone"}
	}
	return Answer{Yes: true, Reason: v1alpha1.ReasonEligible, Message: fmt.Sprintf("the IAM user %s (%s) exists and has an MFA device", p.Name, p.UserID)}
}

func no(v verdict) Answer { return Answer{Reason: v.reason, Message: v.message} }

func (c *decider) grantedMessage(d *Decision) string {
	var what []string
	if n := len(d.AWS.Groups); n > 0 {
		names := make([]string, 0, n)
		for _, m := range d.AWS.Groups {
			if m.Intended {
				names = append(names, string(m.Name))
			}
		}
		if len(names) > 0 {
			what = append(what, "IAM groups "+listed(names))
		}
	}
	if k := d.Kubernetes; len(k.Bindings) > 0 && k.Bindings[0].Intended {
		where := "the cluster"
		if k.Bindings[0].Namespace != "" {
			where = fmt.Sprintf("%d namespaces", len(k.Bindings))
		}
		what = append(what, fmt.Sprintf("ClusterRole %s in %s as %s", k.ClusterRole, where, k.User))
	}
	return fmt.Sprintf("access until %s: %s", stamp(c.deadline), strings.Join(what, "; "))
}

// BindingName is the name of every binding of a grant: readable, bounded, and different for each object, so that a
// re-created grant never meets the bindings of the one before it.
func BindingName(g *v1alpha1.ProdAccessGrant) string {
	const readable = 40
	name := g.Name
	if len(name) > readable {
		name = name[:readable]
	}
	sum := sha256.Sum256([]byte(g.UID))
	return "prod-access-" + name + "-" + hex.EncodeToString(sum[:5])
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
