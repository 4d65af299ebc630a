// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// A world is everything that decisions are about: a cluster, an AWS account, and a process that carries decisions out
// as the controller does, and can die between any two of its side effects. Every side effect is judged against the truth
// of the world at once, by rules that are written without the help of the code under test.
type world struct {
	*rapid.T

	local, server time.Time
	// latest is the time that decisions are made by: it never goes back.
	latest time.Time

	aws      weather
	disabled bool
	users    map[string]*iamUser
	members  map[seat]*membership

	clusterRoles map[string][]rbacv1.PolicyRule
	roles        map[string]*v1alpha1.AccessRoleSpec
	notReady     map[string]bool
	grants       map[string]*v1alpha1.ProdAccessGrant
	bindings     map[place]*binding
	approvals    []vote
	revocations  []revocation
	serial       int

	// guard is what is known of the admission policies, and unguarded the truth.
	guard       access.Guard
	unguarded   bool
	auditBroken string
	// rights say who may approve: everybody, but for those of whom it says something else.
	rights map[string]right
	// heard and known are the approvals and revocations that watches have shown; they may be late.
	heard []vote
	known []revocation
	late  bool
	// between lets others do something while a pass is under way; nil for nobody.
	between func()
	// over are the requests whose object went after they were decided, and lifted those of which a revocation was lifted.
	over, lifted map[request]bool
	// knew is who was who when AWS was asked.
	knew map[*access.Person]folk
	// changes counts changes of the stored statuses and of access.
	changes int

	// What dies with the process.
	people map[types.UID]identified
	tasks  map[types.UID]*task
	// fuse is after how many side effects the process dies; negative for never.
	fuse int
	// slow says that calls to AWS are made beside the pass, which comes back for the result.
	slow bool

	records map[types.UID]*record
	// meanings are what the approval digests that were shown stand for.
	meanings map[string]asked
	wakes    map[string]wake
	// trail tells what happened, for a failure to be understood.
	trail []string
}

type weather int

const (
	up weather = iota
	// down: AWS cannot be asked.
	down
	// mute: AWS does what it is told, and the answer is lost.
	mute
)

type iamUser struct {
	id, tag string
	mfa     bool
}

type seat struct{ userID, group string }

type membership struct{ foreign bool }

type place struct{ namespace, name string }

type binding struct {
	uid               string
	owner             types.UID
	user, clusterRole string
}

// vote is an approval, and the truth about it.
type vote struct {
	v1alpha1.AccessApproval
	// asked is what the digest stood for when the person read it; zero for a digest that stands for nothing.
	asked asked
	// proven says that it had to pass the guard.
	proven bool
}

// right is what the API server says about somebody's right to approve.
type right string

const (
	always     right = ""
	byItsGroup right = "with the group"
	never      right = "never"
	approvers        = "approvers"
)

// revocation is an AccessRevocation, and the truth about it.
type revocation struct {
	v1alpha1.AccessRevocation
	// of is the request that is revoked; zero for a person.
	of request
	// lifted says that somebody who may has lifted it.
	lifted bool
}

// request is what is asked for under a name, whatever object carries it.
type request struct{ name, spec string }

func requestOf(g *v1alpha1.ProdAccessGrant) request {
	return request{g.Name, fmt.Sprintf("%+v", g.Spec)}
}

// folk are the names of each IAM user: who claims a name of somebody is that somebody.
type folk [][]string

func (w *world) folk() folk {
	if w.disabled {
		return nil
	}
	var f folk
	for _, name := range slices.Sorted(maps.Keys(w.users)) {
		names := []string{canonical(name)}
		for tag := range strings.FieldsSeq(w.users[name].tag) {
			names = append(names, canonical(tag))
		}
		f = append(f, names)
	}
	return f
}

