// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"context"
	"math"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	testingclock "k8s.io/utils/clock/testing"

	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// rig is a client with a clock that stands still until it is moved.
type rig struct {
	*aws.Client
	account *fake.IAM
	clock   *testingclock.FakeClock

	mu   sync.Mutex
	seen []aws.Observation
}

func newRig(t *testing.T, o aws.Options) *rig {
	t.Helper()
	r := &rig{account: fake.New(fake.Config{}), clock: testingclock.NewFakeClock(start)}
	r.account.AddUser(fake.User{Name: "alice"})
	r.account.AddGroup("admins")
	o.Clock = r.clock
	o.Observe = func(seen aws.Observation) {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.seen = append(r.seen, seen)
	}
	r.Client = connect(t, r.account, o)
	return r
}

func (r *rig) last() aws.Observation {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[len(r.seen)-1]
}

func (r *rig) get(ctx context.Context) error { return getUser(r.Client)(ctx) }

func (r *rig) add(ctx context.Context) error {
	_, err := r.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: new("alice"), GroupName: new("admins")})
	return err
}

func (r *rig) remove(ctx context.Context) error {
	_, err := r.RemoveUserFromGroup(ctx, &iam.RemoveUserFromGroupInput{UserName: new("alice"), GroupName: new("admins")})
	return err
}

// page asks about the account for users alone. Of an answer longer than one read the SDK sometimes loses the rest: it closes
// the request's body when the answer begins, and the transport the connection, if it had not seen the body's end yet.
func (r *rig) page(ctx context.Context) error {
	_, err := r.GetAccountAuthorizationDetails(ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: []types.EntityType{types.EntityTypeUser}})
	return err
}

// flood makes n calls at once, which end with the test.
func (r *rig) flood(t *testing.T, n int, call func(context.Context) error) {
	t.Helper()
	before := r.clock.Waiters()
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	for range n {
		calls.Go(func() { _ = call(ctx) })
	}
	t.Cleanup(func() { cancel(); calls.Wait() })
	r.waiting(t, before+max(2, n/2))
}

// waiting returns when there are n timers: a call that waits for its turn has one, or none if it is for a removal, and the
// next in turn has another.
func (r *rig) waiting(t *testing.T, n int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for r.clock.Waiters() < n {
		if ctx.Err() != nil {
			t.Fatal("nobody waits")
		}
		runtime.Gosched()
	}
}

// A second's worth goes at once, and the rest at the rate.
func TestPace(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 4})
	for range 4 {
		if err := r.get(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	for range 3 {
		done := make(chan error, 1)
		go func() { done <- r.get(t.Context()) }()
		r.waiting(t, 2)
		r.clock.Step(249 * time.Millisecond)
		select {
		case err := <-done:
			t.Fatalf("a call went ahead of its turn: %v", err)
		default:
		}
		r.clock.Step(time.Millisecond)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if waited := r.last().Waited; waited != 250*time.Millisecond {
			t.Errorf("waited %s, want 250ms", waited)
		}
	}
}

// Throttling halves a rate down to a tenth, once for what was under way together; and it comes back with time.
func TestThrottled(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 20})
	throttle := func(call func(context.Context) error, op string) float64 {
		t.Helper()
		r.account.Inject(op, fake.Throttling.Times(1))
		if err := call(t.Context()); !aws.IsThrottled(err) {
			t.Fatalf("not throttled: %v", err)
		}
		return r.last().Rate
	}
	rateOf := func(call func(context.Context) error) float64 {
		t.Helper()
		if err := call(t.Context()); err != nil {
			t.Fatal(err)
		}
		return r.last().Rate
	}
	want := func(got, want float64) {
		t.Helper()
		if math.Abs(got-want) > 1e-3 {
			t.Errorf("the rate is %v, want %v", got, want)
		}
	}
	want(rateOf(r.get), 20)
	r.clock.Step(time.Second)
	want(throttle(r.get, "GetUser"), 10)
	want(rateOf(r.add), 5)
	want(rateOf(r.remove), 10)
	want(rateOf(func(ctx context.Context) error { return r.get(aws.ForRemoval(ctx)) }), 40)

	r.clock.Step(5 * time.Second)
	want(rateOf(r.get), 15)
	r.clock.Step(time.Minute)
	want(rateOf(r.get), 20)

	for _, rate := range []float64{10, 5.25, 2.875, 2, 2} {
		r.clock.Step(time.Nanosecond)
		want(throttle(r.get, "GetUser"), rate)
		r.clock.Step(500 * time.Millisecond)
	}
}

