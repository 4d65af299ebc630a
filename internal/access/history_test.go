// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"flag"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// histories is how many random histories a run tries; -rapid.checks changes it.
const histories = "2200"

var (
	objects    = []string{"n0", "n1", "n2", "n3"}
	roleNames  = []string{"r0", "r1"}
	allGroups  = []v1alpha1.IAMGroupName{"g0", "g1", "g2"}
	everybody  = []string{"alice", "bob", "carol", "dana", "erin"}
	namespaces = []v1alpha1.NamespaceName{"payments", "billing"}
	// ruleSets are what a ClusterRole can hold.
	ruleSets = [][]rbacv1.PolicyRule{
		{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}},
		{{APIGroups: []string{""}, Resources: []string{"pods", "services"}, Verbs: []string{"get", "list"}}},
		{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get", "delete"}}},
		{{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"*"}}},
	}
)

func pick[V any](t *rapid.T, what string, from ...V) V { return rapid.SampledFrom(from).Draw(t, what) }

func newWorld(t *rapid.T) *world {
	w := &world{
		T: t, local: begin, server: begin, latest: begin, fuse: -1,
		users: map[string]*iamUser{}, members: map[seat]*membership{},
		clusterRoles: map[string][]rbacv1.PolicyRule{}, roles: map[string]*v1alpha1.AccessRoleSpec{}, notReady: map[string]bool{},
		grants: map[string]*v1alpha1.ProdAccessGrant{}, bindings: map[place]*binding{},
		people: map[types.UID]identified{}, tasks: map[types.UID]*task{},
		records: map[types.UID]*record{}, meanings: map[string]asked{}, wakes: map[string]wake{},
		guard: access.Guard{Since: begin.Add(-24 * time.Hour)}, rights: map[string]right{},
		over: map[request]bool{}, lifted: map[request]bool{}, knew: map[*access.Person]folk{},
	}
	w.disabled = w.chance(10, "AWS disabled")
	for _, name := range everybody {
		w.users[name] = &iamUser{id: "AID-" + name, mfa: true}
	}
	w.users["alice"].tag = "alice@hera.example alice"
	w.clusterRoles["c0"], w.clusterRoles["c1"] = ruleSets[0], ruleSets[1]
	for _, name := range roleNames {
		w.roles[name] = w.newRole(name)
	}
	return w
}

func (w *world) newRole(name string) *v1alpha1.AccessRoleSpec {
	spec := &v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: 8 * time.Hour}, MaxLeadTime: metav1.Duration{Duration: 168 * time.Hour},
		Approval:   v1alpha1.ApprovalPolicy{Required: pick(w.T, "required", int32(1), 2)},
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: "c0", Access: v1alpha1.AccessReadWrite},
	}
	if name == "r1" {
		spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces
	}
	if !w.disabled || w.chance(20, "groups nevertheless") {
		spec.AWS = &v1alpha1.AWSRole{Groups: slices.Clone(allGroups[:rapid.IntRange(0, 2).Draw(w.T, "groups")])}
	}
	return spec
}

func (w *world) newManifest() *v1alpha1.ProdAccessGrantSpec {
	spec := &v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: pick(w.T, "subject", "alice", "bob")}, Role: pick(w.T, "role", roleNames...),
		Reason: "the disk of the ledger is full", RequestedBy: v1alpha1.Username(pick(w.T, "requester", "dana", "carol", "alice")),
		ExpiresAt: metav1.NewTime(w.server.Add(pick(w.T, "window", 4*time.Hour, 6*time.Hour, 2*time.Hour, time.Hour, 20*time.Second, 0, 9*time.Hour)).Truncate(time.Second)),
	}
	if w.chance(20, "later") {
		nb := metav1.NewTime(w.server.Add(10 * time.Minute).Truncate(time.Second))
		spec.NotBefore = &nb
	}
	if spec.Role == "r1" {
		spec.Namespaces = namespaces
	}
	if w.disabled || w.chance(30, "says who") {
		spec.Subject.KubernetesUser = v1alpha1.Username(spec.Subject.IAMUser)
	}
	if w.chance(20, "reviewed") {
		spec.ReviewedBy = pick(w.T, "reviewers", []v1alpha1.Username{"bob", "carol"}, []v1alpha1.Username{"carol", "CAROL"}, []v1alpha1.Username{"alice", "erin"})
	}
	if w.chance(5, "says wrong") {
		spec.Subject.KubernetesUser = "root"
	}
	return spec
}