// names are all names of the person who uses one of some names.
func (f folk) names(of ...string) map[string]bool {
	all := map[string]bool{}
	for _, name := range of {
		if name != "" {
			all[canonical(name)] = true
		}
	}
	for known := -1; known != len(all); {
		known = len(all)
		for _, user := range f {
			if slices.ContainsFunc(user, func(name string) bool { return all[name] }) {
				for _, name := range user {
					all[name] = true
				}
			}
		}
	}
	return all
}

func (f folk) same(a, b string) bool { return f.names(a)[canonical(b)] }

// show lets the watches show what is stored.
func (w *world) show() {
	w.heard, w.known = slices.Clone(w.approvals), slices.Clone(w.revocations)
}

// stored is called when an approval or a revocation has changed.
func (w *world) stored() {
	if !w.late {
		w.show()
	}
}

func (w *world) mayApprove(user string, groups []string) bool {
	r := w.rights[canonical(user)]
	return r == always || r == byItsGroup && slices.Contains(groups, approvers)
}

func plain(all []revocation) []v1alpha1.AccessRevocation {
	var objects []v1alpha1.AccessRevocation
	for i := range all {
		objects = append(objects, *all[i].DeepCopy())
	}
	return objects
}

// guardBreaks begins a gap: what is created from now on is not proven. The truth is in seconds, as creation times are.
func (w *world) guardBreaks() {
	w.nextSecond()
	w.unguarded, w.guard.Broken = true, "a policy is gone"
	w.guard.Gaps = append(slices.Clone(w.guard.Gaps), access.Gap{From: w.server})
	w.note("the guard is broken")
}

func (w *world) guardMends() {
	w.guard.Gaps = slices.Clone(w.guard.Gaps)
	w.guard.Gaps[len(w.guard.Gaps)-1].To = w.server
	w.unguarded, w.guard.Broken = false, ""
	w.nextSecond()
	w.note("the guard is whole")
}

func (w *world) nextSecond() {
	next := w.server.Truncate(time.Second).Add(time.Second)
	w.local, w.server = w.local.Add(next.Sub(w.server)), next
}

// revokes adds a revocation of a person, or of a request.
func (w *world) revokes(person string, g *v1alpha1.ProdAccessGrant) {
	w.serial++
	r := revocation{AccessRevocation: v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("r-%d", w.serial)},
		Spec:       v1alpha1.AccessRevocationSpec{Person: v1alpha1.Username(person), Reason: "the laptop was stolen", RevokedBy: "eve"},
	}}
	if g != nil {
		r.of = requestOf(g)
		r.Spec.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: g.Status.SpecDigest}
		w.note("%s revokes the request of %s", r.Name, g.Name)
	} else {
		w.note("%s revokes %s", r.Name, person)
	}
	w.revocations = append(w.revocations, r)
	w.stored()
}

// lifts writes a lift into a revocation, which counts or does not.
func (w *world) lifts(i int, counts bool) {
	if w.revocations[i].lifted {
		return
	}
	w.revocations = slices.Clone(w.revocations)
	r := &w.revocations[i]
	r.AccessRevocation = *r.DeepCopy()
	r.Spec.Lift = &v1alpha1.Lift{By: "frank", Reason: "it was a mistake"}
	answer := access.Answer{Yes: counts, Reason: v1alpha1.ReasonLifted, Message: "x"}
	status.Revocation(&r.AccessRevocation, access.Answer{}, answer, w.latest)
	if r.lifted = counts; r.lifted && r.of != (request{}) {
		w.lifted[r.of] = true
	}
	w.note("%s is lifted: %v", r.Name, counts)
	w.stored()
}

// expireMemories removes revocations whose window has ended, as their own controller does.
func (w *world) expireMemories() {
	w.revocations = slices.DeleteFunc(slices.Clone(w.revocations), func(r revocation) bool {
		return r.Status.EndsAt != nil && w.server.After(r.Status.EndsAt.Add(time.Minute))
	})
	w.stored()
}

type identified struct {
	person *access.Person
	at     time.Time
}

type task struct {
	question string
	work     func() any
	done     bool
	result   any
}

