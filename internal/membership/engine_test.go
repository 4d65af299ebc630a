// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	awssdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
)

const group = "hera-prod-infra-member"

// world is an account, the grants that are on record, and an engine between them.
type world struct {
	testing.TB
	*fake.IAM
	engine *membership.Engine
	api    *iam.Client
	clock  *testclock.FakeClock

	mu     sync.Mutex
	grants []v1alpha1.ProdAccessGrant
	// blind makes the look at the grants fail.
	blind error
	// onCall, if set, runs ahead of every call to AWS. It is set while there is none.
	onCall func(url.Values)
}

// ServeHTTP is what stands between engine and account.
func (w *world) ServeHTTP(rw http.ResponseWriter, r *http.Request) {
	if err := r.ParseForm(); err == nil && w.onCall != nil {
		w.onCall(r.Form)
	}
	w.IAM.ServeHTTP(rw, r)
}

var errBlind = errors.New("the cache is gone")

type atOnce struct{}

// BackoffDelay implements retry.BackoffDelayer.
func (atOnce) BackoffDelay(int, error) (time.Duration, error) { return 0, nil }

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

func newWorld(t *testing.T) *world {
	t.Helper()
	clock := testclock.NewFakeClock(start)
	w := &world{TB: t, IAM: fake.New(fake.Config{Seed: 1, Clock: clock}), clock: clock}
	server := httptest.NewServer(w)
	t.Cleanup(server.Close)
	api := iam.New(iam.Options{
		Region: "us-east-1", BaseEndpoint: &server.URL,
		Credentials: awssdk.NewCredentialsCache(credentials.NewStaticCredentialsProvider("AKIAEXAMPLEEXAMPLE00", "secret", "")),
		// The attempts of the SDK's own retryer, without the waits between them.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.Backoff = atOnce{} }),
	})
	w.api = api
	w.engine = membership.New(api, w, w.clock, membership.Options{Cluster: "hera"})
	w.AddUser(fake.User{Name: "alice", MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: "alice@hera.example  alice"}})
	w.AddGroup(group)
	return w
}

// OfPerson implements membership.Grants.
func (w *world) OfPerson(_ context.Context, userID string) ([]v1alpha1.ProdAccessGrant, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.blind != nil {
		return nil, w.blind
	}
	var of []v1alpha1.ProdAccessGrant
	for _, g := range w.grants {
		if g.Status.AWS.UserID == userID {
			of = append(of, g)
		}
	}
	return of, nil
}

// record puts a grant of alice on record.
func (w *world) record(state string, until time.Duration, intended, observed bool) *v1alpha1.ProdAccessGrant {
	w.grants = append(w.grants, v1alpha1.ProdAccessGrant{
		ObjectMeta: metav1.ObjectMeta{Name: fmt.Sprintf("grant-%d", len(w.grants))},
		Spec:       v1alpha1.ProdAccessGrantSpec{ExpiresAt: metav1.NewTime(start.Add(until))},
		Status: v1alpha1.ProdAccessGrantStatus{
			Conditions: []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: state}},
			AWS: v1alpha1.GrantAWSStatus{UserID: w.UserID("alice"), Groups: []v1alpha1.GroupMembership{
				{Name: group, Intended: intended, Observed: observed},
			}},
		},
	})
	return &w.grants[len(w.grants)-1]
}

func (w *world) alice() membership.Member {
	return membership.Member{UserID: w.UserID("alice"), Name: "alice"}
}

func (w *world) settle(t *testing.T) membership.Outcome {
	t.Helper()
	return w.engine.Settle(t.Context(), w.alice(), group, false)
}

