// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/smithy-go"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	clocktesting "k8s.io/utils/clock/testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	policies "github.com/hera-platform/prod-access-operator/internal/policy"
)

var start = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// rig is a fake behind a server, with a client of the real SDK.
type rig struct {
	t     *testing.T
	fake  *fake.IAM
	clock *clocktesting.FakeClock
	url   string
	iam   *iam.Client
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOf(t, fake.Config{})
}

// newRigOf is newRig with a fake of that configuration, but for clock and seed.
func newRigOf(t *testing.T, config fake.Config) *rig {
	t.Helper()
	clock := clocktesting.NewFakeClock(start)
	config.Clock, config.Seed = clock, 1
	f := fake.New(config)
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	r := &rig{t: t, fake: f, clock: clock, url: server.URL}
	r.iam = r.as("AKIAOPERATORROLE0000")
	return r
}

// as returns a client that signs with that access key id.
func (r *rig) as(accessKeyID string) *iam.Client {
	return iam.New(iam.Options{
		BaseEndpoint: aws.String(r.url),
		Region:       "us-east-1",
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: accessKeyID, SecretAccessKey: "secret"}, nil
		}),
		HTTPClient: awshttp.NewBuildableClient().WithTimeout(2 * time.Second),
		// The attempts of the default, without its pauses.
		Retryer: retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond }),
	})
}

type in = map[string]any

// call makes the request that op and its input name with the SDK's own method and returns the answer as JSON has it.
func call(t *testing.T, client any, op string, input in) (map[string]any, error) {
	t.Helper()
	method := reflect.ValueOf(client).MethodByName(op)
	if !method.IsValid() {
		t.Fatalf("the SDK has no %s", op)
	}
	request := reflect.New(method.Type().In(1).Elem())
	convert(t, input, request.Interface())
	results := method.Call([]reflect.Value{reflect.ValueOf(t.Context()), request})
	if err, failed := reflect.TypeAssert[error](results[1]); failed {
		return nil, err
	}
	var output map[string]any
	convert(t, results[0].Interface(), &output)
	return output, nil
}

