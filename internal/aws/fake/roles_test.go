// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	ststypes "github.com/aws/aws-sdk-go-v2/service/sts/types"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// sts returns a client of STS with the credentials of an IAM client.
func (r *rig) sts(client *iam.Client) *sts.Client {
	o := client.Options()
	return sts.New(sts.Options{
		BaseEndpoint: aws.String(r.url), Region: "us-east-1", Credentials: o.Credentials, HTTPClient: o.HTTPClient, Retryer: o.Retryer,
	})
}

// with returns an IAM client that signs with what STS gave out.
func (r *rig) with(c *ststypes.Credentials) *iam.Client {
	return iam.New(r.iam.Options(), func(o *iam.Options) {
		o.Credentials = aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: *c.AccessKeyId, SecretAccessKey: *c.SecretAccessKey, SessionToken: *c.SessionToken}, nil
		})
	})
}

// assume assumes a role with the credentials of client.
func (r *rig) assume(client *iam.Client, arn string) *ststypes.Credentials {
	r.t.Helper()
	out, err := r.sts(client).AssumeRole(r.t.Context(), &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("s1")})
	if err != nil {
		r.t.Fatal(err)
	}
	return out.Credentials
}

func (r *rig) identity(client *iam.Client) string {
	r.t.Helper()
	out, err := r.sts(client).GetCallerIdentity(r.t.Context(), &sts.GetCallerIdentityInput{})
	if err != nil {
		r.t.Fatal(err)
	}
	return *out.Arn
}

// Who holds a session is that role from then on, in the answers and in the log.
func TestAssumeRole(t *testing.T) {
	r := newMembershipRig(t)
	revoker := r.fake.AddRole("revoker", "/access/")
	if revoker != "arn:aws:iam::111122223333:role/access/revoker" {
		t.Errorf("the role is %s", revoker)
	}
	session := r.with(r.assume(r.iam, revoker))
	if got := r.identity(session); got != "arn:aws:sts::111122223333:assumed-role/revoker/s1" {
		t.Errorf("the session is %s", got)
	}
	if got := r.identity(r.iam); got != "arn:aws:sts::111122223333:assumed-role/prod-access-operator/fake" {
		t.Errorf("the operator is %s", got)
	}
	r.fake.ResetCalls()
	r.do("AddUserToGroup", addAlice)
	if _, err := call(t, session, "RemoveUserFromGroup", addAlice); err != nil {
		t.Fatal(err)
	}
	if _, err := call(t, r.as(r.fake.AddAccessKey("alice", start)), "GetUser", in{}); err != nil {
		t.Fatal(err)
	}
	want := map[string]string{"AddUserToGroup": "prod-access-operator", "RemoveUserFromGroup": "revoker", "GetUser": ""}
	for _, c := range r.fake.Calls() {
		if c.Role != want[c.Op] {
			t.Errorf("%s came from role %q, want %q", c.Op, c.Role, want[c.Op])
		}
	}
}

// A session ends, and its key is nothing without its token.
func TestSessions(t *testing.T) {
	r := newRig(t)
	held := r.assume(r.iam, r.fake.AddRole("revoker", ""))
	if !held.Expiration.Equal(start.Add(time.Hour)) {
		t.Errorf("expires at %s", held.Expiration)
	}
	session := r.with(held)
	list := func(client *iam.Client) string {
		_, err := call(t, client, "ListUsers", in{})
		code, status, _ := failure(err)
		if err != nil && status != http.StatusForbidden {
			t.Errorf("got %v", err)
		}
		return code
	}
	r.clock.Step(time.Hour - time.Second)
	if got := list(session); got != "" {
		t.Errorf("in the session: %s", got)
	}
	if got := list(r.as(*held.AccessKeyId)); got != "InvalidClientTokenId" {
		t.Errorf("without the token: %s", got)
	}
	r.fake.DenyCredentials(*held.AccessKeyId)
	if got := list(session); got != "InvalidClientTokenId" {
		t.Errorf("denied: %s", got)
	}
	r.fake.DenyCredentials()
	r.clock.Step(time.Second)
	if got := list(session); got != "ExpiredToken" {
		t.Errorf("after the session: %s", got)
	}
}

