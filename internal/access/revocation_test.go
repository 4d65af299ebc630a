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
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// revokeRequest adds a revocation of what the grant asks for.
func (s *scene) revokeRequest() *v1alpha1.AccessRevocation {
	r := s.revoke("")
	r.Spec.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: s.Grant.Name, SpecDigest: access.SpecDigest(&s.Grant.Spec)}
	return r
}

// judgeLift records what became of a lift.
func judgeLift(r *v1alpha1.AccessRevocation, counts bool) {
	r.Spec.Lift = &v1alpha1.Lift{By: "frank", Reason: "the laptop was found"}
	a := access.Answer{Yes: counts, Reason: v1alpha1.ReasonLifted, Message: "lifted by frank"}
	if !counts {
		a.Reason = v1alpha1.ReasonOwnRevocation
	}
	status.Revocation(r, access.Answer{}, a, moment)
}

// liftedAt sets when the scene's revocation was lifted.
func liftedAt(s *scene, at time.Time) {
	meta.FindStatusCondition(s.Revocations[0].Status.Conditions, v1alpha1.ConditionLifted).LastTransitionTime = metav1.NewTime(at)
}

// aliases gives the scene's person a tag and an ARN, and a second IAM user who claims one of their usernames.
func aliases(s *scene) {
	s.Person.Directory = access.NewDirectory(
		access.User{UserID: "AIDAALICE", Name: "alice", ARN: account + "team/alice", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice@hera.example al"}},
		access.User{UserID: "AIDASECOND", Name: "alice-2", ARN: account + "alice-2", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice2@hera.example AL"}},
		access.User{UserID: "AIDAERIN", Name: "erin", ARN: account + "erin"},
	)
	s.Person.KubernetesUsers = []string{"alice@hera.example", "al"}
}

// A revocation of a person is one of them under each of their names, and of nobody else.
func TestI5PersonUnderEveryName(t *testing.T) {
	names := map[string]bool{
		"alice": true, "ALICE": true, account + "alice": true, account + "some/path/Alice": true,
		"alice@hera.example": true, "Alice@Hera.Example": true, "al": true, "Al": true,
		"alice-2": true, "alice2@hera.example": true, account + "Alice-2": true,
		"erin": false, "alic": false, "alice@hera.example.org": false, "dana@hera.example": false, account + "erin": false, "AIDAALICE": true, "AIDAERIN": false,
	}
	states := map[string]struct {
		reach           func(*scene)
		revoked, spared string
	}{
		"new":                    {func(*scene) {}, v1alpha1.StateRevoked, v1alpha1.StateGranting},
		v1alpha1.StateGranting:   {granting, v1alpha1.StateRevoking, v1alpha1.StateGranting},
		v1alpha1.StateGranted:    {granted, v1alpha1.StateRevoking, v1alpha1.StateGranted},
		v1alpha1.StateSuspended:  {suspended, v1alpha1.StateRevoked, v1alpha1.StateGranting},
		"Granting again":         {comingBack, v1alpha1.StateRevoking, v1alpha1.StateGranting},
		v1alpha1.StateScheduled:  {scheduled, v1alpha1.StateRevoked, v1alpha1.StateScheduled},
		"half of it, taken back": {takenBack, v1alpha1.StateRevoked, v1alpha1.StateGranting},
	}
	for state, test := range states {
		for name, theirs := range names {
			for _, lifted := range []bool{false, true} {
				s := newScene(t)
				aliases(s)
				test.reach(s)
				if r := s.revoke(name); lifted {
					judgeLift(r, true)
				}
				d := s.decide()
				switch {
				case theirs && !lifted && (d.State != test.revoked || d.Cause != v1alpha1.ReasonRevoked || d.Message != "revoked by eve (r0): the laptop was stolen"):
					t.Errorf("%s, %s revoked: %s (%s: %s)", state, name, d.State, d.Cause, d.Message)
				case theirs && !lifted && strings.Contains(" "+intentions(d), " prod"):
					t.Errorf("%s, %s revoked: it still calls for %s", state, name, intentions(d))
				case (!theirs || lifted) && d.State != test.spared:
					t.Errorf("%s, %s revoked (lifted %v): %s (%s: %s)", state, name, lifted, d.State, d.Cause, d.Message)
				}
			}
		}
	}
}

// Who a live grant is for was written down when it was given: nobody has to be asked to know under which names they are
// revoked.
func TestI5RecordedNames(t *testing.T) {
	for _, name := range []string{"alice", "AL", "alice@hera.example", account + "alice", "alice-2", "alice2@hera.example"} {
		for state, reach := range map[string]func(*scene){v1alpha1.StateGranting: granting, v1alpha1.StateGranted: granted, v1alpha1.StateSuspended: suspended} {
			s := newScene(t)
			aliases(s)
			reach(s)
			for what, p := range map[string]*access.Person{"not asked": nil, "cannot be asked": {Unavailable: "timeout"}, "gone": {}} {
				s.Person, s.Revocations = p, nil
				r := s.revoke(name)
				if d := s.decide(); d.Cause != v1alpha1.ReasonRevoked {
					t.Errorf("%s, AWS %s, %s revoked: %s (%s)", state, what, name, d.State, d.Cause)
				}
				if !access.Revokes(r, s.Grant) {
					t.Errorf("%s: the revocation of %s is not said to be of this grant", state, name)
				}
			}
		}
	}
	// The twin: before anything is given, nothing is known but what the request says, and it is asked for in time.
	s := newScene(t)
	aliases(s)
	person := s.Person
	s.Person = nil
	r := s.revoke("al")
	if access.Revokes(r, s.Grant) {
		t.Error("nobody can know that yet")
	}
	named := r.DeepCopy()
	if named.Status.Names = person.Directory.Names("al"); !access.Revokes(named, s.Grant) {
		t.Error("the revocation knows who al is")
	}
	want{effect: access.EffectIdentify}.check(t, s.decide())
	s.Person = person
	want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked, none: true}.check(t, s.decide())
}

// Each row knows the name from one place alone; its twin, without that place, does not know it.
func TestI5NamesFromOnePlace(t *testing.T) {
	tests := map[string]func(*scene){
		"the manifest's IAM user":            func(s *scene) { s.Grant.Spec.Subject.IAMUser = "x" },
		"the manifest's Kubernetes username": func(s *scene) { s.Grant.Spec.Subject.KubernetesUser = "x" },
		"what was recorded":                  func(s *scene) { s.Grant.Status.AWS.Names = []string{"x"} },
		"the username that is bound":         func(s *scene) { s.Grant.Status.Kubernetes.User = "x" },
		"the IAM user":                       func(s *scene) { s.Person.Name = "x" },
		"the tag":                            func(s *scene) { s.Person.KubernetesUsers = append(s.Person.KubernetesUsers, "x") },
		"the directory": func(s *scene) {
			s.Person.Directory = access.NewDirectory(access.User{UserID: "AIDAX", Name: "x", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice"}})
		},
	}
	for name, place := range tests {
		twin, s := newScene(t), newScene(t)
		twin.revoke("X")
		s.revoke("X")
		place(s)
		want{state: v1alpha1.StateGranting}.check(t, twin.decide())
		if d := s.decide(); d.Cause != v1alpha1.ReasonRevoked {
			t.Errorf("%s: %s (%s)", name, d.State, d.Message)
		}
	}
}

// Each row is a revocation of something else than the request; its twin is of the request itself.
func TestI5RequestOnly(t *testing.T) {
	tests := map[string]func(*scene, *v1alpha1.AccessRevocation){
		"another name": func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant.Name = "ledger-disk-2" },
		"in capitals":  func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant.Name = "LEDGER-DISK" },
		"another kind": func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant.Kind = "BreakGlass" },
		"no kind":      func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant.Kind = "" },
		"another digest": func(_ *scene, r *v1alpha1.AccessRevocation) {
			r.Spec.Grant.SpecDigest = "sha256:" + strings.Repeat("0", 64)
		},
		"no digest": func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant.SpecDigest = "" },
		"approval digest": func(s *scene, r *v1alpha1.AccessRevocation) {
			r.Spec.Grant.SpecDigest = s.digestFor(s.Grant.UID)
		},
		"asks for something else": func(s *scene, _ *v1alpha1.AccessRevocation) {
			s.Grant.Spec.Reason += ", again"
			s.approveAnew()
		},
		"a membership": func(_ *scene, r *v1alpha1.AccessRevocation) {
			r.Spec.Grant, r.Spec.Membership = nil, &v1alpha1.MembershipReference{Group: "prod-one", IAMUser: "alice"}
		},
		"nothing": func(_ *scene, r *v1alpha1.AccessRevocation) { r.Spec.Grant = nil },
		"lifted":  func(_ *scene, r *v1alpha1.AccessRevocation) { judgeLift(r, true) },
	}
	for name, spoil := range tests {
		t.Run(name, func(t *testing.T) {
			twin, s := newScene(t), newScene(t)
			if r := twin.revokeRequest(); !access.Revokes(r, twin.Grant) {
				t.Error("the revocation is not said to be of this grant")
			}
			want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked, message: "revoked by eve (r0): the laptop was stolen", none: true}.check(t, twin.decide())
			r := s.revokeRequest()
			spoil(s, r)
			want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
			if access.InForce(r) && access.Revokes(r, s.Grant) {
				t.Error("the revocation is said to be of this grant")
			}
		})
	}
	t.Run("another object that asks for the same", func(t *testing.T) {
		s := newScene(t)
		s.revokeRequest()
		s.Grant.UID = "applied-again"
		s.approveAnew()
		want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked}.check(t, s.decide())
	})
}

