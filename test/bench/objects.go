// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// boundNamespace is the one in which every role is bound.
	boundNamespace = "bench"
	// workers make the floors and send approvals.
	workers = 10
)

const (
	requester = "dana@hera.example"
	// opener opens roles in emergencies, for others, and writes the reports.
	opener = "erin@hera.example"
	// self is who the operator is to the API server.
	self = "system:serviceaccount:" + systemNamespace + ":prod-access-controller-manager"
)

var approvers = []string{"bob@hera.example", "carol@hera.example"}

// role is an AccessRole with what its ClusterRole comes to.
type role struct{ access.Role }

func (r role) group() string { return string(r.Spec.AWS.Groups[0]) }

// createRoles makes roles of the ClusterRoles that the operator may bind.
func (b *bench) createRoles(ctx context.Context) {
	rules := []rbacv1.PolicyRule{{Verbs: []string{"get", "list", "watch"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}
	for _, name := range []string{"developer", "infra-manager", "infra-member", "security-engineer"} {
		clusterRole := "prod-access-" + name
		r := &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AccessRoleSpec{
			MaxDuration: metav1.Duration{Duration: 24 * time.Hour},
			Approval:    v1alpha1.ApprovalPolicy{Required: int32(len(approvers))},
			Kubernetes:  &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeNamespaces, ClusterRole: clusterRole, Access: v1alpha1.AccessReadOnly},
			// As shipped: what it costs to look at credentials is part of what is measured.
			Requirements: v1alpha1.Requirements{MaxCredentialAge: &metav1.Duration{Duration: 1440 * time.Hour}, OnStale: v1alpha1.StaleSuspend},
			AWS:          &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{v1alpha1.IAMGroupName("hera-prod-" + name)}},
			BreakGlass:   &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: time.Hour}, ReportWithin: metav1.Duration{Duration: 72 * time.Hour}},
		}}
		check(b.kube.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: clusterRole}, Rules: rules}))
		check(b.kube.Create(ctx, r))
		b.roles = append(b.roles, role{access.Role{Name: name, Spec: r.Spec, RulesHash: access.RulesHash(rules)}})
	}
}

// rolesReady waits until the operator has looked at every role, and has found the admission guard whole.
func (b *bench) rolesReady(ctx context.Context) {
	for _, r := range b.roles {
		var obj v1alpha1.AccessRole
		b.until(ctx, 50*time.Millisecond, "role "+r.Name+" is not Ready yet", func() bool {
			check(b.kube.Get(ctx, client.ObjectKey{Name: r.Name}, &obj))
			return meta.IsStatusConditionTrue(obj.Status.Conditions, v1alpha1.ConditionReady)
		})
	}
	check(operator.WaitGuarded(ctx, b.cp))
}

// request is a grant with its role and person, or an emergency, whose grant stands for it once it is opened.
type request struct {
	grant  *v1alpha1.ProdAccessGrant
	glass  *v1alpha1.BreakGlass
	role   role
	person access.Person
}

// What is seen of a request.
func (r *request) bound() string   { return "bound " + access.BindingName(r.grant) }
func (r *request) unbound() string { return "unbound " + access.BindingName(r.grant) }
func (r *request) joined() string  { return "joined " + r.role.group() + " " + r.person.Name }
func (r *request) left() string    { return "left " + r.role.group() + " " + r.person.Name }

// whenAll returns when something was seen of the last of all requests.
func (b *bench) whenAll(ctx context.Context, all []*request, what func(*request) string) time.Time {
	return must(b.seen.wait(ctx, keys(all, what)...))
}

func keys(all []*request, what func(*request) string) (keys []string) {
	for _, r := range all {
		keys = append(keys, what(r))
	}
	return keys
}

// boundary is the permissions boundary of everybody, so that everybody is fenced.
const boundary = "arn:aws:iam::111122223333:policy/prod-access/prod-access-boundary"

