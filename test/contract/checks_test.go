// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package contract

import (
	"encoding/csv"
	"fmt"
	"net/url"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

const document = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"arn:aws:s3:::a b+c/${aws:username}"}]}`

// sized returns a document of n characters, spread with white space that does not count.
func sized(n int) string {
	shell := `{"Version":"2012-10-17","Statement":{"Effect":"Deny","Action":"*","Resource":"*","Sid":"%s"}}`
	return strings.ReplaceAll(fmt.Sprintf(shell, strings.Repeat("x", n-len(shell)+2)), ",", ",\n  ")
}

func checks() []check {
	var all []check
	for _, group := range [][]check{users(), memberships(), accounts(), credentialChecks(), userPolicies(), groupPolicies(), reports(), roles(), temporaryUsers()} {
		all = append(all, group...)
	}
	return all
}

// The functions after this set the stage.

func (a *account) user(name string) types.User {
	return *must(a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: &name})).User
}

func (a *account) group(name string, members ...string) {
	done(a.iam.CreateGroup(a.ctx, &iam.CreateGroupInput{GroupName: &name}))
	for _, member := range members {
		a.join(member, name)
	}
}

func (a *account) join(user, group string) {
	done(a.iam.AddUserToGroup(a.ctx, &iam.AddUserToGroupInput{UserName: &user, GroupName: &group}))
}

func (a *account) members(group string) []string {
	var names []string
	for _, u := range must(a.iam.GetGroup(a.ctx, &iam.GetGroupInput{GroupName: &group})).Users {
		names = append(names, str(u.UserName))
	}
	return names
}

func (a *account) userPolicy(user, name, text string) {
	done(a.iam.PutUserPolicy(a.ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &text}))
}

func (a *account) groupPolicy(group, name, text string) {
	done(a.iam.PutGroupPolicy(a.ctx, &iam.PutGroupPolicyInput{GroupName: &group, PolicyName: &name, PolicyDocument: &text}))
}

func (a *account) policy(name string) string {
	return *must(a.iam.CreatePolicy(a.ctx, &iam.CreatePolicyInput{PolicyName: &name, PolicyDocument: aws.String(sized(200))})).Policy.Arn
}

// bounded makes a user with a permissions boundary and returns the ARN of that.
func (a *account) bounded(name string) string {
	arn := a.policy("boundary")
	done(a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: &name, PermissionsBoundary: &arn}))
	return arn
}

func (a *account) key(user string) string {
	return *must(a.iam.CreateAccessKey(a.ctx, &iam.CreateAccessKeyInput{UserName: &user})).AccessKey.AccessKeyId
}

func (a *account) password(user string) {
	done(a.iam.CreateLoginProfile(a.ctx, &iam.CreateLoginProfileInput{UserName: &user, Password: aws.String("Correct-horse-1")}))
}

// device enables an MFA device of that name for the user and returns its serial number.
func (a *account) device(user, name string) string {
	made := must(a.iam.CreateVirtualMFADevice(a.ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: &name})).VirtualMFADevice
	codes := make([]string, 2)
	for i := range codes {
		codes[i] = must(fake.TOTP(string(made.Base32StringSeed), a.now.Add(time.Duration(i)*30*time.Second)))
	}
	done(a.iam.EnableMFADevice(a.ctx, &iam.EnableMFADeviceInput{
		UserName: &user, SerialNumber: made.SerialNumber, AuthenticationCode1: &codes[0], AuthenticationCode2: &codes[1],
	}))
	return *made.SerialNumber
}

func (a *account) role(name, path string) types.Role {
	return *must(a.iam.CreateRole(a.ctx, &iam.CreateRoleInput{RoleName: &name, Path: &path, AssumeRolePolicyDocument: aws.String(
		`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"*"},"Action":"sts:AssumeRole"}]}`)})).Role
}

// decoded returns a policy document as it was put.
func decoded(text *string) string { return must(url.QueryUnescape(str(text))) }

// encoded notes a document that is not written as AWS writes it.
func (a *account) encoded(text *string) {
	if strings.ContainsAny(str(text), ` +{"`) || !strings.Contains(str(text), "%20") {
		a.errorf("the document is not percent-encoded (RFC 3986): %.60s", str(text))
	}
}

// The checks. Each begins with an empty account.

