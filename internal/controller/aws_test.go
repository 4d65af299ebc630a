// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

const boundary = "arn:aws:iam::111122223333:policy/prod-access/prod-access-boundary"

// readyIs waits until a role is ready, or is not, for a reason that a message goes with.
func readyIs(t *testing.T, r *v1alpha1.AccessRole, reason, message string) {
	t.Helper()
	eventually(t, r, "the reason "+reason, func() bool {
		c := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
		return c != nil && c.Reason == reason && c.ObservedGeneration == r.Generation && strings.Contains(c.Message, message)
	})
}

// A group that does not carry its guard as rendered makes the role grant nothing, for as long as it does not.
func TestI10GuardDocumentOfAGroup(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
	if s := r.Status.AWS.Groups[0].PolicyVerified; s != v1alpha1.PolicyVerified {
		t.Errorf("the policy is %s", s)
	}
	live := granted(t, user, r, nil)
	account.PutGroupPolicy(groupOf(r), policy.GuardName, `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"iam:*","Resource":"*"}]}`)
	readyIs(t, r, v1alpha1.ReasonPolicyDifferent, "is not as rendered")
	if s := r.Status.AWS.Groups[0].PolicyVerified; s != v1alpha1.PolicyDifferent {
		t.Errorf("the policy is %s", s)
	}
	another, _ := person("bob")
	g := grant(t, another, r, nil)
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateBlocked)
	says(t, g, v1alpha1.ConditionActive, v1alpha1.StateBlocked, "manager aws render --role "+r.Name)
	nothing(t, g, r)
	// What is there stays: nobody is known to be bad.
	reaches(t, live, v1alpha1.StateGranted)
	guarded(t, r)
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
	reaches(t, g, v1alpha1.StateGranted)
}

// Networks that cannot be what is meant, and a group that two roles guard differently, make a role grant nothing; its twin
// is ready.
func TestRolesWithBadNetworksAndGroups(t *testing.T) {
	t.Parallel()
	networks := func(cidrs ...v1alpha1.CIDR) func(*v1alpha1.AccessRole) {
		return func(r *v1alpha1.AccessRole) { r.Spec.AWS.AllowedSourceCIDRs = cidrs }
	}
	for message, cidrs := range map[string][]v1alpha1.CIDR{
		"10.1.0.0/16": {"203.0.113.0/24", "10.1.0.0/16"}, "0.0.0.0/0": {"0.0.0.0/0"}, "203.0.113.0/25": {"203.0.113.0/24", "203.0.113.0/25"},
	} {
		r := role(t, nil)
		edit(t, r, func() { networks(cidrs...)(r) })
		readyIs(t, r, v1alpha1.ReasonInvalidCIDRs, message)
	}
	readyIs(t, role(t, networks("203.0.113.0/24", "198.51.100.7/32")), v1alpha1.ReasonRoleReady, "")

	older := role(t, networks("203.0.113.0/24"))
	readyIs(t, older, v1alpha1.ReasonRoleReady, "")
	// Creation times are in whole seconds.
	eventually(t, older, "a later second", func() bool { return now.Now().Sub(older.CreationTimestamp.Time) > time.Second })
	younger := role(t, networks("198.51.100.0/24"))
	edit(t, younger, func() { younger.Spec.AWS.Groups = older.Spec.AWS.Groups })
	readyIs(t, younger, v1alpha1.ReasonGroupClaimed, older.Name)
	readyIs(t, older, v1alpha1.ReasonRoleReady, "")
	edit(t, younger, func() { younger.Spec.AWS.AllowedSourceCIDRs = older.Spec.AWS.AllowedSourceCIDRs })
	readyIs(t, younger, v1alpha1.ReasonRoleReady, "")
}

// Whom another cluster has put into a group tells that it is not ours alone.
func TestI9GroupOfAnotherCluster(t *testing.T) {
	t.Parallel()
	r := role(t, nil)
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
	stranger, _ := person("stranger")
	fenced(t, stranger, "prod-access-fence-other-20991231T000000Z")
	account.AddMember(groupOf(r), stranger)
	readyIs(t, r, v1alpha1.ReasonForeignFence, "another cluster (other)")
	account.RemoveMember(groupOf(r), stranger)
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
}

