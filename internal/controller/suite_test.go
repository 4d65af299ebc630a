// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	realclock "k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/clock"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/controller/prooftest"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

// The suite runs one control plane, one IAM and one operator; every test has people, groups and roles of its own.
var (
	kube    client.Client
	account *fake.IAM
	serial  atomic.Int64
	// slow holds back the removals of a person, by name, until a channel is closed.
	slow sync.Map

	// sweepEvery is how often the operator reads the whole account.
	sweepEvery = 5 * time.Second

	// now is the operator's time.
	now = clock.New(realclock.RealClock{})

	guard prooftest.Guard
	trail prooftest.Trail
	// changed tells the operator that the guard has changed.
	changed func(context.Context)
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background()) //nolint:forbidigo // no test is running yet
	defer cancel()
	cp, err := controlplane.Start(ctx, controlplane.Options{CRDDirectories: []string{"../../config/crd/bases"}})
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = cp.Stop() }()
	if os.Getenv("OPERATOR_LOG") != "" {
		ctrl.SetLogger(zap.New(zap.UseDevMode(true)))
	} else {
		ctrl.SetLogger(zap.New(zap.WriteTo(discard{})))
	}
	account = fake.New(fake.Config{ReportEvery: sweepEvery})
	account.OnWrite(func(c fake.Call) error {
		if release, ok := slow.Load(c.Params.Get("UserName")); ok && c.Op == "RemoveUserFromGroup" {
			<-release.(chan struct{}) //nolint:forcetypeassert // nothing else is stored
		}
		return nil
	}, nil)
	server := httptest.NewServer(account)
	defer server.Close()

	stopped, err := startOperator(ctx, cp, iamClient(server.URL))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if kube, err = client.New(cp.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := prooftest.LetEverybodyApprove(ctx, kube); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	code := m.Run()
	cancel()
	if err := <-stopped; err != nil {
		fmt.Fprintln(os.Stderr, "the operator ended with:", err)
		return 1
	}
	return code
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

func iamClient(url string) *iam.Client {
	return iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: &url,
		Credentials: awssdk.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIAEXAMPLEEXAMPLE00", "secret", "")),
	})
}

func startOperator(ctx context.Context, cp *controlplane.ControlPlane, api *iam.Client) (<-chan error, error) {
	mgr, err := ctrl.NewManager(cp.Config, controller.Options(ctrl.Options{Metrics: metricsserver.Options{BindAddress: "0"}}))
	if err != nil {
		return nil, err
	}
	if changed, err = controller.Setup(ctx, mgr, controller.AWS{
		API: api, SweepEvery: sweepEvery, Options: membership.Options{Cluster: "hera", ReportEvery: sweepEvery / 2},
	}, now, prooftest.Proof(&guard, &trail)); err != nil {
		return nil, err
	}
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	if !mgr.GetCache().WaitForCacheSync(ctx) {
		return nil, fmt.Errorf("the cache never synced")
	}
	return stopped, nil
}

// unique makes a name that no other test uses.
func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

// person adds an IAM user with an MFA device, who is known to Kubernetes by an address.
func person(prefix string) (name, kubernetesUser string) {
	name = unique(prefix)
	kubernetesUser = name + "@hera.example"
	account.AddUser(fake.User{Name: name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: kubernetesUser + " " + name}})
	return name, kubernetesUser
}

// role makes a role that reads ConfigMaps, with a ClusterRole and an IAM group of its own.
func role(t *testing.T, change func(*v1alpha1.AccessRole)) *v1alpha1.AccessRole {
	t.Helper()
	name := unique("prod-access-role")
	create(t, &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get", "list"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}})
	account.AddGroup("prod-" + name)
	r := &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: 8 * time.Hour},
		Approval:    v1alpha1.ApprovalPolicy{Required: 2},
		Kubernetes:  &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: name, Access: v1alpha1.AccessReadOnly},
		AWS:         &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{v1alpha1.IAMGroupName("prod-" + name)}},
	}}
	if change != nil {
		change(r)
	}
	guarded(t, r)
	create(t, r)
	return r
}

// guarded makes the groups of a role, if there are none yet, and gives them their guard.
func guarded(t *testing.T, r *v1alpha1.AccessRole) {
	t.Helper()
	for _, group := range r.Spec.AWS.Groups {
		if err := account.Admin("CreateGroup", map[string]string{"GroupName": string(group)}); err != nil && !strings.Contains(err.Error(), "EntityAlreadyExists") {
			t.Fatal(err)
		}
	}
	if err := policytest.Guard(account, r); err != nil {
		t.Fatal(err)
	}
}

func namespaced(r *v1alpha1.AccessRole) { r.Spec.Kubernetes.Scope = v1alpha1.ScopeNamespaces }