// wake is when a grant asked to be looked at again: for the time alone, and for anything else.
type wake struct{ at, recheck time.Time }

// record is what was seen of one object over its whole life.
type record struct {
	g        *v1alpha1.ProdAccessGrant
	terminal string
	expires  time.Time
	// took says that something was taken away for its end, and verified that a look followed.
	took, verified bool
	// proven says that the object had to pass the guard.
	proven bool
	// attested is what was asked for and given when the object was first seen, which is what reviews from Git are for.
	attested asked
	// names are those of its person, as they were known when access was written.
	names []string
}

// crash is the death of the process, and conflict a write that somebody else's forestalled.
type (
	crash    struct{}
	conflict struct{}
)

var begin = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

const account = "arn:aws:iam::123456789012:user/"

func (w *world) note(format string, args ...any) {
	w.trail = append(w.trail, fmt.Sprintf("%s ", w.latest.Format("15:04:05"))+fmt.Sprintf(format, args...))
}

func (w *world) fail(format string, args ...any) {
	w.Helper()
	const most = 60
	trail := w.trail[max(0, len(w.trail)-most):]
	w.Fatalf("%s\n  %s", fmt.Sprintf(format, args...), strings.Join(trail, "\n  "))
}

func (w *world) chance(percent int, what string) bool {
	return rapid.IntRange(0, 99).Draw(w.T, what) >= 100-percent
}

func (w *world) now() time.Time {
	for _, t := range []time.Time{w.local, w.server} {
		if t.After(w.latest) {
			w.latest = t
		}
	}
	return w.latest
}

// burn is called before every side effect.
func (w *world) burn() {
	w.changes++
	if w.fuse--; w.fuse == 0 {
		w.note("the process dies")
		panic(crash{})
	}
}

// process lets the process do something, or die of it.
func (w *world) process(work func()) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case crash:
			w.people, w.tasks, w.fuse = map[types.UID]identified{}, map[types.UID]*task{}, -1
			w.show()
		case conflict:
			w.note("a conflict")
		default:
			panic(r)
		}
	}()
	work()
}

// role is what a RoleReader makes of a role, nil if there is none.
func (w *world) role(name string) *access.Role {
	spec := w.roles[name]
	if spec == nil {
		return nil
	}
	r := &access.Role{Name: name, Created: begin.Add(-time.Hour), Spec: *spec.DeepCopy()}
	r.Spec.Approval.Attesters = []v1alpha1.Username{"system:serviceaccount:argocd:access"}
	if k := spec.Kubernetes; k != nil {
		rules := w.clusterRoles[k.ClusterRole]
		r.RulesHash, r.Forbidden = access.RulesHash(rules), access.ForbiddenRule(rules, k.Access)
	}
	if w.notReady[name] || r.Forbidden != "" {
		r.NotReady = "something is missing"
	}
	return r
}

// meaning tells what a role gives, independently of the digests; "" if there is no such role.
func (w *world) meaning(name string) string {
	spec := w.roles[name]
	if spec == nil {
		return ""
	}
	var lines []string
	if k := spec.Kubernetes; k != nil {
		lines = append(lines, fmt.Sprintf("%s %s %s", k.Scope, k.Access, k.ClusterRole))
		for _, r := range w.clusterRoles[k.ClusterRole] {
			for _, v := range r.Verbs {
				for _, res := range r.Resources {
					lines = append(lines, v+" "+res)
				}
			}
		}
	}
	if spec.AWS != nil {
		for _, g := range spec.AWS.Groups {
			lines = append(lines, "group "+string(g))
		}
	}
	slices.Sort(lines)
	return strings.Join(slices.Compact(lines), ",")
}

