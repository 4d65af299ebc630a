// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package e2e runs the built operator as its Deployment would, with no rights but those of config/rbac, and looks at
// what comes of it through the API server, IAM and the process itself.
package e2e

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	coordinationv1 "k8s.io/api/coordination/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	config    = "../../config"
	namespace = "prod-access-system"
	account   = "system:serviceaccount:" + namespace + ":prod-access-controller-manager"

	// soon bounds what follows from an event, on a machine that does other things as well.
	soon = 30 * time.Second
	// punctual is how long after a deadline access must be gone, if nothing stands in the way.
	punctual = 5 * time.Second
)

// One control plane and one IAM serve all tests. Each test runs operators of its own and has people of its own; what
// it asks for is gone when it ends.
var (
	cp     *controlplane.ControlPlane
	iam    *fake.IAM
	iamURL string
	// admin may do everything; the others are people of hack/demo/people.yaml.
	admin, dana, bob, carol client.Client
	// dir holds the built operator, its logs, and the audit log of the API server.
	dir    string
	serial atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	var err error
	if dir, err = os.MkdirTemp("", "e2e-"); err != nil {
		fail(err)
		return code
	}
	defer func() { _ = os.RemoveAll(dir) }()
	iam = fake.New(fake.Config{})
	server := httptest.NewServer(iam)
	defer server.Close()
	iamURL = server.URL
	defer func() {
		if cp != nil {
			if err := cp.Stop(); err != nil {
				fail(err)
			}
		}
	}()
	if err := setUp(context.Background()); err != nil {
		fail(err)
		return code
	}
	return m.Run()
}

func setUp(ctx context.Context) error {
	if err := operator.Build(ctx, filepath.Join(dir, "manager"), "-race"); err != nil {
		return err
	}
	// What the operator asks of the API server is recorded, to see whether it was ever refused.
	policy := "apiVersion: audit.k8s.io/v1\nkind: Policy\nomitStages: [RequestReceived]\nrules:\n- {level: Metadata, users: [\"" + account + "\"]}\n- {level: None}\n"
	if err := os.WriteFile(filepath.Join(dir, "policy.yaml"), []byte(policy), 0o600); err != nil {
		return err
	}
	var err error
	if cp, err = controlplane.Start(ctx, controlplane.Options{APIServerArgs: map[string]string{
		"audit-policy-file": filepath.Join(dir, "policy.yaml"), "audit-log-path": filepath.Join(dir, "audit.log"),
	}}); err != nil {
		return err
	}
	if err := operator.Install(ctx, cp, config); err != nil {
		return err
	}
	if _, err := cp.Kubectl(ctx, "", "apply", "-f", "../../hack/demo/people.yaml"); err != nil {
		return err
	}
	for _, group := range []string{"hera-prod-infra-manager", "hera-prod-infra-member", "hera-prod-security-engineer"} {
		iam.AddGroup(group)
	}
	if err := policytest.GuardShipped(iam, "../../config/roles"); err != nil {
		return err
	}
	if admin, err = client.New(cp.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		return err
	}
	return errors.Join(join(&dana, "dana", "engineers"), join(&bob, "bob", "platform-leads"), join(&carol, "carol", "platform-leads"))
}

// join makes a client of a person in a Kubernetes group.
func join(c *client.Client, name, group string) error {
	cfg, err := cp.ConfigFor(name+"@hera.example", group)
	if err != nil {
		return err
	}
	*c, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	return err
}

func unique(prefix string) string { return fmt.Sprintf("%s-%d", prefix, serial.Add(1)) }

