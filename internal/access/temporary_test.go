// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// withTemporaryUser has an emergency ask for a temporary user.
func withTemporaryUser(b *v1alpha1.BreakGlass) {
	b.Spec.Subject = v1alpha1.Subject{}
	b.Spec.TemporaryUser = &v1alpha1.TemporaryUser{Recipients: []v1alpha1.Recipient{"age1alice"}, AccessKey: v1alpha1.AccessKeyNone}
}

func newTemporary(t *testing.T) *scene {
	t.Helper()
	s := newEmergency(t, withTemporaryUser)
	s.Person = nil
	return s
}

// made is what the engine reports of a temporary user that it has made.
func (s *scene) made() {
	s.Grant.Status.AWS.UserID, s.Grant.Status.AWS.Names = "AIDATEMP", []string{s.Grant.Spec.Subject.IAMUser, "alice"}
}

// asMade is what AWS says of it when all is well.
func (s *scene) asMade() *access.Person {
	return &access.Person{Found: true, Name: s.Grant.Spec.Subject.IAMUser, UserID: "AIDATEMP", MFA: true, Bounded: true}
}

func liveTemporary(s *scene) {
	s.t.Helper()
	granting(s)
	s.made()
	s.see(true)
	s.store()
	s.must(v1alpha1.StateGranted)
	s.next()
}

func TestTemporaryUserName(t *testing.T) {
	for name, want := range map[string]string{
		"alice-inc-7":                         "bg-alice-inc-7-0c9d1a52",
		strings.Repeat("a", 253):              "bg-" + strings.Repeat("a", 52) + "-0c9d1a52",
		strings.Repeat("a", 51) + ".b.c":      "bg-" + strings.Repeat("a", 51) + "-0c9d1a52",
		strings.Repeat("a", 50) + "-." + "bc": "bg-" + strings.Repeat("a", 50) + "-0c9d1a52",
	} {
		if got := access.TemporaryUserName(name, "0c9d1a52-7f3c-4c4e-9d0a-1f0a2b3c4d5e"); got != want || len(got) > 64 {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
	if access.TemporaryUserName("a", "1111111122222222") == access.TemporaryUserName("a", "3333333322222222") {
		t.Error("one name for two objects")
	}
}

// Nothing is given before the user is made, and nothing in Kubernetes at all.
func TestTemporaryUserComesFirst(t *testing.T) {
	s := newTemporary(t)
	d := s.store()
	want{state: v1alpha1.StateGranting, effect: access.EffectMake, message: "is being made"}.check(t, d)
	if got := intentions(d); got != "prod-one prod-two" || !d.Record {
		t.Errorf("calls for %q, record %t", got, d.Record)
	}
	if d.AWS.FencedUntil == nil || !d.AWS.FencedUntil.Time.Equal(access.Deadline(s.Grant)) {
		t.Errorf("fenced until %v", d.AWS.FencedUntil)
	}
	// After a crash nobody has its credentials: another is made.
	want{state: v1alpha1.StateGranting, effect: access.EffectMake}.check(t, s.decide())
	s.made()
	want{state: v1alpha1.StateGranting, effect: access.EffectSync, message: "its credentials are in status.temporaryUser"}.check(t, s.decide())
	s.see(true)
	d = s.store()
	want{state: v1alpha1.StateGranted, none: true, message: "IAM groups prod-one, prod-two"}.check(t, d)
	if !d.Eligible.Yes || len(d.Kubernetes.Bindings) > 0 {
		t.Errorf("eligible %+v, bindings %v", d.Eligible, d.Kubernetes.Bindings)
	}
}

func TestTemporaryUserNeeds(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*scene)
		want  want
	}{
		"a role with IAM groups": {func(s *scene) { s.Role.Spec.AWS = nil },
			want{cause: v1alpha1.ReasonPolicyViolation, message: "the role infra-member has no IAM groups, so that a temporary user could do nothing"}},
		"AWS": {func(s *scene) { s.AWS = false }, want{cause: v1alpha1.ReasonAWSDisabled, message: "--aws=disabled, and makes no temporary users"}},
		"to be switched on": {func(s *scene) {
			s.NoTemporary = access.Obstacle{Reason: v1alpha1.ReasonNoTemporaryUsers, Message: "without --break-glass-boundary-arn"}
		},
			want{cause: v1alpha1.ReasonNoTemporaryUsers, message: "without --break-glass-boundary-arn"}},
		"a role that is ready in AWS": {func(s *scene) { s.Role.NotReady, s.Role.NotReadyInAWS = "the group lacks its guard", true },
			want{cause: v1alpha1.ReasonRoleNotReady, message: "the group lacks its guard"}},
		"a whole guard":             {func(s *scene) { s.Guard.Broken = "a policy is gone" }, want{cause: v1alpha1.ReasonGuardMissing}},
		"an opener who may have it": {func(s *scene) { s.revoke(opener).Status.Names = []string{opener} }, want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked}},
		"to be short enough":        {func(s *scene) { s.Role.Spec.BreakGlass.MaxDuration.Duration -= time.Second }, want{cause: v1alpha1.ReasonPolicyViolation}},
		"what making it does not meet": {func(s *scene) {
			s.store()
			s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonBoundaryNotFound, Message: "no boundary"}
		}, want{state: v1alpha1.StateBlocked, effect: access.EffectRemove, cause: ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTemporary(t)
			want{state: v1alpha1.StateGranting, effect: access.EffectMake}.check(t, s.decide())
			test.spoil(s)
			if test.want.state == "" {
				test.want.state = v1alpha1.StateBlocked
			}
			test.want.none = test.want.effect == ""
			d := s.decide()
			test.want.check(t, d)
			if i := intentions(d); i != "" && i != toRemove {
				t.Errorf("calls for %s", i)
			}
		})
	}
}

