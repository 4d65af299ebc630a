// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"

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
	if why := p.revoked(g, view{revocations: p.saw.revocations}); why != "" {
		p.fail("I5: %s is bound in %q, and %s revokes it", g.Name, at.namespace, why)
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
	p.note("%s: %s to %s (%s: %s; %s) groups %v bindings %v", after.Name, from, to, d.Cause, d.Message, d.Effect, s.AWS.Groups, len(s.Kubernetes.Bindings))
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
	if to == v1alpha1.StateGranting && from != to {
		p.judgeBegin(after)
		if s.ActivatedAt == nil {
			p.judgeActivation(after)
		}
	}
	if before.Status.ActivatedAt != nil {
		p.judgeNotWidened(before, after)
	}
	if to == v1alpha1.StateGranted && from != to {
		p.judgeGranted(after)
	}
	if to == v1alpha1.StateRevoking && from != to && d.Cause == v1alpha1.ReasonRemovedByOthers &&
		!slices.ContainsFunc(p.revocations, func(r revocation) bool { return r.of == requestOf(after) }) {
		p.fail("I5: somebody took away what %s held, and it is not remembered", after.Name)
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
	if r := p.records[g.UID]; r.attested == (asked{}) {
		r.attested = a
	}
}

// canonical is one name for each person who has a name and an ARN.
func canonical(username string) string {
	return strings.ToLower(username[strings.LastIndexByte(username, '/')+1:])
}

// view is what somebody who decides has to know, in truth.
type view struct {
	at time.Time
	// who is what AWS knows of the subject, and people who is who.
	who         *access.Person
	people      folk
	votes       []vote
	revocations []revocation
	// live says that the revocations were read from the API server itself.
	live bool
}

// view is what there is to know now.
func (w *world) view(who *access.Person) view {
	return view{at: w.now(), who: who, people: w.knew[who], votes: w.heard, revocations: w.known}
}

// namesOf are the names of a grant's subject: those of the request, and those that were known when access was written.
func (w *world) namesOf(g *v1alpha1.ProdAccessGrant) []string {
	return append([]string{g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser)}, w.records[g.UID].names...)
}

// revoked names a revocation in force of a grant, in truth, "" if there is none.
func (w *world) revoked(g *v1alpha1.ProdAccessGrant, v view) string {
	for _, r := range v.revocations {
		byPerson := r.of == (request{}) && v.people.names(w.namesOf(g)...)[canonical(string(r.Spec.Person))]
		if !r.lifted && (byPerson || r.of == requestOf(g)) {
			return r.Name
		}
	}
	return ""
}

// worthless says why somebody's word about a grant is worth nothing, in truth, "" if it is worth something.
func (w *world) worthless(g *v1alpha1.ProdAccessGrant, v view, name string, groups []string) string {
	involved := append(w.namesOf(g), string(g.Spec.RequestedBy))
	if v.who != nil {
		involved = append(involved, v.who.KubernetesUsers...)
	}
	switch {
	case v.people.names(involved...)[canonical(name)]:
		return "they are the requester or the subject"
	case !w.mayApprove(name, groups):
		return "they may not approve"
	case slices.ContainsFunc(v.revocations, func(r revocation) bool {
		return !r.lifted && r.of == (request{}) && v.people.same(name, string(r.Spec.Person))
	}):
		return "they are revoked"
	}
	return ""
}

// approvers are the people whose word counts, in truth, each under one name.
func (w *world) approvers(g *v1alpha1.ProdAccessGrant, v view) []string {
	var people []string
	yes := func(name string, groups []string) {
		if w.worthless(g, v, name, groups) == "" && !slices.ContainsFunc(people, func(other string) bool { return v.people.same(name, other) }) {
			people = append(people, name)
		}
	}
	for _, a := range v.votes {
		if a.Spec.Decision == v1alpha1.DecisionApprove && a.Spec.Target.Name == g.Name && a.Spec.Role == g.Spec.Role && a.proven && a.asked == w.asks(g) {
			yes(string(a.Spec.Approver), a.Spec.ApproverGroups)
		}
	}
	if r := w.records[g.UID]; r.proven && (r.attested == asked{} || r.attested == w.asks(g)) {
		for _, reviewer := range g.Spec.ReviewedBy {
			yes(string(reviewer), nil)
		}
	}
	return people
}

