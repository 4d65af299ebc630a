// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// marked is a label of what the scene holds.
const marked = "attack.example/scene"

// scene is what there is to attack, beside what config holds.
type scene struct {
	// held is a grant of Alice with the finalizer, ending one that was deleted and waits for it.
	held, ending *v1alpha1.ProdAccessGrant
	// approval is Bob's, of held.
	approval *v1alpha1.AccessApproval
	// revoked ends access of Mallory, and holds the finalizer; lifted did, and unseen did before the operator knew of it.
	revoked, lifted, unseen *v1alpha1.AccessRevocation
	// emergencies are some of Alice's.
	emergencies *emergencies
	// binding is the operator's, for held; standing is the administrator's, of a ready ClusterRole to two groups.
	binding  *rbacv1.ClusterRoleBinding
	standing *rbacv1.ClusterRoleBinding
	// switchedOff carries an aggregation label with another value than the one that is selected; other is nobody's concern.
	switchedOff, other *rbacv1.ClusterRole
}

// setUp makes the scene, each object by somebody who may.
func setUp(t *testing.T) *scene {
	t.Helper()
	s := &scene{}
	store := func(p person, o client.Object) {
		t.Helper()
		o.SetLabels(merged(o.GetLabels(), marked, "true"))
		if err := as(t, p).Create(t.Context(), o); err != nil {
			t.Fatalf("%s cannot create %T %s: %v", p.user, o, o.GetName(), err)
		}
	}
	for _, name := range []string{"payments", "argocd"} {
		store(root, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
	}
	store(ada, reviewed())
	store(ada, inTeams())
	store(ada, near())
	for _, in := range []string{namespace, "payments"} {
		store(root, pod(in, "target"))
		store(root, &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: "target"}})
	}

	s.held, s.ending = grant(), grant()
	for name, g := range map[string]*v1alpha1.ProdAccessGrant{"held": s.held, "ending": s.ending} {
		g.Name, g.Finalizers = name, []string{v1alpha1.Finalizer, "attack.example/other"}
		store(dana, g)
	}
	if err := as(t, dana).Delete(t.Context(), s.ending.DeepCopy()); err != nil {
		t.Fatal(err)
	}

	s.approval = approval(bob)
	s.approval.Name, s.approval.Spec.Target.UID = "held-bob", string(s.held.UID)
	store(bob, s.approval)

	s.revoked, s.lifted, s.unseen = revocation(sam), revocation(sam), revocation(sam)
	s.revoked.Name, s.lifted.Name, s.unseen.Name = "revoked", "lifted", "unseen"
	s.revoked.Finalizers = []string{v1alpha1.Finalizer, "attack.example/other"}
	s.lifted.Finalizers = []string{v1alpha1.Finalizer}
	for _, r := range []*v1alpha1.AccessRevocation{s.revoked, s.lifted, s.unseen} {
		store(sam, r)
	}
	for _, r := range []*v1alpha1.AccessRevocation{s.lifted, s.unseen} {
		r.Spec.Lift = &v1alpha1.Lift{By: v1alpha1.Username(sam.user), Reason: "it was somebody else"}
		if err := as(t, sam).Update(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}

	s.emergencies = setUpEmergencies(t, store)

	s.binding = clusterBinding("prod-access-held-0123456789", "prod-access-infra-member", user(alice))
	s.binding.Labels = map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}
	s.binding.OwnerReferences = []metav1.OwnerReference{ownedBy(s.held)}
	store(theOperator, s.binding)
	s.standing = clusterBinding("viewers", "prod-access-viewer", group("engineers"), group("payments-admins"))
	store(ada, s.standing)

	s.switchedOff = clusterRole("switched-off", "get", "pods")
	s.switchedOff.Labels = map[string]string{"access.hera.dev/aggregate-to-infra-member": "false"}
	store(ada, s.switchedOff)
	s.other = clusterRole("other", "get", "pods")
	store(nora, s.other)
	return s
}

func merged(labels map[string]string, key, value string) map[string]string {
	if labels == nil {
		labels = map[string]string{}
	}
	labels[key] = value
	return labels
}

