// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/equality"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// oddly draws facts that need not fit each other: anything that the API server would store, and what it would not.
type oddly struct{ *rapid.T }

func (o oddly) text(what string, usual ...string) string {
	if o.yes(what + " is odd") {
		return rapid.String().Draw(o.T, what)
	}
	return rapid.SampledFrom(append(usual, "")).Draw(o.T, what)
}

func (o oddly) yes(what string) bool { return rapid.IntRange(0, 9).Draw(o.T, what) == 9 }

func (o oddly) flag(what string) bool { return rapid.Bool().Draw(o.T, what) }

func (o oddly) time(what string) metav1.Time {
	if o.yes(what + " is missing") {
		return metav1.Time{}
	}
	return metav1.NewTime(begin.Add(time.Duration(rapid.IntRange(-4, 10).Draw(o.T, what)) * time.Hour))
}

func (o oddly) maybeTime(what string) *metav1.Time {
	if o.flag(what + " is set") {
		at := o.time(what)
		return &at
	}
	return nil
}

func list[V any](o oddly, what string, draw func() V) []V {
	var all []V
	for range rapid.IntRange(0, 3).Draw(o.T, "number of "+what) {
		all = append(all, draw())
	}
	return all
}

func (o oddly) grant() *v1alpha1.ProdAccessGrant {
	g := &v1alpha1.ProdAccessGrant{
		ObjectMeta: metav1.ObjectMeta{Name: o.text("name", "n"), UID: types.UID(o.text("uid", "u")), CreationTimestamp: o.time("created"), DeletionTimestamp: o.maybeTime("deleted")},
		Spec: v1alpha1.ProdAccessGrantSpec{
			Subject: v1alpha1.Subject{IAMUser: o.text("iamUser", "alice"), KubernetesUser: v1alpha1.Username(o.text("kubernetesUser", "alice", "system:x"))},
			Role:    o.text("role", "r"), Reason: o.text("reason"), ChangeTicket: o.text("ticket", "CHG-1"), StagingEvidence: o.text("evidence", "https://x"),
			Incident: o.text("incident", "INC-1"), RequestedBy: v1alpha1.Username(o.text("requester", "dana")),
			NotBefore: o.maybeTime("notBefore"), ExpiresAt: o.time("expiresAt"),
			Namespaces: list(o, "namespaces", func() v1alpha1.NamespaceName { return v1alpha1.NamespaceName(o.text("namespace", "a", "b")) }),
			ReviewedBy: list(o, "reviewers", func() v1alpha1.Username { return v1alpha1.Username(o.text("reviewer", "bob")) }),
		},
	}
	s := &g.Status
	for _, kind := range []string{v1alpha1.ConditionActive, v1alpha1.ConditionReconciling, v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced} {
		if o.flag(kind) {
			s.Conditions = append(s.Conditions, metav1.Condition{Type: kind, Message: o.text("message"),
				Reason: o.text("reason of "+kind, append(states, v1alpha1.ReasonDeadline, v1alpha1.ReasonConflict, v1alpha1.ReasonRoleChanged)...)})
		}
	}
	s.ExpiresAt, s.ActivatedAt, s.EndedAt = o.maybeTime("status.expiresAt"), o.maybeTime("activatedAt"), o.maybeTime("endedAt")
	s.ApprovalDigest = o.text("approvalDigest")
	s.AWS.UserID = o.text("userID", "AIDA1", "AIDA2")
	s.AWS.Names = list(o, "recorded names", func() string { return o.text("recorded name", "alice", "al") })
	s.AWS.Groups = list(o, "memberships", func() v1alpha1.GroupMembership {
		return v1alpha1.GroupMembership{Name: v1alpha1.IAMGroupName(o.text("group", "g", "h")), Intended: o.flag("intended"), Observed: o.flag("observed")}
	})
	s.Kubernetes.User, s.Kubernetes.ClusterRole = o.text("bound user", "alice"), o.text("bound ClusterRole", "c")
	s.Kubernetes.Bindings = list(o, "bindings", func() v1alpha1.GrantBinding {
		return v1alpha1.GrantBinding{Namespace: o.text("binding", "a"), Name: o.text("binding name"), Intended: o.flag("intended"), Observed: o.flag("observed")}
	})
	return g
}

