// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package crash stops the operator dead after each of its side effects, starts it afresh, and looks at what it makes of
// what it finds.
package crash

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"filippo.io/age"
	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/rest"
	realclock "k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/clock"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/controller/prooftest"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

var (
	plane *controlplane.ControlPlane
	kube  client.Client
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	if os.Getenv("OPERATOR_LOG") != "" {
		ctrl.SetLogger(zap.New(zap.UseDevMode(true)))
	} else {
		ctrl.SetLogger(zap.New(zap.WriteTo(discard{})))
	}
	var err error
	if plane, err = controlplane.Start(ctx, controlplane.Options{CRDDirectories: []string{"../../config/crd/bases"}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = plane.Stop() }()
	if kube, err = client.New(plane.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	if err := prooftest.LetEverybodyApprove(ctx, kube); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

type discard struct{}

func (discard) Write(p []byte) (int, error) { return len(p), nil }

// errDead is what a dead process would not even see.
var errDead = errors.New("the process is dead")

// fuse lets a number of side effects through and then kills the process that it belongs to: the effect happens, the
// answer is lost, and nothing gets out any more.
type fuse struct {
	mu      sync.Mutex
	left    int // negative: never blows
	effects []string
	dead    bool
	blown   chan struct{}
}

func newFuse(left int) *fuse { return &fuse{left: left, blown: make(chan struct{})} }

// RoundTrip-like exchange for both the API server and IAM.
func (f *fuse) exchange(next func(*http.Request) (*http.Response, error), effect func(*http.Request) string) func(*http.Request) (*http.Response, error) {
	return func(req *http.Request) (*http.Response, error) {
		name := effect(req)
		if name == "" {
			f.mu.Lock()
			dead := f.dead
			f.mu.Unlock()
			if dead {
				return nil, errDead
			}
			return next(req)
		}
		// Side effects go out one at a time, so that "after the n-th" means the same in every run.
		f.mu.Lock()
		defer f.mu.Unlock()
		if f.dead {
			return nil, errDead
		}
		resp, err := next(req)
		f.effects = append(f.effects, name)
		if len(f.effects) == f.left {
			f.dead = true
			close(f.blown)
			if err == nil {
				_ = resp.Body.Close()
			}
			return nil, errDead
		}
		return resp, err
	}
}

type roundTripper func(*http.Request) (*http.Response, error)

func (r roundTripper) RoundTrip(req *http.Request) (*http.Response, error) { return r(req) }
func (r roundTripper) Do(req *http.Request) (*http.Response, error)        { return r(req) }

// kubeEffect names a write that belongs to a grant or its revocation; leases, events, reviews and the status of roles do
// not.
func kubeEffect(req *http.Request) string {
	if req.Method == http.MethodGet {
		return ""
	}
	for _, part := range []string{"/prodaccessgrants/", "/breakglasses/", "/accessrevocations", "/accessapprovals/", "/clusterrolebindings", "/rolebindings"} {
		if strings.Contains(req.URL.Path, part) {
			kind := strings.Trim(part, "/")
			if strings.HasSuffix(req.URL.Path, "/status") {
				kind += "/status"
			}
			return req.Method + " " + kind
		}
	}
	return ""
}

// iamWrites are how the names of operations begin that change something.
var iamWrites = []string{"Add", "Create", "Deactivate", "Delete", "Detach", "Enable", "Put", "Remove", "Update"}

// iamEffect names a write to IAM.
func iamEffect(req *http.Request) string {
	body, err := io.ReadAll(req.Body)
	if err != nil {
		return ""
	}
	req.Body = io.NopCloser(bytes.NewReader(body))
	form, err := url.ParseQuery(string(body))
	if err != nil {
		return ""
	}
	op := form.Get("Action")
	if slices.ContainsFunc(iamWrites, func(verb string) bool { return strings.HasPrefix(op, verb) }) {
		return op
	}
	return ""
}

// shifted is a clock that the test can put forward.
type shifted struct {
	realclock.PassiveClock
	mu sync.Mutex
	by time.Duration
}

func (s *shifted) Now() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.PassiveClock.Now().Add(s.by)
}

func (s *shifted) forward(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.by += d
}

// stage is one scenario's world: an account, a person, a role, a clock.
type stage struct {
	*testing.T
	account *fake.IAM
	server  *httptest.Server
	clock   *shifted
	role    *v1alpha1.AccessRole
	grants  []*v1alpha1.ProdAccessGrant
	serial  int
	name    string
	// member is whom the membership is of.
	member string
	// options and key are of temporary users; zero where there are none.
	options membership.Options
	key     *age.X25519Identity
	// trail outlives every operator.
	trail prooftest.Trail
	// acted says that what the scenario is about has been done: it is done once, whoever dies of it.
	acted bool
}

const (
	user, group = "alice", "hera-prod"
	// self is the username of the operator.
	self = "operator"
)

func newStage(t *testing.T, name string) *stage {
	name = "prod-access-" + name
	s := &stage{T: t, account: fake.New(fake.Config{}), clock: &shifted{PassiveClock: realclock.RealClock{}}, name: name, member: user}
	s.server = httptest.NewServer(s.account)
	t.Cleanup(s.server.Close)
	s.account.AddUser(fake.User{Name: user, MFA: true})
	s.account.AddGroup(group)
	clusterRole := &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name},
		Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}}
	s.role = &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: 8 * time.Hour}, Approval: v1alpha1.ApprovalPolicy{Required: 1},
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: name, Access: v1alpha1.AccessReadOnly},
		AWS:        &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{group}},
		BreakGlass: &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: time.Hour}},
	}}
	if err := policytest.Guard(s.account, s.role); err != nil {
		t.Fatal(err)
	}
	s.create(clusterRole)
	s.create(s.role)
	t.Cleanup(func() {
		for _, o := range []client.Object{clusterRole, s.role} {
			_ = kube.Delete(context.WithoutCancel(t.Context()), o)
		}
	})
	return s
}