func convert(t *testing.T, from, to any) {
	t.Helper()
	data, err := json.Marshal(from)
	if err == nil {
		decoder := json.NewDecoder(strings.NewReader(string(data)))
		decoder.DisallowUnknownFields()
		err = decoder.Decode(to)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// do is call for what must succeed.
func (r *rig) do(op string, input in) map[string]any {
	r.t.Helper()
	output, err := call(r.t, r.iam, op, input)
	if err != nil {
		r.t.Fatalf("%s %v: %v", op, input, err)
	}
	return output
}

// refuse is call for what must fail with that code and HTTP status.
func (r *rig) refuse(op string, input in, code string, status int) {
	r.t.Helper()
	_, err := call(r.t, r.iam, op, input)
	if gotCode, gotStatus, _ := failure(err); gotCode != code || gotStatus != status {
		r.t.Errorf("%s %v: got %v, want %s %d", op, input, err, code, status)
	}
}

// failure returns the code, HTTP status and message of an error of the SDK, as far as it has them.
func failure(err error) (code string, status int, message string) {
	if apiError, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = apiError.ErrorCode(), apiError.ErrorMessage()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return code, status, message
}

const policy = `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"iam:ListUsers","Resource":"*"}}`

// sized returns a policy of n characters, spread with white space that does not count.
func sized(n int) string {
	shell := `{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"*","Resource":"*","Sid":"%s"}}`
	return strings.ReplaceAll(fmt.Sprintf(shell, strings.Repeat("x", n-len(shell)+2)), ",", ",\n  ")
}

func TestRefusals(t *testing.T) {
	long := strings.Repeat("n", 129)
	for _, test := range []struct {
		op     string
		input  in
		code   string
		status int
	}{
		{"CreateUser", in{"UserName": "alice"}, "EntityAlreadyExists", 409},
		{"CreateUser", in{"UserName": "Alice"}, "EntityAlreadyExists", 409},
		{"CreateUser", in{"UserName": strings.Repeat("n", 65)}, "ValidationError", 400},
		{"CreateUser", in{"UserName": "al ice"}, "ValidationError", 400},
		{"CreateUser", in{"UserName": ""}, "ValidationError", 400},
		{"CreateUser", in{"UserName": "new", "Path": "no-slash"}, "ValidationError", 400},
		{"CreateUser", in{"UserName": "new", "PermissionsBoundary": "arn:aws:iam::aws:policy/None"}, "NoSuchEntity", 404},
		{"CreateGroup", in{"GroupName": "ADMINS"}, "EntityAlreadyExists", 409},
		{"CreateGroup", in{"GroupName": long}, "ValidationError", 400},
		{"GetUser", in{"UserName": "nobody"}, "NoSuchEntity", 404},
		{"GetGroup", in{"GroupName": "none"}, "NoSuchEntity", 404},
		{"UpdateUser", in{"UserName": "alice", "NewUserName": "BOB"}, "EntityAlreadyExists", 409},
		{"UpdateUser", in{"UserName": "nobody", "NewUserName": "x"}, "NoSuchEntity", 404},
		{"AddUserToGroup", in{"UserName": "nobody", "GroupName": "admins"}, "NoSuchEntity", 404},
		{"AddUserToGroup", in{"UserName": "alice", "GroupName": "none"}, "NoSuchEntity", 404},
		{"RemoveUserFromGroup", in{"UserName": "nobody", "GroupName": "admins"}, "NoSuchEntity", 404},
		{"RemoveUserFromGroup", in{"UserName": "alice", "GroupName": "none"}, "NoSuchEntity", 404},
		{"ListUsers", in{"MaxItems": 1001}, "ValidationError", 400},
		{"ListUsers", in{"MaxItems": 0}, "ValidationError", 400},
		{"ListUsers", in{"Marker": "made-up"}, "ValidationError", 400},
		{"TagUser", in{"UserName": "alice", "Tags": []in{{"Key": "a", "Value": "1"}, {"Key": "A", "Value": "2"}}}, "InvalidInput", 400},
		{"TagUser", in{"UserName": "alice", "Tags": []in{{"Key": "a#b", "Value": "1"}}}, "ValidationError", 400},
		{"TagUser", in{"UserName": "alice", "Tags": []in{{"Key": long, "Value": "1"}}}, "ValidationError", 400},
		{"PutUserPolicy", in{"UserName": "alice", "PolicyName": "p", "PolicyDocument": "{"}, "MalformedPolicyDocument", 400},
		{"PutUserPolicy", in{"UserName": "alice", "PolicyName": "p", "PolicyDocument": `{"Version":"2012-10-17"}`}, "MalformedPolicyDocument", 400},
		{"PutUserPolicy", in{"UserName": "alice", "PolicyName": "p", "PolicyDocument": `[]`}, "MalformedPolicyDocument", 400},
		{"PutGroupPolicy", in{"GroupName": "admins", "PolicyName": "p", "PolicyDocument": strings.Replace(policy, "Action", "Act", 1)}, "MalformedPolicyDocument", 400},
		{"PutGroupPolicy", in{"GroupName": "admins", "PolicyName": "p", "PolicyDocument": strings.Replace(policy, "Resource", "Res", 1)}, "MalformedPolicyDocument", 400},
		{"CreatePolicy", in{"PolicyName": "p", "PolicyDocument": strings.Replace(policy, "2012", "2008", 1)}, "MalformedPolicyDocument", 400},
		{"CreatePolicy", in{"PolicyName": "p", "PolicyDocument": sized(6145)}, "LimitExceeded", 409},
		{"DeletePolicy", in{"PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll"}, "AccessDenied", 403},
		{"GetUserPolicy", in{"UserName": "alice", "PolicyName": "p"}, "NoSuchEntity", 404},
		{"DeleteGroupPolicy", in{"GroupName": "admins", "PolicyName": "p"}, "NoSuchEntity", 404},
		{"PutUserPermissionsBoundary", in{"UserName": "alice", "PermissionsBoundary": "arn:aws:iam::aws:policy/None"}, "NoSuchEntity", 404},
		{"DeleteUserPermissionsBoundary", in{"UserName": "alice"}, "NoSuchEntity", 404},
		{"CreateLoginProfile", in{"UserName": "alice", "Password": "short"}, "PasswordPolicyViolation", 400},
		{"UpdateLoginProfile", in{"UserName": "alice", "Password": "Long enough 1"}, "NoSuchEntity", 404},
		{"UpdateAccessKey", in{"UserName": "alice", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Inactive"}, "NoSuchEntity", 404},
		{"UpdateAccessKey", in{"UserName": "alice", "AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Off"}, "ValidationError", 400},
		{"DeleteSSHPublicKey", in{"UserName": "alice", "SSHPublicKeyId": "APKAIOSFODNN7EXAMPLE"}, "NoSuchEntity", 404},
		{"ListVirtualMFADevices", in{"AssignmentStatus": "Some"}, "ValidationError", 400},
		{"GetAccountAuthorizationDetails", in{"Filter": []string{"User", "Users"}}, "ValidationError", 400},
		{"GetAccountAuthorizationDetails", in{"MaxItems": 1001}, "ValidationError", 400},
		{"GetAccountAuthorizationDetails", in{"Marker": "made-up"}, "ValidationError", 400},
		// The caller is a role session, so it cannot mean itself.
		{"GetUser", in{}, "ValidationError", 400},
		{"ListAccessKeys", in{}, "ValidationError", 400},
		{"UpdateAccessKey", in{"AccessKeyId": "AKIAIOSFODNN7EXAMPLE", "Status": "Inactive"}, "ValidationError", 400},
		{"ListMFADevices", in{}, "ValidationError", 400},
		{"CreateLoginProfile", in{"Password": "Long enough 1"}, "ValidationError", 400},
		{"GetRole", in{"RoleName": "nobody"}, "NoSuchEntity", 404},
		{"SimulatePrincipalPolicy", in{"PolicySourceArn": "alice", "ActionNames": []string{"iam:GetUser"}}, "InvalidInput", 400},
		{"ListRoles", in{}, "InvalidAction", 400},
	} {
		t.Run(test.op, func(t *testing.T) {
			r := newRig(t)
			r.fake.AddUser(fake.User{Name: "alice"})
			r.fake.AddUser(fake.User{Name: "bob"})
			r.fake.AddGroup("admins")
			r.refuse(test.op, test.input, test.code, test.status)
			if calls := r.fake.Calls(); calls[0].Code != test.code || calls[0].Changed {
				t.Errorf("logged %+v", calls[0])
			}
		})
	}
}

func TestUsersAndGroups(t *testing.T) {
	r := newRig(t)
	created := r.do("CreateUser", in{"UserName": "Alice", "Tags": []in{{"Key": "Team", "Value": "infra"}}})["User"].(map[string]any)
	if id := created["UserId"].(string); len(id) != 21 || !strings.HasPrefix(id, "AIDA") {
		t.Errorf("user id %q", id)
	}
	group := r.do("CreateGroup", in{"GroupName": "Admins"})["Group"].(map[string]any)
	if id := group["GroupId"].(string); len(id) != 21 || !strings.HasPrefix(id, "AGPA") {
		t.Errorf("group id %q", id)
	}
	// Names are found in any case and answered as stored.
	r.do("AddUserToGroup", in{"UserName": "aLICE", "GroupName": "aDMINS"})
	r.do("AddUserToGroup", in{"UserName": "Alice", "GroupName": "Admins"})
	if got := r.do("GetUser", in{"UserName": "ALICE"})["User"].(map[string]any); got["UserName"] != "Alice" || len(got["Tags"].([]any)) != 1 {
		t.Errorf("got %v", got)
	}
	if listed := r.do("ListUsers", in{})["Users"].([]any)[0].(map[string]any); listed["Tags"] != nil {
		t.Errorf("ListUsers shows tags: %v", listed)
	}
	if calls := r.fake.Calls(); !calls[2].Changed || calls[3].Changed {
		t.Errorf("the first of two additions changes state, the second does not: %+v", calls[2:4])
	}
	// A renamed user keeps its memberships, a re-created one does not.
	r.do("UpdateUser", in{"UserName": "alice", "NewUserName": "alicia"})
	if got := r.fake.Members("admins"); !slices.Equal(got, []string{"alicia"}) || r.fake.UserID("alicia") != created["UserId"] {
		t.Errorf("after rename: members %v", got)
	}
	if id := r.fake.RecreateUser("alicia"); id == created["UserId"] || r.fake.IsMember("admins", "alicia") {
		t.Errorf("after re-creation: id %s, member %v", id, r.fake.IsMember("admins", "alicia"))
	}
	// Removing a non-member is fine.
	r.do("RemoveUserFromGroup", in{"UserName": "alicia", "GroupName": "admins"})
	if calls := r.fake.Calls(); calls[len(calls)-1].Changed {
		t.Error("removing a non-member counts as a change")
	}
	r.do("TagUser", in{"UserName": "alicia", "Tags": []in{{"Key": "team", "Value": "a"}}})
	r.do("TagUser", in{"UserName": "alicia", "Tags": []in{{"Key": "TEAM", "Value": "b"}}})
	if tags := r.do("ListUserTags", in{"UserName": "alicia"})["Tags"].([]any); len(tags) != 1 || tags[0].(map[string]any)["Value"] != "b" {
		t.Errorf("tags %v", tags)
	}
	r.do("UpdateGroup", in{"GroupName": "admins", "NewGroupName": "managers", "NewPath": "/hera/"})
	r.do("DeleteGroup", in{"GroupName": "managers"})
	r.do("DeleteUser", in{"UserName": "alicia"})
}

// TestWire looks at answers as they are on the wire.
func TestWire(t *testing.T) {
	r := newRig(t)
	post := func(form, authorization string) (int, http.Header, string) {
		request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, r.url, strings.NewReader(form))
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		request.Header.Set("Authorization", authorization)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		if err := errors.Join(err, response.Body.Close()); err != nil {
			t.Fatal(err)
		}
		return response.StatusCode, response.Header, string(body)
	}
	const signed = "AWS4-HMAC-SHA256 Credential=AKIA/20260302/us-east-1/iam/aws4_request"
	_, header, body := post("Action=ListGroups&Version=2010-05-08", signed)
	id := r.fake.Calls()[0].RequestID
	want := `<ListGroupsResponse xmlns="https://iam.amazonaws.com/doc/2010-05-08/"><ListGroupsResult><Groups></Groups>` +
		`<IsTruncated>false</IsTruncated></ListGroupsResult><ResponseMetadata><RequestId>` + id +
		`</RequestId></ResponseMetadata></ListGroupsResponse>`
	if body != want {
		t.Errorf("got %s", body)
	}
	if got := header.Get("Date"); got != "Mon, 02 Mar 2026 09:00:00 GMT" {
		t.Errorf("Date %q", got)
	}
	if got := header.Get("X-Amzn-RequestId"); got != id {
		t.Errorf("request id %q, logged %q", got, id)
	}
	r.fake.Inject("GetAccountSummary", fake.InternalFailure)
	for _, test := range []struct {
		form, authorization string
		status              int
		kind, code          string
	}{
		{"Action=ListGroups&Version=2010-05-08", "", 403, "Sender", "MissingAuthenticationToken"},
		{"Action=ListGroups&Version=2011-06-15", signed, 400, "Sender", "InvalidAction"},
		{"Action=GetCallerIdentity&Version=2010-05-08", signed, 400, "Sender", "InvalidAction"},
		{"", signed, 400, "Sender", "InvalidAction"},
		{"Action=GetAccountSummary&Version=2010-05-08", signed, 500, "Receiver", "InternalFailure"},
	} {
		status, _, body := post(test.form, test.authorization)
		want := fmt.Sprintf("<Error><Type>%s</Type><Code>%s</Code>", test.kind, test.code)
		if status != test.status || !strings.Contains(body, want) {
			t.Errorf("%s: %d %s", test.form, status, body)
		}
	}
	_, _, body = post("Action=GetCallerIdentity&Version=2011-06-15", signed)
	if !strings.Contains(body, "<Arn>arn:aws:sts::111122223333:assumed-role/prod-access-operator/fake</Arn>") {
		t.Errorf("got %s", body)
	}
}

func TestPaging(t *testing.T) {
	r := newRig(t)
	var want []string
	for i := range 25 {
		name := fmt.Sprintf("user-%02d", i)
		r.fake.AddUser(fake.User{Name: name})
		want = append(want, name)
	}
	r.fake.AddGroup("all", want...)
	for _, test := range []struct {
		name      string
		maxItems  int32
		pageLimit int
		pages     int
	}{
		{"default", 0, 0, 1},
		{"as asked", 10, 0, 3},
		{"fewer than asked", 10, 4, 7},
		{"exact", 5, 0, 5},
	} {
		t.Run(test.name, func(t *testing.T) {
			r.fake.SetPageLimit(test.pageLimit)
			input := &iam.GetGroupInput{GroupName: aws.String("all")}
			if test.maxItems > 0 {
				input.MaxItems = aws.Int32(test.maxItems)
			}
			var got []string
			pages := 0
			for p := iam.NewGetGroupPaginator(r.iam, input); p.HasMorePages(); pages++ {
				page, err := p.NextPage(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range page.Users {
					got = append(got, *u.UserName)
				}
			}
			if !slices.Equal(got, want) || pages != test.pages {
				t.Errorf("%d pages, users %v", pages, got)
			}
		})
	}
	// A user who goes while another pages through hides nobody else, and markers do not fit other operations.
	r.fake.SetPageLimit(0)
	first := r.do("ListUsers", in{"MaxItems": 10})
	r.fake.RemoveUser("user-03")
	second := r.do("ListUsers", in{"Marker": first["Marker"]})
	if users := second["Users"].([]any); len(users) != 15 || users[0].(map[string]any)["UserName"] != "user-10" {
		t.Errorf("second page %v", users)
	}
	r.refuse("ListGroups", in{"Marker": first["Marker"]}, "ValidationError", 400)
}

func TestEveryListPages(t *testing.T) {
	r := newRig(t)
	arn := func(i int) string { return fmt.Sprintf("arn:aws:iam::111122223333:policy/p%d", i) }
	for _, name := range []string{"alice", "bob", "carol"} {
		r.fake.AddUser(fake.User{Name: name, Tags: map[string]string{"a": "1", "b": "2", "c": "3"}, MFA: true})
	}
	r.fake.AddMFA("alice")
	for i := range 3 {
		r.do("CreatePolicy", in{"PolicyName": fmt.Sprintf("p%d", i), "PolicyDocument": policy})
		r.fake.AddGroup(fmt.Sprintf("g%d", i), "alice")
		for _, kind := range []fake.Leftover{fake.SigningCertificate, fake.SSHPublicKey, fake.ServiceSpecificCredential} {
			r.fake.AddLeftover("alice", kind)
		}
		r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": fmt.Sprintf("p%d", i), "PolicyDocument": policy})
		r.do("PutGroupPolicy", in{"GroupName": "g0", "PolicyName": fmt.Sprintf("p%d", i), "PolicyDocument": policy})
		r.do("AttachUserPolicy", in{"UserName": "alice", "PolicyArn": arn(i)})
		r.do("AttachGroupPolicy", in{"GroupName": "g0", "PolicyArn": arn(i)})
	}
	r.do("CreateAccessKey", in{"UserName": "alice"})
	r.do("CreateAccessKey", in{"UserName": "alice"})
	user, group := in{"UserName": "alice"}, in{"GroupName": "g0"}
	for _, test := range []struct {
		op, list string
		input    in
		want     int
	}{
		{"ListUsers", "Users", nil, 3}, {"ListGroups", "Groups", nil, 3}, {"ListGroupsForUser", "Groups", user, 3},
		{"ListUserTags", "Tags", user, 3}, {"ListUserPolicies", "PolicyNames", user, 3},
		{"ListGroupPolicies", "PolicyNames", group, 3}, {"ListAttachedUserPolicies", "AttachedPolicies", user, 3},
		{"ListAttachedGroupPolicies", "AttachedPolicies", group, 3}, {"ListPolicies", "Policies", nil, 8},
		{"ListMFADevices", "MFADevices", user, 2}, {"ListVirtualMFADevices", "VirtualMFADevices", nil, 4},
		{"ListAccessKeys", "AccessKeyMetadata", user, 2}, {"ListSigningCertificates", "Certificates", user, 3},
		{"ListSSHPublicKeys", "SSHPublicKeys", user, 3},
		{"ListServiceSpecificCredentials", "ServiceSpecificCredentials", user, 3},
	} {
		t.Run(test.op, func(t *testing.T) {
			input, seen := in{"MaxItems": 1}, map[string]bool{}
			maps.Copy(input, test.input)
			for {
				output := r.do(test.op, input)
				for _, item := range output[test.list].([]any) {
					seen[fmt.Sprint(item)] = true
				}
				if output["IsTruncated"] != true {
					break
				}
				input["Marker"] = output["Marker"]
			}
			if len(seen) != test.want {
				t.Errorf("saw %d items, want %d: %v", len(seen), test.want, seen)
			}
		})
	}
	if local := r.do("ListPolicies", in{"Scope": "Local", "OnlyAttached": true})["Policies"].([]any); len(local) != 3 {
		t.Errorf("local attached policies: %v", local)
	}
}

func TestQuotas(t *testing.T) {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice"})
	r.fake.AddGroup("g")
	for i := range 10 {
		r.fake.AddGroup(fmt.Sprintf("g%d", i), "alice")
	}
	r.refuse("AddUserToGroup", in{"UserName": "alice", "GroupName": "g"}, "LimitExceeded", 409)
	r.do("AddUserToGroup", in{"UserName": "alice", "GroupName": "g9"})
	for range 2 {
		r.do("CreateAccessKey", in{"UserName": "alice"})
	}
	r.refuse("CreateAccessKey", in{"UserName": "alice"}, "LimitExceeded", 409)
	for range 8 {
		r.fake.AddMFA("alice")
	}
	ninth := r.do("CreateVirtualMFADevice", in{"VirtualMFADeviceName": "ninth"})["VirtualMFADevice"].(map[string]any)
	r.refuse("EnableMFADevice", in{
		"UserName": "alice", "SerialNumber": ninth["SerialNumber"], "AuthenticationCode1": "123456", "AuthenticationCode2": "654321",
	}, "LimitExceeded", 409)
	var tags []in
	for i := range 50 {
		tags = append(tags, in{"Key": fmt.Sprintf("k%d", i), "Value": "v"})
	}
	r.do("TagUser", in{"UserName": "alice", "Tags": tags})
	r.refuse("TagUser", in{"UserName": "alice", "Tags": []in{{"Key": "one-more", "Value": "v"}}}, "LimitExceeded", 409)
	r.do("TagUser", in{"UserName": "alice", "Tags": []in{{"Key": "K1", "Value": "replaced"}}})
	for _, kind := range []struct {
		put, attach, name string
		owner             in
		limit             int
	}{
		{"PutUserPolicy", "AttachUserPolicy", "UserName", in{"UserName": "alice"}, 2048},
		{"PutGroupPolicy", "AttachGroupPolicy", "GroupName", in{"GroupName": "g"}, 5120},
	} {
		with := func(more in) in {
			maps.Copy(more, kind.owner)
			return more
		}
		r.do(kind.put, with(in{"PolicyName": "a", "PolicyDocument": sized(kind.limit - 200)}))
		r.do(kind.put, with(in{"PolicyName": "b", "PolicyDocument": sized(200)}))
		r.refuse(kind.put, with(in{"PolicyName": "b", "PolicyDocument": sized(201)}), "LimitExceeded", 409)
		for i := range 11 {
			name := fmt.Sprintf("%s%d", kind.name, i)
			arn := r.do("CreatePolicy", in{"PolicyName": name, "PolicyDocument": policy})["Policy"].(map[string]any)["Arn"]
			if i < 10 {
				r.do(kind.attach, with(in{"PolicyArn": arn}))
			} else {
				r.refuse(kind.attach, with(in{"PolicyArn": arn}), "LimitExceeded", 409)
			}
		}
	}
}

func TestAccountQuotas(t *testing.T) {
	f := fake.New(fake.Config{})
	for i := range 5000 {
		f.AddUser(fake.User{Name: fmt.Sprintf("u%d", i)})
	}
	for i := range 300 {
		f.AddGroup(fmt.Sprintf("g%d", i))
	}
	for op, name := range map[string]string{"CreateUser": "UserName", "CreateGroup": "GroupName"} {
		if err := f.Admin(op, map[string]string{name: "one-more"}); err == nil || !strings.HasPrefix(err.Error(), "LimitExceeded") {
			t.Errorf("%s: %v", op, err)
		}
	}
}

// TestDeleteUser has each of the nine kinds of leftovers alone in the way, in the order of the AWS user guide.
func TestDeleteUser(t *testing.T) {
	const arn = "arn:aws:iam::aws:policy/AWSDenyAll"
	for _, test := range []struct {
		remove, parameter string
		add               func(*rig) any // returns the value of the parameter
	}{
		{"DeleteLoginProfile", "", func(r *rig) any {
			return r.do("CreateLoginProfile", in{"UserName": "alice", "Password": "Correct-horse-1"})
		}},
		{"DeleteAccessKey", "AccessKeyId", func(r *rig) any { return r.fake.AddAccessKey("alice", start) }},
		{"DeleteSigningCertificate", "CertificateId", func(r *rig) any {
			return r.fake.AddLeftover("alice", fake.SigningCertificate)
		}},
		{"DeleteSSHPublicKey", "SSHPublicKeyId", func(r *rig) any { return r.fake.AddLeftover("alice", fake.SSHPublicKey) }},
		{"DeleteServiceSpecificCredential", "ServiceSpecificCredentialId", func(r *rig) any {
			return r.fake.AddLeftover("alice", fake.ServiceSpecificCredential)
		}},
		{"DeactivateMFADevice", "SerialNumber", func(r *rig) any { return r.fake.AddMFA("alice") }},
		{"DeleteUserPolicy", "PolicyName", func(r *rig) any {
			r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": "p", "PolicyDocument": policy})
			return "p"
		}},
		{"DetachUserPolicy", "PolicyArn", func(r *rig) any {
			r.do("AttachUserPolicy", in{"UserName": "alice", "PolicyArn": arn})
			return arn
		}},
		{"RemoveUserFromGroup", "GroupName", func(r *rig) any { r.fake.AddGroup("g", "alice"); return "g" }},
	} {
		t.Run(test.remove, func(t *testing.T) {
			r := newRig(t)
			// Neither tags nor a boundary are in the way.
			r.fake.AddUser(fake.User{Name: "alice", Tags: map[string]string{"a": "b"}})
			r.do("PutUserPermissionsBoundary", in{"UserName": "alice", "PermissionsBoundary": arn})
			remove := in{"UserName": "alice"}
			if value := test.add(r); test.parameter != "" {
				remove[test.parameter] = value
			}
			r.refuse("DeleteUser", in{"UserName": "alice"}, "DeleteConflict", 409)
			r.do(test.remove, remove)
			r.do("DeleteUser", in{"UserName": "alice"})
			r.refuse("GetUser", in{"UserName": "alice"}, "NoSuchEntity", 404)
		})
	}
}

func TestDeleteGroup(t *testing.T) {
	r := newRig(t)
	g := in{"GroupName": "g"}
	r.fake.AddUser(fake.User{Name: "alice"})
	r.fake.AddGroup("g", "alice")
	r.do("PutGroupPolicy", in{"GroupName": "g", "PolicyName": "p", "PolicyDocument": policy})
	r.do("AttachGroupPolicy", in{"GroupName": "g", "PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll"})
	r.refuse("DeleteGroup", g, "DeleteConflict", 409)
	r.fake.RemoveMember("g", "alice")
	r.refuse("DeleteGroup", g, "DeleteConflict", 409)
	r.do("DetachGroupPolicy", in{"GroupName": "g", "PolicyArn": "arn:aws:iam::aws:policy/AWSDenyAll"})
	r.refuse("DeleteGroup", g, "DeleteConflict", 409)
	r.do("DeleteGroupPolicy", in{"GroupName": "g", "PolicyName": "p"})
	r.do("DeleteGroup", g)
}

func TestPolicies(t *testing.T) {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice"})
	document := strings.Replace(policy, `"*"`, `"arn:aws:s3:::a b+c/${aws:username}"`, 1)
	r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": "p", "PolicyDocument": document})
	got := r.do("GetUserPolicy", in{"UserName": "alice", "PolicyName": "p"})["PolicyDocument"].(string)
	if strings.ContainsAny(got, ` +{"`) || !strings.Contains(got, "%20") || !strings.Contains(got, "%2B") {
		t.Errorf("not percent-encoded: %s", got)
	}
	arn := r.do("CreatePolicy", in{"PolicyName": "P", "Path": "/fence/", "PolicyDocument": policy})["Policy"].(map[string]any)["Arn"]
	r.refuse("CreatePolicy", in{"PolicyName": "p", "PolicyDocument": policy}, "EntityAlreadyExists", 409)
	r.do("PutUserPermissionsBoundary", in{"UserName": "alice", "PermissionsBoundary": arn})
	r.refuse("DeletePolicy", in{"PolicyArn": arn}, "DeleteConflict", 409)
	user := r.do("GetUser", in{"UserName": "alice"})["User"].(map[string]any)
	if boundary, _ := user["PermissionsBoundary"].(map[string]any); boundary["PermissionsBoundaryArn"] != arn {
		t.Errorf("boundary %v", user["PermissionsBoundary"])
	}
	if listed := r.do("ListUsers", in{})["Users"].([]any)[0].(map[string]any); listed["PermissionsBoundary"] != nil {
		t.Errorf("ListUsers shows the boundary")
	}
	r.do("DeleteUserPermissionsBoundary", in{"UserName": "alice"})
	r.do("DeletePolicy", in{"PolicyArn": arn})
}

// What an administrator is told to do for the role can be done.
func TestPoliciesOfSecurityEngineer(t *testing.T) {
	r := newRig(t)
	r.fake.AddGroup("auditors")
	spec := &v1alpha1.AccessRoleSpec{AWS: &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"auditors"}, AllowedSourceCIDRs: []v1alpha1.CIDR{"203.0.113.0/24"}}}
	rendered, err := policies.RenderRole("security-engineer", spec, policies.Account{Partition: "aws", ID: "111122223333"})
	if err != nil {
		t.Fatal(err)
	}
	r.do("PutGroupPolicy", in{"GroupName": "auditors", "PolicyName": rendered.Guard.Name, "PolicyDocument": string(rendered.Guard.Document)})
	made := r.do("CreatePolicy", in{"Path": rendered.Policy.Path, "PolicyName": rendered.Policy.Name, "PolicyDocument": string(rendered.Policy.Document)})
	for _, arn := range append(rendered.Attach, at(made, "Policy.Arn").(string)) {
		r.do("AttachGroupPolicy", in{"GroupName": "auditors", "PolicyArn": arn})
	}
	attached := r.do("ListAttachedGroupPolicies", in{"GroupName": "auditors"})
	names := []any{at(attached, "AttachedPolicies.0.PolicyName"), at(attached, "AttachedPolicies.1.PolicyName")}
	if !slices.Contains(names, any("SecurityAudit")) || !slices.Contains(names, any("prod-access-security-engineer")) {
		t.Errorf("attached %v", attached)
	}
}

// TestTOTP holds to the SHA-1 vectors of RFC 6238, appendix B, of which six digits are used.
func TestTOTP(t *testing.T) {
	for seconds, want := range map[int64]string{59: "287082", 1111111109: "081804", 1234567890: "005924", 20000000000: "353130"} {
		if got, err := fake.TOTP("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ", time.Unix(seconds, 0)); err != nil || got != want {
			t.Errorf("at %d: %s, %v, want %s", seconds, got, err, want)
		}
	}
	if _, err := fake.TOTP("not base32!", start); err == nil {
		t.Error("a seed that is not base32 was accepted")
	}
}

func TestEnableMFADevice(t *testing.T) {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice"})
	made, err := r.iam.CreateVirtualMFADevice(t.Context(), &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("phone")})
	if err != nil {
		t.Fatal(err)
	}
	code := func(after time.Duration) string {
		code, err := fake.TOTP(string(made.VirtualMFADevice.Base32StringSeed), start.Add(after))
		if err != nil {
			t.Fatal(err)
		}
		return code
	}
	enable := func(code1, code2 string) in {
		return in{
			"UserName": "alice", "SerialNumber": *made.VirtualMFADevice.SerialNumber,
			"AuthenticationCode1": code1, "AuthenticationCode2": code2,
		}
	}
	for _, codes := range [][2]string{
		{"000000", "000001"},
		{code(0), code(0)},
		{code(30 * time.Second), code(0)},
		{code(0), code(time.Minute)},
		{code(-time.Hour), code(30*time.Second - time.Hour)},
	} {
		r.refuse("EnableMFADevice", enable(codes[0], codes[1]), "InvalidAuthenticationCode", 403)
	}
	r.refuse("EnableMFADevice", enable("12345", "123456"), "ValidationError", 400)
	deactivate := in{"UserName": "alice", "SerialNumber": *made.VirtualMFADevice.SerialNumber}
	for _, first := range []time.Duration{-time.Minute, -30 * time.Second, 0, 30 * time.Second} {
		r.do("EnableMFADevice", enable(code(first), code(first+30*time.Second)))
		r.refuse("DeleteVirtualMFADevice", in{"SerialNumber": deactivate["SerialNumber"]}, "DeleteConflict", 409)
		r.do("DeactivateMFADevice", deactivate)
		r.refuse("DeactivateMFADevice", deactivate, "NoSuchEntity", 404)
	}
	r.clock.Step(30 * time.Second)
	r.do("EnableMFADevice", enable(code(0), code(30*time.Second)))
	if devices := r.do("ListMFADevices", in{"UserName": "alice"})["MFADevices"].([]any); len(devices) != 1 {
		t.Errorf("devices %v", devices)
	}
	r.fake.RemoveMFA("alice")
	if devices := r.do("ListMFADevices", in{"UserName": "alice"})["MFADevices"].([]any); len(devices) != 0 {
		t.Errorf("devices after removal %v", devices)
	}
	for _, call := range r.fake.Calls() {
		if call.Params.Has("AuthenticationCode1") {
			t.Error("codes are logged")
		}
	}
}

func TestCallers(t *testing.T) {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice"})
	id := r.fake.AddAccessKey("alice", start.Add(-90*24*time.Hour))
	alice := r.as(id)
	user, err := alice.GetUser(t.Context(), &iam.GetUserInput{})
	if err != nil || *user.User.UserName != "alice" {
		t.Fatalf("a user's key means that user: %v", err)
	}
	keys, err := r.iam.ListAccessKeys(t.Context(), &iam.ListAccessKeysInput{UserName: aws.String("alice")})
	if err != nil || !keys.AccessKeyMetadata[0].CreateDate.Equal(start.Add(-90*24*time.Hour)) {
		t.Errorf("keys %v, %v", keys, err)
	}
	used := r.do("GetAccessKeyLastUsed", in{"AccessKeyId": id})["AccessKeyLastUsed"].(map[string]any)
	if used["LastUsedDate"] != start.Format(time.RFC3339) || used["ServiceName"] != "iam" {
		t.Errorf("last used %v", used)
	}
	r.fake.UseAccessKey(id, start.Add(-time.Hour), "s3")
	used = r.do("GetAccessKeyLastUsed", in{"AccessKeyId": id})["AccessKeyLastUsed"].(map[string]any)
	if used["ServiceName"] != "s3" {
		t.Errorf("last used %v", used)
	}
	r.fake.UsePassword("alice", start)
	if got := r.do("GetUser", in{"UserName": "alice"})["User"].(map[string]any); got["PasswordLastUsed"] == nil {
		t.Errorf("no PasswordLastUsed: %v", got)
	}
	r.do("UpdateAccessKey", in{"UserName": "alice", "AccessKeyId": id, "Status": "Inactive"})
	_, err = alice.GetUser(t.Context(), &iam.GetUserInput{})
	if code, status, _ := failure(err); code != "InvalidClientTokenId" || status != 403 {
		t.Errorf("an inactive key: %v", err)
	}
	r.do("DeleteAccessKey", in{"UserName": "alice", "AccessKeyId": id})
	_, err = alice.GetUser(t.Context(), &iam.GetUserInput{})
	if code, status, _ := failure(err); code != "InvalidClientTokenId" || status != 403 {
		t.Errorf("a deleted key: %v", err)
	}
	r.fake.DenyCredentials("AKIAOPERATORROLE0000")
	r.refuse("ListUsers", in{}, "InvalidClientTokenId", 403)
	r.fake.DenyCredentials()
	r.do("ListUsers", in{})
}

func TestAccount(t *testing.T) {
	f := fake.New(fake.Config{AccountAlias: "hera-prod"})
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	r := &rig{t: t, fake: f, url: server.URL}
	r.iam = r.as("AKIAOPERATORROLE0000")
	if got := r.do("ListAccountAliases", in{})["AccountAliases"].([]any); !slices.Equal(got, []any{"hera-prod"}) {
		t.Errorf("aliases %v", got)
	}
	f.AddUser(fake.User{Name: "alice", MFA: true})
	summary := r.do("GetAccountSummary", in{})["SummaryMap"].(map[string]any)
	if summary["Users"] != 1.0 || summary["MFADevicesInUse"] != 1.0 || summary["GroupsPerUserQuota"] != 10.0 || summary["Policies"] != 0.0 {
		t.Errorf("summary %v", summary)
	}
}

func TestLoad(t *testing.T) {
	for _, test := range []struct {
		name string
		seed fake.Seed
		want string
	}{
		{"twice", fake.Seed{Users: []fake.User{{Name: "a"}, {Name: "A"}}}, "EntityAlreadyExists"},
		{"stranger", fake.Seed{Groups: []fake.Group{{Name: "g", Members: []string{"nobody"}}}}, "NoSuchEntity"},
		{"name", fake.Seed{Groups: []fake.Group{{Name: "g g"}}}, "ValidationError"},
		{"policy", fake.Seed{Groups: []fake.Group{{Name: "g", Policies: map[string]string{"p": "{}"}}}}, "MalformedPolicyDocument"},
		{"boundary", fake.Seed{Users: []fake.User{{Name: "a", Boundary: "arn:aws:iam::444455556666:policy/b"}}}, "NoSuchEntity"},
	} {
		t.Run(test.name, func(t *testing.T) {
			if err := fake.New(fake.Config{}).Load(test.seed); err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %s", err, test.want)
			}
		})
	}
	defer func() {
		if recover() == nil {
			t.Error("a helper with a wrong name did not panic")
		}
	}()
	fake.New(fake.Config{}).RemoveUser("nobody")
}

