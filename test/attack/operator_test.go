// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/apimachinery/pkg/watch"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// soon bounds what follows from an event, on a machine that does other things as well.
	soon = 30 * time.Second
	// hidden is how long before its last look the operator distrusts what was created, when it finds the guard broken: the
	// time between two looks, and what clocks may differ by.
	hidden = 36 * time.Second
	// people is how many IAM users there are for the rows to use up. All are there before the operator reads who is who.
	people = 400
	// leads may approve for every role that the rows make, and for those of config.
	leads = "operator-leads"
)

// lead is somebody who may approve, under whichever name.
func lead(name string) person { return person{name, []string{leads}} }

var (
	// rita asks; she could approve as well, were it not her own request.
	rita = lead("rita@hera.example")
	// frank and gina approve. They may by their names too, so that their reviews count without their groups.
	frank = lead("frank@hera.example")
	gina  = lead("gina@hera.example")
	// carrier is an attester of the roles that the rows make.
	carrier = person{user: "system:serviceaccount:argocd:operator-sync"}
)

// world is a running operator with its IAM, and what was ever seen of access.
type world struct {
	iam     *fake.IAM
	process *operator.Process
	used    atomic.Int64
	// shared is a role that no row changes.
	shared string

	mu    sync.Mutex
	bound map[string]bool // who was ever a subject of a binding of a role's ClusterRole
}

// play is one performance of an attempt.
type play struct {
	*testing.T
	*world
	// fair says that it is the twin: all is done but what is forbidden.
	fair bool
	// subject is the IAM user whom access is for.
	subject string
	// words are to be found in what people are told; they may be known only when the attempt has been made.
	words string
}

// either picks what differs between an attempt and its twin.
func either[X any](p *play, forbidden, allowed X) X {
	if p.fair {
		return allowed
	}
	return forbidden
}

// told is what people find in a condition of a grant.
type told struct{ state, condition, reason, words string }

// scheme is an attempt that admission lets pass, or that is made by somebody who has switched admission off. What comes of
// it is the operator's doing: the grant is told that, and the access does not exist. Its twin is granted.
type scheme struct {
	name string
	// of makes the attempt, and returns the grant that it is about.
	of   func(*play) *v1alpha1.ProdAccessGrant
	want told
	// held says that there was access before the attempt, which has to go; otherwise there never may be any.
	held bool
}

func pending(words string) told {
	return told{v1alpha1.StatePendingApproval, v1alpha1.ConditionApproved, v1alpha1.ReasonApprovalsMissing, words}
}

func over(words string) told {
	return told{v1alpha1.StateRevoked, v1alpha1.ConditionActive, v1alpha1.StateRevoked, words}
}

// TestOperator makes the attempts that admission cannot judge, against the built operator. Those that break the guard,
// which is everybody's, come last and one at a time.
func TestOperator(t *testing.T) {
	w := begin(t)
	outages := prepareOutages(t, w)
	t.Run("guarded", func(t *testing.T) {
		for _, s := range slices.Concat(ownApprovals(), votes(), reviews(), removals(), roleChanges(), memories()) {
			t.Run(s.name, func(t *testing.T) {
				t.Parallel()
				perform(t, w, s)
			})
		}
		for _, d := range slices.Concat(dramas(), temporaryDramas()) {
			t.Run(d.name, func(t *testing.T) {
				t.Parallel()
				d.act(w.play(t))
				fair := w.play(t)
				fair.fair = true
				d.act(fair)
			})
		}
		for _, s := range spellings() {
			t.Run("approving one's own report by one's "+s.what, func(t *testing.T) {
				t.Parallel()
				ownReport(w.play(t), s)
			})
		}
	})
	for _, o := range outages {
		t.Run("without the policy "+o.policy, func(t *testing.T) { o.perform(t, w) })
	}
}

