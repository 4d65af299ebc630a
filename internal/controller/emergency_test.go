// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"slices"
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
	eventually(t, b, "that two approvals do not count", func() bool {
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionReported)
		return c.Reason == v1alpha1.ReasonReportPending && len(c.Message) > 200
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
	glassReaches(t, b, v1alpha1.StateBlocked)
	if c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionEligible); c.Reason != v1alpha1.ReasonMFAMissing {
		t.Fatalf("eligible: %s: %s", c.Reason, c.Message)
	}
}
