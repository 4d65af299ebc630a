// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
)

// revoke creates a revocation by eve, a security engineer.
func revoke(t *testing.T, change func(*v1alpha1.AccessRevocationSpec)) *v1alpha1.AccessRevocation {
	t.Helper()
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: unique("revocation")}, Spec: v1alpha1.AccessRevocationSpec{
		Reason: "the laptop was stolen on the train", RevokedBy: "eve@hera.example",
	}}
	change(&r.Spec)
	create(t, r)
	return r
}

func ofPerson(name string) func(*v1alpha1.AccessRevocationSpec) {
	return func(s *v1alpha1.AccessRevocationSpec) { s.Person = v1alpha1.Username(name) }
}

func inForce(t *testing.T, r *v1alpha1.AccessRevocation) {
	t.Helper()
	eventually(t, r, "the state InForce", func() bool { return ready(r) == v1alpha1.ReasonInForce })
}

func ready(r *v1alpha1.AccessRevocation) string {
	if c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady); c != nil {
		return c.Reason
	}
	return ""
}

func lift(t *testing.T, r *v1alpha1.AccessRevocation, by string) {
	t.Helper()
	edit(t, r, func() {
		r.Spec.Lift = &v1alpha1.Lift{By: v1alpha1.Username(by), Reason: "the laptop was found, and was locked"}
	})
}

// judged waits until a lift was found not to count.
func judged(t *testing.T, r *v1alpha1.AccessRevocation, reason string) {
	t.Helper()
	eventually(t, r, "the judgement "+reason, func() bool {
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionLifted)
		return c != nil && c.Reason == reason && c.Status == metav1.ConditionFalse
	})
}

func TestI5RevocationOfAPerson(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, nil)
	// By any name of theirs: the one that the grant names, another, and in another case.
	for _, name := range []string{user, kubernetesUser, strings.ToUpper(kubernetesUser)} {
		g := granted(t, user, r, nil)
		waiting := grant(t, user, r, nil)
		reaches(t, waiting, v1alpha1.StatePendingApproval)
		v := revoke(t, ofPerson(name))
		reaches(t, g, v1alpha1.StateRevoked)
		says(t, g, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "revoked by eve@hera.example", v.Name, "stolen")
		nothing(t, g, r)
		// Under a name that only AWS knows the person is recognised when access would begin.
		approve(t, waiting, twoPeople...)
		reaches(t, waiting, v1alpha1.StateRevoked)
		inForce(t, v)

		lift(t, v, "frank@hera.example")
		eventually(t, v, "the state Lifted", func() bool { return ready(v) == v1alpha1.ReasonLifted })
		calm(t, g)
		if stateOf(g) != v1alpha1.StateRevoked {
			t.Errorf("a lift moved what had ended to %s", stateOf(g))
		}
		again := granted(t, user, r, nil)
		remove(t, again)
		gone(t, again)
		remove(t, v)
		gone(t, v)
		if events := trail.Of(v.Name); !slices.Equal(events, []string{audit.EventRevocation, audit.EventExecuted, audit.EventLifted}) {
			t.Errorf("the trail of the revocation is %v", events)
		}
	}
}

func TestI5OwnRevocationStands(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, nil)
	v := revoke(t, ofPerson(user))
	inForce(t, v)
	lift(t, v, kubernetesUser)
	judged(t, v, v1alpha1.ReasonOwnRevocation)
	reaches(t, grant(t, user, r, nil), v1alpha1.StateRevoked)
	// Deleted, it stays where it is, because it was not lifted.
	remove(t, v)
	reaches(t, grant(t, user, r, nil), v1alpha1.StateRevoked)
	lift(t, v, "frank@hera.example")
	gone(t, v)
	granted(t, user, r, nil)
}

func TestI5RevocationOfAGrantOutlivesIt(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	other := granted(t, user, role(t, nil), nil)
	v := revoke(t, func(s *v1alpha1.AccessRevocationSpec) {
		s.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: g.Status.SpecDigest}
	})
	reaches(t, g, v1alpha1.StateRevoked)
	nothing(t, g, r)
	inForce(t, v)
	if v.Status.EndsAt == nil || !v.Status.EndsAt.Equal(&g.Spec.ExpiresAt) {
		t.Errorf("it goes at %v, want when the window ends, %v", v.Status.EndsAt, g.Spec.ExpiresAt)
	}
	again := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
	remove(t, g)
	gone(t, g)
	create(t, again)
	reaches(t, again, v1alpha1.StateRevoked)
	// Another request under the same name is another request.
	remove(t, again)
	gone(t, again)
	changed := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: *g.Spec.DeepCopy()}
	changed.Spec.Reason += ", and this time with the keys"
	create(t, changed)
	approve(t, changed, twoPeople...)
	reaches(t, changed, v1alpha1.StateGranted)
	calm(t, other)
	if stateOf(other) != v1alpha1.StateGranted {
		t.Errorf("another grant of the person is %s", stateOf(other))
	}
}

