// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package races lets people decide side by side, and kills the operator in the middle of what they have decided: the
// built operator, with no rights but those of config/rbac, behind the admission policies, its audit trail on the disk.
// What comes of it is judged by what is stored, by the access that there is, and by the trail.
package races

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
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

	// Everybody asks for this role, which two people have to approve.
	role  = "infra-member"
	group = "hera-prod-infra-member"

	// soon bounds what follows from an event, on a machine that does other things as well.
	soon = time.Minute
)

// One control plane, one IAM and one audit trail serve all tests; their operators run one after the other.
var (
	cp     *controlplane.ControlPlane
	iam    *fake.IAM
	iamURL string
	// dir holds the built operator, its log and the audit trail.
	dir string
	// admin may do everything; Dana asks, Bob, Carol and Ann approve, Eve revokes.
	admin, dana, bob, carol, ann, eve client.Client
	serial                            atomic.Int64
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	fail := func(err error) {
		fmt.Fprintln(os.Stderr, err)
		code = 1
	}
	ctrl.SetLogger(logr.Discard())
	var err error
	if dir, err = os.MkdirTemp("", "races-"); err != nil {
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
	var err error
	if cp, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	if err := operator.Install(ctx, cp, config); err != nil {
		return err
	}
	if _, err := cp.Kubectl(ctx, "", "apply", "-f", "../../hack/demo/people.yaml"); err != nil {
		return err
	}
	for _, name := range []string{"hera-prod-infra-manager", group, "hera-prod-security-engineer"} {
		iam.AddGroup(name)
	}
	if err := policytest.GuardShipped(iam, "../../config/roles"); err != nil {
		return err
	}
	if admin, err = client.New(cp.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		return err
	}
	return errors.Join(join(&dana, "dana", "engineers"), join(&bob, "bob", "platform-leads"), join(&carol, "carol", "platform-leads"),
		join(&ann, "ann", "platform-leads"), join(&eve, "eve", "security"))
}

// join makes a client of a person in a Kubernetes group.
func join(c *client.Client, name, group string) error {
	cfg, err := cp.ConfigFor(name+"@hera.example", group)
	if err != nil {
		return err
	}
	cfg.QPS = -1
	*c, err = client.New(cfg, client.Options{Scheme: controller.NewScheme()})
	return err
}

func logFile() string   { return filepath.Join(dir, "operator.log") }
func trailFile() string { return filepath.Join(dir, "audit.log") }

// startOperator runs one, which does not wait for the lease of one that was killed.
func startOperator(ctx context.Context) (*operator.Process, error) {
	return operator.Start(ctx, cp, operator.Options{
		Binary: filepath.Join(dir, "manager"), Config: config, Env: operator.AWSEnv(iamURL), Log: logFile(),
		// A process that lives for two seconds makes little of a rate that spares an account.
		Args: []string{"--leader-elect=false", "--audit-file=" + trailFile(), "--aws-rate=1000"},
	})
}

// stop ends an operator as a kubelet does, and looks for what none may have on its account.
func stop(t *testing.T, p *operator.Process) {
	t.Helper()
	if t.Failed() {
		t.Logf("the operator's log:\n%s", p.LogTail(40))
	}
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
}

// guarded waits until the operator knows that the admission policies prove who asks.
func guarded(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := operator.WaitGuarded(ctx, cp); err != nil {
		t.Fatal(err)
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, soon, true, holds); err != nil {
		t.Fatalf("not within %s: %s: %v", soon, what, err)
	}
}

// person adds an IAM user with an MFA device.
func person() string {
	name := fmt.Sprintf("alice-%d", serial.Add(1))
	iam.AddUser(fake.User{Name: name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: kubernetesUser(name)}})
	return name
}

func kubernetesUser(name string) string { return name + "@hera.example" }

// request is what Dana asks for.
func request(user string, expiresAt time.Time) *v1alpha1.ProdAccessGrant {
	return &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("grant-%d", serial.Add(1))}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: user, KubernetesUser: v1alpha1.Username(kubernetesUser(user))}, Role: role,
		Reason: "replace the failing disk of the database", ChangeTicket: "CHG-1", StagingEvidence: "https://ci.hera.example/1",
		RequestedBy: "dana@hera.example", ExpiresAt: metav1.NewTime(expiresAt.Truncate(time.Second)),
	}}
}