// What somebody wrote into the object is no lift: only what was found about it is.
func TestI5InForceUntilTheLiftCounts(t *testing.T) {
	tests := map[string]struct {
		change func(*v1alpha1.AccessRevocation)
		force  bool
	}{
		"new":             {func(*v1alpha1.AccessRevocation) {}, true},
		"lift not judged": {func(r *v1alpha1.AccessRevocation) { r.Spec.Lift = &v1alpha1.Lift{By: "frank"} }, true},
		"lift is no lift": {func(r *v1alpha1.AccessRevocation) { judgeLift(r, false) }, true},
		"lift not known": {func(r *v1alpha1.AccessRevocation) {
			status.Revocation(r, access.Answer{}, access.Answer{Reason: v1alpha1.ReasonAWSUnavailable}, moment)
		}, true},
		"being deleted":    {func(r *v1alpha1.AccessRevocation) { r.DeletionTimestamp = new(metav1.NewTime(moment)) }, true},
		"window has ended": {func(r *v1alpha1.AccessRevocation) { r.Status.EndsAt = new(metav1.NewTime(begin)) }, true},
		"lifted":           {func(r *v1alpha1.AccessRevocation) { judgeLift(r, true) }, false},
	}
	for name, test := range tests {
		for _, of := range []string{"person", "request"} {
			s := newScene(t)
			granted(s)
			r := s.revokeRequest()
			if of == "person" {
				r.Spec.Grant, r.Spec.Person = nil, "alice"
			}
			test.change(r)
			d := s.decide()
			if access.InForce(r) != test.force || (d.State == v1alpha1.StateRevoking) != test.force {
				t.Errorf("%s of a %s: in force %v, %s", name, of, access.InForce(r), d.State)
			}
		}
	}
	s := newScene(t)
	judgeLift(s.revoke("alice"), true)
	s.revoke("ALICE")
	want{state: v1alpha1.StateRevoked, message: "revoked by eve (r1)"}.check(t, s.decide())
}

