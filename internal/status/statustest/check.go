// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package statustest checks that a status keeps its promises to people and tools. Every suite uses it.
package statustest

import (
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"sigs.k8s.io/cli-utils/pkg/kstatus/status"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// expectation is what the state table of the specification says about a state.
type expectation struct {
	ready, active, reconciling bool
}

var table = map[string]expectation{
	v1alpha1.StatePendingApproval: {},
	v1alpha1.StateScheduled:       {},
	v1alpha1.StateBlocked:         {},
	v1alpha1.StateGranting:        {reconciling: true},
	v1alpha1.StateGranted:         {ready: true, active: true},
	v1alpha1.StateSuspended:       {},
	v1alpha1.StateRevoking:        {reconciling: true},
	v1alpha1.StateExpired:         {ready: true},
	v1alpha1.StateRevoked:         {ready: true},
	v1alpha1.StateRejected:        {ready: true},
}

// CheckGrant checks the status of a grant that the operator has seen, or of an emergency in the form of one.
func CheckGrant(t testing.TB, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	s := &g.Status
	if s.ObservedGeneration > g.Generation {
		t.Errorf("%s: observedGeneration %d is ahead of generation %d", g.Name, s.ObservedGeneration, g.Generation)
	}
	own := v1alpha1.ConditionApproved
	if access.Emergency(g) {
		own = v1alpha1.ConditionReported
	}
	for _, kind := range []string{
		v1alpha1.ConditionReady, v1alpha1.ConditionActive, own, v1alpha1.ConditionEligible,
		v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced,
	} {
		if meta.FindStatusCondition(s.Conditions, kind) == nil {
			t.Errorf("%s: the condition %s is missing", g.Name, kind)
		}
	}
	for _, c := range s.Conditions {
		if c.ObservedGeneration != s.ObservedGeneration {
			t.Errorf("%s: the condition %s is for generation %d, the status for %d", g.Name, c.Type, c.ObservedGeneration, s.ObservedGeneration)
		}
		if c.Message == "" || len(c.Message) > 1024 {
			t.Errorf("%s: the condition %s has a message of %d bytes", g.Name, c.Type, len(c.Message))
		}
		if (c.Type == v1alpha1.ConditionReconciling || c.Type == v1alpha1.ConditionStalled) && c.Status != metav1.ConditionTrue {
			t.Errorf("%s: the condition %s is present without being True", g.Name, c.Type)
		}
	}
	active := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionActive)
	if active == nil {
		return
	}
	state := active.Reason
	want, known := table[state]
	if !known {
		t.Errorf("%s: %s is not a state", g.Name, state)
		return
	}
	is := func(kind string) bool { return meta.IsStatusConditionTrue(s.Conditions, kind) }
	if got := (expectation{is(v1alpha1.ConditionReady), is(v1alpha1.ConditionActive), is(v1alpha1.ConditionReconciling)}); got != want {
		t.Errorf("%s: in the state %s ready, active, reconciling are %v, want %v", g.Name, state, got, want)
	}
	checkFacts(t, g, state)
	checkKStatus(t, g, want)
}

// checkFacts checks the fields against the state.
func checkFacts(t testing.TB, g *v1alpha1.ProdAccessGrant, state string) {
	t.Helper()
	s := &g.Status
	if s.ExpiresAt == nil || s.ExpiresAt.After(g.Spec.ExpiresAt.Time) {
		t.Errorf("%s: the stored deadline %v is missing or later than what was asked for, %v", g.Name, s.ExpiresAt, g.Spec.ExpiresAt)
	}
	terminal := access.Terminal(state)
	if terminal != (s.EndedAt != nil) {
		t.Errorf("%s: in the state %s endedAt is %v", g.Name, state, s.EndedAt)
	}
	if state == v1alpha1.StateGranted && s.ActivatedAt == nil {
		t.Errorf("%s: granted without activatedAt", g.Name)
	}
	if terminal && access.MayExist(g) {
		t.Errorf("%s: in the state %s access may exist: %+v %+v", g.Name, state, s.AWS.Groups, s.Kubernetes.Bindings)
	}
	for _, m := range s.AWS.Groups {
		// An emergency is granted once it gives something.
		if state == v1alpha1.StateGranted && m.Intended && !m.Observed && (!access.Emergency(g) || !access.Gives(g)) {
			t.Errorf("%s: granted, and the membership in %s was not seen", g.Name, m.Name)
		}
	}
}

// checkKStatus checks that tools which follow kstatus draw the same conclusion.
func checkKStatus(t testing.TB, g *v1alpha1.ProdAccessGrant, want expectation) {
	t.Helper()
	content, err := runtime.DefaultUnstructuredConverter.ToUnstructured(g)
	if err != nil {
		t.Fatalf("%s: %v", g.Name, err)
	}
	result, err := status.Compute(&unstructured.Unstructured{Object: content})
	if err != nil {
		t.Fatalf("%s: kstatus: %v", g.Name, err)
	}
	expected := status.InProgressStatus
	switch {
	case g.DeletionTimestamp != nil:
		expected = status.TerminatingStatus
	case g.Status.ObservedGeneration != g.Generation:
	case meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionStalled):
		expected = status.FailedStatus
	case want.ready:
		expected = status.CurrentStatus
	}
	if result.Status != expected {
		t.Errorf("%s: kstatus says %s (%s), want %s", g.Name, result.Status, result.Message, expected)
	}
}