func TestSeed(t *testing.T) {
	r := newRig(t)
	const boundary = "arn:aws:iam::111122223333:policy/access/boundary"
	err := r.fake.Load(fake.Seed{
		Users: []fake.User{
			{Name: "alice", Boundary: boundary, PasswordAge: &metav1.Duration{Duration: time.Hour}, KeyAge: &metav1.Duration{Duration: 2 * time.Hour}},
			{Name: "bob", Boundary: boundary},
			{Name: "carol", Boundary: "arn:aws:iam::aws:policy/AWSDenyAll"},
		},
		Groups: []fake.Group{{Name: "admins", Policies: map[string]string{"guard": policy}}},
	})
	if err != nil {
		t.Fatal(err)
	}
	got := func(name string) *types.User {
		out, err := r.iam.GetUser(t.Context(), &iam.GetUserInput{UserName: &name})
		if err != nil {
			t.Fatal(err)
		}
		return out.User
	}
	if *got("alice").PermissionsBoundary.PermissionsBoundaryArn != boundary || *got("bob").PermissionsBoundary.PermissionsBoundaryArn != boundary ||
		*got("carol").PermissionsBoundary.PermissionsBoundaryArn != "arn:aws:iam::aws:policy/AWSDenyAll" {
		t.Error("the boundaries are not as asked for")
	}
	r.fake.SetBoundary("bob", "")
	if got("bob").PermissionsBoundary != nil {
		t.Error("bob's boundary did not go")
	}
	profile := r.do("GetLoginProfile", in{"UserName": "alice"})
	keys := r.do("ListAccessKeys", in{"UserName": "alice"})
	if at(profile, "LoginProfile.CreateDate") != start.Add(-time.Hour).Format(time.RFC3339) ||
		at(keys, "AccessKeyMetadata.0.CreateDate") != start.Add(-2*time.Hour).Format(time.RFC3339) {
		t.Errorf("credentials made at %v, %v", profile, keys)
	}
	r.fake.PutGroupPolicy("admins", "role", policy)
	if names := r.do("ListGroupPolicies", in{"GroupName": "admins"})["PolicyNames"]; !reflect.DeepEqual(names, []any{"guard", "role"}) {
		t.Errorf("group policies %v", names)
	}
	r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": "fence", "PolicyDocument": policy})
	if got := r.fake.UserPolicies("alice"); !maps.Equal(got, map[string]string{"fence": policy}) {
		t.Errorf("alice's policies %v", got)
	}
	r.fake.Quarantine("alice")
	if got := r.do("ListAttachedUserPolicies", in{"UserName": "alice"}); at(got, "AttachedPolicies.0.PolicyName") != "AWSCompromisedKeyQuarantineV3" {
		t.Errorf("attached %v", got)
	}
}