// newPerson adds an IAM user with a password, an access key and a boundary.
func (b *bench) newPerson() access.Person {
	b.serial++
	name := fmt.Sprintf("person-%d", b.serial)
	p := access.Person{Found: true, Name: name, KubernetesUsers: []string{name + "@hera.example"}, MFA: true}
	p.UserID = b.iam.AddUser(fake.User{Name: name, MFA: true, Boundary: boundary, PasswordAge: &metav1.Duration{Duration: time.Hour}, KeyAge: &metav1.Duration{Duration: time.Hour},
		Tags: map[string]string{v1alpha1.KubernetesUsersTag: p.KubernetesUsers[0]}})
	return p
}

// newRequest makes a grant that is not created yet.
func (b *bench) newRequest(p access.Person, r role, expires time.Time) *request {
	b.serial++
	return &request{role: r, person: p, grant: &v1alpha1.ProdAccessGrant{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("grant-%d", b.serial)},
		Spec: v1alpha1.ProdAccessGrantSpec{
			Subject: v1alpha1.Subject{IAMUser: p.Name}, Role: r.Name, Namespaces: []v1alpha1.NamespaceName{boundNamespace},
			Reason: "replace the failing disk of the database", ChangeTicket: "CHG-1042", RequestedBy: requester,
			ExpiresAt: metav1.NewTime(expires.Truncate(time.Second)),
		},
	}}
}

// newRequests makes n grants of one role, for as many people.
func (b *bench) newRequests(n int, expires time.Time) (all []*request) {
	for range n {
		all = append(all, b.newRequest(b.newPerson(), b.roles[0], expires))
	}
	return all
}

// newEmergency makes one that is not opened yet.
func (b *bench) newEmergency(p access.Person, lasts time.Duration) *request {
	r := b.newRequest(p, b.roles[0], time.Now())
	spec := r.grant.Spec
	r.glass = &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: "glass-" + p.Name}, Spec: v1alpha1.BreakGlassSpec{
		Subject: spec.Subject, Role: spec.Role, Namespaces: spec.Namespaces, Incident: "INC-" + p.Name, Reason: spec.Reason,
		Duration: metav1.Duration{Duration: lasts}, OpenedBy: opener,
	}}
	return r
}

// open opens an emergency.
func (b *bench) open(ctx context.Context, r *request) {
	check(b.people[opener].Create(ctx, r.glass))
	r.grant = access.FromBreakGlass(r.glass)
}

// mayRead waits until the API server lets the person of a request do what the role gives.
func (b *bench) mayRead(ctx context.Context, r *request) time.Time {
	for {
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: r.person.KubernetesUsers[0],
			ResourceAttributes: &authorizationv1.ResourceAttributes{Namespace: boundNamespace, Verb: "get", Resource: "configmaps"}}}
		check(b.kube.Create(ctx, review))
		if review.Status.Allowed {
			return time.Now()
		}
	}
}

// reachGlass waits until something holds for all emergencies.
func (b *bench) reachGlass(ctx context.Context, what string, all []*request, holds func(*v1alpha1.BreakGlass) bool) {
	b.until(ctx, 20*time.Millisecond, fmt.Sprintf("not all of %d emergencies are %s yet", len(all), what), func() bool {
		for len(all) > 0 {
			now := &v1alpha1.BreakGlass{} // what is absent now must not be taken from before
			check(b.kube.Get(ctx, client.ObjectKeyFromObject(all[0].glass), now))
			all[0].glass, all[0].grant = now, access.FromBreakGlass(now)
			if !holds(now) {
				return false
			}
			all = all[1:]
		}
		return true
	})
}

// glassIn says whether an emergency is in a state.
func glassIn(state string) func(*v1alpha1.BreakGlass) bool {
	return func(g *v1alpha1.BreakGlass) bool { return access.StateOf(access.FromBreakGlass(g)) == state }
}

// report writes the report of an emergency that is over.
func (b *bench) report(ctx context.Context, r *request) error {
	stored := r.glass.DeepCopy()
	r.glass.Spec.Report = &v1alpha1.EmergencyReport{Summary: "the disk was replaced, and the database answers", WrittenBy: opener}
	return b.people[opener].Patch(ctx, r.glass, client.MergeFrom(stored))
}

