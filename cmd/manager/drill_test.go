// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	clocktesting "k8s.io/utils/clock/testing"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/client/fake"
	"sigs.k8s.io/controller-runtime/pkg/client/interceptor"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	iamfake "github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	drillSample = "../../config/samples/drill.yaml"
	drillUser   = "alice@hera.example"
)

// hasty is a clock on which waiting takes no time.
type hasty struct{ *clocktesting.FakeClock }

func (h hasty) After(d time.Duration) <-chan time.Time {
	h.Step(d)
	at := make(chan time.Time, 1)
	at <- h.Now()
	return at
}

// drilled is what a drill meets: an API server and an operator, as far as it sees them. Its fields are what may be wrong.
type drilled struct {
	clock hasty
	// me is the caller; mayAsk says whether they may ask about others' rights, administers whether they hold that verb.
	me                 string
	mayAsk, administer bool
	// refuses is the answer to the creation, opens the state that follows, ends the one at the deadline.
	refuses     error
	opens, ends string
	// late is how long after the deadline it ends, moved how far the operator has moved that.
	late, moved time.Duration
	// ready is the role's condition; anyway says that the subject holds the right by other means, never that nothing gives it,
	// stays that nothing takes it away.
	ready                metav1.ConditionStatus
	anyway, never, stays bool
	// silent: there is no event; open: a deletion is not refused; mute: no report can be written; full: nothing reaches the trail.
	silent, open, mute, full bool

	glass *v1alpha1.BreakGlass
}

func wellRunning() *drilled {
	start := time.Date(2026, 11, 23, 3, 0, 0, 0, time.UTC)
	return &drilled{clock: hasty{clocktesting.NewFakeClock(start)}, me: drillUser, ready: metav1.ConditionTrue,
		opens: v1alpha1.StateGranted, ends: v1alpha1.StateExpired}
}

func (c *drilled) deadline() time.Time {
	return c.glass.CreationTimestamp.Add(c.glass.Spec.Duration.Duration)
}

func (c *drilled) over() bool {
	return c.glass != nil && !c.clock.Now().Before(c.deadline().Add(c.late))
}

// holds says whether the subject holds what the role gives.
func (c *drilled) holds() bool {
	return c.anyway || !c.never && c.glass != nil && c.opens == v1alpha1.StateGranted && (c.stays || !c.over())
}

func (c *drilled) create(_ context.Context, _ client.WithWatch, obj client.Object, _ ...client.CreateOption) error {
	switch o := obj.(type) {
	case *authenticationv1.SelfSubjectReview:
		o.Status.UserInfo.Username = c.me
	case *authorizationv1.SubjectAccessReview:
		if !c.mayAsk {
			return apierrors.NewForbidden(schema.GroupResource{Resource: "subjectaccessreviews"}, "", errors.New("no"))
		}
		o.Status.Allowed = c.holds()
	case *authorizationv1.SelfSubjectAccessReview:
		a := o.Spec.ResourceAttributes
		o.Status.Allowed = a.Verb == "delete" || a.Verb == "administer" && c.administer || a.Resource == "configmaps" && c.holds()
	case *v1alpha1.BreakGlass:
		if c.refuses != nil {
			return c.refuses
		}
		o.UID, o.CreationTimestamp = "7f3d6a52", metav1.NewTime(c.clock.Now())
		c.glass = o.DeepCopy()
	}
	return nil
}

func (c *drilled) get(_ context.Context, _ client.WithWatch, _ client.ObjectKey, obj client.Object, _ ...client.GetOption) error {
	switch o := obj.(type) {
	case *v1alpha1.AccessRole:
		o.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: c.ready, Message: "somebody must mend it"}}
	case *v1alpha1.BreakGlass:
		c.glass.DeepCopyInto(o)
		s, created := &o.Status, o.CreationTimestamp
		state, reported := c.opens, v1alpha1.ReasonReportNotDue
		if c.opens == v1alpha1.StateGranted {
			s.ActivatedAt, s.ExpiresAt = &created, new(metav1.NewTime(c.deadline().Add(c.moved)))
		}
		if c.over() && c.ends != "" {
			state, reported = c.ends, v1alpha1.ReasonReportPending
			s.EndedAt = new(metav1.NewTime(c.deadline().Add(c.late)))
			s.ReportDueAt = new(metav1.NewTime(c.deadline().Add(24 * time.Hour)))
			if o.Spec.Report != nil {
				s.ReportDigest = access.ReportDigest(string(o.UID), o.Spec.Report)
			}
		}
		if c.full {
			s.Outbox = []v1alpha1.OutboxEntry{{Event: "opened"}}
		}
		if state != "" {
			s.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: state, Message: "as was to be expected"},
				{Type: v1alpha1.ConditionReported, Reason: reported, Message: "nobody has written it"}}
		}
	}
	return nil
}