// toRemove is what is to go.
const toRemove = "(prod-one) (prod-two)"

// It needs nothing in Kubernetes: not even where the role is bound in namespaces.
func TestTemporaryUserOfRoleInNamespaces(t *testing.T) {
	s := newTemporary(t)
	s.Role.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces
	want{state: v1alpha1.StateGranting, effect: access.EffectMake}.check(t, s.decide())
	liveTemporary(s)
	s.Role.Forbidden = "a rule that nobody may have"
	want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, s.decide())
}

// At any doubt it ends for good; what is not known takes nothing away.
func TestI10TemporaryUserInDoubt(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*access.Person)
		says   string
	}{
		"gone":              {func(p *access.Person) { *p = access.Person{} }, "AWS has none of that name"},
		"another":           {func(p *access.Person) { p.UserID = "AIDAOTHER" }, "AWS has another one of that name"},
		"without MFA":       {func(p *access.Person) { p.MFA = false }, "it has no MFA device"},
		"changed otherwise": {func(p *access.Person) { p.Doubt = "its permissions boundary is another" }, "its permissions boundary is another"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newTemporary(t)
			liveTemporary(s)
			s.Suspicion = access.Suspicion(s.Grant, s.Role, access.Sweep{At: s.now, User: &access.User{}}, s.now)
			want{state: v1alpha1.StateGranted, effect: access.EffectIdentify}.check(t, s.decide())
			s.Person = &access.Person{Unavailable: "Throttling"}
			want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, s.decide())
			s.Person = s.asMade()
			want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, s.decide())
			test.change(s.Person)
			d := s.store()
			want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonTampered, effect: access.EffectRemove, message: test.says}.check(t, d)
			if eligible(s.Grant) != v1alpha1.ReasonTampered || intentions(d) != toRemove {
				t.Errorf("eligible: %s; calls for %q", eligible(s.Grant), intentions(d))
			}
			s.Person = nil
			s.see(false)
			s.store()
			s.must(v1alpha1.StateRevoked)
		})
	}
}