// identify asks AWS about a person.
func (w *world) identify(name string, groups []v1alpha1.IAMGroupName) *access.Person {
	if w.aws != up {
		return &access.Person{Unavailable: "no route to host"}
	}
	u := w.users[name]
	if u == nil {
		return &access.Person{}
	}
	tags := map[string]string{}
	if u.tag != "" {
		tags[v1alpha1.KubernetesUsersTag] = u.tag
	}
	p := &access.Person{Found: true, Name: name, UserID: u.id, MFA: u.mfa, KubernetesUsers: access.KubernetesUsersOf(name, account+name, tags)}
	for s := range w.members {
		if s.userID == u.id {
			p.Memberships = append(p.Memberships, s.group)
		}
	}
	slices.Sort(p.Memberships)
	var users []access.User
	for name, u := range w.users {
		users = append(users, access.User{UserID: u.id, Name: name, ARN: account + name, Tags: map[string]string{v1alpha1.KubernetesUsersTag: u.tag}})
	}
	p.Directory = access.NewDirectory(users...)
	w.knew[p] = w.folk()
	for _, group := range groups {
		if slices.Contains(p.Memberships, string(group)) && !w.claimed(u.id, string(group)) {
			p.Foreign = append(p.Foreign, string(group))
		}
	}
	return p
}

// of lists the stored grants of a person, in a fixed order.
func (w *world) of(userID string) []*v1alpha1.ProdAccessGrant {
	var all []*v1alpha1.ProdAccessGrant
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		if g := w.grants[name]; g.Status.AWS.UserID == userID {
			all = append(all, g)
		}
	}
	return all
}

func (w *world) claimed(userID, group string) bool {
	return slices.ContainsFunc(w.of(userID), func(g *v1alpha1.ProdAccessGrant) bool { return access.Claims(g, group) })
}

type outcome struct {
	group            v1alpha1.IAMGroupName
	present, covered bool
	obstacle         access.Obstacle
	failed           bool
}

// settle makes one membership what the live grants call for, as membership.Engine does.
func (w *world) settle(g *v1alpha1.ProdAccessGrant, group v1alpha1.IAMGroupName, ours bool) outcome {
	o := outcome{group: group}
	id := g.Status.AWS.UserID
	grants := w.of(id)
	o.covered = slices.ContainsFunc(grants, func(g *v1alpha1.ProdAccessGrant) bool { return access.Covers(g, string(group), w.now()) })
	if !o.covered && !ours && !w.claimed(id, string(group)) {
		return o
	}
	o.present = !o.covered
	if w.aws == down || w.disabled {
		o.failed = true
		return o
	}
	s := seat{id, string(group)}
	have := w.members[s]
	if !o.covered {
		if have != nil {
			w.burn()
			w.leaves(s)
			delete(w.members, s)
		}
		o.present = w.aws == mute
		o.failed = o.present
		return o
	}
	switch u := w.users[g.Spec.Subject.IAMUser]; {
	case u == nil || u.id != id:
		o.obstacle = access.Obstacle{Reason: v1alpha1.ReasonUserNotFound, Message: "gone"}
	case have != nil:
		o.present = true
	case slices.ContainsFunc(grants, func(g *v1alpha1.ProdAccessGrant) bool {
		return access.Covers(g, string(group), w.now()) &&
			slices.Contains(g.Status.AWS.Groups, v1alpha1.GroupMembership{Name: group, Intended: true, Observed: true})
	}):
		o.obstacle = access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: "taken"}
	default:
		w.burn()
		w.joins(s)
		w.members[s] = &membership{}
		o.present = w.aws == up
		o.failed = !o.present
	}
	return o
}

// verify looks once more that a membership is gone.
func (w *world) verify(g *v1alpha1.ProdAccessGrant, group v1alpha1.IAMGroupName) outcome {
	id := g.Status.AWS.UserID
	covered := slices.ContainsFunc(w.of(id), func(g *v1alpha1.ProdAccessGrant) bool { return access.Covers(g, string(group), w.now()) })
	if have := w.members[seat{id, string(group)}]; covered || have == nil && w.aws == up && !w.disabled {
		return outcome{group: group, covered: covered}
	}
	return w.settle(g, group, true)
}

