// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
)

// TestLifecycle goes through the life of grants with one operator, which must never be refused anything (see start).
func TestLifecycle(t *testing.T) {
	start(t)

	t.Run("a grant comes and goes", func(t *testing.T) {
		g := request(t, person("alice"), "infra-member", ending(15*time.Second))
		reaches(t, g, v1alpha1.StatePendingApproval)
		has(t, g, false)
		approve(t, g)
		reaches(t, g, v1alpha1.StateGranted)
		has(t, g, true)
		if may(t, g.Spec.Subject.IAMUser, "delete", "", "nodes", "") {
			t.Error("infra-member may delete nodes")
		}
		reaches(t, g, v1alpha1.StateExpired)
		if late := time.Since(g.Spec.ExpiresAt.Time); late > punctual {
			t.Errorf("ended %s after the deadline", late)
		}
		has(t, g, false)
	})

	t.Run("a deleted grant takes its access along", func(t *testing.T) {
		g := granted(t, person("alice"), "infra-member", nil)
		has(t, g, true)
		remove(t, g)
		has(t, g, false)

		pending := request(t, person("alice"), "infra-member", nil)
		reaches(t, pending, v1alpha1.StatePendingApproval)
		remove(t, pending)
	})

	t.Run("a namespace may come later", func(t *testing.T) {
		now, later := unique("payments"), unique("payments")
		if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: now}}); err != nil {
			t.Fatal(err)
		}
		eve := person("eve")
		g := granted(t, eve, "developer", func(s *v1alpha1.ProdAccessGrantSpec) {
			s.Namespaces = []v1alpha1.NamespaceName{v1alpha1.NamespaceName(now), v1alpha1.NamespaceName(later)}
		})
		synced := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionBindingsSynced)
		if synced.Reason != v1alpha1.ReasonWaitingForNamespace || !strings.Contains(synced.Message, later) {
			t.Errorf("BindingsSynced says %s: %s", synced.Reason, synced.Message)
		}
		if got := bindings(t, g); !slices.Equal(got, []string{now}) {
			t.Errorf("bound in %q, want %q alone", got, now)
		}
		eventually(t, punctual, "Eve may list pods", func(context.Context) (bool, error) { return may(t, eve, "list", "", "pods", now), nil })
		for _, no := range [][]string{{"get", "secrets", now}, {"create", "pods", now}, {"list", "pods", "default"}} {
			if may(t, eve, no[0], "", no[1], no[2]) {
				t.Errorf("a developer may %q", no)
			}
		}
		if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: later}}); err != nil {
			t.Fatal(err)
		}
		eventually(t, soon, "the binding in the new namespace is on record", func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
			return meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionBindingsSynced), err
		})
		statustest.CheckGrant(t, g)
		if got := bindings(t, g); len(got) != 2 {
			t.Errorf("bound in %q, want %q and %q", got, now, later)
		}
		remove(t, g)
		if got := bindings(t, g); len(got) > 0 {
			t.Errorf("still bound in %q", got)
		}
	})

	t.Run("a role that turns dangerous is suspended, and comes back", func(t *testing.T) {
		g := granted(t, person("alice"), "infra-member", nil)
		danger := &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: unique("danger"), Labels: map[string]string{"access.hera.dev/aggregate-to-infra-member": "true"}},
			Rules:      []rbacv1.PolicyRule{{APIGroups: []string{""}, Resources: []string{"users"}, Verbs: []string{"impersonate"}}},
		}
		if err := admin.Create(t.Context(), danger); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = admin.Delete(context.WithoutCancel(t.Context()), danger) })
		reaches(t, g, v1alpha1.StateSuspended)
		// The state is written when the removal has begun, and again when it is verified.
		eventually(t, soon, "the access is verified gone", func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
			return len(g.Status.AWS.Groups) == 1 && !g.Status.AWS.Groups[0].Observed && !g.Status.Kubernetes.Bindings[0].Observed, err
		})
		statustest.CheckGrant(t, g)
		has(t, g, false)
		if err := admin.Delete(t.Context(), danger); err != nil {
			t.Fatal(err)
		}
		reaches(t, g, v1alpha1.StateGranted)
		has(t, g, true)
	})
}

// remove deletes a grant and waits until it is gone.
func remove(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	if err := dana.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	eventually(t, soon, g.Name+" is gone", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(g), &v1alpha1.ProdAccessGrant{})
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
}

// TestAWSDisabled runs the operator without AWS: roles without IAM groups only, and usernames on trust.
func TestAWSDisabled(t *testing.T) {
	start(t, "--aws=disabled")
	calls := iam.Count(fake.AnyOp)
	ns := unique("payments")
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: ns}}); err != nil {
		t.Fatal(err)
	}
	user := unique("eve") // whom IAM does not know
	g := granted(t, user, "developer", func(s *v1alpha1.ProdAccessGrantSpec) {
		s.Subject.IAMUser, s.Namespaces = "", []v1alpha1.NamespaceName{v1alpha1.NamespaceName(ns)}
	})
	eventually(t, punctual, "Eve may list pods", func(context.Context) (bool, error) { return may(t, user, "list", "", "pods", ns), nil })
	remove(t, g)
	if got := bindings(t, g); len(got) > 0 {
		t.Errorf("still bound in %q", got)
	}

	blocked := request(t, user, "infra-member", func(s *v1alpha1.ProdAccessGrantSpec) { s.Subject.IAMUser = "" })
	approve(t, blocked)
	reaches(t, blocked, v1alpha1.StateBlocked)
	eligible := meta.FindStatusCondition(blocked.Status.Conditions, v1alpha1.ConditionEligible)
	if eligible.Reason != v1alpha1.ReasonAWSDisabled {
		t.Errorf("Eligible says %s: %s", eligible.Reason, eligible.Message)
	}
	if got := bindings(t, blocked); len(got) > 0 {
		t.Errorf("bound without AWS: %q", got)
	}
	if n := iam.Count(fake.AnyOp) - calls; n > 0 {
		t.Errorf("%d calls to AWS", n)
	}
}