func users() []check {
	get := func(a *account, name string) types.User {
		return *must(a.iam.GetUser(a.ctx, &iam.GetUserInput{UserName: &name})).User
	}
	return []check{
		{"CreateUser", "gives an id of AIDA and 21 characters in all", documented, func(a *account) {
			a.matches("the id", str(a.user("alice").UserId), "AIDA[A-Z2-7]{17}")
		}},
		{"CreateUser", "refuses a name that is taken", recorded, func(a *account) {
			a.user("alice")
			_, err := a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: aws.String("alice")})
			a.refused(err, "EntityAlreadyExists", 409)
		}},
		{"CreateUser", "refuses a name that is taken in another case", documented, func(a *account) {
			a.user("alice")
			_, err := a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: aws.String("Alice")})
			a.refused(err, "EntityAlreadyExists", 409)
		}},
		{"CreateUser", "refuses a name of 65 characters", documented, func(a *account) {
			_, err := a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: aws.String(strings.Repeat("n", 65))})
			a.refused(err, "ValidationError", 400)
		}},
		{"UpdateUser", "keeps the id and the memberships of a user who gets another name", recorded, func(a *account) {
			id := str(a.user("alice").UserId)
			a.group("admins", "alice")
			done(a.iam.UpdateUser(a.ctx, &iam.UpdateUserInput{UserName: aws.String("alice"), NewUserName: aws.String("alicia")}))
			equal(a, "the id", str(get(a, "alicia").UserId), id)
			a.names("the members", a.members("admins"), "alicia")
		}},
		{"DeleteUser", "refuses while the user is in a group", documented, func(a *account) {
			a.user("alice")
			a.group("admins", "alice")
			_, err := a.iam.DeleteUser(a.ctx, &iam.DeleteUserInput{UserName: aws.String("alice")})
			a.refused(err, "DeleteConflict", 409)
		}},
		{"DeleteUser", "refuses while the user has an inline policy", recorded, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			_, err := a.iam.DeleteUser(a.ctx, &iam.DeleteUserInput{UserName: aws.String("alice")})
			a.refused(err, "DeleteConflict", 409)
		}},
		{"DeleteUser", "makes room for another user of the name, with another id", documented, func(a *account) {
			first := a.user("alice")
			done(a.iam.DeleteUser(a.ctx, &iam.DeleteUserInput{UserName: aws.String("alice")}))
			if second := a.user("alice"); str(second.UserId) == str(first.UserId) {
				a.errorf("both have the id %s", str(first.UserId))
			}
		}},
		{"GetUser", "shows name, id, path, ARN and time", recorded, func(a *account) {
			made := *must(a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: aws.String("alice"), Path: aws.String("/people/")})).User
			u := get(a, "alice")
			equal(a, "the name", str(u.UserName), "alice")
			equal(a, "the id", str(u.UserId), str(made.UserId))
			equal(a, "the path", str(u.Path), "/people/")
			equal(a, "the ARN", str(u.Arn), "arn:aws:iam::"+a.id+":user/people/alice")
			equal(a, "the time", aws.ToTime(u.CreateDate), aws.ToTime(made.CreateDate))
		}},
		{"GetUser", "shows no tags, boundary or last sign-in where there are none", recorded, func(a *account) {
			a.user("alice")
			if u := get(a, "alice"); len(u.Tags) > 0 || u.PermissionsBoundary != nil || u.PasswordLastUsed != nil {
				a.errorf("shown are %v, %v, %v", u.Tags, u.PermissionsBoundary, u.PasswordLastUsed)
			}
		}},
		{"GetUser", "shows the tags", recorded, func(a *account) {
			tags := []types.Tag{{Key: aws.String("prod-access/kubernetes-users"), Value: aws.String("alice@hera.example a")}}
			done(a.iam.CreateUser(a.ctx, &iam.CreateUserInput{UserName: aws.String("alice"), Tags: tags}))
			if u := get(a, "alice"); len(u.Tags) != 1 || str(u.Tags[0].Key) != str(tags[0].Key) || str(u.Tags[0].Value) != str(tags[0].Value) {
				a.errorf("shown are %v", u.Tags)
			}
		}},
		{"GetUser", "shows the permissions boundary", documented, func(a *account) {
			arn := a.bounded("alice")
			if b := get(a, "alice").PermissionsBoundary; b == nil || str(b.PermissionsBoundaryArn) != arn {
				a.errorf("shown is %v", b)
			}
		}},
		{"GetUser", "refuses a user who does not exist", recorded, func(a *account) {
			_, err := a.iam.GetUser(a.ctx, &iam.GetUserInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
	}
}

func memberships() []check {
	add := func(a *account, user, group string) error {
		_, err := a.iam.AddUserToGroup(a.ctx, &iam.AddUserToGroupInput{UserName: &user, GroupName: &group})
		return err
	}
	remove := func(a *account, user, group string) error {
		_, err := a.iam.RemoveUserFromGroup(a.ctx, &iam.RemoveUserFromGroupInput{UserName: &user, GroupName: &group})
		return err
	}
	groupsOf := func(a *account, user string) []string {
		var names []string
		for _, g := range must(a.iam.ListGroupsForUser(a.ctx, &iam.ListGroupsForUserInput{UserName: &user})).Groups {
			names = append(names, str(g.GroupName))
		}
		return names
	}
	return []check{
		{"CreateGroup", "gives an id of AGPA and 21 characters in all", documented, func(a *account) {
			group := must(a.iam.CreateGroup(a.ctx, &iam.CreateGroupInput{GroupName: aws.String("admins")})).Group
			a.matches("the id", str(group.GroupId), "AGPA[A-Z2-7]{17}")
		}},
		{"CreateGroup", "refuses a name that is taken in another case", documented, func(a *account) {
			a.group("admins")
			_, err := a.iam.CreateGroup(a.ctx, &iam.CreateGroupInput{GroupName: aws.String("Admins")})
			a.refused(err, "EntityAlreadyExists", 409)
		}},
		{"GetGroup", "shows name, id, path and ARN, and no members where there are none", recorded, func(a *account) {
			made := must(a.iam.CreateGroup(a.ctx, &iam.CreateGroupInput{GroupName: aws.String("admins"), Path: aws.String("/access/")})).Group
			out := must(a.iam.GetGroup(a.ctx, &iam.GetGroupInput{GroupName: aws.String("admins")}))
			equal(a, "the name", str(out.Group.GroupName), "admins")
			equal(a, "the id", str(out.Group.GroupId), str(made.GroupId))
			equal(a, "the path", str(out.Group.Path), "/access/")
			equal(a, "the ARN", str(out.Group.Arn), "arn:aws:iam::"+a.id+":group/access/admins")
			equal(a, "the number of members", len(out.Users), 0)
			equal(a, "IsTruncated", out.IsTruncated, false)
		}},
		{"GetGroup", "shows name, id, path and ARN of each member", recorded, func(a *account) {
			alice := a.user("alice")
			a.group("admins", "alice")
			out := must(a.iam.GetGroup(a.ctx, &iam.GetGroupInput{GroupName: aws.String("admins")}))
			equal(a, "the number of members", len(out.Users), 1)
			for _, u := range out.Users {
				equal(a, "the name", str(u.UserName), "alice")
				equal(a, "the id", str(u.UserId), str(alice.UserId))
				equal(a, "the path", str(u.Path), "/")
				equal(a, "the ARN", str(u.Arn), "arn:aws:iam::"+a.id+":user/alice")
			}
		}},
		{"GetGroup", "gives as many members at a time as it is asked for", documented, func(a *account) {
			for _, name := range []string{"alice", "bob", "carol"} {
				a.user(name)
			}
			a.group("admins", "alice", "bob", "carol")
			var names []string
			var pages []int
			for p := iam.NewGetGroupPaginator(a.iam, &iam.GetGroupInput{GroupName: aws.String("admins"), MaxItems: aws.Int32(2)}); p.HasMorePages(); {
				out := must(p.NextPage(a.ctx))
				pages = append(pages, len(out.Users))
				for _, u := range out.Users {
					names = append(names, str(u.UserName))
				}
			}
			a.names("the members", names, "alice", "bob", "carol")
			equal(a, "the size of pages", fmt.Sprint(pages), "[2 1]")
		}},
		{"GetGroup", "refuses a group that does not exist", recorded, func(a *account) {
			_, err := a.iam.GetGroup(a.ctx, &iam.GetGroupInput{GroupName: aws.String("none")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"ListGroupsForUser", "shows the groups", recorded, func(a *account) {
			a.user("alice")
			a.names("the groups before", groupsOf(a, "alice"))
			for _, name := range []string{"a", "b"} {
				a.group(name, "alice")
			}
			a.names("the groups", groupsOf(a, "alice"), "a", "b")
		}},
		{"ListGroupsForUser", "gives as many groups at a time as it is asked for", documented, func(a *account) {
			a.user("alice")
			for _, name := range []string{"a", "b", "c"} {
				a.group(name, "alice")
			}
			out := must(a.iam.ListGroupsForUser(a.ctx, &iam.ListGroupsForUserInput{UserName: aws.String("alice"), MaxItems: aws.Int32(2)}))
			equal(a, "the size of the first page", len(out.Groups), 2)
			equal(a, "IsTruncated", out.IsTruncated, true)
		}},
		{"ListGroupsForUser", "refuses a user who does not exist", recorded, func(a *account) {
			_, err := a.iam.ListGroupsForUser(a.ctx, &iam.ListGroupsForUserInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"AddUserToGroup", "adds the user, once or twice", recorded, func(a *account) {
			a.user("alice")
			a.group("admins")
			for range 2 {
				must(0, add(a, "alice", "admins"))
				a.names("the members", a.members("admins"), "alice")
			}
		}},
		{"AddUserToGroup", "refuses a user who does not exist", recorded, func(a *account) {
			a.group("admins")
			a.refused(add(a, "nobody", "admins"), "NoSuchEntity", 404)
		}},
		{"AddUserToGroup", "refuses a group that does not exist", recorded, func(a *account) {
			a.user("alice")
			a.refused(add(a, "alice", "none"), "NoSuchEntity", 404)
		}},
		{"AddUserToGroup", "refuses an eleventh group", documented, func(a *account) {
			a.user("alice")
			for i := range 10 {
				a.group(fmt.Sprintf("g%d", i), "alice")
			}
			a.group("admins")
			a.refused(add(a, "alice", "admins"), "LimitExceeded", 409)
		}},
		{"RemoveUserFromGroup", "removes the user", recorded, func(a *account) {
			a.user("alice")
			a.user("bob")
			a.group("admins", "alice", "bob")
			must(0, remove(a, "alice", "admins"))
			a.names("the members", a.members("admins"), "bob")
		}},
		{"RemoveUserFromGroup", "succeeds for a user who is not a member", recorded, func(a *account) {
			a.user("alice")
			a.group("admins")
			must(0, remove(a, "alice", "admins"))
		}},
		{"RemoveUserFromGroup", "refuses a user who does not exist", recorded, func(a *account) {
			a.group("admins")
			a.refused(remove(a, "nobody", "admins"), "NoSuchEntity", 404)
		}},
		{"RemoveUserFromGroup", "refuses a group that does not exist", recorded, func(a *account) {
			a.user("alice")
			a.refused(remove(a, "alice", "none"), "NoSuchEntity", 404)
		}},
	}
}

func accounts() []check {
	details := func(a *account, kinds ...types.EntityType) *iam.GetAccountAuthorizationDetailsOutput {
		return must(a.iam.GetAccountAuthorizationDetails(a.ctx, &iam.GetAccountAuthorizationDetailsInput{Filter: kinds}))
	}
	stage := func(a *account) {
		a.user("alice")
		a.user("bob")
		a.group("admins", "alice")
		a.group("others", "alice", "bob")
	}
	return []check{
		{"GetAccountAuthorizationDetails", "shows the users with their groups and inline policies", documented, func(a *account) {
			stage(a)
			a.userPolicy("alice", "fence", document)
			out := details(a, types.EntityTypeUser)
			equal(a, "the number of users", len(out.UserDetailList), 2)
			equal(a, "the number of groups", len(out.GroupDetailList), 0)
			for _, u := range out.UserDetailList {
				want := map[string]int{"alice": 1}[str(u.UserName)]
				equal(a, "the number of policies of "+str(u.UserName), len(u.UserPolicyList), want)
				a.names("the groups of "+str(u.UserName), u.GroupList, map[string][]string{"alice": {"admins", "others"}, "bob": {"others"}}[str(u.UserName)]...)
				for _, p := range u.UserPolicyList {
					equal(a, "the policy", str(p.PolicyName)+" "+decoded(p.PolicyDocument), "fence "+document)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "shows the tags of users", documented, func(a *account) {
			done(a.iam.CreateUser(a.ctx, &iam.CreateUserInput{
				UserName: aws.String("alice"), Tags: []types.Tag{{Key: aws.String("team"), Value: aws.String("infra")}},
			}))
			for _, u := range details(a, types.EntityTypeUser).UserDetailList {
				if len(u.Tags) != 1 || str(u.Tags[0].Key) != "team" || str(u.Tags[0].Value) != "infra" {
					a.errorf("the tags are %v", u.Tags)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "shows the boundary of users", documented, func(a *account) {
			arn := a.bounded("alice")
			for _, u := range details(a, types.EntityTypeUser).UserDetailList {
				if u.PermissionsBoundary == nil || str(u.PermissionsBoundary.PermissionsBoundaryArn) != arn {
					a.errorf("the boundary is %v", u.PermissionsBoundary)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "shows the policies attached to users", documented, func(a *account) {
			a.user("alice")
			arn := a.policy("quarantine")
			done(a.iam.AttachUserPolicy(a.ctx, &iam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: &arn}))
			for _, u := range details(a, types.EntityTypeUser).UserDetailList {
				if len(u.AttachedManagedPolicies) != 1 || str(u.AttachedManagedPolicies[0].PolicyArn) != arn {
					a.errorf("attached are %v", u.AttachedManagedPolicies)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "shows the groups with their inline and attached policies", documented, func(a *account) {
			stage(a)
			a.groupPolicy("admins", "guard", document)
			arn := a.policy("role")
			done(a.iam.AttachGroupPolicy(a.ctx, &iam.AttachGroupPolicyInput{GroupName: aws.String("admins"), PolicyArn: &arn}))
			out := details(a, types.EntityTypeGroup)
			equal(a, "the number of groups", len(out.GroupDetailList), 2)
			equal(a, "the number of users", len(out.UserDetailList), 0)
			for _, g := range out.GroupDetailList {
				want := map[string]int{"admins": 1}[str(g.GroupName)]
				equal(a, "the number of policies of "+str(g.GroupName), len(g.GroupPolicyList), want)
				equal(a, "the number attached to "+str(g.GroupName), len(g.AttachedManagedPolicies), want)
				equal(a, "the ARN", str(g.Arn), "arn:aws:iam::"+a.id+":group/"+str(g.GroupName))
				for _, p := range g.GroupPolicyList {
					equal(a, "the policy", str(p.PolicyName)+" "+decoded(p.PolicyDocument), "guard "+document)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "percent-encodes the documents", documented, func(a *account) {
			stage(a)
			a.groupPolicy("admins", "guard", document)
			for _, g := range details(a, types.EntityTypeGroup).GroupDetailList {
				for _, p := range g.GroupPolicyList {
					a.encoded(p.PolicyDocument)
				}
			}
		}},
		{"GetAccountAuthorizationDetails", "gives as many entities at a time as it is asked for", documented, func(a *account) {
			stage(a)
			var names []string
			p := iam.NewGetAccountAuthorizationDetailsPaginator(a.iam, &iam.GetAccountAuthorizationDetailsInput{
				Filter: []types.EntityType{types.EntityTypeUser, types.EntityTypeGroup}, MaxItems: aws.Int32(3),
			})
			pages := 0
			for p.HasMorePages() {
				out := must(p.NextPage(a.ctx))
				pages++
				for _, u := range out.UserDetailList {
					names = append(names, str(u.UserName))
				}
				for _, g := range out.GroupDetailList {
					names = append(names, str(g.GroupName))
				}
			}
			a.names("the entities", names, "admins", "alice", "bob", "others")
			equal(a, "the number of pages", pages, 2)
		}},
	}
}

func credentialChecks() []check {
	devices := func(a *account, user string) []types.MFADevice {
		return must(a.iam.ListMFADevices(a.ctx, &iam.ListMFADevicesInput{UserName: &user})).MFADevices
	}
	keys := func(a *account, user string) []types.AccessKeyMetadata {
		return must(a.iam.ListAccessKeys(a.ctx, &iam.ListAccessKeysInput{UserName: &user})).AccessKeyMetadata
	}
	set := func(a *account, user, key string, status types.StatusType) error {
		_, err := a.iam.UpdateAccessKey(a.ctx, &iam.UpdateAccessKeyInput{UserName: &user, AccessKeyId: &key, Status: status})
		return err
	}
	return []check{
		{"ListMFADevices", "shows serial number, user and time of each device", recorded, func(a *account) {
			a.user("alice")
			a.user("bob")
			equal(a, "the number of devices before", len(devices(a, "alice")), 0)
			serial := a.device("alice", "phone")
			found := devices(a, "alice")
			equal(a, "the number of devices", len(found), 1)
			for _, d := range found {
				equal(a, "the serial number", str(d.SerialNumber), serial)
				equal(a, "the user", str(d.UserName), "alice")
				equal(a, "whether there is a time", d.EnableDate != nil, true)
			}
			equal(a, "the number of devices of another user", len(devices(a, "bob")), 0)
		}},
		{"ListMFADevices", "no longer shows a device that was taken away", recorded, func(a *account) {
			a.user("alice")
			serial := a.device("alice", "phone")
			done(a.iam.DeactivateMFADevice(a.ctx, &iam.DeactivateMFADeviceInput{UserName: aws.String("alice"), SerialNumber: &serial}))
			equal(a, "the number of devices", len(devices(a, "alice")), 0)
		}},
		{"ListMFADevices", "refuses a user who does not exist", documented, func(a *account) {
			_, err := a.iam.ListMFADevices(a.ctx, &iam.ListMFADevicesInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"EnableMFADevice", "refuses codes that are not of the device", documented, func(a *account) {
			a.user("alice")
			made := must(a.iam.CreateVirtualMFADevice(a.ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: aws.String("phone")})).VirtualMFADevice
			_, err := a.iam.EnableMFADevice(a.ctx, &iam.EnableMFADeviceInput{
				UserName: aws.String("alice"), SerialNumber: made.SerialNumber, AuthenticationCode1: aws.String("000000"), AuthenticationCode2: aws.String("000001"),
			})
			a.refused(err, "InvalidAuthenticationCode", 403)
		}},
		{"ListAccessKeys", "shows id, user, status and time of each key", recorded, func(a *account) {
			a.user("alice")
			equal(a, "the number of keys before", len(keys(a, "alice")), 0)
			id := a.key("alice")
			found := keys(a, "alice")
			equal(a, "the number of keys", len(found), 1)
			for _, k := range found {
				equal(a, "the id", str(k.AccessKeyId), id)
				equal(a, "the user", str(k.UserName), "alice")
				equal(a, "the status", k.Status, types.StatusTypeActive)
				equal(a, "whether there is a time", k.CreateDate != nil, true)
			}
		}},
		{"ListAccessKeys", "refuses a user who does not exist", documented, func(a *account) {
			_, err := a.iam.ListAccessKeys(a.ctx, &iam.ListAccessKeysInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"CreateAccessKey", "refuses a third key", recorded, func(a *account) {
			a.user("alice")
			a.key("alice")
			a.key("alice")
			_, err := a.iam.CreateAccessKey(a.ctx, &iam.CreateAccessKeyInput{UserName: aws.String("alice")})
			a.refused(err, "LimitExceeded", 409)
		}},
		{"UpdateAccessKey", "makes one key inactive, once or twice", recorded, func(a *account) {
			a.user("alice")
			first, second := a.key("alice"), a.key("alice")
			for range 2 {
				must(0, set(a, "alice", first, types.StatusTypeInactive))
				for _, k := range keys(a, "alice") {
					want := map[string]types.StatusType{first: types.StatusTypeInactive, second: types.StatusTypeActive}[str(k.AccessKeyId)]
					equal(a, "the status", k.Status, want)
				}
			}
		}},
		{"UpdateAccessKey", "refuses a key that does not exist", recorded, func(a *account) {
			a.user("alice")
			a.refused(set(a, "alice", "AKIAIOSFODNN7EXAMPLE", types.StatusTypeInactive), "NoSuchEntity", 404)
		}},
		{"UpdateAccessKey", "refuses a key of another user", documented, func(a *account) {
			a.user("alice")
			a.user("bob")
			a.refused(set(a, "alice", a.key("bob"), types.StatusTypeInactive), "NoSuchEntity", 404)
		}},
		{"GetLoginProfile", "shows name and time", recorded, func(a *account) {
			a.user("alice")
			a.password("alice")
			profile := must(a.iam.GetLoginProfile(a.ctx, &iam.GetLoginProfileInput{UserName: aws.String("alice")})).LoginProfile
			equal(a, "the name", str(profile.UserName), "alice")
			equal(a, "whether there is a time", profile.CreateDate != nil, true)
		}},
		{"GetLoginProfile", "refuses where there is no password", recorded, func(a *account) {
			a.user("alice")
			_, err := a.iam.GetLoginProfile(a.ctx, &iam.GetLoginProfileInput{UserName: aws.String("alice")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"GetLoginProfile", "refuses a user who does not exist", documented, func(a *account) {
			_, err := a.iam.GetLoginProfile(a.ctx, &iam.GetLoginProfileInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"DeleteLoginProfile", "takes the password away", recorded, func(a *account) {
			a.user("alice")
			a.password("alice")
			done(a.iam.DeleteLoginProfile(a.ctx, &iam.DeleteLoginProfileInput{UserName: aws.String("alice")}))
			_, err := a.iam.GetLoginProfile(a.ctx, &iam.GetLoginProfileInput{UserName: aws.String("alice")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"DeleteLoginProfile", "refuses where there is no password", recorded, func(a *account) {
			a.user("alice")
			_, err := a.iam.DeleteLoginProfile(a.ctx, &iam.DeleteLoginProfileInput{UserName: aws.String("alice")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"DeleteLoginProfile", "refuses a user who does not exist", recorded, func(a *account) {
			_, err := a.iam.DeleteLoginProfile(a.ctx, &iam.DeleteLoginProfileInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
	}
}

func userPolicies() []check {
	get := func(a *account, user, name string) (*iam.GetUserPolicyOutput, error) {
		return a.iam.GetUserPolicy(a.ctx, &iam.GetUserPolicyInput{UserName: &user, PolicyName: &name})
	}
	put := func(a *account, user, name, text string) error {
		_, err := a.iam.PutUserPolicy(a.ctx, &iam.PutUserPolicyInput{UserName: &user, PolicyName: &name, PolicyDocument: &text})
		return err
	}
	remove := func(a *account, user, name string) error {
		_, err := a.iam.DeleteUserPolicy(a.ctx, &iam.DeleteUserPolicyInput{UserName: &user, PolicyName: &name})
		return err
	}
	names := func(a *account, user string) []string {
		return must(a.iam.ListUserPolicies(a.ctx, &iam.ListUserPoliciesInput{UserName: &user})).PolicyNames
	}
	return []check{
		{"ListUserPolicies", "shows the names", recorded, func(a *account) {
			a.user("alice")
			a.names("the policies before", names(a, "alice"))
			a.userPolicy("alice", "fence", document)
			a.userPolicy("alice", "other", document)
			a.names("the policies", names(a, "alice"), "fence", "other")
		}},
		{"ListUserPolicies", "gives as many names at a time as it is asked for", documented, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			a.userPolicy("alice", "other", document)
			out := must(a.iam.ListUserPolicies(a.ctx, &iam.ListUserPoliciesInput{UserName: aws.String("alice"), MaxItems: aws.Int32(1)}))
			equal(a, "the size of the first page", len(out.PolicyNames), 1)
			equal(a, "IsTruncated", out.IsTruncated, true)
		}},
		{"ListUserPolicies", "refuses a user who does not exist", documented, func(a *account) {
			_, err := a.iam.ListUserPolicies(a.ctx, &iam.ListUserPoliciesInput{UserName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"GetUserPolicy", "shows the document as it was put", recorded, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			out := must(get(a, "alice", "fence"))
			equal(a, "user and policy", str(out.UserName)+" "+str(out.PolicyName), "alice fence")
			equal(a, "the document", decoded(out.PolicyDocument), document)
		}},
		{"GetUserPolicy", "percent-encodes the document", documented, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			a.encoded(must(get(a, "alice", "fence")).PolicyDocument)
		}},
		{"GetUserPolicy", "refuses a policy that does not exist", documented, func(a *account) {
			a.user("alice")
			_, err := get(a, "alice", "fence")
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"PutUserPolicy", "replaces a policy of the name", documented, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			a.userPolicy("alice", "fence", sized(200))
			equal(a, "the document", decoded(must(get(a, "alice", "fence")).PolicyDocument), sized(200))
			a.names("the policies", names(a, "alice"), "fence")
		}},
		{"PutUserPolicy", "takes 2,048 characters in all, white space not counted", documented, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", sized(1800))
			a.userPolicy("alice", "other", sized(248))
		}},
		{"PutUserPolicy", "refuses 2,049 characters in all", documented, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", sized(1800))
			a.refused(put(a, "alice", "other", sized(249)), "LimitExceeded", 409)
		}},
		{"PutUserPolicy", "refuses what is not a policy", documented, func(a *account) {
			a.user("alice")
			a.refused(put(a, "alice", "fence", "{"), "MalformedPolicyDocument", 400)
		}},
		{"PutUserPolicy", "refuses a user who does not exist", documented, func(a *account) {
			a.refused(put(a, "nobody", "fence", document), "NoSuchEntity", 404)
		}},
		{"DeleteUserPolicy", "takes the policy away", recorded, func(a *account) {
			a.user("alice")
			a.userPolicy("alice", "fence", document)
			a.userPolicy("alice", "other", document)
			must(0, remove(a, "alice", "fence"))
			a.names("the policies", names(a, "alice"), "other")
		}},
		{"DeleteUserPolicy", "refuses a policy that does not exist", documented, func(a *account) {
			a.user("alice")
			a.refused(remove(a, "alice", "fence"), "NoSuchEntity", 404)
		}},
		{"ListAttachedUserPolicies", "shows name and ARN", recorded, func(a *account) {
			a.user("alice")
			arn := a.policy("quarantine")
			done(a.iam.AttachUserPolicy(a.ctx, &iam.AttachUserPolicyInput{UserName: aws.String("alice"), PolicyArn: &arn}))
			out := must(a.iam.ListAttachedUserPolicies(a.ctx, &iam.ListAttachedUserPoliciesInput{UserName: aws.String("alice")}))
			equal(a, "the number of policies", len(out.AttachedPolicies), 1)
			for _, p := range out.AttachedPolicies {
				equal(a, "the policy", str(p.PolicyName)+" "+str(p.PolicyArn), "quarantine "+arn)
			}
		}},
	}
}

func groupPolicies() []check {
	return []check{
		{"ListGroupPolicies", "shows the names", recorded, func(a *account) {
			a.group("admins")
			a.groupPolicy("admins", "guard", document)
			a.groupPolicy("admins", "role", document)
			out := must(a.iam.ListGroupPolicies(a.ctx, &iam.ListGroupPoliciesInput{GroupName: aws.String("admins")}))
			a.names("the policies", out.PolicyNames, "guard", "role")
		}},
		{"GetGroupPolicy", "shows the document as it was put", recorded, func(a *account) {
			a.group("admins")
			a.groupPolicy("admins", "guard", document)
			out := must(a.iam.GetGroupPolicy(a.ctx, &iam.GetGroupPolicyInput{GroupName: aws.String("admins"), PolicyName: aws.String("guard")}))
			equal(a, "group and policy", str(out.GroupName)+" "+str(out.PolicyName), "admins guard")
			equal(a, "the document", decoded(out.PolicyDocument), document)
		}},
		{"GetGroupPolicy", "refuses a policy that does not exist", recorded, func(a *account) {
			a.group("admins")
			_, err := a.iam.GetGroupPolicy(a.ctx, &iam.GetGroupPolicyInput{GroupName: aws.String("admins"), PolicyName: aws.String("guard")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"PutGroupPolicy", "refuses 5,121 characters in all", documented, func(a *account) {
			a.group("admins")
			a.groupPolicy("admins", "guard", sized(4000))
			_, err := a.iam.PutGroupPolicy(a.ctx, &iam.PutGroupPolicyInput{
				GroupName: aws.String("admins"), PolicyName: aws.String("role"), PolicyDocument: aws.String(sized(1121)),
			})
			a.refused(err, "LimitExceeded", 409)
		}},
		{"GetPolicyVersion", "shows the document as it was put", recorded, func(a *account) {
			arn := a.policy("role")
			out := must(a.iam.GetPolicyVersion(a.ctx, &iam.GetPolicyVersionInput{PolicyArn: &arn, VersionId: aws.String("v1")}))
			equal(a, "the document", decoded(out.PolicyVersion.Document), sized(200))
		}},
	}
}

// columns are those of a credential report.
const columns = "user,arn,user_creation_time,password_enabled,password_last_used,password_last_changed,password_next_rotation,mfa_active," +
	"access_key_1_active,access_key_1_last_rotated,access_key_1_last_used_date,access_key_1_last_used_region,access_key_1_last_used_service," +
	"access_key_2_active,access_key_2_last_rotated,access_key_2_last_used_date,access_key_2_last_used_region,access_key_2_last_used_service," +
	"cert_1_active,cert_1_last_rotated,cert_2_active,cert_2_last_rotated"

// report has a report made and returns its lines, each a value by column.
func (a *account) report() (header []string, lines map[string]map[string]string) {
	for range 10 {
		if must(a.iam.GenerateCredentialReport(a.ctx, &iam.GenerateCredentialReportInput{})).State == types.ReportStateTypeComplete {
			break
		}
	}
	out := must(a.iam.GetCredentialReport(a.ctx, &iam.GetCredentialReportInput{}))
	equal(a, "the format", out.ReportFormat, types.ReportFormatTypeTextCsv)
	equal(a, "whether there is a time", out.GeneratedTime != nil, true)
	table := must(csv.NewReader(strings.NewReader(string(out.Content))).ReadAll())
	lines = map[string]map[string]string{}
	for _, cells := range table[1:] {
		line := map[string]string{}
		for i, column := range table[0] {
			line[column] = cells[i]
		}
		lines[cells[0]] = line
	}
	return table[0], lines
}

func reports() []check {
	return []check{
		{"GenerateCredentialReport", "starts, and then has one", recorded, func(a *account) {
			first := must(a.iam.GenerateCredentialReport(a.ctx, &iam.GenerateCredentialReportInput{}))
			equal(a, "the first state", first.State, types.ReportStateTypeStarted)
			equal(a, "the description", str(first.Description), "No report exists. Starting a new report generation task")
			second := must(a.iam.GenerateCredentialReport(a.ctx, &iam.GenerateCredentialReportInput{}))
			equal(a, "the second state", second.State, types.ReportStateTypeComplete)
		}},
		{"GenerateCredentialReport", "keeps a report of which four hours have not passed", documented, func(a *account) {
			a.report()
			a.user("alice")
			if _, lines := a.report(); lines["alice"] != nil {
				a.errorf("a user made after the report is in it")
			}
		}},
		{"GetCredentialReport", "refuses before there is one", recorded, func(a *account) {
			_, err := a.iam.GetCredentialReport(a.ctx, &iam.GetCredentialReportInput{})
			a.refused(err, "ReportNotPresent", 410)
		}},
		{"GetCredentialReport", "has these columns", recorded, func(a *account) {
			header, _ := a.report()
			equal(a, "the header", strings.Join(header, ","), columns)
		}},
		{"GetCredentialReport", "has a line for the root user", documented, func(a *account) {
			_, lines := a.report()
			equal(a, "the ARN", lines["<root_account>"]["arn"], "arn:aws:iam::"+a.id+":root")
		}},
		{"GetCredentialReport", "tells of a user without credentials", documented, func(a *account) {
			a.user("alice")
			_, lines := a.report()
			alice := lines["alice"]
			equal(a, "the ARN", alice["arn"], "arn:aws:iam::"+a.id+":user/alice")
			a.matches("user_creation_time", alice["user_creation_time"], reportTime)
			for _, column := range []string{"password_enabled", "mfa_active", "access_key_1_active", "access_key_2_active", "cert_1_active"} {
				equal(a, column, alice[column], "false")
			}
			for _, column := range []string{"password_last_used", "password_last_changed", "access_key_1_last_rotated", "access_key_2_last_rotated"} {
				equal(a, column, alice[column], "N/A")
			}
		}},
		{"GetCredentialReport", "tells of a password", recorded, func(a *account) {
			a.user("alice")
			a.password("alice")
			_, lines := a.report()
			equal(a, "password_enabled", lines["alice"]["password_enabled"], "true")
			equal(a, "password_last_used", lines["alice"]["password_last_used"], "no_information")
			a.matches("password_last_changed", lines["alice"]["password_last_changed"], reportTime)
		}},
		{"GetCredentialReport", "tells of an active and an inactive key", recorded, func(a *account) {
			a.user("alice")
			a.key("alice")
			second := a.key("alice")
			done(a.iam.UpdateAccessKey(a.ctx, &iam.UpdateAccessKeyInput{
				UserName: aws.String("alice"), AccessKeyId: &second, Status: types.StatusTypeInactive,
			}))
			_, lines := a.report()
			for i, active := range []string{"true", "false"} {
				prefix := fmt.Sprintf("access_key_%d_", i+1)
				equal(a, prefix+"active", lines["alice"][prefix+"active"], active)
				a.matches(prefix+"last_rotated", lines["alice"][prefix+"last_rotated"], reportTime)
				equal(a, prefix+"last_used_date", lines["alice"][prefix+"last_used_date"], "N/A")
			}
		}},
		{"GetCredentialReport", "tells of an MFA device", documented, func(a *account) {
			a.user("alice")
			a.device("alice", "phone")
			_, lines := a.report()
			equal(a, "mfa_active", lines["alice"]["mfa_active"], "true")
		}},
	}
}

const reportTime = `\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(Z|\+00:00)`

func roles() []check {
	simulate := func(a *account, arn string, resources ...string) (*iam.SimulatePrincipalPolicyOutput, error) {
		return a.iam.SimulatePrincipalPolicy(a.ctx, &iam.SimulatePrincipalPolicyInput{
			PolicySourceArn: &arn, ActionNames: []string{"iam:GetUser", "iam:GetGroup"}, ResourceArns: resources,
		})
	}
	return []check{
		{"GetRole", "shows path and ARN", documented, func(a *account) {
			a.role("operator", "/access/")
			role := must(a.iam.GetRole(a.ctx, &iam.GetRoleInput{RoleName: aws.String("operator")})).Role
			equal(a, "the ARN", str(role.Arn), "arn:aws:iam::"+a.id+":role/access/operator")
			equal(a, "the path", str(role.Path), "/access/")
		}},
		{"GetRole", "refuses a role that does not exist", documented, func(a *account) {
			_, err := a.iam.GetRole(a.ctx, &iam.GetRoleInput{RoleName: aws.String("nobody")})
			a.refused(err, "NoSuchEntity", 404)
		}},
		{"AssumeRole", "gives a session without the path of the role in its ARN", documented, func(a *account) {
			arn := str(a.role("revoker", "/access/").Arn)
			out := must(a.sts.AssumeRole(a.ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("s1")}))
			equal(a, "the ARN", str(out.AssumedRoleUser.Arn), "arn:aws:sts::"+a.id+":assumed-role/revoker/s1")
			a.matches("the access key", str(out.Credentials.AccessKeyId), "ASIA[A-Z0-9]{16}")
			equal(a, "whether it ends", out.Credentials.Expiration != nil && str(out.Credentials.SessionToken) != "", true)
		}},
		{"AssumeRole", "refuses a role that does not exist", documented, func(a *account) {
			arn := "arn:aws:iam::" + a.id + ":role/nobody"
			_, err := a.sts.AssumeRole(a.ctx, &sts.AssumeRoleInput{RoleArn: &arn, RoleSessionName: aws.String("s1")})
			a.refused(err, "AccessDenied", 403)
		}},
		{"GetCallerIdentity", "tells account and ARN of the caller", documented, func(a *account) {
			out := must(a.sts.GetCallerIdentity(a.ctx, &sts.GetCallerIdentityInput{}))
			equal(a, "the account", str(out.Account), a.id)
			a.matches("the ARN", str(out.Arn), "arn:aws:(iam|sts)::"+a.id+":.+")
		}},
		{"SimulatePrincipalPolicy", "answers each action for each resource", documented, func(a *account) {
			out := must(simulate(a, str(a.role("operator", "/access/").Arn), "arn:aws:iam::"+a.id+":user/a", "arn:aws:iam::"+a.id+":user/b"))
			equal(a, "the number of answers", len(out.EvaluationResults), 4)
			for _, r := range out.EvaluationResults {
				a.matches("the decision", string(r.EvalDecision), "allowed|implicitDeny|explicitDeny")
			}
		}},
		{"SimulatePrincipalPolicy", "refuses the ARN of a session", documented, func(a *account) {
			arn := "arn:aws:sts::" + a.id + ":assumed-role/operator/s1"
			_, err := simulate(a, arn)
			a.refused(err, "InvalidInput", 400)
		}},
	}
}
