// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

const day = 24 * time.Hour

// aged is a scene whose role allows credentials of 60 days, and whose person has an access key of an age.
func aged(t *testing.T, onStale v1alpha1.StalePolicy, key time.Duration) *scene {
	t.Helper()
	s := newScene(t)
	s.Role.Spec.Requirements = v1alpha1.Requirements{MaxCredentialAge: &metav1.Duration{Duration: 60 * day}, OnStale: onStale}
	s.approveAnew()
	s.Person.Credentials = access.Credentials{Keys: []access.Key{{ID: "AKIAOLD", Created: s.now.Add(-key)}}}
	return s
}

func TestStaleCredentialsBeforeActivation(t *testing.T) {
	for name, row := range map[string]struct {
		onStale v1alpha1.StalePolicy
		key     time.Duration
		state   string
		effect  access.Effect
		message string
	}{
		"young":               {v1alpha1.StaleSuspend, 60 * day, v1alpha1.StateGranting, access.EffectSync, ""},
		"old, and suspended":  {v1alpha1.StaleSuspend, 60*day + time.Second, v1alpha1.StateBlocked, access.EffectNone, "the access key AKIAOLD is 60 days old"},
		"old, and warned":     {v1alpha1.StaleWarn, 61 * day, v1alpha1.StateGranting, access.EffectSync, ""},
		"old, to deactivate":  {v1alpha1.StaleDeactivate, 61 * day, v1alpha1.StateBlocked, access.EffectDeactivate, "the access key AKIAOLD is 61 days old"},
		"young, with no more": {v1alpha1.StaleDeactivate, day, v1alpha1.StateGranting, access.EffectSync, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := aged(t, row.onStale, row.key)
			d := s.decide()
			if d.State != row.state || d.Effect != row.effect || !strings.Contains(d.Message, row.message) {
				t.Errorf("%s, %s: %s", d.State, d.Effect, d.Message)
			}
			if row.state == v1alpha1.StateBlocked && (d.Cause != v1alpha1.ReasonCredentialsStale || d.Eligible.Reason != v1alpha1.ReasonCredentialsStale) {
				t.Errorf("because of %s, eligible: %+v", d.Cause, d.Eligible)
			}
			if warned := strings.Contains(d.Eligible.Message, "61 days old"); row.onStale == v1alpha1.StaleWarn && !warned {
				t.Errorf("nobody is warned: %q", d.Eligible.Message)
			}
			// What was done about it AWS tells a moment later, not at once.
			if s.Done = true; row.effect == access.EffectDeactivate {
				if d := s.decide(); d.Effect != access.EffectNone || d.RecheckAfter != access.RecheckAfter {
					t.Errorf("once more: %s after %s", d.Effect, d.RecheckAfter)
				}
			}
		})
	}
}

// Unknown means no for what is new, and takes nothing from what is there (invariant I10).
func TestI10UnknownAgeOfThePassword(t *testing.T) {
	unknown := access.Credentials{PasswordSince: moment.Add(-61 * day), PasswordUnknown: "there is no credential report"}
	s := aged(t, v1alpha1.StaleSuspend, day)
	s.Person.Credentials = unknown
	if d := s.decide(); d.State != v1alpha1.StateBlocked || d.Cause != v1alpha1.ReasonAWSUnavailable || !strings.Contains(d.Message, "there is no credential report") {
		t.Errorf("%s (%s): %s", d.State, d.Cause, d.Message)
	}
	s.Person.Credentials.PasswordSince = moment.Add(-59 * day)
	if d := s.decide(); d.State != v1alpha1.StateGranting {
		t.Errorf("young whatever the report says: %s: %s", d.State, d.Message)
	}
	// Suspended for what was known: that it is no longer known gives nothing back.
	suspended := aged(t, v1alpha1.StaleSuspend, day)
	suspended.granted()
	suspended.Person.Credentials = access.Credentials{PasswordSince: moment.Add(-61 * day)}
	suspended.store()
	suspended.see(false)
	suspended.Done = false
	suspended.Person.Credentials.PasswordUnknown = "there is no credential report"
	if d := suspended.store(); d.State != v1alpha1.StateSuspended || d.Effect == access.EffectSync {
		t.Errorf("suspended: %s (%s), %s", d.State, d.Cause, d.Effect)
	}
	suspended.Person.Credentials = access.Credentials{PasswordSince: moment}
	if d := suspended.decide(); d.State != v1alpha1.StateGranting {
		t.Errorf("known to be young: %s (%s)", d.State, d.Cause)
	}
	live := aged(t, v1alpha1.StaleSuspend, day)
	live.granted()
	live.Person.Credentials = unknown
	if d := live.decide(); d.State != v1alpha1.StateGranted {
		t.Errorf("live: %s: %s", d.State, d.Message)
	}
}