// rejected says whether somebody who may said no, in truth.
func (w *world) rejected(g *v1alpha1.ProdAccessGrant, v view) bool {
	now := w.asks(g)
	return slices.ContainsFunc(v.votes, func(a vote) bool {
		same := a.Spec.Target.UID == string(g.UID) || a.asked.spec == now.spec && a.asked.meaning == now.meaning && a.asked.uid == a.Spec.Target.UID
		return a.Spec.Decision == v1alpha1.DecisionReject && a.Spec.Target.Name == g.Name && a.Spec.Role == g.Spec.Role && a.proven &&
			same && w.worthless(g, v, string(a.Spec.Approver), a.Spec.ApproverGroups) == ""
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
func (w *world) unfit(g *v1alpha1.ProdAccessGrant, v view) string {
	spec := w.roles[g.Spec.Role]
	nb := g.Spec.NotBefore
	switch {
	case spec == nil:
		return "there is no role"
	case g.DeletionTimestamp != nil || !v.at.Before(g.Spec.ExpiresAt.Time):
		return "it is over"
	case nb != nil && v.at.Before(nb.Time):
		return "the window has not begun"
	case w.notReady[g.Spec.Role] || w.dangerous(spec):
		return "the role is not ready"
	case !allowed(g, spec):
		return "the role does not allow it"
	case !w.records[g.UID].proven:
		return "nobody has proven who asks"
	case w.unwatched() != "":
		return w.unwatched()
	case w.revoked(g, v) != "":
		return "it is revoked by " + w.revoked(g, v)
	case w.rejected(g, v):
		return "it was rejected"
	case len(w.approvers(g, v)) < int(spec.Approval.Required):
		return fmt.Sprintf("of %d who have to approve it did %v", spec.Approval.Required, w.approvers(g, v))
	}
	return w.ineligible(g, v.who, spec.AWS != nil && len(spec.AWS.Groups) > 0)
}

// unwatched says why nothing may begin, whoever asks (invariants I8, I10).
func (w *world) unwatched() string {
	switch {
	case w.unguarded:
		return "the guard is broken"
	case w.auditBroken != "":
		return "the trail cannot be written"
	}
	return ""
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
	v := p.view(p.facts.Person)
	v.at, v.votes, v.revocations = p.saw.at, p.saw.votes, p.saw.revocations
	if why := p.unfit(g, v); why != "" {
		p.fail("I1: %s is activated, and %s", g.Name, why)
	}
	if k := p.roles[g.Spec.Role].Kubernetes; k != nil && !p.disabled && !slices.Contains(p.facts.Person.KubernetesUsers, g.Status.Kubernetes.User) {
		p.fail("I1: %s is for %s, who is not %+v", g.Name, g.Status.Kubernetes.User, p.facts.Person)
	}
	if r := requestOf(g); p.over[r] && !p.lifted[r] {
		p.fail("I3, I5: %s is activated, and the same was decided and let go before", g.Name)
	}
	p.judgeCounted(g, v)
	names := p.namesOf(g)
	if v.who != nil {
		names = append(names, v.who.KubernetesUsers...)
	}
	p.records[g.UID].names = slices.Sorted(maps.Keys(v.people.names(names...)))
}

// judgeCounted judges who is said to have approved (invariant I7).
func (p *pass) judgeCounted(g *v1alpha1.ProdAccessGrant, v view) {
	for i, c := range g.Status.Approvals {
		name := string(c.Approver)
		said := c.Source == v1alpha1.SourceAttested && slices.Contains(g.Spec.ReviewedBy, c.Approver)
		groups := [][]string{nil}
		for _, a := range v.votes {
			if a.Spec.Approver == c.Approver && a.Spec.Target.UID == string(g.UID) && a.Spec.Decision == v1alpha1.DecisionApprove && a.proven && c.Source == v1alpha1.SourceApproval {
				said, groups = true, append(groups, a.Spec.ApproverGroups)
			}
		}
		if !said {
			p.fail("I7: %s counts for %s, and nobody has proven that they approved", name, g.Name)
		}
		if !slices.ContainsFunc(groups, func(of []string) bool { return p.worthless(g, v, name, of) == "" }) {
			p.fail("I7: %s counts for %s, and %s", name, g.Name, p.worthless(g, v, name, nil))
		}
		for _, other := range g.Status.Approvals[:i] {
			if v.people.same(name, string(other.Approver)) {
				p.fail("I7: %s and %s count for %s, and are one person", other.Approver, name, g.Name)
			}
		}
	}
}

// judgeBegin judges that access is about to be written, for the first time or again.
func (p *pass) judgeBegin(g *v1alpha1.ProdAccessGrant) {
	if why := p.unwatched(); why != "" {
		p.fail("I10: access of %s begins, and %s", g.Name, why)
	}
	v := p.view(p.facts.Person)
	v.revocations = p.saw.revocations
	switch why := p.revoked(g, v); {
	case !p.saw.live:
		p.fail("I5: access of %s begins, and nobody has asked the API server whether it is revoked", g.Name)
	case why != "":
		p.fail("I5: access of %s begins, and %s revokes it", g.Name, why)
	}
}

// judgeRelease remembers in truth what an object leaves behind that goes.
func (p *pass) judgeRelease() {
	g := p.stored
	decided := p.records[g.UID].terminal != "" || g.Status.ActivatedAt != nil || meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionApproved)
	if decided && p.world.now().Before(g.Spec.ExpiresAt.Time) {
		p.over[requestOf(g)] = true
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
	if g.DeletionTimestamp == nil && w.latest.Before(g.Spec.ExpiresAt.Time) && w.revoked(g, view{revocations: w.known}) == "" {
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
	case w.revoked(g, view{revocations: w.revocations}) != "":
		w.fail("I5: %s is %s, and %s revokes it", g.Name, state, w.revoked(g, view{revocations: w.revocations}))
	case g.Status.ActivatedAt == nil:
		why := w.unfit(g, w.view(who))
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
		case swept && state == v1alpha1.StateGranted && w.revoked(g, w.view(who)) != "":
			w.fail("I5: %s is %s, and %s revokes its person", g.Name, state, w.revoked(g, w.view(who)))
		case state == v1alpha1.StateSuspended && why == "" && !w.dangerous(spec) && !w.notReady[g.Spec.Role] && w.unwatched() == "":
			w.fail("%s rests as %s, and nothing keeps it from coming back", g.Name, state)
		case swept && state != v1alpha1.StateSuspended && why != "" && why != "a membership is somebody else's":
			w.fail("%s rests as %s, and %s", g.Name, state, why)
		}
	}
}

const tick = 350 * time.Millisecond