// pass is one reconcile, as in the controller.
type pass struct {
	*world
	g, stored *v1alpha1.ProdAccessGrant
	now       time.Time
	facts     access.Facts
	ready     *task
	notes     status.Notes
	failed    bool
	// unrevoked says that the API server itself was asked what is revoked.
	unrevoked bool
	// saw is what the pass had to know in truth: the approvals that watches had shown, and the revocations that they had
	// shown, or that were stored when the API server was asked.
	saw view
}

// others lets others do something while the pass is under way.
func (p *pass) others() {
	if p.between != nil {
		p.between()
	}
}

func (p *pass) ending() bool {
	state := access.StateOf(p.g)
	return access.Terminal(state) || state == v1alpha1.StateRevoking || p.g.DeletionTimestamp != nil || !p.now.Before(access.Deadline(p.g))
}

// reconcile looks at a grant once. swept says that a look at all people has just been taken.
func (w *world) reconcile(name string, swept bool) {
	stored := w.grants[name]
	if stored == nil {
		return
	}
	p := &pass{world: w, g: stored.DeepCopy(), stored: stored, now: w.now()}
	if t := w.tasks[stored.UID]; t != nil && t.done {
		p.ready = t
		delete(w.tasks, stored.UID)
	}
	p.facts = access.Facts{
		Grant: p.g, AWS: !w.disabled,
	}
	p.saw.at = p.now
	if !p.ending() {
		p.gather(swept)
	}
	p.others()
	p.saw.revocations = w.known
	p.facts.Revocations = plain(w.known)
	const rounds = 8
	for range rounds {
		d := access.Decide(p.facts, p.now)
		p.others()
		if d.State == v1alpha1.StateGranting && d.Record && !p.unrevoked {
			p.saw.revocations, p.saw.live, p.unrevoked = w.revocations, true, true
			p.facts.Revocations = plain(w.revocations)
			continue
		}
		if d.Remember {
			p.remember(&d)
		}
		p.others()
		if d.Record {
			status.Grant(p.g, &d, status.Notes{}, p.now)
			p.write(&d)
		} else {
			p.g.Status.AWS, p.g.Status.Kubernetes = d.AWS, d.Kubernetes
		}
		again, inFlight := p.carryOut(&d)
		switch {
		case again && !inFlight:
			continue
		case d.Effect == access.EffectRelease:
			return
		case !inFlight:
			d.AWS, d.Kubernetes = p.g.Status.AWS, p.g.Status.Kubernetes
			status.Grant(p.g, &d, p.notes, p.now)
			p.write(&d)
			if d.State != v1alpha1.StateGranting {
				delete(w.people, p.g.UID)
			}
		}
		p.sleep(&d)
		return
	}
	w.fail("%s: no settled decision after %d rounds", name, rounds)
}

// sleep notes when the grant asked to be looked at again.
func (p *pass) sleep(d *access.Decision) {
	next := wake{at: d.WakeAt}
	switch {
	case p.failed:
		next.recheck = p.now.Add(time.Second)
	case d.RecheckAfter > 0:
		next.recheck = p.now.Add(d.RecheckAfter)
	}
	if deadline := access.Deadline(p.g); !p.ending() && (next.at.IsZero() || next.at.After(deadline)) && !next.recheck.IsZero() {
		next.at = deadline
	}
	p.wakes[p.g.Name] = next
}