func TestIdentify(t *testing.T) {
	w := newWorld(t)
	p := w.engine.Identify(t.Context(), "alice", nil)
	if !p.Found || p.Name != "alice" || p.UserID != w.UserID("alice") || !p.MFA {
		t.Errorf("alice is %+v", p)
	}
	if want := []string{"alice@hera.example", "alice"}; !slices.Equal(p.KubernetesUsers, want) {
		t.Errorf("alice is known to Kubernetes as %q, want %q", p.KubernetesUsers, want)
	}
	if p := w.engine.Identify(t.Context(), "ALICE", nil); p.Name != "alice" {
		t.Errorf("in another case she is spelled %q, want as AWS has it", p.Name)
	}
	if p := w.engine.Identify(t.Context(), "nobody", nil); p.Found || p.Unavailable != "" {
		t.Errorf("nobody is %+v", p)
	}
	w.RemoveMFA("alice")
	if p := w.engine.Identify(t.Context(), "alice", nil); p.MFA {
		t.Error("an MFA device that was removed is still there")
	}
	w.AddUser(fake.User{Name: "untagged"})
	if p := w.engine.Identify(t.Context(), "untagged", nil); len(p.KubernetesUsers) != 2 || p.KubernetesUsers[0] != "untagged" || !strings.HasPrefix(p.KubernetesUsers[1], "arn:aws:iam::") {
		t.Errorf("without the tag the names are %q, want name and ARN", p.KubernetesUsers)
	}
}

// An empty name would make AWS answer about the caller.
func TestIdentifyNeverAsksAboutTheCaller(t *testing.T) {
	w := newWorld(t)
	if p := w.engine.Identify(t.Context(), "", nil); p.Found || p.Unavailable != "" {
		t.Errorf("the empty name is %+v", p)
	}
	if n := len(w.Calls()); n != 0 {
		t.Errorf("%d calls were made for an empty name", n)
	}
}

func TestI9ForeignMembershipIsReported(t *testing.T) {
	w := newWorld(t)
	groups := []v1alpha1.IAMGroupName{group}
	if p := w.engine.Identify(t.Context(), "alice", nil, groups...); len(p.Foreign) != 0 {
		t.Fatalf("foreign without any membership: %q", p.Foreign)
	}
	w.AddMember(group, "alice")
	if p := w.engine.Identify(t.Context(), "alice", nil, groups...); !slices.Equal(p.Foreign, []string{group}) {
		t.Errorf("a membership without a record is not reported: %q", p.Foreign)
	}
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	if p := w.engine.Identify(t.Context(), "alice", nil, groups...); len(p.Foreign) != 0 {
		t.Errorf("a membership on record is taken for foreign: %q", p.Foreign)
	}
}

func TestI9ForeignMembershipStays(t *testing.T) {
	w := newWorld(t)
	w.AddMember(group, "alice")
	w.record(v1alpha1.StateExpired, -time.Hour, false, false)
	if o := w.settle(t); o.Err != nil || !w.IsMember(group, "alice") {
		t.Errorf("a membership that no grant has on record was removed: %+v", o)
	}
	w.grants[0].Status.AWS.Groups[0].Observed = true
	if o := w.settle(t); o.Err != nil || o.Present || w.IsMember(group, "alice") {
		t.Errorf("a membership on record stays: %+v", o)
	}
}

func TestI4UnionOfLiveGrants(t *testing.T) {
	w := newWorld(t)
	first := w.record(v1alpha1.StateGranting, time.Hour, true, false)
	if o := w.settle(t); !o.Present || !o.Covered || o.Err != nil || !w.IsMember(group, "alice") {
		t.Fatalf("covered and not made: %+v", o)
	}
	first.Status.AWS.Groups[0].Observed = true
	w.record(v1alpha1.StateGranted, 2*time.Hour, true, true)
	w.clock.SetTime(start.Add(time.Hour))
	if o := w.settle(t); !o.Present || !o.Covered || !w.IsMember(group, "alice") {
		t.Errorf("the first grant ended and took the second one's membership with it: %+v", o)
	}
	w.clock.SetTime(start.Add(2 * time.Hour))
	if o := w.settle(t); o.Present || o.Covered || w.IsMember(group, "alice") {
		t.Errorf("no grant covers it, and it stays: %+v", o)
	}
}

