// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
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
	// EffectMake makes the temporary user that an emergency asks for.
	EffectMake Effect = "Make"
	// EffectSync makes exist what is intended and takes away what is not.
	EffectSync Effect = "Sync"
	// EffectRemove takes away whatever may exist.
	EffectRemove Effect = "Remove"
	// EffectDeactivate makes the person's credentials that are too old unusable.
	EffectDeactivate Effect = "Deactivate"
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
	// CallTimeout bounds one call to AWS or to the API server. An addition may wait that long for its turn before it
	// begins, so absence is verified once more after twice that time from an end: what a paused process still had to write
	// is written then.
	CallTimeout = 5 * time.Second
	// verifyAfter is when that is, counted from status.endedAt, which is in whole seconds, rounded down.
	verifyAfter = 2*CallTimeout + time.Second
	// verifyWindow is how long from then on a process that starts still verifies: longer than the lease takes to
	// change hands.
	verifyWindow = time.Minute
	// fenceWindow is that for whoever has a fence, which denies them everything until it is removed: the fences of a thousand
	// endings take minutes.
	fenceWindow = 10 * time.Minute
)

// Facts are everything that a decision depends on, besides the time.
type Facts struct {
	// Grant as it is stored.
	Grant *v1alpha1.ProdAccessGrant
	// Role that the grant names; nil when there is none, read live if the grant holds anything.
	Role *Role
	// Approvals that name the grant.
	Approvals []v1alpha1.AccessApproval
	// MayApprove says whether a user with these groups holds the right to approve for the grant's role now; nil when that
	// was not asked, and nobody's word counts then.
	MayApprove func(user string, groups []string) bool
	// Revocations are those that may concern the grant, its people and its approvers, the lifted ones included.
	Revocations []v1alpha1.AccessRevocation
	// Guard is what is known about the admission guard.
	Guard Guard
	// AuditBroken says why the audit trail cannot be written, "" if it can.
	AuditBroken string
	// AWS is false when the operator runs with --aws=disabled.
	AWS bool
	// Fences says whether the operator fences people at AWS.
	Fences bool
	// Person is what AWS has just said; nil when it was not asked.
	Person *Person
	// Unfit is what AWS last said against the person of an emergency; zero if it said nothing.
	Unfit Obstacle
	// NoTemporary is why no temporary user is made for the emergency, whatever its role; zero if one can be.
	NoTemporary Obstacle
	// Obstacle is why access could not be written although all was well, for as long as nobody mends it.
	Obstacle Obstacle
	// TakenAway names a binding or membership that somebody else removed, "" if nobody did.
	TakenAway string
	// Suspicion says why it is time to ask AWS about the person of a live grant, "" if it is not.
	Suspicion string
	// Done says that the effect of the last decision was just carried out, and that everything was seen to be as it
	// called for.
	Done bool
}

// Obstacle is something that stands in the way of access: a reason for machines and a message for people; zero when
// there is none.
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
	// Remember says that an AccessRevocation of the request must exist before the effect, so that the same manifest,
	// applied again, gives nothing.
	Remember bool

	SpecDigest     string
	ApprovalDigest string
	AttestedDigest string
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

func no(o Obstacle) Answer { return Answer{Reason: o.Reason, Message: o.Message} }

// Decide says what becomes of a grant now.
//
// The order of the questions is the order of what must never wait: an end that was decided stays decided (I3), a
// deletion and the deadline come before everything that can be unknown (I2), and only then come role, approvals and
// person.
func Decide(f Facts, now time.Time) Decision {
	c := &decider{Facts: f, now: now, prior: StateOf(f.Grant), deadline: Deadline(f.Grant), spec: requestDigest(f.Grant)}
	d := c.decide()
	if Emergency(f.Grant) {
		d.Message, d.Eligible.Message = asEmergency.Replace(d.Message), asEmergency.Replace(d.Eligible.Message)
	}
	if d.Effect == EffectRelease {
		d.Remember = c.memorable()
	}
	switch {
	case Terminal(d.State):
		if !Terminal(c.prior) && held(&d) {
			d.WakeAt = now.Add(verifyAfter)
		}
	case d.State != v1alpha1.StateRevoking && (d.WakeAt.IsZero() || d.WakeAt.After(c.deadline)):
		d.WakeAt = c.deadline
	}
	return d
}

// asEmergency makes sentences about a grant ones about an emergency.
var asEmergency = strings.NewReplacer("create another grant", "open another BreakGlass", "the grant was", "the emergency was", "the whole grant ends", "the whole emergency ends")

