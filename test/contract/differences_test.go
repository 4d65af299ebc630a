// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package contract

// difference is a check that moto is known to fail.
type difference struct {
	op, holds string // of the check
	shows     string // part of what is seen instead
	reason    string
}

const (
	onePage     = "moto does not cut this list into pages"
	byCase      = "moto compares names with regard to case"
	noQuotas    = "moto does not count"
	noBoundary  = "moto keeps no boundaries of users"
	noSimulator = "moto does not implement this and fails"
	deletesAll  = "moto deletes a user with what hangs on it"
)

// differences is where moto is not like AWS. None of it is something that the operator may rely on instead.
var differences = []difference{
	{"CreateUser", "gives an id of AIDA and 21 characters in all", "want AIDA", "moto makes up 20 lower-case letters and digits"},
	{"CreateUser", "refuses a name that is taken in another case", "it succeeds", byCase},
	{"CreateUser", "refuses a name of 65 characters", "it succeeds", "moto does not look at the length of names"},
	{"DeleteUser", "refuses while the user is in a group", "it succeeds", "moto does not look for memberships"},
	{"GetUser", "shows the permissions boundary", "shown is <nil>", noBoundary},
	{"CreateGroup", "gives an id of AGPA and 21 characters in all", "want AGPA", "moto makes up 20 lower-case letters and digits"},
	{"CreateGroup", "refuses a name that is taken in another case", "it succeeds", byCase},
	{"GetGroup", "gives as many members at a time as it is asked for", "[3], want [2 1]", onePage},
	{"ListGroupsForUser", "gives as many groups at a time as it is asked for", "is 3, want 2", onePage},
	{"ListUserPolicies", "gives as many names at a time as it is asked for", "is 2, want 1", onePage},
	{"GetAccountAuthorizationDetails", "gives as many entities at a time as it is asked for", "pages is 1, want 2", onePage},
	{"GetAccountAuthorizationDetails", "shows the boundary of users", "the boundary is <nil>", noBoundary},
	{"AddUserToGroup", "refuses an eleventh group", "it succeeds", noQuotas},
	{"RemoveUserFromGroup", "succeeds for a user who is not a member", "answers NoSuchEntity 404", "moto takes it for a mistake; the operator takes either answer"},
	{"EnableMFADevice", "refuses codes that are not of the device", "it succeeds", "moto does not compute codes"},
	{"PutUserPolicy", "refuses 2,049 characters in all", "it succeeds", noQuotas},
	{"PutGroupPolicy", "refuses 5,121 characters in all", "it succeeds", noQuotas},
	{"GenerateCredentialReport", "keeps a report of which four hours have not passed", "is in it", "moto writes the report when it is read"},
	{"GetCredentialReport", "has a line for the root user", "the ARN is ,", "moto has no root user"},
	{"GetCredentialReport", "tells of a user without credentials", "password_last_used is not_supported", "moto gives every user the times of a password"},
	{"AssumeRole", "refuses a role that does not exist", "it succeeds", "moto does not look for the role"},
	{"ListMFADeviceTags", "shows the tags of a device", "answers  500", noSimulator},
	{"DeleteAccessKey", "deletes a key, which kept the user", "it succeeds", deletesAll},
	{"DeleteSSHPublicKey", "deletes a key, which kept the user", "it succeeds", deletesAll},
	{"DeleteSigningCertificate", "deletes a certificate, which kept the user", "it succeeds", deletesAll},
	{"ListServiceSpecificCredentials", "shows those of every service", "answers  500", noSimulator},
	{"DeleteServiceSpecificCredential", "deletes one, which kept the user", "answers  500", noSimulator},
	{"SimulatePrincipalPolicy", "answers each action for each resource", "answers  500", noSimulator},
	{"SimulatePrincipalPolicy", "refuses the ARN of a session", "answers  500", noSimulator},
}
