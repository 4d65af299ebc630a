// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// everyState brings a scene to each state.
var everyState = map[string]func(*scene){
	"new":                         func(*scene) {},
	v1alpha1.StatePendingApproval: pending,
	v1alpha1.StateScheduled:       scheduled,
	v1alpha1.StateBlocked:         blocked,
	"Blocked after half of it":    takenBack,
	v1alpha1.StateGranting:        granting,
	v1alpha1.StateGranted:         granted,
	v1alpha1.StateSuspended:       suspended,
	"Granting again":              comingBack,
	v1alpha1.StateRevoking:        revoking,
	v1alpha1.StateRevoked:         ended,
	v1alpha1.StateExpired: func(s *scene) {
		granted(s)
		s.now = begin.Add(4 * time.Hour)
		s.see(false)
		s.Grant.Status.AWS.Groups[0].Intended, s.Grant.Status.AWS.Groups[1].Intended, s.Grant.Status.Kubernetes.Bindings[0].Intended = false, false, false
		s.store()
		s.must(v1alpha1.StateExpired)
		s.next()
	},
	v1alpha1.StateRejected: func(s *scene) {
		s.reject("erin")
		s.store()
		s.must(v1alpha1.StateRejected)
	},
}

// TestStateTable walks every arrow of the state table.
func TestStateTable(t *testing.T) {
	deadline := func(s *scene) { s.now = begin.Add(4 * time.Hour) }
	loseDevice := func(s *scene) { s.Person.MFA = false }
	loseRole := func(s *scene) { s.Role = nil }
	removed := func(s *scene) { s.see(false) }
	rejected := func(s *scene) { s.reject("erin").Spec.Comment = "not during the sale" }
	tests := []struct {
		from   string
		when   string
		change func(*scene)
		want   want
	}{
		{"new", "one approval of two", func(s *scene) { s.Approvals = s.Approvals[:1] }, want{state: v1alpha1.StatePendingApproval, message: "1 of 2 approvals", none: true}},
		{"new", "the window has not begun", scheduled, want{state: v1alpha1.StateScheduled, message: "the window begins at 2026-11-23T10:10:00Z", none: true}},
		{"new", "no role", loseRole, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotFound, message: "there is no AccessRole infra-member", none: true}},
		{"new", "all is well", func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{"new", "a past window", deadline, want{state: v1alpha1.StateExpired, cause: v1alpha1.ReasonDeadline, message: "without access having been granted", none: true}},
		{v1alpha1.StatePendingApproval, "approved", func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{v1alpha1.StatePendingApproval, "approved early", scheduled, want{state: v1alpha1.StateScheduled, none: true}},
		{v1alpha1.StatePendingApproval, "approved without a device", loseDevice, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonMFAMissing, none: true}},
		{v1alpha1.StatePendingApproval, "rejected", rejected, want{state: v1alpha1.StateRejected, message: "erin rejected it (a2): not during the sale", none: true}},
		{v1alpha1.StatePendingApproval, "deadline", deadline, want{state: v1alpha1.StateExpired, none: true}},
		{v1alpha1.StatePendingApproval, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}},
		{v1alpha1.StateScheduled, "the window begins", func(s *scene) { s.now = s.Grant.Spec.NotBefore.Time }, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{v1alpha1.StateScheduled, "approvals are voided", func(s *scene) { s.Role.RulesHash = "sha256:two" }, want{state: v1alpha1.StatePendingApproval, message: "approve again what the role gives now", none: true}},
		{v1alpha1.StateScheduled, "due without a device", func(s *scene) { s.now = s.Grant.Spec.NotBefore.Time; loseDevice(s) }, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonMFAMissing, none: true}},
		{v1alpha1.StateScheduled, "rejected", rejected, want{state: v1alpha1.StateRejected, none: true}},
		{v1alpha1.StateScheduled, "deadline", deadline, want{state: v1alpha1.StateExpired, none: true}},
		{v1alpha1.StateScheduled, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}},
		{v1alpha1.StateBlocked, "mended", func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{v1alpha1.StateBlocked, "approvals are voided", func(s *scene) { s.Role.RulesHash = "sha256:two" }, want{state: v1alpha1.StatePendingApproval, none: true}},
		{v1alpha1.StateBlocked, "rejected", rejected, want{state: v1alpha1.StateRejected, none: true}},
		{v1alpha1.StateBlocked, "rejected without a role", func(s *scene) { rejected(s); loseRole(s) }, want{state: v1alpha1.StateRejected, none: true}},
		{v1alpha1.StateBlocked, "rejected while it violates the role", func(s *scene) { rejected(s); s.Role.Spec.Incident = v1alpha1.IncidentRequired }, want{state: v1alpha1.StateRejected, none: true}},
		{v1alpha1.StateBlocked, "deadline", deadline, want{state: v1alpha1.StateExpired, none: true}},
		{v1alpha1.StateBlocked, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}},
		{"Blocked after half of it", "mended", func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{"Blocked after half of it", "rejected", rejected, want{state: v1alpha1.StateRejected, none: true}},
		{"Blocked after half of it", "deadline", deadline, want{state: v1alpha1.StateExpired, none: true}},
		{"Blocked after half of it", "deleted", (*scene).delete, want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}},
		{v1alpha1.StateGranting, "not yet there", func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
		{v1alpha1.StateGranting, "all seen", func(s *scene) { s.see(true) }, want{state: v1alpha1.StateGranted, message: "access until 2026-11-23T13:00:00Z: IAM groups prod-one, prod-two; ClusterRole prod-access-infra-member in the cluster as alice@hera.example", none: true}},
		{v1alpha1.StateGranting, "an obstacle", func(s *scene) { s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "in the way"} }, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, message: "in the way", effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "approvals are voided", func(s *scene) { s.Role.RulesHash = "sha256:two" }, want{state: v1alpha1.StateBlocked, effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "rejected", rejected, want{state: v1alpha1.StateBlocked, message: "erin rejected it", effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "no role", loseRole, want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotFound, effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "AWS cannot be asked", func(s *scene) { s.Person = &access.Person{Unavailable: "timeout"} }, want{state: v1alpha1.StateGranting, cause: v1alpha1.ReasonAWSUnavailable, none: true}},
		{v1alpha1.StateGranting, "somebody takes it away", func(s *scene) { s.TakenAway = "the ClusterRoleBinding x" }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, message: "somebody took the ClusterRoleBinding x away", effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "deadline", deadline, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline, effect: access.EffectRemove}},
		{v1alpha1.StateGranting, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeleted, effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "nothing changes", func(*scene) {}, want{state: v1alpha1.StateGranted, effect: access.EffectSync}},
		{v1alpha1.StateGranted, "known-bad", loseDevice, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonMFAMissing, message: "no MFA device", effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "a forbidden rule", func(s *scene) { s.Role.Forbidden = "the rule x" }, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonRoleNotReady, message: "until the platform team mends the role infra-member: the rule x", effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "no role", loseRole, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRoleChanged, message: "no longer names anything", effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "somebody takes it away", func(s *scene) { s.TakenAway = "the ClusterRoleBinding x" }, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "deadline", deadline, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline, message: "access ended at the deadline, 2026-11-23T13:00:00Z", effect: access.EffectRemove}},
		{v1alpha1.StateGranted, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeleted, message: "the grant was deleted", effect: access.EffectRemove}},
		{v1alpha1.StateSuspended, "found again", func(*scene) {}, want{state: v1alpha1.StateGranting, message: "given back", effect: access.EffectSync}},
		{v1alpha1.StateSuspended, "still lost", loseDevice, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonMFAMissing, none: true}},
		{v1alpha1.StateSuspended, "not asked yet", func(s *scene) { s.Person = nil }, want{state: v1alpha1.StateSuspended, effect: access.EffectIdentify}},
		{v1alpha1.StateSuspended, "no role", loseRole, want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRoleChanged, none: true}},
		{v1alpha1.StateSuspended, "deadline", deadline, want{state: v1alpha1.StateExpired, message: "access ended at the deadline", none: true}},
		{v1alpha1.StateSuspended, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}},
		{"Granting again", "all seen", func(s *scene) { s.see(true) }, want{state: v1alpha1.StateGranted, none: true}},
		{"Granting again", "lost again", loseDevice, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonMFAMissing, effect: access.EffectRemove}},
		{"Granting again", "an obstacle", func(s *scene) { s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "in the way"} }, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonConflict, effect: access.EffectRemove}},
		{"Granting again", "no role", loseRole, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRoleChanged, effect: access.EffectRemove}},
		{"Granting again", "deadline", deadline, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonDeadline, effect: access.EffectRemove}},
		{v1alpha1.StateRevoking, "not yet gone", func(*scene) {}, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, effect: access.EffectRemove}},
		{v1alpha1.StateRevoking, "gone", removed, want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRemovedByOthers, message: "somebody took the ClusterRoleBinding x away", none: true}},
		{v1alpha1.StateRevoking, "gone after the deadline", func(s *scene) { removed(s); deadline(s) }, want{state: v1alpha1.StateRevoked, none: true}},
		{v1alpha1.StateRevoking, "deleted", (*scene).delete, want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, effect: access.EffectRemove}},
	}
	for _, test := range tests {
		t.Run(test.from+" "+test.when, func(t *testing.T) {
			s := newScene(t)
			everyState[test.from](s)
			test.change(s)
			test.want.check(t, s.decide())
		})
	}
}

