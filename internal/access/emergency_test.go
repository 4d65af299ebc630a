// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

const opener = "alice@hera.example"

// emergency is alice's, for four hours, opened by herself.
func emergency(name string) *v1alpha1.BreakGlass {
	return &v1alpha1.BreakGlass{
		ObjectMeta: metav1.ObjectMeta{Name: name, UID: types.UID("uid-" + name), Generation: 1, CreationTimestamp: metav1.NewTime(begin)},
		Spec: v1alpha1.BreakGlassSpec{
			Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: opener}, Role: "infra-member", Incident: "INC-7",
			Reason: "the ledger does not answer", Duration: metav1.Duration{Duration: 4 * time.Hour}, OpenedBy: opener,
		},
	}
}

// newEmergency is a scene of an emergency that nothing keeps from being opened, and that nobody has approved.
func newEmergency(t *testing.T, change ...func(*v1alpha1.BreakGlass)) *scene {
	t.Helper()
	s := newScene(t)
	b := emergency("ledger-down")
	for _, c := range change {
		c(b)
	}
	s.Grant, s.Approvals, s.MayApprove, s.Fences = access.FromBreakGlass(b), nil, nil, true
	s.Role.Spec.BreakGlass = &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: 4 * time.Hour}, ReportWithin: metav1.Duration{Duration: 72 * time.Hour}}
	return s
}

// out has AWS given no answer for so long.
func (s *scene) out(since time.Duration) {
	s.Person = &access.Person{Unavailable: "AWS IAM GetUser cannot be reached", UnreachableSince: s.now.Add(-since)}
}

// alice is what AWS says of her when all is well.
func alice() *access.Person {
	return &access.Person{Found: true, Name: "alice", UserID: "AIDAALICE", MFA: true, Bounded: true,
		KubernetesUsers: []string{opener, "alice"}, Memberships: []string{"everybody"}}
}

// openedBlind brings a scene to where only Kubernetes is open, because AWS could not be asked.
func openedBlind(s *scene) {
	s.t.Helper()
	s.out(access.UnreachableFor)
	granted(s)
}

func eligible(g *v1alpha1.ProdAccessGrant) string {
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionEligible); c != nil {
		return c.Reason
	}
	return ""
}

// Whatever stands in the way of an emergency is said, with who can mend it; without that one thing it opens.
func TestEmergencyNeeds(t *testing.T) {
	gap := access.Gap{From: begin.Add(-time.Second), To: begin.Add(time.Second)}
	tests := map[string]struct {
		spoil  func(*scene)
		want   want
		again  time.Duration
		answer string
	}{
		"a role": {func(s *scene) { s.Role = nil },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotFound, message: "ask the platform team for it, or open another BreakGlass"}, 0, ""},
		"a role for emergencies": {func(s *scene) { s.Role.Spec.BreakGlass = nil },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonPolicyViolation, message: "the role infra-member is not opened in emergencies (it has no spec.breakGlass): open another role"}, 0, ""},
		"to be short enough": {func(s *scene) { s.Role.Spec.BreakGlass.MaxDuration.Duration -= time.Second },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonPolicyViolation, message: "would last 4h0m0s, the role infra-member allows 3h59m59s: open another one with a shorter duration"}, 0, ""},
		"no namespaces": {func(s *scene) { s.Grant.Spec.Namespaces = []v1alpha1.NamespaceName{"payments"} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonPolicyViolation, message: "is not bound in namespaces: open another BreakGlass without spec.namespaces"}, 0, ""},
		"namespaces": {func(s *scene) { s.Role.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonPolicyViolation, message: "is bound in namespaces: open another BreakGlass that lists them"}, 0, ""},
		"proof of who opened it": {func(s *scene) { s.Guard.Gaps = []access.Gap{gap} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonUnproven, message: "the emergency was created at 2026-11-23T09:00:00Z, when the admission guard was not known to be whole"}, 0, ""},
		"a guard that was ever whole": {func(s *scene) { s.Guard = access.Guard{Broken: "not verified yet"} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonGuardMissing, message: "not verified yet"}, access.RetryAfter, ""},
		"a whole guard": {func(s *scene) { s.Guard.Broken = "a policy is gone" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonGuardMissing, message: "until the admission guard is whole: a policy is gone"}, access.RetryAfter, ""},
		"an opener who is not revoked": {func(s *scene) { s.Grant.Spec.RequestedBy = "dana"; s.revoke("dana") },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRevoked, message: "dana, who opened it, is revoked (r0): somebody else has to open it"}, 0, ""},
		"an opener who is not revoked under a name that the revocation knows": {func(s *scene) {
			s.Grant.Spec.RequestedBy = "dana"
			s.revoke("d").Status.Names = []string{"DANA"}
		}, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRevoked}, 0, ""},
		"an opener who is not revoked under a name that AWS knows": {func(s *scene) {
			s.Grant.Spec.RequestedBy = "dana"
			s.Person.Directory = access.NewDirectory(access.User{UserID: "AIDADANA", Name: "d", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "dana"}})
			s.revoke("d")
		}, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRevoked}, 0, ""},
		"a subject who is not revoked": {func(s *scene) { s.revoke("alice") },
			want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked, message: "revoked by eve (r0): the laptop was stolen"}, 0, ""},
		"a ClusterRole that may be bound": {func(s *scene) { s.Role.Forbidden, s.Role.NotReady = "the rule x", "the rule x" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotReady, message: "the role infra-member is not ready: the rule x"}, 0, ""},
		"a role that is ready": {func(s *scene) { s.Role.NotReady = "the operator may not bind it" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotReady, message: "the operator may not bind it"}, 0, ""},
		"a role that is ready in AWS": {func(s *scene) { s.Role.NotReady, s.Role.NotReadyInAWS = "the group lacks its guard", true },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotReady, message: "the group lacks its guard"}, 0, ""},
		"groups with their guard": {func(s *scene) { s.Person.Unguarded = "prod-one lacks its guard" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotReady, message: "prod-one lacks its guard"}, access.RetryAfter, v1alpha1.ReasonEligible},
		"an MFA device": {func(s *scene) { s.Person.MFA = false },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonMFAMissing, message: "alice must register one (https://docs.aws.amazon.com/"}, access.RetryAfter, v1alpha1.ReasonMFAMissing},
		"an IAM user": {func(s *scene) { s.Person = &access.Person{} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonUserNotFound, message: "AWS has no IAM user alice: open another BreakGlass"}, access.RetryAfter, v1alpha1.ReasonUserNotFound},
		"the IAM user of that name": {func(s *scene) { s.Person.Name = "Alice" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonIdentityMismatch, message: "is spelled Alice"}, access.RetryAfter, v1alpha1.ReasonIdentityMismatch},
		"a username of the IAM user": {func(s *scene) { s.Person.KubernetesUsers = []string{"alice"} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonIdentityMismatch, message: "is not one of the Kubernetes usernames"}, access.RetryAfter, v1alpha1.ReasonIdentityMismatch},
		"no quarantine": {func(s *scene) { s.Person.Quarantine = "AWSCompromisedKeyQuarantineV3" },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonQuarantined, message: "access key was found in public"}, access.RetryAfter, v1alpha1.ReasonQuarantined},
		"room in the IAM user, without Kubernetes": {
			func(s *scene) { s.Role.Spec.Kubernetes, s.Person.Memberships = nil, strings.Split("abcdefghi", "") },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonQuotaExceeded, message: "is in 9 IAM groups already"}, access.RetryAfter, v1alpha1.ReasonEligible,
		},
		"an answer of AWS": {func(s *scene) { s.Person = &access.Person{Unavailable: "AWS IAM GetUser answered Throttling"} },
			want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonAWSUnavailable, message: "AWS IAM GetUser answered Throttling"}, access.RetryAfter, v1alpha1.ReasonAWSUnavailable},
		"time": {func(s *scene) { s.now = begin.Add(4 * time.Hour) },
			want{state: v1alpha1.StateExpired, cause: v1alpha1.ReasonDeadline, message: "without access having been granted"}, 0, ""},
		"to be there": {(*scene).delete,
			want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonDeleted, effect: access.EffectRelease, message: "the emergency was deleted"}, 0, ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			if strings.Contains(name, "opener") {
				s.Grant.Spec.RequestedBy = "dana"
			}
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
			test.spoil(s)
			test.want.none = test.want.effect == ""
			d := s.decide()
			test.want.check(t, d)
			if d.RecheckAfter != test.again || d.Eligible.Reason != test.answer {
				t.Errorf("looks again after %s, eligible %q; want %s, %q", d.RecheckAfter, d.Eligible.Reason, test.again, test.answer)
			}
			if i := intentions(d); i != "" {
				t.Errorf("calls for %s", i)
			}
		})
	}
}

