// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	realclock "k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/config"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/clock"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/controller/prooftest"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/internal/status/statustest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

const (
	roleName, groupName = "prod-access-faults", "hera-prod-faults"
	// window is how long a grant lasts, and quick for how long an operator here waits for an answer.
	window, quick = 24 * time.Second, time.Second
	// mostMessage bounds the messages of conditions, in bytes.
	mostMessage = 1024
)

// told are the faults, and what people read of each.
var told = map[string]struct {
	fake.Fault
	says string
}{
	"throttling":               {fake.Throttling, "Throttling"},
	"throttling exception":     {fake.ThrottlingException, "ThrottlingException"},
	"request limit exceeded":   {fake.RequestLimitExceeded, "RequestLimitExceeded"},
	"service unavailable":      {fake.ServiceUnavailable, "ServiceUnavailable"},
	"internal failure":         {fake.InternalFailure, "InternalFailure"},
	"service failure":          {fake.ServiceFailure, "ServiceFailure"},
	"bad gateway":              {fake.BadGateway, "HTTP status 502"},
	"connection reset":         {fake.ConnectionReset, "cannot be reached"},
	"hang":                     {fake.Hang, "cannot be reached"},
	"conflict":                 {fake.ConcurrentModification, "ConcurrentModification"},
	"temporarily unmodifiable": {fake.TemporarilyUnmodifiable, "EntityTemporarilyUnmodifiable"},
	"limit exceeded":           {fake.LimitExceeded, "LimitExceeded"},
	"access denied":            {fake.AccessDenied, "AccessDenied"},
	"expired token":            {fake.ExpiredToken, "ExpiredToken"},
	"invalid token id":         {fake.InvalidClientTokenID, "InvalidClientTokenId"},
	"request expired":          {fake.RequestExpired, "RequestExpired"},
	"empty 200":                {fake.Empty, "incomplete"},
	"truncated 200":            {fake.Truncated, "cut the answer short"},
	"lost answer":              {fake.LostAnswer, "cannot be reached"},
}

// struck is an account in which some people have bad luck with whatever is asked about them.
type struck struct {
	*fake.IAM
	mu   sync.RWMutex
	luck map[string]fake.Fault
}

func (s *struck) strike(user string, f fake.Fault) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.luck[user] = f
}

func (s *struck) spare(user string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.luck, user)
}

// ServeHTTP implements http.Handler. A fault is injected for one request while no other is under way.
func (s *struck) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	user := r.Form.Get("UserName")
	s.mu.RLock()
	f, bad := s.luck[user]
	if !bad {
		defer s.mu.RUnlock()
		s.IAM.ServeHTTP(w, r)
		return
	}
	s.mu.RUnlock()
	if f == fake.Hang {
		<-r.Context().Done()
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.Inject(r.Form.Get("Action"), f.Times(1))
	s.IAM.ServeHTTP(w, r)
}

// stage is a control plane with an operator, and an account.
type stage struct {
	account *struck
	kube    client.Client
	now     *clock.Clock
}