// Deleting what was approved is a revocation: the same manifest, applied again, gives nothing, until somebody lifts it.
func TestI5DeletionIsRemembered(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	for name, change := range map[string]func(*v1alpha1.ProdAccessGrant){
		v1alpha1.StateGranted: nil,
		v1alpha1.StateScheduled: func(g *v1alpha1.ProdAccessGrant) {
			nb := inFuture(30 * time.Minute)
			g.Spec.NotBefore = &nb
		},
	} {
		t.Run(name, func(t *testing.T) {
			g := grant(t, user, r, change)
			approve(t, g, twoPeople...)
			reaches(t, g, name)
			again := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
			remove(t, g)
			gone(t, g)
			create(t, again)
			reaches(t, again, v1alpha1.StateRevoked)
			if events := trail.Of(g.Name); events[len(events)-1] != audit.EventRevoked {
				t.Errorf("the trail is %v", events)
			}
			var all v1alpha1.AccessRevocationList
			if err := kube.List(t.Context(), &all); err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(all.Items, func(v v1alpha1.AccessRevocation) bool { return v.Spec.Grant != nil && v.Spec.Grant.Name == g.Name })
			v := &all.Items[i]
			if v.Spec.RevokedBy != "operator" || v.Status.EndsAt == nil {
				t.Errorf("remembered as %+v, %+v", v.Spec, v.Status)
			}
			lift(t, v, "frank@hera.example")
			eventually(t, v, "the state Lifted", func() bool { return ready(v) == v1alpha1.ReasonLifted })
			anew := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
			remove(t, again)
			gone(t, again)
			create(t, anew)
			approve(t, anew, twoPeople...)
			reaches(t, anew, name)
		})
	}
	t.Run("not approved", func(t *testing.T) {
		g := grant(t, user, r, nil)
		reaches(t, g, v1alpha1.StatePendingApproval)
		again := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
		remove(t, g)
		gone(t, g)
		create(t, again)
		reaches(t, again, v1alpha1.StatePendingApproval)
	})
}

// Whoever knows the name under which an end is remembered, and takes it, makes nobody forget.
func TestI5MemoryUnderATakenName(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	spent := func() {
		t.Helper()
		g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: "known"}, Spec: v1alpha1.ProdAccessGrantSpec{
			Subject: v1alpha1.Subject{IAMUser: user}, Role: r.Name, Reason: "see whether the end is remembered", RequestedBy: "dana@hera.example",
			ExpiresAt: metav1.NewTime(r.CreationTimestamp.Add(time.Hour)),
		}}
		again := g.DeepCopy()
		create(t, g)
		approve(t, g, twoPeople...)
		reaches(t, g, v1alpha1.StateGranted)
		remove(t, g)
		gone(t, g)
		create(t, again)
		reaches(t, again, v1alpha1.StateRevoked)
		remove(t, again)
		gone(t, again)
	}
	memory := func() *v1alpha1.AccessRevocation {
		t.Helper()
		var all v1alpha1.AccessRevocationList
		if err := kube.List(t.Context(), &all); err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(all.Items, func(v v1alpha1.AccessRevocation) bool {
			return v.Spec.Grant != nil && v.Spec.Grant.Name == "known" && access.InForce(&v)
		})
		return &all.Items[i]
	}
	spent()
	first := memory()
	lift(t, first, "frank@hera.example")
	eventually(t, first, "a later second than that of the lift", func() bool {
		c := meta.FindStatusCondition(first.Status.Conditions, v1alpha1.ConditionLifted)
		return ready(first) == v1alpha1.ReasonLifted && now.Now().Truncate(time.Second).After(c.LastTransitionTime.Time)
	})
	// Lifted once is not lifted for ever.
	spent()
	second := memory()
	for _, v := range []*v1alpha1.AccessRevocation{first, second} {
		if access.InForce(v) {
			lift(t, v, "frank@hera.example")
			eventually(t, v, "the state Lifted", func() bool { return ready(v) == v1alpha1.ReasonLifted })
		}
		remove(t, v)
		gone(t, v)
	}
	create(t, &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: first.Name}, Spec: v1alpha1.AccessRevocationSpec{
		Person: "nobody", Reason: "take the name of a memory", RevokedBy: "mallory"}})
	spent()
}

