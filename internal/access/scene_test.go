// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// A scene is a grant in a world in which nothing keeps it from being granted: two people have approved it, its window
// has begun, its role is ready, and AWS has just said who the person is. Tests change one thing.
type scene struct {
	t *testing.T
	access.Facts
	now time.Time
}

// moment is when scenes begin: some time into the window of their grants.
var moment = begin.Add(10 * time.Minute)

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, now: moment, Facts: access.Facts{
		Grant: &v1alpha1.ProdAccessGrant{
			ObjectMeta: metav1.ObjectMeta{Name: "ledger-disk", UID: "7f3c", Generation: 1, CreationTimestamp: metav1.NewTime(begin)},
			Spec: v1alpha1.ProdAccessGrantSpec{
				Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: "alice@hera.example"}, Role: "infra-member",
				Reason: "the disk of the ledger is full", RequestedBy: "dana@hera.example", ExpiresAt: metav1.NewTime(begin.Add(4 * time.Hour)),
			},
		},
		Guard:      access.Guard{Since: begin.Add(-24 * time.Hour)},
		MayApprove: func(string, []string) bool { return true },
		Role: &access.Role{Name: "infra-member", Created: begin.Add(-time.Hour), RulesHash: "sha256:one", Spec: v1alpha1.AccessRoleSpec{
			MaxDuration: metav1.Duration{Duration: 8 * time.Hour}, MaxLeadTime: metav1.Duration{Duration: 168 * time.Hour},
			Approval:   v1alpha1.ApprovalPolicy{Required: 2, Attesters: []v1alpha1.Username{"system:serviceaccount:argocd:access"}},
			Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: "prod-access-infra-member", Access: v1alpha1.AccessReadWrite},
			AWS:        &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"prod-one", "prod-two"}},
		}},
		AWS: true,
		Person: &access.Person{Found: true, Name: "alice", UserID: "AIDAALICE", MFA: true,
			KubernetesUsers: []string{"alice@hera.example", "alice"}, Memberships: []string{"everybody"}},
	}}
	s.approve("bob", "carol")
	return s
}

// approve adds approvals of what the grant asks for and the role gives now.
func (s *scene) approve(approvers ...string) *v1alpha1.AccessApproval {
	for _, name := range approvers {
		n := len(s.Approvals)
		s.Approvals = append(s.Approvals, v1alpha1.AccessApproval{
			ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("a%d", n), CreationTimestamp: metav1.NewTime(begin.Add(time.Duration(n) * time.Second))},
			Spec: v1alpha1.AccessApprovalSpec{
				Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: s.Grant.Name, UID: string(s.Grant.UID)},
				Role:   s.Grant.Spec.Role, Digest: s.digestFor(s.Grant.UID), Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(name),
			},
		})
	}
	return &s.Approvals[len(s.Approvals)-1]
}

// approveAnew replaces the approvals by two of what is asked for and given now.
func (s *scene) approveAnew() {
	s.Approvals = nil
	s.approve("bob", "carol")
}

func (s *scene) reject(approver string) *v1alpha1.AccessApproval {
	a := s.approve(approver)
	a.Spec.Decision = v1alpha1.DecisionReject
	return a
}

// revoke adds a revocation of a person.
func (s *scene) revoke(person string) *v1alpha1.AccessRevocation {
	s.Revocations = append(s.Revocations, v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("r%d", len(s.Revocations))},
		Spec:       v1alpha1.AccessRevocationSpec{Person: v1alpha1.Username(person), Reason: "the laptop was stolen", RevokedBy: "eve"},
	})
	return &s.Revocations[len(s.Revocations)-1]
}

// digestFor is the digest of an object that asks for the same.
func (s *scene) digestFor(uid types.UID) string {
	return access.ApprovalDigest(string(uid), access.SpecDigest(&s.Grant.Spec), s.Role.MeaningDigest())
}

func (s *scene) decide() access.Decision { return access.Decide(s.Facts, s.now) }

// store decides, and stores what was decided.
func (s *scene) store() access.Decision {
	d := s.decide()
	status.Grant(s.Grant, &d, status.Notes{}, s.now)
	return d
}

func (s *scene) state() string { return access.StateOf(s.Grant) }

// see records that everything intended exists, or that nothing does, as a Sync or a Remove that went well.
func (s *scene) see(exists bool) {
	a, k := &s.Grant.Status.AWS, &s.Grant.Status.Kubernetes
	for i := range a.Groups {
		a.Groups[i].Observed = exists && a.Groups[i].Intended
	}
	for i := range k.Bindings {
		k.Bindings[i].Observed = exists && k.Bindings[i].Intended
	}
	s.Done = true
}

