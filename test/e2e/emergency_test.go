// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
)

// onCall lets a group open every role out of the box.
func onCall(t *testing.T) {
	t.Helper()
	b := &rbacv1.ClusterRoleBinding{
		ObjectMeta: metav1.ObjectMeta{Name: "on-call"}, RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "prod-access-break-glass"},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "on-call"}},
	}
	if err := admin.Create(t.Context(), b); err != nil && !apierrors.IsAlreadyExists(err) {
		t.Fatal(err)
	}
}

// as is a client of somebody on call.
func as(t *testing.T, user string) client.Client {
	t.Helper()
	cfg, err := cp.ConfigFor(kubernetesUser(user), "on-call")
	if err != nil {
		t.Fatal(err)
	}
	c, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// open lets somebody on call open a role, for themselves unless that is changed.
func open(t *testing.T, by, role string, change func(*v1alpha1.BreakGlassSpec)) *v1alpha1.BreakGlass {
	t.Helper()
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: unique("glass")}, Spec: v1alpha1.BreakGlassSpec{
		Subject: v1alpha1.Subject{IAMUser: by, KubernetesUser: v1alpha1.Username(kubernetesUser(by))}, Role: role, Incident: unique("INC"),
		Reason: "the database does not answer", Duration: metav1.Duration{Duration: time.Hour}, OpenedBy: v1alpha1.Username(kubernetesUser(by)),
	}}
	if change != nil {
		change(&b.Spec)
	}
	var err error
	// The API server learns of the binding by a watch of its own.
	_ = wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, punctual, true, func(ctx context.Context) (bool, error) {
		err = as(t, by).Create(ctx, b)
		return err == nil || !apierrors.IsForbidden(err), nil
	})
	if err != nil {
		t.Fatal(err)
	}
	opened = append(opened, b)
	t.Cleanup(func() { shut(t) })
	return b
}

// opened are the emergencies that may still be there.
var opened []*v1alpha1.BreakGlass

// shut ends them all.
func shut(t *testing.T) {
	t.Helper()
	ctx := context.WithoutCancel(t.Context())
	for _, b := range opened {
		if err := admin.Delete(ctx, b); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	for _, b := range opened {
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, soon, true, func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(b), &v1alpha1.BreakGlass{})
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			t.Errorf("%s does not go away: %v", b.Name, err)
		}
	}
	opened = nil
}

// becomes waits for a state of an emergency, and checks that the status is in order.
func becomes(t *testing.T, within time.Duration, b *v1alpha1.BreakGlass, state string, words ...string) {
	t.Helper()
	var message string
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(b), b)
		if c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive); c != nil {
			message = c.Message
		}
		return access.StateOf(access.FromBreakGlass(b)) == state, err
	})
	if err != nil {
		t.Fatalf("%s did not become %s: %v\n%+v", b.Name, state, err, b.Status.Conditions)
	}
	for _, w := range words {
		if !strings.Contains(message, w) {
			t.Errorf("the message of %s does not say %q: %s", b.Name, w, message)
		}
	}
	statustest.CheckGrant(t, access.FromBreakGlass(b))
}

// opens checks what an emergency of infra-member comes to, on either side.
func opens(t *testing.T, b *v1alpha1.BreakGlass, kubernetes, aws bool) {
	t.Helper()
	user := b.Spec.Subject.IAMUser
	if got := iam.IsMember("hera-prod-infra-member", user); got != aws {
		t.Errorf("%s in the IAM group: %v, want %v", user, got, aws)
	}
	eventually(t, punctual, "may delete pods", func(context.Context) (bool, error) {
		return may(t, user, "delete", "", "pods", "default") == kubernetes, nil
	})
}