func newStage(t *testing.T) *stage {
	t.Helper()
	plane, err := controlplane.Start(context.WithoutCancel(t.Context()), controlplane.Options{CRDDirectories: []string{"../../config/crd/bases"}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := plane.Stop(); err != nil {
			t.Error(err)
		}
	})
	s := &stage{account: &struck{IAM: fake.New(fake.Config{}), luck: map[string]fake.Fault{}}, now: clock.New(realclock.RealClock{})}
	if s.kube, err = client.New(plane.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(s.account)
	t.Cleanup(server.Close)
	role := &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: roleName}, Spec: v1alpha1.AccessRoleSpec{
		MaxDuration: metav1.Duration{Duration: time.Hour}, Approval: v1alpha1.ApprovalPolicy{Required: 1},
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeCluster, ClusterRole: roleName, Access: v1alpha1.AccessReadOnly},
		AWS:        &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{groupName}},
	}}
	s.account.AddGroup(groupName)
	if err := errors.Join(
		prooftest.LetEverybodyApprove(t.Context(), s.kube), policytest.Guard(s.account, role),
		s.kube.Create(t.Context(), &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: roleName},
			Rules: []rbacv1.PolicyRule{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"configmaps"}}}}),
		s.kube.Create(t.Context(), role),
	); err != nil {
		t.Fatal(err)
	}
	api, err := aws.New(t.Context(), aws.Options{Timeout: quick, Watch: s.now.Watch, Rate: 1000})
	if err != nil {
		t.Fatal(err)
	}
	mgr, err := ctrl.NewManager(plane.Config, controller.Options(ctrl.Options{
		Metrics: metricsserver.Options{BindAddress: "0"}, Controller: config.Controller{SkipNameValidation: new(true)},
	}))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
	at := controller.AWS{
		API:        iam.New(api.Options(), func(o *iam.Options) { o.BaseEndpoint = &server.URL }),
		SweepEvery: 5 * time.Second, Options: membership.Options{Cluster: cluster},
	}
	if _, err := controller.Setup(ctx, mgr, at, s.now, prooftest.Proof(&prooftest.Guard{}, &prooftest.Trail{})); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- mgr.Start(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("the operator ended with: %v", err)
		}
	})
	return s
}

// grant is one grant on its way through a fault.
type grant struct {
	*testing.T
	*stage
	user string
	g    *v1alpha1.ProdAccessGrant
	// said is what conditions have said.
	said map[string]bool
}

func (s *stage) addPerson(user string) {
	s.account.AddUser(fake.User{Name: user, MFA: true, Boundary: boundary})
}

// ask has a grant made.
func (s *stage) ask(t *testing.T, user string, lasts time.Duration) *grant {
	t.Helper()
	g := &grant{T: t, stage: s, user: user, said: map[string]bool{}}
	g.g = &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: user}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: user}, Role: roleName, Reason: "see what a fault does", RequestedBy: "dana",
		ExpiresAt: metav1.NewTime(s.now.Now().Add(lasts).Truncate(time.Second)),
	}}
	if err := s.kube.Create(t.Context(), g.g); err != nil {
		t.Fatal(err)
	}
	return g
}

func (g *grant) approve() {
	g.Helper()
	g.until("something to approve", func() bool { return g.g.Status.ApprovalDigest != "" })
	if err := g.kube.Create(g.Context(), &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: g.user}, Spec: v1alpha1.AccessApprovalSpec{
		Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: g.g.Name, UID: string(g.g.UID)}, Role: roleName,
		Digest: g.g.Status.ApprovalDigest, Decision: v1alpha1.DecisionApprove, Approver: "bob",
	}}); err != nil {
		g.Fatal(err)
	}
}