// perform makes an attempt, and then its twin, each for a person of its own.
func perform(t *testing.T, w *world, s scheme) {
	t.Helper()
	p := &play{T: t, world: w, subject: w.someone()}
	g := s.of(p)
	want := s.want
	if p.words != "" {
		want.words = p.words
	}
	w.tells(t, g, want)
	w.nothing(t, p.subject)
	if !s.held {
		w.never(t, p.subject)
	}
	twin := &play{T: t, world: w, subject: w.someone(), fair: true}
	w.granted(t, s.of(twin))
}

// begin starts the operator, beside people who exist in IAM under several names.
func begin(t *testing.T) *world {
	t.Helper()
	w := &world{iam: fake.New(fake.Config{}), bound: map[string]bool{}}
	for _, name := range []string{"rita", "frank", "gina", "sam"} {
		w.join(name)
	}
	for i := range people {
		w.join(fmt.Sprintf("walker-%d", i))
	}
	// Hers is the boundary of temporary users, so that it is there.
	w.iam.SetBoundary("gina", boundary)
	for _, group := range []string{"hera-prod-infra-manager", "hera-prod-infra-member", "hera-prod-security-engineer"} {
		w.iam.AddGroup(group)
	}
	if err := policytest.GuardShipped(w.iam, "../../config/roles"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(w.iam)
	t.Cleanup(server.Close)

	approver := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: leads}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"accessroles"}, Verbs: []string{"approve"}}}}
	attest := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "operator-sync"}, Rules: []rbacv1.PolicyRule{{
		APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"accessroles"}, Verbs: []string{"attest"}}}}
	for _, o := range []client.Object{
		approver, attest, clusterBinding(leads, leads, group(leads), user(frank), user(gina)), clusterBinding("operator-sync", "operator-sync", user(carrier)),
	} {
		if err := as(t, root).Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	w.observe(t)

	dir := t.TempDir()
	binary := filepath.Join(dir, "manager")
	if err := operator.Build(t.Context(), binary); err != nil {
		t.Fatal(err)
	}
	var err error
	w.process, err = operator.Start(t.Context(), cp, operator.Options{
		Binary: binary, Config: config, Args: []string{"--break-glass-boundary-arn=" + boundary}, Env: operator.AWSEnv(server.URL), Log: filepath.Join(dir, "operator.log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the operator's log:\n%s", w.process.LogTail(40))
		}
		w.sweep(t)
		// Its records are not there for the other tests, which come to the namespace as it is installed.
		err := w.process.Stop()
		for _, name := range []string{"prod-access-audit", "prod-access-guard"} {
			record := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: namespace, Name: name}}
			err = errors.Join(err, client.IgnoreNotFound(as(t, root).Delete(context.WithoutCancel(t.Context()), record)))
		}
		if err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := errors.Join(w.process.WaitReady(ctx), operator.WaitGuarded(ctx, cp)); err != nil {
		t.Fatal(err)
	}
	w.shared = w.play(t).role().Name
	return w
}

// sweep takes away what the rows have left, while there is an operator that lets it go.
func (w *world) sweep(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
	defer cancel()
	for _, kind := range []client.Object{&v1alpha1.ProdAccessGrant{}, &v1alpha1.BreakGlass{}} {
		if err := as(t, root).DeleteAllOf(ctx, kind, client.HasLabels{walked}); err != nil {
			t.Error(err)
		}
	}
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		var grants v1alpha1.ProdAccessGrantList
		var emergencies v1alpha1.BreakGlassList
		err := errors.Join(as(t, root).List(ctx, &grants, client.HasLabels{walked}), as(t, root).List(ctx, &emergencies, client.HasLabels{walked}))
		return len(grants.Items)+len(emergencies.Items) == 0, err
	})
	if err != nil {
		t.Errorf("grants and emergencies that were deleted do not go away: %v", err)
	}
}

// walked is a label of the grants that the rows ask for, and of the emergencies that they open.
const walked = "attack.example/walked"

// join adds an IAM user with an MFA device and two Kubernetes usernames.
func (w *world) join(name string) {
	w.iam.AddUser(fake.User{Name: name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: username(name) + " " + nickname(name)}})
}

func username(iamUser string) string { return iamUser + "@hera.example" }
func nickname(iamUser string) string { return iamUser + "-k8s" }
func arn(iamUser string) string      { return "arn:aws:iam::111122223333:user/" + iamUser }