// What is known of the person decides: without AWS, Kubernetes opens after half a minute, for the opener alone, and AWS follows
// or all of it ends.
func TestI10EmergencyWhileAWSIsUnreachable(t *testing.T) {
	start(t)
	onCall(t)
	alice, another := person("alice"), person("another")
	without := unique("without")
	iam.AddUser(fake.User{Name: without, Tags: map[string]string{v1alpha1.KubernetesUsersTag: kubernetesUser(without)}})
	g := granted(t, person("dave"), "infra-member", nil) // the role and AWS are known to work
	has(t, g, true)
	iam.Inject(fake.AnyOp, fake.ConnectionReset)
	t.Cleanup(iam.ClearFaults)
	own, foreign := open(t, alice, "infra-member", nil), open(t, alice, "infra-member", func(s *v1alpha1.BreakGlassSpec) {
		s.Subject = v1alpha1.Subject{IAMUser: another, KubernetesUser: v1alpha1.Username(kubernetesUser(another))}
	})
	unfit := open(t, without, "infra-member", nil)
	becomes(t, soon, own, v1alpha1.StateBlocked, "if AWS stays unreachable, Kubernetes alone is opened at")
	becomes(t, soon, foreign, v1alpha1.StateBlocked, "Kubernetes is opened for nobody but "+kubernetesUser(alice))
	opens(t, own, false, false)

	becomes(t, access.UnreachableFor+soon, own, v1alpha1.StateGranted, "MFA unverified")
	becomes(t, soon, unfit, v1alpha1.StateGranted, "MFA unverified")
	if early := own.Status.ActivatedAt.Sub(own.CreationTimestamp.Time); early < access.UnreachableFor-time.Second {
		t.Errorf("opened %s after it was asked for", early)
	}
	opens(t, own, true, false)
	opens(t, unfit, true, false)
	becomes(t, soon, foreign, v1alpha1.StateBlocked)
	opens(t, foreign, false, false)
	if c := meta.FindStatusCondition(own.Status.Conditions, v1alpha1.ConditionEligible); c == nil || c.Reason != v1alpha1.ReasonMFAUnverified || c.Status != metav1.ConditionFalse {
		t.Errorf("eligible: %+v", c)
	}
	if !own.Status.Facts.MFAUnverified {
		t.Error("the facts do not say that MFA was unverified")
	}

	iam.ClearFaults()
	becomes(t, soon+access.RetryAfter, unfit, v1alpha1.StateRevoked, "has no MFA device")
	opens(t, unfit, false, false)
	becomes(t, soon, foreign, v1alpha1.StateGranted, "IAM groups hera-prod-infra-member")
	opens(t, foreign, true, true)
	eventually(t, soon, "AWS follows", func(context.Context) (bool, error) { return iam.IsMember("hera-prod-infra-member", alice), nil })
	becomes(t, soon, own, v1alpha1.StateGranted)
	eventually(t, soon, "the status says so", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(own), own)
		return meta.IsStatusConditionTrue(own.Status.Conditions, v1alpha1.ConditionEligible) && own.Status.AWS.UserID != "", err
	})
	opens(t, own, true, true)

	// To be throttled or denied is an answer.
	for name, fault := range map[string]fake.Fault{"denied": fake.AccessDenied, "throttled": fake.Throttling} {
		iam.Inject(fake.AnyOp, fault)
		b := open(t, person(name), "infra-member", nil)
		becomes(t, soon, b, v1alpha1.StateBlocked, "cannot be verified")
		c := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive)
		if strings.Contains(c.Message, "is opened at") {
			t.Errorf("%s: %s", name, c.Message)
		}
		opens(t, b, false, false)
		iam.ClearFaults()
		becomes(t, soon, b, v1alpha1.StateGranted)
		opens(t, b, true, true)
	}

	// AWS that answers and writes nothing does not hold Kubernetes back.
	iam.Inject("AddUserToGroup", fake.ServiceUnavailable)
	half := open(t, person("half"), "infra-member", nil)
	becomes(t, soon, half, v1alpha1.StateGranted, "ClusterRole prod-access-infra-member")
	opens(t, half, true, false)
	if c := meta.FindStatusCondition(half.Status.Conditions, v1alpha1.ConditionMembershipsSynced); c.Status != metav1.ConditionFalse {
		t.Errorf("MembershipsSynced is %s: %s", c.Status, c.Message)
	}
	iam.ClearFaults()
	eventually(t, time.Minute+soon, "AWS follows, and the status says so", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(half), half)
		c := meta.FindStatusCondition(half.Status.Conditions, v1alpha1.ConditionActive)
		return strings.Contains(c.Message, "IAM groups hera-prod-infra-member"), err
	})
	opens(t, half, true, true)
}