func (p *pass) gather(swept bool) {
	if len(p.g.Finalizers) == 0 {
		p.burn()
		p.g.Finalizers = []string{v1alpha1.Finalizer}
		p.stored = p.g.DeepCopy()
		p.grants[p.g.Name] = p.stored
	}
	p.others()
	p.facts.Role = p.role(p.g.Spec.Role)
	p.facts.Guard, p.facts.AuditBroken, p.facts.MayApprove = p.guard, p.auditBroken, p.mayApprove
	p.saw.votes = p.heard
	for _, v := range p.heard {
		if v.Spec.Target.Name == p.g.Name {
			p.facts.Approvals = append(p.facts.Approvals, v.AccessApproval)
		}
	}
	state := access.StateOf(p.g)
	if known, ok := p.people[p.g.UID]; ok && state == v1alpha1.StateGranting && p.now.Sub(known.at) < 30*time.Second {
		p.facts.Person = known.person
	}
	if swept && !p.disabled && state == v1alpha1.StateGranted {
		p.facts.Person = p.identify(p.g.Spec.Subject.IAMUser, p.groupsOf())
	}
}

func (p *pass) groupsOf() []v1alpha1.IAMGroupName {
	var groups []v1alpha1.IAMGroupName
	if r := p.facts.Role; r != nil && r.Spec.AWS != nil {
		groups = append(groups, r.Spec.AWS.Groups...)
	}
	for _, m := range p.g.Status.AWS.Groups {
		groups = append(groups, m.Name)
	}
	return groups
}

// remember stores that the request has ended, and then until when.
func (p *pass) remember(d *access.Decision) {
	name := "ended-" + p.g.Name + "-" + d.SpecDigest
	for slices.ContainsFunc(p.revocations, func(r revocation) bool { return r.Name == name && !access.InForce(&r.AccessRevocation) }) {
		name += "-again"
	}
	if !slices.ContainsFunc(p.revocations, func(r revocation) bool { return r.Name == name }) {
		p.burn()
		p.revocations = append(slices.Clone(p.revocations), revocation{of: requestOf(p.g), AccessRevocation: v1alpha1.AccessRevocation{
			ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: v1alpha1.AccessRevocationSpec{RevokedBy: "operator", Reason: "remembered: " + d.Message,
				Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: p.g.Name, SpecDigest: d.SpecDigest}},
		}})
		p.note("%s is remembered", p.g.Name)
		p.world.stored()
	}
	for i := range p.revocations {
		if r := &p.revocations[i]; r.Name == name && r.Status.EndsAt == nil {
			p.burn()
			p.revocations = slices.Clone(p.revocations)
			p.revocations[i].Status.EndsAt = new(metav1.NewTime(access.Deadline(p.g)))
			p.world.stored()
		}
	}
}

// release deletes the approvals, which are for this object alone, and lets it go.
func (p *pass) release() {
	p.burn()
	p.approvals = slices.DeleteFunc(slices.Clone(p.approvals), func(v vote) bool { return v.Spec.Target.UID == string(p.g.UID) })
	p.world.stored()
	p.others()
	p.burn()
	p.note("%s released", p.g.Name)
	p.judgeRelease()
	p.stored.Finalizers = nil
	p.drop(p.g.Name)
}

func (p *pass) carryOut(d *access.Decision) (again, inFlight bool) {
	p.others()
	p.facts.Done = false
	switch d.Effect {
	case access.EffectIdentify:
		name, groups := p.g.Spec.Subject.IAMUser, p.groupsOf()
		person, ok := await(p, fmt.Sprint("identify", name, groups), func() any { return p.identify(name, groups) })
		if !ok {
			return false, true
		}
		if p.facts.Person, _ = person.(*access.Person); p.facts.Person.Unavailable == "" {
			p.people[p.g.UID] = identified{p.facts.Person, p.now}
		}
		return true, false
	case access.EffectSync:
		return p.sync(d)
	case access.EffectRemove:
		inFlight = p.remove()
		p.facts.Done = !p.failed && !inFlight
		p.records[p.g.UID].took = d.State == v1alpha1.StateRevoking
		return !p.failed, inFlight
	case access.EffectVerify:
		inFlight = p.verifyAll()
		p.facts.Done = !p.failed && !inFlight
		p.records[p.g.UID].verified = p.facts.Done
		return !p.failed, inFlight
	case access.EffectRelease:
		p.release()
	case access.EffectDeactivate:
		p.Fatalf("%s: credentials do not age in this world", p.g.Name)
	case access.EffectMake:
		p.Fatalf("%s: nobody asks for a temporary user in this world", p.g.Name)
	case access.EffectNone:
	}
	return false, false
}