func (o oddly) role() *access.Role {
	if o.yes("no role") {
		return nil
	}
	r := &access.Role{Name: o.text("role name", "r"), RulesHash: o.text("rules"), Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: time.Duration(rapid.IntRange(0, 20).Draw(o.T, "maxDuration")) * time.Hour},
		MaxLeadTime: metav1.Duration{Duration: time.Duration(rapid.IntRange(0, 20).Draw(o.T, "maxLeadTime")) * time.Hour},
		Incident:    v1alpha1.IncidentRequirement(o.text("incident required", "Required", "Optional")),
		Approval:    v1alpha1.ApprovalPolicy{Required: rapid.Int32Range(-1, 3).Draw(o.T, "required")},
		Change: v1alpha1.ChangePolicy{TicketPattern: o.text("pattern", "CHG-[0-9]+", "("),
			StagingEvidence: v1alpha1.EvidenceRequirement(o.text("evidence required", "Required"))},
	}}
	if o.yes("forbidden") {
		r.Forbidden = "a rule"
	}
	if o.yes("not ready") {
		r.NotReady = "something"
	}
	if o.flag("Kubernetes") {
		r.Spec.Kubernetes = &v1alpha1.KubernetesRole{Scope: v1alpha1.Scope(o.text("scope", "Cluster", "Namespaces")), ClusterRole: o.text("ClusterRole", "c", "d")}
	}
	if o.flag("groups") {
		r.Spec.AWS = &v1alpha1.AWSRole{Groups: list(o, "groups", func() v1alpha1.IAMGroupName { return v1alpha1.IAMGroupName(o.text("group", "g", "h")) })}
	}
	return r
}

func (o oddly) person() *access.Person {
	if o.flag("not asked") {
		return nil
	}
	if o.yes("unavailable") {
		return &access.Person{Unavailable: "no route"}
	}
	name := func() string { return o.text("group", "g", "h") }
	return &access.Person{Found: !o.yes("not found"), Name: o.text("person", "alice"), UserID: o.text("UserId", "AIDA1"), MFA: !o.yes("no device"),
		KubernetesUsers: list(o, "usernames", func() string { return o.text("username", "alice", "system:x") }),
		Memberships:     list(o, "groups", name), Foreign: list(o, "foreign groups", name),
		Directory: access.NewDirectory(list(o, "users", func() access.User {
			return access.User{UserID: o.text("UserId", "AIDA1", "AIDA2"), Name: o.text("IAM user", "alice", "bob"),
				Tags: map[string]string{v1alpha1.KubernetesUsersTag: o.text("tag", "alice al", "bob carol", "Alice bob")}}
		})...)}
}