// fenced gives an IAM user an inline policy.
func fenced(t *testing.T, user, name string) {
	t.Helper()
	err := account.Admin("PutUserPolicy", map[string]string{"UserName": user, "PolicyName": name,
		"PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`})
	if err != nil {
		t.Fatal(err)
	}
}

// fencesOf are a user's fences of this cluster.
func fencesOf(user string) (names []string) {
	for name := range account.UserPolicies(user) {
		if strings.HasPrefix(name, policy.FencePrefix+"hera-") {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}

func ends(g *v1alpha1.ProdAccessGrant) string {
	if at := g.Status.AccessEndsNoLaterThan.AWS; at != nil {
		return at.UTC().Format(time.RFC3339)
	}
	return "never"
}

// AWS itself ends the access of whoever has a boundary; the fence follows the last of overlapping grants.
func TestI2Fence(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	account.SetBoundary(user, boundary)
	r := role(t, nil)
	short := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Spec.ExpiresAt = inFuture(time.Hour) })
	says(t, short, v1alpha1.ConditionFenced, v1alpha1.ReasonFenced, "AWS denies "+user+" everything")
	if want := short.Spec.ExpiresAt.UTC().Format(time.RFC3339); ends(short) != want || len(fencesOf(user)) != 1 {
		t.Errorf("access ends %s, want %s; fences %v", ends(short), want, fencesOf(user))
	}
	// One that somebody removes is put back.
	first := fencesOf(user)
	if err := account.Admin("DeleteUserPolicy", map[string]string{"UserName": user, "PolicyName": first[0]}); err != nil {
		t.Fatal(err)
	}
	eventually(t, short, "the fence put back", func() bool { return slices.Equal(fencesOf(user), first) })
	reaches(t, short, v1alpha1.StateGranted)
	long := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Spec.ExpiresAt = inFuture(2 * time.Hour) })
	last := long.Spec.ExpiresAt.UTC().Format(time.RFC3339)
	eventually(t, short, "the later end", func() bool { return ends(short) == last })
	if ends(long) != last || len(fencesOf(user)) != 1 || !strings.HasSuffix(fencesOf(user)[0], long.Spec.ExpiresAt.UTC().Format("20060102T150405Z")) {
		t.Errorf("access ends %s, want %s; fences %v", ends(long), last, fencesOf(user))
	}
	remove(t, long)
	gone(t, long)
	eventually(t, short, "the earlier end", func() bool {
		f := fencesOf(user)
		return ends(short) == short.Spec.ExpiresAt.UTC().Format(time.RFC3339) && len(f) == 1 && strings.HasSuffix(f[0], short.Spec.ExpiresAt.UTC().Format("20060102T150405Z"))
	})
	revoke(t, func(s *v1alpha1.AccessRevocationSpec) { s.Person = v1alpha1.Username(user) })
	reaches(t, short, v1alpha1.StateRevoked)
	eventually(t, short, "no fence", func() bool { return len(fencesOf(user)) == 0 })
	if ends(short) != "never" || meta.FindStatusCondition(short.Status.Conditions, v1alpha1.ConditionFenced) != nil {
		t.Errorf("over, and access ends %s", ends(short))
	}
}

// A fence that AWS refuses keeps nobody from their access, and is tried again.
func TestFenceThatIsRefusedForAWhile(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	account.SetBoundary(user, boundary)
	large := map[string]string{"UserName": user, "PolicyName": "large", "PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Sid":"` +
		strings.Repeat("x", 1850) + `","Effect":"Deny","Action":"*","Resource":"*"}]}`}
	if err := account.Admin("PutUserPolicy", large); err != nil {
		t.Fatal(err)
	}
	g := granted(t, user, role(t, nil), nil)
	says(t, g, v1alpha1.ConditionFenced, v1alpha1.ReasonFenceTooLarge, "2,048")
	if ends(g) != "never" {
		t.Errorf("access ends %s", ends(g))
	}
	if err := account.Admin("DeleteUserPolicy", large); err != nil {
		t.Fatal(err)
	}
	eventually(t, g, "the fence", func() bool { return ends(g) != "never" && len(fencesOf(user)) == 1 })
}

