// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// arrows are the changes of state that the specification has: the column "comes from" of its state table, and what
// follows from the text below it. Every unended state can also go to one of ends.
var arrows = map[string][]string{
	"":                            {v1alpha1.StatePendingApproval, v1alpha1.StateScheduled, v1alpha1.StateBlocked, v1alpha1.StateGranting},
	v1alpha1.StatePendingApproval: {v1alpha1.StateScheduled, v1alpha1.StateBlocked, v1alpha1.StateGranting},
	v1alpha1.StateScheduled:       {v1alpha1.StatePendingApproval, v1alpha1.StateBlocked, v1alpha1.StateGranting},
	v1alpha1.StateBlocked:         {v1alpha1.StatePendingApproval, v1alpha1.StateScheduled, v1alpha1.StateGranting},
	v1alpha1.StateGranting:        {v1alpha1.StateBlocked, v1alpha1.StateGranted, v1alpha1.StateSuspended},
	v1alpha1.StateGranted:         {v1alpha1.StateSuspended},
	v1alpha1.StateSuspended:       {v1alpha1.StateGranting},
	v1alpha1.StateRevoking:        {},
}

var ends = []string{v1alpha1.StateRevoking, v1alpha1.StateExpired, v1alpha1.StateRevoked}

func mayFollow(from, to string) bool {
	if access.Terminal(from) {
		return from == to
	}
	unwritten := from == "" || from == v1alpha1.StatePendingApproval || from == v1alpha1.StateScheduled || from == v1alpha1.StateBlocked
	return from == to || slices.Contains(arrows[from], to) || slices.Contains(ends, to) || unwritten && to == v1alpha1.StateRejected
}

// open says whether access may be written for a grant at this moment.
func (w *world) open(g *v1alpha1.ProdAccessGrant) bool {
	nb := g.Spec.NotBefore
	return access.StateOf(g) == v1alpha1.StateGranting && g.DeletionTimestamp == nil && w.records[g.UID].terminal == "" &&
		g.Status.ExpiresAt != nil && w.now().Before(g.Spec.ExpiresAt.Time) && (nb == nil || !w.now().Before(nb.Time))
}

func intends(g *v1alpha1.ProdAccessGrant, group string) bool {
	return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return string(m.Name) == group && m.Intended })
}

// joins judges a membership that is about to be made.
func (w *world) joins(s seat) {
	w.note("%s joins %s", s.userID, s.group)
	if !slices.ContainsFunc(w.of(s.userID), func(g *v1alpha1.ProdAccessGrant) bool { return w.open(g) && intends(g, s.group) }) {
		w.fail("I1: %s joins %s, and no grant that is being written calls for it", s.userID, s.group)
	}
}

// leaves judges a membership that is about to be removed.
func (w *world) leaves(s seat) {
	w.note("%s leaves %s", s.userID, s.group)
	if w.members[s].foreign {
		w.fail("I9: %s is taken out of %s, and somebody else had put them there", s.userID, s.group)
	}
	for _, g := range w.of(s.userID) {
		if intends(g, s.group) && (w.open(g) || access.StateOf(g) == v1alpha1.StateGranted && g.DeletionTimestamp == nil && w.now().Before(g.Spec.ExpiresAt.Time)) {
			w.fail("I4: %s is taken out of %s, which %s covers", s.userID, s.group, g.Name)
		}
	}
}

// binds judges a binding that is about to be made.
func (p *pass) binds(g *v1alpha1.ProdAccessGrant, at place) {
	p.note("%s bound in %q", g.Name, at.namespace)
	s := &p.stored.Status
	if !p.open(p.stored) || !slices.ContainsFunc(s.Kubernetes.Bindings, func(b v1alpha1.GrantBinding) bool {
		return b.Namespace == at.namespace && b.Name == at.name && b.Intended
	}) {
		p.fail("I1: %s is bound in %q, and it is not being written", g.Name, at.namespace)
	}
	if p.disabled {
		return
	}
	if who := p.facts.Person; who == nil || !who.MFA || who.UserID != s.AWS.UserID || !slices.Contains(who.KubernetesUsers, s.Kubernetes.User) {
		p.fail("I10: %s is bound in %q for %s (%s), and the person is %+v", g.Name, at.namespace, s.Kubernetes.User, s.AWS.UserID, who)
	}
}