// In every state, a revocation ends what has not ended, and changes nothing about what has.
func TestI5RevocationInEveryState(t *testing.T) {
	unknown := map[string]func(*scene){
		"all is known":        func(*scene) {},
		"nothing is known":    func(s *scene) { s.Role, s.Person, s.Approvals = nil, nil, nil },
		"AWS cannot be asked": func(s *scene) { s.Person = &access.Person{Unavailable: "timeout"} },
		"no guard, no trail":  func(s *scene) { s.Guard, s.AuditBroken = access.Guard{Broken: "gone"}, "no space left" },
		"somebody took away":  func(s *scene) { s.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: "x"} },
		"rejected meanwhile":  func(s *scene) { s.reject("erin") },
	}
	revoke := map[string]func(*scene) *v1alpha1.AccessRevocation{
		"person":  func(s *scene) *v1alpha1.AccessRevocation { return s.revoke("alice") },
		"request": (*scene).revokeRequest,
	}
	for state, reach := range everyState {
		for what, by := range revoke {
			for name, change := range unknown {
				t.Run(state+" "+what+" "+name, func(t *testing.T) {
					s := newScene(t)
					reach(s)
					change(s)
					s.next()
					prior, before := s.state(), s.decide()
					by(s)
					exists := access.MayExist(s.Grant)
					d := s.decide()
					switch {
					case access.Terminal(prior) || prior == v1alpha1.StateRevoking:
						want{state: prior, cause: before.Cause, message: before.Message, effect: before.Effect}.check(t, d)
					case exists:
						want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, message: "revoked by eve", effect: access.EffectRemove}.check(t, d)
						if !d.Record {
							t.Error("a lift before the removal is verified would undo the decision")
						}
					default:
						want{state: v1alpha1.StateRevoked, cause: v1alpha1.ReasonRevoked, message: "revoked by eve", none: true}.check(t, d)
					}
					if strings.Contains(" "+intentions(d), " prod") || strings.Contains(" "+intentions(d), " binding") {
						t.Errorf("calls for %s", intentions(d))
					}
				})
			}
		}
	}
}

