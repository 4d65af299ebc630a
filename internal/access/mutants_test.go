// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// Clauses that `make mutate` could switch off without a test noticing. Each test has what differs in that clause alone.

func TestWordsWithoutRole(t *testing.T) {
	t.Run("a no to an earlier object", func(t *testing.T) {
		twin, s := newScene(t), newScene(t)
		no := twin.reject("erin")
		no.Spec.Target.UID, no.Spec.Digest = "earlier", twin.digestFor("earlier")
		want{state: v1alpha1.StateRejected}.check(t, twin.decide())

		no = s.reject("erin")
		no.Spec.Target.UID, no.Spec.Digest = "earlier", access.ApprovalDigest("earlier", access.SpecDigest(&s.Grant.Spec), "")
		s.Role = nil
		want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonRoleNotFound}.check(t, s.decide())
	})
	t.Run("a yes to nothing", func(t *testing.T) {
		s := newScene(t)
		s.Approvals[1].Spec.Digest = ""
		if d := s.decide(); len(d.Approvals) != 1 {
			t.Errorf("with a role %+v count, want one", d.Approvals)
		}
		s.Role = nil
		if d := s.decide(); len(d.Approvals) != 0 {
			t.Errorf("%+v count, and nobody knows for what", d.Approvals)
		}
	})
}

// What the role no longer names is stored as such also where nothing else has to be.
func TestNarrowedIsRecorded(t *testing.T) {
	scenes := map[string]struct {
		before func(*scene)
		then   func(*scene)
		want   want
	}{
		"suspended": {suspended, func(s *scene) { s.Person.MFA = false }, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonMFAMissing}},
		"to be identified": {suspended, func(s *scene) { s.Person = nil },
			want{state: v1alpha1.StateSuspended, effect: access.EffectIdentify}},
		"coming back": {comingBack, func(*scene) {}, want{state: v1alpha1.StateGranting, effect: access.EffectSync}},
	}
	for name, test := range scenes {
		for _, narrowed := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, narrowed %v", name, narrowed), func(t *testing.T) {
				s := newScene(t)
				test.before(s)
				test.then(s)
				if s.store(); narrowed {
					s.Role.Spec.AWS.Groups = s.Role.Spec.AWS.Groups[:1]
				}
				d := s.decide()
				test.want.check(t, d)
				if d.Record != narrowed {
					t.Errorf("to be recorded: %v, want %v", d.Record, narrowed)
				}
			})
		}
	}
}

// Narrowed for the second time: what went the first time hides nothing of it.
func TestNarrowedTwiceIsRecorded(t *testing.T) {
	s := newScene(t)
	granted(s)
	groups := s.Role.Spec.AWS.Groups
	for left := range slices.Backward(groups) {
		s.Role.Spec.AWS.Groups = groups[:left]
		if d := s.store(); !d.Record {
			t.Errorf("with %d groups left it is not to be recorded", left)
		}
		if d := s.decide(); d.Record {
			t.Errorf("with %d groups left it is to be recorded twice", left)
		}
	}
}

func TestGrantedTellsWhatIsLeft(t *testing.T) {
	twin, s := newScene(t), newScene(t)
	granted(twin)
	want{state: v1alpha1.StateGranted, message: "ClusterRole prod-access-infra-member"}.check(t, twin.decide())
	granted(s)
	s.Role.Spec.Kubernetes = nil
	d := s.decide()
	want{state: v1alpha1.StateGranted, message: "prod-one, prod-two"}.check(t, d)
	if strings.Contains(d.Message, "ClusterRole") {
		t.Errorf("it tells of a binding that has to go: %s", d.Message)
	}
}

// Who was going to be bound is nobody's concern once that was taken back: the person's username is chosen anew.
func TestUsernameIsChosenAnewAfterTakingBack(t *testing.T) {
	for when, test := range map[string]struct {
		before func(*scene)
		want   want
	}{
		"taken back": {takenBack, want{state: v1alpha1.StateGranting}},
		"granted":    {granted, want{state: v1alpha1.StateSuspended, cause: v1alpha1.ReasonIdentityMismatch}},
	} {
		t.Run(when, func(t *testing.T) {
			s := newScene(t)
			s.Grant.Spec.Subject.KubernetesUser = ""
			s.approveAnew()
			test.before(s)
			s.Person.KubernetesUsers = []string{"al"}
			d := s.decide()
			test.want.check(t, d)
			if when == "taken back" && d.Kubernetes.User != "al" {
				t.Errorf("bound as %q", d.Kubernetes.User)
			}
		})
	}
}

// Whoever is in every group already joins none, however many there are.
func TestQuotaIsForJoining(t *testing.T) {
	crowd := func(own ...string) []string {
		return append(own, strings.Fields("a b c d e f g h i j")...)
	}
	s := newScene(t)
	s.Person.Memberships = crowd("prod-one", "prod-two")
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	s.Person.Memberships = crowd("prod-one")
	want{state: v1alpha1.StateBlocked, cause: v1alpha1.ReasonQuotaExceeded}.check(t, s.decide())
}

