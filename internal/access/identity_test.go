// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"slices"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

func TestKubernetesUsersOf(t *testing.T) {
	arn := account + "alice"
	tests := map[string]struct {
		tags map[string]string
		want []string
	}{
		"no tag":            {nil, []string{"alice", arn}},
		"another tag":       {map[string]string{"team": "ledger"}, []string{"alice", arn}},
		"blank tag":         {map[string]string{v1alpha1.KubernetesUsersTag: "  "}, []string{"alice", arn}},
		"one name":          {map[string]string{v1alpha1.KubernetesUsersTag: "alice@hera.example"}, []string{"alice@hera.example"}},
		"several, in order": {map[string]string{v1alpha1.KubernetesUsersTag: " b  a\tc "}, []string{"b", "a", "c"}},
	}
	for name, test := range tests {
		if got := access.KubernetesUsersOf("alice", arn, test.tags); !slices.Equal(got, test.want) {
			t.Errorf("%s: %q, want %q", name, got, test.want)
		}
	}
}

// Who the person is, and what keeps them from access. The twin of each row is the scene as it was, but for what twin says.
func TestIdentity(t *testing.T) {
	tests := map[string]struct {
		twin, spoil func(*scene)
		want        want
	}{
		"no such user": {nil, func(s *scene) { s.Person = &access.Person{} },
			want{cause: v1alpha1.ReasonUserNotFound, message: "AWS has no IAM user alice"}},
		"no IAM user named": {nil, func(s *scene) { s.Grant.Spec.Subject.IAMUser = ""; s.approveAnew() },
			want{cause: v1alpha1.ReasonUserNotFound, message: "spec.subject.iamUser is missing"}},
		"spelled in another case": {func(s *scene) { s.Grant.Spec.Subject.IAMUser, s.Person.Name = "Alice", "Alice"; s.approveAnew() },
			func(s *scene) { s.Grant.Spec.Subject.IAMUser, s.Person.Name = "Alice", "alice"; s.approveAnew() },
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "the IAM user is spelled alice, not Alice"}},
		"somebody else's username": {func(s *scene) { s.Person.KubernetesUsers = []string{"x", "alice@hera.example"} },
			func(s *scene) { s.Person.KubernetesUsers = []string{"x", "root@hera.example"} },
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "kubernetesUser alice@hera.example is not one of the Kubernetes usernames of the IAM user alice (x, root@hera.example)"}},
		"username in another case": {nil, func(s *scene) { s.Person.KubernetesUsers = []string{"Alice@hera.example"} },
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "kubernetesUser alice@hera.example is not one of"}},
		"no usernames at all": {func(s *scene) { s.Grant.Spec.Subject.KubernetesUser = ""; s.approveAnew() },
			func(s *scene) {
				s.Grant.Spec.Subject.KubernetesUser, s.Person.KubernetesUsers = "", nil
				s.approveAnew()
			},
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "is not one of"}},
		"an empty username": {nil, func(s *scene) {
			s.Grant.Spec.Subject.KubernetesUser, s.Person.KubernetesUsers = "", []string{""}
			s.approveAnew()
		},
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "is not one of"}},
		"no device": {nil, func(s *scene) { s.Person.MFA = false },
			want{cause: v1alpha1.ReasonMFAMissing, message: "alice has no MFA device: alice must register one"}},
		"AWS cannot be asked": {nil, func(s *scene) { s.Person = &access.Person{Unavailable: "dial tcp: timeout"} },
			want{cause: v1alpha1.ReasonAWSUnavailable, message: "the IAM user alice cannot be verified, so nothing is granted: dial tcp: timeout"}},
		"system: in the tag": {reservedTwin("xsystem:masters"), reservedTwin("system:masters"), want{cause: v1alpha1.ReasonIdentityMismatch, message: "names beginning with system: are reserved"}},
		"eks: in the tag":    {reservedTwin("eks"), reservedTwin("eks:node"), want{cause: v1alpha1.ReasonIdentityMismatch, message: "names beginning with eks: are reserved"}},
		"aws: in the tag":    {reservedTwin("arn:aws:x"), reservedTwin("aws:x"), want{cause: v1alpha1.ReasonIdentityMismatch, message: "names beginning with aws: are reserved"}},
		"disabled, no username": {disabledFor("alice"), disabledFor(""),
			want{cause: v1alpha1.ReasonIdentityMismatch, message: "there is no IAM user to take a Kubernetes username from"}},
		"disabled, reserved": {disabledFor("alice"), disabledFor("system:admin"), want{cause: v1alpha1.ReasonIdentityMismatch, message: "are reserved"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			if test.twin != nil {
				test.twin(twin)
			}
			d := twin.decide()
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
			if !d.Eligible.Yes {
				t.Errorf("the twin is not eligible: %+v", d.Eligible)
			}
			test.spoil(s)
			d = s.decide()
			test.want.state, test.want.none = v1alpha1.StateBlocked, true
			test.want.check(t, d)
			if d.Eligible.Yes || d.Eligible.Reason != test.want.cause || d.Eligible.Message != d.Message {
				t.Errorf("eligible: %+v", d.Eligible)
			}
			if d.RecheckAfter != access.RecheckAfter && d.RecheckAfter != access.RetryAfter {
				t.Errorf("looks again after %s", d.RecheckAfter)
			}
		})
	}
}