// What a revocation has begun to end stays ended, lifted or not; the request can be granted again by a new object only.
func TestI3LiftRevivesNothing(t *testing.T) {
	s := newScene(t)
	granted(s)
	r := s.revokeRequest()
	want{state: v1alpha1.StateRevoking, effect: access.EffectRemove}.check(t, s.store())
	s.next()
	judgeLift(r, true)
	want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRevoked, message: "revoked by eve", effect: access.EffectRemove}.check(t, s.store())
	s.see(false)
	want{state: v1alpha1.StateRevoked, message: "revoked by eve"}.check(t, s.store())
	s.next()
	want{state: v1alpha1.StateRevoked}.check(t, s.store())

	again := newScene(t)
	again.Revocations = s.Revocations
	want{state: v1alpha1.StateGranting}.check(t, again.decide())
}

// A deadline that has passed and a deletion are what they are, whoever revokes besides.
func TestRevocationComesAfterDeadlineAndDeletion(t *testing.T) {
	s := newScene(t)
	granted(s)
	s.revoke("alice")
	s.now = begin.Add(4 * time.Hour).Add(-1)
	want{cause: v1alpha1.ReasonRevoked}.check(t, s.decide())
	s.now = begin.Add(4 * time.Hour)
	want{cause: v1alpha1.ReasonDeadline}.check(t, s.decide())
	s.delete()
	want{cause: v1alpha1.ReasonDeleted}.check(t, s.decide())
}

// release carries a deletion out to the end, and says whether the end is to be remembered.
func release(s *scene) (remember bool) {
	s.t.Helper()
	s.delete()
	const most = 8
	for range most {
		d := s.decide()
		if d.Remember && d.Effect != access.EffectRelease && d.Cause != v1alpha1.ReasonRemovedByOthers {
			s.t.Errorf("%s (%s): remembered while the effect is %q", d.State, d.Cause, d.Effect)
		}
		if d.Effect == access.EffectRelease {
			return d.Remember
		}
		s.store()
		switch d.Effect {
		case access.EffectRemove, access.EffectVerify:
			s.see(false)
		default:
			s.next()
			s.now = d.WakeAt
		}
	}
	s.t.Fatal("never let go")
	return false
}

