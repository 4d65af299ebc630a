// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// Requests that their role does not allow are told so before anybody has approved them; the twin is allowed.
func TestViolations(t *testing.T) {
	tests := map[string]struct {
		twin, spoil func(*scene)
		message     string
	}{
		"namespaces missing": {func(s *scene) {
			s.Role.Spec.Kubernetes.Scope, s.Grant.Spec.Namespaces = v1alpha1.ScopeNamespaces, []v1alpha1.NamespaceName{"a"}
		}, func(s *scene) { s.Role.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces }, "the role infra-member is bound in namespaces: create another grant that lists them"},
		"namespaces of a cluster role": {nil, func(s *scene) { s.Grant.Spec.Namespaces = []v1alpha1.NamespaceName{"a"} }, "is not bound in namespaces"},
		"namespaces without Kubernetes": {func(s *scene) { s.Role.Spec.Kubernetes = nil }, func(s *scene) {
			s.Role.Spec.Kubernetes, s.Grant.Spec.Namespaces = nil, []v1alpha1.NamespaceName{"a"}
		}, "is not bound in namespaces"},
		"too far ahead": {window(2*time.Hour, 3*time.Hour, func(r *v1alpha1.AccessRoleSpec) { r.MaxLeadTime.Duration = 2 * time.Hour }),
			window(2*time.Hour+time.Second, 3*time.Hour, func(r *v1alpha1.AccessRoleSpec) { r.MaxLeadTime.Duration = 2 * time.Hour }),
			"notBefore is 2h0m1s ahead, the role infra-member allows 2h0m0s"},
		"too long from notBefore": {window(2*time.Hour, 4*time.Hour, func(r *v1alpha1.AccessRoleSpec) { r.MaxDuration.Duration = 2 * time.Hour }),
			window(2*time.Hour, 4*time.Hour+time.Second, func(r *v1alpha1.AccessRoleSpec) { r.MaxDuration.Duration = 2 * time.Hour }),
			"the window until expiresAt is 2h0m1s, the role infra-member allows 2h0m0s"},
		"too long from creation": {window(-time.Hour, 2*time.Hour, func(r *v1alpha1.AccessRoleSpec) { r.MaxDuration.Duration = 2 * time.Hour }),
			window(-time.Hour, 2*time.Hour+time.Second, func(r *v1alpha1.AccessRoleSpec) { r.MaxDuration.Duration = 2 * time.Hour }),
			"the window until expiresAt is 2h0m1s"},
		"no incident": {func(s *scene) { s.Role.Spec.Incident, s.Grant.Spec.Incident = v1alpha1.IncidentRequired, "INC-7" },
			func(s *scene) { s.Role.Spec.Incident = v1alpha1.IncidentRequired }, "the role infra-member is for incidents only"},
		"no ticket":        {ticket("CHG-[0-9]+", "CHG-1"), ticket("CHG-[0-9]+", ""), `changeTicket "" does not match "CHG-[0-9]+", which the role infra-member demands`},
		"another ticket":   {ticket("CHG-[0-9]+|INC-[0-9]+", "INC-1"), ticket("CHG-[0-9]+|INC-[0-9]+", "XCHG-1"), `changeTicket "XCHG-1" does not match`},
		"more than ticket": {ticket("CHG-1", "CHG-1"), ticket("CHG-1", "CHG-12"), `changeTicket "CHG-12" does not match`},
		"a second line":    {ticket("(?m)^CHG-1$", "CHG-1"), ticket("(?m)^CHG-1$", "CHG-1\nx"), "does not match"},
		"no pattern":       {ticket("CHG-1", "CHG-1"), ticket("CHG-(", "CHG-("), "spec.change.ticketPattern of the role infra-member is not a regular expression: the platform team must mend it"},
		"a pattern that only its frame completes": {ticket("(CHG-1)|(x)", "x"), ticket("CHG-1)|(x", "x"), "is not a regular expression"},
		"no evidence": {func(s *scene) {
			s.Role.Spec.Change.StagingEvidence, s.Grant.Spec.StagingEvidence = v1alpha1.EvidenceRequired, "https://ci.hera.example/42"
		}, func(s *scene) { s.Role.Spec.Change.StagingEvidence = v1alpha1.EvidenceRequired }, "demands proof of a test in staging"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			if test.twin != nil {
				test.twin(twin)
			}
			twin.approveAnew()
			if d := twin.decide(); d.State != v1alpha1.StateGranting && d.State != v1alpha1.StateScheduled {
				t.Errorf("the twin is %s: %s", d.State, d.Message)
			}
			test.spoil(s)
			refused := want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonPolicyViolation, message: test.message, none: true}
			s.approveAnew()
			refused.check(t, s.decide())
			s.Approvals = nil
			refused.check(t, s.decide())
		})
	}
}

func window(from, to time.Duration, change func(*v1alpha1.AccessRoleSpec)) func(*scene) {
	return func(s *scene) {
		s.Grant.Spec.NotBefore, s.Grant.Spec.ExpiresAt = new(metav1.NewTime(begin.Add(from))), metav1.NewTime(begin.Add(to))
		change(&s.Role.Spec)
	}
}

func ticket(pattern, given string) func(*scene) {
	return func(s *scene) { s.Role.Spec.Change.TicketPattern, s.Grant.Spec.ChangeTicket = pattern, given }
}

// A past window is accepted, and ends as Expired whatever its role says.
func TestPastWindow(t *testing.T) {
	s := newScene(t)
	window(-3*time.Hour, -time.Hour, func(r *v1alpha1.AccessRoleSpec) { r.MaxDuration.Duration = time.Minute })(s)
	want{state: v1alpha1.StateExpired, none: true}.check(t, s.decide())
}

func TestTicketPattern(t *testing.T) {
	for pattern, valid := range map[string]bool{"": true, "CHG-[0-9]+": true, "(": false, "a)|(b": false, `(?=x)`: false} {
		p, err := access.TicketPattern(&v1alpha1.AccessRoleSpec{Change: v1alpha1.ChangePolicy{TicketPattern: pattern}})
		if (err == nil) != valid || (p == nil) != (pattern == "" || !valid) {
			t.Errorf("%q: %v, %v", pattern, p, err)
		}
	}
}
