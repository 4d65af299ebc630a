// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// forEmergencies lets a role be opened.
func forEmergencies(r *v1alpha1.AccessRole) {
	r.Spec.BreakGlass = &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: 4 * time.Hour}, ReportWithin: metav1.Duration{Duration: 72 * time.Hour}}
}

// open opens a role for a person who opens it themselves.
func open(t *testing.T, user, kubernetesUser string, r *v1alpha1.AccessRole, change func(*v1alpha1.BreakGlass)) *v1alpha1.BreakGlass {
	t.Helper()
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: unique("glass")}, Spec: v1alpha1.BreakGlassSpec{
		Subject: v1alpha1.Subject{IAMUser: user, KubernetesUser: v1alpha1.Username(kubernetesUser)}, Role: r.Name, Incident: unique("INC"),
		Reason: "the database does not answer", Duration: metav1.Duration{Duration: time.Hour}, OpenedBy: v1alpha1.Username(kubernetesUser),
	}}
	if change != nil {
		change(b)
	}
	create(t, b)
	return b
}

func glassReaches(t *testing.T, b *v1alpha1.BreakGlass, state string) {
	t.Helper()
	eventually(t, b, "the state "+state, func() bool { return access.StateOf(access.FromBreakGlass(b)) == state })
}

func reported(b *v1alpha1.BreakGlass) string {
	if c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReported); c != nil {
		return c.Reason
	}
	return ""
}

// glassBound says whether the binding of an emergency exists.
func glassBound(t *testing.T, b *v1alpha1.BreakGlass) bool {
	t.Helper()
	return bound(t, access.FromBreakGlass(b))
}

// revoke ends an emergency.
func revokeGlass(t *testing.T, b *v1alpha1.BreakGlass) {
	t.Helper()
	create(t, &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: unique("revocation")}, Spec: v1alpha1.AccessRevocationSpec{
		Grant:  &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, SpecDigest: b.Status.SpecDigest},
		Reason: "the incident is over", RevokedBy: "erin@hera.example", Credentials: v1alpha1.CredentialsKeep,
	}})
}

// An emergency opens without anybody's approval, is revoked, and is over when somebody else has approved its report.
func TestEmergency(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	b := open(t, user, kubernetesUser, r, nil)
	glassReaches(t, b, v1alpha1.StateGranted)
	group := string(r.Spec.AWS.Groups[0])
	if !account.IsMember(group, user) || !glassBound(t, b) {
		t.Fatal("nothing was opened")
	}
	if want := b.CreationTimestamp.Add(time.Hour); !b.Status.ExpiresAt.Time.Equal(want) {
		t.Errorf("expires at %s, want %s", b.Status.ExpiresAt, want)
	}
	if reported(b) != v1alpha1.ReasonReportNotDue {
		t.Errorf("the report is %s", reported(b))
	}
	revokeGlass(t, b)
	glassReaches(t, b, v1alpha1.StateRevoked)
	if account.IsMember(group, user) || glassBound(t, b) {
		t.Error("something was left")
	}
	eventually(t, b, "that a report is due", func() bool { return reported(b) == v1alpha1.ReasonReportPending })
	b.Spec.Report = &v1alpha1.EmergencyReport{Summary: "the disk was full, and was made larger", WrittenBy: v1alpha1.Username(kubernetesUser)}
	if err := kube.Update(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	eventually(t, b, "a digest of the report", func() bool { return b.Status.ReportDigest != "" })
	approveReport(t, b, kubernetesUser)
	approveReport(t, b, user) // another name of hers
	eventually(t, b, "that neither approval counts", func() bool {
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReported)
		return c.Reason == v1alpha1.ReasonReportPending && strings.Contains(c.Message, kubernetesUser+" is the one who opened it") &&
			strings.Contains(c.Message, user+" is the one who opened it")
	})
	approveReport(t, b, "bob@hera.example")
	eventually(t, b, "an approved report", func() bool { return reported(b) == v1alpha1.ReasonApproved })
	if b.Status.ReportApprovedBy != "bob@hera.example" {
		t.Errorf("approved by %s", b.Status.ReportApprovedBy)
	}
	told := trail.Of(b.Name)
	if want := []string{"opened", "granted", "revoked", "report-written", "report-approved"}; !slices.Equal(told, want) {
		t.Errorf("the trail says %v, want %v", told, want)
	}
	if f := b.Status.Facts; f.Lasted == nil || len(f.Bound) != 2 || string(f.OpenedBy) != kubernetesUser {
		t.Errorf("the facts are %+v", f)
	}
}