// Each state covers or does not; only the state differs.
func TestI4WhoCovers(t *testing.T) {
	covering := map[string]bool{v1alpha1.StateGranting: true, v1alpha1.StateGranted: true}
	for _, state := range []string{
		v1alpha1.StatePendingApproval, v1alpha1.StateScheduled, v1alpha1.StateBlocked, v1alpha1.StateGranting, v1alpha1.StateGranted,
		v1alpha1.StateSuspended, v1alpha1.StateRevoking, v1alpha1.StateExpired, v1alpha1.StateRevoked, v1alpha1.StateRejected,
	} {
		w := newWorld(t)
		w.record(state, time.Hour, true, false)
		if o := w.settle(t); o.Covered != covering[state] || w.IsMember(group, "alice") != covering[state] {
			t.Errorf("%s: covered=%v, member=%v", state, o.Covered, w.IsMember(group, "alice"))
		}
	}
}

func TestI5NeverGivenBack(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	// One read may be an old one, so it takes three over two minutes; nothing is added meanwhile.
	for range 2 {
		if o := w.settle(t); o.Err == nil || o.Obstacle.Reason != "" || w.IsMember(group, "alice") {
			t.Errorf("one read without the membership came to %+v", o)
		}
		w.clock.SetTime(w.clock.Now().Add(time.Minute))
	}
	o := w.settle(t)
	if o.Obstacle.Reason != v1alpha1.ReasonRemovedByOthers || w.IsMember(group, "alice") {
		t.Errorf("what an administrator took away was given back: %+v", o)
	}

	w = newWorld(t)
	w.record(v1alpha1.StateGranted, time.Hour, true, false)
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	if o := w.settle(t); o.Err != nil || o.Obstacle.Reason != "" || !w.IsMember(group, "alice") {
		t.Errorf("never seen before, and not made: %+v", o)
	}
}

// A write that is still being tried when the deadline passes must not succeed after it.
func TestI2NoWriteAfterTheDeadline(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateGranting, 50*time.Millisecond, true, false)
	w.Inject("AddUserToGroup", fake.Hang)
	begin := make(chan membership.Outcome, 1)
	go func() { begin <- w.settle(t) }()
	select {
	case o := <-begin:
		if o.Present || o.Err == nil {
			t.Errorf("a hanging write came to %+v", o)
		}
	case <-t.Context().Done():
		t.Fatal("the write outlived the deadline")
	}
	if w.IsMember(group, "alice") {
		t.Error("the membership was made")
	}
}

func TestRenamedAndRecreatedUsers(t *testing.T) {
	t.Run("renamed: the membership of the same UserId goes", func(t *testing.T) {
		w := newWorld(t)
		w.AddMember(group, "alice")
		w.record(v1alpha1.StateRevoking, time.Hour, false, true)
		m := w.alice()
		w.RenameUser("alice", "alicia")
		if o := w.engine.Settle(t.Context(), m, group, true); o.Err != nil || o.Present || w.IsMember(group, "alicia") {
			t.Errorf("she kept her membership under her new name: %+v", o)
		}
	})
	t.Run("created anew: another person, whose membership stays", func(t *testing.T) {
		w := newWorld(t)
		w.record(v1alpha1.StateRevoking, time.Hour, false, true)
		m := w.alice()
		w.RecreateUser("alice")
		w.AddMember(group, "alice")
		if o := w.engine.Settle(t.Context(), m, group, true); o.Err != nil || o.Present || !w.IsMember(group, "alice") {
			t.Errorf("the new user of the name was touched: %+v", o)
		}
	})
	t.Run("created anew: inherits nothing", func(t *testing.T) {
		w := newWorld(t)
		w.record(v1alpha1.StateGranting, time.Hour, true, false)
		m := w.alice()
		w.RecreateUser("alice")
		o := w.engine.Settle(t.Context(), m, group, false)
		if o.Obstacle.Reason != v1alpha1.ReasonUserNotFound || w.IsMember(group, "alice") {
			t.Errorf("the new user of the name got access: %+v", o)
		}
	})
	t.Run("deleted: gone with the user", func(t *testing.T) {
		w := newWorld(t)
		w.record(v1alpha1.StateRevoking, time.Hour, false, true)
		m := w.alice()
		w.RemoveUser("alice")
		if o := w.engine.Settle(t.Context(), m, group, true); o.Err != nil || o.Present {
			t.Errorf("a deleted user is still a member: %+v", o)
		}
	})
}