// grant asks for a role for an hour.
func grant(t *testing.T, user string, r *v1alpha1.AccessRole, change func(*v1alpha1.ProdAccessGrant)) *v1alpha1.ProdAccessGrant {
	t.Helper()
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: unique("grant")}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: user}, Role: r.Name, Reason: "replace the failing disk of the database", RequestedBy: "dana@hera.example",
		ExpiresAt: inFuture(time.Hour),
	}}
	if change != nil {
		change(g)
	}
	create(t, g)
	return g
}

func inFuture(d time.Duration) metav1.Time {
	return metav1.NewTime(realclock.RealClock{}.Now().Add(d).Truncate(time.Second))
}

func expiring(d time.Duration) func(*v1alpha1.ProdAccessGrant) {
	return func(g *v1alpha1.ProdAccessGrant) { g.Spec.ExpiresAt = inFuture(d) }
}

// approve adds an approval of what the grant's status shows.
func approve(t *testing.T, g *v1alpha1.ProdAccessGrant, approvers ...string) {
	t.Helper()
	eventually(t, g, "a digest to approve", func() bool { return g.Status.ApprovalDigest != "" })
	for _, a := range approvers {
		decide(t, g, a, v1alpha1.DecisionApprove)
	}
}

func decide(t *testing.T, g *v1alpha1.ProdAccessGrant, approver string, d v1alpha1.ApprovalDecision) {
	t.Helper()
	create(t, &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: unique("approval")}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.Name, UID: string(g.UID)},
		Role:   g.Spec.Role, Digest: g.Status.ApprovalDigest, Decision: d, Approver: v1alpha1.Username(approver),
	}})
}

func create(t *testing.T, o client.Object) {
	t.Helper()
	if err := kube.Create(t.Context(), o); err != nil {
		t.Fatalf("creating %T %s: %v", o, o.GetName(), err)
	}
}

func namespace(t *testing.T, name string) {
	t.Helper()
	create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name}})
}

// eventually reads an object until the condition holds.
func eventually(t *testing.T, o client.Object, what string, holds func() bool) {
	t.Helper()
	eventuallyWithin(t, time.Minute, o, what, holds)
}

func eventuallyWithin(t *testing.T, within time.Duration, o client.Object, what string, holds func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		if err := kube.Get(ctx, client.ObjectKeyFromObject(o), o); err != nil {
			return false, err
		}
		return holds(), nil
	})
	if err != nil {
		t.Fatalf("%s of %s never came: %v\n%s", what, o.GetName(), err, conditionsOf(o))
	}
}

// reaches waits for a state, and checks that the status is in order.
func reaches(t *testing.T, g *v1alpha1.ProdAccessGrant, state string) {
	t.Helper()
	eventually(t, g, "the state "+state, func() bool { return stateOf(g) == state })
	statustest.CheckGrant(t, g)
}

func stateOf(g *v1alpha1.ProdAccessGrant) string {
	if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionActive); c != nil {
		return c.Reason
	}
	return ""
}

// says checks that the message of a condition holds the words.
func says(t *testing.T, g *v1alpha1.ProdAccessGrant, condition, reason string, words ...string) {
	t.Helper()
	c := meta.FindStatusCondition(g.Status.Conditions, condition)
	if c == nil || c.Reason != reason {
		t.Fatalf("%s: want reason %s\n%s", condition, reason, conditionsOf(g))
	}
	for _, w := range words {
		if !strings.Contains(c.Message, w) {
			t.Errorf("the message of %s does not say %q: %s", condition, w, c.Message)
		}
	}
}

func conditionsOf(o client.Object) string {
	g, ok := o.(*v1alpha1.ProdAccessGrant)
	if glass, also := o.(*v1alpha1.BreakGlass); also {
		g, ok = access.FromBreakGlass(glass), true
	}
	if !ok {
		return ""
	}
	var b strings.Builder
	for _, c := range g.Status.Conditions {
		fmt.Fprintf(&b, "  %s=%s %s: %s\n", c.Type, c.Status, c.Reason, c.Message)
	}
	return b.String()
}

// bound says whether a binding of the grant exists.
func bound(t *testing.T, g *v1alpha1.ProdAccessGrant) bool {
	t.Helper()
	return binding(t, g, "") != nil
}

// binding reads the binding of a grant, in a namespace or in the cluster; nil if there is none.
func binding(t *testing.T, g *v1alpha1.ProdAccessGrant, ns string) client.Object {
	t.Helper()
	if len(g.Status.Kubernetes.Bindings) == 0 {
		return nil
	}
	obj := client.Object(&rbacv1.ClusterRoleBinding{})
	if ns != "" {
		obj = &rbacv1.RoleBinding{}
	}
	err := kube.Get(t.Context(), client.ObjectKey{Namespace: ns, Name: g.Status.Kubernetes.Bindings[0].Name}, obj)
	if apierrors.IsNotFound(err) {
		return nil
	}
	if err != nil {
		t.Fatal(err)
	}
	return obj
}
