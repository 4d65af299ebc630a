// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import "slices"

// Class is a kind of call that shares one limit.
type Class string

// The classes of calls.
const (
	Read    Class = "read"    // of one user, one group, or a page
	Account Class = "account" // of the whole account
	Add     Class = "add"     // what gives access, or prepares it
	Remove  Class = "remove"  // what takes something away
)

// Resource is what the right to an action is given on.
// Source: https://docs.aws.amazon.com/service-authorization/latest/reference/list_awsidentityandaccessmanagementiam.html
type Resource string

// The resources.
const (
	OnGroup    Resource = "group"
	OnUser     Resource = "user"
	OnAnything Resource = "*"
	OnRole     Resource = "role" // the operator's own

	OnTemporary Resource = "temporary user"
	OnMFADevice Resource = "MFA device" // of a temporary user
)

// Action is one operation of IAM that the operator uses, and the right that it needs for it.
type Action struct {
	// Operation is the name in the SDK; with "iam:" in front, the name of the right.
	Operation string
	Class     Class
	On        Resource
	// Grantor and Revoker say whose right it is: the operator's own role, and the one of --revoke-role-arn. Where there is
	// no revoker, the operator's own role has the rights of both.
	Grantor, Revoker bool
	// BreakGlass says that it is needed for temporary users, by the role of --break-glass-role-arn, or else by the operator's own.
	BreakGlass bool
	// WithBoundary says that the right is given only for users with a permissions boundary (iam:PermissionsBoundary).
	WithBoundary bool
	// Contains says that it takes away where it is part of the removal of a temporary user.
	Contains bool
	// Secret says that the request or the answer carries a secret, which what goes wrong must not repeat.
	Secret bool
	// Within is the operation that needs the right besides its own, where it is of none that is called.
	Within string
	// Optional says that nothing but the preflight lacks it.
	Optional bool
	// For says in words what would not work without it.
	For string
}

// Actions are all that the operator does in IAM. The grantor alone writes and removes fences: who removes one lengthens
// access. Those of temporary users are the exception.
var Actions = []Action{
	{Operation: "GetUser", Class: Read, On: OnUser, Grantor: true, Revoker: true, BreakGlass: true, For: "telling who a person is"},
	{Operation: "ListMFADevices", Class: Read, On: OnUser, Grantor: true, BreakGlass: true, For: "proving MFA"},
	{Operation: "ListGroupsForUser", Class: Read, On: OnUser, Grantor: true, Revoker: true, BreakGlass: true, For: "reading memberships back"},
	{Operation: "GetGroup", Class: Read, On: OnGroup, Grantor: true, Revoker: true, For: "watching the groups for strangers and removals"},
	{Operation: "ListAccessKeys", Class: Read, On: OnUser, Grantor: true, Revoker: true, BreakGlass: true, For: "judging the age of credentials, and deactivating them"},
	{Operation: "GetLoginProfile", Class: Read, On: OnUser, Grantor: true, Revoker: true, BreakGlass: true, For: "judging the age of credentials, and deactivating them"},
	{Operation: "ListUserPolicies", Class: Read, On: OnUser, Grantor: true, BreakGlass: true, For: "finding fences and the quarantine of AWS"},
	{Operation: "GetAccountAuthorizationDetails", Class: Account, On: OnAnything, Grantor: true, Revoker: true, For: "verifying the policies of groups, and finding users who were renamed"},
	{Operation: "GenerateCredentialReport", Class: Account, On: OnAnything, Grantor: true, For: "judging the age of credentials"},
	{Operation: "GetCredentialReport", Class: Account, On: OnAnything, Grantor: true, For: "judging the age of credentials"},
	{Operation: "AddUserToGroup", Class: Add, On: OnGroup, Grantor: true, For: "granting"},
	{Operation: "PutUserPolicy", Class: Add, On: OnUser, Grantor: true, BreakGlass: true, WithBoundary: true, Contains: true, For: "the fence"},
	{Operation: "DeleteUserPolicy", Class: Remove, On: OnUser, Grantor: true, BreakGlass: true, WithBoundary: true, For: "the fence"},
	{Operation: "RemoveUserFromGroup", Class: Remove, On: OnGroup, Revoker: true, For: "taking access away"},
	{Operation: "UpdateAccessKey", Class: Remove, On: OnUser, Revoker: true, BreakGlass: true, For: "deactivating credentials"},
	{Operation: "DeleteLoginProfile", Class: Remove, On: OnUser, Revoker: true, BreakGlass: true, For: "deactivating credentials"},
	{Operation: "CreateUser", Class: Add, On: OnTemporary, BreakGlass: true, For: "making temporary users"},
	{Operation: "TagUser", Class: Add, On: OnTemporary, BreakGlass: true, Within: "CreateUser", For: "making temporary users"},
	{Operation: "CreateLoginProfile", Class: Add, On: OnTemporary, BreakGlass: true, Secret: true, For: "the console password of a temporary user"},
	{Operation: "CreateVirtualMFADevice", Class: Add, On: OnMFADevice, BreakGlass: true, Secret: true, For: "the MFA device of a temporary user"},
	{Operation: "TagMFADevice", Class: Add, On: OnMFADevice, BreakGlass: true, Within: "CreateVirtualMFADevice", For: "the MFA device of a temporary user"},
	{Operation: "EnableMFADevice", Class: Add, On: OnTemporary, BreakGlass: true, Secret: true, For: "the MFA device of a temporary user"},
	{Operation: "CreateAccessKey", Class: Add, On: OnTemporary, BreakGlass: true, Secret: true, For: "the access key of a temporary user"},
	{Operation: "ListAccountAliases", Class: Read, On: OnAnything, BreakGlass: true, For: "telling where a temporary user signs in"},
	{Operation: "ListVirtualMFADevices", Class: Read, On: OnAnything, BreakGlass: true, For: "finding MFA devices that are left of temporary users"},
	{Operation: "ListMFADeviceTags", Class: Read, On: OnMFADevice, BreakGlass: true, For: "finding MFA devices that are left of temporary users"},
	{Operation: "ListSigningCertificates", Class: Read, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "ListSSHPublicKeys", Class: Read, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "ListServiceSpecificCredentials", Class: Read, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "ListAttachedUserPolicies", Class: Read, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeactivateMFADevice", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteVirtualMFADevice", Class: Remove, On: OnMFADevice, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteAccessKey", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteSigningCertificate", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteSSHPublicKey", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteServiceSpecificCredential", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DetachUserPolicy", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "DeleteUser", Class: Remove, On: OnTemporary, BreakGlass: true, For: "deleting temporary users"},
	{Operation: "GetRole", Class: Read, On: OnRole, Grantor: true, Optional: true, For: "the preflight"},
	{Operation: "SimulatePrincipalPolicy", Class: Read, On: OnRole, Grantor: true, Optional: true, For: "the preflight"},
}

// actionOf is the row of an operation. One without a row is taken for a read that anybody may sign.
func actionOf(operation string) Action {
	i := slices.IndexFunc(Actions, func(a Action) bool { return a.Operation == operation })
	if i < 0 {
		return Action{Operation: operation, Class: Read}
	}
	return Actions[i]
}

// write says whether the action changes anything in AWS.
func (a Action) write() bool { return a.Class == Add || a.Class == Remove }