// The end of a request that was approved, held access or was refused is remembered when its object goes; its twin, which
// nobody had decided about, is forgotten.
func TestI5Remember(t *testing.T) {
	tests := map[string]struct {
		reach    func(*scene)
		remember bool
	}{
		"new":                         {func(*scene) {}, false},
		v1alpha1.StatePendingApproval: {pending, false},
		v1alpha1.StateScheduled:       {scheduled, true},
		"approved, and then voided":   {func(s *scene) { scheduled(s); s.Role.RulesHash = "sha256:two"; s.store() }, false},
		"approved and blocked":        {blocked, true},
		"blocked without approvals": {func(s *scene) {
			s.Approvals, s.Role.NotReady = nil, "a group is missing"
			s.Role.Spec.MaxDuration.Duration = time.Minute
			s.store()
			s.must(v1alpha1.StateBlocked)
		}, false},
		"half of it, taken back": {takenBack, true},
		v1alpha1.StateGranting:   {granting, true},
		v1alpha1.StateGranted:    {granted, true},
		v1alpha1.StateSuspended:  {suspended, true},
		"Granting again":         {comingBack, true},
		v1alpha1.StateRevoking:   {revoking, true},
		v1alpha1.StateRevoked:    {ended, true},
		v1alpha1.StateRejected:   {everyState[v1alpha1.StateRejected], true},
		"rejected while half of it is taken back": {func(s *scene) {
			granting(s)
			s.reject("erin")
			s.store()
			s.must(v1alpha1.StateBlocked)
		}, true},
		"active, whatever its conditions say": {func(s *scene) {
			suspended(s)
			meta.RemoveStatusCondition(&s.Grant.Status.Conditions, v1alpha1.ConditionApproved)
		}, true},
		"revoked with its person": {func(s *scene) { granted(s); s.revoke("alice") }, true},
		"pending, with its person revoked": {func(s *scene) {
			pending(s)
			s.revoke("alice")
			s.store()
			s.must(v1alpha1.StateRevoked)
		}, true},
		v1alpha1.StateExpired: {everyState[v1alpha1.StateExpired], false},
		"the window ends":     {func(s *scene) { granted(s); s.now = begin.Add(4 * time.Hour) }, false},
		"the window ends while it is deleted": {func(s *scene) {
			granted(s)
			s.now = begin.Add(4 * time.Hour).Add(-time.Second)
		}, false},
		"revoked already": {func(s *scene) { granted(s); s.revokeRequest() }, false},
		"revoked, lifted, and over since before the lift": {func(s *scene) {
			ended(s)
			judgeLift(s.revokeRequest(), true)
			liftedAt(s, s.now.Add(time.Second))
		}, false},
		"revoked and lifted, and given anew": {func(s *scene) {
			granted(s)
			judgeLift(s.revokeRequest(), true)
			liftedAt(s, s.now.Add(-time.Second))
		}, true},
		"rejected, and nobody has looked": {func(s *scene) { s.reject("erin") }, true},
		"another object was rejected":     {func(s *scene) { rejectEarlier(s) }, false},
		"another request is revoked":      {func(s *scene) { granted(s); s.revokeRequest().Spec.Grant.Name = "other" }, true},
		"another digest is revoked":       {func(s *scene) { granted(s); s.revokeRequest().Spec.Grant.SpecDigest = "sha256:x" }, true},
		"another kind is revoked":         {func(s *scene) { granted(s); s.revokeRequest().Spec.Grant.Kind = "BreakGlass" }, true},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.reach(s)
			s.next()
			if got := release(s); got != test.remember {
				t.Errorf("remembered: %v", got)
			}
		})
	}
}

// What somebody took away is remembered before the removal, whether or not the object goes; and once.
func TestI5RememberWhatOthersTookAway(t *testing.T) {
	for name, reach := range map[string]func(*scene){v1alpha1.StateGranted: granted, v1alpha1.StateGranting: granting, "Granting again": comingBack} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			reach(s)
			if d := s.decide(); d.Remember {
				t.Errorf("%s, and to be remembered", d.State)
			}
			s.TakenAway = "the ClusterRoleBinding x"
			if d := s.store(); !d.Remember || !d.Record || d.Effect != access.EffectRemove {
				t.Errorf("remember %v, record %v, effect %q", d.Remember, d.Record, d.Effect)
			}
			s.next()
			if !s.decide().Remember {
				t.Error("a crash would lose it")
			}
			meta.RemoveStatusCondition(&s.Grant.Status.Conditions, v1alpha1.ConditionApproved)
			if s.Grant.Status.ActivatedAt = nil; !s.decide().Remember {
				t.Error("it is ending: nothing else has to be known")
			}
			s.revokeRequest()
			if d := s.decide(); d.Remember || d.State != v1alpha1.StateRevoking || d.Cause != v1alpha1.ReasonRemovedByOthers {
				t.Errorf("remembered twice: %v; %s (%s)", d.Remember, d.State, d.Cause)
			}
		})
	}
	// Every other end takes the object's deletion to be remembered: it is final while the object stands.
	for name, end := range map[string]func(*scene){
		"role changed": func(s *scene) { s.Role.Spec.AWS, s.Role.Spec.Kubernetes = nil, nil },
		"revoked":      func(s *scene) { s.revoke("alice") },
		"deadline":     func(s *scene) { s.now = begin.Add(4 * time.Hour) },
		"deleted":      (*scene).delete,
	} {
		s := newScene(t)
		granted(s)
		end(s)
		if d := s.decide(); d.Remember || d.State != v1alpha1.StateRevoking {
			t.Errorf("%s: %s, remember %v", name, d.State, d.Remember)
		}
	}
}