func ownedBy(g *v1alpha1.ProdAccessGrant) metav1.OwnerReference {
	return metav1.OwnerReference{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "ProdAccessGrant", Name: g.Name, UID: g.UID}
}

// pod is one that the operator's namespace would take.
func pod(in, name string) *corev1.Pod {
	return &corev1.Pod{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, Spec: corev1.PodSpec{
		SecurityContext: &corev1.PodSecurityContext{RunAsNonRoot: new(true), SeccompProfile: &corev1.SeccompProfile{Type: corev1.SeccompProfileTypeRuntimeDefault}},
		Containers: []corev1.Container{{Name: "c", Image: "none", SecurityContext: &corev1.SecurityContext{
			AllowPrivilegeEscalation: new(false), Capabilities: &corev1.Capabilities{Drop: []corev1.Capability{"ALL"}},
		}}},
	}}
}

func clusterRole(name, verb, resource string) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Rules: []rbacv1.PolicyRule{
		{APIGroups: []string{""}, Resources: []string{resource}, Verbs: []string{verb}},
	}}
}

// reviewed is a role of which the syncer carries reviews, and whose pattern is an alternative without anchors.
func reviewed() *v1alpha1.AccessRole {
	return &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: "reviewed"}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: time.Hour}, MaxLeadTime: metav1.Duration{Duration: time.Hour},
		Approval:   v1alpha1.ApprovalPolicy{Required: 1, Attesters: []v1alpha1.Username{v1alpha1.Username(syncer.user)}},
		Change:     v1alpha1.ChangePolicy{TicketPattern: "CHG-[0-9]+|OPS-[0-9]+"},
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: "prod-access-security-engineer", Access: v1alpha1.AccessReadOnly},
	}}
}

// inTeams is a role in namespaces and in an IAM group, for emergencies too.
func inTeams() *v1alpha1.AccessRole {
	r := near()
	r.Name, r.Spec.Kubernetes.Scope = "teams", v1alpha1.ScopeNamespaces
	r.Spec.AWS = &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"hera-prod-teams"}}
	return r
}

// near is a role for emergencies that names no IAM group, though it has an AWS side.
func near() *v1alpha1.AccessRole {
	r := reviewed()
	r.Name, r.Spec.BreakGlass = "near", &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: time.Hour}}
	r.Spec.AWS = &v1alpha1.AWSRole{}
	return r
}

// in is so long from now, in whole seconds.
func in(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(d).Truncate(time.Second)) }

// grant is a valid request by Dana, for infra-member.
func grant(changes ...func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: "attempt"}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: v1alpha1.Username(alice.user)}, Role: "infra-member",
		Reason: "replace the failing disk of the database", ChangeTicket: "CHG-1", StagingEvidence: "https://ci.hera.example/1",
		RequestedBy: v1alpha1.Username(dana.user), ExpiresAt: in(30 * time.Minute),
	}}
	for _, change := range changes {
		change(&g.Spec)
	}
	return g
}

// approval is a valid yes of somebody to the grant held, but for the target's uid.
func approval(by person, changes ...func(*v1alpha1.AccessApprovalSpec)) *v1alpha1.AccessApproval {
	a := &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: "attempt"}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: "held", UID: "00000000-0000-4000-8000-000000000000"},
		Role:   "infra-member", Digest: "sha256:" + strings.Repeat("0", 64), Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(by.user),
	}}
	for _, change := range changes {
		change(&a.Spec)
	}
	return a
}

// revocation is a valid one of a person.
func revocation(by person, changes ...func(*v1alpha1.AccessRevocationSpec)) *v1alpha1.AccessRevocation {
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: "attempt"}, Spec: v1alpha1.AccessRevocationSpec{
		Person: "mallory", Reason: "a laptop was stolen on a train", RevokedBy: v1alpha1.Username(by.user),
	}}
	for _, change := range changes {
		change(&r.Spec)
	}
	return r
}

func nameOf(name string) client.ObjectKey { return client.ObjectKey{Name: name} }

// named gives a role a name of so many letters.
func named(r *v1alpha1.AccessRole, letters int) *v1alpha1.AccessRole {
	r.Name = strings.Repeat("a", letters)
	return r
}
