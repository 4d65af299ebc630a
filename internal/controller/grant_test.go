// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/util/retry"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

var twoPeople = []string{"bob@hera.example", "carol@hera.example"}

// granted asks, approves and waits.
func granted(t *testing.T, user string, r *v1alpha1.AccessRole, change func(*v1alpha1.ProdAccessGrant)) *v1alpha1.ProdAccessGrant {
	t.Helper()
	g := grant(t, user, r, change)
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateGranted)
	return g
}

func member(r *v1alpha1.AccessRole, user string) bool {
	return account.IsMember(groupOf(r), user)
}

func groupOf(r *v1alpha1.AccessRole) string { return "prod-" + r.Name }

// nothing checks that a grant gives nothing.
func nothing(t *testing.T, g *v1alpha1.ProdAccessGrant, r *v1alpha1.AccessRole) {
	t.Helper()
	if member(r, g.Spec.Subject.IAMUser) {
		t.Errorf("%s (%s): %s is in the IAM group", g.Name, stateOf(g), g.Spec.Subject.IAMUser)
	}
	if bound(t, g) {
		t.Errorf("%s (%s): bound", g.Name, stateOf(g))
	}
}

// calm checks that nothing happens to a grant for a while: no write, and no call about its person.
func calm(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	calls := func() int {
		n := 0
		for _, c := range account.Calls() {
			if c.Params.Get("UserName") == g.Spec.Subject.IAMUser {
				n++
			}
		}
		return n
	}
	// An event that was on its way, such as that of an approval, may have it looked at once more.
	var before int
	var version string
	var since time.Time
	err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, 20*time.Second, true, func(ctx context.Context) (bool, error) {
		err := kube.Get(ctx, client.ObjectKeyFromObject(g), g)
		if n := calls(); since.IsZero() || n != before || g.ResourceVersion != version {
			before, version, since = n, g.ResourceVersion, now.Now()
		}
		return now.Now().Sub(since) > 1500*time.Millisecond, err
	})
	if err != nil {
		t.Errorf("%s does not rest: version %s, %d calls (%v)\n%s", g.Name, version, before, err, conditionsOf(g))
	}
}

// nudge makes the operator look at a grant again now, as any new approval does.
func nudge(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	seen := g.DeepCopy()
	if seen.Status.ApprovalDigest == "" {
		seen.Status.ApprovalDigest = "sha256:" + strings.Repeat("0", 64)
	}
	decide(t, seen, unique("somebody"), v1alpha1.DecisionApprove)
}

func TestGrantComesAndGoes(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, expiring(6*time.Second))
	reaches(t, g, v1alpha1.StatePendingApproval)
	approve(t, g, "bob@hera.example")
	eventually(t, g, "one approval", func() bool { return len(g.Status.Approvals) == 1 })
	if stateOf(g) != v1alpha1.StatePendingApproval {
		t.Fatalf("one approval of two led to %s", stateOf(g))
	}
	nothing(t, g, r)
	approve(t, g, "carol@hera.example")
	reaches(t, g, v1alpha1.StateGranted)
	if !member(r, user) {
		t.Error("granted without the IAM group")
	}
	if !bound(t, g) || g.Status.Kubernetes.User != kubernetesUser {
		t.Errorf("granted without a binding of %s", kubernetesUser)
	}
	calm(t, g)
	reaches(t, g, v1alpha1.StateExpired)
	nothing(t, g, r)
	if late := g.Status.EndedAt.Sub(g.Spec.ExpiresAt.Time); late > time.Second {
		t.Errorf("ended %s after the deadline", late)
	}
}

func TestI1WindowHasNotBegun(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Spec.NotBefore = new(inFuture(4 * time.Second)) })
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateScheduled)
	nothing(t, g, r)
	reaches(t, g, v1alpha1.StateGranted)
	if g.Status.ActivatedAt.Time.Before(g.Spec.NotBefore.Time) {
		t.Errorf("active at %s, before the window began at %s", g.Status.ActivatedAt, g.Spec.NotBefore)
	}
}

