// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package crash

import (
	"maps"
	"slices"
	"strings"
	"time"

	"filippo.io/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

// openTemporarily opens an emergency for an hour, with a temporary user.
func (s *stage) openTemporarily() {
	s.Helper()
	var err error
	if s.key, err = age.GenerateX25519Identity(); err != nil {
		s.Fatal(err)
	}
	account, err := policy.AccountOf("arn:aws:iam::111122223333:root")
	if err != nil {
		s.Fatal(err)
	}
	s.options = membership.Options{Cluster: "crash", Boundary: account.BreakGlassBoundary()}
	s.account.SetBoundary(user, s.options.Boundary) // so that there is one
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.BreakGlassSpec{
		TemporaryUser: &v1alpha1.TemporaryUser{
			Recipients: []v1alpha1.Recipient{v1alpha1.Recipient(s.key.Recipient().String())}, AccessKey: v1alpha1.AccessKeyCreate,
		},
		Role: s.role.Name, Incident: "INC-1", Reason: "see what a crash leaves behind", OpenedBy: user, Duration: metav1.Duration{Duration: time.Hour},
	}}
	s.create(b)
	s.grants, s.member = append(s.grants, access.FromBreakGlass(b)), access.TemporaryUserName(b.Name, b.UID)
}

// temporary is made, can be used by whom it is for, and is deleted when it ends.
func temporary(s *stage, f *fuse) bool {
	s.Helper()
	g := s.grants[0]
	if !s.acted {
		if !s.reaches(f, g, v1alpha1.StateGranted) || !s.until(f, "the membership", func() bool { return s.account.IsMember(group, s.member) }) {
			return false
		}
		s.usable(f)
		s.acted = true
		s.clock.forward(2 * time.Hour)
		s.report(g, "the disk was full")
	}
	return s.reaches(f, g, v1alpha1.StateExpired)
}

// usable checks that the credentials in the status are those of the user that AWS has: the ones that this user was made with, and
// not those of one before it that an operator died of.
func (s *stage) usable(f *fuse) {
	s.Helper()
	var b v1alpha1.BreakGlass
	if err := kube.Get(s.Context(), client.ObjectKey{Name: s.name}, &b); err != nil {
		s.Fatal(err)
	}
	c, err := sealed.Open(b.Status.TemporaryUser.Credentials, s.key)
	if err != nil {
		s.Fatalf("after %q: %v", f.effects, err)
	}
	if keys := s.account.ActiveKeys(s.member); c.IAMUser != s.member || !slices.Equal(keys, []string{c.AccessKeyID}) || !s.account.HasPassword(s.member) {
		s.Errorf("after %q: the credentials are of %s with the key %s, and AWS has %s with %q", f.effects, c.IAMUser, c.AccessKeyID, s.member, keys)
	}
}

// bounded checks that a temporary user is in no group without its MFA device and fence.
func (s *stage) bounded(f *fuse) {
	s.Helper()
	if s.key == nil || !s.account.IsMember(group, s.member) {
		return
	}
	fenced := slices.ContainsFunc(slices.Collect(maps.Keys(s.account.UserPolicies(s.member))), func(name string) bool {
		return strings.HasPrefix(name, policy.FencePrefix)
	})
	if !fenced || s.account.Under(policy.BreakGlassPath, s.member) != 2 {
		s.Errorf("after %q: a member without fence or MFA device", f.effects)
	}
}