func (s *stage) create(o client.Object) {
	s.Helper()
	if err := kube.Create(s.Context(), o); err != nil {
		s.Fatal(err)
	}
}

// ask creates a grant; approved later.
func (s *stage) ask(window time.Duration) *v1alpha1.ProdAccessGrant {
	s.Helper()
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", s.name, len(s.grants))}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: user}, Role: s.role.Name, Reason: "see what a crash leaves behind", RequestedBy: "dana",
		ExpiresAt: metav1.NewTime(s.clock.Now().Add(window).Truncate(time.Second)),
	}}
	s.create(g)
	s.grants = append(s.grants, g)
	return g
}

// approve adds an approval, and with it an event, whether or not it is needed any more.
func (s *stage) approve(g *v1alpha1.ProdAccessGrant) {
	s.Helper()
	s.get(g)
	digest := g.Status.ApprovalDigest
	if digest == "" {
		digest = "sha256:" + strings.Repeat("0", 64)
	}
	s.say(g, digest)
}

// say lets somebody else approve a digest.
func (s *stage) say(g *v1alpha1.ProdAccessGrant, digest string) {
	s.Helper()
	s.serial++
	s.create(&v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("%s-%d", g.Name, s.serial)}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: access.KindOf(g), Name: g.Name, UID: string(g.UID)},
		Role:   g.Spec.Role, Digest: digest, Decision: v1alpha1.DecisionApprove, Approver: v1alpha1.Username(fmt.Sprintf("bob-%d", s.serial)),
	}})
}

func (s *stage) get(g *v1alpha1.ProdAccessGrant) (exists bool) {
	s.Helper()
	o := object(g)
	err := kube.Get(s.Context(), client.ObjectKeyFromObject(g), o)
	if client.IgnoreNotFound(err) != nil {
		s.Fatal(err)
	}
	if b, ok := o.(*v1alpha1.BreakGlass); ok && err == nil {
		*g = *access.FromBreakGlass(b)
	}
	return err == nil
}

