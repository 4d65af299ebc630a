// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// emergency has a person open a role at a time, until another.
func (w *world) emergency(user, role string, made, until time.Time) *kept {
	k := w.request(user, role, made, made, until, nil)
	w.script = w.script[:len(w.script)-2] // nobody asks for a grant, and nobody approves it
	w.roles[role].Spec.BreakGlass = &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: time.Hour}}
	w.at(made, func() {
		w.store(k, access.FromBreakGlass(&v1alpha1.BreakGlass{
			ObjectMeta: metav1.ObjectMeta{
				Name: k.name, UID: types.UID("uid-" + k.name), Generation: 1, CreationTimestamp: metav1.NewTime(made), Finalizers: []string{v1alpha1.Finalizer},
			},
			Spec: v1alpha1.BreakGlassSpec{
				Subject: k.spec.Subject, Role: role, Incident: "INC-7", Reason: k.spec.Reason, Duration: metav1.Duration{Duration: until.Sub(made)}, OpenedBy: "dana",
			},
		}))
		k.wakeAt(w.local.Now())
	})
	return k
}

// AWS that gives no good answer opens nothing of AWS; when it is back, the emergency opens by itself, behind a fence, and ends at its
// deadline. Nobody has approved it.
func TestEmergencyWhileAWSIsAway(t *testing.T) {
	for name, fault := range map[string]fake.Fault{
		"throttled": fake.Throttling, "denied": fake.AccessDenied, "cut": fake.Truncated, "a gateway": fake.BadGateway,
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t, seed(t), nil)
			until := begin.Add(15 * time.Minute)
			k := w.emergency("p00", "pair", begin.Add(5*time.Second), until)
			back := begin.Add(65 * time.Second)
			w.account.Inject(fake.AnyOp, fault)
			w.at(back, w.account.ClearFaults)
			w.at(begin, w.sweep)
			groups := func(in bool) {
				t.Helper()
				for _, group := range k.role.Groups() {
					if w.account.IsMember(string(group), "p00") != in {
						t.Fatalf("at %s, in %s: %t; %s", w.local.Now().Format(time.TimeOnly), group, !in, cause(k.grant()))
					}
				}
			}
			w.run(back.Add(-time.Second), nil)
			groups(false)
			if state := access.StateOf(k.grant()); state != v1alpha1.StateBlocked {
				t.Fatalf("while AWS is away it is %s: %s", state, cause(k.grant()))
			}
			w.run(back.Add(access.RetryAfter+5*time.Second), nil)
			groups(true)
			if why := w.unsettled(); why != "" {
				t.Error(why)
			}
			w.run(until.Add(2*time.Minute), nil)
			groups(false)
			if state, why := access.StateOf(k.grant()), w.unsettled(); state != v1alpha1.StateExpired || why != "" {
				t.Errorf("after its deadline it is %s: %s", state, why)
			}
			for _, why := range w.failed {
				t.Error(why)
			}
		})
	}
}