type decider struct {
	Facts
	now      time.Time
	prior    string
	deadline time.Time
	// spec is the grant's SpecDigest.
	spec string
	// question is what is asked of approvers, and tally what became of their answers, for a grant that has not been
	// active yet.
	question question
	tally    tally
	// found says why the person of an emergency turned out not to be eligible.
	found Obstacle
}

func (c *decider) decide() Decision {
	switch g := c.Grant; {
	case Terminal(c.prior):
		return c.over()
	case c.prior == v1alpha1.StateRevoking:
		return c.end(c.decidedEnd())
	case g.DeletionTimestamp != nil:
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonDeleted)
	case !c.now.Before(c.deadline):
		return c.end(v1alpha1.StateExpired, v1alpha1.ReasonDeadline)
	case c.revocation() != nil:
		return c.end(v1alpha1.StateRevoked, v1alpha1.ReasonRevoked)
	case g.Status.ActivatedAt != nil:
		return c.live()
	default:
		return c.waiting()
	}
}

// keep carries over what is stored.
func (c *decider) keep(state, cause string) Decision {
	s := c.Grant.Status.DeepCopy()
	d := Decision{State: state, Cause: cause, AWS: s.AWS, Kubernetes: s.Kubernetes,
		SpecDigest: c.spec, ApprovalDigest: s.ApprovalDigest, AttestedDigest: s.AttestedDigest, Approvals: s.Approvals}
	if a := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionActive); a != nil {
		d.Message = a.Message
	}
	return d
}

// removedAlready says whether nothing that is stored may exist.
func (c *decider) removedAlready() bool { return !MayExist(c.Grant) }

// withdraw drops every intention. What may have come of one has to be looked for until it is seen to be gone.
func (c *decider) withdraw(d *Decision) {
	for intended, observed := range parts(&d.AWS, &d.Kubernetes) {
		*intended, *observed = false, possible(c.prior, *intended, *observed)
	}
}

// identify asks AWS about the person; the state stays as it is meanwhile. What was just seen to be gone is stored first:
// the answer may come to somebody who knows only what is stored, and who would look for it again, and so for ever.
func (c *decider) identify(d Decision) Decision {
	d.Effect, d.Record = EffectIdentify, d.Record || c.Done
	return d
}

// whenDone turns Granting into Granted once everything was seen to exist.
func (c *decider) whenDone(d Decision) Decision {
	if c.Done && c.prior == v1alpha1.StateGranting {
		d.State, d.Effect, d.Record = v1alpha1.StateGranted, EffectNone, false
		d.Message = c.grantedMessage(&d)
	}
	return d
}

func (c *decider) grantedMessage(d *Decision) string {
	return fmt.Sprintf("access until %s: %s", stamp(c.deadline), strings.Join(given(&d.AWS, &d.Kubernetes, Emergency(c.Grant)), "; "))
}

// Gives says whether a grant gives anything now, as far as it was seen.
func Gives(g *v1alpha1.ProdAccessGrant) bool {
	state := StateOf(g)
	if state != v1alpha1.StateGranting && state != v1alpha1.StateGranted {
		return false
	}
	for intended, observed := range parts(&g.Status.AWS, &g.Status.Kubernetes) {
		if *intended && *observed {
			return true
		}
	}
	return false
}

// Given says in words what a grant gives, as far as it was seen.
func Given(g *v1alpha1.ProdAccessGrant) []string {
	return given(&g.Status.AWS, &g.Status.Kubernetes, true)
}

func given(aws *v1alpha1.GrantAWSStatus, k *v1alpha1.GrantKubernetesStatus, seen bool) (what []string) {
	var groups []string
	for _, m := range aws.Groups {
		if m.Intended && (m.Observed || !seen) {
			groups = append(groups, string(m.Name))
		}
	}
	if len(groups) > 0 {
		what = append(what, "IAM groups "+listed(groups))
	}
	if len(k.Bindings) > 0 && k.Bindings[0].Intended && (k.Bindings[0].Observed || !seen) {
		where := "the cluster"
		switch ns := k.Bindings[0].Namespace; {
		case len(k.Bindings) > 1:
			where = fmt.Sprintf("%d namespaces", len(k.Bindings))
		case ns != "":
			where = "the namespace " + ns
		}
		what = append(what, fmt.Sprintf("ClusterRole %s in %s as %s", k.ClusterRole, where, k.User))
	}
	return what
}

