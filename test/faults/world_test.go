// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package faults

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	testclock "k8s.io/utils/clock/testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/clock"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
)

const (
	cluster  = "hera"
	boundary = "arn:aws:iam::111122223333:policy/prod-access/prod-access-boundary"
	// patience bounds an attempt of a call, and hasty does where answers do not come.
	patience, hasty = 20 * time.Second, 250 * time.Millisecond
	taskTimeout     = 45 * time.Second
	// sweepEvery is shorter than by default, as everything here is.
	sweepEvery = time.Minute
	old        = 90 * 24 * time.Hour
)

var begin = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// The groups of the roles: one asks for young credentials, one takes old ones away, and one has two groups.
var groupsOf = map[string][]v1alpha1.IAMGroupName{
	"member": {"hera-prod-member"}, "aged": {"hera-prod-aged"}, "pair": {"hera-prod-east", "hera-prod-west"}, "strict": {"hera-prod-strict"},
}

// world is an account, the grants that are on record, a model of the controller, and what others do meanwhile.
type world struct {
	testing.TB
	account *fake.IAM
	local   *testclock.FakeClock
	clock   *clock.Clock
	engine  *membership.Engine
	rand    *rand.Rand

	script   []event
	roles    map[string]*access.Role
	removals access.Removals
	// credentials are the people whose own credentials are to be taken away, and whether they are.
	credentials map[string]bool
	looks       int
	// struck says that the fault strikes now, and ceased when it last ceased to.
	struck bool
	ceased time.Time
	// unfenced says that AWS refuses fences, and skewed that its clock is another.
	unfenced, skewed bool

	// mu guards what the fake's hooks read: they run beside the pass when an answer was not waited for.
	mu          sync.Mutex
	keeps       []*kept
	revocations []v1alpha1.AccessRevocation
	// removed is who was taken out of a group by the administrator.
	removed map[seat]bool
	failed  []string
	trail   []string
}

type seat struct{ user, group string }

type event struct {
	at time.Time
	do func()
}

type identified struct {
	person *access.Person
	at     time.Time
}

// kept is a grant, the truth about it, and what the controller remembers of it.
type kept struct {
	*sync.Mutex
	stored    *v1alpha1.ProdAccessGrant // nil before it was made and when it is gone
	spec      v1alpha1.ProdAccessGrantSpec
	name      string
	role      *access.Role
	approvals []v1alpha1.AccessApproval

	from, until time.Time // when access may exist
	ended       bool      // somebody ended it before

	wake                   time.Time
	person                 *identified
	looked                 time.Time
	backoff, endingBackoff workqueue.TypedRateLimiter[types.UID]
}

func (k *kept) user() string { return k.spec.Subject.IAMUser }

func (k *kept) grant() *v1alpha1.ProdAccessGrant {
	k.Lock()
	defer k.Unlock()
	return k.stored
}

// wakeAt has the grant looked at by then.
func (k *kept) wakeAt(t time.Time) {
	if k.wake.IsZero() || t.Before(k.wake) {
		k.wake = t
	}
}

func newWorld(t testing.TB, seed uint64, f *fault) *world {
	local := testclock.NewFakeClock(begin)
	w := &world{
		TB: t, local: local, clock: clock.New(local), rand: rand.New(rand.NewPCG(seed, seed)),
		account: fake.New(fake.Config{Clock: local, Seed: seed}),
		roles:   map[string]*access.Role{}, removed: map[seat]bool{}, credentials: map[string]bool{},
	}
	// The limiter has tests of its own; here it is out of the way.
	o := aws.Options{Timeout: patience, Watch: func(http.RoundTripper) http.RoundTripper { return w.clock.Watch(direct{w.account}) }, Rate: 1e6}
	endpoint := "http://iam.test"
	if f != nil && f.wire {
		server := httptest.NewServer(w.account)
		t.Cleanup(server.Close)
		endpoint, o.Watch = server.URL, w.clock.Watch
		if f.slow {
			o.Timeout = hasty
		}
	}
	api, err := aws.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	// The attempts of the operator's own client, without the waits between them.
	quick := iam.New(api.Options(), func(o *iam.Options) {
		o.BaseEndpoint = &endpoint
		o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, time.Microsecond)
	})
	w.engine = membership.New(quick, w, w.clock, membership.Options{Cluster: cluster})
	for name, groups := range groupsOf {
		r := &access.Role{Name: name, Created: begin.Add(-time.Hour), Spec: v1alpha1.AccessRoleSpec{
			MaxDuration: metav1.Duration{Duration: 8 * time.Hour}, MaxLeadTime: metav1.Duration{Duration: time.Hour},
			Approval: v1alpha1.ApprovalPolicy{Required: 1}, AWS: &v1alpha1.AWSRole{Groups: groups},
			Requirements: v1alpha1.Requirements{OnStale: v1alpha1.StaleSuspend},
		}}
		switch name {
		case "strict":
			r.Spec.Requirements.OnStale = v1alpha1.StaleDeactivate
			fallthrough
		case "aged":
			r.Spec.Requirements.MaxCredentialAge = &metav1.Duration{Duration: old * 2 / 3}
		}
		w.roles[name] = r
		for _, g := range groups {
			w.account.AddGroup(string(g))
		}
		if err := policytest.Guard(w.account, &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: r.Spec}); err != nil {
			t.Fatal(err)
		}
	}
	w.account.OnWrite(nil, func(c fake.Call) error { w.judgeEffect(c); return nil })
	return w
}