func TestObstacles(t *testing.T) {
	t.Run("quota", func(t *testing.T) {
		w := newWorld(t)
		for i := range access.MaxGroupsPerUser {
			w.AddGroup(fmt.Sprintf("other-%d", i), "alice")
		}
		w.record(v1alpha1.StateGranting, time.Hour, true, false)
		if o := w.settle(t); o.Obstacle.Reason != v1alpha1.ReasonQuotaExceeded || o.Err != nil {
			t.Errorf("the eleventh group came to %+v", o)
		}
		w.RemoveMember("other-0", "alice")
		if o := w.settle(t); !o.Present {
			t.Errorf("the tenth group came to %+v", o)
		}
	})
	t.Run("no such group", func(t *testing.T) {
		w := newWorld(t)
		g := w.record(v1alpha1.StateGranting, time.Hour, true, false)
		g.Status.AWS.Groups[0].Name = "missing"
		if o := w.engine.Settle(t.Context(), w.alice(), "missing", false); o.Obstacle.Reason != v1alpha1.ReasonGroupNotFound {
			t.Errorf("a missing group came to %+v", o)
		}
		w.AddGroup("missing")
		if o := w.engine.Settle(t.Context(), w.alice(), "missing", false); !o.Present {
			t.Errorf("an existing group came to %+v", o)
		}
	})
}

// Whatever AWS does to a write or its answer, the engine claims no more than it has read back, and trying again heals.
func TestFaultsNeverLie(t *testing.T) {
	faults := map[string]fake.Fault{
		"throttled": fake.Throttling, "unavailable": fake.ServiceUnavailable, "internal": fake.InternalFailure, "conflict": fake.ConcurrentModification,
		"denied": fake.AccessDenied, "bad gateway": fake.BadGateway, "reset": fake.ConnectionReset, "lost answer": fake.LostAnswer,
		"empty": fake.Empty, "truncated": fake.Truncated, "empty after effect": fake.Empty.AfterEffect(),
	}
	for name, fault := range faults {
		for _, op := range []string{"GetUser", "ListGroupsForUser", "AddUserToGroup", "RemoveUserFromGroup"} {
			t.Run(name+" "+op, func(t *testing.T) {
				w := newWorld(t)
				g := w.record(v1alpha1.StateGranting, time.Hour, true, false)
				w.Inject(op, fault.Times(3))
				o := w.settle(t)
				for try := 0; try < 4 && !o.Present; try++ {
					o = w.settle(t)
				}
				if !o.Present || o.Err != nil || !w.IsMember(group, "alice") {
					t.Fatalf("granting never healed: %+v", o)
				}
				g.Status.AWS.Groups[0] = v1alpha1.GroupMembership{Name: group, Observed: true}
				w.ClearFaults()
				w.Inject(op, fault.Times(3))
				for range 5 {
					if o = w.settle(t); !o.Present {
						break
					}
					if o.Err == nil {
						t.Fatalf("still there, and no error: %+v", o)
					}
				}
				if o.Present || w.IsMember(group, "alice") {
					t.Fatalf("said to be gone %v, is a member %v", !o.Present, w.IsMember(group, "alice"))
				}
			})
		}
	}
}

// Not having looked is not having seen it gone.
func TestI2UnknownIsNotGone(t *testing.T) {
	for name, look := range map[string]func(*world) membership.Outcome{
		"settle": func(w *world) membership.Outcome { return w.engine.Settle(t.Context(), w.alice(), group, true) },
		"verify": func(w *world) membership.Outcome { return w.engine.Verify(t.Context(), w.alice(), group) },
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.AddMember(group, "alice")
			w.record(v1alpha1.StateRevoking, time.Hour, false, true)
			w.blind = errors.New("the watch has broken off")
			if o := look(w); !o.Present || o.Err == nil {
				t.Errorf("without a look at the grants the membership is said to be gone: %+v", o)
			}
			w.blind = nil
			if o := look(w); o.Present || o.Err != nil || w.IsMember(group, "alice") {
				t.Errorf("with one it stays: %+v", o)
			}
		})
	}
}