// someone is an IAM user whom no other row uses.
func (w *world) someone() string {
	n := w.used.Add(1) - 1
	if n >= people {
		panic("there are too few people for the rows")
	}
	return fmt.Sprintf("walker-%d", n)
}

// observe keeps who is bound to the ClusterRole of a role, however briefly.
func (w *world) observe(t *testing.T) {
	t.Helper()
	kube, err := client.NewWithWatch(cp.Config, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	events, err := kube.Watch(ctx, &rbacv1.ClusterRoleBindingList{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for e := range events.ResultChan() {
			b, ok := e.Object.(*rbacv1.ClusterRoleBinding)
			if !ok || e.Type == watch.Deleted {
				continue
			}
			w.mu.Lock()
			for _, name := range subjects(b) {
				w.bound[name] = true
			}
			w.mu.Unlock()
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
	})
}

// subjects are the users whom a binding gives the ClusterRole of a role.
func subjects(b *rbacv1.ClusterRoleBinding) []string {
	if !strings.HasPrefix(b.RoleRef.Name, "prod-access-") {
		return nil
	}
	var names []string
	for _, s := range b.Subjects {
		if s.Kind == rbacv1.UserKind {
			names = append(names, s.Name)
		}
	}
	return names
}

func namesOf(iamUser string) []string {
	return []string{username(iamUser), nickname(iamUser), iamUser, arn(iamUser)}
}

// has says what access a person has, under any name.
func (w *world) has(t *testing.T, iamUser string) (bindings, groups []string) {
	t.Helper()
	var list rbacv1.ClusterRoleBindingList
	if err := as(t, root).List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	for i := range list.Items {
		if b := &list.Items[i]; slices.ContainsFunc(subjects(b), func(name string) bool { return slices.Contains(namesOf(iamUser), name) }) {
			bindings = append(bindings, b.Name)
		}
	}
	for _, group := range []string{"hera-prod-infra-manager", "hera-prod-infra-member", "hera-prod-security-engineer"} {
		if w.iam.IsMember(group, iamUser) {
			groups = append(groups, group)
		}
	}
	return bindings, groups
}

// nothing waits until a person has no access.
func (w *world) nothing(t *testing.T, iamUser string) {
	t.Helper()
	var bindings, groups []string
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, soon, true, func(context.Context) (bool, error) {
		bindings, groups = w.has(t, iamUser)
		return len(bindings)+len(groups) == 0, nil
	})
	if err != nil {
		t.Errorf("%s has the bindings %v and is in the IAM groups %v", iamUser, bindings, groups)
	}
}

// never checks that a person had no access at any time.
func (w *world) never(t *testing.T, iamUser string) {
	t.Helper()
	w.mu.Lock()
	for _, name := range namesOf(iamUser) {
		if w.bound[name] {
			t.Errorf("%s was bound", name)
		}
	}
	w.mu.Unlock()
	for _, c := range w.iam.Calls() {
		if c.Op == "AddUserToGroup" && c.Changed && c.Params.Get("UserName") == iamUser {
			t.Errorf("%s was put into the IAM group %s", iamUser, c.Params.Get("GroupName"))
		}
	}
}

// tells waits until a grant tells what it must; one that is told to be gone has no state.
func (w *world) tells(t *testing.T, g *v1alpha1.ProdAccessGrant, want told) {
	t.Helper()
	var c *metav1.Condition
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, soon, true, func(ctx context.Context) (bool, error) {
		err := as(t, root).Get(ctx, client.ObjectKeyFromObject(g), g)
		if want.state == "" {
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		}
		if err != nil {
			return false, err
		}
		c = meta.FindStatusCondition(g.Status.Conditions, want.condition)
		return access.StateOf(g) == want.state && c != nil && c.Reason == want.reason && strings.Contains(c.Message, want.words), nil
	})
	if err != nil {
		t.Fatalf("%s is %q, not %q, and its condition %s is %+v; want the reason %s and the words\n  %s\n(%v)\n%+v",
			g.Name, access.StateOf(g), want.state, want.condition, c, want.reason, want.words, err, g.Status.Conditions)
	}
}

