// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"cmp"
	"encoding/base64"
	"encoding/xml"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Quotas of https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html; sizes in characters without
// white space.
const (
	usersPerAccount    = 5000
	groupsPerAccount   = 300
	groupsPerUser      = 10
	keysPerUser        = 2
	devicesPerUser     = 8
	certificatesOfUser = 2
	sshKeysPerUser     = 5
	tagsPerEntity      = 50
	attachedPerEntity  = 10
	inlineSizePerUser  = 2048
	inlineSizePerGroup = 5120
	policySize         = 6144
)

// handler carries out an operation. It returns the content of the answer, or nil for none, and reports failure in
// call.err, before which it changes nothing.
type handler func(*call) any

type operation struct {
	run      handler
	write    bool
	sts      bool
	unsigned bool
}

func (o operation) apiVersion() string {
	if o.sts {
		return "2011-06-15"
	}
	return "2010-05-08"
}

func (o operation) namespace() string {
	if o.sts {
		return "https://sts.amazonaws.com/doc/2011-06-15/"
	}
	return "https://iam.amazonaws.com/doc/2010-05-08/"
}

func reads(run handler) operation  { return operation{run: run} }
func writes(run handler) operation { return operation{run: run, write: true} }

var operations = map[string]operation{
	"CreateUser": writes(createUser), "GetUser": reads(ofUserOrCaller(getUser)),
	"UpdateUser": writes(ofUser(updateUser)), "DeleteUser": writes(ofUser(deleteUser)), "ListUsers": reads(listUsers),
	"TagUser": writes(ofUser(tagUser)), "UntagUser": writes(ofUser(untagUser)), "ListUserTags": reads(ofUser(listUserTags)),

	"CreateGroup": writes(createGroup), "GetGroup": reads(ofGroup(getGroup)),
	"UpdateGroup": writes(ofGroup(updateGroup)), "DeleteGroup": writes(ofGroup(deleteGroup)),
	"ListGroups": reads(listGroups), "ListGroupsForUser": reads(ofUser(listGroupsForUser)),
	"AddUserToGroup": writes(addUserToGroup), "RemoveUserFromGroup": writes(removeUserFromGroup),

	"PutUserPolicy": writes(onUser(putPolicy)), "PutGroupPolicy": writes(onGroup(putPolicy)),
	"GetUserPolicy": reads(onUser(getInlinePolicy)), "GetGroupPolicy": reads(onGroup(getInlinePolicy)),
	"DeleteUserPolicy": writes(onUser(deleteInlinePolicy)), "DeleteGroupPolicy": writes(onGroup(deleteInlinePolicy)),
	"ListUserPolicies": reads(onUser(listInlinePolicies)), "ListGroupPolicies": reads(onGroup(listInlinePolicies)),
	"AttachUserPolicy": writes(onUser(attachPolicy)), "AttachGroupPolicy": writes(onGroup(attachPolicy)),
	"DetachUserPolicy": writes(onUser(detachPolicy)), "DetachGroupPolicy": writes(onGroup(detachPolicy)),
	"ListAttachedUserPolicies":      reads(onUser(listAttachedPolicies)),
	"ListAttachedGroupPolicies":     reads(onGroup(listAttachedPolicies)),
	"PutUserPermissionsBoundary":    writes(ofUser(putUserPermissionsBoundary)),
	"DeleteUserPermissionsBoundary": writes(ofUser(deleteUserPermissionsBoundary)),

	"CreatePolicy": writes(createPolicy), "DeletePolicy": writes(deletePolicy), "ListPolicies": reads(listPolicies),
	"GetPolicy": reads(getPolicy), "GetPolicyVersion": reads(getPolicyVersion),

	"CreateVirtualMFADevice": writes(createVirtualMFADevice), "EnableMFADevice": writes(ofUser(enableMFADevice)),
	"DeactivateMFADevice":    writes(ofUserOrCaller(deactivateMFADevice)),
	"DeleteVirtualMFADevice": writes(deleteVirtualMFADevice),
	"TagMFADevice":           writes(tagMFADevice), "UntagMFADevice": writes(untagMFADevice), "ListMFADeviceTags": reads(listMFADeviceTags),
	"ListMFADevices": reads(ofUserOrCaller(listMFADevices)), "ListVirtualMFADevices": reads(listVirtualMFADevices),

	"CreateAccessKey": writes(ofUserOrCaller(createAccessKey)), "UpdateAccessKey": writes(ofUserOrCaller(updateAccessKey)),
	"DeleteAccessKey": writes(ofUserOrCaller(deleteAccessKey)), "ListAccessKeys": reads(ofUserOrCaller(listAccessKeys)),
	"GetAccessKeyLastUsed": reads(getAccessKeyLastUsed),

	"CreateLoginProfile": writes(ofUserOrCaller(createLoginProfile)),
	"GetLoginProfile":    reads(ofUserOrCaller(getLoginProfile)),
	"UpdateLoginProfile": writes(ofUser(updateLoginProfile)), "ChangePassword": writes(changePassword),
	"DeleteLoginProfile": writes(ofUserOrCaller(deleteLoginProfile)),

	"UploadSigningCertificate":        writes(ofUserOrCaller(uploadSigningCertificate)),
	"ListSigningCertificates":         reads(listLeftovers(SigningCertificate)),
	"DeleteSigningCertificate":        writes(deleteLeftover(SigningCertificate)),
	"UploadSSHPublicKey":              writes(ofUser(uploadSSHPublicKey)),
	"ListSSHPublicKeys":               reads(listLeftovers(SSHPublicKey)),
	"DeleteSSHPublicKey":              writes(deleteLeftover(SSHPublicKey)),
	"CreateServiceSpecificCredential": writes(ofUser(createServiceSpecificCredential)),
	"ListServiceSpecificCredentials":  reads(listLeftovers(ServiceSpecificCredential)),
	"DeleteServiceSpecificCredential": writes(deleteLeftover(ServiceSpecificCredential)),

	"GenerateCredentialReport": reads(generateCredentialReport), "GetCredentialReport": reads(getCredentialReport),

	"CreateRole": writes(createRole), "GetRole": reads(getRole),
	"SimulatePrincipalPolicy":   reads(simulatePrincipalPolicy),
	"AssumeRole":                {run: assumeRole, sts: true},
	"AssumeRoleWithWebIdentity": {run: assumeRoleWithWebIdentity, sts: true, unsigned: true},

	"CreateAccountAlias": writes(createAccountAlias), "DeleteAccountAlias": writes(deleteAccountAlias),
	"ListAccountAliases": reads(listAccountAliases), "GetAccountSummary": reads(getAccountSummary),
	"GetAccountAuthorizationDetails": reads(getAccountAuthorizationDetails),
	"GetCallerIdentity":              {run: getCallerIdentity, sts: true},
}