func TestRevocationOfAStranger(t *testing.T) {
	t.Parallel()
	stranger, _ := person("mallory")
	r := role(t, nil)
	account.AddMember(groupOf(r), stranger)
	account.AddGroup("unmanaged", stranger)
	v := revoke(t, func(s *v1alpha1.AccessRevocationSpec) {
		s.Membership = &v1alpha1.MembershipReference{Group: v1alpha1.IAMGroupName(groupOf(r)), IAMUser: stranger}
	})
	inForce(t, v)
	if member(r, stranger) {
		t.Error("the stranger is a member still")
	}
	v = revoke(t, func(s *v1alpha1.AccessRevocationSpec) {
		s.Membership = &v1alpha1.MembershipReference{Group: "unmanaged", IAMUser: stranger}
	})
	eventually(t, v, "a refusal", func() bool { return ready(v) == v1alpha1.ReasonNotManaged })
	if !account.IsMember("unmanaged", stranger) {
		t.Error("a group that no role names was touched")
	}
}

func TestCredentialsDeactivated(t *testing.T) {
	t.Parallel()
	for _, action := range []v1alpha1.CredentialsAction{v1alpha1.CredentialsKeep, v1alpha1.CredentialsDeactivate} {
		user, _ := person("alice")
		account.AddPassword(user)
		if err := account.Admin("CreateAccessKey", map[string]string{"UserName": user}); err != nil {
			t.Fatal(err)
		}
		v := revoke(t, func(s *v1alpha1.AccessRevocationSpec) {
			s.Person, s.Credentials = v1alpha1.Username(user), action
		})
		inForce(t, v)
		kept := action == v1alpha1.CredentialsKeep
		if account.HasPassword(user) != kept || (len(account.ActiveKeys(user)) > 0) != kept {
			t.Errorf("%s: password %v, active keys %v", action, account.HasPassword(user), account.ActiveKeys(user))
		}
	}
}

// Nothing begins while the guard is broken, and everything ends.
func TestI10BrokenGuard(t *testing.T) {
	user, _ := person("alice")
	r := role(t, nil)
	live := granted(t, user, r, nil)
	before := grant(t, user, r, nil)
	reaches(t, before, v1alpha1.StatePendingApproval)
	from := now.Now()
	guard.Store(&access.Guard{Since: time.Unix(0, 0), Broken: "the policy prod-access-approvals is gone", Gaps: []access.Gap{{From: from}}})
	defer func() {
		guard.Store(nil)
		changed(t.Context())
	}()
	changed(t.Context())
	eventually(t, r, "the condition GuardIntact", func() bool {
		return meta.IsStatusConditionFalse(r.Status.Conditions, v1alpha1.ConditionGuardIntact) && meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady)
	})
	approve(t, before, twoPeople...)
	unguarded := grant(t, user, r, nil)
	reaches(t, unguarded, v1alpha1.StateBlocked)
	says(t, unguarded, v1alpha1.ConditionStalled, v1alpha1.ReasonUnproven, "create another grant")
	eventually(t, before, "approvals that do not count", func() bool {
		return strings.Contains(conditionsOf(before), "when the admission guard was not known to be whole")
	})
	v := revoke(t, ofPerson(user))
	reaches(t, live, v1alpha1.StateRevoked)
	nothing(t, live, r)
	// A lift that nobody has proven is none, not even later.
	lift(t, v, "frank@hera.example")
	judged(t, v, v1alpha1.ReasonGuardMissing)
	guard.Store(&access.Guard{Since: time.Unix(0, 0), Gaps: []access.Gap{{From: from, To: now.Now().Add(time.Second)}}})
	changed(t.Context())
	eventually(t, r, "the condition GuardIntact", func() bool {
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionGuardIntact)
	})
	reaches(t, grant(t, user, r, nil), v1alpha1.StateRevoked)
}

// While the trail cannot be written nothing begins, everything ends, and what happened is written later.
func TestI8BrokenTrail(t *testing.T) {
	user, _ := person("alice")
	r := role(t, nil)
	live := granted(t, user, r, nil)
	waiting := grant(t, user, r, nil)
	reaches(t, waiting, v1alpha1.StatePendingApproval)
	trail.Break("no space left on device")
	defer trail.Break("")
	approve(t, waiting, twoPeople...)
	reaches(t, waiting, v1alpha1.StateBlocked)
	says(t, waiting, v1alpha1.ConditionActive, v1alpha1.StateBlocked, "no space left on device")
	remove(t, live)
	eventually(t, live, "the end", func() bool { return access.Terminal(stateOf(live)) })
	nothing(t, live, r)
	if len(live.Status.Outbox) == 0 || slices.Contains(trail.Of(live.Name), audit.EventRevoked) {
		t.Errorf("to be written: %+v, written: %v", live.Status.Outbox, trail.Of(live.Name))
	}
	trail.Break("")
	nudge(t, live)
	gone(t, live)
	if events := trail.Of(live.Name); !slices.Equal(events, []string{audit.EventRequested, audit.EventApproved, audit.EventGranted, audit.EventRevoked}) {
		t.Errorf("the trail is %v", events)
	}
	nudge(t, waiting)
	reaches(t, waiting, v1alpha1.StateGranted)
}