// What keeps a grant away does not keep anybody out of an emergency.
func TestEmergencyDoesNotNeed(t *testing.T) {
	month := &metav1.Duration{Duration: 30 * 24 * time.Hour}
	tests := map[string]struct {
		spoil func(*scene)
		grant string // the cause that blocks a grant
		gives string
	}{
		"a trail that can be written": {func(s *scene) { s.AuditBroken = "the disk is full" }, v1alpha1.ReasonAuditUnavailable, "binding: prod-one prod-two"},
		"young credentials": {func(s *scene) {
			s.Role.Spec.Requirements = v1alpha1.Requirements{MaxCredentialAge: month, OnStale: v1alpha1.StaleDeactivate}
			s.Person.Credentials = access.Credentials{Keys: []access.Key{{ID: "AKIAOLD", Created: begin.Add(-2 * month.Duration)}}}
		}, v1alpha1.ReasonCredentialsStale, "binding: prod-one prod-two"},
		"a password of known age": {func(s *scene) {
			s.Role.Spec.Requirements = v1alpha1.Requirements{MaxCredentialAge: month, OnStale: v1alpha1.StaleSuspend}
			s.Person.Credentials = access.Credentials{PasswordSince: begin.Add(-2 * month.Duration), PasswordUnknown: "there is no report yet"}
		}, v1alpha1.ReasonAWSUnavailable, "binding: prod-one prod-two"},
		"a membership of its own": {func(s *scene) { s.Person.Memberships, s.Person.Foreign = []string{"prod-one"}, []string{"PROD-ONE"} },
			v1alpha1.ReasonForeignMembership, "binding: prod-two"},
		"room in the IAM user": {func(s *scene) { s.Person.Memberships = strings.Split("abcdefghi", "") }, v1alpha1.ReasonQuotaExceeded, "binding: prod-one prod-two"},
		"any membership of its own": {func(s *scene) {
			s.Person.Memberships, s.Person.Foreign = []string{"prod-one", "prod-two"}, []string{"prod-one", "prod-two"}
		}, v1alpha1.ReasonForeignMembership, "binding:"},
		"any membership of its own, without Kubernetes": {func(s *scene) {
			s.Role.Spec.Kubernetes = nil
			s.Person.Memberships, s.Person.Foreign = []string{"prod-one"}, []string{"prod-one"}
		}, v1alpha1.ReasonForeignMembership, "prod-two"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			test.spoil(s)
			d := s.decide()
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
			if i := intentions(d); i != test.gives {
				t.Errorf("calls for %q, want %q", i, test.gives)
			}
			twin := newScene(t)
			test.spoil(twin)
			twin.approveAnew()
			want{state: v1alpha1.StateBlocked, cause: test.grant}.check(t, twin.decide())
		})
	}
	t.Run("but something to give", func(t *testing.T) {
		s := newEmergency(t)
		s.Role.Spec.Kubernetes = nil
		s.Person.Memberships, s.Person.Foreign = []string{"prod-one", "prod-two"}, []string{"prod-one", "prod-two"}
		want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonForeignMembership, message: "already in the IAM group prod-one, prod-two"}.check(t, s.decide())
	})
}

// Credentials that are too old are spoken of.
func TestEmergencyWarnsOfOldCredentials(t *testing.T) {
	s := newEmergency(t)
	s.Role.Spec.Requirements = v1alpha1.Requirements{MaxCredentialAge: &metav1.Duration{Duration: 24 * time.Hour}, OnStale: v1alpha1.StaleSuspend}
	s.Person.Credentials.Keys = []access.Key{{ID: "AKIAOLD", Created: begin.Add(-72 * time.Hour)}}
	if d := s.decide(); !d.Eligible.Yes || !strings.Contains(d.Eligible.Message, "the access key AKIAOLD is 3 days old, and the role infra-member allows 24 hours") {
		t.Errorf("eligible: %+v", d.Eligible)
	}
	granted(s)
	want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, s.decide())
}

// With a device, a moment later, the same emergency opens.
func TestEmergencyAfterEnrolment(t *testing.T) {
	s := newEmergency(t)
	blocked(s)
	granted(s)
	if i := intentions(s.decide()); i != "binding: prod-one prod-two" {
		t.Errorf("calls for %q", i)
	}
}

// A lifted revocation of whoever opened it is none.
func TestEmergencyOfLiftedOpener(t *testing.T) {
	s := newEmergency(t)
	s.Grant.Spec.RequestedBy = "dana"
	r := s.revoke("dana")
	s.store()
	s.must(v1alpha1.StateBlocked)
	r.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLifted, Status: metav1.ConditionTrue, Reason: v1alpha1.ReasonLifted}}
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
}