// What is decided against a passed deadline ends as Expired, even if the object is deleted before all is gone.
func TestDecidedEndStays(t *testing.T) {
	s := newScene(t)
	granted(s)
	s.now = begin.Add(4 * time.Hour)
	s.store() // the removal failed, and that was stored
	s.must(v1alpha1.StateRevoking)
	s.delete()
	s.see(false)
	want{state: v1alpha1.StateExpired, message: "access ended at the deadline"}.check(t, s.decide())
}

// Every cause that can go away again is stored before anything is taken away, and the decision survives its cause.
func TestI3RevocationSurvivesItsCause(t *testing.T) {
	for name, spoil := range map[string]func(*scene){
		v1alpha1.ReasonRoleChanged:     func(s *scene) { s.Role.Spec.AWS, s.Role.Spec.Kubernetes = nil, nil },
		v1alpha1.ReasonRemovedByOthers: func(s *scene) { s.TakenAway = "the ClusterRoleBinding x" },
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			granted(s)
			whole := *s.Role
			spoil(s)
			d := s.store()
			if !d.Record || d.Effect != access.EffectRemove {
				t.Fatalf("record %v, effect %q", d.Record, d.Effect)
			}
			s.next()
			s.Role = &whole
			want{state: v1alpha1.StateRevoking, cause: name, effect: access.EffectRemove}.check(t, s.decide())
			s.see(false)
			want{state: v1alpha1.StateRevoked, cause: name}.check(t, s.decide())
		})
	}
}