func (o oddly) facts() access.Facts {
	f := access.Facts{Grant: o.grant(), Role: o.role(), AWS: !o.yes("AWS is disabled"), Person: o.person(), Done: o.flag("done"),
		TakenAway: map[bool]string{true: "a binding"}[o.yes("taken away")]}
	if o.yes("an obstacle") {
		f.Obstacle = access.Obstacle{Reason: o.text("obstacle", v1alpha1.ReasonConflict, v1alpha1.ReasonRemovedByOthers), Message: "x"}
	}
	f.Approvals = list(o, "approvals", func() v1alpha1.AccessApproval {
		a := v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: o.text("approval"), CreationTimestamp: o.time("approved at")}, Spec: v1alpha1.AccessApprovalSpec{
			Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: f.Grant.Name, UID: string(f.Grant.UID)}, Role: f.Grant.Spec.Role,
			Digest: o.text("digest"), Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(o.text("approver", "bob", "carol", "alice")),
		}}
		if f.Role != nil && !o.yes("another digest") {
			a.Spec.Digest = access.ApprovalDigest(a.Spec.Target.UID, access.SpecDigest(&f.Grant.Spec), f.Role.MeaningDigest())
		}
		if o.yes("another object") {
			a.Spec.Target.UID = "earlier"
		}
		if o.yes("rejects") {
			a.Spec.Decision = v1alpha1.DecisionReject
		}
		return a
	})
	f.Revocations = list(o, "revocations", func() v1alpha1.AccessRevocation {
		r := v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: o.text("revocation")}, Spec: v1alpha1.AccessRevocationSpec{
			Person: v1alpha1.Username(o.text("revoked", "alice", "bob", "nobody")), RevokedBy: "eve", Reason: o.text("revocation's reason"),
		}}
		if o.yes("of the grant") {
			r.Spec.Person, r.Spec.Grant = "", &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: f.Grant.Name, SpecDigest: access.SpecDigest(&f.Grant.Spec)}
		}
		if o.flag("lifted") {
			r.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLifted, Status: metav1.ConditionTrue}}
		}
		return r
	})
	if !o.yes("the guard was never whole") {
		f.Guard.Since = begin.Add(-time.Hour)
	}
	if o.yes("the guard is broken") {
		f.Guard.Broken = "a policy is gone"
	}
	if o.yes("a gap of the guard") {
		f.Guard.Gaps = []access.Gap{{From: o.time("gap begins").Time, To: o.time("gap ends").Time}}
	}
	if o.yes("the trail is broken") {
		f.AuditBroken = "no space left"
	}
	if !o.yes("nobody may approve") {
		f.MayApprove = func(string, []string) bool { return true }
	}
	// What was written is, most of the time, what was approved.
	if f.Role != nil && !o.yes("written for something else") {
		f.Grant.Status.ApprovalDigest = access.ApprovalDigest(string(f.Grant.UID), access.SpecDigest(&f.Grant.Spec), f.Role.MeaningDigest())
	}
	return f
}

func copyOf(f access.Facts) access.Facts {
	f.Grant = f.Grant.DeepCopy()
	if f.Role != nil {
		r := *f.Role
		r.Spec = *f.Role.Spec.DeepCopy()
		f.Role = &r
	}
	if f.Person != nil {
		p := *f.Person
		f.Person = &p
	}
	var approvals []v1alpha1.AccessApproval
	for _, a := range f.Approvals {
		approvals = append(approvals, *a.DeepCopy())
	}
	f.Approvals = approvals
	var revocations []v1alpha1.AccessRevocation
	for _, r := range f.Revocations {
		revocations = append(revocations, *r.DeepCopy())
	}
	f.Revocations = revocations
	f.Guard.Gaps = slices.Clone(f.Guard.Gaps)
	return f
}