func TestI1ChangedMeaningVoidsApprovals(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, func(g *v1alpha1.ProdAccessGrant) {
		g.Spec.NotBefore = new(inFuture(time.Hour))
		g.Spec.ExpiresAt = inFuture(2 * time.Hour)
	})
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateScheduled)
	edit(t, r, func() {
		r.Spec.AWS.Groups = append(r.Spec.AWS.Groups, v1alpha1.IAMGroupName(groupOf(r)+"-more"))
		guarded(t, r)
	})
	reaches(t, g, v1alpha1.StatePendingApproval)
	says(t, g, v1alpha1.ConditionApproved, v1alpha1.ReasonApprovalsMissing, "0 of 2 approvals", "approve again")
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateScheduled)
}

func update(t *testing.T, o client.Object) {
	t.Helper()
	if err := kube.Update(t.Context(), o); err != nil {
		t.Fatalf("updating %s: %v", o.GetName(), err)
	}
}

// edit changes the newest version of an object.
func edit(t *testing.T, o client.Object, change func()) {
	t.Helper()
	err := retry.RetryOnConflict(retry.DefaultRetry, func() error {
		if err := kube.Get(t.Context(), client.ObjectKeyFromObject(o), o); err != nil {
			return err
		}
		change()
		return kube.Update(t.Context(), o)
	})
	if err != nil {
		t.Fatalf("editing %s: %v", o.GetName(), err)
	}
}

func remove(t *testing.T, o client.Object) {
	t.Helper()
	if err := kube.Delete(t.Context(), o); err != nil {
		t.Fatalf("deleting %s: %v", o.GetName(), err)
	}
}

func gone(t *testing.T, o client.Object) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := kube.Get(ctx, client.ObjectKeyFromObject(o), o)
		return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatalf("%s never went away: %v\n%s", o.GetName(), err, conditionsOf(o))
	}
}