func (c *drilled) list(_ context.Context, _ client.WithWatch, list client.ObjectList, _ ...client.ListOption) error {
	if events, ok := list.(*corev1.EventList); ok && !c.silent {
		events.Items = []corev1.Event{{Reason: "Opened", InvolvedObject: corev1.ObjectReference{UID: c.glass.UID}}}
	}
	return nil
}

func (c *drilled) delete(context.Context, client.WithWatch, client.Object, ...client.DeleteOption) error {
	if c.open {
		return nil
	}
	return errors.New("denied: a BreakGlass is not ended by deleting it")
}

func (c *drilled) patch(_ context.Context, _ client.WithWatch, obj client.Object, _ client.Patch, _ ...client.PatchOption) error {
	if c.mute {
		return errors.New("you may not patch breakglasses")
	}
	c.glass.Spec.Report = obj.(*v1alpha1.BreakGlass).Spec.Report
	return nil
}

// drill runs one.
func (c *drilled) drill(t *testing.T) (out string, err error) {
	t.Helper()
	content, err := os.ReadFile(drillSample)
	if err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	d := &drill{clock: c.clock, out: &said, timeout: 30 * time.Second}
	d.kube = interceptor.NewClient(fake.NewClientBuilder().WithScheme(controller.NewScheme()).Build(),
		interceptor.Funcs{Create: c.create, Get: c.get, List: c.list, Delete: c.delete, Patch: c.patch})
	if err := d.read(content); err != nil {
		t.Fatal(err)
	}
	err = d.run(t.Context())
	return said.String(), err
}