// granted makes the scene's grant live.
func (s *scene) granted() {
	s.t.Helper()
	s.store()
	s.see(true)
	if d := s.store(); d.State != v1alpha1.StateGranted {
		s.t.Fatalf("not granted: %s: %s", d.State, d.Message)
	}
	s.Done = false
}

// Only what AWS says when it is asked takes a live grant away; what a sweep has seen makes it be asked.
func TestSuspicionAsksAWS(t *testing.T) {
	s := aged(t, v1alpha1.StaleSuspend, day)
	s.granted()
	person := s.Person
	s.Person = nil
	if d := s.decide(); d.Effect != access.EffectSync || d.State != v1alpha1.StateGranted {
		t.Fatalf("without a suspicion: %s, %s", d.State, d.Effect)
	}
	s.Suspicion = "the credential report knows no MFA device"
	if d := s.decide(); d.Effect != access.EffectIdentify || d.State != v1alpha1.StateGranted {
		t.Errorf("with one: %s, %s", d.State, d.Effect)
	}
	s.Person = person
	if d := s.decide(); d.State != v1alpha1.StateGranted || d.Effect != access.EffectSync {
		t.Errorf("which was false: %s, %s", d.State, d.Effect)
	}
	s.Person.MFA = false
	if d := s.decide(); d.State != v1alpha1.StateSuspended || d.Cause != v1alpha1.ReasonMFAMissing {
		t.Errorf("which was true: %s (%s)", d.State, d.Cause)
	}
	s.Person = &access.Person{Unavailable: "AWS cannot be reached"}
	if d := s.decide(); d.State != v1alpha1.StateGranted {
		t.Errorf("which cannot be known: %s (%s)", d.State, d.Cause)
	}
}

// A password goes only by a report that was made after the person was told.
func TestRetirePassword(t *testing.T) {
	old := access.Credentials{PasswordSince: moment.Add(-61 * day), Keys: []access.Key{{ID: "old", Created: moment.Add(-61 * day)}, {ID: "young", Created: moment}}}
	for name, row := range map[string]struct {
		asOf     time.Time
		unknown  string
		password bool
	}{
		"by a report of before": {asOf: moment.Add(-time.Hour)}, "by one of after": {asOf: moment.Add(time.Hour), password: true},
		"by none": {}, "unknown": {asOf: moment.Add(time.Hour), unknown: "denied"},
	} {
		t.Run(name, func(t *testing.T) {
			c := old
			c.PasswordAsOf, c.PasswordUnknown = row.asOf, row.unknown
			keys, password := c.Retire(60*day, moment, moment.Add(2*time.Hour))
			if len(keys) != 1 || keys[0].ID != "old" || password != row.password {
				t.Errorf("keys %v, the password %v", keys, password)
			}
		})
	}
}