// An end that stays true by itself costs no write before the removal.
func TestDeadlineAndDeletionAreNotRecordedFirst(t *testing.T) {
	for name, end := range map[string]func(*scene){
		"deadline": func(s *scene) { s.now = begin.Add(4 * time.Hour) },
		"deleted":  (*scene).delete,
	} {
		s := newScene(t)
		granted(s)
		end(s)
		if d := s.decide(); d.Record || d.Effect != access.EffectRemove {
			t.Errorf("%s: record %v, effect %q", name, d.Record, d.Effect)
		}
	}
}

func TestI3TerminalStatesAbsorb(t *testing.T) {
	tempt := map[string]func(*scene){
		"nothing":               func(*scene) {},
		"more approvals":        func(s *scene) { s.approve("erin", "frank") },
		"another role":          func(s *scene) { s.Role.RulesHash = "sha256:two"; s.approveAnew() },
		"no role":               func(s *scene) { s.Role = nil },
		"time goes back":        func(s *scene) { s.now = begin },
		"the deadline passes":   func(s *scene) { s.now = begin.Add(5 * time.Hour) },
		"a stored later end":    func(s *scene) { s.Grant.Status.ExpiresAt = new(metav1.NewTime(begin.Add(100 * time.Hour))) },
		"somebody took it away": func(s *scene) { s.TakenAway = "x" },
		"deleted":               (*scene).delete,
	}
	for _, state := range []string{v1alpha1.StateRevoked, v1alpha1.StateExpired, v1alpha1.StateRejected} {
		for name, change := range tempt {
			t.Run(state+" "+name, func(t *testing.T) {
				s := newScene(t)
				everyState[state](s)
				message := s.decide().Message
				change(s)
				d := s.decide()
				if d.State != state || d.Effect == access.EffectSync || d.Message != message {
					t.Errorf("%s: %s, effect %q", d.State, d.Message, d.Effect)
				}
				if i := intentions(d); i != "" {
					t.Errorf("calls for %s", i)
				}
			})
		}
	}
}

// A terminal object on whose account something may exist, whatever put it there, is cleaned.
func TestI3TerminalHoldsNothing(t *testing.T) {
	s := newScene(t)
	ended(s)
	s.Grant.Status.AWS.Groups[0].Observed = true
	want{state: v1alpha1.StateRevoked, effect: access.EffectRemove}.check(t, s.decide())
	s.see(false)
	want{state: v1alpha1.StateRevoked, none: true}.check(t, s.decide())
}

// A write that was in flight at the end is looked for once more when it must be over, and a deleted object is kept so long.
func TestAbsenceIsVerifiedOnceMore(t *testing.T) {
	s := newScene(t)
	revoking(s)
	s.see(false)
	s.now = s.now.Add(900 * time.Millisecond) // endedAt is in whole seconds, rounded down
	d := s.store()
	s.must(v1alpha1.StateRevoked)
	s.next()
	s.delete()
	if over := s.now.Add(access.CallTimeout); d.WakeAt.Before(over) {
		t.Errorf("looks again at %s, when a write can be on its way until %s", d.WakeAt, over)
	}
	end := s.now
	s.now = end.Add(access.CallTimeout)
	if d := s.decide(); d.Effect != access.EffectNone || !d.WakeAt.After(s.now) {
		t.Errorf("a call timeout after the end: %q, wakes at %s", d.Effect, d.WakeAt)
	}
	s.now = d.WakeAt
	want{effect: access.EffectVerify}.check(t, s.decide())
	s.Done = true
	want{effect: access.EffectRelease}.check(t, s.decide())
	s.Grant.DeletionTimestamp = nil
	want{none: true}.check(t, s.decide())
	s.Done = false
	want{effect: access.EffectVerify}.check(t, s.decide())
	s.now = end.Add(time.Hour) // nothing can be on its way any more
	if d := s.decide(); d.Effect != access.EffectNone || !d.WakeAt.IsZero() {
		t.Errorf("long after the end: %q, wakes at %s", d.Effect, d.WakeAt)
	}
	s.delete()
	want{effect: access.EffectRelease}.check(t, s.decide())
}

// What was gone before the end came is not looked for afterwards: what is there then is somebody else's.
func TestI9NothingIsLookedForThatWasGoneBefore(t *testing.T) {
	tests := map[string]struct {
		reach func(*scene)
		left  string
	}{
		"suspended":            {suspended, ""},
		"half of it, and back": {takenBack, ""},
		"dropped by the role": {func(s *scene) {
			granted(s)
			s.Role.Spec.AWS.Groups = s.Role.Spec.AWS.Groups[:1]
			s.store()
			s.see(true)
			s.store()
			s.next()
		}, "(binding:) (prod-one)"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.reach(s)
			s.now = begin.Add(4 * time.Hour)
			d := s.store()
			if i := intentions(d); i != test.left {
				t.Errorf("has to go: %q, want %q", i, test.left)
			}
			if test.left == "" && !d.WakeAt.IsZero() {
				t.Errorf("looks again at %s", d.WakeAt)
			}
			s.see(false)
			if d = s.store(); d.State != v1alpha1.StateExpired || len(d.AWS.Groups) > 1 {
				t.Errorf("%s, and is to be looked at once more: %v", d.State, d.AWS.Groups)
			}
		})
	}
}