// object is what a grant stands for.
func object(g *v1alpha1.ProdAccessGrant) client.Object {
	if access.Emergency(g) {
		return &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: g.Name}}
	}
	return g
}

// until waits until something holds; false if the operator died first.
func (s *stage) until(f *fuse, what string, holds func() bool) bool {
	s.Helper()
	dead := false
	err := wait.PollUntilContextTimeout(s.Context(), 10*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
		select {
		case <-f.blown:
			dead = true
			return true, nil
		default:
			return holds(), nil
		}
	})
	if err != nil {
		for _, g := range s.grants {
			s.Logf("%s: %+v", g.Name, g.Status)
		}
		s.Fatalf("%s never came: %v; side effects: %q", what, err, f.effects)
	}
	return !dead
}

func (s *stage) reaches(f *fuse, g *v1alpha1.ProdAccessGrant, state string) bool {
	s.Helper()
	return s.until(f, state, func() bool { return s.get(g) && access.StateOf(g) == state })
}

// operator runs an operator behind a fuse until stop is called.
func (s *stage) operator(f *fuse) (stop func()) {
	s.Helper()
	ctx, cancel := context.WithCancel(s.Context())
	now := clock.New(s.clock)
	cfg := rest.CopyConfig(plane.Config)
	cfg.Wrap(func(next http.RoundTripper) http.RoundTripper {
		return roundTripper(f.exchange(next.RoundTrip, kubeEffect)) //nolint:bodyclose // a transport passes bodies on
	})
	mgr, err := ctrl.NewManager(cfg, controller.Options(ctrl.Options{
		Metrics:    metricsserver.Options{BindAddress: "0"},
		Controller: config.Controller{SkipNameValidation: new(true)},
	}))
	if err != nil {
		s.Fatal(err)
	}
	api := iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: &s.server.URL,
		HTTPClient:  roundTripper(f.exchange(http.DefaultClient.Do, iamEffect)), //nolint:bodyclose // a transport passes bodies on
		Credentials: awssdk.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIAEXAMPLEEXAMPLE00", "secret", "")),
	})
	if _, err := controller.Setup(ctx, mgr, controller.AWS{API: api, SweepEvery: time.Hour, Options: s.options}, now, controller.Proof{Guard: &prooftest.Guard{}, Trail: mortal{&s.trail, f}, Self: self}); err != nil {
		s.Fatal(err)
	}
	stopped := make(chan error, 1)
	go func() { stopped <- mgr.Start(ctx) }()
	return func() {
		cancel()
		if err := <-stopped; err != nil && !errors.Is(err, errDead) {
			s.Errorf("the operator ended with: %v", err)
		}
	}
}

// mortal is a trail that the dead do not write to.
type mortal struct {
	*prooftest.Trail
	f *fuse
}

// Append implements controller.Trail.
func (m mortal) Append(ctx context.Context, entries ...audit.Entry) error {
	m.f.mu.Lock()
	dead := m.f.dead
	m.f.mu.Unlock()
	if dead {
		return errDead
	}
	return m.Trail.Append(ctx, entries...)
}

// nothingUnrecorded checks what a crash may leave: access only where the stored status says that it may be, under a
// stored deadline (invariants I1, I2).
func (s *stage) nothingUnrecorded(f *fuse) {
	s.Helper()
	memberOnRecord := false
	for _, g := range s.grants {
		if !s.get(g) {
			continue
		}
		recorded := access.Claims(g, group)
		memberOnRecord = memberOnRecord || recorded
		if recorded && g.Status.ExpiresAt == nil {
			s.Errorf("after %q: intent without a stored deadline", f.effects)
		}
		if s.bound(g) && (len(g.Status.Kubernetes.Bindings) == 0 || g.Status.ExpiresAt == nil) {
			s.Errorf("after %q: bound, and the status does not say so", f.effects)
		}
		if access.Terminal(access.StateOf(g)) && (s.bound(g)) {
			s.Errorf("after %q: %s, and still bound", f.effects, access.StateOf(g))
		}
	}
	if s.account.IsMember(group, s.member) && !memberOnRecord {
		s.Errorf("after %q: a member, and no status says so", f.effects)
	}
	s.bounded(f)
}