// Calls about one person are made in turn, and who waits for the turn gives up with the context.
func TestTurnsEndWithTheContext(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	hanging := make(chan struct{})
	w.OnWrite(func(c fake.Call) error {
		if c.Op == "AddUserToGroup" {
			close(hanging)
			<-t.Context().Done()
		}
		return nil
	}, nil)
	first, cancel := context.WithCancel(t.Context())
	done := make(chan membership.Outcome, 1)
	go func() { done <- w.engine.Settle(first, w.alice(), group, false) }()
	<-hanging
	brief, stop := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer stop()
	if o := w.engine.Settle(brief, w.alice(), group, true); !o.Present || o.Err == nil {
		t.Errorf("out of turn: %+v", o)
	}
	cancel()
	if o := <-done; o.Err == nil {
		t.Errorf("called off: %+v", o)
	}
}

func TestErrorsAreForPeople(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateGranting, time.Hour, true, false)
	w.Inject("AddUserToGroup", fake.AccessDenied)
	first, second := w.settle(t), w.settle(t)
	if first.Err == nil || first.Err.Error() != second.Err.Error() {
		t.Errorf("the same trouble is told as %q and %q", first.Err, second.Err)
	}
	if !strings.Contains(first.Err.Error(), "AddUserToGroup") || !strings.Contains(first.Err.Error(), "AccessDenied") {
		t.Errorf("the message names neither call nor code: %q", first.Err)
	}
	for _, c := range w.Calls() {
		if c.RequestID != "" && strings.Contains(first.Err.Error(), c.RequestID) {
			t.Errorf("the message holds a request id: %q", first.Err)
		}
	}
}

// A write that was on its way when the membership was removed brings it back; the last look finds it.
func TestVerify(t *testing.T) {
	w := newWorld(t)
	w.record(v1alpha1.StateExpired, -time.Hour, false, false)
	if o := w.engine.Verify(t.Context(), w.alice(), group); o.Present || o.Err != nil || len(w.Calls()) != 1 {
		t.Errorf("nothing there: %+v after %d calls, want 1", o, len(w.Calls()))
	}
	w.AddMember(group, "alice")
	if o := w.engine.Verify(t.Context(), w.alice(), group); o.Present || o.Err != nil || w.IsMember(group, "alice") {
		t.Errorf("brought back, and left there: %+v", o)
	}
	w.AddMember(group, "alice")
	member := w.alice()
	w.RenameUser("alice", "alicia")
	if o := w.engine.Verify(t.Context(), member, group); o.Present || o.Err != nil || w.IsMember(group, "alicia") {
		t.Errorf("brought back and renamed, and left there: %+v", o)
	}
	w.RenameUser("alicia", "alice")
	w.AddMember(group, "alice")
	w.record(v1alpha1.StateGranted, time.Hour, true, true)
	if o := w.engine.Verify(t.Context(), w.alice(), group); !o.Covered || !w.IsMember(group, "alice") {
		t.Errorf("another grant covers it: %+v", o)
	}
}

func TestInspect(t *testing.T) {
	w := newWorld(t)
	w.SetPageLimit(1)
	w.AddUser(fake.User{Name: "bob"})
	w.AddMember(group, "alice")
	w.AddMember(group, "bob")
	g, err := w.engine.Inspect(t.Context(), group)
	if err != nil || len(g.Members) != 2 || !strings.HasSuffix(g.ARN, ":group/"+group) {
		t.Errorf("the group is %+v, %v", g, err)
	}
	if g, err := w.engine.Inspect(t.Context(), "missing"); g != nil || err != nil {
		t.Errorf("a missing group is %+v, %v", g, err)
	}
}