// I5: whoever has opened it is its person: what is revoked is revoked under every name that AWS has told.
func TestI5TemporaryUserOfRevokedOpener(t *testing.T) {
	for name, person := range map[string]string{"the name that opened it": opener, "the IAM user": "alice", "the temporary user": "bg-ledger-down-uid-ledg", "somebody else": "bob"} {
		t.Run(name, func(t *testing.T) {
			s := newTemporary(t)
			liveTemporary(s)
			s.revoke(person)
			w := want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, effect: access.EffectRemove}
			if person == "bob" {
				w = want{state: v1alpha1.StateGranted, effect: access.EffectSync}
			}
			w.check(t, s.decide())
		})
	}
}

// I10: that the operator has given its own user an MFA device says nothing well of whoever opened the emergency.
func TestI10TemporaryUserSpeaksForNobody(t *testing.T) {
	bad := newEmergency(t)
	bad.Person.MFA = false
	bad.store()
	good := newTemporary(t)
	good.now = good.now.Add(time.Minute)
	liveTemporary(good)
	next := newEmergency(t, func(b *v1alpha1.BreakGlass) { b.UID = "next" })
	if o := access.KnownUnfit(next.Grant, []*v1alpha1.ProdAccessGrant{bad.Grant, good.Grant}); o.Reason != v1alpha1.ReasonMFAMissing {
		t.Errorf("known unfit: %q", o.Reason)
	}
}

// I2: a temporary user does not restart the clock of what its opener has opened for the same role and incident, nor the other way round.
func TestI2TemporaryUserSharesTheDeadline(t *testing.T) {
	for name, test := range map[string]struct{ first, second func(*v1alpha1.BreakGlass) }{
		"after an ordinary one":  {nil, withTemporaryUser},
		"before an ordinary one": {withTemporaryUser, nil},
		"after another":          {withTemporaryUser, withTemporaryUser},
	} {
		if until := sharing(t, test.first, test.second); !until.Equal(begin.Add(4 * time.Hour)) {
			t.Errorf("%s: until %s", name, until)
		}
	}
	another := func(b *v1alpha1.BreakGlass) { withTemporaryUser(b); b.Spec.OpenedBy = "carol@hera.example" }
	if until := sharing(t, nil, another); !until.Equal(begin.Add(4*time.Hour + time.Minute)) {
		t.Errorf("another opener: until %s", until)
	}
}

// Nobody can have an ordinary emergency taken for one with a temporary user: the name has a part of the UID, which comes after it.
func TestTemporary(t *testing.T) {
	s := newTemporary(t)
	if !access.Temporary(s.Grant) {
		t.Error("not taken for what it is")
	}
	ordinary := newEmergency(t, func(b *v1alpha1.BreakGlass) { b.Spec.Subject.IAMUser, b.UID = s.Grant.Spec.Subject.IAMUser, "later" })
	grant := s.Grant.DeepCopy()
	grant.Kind = ""
	if access.Temporary(ordinary.Grant) || access.Temporary(grant) {
		t.Error("taken for one with a temporary user")
	}
}

func TestStray(t *testing.T) {
	live, over, ordinary := newTemporary(t), newTemporary(t), newEmergency(t)
	liveTemporary(live)
	over.Grant.UID = "over"
	over.Grant.Spec.Subject.IAMUser = access.TemporaryUserName(over.Grant.Name, over.Grant.UID)
	over.Grant.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: v1alpha1.StateExpired}}
	ordinary.Grant.UID = "ordinary"
	all := []*v1alpha1.ProdAccessGrant{live.Grant, over.Grant, ordinary.Grant}
	for uid, want := range map[types.UID]bool{live.Grant.UID: false, "over": true, "ordinary": true, "gone": true} {
		if got := access.Stray(uid, all); got != want {
			t.Errorf("%s: %t", uid, got)
		}
	}
}
