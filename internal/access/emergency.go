// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// UnreachableFor is how long AWS must have been unreachable before an emergency opens Kubernetes without it (invariant I10).
const UnreachableFor = 30 * time.Second

// unreachableRetry is how soon AWS is asked again meanwhile: a question that is not answered takes longer than that.
const unreachableRetry = 2 * time.Second

// unseenFor is how long after its creation an emergency waits for one that came before it.
const unseenFor = 30 * time.Second

// FromBreakGlass is an emergency in the form that decisions and engines work on, so that there is one way to give access and
// to take it away: a grant that needs no approval, whose deadline counts from its creation, and whose kind tells what it
// is. It shares nothing with the object.
func FromBreakGlass(b *v1alpha1.BreakGlass) *v1alpha1.ProdAccessGrant {
	g := ViewBreakGlass(b.DeepCopy())
	g.Status.SpecDigest = emergencyDigest(&b.Spec)
	return g
}

// ViewBreakGlass is that form to be read alone: it shares everything with the object, and believes its specDigest.
func ViewBreakGlass(b *v1alpha1.BreakGlass) *v1alpha1.ProdAccessGrant {
	s := &b.Status
	spec := s.SpecDigest
	if spec == "" {
		spec = emergencyDigest(&b.Spec)
	}
	return &v1alpha1.ProdAccessGrant{
		TypeMeta:   metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: string(v1alpha1.TargetBreakGlass)},
		ObjectMeta: b.ObjectMeta,
		Spec: v1alpha1.ProdAccessGrantSpec{
			Subject: temporarySubject(b), Role: b.Spec.Role, Namespaces: b.Spec.Namespaces, Reason: b.Spec.Reason, Incident: b.Spec.Incident,
			RequestedBy: b.Spec.OpenedBy, ExpiresAt: metav1.NewTime(b.CreationTimestamp.Add(b.Spec.Duration.Duration).Truncate(time.Second)),
		},
		Status: v1alpha1.ProdAccessGrantStatus{
			Conditions: s.Conditions, ObservedGeneration: s.ObservedGeneration, SpecDigest: spec, ExpiresAt: s.ExpiresAt,
			ActivatedAt: s.ActivatedAt, EndedAt: s.EndedAt, AccessEndsNoLaterThan: s.AccessEndsNoLaterThan, AWS: s.AWS, Kubernetes: s.Kubernetes, Outbox: s.Outbox,
		},
	}
}

// IntoBreakGlass writes down in an emergency what became of the form that FromBreakGlass gave it.
func IntoBreakGlass(g *v1alpha1.ProdAccessGrant, b *v1alpha1.BreakGlass) {
	from := g.DeepCopy()
	s := &from.Status
	b.ObjectMeta = from.ObjectMeta
	to := &b.Status
	to.Conditions, to.ObservedGeneration, to.SpecDigest, to.ExpiresAt = s.Conditions, s.ObservedGeneration, s.SpecDigest, s.ExpiresAt
	to.ActivatedAt, to.EndedAt, to.AccessEndsNoLaterThan, to.AWS, to.Kubernetes, to.Outbox = s.ActivatedAt, s.EndedAt, s.AccessEndsNoLaterThan, s.AWS, s.Kubernetes, s.Outbox
}

// KindOf is the kind of the object that a grant stands for.
func KindOf(g *v1alpha1.ProdAccessGrant) v1alpha1.TargetKind {
	if g.Kind == string(v1alpha1.TargetBreakGlass) {
		return v1alpha1.TargetBreakGlass
	}
	return v1alpha1.TargetGrant
}

// Emergency says whether a grant stands for an emergency.
func Emergency(g *v1alpha1.ProdAccessGrant) bool { return KindOf(g) == v1alpha1.TargetBreakGlass }

// emergencyDigest identifies what was opened: the spec without the report, which is written later.
func emergencyDigest(spec *v1alpha1.BreakGlassSpec) string {
	bare := spec.DeepCopy()
	bare.Report = nil
	return digest(specDigestVersion, bare)
}

// requestDigest identifies what is asked for. Of an emergency, FromBreakGlass has computed it.
func requestDigest(g *v1alpha1.ProdAccessGrant) string {
	if Emergency(g) {
		return g.Status.SpecDigest
	}
	return SpecDigest(&g.Spec)
}