// Each row differs from a drill that goes well in one thing.
func TestDrillFindsWhatIsWrong(t *testing.T) {
	for _, test := range []struct {
		name  string
		wrong func(*drilled)
		// says is a line; the drill fails if it begins with FAIL.
		says string
		// lines is how many checks are told of.
		lines int
	}{
		{"nothing", func(*drilled) {}, "PASS  these findings are its report, and on the audit trail", 12},
		{"nothing, seen by somebody else", func(c *drilled) { c.me, c.mayAsk = "dana@hera.example", true }, "PASS  the access works", 12},
		{"others' rights are not theirs to see", func(c *drilled) { c.me = "dana@hera.example" },
			"SKIP  the access works: not checked, because to ask what alice@hera.example may do takes the right to create subjectaccessreviews", 12},
		{"the subject has it anyway", func(c *drilled) { c.anyway = true },
			"SKIP  the access works: not checked, because alice@hera.example may do what the role gives by other means", 12},
		{"an administrator", func(c *drilled) { c.administer = true }, "SKIP  nobody hides it by deleting it: not checked, because it takes the right to delete", 12},
		{"the role is not ready", func(c *drilled) { c.ready = metav1.ConditionFalse },
			"FAIL  the role is there, and Ready (30s): the role drill is not ready: somebody must mend it", 1},
		{"not accepted", func(c *drilled) { c.refuses = errors.New("you may not open the role") },
			"FAIL  admission lets you open it (0s): you may not open the role", 3},
		{"no operator", func(c *drilled) { c.opens = "" },
			"FAIL  the operator has seen it (30s after it was opened): the operator has said nothing about it: does it run?", 5},
		{"blocked", func(c *drilled) { c.opens = v1alpha1.StateBlocked },
			"FAIL  it is Granted, without anybody's approval (30s after it was opened): it is Blocked: as was to be expected", 6},
		{"revoked at once", func(c *drilled) { c.opens = v1alpha1.StateRevoked },
			"FAIL  it is Granted, without anybody's approval (0s after it was opened): it is Revoked: as was to be expected", 6},
		{"another deadline", func(c *drilled) { c.moved = time.Hour },
			"FAIL  it is Granted, without anybody's approval (0s after it was opened): its deadline is 2026-11-23 04:02:00 +0000 UTC, want 2026-11-23T03:02:00Z", 6},
		{"without effect", func(c *drilled) { c.never = true },
			`FAIL  the access works (30s after it was opened): whether alice@hera.example may get configmaps in "kube-public": the API server says false`, 12},
		{"silent", func(c *drilled) { c.silent = true }, "FAIL  an event Opened tells everybody (30s after it was opened): there is no event", 12},
		{"deleted", func(c *drilled) { c.open = true }, "FAIL  nobody hides it by deleting it (0s): it could have been deleted", 12},
		{"never ends", func(c *drilled) { c.ends = "" }, "FAIL  it ends by itself (30s after its deadline): it is Granted", 10},
		{"ends late", func(c *drilled) { c.late = 5 * time.Second }, "PASS  it ends by itself (5s after its deadline)", 12},
		{"ends early", func(c *drilled) { c.late = -5 * time.Second }, "FAIL  it ends by itself (5s before its deadline): it ended at ", 10},
		{"revoked", func(c *drilled) { c.ends = v1alpha1.StateRevoked },
			"FAIL  it ends by itself (0s after its deadline): somebody or something ended it: it is Revoked", 10},
		{"something stays", func(c *drilled) { c.stays = true }, "FAIL  the access is gone (30s after its deadline)", 12},
		{"no report", func(c *drilled) { c.mute = true },
			"FAIL  these findings are its report, and on the audit trail (0s): you may not patch breakglasses", 12},
		{"no trail", func(c *drilled) { c.full = true },
			"FAIL  these findings are its report, and on the audit trail (30s): 1 lines have not reached the audit trail", 12},
	} {
		t.Run(test.name, func(t *testing.T) {
			c := wellRunning()
			test.wrong(c)
			out, err := c.drill(t)
			if !strings.Contains(out, test.says) {
				t.Errorf("want %q in\n%s", test.says, out)
			}
			fails := strings.HasPrefix(test.says, "FAIL")
			if (err != nil) != fails || fails && !strings.Contains(err.Error(), "the drill failed: ") {
				t.Errorf("the answer is %v", err)
			}
			if n := strings.Count(out, "PASS  ") + strings.Count(out, "SKIP  ") + strings.Count(out, "FAIL  "); n != test.lines {
				t.Errorf("%d checks, want %d:\n%s", n, test.lines, out)
			}
			if c.glass == nil || c.mute {
				return
			}
			r := c.glass.Spec.Report
			if r == nil || string(r.WrittenBy) != c.me || !strings.HasPrefix(r.Summary, "drill: ") || strings.Contains(r.Summary, "FAILED") != (fails && !c.full) {
				t.Errorf("the report is %+v", r)
			}
		})
	}
}

func TestDrillReadsItsFile(t *testing.T) {
	content, err := os.ReadFile(drillSample)
	if err != nil {
		t.Fatal(err)
	}
	good := string(content)
	for _, test := range []struct{ name, old, instead, fails string }{
		{"whole", "", "", ""},
		{"no emergency", "kind: BreakGlass", "kind: ProdAccessGrant", "there is no BreakGlass"},
		{"another role", "  role: drill", "  role: other", "there is no AccessRole other"},
		{"another ClusterRole", "clusterRole: prod-access-drill", "clusterRole: prod-access-other", "there is no ClusterRole prod-access-other"},
		{"nobody's rights", "    kubernetesUser: alice@hera.example", "", "name spec.subject.kubernetesUser"},
		{"a field that is none", "  incident: DRILL", "  incidents: DRILL", `unknown field "spec.incidents"`},
		{"an empty role", "verbs: [get, list]", "verbs: []", "the ClusterRole prod-access-drill gives nothing that could be tried"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if test.old != "" && strings.Count(good, test.old) != 1 {
				t.Fatalf("%q is not in the sample exactly once", test.old)
			}
			err := (&drill{}).read([]byte(strings.Replace(good, test.old, test.instead, 1)))
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want %q", err, test.fails)
			}
		})
	}
}

