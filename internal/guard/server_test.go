// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/config/admission"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

const patience = time.Minute

var server struct {
	once sync.Once
	cp   *controlplane.ControlPlane
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if server.cp != nil {
		_ = server.cp.Stop()
	}
	os.Exit(code)
}

// realServer starts a control plane for the tests that need one.
func realServer(t *testing.T) *rest.Config {
	t.Helper()
	server.once.Do(func() {
		server.cp, server.err = controlplane.Start(t.Context(), controlplane.Options{CRDDirectories: []string{"../../config/crd/bases"}})
	})
	if server.err != nil {
		t.Fatal(server.err)
	}
	return server.cp.Config
}

func newScheme(t *testing.T) *runtime.Scheme {
	t.Helper()
	s := runtime.NewScheme()
	if err := errors.Join(clientgoscheme.AddToScheme(s), v1alpha1.AddToScheme(s)); err != nil {
		t.Fatal(err)
	}
	return s
}

// as is a client of somebody who may do everything that admission lets pass.
func as(t *testing.T, user string, groups ...string) client.Client {
	t.Helper()
	config := rest.CopyConfig(realServer(t))
	config.Impersonate = rest.ImpersonationConfig{UserName: user, Groups: groups}
	c, err := client.New(config, client.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const masters = "system:masters"

// objectsOf reads the manifests of a folder.
func objectsOf(t *testing.T, files fs.FS) []*unstructured.Unstructured {
	t.Helper()
	names, err := fs.Glob(files, "*.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var objects []*unstructured.Unstructured
	for _, name := range names {
		if name == "kustomization.yaml" {
			continue
		}
		content, err := fs.ReadFile(files, name)
		if err != nil {
			t.Fatal(err)
		}
		documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content)))
		for {
			document, err := documents.Read()
			if errors.Is(err, io.EOF) {
				break
			}
			o := &unstructured.Unstructured{}
			if err := errors.Join(err, yaml.Unmarshal(document, &o.Object)); err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			if len(o.Object) > 0 {
				objects = append(objects, o)
			}
		}
	}
	return objects
}

// install creates the policies of a folder until the test ends.
func install(t *testing.T, admin client.Client, files fs.FS) {
	t.Helper()
	for _, o := range objectsOf(t, files) {
		if err := admin.Create(t.Context(), o.DeepCopy()); err != nil {
			t.Fatalf("creating the %s %s: %v", o.GetKind(), o.GetName(), err)
		}
		t.Cleanup(func() {
			if err := client.IgnoreNotFound(admin.Delete(context.WithoutCancel(t.Context()), o)); err != nil {
				t.Errorf("deleting the %s %s: %v", o.GetKind(), o.GetName(), err)
			}
		})
	}
}

func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, patience, true,
		func(context.Context) (bool, error) { return condition(), nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}

// laterThan waits until what is created, which is dated in whole seconds, is dated later.
func laterThan(t *testing.T, at time.Time) {
	t.Helper()
	eventually(t, "another second", func() bool { return clock.RealClock{}.Since(at) > time.Second })
}

// TestStoredSpecs: an API server stores what is released as it is compared with.
func TestStoredSpecs(t *testing.T) {
	admin := as(t, "admin", masters)
	for name, files := range map[string]fs.FS{"testdata": os.DirFS("testdata"), "config/admission": admission.Files} {
		t.Run(name, func(t *testing.T) {
			install(t, admin, files)
			g, err := New(Options{Client: admin, Namespace: releasedNamespace, Username: releasedUsername, Current: files, Probes: []Probe{}})
			if err != nil {
				t.Fatal(err)
			}
			seen, err := g.read(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if len(seen) == 0 {
				t.Fatal("nothing is stored")
			}
			if why := g.fault(seen); why != "" {
				t.Error(why)
			}
			// The twin: with one word changed, it is found.
			for o, s := range seen {
				if p, ok := s.spec.(*admissionv1.ValidatingAdmissionPolicySpec); ok {
					p.MatchConstraints.MatchPolicy = new(admissionv1.Exact)
					if why := g.fault(seen); !strings.Contains(why, "not as released: "+o.String()) {
						t.Errorf("a change of %s is reported as %q", o, why)
					}
					break
				}
			}
		})
	}
}

func approval(name, approver string) *v1alpha1.AccessApproval {
	return &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AccessApprovalSpec{
		Target:   v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: "g", UID: "00000000-0000-0000-0000-000000000000"},
		Role:     "infra-member",
		Digest:   "sha256:" + strings.Repeat("0", 64),
		Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(approver),
	}}
}