// Without a boundary there is no fence, which is told; access is given.
func TestAccessWithoutAFence(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	g := granted(t, user, role(t, nil), nil)
	says(t, g, v1alpha1.ConditionFenced, v1alpha1.ReasonNoBoundary, "permissions boundary")
	if ends(g) != "never" || len(fencesOf(user)) != 0 {
		t.Errorf("access ends %s; fences %v", ends(g), fencesOf(user))
	}
}

// What a fence tells to be left over goes, and the fence with it.
func TestI9LeftOverMembership(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	r := role(t, nil)
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
	fenced(t, user, "prod-access-fence-hera-20991231T000000Z")
	account.AddMember(groupOf(r), user)
	twin, _ := person("twin")
	account.AddMember(groupOf(r), twin)
	eventually(t, r, "the membership gone", func() bool { return !member(r, user) && len(fencesOf(user)) == 0 })
	if !member(r, twin) {
		t.Error("a stranger without a fence was removed")
	}
}

// Whoever loses what they were eligible by loses the access, and gets it back with it.
func TestI10LiveGrantLosesItsPerson(t *testing.T) {
	t.Parallel()
	for name, row := range map[string]struct {
		lose, mend func(user string)
		reason     string
	}{
		"MFA": {func(user string) { account.RemoveMFA(user) }, func(user string) { account.AddMFA(user) }, v1alpha1.ReasonMFAMissing},
		"quarantine": {func(user string) { account.Quarantine(user) }, func(user string) {
			_ = account.Admin("DetachUserPolicy", map[string]string{"UserName": user, "PolicyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"})
		}, v1alpha1.ReasonQuarantined},
		"a Kubernetes username": {func(user string) { retag(user, "somebody") }, func(user string) { retag(user, user+"@hera.example") }, v1alpha1.ReasonIdentityMismatch},
		"a young key":           {func(user string) { account.AddAccessKey(user, now.Now().Add(-61*24*time.Hour)) }, deactivate, v1alpha1.ReasonCredentialsStale},
		"the user":              {func(user string) { account.RemoveUser(user) }, nil, v1alpha1.ReasonUserNotFound},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			user, _ := person("alice")
			r := role(t, withAge(v1alpha1.StaleSuspend))
			g := granted(t, user, r, nil)
			row.lose(user)
			reaches(t, g, v1alpha1.StateSuspended)
			says(t, g, v1alpha1.ConditionEligible, row.reason, "")
			eventually(t, g, "nothing left", func() bool { return !member(r, user) && !bound(t, g) })
			if row.mend == nil {
				return
			}
			row.mend(user)
			comesBack(t, g)
		})
	}
}

// comesBack has a grant looked at until it is granted: what AWS was asked before it was mended is an answer, too.
func comesBack(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	last := now.Now()
	nudge(t, g)
	eventually(t, g, "the state Granted", func() bool {
		if at := now.Now(); at.Sub(last) > 5*time.Second {
			last = at
			nudge(t, g)
		}
		return stateOf(g) == v1alpha1.StateGranted
	})
}

func withAge(p v1alpha1.StalePolicy) func(*v1alpha1.AccessRole) {
	return func(r *v1alpha1.AccessRole) {
		r.Spec.Requirements = v1alpha1.Requirements{MaxCredentialAge: &metav1.Duration{Duration: 60 * 24 * time.Hour}, OnStale: p}
	}
}

func retag(user, kubernetesUsers string) {
	err := account.Admin("TagUser", map[string]string{"UserName": user, "Tags.member.1.Key": v1alpha1.KubernetesUsersTag, "Tags.member.1.Value": kubernetesUsers})
	if err != nil {
		panic(err)
	}
}

func deactivate(user string) {
	for _, id := range account.ActiveKeys(user) {
		_ = account.Admin("UpdateAccessKey", map[string]string{"UserName": user, "AccessKeyId": id, "Status": "Inactive"})
	}
}