// A live grant whose person's credentials have aged is suspended, and only then are they deactivated.
func TestStaleCredentialsOfALiveGrant(t *testing.T) {
	s := aged(t, v1alpha1.StaleDeactivate, 60*day)
	s.granted()
	s.now = s.now.Add(time.Minute)
	if d := s.store(); d.State != v1alpha1.StateSuspended || d.Effect != access.EffectRemove || d.Cause != v1alpha1.ReasonCredentialsStale {
		t.Fatalf("%s, %s, %s", d.State, d.Effect, d.Cause)
	}
	s.see(false)
	s.Done = false
	if d := s.decide(); d.State != v1alpha1.StateSuspended || d.Effect != access.EffectDeactivate {
		t.Fatalf("gone: %s, %s", d.State, d.Effect)
	}
	s.Person.Credentials.Keys = nil
	if d := s.decide(); d.State != v1alpha1.StateGranting {
		t.Errorf("deactivated: %s: %s", d.State, d.Message)
	}
}

func TestQuarantined(t *testing.T) {
	s := newScene(t)
	s.Person.Quarantine = "AWSCompromisedKeyQuarantineV3"
	if d := s.decide(); d.State != v1alpha1.StateBlocked || d.Cause != v1alpha1.ReasonQuarantined || !strings.Contains(d.Message, "AWSCompromisedKeyQuarantineV3") {
		t.Errorf("%s (%s): %s", d.State, d.Cause, d.Message)
	}
	s.Person.Quarantine = ""
	s.granted()
	s.Person.Quarantine = "AWSCompromisedKeyQuarantineV3"
	if d := s.decide(); d.State != v1alpha1.StateSuspended || d.Cause != v1alpha1.ReasonQuarantined {
		t.Errorf("live: %s (%s)", d.State, d.Cause)
	}
}

func TestI10UnguardedGroup(t *testing.T) {
	s := newScene(t)
	s.Person.Unguarded = "the IAM group prod-one has no inline policy prod-access-guard"
	if d := s.decide(); d.State != v1alpha1.StateBlocked || d.Cause != v1alpha1.ReasonRoleNotReady || !strings.Contains(d.Message, "prod-access-guard") {
		t.Errorf("%s (%s): %s", d.State, d.Cause, d.Message)
	}
	s.Person.Unguarded = ""
	s.granted()
	s.Person.Unguarded = "the IAM group prod-one has no inline policy prod-access-guard"
	if d := s.decide(); d.State != v1alpha1.StateGranted {
		t.Errorf("what is there stays: %s (%s)", d.State, d.Cause)
	}
}

// The deadline of the fence is on record before the fence is written.
func TestI2FenceIsRecordedFirst(t *testing.T) {
	for name, row := range map[string]struct {
		fences, bounded, fenced bool
	}{
		"fenced": {true, true, true}, "disabled": {false, true, false}, "no boundary": {true, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Fences, s.Person.Bounded = row.fences, row.bounded
			d := s.decide()
			if !d.Record || d.State != v1alpha1.StateGranting || (d.AWS.FencedUntil != nil) != row.fenced {
				t.Fatalf("%s, fenced until %v", d.State, d.AWS.FencedUntil)
			}
			if row.fenced && !d.AWS.FencedUntil.Time.Equal(access.Deadline(s.Grant)) {
				t.Errorf("fenced until %s", d.AWS.FencedUntil)
			}
		})
	}
}