// judge judges a status that is about to be stored.
func (p *pass) judge(before, after *v1alpha1.ProdAccessGrant, d *access.Decision) {
	from, to := access.StateOf(before), access.StateOf(after)
	s := &after.Status
	r := p.records[after.UID]
	p.note("%s: %s to %s (%s %s) groups %v bindings %v", after.Name, from, to, d.Cause, d.Effect, s.AWS.Groups, len(s.Kubernetes.Bindings))
	if !mayFollow(from, to) || r.terminal != "" && to != r.terminal {
		p.fail("I3: %s goes from %q to %q", after.Name, from, to)
	}
	if s.ExpiresAt == nil || s.ExpiresAt.After(after.Spec.ExpiresAt.Time) || !r.expires.IsZero() && s.ExpiresAt.After(r.expires) {
		p.fail("I2: the deadline of %s becomes %v", after.Name, s.ExpiresAt)
	}
	r.expires = s.ExpiresAt.Time
	if len(s.Approvals) > 20 || len(s.AWS.Groups) > 5 || len(s.Kubernetes.Bindings) > 300 {
		p.fail("%s: the API server would refuse this status", after.Name)
	}
	if active := before.Status.ActivatedAt; active != nil && !equality.Semantic.DeepEqual(active, s.ActivatedAt) {
		p.fail("%s: activatedAt changes from %v to %v", after.Name, active, s.ActivatedAt)
	}
	if s.ActivatedAt == nil && p.facts.Role != nil && !access.Terminal(to) && to != v1alpha1.StateRevoking {
		p.shown(after)
	}
	if to == v1alpha1.StateGranting && from != to && s.ActivatedAt == nil {
		p.judgeActivation(after)
	}
	if before.Status.ActivatedAt != nil {
		p.judgeNotWidened(before, after)
	}
	if to == v1alpha1.StateGranted && from != to {
		p.judgeGranted(after)
	}
	if access.Terminal(to) {
		r.terminal = to
		p.judgeNothing(after, "has ended")
		if access.MayExist(after) {
			p.fail("I3: %s is %s, and says that something may exist", after.Name, to)
		}
	}
}

// asked is what an approval digest stands for.
type asked struct{ uid, spec, meaning string }

func (w *world) asks(g *v1alpha1.ProdAccessGrant) asked {
	return asked{uid: string(g.UID), spec: fmt.Sprintf("%+v", g.Spec), meaning: w.meaning(g.Spec.Role)}
}

// shown remembers what the digest that people are shown stands for.
func (p *pass) shown(g *v1alpha1.ProdAccessGrant) {
	digest, a := g.Status.ApprovalDigest, p.asks(g)
	if known, ok := p.meanings[digest]; ok && known != a {
		p.fail("I1: one digest stands for %+v and for %+v", known, a)
	}
	p.meanings[digest] = a
}

// canonical is one name for each person who has a name and an ARN.
func canonical(username string) string {
	return strings.ToLower(username[strings.LastIndexByte(username, '/')+1:])
}

// involved says whether a username is the requester's or the subject's. who is what AWS knows of the subject.
func involved(g *v1alpha1.ProdAccessGrant, who *access.Person, username string) bool {
	names := []string{string(g.Spec.RequestedBy), g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser)}
	if who != nil {
		names = append(names, who.KubernetesUsers...)
	}
	return slices.ContainsFunc(names, func(n string) bool { return canonical(n) == canonical(username) })
}

// approvers are the people whose approvals count, in truth.
func (w *world) approvers(g *v1alpha1.ProdAccessGrant, who *access.Person) int {
	people := map[string]bool{}
	for _, v := range w.approvals {
		if v.Spec.Decision == v1alpha1.DecisionApprove && v.Spec.Target.Name == g.Name && v.Spec.Role == g.Spec.Role &&
			v.asked == w.asks(g) && !involved(g, who, string(v.Spec.Approver)) {
			people[canonical(string(v.Spec.Approver))] = true
		}
	}
	return len(people)
}