func TestExtendByUnknownName(t *testing.T) {
	known := []string{"al"}
	if got := (access.Directory{}).Extend(known, "bob"); !slices.Equal(got, known) {
		t.Errorf("a name that nobody has was added: %v", got)
	}
	if got := access.NewDirectory(access.User{UserID: "AIDABOB", Name: "bob"}).Extend(known, "bob"); !slices.Contains(got, "bob") {
		t.Errorf("a name that somebody has was not added: %v", got)
	}
}

// The first of several removals waits for the last of them to settle.
func TestI5LaterRemovalIsWaitedFor(t *testing.T) {
	for _, later := range []bool{false, true} {
		var r access.Removals
		r.Judge("first", false, false, 1000, begin)
		want := access.Verdict{Alike: 1, TakenAway: true}
		if later {
			r.Judge("second", false, false, 1000, begin.Add(time.Second))
			want = access.Verdict{Alike: 2, Again: time.Second}
		}
		if got := r.Judge("first", false, false, 1000, begin.Add(settleTime)); got != want {
			t.Errorf("with a later one %v: %+v, want %+v", later, got, want)
		}
	}
}

// Only the ARN of an IAM user is that user's name.
func TestI7ARNs(t *testing.T) {
	for name, same := range map[string]bool{
		account + "bob": true, account + "team/bob": true,
		"arn:aws:sts::123456789012:assumed-role/admin/bob": false,
		"oidc:user/bob": false,
	} {
		if got := (access.Directory{}).Same("bob", name); got != same {
			t.Errorf("%s is bob: %v, want %v", name, got, same)
		}
	}
}

// Nothing is verified, and nothing waited for, where nothing ever was.
func TestReleasedAtOnce(t *testing.T) {
	s := newScene(t)
	s.reject("erin")
	s.store()
	s.must(v1alpha1.StateRejected)
	s.delete()
	want{state: v1alpha1.StateRejected, effect: access.EffectRelease}.check(t, s.decide())

	twin := newScene(t)
	ended(twin)
	twin.delete()
	want{state: v1alpha1.StateRevoked, none: true}.check(t, twin.decide())
}

// What was seen gone on the way is verified at the end as well, and an end that is decided waits for no deadline.
func TestRevokingKeepsEverything(t *testing.T) {
	s := newScene(t)
	revoking(s)
	s.Grant.Status.AWS.Groups[0].Observed = false
	d := s.decide()
	want{state: v1alpha1.StateRevoking, effect: access.EffectRemove}.check(t, d)
	if len(d.AWS.Groups) != 2 || len(d.Kubernetes.Bindings) != 1 {
		t.Errorf("something is forgotten: %s", intentions(d))
	}
	if !d.WakeAt.IsZero() {
		t.Errorf("it is woken at %s, for nothing", d.WakeAt)
	}
}

// A no to another role is not a no to this request, and leaves nothing to remember.
func TestNoToAnotherRoleIsNotRemembered(t *testing.T) {
	for role, remember := range map[string]bool{"infra-member": true, "infra-manager": false} {
		s := newScene(t)
		s.Approvals = nil
		s.reject("erin").Spec.Role = role
		s.delete()
		d := s.decide()
		want{state: v1alpha1.StateRevoked, effect: access.EffectRelease}.check(t, d)
		if d.Remember != remember {
			t.Errorf("a no to %s: to be remembered %v, want %v", role, d.Remember, remember)
		}
	}
}

func TestNamesGroup(t *testing.T) {
	named := &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"prod-one", "prod-two"}}
	for _, test := range []struct {
		aws   *v1alpha1.AWSRole
		group v1alpha1.IAMGroupName
		want  bool
	}{{named, "prod-two", true}, {named, "PROD-two", true}, {named, "prod-three", false}, {nil, "prod-two", false}} {
		if got := access.NamesGroup(&v1alpha1.AccessRoleSpec{AWS: test.aws}, test.group); got != test.want {
			t.Errorf("%+v names %s: %v, want %v", test.aws, test.group, got, test.want)
		}
	}
}

// However long a rule is, what is forbidden about it is printed.
func TestForbiddenPartIsPrinted(t *testing.T) {
	many := func(last string) []string { return append(strings.Fields("a b c d e f"), last) }
	for printed, rule := range map[string]rbacv1.PolicyRule{
		"[impersonate-on:a ":         {APIGroups: []string{""}, Resources: []string{"users"}, Verbs: many("impersonate-on:a")},
		"[nodes/proxy ":              {APIGroups: []string{""}, Resources: many("nodes/proxy"), Verbs: []string{"get"}},
		"[access.hera.dev a ":        {APIGroups: many("access.hera.dev"), Resources: []string{"accessroles"}, Verbs: []string{"update"}},
		"[bind a ":                   {APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: many("bind")},
		"[escalate a ":               {APIGroups: []string{"apps"}, Resources: []string{"deployments"}, Verbs: many("escalate")},
		"nonResourceURLs [/metrics]": {NonResourceURLs: []string{"/metrics"}, Verbs: []string{"*"}},
	} {
		if got := access.ForbiddenRule([]rbacv1.PolicyRule{rule}, v1alpha1.AccessReadWrite); !strings.Contains(got, printed) {
			t.Errorf("%s\nwant it to print %s", got, printed)
		}
	}
}