// I10: AWS that gives no answer for 30 seconds opens Kubernetes, for whoever opened it alone, and nothing else opens it.
func TestI10UnreachableOpensKubernetesAlone(t *testing.T) {
	iamUserOnly := func(b *v1alpha1.BreakGlass) { b.Spec.Subject.KubernetesUser, b.Spec.OpenedBy = "", "ALICE" }
	tests := map[string]struct {
		glass   func(*v1alpha1.BreakGlass)
		change  func(*scene)
		opens   string // whom
		message string
	}{
		"30 seconds":                 {nil, nil, opener, ""},
		"an hour":                    {nil, func(s *scene) { s.out(time.Hour) }, opener, ""},
		"a nanosecond less":          {nil, func(s *scene) { s.out(access.UnreachableFor - 1) }, "", "if AWS stays unreachable, Kubernetes alone is opened at 2026-11-23T09:10:01Z"},
		"29 seconds":                 {nil, func(s *scene) { s.out(29 * time.Second) }, "", "if AWS stays unreachable, Kubernetes alone is opened at 2026-11-23T09:10:02Z"},
		"since later than now":       {nil, func(s *scene) { s.out(-time.Hour) }, "", "if AWS stays unreachable"},
		"throttled":                  {nil, func(s *scene) { s.Person.UnreachableSince = time.Time{} }, "", "the IAM user alice cannot be verified, so nothing is granted"},
		"for somebody else":          {func(b *v1alpha1.BreakGlass) { b.Spec.OpenedBy = "dana" }, nil, "", "opened for nobody but dana, who opened it: name their own username in spec.subject.kubernetesUser"},
		"in another case":            {func(b *v1alpha1.BreakGlass) { b.Spec.OpenedBy = "Alice@hera.example" }, nil, "", "opened for nobody but Alice@hera.example"},
		"by the name of an IAM user": {iamUserOnly, nil, "ALICE", ""},
		"by the ARN of an IAM user": {func(b *v1alpha1.BreakGlass) {
			b.Spec.Subject.KubernetesUser, b.Spec.OpenedBy = "", "arn:aws:iam::111122223333:user/ops/alice"
		}, nil, "arn:aws:iam::111122223333:user/ops/alice", ""},
		"by another IAM user":         {func(b *v1alpha1.BreakGlass) { b.Spec.Subject.KubernetesUser = "" }, nil, "", "opened for nobody but alice@hera.example"},
		"without Kubernetes":          {nil, func(s *scene) { s.Role.Spec.Kubernetes = nil }, "", "the role has no Kubernetes side that could be opened without AWS"},
		"a role not ready in AWS":     {nil, func(s *scene) { s.Role.NotReady, s.Role.NotReadyInAWS = "AWS cannot be reached", true }, opener, ""},
		"a role not ready":            {nil, func(s *scene) { s.Role.NotReady = "it may not be bound" }, "", "it may not be bound"},
		"a forbidden rule":            {nil, func(s *scene) { s.Role.Forbidden, s.Role.NotReadyInAWS = "the rule x", true }, "", "the rule x"},
		"a broken trail":              {nil, func(s *scene) { s.AuditBroken = "the disk is full" }, opener, ""},
		"a broken guard":              {nil, func(s *scene) { s.Guard.Broken = "a policy is gone" }, "", "a policy is gone"},
		"nobody proved who opened it": {nil, func(s *scene) { s.Guard.Since = begin.Add(time.Second) }, "", "nobody has proven who asks"},
		"revoked":                     {nil, func(s *scene) { s.revoke("x").Status.Names = []string{opener} }, "", "revoked by eve"},
		"at the deadline":             {nil, func(s *scene) { s.now = begin.Add(4 * time.Hour); s.out(time.Hour) }, "", "the window ended"},
		"a second role for no such":   {nil, func(s *scene) { s.Role.Spec.BreakGlass = nil }, "", "is not opened in emergencies"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			var change []func(*v1alpha1.BreakGlass)
			if test.glass != nil {
				change = append(change, test.glass)
			}
			s := newEmergency(t, change...)
			s.out(access.UnreachableFor)
			if test.change != nil {
				test.change(s)
			}
			d := s.decide()
			if test.opens == "" {
				if d.Effect == access.EffectSync || intentions(d) != "" || !strings.Contains(d.Message, test.message) {
					t.Errorf("%s, effect %q, calls for %q: %q, want %q", d.State, d.Effect, intentions(d), d.Message, test.message)
				}
				return
			}
			want{state: v1alpha1.StateGranting, effect: access.EffectSync, message: "MFA unverified: AWS cannot be reached"}.check(t, d)
			if !d.Record || d.Eligible.Yes || d.Eligible.Reason != v1alpha1.ReasonMFAUnverified {
				t.Errorf("record %t, eligible %+v", d.Record, d.Eligible)
			}
			if intentions(d) != "binding:" || d.Kubernetes.User != test.opens || d.AWS.UserID != "" || d.AWS.FencedUntil != nil {
				t.Errorf("calls for %q as %s, UserId %q, fence %v", intentions(d), d.Kubernetes.User, d.AWS.UserID, d.AWS.FencedUntil)
			}
		})
	}
}

// A grant never opens without AWS.
func TestI10UnreachableOpensNoGrant(t *testing.T) {
	s := newScene(t)
	s.Grant.Spec.RequestedBy = "alice@hera.example"
	s.approveAnew()
	s.out(time.Hour)
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonAWSUnavailable, none: true}.check(t, s.decide())
}

// While it waits it asks often enough to be in time, and says when that is; the second that it names is not too early.
func TestUnreachableIsAskedAgain(t *testing.T) {
	s := newEmergency(t)
	since := s.now
	s.out(0)
	d := s.store()
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonAWSUnavailable}.check(t, d)
	if d.RecheckAfter <= 0 || d.RecheckAfter > 5*time.Second {
		t.Errorf("asks again after %s", d.RecheckAfter)
	}
	message := d.Message
	s.now = s.now.Add(20 * time.Second)
	s.Person.UnreachableSince = since
	if d = s.store(); d.Message != message {
		t.Errorf("says %q, and then %q: each look would be a write", message, d.Message)
	}
	s.now = since.Add(31 * time.Second)
	granted(s)
	if r := eligible(s.Grant); r != v1alpha1.ReasonMFAUnverified {
		t.Errorf("eligible: %s", r)
	}
}

// What becomes of an emergency that was opened blind when AWS says something.
func TestI10Verified(t *testing.T) {
	tests := map[string]struct {
		change func(*scene)
		want   want
		gives  string
		answer string
	}{
		"nobody has asked":      {func(s *scene) { s.Person = nil }, want{state: v1alpha1.StateGranted, effect: access.EffectIdentify}, "binding:", ""},
		"still unreachable":     {func(s *scene) { s.out(time.Hour) }, want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "; MFA unverified"}, "binding:", v1alpha1.ReasonMFAUnverified},
		"throttled":             {func(s *scene) { s.Person = &access.Person{Unavailable: "Throttling"} }, want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "; MFA unverified"}, "binding:", v1alpha1.ReasonMFAUnverified},
		"a device":              {func(*scene) {}, want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "access until 2026-11-23T13:00:00Z: ClusterRole prod-access-infra-member"}, "binding: prod-one prod-two", v1alpha1.ReasonEligible},
		"no device":             {func(s *scene) { s.Person.MFA = false }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonMFAMissing, effect: access.EffectRemove, message: "MFA was unverified when Kubernetes was opened, and now AWS answers: the IAM user alice has no MFA device"}, "(binding:)", v1alpha1.ReasonMFAMissing},
		"somebody else's name":  {func(s *scene) { s.Person.KubernetesUsers = []string{"alice"} }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonIdentityMismatch, effect: access.EffectRemove}, "(binding:)", v1alpha1.ReasonIdentityMismatch},
		"no IAM user":           {func(s *scene) { s.Person = &access.Person{} }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonUserNotFound, effect: access.EffectRemove}, "(binding:)", v1alpha1.ReasonUserNotFound},
		"a quarantine":          {func(s *scene) { s.Person.Quarantine = "AWSCompromisedKeyQuarantineV3" }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonQuarantined, effect: access.EffectRemove}, "(binding:)", v1alpha1.ReasonQuarantined},
		"revoked by that name":  {func(s *scene) { s.Person.KubernetesUsers = append(s.Person.KubernetesUsers, "al"); s.revoke("al") }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, effect: access.EffectRemove}, "(binding:)", ""},
		"a role not ready":      {func(s *scene) { s.Role.NotReady, s.Role.NotReadyInAWS = "the group lacks its guard", true }, want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "AWS does not follow yet: the role infra-member is not ready: the group lacks its guard"}, "binding:", v1alpha1.ReasonEligible},
		"no guard on a group":   {func(s *scene) { s.Person.Unguarded = "prod-one lacks its guard" }, want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "AWS does not follow yet"}, "binding:", v1alpha1.ReasonEligible},
		"no room":               {func(s *scene) { s.Person.Memberships = strings.Split("abcdefghi", "") }, want{state: v1alpha1.StateGranted, effect: access.EffectSync}, "binding: prod-one prod-two", v1alpha1.ReasonEligible},
		"a foreign membership":  {func(s *scene) { s.Person.Foreign = []string{"prod-one"} }, want{state: v1alpha1.StateGranted, effect: access.EffectSync}, "binding: prod-two", v1alpha1.ReasonEligible},
		"at the deadline":       {func(s *scene) { s.now = begin.Add(4 * time.Hour) }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline, effect: access.EffectRemove}, "(binding:)", ""},
		"deleted":               {(*scene).delete, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeleted, effect: access.EffectRemove}, "(binding:)", ""},
		"somebody took it away": {func(s *scene) { s.TakenAway = "the ClusterRoleBinding x" }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, effect: access.EffectRemove}, "(binding:)", ""},
		"a forbidden rule":      {func(s *scene) { s.Role.Forbidden = "the rule x" }, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonRoleNotReady, effect: access.EffectRemove}, "binding:", ""},
		"no role":               {func(s *scene) { s.Role = nil }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRoleChanged, effect: access.EffectRemove}, "(binding:)", ""},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			openedBlind(s)
			s.Person = alice()
			test.change(s)
			d := s.decide()
			test.want.check(t, d)
			if intentions(d) != test.gives || d.Eligible.Reason != test.answer {
				t.Errorf("calls for %q, eligible %q; want %q, %q", intentions(d), d.Eligible.Reason, test.gives, test.answer)
			}
		})
	}
}