// direct is a connection that does not fail, and costs nothing.
type direct struct{ to http.Handler }

// RoundTrip implements http.RoundTripper.
func (d direct) RoundTrip(req *http.Request) (*http.Response, error) {
	answer := httptest.NewRecorder()
	d.to.ServeHTTP(answer, req)
	return answer.Result(), nil
}

// OfPerson implements membership.Grants.
func (w *world) OfPerson(_ context.Context, userID string) ([]v1alpha1.ProdAccessGrant, error) {
	var of []v1alpha1.ProdAccessGrant
	for _, k := range w.keeps {
		if g := k.grant(); g != nil && g.Status.AWS.UserID == userID {
			of = append(of, *g.DeepCopy())
		}
	}
	return of, nil
}

func (w *world) note(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.trail = append(w.trail, w.local.Now().Format("15:04:05.0 ")+fmt.Sprintf(format, args...))
}

// fail notes that an invariant is broken, with what happened to those it names.
func (w *world) fail(format string, args ...any) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.failed = append(w.failed, w.local.Now().Format("15:04:05.0 ")+fmt.Sprintf(format, args...))
}

// at has something done at a time.
func (w *world) at(t time.Time, do func()) { w.script = append(w.script, event{t, do}) }

// between draws a time, in whole seconds after the beginning.
func (w *world) between(least, most int) time.Time {
	return begin.Add(time.Duration(least+w.rand.IntN(most-least+1)) * time.Second)
}

// person adds one, with a boundary and MFA.
func (w *world) addPerson(name string) string {
	if w.account.UserID(name) == "" {
		w.account.AddUser(fake.User{Name: name, MFA: true, Boundary: boundary, Tags: map[string]string{v1alpha1.KubernetesUsersTag: name + "@hera.example"}})
	}
	return name
}

// request has a grant made, and approved a moment later; access may exist from then, or from notBefore, until it ends.
func (w *world) request(user, role string, made, approved, until time.Time, notBefore *time.Time) *kept {
	w.addPerson(user)
	k := &kept{
		Mutex: &w.mu, name: fmt.Sprintf("%s-%d", user, len(w.keeps)), role: w.roles[role], from: approved, until: until,
		backoff:       workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](minBackoff, maxBackoff),
		endingBackoff: workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](minBackoff, maxEndingBackoff),
		spec: v1alpha1.ProdAccessGrantSpec{
			Subject: v1alpha1.Subject{IAMUser: user}, Role: role, Reason: "see what a fault does", RequestedBy: "dana", ExpiresAt: metav1.NewTime(until),
		},
	}
	if notBefore != nil {
		k.spec.NotBefore = &metav1.Time{Time: *notBefore}
		if notBefore.After(approved) {
			k.from = *notBefore
		}
	}
	w.keeps = append(w.keeps, k)
	w.at(made, func() {
		w.store(k, &v1alpha1.ProdAccessGrant{
			ObjectMeta: metav1.ObjectMeta{
				Name: k.name, UID: types.UID("uid-" + k.name), Generation: 1, CreationTimestamp: metav1.NewTime(made), Finalizers: []string{v1alpha1.Finalizer},
			},
			Spec: k.spec,
		})
		k.wakeAt(w.local.Now())
	})
	w.at(approved, func() {
		k.approvals = []v1alpha1.AccessApproval{{
			ObjectMeta: metav1.ObjectMeta{Name: k.name, CreationTimestamp: metav1.NewTime(approved)},
			Spec: v1alpha1.AccessApprovalSpec{
				Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: k.name, UID: "uid-" + k.name}, Role: role, Approver: "bob",
				Decision: v1alpha1.DecisionApprove,
				Digest:   access.ApprovalDigest("uid-"+k.name, access.SpecDigest(&k.spec), k.role.MeaningDigest()),
			},
		}}
		k.wakeAt(w.local.Now())
	})
	return k
}