// theatre is where real drills take place: with the built operator, the admission policies and an IAM.
type theatre struct {
	cp    *controlplane.ControlPlane
	admin client.Client
	trail string
}

func openTheatre(t *testing.T) *theatre {
	t.Helper()
	ctx, dir := t.Context(), t.TempDir()
	cp, err := controlplane.Start(ctx, controlplane.Options{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	th := &theatre{cp: cp, trail: filepath.Join(dir, "audit.log")}
	if th.admin, err = client.New(cp.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		t.Fatal(err)
	}
	iam := iamfake.New(iamfake.Config{})
	for _, group := range []string{"hera-prod-infra-manager", "hera-prod-infra-member", "hera-prod-security-engineer"} {
		iam.AddGroup(group)
	}
	for _, name := range []string{"alice", "bob", "carol"} {
		iam.AddUser(iamfake.User{Name: name, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: name + "@hera.example"}})
	}
	server := httptest.NewServer(iam)
	t.Cleanup(server.Close)
	binary := filepath.Join(dir, "manager")
	if err := errors.Join(policytest.GuardShipped(iam, "../../config/roles"), operator.Install(ctx, cp, "../../config"),
		operator.Build(ctx, binary, "-race")); err != nil {
		t.Fatal(err)
	}
	th.bind(t, "prod-access-break-glass")
	th.bind(t, "drill-open")
	p, err := operator.Start(ctx, cp, operator.Options{Binary: binary, Config: "../../config", Env: operator.AWSEnv(server.URL),
		Log: filepath.Join(dir, "operator.log"), Args: []string{"--audit-file=" + th.trail}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the operator's log:\n%s", p.LogTail(40))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	if err := errors.Join(p.WaitReady(ctx), operator.WaitGuarded(ctx, cp)); err != nil {
		t.Fatal(err)
	}
	return th
}

// bind lets the group on-call have a ClusterRole, which may come later.
func (th *theatre) bind(t *testing.T, clusterRole string) {
	t.Helper()
	if err := th.admin.Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "on-call-" + clusterRole},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole},
		Subjects: []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "on-call"}}}); err != nil {
		t.Fatal(err)
	}
}

// drill runs the command as somebody.
func (th *theatre) drill(ctx context.Context, kubeconfig, file string) (out string, err error) {
	var said heard
	err = drillTo(ctx, &said, kubeconfig, file)
	return said.String(), err
}

func drillTo(ctx context.Context, said io.Writer, kubeconfig, file string) error {
	cmd := root()
	cmd.SetOut(said)
	cmd.SetArgs([]string{"drill", "-f", file, "--kubeconfig", kubeconfig, "--timeout=1m"})
	return cmd.ExecuteContext(ctx)
}

// heard is what a drill has said so far.
type heard struct {
	mu   sync.Mutex
	said bytes.Buffer
}

func (h *heard) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.Write(p)
}

func (h *heard) String() string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.said.String()
}

