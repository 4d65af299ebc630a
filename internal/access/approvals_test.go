// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// Each row spoils one of two approvals, which then does not count; the twin is the scene as it was.
func TestApprovalCountsOnlyIf(t *testing.T) {
	tests := map[string]struct {
		spoil   func(*scene, *v1alpha1.AccessApproval)
		message string
	}{
		"another uid":         {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Target.UID = "earlier" }, "a1: it is for an earlier object of this name (uid earlier)"},
		"another role":        {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Role = "infra-manager" }, "a1: it is for the role infra-manager"},
		"another digest":      {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Digest = "sha256:" + strings.Repeat("0", 64) }, "a1: its digest is not status.approvalDigest"},
		"no digest":           {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Digest = "" }, "a1: its digest is not status.approvalDigest"},
		"another name":        {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Target.Name = "other" }, "1 of 2 approvals"},
		"another kind":        {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Target.Kind = "BreakGlass" }, "1 of 2 approvals"},
		"neither yes nor no":  {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Decision = "" }, "1 of 2 approvals"},
		"the same person":     {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = "bob" }, "a1: bob has approved already"},
		"in another case":     {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = "BoB" }, "a1: BoB is the same person as bob, who has approved already"},
		"by the ARN":          {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = account + "team/bob" }, "a1: " + account + "team/bob is the same person as bob, who has approved already"},
		"nobody":              {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = "" }, "a1: it is nobody's"},
		"a service account":   {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = "system:serviceaccount:ci:bot" }, "a1: system:serviceaccount:ci:bot is not a person"},
		"an EKS name":         {func(_ *scene, a *v1alpha1.AccessApproval) { a.Spec.Approver = "eks:addon-manager" }, "is not a person"},
		"the role means more": {func(s *scene, _ *v1alpha1.AccessApproval) { s.Role.RulesHash = "sha256:two" }, "a1: its digest is not status.approvalDigest; approve again what the role gives now"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			want{state: v1alpha1.StateGranting}.check(t, twin.decide())
			test.spoil(s, &s.Approvals[1])
			d := s.decide()
			want{state: v1alpha1.StatePendingApproval, message: test.message, none: true}.check(t, d)
			if !strings.Contains(d.Approved.Message, test.message) || d.Approved.Yes {
				t.Errorf("approved: %+v", d.Approved)
			}
		})
	}
}

// Nobody approves their own access under any of their names.
func TestI7OwnApproval(t *testing.T) {
	names := map[string]string{
		"IAM name": "alice", "IAM name in capitals": "ALICE", "Kubernetes name": "alice@hera.example", "in capitals": "Alice@Hera.Example",
		"another name of the tag": "al", "ARN": account + "alice", "ARN with a path": account + "team/Alice", "ARN in capitals": strings.ToUpper(account + "alice"),
		"requester": "dana@hera.example", "requester in capitals": "DANA@hera.example",
	}
	for what, name := range names {
		for _, decision := range []v1alpha1.ApprovalDecision{v1alpha1.DecisionApprove, v1alpha1.DecisionReject} {
			t.Run(what+" "+string(decision), func(t *testing.T) {
				s := newScene(t)
				s.Person.KubernetesUsers = append(s.Person.KubernetesUsers, "al")
				if decision == v1alpha1.DecisionReject {
					s.reject(name)
					want{state: v1alpha1.StateGranting}.check(t, s.decide())
					return
				}
				s.Approvals[1].Spec.Approver = v1alpha1.Username(name)
				want{state: v1alpha1.StatePendingApproval, message: fmt.Sprintf("a1: %s is the requester or the subject", name)}.check(t, s.decide())
			})
		}
	}
	t.Run("requester by ARN", func(t *testing.T) {
		s := newScene(t)
		s.Grant.Spec.RequestedBy = account + "bob"
		s.approveAnew()
		want{state: v1alpha1.StatePendingApproval, message: "bob is the requester"}.check(t, s.decide())
		s.approve("erin")
		want{state: v1alpha1.StateGranting}.check(t, s.decide())
	})
}

func TestRejection(t *testing.T) {
	tests := map[string]struct {
		change func(*scene)
		state  string
	}{
		"of this object": {func(s *scene) { s.reject("erin") }, v1alpha1.StateRejected},
		"by somebody who had approved": {func(s *scene) {
			s.reject("bob")
		}, v1alpha1.StateRejected},
		// The object has not changed, so what somebody said no to is what it still asks for.
		"when the role meant something else": {func(s *scene) {
			s.reject("erin").Spec.Digest = "sha256:" + strings.Repeat("0", 64)
		}, v1alpha1.StateRejected},
		"for another role":     {func(s *scene) { s.reject("erin").Spec.Role = "developer" }, v1alpha1.StateGranting},
		"of another object":    {func(s *scene) { s.reject("erin").Spec.Target.Name = "other" }, v1alpha1.StateGranting},
		"of a BreakGlass":      {func(s *scene) { s.reject("erin").Spec.Target.Kind = "BreakGlass" }, v1alpha1.StateGranting},
		"by a service account": {func(s *scene) { s.reject("system:serviceaccount:ci:bot") }, v1alpha1.StateGranting},
		"of an earlier object": {func(s *scene) { rejectEarlier(s) }, v1alpha1.StateRejected},
		"of an earlier, other one": {func(s *scene) {
			rejectEarlier(s)
			s.Grant.Spec.Reason += ", again"
			reject := s.Approvals[2]
			s.approveAnew()
			s.Approvals = append(s.Approvals, reject)
		}, v1alpha1.StateGranting},
		"of an earlier one by the subject": {func(s *scene) { rejectEarlier(s).Spec.Approver = "alice" }, v1alpha1.StateGranting},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.change(s)
			want{state: test.state}.check(t, s.decide())
		})
	}
}