// next forgets what a process knows only while it carries out one effect.
func (s *scene) next() {
	s.Done, s.TakenAway, s.Obstacle = false, "", access.Obstacle{}
}

func (s *scene) must(state string) {
	s.t.Helper()
	if s.state() != state {
		s.t.Fatalf("the scene is in the state %q, want %s", s.state(), state)
	}
}

// granting brings a scene to where access is being written.
func granting(s *scene) {
	s.t.Helper()
	s.store()
	s.must(v1alpha1.StateGranting)
}

// granted brings a scene to where access exists.
func granted(s *scene) {
	s.t.Helper()
	granting(s)
	s.see(true)
	s.store()
	s.must(v1alpha1.StateGranted)
	s.next()
}

// suspended brings a scene to where access was taken away for now, because the device was lost and is found again.
func suspended(s *scene) {
	s.t.Helper()
	granted(s)
	s.Person.MFA = false
	s.store()
	s.must(v1alpha1.StateSuspended)
	s.see(false)
	s.store()
	s.next()
	s.Person.MFA = true
}

// comingBack brings a scene to where suspended access is being given back.
func comingBack(s *scene) {
	s.t.Helper()
	suspended(s)
	s.store()
	s.must(v1alpha1.StateGranting)
}

// revoking brings a scene to where access is being taken away for good.
func revoking(s *scene) {
	s.t.Helper()
	granted(s)
	s.TakenAway = "the ClusterRoleBinding x"
	s.store()
	s.must(v1alpha1.StateRevoking)
	s.next()
}

// ended brings a scene to where access was taken away for good.
func ended(s *scene) {
	s.t.Helper()
	revoking(s)
	s.see(false)
	s.store()
	s.must(v1alpha1.StateRevoked)
	s.next()
}

// pending, scheduled, blocked and halfBack bring a scene to before access is written.
func pending(s *scene) {
	s.t.Helper()
	approvals := s.Approvals
	s.Approvals = approvals[:1]
	s.store()
	s.must(v1alpha1.StatePendingApproval)
	s.Approvals = approvals
}

func scheduled(s *scene) {
	s.t.Helper()
	nb := metav1.NewTime(s.now.Add(time.Hour))
	s.Grant.Spec.NotBefore = &nb
	s.approveAnew()
	s.store()
	s.must(v1alpha1.StateScheduled)
}

func blocked(s *scene) {
	s.t.Helper()
	s.Person.MFA = false
	s.store()
	s.must(v1alpha1.StateBlocked)
	s.Person.MFA = true
}

// takenBack brings a scene to where half of the access was written and taken back again.
func takenBack(s *scene) {
	s.t.Helper()
	granting(s)
	s.Person.MFA = false
	s.store()
	s.must(v1alpha1.StateBlocked)
	s.see(false)
	s.store()
	s.next()
	s.Person.MFA = true
}

func (s *scene) delete() {
	at := metav1.NewTime(s.now)
	s.Grant.DeletionTimestamp = &at
}

// want is what a decision should be; zero fields are not looked at.
type want struct {
	state, cause, message string
	effect                access.Effect
	none                  bool // effect is EffectNone
}

func (w want) check(t *testing.T, d access.Decision) {
	t.Helper()
	if w.state != "" && d.State != w.state {
		t.Errorf("state %q (%s: %s), want %s", d.State, d.Cause, d.Message, w.state)
	}
	if w.cause != "" && d.Cause != w.cause {
		t.Errorf("cause %q (%s), want %s", d.Cause, d.Message, w.cause)
	}
	if !strings.Contains(d.Message, w.message) {
		t.Errorf("message %q, want it to say %q", d.Message, w.message)
	}
	if (w.effect != "" || w.none) && d.Effect != w.effect {
		t.Errorf("effect %q, want %q", d.Effect, w.effect)
	}
}

// intentions lists what a decision calls for, and in brackets what may exist beside that.
func intentions(d access.Decision) string {
	var parts []string
	add := func(name string, intended, observed bool) {
		switch {
		case intended:
			parts = append(parts, name)
		case observed:
			parts = append(parts, "("+name+")")
		}
	}
	for _, m := range d.AWS.Groups {
		add(string(m.Name), m.Intended, m.Observed)
	}
	for _, b := range d.Kubernetes.Bindings {
		add("binding:"+b.Namespace, b.Intended, b.Observed)
	}
	slices.Sort(parts)
	return strings.Join(parts, " ")
}