func TestSuspicion(t *testing.T) {
	role := &access.Role{Name: "infra-member", Spec: v1alpha1.AccessRoleSpec{Requirements: v1alpha1.Requirements{
		MaxCredentialAge: &metav1.Duration{Duration: 60 * day}, OnStale: v1alpha1.StaleSuspend}}}
	for name, row := range map[string]struct {
		change func(*access.Sweep, *v1alpha1.ProdAccessGrant, *access.Role)
		want   string
	}{
		"all well":    {func(*access.Sweep, *v1alpha1.ProdAccessGrant, *access.Role) {}, ""},
		"never swept": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) { *s = access.Sweep{} }, ""},
		"no UserId": {func(s *access.Sweep, g *v1alpha1.ProdAccessGrant, _ *access.Role) {
			g.Status.AWS.UserID, s.User = "", nil
		}, ""},
		"gone":        {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) { s.User = nil }, "gone"},
		"renamed":     {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) { s.User.Name = "alicia" }, "renamed"},
		"quarantined": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) { s.User.Quarantine = "V3" }, "quarantined"},
		"another tag": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) {
			s.User.Tags[v1alpha1.KubernetesUsersTag] = "bob"
		}, "Kubernetes username"},
		"no MFA": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) { s.MFA = false }, "MFA"},
		"no report": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) {
			s.MFA, s.Report = false, time.Time{}
		}, ""},
		"an old key": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, _ *access.Role) {
			s.Credentials.Keys[0].Created = moment.Add(-61 * day)
		}, "61 days"},
		"which may be": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, r *access.Role) {
			s.Credentials.Keys[0].Created, r.Spec.Requirements.OnStale = moment.Add(-61*day), v1alpha1.StaleWarn
		}, ""},
		"no such demand": {func(s *access.Sweep, _ *v1alpha1.ProdAccessGrant, r *access.Role) {
			s.Credentials.Keys[0].Created, r.Spec.Requirements.MaxCredentialAge = moment.Add(-61*day), nil
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := *role
			g := &v1alpha1.ProdAccessGrant{Spec: v1alpha1.ProdAccessGrantSpec{Subject: v1alpha1.Subject{IAMUser: "alice"}}}
			g.Status.AWS.UserID, g.Status.Kubernetes.User = "AIDAALICE", "alice@hera.example"
			s := access.Sweep{At: moment, Report: moment, MFA: true,
				User:        &access.User{UserID: "AIDAALICE", Name: "alice", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice@hera.example"}},
				Credentials: access.Credentials{Keys: []access.Key{{ID: "1", Created: moment.Add(-day)}}}}
			row.change(&s, g, &r)
			got := access.Suspicion(g, &r, s, moment)
			if !strings.Contains(got, row.want) || got != "" && row.want == "" {
				t.Errorf("suspicion %q, want %q", got, row.want)
			}
		})
	}
}

func TestWarning(t *testing.T) {
	for age, want := range map[time.Duration]int{
		0: 0, 45*day - time.Second: 0, 45 * day: 1, 55*day - time.Second: 1, 55 * day: 2, 60 * day: 2, 60*day + time.Second: 3,
	} {
		c := access.Credentials{PasswordSince: moment.Add(-day), Keys: []access.Key{{ID: "1", Created: moment.Add(-age)}}}
		if age < day {
			c.PasswordSince = time.Time{}
		}
		if got := c.Warning(60*day, moment); got != want {
			t.Errorf("of a key that is %s old: %d, want %d", age, got, want)
		}
	}
	if (access.Credentials{PasswordSince: moment.Add(-90 * day)}).Warning(0, moment) != 0 {
		t.Error("a warning where every age is allowed")
	}
	if (access.Credentials{PasswordSince: moment.Add(-90 * day), PasswordUnknown: "?"}).Warning(60*day, moment) != 0 {
		t.Error("a warning of what is not known")
	}
}

// A fence that was written for access which was taken back is looked for at the end: nobody else removes it.
func TestFenceOfAccessThatWasTakenBack(t *testing.T) {
	for name, bounded := range map[string]bool{"fenced": true, "not fenced": false} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			s.Fences, s.Person.Bounded = true, bounded
			s.store()
			s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonQuotaExceeded, Message: "AWS allows 10"}
			s.store()
			s.see(false)
			s.store()
			s.Obstacle, s.Person, s.Done = access.Obstacle{}, nil, false
			s.now = access.Deadline(s.Grant)
			if d := s.store(); d.State != v1alpha1.StateExpired || len(d.AWS.Groups) > 0 {
				t.Fatalf("%s with %v", d.State, d.AWS.Groups)
			}
			s.now = s.now.Add(time.Minute)
			if d := s.decide(); (d.Effect == access.EffectVerify) != bounded {
				t.Errorf("a minute after the end: %q", d.Effect)
			}
		})
	}
}
