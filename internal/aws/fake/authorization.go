// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// entityTypes are what GetAccountAuthorizationDetails can be asked for.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetAccountAuthorizationDetails.html
var entityTypes = []string{"User", "Role", "Group", "LocalManagedPolicy", "AWSManagedPolicy"}

type inlineXML struct{ PolicyName, PolicyDocument string }

// membersXML is an XML list of a fixed name, present also when empty.
type membersXML[T any] struct {
	Member []T `xml:"member"`
}

type userDetailXML struct {
	Path                    string
	UserName                string
	UserID                  string `xml:"UserId"`
	Arn                     string
	CreateDate              string
	UserPolicyList          membersXML[inlineXML]
	GroupList               membersXML[string]
	AttachedManagedPolicies membersXML[attachedXML]
	PermissionsBoundary     *boundaryXML `xml:",omitempty"`
	Tags                    membersXML[tag]
}

type groupDetailXML struct {
	groupXML
	GroupPolicyList         membersXML[inlineXML]
	AttachedManagedPolicies membersXML[attachedXML]
}

type policyDetailXML struct {
	policyXML
	PolicyVersionList membersXML[versionXML]
}

// detail is one item of the answer: exactly one of its fields is set.
type detail struct {
	user   *user
	group  *group
	policy *policy
}

// key orders the items: users, groups, policies, each by name.
func (d detail) key() string {
	switch {
	case d.user != nil:
		return "1 " + strings.ToLower(d.user.name)
	case d.group != nil:
		return "2 " + strings.ToLower(d.group.name)
	default:
		return "3 " + d.policy.arn
	}
}

// getAccountAuthorizationDetails pages over entities of all kinds together. It shows no roles, and every policy
// of AWS that it knows.
func getAccountAuthorizationDetails(c *call) any {
	wanted := c.entityTypes()
	var items []detail
	if wanted["User"] {
		for _, u := range c.state.users {
			items = append(items, detail{user: u})
		}
	}
	if wanted["Group"] {
		for _, g := range c.state.groups {
			items = append(items, detail{group: g})
		}
	}
	for _, p := range c.state.policies {
		if p.ofAWS() && wanted["AWSManagedPolicy"] || !p.ofAWS() && wanted["LocalManagedPolicy"] {
			items = append(items, detail{policy: p})
		}
	}
	items, marker := cutPage(c, items, detail.key)
	if c.err != nil {
		return nil
	}
	answer := struct {
		UserDetailList  membersXML[userDetailXML]
		GroupDetailList membersXML[groupDetailXML]
		RoleDetailList  membersXML[string]
		Policies        membersXML[policyDetailXML]
		IsTruncated     bool
		Marker          string `xml:",omitempty"`
	}{IsTruncated: marker != "", Marker: marker}
	for _, item := range items {
		switch {
		case item.user != nil:
			answer.UserDetailList.Member = append(answer.UserDetailList.Member, c.userDetail(item.user))
		case item.group != nil:
			answer.GroupDetailList.Member = append(answer.GroupDetailList.Member, groupDetailXML{
				groupXML: c.groupXML(item.group), GroupPolicyList: item.group.inlineXML(), AttachedManagedPolicies: c.attachedXML(&item.group.entity),
			})
		default:
			answer.Policies.Member = append(answer.Policies.Member, policyDetailXML{
				policyXML: c.policyXML(item.policy), PolicyVersionList: membersXML[versionXML]{[]versionXML{item.policy.versionXML()}},
			})
		}
	}
	return answer
}

// entityTypes reads the parameters Filter.member.N; none means all.
func (c *call) entityTypes() map[string]bool {
	wanted := map[string]bool{}
	for i := 1; c.params.Has(fmt.Sprintf("Filter.member.%d", i)); i++ {
		kind := c.params.Get(fmt.Sprintf("Filter.member.%d", i))
		if !slices.Contains(entityTypes, kind) {
			c.violates("filter", "satisfy constraint: [Member must satisfy enum value set: [%s]]", strings.Join(entityTypes, ", "))
		}
		wanted[kind] = true
	}
	if len(wanted) == 0 {
		for _, kind := range entityTypes {
			wanted[kind] = true
		}
	}
	return wanted
}

func (c *call) userDetail(u *user) userDetailXML {
	x := userDetailXML{
		Path: u.path, UserName: u.name, UserID: u.id, Arn: c.arn("user", u.path, u.name), CreateDate: stamp(u.created),
		UserPolicyList: u.inlineXML(), AttachedManagedPolicies: c.attachedXML(&u.entity), Tags: membersXML[tag]{slices.Clone(u.tags)},
	}
	if u.boundary != "" {
		x.PermissionsBoundary = &boundaryXML{"PermissionsBoundaryPolicy", u.boundary}
	}
	for _, g := range c.state.groupsOf(u) {
		x.GroupList.Member = append(x.GroupList.Member, g.name)
	}
	slices.Sort(x.GroupList.Member)
	return x
}

func (e *entity) inlineXML() membersXML[inlineXML] {
	var x membersXML[inlineXML]
	for _, name := range slices.Sorted(maps.Keys(e.inline)) {
		x.Member = append(x.Member, inlineXML{name, encode(e.inline[name])})
	}
	return x
}

func (c *call) attachedXML(e *entity) membersXML[attachedXML] {
	var x membersXML[attachedXML]
	for _, arn := range e.attached {
		x.Member = append(x.Member, attachedXML{c.state.policies[arn].name, arn})
	}
	slices.SortFunc(x.Member, func(a, b attachedXML) int { return cmp.Compare(a.PolicyArn, b.PolicyArn) })
	return x
}