func reportApproval(r *request, approver string) *v1alpha1.AccessApproval {
	return &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: r.glass.Name + "-"}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetBreakGlass, Name: r.glass.Name, UID: string(r.glass.UID)},
		Role:   r.role.Name, Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(approver), Digest: r.glass.Status.ReportDigest,
	}}
}

func approval(r *request, approver string) *v1alpha1.AccessApproval {
	return &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{GenerateName: r.grant.Name + "-"}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: r.grant.Name, UID: string(r.grant.UID)},
		Role:   r.role.Name, Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(approver),
		Digest: access.ApprovalDigest(string(r.grant.UID), access.SpecDigest(&r.grant.Spec), r.role.MeaningDigest()),
	}}
}

// ask creates grants and has them approved by all but the last approver.
func (b *bench) ask(ctx context.Context, all []*request) {
	b.each(ctx, "creating", all, func(r *request) error { return b.people[requester].Create(ctx, r.grant) })
	b.reach(ctx, "seen", all, func(g *v1alpha1.ProdAccessGrant) bool { return g.Status.ApprovalDigest != "" })
	b.each(ctx, "approving", all, func(r *request) error { return b.people[approvers[0]].Create(ctx, approval(r, approvers[0])) })
	b.reach(ctx, "approved once", all, func(g *v1alpha1.ProdAccessGrant) bool { return len(g.Status.Approvals) == 1 })
}

// approve adds the last approvals.
func (b *bench) approve(ctx context.Context, all []*request) {
	b.each(ctx, "approving", all, func(r *request) error { return b.people[approvers[1]].Create(ctx, approval(r, approvers[1])) })
}

// reach waits until something holds for all grants.
func (b *bench) reach(ctx context.Context, what string, all []*request, holds func(*v1alpha1.ProdAccessGrant) bool) {
	b.until(ctx, 20*time.Millisecond, fmt.Sprintf("not all of %d are %s yet", len(all), what), func() bool {
		for len(all) > 0 {
			check(b.kube.Get(ctx, client.ObjectKeyFromObject(all[0].grant), all[0].grant))
			if !holds(all[0].grant) {
				return false
			}
			all = all[1:]
		}
		return true
	})
}

// reachState waits for a state.
func (b *bench) reachState(ctx context.Context, state string, all []*request) {
	b.reach(ctx, state, all, func(g *v1alpha1.ProdAccessGrant) bool { return access.StateOf(g) == state })
}

// fill makes an active grant without the operator: all that it would have written.
func (b *bench) fill(ctx context.Context, r *request, withApprovals bool) error {
	g := r.grant
	g.Finalizers = []string{v1alpha1.Finalizer}
	if err := b.people[requester].Create(ctx, g); err != nil {
		return err
	}
	facts := access.Facts{Grant: g, Role: &r.role.Role, AWS: true, Person: &r.person,
		Guard: access.Guard{Since: g.CreationTimestamp.Time}, MayApprove: func(string, []string) bool { return true }}
	for _, approver := range approvers {
		a := approval(r, approver)
		if withApprovals {
			if err := b.people[approver].Create(ctx, a); err != nil {
				return err
			}
		}
		a.CreationTimestamp = g.CreationTimestamp
		facts.Approvals = append(facts.Approvals, *a)
	}
	now := g.Spec.ExpiresAt.Add(-time.Minute) // the window was open then
	d := access.Decide(facts, now)
	if d.Effect != access.EffectSync {
		return fmt.Errorf("%s is %s: %s", g.Name, d.State, d.Message)
	}
	status.Grant(g, &d, status.Notes{}, now)
	o := rbac.New(b.people[self], b.people[self]).Ensure(ctx, g, g.Status.Kubernetes.Bindings[0])
	if o.Err != nil {
		return o.Err
	}
	b.iam.AddMember(r.role.group(), r.person.Name)
	g.Status.Kubernetes.Bindings[0], g.Status.AWS.Groups[0].Observed = o.Binding, true
	facts.Done = true
	d = access.Decide(facts, now)
	status.Grant(g, &d, status.Notes{}, now)
	return b.people[self].Status().Update(ctx, g)
}