// ofUser runs an operation on the user that UserName names.
func ofUser(run func(*call, *user) any) handler {
	return func(c *call) any {
		if u := c.user(); u != nil {
			return run(c, u)
		}
		return nil
	}
}

// ofUserOrCaller is ofUser for the operations in which AWS takes a missing UserName to mean the caller. A role
// session is no user, so it must name one.
func ofUserOrCaller(run func(*call, *user) any) handler {
	return func(c *call) any {
		if c.params.Get("UserName") != "" {
			return ofUser(run)(c)
		}
		if u := c.state.users[c.caller.user]; u != nil {
			return run(c, u)
		}
		return c.invalid("Must specify userName when calling with non-User credentials")
	}
}

// ofGroup runs an operation on the group that GroupName names.
func ofGroup(run func(*call, *group) any) handler {
	return func(c *call) any {
		if g := c.group(); g != nil {
			return run(c, g)
		}
		return nil
	}
}

// onUser and onGroup run an operation that users and groups share.
func onUser(run func(*call, *entity) any) handler {
	return ofUser(func(c *call, u *user) any { return run(c, &u.entity) })
}

func onGroup(run func(*call, *entity) any) handler {
	return ofGroup(func(c *call, g *group) any { return run(c, &g.entity) })
}

// call is one operation under way, under the lock of the fake.
type call struct {
	iam       *IAM
	state     *state
	op        string
	params    url.Values
	now       time.Time
	caller    caller
	unchanged bool        // set by a write that found nothing to do
	err       *apiFailure // the first failure
}

// fail and the functions after it note a failure. They return nil for the handler to return.
func (c *call) fail(status int, code, format string, args ...any) any {
	if c.err == nil {
		c.err = &apiFailure{status: status, code: code, message: fmt.Sprintf(format, args...)}
	}
	return nil
}

func (c *call) notFound(format string, args ...any) any {
	return c.fail(http.StatusNotFound, "NoSuchEntity", format, args...)
}

func (c *call) exists(format string, args ...any) any {
	return c.fail(http.StatusConflict, "EntityAlreadyExists", format, args...)
}

func (c *call) deleteConflict(format string, args ...any) any {
	return c.fail(http.StatusConflict, "DeleteConflict", format, args...)
}

func (c *call) invalid(format string, args ...any) any {
	return c.fail(http.StatusBadRequest, "ValidationError", format, args...)
}

// violates is how AWS reports a parameter outside its model.
func (c *call) violates(parameter, constraint string, args ...any) any {
	return c.invalid("1 validation error detected: Value at '%s' failed to satisfy constraint: Member must %s",
		strings.ToLower(parameter[:1])+parameter[1:], fmt.Sprintf(constraint, args...))
}