func (w *world) store(k *kept, g *v1alpha1.ProdAccessGrant) {
	w.mu.Lock()
	k.stored = g
	w.mu.Unlock()
	w.note("%s is %s (%s)", k.name, access.StateOf(g), cause(g))
}

func (w *world) release(k *kept) {
	w.note("%s is gone", k.name)
	w.mu.Lock()
	defer w.mu.Unlock()
	k.stored = nil
}

// end marks grants as ended by somebody, and has them looked at.
func (w *world) end(these ...*kept) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, k := range these {
		k.ended = true
		k.wakeAt(w.local.Now())
	}
}

func (w *world) revoke(k *kept) {
	w.note("%s is revoked", k.name)
	w.revocations = append(w.revocations, v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: "revoked-" + k.name},
		Spec: v1alpha1.AccessRevocationSpec{Reason: "the work is done", RevokedBy: "eve",
			Grant: &v1alpha1.GrantReference{Kind: v1alpha1.TargetGrant, Name: k.name, SpecDigest: access.SpecDigest(&k.spec)}},
	})
	w.end(k)
}

// revokePerson ends everything of a person, credentials included.
func (w *world) revokePerson(user string) {
	w.note("%s is revoked, credentials included", user)
	w.revocations = append(w.revocations, v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: "revoked-" + user},
		Spec:       v1alpha1.AccessRevocationSpec{Reason: "the laptop was stolen", RevokedBy: "eve", Person: v1alpha1.Username(user), Credentials: v1alpha1.CredentialsDeactivate},
	})
	w.end(w.of(user)...)
	w.credentials[user] = false
	w.deactivate(user)
}

func (w *world) deactivate(user string) {
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout)
	defer cancel()
	who, err := w.engine.Directory(ctx)
	users := who.Users(user)
	if len(users) == 0 {
		users = []access.User{{Name: user}}
	}
	for _, u := range users {
		if d := w.engine.Deactivate(ctx, membership.Member{UserID: u.UserID, Name: u.Name}); d.Err != nil {
			err = d.Err
		}
	}
	if err != nil {
		w.at(w.local.Now().Add(access.RetryAfter), func() { w.deactivate(user) })
		return
	}
	w.credentials[user] = true
	if keys := w.account.ActiveKeys(user); len(keys) > 0 || w.account.HasPassword(user) {
		w.fail("the credentials of %s are said to be gone, and %d keys (password: %t) are not", user, len(keys), w.account.HasPassword(user))
	}
}

func (w *world) erase(k *kept) {
	if g := k.grant(); g != nil {
		w.note("%s is deleted", k.name)
		g = g.DeepCopy()
		g.DeletionTimestamp = &metav1.Time{Time: w.local.Now()}
		w.store(k, g)
		w.end(k)
	}
}

// takeAway has the administrator take a person out of the groups of a grant, once they are known to be in them.
func (w *world) takeAway(k *kept) {
	g := k.grant()
	if access.StateOf(g) != v1alpha1.StateGranted {
		w.at(w.local.Now().Add(10*time.Second), func() { w.takeAway(k) })
		return
	}
	w.note("the administrator takes %s out", k.user())
	for _, group := range k.role.Groups() {
		w.mu.Lock()
		w.removed[seat{k.user(), string(group)}] = true
		w.mu.Unlock()
		w.account.RemoveMember(string(group), k.user())
	}
	w.end(w.of(k.user())...)
}

func (w *world) rename(k *kept) {
	name := k.user() + "-renamed"
	w.account.RenameUser(k.user(), name)
	w.note("%s is renamed", k.user())
	w.end(k)
}