// The AWS side that follows is stored before it is made, behind a fence, and ends with everything else.
func TestI2AWSFollowsUntilTheDeadline(t *testing.T) {
	s := newEmergency(t)
	openedBlind(s)
	s.Person = alice()
	d := s.store()
	if !d.Record || d.AWS.UserID != "AIDAALICE" || d.AWS.FencedUntil == nil || !d.AWS.FencedUntil.Time.Equal(begin.Add(4*time.Hour)) {
		t.Fatalf("record %t, UserId %q, fence %v", d.Record, d.AWS.UserID, d.AWS.FencedUntil)
	}
	s.see(true)
	s.store()
	s.next()
	s.Person = nil
	if d = s.decide(); d.Effect != access.EffectSync || d.RecheckAfter != 0 || strings.Contains(d.Message, "unverified") {
		t.Errorf("once verified: effect %q, again after %s: %s", d.Effect, d.RecheckAfter, d.Message)
	}
	s.now = begin.Add(4 * time.Hour)
	if d = s.decide(); intentions(d) != "(binding:) (prod-one) (prod-two)" {
		t.Errorf("at the deadline: %q", intentions(d))
	}
}

// A person who turns out to have no device is out for good, also if they register one while it is taken away.
func TestI3UnfitStaysEnded(t *testing.T) {
	s := newEmergency(t)
	openedBlind(s)
	s.Person = alice()
	s.Person.MFA = false
	if d := s.store(); !d.Record {
		t.Fatal("not stored before it is taken away")
	}
	message := s.decide().Message
	for _, p := range []*access.Person{nil, alice()} {
		s.Person = p
		want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonMFAMissing, effect: access.EffectRemove, message: message}.check(t, s.decide())
	}
	s.see(false)
	want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonMFAMissing, message: message}.check(t, s.store())
	s.next()
	want{state: v1alpha1.StateRevoked, none: true}.check(t, s.decide())
}

// AWS that answers while Kubernetes is being written is heard at once.
func TestAnswerWhileGranting(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*scene)
		want   want
	}{
		"all is well":       {func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		"no answer yet":     {func(s *scene) { s.Person = nil }, want{state: v1alpha1.StateGranting, effect: access.EffectSync, message: "MFA unverified"}},
		"throttled":         {func(s *scene) { s.Person = &access.Person{Unavailable: "Throttling"} }, want{state: v1alpha1.StateGranting, effect: access.EffectSync, message: "MFA unverified"}},
		"no device":         {func(s *scene) { s.Person.MFA = false }, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonMFAMissing, effect: access.EffectRemove}},
		"somebody else":     {func(s *scene) { s.Person.KubernetesUsers = nil }, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonIdentityMismatch, effect: access.EffectRemove}},
		"a broken guard":    {func(s *scene) { s.Guard.Broken = "gone" }, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonGuardMissing, effect: access.EffectRemove}},
		"the deadline":      {func(s *scene) { s.now = begin.Add(4 * time.Hour) }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline, effect: access.EffectRemove}},
		"taken away":        {func(s *scene) { s.TakenAway = "x" }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, effect: access.EffectRemove}},
		"the opener is out": {func(s *scene) { s.revoke(opener) }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, effect: access.EffectRemove}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			s.out(time.Minute)
			granting(s)
			s.Person = alice()
			test.change(s)
			d := s.decide()
			test.want.check(t, d)
			if strings.Contains(intentions(d), "prod-one") {
				t.Errorf("calls for %s", intentions(d))
			}
		})
	}
}

// A process that starts while AWS gives no answer knows from the status alone what was opened blind.
func TestBlindSurvivesARestart(t *testing.T) {
	s := newEmergency(t)
	s.out(time.Minute)
	granting(s)
	s.Person = nil
	s.see(true)
	s.store()
	s.must(v1alpha1.StateGranted)
	s.next()
	want{state: v1alpha1.StateGranted, effect: access.EffectIdentify}.check(t, s.decide())
	if d := s.decide(); d.Record {
		t.Error("a look that has nothing new to say is stored")
	}
	s.out(0) // as far as the new process knows
	d := s.store()
	want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "; MFA unverified"}.check(t, d)
	s.now = s.now.Add(time.Hour)
	if again := s.decide(); again.Message != d.Message || again.Eligible != d.Eligible || again.RecheckAfter == 0 {
		t.Errorf("each look says something else: %q, %q; again after %s", d.Message, again.Message, again.RecheckAfter)
	}
}

// A forbidden rule suspends, whether the person is verified or not; what comes back is what was there, and nobody comes
// back whom AWS cannot tell of.
func TestEmergencySuspendedByRule(t *testing.T) {
	for name, test := range map[string]struct {
		reach  func(*scene)
		person *access.Person
		back   string // what comes back
		then   string // and what follows
	}{
		"verified":           {granted, alice(), "binding: prod-one prod-two", "binding: prod-one prod-two"},
		"unverified":         {openedBlind, alice(), "binding:", "binding: prod-one prod-two"},
		"still not verified": {openedBlind, &access.Person{Unavailable: "Throttling"}, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			test.reach(s)
			s.Role.Forbidden = "the rule x"
			s.store()
			s.must(v1alpha1.StateSuspended)
			s.see(false)
			s.store()
			s.next()
			s.Role.Forbidden, s.Person = "", nil
			want{state: v1alpha1.StateSuspended, effect: access.EffectIdentify}.check(t, s.decide())
			s.Person = test.person
			d := s.store()
			if test.back == "" {
				want{state: v1alpha1.StateSuspended, none: true}.check(t, d)
				if d.RecheckAfter == 0 {
					t.Error("nobody asks again")
				}
				return
			}
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
			if i := intentions(d); i != test.back {
				t.Errorf("back comes %q, want %q", i, test.back)
			}
			s.see(true)
			s.store()
			s.must(v1alpha1.StateGranted)
			s.next()
			if i := intentions(s.decide()); i != test.then {
				t.Errorf("then %q, want %q", i, test.then)
			}
		})
	}
}

// sharing is the deadline of an emergency, made a minute after another one of four hours; change is for either.
func sharing(t *testing.T, first func(*v1alpha1.BreakGlass), change func(*v1alpha1.BreakGlass)) time.Time {
	t.Helper()
	other, b := emergency("first"), emergency("second")
	b.CreationTimestamp = metav1.NewTime(begin.Add(time.Minute))
	other.Status.ActivatedAt = &metav1.Time{Time: begin.Add(time.Second)}
	other.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: v1alpha1.StateGranted}}
	if first != nil {
		first(other)
	}
	if change != nil {
		change(b)
	}
	g := access.FromBreakGlass(b)
	access.ShareDeadline(g, []*v1alpha1.ProdAccessGrant{access.FromBreakGlass(b), access.FromBreakGlass(other)}, b.CreationTimestamp.Time)
	return g.Spec.ExpiresAt.Time
}