// Each row is a request that gives nothing, and what makes a twin of it succeed.
func TestBadInput(t *testing.T) {
	t.Parallel()
	type scene struct {
		role  *v1alpha1.AccessRole
		user  string
		grant func(*v1alpha1.ProdAccessGrant)
		// mend turns the request into its twin: before it is made, or in the world around it.
		mendGrant func(*v1alpha1.ProdAccessGrant)
		mend      func()
	}
	rows := map[string]struct {
		set             func(*testing.T) scene
		reason, message string
		condition       string
	}{
		"unknown role": {reason: v1alpha1.ReasonRoleNotFound, message: "there is no AccessRole", set: func(t *testing.T) scene {
			user, _ := person("p")
			r := role(t, nil)
			return scene{r, user, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Role = "nowhere" }, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Role = r.Name }, nil}
		}},
		"namespaces for a Cluster role": {reason: v1alpha1.ReasonPolicyViolation, message: "not bound in namespaces", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, nil), user, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Namespaces = []v1alpha1.NamespaceName{"payments"} },
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.Namespaces = nil }, nil}
		}},
		"no namespaces for a Namespaces role": {reason: v1alpha1.ReasonPolicyViolation, message: "lists them in spec.namespaces", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, namespaced), user, nil, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Namespaces = []v1alpha1.NamespaceName{"default"} }, nil}
		}},
		"window too long": {reason: v1alpha1.ReasonPolicyViolation, message: "allows 8h0m0s", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, nil), user, expiring(9 * time.Hour), expiring(7 * time.Hour), nil}
		}},
		"ten years ahead": {reason: v1alpha1.ReasonPolicyViolation, message: "allows 8h0m0s", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, nil), user, expiring(10 * 365 * 24 * time.Hour), expiring(time.Hour), nil}
		}},
		"lead time too long": {reason: v1alpha1.ReasonPolicyViolation, message: "notBefore is", set: func(t *testing.T) scene {
			user, _ := person("p")
			begin := func(d time.Duration) func(*v1alpha1.ProdAccessGrant) {
				return func(g *v1alpha1.ProdAccessGrant) {
					g.Spec.NotBefore = new(inFuture(d))
					g.Spec.ExpiresAt = inFuture(d + time.Hour)
				}
			}
			return scene{role(t, func(r *v1alpha1.AccessRole) { r.Spec.MaxLeadTime = metav1.Duration{Duration: time.Hour} }), user, begin(2 * time.Hour), begin(time.Second), nil}
		}},
		"no ticket": {reason: v1alpha1.ReasonPolicyViolation, message: "changeTicket", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, func(r *v1alpha1.AccessRole) { r.Spec.Change.TicketPattern = "CHG-[0-9]+" }), user,
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.ChangeTicket = "CHG-1; drop" }, func(g *v1alpha1.ProdAccessGrant) { g.Spec.ChangeTicket = "CHG-1" }, nil}
		}},
		"no incident": {reason: v1alpha1.ReasonPolicyViolation, message: "spec.incident", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, func(r *v1alpha1.AccessRole) { r.Spec.Incident = v1alpha1.IncidentRequired }), user, nil,
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.Incident = "INC-7" }, nil}
		}},
		"no evidence": {reason: v1alpha1.ReasonPolicyViolation, message: "spec.stagingEvidence", set: func(t *testing.T) scene {
			user, _ := person("p")
			return scene{role(t, func(r *v1alpha1.AccessRole) { r.Spec.Change.StagingEvidence = v1alpha1.EvidenceRequired }), user, nil,
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.StagingEvidence = "https://ci.hera.example/run/7" }, nil}
		}},
		"no such IAM user": {reason: v1alpha1.ReasonUserNotFound, condition: v1alpha1.ConditionEligible, message: "AWS has no IAM user", set: func(t *testing.T) scene {
			user := unique("ghost")
			return scene{role(t, nil), user, nil, nil, func() { account.AddUser(fake.User{Name: user, MFA: true}) }}
		}},
		"IAM user in another case": {reason: v1alpha1.ReasonIdentityMismatch, condition: v1alpha1.ConditionEligible, message: "is spelled", set: func(t *testing.T) scene {
			user, _ := person("Alice")
			return scene{role(t, nil), user, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.IAMUser = "a" + user[1:] },
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.IAMUser = user }, nil}
		}},
		"somebody else's kubernetesUser": {reason: v1alpha1.ReasonIdentityMismatch, condition: v1alpha1.ConditionEligible, message: "is not one of the Kubernetes usernames", set: func(t *testing.T) scene {
			user, kubernetesUser := person("p")
			return scene{role(t, nil), user, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.KubernetesUser = "root@hera.example" },
				func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.KubernetesUser = v1alpha1.Username(kubernetesUser) }, nil}
		}},
		"a tag that names a system user": {reason: v1alpha1.ReasonIdentityMismatch, condition: v1alpha1.ConditionEligible, message: "reserved", set: func(t *testing.T) scene {
			user := unique("p")
			account.AddUser(fake.User{Name: user, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: "system:admin"}})
			return scene{role(t, nil), user, nil, nil, func() {
				_ = account.Admin("TagUser", map[string]string{"UserName": user, "Tags.member.1.Key": v1alpha1.KubernetesUsersTag, "Tags.member.1.Value": "admin"})
			}}
		}},
		"no MFA device": {reason: v1alpha1.ReasonMFAMissing, condition: v1alpha1.ConditionEligible, message: "register one", set: func(t *testing.T) scene {
			user, _ := person("p")
			account.RemoveMFA(user)
			return scene{role(t, nil), user, nil, nil, func() { account.AddMFA(user) }}
		}},
		"a member already": {reason: v1alpha1.ReasonForeignMembership, condition: v1alpha1.ConditionMembershipsSynced, message: "not by a grant", set: func(t *testing.T) scene {
			user, _ := person("p")
			r := role(t, nil)
			account.AddMember(groupOf(r), user)
			return scene{r, user, nil, nil, func() { account.RemoveMember(groupOf(r), user) }}
		}},
		"eleventh group": {reason: v1alpha1.ReasonQuotaExceeded, condition: v1alpha1.ConditionMembershipsSynced, message: "AWS allows 10", set: func(t *testing.T) scene {
			user, _ := person("p")
			last := ""
			for range access.MaxGroupsPerUser {
				last = unique("other")
				account.AddGroup(last, user)
			}
			return scene{role(t, nil), user, nil, nil, func() { account.RemoveMember(last, user) }}
		}},
		"a ClusterRole with a forbidden rule": {reason: v1alpha1.ReasonRoleNotReady, message: "wildcard", set: func(t *testing.T) scene {
			user, _ := person("p")
			r := role(t, nil)
			c := &rbacv1.ClusterRole{}
			c.Name = r.Name
			eventually(t, c, "the ClusterRole", func() bool { return true })
			lawful := c.DeepCopy().Rules
			c.Rules[0].Resources = []string{"*"}
			update(t, c)
			return scene{r, user, nil, nil, func() { c.Rules = lawful; update(t, c) }}
		}},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := row.set(t)
			g := grant(t, s.user, s.role, s.grant)
			if row.reason != v1alpha1.ReasonRoleNotFound && row.reason != v1alpha1.ReasonPolicyViolation {
				approve(t, g, twoPeople...)
			}
			reaches(t, g, v1alpha1.StateBlocked)
			says(t, g, v1alpha1.ConditionActive, v1alpha1.StateBlocked, row.message)
			if row.condition != "" {
				says(t, g, row.condition, row.reason, row.message)
			}
			if row.reason != v1alpha1.ReasonForeignMembership {
				nothing(t, g, s.role)
			}
			calm(t, g)

			twin := g
			if s.mendGrant != nil {
				twin = grant(t, s.user, s.role, func(g *v1alpha1.ProdAccessGrant) {
					if s.grant != nil {
						s.grant(g)
					}
					s.mendGrant(g)
				})
				approve(t, twin, twoPeople...)
			} else {
				s.mend()
				nudge(t, g)
				eventually(t, twin, "approvals for what the role gives now", func() bool { return stateOf(twin) != v1alpha1.StateBlocked })
				if stateOf(twin) == v1alpha1.StatePendingApproval {
					approve(t, twin, twoPeople...)
				}
			}
			reaches(t, twin, v1alpha1.StateGranted)
			if !member(s.role, s.user) {
				t.Error("the twin is granted without the IAM group")
			}
		})
	}
}