var requestID = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}`)

// until waits until something holds of the grant as it is stored, and reads what it says meanwhile.
func (g *grant) until(what string, holds func() bool) {
	g.Helper()
	err := wait.PollUntilContextTimeout(g.Context(), 50*time.Millisecond, 45*time.Second, true, func(ctx context.Context) (bool, error) {
		if err := g.kube.Get(ctx, client.ObjectKeyFromObject(g.g), g.g); err != nil {
			return false, err
		}
		for _, c := range g.g.Status.Conditions {
			g.said[c.Type+": "+c.Message] = true
			if len(c.Message) > mostMessage || requestID.MatchString(c.Message) || strings.Contains(strings.ToLower(c.Message), "requestid") {
				return false, fmt.Errorf("%s says: %s", c.Type, c.Message)
			}
		}
		return holds(), nil
	})
	if err != nil {
		g.Fatalf("%s: %v; it is %s (%s); members %v, fences %v; it has said:\n%s", what, err, access.StateOf(g.g), cause(g.g), g.account.Members(groupName),
			slices.Collect(maps.Keys(g.account.UserPolicies(g.user))), strings.Join(slices.Sorted(maps.Keys(g.said)), "\n"))
	}
}

func (g *grant) state() string { return access.StateOf(g.g) }

// heard says whether conditions have said something.
func (g *grant) heard(what string) bool {
	for said := range g.said {
		if strings.Contains(said, what) {
			return true
		}
	}
	return false
}

func (g *grant) member() bool { return g.account.IsMember(groupName, g.user) }

func (g *grant) fenced() int { return len(g.account.UserPolicies(g.user)) }

func (g *grant) bound() bool {
	g.Helper()
	var b rbacv1.ClusterRoleBinding
	err := g.kube.Get(g.Context(), client.ObjectKey{Name: access.BindingName(g.g)}, &b)
	if client.IgnoreNotFound(err) != nil {
		g.Fatal(err)
	}
	return err == nil
}

// granted waits for the access, behind its fence.
func (g *grant) granted() {
	g.Helper()
	g.until("granted", func() bool { return g.state() == v1alpha1.StateGranted })
	statustest.CheckGrant(g, g.g)
	if !g.member() || g.fenced() != 1 || !g.bound() {
		g.Errorf("granted: member %t, %d fences, bound %t", g.member(), g.fenced(), g.bound())
	}
}

// expired waits for the end, of which nothing is left.
func (g *grant) expired() {
	g.Helper()
	g.until("expired, and nothing left", func() bool { return g.state() == v1alpha1.StateExpired && !g.member() && g.fenced() == 0 })
	statustest.CheckGrant(g, g.g)
	if g.bound() {
		g.Error("a binding is left")
	}
}

// A grant goes through every fault of AWS from its approval to its end: it begins late and ends with time, and says why.
func TestGrantThroughFaults(t *testing.T) {
	s := newStage(t)
	t.Run("of one person", func(t *testing.T) {
		// All wait for time to pass, so none has to wait for a processor, as parallel tests do.
		var all sync.WaitGroup
		for i, name := range slices.Sorted(maps.Keys(told)) {
			all.Go(func() {
				t.Run(name, func(t *testing.T) { s.throughFault(t, fmt.Sprintf("person-%02d", i), name) })
			})
		}
		all.Wait()
	})
	t.Run("stale reads", func(t *testing.T) {
		s.addPerson("stale")
		s.account.SetStaleness(10 * time.Second)
		defer s.account.SetStaleness(0)
		g := s.ask(t, "stale", 40*time.Second)
		g.approve()
		g.granted()
		g.expired()
	})
	defer s.account.SetClockSkew(0)
	t.Run("a clock 5 minutes behind", func(t *testing.T) {
		s.account.SetClockSkew(-skew)
		s.throughSkew(t, "behind")
	})
	t.Run("a clock 5 minutes ahead", func(t *testing.T) {
		before := s.now.Now()
		s.account.SetClockSkew(skew)
		err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 30*time.Second, true, func(context.Context) (bool, error) {
			return s.now.Now().Sub(before) > skew, nil
		})
		if err != nil {
			t.Fatalf("the operator takes no note of the time of AWS: %v", err)
		}
		s.throughSkew(t, "ahead")
	})
}

func (s *stage) throughSkew(t *testing.T, user string) {
	s.addPerson(user)
	g := s.ask(t, user, 8*time.Second)
	g.approve()
	g.granted()
	g.expired()
}

func (s *stage) throughFault(t *testing.T, user, name string) {
	f := told[name]
	s.addPerson(user)
	g := s.ask(t, user, window)
	s.account.strike(user, f.Fault)
	g.approve()
	g.until("it says "+f.says, func() bool { return g.heard(f.says) })
	if g.state() != v1alpha1.StateBlocked || g.member() || g.bound() {
		t.Errorf("while the fault strikes it is %s: member %t, bound %t", g.state(), g.member(), g.bound())
	}
	s.account.spare(user)
	g.granted()
	clear(g.said)
	s.account.strike(user, f.Fault)
	g.until("the end", func() bool { return g.state() != v1alpha1.StateGranted && g.heard(f.says) })
	if now := s.now.Now(); now.Before(g.g.Spec.ExpiresAt.Time) {
		t.Errorf("it ended %s before its deadline", g.g.Spec.ExpiresAt.Sub(now))
	}
	if g.state() != v1alpha1.StateRevoking || g.bound() || g.fenced() != 1 {
		t.Errorf("while the fault strikes it is %s: bound %t, %d fences", g.state(), g.bound(), g.fenced())
	}
	s.account.spare(user)
	g.expired()
}
