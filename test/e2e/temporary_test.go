// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"filippo.io/age"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

const (
	boundary = "arn:aws:iam::111122223333:policy/prod-access/break-glass-boundary"
	below    = "/prod-access/break-glass/"
)

// bounded makes the permissions boundary of temporary users.
func bounded(t *testing.T) {
	t.Helper()
	iam.SetBoundary(person("bounded"), boundary)
}

func newKey(t *testing.T) *age.X25519Identity {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func temporarily(key *age.X25519Identity) func(*v1alpha1.BreakGlassSpec) {
	return func(s *v1alpha1.BreakGlassSpec) {
		s.Subject = v1alpha1.Subject{}
		s.TemporaryUser = &v1alpha1.TemporaryUser{Recipients: []v1alpha1.Recipient{v1alpha1.Recipient(key.Recipient().String())}, AccessKey: v1alpha1.AccessKeyCreate}
	}
}

// revokeGlass ends an emergency.
func revokeGlass(t *testing.T, b *v1alpha1.BreakGlass) {
	t.Helper()
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: unique("over")}, Spec: v1alpha1.AccessRevocationSpec{
		Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, SpecDigest: b.Status.SpecDigest}, Reason: "the database answers again", RevokedBy: "admin",
	}}
	if err := admin.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
}

// leavesNothing waits until AWS has no trace of a temporary user.
func leavesNothing(t *testing.T, b *v1alpha1.BreakGlass) {
	t.Helper()
	name := access.TemporaryUserName(b.Name, b.UID)
	eventually(t, soon, "nothing is left of "+name, func(context.Context) (bool, error) {
		return iam.Under(below, name) == 0, nil
	})
	if err := admin.Get(t.Context(), client.ObjectKeyFromObject(b), b); err != nil {
		t.Fatal(err)
	}
	if b.Status.TemporaryUser.Credentials != "" {
		t.Error("its credentials are still in the status")
	}
}