// granted waits until a grant is, and checks that it gives what it says.
func (w *world) granted(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	w.tells(t, g, told{v1alpha1.StateGranted, v1alpha1.ConditionReady, v1alpha1.StateGranted, "access until"})
	bindings, groups := w.has(t, g.Spec.Subject.IAMUser)
	if !slices.Contains(bindings, access.BindingName(g)) {
		t.Errorf("%s is granted and not bound: %v", g.Name, bindings)
	}
	if len(groups) != len(g.Status.AWS.Groups) {
		t.Errorf("%s is granted %v, and %s is in the IAM groups %v", g.Name, g.Status.AWS.Groups, g.Spec.Subject.IAMUser, groups)
	}
}

// request is what Rita asks for the subject.
func (p *play) request(changes ...func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	g := grant(func(s *v1alpha1.ProdAccessGrantSpec) {
		s.Subject = v1alpha1.Subject{IAMUser: p.subject, KubernetesUser: v1alpha1.Username(username(p.subject))}
		s.RequestedBy = v1alpha1.Username(rita.user)
	})
	g.Name = p.subject + "-" + p.next()
	g.Labels = map[string]string{walked: "true"}
	for _, change := range changes {
		change(&g.Spec)
	}
	return g
}

func (w *world) next() string { return fmt.Sprint(serial.Add(1)) }

var serial atomic.Int64

// ask lets Rita ask.
func (p *play) ask(changes ...func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	p.Helper()
	return p.creates(rita, p.request(changes...))
}

// creates stores a grant and waits until it can be approved.
func (p *play) creates(by person, g *v1alpha1.ProdAccessGrant) *v1alpha1.ProdAccessGrant {
	p.Helper()
	if err := as(p.T, by).Create(p.Context(), g); err != nil {
		p.Fatalf("%s cannot ask: %v", by.user, err)
	}
	p.digest(g)
	return g
}

// digest waits until a grant says what is to be approved, and returns that.
func (p *play) digest(g *v1alpha1.ProdAccessGrant) string {
	p.Helper()
	p.eventually("the digest of "+g.Name, func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(g), g)
		return g.Status.ApprovalDigest != "", err
	})
	return g.Status.ApprovalDigest
}

// vote is somebody's yes to a grant as it is now, not yet made.
func (p *play) vote(by person, g *v1alpha1.ProdAccessGrant, changes ...func(*approvalSpec)) *v1alpha1.AccessApproval {
	a := approval(by, func(s *approvalSpec) {
		s.Target.Name, s.Target.UID, s.Role, s.Digest, s.ApproverGroups = g.Name, string(g.UID), g.Spec.Role, g.Status.ApprovalDigest, by.groups
	})
	// Votes of one second are counted by name.
	a.Name = fmt.Sprintf("%s-%06d", g.Name, serial.Add(1))
	for _, change := range changes {
		change(&a.Spec)
	}
	return a
}

// approve gives somebody's yes.
func (p *play) approve(by person, g *v1alpha1.ProdAccessGrant, changes ...func(*approvalSpec)) {
	p.Helper()
	p.does(by, p.vote(by, g, changes...))
}

// does lets somebody create an object for good.
func (p *play) does(by person, o client.Object) {
	p.Helper()
	if err := as(p.T, by).Create(p.Context(), o); err != nil {
		p.Fatalf("%s cannot create the %T: %v", by.user, o, err)
	}
}

// live is a grant of the subject that is approved and granted.
func (p *play) live(changes ...func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	p.Helper()
	g := p.ask(changes...)
	p.approve(frank, g)
	p.approve(gina, g)
	p.granted(p.T, g)
	return g
}

// role makes an AccessRole of its own, with a ClusterRole of its own that gathers what carries a label of its name.
func (p *play) role() *v1alpha1.AccessRole {
	p.Helper()
	return p.roleNamed("attack-" + p.next())
}