func TestRolesThatGrantNothing(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, r *v1alpha1.AccessRole, reason string) {
		t.Helper()
		eventually(t, r, "the reason "+reason, func() bool {
			ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
			return ready != nil && ready.Reason == reason && ready.ObservedGeneration == r.Generation
		})
	}
	check(t, role(t, nil), v1alpha1.ReasonRoleReady)
	check(t, role(t, func(r *v1alpha1.AccessRole) { r.Spec.Kubernetes.ClusterRole = "prod-access-missing" }), v1alpha1.ReasonClusterRoleNotFound)
	missing := role(t, nil)
	check(t, missing, v1alpha1.ReasonRoleReady)
	edit(t, missing, func() { missing.Spec.AWS.Groups = append(missing.Spec.AWS.Groups, "missing") })
	check(t, missing, v1alpha1.ReasonGroupNotFound)

	r := role(t, nil)
	check(t, r, v1alpha1.ReasonRoleReady)
	var c rbacv1.ClusterRole
	if err := kube.Get(t.Context(), client.ObjectKey{Name: r.Name}, &c); err != nil {
		t.Fatal(err)
	}
	c.Rules[0].Resources = []string{"secrets"}
	update(t, &c)
	check(t, r, v1alpha1.ReasonForbiddenRule)
	digest := r.Status.MeaningDigest
	edit(t, r, func() { r.Spec.Kubernetes.Access = v1alpha1.AccessReadWrite })
	check(t, r, v1alpha1.ReasonRoleReady)
	if r.Status.MeaningDigest == digest {
		t.Error("ReadOnly became ReadWrite, and the role still means the same")
	}
}

func TestStrangersAreNamed(t *testing.T) {
	t.Parallel()
	stranger, _ := person("stranger")
	r := role(t, func(r *v1alpha1.AccessRole) { account.AddMember(groupOf(r), stranger) })
	eventually(t, r, "a stranger", func() bool {
		groups := r.Status.AWS.Groups
		return len(groups) == 1 && groups[0].Members == 1 && len(groups[0].Strangers) == 1 && groups[0].Strangers[0].IAMUser == stranger && groups[0].ARN != ""
	})
}

