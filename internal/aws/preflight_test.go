// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

const (
	groupARN    = "arn:aws:iam::111122223333:group/hera/hera-prod-infra-member"
	boundaryARN = "arn:aws:iam::111122223333:policy/hera/boundary"
	grantorARN  = "arn:aws:iam::111122223333:role/hera/" + grantor
)

var needs = aws.Needs{Groups: []string{groupARN}, UserPath: "/hera/", Boundary: boundaryARN}

// What the operator may not do is named with the resource, the role and what it is for.
func TestPreflight(t *testing.T) {
	rows := map[string]struct {
		revoker string
		needs   aws.Needs
		deny    func(*fake.IAM)
		want    []string
	}{
		"nothing is missing": {"", needs, func(*fake.IAM) {}, nil},
		"adding": {
			"", needs, func(f *fake.IAM) { f.DenyActions("iam:AddUserToGroup") },
			[]string{"iam:AddUserToGroup on " + groupARN + ", which " + grantorARN + " needs for granting"},
		},
		"without a revoker, removing is its own": {
			"", needs, func(f *fake.IAM) { f.DenyActions("iam:RemoveUserFromGroup") },
			[]string{"iam:RemoveUserFromGroup on " + groupARN + ", which " + grantorARN + " needs for taking access away"},
		},
		"with a revoker, removing is not": {revokerARN, needs, func(f *fake.IAM) { f.DenyRoleActions(grantor, "iam:RemoveUserFromGroup") }, nil},
		"the revoker's": {
			revokerARN, needs, func(f *fake.IAM) { f.DenyRoleActions(revoker, "iam:RemoveUserFromGroup", "iam:AddUserToGroup") },
			[]string{"iam:RemoveUserFromGroup on " + groupARN + ", which " + revokerARN + " needs for taking access away"},
		},
		"of both": {
			revokerARN, needs, func(f *fake.IAM) { f.DenyActions("iam:GetUser") },
			[]string{
				"iam:GetUser on arn:aws:iam::111122223333:user/hera/prod-access-preflight, which " + grantorARN + " needs for telling who a person is",
				"iam:GetUser on arn:aws:iam::111122223333:user/hera/prod-access-preflight, which " + revokerARN + " needs for telling who a person is",
			},
		},
		"the account": {
			"", aws.Needs{}, func(f *fake.IAM) { f.DenyActions("iam:GetCredentialReport") },
			[]string{"iam:GetCredentialReport on *, which " + grantorARN + " needs for judging the age of credentials"},
		},
		"the fence": {
			"", needs, func(f *fake.IAM) { f.DenyActions("iam:PutUserPolicy") },
			[]string{"iam:PutUserPolicy on arn:aws:iam::111122223333:user/hera/prod-access-preflight, which " + grantorARN + " needs for the fence"},
		},
		"no fence": {"", aws.Needs{Groups: needs.Groups}, func(f *fake.IAM) { f.DenyActions("iam:PutUserPolicy") }, nil},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			account := preflightAccount()
			row.deny(account)
			account.SetPageLimit(2)
			got, err := connect(t, account, aws.Options{RevokeRoleARN: row.revoker}).Preflight(t.Context(), row.needs)
			if err != nil || !slices.Equal(got, row.want) {
				t.Errorf("missing:\n%s\nwant:\n%s\nerror: %v", strings.Join(got, "\n"), strings.Join(row.want, "\n"), err)
			}
		})
	}
}

func preflightAccount() *fake.IAM {
	account := fake.New(fake.Config{RolePath: "/hera/"})
	account.AddRole(revoker, "/hera/")
	return account
}

// What cannot be checked is said, with what stands in the way.
func TestPreflightCannotBeDone(t *testing.T) {
	rows := map[string]struct {
		revoker string
		spoil   func(*testing.T, *fake.IAM)
		want    string
	}{
		"simulation is denied": {
			"", func(_ *testing.T, f *fake.IAM) { f.DenyActions("iam:SimulatePrincipalPolicy") },
			"the rights of " + grantorARN + " on " + groupARN + " cannot be checked: AWS IAM SimulatePrincipalPolicy answered AccessDenied",
		},
		"the own role cannot be read": {
			"", func(_ *testing.T, f *fake.IAM) { f.DenyActions("iam:GetRole") },
			"the operator's rights cannot be checked, because its role prod-access-operator cannot be read: AWS IAM GetRole answered AccessDenied",
		},
		"STS does not answer": {
			"", func(_ *testing.T, f *fake.IAM) { f.Inject("GetCallerIdentity", fake.ConnectionReset) },
			"the operator's rights cannot be checked, because it cannot ask AWS who it is: AWS STS GetCallerIdentity cannot be reached",
		},
		"a user": {
			"", func(t *testing.T, f *fake.IAM) {
				f.AddUser(fake.User{Name: "robot"})
				t.Setenv("AWS_ACCESS_KEY_ID", f.AddAccessKey("robot", start))
			},
			"because it is arn:aws:iam::111122223333:user/robot and not a role",
		},
		"no such revoker": {
			"arn:aws:iam::111122223333:role/nobody", func(*testing.T, *fake.IAM) {},
			"the rights of arn:aws:iam::111122223333:role/nobody on " + groupARN + " cannot be checked: AWS IAM SimulatePrincipalPolicy answered NoSuchEntity",
		},
		"the revoker cannot be assumed": {
			revokerARN, func(_ *testing.T, f *fake.IAM) { f.DenyActions("sts:AssumeRole") },
			"the role " + revokerARN + " cannot be assumed, so " + grantorARN + " signs removals too: AWS STS AssumeRole answered AccessDenied",
		},
		"a cut answer": {
			"", func(_ *testing.T, f *fake.IAM) { f.Inject("SimulatePrincipalPolicy", fake.Empty) },
			"the rights of " + grantorARN + " on " + groupARN + " cannot be checked: AWS cut the answer short",
		},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			account := preflightAccount()
			c := connect(t, account, aws.Options{RevokeRoleARN: row.revoker})
			row.spoil(t, account)
			if key := os.Getenv("AWS_ACCESS_KEY_ID"); key != ownKey {
				var err error
				if c, err = aws.New(t.Context(), aws.Options{Timeout: time.Minute}); err != nil {
					t.Fatal(err)
				}
			}
			if _, err := c.Preflight(t.Context(), needs); err == nil || !strings.Contains(err.Error(), row.want) {
				t.Errorf("%v, want %s", err, row.want)
			}
		})
	}
}