// Calls that were under way when AWS throttled one of them say nothing new.
func TestThrottledTogether(t *testing.T) {
	account := fake.New(fake.Config{})
	account.Inject("GetUser", fake.Throttling)
	var underWay sync.WaitGroup
	underWay.Add(10)
	together := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		underWay.Done()
		underWay.Wait()
		account.ServeHTTP(w, r)
	})
	rates := make(chan float64, 10)
	c := connect(t, together, aws.Options{
		Rate: 20, Clock: testingclock.NewFakeClock(start), Observe: func(o aws.Observation) { rates <- o.Rate },
	})
	for range cap(rates) {
		go func() { _ = getUser(c)(t.Context()) }()
	}
	for range cap(rates) {
		if rate := <-rates; rate != 10 {
			t.Errorf("ten calls that are throttled together leave a rate of %v, want 10", rate)
		}
	}
}

// What was saved up before AWS throttled is not spent after it.
func TestThrottledBurst(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 20})
	r.clock.Step(time.Second)
	r.account.Inject("GetUser", fake.Throttling.Times(1))
	if err := r.get(t.Context()); !aws.IsThrottled(err) {
		t.Fatal(err)
	}
	r.flood(t, 1, r.get)
}

// Nothing else delays a removal, however much of it there is; and removals have a limit too.
func TestRemovalsGoFirst(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 4})
	r.flood(t, 200, r.add)
	r.flood(t, 200, r.get)
	r.flood(t, 200, func(ctx context.Context) error {
		_, err := r.DeleteUserPolicy(ctx, &iam.DeleteUserPolicyInput{UserName: new("alice"), PolicyName: new("none")})
		return err
	})
	ctx := aws.ForRemoval(t.Context())
	for name, call := range map[string]func() error{
		"reading": func() error { return r.get(ctx) },
		"removal": func() error { return r.remove(ctx) },
		// Taking away is a removal also where nobody says so.
		"removal without the mark": func() error { return r.remove(t.Context()) },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if now := r.clock.Now(); !now.Equal(start) {
		t.Errorf("it took until %s", now)
	}
	// The twin without the mark waits with the others.
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.get(brief); err == nil {
		t.Error("a read that is not for a removal overtook the others")
	}
}

// At the lowest rate the next page of an account has its turn in the time that a call waits for one; below, it does not.
func TestLowestRate(t *testing.T) {
	const answer = 100 * time.Millisecond
	for name, test := range map[string]struct {
		rate float64
		says string
	}{
		"lowest":  {aws.LowestRate, ""},
		"too low": {aws.LowestRate * 0.9, "was not called: too many other calls were before it"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, aws.Options{Rate: test.rate, Timeout: access.CallTimeout})
			if err := r.page(t.Context()); err != nil {
				t.Fatal(err)
			}
			r.clock.Step(answer)
			done := make(chan error, 1)
			go func() { done <- r.page(t.Context()) }()
			r.waiting(t, 2)
			r.clock.Step(access.CallTimeout - answer)
			r.clock.Step(answer)
			switch err := <-done; {
			case test.says == "" && err != nil:
				t.Error(err)
			case test.says != "" && !strings.Contains(aws.Explain(err), test.says):
				t.Errorf("told as %q: %v", aws.Explain(err), err)
			}
		})
	}
}