// What was let go is not looked after again, whatever goes with it: an end costs five calls of IAM, verified twice. A cache
// that lags may cost one end a second look, so the cheapest of three is what an end costs.
func TestReleasedIsLeftAlone(t *testing.T) {
	r := role(t, nil)
	var ends [][]string
	for range 3 {
		user, _ := person("alice")
		g := granted(t, user, r, nil)
		before := len(callsAbout(user))
		remove(t, g)
		gone(t, g)
		ends = append(ends, callsAbout(user)[before:])
	}
	if !slices.ContainsFunc(ends, func(calls []string) bool { return len(calls) <= 5 }) {
		t.Errorf("each end took more than five calls about its person: %v", ends)
	}
}

func callsAbout(user string) []string {
	var operations []string
	for _, c := range account.Calls() {
		if c.Params.Get("UserName") == user {
			operations = append(operations, c.Op)
		}
	}
	return operations
}

// Nobody lifts a revocation of what is theirs, however it names them.
func TestI5OwnGrantAndOwnSeat(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("eve")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	account.AddGroup("prod-"+user, user)
	stranger := role(t, func(r *v1alpha1.AccessRole) {
		r.Spec.AWS.Groups = []v1alpha1.IAMGroupName{v1alpha1.IAMGroupName("prod-" + user)}
	})
	for name, change := range map[string]func(*v1alpha1.AccessRevocationSpec){
		"grant": func(s *v1alpha1.AccessRevocationSpec) {
			s.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: g.Status.SpecDigest}
		},
		"seat": func(s *v1alpha1.AccessRevocationSpec) {
			s.Membership = &v1alpha1.MembershipReference{Group: stranger.Spec.AWS.Groups[0], IAMUser: user}
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := revoke(t, change)
			inForce(t, v)
			lift(t, v, kubernetesUser)
			judged(t, v, v1alpha1.ReasonOwnRevocation)
			lift(t, v, "frank@hera.example")
			eventually(t, v, "the state Lifted", func() bool { return ready(v) == v1alpha1.ReasonLifted })
		})
	}
}

// A lift that counted counts when the object is deleted as well, whatever has become of the guard.
func TestI10LiftedIsLifted(t *testing.T) {
	user, _ := person("alice")
	r := role(t, nil)
	v := revoke(t, ofPerson(user))
	inForce(t, v)
	lift(t, v, "frank@hera.example")
	eventually(t, v, "the state Lifted", func() bool { return ready(v) == v1alpha1.ReasonLifted })
	live := granted(t, user, r, nil)
	guard.Store(&access.Guard{Since: time.Unix(0, 0), Broken: "a policy is gone", Gaps: []access.Gap{{From: time.Unix(0, 0)}}})
	defer func() {
		guard.Store(nil)
		changed(t.Context())
	}()
	remove(t, v)
	gone(t, v)
	nudge(t, live)
	calm(t, live)
	if stateOf(live) != v1alpha1.StateGranted {
		t.Errorf("the person's grant is %s", stateOf(live))
	}
}

// A name that Kubernetes takes for a grant makes a name that it takes for a revocation.
func TestI5MemoryOfAnAwkwardName(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Name = strings.Repeat("a", 39) + ".b" })
	remove(t, binding(t, g, ""))
	eventually(t, g, "the end", func() bool { return access.Terminal(stateOf(g)) })
	nothing(t, g, r)
}

// A trail that neither works nor fails keeps nobody's access: what has to end ends, and is written later.
func TestI2HangingTrail(t *testing.T) {
	user, _ := person("alice")
	r := role(t, nil)
	revoked, suspended := granted(t, user, r, nil), granted(t, user, r, nil)
	trail.Hang(true)
	defer trail.Hang(false)
	revoke(t, func(s *v1alpha1.AccessRevocationSpec) {
		s.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: revoked.Name, SpecDigest: revoked.Status.SpecDigest}
	})
	reaches(t, revoked, v1alpha1.StateRevoked)
	var c rbacv1.ClusterRole
	if err := kube.Get(t.Context(), client.ObjectKey{Name: r.Name}, &c); err != nil {
		t.Fatal(err)
	}
	edit(t, &c, func() { c.Rules[0].Verbs = append(c.Rules[0].Verbs, "impersonate") })
	reaches(t, suspended, v1alpha1.StateSuspended)
	eventually(t, suspended, "no access", func() bool { return !access.MayExist(suspended) })
	nothing(t, suspended, r)
	trail.Hang(false)
	remove(t, suspended)
	gone(t, suspended)
	if events := trail.Of(suspended.Name); !slices.Contains(events, audit.EventSuspended) || !slices.Contains(events, audit.EventRevoked) {
		t.Errorf("the trail is %v", events)
	}
}
