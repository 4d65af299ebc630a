// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

var addAlice = in{"UserName": "alice", "GroupName": "admins"}

func newMembershipRig(t *testing.T) *rig {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice"})
	r.fake.AddGroup("admins")
	return r
}

// TestFaults shows what the SDK, with its default retries, makes of each fault on every call.
func TestFaults(t *testing.T) {
	for _, test := range []struct {
		name     string
		fault    fake.Fault
		code     string // as the SDK reports it
		status   int    // 0: no answer
		attempts int    // at least; the SDK repeats a request whose answer was lost on the way
		done     bool   // whether the user is a member afterwards
	}{
		{"Throttling", fake.Throttling, "Throttling", 400, 3, false},
		{"RequestLimitExceeded", fake.RequestLimitExceeded, "RequestLimitExceeded", 503, 3, false},
		{"ServiceUnavailable", fake.ServiceUnavailable, "ServiceUnavailable", 503, 3, false},
		{"InternalFailure", fake.InternalFailure, "InternalFailure", 500, 3, false},
		{"ConcurrentModification", fake.ConcurrentModification, "ConcurrentModification", 409, 1, false},
		{"TemporarilyUnmodifiable", fake.TemporarilyUnmodifiable, "EntityTemporarilyUnmodifiable", 409, 1, false},
		{"AccessDenied", fake.AccessDenied, "AccessDenied", 403, 1, false},
		{"ThrottlingException", fake.ThrottlingException, "ThrottlingException", 400, 3, false},
		{"ServiceFailure", fake.ServiceFailure, "ServiceFailure", 500, 3, false},
		{"LimitExceeded", fake.LimitExceeded, "LimitExceeded", 409, 1, false},
		{"ExpiredToken", fake.ExpiredToken, "ExpiredToken", 403, 1, false},
		{"InvalidClientTokenId", fake.InvalidClientTokenID, "InvalidClientTokenId", 403, 1, false},
		{"RequestExpired", fake.RequestExpired, "RequestExpired", 400, 1, false},
		{"BadGateway", fake.BadGateway, "", 502, 3, false},
		{"ConnectionReset", fake.ConnectionReset, "", 0, 3, false},
		{"LostAnswer", fake.LostAnswer, "", 0, 3, true},
		{"InternalFailure after effect", fake.InternalFailure.AfterEffect(), "InternalFailure", 500, 3, true},
	} {
		t.Run(test.name, func(t *testing.T) {
			r := newMembershipRig(t)
			r.fake.Inject("AddUserToGroup", test.fault)
			_, err := call(t, r.iam, "AddUserToGroup", addAlice)
			code, status, _ := failure(err)
			if err == nil || code != test.code || status != test.status {
				t.Errorf("got %v", err)
			}
			if n := r.fake.Count("AddUserToGroup"); n < test.attempts || (test.attempts == 1 && n > 2) {
				t.Errorf("%d attempts, want %d", n, test.attempts)
			}
			if got := r.fake.IsMember("admins", "alice"); got != test.done {
				t.Errorf("member: %v", got)
			}
			calls := r.fake.Calls()
			if calls[0].Code == "" || calls[0].Changed != test.done {
				t.Errorf("logged %+v", calls[0])
			}
			r.fake.ClearFaults()
			r.do("AddUserToGroup", addAlice)
		})
	}
}

// TestSilentFaults: the SDK takes an answer without a body, or with half of one, for success.
func TestSilentFaults(t *testing.T) {
	for name, fault := range map[string]fake.Fault{"empty": fake.Empty, "truncated": fake.Truncated} {
		t.Run(name, func(t *testing.T) {
			r := newMembershipRig(t)
			r.fake.Inject("AddUserToGroup", fault.Times(1))
			r.do("AddUserToGroup", addAlice)
			if r.fake.IsMember("admins", "alice") {
				t.Error("the fault let the write through")
			}
			r.fake.Inject("AddUserToGroup", fault.Times(1).AfterEffect())
			r.do("AddUserToGroup", addAlice)
			if !r.fake.IsMember("admins", "alice") {
				t.Error("the fault stopped the write")
			}
			// Half an answer to a read is an error, but none at all is an empty one: no group, no members and no error.
			r.fake.Inject("GetGroup", fault)
			output, err := r.iam.GetGroup(t.Context(), &iam.GetGroupInput{GroupName: aws.String("admins")})
			if name == "truncated" && err == nil {
				t.Errorf("half an answer was read as %+v", output)
			}
			if name == "empty" && (err != nil || output.Group != nil || output.Users != nil) {
				t.Errorf("got %+v, %v", output, err)
			}
		})
	}
}