func TestI4OverlapEndsInAnyOrder(t *testing.T) {
	t.Parallel()
	for name, windows := range map[string][2]time.Duration{"first made ends first": {6 * time.Second, 9 * time.Second}, "first made ends last": {9 * time.Second, 6 * time.Second}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, _ := person("alice")
			r := role(t, nil)
			one, two := grant(t, user, r, expiring(windows[0])), grant(t, user, r, expiring(windows[1]))
			approve(t, one, twoPeople...)
			approve(t, two, twoPeople...)
			reaches(t, one, v1alpha1.StateGranted)
			reaches(t, two, v1alpha1.StateGranted)
			short, long := one, two
			if windows[0] > windows[1] {
				short, long = two, one
			}
			reaches(t, short, v1alpha1.StateExpired)
			if !member(r, user) || !bound(t, long) {
				t.Error("the shorter grant took the longer one's access with it")
			}
			reaches(t, long, v1alpha1.StateExpired)
			nothing(t, long, r)
		})
	}
}

func TestI3SameManifestAgain(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, expiring(4*time.Second))
	manifest := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
	reaches(t, g, v1alpha1.StateExpired)
	ended := g.Status.EndedAt
	nudge(t, g)
	calm(t, g)
	if stateOf(g) != v1alpha1.StateExpired || !g.Status.EndedAt.Equal(ended) {
		t.Errorf("a late approval moved an ended grant to %s", stateOf(g))
	}
	remove(t, g)
	gone(t, g)
	create(t, manifest)
	reaches(t, manifest, v1alpha1.StateExpired)
	nudge(t, manifest)
	calm(t, manifest)
	if stateOf(manifest) != v1alpha1.StateExpired {
		t.Errorf("the same manifest went to %s", stateOf(manifest))
	}
	nothing(t, manifest, r)
}

func TestRejectionIsFinal(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, nil)
	eventually(t, g, "a digest", func() bool { return g.Status.ApprovalDigest != "" })
	decide(t, g, "bob@hera.example", v1alpha1.DecisionReject)
	reaches(t, g, v1alpha1.StateRejected)
	says(t, g, v1alpha1.ConditionActive, v1alpha1.StateRejected, "bob@hera.example")
	approve(t, g, "carol@hera.example", "erin@hera.example")
	calm(t, g)
	if stateOf(g) != v1alpha1.StateRejected {
		t.Errorf("approvals moved a rejected grant to %s", stateOf(g))
	}
	again := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: g.Name}, Spec: g.Spec}
	remove(t, g)
	gone(t, g)
	create(t, again)
	reaches(t, again, v1alpha1.StateRevoked)
	says(t, again, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "bob@hera.example rejected it")
}

func TestI7NobodyApprovesTheirOwnAccess(t *testing.T) {
	t.Parallel()
	user, kubernetesUser := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, nil)
	approve(t, g, "bob@hera.example", kubernetesUser, user, "dana@hera.example", "BOB@hera.example")
	eventually(t, g, "a look at all approvals", func() bool {
		return strings.Contains(conditionsOf(g), "BOB@hera.example is the same person as bob@hera.example")
	})
	if len(g.Status.Approvals) != 1 || stateOf(g) != v1alpha1.StatePendingApproval {
		t.Errorf("in %s these count: %v", stateOf(g), g.Status.Approvals)
	}
	approve(t, g, "carol@hera.example")
	reaches(t, g, v1alpha1.StateGranted)
}

func TestI5DeletedBindingEndsTheGrant(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	remove(t, binding(t, g, ""))
	reaches(t, g, v1alpha1.StateRevoked)
	says(t, g, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "somebody took", "ClusterRoleBinding")
	nothing(t, g, r)
}