// rejectEarlier adds a rejection of an object of the same name that asked for the same, and is no more.
func rejectEarlier(s *scene) *v1alpha1.AccessApproval {
	a := s.reject("erin")
	a.Spec.Target.UID, a.Spec.Digest = "earlier", s.digestFor("earlier")
	return a
}

// After activation a rejection has no effect: access is taken away by a revocation.
func TestRejectionAfterActivation(t *testing.T) {
	for name, reach := range map[string]func(*scene){v1alpha1.StateGranted: granted, v1alpha1.StateSuspended: suspended, v1alpha1.StateGranting: comingBack} {
		s := newScene(t)
		reach(s)
		before := s.decide()
		s.reject("erin")
		if d := s.decide(); d.State != before.State || d.Effect != before.Effect {
			t.Errorf("%s: %s, effect %q", name, d.State, d.Effect)
		}
	}
}

// The first rejection is the one that is named, whatever order they are listed in.
func TestApprovalsAreTakenInOrder(t *testing.T) {
	s := newScene(t)
	s.reject("erin")
	s.reject("frank")
	s.Approvals[2], s.Approvals[3] = s.Approvals[3], s.Approvals[2]
	want{state: v1alpha1.StateRejected, message: "erin rejected it"}.check(t, s.decide())

	s = newScene(t)
	same := metav1.NewTime(begin)
	s.approve("erin")
	for i := range s.Approvals {
		s.Approvals[i].CreationTimestamp = same
	}
	s.Approvals[0], s.Approvals[2] = s.Approvals[2], s.Approvals[0]
	var got []string
	for _, a := range s.decide().Approvals {
		got = append(got, string(a.Approver))
		if a.Source != v1alpha1.SourceApproval || !a.At.Equal(&same) {
			t.Errorf("counted as %+v", a)
		}
	}
	if strings.Join(got, " ") != "bob carol erin" {
		t.Errorf("counted in the order %v", got)
	}
}

// However few approvals a role says, one person at least has to approve.
func TestI1SomebodyHasToApprove(t *testing.T) {
	for _, required := range []int32{0, -1, 1} {
		s := newScene(t)
		s.Role.Spec.Approval.Required = required
		s.Approvals = nil
		want{state: v1alpha1.StatePendingApproval, message: "0 of 1 approvals"}.check(t, s.decide())
		s.approve("bob")
		want{state: v1alpha1.StateGranting}.check(t, s.decide())
	}
}

// A status holds twenty approvals; more are as good as twenty.
func TestMoreApprovalsThanAStatusHolds(t *testing.T) {
	s := newScene(t)
	s.Role.Spec.Approval.Required = 10
	for i := range 30 {
		s.approve(fmt.Sprintf("engineer-%d", i))
	}
	d := s.decide()
	want{state: v1alpha1.StateGranting}.check(t, d)
	if len(d.Approvals) != 20 {
		t.Errorf("%d approvals are to be stored", len(d.Approvals))
	}
}

// What does not count is told, but not at any length.
func TestManyIgnoredApprovals(t *testing.T) {
	s := newScene(t)
	s.Approvals = nil
	for range 200 {
		s.approve("alice")
	}
	if m := s.decide().Message; len(m) > 400 || !strings.Contains(m, "and 195 more") {
		t.Errorf("message of %d bytes: %.400s", len(m), m)
	}
}