// roleNamed makes one of a given name.
func (p *play) roleNamed(name string) *v1alpha1.AccessRole {
	p.Helper()
	r := &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: time.Hour}, MaxLeadTime: metav1.Duration{Duration: time.Hour},
		Approval:   v1alpha1.ApprovalPolicy{Required: 2, Attesters: []v1alpha1.Username{v1alpha1.Username(carrier.user)}},
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: "prod-access-" + name, Access: v1alpha1.AccessReadWrite},
	}}
	p.does(ada, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "prod-access-" + name}, AggregationRule: &rbacv1.AggregationRule{
		ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: map[string]string{aggregateTo + name: "true"}}}}})
	p.does(ada, part(name, "get", "pods"))
	p.does(ada, r)
	p.eventually("the role "+name+" is ready", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, nameOf(name), r)
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && c.Status == metav1.ConditionTrue && c.ObservedGeneration == r.Generation, err
	})
	return r
}

const aggregateTo = "access.hera.dev/aggregate-to-"

// part is a ClusterRole whose rule a role gathers.
func part(role, verb, resource string) *rbacv1.ClusterRole {
	return labelled(clusterRole(role+"-"+verb+"-"+resource, verb, resource), aggregateTo+role, "true")
}

// changes lets an administrator change a role, and waits until the operator has looked at it.
func (p *play) changes(name string, change func(*v1alpha1.AccessRoleSpec)) {
	p.Helper()
	var r v1alpha1.AccessRole
	p.eventually("the role "+name+" is changed", func(ctx context.Context) (bool, error) {
		if err := as(p.T, ada).Get(ctx, nameOf(name), &r); err != nil {
			return false, err
		}
		change(&r.Spec)
		err := as(p.T, ada).Update(ctx, &r)
		return err == nil, client.IgnoreNotFound(ignoreConflict(err))
	})
	p.eventually("the role "+name+" is looked at", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, nameOf(name), &r)
		return r.Status.ObservedGeneration == r.Generation, err
	})
}

func ignoreConflict(err error) error {
	if apierrors.IsConflict(err) {
		return nil
	}
	return err
}

func ofRole(name string) func(*v1alpha1.ProdAccessGrantSpec) {
	return func(s *v1alpha1.ProdAccessGrantSpec) { s.Role = name }
}

// gone waits until an object does not exist.
func (p *play) gone(o client.Object) {
	p.Helper()
	have := o.DeepCopyObject().(client.Object)
	p.eventually(o.GetName()+" is gone", func(ctx context.Context) (bool, error) {
		err := as(p.T, root).Get(ctx, client.ObjectKeyFromObject(o), have)
		return apierrors.IsNotFound(err) || err == nil && have.GetUID() != o.GetUID(), client.IgnoreNotFound(err)
	})
}

// deletes lets somebody delete an object.
func (p *play) deletes(by person, o client.Object, how ...client.DeleteOption) {
	p.Helper()
	if err := as(p.T, by).Delete(p.Context(), o, how...); err != nil {
		p.Fatalf("%s cannot delete %s: %v", by.user, o.GetName(), err)
	}
}

// mayApprove waits until the API server says whether somebody holds the verb approve on a role.
func (p *play) mayApprove(name, role string, want bool) {
	p.Helper()
	p.eventually(fmt.Sprintf("%s may approve: %v", name, want), func(ctx context.Context) (bool, error) {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: name, Groups: []string{"system:authenticated"},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Group: v1alpha1.GroupName, Resource: "accessroles", Name: role, Verb: "approve"}}}
		err := as(p.T, root).Create(ctx, review)
		return review.Status.Allowed == want, err
	})
}

// refused checks that a policy stops somebody, in these words.
func (p *play) refused(by person, policy, words string, do attempt) {
	p.Helper()
	refusedBy{policy, words}.check(p.T, do(p.Context(), as(p.T, by)))
}

func (p *play) eventually(what string, holds func(context.Context) (bool, error)) {
	p.Helper()
	if err := wait.PollUntilContextTimeout(p.Context(), 20*time.Millisecond, soon, true, holds); err != nil {
		p.Fatalf("%s: %v", what, err)
	}
}