func (p *pass) sync(d *access.Decision) (again, inFlight bool) {
	p.unbind(func(b v1alpha1.GrantBinding) bool { return !b.Intended && b.Observed })
	var groups []v1alpha1.GroupMembership
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended != m.Observed {
			groups = append(groups, m)
		}
	}
	joined := true
	p.others()
	if len(groups) > 0 {
		outcomes, ok := p.settleAll("settle", groups, func(g *v1alpha1.ProdAccessGrant, group v1alpha1.IAMGroupName) outcome {
			return p.settle(g, group, false)
		})
		if !ok {
			return false, true
		}
		joined = p.merge(outcomes)
	}
	if joined || d.State == v1alpha1.StateGranted {
		for i := range p.g.Status.Kubernetes.Bindings {
			if b := &p.g.Status.Kubernetes.Bindings[i]; b.Intended {
				p.others()
				p.bind(b)
			}
		}
	}
	switch {
	case p.facts.TakenAway != "":
		return true, false
	case d.State == v1alpha1.StateGranted:
		p.failed = p.failed || p.facts.Obstacle.Reason != ""
		return false, false
	case p.facts.Obstacle.Reason != "":
		return true, false
	}
	p.facts.Done = joined && !p.failed
	return p.facts.Done, false
}

func (p *pass) remove() (inFlight bool) {
	var groups []v1alpha1.GroupMembership
	for _, m := range p.g.Status.AWS.Groups {
		if m.Intended || m.Observed {
			groups = append(groups, m)
		}
	}
	var outcomes []outcome
	left := true
	if len(groups) > 0 {
		outcomes, left = p.settleAll("remove", groups, func(g *v1alpha1.ProdAccessGrant, group v1alpha1.IAMGroupName) outcome {
			return p.settle(g, group, true)
		})
	}
	p.unbind(func(b v1alpha1.GrantBinding) bool { return b.Intended || b.Observed })
	if left {
		p.merge(outcomes)
	}
	return !left
}

func (p *pass) verifyAll() (inFlight bool) {
	if groups := p.g.Status.AWS.Groups; len(groups) > 0 {
		outcomes, ok := p.settleAll("verify", groups, p.verify)
		if !ok {
			return true
		}
		p.merge(outcomes)
	}
	for _, b := range p.g.Status.Kubernetes.Bindings {
		b.UID = ""
		p.unbindOne(&b)
	}
	return false
}

func (p *pass) settleAll(what string, groups []v1alpha1.GroupMembership, by func(*v1alpha1.ProdAccessGrant, v1alpha1.IAMGroupName) outcome) ([]outcome, bool) {
	g := p.g.DeepCopy()
	result, ok := await(p, fmt.Sprint(what, groups), func() any {
		var all []outcome
		for _, m := range groups {
			all = append(all, by(g, m.Name))
		}
		return all
	})
	outcomes, _ := result.([]outcome)
	return outcomes, ok
}

func (p *pass) merge(outcomes []outcome) bool {
	joined := true
	state := access.StateOf(p.g)
	for _, o := range outcomes {
		for i := range p.g.Status.AWS.Groups {
			m := &p.g.Status.AWS.Groups[i]
			if m.Name != o.group {
				continue
			}
			// A look that failed after an end does not take back that it was seen to be gone.
			m.Observed = o.present && (!o.failed || !access.Terminal(state))
			if o.covered && (!m.Intended || state == v1alpha1.StateSuspended) {
				m.Observed, o.obstacle, o.failed = false, access.Obstacle{}, false
			}
			joined = joined && (m.Observed || !m.Intended)
		}
		if o.obstacle.Reason != "" {
			p.facts.Obstacle, p.notes.Memberships = o.obstacle, o.obstacle
		}
		if o.failed {
			p.failed, p.notes.Memberships = true, access.Obstacle{Reason: v1alpha1.ReasonError, Message: "no answer"}
		}
	}
	return joined && p.facts.Obstacle.Reason == ""
}