// A review that admission let an attester carry in counts as an approval does, and on the same terms.
func TestReviewedBy(t *testing.T) {
	reviewed := func(t *testing.T, reviewers ...v1alpha1.Username) *scene {
		s := newScene(t)
		s.Approvals, s.Grant.Spec.ReviewedBy = nil, reviewers
		return s
	}
	s := reviewed(t, "bob", "carol")
	d := s.decide()
	want{state: v1alpha1.StateGranting}.check(t, d)
	for _, a := range d.Approvals {
		if a.Source != v1alpha1.SourceAttested || !a.At.Equal(&s.Grant.CreationTimestamp) {
			t.Errorf("counted as %+v", a)
		}
	}
	for name, test := range map[string]struct {
		spoil   func(*scene)
		message string
	}{
		"one is not two":            {func(s *scene) { s.Grant.Spec.ReviewedBy = s.Grant.Spec.ReviewedBy[:1] }, "1 of 2 approvals"},
		"no right to approve":       {func(s *scene) { s.MayApprove = without("carol") }, "the review of carol: carol does not hold the verb approve on accessroles/infra-member"},
		"the subject":               {func(s *scene) { s.Grant.Spec.ReviewedBy[1] = "Alice@hera.example" }, "is the requester or the subject"},
		"the requester":             {func(s *scene) { s.Grant.Spec.ReviewedBy[1] = "dana@hera.example" }, "is the requester or the subject"},
		"twice one person":          {func(s *scene) { s.Grant.Spec.ReviewedBy[1] = "BOB" }, "BOB is the same person as bob"},
		"the role has no attesters": {func(s *scene) { s.Role.Spec.Approval.Attesters = nil }, "no attester of the role carried it"},
		"older than the role":       {func(s *scene) { s.Role.Created = s.Grant.CreationTimestamp.Time }, "the grant is not younger than the role"},
		"the same approves":         {func(s *scene) { s.Grant.Spec.ReviewedBy = s.Grant.Spec.ReviewedBy[:1]; s.approve("bob") }, "1 of 2 approvals"},
	} {
		t.Run(name, func(t *testing.T) {
			s := reviewed(t, "bob", "carol")
			test.spoil(s)
			want{state: v1alpha1.StatePendingApproval, message: test.message}.check(t, s.decide())
		})
	}
	t.Run("of what the role gave when they were first seen", func(t *testing.T) {
		s := reviewed(t, "bob", "carol")
		scheduled(s)
		s.Approvals = nil
		s.now = s.now.Add(2 * time.Hour)
		want{state: v1alpha1.StateGranting}.check(t, s.decide())
		s.Role.RulesHash = "sha256:two"
		want{state: v1alpha1.StatePendingApproval, message: "the review of bob: the role has come to give something else since"}.check(t, s.decide())
		s.store()
		s.next()
		want{state: v1alpha1.StatePendingApproval}.check(t, s.decide())
		s.approveAnew()
		want{state: v1alpha1.StateGranting}.check(t, s.decide())
	})
	t.Run("a review and an approval of two people", func(t *testing.T) {
		s := reviewed(t, "bob")
		s.approve("carol")
		want{state: v1alpha1.StateGranting}.check(t, s.decide())
	})
}

// without says that everybody may approve but one.
func without(who string) func(string, []string) bool {
	return func(user string, _ []string) bool { return user != who }
}

// One person with two usernames counts once, and does not approve for themselves under the other.
func TestI7OnePersonUnderTwoNames(t *testing.T) {
	for name, test := range map[string]struct {
		users   []access.User
		message string
	}{
		"two approvers":            {[]access.User{{UserID: "AIDABOB", Name: "bob", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "bob carol"}}}, "a1: carol is the same person as bob, who has approved already"},
		"requester and approver":   {[]access.User{{UserID: "AIDADANA", Name: "dana", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "dana@hera.example carol"}}}, "a1: carol is the requester or the subject"},
		"subject by a second user": {[]access.User{{UserID: "AIDAX", Name: "x", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice carol"}}}, "a1: carol is the requester or the subject"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Person.Directory = access.NewDirectory(test.users...)
			want{state: v1alpha1.StatePendingApproval, message: test.message}.check(t, s.decide())
			test.users[0].Tags = nil
			s.Person.Directory = access.NewDirectory(test.users...)
			want{state: v1alpha1.StateGranting}.check(t, s.decide())
		})
	}
}

// What nobody has proven does not count, neither a yes nor a no.
func TestI7UnprovenWords(t *testing.T) {
	gap := access.Gap{From: begin.Add(time.Second), To: begin.Add(2 * time.Second)}
	for name, test := range map[string]struct {
		spoil   func(*scene)
		message string
	}{
		"made in a gap of the guard": {func(s *scene) {
			s.Guard.Gaps = []access.Gap{gap}
			s.Grant.CreationTimestamp = metav1.NewTime(begin.Add(-time.Minute))
		}, "a1: it was made at 2026-"},
		"no right to approve": {func(s *scene) { s.MayApprove = without("carol") }, "a1: carol does not hold the verb approve on accessroles/infra-member"},
		"nobody was asked":    {func(s *scene) { s.MayApprove = nil }, "0 of 2 approvals"},
		"a revoked approver":  {func(s *scene) { s.revoke("carol") }, "a1: carol is revoked (r0)"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.spoil(s)
			want{state: v1alpha1.StatePendingApproval, message: test.message}.check(t, s.decide())
			s.Approvals[1].Spec.Decision = v1alpha1.DecisionReject
			want{state: v1alpha1.StatePendingApproval}.check(t, s.decide())
		})
	}
}

// Approving early is not approving later changes: see also the state table.
func TestI1RequiredIsCheckedWhenDue(t *testing.T) {
	s := newScene(t)
	scheduled(s)
	s.Role.Spec.Approval.Required = 3
	s.now = s.now.Add(2 * time.Hour)
	want{state: v1alpha1.StatePendingApproval, message: "2 of 3 approvals"}.check(t, s.decide())
	s.approve("erin")
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
}