// The deadline is stored before the first side effect, and nothing that is stored or asked for moves it later.
func TestI2Deadline(t *testing.T) {
	s := newScene(t)
	if d := s.store(); !d.Record || d.Effect != access.EffectSync {
		t.Fatalf("the first side effect is not stored before: record %v, effect %q", d.Record, d.Effect)
	}
	if e := s.Grant.Status.ExpiresAt; e == nil || !e.Time.Equal(begin.Add(4*time.Hour)) {
		t.Fatalf("the stored deadline is %v", e)
	}
	for name, test := range map[string]struct{ spec, stored, want time.Duration }{
		"nothing stored": {4 * time.Hour, 0, 4 * time.Hour},
		"the same":       {4 * time.Hour, 4 * time.Hour, 4 * time.Hour},
		"stored earlier": {4 * time.Hour, time.Hour, time.Hour},
		"stored later":   {4 * time.Hour, 9 * time.Hour, 4 * time.Hour},
		"asked later":    {9 * time.Hour, 4 * time.Hour, 4 * time.Hour},
	} {
		g := &v1alpha1.ProdAccessGrant{Spec: v1alpha1.ProdAccessGrantSpec{ExpiresAt: metav1.NewTime(begin.Add(test.spec))}}
		if test.stored > 0 {
			g.Status.ExpiresAt = new(metav1.NewTime(begin.Add(test.stored)))
		}
		if got := access.Deadline(g); !got.Equal(begin.Add(test.want)) {
			t.Errorf("%s: %s, want %s", name, got, begin.Add(test.want))
		}
	}
}

// From the deadline on, to the nanosecond, whatever else is so, nothing is granted and everything goes; before it, the
// decision asks to be woken at the deadline at the latest.
func TestI2DeadlineComesFirst(t *testing.T) {
	unknown := map[string]func(*scene){
		"all is known": func(*scene) {},
		"nothing is known": func(s *scene) {
			s.Role, s.Person, s.Approvals = nil, nil, nil
		},
		"AWS cannot be asked": func(s *scene) { s.Person = &access.Person{Unavailable: "timeout"} },
		"AWS is disabled":     func(s *scene) { s.AWS, s.Person = false, nil },
		"an obstacle":         func(s *scene) { s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonForbidden, Message: "x"} },
	}
	for state, reach := range everyState {
		for name, change := range unknown {
			t.Run(state+" "+name, func(t *testing.T) {
				s := newScene(t)
				reach(s)
				change(s)
				if access.Terminal(s.state()) {
					return
				}
				deadline := begin.Add(4 * time.Hour)
				s.now = deadline.Add(-1)
				if d := s.decide(); d.State != v1alpha1.StateRevoking && !access.Terminal(d.State) && (d.WakeAt.IsZero() || d.WakeAt.After(deadline)) {
					t.Errorf("just before the deadline: %s, wakes at %s", d.State, d.WakeAt)
				}
				s.now = deadline
				exists := access.MayExist(s.Grant)
				switch d := s.decide(); {
				case exists && (d.State != v1alpha1.StateRevoking || d.Effect != access.EffectRemove):
					t.Errorf("at the deadline: %s, effect %q", d.State, d.Effect)
				case !exists && (d.State != v1alpha1.StateExpired || d.Effect != access.EffectNone):
					t.Errorf("at the deadline: %s, effect %q", d.State, d.Effect)
				case strings.Trim(intentions(d), "()") != "" && !strings.HasPrefix(intentions(d), "("):
					t.Errorf("at the deadline it calls for %s", intentions(d))
				}
			})
		}
	}
}

// A deleted object is let go as soon as nothing of it exists, and not before.
func TestDeletionInEveryState(t *testing.T) {
	for state, reach := range everyState {
		t.Run(state, func(t *testing.T) {
			s := newScene(t)
			reach(s)
			s.delete()
			s.Role, s.Person = nil, nil
			for range 6 {
				d := s.store()
				switch d.Effect {
				case access.EffectRelease:
					if access.MayExist(s.Grant) {
						t.Fatal("let go while something may exist")
					}
					return
				case access.EffectRemove, access.EffectVerify:
					s.see(false)
				case access.EffectNone:
					if d.WakeAt.IsZero() {
						t.Fatalf("%s: waits for nothing", d.State)
					}
					s.now = d.WakeAt
					s.next()
				default:
					t.Fatalf("%s: effect %q", d.State, d.Effect)
				}
			}
			t.Fatal("never let go")
		})
	}
}