// decideAnything decides about anything at all: there is always one answer, the facts stay as they are, and the answer
// keeps what holds for every grant.
func decideAnything(t *rapid.T) {
	f := oddly{t}.facts()
	now := begin.Add(time.Duration(rapid.IntRange(-1, 60*5).Draw(t, "now")) * time.Minute)
	before := copyOf(f)
	d := access.Decide(f, now)
	if !equality.Semantic.DeepEqual(f.Grant, before.Grant) || !equality.Semantic.DeepEqual(f.Approvals, before.Approvals) ||
		!equality.Semantic.DeepEqual(f.Revocations, before.Revocations) || !reflect.DeepEqual(f.Role, before.Role) || !reflect.DeepEqual(f.Person, before.Person) ||
		!reflect.DeepEqual(f.Guard, before.Guard) {
		t.Fatalf("the facts were changed")
	}
	if again := access.Decide(f, now); !reflect.DeepEqual(d, again) {
		t.Fatalf("two answers: %+v and %+v", d, again)
	}

	g := f.Grant
	prior, deadline := access.StateOf(g), access.Deadline(g)
	over := access.Terminal(d.State) || d.State == v1alpha1.StateRevoking
	switch {
	case access.Terminal(prior) && d.State != prior:
		t.Errorf("I3: %s becomes %s", prior, d.State)
	case (!now.Before(deadline) || g.DeletionTimestamp != nil || prior == v1alpha1.StateRevoking) && !over:
		t.Errorf("I2: over, and %s", d.State)
	case over && d.Effect == access.EffectSync, over && d.Effect == access.EffectIdentify:
		t.Errorf("%s, and the effect is %s", d.State, d.Effect)
	case d.Effect == access.EffectSync && d.State != v1alpha1.StateGranting && d.State != v1alpha1.StateGranted:
		t.Errorf("%s, and the effect is %s", d.State, d.Effect)
	case d.Effect == access.EffectRelease && g.DeletionTimestamp == nil:
		t.Error("let go without having been deleted")
	case !over && (d.WakeAt.IsZero() || d.WakeAt.After(deadline)):
		t.Errorf("%s until %s, and wakes at %s", d.State, deadline, d.WakeAt)
	case len(d.Approvals) > 20:
		t.Errorf("%d approvals", len(d.Approvals))
	}
	if over && !access.Terminal(prior) {
		for _, m := range d.AWS.Groups {
			if m.Intended {
				t.Errorf("%s, and intends the membership in %s", d.State, m.Name)
			}
		}
	}
	revoked := slices.ContainsFunc(f.Revocations, func(r v1alpha1.AccessRevocation) bool {
		return access.InForce(&r) && access.Revokes(&r, g)
	})
	switch begins := d.State == v1alpha1.StateGranting && prior != v1alpha1.StateGranting; {
	case revoked && !over:
		t.Errorf("I5: revoked, and %s", d.State)
	case begins && (f.Guard.Broken != "" || f.AuditBroken != ""):
		t.Errorf("I10: the guard is broken (%s) or the trail is (%s), and access begins", f.Guard.Broken, f.AuditBroken)
	case begins && g.Status.ActivatedAt == nil && (!f.Guard.Proves(g.CreationTimestamp.Time) || f.MayApprove == nil):
		t.Error("I7: nobody has proven who asks or who approves, and access begins")
	case d.Remember && !now.Before(deadline):
		t.Error("the window is over, and the end of the grant is remembered")
	}
	if g.Status.ActivatedAt != nil {
		was := held(g)
		for what := range held(&v1alpha1.ProdAccessGrant{Status: v1alpha1.ProdAccessGrantStatus{AWS: d.AWS, Kubernetes: d.Kubernetes}}) {
			if !was[what] {
				t.Errorf("I1: a live grant calls for %s", what)
			}
		}
	}
	var who access.Directory
	if f.Person != nil {
		who = f.Person.Directory
	}
	for i, c := range d.Approvals {
		name := string(c.Approver)
		switch {
		case strings.HasPrefix(name, "system:") || strings.HasPrefix(name, "eks:") || strings.HasPrefix(name, "aws:"):
			t.Errorf("I7: %q counts, and is nobody", name)
		case slices.ContainsFunc([]string{string(g.Spec.RequestedBy), g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser)}, func(n string) bool { return n != "" && who.Same(n, name) }):
			t.Errorf("I7: %q counts, and is the requester or the subject", name)
		case slices.ContainsFunc(d.Approvals[:i], func(other v1alpha1.CountedApproval) bool { return who.Same(string(other.Approver), name) }):
			t.Errorf("I7: %q counts twice", name)
		case slices.ContainsFunc(f.Revocations, func(r v1alpha1.AccessRevocation) bool {
			return r.Spec.Person != "" && access.InForce(&r) && who.Same(name, string(r.Spec.Person))
		}):
			t.Errorf("I7: %q counts, and is revoked", name)
		}
	}
	mayExist := access.MayExist(g)
	status.Grant(g, &d, status.Notes{}, now)
	if mayExist && !access.MayExist(g) {
		t.Errorf("%s: what may exist is forgotten", d.State)
	}
}

func TestDecideIsTotal(t *testing.T) { rapid.Check(t, decideAnything) }

func FuzzDecide(f *testing.F) {
	// Facts take some thousand bytes, which the fuzzer would be long in finding by itself.
	for seed := range byte(8) {
		bytes := make([]byte, 16<<10)
		_, _ = rand.NewChaCha8([32]byte{seed}).Read(bytes)
		f.Add(bytes)
	}
	f.Fuzz(rapid.MakeFuzz(decideAnything))
}