// ask creates a request and waits until there is something to approve.
func ask(ctx context.Context, g *v1alpha1.ProdAccessGrant) error {
	if err := dana.Create(ctx, g); err != nil {
		return err
	}
	err := wait.PollUntilContextTimeout(ctx, 10*time.Millisecond, soon, true, func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
		return g.Status.ApprovalDigest != "", err
	})
	if err != nil {
		return fmt.Errorf("waiting for the digest of %s: %w", g.Name, err)
	}
	return nil
}

// decide lets somebody approve or reject what the status shows.
func decide(ctx context.Context, who client.Client, name string, g *v1alpha1.ProdAccessGrant, d v1alpha1.ApprovalDecision) error {
	return who.Create(ctx, &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: g.Name + "-" + name}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.Name, UID: string(g.UID)}, Role: g.Spec.Role, Digest: g.Status.ApprovalDigest,
		Decision: d, Approver: v1alpha1.Username(name + "@hera.example"), ApproverGroups: []string{"platform-leads"},
	}})
}

func approve(ctx context.Context, who client.Client, name string, g *v1alpha1.ProdAccessGrant) error {
	return decide(ctx, who, name, g, v1alpha1.DecisionApprove)
}

// revocation is what Eve revokes: the grant, or its person.
func revocation(g *v1alpha1.ProdAccessGrant, person bool) *v1alpha1.AccessRevocation {
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: "revoked-" + g.Name}, Spec: v1alpha1.AccessRevocationSpec{
		Reason: "the laptop was stolen on the train", RevokedBy: "eve@hera.example",
	}}
	if person {
		r.Spec.Person = g.Spec.Subject.KubernetesUser
	} else {
		r.Spec.Grant = &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: access.SpecDigest(&g.Spec)}
	}
	return r
}

// ends waits until a grant is in one of these states.
func ends(t *testing.T, g *v1alpha1.ProdAccessGrant, states ...string) string {
	t.Helper()
	eventually(t, fmt.Sprintf("%s is %q", g.Name, states), func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
		return slices.Contains(states, access.StateOf(g)), err
	})
	statustest.CheckGrant(t, g)
	return access.StateOf(g)
}

// inForce waits until a revocation is executed.
func inForce(t *testing.T, r *v1alpha1.AccessRevocation) {
	t.Helper()
	eventually(t, r.Name+" is in force", func(ctx context.Context) (bool, error) {
		err := admin.Get(ctx, client.ObjectKeyFromObject(r), r)
		ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonInForce, err
	})
}

// has checks, on both sides, that the access of a grant exists or does not. Nobody else's grant covers the membership.
func has(t *testing.T, g *v1alpha1.ProdAccessGrant, want bool) {
	t.Helper()
	var b rbacv1.ClusterRoleBinding
	err := admin.Get(t.Context(), client.ObjectKey{Name: access.BindingName(g)}, &b)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if got := err == nil; got != want {
		t.Errorf("%s, %s: bound %v, want %v", g.Name, access.StateOf(g), got, want)
	}
	if got := iam.IsMember(group, g.Spec.Subject.IAMUser); got != want {
		t.Errorf("%s, %s: member %v, want %v", g.Name, access.StateOf(g), got, want)
	}
}

// onRecord checks that access is exactly what the grants in the cluster say: neither more nor less.
func onRecord(t *testing.T) {
	t.Helper()
	var grants v1alpha1.ProdAccessGrantList
	var bindings rbacv1.ClusterRoleBindingList
	if err := errors.Join(admin.List(t.Context(), &grants), admin.List(t.Context(), &bindings, client.MatchingLabels{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue})); err != nil {
		t.Fatal(err)
	}
	bound, members := map[string]bool{}, map[string]bool{}
	for i := range grants.Items {
		g := &grants.Items[i]
		statustest.CheckGrant(t, g)
		switch state := access.StateOf(g); {
		case state == v1alpha1.StateGranted:
			bound[access.BindingName(g)], members[g.Spec.Subject.IAMUser] = true, true
		case !access.Terminal(state):
			t.Errorf("%s is still %s", g.Name, state)
		}
	}
	is := map[string]bool{}
	for _, b := range bindings.Items {
		is[b.Name] = true
	}
	same(t, "bindings", is, bound)
	is = map[string]bool{}
	for _, name := range iam.Members(group) {
		is[name] = true
	}
	same(t, "members of "+group, is, members)
}