// object picks a grant that exists.
func (w *world) object(t *rapid.T) *v1alpha1.ProdAccessGrant {
	if len(w.grants) == 0 {
		t.Skip("there is no grant")
	}
	return w.grants[pick(t, "grant", slices.Sorted(maps.Keys(w.grants))...)]
}

func (w *world) look(name string, swept bool) {
	w.process(func() {
		w.reconcile(name, swept)
		if g := w.grants[name]; g != nil && w.aws == up && !w.slow {
			w.judgeProcessed(g)
		}
	})
}

// everyone looks at every grant, and lets AWS answer.
func (w *world) everyone(swept bool) {
	w.process(w.runTasks)
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		w.look(name, swept)
	}
}

// rest looks at every grant until nothing changes any more, and judges what there is then.
func (w *world) rest(swept bool) {
	const most = 40
	w.late = false
	w.show()
	for round, quiet := 0, 0; quiet < 3; round++ {
		if round == most {
			w.fail("no rest after %d rounds", most)
		}
		before := w.changes
		w.everyone(swept)
		if quiet++; w.changes != before {
			quiet = 0
		}
	}
	if w.aws != up {
		return
	}
	w.judgeUnion()
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		w.judgeState(w.grants[name], swept)
	}
}

// often are the actions that most histories need more of than chance would give them.
var often = map[string]int{"create": 3, "approve enough": 4, "look at all": 3, "rest": 2, "person": 2, "mend": 2, "time": 2}

func (w *world) actions() map[string]func(*rapid.T) {
	actions := w.events()
	for name, times := range often {
		for i := 1; i < times; i++ {
			actions[fmt.Sprint(name, " ", i)] = actions[name]
		}
	}
	return actions
}