func (w *world) of(user string) []*kept {
	return slices.DeleteFunc(slices.Clone(w.keeps), func(k *kept) bool { return k.user() != user })
}

// sweep reads the whole account, as the controller does from time to time.
func (w *world) sweep() {
	w.at(w.local.Now().Add(sweepEvery), w.sweep)
	ctx, cancel := context.WithTimeout(context.Background(), taskTimeout)
	defer cancel()
	// What is not read is read the next time.
	_ = w.engine.Sweep(ctx)
	var managed []v1alpha1.IAMGroupName
	for _, name := range slices.Sorted(func(yield func(string) bool) {
		for name := range w.roles {
			if !yield(name) {
				return
			}
		}
	}) {
		managed = append(managed, w.roles[name].Groups()...)
	}
	_ = w.engine.Reclaim(ctx, managed, func(string) {})
	for _, group := range managed {
		w.inspect(ctx, string(group))
	}
	now := w.clock.Now()
	for _, k := range w.keeps {
		g := k.grant()
		if g != nil && access.StateOf(g) == v1alpha1.StateGranted &&
			(access.Unfenced(g, w.engine.Fenced) || access.Suspicion(g, k.role, w.engine.Swept(g.Status.AWS.UserID), now) != "") {
			k.wakeAt(w.local.Now())
		}
		w.judge(k.user())
	}
}

// inspect reads a group, and has those looked at whose membership is gone.
func (w *world) inspect(ctx context.Context, group string) {
	_, _ = w.engine.Inspect(ctx, group)
	var again time.Duration
	for _, k := range w.keeps {
		g := k.grant()
		if g == nil || access.StateOf(g) != v1alpha1.StateGranted || !access.Claims(g, group) {
			continue
		}
		switch a := w.engine.Absent(g.Status.AWS.UserID, group); {
		case a.Confirmed:
			k.wakeAt(w.local.Now())
		case a.Suspected:
			if a.Again = max(time.Second, a.Again); again == 0 || a.Again < again {
				again = a.Again
			}
		}
	}
	if again > 0 && again < sweepEvery {
		w.at(w.local.Now().Add(again), func() { w.inspect(context.Background(), group) })
	}
}

// run lets things happen in the order of time until then, or until it is enough.
func (w *world) run(until time.Time, enough func() bool) {
	for len(w.failed) == 0 {
		at, do := w.next()
		if do == nil || at.After(until) {
			break
		}
		if at.After(w.local.Now()) {
			w.local.SetTime(at)
		}
		do()
		if enough != nil && enough() {
			return
		}
	}
	if until.After(w.local.Now()) {
		w.local.SetTime(until)
	}
}

// next is what happens next: of the script, or a look at a grant.
func (w *world) next() (time.Time, func()) {
	var first *kept
	for _, k := range w.keeps {
		if !k.wake.IsZero() && (first == nil || k.wake.Before(first.wake)) {
			first = k
		}
	}
	soonest := 0
	for i, e := range w.script {
		if e.at.Before(w.script[soonest].at) {
			soonest = i
		}
	}
	switch {
	case len(w.script) > 0 && (first == nil || !first.wake.Before(w.script[soonest].at)):
		e := w.script[soonest]
		return e.at, func() {
			w.script = slices.Delete(w.script, soonest, soonest+1)
			e.do()
		}
	case first == nil:
		return time.Time{}, nil
	}
	return first.wake, func() {
		w.judge(first.user())
		w.looks++
		w.look(first)
		w.judge(first.user())
	}
}

// over says whether every grant has ended, and nothing is left to be looked at again.
func (w *world) over() bool {
	for _, k := range w.keeps {
		if g := k.grant(); g != nil && !access.Terminal(access.StateOf(g)) || !k.wake.IsZero() || w.local.Now().Before(k.from) {
			return false
		}
	}
	return w.unsettled() == ""
}

// about is what happened to people whom a failure names.
func (w *world) about(failure string) string {
	const most = 14
	var lines []string
	for _, k := range w.keeps {
		if !strings.Contains(failure, k.user()) {
			continue
		}
		for _, line := range w.trail {
			if strings.Contains(line, k.user()) && !slices.Contains(lines, line) {
				lines = append(lines, line)
			}
		}
		break
	}
	return cmp.Or(strings.Join(lines[max(0, len(lines)-most):], "\n    "), "nothing")
}