// hurdle says what stands in the way of writing access to these groups now, and whether the person is eligible. Where
// AWS is used, the person is known.
func (c *decider) hurdle(groups []v1alpha1.IAMGroupName) (Obstacle, Answer) {
	if !c.AWS && len(groups) > 0 {
		o := Obstacle{v1alpha1.ReasonAWSDisabled, fmt.Sprintf("the role %s has IAM groups, and the operator runs with --aws=disabled: "+
			"ask the platform team to enable AWS or for a role without groups", c.Grant.Spec.Role)}
		return o, no(o)
	}
	eligible := c.eligible()
	if !eligible.Yes {
		return Obstacle{eligible.Reason, eligible.Message}, eligible
	}
	if c.AWS {
		if why := c.Person.Unguarded; why != "" {
			return Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", c.Grant.Spec.Role, why)}, eligible
		}
		if o := crowded(c.Person, groups); o.Reason != "" && !c.elsewhere(groups) {
			return o, eligible
		}
	}
	return c.Obstacle, eligible
}

// elsewhere says whether an emergency gives something beside the memberships that cannot be made: Kubernetes does not wait
// for them.
func (c *decider) elsewhere(groups []v1alpha1.IAMGroupName) bool {
	return Emergency(c.Grant) && (c.Role.Spec.Kubernetes != nil || len(c.Person.Foreign) > 0 && len(c.Person.Foreign) < len(groups))
}

// eligible says whether the person is who the grant was made for, and may have access.
func (c *decider) eligible() Answer {
	p, s := c.Person, &c.Grant.Status
	if Temporary(c.Grant) {
		return c.intact()
	}
	if !c.AWS {
		p = nil
	}
	user := kubernetesUser(c.Grant.Spec.Subject, p)
	if begun := c.prior == v1alpha1.StateGranting || s.ActivatedAt != nil; begun && s.Kubernetes.User != "" {
		// Who is bound, or is being bound, is who has to be the person still.
		user = s.Kubernetes.User
	}
	if o := identity(c.Grant.Spec.Subject, user, s.AWS.UserID, p); o.Reason != "" {
		return no(o)
	}
	if p == nil {
		return Answer{Yes: true, Reason: v1alpha1.ReasonEligible, Message: "AWS is disabled; the Kubernetes username stands alone"}
	}
	if stale, unknown := c.aged(); stale.Reason != "" {
		return no(stale)
	} else if unknown.Reason != "" {
		return no(unknown)
	}
	known := fmt.Sprintf("the IAM user %s (%s) exists and has an MFA device", p.Name, p.UserID)
	if c.Role != nil {
		if old, _ := p.Credentials.Stale(c.Role.MaxCredentialAge(), c.now); old != "" {
			known += fmt.Sprintf("; but %s, and the role %s allows %s", old, c.Role.Name, days(c.Role.MaxCredentialAge()))
		}
	}
	return Answer{Yes: true, Reason: v1alpha1.ReasonEligible, Message: known}
}

// crowded says why the person cannot join the groups: they are in one of them by somebody else's doing, or in too many.
func crowded(p *Person, groups []v1alpha1.IAMGroupName) Obstacle {
	var foreign []string
	joining := 0
	for _, group := range groups {
		is := func(name string) bool { return sameName(name, string(group)) }
		if slices.ContainsFunc(p.Foreign, is) {
			foreign = append(foreign, string(group))
		}
		if !slices.ContainsFunc(p.Memberships, is) {
			joining++
		}
	}
	if len(foreign) > 0 {
		return Obstacle{v1alpha1.ReasonForeignMembership, fmt.Sprintf("%s is already in the IAM group %s, and not by a grant: ask the AWS administrator "+
			"to remove the membership; it is not taken over, because it would outlast the grant or end with it", p.Name, listed(foreign))}
	}
	if n := len(p.Memberships); joining > 0 && n+joining > MaxGroupsPerUser {
		return Obstacle{v1alpha1.ReasonQuotaExceeded, fmt.Sprintf("%s is in %d IAM groups already, and AWS allows %d: ask the AWS administrator to free %d",
			p.Name, n, MaxGroupsPerUser, n+joining-MaxGroupsPerUser)}
	}
	return Obstacle{}
}

// recheckAfter is how long to wait before looking again at what stands in the way.
func recheckAfter(o Obstacle) time.Duration {
	if o.Reason == v1alpha1.ReasonAWSUnavailable {
		return RetryAfter
	}
	return RecheckAfter
}

func stamp(t time.Time) string { return t.UTC().Format(time.RFC3339) }