// Refusals before access is written. The twin of each is the scene without the change.
func TestI1Refusals(t *testing.T) {
	earlier := func(s *scene) { s.Role.Spec.MaxDuration.Duration = 4 * time.Hour }
	tests := map[string]struct {
		// twin is a change that is allowed, spoil the bit on top of it that is not.
		twin, spoil func(*scene)
		want        want
	}{
		"no role": {nil, func(s *scene) { s.Role = nil }, want{cause: v1alpha1.ReasonRoleNotFound, message: "ask the platform team"}},
		"role not ready": {nil, func(s *scene) { s.Role.NotReady = "the ClusterRole x does not exist" },
			want{cause: v1alpha1.ReasonRoleNotReady, message: "the role infra-member is not ready: the ClusterRole x does not exist"}},
		"forbidden rule": {nil, func(s *scene) { s.Role.Forbidden = "the rule x" }, want{cause: v1alpha1.ReasonRoleNotReady, message: "not ready: the rule x"}},
		"a second too long": {func(s *scene) { earlier(s); s.approveAnew() }, func(s *scene) { earlier(s); s.Role.Spec.MaxDuration.Duration -= time.Second },
			want{cause: v1alpha1.ReasonPolicyViolation, message: "the window until expiresAt is 4h0m0s, the role infra-member allows 3h59m59s"}},
		"in a foreign group": {func(s *scene) { s.Person.Foreign = []string{"of-another-role"} }, func(s *scene) { s.Person.Foreign = []string{"PROD-two"} },
			want{cause: v1alpha1.ReasonForeignMembership, message: "alice is already in the IAM group prod-two, and not by a grant"}},
		"too many groups": {func(s *scene) { s.Person.Memberships = strings.Fields("1 2 3 4 5 6 7 8") }, func(s *scene) { s.Person.Memberships = strings.Fields("1 2 3 4 5 6 7 8 9") },
			want{cause: v1alpha1.ReasonQuotaExceeded, message: "alice is in 9 IAM groups already, and AWS allows 10: ask the AWS administrator to free 1"}},
		"too many groups, one shared": {func(s *scene) { s.Person.Memberships = strings.Fields("1 2 3 4 5 6 7 8 Prod-One") }, func(s *scene) { s.Person.Memberships = strings.Fields("1 2 3 4 5 6 7 8 9 Prod-One") },
			want{cause: v1alpha1.ReasonQuotaExceeded, message: "free 1"}},
		"AWS is disabled": {func(s *scene) {
			s.AWS, s.Person, s.Role.Spec.AWS = false, nil, nil
			s.approveAnew()
		}, func(s *scene) {
			s.AWS, s.Person, s.Role.Spec.AWS = false, nil, &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"prod-one"}}
			s.approveAnew()
		}, want{cause: v1alpha1.ReasonAWSDisabled, message: "the operator runs with --aws=disabled"}},
		"an obstacle": {nil, func(s *scene) {
			s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonForbidden, Message: "may not bind"}
		},
			want{cause: v1alpha1.ReasonForbidden, message: "may not bind"}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			if test.twin != nil {
				test.twin(twin)
				test.twin(s)
			}
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, twin.decide())
			test.spoil(s)
			test.want.state, test.want.none = v1alpha1.StateBlocked, true
			test.want.check(t, s.decide())
		})
	}
}

// The window has not begun a nanosecond before it begins.
func TestI1Window(t *testing.T) {
	s := newScene(t)
	scheduled(s)
	nb := s.Grant.Spec.NotBefore.Time
	s.now = nb.Add(-1)
	d := s.decide()
	want{state: v1alpha1.StateScheduled, none: true}.check(t, d)
	if !d.WakeAt.Equal(nb) {
		t.Errorf("wakes at %s", d.WakeAt)
	}
	s.now = nb
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
	s.now = nb.Add(-time.Hour)
	s.Grant.Status.ExpiresAt = new(metav1.NewTime(nb.Add(-time.Minute)))
	if d := s.decide(); !d.WakeAt.Equal(s.Grant.Status.ExpiresAt.Time) {
		t.Errorf("over before it begins, and wakes at %s", d.WakeAt)
	}
}

// What is being written is what was approved: if the role means something else by the time a crash is over, what was
// written is taken back, even if the new meaning is approved as well.
func TestI1MeaningChangesWhileWriting(t *testing.T) {
	for name, change := range map[string]func(*access.Role){
		"rules":  func(r *access.Role) { r.RulesHash = "sha256:two" },
		"groups": func(r *access.Role) { r.Spec.AWS.Groups = []v1alpha1.IAMGroupName{"prod-two", "prod-three"} },
		"access": func(r *access.Role) { r.Spec.Kubernetes.Access = v1alpha1.AccessReadOnly },
	} {
		for _, asked := range []string{"person known", "person unknown", "AWS cannot be asked"} {
			t.Run(name+" "+asked, func(t *testing.T) {
				s := newScene(t)
				granting(s)
				change(s.Role)
				s.approveAnew()
				known := s.Person
				switch asked {
				case "person unknown":
					s.Person = nil
				case "AWS cannot be asked":
					s.Person = &access.Person{Unavailable: "timeout"}
				}
				d := s.store()
				want{state: v1alpha1.StateBlocked, effect: access.EffectRemove}.check(t, d)
				if !d.Record || intentions(d) != "(binding:) (prod-one) (prod-two)" {
					t.Errorf("record %v, has to go: %s", d.Record, intentions(d))
				}
				s.see(false)
				s.Person = known
				d = s.store()
				want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
				if name == "groups" && intentions(d) != "binding: prod-three prod-two" {
					t.Errorf("calls for %s", intentions(d))
				}
			})
		}
	}
}