// fillAll makes many active grants.
func (b *bench) fillAll(ctx context.Context, all []*request, withApprovals bool) {
	b.each(ctx, "filling in active grants", all, func(r *request) error { return b.fill(ctx, r, withApprovals) })
}

func bareBinding(name string, like *request) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{
		ObjectMeta: metav1.ObjectMeta{Namespace: boundNamespace, Name: "bare-" + name},
		Subjects:   []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: like.person.KubernetesUsers[0]}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: like.role.Spec.Kubernetes.ClusterRole},
	}
}

// bareLife makes a custom resource with the schema of a grant, a binding, and writes a status again and again.
func (b *bench) bareLife(ctx context.Context, like *request, statuses ...v1alpha1.ProdAccessGrantStatus) error {
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: like.grant.Name}, Spec: like.grant.Spec}
	err := errors.Join(b.bare.Create(ctx, g), b.kube.Create(ctx, bareBinding(g.Name, like)))
	for _, s := range statuses {
		base := g.DeepCopy()
		g.Status = s
		err = errors.Join(err, b.bare.Status().Patch(ctx, g, client.MergeFrom(base)))
	}
	return err
}

// bareBindings makes as many bindings as there are requests and deletes them again, the floor of many.
func (b *bench) bareBindings(ctx context.Context, like []*request) (creates, deletes time.Duration) {
	b.serial++
	binding := func(r *request) *rbacv1.RoleBinding {
		return bareBinding(fmt.Sprintf("%s-%d", r.grant.Name, b.serial), r)
	}
	began := time.Now()
	b.each(ctx, "floor", like, func(r *request) error { return b.kube.Create(ctx, binding(r)) })
	creates, began = time.Since(began), time.Now()
	b.each(ctx, "floor", like, func(r *request) error { return b.kube.Delete(ctx, binding(r)) })
	return creates, time.Since(began)
}

// clean deletes every grant, emergency and approval, and waits until the operator has let them go.
func (b *bench) clean(ctx context.Context) {
	check(b.kube.DeleteAllOf(ctx, &v1alpha1.ProdAccessGrant{}))
	check(b.kube.DeleteAllOf(ctx, &v1alpha1.BreakGlass{}))
	check(b.kube.DeleteAllOf(ctx, &v1alpha1.AccessApproval{}))
	b.until(ctx, 500*time.Millisecond, "deleted grants are not gone yet", func() bool {
		var grants v1alpha1.ProdAccessGrantList
		var emergencies v1alpha1.BreakGlassList
		check(b.kube.List(ctx, &grants, client.Limit(1)))
		check(b.kube.List(ctx, &emergencies, client.Limit(1)))
		return len(grants.Items)+len(emergencies.Items) == 0
	})
}

// each works on all requests side by side.
func (b *bench) each(ctx context.Context, what string, all []*request, work func(*request) error) {
	var done atomic.Int64
	defer b.progress(ctx, func() { b.say("%s: %d of %d", what, done.Load(), len(all)) })()
	var group errgroup.Group
	group.SetLimit(workers)
	for _, r := range all {
		group.Go(func() error {
			defer done.Add(1)
			if ctx.Err() != nil {
				return context.Cause(ctx)
			}
			return work(r)
		})
	}
	check(group.Wait())
}

// until polls, for at most ten minutes.
func (b *bench) until(ctx context.Context, every time.Duration, what string, holds func() bool) {
	ctx, cancel := context.WithTimeoutCause(ctx, 10*time.Minute, errors.New("10 minutes passed"))
	defer cancel()
	defer b.progress(ctx, func() { b.say("waiting: %s", what) })()
	for !holds() {
		check(pause(ctx, every))
	}
}

// progress tells something every few seconds, until stop.
func (b *bench) progress(ctx context.Context, tell func()) (stop func()) {
	ctx, stop = context.WithCancel(ctx)
	go func() {
		for pause(ctx, 5*time.Second) == nil {
			tell()
		}
	}()
	return stop
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