// nothingUntold checks that the trail says whatever a stored status says, for an operator that died could not say it any
// more (I8).
func (s *stage) nothingUntold(f *fuse) {
	s.Helper()
	tell := func(name string, events ...string) {
		told := s.trail.Of(name)
		for _, e := range events {
			if !slices.Contains(told, e) {
				s.Errorf("I8: after %q the trail has %q of %s, and not %q", f.effects, told, name, e)
			}
		}
	}
	for _, g := range s.grants {
		if !s.get(g) {
			tell(g.Name, audit.EventRevoked)
			continue
		}
		state := access.StateOf(g)
		begin, given := audit.EventRequested, []string{audit.EventApproved, audit.EventGranted}
		if access.Emergency(g) {
			begin, given = audit.EventOpened, []string{audit.EventGranted}
		}
		if state != "" {
			tell(g.Name, begin)
		}
		if g.Status.ActivatedAt != nil {
			tell(g.Name, given...)
		}
		switch state {
		case v1alpha1.StateSuspended:
			tell(g.Name, audit.EventSuspended)
		case v1alpha1.StateExpired:
			tell(g.Name, audit.EventExpired)
		case v1alpha1.StateRevoked:
			tell(g.Name, audit.EventRevoked)
		}
	}
	for _, r := range s.revocations() {
		if meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady) != nil {
			tell(r.Name, audit.EventRevocation)
		}
	}
}

func (s *stage) revocations() []v1alpha1.AccessRevocation {
	s.Helper()
	var list v1alpha1.AccessRevocationList
	if err := kube.List(s.Context(), &list); err != nil {
		s.Fatal(err)
	}
	return list.Items
}

func (s *stage) bound(g *v1alpha1.ProdAccessGrant) bool {
	s.Helper()
	var b rbacv1.ClusterRoleBinding
	err := kube.Get(s.Context(), client.ObjectKey{Name: access.BindingName(g)}, &b)
	if client.IgnoreNotFound(err) != nil {
		s.Fatal(err)
	}
	return err == nil && metav1.IsControlledBy(&b, g)
}

// clean checks that nothing is left of any grant.
func (s *stage) clean() {
	s.Helper()
	if s.account.IsMember(group, s.member) {
		s.Error("a membership is left")
	}
	for _, g := range s.grants {
		if s.bound(g) {
			s.Errorf("a binding of %s is left", g.Name)
		}
	}
	if n := s.account.Under(policy.BreakGlassPath, s.member); n > 0 {
		s.Errorf("%d traces of %s are left", n, s.member)
	}
}

// scenario is a story told to a running operator. Each step returns false when the operator died in it; told again to
// the next operator, the story goes on from what it finds.
type scenario struct {
	// atLeast is how many side effects the order of effects demands.
	atLeast int
	// before happens under an operator that lives; nil for nothing.
	before func(s *stage, f *fuse)
	story  func(s *stage, f *fuse) bool
}