// A live grant is never widened by its role, only narrowed; what was dropped does not come back.
func TestI1RoleChangesWhileLive(t *testing.T) {
	tests := map[string]struct {
		change func(*access.Role)
		want   string
		record bool
	}{
		"a group more":        {func(r *access.Role) { r.Spec.AWS.Groups = append(r.Spec.AWS.Groups, "prod-three") }, "binding: prod-one prod-two", false},
		"a group in capitals": {func(r *access.Role) { r.Spec.AWS.Groups[0] = "PROD-ONE" }, "binding: prod-one prod-two", false},
		"a group less":        {func(r *access.Role) { r.Spec.AWS.Groups = r.Spec.AWS.Groups[:1] }, "(prod-two) binding: prod-one", true},
		"no groups":           {func(r *access.Role) { r.Spec.AWS = nil }, "(prod-one) (prod-two) binding:", true},
		"another ClusterRole": {func(r *access.Role) { r.Spec.Kubernetes.ClusterRole = "cluster-admin" }, "(binding:) prod-one prod-two", true},
		"another scope":       {func(r *access.Role) { r.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces }, "(binding:) prod-one prod-two", true},
		"nothing in Kubernetes": {func(r *access.Role) { r.Spec.Kubernetes = nil },
			"(binding:) prod-one prod-two", true},
		"wider rules":  {func(r *access.Role) { r.RulesHash = "sha256:two" }, "binding: prod-one prod-two", false},
		"more to ask":  {func(r *access.Role) { r.Spec.Approval.Required, r.Spec.Incident = 10, v1alpha1.IncidentRequired }, "binding: prod-one prod-two", false},
		"a short time": {func(r *access.Role) { r.Spec.MaxDuration.Duration = time.Minute }, "binding: prod-one prod-two", false},
		"not ready":    {func(r *access.Role) { r.NotReady = "a group is missing" }, "binding: prod-one prod-two", false},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			granted(s)
			before := *s.Role
			before.Spec = *s.Role.Spec.DeepCopy()
			test.change(s.Role)
			d := s.store()
			want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, d)
			if i := intentions(d); i != test.want || d.Record != test.record {
				t.Errorf("calls for %s (record %v), want %s (%v)", i, d.Record, test.want, test.record)
			}
			s.see(true)
			s.store()
			s.next()
			s.Role = &before
			if i := intentions(s.decide()); strings.Contains(test.want, "(") != (i != "binding: prod-one prod-two") {
				t.Errorf("with the role as it was it calls for %s", i)
			}
		})
	}
}

// The hash that is shown is of the ClusterRole that is bound.
func TestRulesHashOfLiveGrant(t *testing.T) {
	s := newScene(t)
	granted(s)
	s.Role.RulesHash = "sha256:two"
	if d := s.decide(); d.Kubernetes.RulesHash != "sha256:two" {
		t.Errorf("the rules changed, and the hash is %s", d.Kubernetes.RulesHash)
	}
	s.Role.Spec.Kubernetes.ClusterRole = "another"
	if d := s.decide(); d.Kubernetes.RulesHash != "sha256:one" {
		t.Errorf("another ClusterRole is named, and the hash is %s", d.Kubernetes.RulesHash)
	}
}

// What is unknown gives nothing new and takes nothing away.
func TestI10UnknownMeansNo(t *testing.T) {
	unknown := map[string]*access.Person{"not asked": nil, "cannot be asked": {Unavailable: "connection refused"}}
	tests := map[string]struct {
		reach func(*scene)
		want  map[string]want
		holds string
	}{
		"new": {func(*scene) {}, map[string]want{
			"not asked":       {effect: access.EffectIdentify},
			"cannot be asked": {state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonAWSUnavailable, message: "cannot be verified, so nothing is granted: connection refused", none: true}}, ""},
		"Granting": {granting, map[string]want{
			"not asked":       {state: v1alpha1.StateGranting, effect: access.EffectIdentify},
			"cannot be asked": {state: v1alpha1.StateGranting, cause: v1alpha1.ReasonAWSUnavailable, none: true}}, "binding: prod-one prod-two"},
		"Granted": {granted, map[string]want{
			"not asked":       {state: v1alpha1.StateGranted, effect: access.EffectSync},
			"cannot be asked": {state: v1alpha1.StateGranted, effect: access.EffectSync}}, "binding: prod-one prod-two"},
		"Suspended": {suspended, map[string]want{
			"not asked":       {state: v1alpha1.StateSuspended, effect: access.EffectIdentify},
			"cannot be asked": {state: v1alpha1.StateSuspended, none: true}}, "binding: prod-one prod-two"},
		"Granting again": {comingBack, map[string]want{
			"not asked":       {state: v1alpha1.StateGranting, effect: access.EffectIdentify},
			"cannot be asked": {state: v1alpha1.StateGranting, none: true}}, "binding: prod-one prod-two"},
	}
	for state, test := range tests {
		for name, p := range unknown {
			t.Run(state+" "+name, func(t *testing.T) {
				s := newScene(t)
				test.reach(s)
				s.Person = p
				d := s.decide()
				test.want[name].check(t, d)
				if i := intentions(d); i != test.holds {
					t.Errorf("calls for %q, want %q", i, test.holds)
				}
				if p != nil && d.State != v1alpha1.StateGranted && (d.RecheckAfter != access.RetryAfter || d.Eligible.Reason != v1alpha1.ReasonAWSUnavailable) {
					t.Errorf("asks again after %s, eligible %+v", d.RecheckAfter, d.Eligible)
				}
			})
		}
	}
}