func TestChangedBindingIsPutRight(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	g := granted(t, user, role(t, nil), nil)
	crb, ok := binding(t, g, "").(*rbacv1.ClusterRoleBinding)
	if !ok {
		t.Fatal("no binding")
	}
	uid := crb.UID
	crb.Subjects = append(crb.Subjects, rbacv1.Subject{Kind: "User", APIGroup: rbacv1.GroupName, Name: "mallory@hera.example"})
	update(t, crb)
	eventually(t, crb, "one subject", func() bool { return len(crb.Subjects) == 1 })
	if crb.UID != uid || crb.Subjects[0].Name != g.Status.Kubernetes.User {
		t.Errorf("put right as %s %v", crb.UID, crb.Subjects)
	}
	delete(crb.Labels, v1alpha1.ManagedByLabel)
	update(t, crb)
	eventually(t, crb, "the label", func() bool { return crb.Labels[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByValue })
	crb.Subjects = nil
	update(t, crb)
	reaches(t, g, v1alpha1.StateRevoked)
}

func TestI9ForeignBindingIsNotAdopted(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, nil)
	foreign := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)},
		Subjects:   []rbacv1.Subject{{Kind: "User", APIGroup: rbacv1.GroupName, Name: user + "@hera.example"}},
		RoleRef:    rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: r.Name},
	}
	create(t, foreign)
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateBlocked)
	says(t, g, v1alpha1.ConditionBindingsSynced, v1alpha1.ReasonConflict, "was not made by the operator")
	eventually(t, g, "half of the access taken back", func() bool { return !access.MayExist(g) })
	if member(r, user) {
		t.Error("half of the access was left behind")
	}
	says(t, g, v1alpha1.ConditionBindingsSynced, v1alpha1.ReasonConflict, "was not made by the operator")
	calm(t, g)
	remove(t, foreign)
	nudge(t, g)
	reaches(t, g, v1alpha1.StateGranted)
}

func TestRoleDeletedWhileGrantsLive(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	remove(t, r)
	reaches(t, g, v1alpha1.StateRevoked)
	says(t, g, v1alpha1.ConditionActive, v1alpha1.StateRevoked, "no longer names anything")
	nothing(t, g, r)
}

func TestI1LiveGrantIsOnlyNarrowed(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	more := unique("more")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	edit(t, r, func() {
		r.Spec.AWS.Groups = []v1alpha1.IAMGroupName{v1alpha1.IAMGroupName(more)}
		guarded(t, r)
	})
	eventually(t, g, "the group withdrawn", func() bool { return !g.Status.AWS.Groups[0].Intended && !g.Status.AWS.Groups[0].Observed })
	reaches(t, g, v1alpha1.StateGranted)
	if member(r, user) || account.IsMember(more, user) || !bound(t, g) {
		t.Errorf("old group %v, new group %v, bound %v", member(r, user), account.IsMember(more, user), bound(t, g))
	}
	edit(t, r, func() { r.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces })
	reaches(t, g, v1alpha1.StateRevoked)
	nothing(t, g, r)
}

func TestI6ForbiddenRuleSuspends(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	var c rbacv1.ClusterRole
	if err := kube.Get(t.Context(), client.ObjectKey{Name: r.Name}, &c); err != nil {
		t.Fatal(err)
	}
	c.Rules[0].Verbs = []string{"get", "delete"}
	update(t, &c)
	reaches(t, g, v1alpha1.StateSuspended)
	says(t, g, v1alpha1.ConditionActive, v1alpha1.StateSuspended, "other than get, list and watch")
	eventually(t, g, "nothing left", func() bool { return !access.MayExist(g) })
	nothing(t, g, r)
	c.Rules[0].Verbs = []string{"get"}
	update(t, &c)
	reaches(t, g, v1alpha1.StateGranted)
	if !member(r, user) || !bound(t, g) {
		t.Error("back without its access")
	}
}

// The status of the role does not change when its ClusterRole changes and changes back before anybody looks at the role,
// and the grant must come back all the same.
func TestClusterRoleThatChangesAndChangesBack(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, nil)
	c := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: r.Name}}
	for range 10 {
		edit(t, c, func() { c.Rules[0].Verbs = []string{"delete"} })
		edit(t, c, func() { c.Rules[0].Verbs = []string{"get", "list"} })
	}
	calmly := func() bool { return stateOf(g) == v1alpha1.StateGranted && bound(t, g) && member(r, user) }
	eventually(t, g, "access again", calmly)
	calm(t, g)
	if !calmly() {
		t.Errorf("access did not stay: %s", stateOf(g))
	}
}