func approveReport(t *testing.T, b *v1alpha1.BreakGlass, approver string) {
	t.Helper()
	create(t, &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: unique("approval")}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, UID: string(b.UID)},
		Role:   b.Spec.Role, Digest: b.Status.ReportDigest, Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(approver),
	}})
}

// Without an MFA device nothing opens; with one it does, soon after.
func TestEmergencyWithoutMFA(t *testing.T) {
	t.Parallel()
	name := unique("alice")
	account.AddUser(fake.User{Name: name})
	r := role(t, forEmergencies)
	b := open(t, name, name, r, nil)
	eventually(t, b, "that an MFA device is missing", func() bool {
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionEligible)
		return c != nil && c.Reason == v1alpha1.ReasonMFAMissing
	})
	if glassReaches(t, b, v1alpha1.StateBlocked); glassBound(t, b) {
		t.Error("Kubernetes was opened")
	}
	account.AddMFA(name)
	glassReaches(t, b, v1alpha1.StateGranted)
}

// Two people who open the same emergency share one deadline, whoever was first.
func TestEmergencyOpenedTwice(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	first := open(t, user, kubernetesUser, r, func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = 20 * time.Minute })
	second := open(t, user, kubernetesUser, r, func(b *v1alpha1.BreakGlass) {
		b.Spec.Incident, b.Spec.OpenedBy = " "+first.Spec.Incident, "bob@hera.example"
	})
	other := open(t, user, kubernetesUser, r, nil)
	for _, b := range []*v1alpha1.BreakGlass{first, second, other} {
		glassReaches(t, b, v1alpha1.StateGranted)
	}
	if !second.Status.ExpiresAt.Equal(first.Status.ExpiresAt) {
		t.Errorf("the second ends at %s, the first at %s", second.Status.ExpiresAt, first.Status.ExpiresAt)
	}
	if !other.Status.ExpiresAt.After(first.Status.ExpiresAt.Time) {
		t.Error("another incident has a deadline of its own")
	}
	// I4: what one gives up the others still cover.
	revokeGlass(t, first)
	glassReaches(t, first, v1alpha1.StateRevoked)
	if !account.IsMember(string(r.Spec.AWS.Groups[0]), user) || !glassBound(t, second) {
		t.Error("the second has lost its access with the first")
	}
	// The clock runs on when the first is over.
	late := open(t, user, kubernetesUser, r, func(b *v1alpha1.BreakGlass) { b.Spec.Incident = first.Spec.Incident })
	glassReaches(t, late, v1alpha1.StateGranted)
	if !late.Status.ExpiresAt.Equal(first.Status.ExpiresAt) {
		t.Errorf("the third ends at %s, the first at %s", late.Status.ExpiresAt, first.Status.ExpiresAt)
	}
}

// I3: what was opened and has ended stays ended, though its object is deleted and made again.
func TestI3EmergencyStaysEnded(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	b := open(t, user, kubernetesUser, r, nil)
	glassReaches(t, b, v1alpha1.StateGranted)
	again := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: b.Name}, Spec: *b.Spec.DeepCopy()}
	fresh := again.DeepCopy()
	remove(t, b)
	gone(t, b)
	if account.IsMember(string(r.Spec.AWS.Groups[0]), user) {
		t.Error("still a member")
	}
	create(t, again)
	glassReaches(t, again, v1alpha1.StateRevoked)
	if again.Status.ActivatedAt != nil {
		t.Error("it was active again")
	}
	// The same under another name is another emergency, and an incident of its own.
	fresh.Name = unique("glass")
	fresh.Spec.Incident = unique("INC")
	create(t, fresh)
	glassReaches(t, fresh, v1alpha1.StateGranted)
}

