// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

func TestDeadlineWhileTheAPIServerDoesNotAnswer(t *testing.T) {
	p := start(t)
	g := granted(t, person("alice"), "infra-member", ending(15*time.Second))
	has(t, g, true)
	deadline := g.Spec.ExpiresAt.Time
	past(t, deadline.Add(-time.Second))
	if err := cp.Pause(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cp.Resume() })
	// AWS is not waited for by the one who waits for Kubernetes.
	eventually(t, 5*time.Second, "the membership is gone", func(context.Context) (bool, error) {
		return !iam.IsMember("hera-prod-infra-member", g.Spec.Subject.IAMUser), nil
	})
	if late := time.Since(deadline); late < 0 || late > 2*time.Second {
		t.Errorf("the membership was gone %s after the deadline", late)
	}
	past(t, deadline.Add(4*time.Second))
	if err := cp.Resume(); err != nil {
		t.Fatal(err)
	}
	resumed := time.Now()
	reaches(t, g, v1alpha1.StateExpired)
	t.Logf("over %s after the API server was back", time.Since(resumed).Round(time.Millisecond))
	if took := time.Since(resumed); took > punctual {
		t.Errorf("that is too late")
	}
	has(t, g, false)
	select {
	case <-p.Done():
		t.Error("the operator has ended")
	default:
	}
}

func TestOverdueAtStart(t *testing.T) {
	p := start(t)
	g := granted(t, person("alice"), "infra-member", ending(15*time.Second))
	stays := granted(t, person("alice"), "infra-member", nil)
	if err := p.Stop(); err != nil {
		t.Fatal(err)
	}
	past(t, g.Spec.ExpiresAt.Time)
	has(t, g, true) // nobody was there to take it away
	started := time.Now()
	start(t)
	eventually(t, punctual, "the membership and the binding are gone", func(context.Context) (bool, error) {
		return !iam.IsMember("hera-prod-infra-member", g.Spec.Subject.IAMUser) && len(bindings(t, g)) == 0, nil
	})
	t.Logf("gone %s after the start", time.Since(started).Round(time.Millisecond))
	reaches(t, g, v1alpha1.StateExpired)
	has(t, g, false)
	reaches(t, stays, v1alpha1.StateGranted)
	has(t, stays, true)
}
