// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"fmt"
	"net/url"
	"slices"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// An entity is shown with everything that hangs on it, and lists that have nothing are empty, not absent.
func TestAuthorizationDetails(t *testing.T) {
	r := newRig(t)
	r.fake.AddUser(fake.User{Name: "alice", Path: "/people/", Tags: map[string]string{"team": "infra"}})
	r.fake.AddUser(fake.User{Name: "bob"})
	r.fake.AddGroup("admins", "alice")
	r.fake.AddGroup("all", "alice", "bob")
	const deny = "arn:aws:iam::aws:policy/AWSDenyAll"
	r.do("PutUserPolicy", in{"UserName": "alice", "PolicyName": "fence", "PolicyDocument": policy})
	r.do("AttachUserPolicy", in{"UserName": "alice", "PolicyArn": deny})
	r.do("PutUserPermissionsBoundary", in{"UserName": "alice", "PermissionsBoundary": deny})
	r.do("PutGroupPolicy", in{"GroupName": "admins", "PolicyName": "guard", "PolicyDocument": policy})
	r.do("AttachGroupPolicy", in{"GroupName": "admins", "PolicyArn": deny})
	r.do("CreatePolicy", in{"PolicyName": "own", "PolicyDocument": policy})

	out, err := r.iam.GetAccountAuthorizationDetails(t.Context(), &iam.GetAccountAuthorizationDetailsInput{})
	if err != nil {
		t.Fatal(err)
	}
	if len(out.UserDetailList) != 2 || len(out.GroupDetailList) != 2 || len(out.Policies) != 6 || out.RoleDetailList == nil || out.IsTruncated || out.Marker != nil {
		t.Fatalf("the account holds %+v", out)
	}
	alice, bob := out.UserDetailList[0], out.UserDetailList[1]
	if *alice.UserName != "alice" || *alice.UserId != r.fake.UserID("alice") || *alice.Path != "/people/" ||
		*alice.Arn != "arn:aws:iam::111122223333:user/people/alice" || !alice.CreateDate.Equal(start) {
		t.Errorf("alice is %+v", alice)
	}
	if !slices.Equal(alice.GroupList, []string{"admins", "all"}) || len(alice.AttachedManagedPolicies) != 1 || *alice.AttachedManagedPolicies[0].PolicyArn != deny ||
		*alice.PermissionsBoundary.PermissionsBoundaryArn != deny || len(alice.Tags) != 1 || *alice.Tags[0].Value != "infra" {
		t.Errorf("on alice hangs %+v", alice)
	}
	if text, err := url.QueryUnescape(*alice.UserPolicyList[0].PolicyDocument); err != nil || text != policy || *alice.UserPolicyList[0].PolicyName != "fence" {
		t.Errorf("alice's policy is %q, %v", text, err)
	}
	if bob.Tags == nil || len(bob.Tags) != 0 || bob.UserPolicyList == nil || bob.AttachedManagedPolicies == nil || bob.PermissionsBoundary != nil {
		t.Errorf("on bob hangs %+v", bob)
	}
	if admins := out.GroupDetailList[0]; *admins.GroupName != "admins" || len(admins.GroupPolicyList) != 1 || *admins.AttachedManagedPolicies[0].PolicyName != "AWSDenyAll" {
		t.Errorf("the group is %+v", admins)
	}
	if own := out.Policies[0]; *own.PolicyName != "own" || len(own.PolicyVersionList) != 1 || !own.PolicyVersionList[0].IsDefaultVersion {
		t.Errorf("the policy is %+v", own)
	}
}

func TestAuthorizationDetailsFilterAndPages(t *testing.T) {
	r := newRig(t)
	for i := range 5 {
		r.fake.AddUser(fake.User{Name: fmt.Sprintf("user-%d", i)})
		r.fake.AddGroup(fmt.Sprintf("group-%d", i))
	}
	r.do("CreatePolicy", in{"PolicyName": "own", "PolicyDocument": policy})
	r.fake.SetPageLimit(3)
	for _, test := range []struct {
		filter                         []types.EntityType
		users, groups, policies, pages int
	}{
		{nil, 5, 5, 6, 6},
		{[]types.EntityType{types.EntityTypeUser}, 5, 0, 0, 2},
		{[]types.EntityType{types.EntityTypeGroup, types.EntityTypeUser}, 5, 5, 0, 4},
		{[]types.EntityType{types.EntityTypeLocalManagedPolicy}, 0, 0, 1, 1},
		{[]types.EntityType{types.EntityTypeAWSManagedPolicy}, 0, 0, 5, 2},
		{[]types.EntityType{types.EntityTypeRole}, 0, 0, 0, 1},
	} {
		users, groups, policies, pages := 0, 0, 0, 0
		for p := iam.NewGetAccountAuthorizationDetailsPaginator(r.iam, &iam.GetAccountAuthorizationDetailsInput{Filter: test.filter, MaxItems: aws.Int32(1000)}); p.HasMorePages(); pages++ {
			page, err := p.NextPage(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if page.UserDetailList == nil || page.IsTruncated != (page.Marker != nil) {
				t.Errorf("%v: a page is %+v", test.filter, page)
			}
			users, groups, policies = users+len(page.UserDetailList), groups+len(page.GroupDetailList), policies+len(page.Policies)
		}
		if users != test.users || groups != test.groups || policies != test.policies || pages != test.pages {
			t.Errorf("%v: %d users, %d groups, %d policies in %d pages, want %+v", test.filter, users, groups, policies, pages, test)
		}
	}
}
