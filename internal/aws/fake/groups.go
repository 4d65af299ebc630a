// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import "strings"

type groupXML struct {
	Path       string
	GroupName  string
	GroupID    string `xml:"GroupId"`
	Arn        string
	CreateDate string
}

func (c *call) groupXML(g *group) groupXML {
	return groupXML{
		Path: g.path, GroupName: g.name, GroupID: g.id, Arn: c.arn("group", g.path, g.name), CreateDate: stamp(g.created),
	}
}

func createGroup(c *call) any {
	name, path := c.name("GroupName", 128), c.path("Path", "/")
	switch {
	case c.err != nil:
		return nil
	case c.state.groupNamed(name) != nil:
		return c.exists("Group with name %s already exists.", name)
	case len(c.state.groups) >= groupsPerAccount:
		return c.exceeds("GroupsPerAccount", groupsPerAccount)
	}
	g := &group{entity: c.newEntity("group", "AGPA", name, path), members: map[string]bool{}}
	c.state.groups[strings.ToLower(name)] = g
	return struct{ Group groupXML }{c.groupXML(g)}
}

func getGroup(c *call, g *group) any {
	var users []userXML
	for id := range g.members {
		users = append(users, c.brief(c.state.users[id]))
	}
	answer, ok := page(c, "Users", users, userKey).(pageXML[userXML])
	if !ok {
		return nil
	}
	x := c.groupXML(g)
	answer.Group = &x
	return answer
}

func updateGroup(c *call, g *group) any {
	name, path := g.name, c.path("NewPath", g.path)
	if c.params.Get("NewGroupName") != "" {
		name = c.name("NewGroupName", 128)
	}
	if other := c.state.groupNamed(name); other != nil && other != g {
		c.exists("Group with name %s already exists.", name)
	}
	if c.err == nil {
		delete(c.state.groups, strings.ToLower(g.name))
		g.name, g.path = name, path
		c.state.groups[strings.ToLower(name)] = g
	}
	return nil
}

func deleteGroup(c *call, g *group) any {
	switch {
	case len(g.members) > 0:
		return c.deleteConflict("Cannot delete entity, must remove users from group first.")
	case len(g.attached) > 0:
		return c.deleteConflict("Cannot delete entity, must detach all policies first.")
	case len(g.inline) > 0:
		return c.deleteConflict("Cannot delete entity, must delete policies first.")
	}
	delete(c.state.groups, strings.ToLower(g.name))
	return nil
}

func groupKey(g groupXML) string { return strings.ToLower(g.GroupName) }

func listGroups(c *call) any {
	var groups []groupXML
	for _, g := range c.state.groups {
		if c.inPath(g.path) {
			groups = append(groups, c.groupXML(g))
		}
	}
	return page(c, "Groups", groups, groupKey)
}

func listGroupsForUser(c *call, u *user) any {
	var groups []groupXML
	for _, g := range c.state.groupsOf(u) {
		groups = append(groups, c.groupXML(g))
	}
	return page(c, "Groups", groups, groupKey)
}

// membership returns the two sides of a membership. AWS looks for the user first.
func (c *call) membership() (*user, *group) {
	c.name("GroupName", 128)
	return c.user(), c.group()
}

func addUserToGroup(c *call) any {
	u, g := c.membership()
	switch {
	case c.err != nil:
	case g.members[u.id]:
		c.unchanged = true
	case len(c.state.groupsOf(u)) >= groupsPerUser:
		c.exceeds("GroupsPerUser", groupsPerUser)
	default:
		g.members[u.id] = true
	}
	return nil
}

func removeUserFromGroup(c *call) any {
	u, g := c.membership()
	if c.err == nil {
		c.unchanged = !g.members[u.id]
		delete(g.members, u.id)
	}
	return nil
}