// What goes while it is being taken back went by our own doing.
func TestTakenAwayWhileTakingBack(t *testing.T) {
	twin, s := newScene(t), newScene(t)
	granting(twin)
	twin.TakenAway = "the ClusterRoleBinding x"
	want{state: v1alpha1.StateRevoking, cause: v1alpha1.ReasonRemovedByOthers}.check(t, twin.decide())

	granting(s)
	s.Person.MFA = false
	s.store()
	s.must(v1alpha1.StateBlocked)
	s.TakenAway = "the ClusterRoleBinding x"
	want{state: v1alpha1.StateBlocked, effect: access.EffectRemove}.check(t, s.decide())
}

// What is missing from access that exists ends it before a suspension could bring it back; what is missing from access
// that was suspended is missing by our own doing.
func TestI5MissedBeforeSuspension(t *testing.T) {
	for name, test := range map[string]struct {
		before func(*scene)
		missed bool
		want   string
	}{
		"granted, missed":       {granted, true, v1alpha1.StateRevoking},
		"granted, not missed":   {granted, false, v1alpha1.StateSuspended},
		"suspended, missed":     {suspended, true, v1alpha1.StateSuspended},
		"suspended, not missed": {suspended, false, v1alpha1.StateSuspended},
	} {
		t.Run(name, func(t *testing.T) {
			s := newScene(t)
			test.before(s)
			// Of both conditions one may be absent.
			conditions := &s.Grant.Status.Conditions
			meta.RemoveStatusCondition(conditions, v1alpha1.ConditionMembershipsSynced)
			meta.RemoveStatusCondition(conditions, v1alpha1.ConditionBindingsSynced)
			if test.missed {
				meta.SetStatusCondition(conditions, metav1.Condition{Type: v1alpha1.ConditionBindingsSynced, Status: metav1.ConditionFalse, Reason: v1alpha1.ReasonRemovalHeld})
			}
			s.Person.MFA = false
			want{state: test.want}.check(t, s.decide())
		})
	}
}

func TestRevokedNames(t *testing.T) {
	for want, r := range map[string]v1alpha1.AccessRevocation{
		"[al alice]": {Spec: v1alpha1.AccessRevocationSpec{Person: "alice"}, Status: v1alpha1.AccessRevocationStatus{Names: []string{"al", "alice"}}},
		"[alice]":    {Spec: v1alpha1.AccessRevocationSpec{Person: "alice"}},
		"[mallory]":  {Spec: v1alpha1.AccessRevocationSpec{Membership: &v1alpha1.MembershipReference{Group: "prod-one", IAMUser: "mallory"}}},
		"[]":         {Spec: v1alpha1.AccessRevocationSpec{Grant: &v1alpha1.GrantReference{Name: "ledger-disk"}}},
	} {
		if got := fmt.Sprint(access.RevokedNames(&r)); got != want {
			t.Errorf("%+v: %s, want %s", r.Spec, got, want)
		}
	}
}

func TestGrantedTellsWhere(t *testing.T) {
	for where, in := range map[string][]v1alpha1.NamespaceName{"in the cluster as": nil, "in the namespace payments as": {"payments"}, "in 2 namespaces as": {"payments", "ledger"}} {
		s := newScene(t)
		if s.Grant.Spec.Namespaces = in; in != nil {
			s.Role.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces
		}
		s.approveAnew()
		granted(s)
		want{state: v1alpha1.StateGranted, message: where}.check(t, s.decide())
	}
}

// What was a name of the subject when access began to be written stays one, whatever the tag says later.
func TestI7RecordedNames(t *testing.T) {
	for approver, state := range map[string]string{"al": v1alpha1.StatePendingApproval, "erin": v1alpha1.StateGranting} {
		s := newScene(t)
		s.Person.KubernetesUsers = []string{"alice@hera.example", "al"}
		takenBack(s)
		s.Person.KubernetesUsers = s.Person.KubernetesUsers[:1]
		s.Approvals = nil
		s.approve("bob", approver)
		want{state: state}.check(t, s.decide())
	}
}

// A revocation of one request knows whose it is, so that they do not lift it; it revokes nothing else of theirs.
func TestI5RevocationOfAnotherRequest(t *testing.T) {
	s := newScene(t)
	r := s.revokeRequest()
	r.Spec.Grant.Name, r.Status.Names = "another", access.SubjectNames(s.Grant)
	want{state: v1alpha1.StateGranting}.check(t, s.decide())
	r.Spec.Grant.Name = s.Grant.Name
	want{state: v1alpha1.StateRevoked}.check(t, s.decide())
}