// The mark of a removal does not carry an addition past the others.
func TestAdditionsNeverUseTheShareOfRemovals(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 4})
	if err := r.add(aws.ForRemoval(t.Context())); err != nil {
		t.Fatal(err)
	}
	if seen := r.last(); seen.Removal || seen.Class != aws.Add {
		t.Errorf("%+v", seen)
	}
}

// The wait for a turn ends with the context, and then nothing was asked of AWS, which says nothing of AWS.
func TestWaitEndsWithContext(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 4})
	if err := r.add(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := r.remove(t.Context()); err != nil {
		t.Fatal(err)
	}
	for name, before := range map[string]int{"next in turn": 0, "behind another": 1} {
		t.Run(name, func(t *testing.T) {
			if before > 0 {
				r.flood(t, before, r.add)
			}
			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- r.add(ctx) }()
			r.waiting(t, 2+before)
			cancel()
			err := <-done
			want := "AWS IAM AddUserToGroup was not called: too many other calls were before it (--aws-rate limits them)"
			if got := aws.Explain(err); got != want || aws.IsUnreachable(err) {
				t.Errorf("told as %q: %v", got, err)
			}
		})
	}
	if r.account.IsMember("admins", "alice") {
		t.Error("it was done nevertheless")
	}
	r.clock.Step(time.Second)
	if err := r.add(t.Context()); err != nil || !r.account.IsMember("admins", "alice") {
		t.Errorf("in its turn: %v", err)
	}
}

// What is not for a removal gives up when its turn does not come in the time of a call; a removal waits on.
func TestWaitIsBounded(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 0.1, Timeout: 3 * time.Second})
	begin := func(ctx context.Context) chan error {
		done := make(chan error, 2)
		for range cap(done) {
			go func() { done <- r.get(ctx) }()
		}
		return done
	}
	if err := r.get(t.Context()); err != nil {
		t.Fatal(err)
	}
	ordinary := begin(t.Context())
	r.waiting(t, 3)
	r.clock.Step(3 * time.Second)
	for range cap(ordinary) {
		if err := <-ordinary; !strings.Contains(aws.Explain(err), "was not called: too many other calls were before it") {
			t.Errorf("told as %q: %v", aws.Explain(err), err)
		}
	}

	if err := r.get(aws.ForRemoval(t.Context())); err != nil {
		t.Fatal(err)
	}
	removal := begin(aws.ForRemoval(t.Context()))
	for range cap(removal) {
		r.waiting(t, 1)
		r.clock.Step(3 * time.Second)
		select {
		case err := <-removal:
			t.Errorf("a removal went ahead of its turn, or gave up: %v", err)
		default:
		}
		r.clock.Step(2 * time.Second)
		if err := <-removal; err != nil {
			t.Error(err)
		}
	}
}

// Every call is observed, with what became of it.
func TestObservations(t *testing.T) {
	for outcome, fault := range map[string]fake.Fault{
		"OK":           fake.AccessDenied.Often(math.SmallestNonzeroFloat64),
		"AccessDenied": fake.AccessDenied,
		"HTTP502":      fake.BadGateway,
		"Unreachable":  fake.ConnectionReset,
		"Incomplete":   fake.Truncated,
	} {
		t.Run(outcome, func(t *testing.T) {
			r := newRig(t, aws.Options{})
			r.account.Inject("GetUser", fault)
			_ = r.get(t.Context())
			want := aws.Observation{Operation: "GetUser", Outcome: outcome, Class: aws.Read, Rate: aws.DefaultRate}
			if got := r.last(); got != want {
				t.Errorf("observed %+v, want %+v", got, want)
			}
		})
	}
}