// ShareDeadline brings the deadline of an emergency forward to that of the first one for the same subject, role and incident
// that gave access, or may have: opening it once more does not restart the clock. One that comes later changes nothing
// for those before it. Others are all emergencies there are. It says whether to wait for one that came before, and of which
// nothing is known yet.
func ShareDeadline(g *v1alpha1.ProdAccessGrant, others []*v1alpha1.ProdAccessGrant, now time.Time) (wait bool) {
	var first *v1alpha1.ProdAccessGrant
	for _, o := range others {
		if o.UID == g.UID || !sameEmergency(o, g) || !before(o, g) {
			continue
		}
		switch {
		case begun(o):
			if first == nil || before(o, first) {
				first = o
			}
		case StateOf(o) == "" && now.Before(Deadline(o)) && now.Before(g.CreationTimestamp.Add(unseenFor)):
			wait = true
		}
	}
	if first == nil {
		return wait
	}
	if until := Deadline(first); until.Before(g.Spec.ExpiresAt.Time) {
		g.Spec.ExpiresAt = metav1.NewTime(until)
	}
	return wait
}

// begun says whether an emergency gave access, or may have.
func begun(g *v1alpha1.ProdAccessGrant) bool {
	return g.Status.ActivatedAt != nil || held(&Decision{AWS: g.Status.AWS, Kubernetes: g.Status.Kubernetes})
}

// before says whether an emergency was opened before another. Of two in the same second it is the one that ends earlier.
func before(o, g *v1alpha1.ProdAccessGrant) bool {
	return cmp.Or(o.CreationTimestamp.Compare(g.CreationTimestamp.Time), o.Spec.ExpiresAt.Compare(g.Spec.ExpiresAt.Time),
		strings.Compare(string(o.UID), string(g.UID))) < 0
}

// KnownUnfit is what AWS said last about the subject of an emergency, if that was something bad: it stays known while AWS cannot
// be asked. Others are whatever else was asked for.
func KnownUnfit(g *v1alpha1.ProdAccessGrant, others []*v1alpha1.ProdAccessGrant) Obstacle {
	var last *metav1.Condition
	var when time.Time
	for _, o := range append([]*v1alpha1.ProdAccessGrant{g}, others...) {
		c := meta.FindStatusCondition(o.Status.Conditions, v1alpha1.ConditionEligible)
		if c == nil || !speaksOf(o, g, c.Reason) {
			continue
		}
		at := c.LastTransitionTime.Time
		if begun := o.Status.ActivatedAt; c.Status == metav1.ConditionTrue && begun != nil && begun.After(at) {
			at = begun.Time
		}
		if last == nil || at.After(when) {
			last, when = c, at
		}
	}
	if last == nil || last.Status == metav1.ConditionTrue {
		return Obstacle{}
	}
	return Obstacle{last.Reason, last.Message}
}

// speaksOf says whether the reason that somebody is eligible for one thing, or not, says as much about the subject of another.
func speaksOf(o, g *v1alpha1.ProdAccessGrant, reason string) bool {
	if Temporary(o) {
		return false // it speaks of a user that the operator made, and not of whoever opened it
	}
	switch reason {
	case v1alpha1.ReasonEligible:
		// Without AWS anybody can type any name of a subject: only about whoever opened it is something good believed.
		return slices.ContainsFunc(SubjectNames(o), func(n string) bool { return samePerson(n, string(g.Spec.RequestedBy)) })
	case v1alpha1.ReasonMFAMissing, v1alpha1.ReasonQuarantined:
		// AWS is asked about those only once it has shown that the names are one person's.
		return SameSubject(o, g)
	case v1alpha1.ReasonIdentityMismatch, v1alpha1.ReasonUserNotFound:
		return o.Spec.Subject == g.Spec.Subject
	}
	return false
}

func sameEmergency(a, b *v1alpha1.ProdAccessGrant) bool {
	return a.Spec.Role == b.Spec.Role && sameName(strings.TrimSpace(a.Spec.Incident), strings.TrimSpace(b.Spec.Incident)) &&
		SameSubject(a, b)
}

// SameSubject says whether two grants are one person's, as far as they tell.
func SameSubject(a, b *v1alpha1.ProdAccessGrant) bool {
	for _, n := range SubjectNames(a) {
		for _, m := range SubjectNames(b) {
			if samePerson(n, m) {
				return true
			}
		}
	}
	return false
}