// What is too old is waited for, deactivated or only told, as the role says.
func TestStaleCredentials(t *testing.T) {
	t.Parallel()
	old := func() string {
		user, _ := person("alice")
		account.AddAccessKey(user, now.Now().Add(-61*24*time.Hour))
		return user
	}
	user := old()
	g := grant(t, user, role(t, withAge(v1alpha1.StaleSuspend)), nil)
	approve(t, g, twoPeople...)
	reaches(t, g, v1alpha1.StateBlocked)
	says(t, g, v1alpha1.ConditionEligible, v1alpha1.ReasonCredentialsStale, "is 61 days old")
	deactivate(user)
	nudge(t, g)
	reaches(t, g, v1alpha1.StateGranted)

	g = granted(t, old(), role(t, withAge(v1alpha1.StaleWarn)), nil)
	says(t, g, v1alpha1.ConditionEligible, v1alpha1.ReasonEligible, "is 61 days old")

	user = old()
	young := account.AddAccessKey(user, now.Now())
	g = granted(t, user, role(t, withAge(v1alpha1.StaleDeactivate)), nil)
	if keys := account.ActiveKeys(user); !slices.Equal(keys, []string{young}) {
		t.Errorf("active keys are %v", keys)
	}
	if told := trail.Of(g.Name); !slices.Contains(told, "credentials") {
		t.Errorf("the trail says %v", told)
	}
}

// A group may have a path, and more strangers than anybody wants to read.
func TestGroupUnderAPathWithManyStrangers(t *testing.T) {
	t.Parallel()
	name := unique("crowded")
	if err := account.Admin("CreateGroup", map[string]string{"GroupName": name, "Path": "/teams/prod/"}); err != nil {
		t.Fatal(err)
	}
	for range 130 {
		stranger, _ := person("stranger")
		account.AddMember(name, stranger)
	}
	user, _ := person("alice")
	r := role(t, func(r *v1alpha1.AccessRole) { r.Spec.AWS.Groups = []v1alpha1.IAMGroupName{v1alpha1.IAMGroupName(name)} })
	readyIs(t, r, v1alpha1.ReasonRoleReady, "")
	g := r.Status.AWS.Groups[0]
	if g.ARN != "arn:aws:iam::111122223333:group/teams/prod/"+name || g.Members != 130 || len(g.Strangers) != 100 || g.PolicyVerified != v1alpha1.PolicyVerified {
		t.Errorf("the group %s has %d members, %d strangers by name, its policy is %s", g.ARN, g.Members, len(g.Strangers), g.PolicyVerified)
	}
	granted(t, user, r, nil)
	if !account.IsMember(name, user) {
		t.Error("not a member")
	}
}

// One IAM user may have as many Kubernetes usernames as a tag holds.
func TestTagWithFiftyNames(t *testing.T) {
	t.Parallel()
	user, _ := person("alice")
	var names []string
	for i := range 50 { // in the 256 characters of a tag
		names = append(names, string([]rune{'a' + rune(i/26), 'a' + rune(i%26)}))
	}
	retag(user, strings.Join(names, " "))
	r := role(t, nil)
	last := granted(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.KubernetesUser = v1alpha1.Username(names[49]) })
	if last.Status.Kubernetes.User != names[49] || !slices.Contains(last.Status.AWS.Names, names[0]) {
		t.Errorf("bound as %s, known as %v", last.Status.Kubernetes.User, last.Status.AWS.Names)
	}
	// All of them are one person, who approves nothing for herself.
	g := grant(t, user, r, func(g *v1alpha1.ProdAccessGrant) { g.Spec.Subject.KubernetesUser = v1alpha1.Username(names[49]) })
	approve(t, g, "bob@hera.example", names[0])
	eventually(t, g, "the one approval that counts", func() bool { return len(g.Status.Approvals) > 0 })
	reaches(t, g, v1alpha1.StatePendingApproval)
	says(t, g, v1alpha1.ConditionApproved, v1alpha1.ReasonApprovalsMissing, "1 of 2 approvals")
}
