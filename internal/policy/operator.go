// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"slices"
	"strings"
)

const (
	// RevokerName is the name, below Path, of the role that the operator takes away with when its rights are split.
	RevokerName = "prod-access-revoker"
	// BreakGlassRoleName is the name, below Path, of the role that makes and deletes temporary users.
	BreakGlassRoleName = "prod-access-breakglass"
	// BreakGlassPath is where temporary users and their MFA devices live. Nothing else may.
	BreakGlassPath = Path + "break-glass/"
	// ContainmentName is the name of the inline policy that takes everything from a temporary user before it is deleted.
	ContainmentName = "prod-access-contained"
)

// What the operator calls, as in internal/aws. The revoker has what it takes to end access, and cannot lengthen it.
// Reads have no conditions: one on a tag would answer AccessDenied instead of NoSuchEntity for what is gone.
var (
	readsToRevoke = list{
		"iam:GetAccountAuthorizationDetails", "iam:GetGroup", "iam:GetLoginProfile", "iam:GetUser", "iam:ListAccessKeys",
		"iam:ListGroupsForUser",
	}
	readsToGrant = list{"iam:GenerateCredentialReport", "iam:GetCredentialReport", "iam:ListMFADevices", "iam:ListUserPolicies"}
	ownRole      = list{"iam:GetRole", "iam:SimulatePrincipalPolicy"}
	adds         = list{"iam:AddUserToGroup"}
	fences       = list{"iam:DeleteUserPolicy", "iam:PutUserPolicy"}
	takes        = list{"iam:RemoveUserFromGroup"}
	credentials  = list{"iam:DeleteLoginProfile", "iam:UpdateAccessKey"}
)

// Operator renders the operator's own documents: everything that it calls, and no more. groups are the groups of the
// roles, by name (or by ARN, where one has a path); userPath is the path of the people, "/" for all of them.
// With both in one role there is nothing to assume.
func Operator(in Account, groups []string, userPath string) (grantor, revoker, both string) {
	users := list{in.arn("user/" + strings.TrimPrefix(strings.TrimSuffix(userPath, "/")+"/", "/") + "*")}
	var exact list
	for _, g := range groups {
		if !strings.HasPrefix(g, "arn:") {
			g = in.arn("group/" + g)
		}
		exact = append(exact, g)
	}
	slices.Sort(exact)
	exact = slices.Compact(exact)

	may := func(sid string, what, on list) statement {
		return statement{Sid: sid, Effect: allow, Action: what, Resource: on}
	}
	anything, own := list{"*"}, list{in.arn("role" + Path + "*")}
	bounded := conditions{"StringEquals": {"iam:PermissionsBoundary": {in.Boundary()}}}
	unbounded := conditions{"StringNotEquals": {"iam:PermissionsBoundary": {in.Boundary()}}}
	fence := may("Fence", fences, users)
	fence.Condition = bounded
	toGrant := []statement{may("Add", adds, exact), fence}
	toRevoke := []statement{may("Take", takes, list{in.arn("group/*")}), may("Credentials", credentials, users)}
	assume := may("Revoker", list{"sts:AssumeRole", "sts:TagSession"}, list{in.arn("role" + Path + RevokerName)})
	denyAdds := []statement{
		{Sid: "OtherGroups", Effect: deny, Action: adds, NotResource: exact},
		{Sid: "Unbounded", Effect: deny, Action: fences, Resource: anything, Condition: unbounded},
	}
	denyElse := func(but ...list) statement {
		called := slices.Concat(but...)
		slices.Sort(called)
		return statement{Sid: "NothingElse", Effect: deny, NotAction: called, Resource: anything}
	}
	reads := slices.Concat(readsToGrant, readsToRevoke)
	slices.Sort(reads)

	grantor = render(slices.Concat(
		[]statement{may("Read", reads, anything), may("OwnRole", ownRole, own)}, toGrant, []statement{assume}, denyAdds,
		[]statement{
			{Sid: "OtherRoles", Effect: deny, Action: list{"sts:AssumeRole"}, NotResource: assume.Resource},
			denyElse(reads, ownRole, adds, fences, assume.Action),
		})...)
	revoker = render(slices.Concat(
		[]statement{may("Read", readsToRevoke, anything)}, toRevoke, []statement{denyElse(readsToRevoke, takes, credentials)})...)
	both = render(slices.Concat(
		[]statement{may("Read", reads, anything), may("OwnRole", ownRole, own)}, toGrant, toRevoke, denyAdds,
		[]statement{denyElse(reads, ownRole, adds, fences, takes, credentials)})...)
	return grantor, revoker, both
}