// file is the sample for somebody, and for the least time that an emergency may last.
func file(t *testing.T, subject string) string {
	t.Helper()
	content, err := os.ReadFile(drillSample)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "drill.yaml")
	changed := strings.NewReplacer("iamUser: alice", "iamUser: "+subject, "kubernetesUser: alice", "kubernetesUser: "+subject,
		"duration: 2m", "duration: 1m").Replace(string(content))
	if err := os.WriteFile(path, []byte(changed), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// kubeconfig is that of somebody in a group.
func (th *theatre) kubeconfig(t *testing.T, name, group string) string {
	t.Helper()
	content, err := th.cp.KubeconfigFor(name+"@hera.example", group)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// revoke ends the emergency of somebody while it gives access, once their drill has seen that and gone on to say something.
func (th *theatre) revoke(t *testing.T, subject string, said *heard, after string) error {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	return wait.PollUntilContextCancel(ctx, 100*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		if !strings.Contains(said.String(), after) {
			return false, nil
		}
		var all v1alpha1.BreakGlassList
		if err := th.admin.List(ctx, &all); err != nil {
			return false, err
		}
		for i := range all.Items {
			b := &all.Items[i]
			if b.Spec.Subject.IAMUser != subject || access.StateOf(access.FromBreakGlass(b)) != v1alpha1.StateGranted {
				continue
			}
			cfg := rest.CopyConfig(th.cp.Config)
			cfg.Impersonate = rest.ImpersonationConfig{UserName: "erin@hera.example", Groups: []string{"system:masters"}}
			erin, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
			if err != nil {
				return false, err
			}
			return true, erin.Create(ctx, &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: "over"}, Spec: v1alpha1.AccessRevocationSpec{
				Grant:  &v1alpha1.GrantReference{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, SpecDigest: b.Status.SpecDigest},
				Reason: "the drill is over", RevokedBy: "erin@hera.example", Credentials: v1alpha1.CredentialsKeep,
			}})
		}
		return false, nil
	})
}

// A drill as people have it. What takes a minute, the least that an emergency lasts, goes on side by side.
func TestDrill(t *testing.T) {
	t.Parallel()
	th := openTheatre(t)
	out, err := th.drill(t.Context(), th.kubeconfig(t, "alice", "on-call"), file(t, "alice"))
	if err == nil || !strings.Contains(out, "FAIL  the role is there, and Ready") ||
		!strings.Contains(out, "there is no AccessRole drill, and what it takes cannot be made") {
		t.Fatalf("without the role: %v\n%s", err, out)
	}
	var drills sync.WaitGroup
	expect := func(kubeconfig, subject, fails string, says ...string) *heard {
		manifest, said := file(t, subject), &heard{}
		drills.Go(func() {
			err := drillTo(t.Context(), said, kubeconfig, manifest)
			out := said.String()
			if (err != nil) != (fails != "") || err != nil && !strings.Contains(err.Error(), fails) {
				t.Errorf("the drill for %s: %v, want %q\n%s", subject, err, fails, out)
			}
			for _, s := range says {
				if !strings.Contains(out, s) {
					t.Errorf("the drill for %s does not say %q:\n%s", subject, s, out)
				}
			}
			t.Logf("the drill for %s:\n%s", subject, out)
		})
		return said
	}
	// An administrator, who makes the role.
	expect(th.kubeconfig(t, "root", "system:masters"), "carol", "", "PASS  the access works", "PASS  an event Opened", "SKIP  nobody hides it by deleting it",
		"PASS  it ends by itself", "PASS  the access is gone", "PASS  these findings are its report, and on the audit trail")
	err = wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
		err := th.admin.Get(ctx, client.ObjectKey{Name: "drill"}, &v1alpha1.AccessRole{})
		return err == nil, client.IgnoreNotFound(err)
	})
	if err != nil {
		t.Fatal(err)
	}
	expect(th.kubeconfig(t, "alice", "on-call"), "alice", "", "PASS  the access works",
		"SKIP  an event Opened tells everybody: not checked, because you may not list events",
		"PASS  nobody hides it by deleting it", "PASS  it ends by itself", "PASS  the access is gone", "PASS  these findings are its report, and on the audit trail")
	bob := expect(th.kubeconfig(t, "bob", "on-call"), "bob", "1 failed", "PASS  nobody hides it by deleting it", "FAIL  it ends by itself",
		"somebody or something ended it: it is Revoked")
	if err := th.revoke(t, "bob", bob, "nobody hides it by deleting it"); err != nil {
		t.Error(err)
	}
	drills.Wait()
	lines, err := os.ReadFile(th.trail)
	if err != nil {
		t.Fatal(err)
	}
	// Bob's ends by a failure that is vital, and its report is on the trail as well.
	if n := strings.Count(string(lines), `"event":"report-written"`); n != 3 {
		t.Errorf("the trail tells of %d reports, want 3:\n%s", n, lines)
	}
	if !strings.Contains(string(lines), "drill: 10 passed, 0 failed, 1 not checked: ready ") {
		t.Errorf("the trail does not hold the findings:\n%s", lines)
	}
}