func TestAssumeRoleRefusals(t *testing.T) {
	r := newRig(t)
	arn := r.fake.AddRole("revoker", "/access/")
	r.fake.AddUser(fake.User{Name: "alice"})
	alice := r.as(r.fake.AddAccessKey("alice", start))
	for _, test := range []struct {
		name, arn, session string
		client             *iam.Client
		seconds            int32
		want               string
	}{
		{"as is", arn, "s1", r.iam, 3600, ""},
		{"path left out", "arn:aws:iam::111122223333:role/revoker", "s1", r.iam, 3600, "AccessDenied"},
		{"name of a session", arn, "s 1", r.iam, 3600, "ValidationError"},
		{"too short", arn, "s1", r.iam, 899, "ValidationError"},
		{"too long from a session", arn, "s1", r.iam, 3601, "ValidationError"},
		{"as long by a user", arn, "s1", alice, 3601, ""},
		{"too long by a user", arn, "s1", alice, 43201, "ValidationError"},
	} {
		t.Run(test.name, func(t *testing.T) {
			_, err := r.sts(test.client).AssumeRole(t.Context(), &sts.AssumeRoleInput{
				RoleArn: &test.arn, RoleSessionName: &test.session, DurationSeconds: &test.seconds,
			})
			if code, _, _ := failure(err); code != test.want {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

// A pod has no key, but a token.
func TestAssumeRoleWithWebIdentity(t *testing.T) {
	r := newRigOf(t, fake.Config{Role: "hera-operator", RolePath: "/operators/"})
	input := &sts.AssumeRoleWithWebIdentityInput{
		RoleArn: aws.String("arn:aws:iam::111122223333:role/operators/hera-operator"), RoleSessionName: aws.String("pod"), WebIdentityToken: aws.String("t0ken"),
	}
	client := sts.New(sts.Options{BaseEndpoint: aws.String(r.url), Region: "us-east-1"})
	out, err := client.AssumeRoleWithWebIdentity(t.Context(), input)
	if err != nil {
		t.Fatal(err)
	}
	if got := r.identity(r.with(out.Credentials)); got != "arn:aws:sts::111122223333:assumed-role/hera-operator/pod" || *out.AssumedRoleUser.Arn != got {
		t.Errorf("the session is %s, of %s", got, *out.AssumedRoleUser.Arn)
	}
	for _, c := range r.fake.Calls() {
		if c.Params.Has("WebIdentityToken") {
			t.Error("the token is logged")
		}
	}
	input.RoleArn = aws.String("arn:aws:iam::111122223333:role/nobody")
	if _, err = client.AssumeRoleWithWebIdentity(t.Context(), input); err == nil {
		t.Error("a role that does not exist was assumed")
	} else if code, status, _ := failure(err); code != "AccessDenied" || status != http.StatusForbidden {
		t.Errorf("got %v", err)
	}
}

func TestGetRole(t *testing.T) {
	r := newRigOf(t, fake.Config{RolePath: "/operators/"})
	out, err := r.iam.GetRole(t.Context(), &iam.GetRoleInput{RoleName: aws.String("prod-access-operator")})
	if err != nil {
		t.Fatal(err)
	}
	if *out.Role.Arn != "arn:aws:iam::111122223333:role/operators/prod-access-operator" || *out.Role.MaxSessionDuration != 3600 ||
		out.Role.AssumeRolePolicyDocument == nil || len(*out.Role.RoleId) != 21 {
		t.Errorf("the role is %+v", out.Role)
	}
	r.refuse("GetRole", in{"RoleName": "nobody"}, "NoSuchEntity", 404)
	r.refuse("CreateRole", in{"RoleName": "Prod-Access-Operator", "AssumeRolePolicyDocument": "{}"}, "EntityAlreadyExists", 409)
	r.refuse("CreateRole", in{"RoleName": "other", "AssumeRolePolicyDocument": "{"}, "MalformedPolicyDocument", 400)
}

// decisions simulates for that principal and returns the decision for each action and resource.
func (r *rig) decisions(principal string, actions, resources []string) map[string]string {
	r.t.Helper()
	pages := iam.NewSimulatePrincipalPolicyPaginator(r.iam, &iam.SimulatePrincipalPolicyInput{
		PolicySourceArn: &principal, ActionNames: actions, ResourceArns: resources,
	})
	got := map[string]string{}
	for pages.HasMorePages() {
		page, err := pages.NextPage(r.t.Context())
		if err != nil {
			r.t.Fatal(err)
		}
		for _, result := range page.EvaluationResults {
			got[*result.EvalActionName+" "+*result.EvalResourceName] = string(result.EvalDecision)
		}
	}
	return got
}

// What is denied is denied in the simulation and in fact, to all or to one role; what nobody can be denied is not.
func TestDenyActions(t *testing.T) {
	r := newMembershipRig(t)
	r.fake.SetPageLimit(2)
	operator, revoker := "arn:aws:iam::111122223333:role/prod-access-operator", r.fake.AddRole("revoker", "")
	session := r.with(r.assume(r.iam, revoker))
	actions := []string{"iam:AddUserToGroup", "iam:RemoveUserFromGroup", "sts:GetCallerIdentity"}
	for _, test := range []struct {
		name              string
		all, ofRevoker    []string
		operator, revoker [3]bool // whether each action is denied
	}{
		{name: "nothing"},
		{"all", actions, nil, [3]bool{true, true, false}, [3]bool{true, true, false}},
		{"one, in another case", []string{"IAM:addusertogroup"}, nil, [3]bool{0: true}, [3]bool{0: true}},
		{"one role", nil, []string{"iam:AddUserToGroup"}, [3]bool{}, [3]bool{0: true}},
		{"both", []string{"iam:RemoveUserFromGroup"}, []string{"iam:AddUserToGroup"}, [3]bool{1: true}, [3]bool{0: true, 1: true}},
	} {
		t.Run(test.name, func(t *testing.T) {
			r.t = t
			r.fake.DenyActions(test.all...)
			r.fake.DenyRoleActions("Revoker", test.ofRevoker...)
			for _, who := range []struct {
				arn    string
				client *iam.Client
				denied [3]bool
			}{{operator, r.iam, test.operator}, {revoker, session, test.revoker}} {
				decisions := r.decisions(who.arn, actions, []string{"arn:aws:iam::111122223333:group/a", "arn:aws:iam::111122223333:group/b"})
				for i, action := range actions {
					want := map[bool]string{false: "allowed", true: "implicitDeny"}[who.denied[i]]
					for _, group := range []string{"a", "b"} {
						if got := decisions[action+" arn:aws:iam::111122223333:group/"+group]; got != want {
							t.Errorf("%s %s on %s: %q, want %q", who.arn, action, group, got, want)
						}
					}
				}
				for i, op := range []string{"AddUserToGroup", "RemoveUserFromGroup"} {
					_, err := call(t, who.client, op, addAlice)
					if code, status, _ := failure(err); (code == "AccessDenied" && status == 403) != who.denied[i] || (err != nil) != who.denied[i] {
						t.Errorf("%s by %s: %v", op, who.arn, err)
					}
				}
				r.identity(who.client)
			}
		})
	}
	r.fake.DenyActions("iam:AddUserToGroup")
	_, err := call(t, r.iam, "AddUserToGroup", addAlice)
	const want = "User: arn:aws:sts::111122223333:assumed-role/prod-access-operator/fake is not authorized to perform: iam:AddUserToGroup " +
		"on resource: group admins because no identity-based policy allows the iam:AddUserToGroup action"
	if _, _, message := failure(err); message != want {
		t.Errorf("got %q", message)
	}
}

// The simulation wants the ARN of a principal itself, path and all.
func TestSimulatedPrincipals(t *testing.T) {
	r := newRigOf(t, fake.Config{RolePath: "/operators/"})
	r.fake.AddUser(fake.User{Name: "alice", Path: "/people/"})
	r.fake.AddGroup("admins")
	for arn, want := range map[string]string{
		"arn:aws:iam::111122223333:role/operators/prod-access-operator":         "",
		"arn:aws:iam::111122223333:user/people/alice":                           "",
		"arn:aws:iam::111122223333:group/admins":                                "",
		"arn:aws:iam::111122223333:role/prod-access-operator":                   "NoSuchEntity",
		"arn:aws:iam::111122223333:user/alice":                                  "NoSuchEntity",
		"arn:aws:iam::444455556666:group/admins":                                "NoSuchEntity",
		"arn:aws:sts::111122223333:assumed-role/prod-access-operator/fake":      "InvalidInput",
		"arn:aws:iam::111122223333:policy/operators/prod-access-operator-grant": "InvalidInput",
	} {
		_, err := call(t, r.iam, "SimulatePrincipalPolicy", in{"PolicySourceArn": arn, "ActionNames": []string{"iam:GetUser"}})
		if code, _, _ := failure(err); code != want {
			t.Errorf("%s: got %v, want %q", arn, err, want)
		}
	}
	if got := r.decisions("arn:aws:iam::111122223333:user/people/alice", []string{"iam:GetUser"}, nil); got["iam:GetUser *"] != "allowed" {
		t.Errorf("without a resource: %v", got)
	}
}