// trail collects what is audited.
type trail struct {
	mu    sync.Mutex
	lines []string
}

func (a *trail) add(_ context.Context, broken string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.lines = append(a.lines, broken)
	return nil
}

func (a *trail) read() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return slices.Clone(a.lines)
}

// lead runs a guard as the operator's leader does, until stop.
func lead(t *testing.T, a *trail) (g *Guard, stop func()) {
	t.Helper()
	config := rest.CopyConfig(realServer(t))
	config.Impersonate = rest.ImpersonationConfig{UserName: releasedUsername}
	informers, err := cache.New(config, cache.Options{Scheme: newScheme(t)})
	if err != nil {
		t.Fatal(err)
	}
	g, err = New(Options{
		Client: as(t, releasedUsername), Cache: informers, Clock: clock.RealClock{}, Now: clock.RealClock{}.Now,
		Namespace: releasedNamespace, Username: releasedUsername, Audit: a.add,
	})
	if err != nil {
		t.Fatal(err)
	}
	g.interval = time.Second // so that proofs are not far apart
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 2)
	go func() { done <- informers.Start(ctx) }()
	go func() { done <- g.Start(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := errors.Join(<-done, <-done); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return g, stop
}

// TestI10ApprovalsMadeWhileTheGuardWasOff: they are stored, and do not count.
func TestI10ApprovalsMadeWhileTheGuardWasOff(t *testing.T) {
	admin, bob := as(t, "admin", masters), as(t, "bob@hera.example", masters)
	if err := admin.Create(t.Context(), &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: releasedNamespace}}); err != nil {
		t.Fatal(err)
	}
	// Its own rights and no more: an administrator may attest, and the API server would be right to accept that.
	if err := server.cp.Apply(t.Context(), "../../config/rbac"); err != nil {
		t.Fatal(err)
	}
	install(t, admin, admission.Files)
	// Without any role the policy on grants refuses them all, and nobody can see what another does.
	role := &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: "infra-member"}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: time.Hour},
		Kubernetes:  &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: "prod-access-infra-member", Access: v1alpha1.AccessReadWrite},
	}}
	if err := admin.Create(t.Context(), role); err != nil {
		t.Fatal(err)
	}

	// By hand: each policy that is probed refuses, does not without its binding, and refuses again.
	for _, p := range DefaultProbes() {
		t.Run(p.Policy, func(t *testing.T) { tryProbe(t, admin, p) })
	}

	a := &trail{}
	g, stop := lead(t, a)
	whole := func() bool { return g.State().Broken == "" }
	eventually(t, "the first proof", whole)
	laterThan(t, g.State().Since)
	create := func(o *v1alpha1.AccessApproval) metav1.Time {
		t.Helper()
		var err error
		eventually(t, "approval "+o.Name, func() bool {
			err = bob.Create(t.Context(), o)
			return err == nil
		})
		return o.CreationTimestamp
	}
	if err := bob.Create(t.Context(), approval("forged", "carol@hera.example")); err == nil {
		t.Fatal("a forged approval is accepted while the guard is whole")
	}
	before := create(approval("before", "bob@hera.example"))
	// A gap begins a little before the last proof, because clocks differ.
	eventually(t, "a proof that is later", func() bool {
		return clock.RealClock{}.Since(before.Time) > skew+4*g.interval
	})

	binding := &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := admin.Get(t.Context(), types.NamespacedName{Name: "prod-access-approvals"}, binding); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the deletion to be seen", func() bool {
		return strings.Contains(g.State().Broken, "missing: ValidatingAdmissionPolicyBinding prod-access-approvals")
	})
	during := create(approval("forged", "carol@hera.example"))
	if g.State().Proves(during.Time) {
		t.Error("a forged approval is proven at once")
	}
	binding.ResourceVersion, binding.UID = "", ""
	if err := admin.Create(t.Context(), binding); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a proof after the deletion", whole)
	laterThan(t, g.State().Gaps[0].To)
	after := create(approval("after", "bob@hera.example"))

	check := func(g *Guard) {
		t.Helper()
		for what, tt := range map[string]struct {
			at   metav1.Time
			want bool
		}{"before": {before, true}, "while the guard was off": {during, false}, "after": {after, true}} {
			if got := g.State().Proves(tt.at.Time); got != tt.want {
				t.Errorf("created %s: proven is %v, want %v (%+v)", what, got, tt.want, g.State())
			}
		}
	}
	check(g)
	stop()
	successor, _ := lead(t, a)
	eventually(t, "the successor's proof", func() bool { return successor.State().Broken == "" })
	check(successor)
	if lines := a.read(); len(lines) != 3 || lines[0] != "" || !strings.Contains(lines[1], "prod-access-approvals") || lines[2] != "" {
		t.Errorf("the trail says %q, want whole, broken, whole", lines)
	}
	expectOnly(t, admin, "before", "forged", "after")
}