// I2: opening the same emergency once more does not restart the clock, under whatever names.
func TestI2SharedDeadline(t *testing.T) {
	shared, own := begin.Add(4*time.Hour), begin.Add(4*time.Hour+time.Minute)
	state := func(state string, activated bool) func(*v1alpha1.BreakGlass) {
		return func(b *v1alpha1.BreakGlass) {
			b.Status.Conditions[0].Reason = state
			if !activated {
				b.Status.ActivatedAt = nil
			}
			if state == "" {
				b.Status.Conditions = nil
			}
		}
	}
	begun := func(b *v1alpha1.BreakGlass) {
		state(v1alpha1.StateGranting, false)(b)
		b.Status.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Name: "x", Intended: true}}
	}
	tests := map[string]struct {
		first, change func(*v1alpha1.BreakGlass)
		want          time.Time
	}{
		"the same":                     {nil, nil, shared},
		"the incident in another case": {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Incident = " inc-7\t" }, shared},
		"another incident":             {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Incident = "INC-77" }, own},
		"another role":                 {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Role = "infra-manager" }, own},
		"another subject":              {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Subject = v1alpha1.Subject{IAMUser: "bob", KubernetesUser: "bob"} }, own},
		"another opener":               {nil, func(b *v1alpha1.BreakGlass) { b.Spec.OpenedBy = "dana" }, shared},
		"another reason":               {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Reason = "it still does not answer" }, shared},
		"the IAM user alone":           {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Subject.KubernetesUser = "" }, shared},
		"the IAM user in another case": {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Subject = v1alpha1.Subject{IAMUser: "ALICE"} }, shared},
		"another username":             {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Subject.KubernetesUser = "alice" }, shared},
		"a name that only AWS knew":    {func(b *v1alpha1.BreakGlass) { b.Status.AWS.Names = []string{"al"} }, func(b *v1alpha1.BreakGlass) { b.Spec.Subject = v1alpha1.Subject{KubernetesUser: "al"} }, shared},
		"an ARN": {nil, func(b *v1alpha1.BreakGlass) {
			b.Spec.Subject = v1alpha1.Subject{KubernetesUser: "arn:aws:iam::111122223333:user/alice"}
		}, shared},
		"shorter":                       {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Hour }, begin.Add(time.Hour + time.Minute)},
		"over":                          {state(v1alpha1.StateExpired, true), nil, shared},
		"revoked":                       {state(v1alpha1.StateRevoked, true), nil, shared},
		"suspended":                     {state(v1alpha1.StateSuspended, true), nil, shared},
		"over, and never active":        {state(v1alpha1.StateExpired, false), nil, own},
		"revoked, and never active":     {state(v1alpha1.StateRevoked, false), nil, own},
		"blocked":                       {state(v1alpha1.StateBlocked, false), nil, own},
		"being written":                 {begun, nil, shared},
		"both new":                      {state("", false), nil, own},
		"both new, and opened after":    {state("", false), func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(-time.Minute)) }, begin.Add(4*time.Hour - time.Minute)},
		"stored with an earlier end":    {func(b *v1alpha1.BreakGlass) { b.Status.ExpiresAt = &metav1.Time{Time: begin.Add(time.Hour)} }, nil, begin.Add(time.Hour)},
		"which begins before its clock": {nil, func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(9 * time.Hour)) }, shared},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			if got := sharing(t, test.first, test.change); !got.Equal(test.want) {
				t.Errorf("ends at %s, want %s", got, test.want)
			}
		})
	}
}

// Of two of which nothing is known yet the one that was opened later waits for the other, but not for ever; of two of the
// same second it is the one that ends later.
func TestSecondWaitsForTheFirst(t *testing.T) {
	known := func(b *v1alpha1.BreakGlass) {
		b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: v1alpha1.StateBlocked}}
	}
	tests := map[string]struct {
		first, second func(*v1alpha1.BreakGlass)
		after         time.Duration
		waits         [2]bool
	}{
		"a minute later":         {nil, func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(time.Minute)) }, time.Minute, [2]bool{false, true}},
		"at once, and longer":    {func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Hour }, nil, time.Second, [2]bool{false, true}},
		"at once, and shorter":   {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Hour }, time.Second, [2]bool{true, false}},
		"for another incident":   {nil, func(b *v1alpha1.BreakGlass) { b.Spec.Incident, b.Spec.Duration.Duration = "INC-8", time.Hour }, time.Second, [2]bool{}},
		"the first is known":     {known, func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(time.Minute)) }, time.Minute, [2]bool{}},
		"the first is over":      {func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Minute }, func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(time.Minute)) }, time.Minute, [2]bool{}},
		"it has waited too long": {nil, func(b *v1alpha1.BreakGlass) { b.CreationTimestamp = metav1.NewTime(begin.Add(time.Minute)) }, 90 * time.Second, [2]bool{}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			all := []*v1alpha1.BreakGlass{emergency("a"), emergency("b")}
			for i, change := range []func(*v1alpha1.BreakGlass){test.first, test.second} {
				if change != nil {
					change(all[i])
				}
			}
			for i, b := range all {
				others := []*v1alpha1.ProdAccessGrant{access.FromBreakGlass(all[0]), access.FromBreakGlass(all[1])}
				if waits := access.ShareDeadline(access.FromBreakGlass(b), others, begin.Add(test.after)); waits != test.waits[i] {
					t.Errorf("%s waits: %v", b.Name, waits)
				}
			}
		})
	}
}

// A second one that is shorter changes nothing for the first; nor does it restart the clock for a third.
func TestI2FirstKeepsItsDeadline(t *testing.T) {
	first, second, third := emergency("first"), emergency("second"), emergency("third")
	second.CreationTimestamp, second.Spec.Duration.Duration = metav1.NewTime(begin.Add(time.Minute)), time.Minute
	third.CreationTimestamp = metav1.NewTime(begin.Add(time.Hour))
	for _, b := range []*v1alpha1.BreakGlass{first, second} {
		b.Status.ActivatedAt = &metav1.Time{Time: b.CreationTimestamp.Time}
	}
	for _, b := range []*v1alpha1.BreakGlass{first, third} {
		g := access.FromBreakGlass(b)
		access.ShareDeadline(g, []*v1alpha1.ProdAccessGrant{access.FromBreakGlass(third), access.FromBreakGlass(second), access.FromBreakGlass(first)}, begin)
		if !g.Spec.ExpiresAt.Time.Equal(begin.Add(4 * time.Hour)) {
			t.Errorf("the %s ends at %s", b.Name, g.Spec.ExpiresAt)
		}
	}
}

// A second one after the end of the first ends at once, and says that it is another incident, or none.
func TestI3SecondAfterTheEnd(t *testing.T) {
	first, second := emergency("first"), emergency("second")
	first.Status.ActivatedAt = &metav1.Time{Time: begin}
	second.CreationTimestamp = metav1.NewTime(begin.Add(5 * time.Hour))
	s := newEmergency(t)
	s.now = begin.Add(5*time.Hour + time.Second)
	s.Grant = access.FromBreakGlass(second)
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	access.ShareDeadline(s.Grant, []*v1alpha1.ProdAccessGrant{access.FromBreakGlass(first)}, s.now)
	d := s.store()
	want{state: v1alpha1.StateExpired, cause: v1alpha1.ReasonDeadline, none: true,
		message: "ended at 2026-11-23T13:00:00Z, and opening it once more does not restart the clock: if access is needed again, that is another incident"}.check(t, d)
	if e := s.Grant.Status.ExpiresAt; e == nil || !e.Time.Equal(begin.Add(4*time.Hour)) {
		t.Errorf("expires at %v", e)
	}
	s.now = begin // the clock is set back
	if access.Deadline(s.Grant).After(begin.Add(4 * time.Hour)) {
		t.Error("the deadline moves later")
	}
	want{state: v1alpha1.StateExpired, none: true}.check(t, s.decide())
}

// The deadline that was shared stays when the object that it was shared with is gone.
func TestI2SharedDeadlineStays(t *testing.T) {
	first, second := emergency("first"), emergency("second")
	first.Status.ActivatedAt = &metav1.Time{Time: begin}
	second.CreationTimestamp = metav1.NewTime(begin.Add(time.Hour))
	s := newEmergency(t)
	s.now = begin.Add(time.Hour)
	s.Grant = access.FromBreakGlass(second)
	access.ShareDeadline(s.Grant, []*v1alpha1.ProdAccessGrant{access.FromBreakGlass(first)}, s.now)
	granted(s)
	access.IntoBreakGlass(s.Grant, second)
	s.Grant = access.FromBreakGlass(second) // nobody speaks of the first any more
	s.now = begin.Add(4 * time.Hour)
	want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline}.check(t, s.decide())
}

