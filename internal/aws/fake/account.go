// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import "strings"

func listAccountAliases(c *call) any {
	var aliases []string
	if alias := c.iam.config.AccountAlias; alias != "" {
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