var scenarios = map[string]scenario{
	// finalizer, status pending, intent, membership, binding, observation
	"activation": {atLeast: 6, before: func(s *stage, _ *fuse) { s.ask(time.Hour) }, story: func(s *stage, f *fuse) bool {
		g := s.grants[0]
		if !s.until(f, "a digest", func() bool { return s.get(g) && g.Status.ApprovalDigest != "" }) {
			return false
		}
		if s.serial == 0 {
			s.approve(g)
		}
		return s.reaches(f, g, v1alpha1.StateGranted) && s.until(f, "access", func() bool { return s.account.IsMember(group, s.member) && s.bound(g) })
	}},
	// finalizer, opened, intent, membership, binding, observation; binding, membership, observation; the report, its approval
	"emergency": {atLeast: 10, before: func(s *stage, _ *fuse) { s.open() }, story: emergency},
	// finalizer, opened, intent; user, fence, password, device, its enrolment, key; the credentials, membership, observation; what
	// takes everything, what deletes every trace, observation
	"temporary user": {atLeast: 24, before: func(s *stage, _ *fuse) { s.openTemporarily() }, story: temporary},
	// binding, membership, observation
	"deadline": {atLeast: 3, before: activeGrant, story: func(s *stage, f *fuse) bool {
		if s.clock.by == 0 {
			s.clock.forward(2 * time.Hour)
			s.approve(s.grants[0])
		}
		return s.reaches(f, s.grants[0], v1alpha1.StateExpired)
	}},
	// binding, membership, observation, the revocation, its end, the approval, finalizer
	"deletion": {atLeast: 7, before: activeGrant, story: func(s *stage, f *fuse) bool {
		g := s.grants[0]
		if s.get(g) && g.DeletionTimestamp == nil {
			if err := kube.Delete(s.Context(), g); err != nil {
				s.Fatal(err)
			}
		}
		return s.gone(f, g)
	}},
	// binding, observation: the membership stays with the other grant
	"overlap": {atLeast: 2, before: func(s *stage, f *fuse) {
		activeGrant(s, f)
		g := s.ask(7 * time.Hour)
		s.until(f, "a digest", func() bool { return s.get(g) && g.Status.ApprovalDigest != "" })
		s.approve(g)
		s.reaches(f, g, v1alpha1.StateGranted)
	}, story: func(s *stage, f *fuse) bool {
		if s.clock.by == 0 {
			s.clock.forward(2 * time.Hour)
			s.approve(s.grants[0])
		}
		alive := s.reaches(f, s.grants[0], v1alpha1.StateExpired)
		if !s.account.IsMember(group, s.member) || !s.bound(s.grants[1]) {
			s.Errorf("I4: after %q the longer grant lost its access", f.effects)
		}
		return alive
	}},
	// intent, membership, the binding that is refused, end of the intent, membership, observation
	"conflict": {atLeast: 6, before: func(s *stage, f *fuse) {
		g := s.ask(time.Hour)
		s.create(&rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)},
			RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: s.name}})
		s.until(f, "a digest", func() bool { return s.get(g) && g.Status.ApprovalDigest != "" })
	}, story: func(s *stage, f *fuse) bool {
		g := s.grants[0]
		if s.serial == 0 {
			s.approve(g)
		}
		return s.until(f, "a clean block", func() bool {
			return s.get(g) && access.StateOf(g) == v1alpha1.StateBlocked && !access.MayExist(g) && !s.account.IsMember(group, s.member)
		})
	}},
	// the suspension, binding, membership, observation, the intent, membership, binding, observation
	"suspension": {atLeast: 8, before: activeGrant, story: func(s *stage, f *fuse) bool {
		g := s.grants[0]
		if s.get(g); meta.IsStatusConditionTrue(g.Status.Conditions, v1alpha1.ConditionActive) && s.serial < 100 {
			s.rule("delete")
		}
		if s.serial < 100 {
			if !s.until(f, "a clean suspension", func() bool {
				return s.get(g) && access.StateOf(g) == v1alpha1.StateSuspended && !access.MayExist(g) && !s.account.IsMember(group, s.member) && !s.bound(g)
			}) {
				return false
			}
			s.serial = 100
			s.rule("get")
		}
		return s.reaches(f, g, v1alpha1.StateGranted)
	}},
	// the revocation's finalizer, the decision, binding, membership, observation, the revocation in force
	"revocation of a person": {atLeast: 6, before: activeGrant, story: func(s *stage, f *fuse) bool {
		defer s.gaveNothing(f)
		return s.revoked(f, s.grants[0], s.revoke(v1alpha1.AccessRevocationSpec{Person: user}))
	}},
	// the same
	"revocation of a grant": {atLeast: 6, before: activeGrant, story: func(s *stage, f *fuse) bool {
		defer s.gaveNothing(f)
		g := s.grants[0]
		return s.revoked(f, g, s.revoke(v1alpha1.AccessRevocationSpec{
			Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: g.Name, SpecDigest: access.SpecDigest(&g.Spec)},
		}))
	}},
	// as a deletion; then finalizer and status of the object that is made again
	"remembered deletion": {atLeast: 9, before: activeGrant, story: func(s *stage, f *fuse) bool {
		defer s.gaveNothing(f)
		g := s.grants[0]
		if !s.acted {
			if err := kube.Delete(s.Context(), g); client.IgnoreNotFound(err) != nil {
				s.Fatal(err)
			}
			if !s.gone(f, g) {
				return false
			}
			s.remembered(f, g)
			s.acted = true
			g = s.again(g)
			s.grants[0] = g
		}
		return s.reaches(f, g, v1alpha1.StateRevoked)
	}},
	// what is missing, the revocation, its end, the decision, membership, observation
	"taken away": {atLeast: 6, before: activeGrant, story: func(s *stage, f *fuse) bool {
		defer s.gaveNothing(f)
		g := s.grants[0]
		if !s.acted {
			s.acted = true
			if err := kube.Delete(s.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)}}); err != nil {
				s.Fatal(err)
			}
		}
		hurried := false
		alive := s.until(f, v1alpha1.StateRevoked, func() bool {
			s.get(g)
			synced := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionBindingsSynced)
			if !hurried && synced.Reason == v1alpha1.ReasonRemovedByOthers && access.StateOf(g) == v1alpha1.StateGranted {
				hurried = true
				s.hurry(g, 5*time.Second) // the look at what else goes
			}
			return access.StateOf(g) == v1alpha1.StateRevoked
		})
		if alive {
			s.remembered(f, g)
		}
		return alive
	}},
}