func TestHang(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.Inject(fake.AnyOp, fake.Hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, err := r.iam.GetUser(ctx, &iam.GetUserInput{UserName: aws.String("alice")})
	if !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestFaultsAreCountedAndDrawn(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.Inject("GetUser", fake.AccessDenied.Times(2))
	r.fake.Inject("GetUser", fake.ConcurrentModification.Times(1))
	for _, want := range []string{"AccessDenied", "AccessDenied", "ConcurrentModification", ""} {
		_, err := call(t, r.iam, "GetUser", in{"UserName": "alice"})
		if code, _, _ := failure(err); code != want {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	r.fake.ResetCalls()
	r.fake.Inject(fake.AnyOp, fake.AccessDenied.Often(0.3))
	denied := 0
	for range 200 {
		if _, err := call(t, r.iam, "GetUser", in{"UserName": "alice"}); err != nil {
			denied++
		}
	}
	if denied < 30 || denied > 90 {
		t.Errorf("%d of 200 requests denied, want about 60", denied)
	}
	if n := r.fake.Count(fake.AnyOp); n < 200 {
		t.Errorf("%d calls logged", n)
	}
}

func TestStaleReads(t *testing.T) {
	r := newMembershipRig(t)
	members := func() int { return len(r.do("GetGroup", in{"GroupName": "admins"})["Users"].([]any)) }
	r.fake.SetStaleness(10 * time.Second)
	r.do("AddUserToGroup", addAlice)
	if members() != 0 || !r.fake.IsMember("admins", "alice") {
		t.Error("a read saw the write at once")
	}
	r.clock.Step(5 * time.Second)
	r.do("RemoveUserFromGroup", addAlice)
	r.do("AddUserToGroup", addAlice)
	r.do("RemoveUserFromGroup", addAlice)
	r.refuse("DeleteUser", in{"UserName": "nobody"}, "NoSuchEntity", 404)
	r.clock.Step(5*time.Second - time.Nanosecond)
	if members() != 0 {
		t.Error("a read saw the write too early")
	}
	r.clock.Step(time.Nanosecond)
	if members() != 1 {
		t.Error("a read does not see the addition after ten seconds")
	}
	r.fake.RenameUser("alice", "alicia")
	r.do("GetUser", in{"UserName": "alice"})
	r.clock.Step(5 * time.Second)
	if members() != 0 {
		t.Error("a read does not see the removal after ten seconds")
	}
	key := r.fake.AddAccessKey("alicia", start)
	r.do("TagUser", in{"UserName": "alicia", "Tags": []in{{"Key": "a", "Value": "1"}}})
	r.clock.Step(10 * time.Second)
	r.do("TagUser", in{"UserName": "alicia", "Tags": []in{{"Key": "a", "Value": "2"}}})
	r.do("UpdateAccessKey", in{"UserName": "alicia", "AccessKeyId": key, "Status": "Inactive"})
	r.do("UntagUser", in{"UserName": "alicia", "TagKeys": []string{"a"}})
	tags := r.do("ListUserTags", in{"UserName": "alicia"})
	keys := r.do("ListAccessKeys", in{"UserName": "alicia"})
	if at(tags, "Tags.0.Value") != "1" || at(keys, "AccessKeyMetadata.0.Status") != "Active" {
		t.Errorf("reads saw writes at once: %v, %v", tags, keys)
	}
	r.fake.SetStaleness(0)
	r.refuse("GetUser", in{"UserName": "alice"}, "NoSuchEntity", 404)
}

func TestStaleAuthorizationDetails(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.SetStaleness(10 * time.Second)
	r.do("AddUserToGroup", addAlice)
	r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": "fence", "PolicyDocument": policy})
	for _, want := range []int{0, 1} {
		out, err := r.iam.GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{})
		if err != nil {
			t.Fatal(err)
		}
		if alice := out.UserDetailList[0]; len(alice.GroupList) != want || len(alice.UserPolicyList) != want {
			t.Errorf("seen are %v and %v, want %d of each", alice.GroupList, alice.UserPolicyList, want)
		}
		r.clock.Step(10 * time.Second)
	}
}

// Only with skew does the date of a request matter, and then to five minutes from the time of AWS.
func TestClockSkew(t *testing.T) {
	r := newRig(t)
	for _, test := range []struct {
		skew, signed time.Duration // from the clock
		want         string
	}{
		{0, time.Hour, ""},
		{time.Minute, -4 * time.Minute, ""},
		{time.Minute, -4*time.Minute - time.Second, "Signature expired: 20260302T085559Z is now earlier than 20260302T085600Z (20260302T090100Z - 5 min.)"},
		{-time.Minute, 4 * time.Minute, ""},
		{-time.Minute, 4*time.Minute + time.Second, "Signature not yet current: 20260302T090401Z is still later than 20260302T090400Z (20260302T085900Z + 5 min.)"},
	} {
		r.fake.SetClockSkew(test.skew)
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader("Action=ListUsers&Version=2010-05-08"))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", "AWS4-HMAC-SHA256 Credential=AKIAOPERATORROLE0000/20260302/us-east-1/iam/aws4_request")
		request.Header.Set("X-Amz-Date", start.Add(test.signed).Format("20060102T150405Z"))
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(answer.Body)
		if err := errors.Join(err, answer.Body.Close()); err != nil {
			t.Fatal(err)
		}
		refused := strings.Contains(string(body), "<Code>SignatureDoesNotMatch</Code><Message>"+test.want+"</Message>")
		if refused != (test.want != "") || (answer.StatusCode == http.StatusForbidden) != refused {
			t.Errorf("skew %s, signed at %s: %d %s", test.skew, test.signed, answer.StatusCode, body)
		}
		if got := answer.Header.Get("Date"); got != start.Add(test.skew).Format(http.TimeFormat) {
			t.Errorf("with a skew of %s the date is %s", test.skew, got)
		}
	}
}

// The SDK learns the time from the answer and signs again.
func TestSDKCorrectsClockSkew(t *testing.T) {
	r := newRig(t)
	r.fake.SetClockSkew(10 * time.Minute)
	r.do("ListUsers", in{})
	if calls := r.fake.Calls(); calls[0].Code != "SignatureDoesNotMatch" || calls[len(calls)-1].Code != "" {
		t.Errorf("saw %+v", calls)
	}
	r.fake.ResetCalls()
	r.do("ListUsers", in{})
	if first := r.fake.Calls()[0]; first.Code != "" {
		t.Errorf("the SDK forgot: %+v", first)
	}
}

func TestThrottle(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.SetThrottle("GetUser", 1, 2)
	alice := in{"UserName": "alice"}
	r.do("GetUser", alice)
	r.do("GetUser", alice)
	r.refuse("GetUser", alice, "Throttling", 400)
	r.do("ListMFADevices", alice)
	r.clock.Step(time.Second)
	r.do("GetUser", alice)
	r.refuse("GetUser", alice, "Throttling", 400)
	r.fake.SetThrottle("GetUser", 0, 0)
	r.do("GetUser", alice)
}

func TestLatency(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.SetLatency(fake.AnyOp, time.Minute)
	r.fake.SetLatency("ListUsers", 0)
	r.do("ListUsers", in{})
	done := make(chan error)
	go func() {
		_, err := r.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: aws.String("alice")})
		done <- err
	}()
	for !r.clock.HasWaiters() {
		select {
		case err := <-done:
			t.Fatalf("answered without delay: %v", err)
		default:
			runtime.Gosched()
		}
	}
	r.clock.Step(time.Minute)
	if err := <-done; err != nil {
		t.Error(err)
	}
}