// rejected says whether somebody who may said no, in truth.
func (w *world) rejected(g *v1alpha1.ProdAccessGrant, who *access.Person) bool {
	now := w.asks(g)
	return slices.ContainsFunc(w.approvals, func(v vote) bool {
		same := v.Spec.Target.UID == string(g.UID) || v.asked.spec == now.spec && v.asked.meaning == now.meaning && v.asked.uid == v.Spec.Target.UID
		return v.Spec.Decision == v1alpha1.DecisionReject && v.Spec.Target.Name == g.Name && v.Spec.Role == g.Spec.Role &&
			same && !involved(g, who, string(v.Spec.Approver))
	})
}

// dangerous says whether a role may be granted to nobody, in truth.
func (w *world) dangerous(spec *v1alpha1.AccessRoleSpec) bool {
	k := spec.Kubernetes
	if k == nil {
		return false
	}
	for _, r := range w.clusterRoles[k.ClusterRole] {
		if slices.Contains(r.Verbs, "*") || k.Access == v1alpha1.AccessReadOnly && slices.Contains(r.Verbs, "delete") {
			return true
		}
	}
	return false
}

// allowed says whether the role allows the request, in truth.
func allowed(g *v1alpha1.ProdAccessGrant, spec *v1alpha1.AccessRoleSpec) bool {
	start := g.CreationTimestamp.Time
	if nb := g.Spec.NotBefore; nb != nil && nb.After(start) {
		start = nb.Time
	}
	inNamespaces := spec.Kubernetes != nil && spec.Kubernetes.Scope == v1alpha1.ScopeNamespaces
	return g.Spec.ExpiresAt.Sub(start) <= spec.MaxDuration.Duration && inNamespaces == (len(g.Spec.Namespaces) > 0)
}

// unfit says why a grant may not be activated with what is known of the person, in truth; "" if it may.
func (w *world) unfit(g *v1alpha1.ProdAccessGrant, who *access.Person) string {
	spec := w.roles[g.Spec.Role]
	nb := g.Spec.NotBefore
	switch {
	case spec == nil:
		return "there is no role"
	case g.DeletionTimestamp != nil || !w.now().Before(g.Spec.ExpiresAt.Time):
		return "it is over"
	case nb != nil && w.now().Before(nb.Time):
		return "the window has not begun"
	case w.notReady[g.Spec.Role] || w.dangerous(spec):
		return "the role is not ready"
	case !allowed(g, spec):
		return "the role does not allow it"
	case w.rejected(g, who):
		return "it was rejected"
	case w.approvers(g, who) < int(spec.Approval.Required):
		return fmt.Sprintf("%d of %d approved it", w.approvers(g, who), spec.Approval.Required)
	}
	return w.ineligible(g, who, spec.AWS != nil && len(spec.AWS.Groups) > 0)
}

func (w *world) ineligible(g *v1alpha1.ProdAccessGrant, who *access.Person, groups bool) string {
	user := string(g.Spec.Subject.KubernetesUser)
	if g.Status.ActivatedAt != nil && g.Status.Kubernetes.User != "" {
		user = g.Status.Kubernetes.User
	}
	switch {
	case w.disabled && groups:
		return "AWS is disabled"
	case w.disabled:
		return ""
	case who == nil || who.Unavailable != "" || !who.Found:
		return "the person is not known"
	case !who.MFA:
		return "no MFA"
	case user != "" && !slices.Contains(who.KubernetesUsers, user):
		return "another person's username"
	case g.Status.AWS.UserID != "" && g.Status.AWS.UserID != who.UserID:
		return "another user of that name"
	}
	return ""
}