// events are what can happen in a world.
func (w *world) events() map[string]func(*rapid.T) {
	manifests := map[string]*v1alpha1.ProdAccessGrantSpec{}
	return map[string]func(*rapid.T){
		"": func(*rapid.T) { w.judgeRecorded() },
		"create": func(t *rapid.T) {
			name := pick(t, "name", objects...)
			if w.grants[name] != nil {
				t.Skip("exists")
			}
			if manifests[name] == nil || w.chance(40, "another manifest") {
				manifests[name] = w.newManifest()
			}
			w.created(name, manifests[name])
			w.note("%s created: %s for %s until %s", name, manifests[name].Role, manifests[name].Subject.IAMUser, manifests[name].ExpiresAt.Format(time.TimeOnly))
		},
		"approve": func(t *rapid.T) { w.vote(w.object(t)) },
		// Most histories should get to access: this does what it takes.
		"approve enough": func(t *rapid.T) {
			g := w.object(t)
			w.look(g.Name, false)
			if g = w.grants[g.Name]; g == nil {
				return
			}
			for _, person := range []string{"bob", "carol", "erin"} {
				w.decides(g, person, v1alpha1.DecisionApprove)
			}
			w.mayDie(30)
			w.look(g.Name, false)
		},
		"role": func(t *rapid.T) { w.editRole(pick(t, "role", roleNames...)) },
		"cluster role": func(t *rapid.T) {
			name, rules := pick(t, "cluster role", "c0", "c1"), pick(t, "rules", 0, 1, 0, 1, 2, 3)
			w.clusterRoles[name] = ruleSets[rules]
			w.note("%s now has rules %d", name, rules)
			w.mayDie(30)
			w.everyone(false)
		},
		"person": func(t *rapid.T) {
			u := w.users[pick(t, "who", "alice", "bob", "alice", "bob", "carol")]
			switch pick(t, "what", "device", "device", "tag", "anew") {
			case "device":
				u.mfa = w.chance(60, "found")
				w.note("%s has a device: %v", u.id, u.mfa)
			case "tag":
				u.tag = pick(t, "tag", "", "alice@hera.example alice bob", "alice@new.example alice", "carol@hera.example carol erin")
				w.note("%s has the tag %q", u.id, u.tag)
			case "anew":
				for s := range w.members {
					if s.userID == u.id {
						delete(w.members, s)
					}
				}
				w.serial++
				u.id = fmt.Sprintf("%s-%d", u.id[:6], w.serial)
				w.note("created anew: %s", u.id)
			}
		},
		"weather": func(t *rapid.T) {
			w.aws = pick(t, "weather", up, up, up, down, mute)
			w.note("weather %d", w.aws)
		},
		"pace": func(*rapid.T) { w.slow = !w.slow },
		"time": func(t *rapid.T) {
			w.server = w.server.Add(pick(t, "passes", tick, time.Second, 7*time.Second, time.Minute, 11*time.Minute, 2*time.Hour))
			w.expireMemories()
			w.local = w.server.Add(pick(t, "local clock", 0, 0, 0, -time.Hour, -5*time.Second, 3*time.Second, time.Hour))
			w.note("it is %s, the local clock says %s", w.server.Format(time.TimeOnly), w.local.Format(time.TimeOnly))
		},
		"delete": func(t *rapid.T) { w.deletes(w.object(t)) },
		"revoke": func(t *rapid.T) {
			if g := w.grants[pick(t, "revoked", append(slices.Sorted(maps.Keys(w.grants)), "")...)]; g != nil && g.Status.SpecDigest != "" && w.chance(50, "request") {
				w.revokes("", g)
			} else {
				w.revokes(pick(t, "person", "alice", "Bob", "carol", "erin", account+"alice", "alice@hera.example", "alice@new.example", "Carol@hera.example"), nil)
			}
			w.mayDie(30)
			w.everyone(false)
		},
		"lift": func(t *rapid.T) {
			if len(w.revocations) == 0 {
				t.Skip("nothing is revoked")
			}
			i := rapid.IntRange(0, len(w.revocations)-1).Draw(t, "which")
			w.lifts(i, w.chance(70, "counts"))
			if w.revocations[i].lifted && w.chance(30, "and goes") {
				w.revocations = slices.Delete(slices.Clone(w.revocations), i, i+1)
				w.stored()
			}
		},
		"guard": func(*rapid.T) {
			if w.unguarded {
				w.guardMends()
			} else {
				w.guardBreaks()
			}
		},
		"trail": func(*rapid.T) {
			if w.auditBroken = "no space left"; w.chance(50, "mended") {
				w.auditBroken = ""
			}
			w.note("the trail: %q", w.auditBroken)
		},
		// Access that was taken away for now comes back, or not, as something else breaks.
		"lose and find": func(*rapid.T) {
			for _, u := range w.users {
				u.mfa = false
			}
			w.everyone(true)
			w.mayDie(30)
			switch {
			case w.chance(30, "guard breaks") && !w.unguarded:
				w.guardBreaks()
			case w.chance(30, "trail breaks"):
				w.auditBroken = "no space left"
			}
			for _, u := range w.users {
				u.mfa = true
			}
			w.everyone(false)
		},
		"rights": func(t *rapid.T) {
			who := pick(t, "who", "bob", "carol", "erin")
			w.rights[who] = pick(t, "right", always, byItsGroup, never)
			w.note("%s may approve: %q", who, w.rights[who])
		},
		"watches": func(*rapid.T) {
			w.late = !w.late
			w.stored()
		},
		// The same manifest is applied again, as a GitOps tool does.
		"delete and apply again": func(t *rapid.T) {
			g := w.object(t)
			spec := g.Spec.DeepCopy()
			w.deletes(g)
			w.mayDie(30)
			for range 4 {
				w.everyone(false)
				w.server = w.server.Add(7 * time.Second)
			}
			if w.grants[g.Name] != nil {
				return
			}
			manifests[g.Name] = spec
			w.created(g.Name, spec)
			w.note("%s applied again", g.Name)
			w.look(g.Name, false)
		},
		"unbind by hand": func(t *rapid.T) {
			if len(w.bindings) == 0 {
				t.Skip("nothing is bound")
			}
			at := pick(t, "binding", slices.SortedFunc(maps.Keys(w.bindings), func(a, b place) int {
				return strings.Compare(a.name+a.namespace, b.name+b.namespace)
			})...)
			w.note("somebody unbinds %v", at)
			delete(w.bindings, at)
		},
		"join by hand": func(t *rapid.T) {
			s := seat{w.users[pick(t, "who", "alice", "bob")].id, string(pick(t, "group", allGroups...))}
			switch have := w.members[s]; {
			case have != nil && have.foreign:
				delete(w.members, s)
			case have != nil || w.ambiguous(s):
				t.Skip("nobody could tell whose it is")
			default:
				w.note("somebody puts %s into %s", s.userID, s.group)
				w.members[s] = &membership{foreign: true}
			}
		},
		"look":        func(t *rapid.T) { w.look(w.object(t).Name, w.chance(50, "swept")) },
		"look at all": func(*rapid.T) { w.everyone(w.chance(50, "swept")) },
		"answer":      func(*rapid.T) { w.process(w.runTasks) },
		"crash": func(*rapid.T) {
			w.mayDie(100)
			w.everyone(w.chance(50, "swept"))
		},
		"restart": func(*rapid.T) { w.process(func() { panic(crash{}) }) },
		"mend": func(*rapid.T) {
			w.note("all is well again")
			w.aws = up
			w.clusterRoles["c0"], w.clusterRoles["c1"] = ruleSets[0], ruleSets[1]
			clear(w.notReady)
			clear(w.rights)
			w.auditBroken = ""
			if w.unguarded {
				w.guardMends()
			}
			for i := range w.revocations {
				w.lifts(i, true)
			}
			for _, u := range w.users {
				u.mfa = true
			}
			w.mayDie(30)
			w.everyone(false)
		},
		"rest": func(*rapid.T) { w.rest(w.chance(50, "swept")) },
	}
}