// emergency is opened, ends by itself, and its report is written and approved.
func emergency(s *stage, f *fuse) bool {
	s.Helper()
	g := s.grants[0]
	if s.clock.by == 0 {
		if !s.reaches(f, g, v1alpha1.StateGranted) || !s.until(f, "access", func() bool { return s.account.IsMember(group, s.member) && s.bound(g) }) {
			return false
		}
		s.clock.forward(2 * time.Hour)
		s.report(g, "the disk was full")
	}
	if !s.reaches(f, g, v1alpha1.StateExpired) {
		return false
	}
	var b v1alpha1.BreakGlass
	read := func() *v1alpha1.BreakGlass {
		if err := kube.Get(s.Context(), client.ObjectKey{Name: g.Name}, &b); err != nil {
			s.Fatal(err)
		}
		return &b
	}
	if !s.until(f, "a digest of the report", func() bool { return read().Status.ReportDigest != "" }) {
		return false
	}
	if s.serial == 0 {
		s.say(g, b.Status.ReportDigest)
	}
	return s.until(f, "an approved report", func() bool { return meta.IsStatusConditionTrue(read().Status.Conditions, v1alpha1.ConditionReported) })
}

// open opens an emergency for an hour.
func (s *stage) open() {
	s.Helper()
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: v1alpha1.BreakGlassSpec{
		Subject: v1alpha1.Subject{IAMUser: user}, Role: s.role.Name, Incident: "INC-1", Reason: "see what a crash leaves behind", OpenedBy: user,
		Duration: metav1.Duration{Duration: time.Hour},
	}}
	s.create(b)
	s.grants = append(s.grants, access.FromBreakGlass(b))
}

// report writes the report of an emergency.
func (s *stage) report(g *v1alpha1.ProdAccessGrant, summary string) {
	s.Helper()
	b := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: g.Name}}
	patch := fmt.Sprintf(`{"spec":{"report":{"summary":%q,"writtenBy":"dana"}}}`, summary)
	if err := kube.Patch(s.Context(), b, client.RawPatch(types.MergePatchType, []byte(patch))); err != nil {
		s.Fatal(err)
	}
}