// judgeActivation judges the intention to write access for the first time.
func (p *pass) judgeActivation(g *v1alpha1.ProdAccessGrant) {
	if why := p.unfit(g, p.facts.Person); why != "" {
		p.fail("I1: %s is activated, and %s", g.Name, why)
	}
	if k := p.roles[g.Spec.Role].Kubernetes; k != nil && !p.disabled && !slices.Contains(p.facts.Person.KubernetesUsers, g.Status.Kubernetes.User) {
		p.fail("I1: %s is for %s, who is not %+v", g.Name, g.Status.Kubernetes.User, p.facts.Person)
	}
}

// held is everything that a grant calls for.
func held(g *v1alpha1.ProdAccessGrant) map[string]bool {
	all := map[string]bool{}
	for _, m := range g.Status.AWS.Groups {
		if m.Intended {
			all["group "+string(m.Name)] = true
		}
	}
	for _, b := range g.Status.Kubernetes.Bindings {
		if b.Intended {
			all["namespace "+b.Namespace] = true
		}
	}
	return all
}

// judgeNotWidened judges a change of a grant that has been active.
func (p *pass) judgeNotWidened(before, after *v1alpha1.ProdAccessGrant) {
	had := held(before)
	for what := range held(after) {
		if !had[what] {
			p.fail("I1: %s now calls for %s", after.Name, what)
		}
	}
	b, a := &before.Status, &after.Status
	if b.AWS.UserID != a.AWS.UserID || b.Kubernetes.User != a.Kubernetes.User || b.Kubernetes.ClusterRole != a.Kubernetes.ClusterRole {
		p.fail("I1: %s is for somebody or something else now", after.Name)
	}
}

// judgeGranted judges the claim that access exists.
func (p *pass) judgeGranted(g *v1alpha1.ProdAccessGrant) {
	s := &g.Status
	for _, m := range s.AWS.Groups {
		// Somebody may have deleted the user between AWS's answer and now.
		u := p.users[g.Spec.Subject.IAMUser]
		exists := p.members[seat{s.AWS.UserID, string(m.Name)}] != nil || u.id != s.AWS.UserID
		if m.Intended && (!m.Observed || !exists) {
			p.fail("%s is granted, and the membership in %s does not exist", g.Name, m.Name)
		}
	}
	for _, b := range s.Kubernetes.Bindings {
		if have := p.bindings[place{b.Namespace, b.Name}]; b.Intended && (!b.Observed || have == nil || have.user != s.Kubernetes.User) {
			p.fail("%s is granted, and the binding in %q does not exist", g.Name, b.Namespace)
		}
	}
}

// judgeNothing judges the claim that nothing exists on the account of a grant.
func (w *world) judgeNothing(g *v1alpha1.ProdAccessGrant, why string) {
	for at, b := range w.bindings {
		if b.owner == g.UID {
			w.fail("I2, I3: %s %s, and is bound in %q", g.Name, why, at.namespace)
		}
	}
	for _, m := range g.Status.AWS.Groups {
		have := w.members[seat{g.Status.AWS.UserID, string(m.Name)}]
		if have != nil && !have.foreign && !slices.ContainsFunc(w.of(g.Status.AWS.UserID), func(other *v1alpha1.ProdAccessGrant) bool {
			return other.UID != g.UID && access.Claims(other, string(m.Name))
		}) {
			w.fail("I2, I3: %s %s, and %s is in %s", g.Name, why, g.Spec.Subject.IAMUser, m.Name)
		}
	}
}

// judgeRecorded judges that everything that exists is on record: whoever comes after a crash can find it.
func (w *world) judgeRecorded() {
	for s, m := range w.members {
		if !m.foreign && !w.claimed(s.userID, s.group) {
			w.fail("%s is in %s, and no grant knows of it", s.userID, s.group)
		}
	}
	for at, b := range w.bindings {
		g := w.records[b.owner].g
		if stored := w.grants[g.Name]; stored == nil || stored.UID != b.owner || !access.MayExist(stored) {
			w.fail("%s is bound in %q, and nobody knows of it", g.Name, at.namespace)
		}
	}
}

