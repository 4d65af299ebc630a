// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"context"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/controller"
)

// as is a client of a person of hack/demo/people.yaml.
func (s *site) as(t *testing.T, name, group string) client.Client {
	t.Helper()
	cfg, err := s.cp.ConfigFor(name+"@hera.example", group)
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// ask asks for the role of an emergency in the ordinary way, and has it approved.
func (e *emergency) ask(t *testing.T) *v1alpha1.ProdAccessGrant {
	t.Helper()
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: "planned-" + e.person}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: e.person, KubernetesUser: v1alpha1.Username(e.username)}, Role: e.values["role"],
		Reason: "replace the failing disk of the database", ChangeTicket: "CHG-1", StagingEvidence: "https://ci.hera.example/1",
		RequestedBy: "dana@hera.example", ExpiresAt: metav1.NewTime(time.Now().Add(time.Hour).Truncate(time.Second)),
	}}
	if err := e.as(t, "dana", "engineers").Create(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	e.reaches(t, g, v1alpha1.StatePendingApproval)
	for _, name := range []string{"bob", "carol"} {
		if err := e.as(t, name, "platform-leads").Create(t.Context(), &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: g.Name + "-" + name},
			Spec: v1alpha1.AccessApprovalSpec{
				Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.Name, UID: string(g.UID)}, Role: g.Spec.Role, Digest: g.Status.ApprovalDigest,
				Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(name + "@hera.example"), ApproverGroups: []string{"platform-leads"},
			}}); err != nil {
			t.Fatal(err)
		}
	}
	return g
}

// reaches waits for a state.
func (s *site) reaches(t *testing.T, g *v1alpha1.ProdAccessGrant, state string) {
	t.Helper()
	eventually(t, g.Name+" becomes "+state, func(ctx context.Context) (bool, error) {
		err := s.admin.Get(ctx, client.ObjectKeyFromObject(g), g)
		return access.StateOf(g) == state, err
	})
}

// openAndEnd has the administrator open the same role for the same person by a BreakGlass, and ends that.
func (e *emergency) openAndEnd(t *testing.T) {
	t.Helper()
	me := v1alpha1.Username(strings.TrimSpace(e.kubectl(t, "auth", "whoami", "-o", "jsonpath={.status.userInfo.username}")))
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: "again-" + e.person}, Spec: v1alpha1.BreakGlassSpec{
		Subject: v1alpha1.Subject{IAMUser: e.person, KubernetesUser: v1alpha1.Username(e.username)}, Role: e.values["role"],
		Incident: e.values["incident"], Reason: "the database of payments takes no writes", Duration: metav1.Duration{Duration: time.Hour}, OpenedBy: me,
	}}
	if err := e.admin.Create(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	becomes := func(state string) {
		eventually(t, b.Name+" becomes "+state, func(ctx context.Context) (bool, error) {
			err := e.admin.Get(ctx, client.ObjectKeyFromObject(b), b)
			c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive)
			return c != nil && c.Reason == state, err
		})
	}
	becomes(v1alpha1.StateGranted)
	if err := e.admin.Create(t.Context(), &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: b.Name}, Spec: v1alpha1.AccessRevocationSpec{
		Grant:  &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, SpecDigest: b.Status.SpecDigest},
		Reason: "the emergency is over", RevokedBy: me, Credentials: v1alpha1.CredentialsKeep,
	}}); err != nil {
		t.Fatal(err)
	}
	becomes(v1alpha1.StateRevoked)
}

// kubectl runs as the administrator.
func (s *site) kubectl(t *testing.T, args ...string) string {
	t.Helper()
	out, err := s.cp.Kubectl(t.Context(), "", args...)
	if err != nil {
		t.Fatal(err)
	}
	return out
}