// An approver's word is worth nothing once they are revoked, under whichever name they gave it; the twin is the same
// revocation, lifted.
func TestI7RevokedApprover(t *testing.T) {
	users := access.NewDirectory(access.User{UserID: "AIDACAROL", Name: "carol", ARN: account + "carol", Tags: map[string]string{v1alpha1.KubernetesUsersTag: "carol@hera.example ca"}})
	for _, approver := range []string{"carol", "carol@hera.example", "CA", account + "carol"} {
		for _, revoked := range []string{"carol", "Carol@hera.example", "ca", account + "x/carol", "erin"} {
			for _, decision := range []v1alpha1.ApprovalDecision{v1alpha1.DecisionApprove, v1alpha1.DecisionReject} {
				s := newScene(t)
				s.Person.Directory = users
				s.Approvals = s.Approvals[:1]
				s.approve(approver).Spec.Decision = decision
				heard := v1alpha1.StateGranting
				if decision == v1alpha1.DecisionReject {
					heard = v1alpha1.StateRejected
				}
				r := s.revoke(revoked)
				d := s.decide()
				if revoked == "erin" {
					want{state: heard}.check(t, d)
					continue
				}
				want{state: v1alpha1.StatePendingApproval, message: "a1: " + approver + " is revoked (r0)"}.check(t, d)
				judgeLift(r, true)
				want{state: heard}.check(t, s.decide())
			}
		}
	}
	for state, reach := range map[string]func(*scene){v1alpha1.StateGranted: granted, "Granting again": comingBack, v1alpha1.StateSuspended: suspended} {
		s := newScene(t)
		reach(s)
		before := s.decide()
		s.revoke("carol")
		if d := s.decide(); d.State != before.State || d.Effect != before.Effect {
			t.Errorf("%s: the approver is revoked, and the grant is %s (%s)", state, d.State, d.Message)
		}
	}
	// What is being written, and was not active yet, is taken back.
	s := newScene(t)
	granting(s)
	s.revoke("carol")
	want{state: v1alpha1.StateBlocked, message: "a1: carol is revoked", effect: access.EffectRemove}.check(t, s.decide())
}

