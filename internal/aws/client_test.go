// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	sdk "github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// atOnce tries again without the SDK's backoff.
func atOnce(o *iam.Options) { o.Retryer = retry.AddWithMaxBackoffDelay(o.Retryer, time.Microsecond) }

func addUser(ctx context.Context, c *aws.Client, opts ...func(*iam.Options)) error {
	_, err := c.AddUserToGroup(ctx, &iam.AddUserToGroupInput{UserName: new("alice"), GroupName: new("admins")}, opts...)
	return err
}

func readUser(ctx context.Context, c *aws.Client, opts ...func(*iam.Options)) error {
	_, err := c.GetUser(ctx, &iam.GetUserInput{UserName: new("alice")}, opts...)
	return err
}

func membershipAccount() *fake.IAM {
	account := fake.New(fake.Config{})
	account.AddUser(fake.User{Name: "alice"})
	account.AddGroup("admins")
	return account
}

// What passes by itself is tried again, the conflicts too that the SDK leaves to its callers; what does not is told.
func TestTriedAgain(t *testing.T) {
	for _, row := range []struct {
		name  string
		fault fake.Fault
		heals bool
	}{
		{"ConcurrentModification", fake.ConcurrentModification, true},
		{"EntityTemporarilyUnmodifiable", fake.TemporarilyUnmodifiable, true},
		{"Throttling", fake.Throttling, true},
		{"ServiceUnavailable", fake.ServiceUnavailable, true},
		{"a gateway", fake.BadGateway, true},
		{"a reset", fake.ConnectionReset, true},
		{"a lost answer", fake.LostAnswer, true},
		{"LimitExceeded", fake.ErrorFault("LimitExceeded", http.StatusConflict), false},
		{"AccessDenied", fake.AccessDenied, false},
		{"NoSuchEntity", fake.ErrorFault("NoSuchEntity", http.StatusNotFound), false},
	} {
		t.Run(row.name, func(t *testing.T) {
			t.Setenv("AWS_MAX_ATTEMPTS", "3")
			account := membershipAccount()
			c := connect(t, account, aws.Options{})
			account.Inject("AddUserToGroup", row.fault.Times(1))
			err := addUser(t.Context(), c, atOnce)
			if (err == nil) != row.heals || account.IsMember("admins", "alice") != row.heals {
				t.Errorf("member: %t, error: %v", account.IsMember("admins", "alice"), err)
			}
		})
	}
}

// One who tries again waits for a turn again: what is throttled is not tried faster than anything else.
func TestTryingAgainCosts(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	r := newRig(t, aws.Options{Rate: 4})
	r.account.Inject("AddUserToGroup", fake.ConcurrentModification.Times(1))
	done := make(chan error, 1)
	go func() { done <- addUser(t.Context(), r.Client, atOnce) }()
	r.waiting(t, 2)
	select {
	case err := <-done:
		t.Fatalf("the second attempt did not wait: %v", err)
	default:
	}
	r.clock.Step(time.Second)
	if err := <-done; err != nil || r.last().Waited != time.Second {
		t.Errorf("waited %s: %v", r.last().Waited, err)
	}
}

// Additions that fail again and again do not use up the attempts of removals, as they would by the quota of the SDK.
func TestAttemptsOfRemovals(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	account := membershipAccount()
	account.AddMember("admins", "alice")
	account.Inject("AddUserToGroup", fake.ServiceUnavailable)
	c := connect(t, account, aws.Options{Rate: 1e6})
	for range retry.DefaultRetryRateTokens/retry.DefaultRetryCost/2 + 1 {
		if err := addUser(t.Context(), c, atOnce); err == nil {
			t.Fatal("no error")
		}
	}
	account.Inject("RemoveUserFromGroup", fake.ServiceUnavailable.Times(2))
	_, err := c.RemoveUserFromGroup(t.Context(), &iam.RemoveUserFromGroupInput{UserName: new("alice"), GroupName: new("admins")}, atOnce)
	if err != nil || account.IsMember("admins", "alice") {
		t.Errorf("member: %t, error: %v", account.IsMember("admins", "alice"), err)
	}
}

// A write has the time of one attempt in all, so that it is known when none is on its way any more. A read has time for
// more attempts.
func TestTimeInAll(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	account := membershipAccount()
	c := connect(t, account, aws.Options{Timeout: time.Second})
	account.Inject("GetUser", fake.Hang.Times(1))
	if err := readUser(t.Context(), c, atOnce); err != nil {
		t.Errorf("a read that hangs once: %v", err)
	}
	account.Inject(fake.AnyOp, fake.Hang)
	for name, row := range map[string]struct {
		call  func(context.Context, *aws.Client, ...func(*iam.Options)) error
		ended bool // within the time of two attempts and a half
	}{"write": {addUser, true}, "read": {readUser, false}} {
		ctx, cancel := context.WithTimeout(t.Context(), 2500*time.Millisecond)
		defer cancel()
		if err := row.call(ctx, c, atOnce); err == nil || (ctx.Err() == nil) != row.ended || aws.IsUnreachable(err) != row.ended {
			t.Errorf("a %s that hangs: %v, %v", name, err, ctx.Err())
		}
	}
	account.ClearFaults()
	if err := addUser(t.Context(), c); err != nil || !account.IsMember("admins", "alice") {
		t.Errorf("a write in time: %v", err)
	}
}

// The time of a write does not run while it waits for its turn.
func TestWaitingIsNotTheTimeOfTheWrite(t *testing.T) {
	const timeout = 200 * time.Millisecond
	r := newRig(t, aws.Options{Rate: 40, Timeout: timeout})
	for range 10 {
		if err := r.add(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	r.account.RemoveMember("admins", "alice")
	done := make(chan error, 1)
	go func() { done <- r.add(t.Context()) }()
	r.waiting(t, 2)
	long, cancel := context.WithTimeout(t.Context(), 2*timeout)
	defer cancel()
	<-long.Done()
	r.clock.Step(timeout / 2)
	if err := <-done; err != nil || !r.account.IsMember("admins", "alice") {
		t.Errorf("after its turn had come: %v", err)
	}
}

// When the time runs out between two attempts, what AWS had answered is told: nobody may take throttling for an outage.
func TestAnswerBeforeTimeRanOut(t *testing.T) {
	t.Setenv("AWS_MAX_ATTEMPTS", "3")
	account := membershipAccount()
	account.Inject("AddUserToGroup", fake.Throttling)
	c := connect(t, account, aws.Options{Timeout: 100 * time.Millisecond})
	longer := func(o *iam.Options) { o.Retryer = slow{o.Retryer} }
	err := addUser(t.Context(), c, longer)
	if !aws.IsThrottled(err) || aws.IsUnreachable(err) {
		t.Errorf("throttled to the end of its time: %v", err)
	}
	if got := aws.Explain(err); got != "AWS IAM AddUserToGroup answered Throttling: Rate exceeded" {
		t.Errorf("told as %q", got)
	}
}

// Calls about the whole account are slow in large accounts.
func TestAccountIsPatient(t *testing.T) {
	account := membershipAccount()
	account.SetLatency(fake.AnyOp, 300*time.Millisecond)
	c := connect(t, account, aws.Options{Timeout: 150 * time.Millisecond})
	if _, err := c.GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{}); err != nil {
		t.Errorf("the account: %v", err)
	}
	if err := readUser(t.Context(), c); !aws.IsUnreachable(err) {
		t.Errorf("one user: %v", err)
	}
}

// slow waits for an hour between attempts.
type slow struct{ sdk.Retryer }

func (slow) RetryDelay(int, error) (time.Duration, error) { return time.Hour, nil }