// mayDie lets the process die at one of its next side effects, or not.
func (w *world) mayDie(percent int) {
	if w.chance(percent, "dies") {
		w.fuse = rapid.IntRange(1, 6).Draw(w.T, "fuse")
	}
}

// ambiguous says whether a membership that appears now could be one of ours, for all that anybody can know: on record, or
// looked for once more after an end.
func (w *world) ambiguous(s seat) bool {
	return len(w.tasks) > 0 || w.claimed(s.userID, s.group) || slices.ContainsFunc(w.of(s.userID), func(g *v1alpha1.ProdAccessGrant) bool {
		return g.Status.EndedAt != nil && w.now().Sub(g.Status.EndedAt.Time) < 2*time.Minute
	})
}

// vote lets somebody decide, somehow.
func (w *world) vote(g *v1alpha1.ProdAccessGrant) {
	decision := v1alpha1.DecisionApprove
	if w.chance(8, "rejects") {
		decision = v1alpha1.DecisionReject
	}
	person := pick(w.T, "approver", everybody...)
	switch pick(w.T, "name", "name", "name", "upper", "arn", "tag") {
	case "upper":
		person = strings.ToUpper(person)
	case "arn":
		person = account + person
	case "tag":
		if tag := strings.Fields(w.users[person].tag); len(tag) > 0 && !w.disabled {
			person = tag[0]
		}
	}
	w.decides(g, person, decision)
}

func (w *world) decides(g *v1alpha1.ProdAccessGrant, approver string, decision v1alpha1.ApprovalDecision) {
	w.serial++
	digest := g.Status.ApprovalDigest
	if w.chance(8, "stale") && len(w.meanings) > 0 {
		digest = pick(w.T, "digest", slices.Sorted(maps.Keys(w.meanings))...)
	}
	role := g.Spec.Role
	if w.chance(3, "another role") {
		role = "r9"
	}
	w.approvals = append(w.approvals, vote{
		AccessApproval: v1alpha1.AccessApproval{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("a-%d", w.serial), CreationTimestamp: metav1.NewTime(w.server.Truncate(time.Second))},
			Spec: v1alpha1.AccessApprovalSpec{
				Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.Name, UID: string(g.UID)},
				Role:   role, Digest: digest, Decision: decision, Approver: v1alpha1.Username(approver),
			},
		},
		asked: w.meanings[digest], proven: !w.unguarded,
	})
	if w.chance(50, "of the group") {
		w.approvals[len(w.approvals)-1].Spec.ApproverGroups = []string{approvers}
	}
	w.note("%s: %s by %s", g.Name, decision, approver)
	w.stored()
}

