// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"maps"
	"slices"
	"strings"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
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

// What it calls for temporary users, by the role that has no other use.
var (
	readsOfTemporary = list{
		"iam:GetLoginProfile", "iam:GetUser", "iam:ListAccessKeys", "iam:ListAccountAliases", "iam:ListAttachedUserPolicies",
		"iam:ListGroupsForUser", "iam:ListMFADeviceTags", "iam:ListMFADevices", "iam:ListSSHPublicKeys",
		"iam:ListServiceSpecificCredentials", "iam:ListSigningCertificates", "iam:ListUserPolicies", "iam:ListVirtualMFADevices",
	}
	makes        = list{"iam:CreateUser"}
	tagsUsers    = list{"iam:TagUser"} // AWS asks for it within CreateUser
	opens        = list{"iam:CreateAccessKey", "iam:CreateLoginProfile", "iam:EnableMFADevice", "iam:PutUserPolicy"}
	makesDevices = list{"iam:CreateVirtualMFADevice", "iam:TagMFADevice"}
	clears       = list{
		"iam:DeactivateMFADevice", "iam:DeleteAccessKey", "iam:DeleteLoginProfile", "iam:DeleteSSHPublicKey",
		"iam:DeleteServiceSpecificCredential", "iam:DeleteSigningCertificate", "iam:DeleteUser", "iam:DeleteUserPolicy",
		"iam:DetachUserPolicy", "iam:UpdateAccessKey",
	}
	clearsDevices = list{"iam:DeleteVirtualMFADevice"}
)

// Operator renders the operator's own documents: everything that it calls, and no more. groups are the groups of the
// roles, by name (or by ARN, where one has a path); userPath is the path of the people, "/" for all of them. What makes
// temporary users is a role of its own (BreakGlassRole); with breakGlass it may be assumed.
func Operator(in Account, groups []string, userPath string, breakGlass bool) (grantor, revoker, both string) {
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

	own := list{in.arn("role" + Path + "*")}
	bounded := conditions{"StringEquals": {"iam:PermissionsBoundary": {in.Boundary()}}}
	unbounded := conditions{"StringNotEquals": {"iam:PermissionsBoundary": {in.Boundary()}}}
	fence := may("Fence", fences, users)
	fence.Condition = bounded
	toGrant := []statement{may("Add", adds, exact), fence}
	toRevoke := []statement{may("Take", takes, list{in.arn("group/*")}), may("Credentials", credentials, users)}
	denyAdds := []statement{
		{Sid: "OtherGroups", Effect: deny, Action: adds, NotResource: exact},
		{Sid: "Unbounded", Effect: deny, Action: fences, Resource: list{"*"}, Condition: unbounded},
	}
	reads := slices.Concat(readsToGrant, readsToRevoke)
	slices.Sort(reads)
	var forEmergencies list
	if breakGlass {
		forEmergencies = list{BreakGlassRoleName}
	}
	assumes := func(roles list) (allows, denies []statement, actions list) {
		if len(roles) == 0 {
			return nil, nil, nil
		}
		var arns list
		for _, r := range roles {
			arns = append(arns, in.arn("role"+Path+r))
		}
		actions = list{"sts:AssumeRole", "sts:TagSession"}
		return []statement{may("Roles", actions, arns)},
			[]statement{{Sid: "OtherRoles", Effect: deny, Action: list{"sts:AssumeRole"}, NotResource: arns}}, actions
	}

	allows, denies, assume := assumes(append(forEmergencies, RevokerName))
	grantor = render(slices.Concat(
		[]statement{may("Read", reads, list{"*"}), may("OwnRole", ownRole, own)}, toGrant, allows, denyAdds, denies,
		[]statement{nothingElse(reads, ownRole, adds, fences, assume)})...)
	revoker = render(slices.Concat(
		[]statement{may("Read", readsToRevoke, list{"*"})}, toRevoke, []statement{nothingElse(readsToRevoke, takes, credentials)})...)
	allows, denies, assume = assumes(forEmergencies)
	both = render(slices.Concat(
		[]statement{may("Read", reads, list{"*"}), may("OwnRole", ownRole, own)}, toGrant, toRevoke, allows, denyAdds, denies,
		[]statement{nothingElse(reads, ownRole, adds, fences, takes, credentials, assume)})...)
	return grantor, revoker, both
}

// BreakGlassRole renders the document of the role that makes and deletes temporary users. It makes them on their path, with
// their boundary and tags, alone. It writes and deletes there without a condition on the boundary: a user whose boundary
// somebody took off is to be deleted all the same.
func BreakGlassRole(in Account) string {
	users, devices := list{in.arn("user" + BreakGlassPath + "*")}, list{in.arn("mfa" + BreakGlassPath + "*")}
	tagged := map[string]list{}
	keys := list{v1alpha1.EmergencyTag, v1alpha1.ClusterTag}
	for _, k := range keys {
		tagged["aws:RequestTag/"+k] = list{"false"}
	}
	asOurs := conditions{"ForAllValues:StringEquals": {"aws:TagKeys": keys}, "Null": tagged}
	bounded := maps.Clone(asOurs)
	bounded["StringEquals"] = map[string]list{"iam:PermissionsBoundary": {in.BreakGlassBoundary()}}
	when := func(s statement, c conditions) statement {
		s.Condition = c
		return s
	}
	ofUsers := slices.Concat(makes, tagsUsers, opens, clears)
	slices.Sort(ofUsers)
	return render(
		may("Read", readsOfTemporary, list{"*"}),
		when(may("Make", makes, users), bounded),
		when(may("Tag", tagsUsers, users), asOurs),
		may("Open", opens, users),
		when(may("Device", makesDevices, devices), asOurs),
		may("Clear", clears, users),
		// A person may have enrolled one that is elsewhere. AWS deletes none that somebody uses.
		may("ClearDevices", clearsDevices, list{in.arn("mfa/*")}),
		statement{Sid: "OtherUsers", Effect: deny, Action: ofUsers, NotResource: users},
		statement{Sid: "OtherDevices", Effect: deny, Action: makesDevices, NotResource: devices},
		statement{
			Sid: "Unbounded", Effect: deny, Action: makes, Resource: list{"*"},
			Condition: conditions{"StringNotEquals": {"iam:PermissionsBoundary": {in.BreakGlassBoundary()}}},
		},
		nothingElse(readsOfTemporary, ofUsers, makesDevices, clearsDevices))
}

func may(sid string, what, on list) statement {
	return statement{Sid: sid, Effect: allow, Action: what, Resource: on}
}

func nothingElse(but ...list) statement {
	called := slices.Concat(but...)
	slices.Sort(called)
	return statement{Sid: "NothingElse", Effect: deny, NotAction: called, Resource: list{"*"}}
}