func same(t *testing.T, what string, got, want map[string]bool) {
	t.Helper()
	for name := range got {
		if !want[name] {
			t.Errorf("%s: %s is there, and no grant says so", what, name)
		}
	}
	for name := range want {
		if !got[name] {
			t.Errorf("%s: a grant says %s, and it is not there", what, name)
		}
	}
}

// trail reads which events the audit trail has for each object, by uid.
func trail(t *testing.T) map[string]map[string]bool {
	t.Helper()
	f, err := os.Open(trailFile())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	events := map[string]map[string]bool{}
	lines := bufio.NewScanner(f)
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var line struct{ Event, UID string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			continue // of a writer that was killed in the middle of it
		}
		if events[line.UID] == nil {
			events[line.UID] = map[string]bool{}
		}
		events[line.UID][line.Event] = true
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return events
}

// told checks that the trail says of an object all that it must, and nothing beyond what it may.
func told(t *testing.T, events map[string]map[string]bool, o metav1.Object, must, may []string) {
	t.Helper()
	got := events[string(o.GetUID())]
	for _, event := range must {
		if !got[event] {
			t.Errorf("I8: the trail does not say %q of %s", event, o.GetName())
		}
	}
	for event := range got {
		if !slices.Contains(must, event) && !slices.Contains(may, event) {
			t.Errorf("the trail says %q of %s, and its status does not", event, o.GetName())
		}
	}
}

// executed is what the trail has to say of a revocation that is in force. That a grant is gone it says of the grant.
func executed(r *v1alpha1.AccessRevocation) []string {
	if r.Spec.Grant != nil {
		return []string{audit.EventRevocation}
	}
	return []string{audit.EventRevocation, audit.EventExecuted}
}

// untampered has the trail verified, by the package and by the command, up to the head that is anchored in the cluster.
// The operator has ended.
func untampered(t *testing.T) {
	t.Helper()
	var anchor corev1.ConfigMap
	if err := admin.Get(t.Context(), client.ObjectKey{Namespace: namespace, Name: audit.AnchorName}, &anchor); err != nil {
		t.Fatal(err)
	}
	head, err := audit.ParseHead(anchor.Data[audit.AnchorKey])
	if err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(trailFile())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = f.Close() }()
	report, err := audit.Verify([]audit.Source{{Name: f.Name(), ReadSeeker: f}}, audit.VerifyOptions{Head: &head})
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("the trail: %d lines in %d segments, %d notes", report.Lines, report.Segments, report.Notes)
	if report.Errors > 0 {
		t.Errorf("the trail does not verify: %v", report.Findings[:min(10, len(report.Findings))])
	}
	out, err := exec.CommandContext(t.Context(), filepath.Join(dir, "manager"), "audit", "verify", trailFile(), "--head", head.String()).CombinedOutput()
	if err != nil {
		t.Errorf("manager audit verify: %v\n%s", err, out[:min(len(out), 2000)])
	}
	// The twin: the same trail without its last line.
	whole, err := os.ReadFile(trailFile())
	if err != nil {
		t.Fatal(err)
	}
	cut := filepath.Join(t.TempDir(), "cut.log")
	if err := os.WriteFile(cut, whole[:strings.LastIndexByte(string(whole[:len(whole)-1]), '\n')+1], 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err = exec.CommandContext(t.Context(), filepath.Join(dir, "manager"), "audit", "verify", cut, "--head", head.String()).CombinedOutput(); err == nil {
		t.Errorf("a trail whose end was cut verifies:\n%s", out[:min(len(out), 2000)])
	}
}

// seed is printed, and repeats the delays of a run (RACES_SEED), though not what the machine makes of them.
func seed(t *testing.T) uint64 {
	t.Helper()
	s := uint64(time.Now().UnixNano())
	if text := os.Getenv("RACES_SEED"); text != "" {
		if _, err := fmt.Sscan(text, &s); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("RACES_SEED=%d", s)
	return s
}

// pause waits for a time that was drawn.
func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}