func TestWriteHooks(t *testing.T) {
	r := newMembershipRig(t)
	var seen []string
	stop := errors.New("stop")
	r.fake.OnWrite(func(c fake.Call) error {
		seen = append(seen, fmt.Sprintf("%s of %s, member: %v", c.Op, c.Params.Get("UserName"), r.fake.IsMember("admins", "alice")))
		return stop
	}, nil)
	if _, err := call(t, r.iam, "AddUserToGroup", addAlice); err == nil || r.fake.IsMember("admins", "alice") {
		t.Errorf("stopped before the write: %v", err)
	}
	if seen[0] != "AddUserToGroup of alice, member: false" {
		t.Errorf("saw %q", seen)
	}
	r.fake.OnWrite(nil, func(fake.Call) error { return stop })
	// The repetitions of the SDK change nothing, so the hook stops the first attempt only.
	r.do("AddUserToGroup", addAlice)
	calls := r.fake.Calls()
	first := slices.IndexFunc(calls, func(c fake.Call) bool { return c.Changed })
	if first < 0 || calls[first].Code != "ConnectionReset" || !r.fake.IsMember("admins", "alice") {
		t.Errorf("stopped after the write: %+v", calls)
	}
	r.fake.OnWrite(nil, nil)
	r.do("RemoveUserFromGroup", addAlice)
}

func TestPasswordsAreNotLogged(t *testing.T) {
	r := newMembershipRig(t)
	r.do("CreateLoginProfile", in{"UserName": "alice", "Password": "Correct-horse-1"})
	if call := r.fake.Calls()[0]; call.Params.Has("Password") || call.Params.Get("UserName") != "alice" {
		t.Errorf("logged %v", call.Params)
	}
}

func TestConcurrency(t *testing.T) {
	r := newRig(t)
	r.fake.AddGroup("g")
	r.fake.SetStaleness(time.Millisecond)
	r.fake.Inject(fake.AnyOp, fake.InternalFailure.Often(0.05))
	var group sync.WaitGroup
	for worker := range 8 {
		group.Go(func() {
			name := fmt.Sprintf("user-%d", worker)
			r.fake.AddUser(fake.User{Name: name, Tags: map[string]string{"a": "b"}})
			for range 20 {
				// Failures are the point of the injected fault; the race detector is the judge here.
				_, _ = r.iam.AddUserToGroup(t.Context(), &iam.AddUserToGroupInput{GroupName: aws.String("g"), UserName: &name})
				_, _ = r.iam.GetGroup(t.Context(), &iam.GetGroupInput{GroupName: aws.String("g")})
				_, _ = r.iam.ListUsers(t.Context(), &iam.ListUsersInput{})
				r.fake.RemoveMember("g", name)
				r.clock.Step(time.Millisecond)
				r.fake.Calls()
			}
			r.fake.AddMember("g", name)
		})
	}
	group.Wait()
	if got := r.fake.Members("g"); len(got) != 8 {
		t.Errorf("members %v", got)
	}
}