// Each row makes something unknown that proves who asks or who did what: nothing new begins, and what is half written is
// taken back; live access stays.
func TestI10NothingNewUnwatched(t *testing.T) {
	tests := map[string]struct {
		spoil   func(*scene)
		cause   string
		message string
		stalled bool
		// back says that suspended access may come back all the same: it was proven when it was given.
		back bool
	}{
		"the guard is broken": {func(s *scene) { s.Guard.Broken = "a policy is gone" }, v1alpha1.ReasonGuardMissing,
			"nothing new is granted until the admission guard is whole: a policy is gone", false, false},
		"the guard was never whole": {func(s *scene) { s.Guard = access.Guard{Broken: "not verified yet"} }, v1alpha1.ReasonGuardMissing, "not verified yet", false, false},
		"the trail cannot be written": {func(s *scene) { s.AuditBroken = "no space left" }, v1alpha1.ReasonAuditUnavailable,
			"nothing new is granted until the audit trail can be written: no space left", false, false},
		"created in a gap": {func(s *scene) { s.Guard.Gaps = []access.Gap{{From: begin, To: begin.Add(time.Minute)}} }, v1alpha1.ReasonUnproven,
			"the grant was created at 2026-11-23T09:00:00Z, when the admission guard was not known to be whole, so nobody has proven who asks: create another grant", true, true},
		"created before the guard": {func(s *scene) { s.Guard.Since = begin.Add(1) }, v1alpha1.ReasonUnproven, "create another grant", true, true},
	}
	stalled := func(s *scene) bool {
		return meta.IsStatusConditionTrue(s.Grant.Status.Conditions, v1alpha1.ConditionStalled)
	}
	for name, test := range tests {
		for state, reach := range map[string]func(*scene){
			"new": func(*scene) {}, "pending": pending, "scheduled": func(s *scene) { scheduled(s); s.now = s.Grant.Spec.NotBefore.Time },
			"blocked": blocked, "half of it, taken back": takenBack,
		} {
			t.Run(name+", "+state, func(t *testing.T) {
				twin, s := newScene(t), newScene(t)
				reach(twin)
				want{state: v1alpha1.StateGranting}.check(t, twin.decide())
				reach(s)
				test.spoil(s)
				want{state: v1alpha1.StateBlocked, cause: test.cause, message: test.message, none: true}.check(t, s.store())
				if stalled(s) != test.stalled {
					t.Errorf("stalled: %v", stalled(s))
				}
				s.Person = nil
				want{state: v1alpha1.StateBlocked, cause: test.cause, none: true}.check(t, s.decide())
			})
		}
		t.Run(name+", half written", func(t *testing.T) {
			for _, known := range []bool{true, false} {
				s := newScene(t)
				granting(s)
				test.spoil(s)
				if !known {
					s.Person = nil
				}
				d := s.store()
				want{state: v1alpha1.StateBlocked, cause: test.cause, message: test.message, effect: access.EffectRemove}.check(t, d)
				if !d.Record || intentions(d) != "(binding:) (prod-one) (prod-two)" {
					t.Errorf("record %v, has to go: %s", d.Record, intentions(d))
				}
				s.see(false)
				want{state: v1alpha1.StateBlocked, none: true}.check(t, s.store())
			}
		})
		t.Run(name+", live", func(t *testing.T) {
			s := newScene(t)
			granted(s)
			test.spoil(s)
			for _, p := range []*access.Person{s.Person, nil} {
				s.Person = p
				d := s.decide()
				want{state: v1alpha1.StateGranted, effect: access.EffectSync}.check(t, d)
				if intentions(d) != "binding: prod-one prod-two" || d.Record {
					t.Errorf("record %v, calls for %s", d.Record, intentions(d))
				}
			}
		})
		t.Run(name+", suspended", func(t *testing.T) {
			s := newScene(t)
			suspended(s)
			test.spoil(s)
			if test.back {
				want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
				return
			}
			want{state: v1alpha1.StateSuspended, cause: test.cause, message: test.message, none: true}.check(t, s.decide())
		})
		t.Run(name+", coming back", func(t *testing.T) {
			s := newScene(t)
			comingBack(s)
			test.spoil(s)
			if test.back {
				want{state: v1alpha1.StateGranting, effect: access.EffectSync}.check(t, s.decide())
				return
			}
			d := s.decide()
			want{state: v1alpha1.StateSuspended, cause: test.cause, effect: access.EffectRemove}.check(t, d)
			if !d.Record {
				t.Error("a crash would lose what is taken away")
			}
		})
	}
}

// Removals never wait for the guard or the trail.
func TestI10RemovalsGoOnUnwatched(t *testing.T) {
	for state, reach := range everyState {
		for name, end := range map[string]func(*scene){
			"deadline": func(s *scene) { s.now = begin.Add(4 * time.Hour) }, "deleted": (*scene).delete, "revoked": func(s *scene) { s.revoke("alice") },
			"taken away": func(s *scene) { s.TakenAway = "the ClusterRoleBinding x" }, "no device": func(s *scene) { s.Person.MFA = false },
		} {
			watched, s := newScene(t), newScene(t)
			reach(watched)
			reach(s)
			end(watched)
			end(s)
			s.Guard.Broken, s.AuditBroken = "a policy is gone", "no space left"
			a, b := watched.decide(), s.decide()
			ends := access.Terminal(a.State) || a.State == v1alpha1.StateRevoking
			if a.Effect == access.EffectRemove && b.Effect != access.EffectRemove || ends && (a.State != b.State || a.Effect != b.Effect) {
				t.Errorf("%s, %s: %s %q while all is watched, %s %q while nothing is", state, name, a.State, a.Effect, b.State, b.Effect)
			}
		}
	}
}