func (c *call) exceeds(quota string, limit int) any {
	return c.fail(http.StatusConflict, "LimitExceeded", "Cannot exceed quota for %s: %d", quota, limit)
}

var (
	namePattern = regexp.MustCompile(`^[\w+=,.@-]+$`)
	pathPattern = regexp.MustCompile(`^/$|^/[!-\x7e]+/$`)
)

// required returns a parameter that must be there.
func (c *call) required(parameter string) string {
	v := c.params.Get(parameter)
	if v == "" {
		c.violates(parameter, "not be null")
	}
	return v
}

// name returns a parameter that must be a name of at most limit characters.
func (c *call) name(parameter string, limit int) string {
	v := c.required(parameter)
	switch {
	case len(v) > limit:
		c.violates(parameter, "have length less than or equal to %d", limit)
	case !namePattern.MatchString(v):
		c.invalid("The specified value for %s is invalid. It must contain only alphanumeric characters and/or the "+
			"following: +=,.@_-", strings.ToLower(parameter[:1])+parameter[1:])
	}
	return v
}

// path returns a path parameter, or otherwise if it is not given.
func (c *call) path(parameter, otherwise string) string {
	v := cmp.Or(c.params.Get(parameter), otherwise)
	switch {
	case len(v) > 512:
		c.violates(parameter, "have length less than or equal to 512")
	case !pathPattern.MatchString(v):
		c.invalid("The specified value for path is invalid. It must begin and end with / and contain only " +
			"alphanumeric characters and/or / characters.")
	}
	return v
}

// inPath reports whether a path is within the one that a list is asked for.
func (c *call) inPath(path string) bool { return strings.HasPrefix(path, c.params.Get("PathPrefix")) }

// user returns the user that UserName names, or fails and returns nil.
func (c *call) user() *user {
	name := c.name("UserName", 128)
	u := c.state.userNamed(name)
	if u == nil {
		c.notFound("The user with name %s cannot be found.", name)
	}
	return u
}

// group returns the group that GroupName names, or fails and returns nil.
func (c *call) group() *group {
	name := c.name("GroupName", 128)
	g := c.state.groupNamed(name)
	if g == nil {
		c.notFound("The group with name %s cannot be found.", name)
	}
	return g
}

func (c *call) arn(kind, path, name string) string {
	return fmt.Sprintf("arn:aws:iam::%s:%s%s%s", c.iam.config.Account, kind, path, name)
}

const idAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"

// newID returns a unique identifier of that prefix and length.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func (c *call) newID(prefix string, length int) string {
	id := []byte(prefix)
	for len(id) < length {
		id = append(id, idAlphabet[c.iam.rand.IntN(len(idAlphabet))])
	}
	return string(id)
}

// list is an XML list as AWS writes it: present also when empty.
type list[T any] struct {
	XMLName xml.Name
	Member  []T `xml:"member"`
}

// pageXML is the answer to a list operation.
type pageXML[T any] struct {
	Group       *groupXML `xml:",omitempty"` // of GetGroup
	Items       list[T]
	IsTruncated bool
	Marker      string `xml:",omitempty"`
}

// page answers with those of the items that the request asks for, in an element of that name and in order of key,
// which must be unique. A marker names the last item before the page, and is good only for the operation that gave it.
func page[T any](c *call, element string, items []T, key func(T) string) any {
	p := pageXML[T]{}
	p.Items = list[T]{XMLName: xml.Name{Local: element}}
	p.Items.Member, p.Marker = cutPage(c, items, key)
	if c.err != nil {
		return nil
	}
	p.IsTruncated = p.Marker != ""
	return p
}

// cutPage returns those of the items that the request asks for, and the marker of the page after them, empty for the last.
func cutPage[T any](c *call, items []T, key func(T) string) (members []T, marker string) {
	limit := 100
	if v := c.params.Get("MaxItems"); v != "" {
		n, err := strconv.Atoi(v)
		switch {
		case err != nil || n < 1:
			c.violates("maxItems", "have value greater than or equal to 1")
		case n > 1000:
			c.violates("maxItems", "have value less than or equal to 1000")
		}
		limit = max(n, 1)
	}
	if c.iam.pageLimit > 0 {
		limit = min(limit, c.iam.pageLimit)
	}
	slices.SortFunc(items, func(a, b T) int { return strings.Compare(key(a), key(b)) })
	if c.params.Has("Marker") {
		text, err := base64.RawURLEncoding.DecodeString(c.params.Get("Marker"))
		last, ok := strings.CutPrefix(string(text), c.op+" ")
		if err != nil || !ok {
			c.invalid("Invalid Marker.")
		}
		items = slices.DeleteFunc(items, func(item T) bool { return key(item) <= last })
	}
	if len(items) > limit {
		items = items[:limit]
		marker = base64.RawURLEncoding.EncodeToString([]byte(c.op + " " + key(items[limit-1])))
	}
	return items, marker
}