func (w *world) editRole(name string) {
	spec := w.roles[name]
	if spec == nil {
		w.roles[name] = w.newRole(name)
		w.note("role %s created", name)
		return
	}
	switch pick(w.T, "edit", "groups", "groups", "groups", "cluster role", "kubernetes", "access", "required", "duration", "ready", "ready", "delete") {
	case "groups":
		if spec.AWS == nil {
			spec.AWS = &v1alpha1.AWSRole{}
		}
		first := rapid.IntRange(0, 3).Draw(w.T, "first")
		spec.AWS.Groups = slices.Clone(allGroups[first:rapid.IntRange(first, 3).Draw(w.T, "last")])
	case "cluster role":
		if k := spec.Kubernetes; k != nil {
			k.ClusterRole = pick(w.T, "cluster role", "c0", "c1")
		}
	case "kubernetes":
		if spec.Kubernetes == nil || spec.AWS == nil || len(spec.AWS.Groups) == 0 {
			spec.Kubernetes = w.newRole(name).Kubernetes
		} else {
			spec.Kubernetes = nil
		}
	case "access":
		if k := spec.Kubernetes; k != nil {
			k.Access = pick(w.T, "access", v1alpha1.AccessReadOnly, v1alpha1.AccessReadWrite)
		}
	case "required":
		spec.Approval.Required = pick(w.T, "required", int32(1), 2)
	case "duration":
		spec.MaxDuration.Duration = pick(w.T, "duration", time.Hour, 8*time.Hour)
	case "ready":
		w.notReady[name] = !w.notReady[name]
	case "delete":
		delete(w.roles, name)
	}
	w.note("role %s: %s, ready %v", name, w.meaning(name), !w.notReady[name])
}

func (w *world) deletes(g *v1alpha1.ProdAccessGrant) {
	w.note("somebody deletes %s", g.Name)
	if len(g.Finalizers) == 0 {
		w.drop(g.Name)
		return
	}
	if g.DeletionTimestamp == nil {
		g = g.DeepCopy()
		g.DeletionTimestamp = new(metav1.NewTime(w.server))
		w.grants[g.Name] = g
	}
}

// finale lets time pass, waking grants only when they asked for it, and sees everything end.
func (w *world) finale() {
	w.aws, w.slow, w.fuse, w.late = up, false, -1, false
	w.show()
	w.tasks = map[types.UID]*task{}
	w.note("finale")
	var live []*record
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		if g := w.grants[name]; !access.Terminal(access.StateOf(g)) {
			live = append(live, w.records[g.UID])
		}
	}
	w.everyone(false)
	w.sleepThrough()
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		if g := w.grants[name]; !access.Terminal(access.StateOf(g)) {
			w.fail("I2: %s never ended", name)
		}
	}
	for _, r := range live {
		if r.took && !r.verified {
			w.fail("nobody looked once more that nothing of %s came back", r.g.Name)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(w.grants)) {
		w.deletes(w.grants[name])
		w.look(name, false)
	}
	w.sleepThrough()
	for s, m := range w.members {
		if !m.foreign {
			w.fail("%s is in %s after all is over", s.userID, s.group)
		}
	}
	if len(w.grants)+len(w.bindings) > 0 {
		w.fail("left when all is over: grants %v, bindings %v", slices.Sorted(maps.Keys(w.grants)), w.bindings)
	}
}

// sleepThrough passes the time until nobody asks to be woken any more, from one instant at which time alone matters to
// the next.
func (w *world) sleepThrough() {
	const most = 50
	for range most {
		var next time.Time
		for _, k := range w.wakes {
			if !k.at.IsZero() && (next.IsZero() || k.at.Before(next)) {
				next = k.at
			}
		}
		if next.IsZero() {
			return
		}
		if next.After(w.server) {
			w.server = next
		}
		now := w.now()
		for _, name := range slices.Sorted(maps.Keys(w.grants)) {
			k := w.wakes[name]
			if !k.at.IsZero() && !now.Before(k.at) || !k.recheck.IsZero() && !now.Before(k.recheck) {
				w.wakes[name] = wake{}
				w.look(name, false)
			}
		}
	}
	w.fail("somebody never stops asking to be woken: %v", w.wakes)
}

// TestMain sets the flags of rapid that nobody has set.
func TestMain(m *testing.M) {
	flag.Parse()
	set := map[string]bool{}
	flag.Visit(func(f *flag.Flag) { set[f.Name] = true })
	// A failure prints the seed that repeats it.
	for name, value := range map[string]string{"rapid.checks": histories, "rapid.steps": "50", "rapid.nofailfile": "true", "rapid.shrinktime": "10s"} {
		if !set[name] {
			if err := flag.Set(name, value); err != nil {
				panic(err)
			}
		}
	}
	m.Run()
}

// TestHistories lives through random histories, and judges every side effect and every status on its way.
func TestHistories(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		t.Repeat(w.actions())
		w.finale()
	})
}