func (p *pass) bind(b *v1alpha1.GrantBinding) {
	at := place{b.Namespace, b.Name}
	have := p.bindings[at]
	if b.UID != "" {
		if b.Observed = have != nil && have.uid == b.UID; !b.Observed {
			p.facts.TakenAway = "the binding " + b.Name
		}
		return
	}
	if have == nil {
		if !p.world.now().Before(access.Deadline(p.g)) {
			// The call is not made any more: it was given until the deadline.
			p.failed = true
			return
		}
		p.burn()
		p.binds(p.g, at)
		p.serial++
		have = &binding{fmt.Sprintf("binding-%d", p.serial), p.g.UID, p.g.Status.Kubernetes.User, p.g.Status.Kubernetes.ClusterRole}
		p.bindings[at] = have
	}
	b.UID, b.Observed = have.uid, true
}

func (p *pass) unbind(which func(v1alpha1.GrantBinding) bool) {
	suspended := access.StateOf(p.g) == v1alpha1.StateSuspended
	for i := range p.g.Status.Kubernetes.Bindings {
		if b := &p.g.Status.Kubernetes.Bindings[i]; which(*b) {
			p.unbindOne(b)
			if suspended {
				b.UID = ""
			}
		}
	}
}

func (p *pass) unbindOne(b *v1alpha1.GrantBinding) {
	at := place{b.Namespace, b.Name}
	if have := p.bindings[at]; have != nil && have.owner == p.g.UID && (b.UID == "" || b.UID == have.uid) {
		p.burn()
		p.note("%s unbound from %q", p.g.Name, at.namespace)
		delete(p.bindings, at)
	}
	b.Observed = false
}

// await returns the result of a task, or begins it and comes back for it. An answer is only an answer to the same
// question: what is called for may have changed since it was asked.
func await(p *pass, question string, work func() any) (any, bool) {
	if !p.slow {
		return work(), true
	}
	if p.ready != nil && p.ready.question == question {
		result := p.ready.result
		p.ready = nil
		return result, true
	}
	if t := p.tasks[p.g.UID]; t == nil || t.question != question {
		p.tasks[p.g.UID] = &task{question: question, work: work}
	}
	return nil, false
}

// runTasks lets AWS answer.
func (w *world) runTasks() {
	for _, uid := range slices.Sorted(maps.Keys(w.tasks)) {
		if t := w.tasks[uid]; t != nil && !t.done {
			t.result = t.work()
			t.done = true
		}
	}
}

// write stores a status, after judging it.
func (p *pass) write(d *access.Decision) {
	if equality.Semantic.DeepEqual(p.stored.Status, p.g.Status) {
		return
	}
	p.burn()
	if p.grants[p.g.Name] != p.stored {
		panic(conflict{})
	}
	p.judge(p.stored, p.g, d)
	p.stored = p.g.DeepCopy()
	p.grants[p.g.Name] = p.stored
}

// drop forgets an object without finalizers.
func (w *world) drop(name string) {
	g := w.grants[name]
	delete(w.grants, name)
	delete(w.wakes, name)
	for at, b := range w.bindings {
		if b.owner == g.UID {
			w.fail("%s is gone, and its binding in %q is not", name, at.namespace)
		}
	}
}

func (w *world) created(name string, spec *v1alpha1.ProdAccessGrantSpec) {
	w.serial++
	g := &v1alpha1.ProdAccessGrant{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID(fmt.Sprintf("uid-%d", w.serial)), Generation: 1,
			CreationTimestamp: metav1.NewTime(w.server.Truncate(time.Second))},
		Spec: *spec.DeepCopy(),
	}
	w.grants[name] = g
	w.records[g.UID] = &record{g: g, proven: !w.unguarded}
}