// again applies the manifest of a grant that is gone once more, with an approval that would do.
func (s *stage) again(gone *v1alpha1.ProdAccessGrant) *v1alpha1.ProdAccessGrant {
	s.Helper()
	if err := kube.Get(s.Context(), client.ObjectKeyFromObject(s.role), s.role); err != nil {
		s.Fatal(err)
	}
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: gone.Name}, Spec: gone.Spec}
	s.create(g)
	s.say(g, access.ApprovalDigest(string(g.UID), access.SpecDigest(&g.Spec), s.role.Status.MeaningDigest))
	return g
}

// revoke lets a security engineer revoke, once.
func (s *stage) revoke(spec v1alpha1.AccessRevocationSpec) *v1alpha1.AccessRevocation {
	s.Helper()
	spec.Reason, spec.RevokedBy = "the laptop was stolen on the train", "eve@hera.example"
	r := &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: s.name}, Spec: spec}
	if err := kube.Create(s.Context(), r); client.IgnoreAlreadyExists(err) != nil {
		s.Fatal(err)
	}
	return r
}

// revoked waits until a grant has ended by a revocation, and the revocation says so.
func (s *stage) revoked(f *fuse, g *v1alpha1.ProdAccessGrant, r *v1alpha1.AccessRevocation) bool {
	s.Helper()
	return s.reaches(f, g, v1alpha1.StateRevoked) && s.until(f, "the revocation in force", func() bool {
		if err := kube.Get(s.Context(), client.ObjectKeyFromObject(r), r); err != nil {
			s.Fatal(err)
		}
		ready := meta.FindStatusCondition(r.Status.Conditions, v1alpha1.ConditionReady)
		return ready != nil && ready.Reason == v1alpha1.ReasonInForce
	})
}

// remembered checks that the operator keeps in mind that a request has ended, for as long as its window lasts.
func (s *stage) remembered(f *fuse, g *v1alpha1.ProdAccessGrant) {
	s.Helper()
	for _, r := range s.revocations() {
		if of := r.Spec.Grant; of != nil && of.Name == g.Name && of.SpecDigest == access.SpecDigest(&g.Spec) && r.Spec.RevokedBy == self {
			return
		}
	}
	s.Errorf("I3: after %q nothing remembers that %s has ended", f.effects, g.Name)
}

// hurry puts the operator's clock forward and has it look at a grant again, so that nobody waits for what it waits for.
func (s *stage) hurry(g *v1alpha1.ProdAccessGrant, by time.Duration) {
	s.Helper()
	s.clock.forward(by)
	base := g.DeepCopy()
	metav1.SetMetaDataAnnotation(&g.ObjectMeta, "clock", s.clock.Now().Format(time.RFC3339Nano))
	if err := kube.Patch(s.Context(), g, client.MergeFrom(base)); client.IgnoreNotFound(err) != nil {
		s.Fatal(err)
	}
}

// gone waits until a deleted grant is gone.
func (s *stage) gone(f *fuse, g *v1alpha1.ProdAccessGrant) bool {
	s.Helper()
	hurried := false
	return s.until(f, "the end of the object", func() bool {
		exists := s.get(g)
		if exists && !hurried && access.Terminal(access.StateOf(g)) {
			hurried = true
			s.hurry(g, 10*time.Second) // the last look
		}
		return !exists
	})
}

// gaveNothing checks that whoever was revoked was not given access, not even for a moment (I5).
func (s *stage) gaveNothing(f *fuse) {
	s.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, effect := range f.effects {
		if effect == "AddUserToGroup" || effect == "POST clusterrolebindings" {
			s.Errorf("access was given: %q", f.effects)
		}
	}
}

// rule makes the ClusterRole allow one verb.
func (s *stage) rule(verb string) {
	s.Helper()
	var c rbacv1.ClusterRole
	if err := kube.Get(s.Context(), client.ObjectKey{Name: s.name}, &c); err != nil {
		s.Fatal(err)
	}
	c.Rules[0].Verbs = []string{verb}
	if err := kube.Update(s.Context(), &c); err != nil {
		s.Fatal(err)
	}
}