// Before anybody is asked again, what was just seen to be gone is stored: the answer may come to another process.
func TestIdentifyAfterRemovalIsRecorded(t *testing.T) {
	for name, reach := range map[string]func(*scene){
		v1alpha1.StateSuspended: func(s *scene) {
			granted(s)
			s.Person.MFA = false
			s.store()
		},
		v1alpha1.StateBlocked: func(s *scene) {
			granting(s)
			s.Person.MFA = false
			s.store()
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			reach(s)
			s.must(name)
			s.see(false)
			s.Person = nil
			if d := s.decide(); d.Effect != access.EffectIdentify || !d.Record || d.State != name {
				t.Errorf("%s: effect %q, record %v", d.State, d.Effect, d.Record)
			}
			s.Done = false
			if d := s.decide(); d.Effect != access.EffectIdentify || d.Record {
				t.Errorf("later: effect %q, record %v", d.Effect, d.Record)
			}
		})
	}
}

// Nothing comes back before it is gone, and then only to where an activation could go.
func TestSuspendedComesBack(t *testing.T) {
	bad := map[string]struct {
		spoil func(*scene)
		want  want
	}{
		"device lost":           {func(s *scene) { s.Person.MFA = false }, want{cause: v1alpha1.ReasonMFAMissing}},
		"user gone":             {func(s *scene) { s.Person = &access.Person{} }, want{cause: v1alpha1.ReasonUserNotFound}},
		"another user":          {func(s *scene) { s.Person.UserID = "AIDAOTHER" }, want{cause: v1alpha1.ReasonIdentityMismatch, message: "created anew"}},
		"username taken away":   {func(s *scene) { s.Person.KubernetesUsers = []string{"alice"} }, want{cause: v1alpha1.ReasonIdentityMismatch, message: "alice@hera.example is not one of"}},
		"a foreign membership":  {func(s *scene) { s.Person.Foreign = []string{"prod-one"} }, want{cause: v1alpha1.ReasonForeignMembership}},
		"too many groups":       {func(s *scene) { s.Person.Memberships = strings.Fields("1 2 3 4 5 6 7 8 9") }, want{cause: v1alpha1.ReasonQuotaExceeded}},
		"role not ready":        {func(s *scene) { s.Role.NotReady = "a group is missing" }, want{cause: v1alpha1.ReasonRoleNotReady, message: "stays away until the role infra-member is ready: a group is missing"}},
		"role forbidden":        {func(s *scene) { s.Role.Forbidden = "the rule x" }, want{cause: v1alpha1.ReasonRoleNotReady, message: "the rule x"}},
		"AWS disabled":          {func(s *scene) { s.AWS, s.Person = false, nil }, want{cause: v1alpha1.ReasonAWSDisabled}},
		"an obstacle":           {func(s *scene) { s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonGroupNotFound, Message: "x"} }, want{cause: v1alpha1.ReasonGroupNotFound}},
		"everything comes back": {func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
	}
	for name, test := range bad {
		for from, reach := range map[string]func(*scene){"Suspended": suspended, "Granting again": comingBack} {
			t.Run(from+" "+name, func(t *testing.T) {
				s := newScene(t)
				reach(s)
				test.spoil(s)
				d := s.decide()
				if test.want.state == "" {
					test.want.state = v1alpha1.StateSuspended
				}
				test.want.check(t, d)
				if d.State == v1alpha1.StateSuspended && (from == "Suspended") != (d.Effect == access.EffectNone) {
					t.Errorf("effect %q", d.Effect)
				}
				if i := intentions(d); i != "binding: prod-one prod-two" {
					t.Errorf("the intentions are %s", i)
				}
			})
		}
	}
	s := newScene(t)
	granted(s)
	s.Person.MFA = false
	s.store()
	s.Person.MFA = true
	want{state: v1alpha1.StateSuspended, effect: access.EffectRemove}.check(t, s.decide())
	// What was just done is the removal.
	s.see(false)
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
}

// A role that is wider now does not widen what comes back.
func TestI1SuspendedComesBackNarrower(t *testing.T) {
	s := newScene(t)
	suspended(s)
	s.Role.Spec.AWS.Groups = []v1alpha1.IAMGroupName{"prod-two", "prod-three"}
	s.Person.Foreign = []string{"prod-three"} // not of this grant
	d := s.decide()
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
	if i := intentions(d); i != "binding: prod-two" || !d.Record {
		t.Errorf("calls for %s, record %v", i, d.Record)
	}
}

// What somebody took away does not come back with a suspension, and while it is held it does not either.
func TestI5MissedAndSuspended(t *testing.T) {
	for _, reason := range []string{v1alpha1.ReasonRemovedByOthers, v1alpha1.ReasonRemovalHeld, v1alpha1.ReasonSynced} {
		s := newScene(t)
		granted(s)
		meta.SetStatusCondition(&s.Grant.Status.Conditions, metav1.Condition{Type: v1alpha1.ConditionBindingsSynced, Status: metav1.ConditionFalse, Reason: reason})
		s.Role.Forbidden = "a rule"
		if d := s.decide(); reason == v1alpha1.ReasonSynced {
			want{state: v1alpha1.StateSuspended}.check(t, d)
		} else {
			want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers, message: "somebody took a part of it away"}.check(t, d)
		}
	}
}