// I3: the memory of an emergency that gave access outlives its object and its deadline; of one that gave nothing there is none.
func TestI3EmergencyIsRemembered(t *testing.T) {
	for name, test := range map[string]struct {
		reach    func(*scene)
		at       time.Duration
		remember bool
	}{
		"ended":                         {ended, time.Hour, true},
		"ended, after the deadline":     {ended, 100 * time.Hour, true},
		"expired":                       {expired, 100 * time.Hour, true},
		"suspended":                     {suspended, time.Hour, true},
		"never active":                  {blocked, time.Hour, false},
		"new":                           {func(*scene) {}, time.Hour, false},
		"never active, over":            {func(s *scene) { blocked(s); s.now = begin.Add(4 * time.Hour); s.store() }, 100 * time.Hour, false},
		"revoked before it opened":      {func(s *scene) { s.revoke("alice"); s.store(); s.Revocations = nil }, time.Hour, false},
		"ended, and remembered already": {func(s *scene) { ended(s); remember(s) }, time.Hour, false},
		"ended, and that was lifted": {func(s *scene) {
			ended(s)
			remember(s)
			s.Revocations[0].Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionLifted, Status: metav1.ConditionTrue}}
		}, time.Hour, true},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			test.reach(s)
			s.now = begin.Add(test.at)
			s.delete()
			d := s.decide()
			if d.Effect == access.EffectVerify {
				s.Done = true
				d = s.decide()
			}
			if d.Effect != access.EffectRelease || d.Remember != test.remember {
				t.Errorf("%s, effect %q, remember %t, want %t", d.State, d.Effect, d.Remember, test.remember)
			}
		})
	}
}

// expired brings a scene to after the deadline of access that was given.
func expired(s *scene) {
	s.t.Helper()
	granted(s)
	s.now = begin.Add(4 * time.Hour)
	s.store()
	s.see(false)
	s.store()
	s.must(v1alpha1.StateExpired)
	s.next()
}

// remember adds the revocation by which the same manifest is ended whenever it is applied again.
func remember(s *scene) {
	s.Revocations = append(s.Revocations, v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: "memory"}, Spec: v1alpha1.AccessRevocationSpec{
		Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: s.Grant.Name, SpecDigest: s.Grant.Status.SpecDigest}, RevokedBy: "operator",
	}})
}

// I3: the same manifest again is revoked, with a report or without; under another name, or for a grant of that name, it is not.
func TestI3SameManifestAgain(t *testing.T) {
	for name, test := range map[string]struct {
		change func(*v1alpha1.BreakGlass)
		again  bool
	}{
		"the same": {func(*v1alpha1.BreakGlass) {}, true},
		"with a report": {func(b *v1alpha1.BreakGlass) {
			b.Spec.Report = &v1alpha1.EmergencyReport{Summary: "x", WrittenBy: "alice"}
		}, true},
		"under another name":  {func(b *v1alpha1.BreakGlass) { b.Name = "another" }, false},
		"for another reason":  {func(b *v1alpha1.BreakGlass) { b.Spec.Reason = "it does not answer again" }, false},
		"for a shorter while": {func(b *v1alpha1.BreakGlass) { b.Spec.Duration.Duration = time.Hour }, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			remember(s)
			b := emergency("ledger-down")
			b.UID, b.CreationTimestamp = "another", metav1.NewTime(begin.Add(time.Minute))
			test.change(b)
			s.Grant = access.FromBreakGlass(b)
			if d := s.decide(); (d.State == v1alpha1.StateRevoked) != test.again {
				t.Errorf("%s: %s", d.State, d.Message)
			}
		})
	}
	s := newScene(t)
	s.Revocations = []v1alpha1.AccessRevocation{{Spec: v1alpha1.AccessRevocationSpec{
		Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: s.Grant.Name, SpecDigest: access.SpecDigest(&s.Grant.Spec)},
	}}}
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
}

// I3: what has ended has ended, whatever anybody does to it or around it.
func TestI3EndedEmergencyStaysEnded(t *testing.T) {
	for name, tempt := range map[string]func(*scene){
		"AWS gives no answer":   func(s *scene) { s.out(time.Hour) },
		"time goes back":        func(s *scene) { s.now = begin },
		"a longer duration":     func(s *scene) { s.Grant.Spec.ExpiresAt = metav1.NewTime(begin.Add(100 * time.Hour)) },
		"no revocation":         func(s *scene) { s.Revocations = nil },
		"somebody took it away": func(s *scene) { s.TakenAway = "x" },
		"all was seen":          func(s *scene) { s.Done = true },
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			ended(s)
			tempt(s)
			if d := s.decide(); d.State != v1alpha1.StateRevoked || d.Effect == access.EffectSync || intentions(d) != "" {
				t.Errorf("%s, effect %q, calls for %q", d.State, d.Effect, intentions(d))
			}
		})
	}
}

// I5: a revocation of exactly this emergency ends it, and one of a grant of the same name does not.
func TestI5EmergencyRevoked(t *testing.T) {
	s := newEmergency(t)
	granted(s)
	remember(s)
	of := s.Revocations[0].Spec.Grant
	of.Kind = v1alpha1.TargetGrant
	want{state: v1alpha1.StateGranted}.check(t, s.decide())
	of.Kind = v1alpha1.TargetBreakGlass
	want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, effect: access.EffectRemove}.check(t, s.decide())
}

// I5: what somebody took away is not given back, and the whole emergency ends, remembered.
func TestI5EmergencyTakenAway(t *testing.T) {
	s := newEmergency(t)
	granted(s)
	s.TakenAway = "the ClusterRoleBinding x"
	d := s.decide()
	want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, message: "so the whole emergency ends: open another BreakGlass"}.check(t, d)
	if !d.Remember || !d.Record {
		t.Errorf("remember %t, record %t", d.Remember, d.Record)
	}
}

// An approval is nothing to an emergency, and neither is a rejection.
func TestI1EmergencyHearsNoApprovals(t *testing.T) {
	s := newEmergency(t)
	s.MayApprove = func(string, []string) bool { return true }
	for _, decision := range []v1alpha1.ApprovalDecision{v1alpha1.DecisionApprove, v1alpha1.DecisionReject} {
		a := s.approve("bob")
		a.Spec.Target.Kind, a.Spec.Decision = v1alpha1.TargetBreakGlass, decision
	}
	d := s.store()
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
	if len(d.Approvals) > 0 || meta.FindStatusCondition(s.Grant.Status.Conditions, v1alpha1.ConditionApproved) != nil {
		t.Errorf("approvals %v, conditions %v", d.Approvals, s.Grant.Status.Conditions)
	}
}

// I1: a role that comes to give more gives no more to a live emergency; one that gives less takes it away.
func TestI1LiveEmergencyIsNotWidened(t *testing.T) {
	for name, reach := range map[string]func(*scene){"verified": granted, "opened blind": openedBlind} {
		s := newEmergency(t)
		reach(s)
		before := intentions(s.decide())
		s.Role.Spec.BreakGlass = nil // checked when it is opened
		s.Role.Spec.AWS.Groups = append(s.Role.Spec.AWS.Groups, "prod-three")
		if i := intentions(s.decide()); i != before {
			t.Errorf("%s: calls for %q, and before for %q", name, i, before)
		}
		s.Role.Spec.Kubernetes.ClusterRole = "another"
		if i := intentions(s.decide()); !strings.Contains(i, "(binding:)") {
			t.Errorf("%s: still bound: %q", name, i)
		}
	}
}