// start runs an operator until the test ends, and then looks for what no operator may have on its account.
func start(t *testing.T, args ...string) *operator.Process {
	t.Helper()
	p, err := operator.Start(t.Context(), cp, operator.Options{
		Binary: filepath.Join(dir, "manager"), Config: config, Args: args, Env: operator.AWSEnv(iamURL), Log: filepath.Join(dir, unique("operator")+".log"),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the operator's log:\n%s", p.LogTail(60))
		}
		tidy(t)
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
		log, err := os.ReadFile(p.Log)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(log)) {
			if l := strings.ToLower(line); strings.Contains(l, "forbidden") || strings.Contains(l, "panic") || strings.Contains(l, "data race") {
				t.Errorf("the operator's log: %s", line)
			}
		}
		refused(t)
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := errors.Join(p.WaitReady(ctx), operator.WaitGuarded(ctx, cp)); err != nil {
		t.Fatal(err)
	}
	return p
}

// asked are the grants that may still be there.
var asked []*v1alpha1.ProdAccessGrant

// tidy deletes what was asked for, while there is still an operator to take it away.
func tidy(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), soon)
	defer cancel()
	for _, g := range asked {
		if err := admin.Delete(ctx, g); client.IgnoreNotFound(err) != nil {
			t.Error(err)
		}
	}
	for _, g := range asked {
		err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(g), &v1alpha1.ProdAccessGrant{})
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		if err != nil {
			t.Errorf("%s does not go away: %v", g.Name, err)
		}
	}
	asked = nil
}

// refused reports every request of the operator that the API server has refused.
func refused(t *testing.T) {
	t.Helper()
	log, err := os.ReadFile(filepath.Join(dir, "audit.log"))
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(log), `"resource":"prodaccessgrants"`) {
		t.Error("the audit log shows nothing of the operator")
	}
	for line := range strings.Lines(string(log)) {
		if strings.Contains(line, `"code":403`) || strings.Contains(line, `"code":401`) {
			t.Errorf("the API server refused the operator: %s", line)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, within time.Duration, what string, holds func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, holds); err != nil {
		t.Fatalf("not within %s: %s: %v", within, what, err)
	}
}

// past waits for a moment.
func past(t *testing.T, at time.Time) {
	t.Helper()
	eventually(t, time.Until(at)+time.Second, "the time "+at.String(), func(context.Context) (bool, error) { return !time.Now().Before(at), nil })
}

// person adds an IAM user with an MFA device.
func person(prefix string) string {
	name := unique(prefix)
	iam.AddUser(fake.User{Name: name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: kubernetesUser(name)}})
	return name
}

func kubernetesUser(name string) string { return name + "@hera.example" }

// request lets Dana ask for a role for an hour, with all that any of config/roles demands.
func request(t *testing.T, user, role string, change func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	t.Helper()
	eventually(t, soon, "the role "+role+" is known", func(ctx context.Context) (bool, error) {
		r := &v1alpha1.AccessRole{}
		err := admin.Get(ctx, client.ObjectKey{Name: role}, r)
		return r.Status.ObservedGeneration == r.Generation, err
	})
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: unique("grant")}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: user, KubernetesUser: v1alpha1.Username(kubernetesUser(user))}, Role: role,
		Reason: "replace the failing disk of the database", ChangeTicket: "CHG-1", StagingEvidence: "https://ci.hera.example/1", Incident: "INC-1",
		RequestedBy: "dana@hera.example", ExpiresAt: in(time.Hour),
	}}
	if change != nil {
		change(&g.Spec)
	}
	if err := dana.Create(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	asked = append(asked, g)
	return g
}

func in(d time.Duration) metav1.Time { return metav1.NewTime(time.Now().Add(d).Truncate(time.Second)) }

func ending(d time.Duration) func(*v1alpha1.ProdAccessGrantSpec) {
	return func(s *v1alpha1.ProdAccessGrantSpec) { s.ExpiresAt = in(d) }
}