// reservedTwin makes a username the only one of the person.
func reservedTwin(user string) func(*scene) {
	return func(s *scene) {
		s.Grant.Spec.Subject.KubernetesUser, s.Person.KubernetesUsers = "", []string{user}
		s.approveAnew()
	}
}

func disabledFor(user v1alpha1.Username) func(*scene) {
	return func(s *scene) {
		s.AWS, s.Person, s.Role.Spec.AWS = false, nil, nil
		s.Grant.Spec.Subject = v1alpha1.Subject{KubernetesUser: user}
		s.approveAnew()
	}
}

// Where AWS is disabled, what it said before that does not matter.
func TestDisabledAsksNobody(t *testing.T) {
	s := newScene(t)
	disabledFor("alice")(s)
	s.Person = &access.Person{Unavailable: "it was disabled"}
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
}

// A user that was deleted and created anew under the same name inherits nothing: neither access that exists, nor access
// that was about to be given.
func TestRecreatedUserInheritsNothing(t *testing.T) {
	for state, w := range map[string]want{
		v1alpha1.StateGranting:     {state: v1alpha1.StateBlocked, effect: access.EffectRemove},
		v1alpha1.StateGranted:      {state: v1alpha1.StateSuspended, effect: access.EffectRemove},
		v1alpha1.StateSuspended:    {state: v1alpha1.StateSuspended, none: true},
		"Granting again":           {state: v1alpha1.StateSuspended, effect: access.EffectRemove},
		"Blocked after half of it": {state: v1alpha1.StateBlocked, none: true},
	} {
		t.Run(state, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			everyState[state](twin)
			if d := twin.decide(); d.Effect != access.EffectSync {
				t.Fatalf("the twin: %s, effect %q", d.State, d.Effect)
			}
			everyState[state](s)
			s.Person.UserID = "AIDAANEW"
			w.cause, w.message = v1alpha1.ReasonIdentityMismatch, "the IAM user alice was created anew and is not the one that the grant was made for"
			d := s.decide()
			w.check(t, d)
			if d.AWS.UserID != "AIDAALICE" {
				t.Errorf("the UserId on record becomes %s", d.AWS.UserID)
			}
		})
	}
}

// Who is bound has to remain one of the person's names, whatever the first name of the tag is now.
func TestBoundUsernameHasToStay(t *testing.T) {
	for state, w := range map[string]want{
		v1alpha1.StateGranting:  {state: v1alpha1.StateBlocked, effect: access.EffectRemove},
		v1alpha1.StateGranted:   {state: v1alpha1.StateSuspended, effect: access.EffectRemove},
		v1alpha1.StateSuspended: {state: v1alpha1.StateSuspended, none: true},
	} {
		t.Run(state, func(t *testing.T) {
			s := newScene(t)
			s.Grant.Spec.Subject.KubernetesUser = ""
			s.approveAnew()
			everyState[state](s)
			s.Person.KubernetesUsers = []string{"new@hera.example", "alice@hera.example"}
			if d := s.decide(); d.Effect != access.EffectSync || d.Kubernetes.User != "alice@hera.example" {
				t.Fatalf("the twin: %s, effect %q, for %s", d.State, d.Effect, d.Kubernetes.User)
			}
			s.Person.KubernetesUsers = []string{"new@hera.example"}
			w.cause, w.message = v1alpha1.ReasonIdentityMismatch, "kubernetesUser alice@hera.example is not one of"
			w.check(t, s.decide())
		})
	}
}
