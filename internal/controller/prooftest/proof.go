// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package prooftest stands in for the admission guard and the audit trail where neither is what is tested.
package prooftest

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/controller"
)

// Guard says what it is told to say; until then, that it has always been whole.
type Guard struct{ atomic.Pointer[access.Guard] }

// State implements controller.Guard.
func (g *Guard) State() access.Guard {
	if told := g.Load(); told != nil {
		return *told
	}
	return access.Guard{Since: time.Unix(0, 0)}
}

// Trail is an audit trail in memory, which can be broken.
type Trail struct {
	mu      sync.Mutex
	entries []audit.Entry
	broken  string
	hangs   bool
}

// Append implements controller.Trail.
func (t *Trail) Append(ctx context.Context, entries ...audit.Entry) error {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.hangs {
		t.mu.Unlock()
		<-ctx.Done()
		t.mu.Lock()
		return ctx.Err()
	}
	if t.broken != "" {
		return errors.New(t.broken)
	}
	t.entries = append(t.entries, entries...)
	return nil
}

// Broken implements controller.Trail.
func (t *Trail) Broken() string {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.broken
}

// Break makes the trail fail, or, with "", work again.
func (t *Trail) Break(why string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.broken = why
}

// Hang makes every write take as long as its caller lets it, or, with false, go on as before.
func (t *Trail) Hang(hangs bool) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.hangs = hangs
}

// Of lists the events that were written down about an object.
func (t *Trail) Of(name string) []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	var events []string
	for _, e := range t.entries {
		if e.Name == name {
			events = append(events, e.Event)
		}
	}
	return events
}

// Proof is a proof of both, for an operator with administrator's rights.
func Proof(g *Guard, t *Trail) controller.Proof {
	return controller.Proof{Guard: g, Trail: t, Self: "operator"}
}

// LetEverybodyApprove gives every user the right to approve for every role.
func LetEverybodyApprove(ctx context.Context, c client.Client) error {
	m := metav1.ObjectMeta{Name: "everybody-approves"}
	return errors.Join(
		c.Create(ctx, &rbacv1.ClusterRole{ObjectMeta: m, Rules: []rbacv1.PolicyRule{
			{Verbs: []string{"approve"}, APIGroups: []string{v1alpha1.GroupName}, Resources: []string{"accessroles"}},
		}}),
		c.Create(ctx, &rbacv1.ClusterRoleBinding{ObjectMeta: m, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: m.Name},
			Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}}}),
	)
}