// A temporary user lives as long as its emergency, and its credentials are nobody's but the recipients'.
func TestTemporaryUser(t *testing.T) {
	bounded(t)
	p := start(t, "--break-glass-boundary-arn="+boundary, "--aws-sweep-every=2s")
	onCall(t)
	alice, key := person("alice"), newKey(t)
	b := open(t, alice, "infra-member", temporarily(key))
	becomes(t, soon, b, v1alpha1.StateGranted, "IAM groups hera-prod-infra-member")
	name := b.Status.TemporaryUser.IAMUser
	if name != access.TemporaryUserName(b.Name, b.UID) || !iam.IsMember("hera-prod-infra-member", name) || iam.IsMember("hera-prod-infra-member", alice) {
		t.Errorf("%s is not in the group, or %s is", name, alice)
	}
	if may(t, alice, "delete", "", "pods", "default") {
		t.Error("it gives something in Kubernetes")
	}
	if !slices.Contains(b.Status.AWS.Names, alice) {
		t.Errorf("the names of the opener are not known: %v", b.Status.AWS.Names)
	}
	if c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionFenced); c == nil || c.Status != metav1.ConditionTrue {
		t.Errorf("fenced: %+v", c)
	}
	if _, err := sealed.Open(b.Status.TemporaryUser.Credentials, newKey(t)); err == nil {
		t.Error("anybody's key opens the credentials")
	}
	c, err := sealed.Open(b.Status.TemporaryUser.Credentials, key)
	if err != nil {
		t.Fatal(err)
	}
	if c.IAMUser != name || c.Password == "" || c.OTPAuth == "" || c.SecretAccessKey == "" || !c.Until.Equal(b.Status.ExpiresAt.Time) {
		t.Error("the credentials are not whole")
	}
	whole, err := json.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{c.Password, c.SecretAccessKey, c.OTPAuth[strings.Index(c.OTPAuth, "secret=")+len("secret="):]} {
		if strings.Contains(string(whole), secret) || strings.Contains(p.LogTail(10_000), secret) {
			t.Error("a secret is in the status or in the log")
		}
	}
	// Whatever people add to it goes with it.
	iam.AddLeftover(name, fake.SSHPublicKey)
	iam.AddLeftover(name, fake.SigningCertificate)
	iam.AddLeftover(name, fake.ServiceSpecificCredential)
	revokeGlass(t, b)
	becomes(t, soon, b, v1alpha1.StateRevoked, "the database answers again")
	leavesNothing(t, b)

	// I10: it ends when it is not as it was made.
	b = open(t, person("alice"), "infra-member", temporarily(newKey(t)))
	becomes(t, soon, b, v1alpha1.StateGranted)
	iam.SetBoundary(b.Status.TemporaryUser.IAMUser, "")
	becomes(t, soon, b, v1alpha1.StateRevoked, "is not as it was made", "its permissions boundary is another")
	leavesNothing(t, b)

	// I5: it is its opener's: revoked under the name that only AWS knows as theirs.
	opener := person("opener")
	b = open(t, opener, "infra-member", temporarily(newKey(t)))
	becomes(t, soon, b, v1alpha1.StateGranted)
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: unique("stolen")}, Spec: v1alpha1.AccessRevocationSpec{
		Person: v1alpha1.Username(opener), Reason: "the laptop was stolen", RevokedBy: "admin", Credentials: v1alpha1.CredentialsKeep,
	}}
	if err := admin.Create(t.Context(), r); err != nil {
		t.Fatal(err)
	}
	becomes(t, soon, b, v1alpha1.StateRevoked, "the laptop was stolen")
	leavesNothing(t, b)

	// Half made and broken off: made anew, and told.
	iam.Inject("EnableMFADevice", fake.ServiceUnavailable)
	b = open(t, person("alice"), "infra-member", temporarily(newKey(t)))
	becomes(t, soon, b, v1alpha1.StateGranting, "is being made")
	eventually(t, soon, "what fails is told", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(b), b)
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionMembershipsSynced)
		return c != nil && strings.Contains(c.Message, "the MFA device of the IAM user"), err
	})
	if iam.IsMember("hera-prod-infra-member", access.TemporaryUserName(b.Name, b.UID)) {
		t.Error("in the group without an MFA device")
	}
	iam.ClearFaults()
	becomes(t, soon, b, v1alpha1.StateGranted)
	revokeGlass(t, b)
	becomes(t, soon, b, v1alpha1.StateRevoked)
	leavesNothing(t, b)

	// What nothing calls for goes; what is another cluster's stays.
	tags := map[string]string{v1alpha1.ClusterTag: "elsewhere", v1alpha1.EmergencyTag: "1"}
	iam.AddUser(fake.User{Name: "bg-elsewhere", Path: below, Tags: tags})
	iam.AddUser(fake.User{Name: "bg-stray", Path: below, Tags: map[string]string{v1alpha1.ClusterTag: clusterName(t), v1alpha1.EmergencyTag: "gone"}, MFA: true})
	eventually(t, soon, "the stray goes", func(context.Context) (bool, error) { return iam.Under(below, "bg-stray") == 0, nil })
	if iam.Under(below, "bg-elsewhere") == 0 {
		t.Error("another cluster's was deleted")
	}
}

// clusterName is the name that the operator gives the cluster.
func clusterName(t *testing.T) string {
	t.Helper()
	system := &metav1.PartialObjectMetadata{}
	system.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	if err := admin.Get(t.Context(), client.ObjectKey{Name: "kube-system"}, system); err != nil {
		t.Fatal(err)
	}
	return string(system.UID)[:8]
}

// It says what keeps a temporary user from being made, and makes it once that is mended.
func TestTemporaryUserBlocked(t *testing.T) {
	const missing = boundary + "-later"
	start(t, "--break-glass-boundary-arn="+missing)
	onCall(t)
	typo := open(t, person("alice"), "infra-member", func(s *v1alpha1.BreakGlassSpec) {
		temporarily(newKey(t))(s)
		s.TemporaryUser.Recipients[0] += "q"
	})
	b := open(t, person("alice"), "infra-member", temporarily(newKey(t)))
	says(t, typo, "recipient 1", "is not a public key of age")
	says(t, b, "the permissions boundary of temporary users", "--break-glass-boundary-arn")
	iam.SetBoundary(person("later"), missing)
	becomes(t, 2*access.RecheckAfter, b, v1alpha1.StateGranted)
}

// says waits until an emergency is blocked, and its message has all these words.
func says(t *testing.T, b *v1alpha1.BreakGlass, words ...string) {
	t.Helper()
	eventually(t, soon, b.Name+" is blocked, and says why", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(b), b)
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive)
		return c != nil && c.Reason == v1alpha1.StateBlocked && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(c.Message, w) }), err
	})
}
