// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"fmt"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// An administrator takes somebody out of the IAM group. It is believed after three reads over two minutes, and not before:
// AWS may answer with what was. Nothing is given back, neither meanwhile nor after, not even under another grant.
func TestI5TakenOutOfTheGroup(t *testing.T) {
	for _, back := range []bool{false, true} {
		t.Run(fmt.Sprintf("seen again %v", back), func(t *testing.T) {
			s := newStage(t, fmt.Sprintf("drift-%v", back))
			f := newFuse(-1)
			stop := s.operator(f)
			defer stop()
			activeGrant(s, f)
			g := s.grants[0]
			s.account.RemoveMember(group, user)
			s.look()
			s.look()
			if back {
				s.account.AddMember(group, user)
				s.look()
				s.look()
				if s.get(g); access.StateOf(g) != v1alpha1.StateGranted || !s.bound(g) {
					t.Fatalf("a stale read ended the grant: %s", access.StateOf(g))
				}
				return
			}
			if s.get(g); access.StateOf(g) != v1alpha1.StateGranted {
				t.Fatalf("%s after two reads", access.StateOf(g))
			}
			other := s.ask(time.Hour)
			s.until(f, "a digest", func() bool { return s.get(other) && other.Status.ApprovalDigest != "" })
			s.approve(other)
			s.until(f, "a wait", func() bool {
				c := meta.FindStatusCondition(other.Status.Conditions, v1alpha1.ConditionMembershipsSynced)
				return s.get(other) && c != nil && c.Status == metav1.ConditionFalse
			})
			s.look()
			s.reaches(f, g, v1alpha1.StateRevoked)
			if s.bound(g) || s.account.IsMember(group, user) || s.bound(other) {
				t.Errorf("bound %v and %v, a member %v", s.bound(g), s.bound(other), s.account.IsMember(group, user))
			}
			var all v1alpha1.AccessRevocationList
			if err := kube.List(t.Context(), &all); err != nil {
				t.Fatal(err)
			}
			remembered := false
			for _, r := range all.Items {
				remembered = remembered || r.Spec.Grant != nil && r.Spec.Grant.Name == g.Name
			}
			if !remembered {
				t.Error("no AccessRevocation speaks of it")
			}
		})
	}
}

// look lets the operator read the group once more, a minute later.
func (s *stage) look() {
	s.Helper()
	s.clock.forward(61 * time.Second)
	if err := kube.Get(s.Context(), client.ObjectKeyFromObject(s.role), s.role); err != nil {
		s.Fatal(err)
	}
	base := s.role.DeepCopy()
	s.role.Spec.Description = s.clock.Now().String()
	if err := kube.Patch(s.Context(), s.role, client.MergeFrom(base)); err != nil {
		s.Fatal(err)
	}
	generation := s.role.Generation
	s.until(newFuse(-1), "a look at the role", func() bool {
		return kube.Get(s.Context(), client.ObjectKeyFromObject(s.role), s.role) == nil && s.role.Status.ObservedGeneration >= generation
	})
}