// No rate gives a bucket that lets nothing through.
func TestSmallRates(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 0.1})
	for name, call := range map[string]func(context.Context) error{"read": r.get, "add": r.add, "remove": r.remove, "account": r.page} {
		if err := call(t.Context()); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// An emergency does not stand in line behind ordinary work, however much of it there is, and has a limit too.
func TestEmergenciesDoNotQueue(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 16})
	for _, call := range []func(context.Context) error{r.add, r.get, r.page} {
		r.flood(t, 200, call)
	}
	ctx := aws.ForEmergency(t.Context())
	for name, call := range map[string]func(context.Context) error{"reading": r.get, "addition": r.add, "account": r.page} {
		if err := call(ctx); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if seen := r.last(); seen.Waited != 0 || seen.Removal {
			t.Errorf("%s: %+v", name, seen)
		}
	}
	if now := r.clock.Now(); !now.Equal(start) {
		t.Errorf("it took until %s", now)
	}
	// The twin without the mark waits with the others.
	brief, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if err := r.add(brief); err == nil {
		t.Error("an addition that is not for an emergency overtook the others")
	}
}

// Emergencies have a limit too, and however many there are, they leave removals their share; an emergency that takes away does so
// as a removal.
func TestEmergenciesLeaveRemovalsTheirShare(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 16})
	for _, call := range []func(context.Context) error{r.add, r.get, r.page} {
		r.flood(t, 200, func(ctx context.Context) error { return call(aws.ForEmergency(ctx)) })
	}
	brief, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	removal := aws.ForRemoval(brief)
	for name, call := range map[string]func() error{
		"reading":                        func() error { return r.get(removal) },
		"account":                        func() error { return r.page(removal) },
		"removal":                        func() error { return r.remove(removal) },
		"removal, and nobody says so":    func() error { return r.remove(brief) },
		"removal as a deed of emergency": func() error { return r.remove(aws.ForEmergency(brief)) },
	} {
		if err := call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if seen := r.last(); seen.Waited != 0 || !seen.Removal {
			t.Errorf("%s: %+v", name, seen)
		}
	}
}

// Where nobody waits, an emergency is no slower than anything else: it has the turns of ordinary work, and its own beside them.
func TestEmergencyTakesAFreeTurn(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 16})
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for i := range 16 + 4 {
		if err := r.get(aws.ForEmergency(ctx)); err != nil || r.last().Waited != 0 {
			t.Fatalf("call %d waited %s: %v", i, r.last().Waited, err)
		}
	}
	r.flood(t, 2, func(ctx context.Context) error { return r.get(aws.ForEmergency(ctx)) })
}

// At the lowest rate an emergency reads an account of many pages in the time that each call waits for its turn.
func TestEmergencyAtTheLowestRate(t *testing.T) {
	r := newRig(t, aws.Options{Rate: aws.LowestRate, Timeout: access.CallTimeout})
	ctx, cancel := context.WithTimeout(aws.ForEmergency(t.Context()), time.Minute)
	defer cancel()
	for range 2 {
		if err := r.page(ctx); err != nil {
			t.Fatal(err)
		}
	}
	done := make(chan error, 1)
	go func() { done <- r.page(ctx) }()
	r.waiting(t, 2)
	r.clock.Step(access.CallTimeout - time.Millisecond)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// Within an emergency, what is marked as part of a removal is part of it, and the other way round; an addition never is.
func TestLaneOfTheLastMark(t *testing.T) {
	r := newRig(t, aws.Options{Rate: 16})
	both := aws.ForRemoval(aws.ForEmergency(t.Context()))
	for name, test := range map[string]struct {
		call    func() error
		removal bool
	}{
		"reading for a removal":          {func() error { return r.get(both) }, true},
		"reading for an emergency":       {func() error { return r.get(aws.ForEmergency(both)) }, false},
		"addition marked as a removal":   {func() error { return r.add(both) }, false},
		"removal marked as an emergency": {func() error { return r.remove(aws.ForEmergency(both)) }, true},
	} {
		if err := test.call(); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if seen := r.last(); seen.Removal != test.removal {
			t.Errorf("%s: %+v", name, seen)
		}
	}
}