// The form that is worked on shares nothing with the object, and nothing gets lost on the way there and back.
func TestBreakGlassAsGrant(t *testing.T) {
	b := emergency("ledger-down")
	b.Spec.Report = &v1alpha1.EmergencyReport{Summary: "the disk was full", WrittenBy: "alice"}
	b.Spec.Namespaces = []v1alpha1.NamespaceName{"payments"}
	b.Status.Facts.Bound, b.Status.ReportDigest = []string{"x"}, "sha256:x"
	g := access.FromBreakGlass(b)
	if !access.Emergency(g) || access.KindOf(g) != v1alpha1.TargetBreakGlass || g.APIVersion != v1alpha1.SchemeGroupVersion.String() {
		t.Errorf("%s %s", g.APIVersion, g.Kind)
	}
	g.Spec.Namespaces[0] = "billing"
	g.Finalizers = append(g.Finalizers, "x")
	if b.Spec.Namespaces[0] != "payments" || len(b.Finalizers) > 0 {
		t.Error("they share memory")
	}
	d := access.Decision{State: v1alpha1.StateGranted, SpecDigest: g.Status.SpecDigest, AWS: v1alpha1.GrantAWSStatus{UserID: "AIDAALICE"}}
	status.Grant(g, &d, status.Notes{}, moment)
	access.IntoBreakGlass(g, b)
	again := access.FromBreakGlass(b)
	if b.Status.ActivatedAt == nil || b.Status.AWS.UserID != "AIDAALICE" || access.StateOf(again) != v1alpha1.StateGranted || !slices.Equal(b.Finalizers, []string{"x"}) {
		t.Errorf("it came back as %+v", b.Status)
	}
	if b.Spec.Report == nil || b.Status.ReportDigest != "sha256:x" || len(b.Status.Facts.Bound) != 1 {
		t.Error("what the form does not know was lost")
	}
	if again.Status.SpecDigest != g.Status.SpecDigest {
		t.Error("the digest changed")
	}
	b.Spec.Report = nil
	if access.FromBreakGlass(b).Status.SpecDigest != g.Status.SpecDigest {
		t.Error("the report is part of what was opened")
	}
	b.Spec.Incident = "INC-8"
	if access.FromBreakGlass(b).Status.SpecDigest == g.Status.SpecDigest {
		t.Error("the incident is no part of what was opened")
	}
}

// unfit has a process learn what is known against the person, as it does before it decides.
func (s *scene) unfit(others ...*v1alpha1.ProdAccessGrant) {
	s.Unfit = access.KnownUnfit(s.Grant, others)
}

// I10: what AWS has said against a person stays known when it gives no answer any more, until it says something else.
func TestI10KnownBadStaysKnown(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		v1alpha1.ReasonMFAMissing:       func(s *scene) { s.Person.MFA = false },
		v1alpha1.ReasonQuarantined:      func(s *scene) { s.Person.Quarantine = "AWSCompromisedKeyQuarantineV3" },
		v1alpha1.ReasonIdentityMismatch: func(s *scene) { s.Person.KubernetesUsers = []string{"alice"} },
		v1alpha1.ReasonUserNotFound:     func(s *scene) { s.Person = &access.Person{} },
	} {
		t.Run(name, func(t *testing.T) {
			s := newEmergency(t)
			spoil(s)
			s.store()
			s.must(v1alpha1.StateBlocked)
			for _, since := range []time.Duration{0, time.Minute, time.Hour} {
				s.out(since)
				s.unfit()
				d := s.store()
				want{state: v1alpha1.StateBlocked, cause: name, none: true}.check(t, d)
				if intentions(d) != "" || eligible(s.Grant) != name {
					t.Errorf("eligible: %s, calls for %q", eligible(s.Grant), intentions(d))
				}
			}
			again := newEmergency(t, func(b *v1alpha1.BreakGlass) { b.UID = "again" })
			again.out(time.Minute)
			again.unfit(s.Grant)
			want{state: v1alpha1.StateBlocked, cause: name, none: true}.check(t, again.decide())
			s.Person = alice()
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
		})
	}
}

// What stands in the way of a binding is said while AWS is away as well, and what was begun is taken back.
func TestConflictWhileUnreachable(t *testing.T) {
	s := newEmergency(t)
	s.out(time.Minute)
	granting(s)
	inTheWay := access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "in the way"}
	s.Obstacle = inTheWay
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, message: "in the way", effect: access.EffectRemove}.check(t, s.store())
	s.see(false)
	s.store()
	s.must(v1alpha1.StateBlocked)
	s.next()
	s.Obstacle = inTheWay
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, none: true}.check(t, s.decide())
	s.next()
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
}

// I10: AWS follows only while the guard is whole.
func TestI10AWSFollowsBehindAGuard(t *testing.T) {
	s := newEmergency(t)
	openedBlind(s)
	s.Person, s.Guard.Broken = alice(), "a policy is gone"
	d := s.decide()
	want{state: v1alpha1.StateGranted, effect: access.EffectSync, message: "AWS does not follow yet: nothing new is granted until the admission guard is whole: a policy is gone"}.check(t, d)
	if i := intentions(d); i != "binding:" {
		t.Errorf("calls for %q", i)
	}
	s.Guard.Broken = ""
	if i := intentions(s.decide()); i != "binding: prod-one prod-two" {
		t.Errorf("calls for %q", i)
	}
}

// Opened blind, taken away by a rule, and then known to have no device: that is the end of it.
func TestI10UnfitWhileSuspended(t *testing.T) {
	for _, reach := range []func(*scene){openedBlind, granted} {
		s := newEmergency(t)
		reach(s)
		verified := s.Grant.Status.AWS.UserID != ""
		s.Role.Forbidden = "the rule x"
		s.store()
		s.see(false)
		s.store()
		s.next()
		s.must(v1alpha1.StateSuspended)
		s.Role.Forbidden, s.Person = "", alice()
		s.Person.MFA = false
		if d := s.decide(); (d.State == v1alpha1.StateRevoked) == verified || d.Cause != v1alpha1.ReasonMFAMissing {
			t.Errorf("verified before: %t; %s (%s)", verified, d.State, d.Cause)
		}
	}
}

// Kubernetes does not wait for AWS that goes away once it has said who the person is.
func TestAWSGoesAwayWhileGranting(t *testing.T) {
	s := newEmergency(t)
	granting(s)
	for _, p := range []*access.Person{{Unavailable: "Throttling"}, {Unavailable: "silence", UnreachableSince: begin}} {
		s.Person = p
		s.Role.NotReady, s.Role.NotReadyInAWS = "AWS cannot be asked", true
		d := s.store()
		want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
		if intentions(d) != "binding: prod-one prod-two" || eligible(s.Grant) != v1alpha1.ReasonEligible {
			t.Errorf("calls for %q, eligible %s", intentions(d), eligible(s.Grant))
		}
	}
}

// I10: an outage that begins with errors and ends in silence makes nobody forget what AWS has said.
func TestI10KnownBadStaysKnownThroughErrors(t *testing.T) {
	s := newEmergency(t)
	s.Person.MFA = false
	s.store()
	for _, p := range []*access.Person{{Unavailable: "Throttling"}, {Unavailable: "silence", UnreachableSince: s.now.Add(-time.Minute)}} {
		s.Person = p
		s.unfit()
		d := s.store()
		want{state: v1alpha1.StateBlocked, none: true}.check(t, d)
		if intentions(d) != "" || eligible(s.Grant) != v1alpha1.ReasonMFAMissing {
			t.Errorf("eligible: %s, calls for %q", eligible(s.Grant), intentions(d))
		}
	}
}

// A typo keeps nobody out of the next one: who nobody is, and whose a name is not, says nothing of the person who is named rightly.
func TestVerdictOfAnotherPair(t *testing.T) {
	for name, test := range map[string]struct {
		subject v1alpha1.Subject
		person  *access.Person
	}{
		"a typo in the IAM user":      {v1alpha1.Subject{IAMUser: "alic", KubernetesUser: opener}, &access.Person{}},
		"a typo in the username":      {v1alpha1.Subject{IAMUser: "alice", KubernetesUser: "alise@hera.example"}, alice()},
		"somebody else with her name": {v1alpha1.Subject{IAMUser: "bob", KubernetesUser: opener}, &access.Person{Found: true, Name: "bob", UserID: "AIDABOB", MFA: true, KubernetesUsers: []string{"bob"}}},
	} {
		t.Run(name, func(t *testing.T) {
			wrong := newEmergency(t, func(b *v1alpha1.BreakGlass) { b.UID, b.Spec.Subject = "wrong", test.subject })
			wrong.Person = test.person
			wrong.store()
			wrong.must(v1alpha1.StateBlocked)
			s := newEmergency(t)
			s.out(time.Minute)
			s.unfit(wrong.Grant)
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
		})
	}
}