// tryProbe tries a probe with and without the binding of its policy.
func tryProbe(t *testing.T, admin client.Client, p Probe) {
	me := as(t, releasedUsername)
	g, err := New(Options{Client: me, Namespace: releasedNamespace, Username: releasedUsername})
	if err != nil {
		t.Fatal(err)
	}
	expect := func(what string, want verdict) {
		t.Helper()
		var last string
		defer func() {
			if t.Failed() {
				t.Log("last answer:", last)
			}
		}()
		eventually(t, what, func() bool {
			v, why := p.run(t.Context(), me, g.releases.refusals(p.Policy))
			last = fmt.Sprint(v, why)
			return v == want
		})
	}
	expect("the refusal", refused)
	b := &admissionv1.ValidatingAdmissionPolicyBinding{}
	if err := admin.Get(t.Context(), types.NamespacedName{Name: p.Policy}, b); err != nil {
		t.Fatal(err)
	}
	if err := admin.Delete(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	expect("the dry run to be accepted without the binding", accepted)
	b.ResourceVersion, b.UID = "", ""
	if err := admin.Create(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	expect("the refusal again", refused)

	// Somebody without rights learns nothing.
	stranger := as(t, "mallory")
	if v, why := p.run(t.Context(), stranger, g.releases.refusals(p.Policy)); v != silent ||
		!strings.Contains(why, "mallory") {
		t.Errorf("without rights: %v, %q, want silence about a missing right", v, why)
	}
}

// expectOnly: probes are never stored.
func expectOnly(t *testing.T, admin client.Client, approvals ...string) {
	t.Helper()
	var (
		as []string
		l  v1alpha1.AccessApprovalList
		gs v1alpha1.ProdAccessGrantList
		rs v1alpha1.AccessRevocationList
		es v1alpha1.BreakGlassList
	)
	for _, list := range []client.ObjectList{&l, &gs, &rs, &es} {
		if err := admin.List(t.Context(), list); err != nil {
			t.Fatal(err)
		}
	}
	for i := range l.Items {
		as = append(as, l.Items[i].Name)
	}
	slices.Sort(as)
	slices.Sort(approvals)
	if !slices.Equal(as, approvals) || len(gs.Items)+len(rs.Items)+len(es.Items) > 0 {
		t.Errorf("stored: approvals %q, %d grants, %d revocations, %d emergencies; want approvals %q alone",
			as, len(gs.Items), len(rs.Items), len(es.Items), approvals)
	}
}