// Where somebody took a membership away while another grant covers it, nothing is given back.
func TestI5RemovedByOthers(t *testing.T) {
	gone := access.Obstacle{Reason: v1alpha1.ReasonRemovedByOthers, Message: "somebody took alice out"}
	for name, test := range map[string]struct {
		reach func(*scene)
		want  want
	}{
		"Granted":        {granted, want{state: v1alpha1.StateRevoking, message: "somebody took alice out", effect: access.EffectRemove}},
		"Granting again": {comingBack, want{state: v1alpha1.StateRevoking, effect: access.EffectRemove}},
		// Blocked, it would come back once the other grant has ended and nothing remembers.
		"Granting": {granting, want{state: v1alpha1.StateRevoking, message: "somebody took alice out", effect: access.EffectRemove}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.reach(s)
			s.Obstacle = gone
			d := s.store()
			test.want.check(t, d)
			if !d.Record || strings.Contains(" "+intentions(d), " prod") {
				t.Errorf("record %v, calls for %s", d.Record, intentions(d))
			}
		})
	}
}

// What was taken back because of an obstacle is not written again in the same breath.
func TestRestAfterObstacle(t *testing.T) {
	s := newScene(t)
	granting(s)
	s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "in the way"}
	want{state: v1alpha1.StateBlocked, effect: access.EffectRemove}.check(t, s.store())
	s.next()
	s.Person = nil
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, message: "in the way", effect: access.EffectRemove}.check(t, s.store())
	s.see(false)
	d := s.store()
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonConflict, message: "in the way", none: true}.check(t, d)
	if d.RecheckAfter != access.RecheckAfter {
		t.Errorf("looks again after %s", d.RecheckAfter)
	}
	s.reject("erin")
	want{state: v1alpha1.StateRejected, none: true}.check(t, s.decide())
	s.Approvals = s.Approvals[:2]
	s.next()
	want{state: v1alpha1.StateBlocked, effect: access.EffectIdentify}.check(t, s.decide())
}

// The plan of a role that is bound in namespaces has a binding in each.
func TestPlanInNamespaces(t *testing.T) {
	s := newScene(t)
	s.Role.Spec.Kubernetes.Scope, s.Role.Spec.AWS = v1alpha1.ScopeNamespaces, nil
	s.Grant.Spec.Namespaces = []v1alpha1.NamespaceName{"payments", "billing"}
	s.Grant.Spec.Subject.KubernetesUser = ""
	s.approveAnew()
	d := s.store()
	want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, d)
	if i := intentions(d); i != "binding:billing binding:payments" {
		t.Errorf("calls for %s", i)
	}
	k := d.Kubernetes
	if k.User != "alice@hera.example" || k.ClusterRole != "prod-access-infra-member" || k.RulesHash != "sha256:one" || k.Bindings[0].Name != access.BindingName(s.Grant) {
		t.Errorf("calls for %+v", k)
	}
	s.see(true)
	if m := s.decide().Message; !strings.Contains(m, "in 2 namespaces as alice@hera.example") {
		t.Errorf("message %q", m)
	}
}

// The answers behind the conditions.
func TestAnswers(t *testing.T) {
	s := newScene(t)
	d := s.decide()
	if a := d.Approved; !a.Yes || a.Reason != v1alpha1.ReasonApproved || a.Message != "2 of 2 approvals" {
		t.Errorf("approved: %+v", a)
	}
	if a := d.Eligible; !a.Yes || a.Reason != v1alpha1.ReasonEligible || !strings.Contains(a.Message, "alice (AIDAALICE)") {
		t.Errorf("eligible: %+v", a)
	}
	s.Person.MFA = false
	if a := s.decide().Eligible; a.Yes || a.Reason != v1alpha1.ReasonMFAMissing {
		t.Errorf("eligible without a device: %+v", a)
	}
	s.reject("erin")
	if a := s.decide().Approved; a.Yes || a.Reason != v1alpha1.ReasonRejected || a.Message != "erin rejected it" {
		t.Errorf("approved after a rejection: %+v", a)
	}
	s.Approvals = nil
	if a := s.decide().Approved; a.Yes || a.Reason != v1alpha1.ReasonApprovalsMissing {
		t.Errorf("approved by nobody: %+v", a)
	}
	s.Role = nil
	if d := s.decide(); d.Approved.Yes || d.Approved.Reason != v1alpha1.ReasonRoleNotFound || d.ApprovalDigest != "" || d.SpecDigest == "" {
		t.Errorf("without a role: %+v, digests %q %q", d.Approved, d.ApprovalDigest, d.SpecDigest)
	}
	disabled := newScene(t)
	disabled.AWS, disabled.Person, disabled.Role.Spec.AWS = false, nil, nil
	disabled.approveAnew()
	if a := disabled.decide().Eligible; !a.Yes || !strings.Contains(a.Message, "AWS is disabled") {
		t.Errorf("eligible without AWS: %+v", a)
	}
}

// An approval that falls away once AWS has said who the person is, is asked about again.
func TestPendingBecauseOfTheTag(t *testing.T) {
	s := newScene(t)
	s.Person.KubernetesUsers = append(s.Person.KubernetesUsers, "carol")
	d := s.decide()
	want{state: v1alpha1.StatePendingApproval, message: "carol is the requester or the subject"}.check(t, d)
	if d.RecheckAfter != access.RecheckAfter {
		t.Errorf("looks again after %s: the tag may be mended", d.RecheckAfter)
	}
}