// I2: it ends by itself, and the report is due from then on.
func TestI2EmergencyExpires(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, func(r *v1alpha1.AccessRole) {
		forEmergencies(r)
		r.Spec.BreakGlass.ReportWithin.Duration = time.Hour
	})
	b := open(t, user, kubernetesUser, r, func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Minute })
	glassReaches(t, b, v1alpha1.StateGranted)
	eventuallyWithin(t, 2*time.Minute, b, "its end", func() bool { return access.StateOf(access.FromBreakGlass(b)) == v1alpha1.StateExpired })
	if late := b.Status.EndedAt.Sub(b.Status.ExpiresAt.Time); late < 0 || late > 10*time.Second {
		t.Errorf("ended %s after the deadline", late)
	}
	if account.IsMember(string(r.Spec.AWS.Groups[0]), user) || glassBound(t, b) {
		t.Error("something was left")
	}
	eventually(t, b, "that people are reminded", func() bool { return b.Status.ReportRemindedAt != nil })
	if told := trail.Of(b.Name); !slices.Equal(told, []string{"opened", "granted", "expired", "report-due"}) {
		t.Errorf("the trail says %v", told)
	}
}

// What cannot be opened says why, and a twin that differs in that alone opens.
func TestEmergencyThatDoesNotOpen(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	for name, c := range map[string]struct {
		role   *v1alpha1.AccessRole
		change func(*v1alpha1.BreakGlass)
		says   string
	}{
		"the role is not for emergencies": {role(t, nil), nil, "is not opened in emergencies"},
		"the role does not exist":         {&v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: "nothing"}}, nil, "there is no AccessRole nothing"},
		"too long":                        {r, func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = 5 * time.Hour }, "the role " + r.Name + " allows 4h0m0s"},
		"in namespaces":                   {r, func(b *v1alpha1.BreakGlass) { b.Spec.Namespaces = []v1alpha1.NamespaceName{"payments"} }, "not bound in namespaces: open another BreakGlass"},
		"the IAM user does not exist":     {r, func(b *v1alpha1.BreakGlass) { b.Spec.Subject.IAMUser = "no-such-user" }, "AWS has no IAM user no-such-user: open another BreakGlass"},
		"somebody else's username":        {r, func(b *v1alpha1.BreakGlass) { b.Spec.Subject.KubernetesUser = "another" }, "kubernetesUser another is not one of"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := open(t, user, kubernetesUser, c.role, c.change)
			glassReaches(t, b, v1alpha1.StateBlocked)
			eventually(t, b, "a role that was looked at", func() bool { return !strings.Contains(conditionsOf(b), "is being looked at") })
			if m := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive).Message; !strings.Contains(m, c.says) {
				t.Errorf("says %q, want %q", m, c.says)
			}
			if b.Status.ActivatedAt != nil || len(b.Status.Kubernetes.Bindings) > 0 {
				t.Error("something was given")
			}
		})
	}
	t.Run("the twin", func(t *testing.T) {
		t.Parallel()
		glassReaches(t, open(t, user, kubernetesUser, r, nil), v1alpha1.StateGranted)
	})
}

// I5: a binding that somebody deletes ends the emergency, and is not made again.
func TestI5EmergencyLosesItsBinding(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	b := open(t, user, kubernetesUser, r, nil)
	glassReaches(t, b, v1alpha1.StateGranted)
	remove(t, binding(t, access.FromBreakGlass(b), ""))
	glassReaches(t, b, v1alpha1.StateRevoked)
	if account.IsMember(string(r.Spec.AWS.Groups[0]), user) || glassBound(t, b) {
		t.Error("something was left, or made again")
	}
	if len(b.Status.Facts.Changes) == 0 {
		t.Error("the facts do not tell of it")
	}
}

// A membership that somebody else made is left alone, before and after.
func TestI9EmergencyBesideAForeignMembership(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, forEmergencies)
	group := string(r.Spec.AWS.Groups[0])
	account.AddMember(group, user)
	b := open(t, user, kubernetesUser, r, nil)
	glassReaches(t, b, v1alpha1.StateGranted)
	if !glassBound(t, b) || len(b.Status.AWS.Groups) != 0 {
		t.Errorf("the groups are %v", b.Status.AWS.Groups)
	}
	revokeGlass(t, b)
	glassReaches(t, b, v1alpha1.StateRevoked)
	if !account.IsMember(group, user) {
		t.Error("the membership of somebody else is gone")
	}
	if len(b.Status.Facts.Changes) == 0 {
		t.Error("the facts do not tell of it")
	}
}