// approve lets Bob and Carol approve what the status shows.
func approve(t *testing.T, g *v1alpha1.ProdAccessGrant) {
	t.Helper()
	reaches(t, g, v1alpha1.StatePendingApproval)
	for name, c := range map[string]client.Client{"bob": bob, "carol": carol} {
		if err := c.Create(t.Context(), &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: g.Name + "-" + name}, Spec: v1alpha1.AccessApprovalSpec{
			Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.Name, UID: string(g.UID)}, Role: g.Spec.Role, Digest: g.Status.ApprovalDigest,
			Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(name + "@hera.example"), ApproverGroups: []string{"platform-leads"},
		}}); err != nil {
			t.Fatal(err)
		}
	}
}

// granted asks for a role, has it approved and waits until it is there.
func granted(t *testing.T, user, role string, change func(*v1alpha1.ProdAccessGrantSpec)) *v1alpha1.ProdAccessGrant {
	t.Helper()
	g := request(t, user, role, change)
	approve(t, g)
	reaches(t, g, v1alpha1.StateGranted)
	return g
}

// reaches waits for a state and checks that the status is in order.
func reaches(t *testing.T, g *v1alpha1.ProdAccessGrant, state string) {
	t.Helper()
	within := soon
	if left := time.Until(g.Spec.ExpiresAt.Time); state == v1alpha1.StateExpired && left > 0 {
		within += left
	}
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, within, true, func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
		return access.StateOf(g) == state, err
	})
	if err != nil {
		t.Fatalf("%s did not become %s: %v\n%+v", g.Name, state, err, g.Status.Conditions)
	}
	statustest.CheckGrant(t, g)
}

// may asks the API server.
func may(t *testing.T, user, verb, group, resource, in string) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: kubernetesUser(user),
		ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource, Namespace: in}}}
	if err := admin.Create(t.Context(), review); err != nil {
		t.Fatal(err)
	}
	return review.Status.Allowed
}

// bindings are those that were made for a grant, by namespace.
func bindings(t *testing.T, g *v1alpha1.ProdAccessGrant) []string {
	t.Helper()
	var found []string
	var inCluster rbacv1.ClusterRoleBindingList
	var inNamespaces rbacv1.RoleBindingList
	if err := errors.Join(admin.List(t.Context(), &inCluster), admin.List(t.Context(), &inNamespaces)); err != nil {
		t.Fatal(err)
	}
	name := access.BindingName(g)
	for _, b := range inCluster.Items {
		if b.Name == name {
			found = append(found, "")
		}
	}
	for _, b := range inNamespaces.Items {
		if b.Name == name {
			found = append(found, b.Namespace)
		}
	}
	return found
}

// has checks what a grant of infra-member comes to, on both sides.
func has(t *testing.T, g *v1alpha1.ProdAccessGrant, want bool) {
	t.Helper()
	user := g.Spec.Subject.IAMUser
	if got := len(bindings(t, g)) == 1; got != want {
		t.Errorf("%s bound: %v, want %v", g.Name, got, want)
	}
	if got := iam.IsMember("hera-prod-infra-member", user); got != want {
		t.Errorf("%s in the IAM group: %v, want %v", user, got, want)
	}
	// The API server learns of bindings by a watch of its own.
	eventually(t, punctual, fmt.Sprintf("%s may delete pods: %v", user, want), func(context.Context) (bool, error) {
		return may(t, user, "delete", "", "pods", "default") == want, nil
	})
}

// holder is who leads.
func holder(t *testing.T) string {
	t.Helper()
	var lease coordinationv1.Lease
	err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: controller.Name + ".hera.dev"}, &lease)
	if apierrors.IsNotFound(err) {
		return ""
	}
	if err != nil {
		t.Fatal(err)
	}
	if lease.Spec.HolderIdentity == nil {
		return ""
	}
	return *lease.Spec.HolderIdentity
}

// leads waits until somebody other than these leads, and returns who.
func leads(t *testing.T, within time.Duration, but ...string) (who string) {
	t.Helper()
	eventually(t, within, "a leader", func(context.Context) (bool, error) {
		who = holder(t)
		return who != "" && (len(but) == 0 || who != but[0]), nil
	})
	return who
}