// So it is said once the person is known.
func TestConflictWhileAWSIsAway(t *testing.T) {
	s := newEmergency(t)
	granting(s)
	s.Person = &access.Person{Unavailable: "Throttling"}
	s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "in the way"}
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, effect: access.EffectRemove}.check(t, s.decide())
	s.Person = alice()
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, effect: access.EffectRemove}.check(t, s.decide())
}

// drawn has something happen to a scene of an emergency.
func drawn(r *rapid.T, s *scene) {
	switch rapid.IntRange(0, 15).Draw(r, "what") {
	case 0:
		s.now = s.now.Add(time.Duration(rapid.IntRange(1, 120).Draw(r, "minutes")) * time.Minute)
	case 1:
		s.now = s.now.Add(-time.Duration(rapid.IntRange(1, 60).Draw(r, "minutes back")) * time.Minute)
	case 2:
		s.Person = nil
	case 3:
		s.Person = alice()
	case 4:
		s.Person = alice()
		s.Person.MFA = false
	case 5:
		s.Person = alice()
		s.Person.UserID = "AIDAANOTHER"
	case 6:
		s.Person = &access.Person{Unavailable: "Throttling"}
	case 7, 8:
		s.out(time.Duration(rapid.IntRange(0, 60).Draw(r, "seconds")) * time.Second)
	case 9:
		s.Guard.Broken = rapid.SampledFrom([]string{"", "a policy is gone"}).Draw(r, "guard")
	case 10:
		s.Role.Forbidden = rapid.SampledFrom([]string{"", "", "the rule x"}).Draw(r, "rule")
	case 11:
		s.Role.NotReady, s.Role.NotReadyInAWS = rapid.SampledFrom([]string{"", "", "not ready"}).Draw(r, "ready"), rapid.Bool().Draw(r, "in AWS")
	case 12:
		if rapid.IntRange(0, 4).Draw(r, "revoked") == 0 {
			s.revoke("alice")
		}
	case 13:
		if rapid.IntRange(0, 4).Draw(r, "deleted") == 0 {
			s.delete()
		}
	case 14:
		if rapid.IntRange(0, 4).Draw(r, "taken") == 0 {
			s.TakenAway = "the ClusterRoleBinding x"
		}
	default:
		s.AuditBroken = rapid.SampledFrom([]string{"", "the disk is full"}).Draw(r, "trail")
	}
}

// carriedOut is what a process does with a decision: sometimes it dies before that.
func carriedOut(r *rapid.T, s *scene, d access.Decision) {
	if rapid.IntRange(0, 3).Draw(r, "dies") == 0 {
		return
	}
	switch d.Effect {
	case access.EffectSync:
		s.see(true)
	case access.EffectRemove, access.EffectVerify:
		s.see(false)
	case access.EffectNone, access.EffectMake, access.EffectIdentify, access.EffectDeactivate, access.EffectRelease:
	}
}

// Whatever happens in whatever order: an emergency is never active after its deadline, which never moves later; what has
// ended stays ended; nothing of AWS is called for as long as nobody has verified the person, and Kubernetes for nobody but
// who opened it; and nothing is called for while AWS says that the person has no MFA device, or is another.
func TestI1I2I3I10EmergencyHistories(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		s := newEmergency(t)
		s.Fences = rapid.Bool().Draw(r, "fences")
		over, deadline := "", begin.Add(4*time.Hour)
		for range rapid.IntRange(1, 40).Draw(r, "steps") {
			drawn(r, s)
			s.unfit()
			d := s.decide()
			calls := intentions(d)
			unverified := d.AWS.UserID == ""
			switch {
			case over != "" && d.State != over:
				r.Fatalf("I3: %s, and then %s: %s", over, d.State, d.Message)
			case !s.now.Before(deadline) && d.State != v1alpha1.StateRevoking && !access.Terminal(d.State):
				r.Fatalf("I2: %s at %s: %s", d.State, s.now, d.Message)
			case (access.Terminal(d.State) || d.State == v1alpha1.StateRevoking || d.State == v1alpha1.StateBlocked) && d.Effect == access.EffectSync:
				r.Fatalf("%s, and calls for %s", d.State, calls)
			case unverified && (strings.Contains(calls, "prod-") || d.AWS.FencedUntil != nil):
				r.Fatalf("I10: unverified, and calls for %s, fence %v", calls, d.AWS.FencedUntil)
			case unverified && strings.Contains(calls, "binding:") && d.Kubernetes.User != opener:
				r.Fatalf("I10: unverified, and bound as %s", d.Kubernetes.User)
			case d.Effect == access.EffectSync && s.Person != nil && s.Person.Found && !s.Person.MFA:
				r.Fatalf("I10: AWS says there is no MFA device, and the effect is Sync: %s", calls)
			case d.Effect == access.EffectSync && s.Person != nil && s.Person.Found && !unverified && s.Person.UserID != d.AWS.UserID:
				r.Fatalf("I10: AWS says that it is another, and the effect is Sync: %s", calls)
			case d.Effect == access.EffectSync && d.State == v1alpha1.StateGranting && d.Record && s.Guard.Broken != "":
				r.Fatalf("I10: the guard is broken, and access is written: %s", calls)
			case d.State != v1alpha1.StateRevoking && !access.Terminal(d.State) && (d.WakeAt.IsZero() || d.WakeAt.After(deadline)):
				r.Fatalf("I2: %s, and wakes at %s", d.State, d.WakeAt)
			}
			status.Grant(s.Grant, &d, status.Notes{}, s.now)
			if end := s.Grant.Status.ExpiresAt.Time; end.After(deadline) {
				r.Fatalf("I2: the deadline moves to %s", end)
			}
			s.next()
			if access.Terminal(d.State) {
				over = d.State
			}
			carriedOut(r, s, d)
		}
	})
}

// I10: what AWS said well of somebody does not speak for another who types that name for an IAM user of their own while AWS is away.
func TestI10GoodWordOfAnother(t *testing.T) {
	object := func(subject v1alpha1.Subject, reason string, at time.Time) *v1alpha1.ProdAccessGrant {
		b := emergency(reason + at.String())
		b.Spec.Subject, b.Spec.OpenedBy = subject, "mallory"
		status := metav1.ConditionFalse
		if reason == v1alpha1.ReasonEligible {
			status = metav1.ConditionTrue
		}
		b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionEligible, Status: status, Reason: reason, LastTransitionTime: metav1.NewTime(at)}}
		return access.FromBreakGlass(b)
	}
	own := v1alpha1.Subject{IAMUser: "mallory", KubernetesUser: "mallory"}
	bad := object(own, v1alpha1.ReasonMFAMissing, begin)
	typed := object(v1alpha1.Subject{IAMUser: "alice", KubernetesUser: "mallory"}, v1alpha1.ReasonNotChecked, begin.Add(time.Hour))
	for name, test := range map[string]struct {
		later v1alpha1.Subject
		unfit string
	}{
		"another's":   {v1alpha1.Subject{IAMUser: "alice"}, v1alpha1.ReasonMFAMissing},
		"their own":   {own, ""},
		"by one name": {v1alpha1.Subject{IAMUser: "mallory"}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			good := object(test.later, v1alpha1.ReasonEligible, begin.Add(time.Minute))
			if o := access.KnownUnfit(typed, []*v1alpha1.ProdAccessGrant{bad, good}); o.Reason != test.unfit {
				t.Errorf("known unfit: %q, want %q", o.Reason, test.unfit)
			}
		})
	}
}
