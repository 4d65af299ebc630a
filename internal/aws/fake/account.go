// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"regexp"
	"strings"
)

// https://docs.aws.amazon.com/IAM/latest/APIReference/API_CreateAccountAlias.html
var aliasPattern = regexp.MustCompile(`^[a-z0-9]([a-z0-9]|-[a-z0-9]){1,61}[a-z0-9]$`)

// createAccountAlias replaces an alias, of which an account has one at most.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/account-alias-create.html
func createAccountAlias(c *call) any {
	alias := c.required("AccountAlias")
	if len(alias) > 63 || !aliasPattern.MatchString(alias) {
		c.violates("AccountAlias", "satisfy regular expression pattern: ^[a-z0-9]([a-z0-9]|-(?!-)){1,61}[a-z0-9]$")
	}
	if c.err == nil {
		c.unchanged = c.state.alias == alias
		c.state.alias = alias
	}
	return nil
}

func deleteAccountAlias(c *call) any {
	alias := c.required("AccountAlias")
	if alias != c.state.alias {
		c.notFound("The account alias %s cannot be found.", alias)
	}
	if c.err == nil {
		c.state.alias = ""
	}
	return nil
}

func listAccountAliases(c *call) any {
	var aliases []string
	if alias := c.state.alias; alias != "" {
		aliases = append(aliases, alias)
	}
	return page(c, "AccountAliases", aliases, func(alias string) string { return alias })
}

func getAccountSummary(c *call) any {
	type entryXML struct {
		Key   string `xml:"key"`
		Value int    `xml:"value"`
	}
	inUse := 0
	for _, d := range c.state.devices {
		if d.owner != "" {
			inUse++
		}
	}
	return struct {
		SummaryMap []entryXML `xml:"SummaryMap>entry"`
	}{[]entryXML{
		{"AccessKeysPerUserQuota", keysPerUser},
		{"AccountMFAEnabled", 1},
		{"AttachedPoliciesPerGroupQuota", attachedPerEntity},
		{"AttachedPoliciesPerUserQuota", attachedPerEntity},
		{"GroupPolicySizeQuota", inlineSizePerGroup},
		{"Groups", len(c.state.groups)},
		{"GroupsPerUserQuota", groupsPerUser},
		{"GroupsQuota", groupsPerAccount},
		{"MFADevices", len(c.state.devices)},
		{"MFADevicesInUse", inUse},
		{"Policies", len(c.state.policies) - len(awsManaged)},
		{"PolicySizeQuota", policySize},
		{"UserPolicySizeQuota", inlineSizePerUser},
		{"Users", len(c.state.users)},
		{"UsersQuota", usersPerAccount},
	}}
}

// callerARN returns the ARN of the calling user or of the role session.
func (c *call) callerARN() string {
	if u := c.state.users[c.caller.user]; u != nil {
		return c.arn("user", u.path, u.name)
	}
	return c.sessionARN(c.caller.role, c.caller.session)
}

func getCallerIdentity(c *call) any {
	id := c.caller.user
	if id == "" {
		id = c.iam.roles[strings.ToLower(c.caller.role)].id + ":" + c.caller.session
	}
	return struct {
		Arn     string
		UserID  string `xml:"UserId"`
		Account string
	}{c.callerARN(), id, c.iam.config.Account}
}