func TestNamespacesThatComeAndGo(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	here, later := unique("here"), unique("later")
	namespace(t, here)
	r := role(t, namespaced)
	g := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) {
		g.Spec.Namespaces = []v1alpha1.NamespaceName{v1alpha1.NamespaceName(here), v1alpha1.NamespaceName(later)}
	})
	says(t, g, v1alpha1.ConditionBindingsSynced, v1alpha1.ReasonWaitingForNamespace, later)
	calm(t, g)
	namespace(t, later)
	eventually(t, g, "both bindings", func() bool {
		return g.Status.Kubernetes.Bindings[0].Observed && g.Status.Kubernetes.Bindings[1].Observed
	})
	if binding(t, g, here) == nil || binding(t, g, later) == nil {
		t.Error("a binding is missing")
	}
	remove(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: later}})
	gone(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: later}})
	namespace(t, later)
	eventually(t, g, "a new binding", func() bool { return binding(t, g, later) != nil && stateOf(g) == v1alpha1.StateGranted })
	remove(t, g)
	gone(t, g)
	if binding(t, g, here) != nil || binding(t, g, later) != nil {
		t.Error("a binding outlived the grant")
	}
}

func TestThreeHundredNamespacesOneMissing(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, namespaced)
	prefix := unique("many")
	var names []v1alpha1.NamespaceName
	for i := range 300 {
		name := fmt.Sprintf("%s-%d", prefix, i)
		names = append(names, v1alpha1.NamespaceName(name))
		if i != 150 {
			namespace(t, name)
		}
	}
	g := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) {
		g.Spec.Namespaces = names
		g.Spec.ExpiresAt = inFuture(20 * time.Second)
	})
	says(t, g, v1alpha1.ConditionBindingsSynced, v1alpha1.ReasonWaitingForNamespace, string(names[150]))
	var all rbacv1.RoleBindingList
	count := func() int {
		if err := kube.List(t.Context(), &all, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue}); err != nil {
			t.Fatal(err)
		}
		return len(slices.DeleteFunc(all.Items, func(b rbacv1.RoleBinding) bool { return !metav1.IsControlledBy(&b, g) }))
	}
	if n := count(); n != 299 {
		t.Errorf("%d bindings, want 299", n)
	}
	reaches(t, g, v1alpha1.StateExpired)
	if n := count(); n != 0 {
		t.Errorf("%d bindings outlived the grant", n)
	}
}

func TestDeletedWhileHalfApplied(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	second := unique("never")
	r := role(t, func(r *v1alpha1.AccessRole) {
		r.Spec.AWS.Groups = append(r.Spec.AWS.Groups, v1alpha1.IAMGroupName(second))
	})
	g := grant(t, user, r, nil)
	eventually(t, r, "ready", func() bool { return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) })
	if err := errors.Join(account.Admin("DeleteGroupPolicy", map[string]string{"GroupName": second, "PolicyName": policy.GuardName}),
		account.Admin("DeleteGroup", map[string]string{"GroupName": second})); err != nil {
		t.Fatal(err)
	}
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateBlocked)
	says(t, g, v1alpha1.ConditionMembershipsSynced, v1alpha1.ReasonGroupNotFound, second)
	eventually(t, g, "half of the access taken back", func() bool { return !access.MayExist(g) })
	nothing(t, g, r)
	guarded(t, r)
	nudge(t, g)
	reaches(t, g, v1alpha1.StateGranted)
	remove(t, g)
	gone(t, g)
	if member(r, user) || account.IsMember(second, user) {
		t.Error("a membership outlived the grant")
	}
}

// A removal that AWS is slow about is told as such, and what Kubernetes can take away is gone meanwhile.
func TestSlowRemovalIsTold(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := granted(t, user, r, expiring(4*time.Second))
	release := make(chan struct{})
	slow.Store(user, release)
	reaches(t, g, v1alpha1.StateRevoking)
	says(t, g, v1alpha1.ConditionMembershipsSynced, v1alpha1.ReasonRemoving, groupOf(r))
	if bound(t, g) {
		t.Error("still bound while AWS is slow")
	}
	close(release)
	reaches(t, g, v1alpha1.StateExpired)
	nothing(t, g, r)
}

func TestDeletedWhilePending(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	g := grant(t, user, role(t, nil), nil)
	reaches(t, g, v1alpha1.StatePendingApproval)
	remove(t, g)
	gone(t, g)
}

func TestPastWindowEndsAtOnce(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	g := grant(t, user, r, expiring(-time.Hour))
	reaches(t, g, v1alpha1.StateExpired)
	nothing(t, g, r)
	calm(t, g)
	remove(t, g)
	gone(t, g)
}