// opening asks, in turn, everything that must be so before an emergency gives access. Nobody has to approve it, and a trail
// that cannot be written does not hold it up: what is to be written there waits in the status, and is not lost.
func (c *decider) opening() Decision {
	r := c.Role
	if o := c.shut(); o.Reason != "" {
		d := c.blocked(o)
		if o.Reason == v1alpha1.ReasonGuardMissing {
			d.RecheckAfter = RetryAfter
		}
		return d
	}
	if Temporary(c.Grant) {
		return c.openTemporary()
	}
	switch p := c.Person; {
	case !c.AWS:
	case p == nil && c.prior == v1alpha1.StateGranting && c.owing():
		return c.openUnverified()
	case p == nil:
		return c.identify(c.keep(c.prior, ""))
	case p.Unavailable != "":
		return c.unheard()
	}
	if r.NotReady != "" {
		return c.blocked(Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", r.Name, r.NotReady)})
	}
	o, eligible := c.hurdle(r.Groups())
	if o.Reason != "" {
		d := c.blocked(o)
		d.Eligible, d.RecheckAfter = eligible, RetryAfter
		if o.Reason == v1alpha1.ReasonMFAMissing || o.Reason == v1alpha1.ReasonQuarantined {
			d.AWS.Names = Stored(c.Person.Names()) // whose it stays known of, by whatever name
		}
		return d
	}
	d := c.plan()
	d.Eligible = eligible
	return d
}

// unheard decides about an emergency whose person AWS cannot be asked about now.
func (c *decider) unheard() Decision {
	writing := c.prior == v1alpha1.StateGranting
	switch o := c.Obstacle; {
	case o.Reason != "":
		d := c.blocked(o)
		d.RecheckAfter = RecheckAfter
		return d
	case writing && c.owing():
		return c.openUnverified()
	case writing:
		// Who it is was known when this was begun, and Kubernetes does not wait for AWS.
		return c.plan()
	case c.Unfit.Reason != "":
		d := c.blocked(c.Unfit)
		d.RecheckAfter = RetryAfter
		return d
	case !c.Person.UnreachableSince.IsZero():
		return c.unreachable()
	}
	o, eligible := c.hurdle(c.Role.Groups())
	d := c.blocked(o)
	d.Eligible, d.RecheckAfter = eligible, RetryAfter
	return d
}

// shut says what stands in the way of an emergency whoever its person is.
func (c *decider) shut() Obstacle {
	r := c.Role
	if r == nil {
		return Obstacle{v1alpha1.ReasonRoleNotFound, c.noRole()}
	}
	if why := emergencyViolation(c.Grant, r); why != "" {
		return Obstacle{v1alpha1.ReasonPolicyViolation, why}
	}
	if o := c.unproven(); o.Reason != "" {
		return o
	}
	by := string(c.Grant.Spec.RequestedBy)
	if revoked := c.revokedPerson(by); revoked != nil {
		return Obstacle{v1alpha1.ReasonRevoked, fmt.Sprintf("%s, who opened it, is revoked (%s): somebody else has to open it", by, revoked.Name)}
	}
	if r.Forbidden != "" || r.NotReady != "" && (!c.AWS || !r.NotReadyInAWS) {
		return Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", r.Name, cmp.Or(r.Forbidden, r.NotReady))}
	}
	return c.unwatched()
}

// owing says whether an emergency has, or is about to have, only its Kubernetes side, because AWS could not be asked about
// its person.
func (c *decider) owing() bool {
	return Emergency(c.Grant) && !Temporary(c.Grant) && c.AWS && c.Grant.Status.AWS.UserID == ""
}

// unreachable opens Kubernetes alone once AWS has been unreachable for long enough, and for whoever opened it alone: their
// name is what the API server has proven.
func (c *decider) unreachable() Decision {
	since, by := c.Person.UnreachableSince, c.Grant.Spec.RequestedBy
	opens := since.Add(UnreachableFor)
	d := c.blocked(Obstacle{v1alpha1.ReasonAWSUnavailable, fmt.Sprintf("the IAM user %s cannot be verified: %s", c.Grant.Spec.Subject.IAMUser, c.Person.Unavailable)})
	d.Eligible, d.RecheckAfter = Answer{Reason: v1alpha1.ReasonAWSUnavailable, Message: d.Message}, RetryAfter
	switch {
	case c.Role.Spec.Kubernetes == nil:
		d.Message += "; the role has no Kubernetes side that could be opened without AWS"
	case !openerAlone(c.Grant):
		d.Message += fmt.Sprintf("; without AWS, Kubernetes is opened for nobody but %s, who opened it: name their own username in spec.subject.kubernetesUser "+
			"of another BreakGlass", by)
	case c.now.Before(opens):
		d.Message += fmt.Sprintf("; if AWS stays unreachable, Kubernetes alone is opened at %s", stamp(opens.Add(time.Second)))
		d.RecheckAfter = unreachableRetry
	default:
		return c.openUnverified()
	}
	return d
}

// openerAlone says whether an emergency is for whoever opened it, and for nobody else, as far as that can be told without AWS.
func openerAlone(g *v1alpha1.ProdAccessGrant) bool {
	s, by := g.Spec.Subject, g.Spec.RequestedBy
	if s.KubernetesUser != "" {
		return s.KubernetesUser == by
	}
	return samePerson(s.IAMUser, string(by))
}

// openUnverified calls for the Kubernetes side alone, bound to the name that the API server has proven.
func (c *decider) openUnverified() Decision {
	if o := c.Obstacle; o.Reason != "" {
		d := c.blocked(o)
		d.Eligible, d.RecheckAfter = unverified(c.Person), recheckAfter(o)
		return d
	}
	d := c.keep(v1alpha1.StateGranting, "")
	d.Effect, d.Eligible = EffectSync, unverified(c.Person)
	d.Message = "access to Kubernetes is being written; " + d.Eligible.Message
	if c.prior == v1alpha1.StateGranting {
		if d = c.whenDone(d); d.State == v1alpha1.StateGranted {
			d.Message += "; MFA unverified"
		}
		return d
	}
	d.Record = true
	d.AWS.Groups = nil
	c.planKubernetes(&d, string(c.Grant.Spec.RequestedBy))
	return d
}

// unverified is the answer to whether somebody is eligible whom AWS could not be asked about.
func unverified(p *Person) Answer {
	why := ""
	if p != nil && p.Unavailable != "" {
		why = " (" + p.Unavailable + ")"
	}
	return Answer{Reason: v1alpha1.ReasonMFAUnverified, Message: "MFA unverified: AWS cannot be reached" + why + "; access to AWS follows once it has shown an MFA device, " +
		"and if there is none, the emergency ends"}
}

// verify decides about an emergency whose person is still to be verified: known to be bad ends it, known to be good adds the
// AWS side, and everything else leaves it as it is.
func (c *decider) verify(d Decision) Decision {
	if c.Person == nil {
		return c.identify(d)
	}
	d.Effect, d.Message, d.RecheckAfter = EffectSync, c.grantedMessage(&d), RetryAfter
	o, eligible := c.hurdle(c.Role.Groups())
	switch {
	case o.Reason == v1alpha1.ReasonAWSUnavailable || c.Person.Unavailable != "":
		d.Eligible = unverified(c.Person)
		d.Message += "; MFA unverified"
		return d
	case !eligible.Yes:
		return c.turnedOut(eligible)
	case c.Role.NotReady != "":
		o = Obstacle{v1alpha1.ReasonRoleNotReady, fmt.Sprintf("the role %s is not ready: %s", c.Role.Name, c.Role.NotReady)}
	case o.Reason == "":
		o = c.unwatched()
	}
	d.Eligible = eligible
	if o.Reason != "" {
		d.Message, d.RecheckAfter = d.Message+"; AWS does not follow yet: "+o.Message, RecheckAfter
		return d
	}
	c.planAWS(&d)
	d.Record, d.RecheckAfter, d.Message = true, 0, c.grantedMessage(&d)
	return d
}

// turnedOut ends an emergency whose person turned out not to be eligible.
func (c *decider) turnedOut(eligible Answer) Decision {
	c.found = Obstacle{eligible.Reason, eligible.Message}
	d := c.end(v1alpha1.StateRevoked, eligible.Reason)
	d.Eligible = eligible
	return d
}

// emergencyViolation says how an emergency is not what its role allows, and who can mend that; "" if it is.
func emergencyViolation(g *v1alpha1.ProdAccessGrant, r *Role) string {
	allowed := r.Spec.BreakGlass
	if allowed == nil {
		return fmt.Sprintf("the role %s is not opened in emergencies (it has no spec.breakGlass): open another role, or ask the platform team", r.Name)
	}
	// A deadline that is shared is earlier, never later.
	if lasts := g.Spec.ExpiresAt.Sub(g.CreationTimestamp.Time); lasts > allowed.MaxDuration.Duration {
		return fmt.Sprintf("the emergency would last %s, the role %s allows %s: open another one with a shorter duration", lasts, r.Name, allowed.MaxDuration.Duration)
	}
	if Temporary(g) {
		return "" // it is nowhere in the cluster
	}
	return placeDemand(g, r)
}