// judgeProcessed judges a grant after it was processed without disturbance.
func (w *world) judgeProcessed(g *v1alpha1.ProdAccessGrant) {
	if g.DeletionTimestamp == nil && w.latest.Before(g.Spec.ExpiresAt.Time) {
		return
	}
	w.judgeNothing(g, "is over")
	if state := access.StateOf(g); !access.Terminal(state) {
		w.fail("I2: %s is over and %s", g.Name, state)
	}
}

// judgeUnion judges memberships and bindings when nothing is left to do (invariant I4).
func (w *world) judgeUnion() {
	covered := map[seat]bool{}
	live := func(g *v1alpha1.ProdAccessGrant) bool {
		return access.StateOf(g) == v1alpha1.StateGranted && w.latest.Before(g.Spec.ExpiresAt.Time)
	}
	for _, g := range w.grants {
		if !live(g) {
			continue
		}
		for _, m := range g.Status.AWS.Groups {
			u := w.users[g.Spec.Subject.IAMUser]
			if m.Intended && u != nil && u.id == g.Status.AWS.UserID {
				covered[seat{u.id, string(m.Name)}] = true
			}
		}
		for _, b := range g.Status.Kubernetes.Bindings {
			if b.Intended && w.bindings[place{b.Namespace, b.Name}] == nil {
				w.fail("I4: %s is granted, and not bound in %q", g.Name, b.Namespace)
			}
		}
	}
	for s := range covered {
		if w.members[s] == nil {
			w.fail("I4: a grant covers %s in %s, and the membership does not exist", s.userID, s.group)
		}
	}
	for s, m := range w.members {
		if !m.foreign && !covered[s] {
			w.fail("I4: %s is in %s, and no live grant covers it", s.userID, s.group)
		}
	}
	for at, b := range w.bindings {
		if g := w.records[b.owner].g; w.grants[g.Name] == nil || !live(w.grants[g.Name]) {
			w.fail("I4: %s is bound in %q, and is not live", g.Name, at.namespace)
		}
	}
}

// judgeState judges whether a grant is where the world wants it when nothing is left to do and AWS can be asked.
func (w *world) judgeState(g *v1alpha1.ProdAccessGrant, swept bool) {
	state := access.StateOf(g)
	spec := w.roles[g.Spec.Role]
	who := w.identify(g.Spec.Subject.IAMUser, nil)
	if w.disabled {
		who = nil
	}
	foreign := func(group string) bool {
		m := w.members[seat{g.Status.AWS.UserID, group}]
		if who != nil {
			m = w.members[seat{who.UserID, group}]
		}
		return m != nil && m.foreign
	}
	switch {
	case access.Terminal(state):
	case g.Status.ActivatedAt == nil:
		why := w.unfit(g, who)
		if why == "" && spec.AWS != nil && slices.ContainsFunc(spec.AWS.Groups, func(group v1alpha1.IAMGroupName) bool { return foreign(string(group)) }) {
			why = "a membership is somebody else's"
		}
		if (why == "") != (state == v1alpha1.StateGranted) {
			w.fail("%s rests as %s, and what keeps it from being granted is %q", g.Name, state, why)
		}
	default:
		groups := false
		why := ""
		for _, m := range g.Status.AWS.Groups {
			groups = groups || m.Intended
			if m.Intended && foreign(string(m.Name)) {
				why = "a membership is somebody else's"
			}
		}
		if spec == nil || len(held(g)) == 0 {
			w.fail("%s is %s, and there is nothing to hold", g.Name, state)
		}
		if e := w.ineligible(g, who, groups); e != "" {
			why = e
		}
		switch {
		case w.dangerous(spec) && state != v1alpha1.StateSuspended:
			w.fail("%s is %s, and the role is forbidden", g.Name, state)
		case state == v1alpha1.StateSuspended && why == "" && !w.dangerous(spec) && !w.notReady[g.Spec.Role]:
			w.fail("%s rests as %s, and nothing keeps it from coming back", g.Name, state)
		case swept && state != v1alpha1.StateSuspended && why != "" && why != "a membership is somebody else's":
			w.fail("%s rests as %s, and %s", g.Name, state, why)
		}
	}
}

const tick = 350 * time.Millisecond