func activeGrant(s *stage, f *fuse) {
	s.Helper()
	g := s.ask(time.Hour)
	s.until(f, "a digest", func() bool { return s.get(g) && g.Status.ApprovalDigest != "" })
	s.approve(g)
	s.reaches(f, g, v1alpha1.StateGranted)
}

// TestCrashAfterEverySideEffect is I1 to I5 and I8 across crashes: for every n the operator dies right after its n-th side
// effect, and the next one brings the story to the same end, with nothing left behind, and nothing left out of the trail.
func TestCrashAfterEverySideEffect(t *testing.T) {
	for name, sc := range scenarios {
		t.Run(name, func(t *testing.T) {
			for n := 1; ; n++ {
				if n > 60 {
					t.Fatal("the story never ends")
				}
				died, effects := crashAt(t, name, n, sc)
				if t.Failed() {
					t.Fatalf("with a crash after side effect %d: %q", n, effects)
				}
				if !died {
					t.Logf("N=%d side effects: %q", len(effects), effects)
					if len(effects) < sc.atLeast {
						t.Errorf("%d side effects are fewer than the order of effects demands, %d", len(effects), sc.atLeast)
					}
					return
				}
			}
		})
	}
}

func crashAt(t *testing.T, name string, n int, sc scenario) (died bool, effects []string) {
	t.Helper()
	s := newStage(t, fmt.Sprintf("%s-%d", strings.ReplaceAll(name, " ", "-"), n))
	never := newFuse(-1)
	if sc.before != nil {
		stop := func() {}
		if !slices.Contains([]string{"activation", "emergency", "temporary user"}, name) {
			stop = s.operator(never)
		}
		sc.before(s, never)
		stop()
	}

	f := newFuse(n)
	stop := s.operator(f)
	alive := sc.story(s, f)
	stop()
	s.nothingUnrecorded(f)
	s.nothingUntold(f)
	if !alive {
		next := newFuse(-1)
		stop := s.operator(next)
		sc.story(s, next)
		stop()
		s.nothingUntold(f)
	}
	for _, g := range s.grants {
		if s.get(g) {
			statustest.CheckGrant(t, g)
		}
	}
	// Whatever came before, after the last deadline nothing is left.
	s.clock.forward(24 * time.Hour)
	last := newFuse(-1)
	stop = s.operator(last)
	for _, g := range s.grants {
		s.until(last, "the end", func() bool { return !s.get(g) || access.Terminal(access.StateOf(g)) })
	}
	s.clean()
	s.clock.forward(time.Hour) // beyond the last look at what has ended, which nobody needs to wait for here
	for _, g := range s.grants {
		if err := kube.Delete(s.Context(), object(g)); client.IgnoreNotFound(err) != nil {
			t.Fatal(err)
		}
	}
	for _, g := range s.grants {
		s.until(last, "the end of the object", func() bool { return !s.get(g) })
	}
	s.forget(last)
	stop()
	return !alive, f.effects
}

// forget waits until the revocations have gone with the windows they were for; those of a person and of an emergency, which have none, are
// lifted.
func (s *stage) forget(f *fuse) {
	s.Helper()
	for _, r := range s.revocations() {
		if of := r.Spec.Grant; of != nil && of.Kind == v1alpha1.TargetGrant || r.Spec.Membership != nil {
			continue
		}
		base := r.DeepCopy()
		r.Spec.Lift = &v1alpha1.Lift{By: "frank@hera.example", Reason: "the laptop was found, and was locked"}
		if err := errors.Join(kube.Patch(s.Context(), &r, client.MergeFrom(base)), kube.Delete(s.Context(), &r)); err != nil {
			s.Fatal(err)
		}
	}
	s.until(f, "the end of the revocations", func() bool { return len(s.revocations()) == 0 })
}
