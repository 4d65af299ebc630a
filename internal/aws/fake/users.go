// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"
	"unicode/utf8"
)

type userXML struct {
	Path                string
	UserName            string
	UserID              string `xml:"UserId"`
	Arn                 string
	CreateDate          string
	PasswordLastUsed    string       `xml:",omitempty"`
	PermissionsBoundary *boundaryXML `xml:",omitempty"`
	Tags                *list[tag]   `xml:",omitempty"`
}

type boundaryXML struct{ PermissionsBoundaryType, PermissionsBoundaryArn string }

type userResult struct{ User userXML }

// brief shows a user as the lists do: without tags and boundary.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ListUsers.html
func (c *call) brief(u *user) userXML {
	return userXML{
		Path: u.path, UserName: u.name, UserID: u.id, Arn: c.arn("user", u.path, u.name),
		CreateDate: stamp(u.created), PasswordLastUsed: stamp(u.passwordUsed),
	}
}

func (c *call) full(u *user) userResult {
	x := c.brief(u)
	if u.boundary != "" {
		x.PermissionsBoundary = &boundaryXML{"PermissionsBoundaryPolicy", u.boundary}
	}
	if len(u.tags) > 0 {
		x.Tags = &list[tag]{Member: slices.Clone(u.tags)}
	}
	return userResult{x}
}

func createUser(c *call) any {
	name, path, tags, boundary := c.name("UserName", 64), c.path("Path", "/"), c.tags(), c.boundary()
	switch {
	case c.err != nil:
		return nil
	case c.state.userNamed(name) != nil:
		return c.exists("User with name %s already exists.", name)
	case len(c.state.users) >= usersPerAccount:
		return c.exceeds("UsersPerAccount", usersPerAccount)
	}
	u := &user{entity: c.newEntity("user", "AIDA", name, path), tags: tags, boundary: boundary, again: c.iam.deleted[strings.ToLower(name)]}
	c.state.users[u.id] = u
	c.state.userIDs[strings.ToLower(name)] = u.id
	return c.full(u)
}

func getUser(c *call, u *user) any { return c.full(u) }

func updateUser(c *call, u *user) any {
	name, path := u.name, c.path("NewPath", u.path)
	if c.params.Get("NewUserName") != "" {
		name = c.name("NewUserName", 64)
	}
	if other := c.state.userNamed(name); other != nil && other != u {
		c.exists("User with name %s already exists.", name)
	}
	c.settled("User "+u.name, u, time.Time{})
	if c.err == nil {
		delete(c.state.userIDs, strings.ToLower(u.name))
		u.name, u.path = name, path
		c.state.userIDs[strings.ToLower(name)] = u.id
	}
	return nil
}

// deleteUser refuses while anything hangs on the user. The messages are recorded or from issue reports:
// rebuy-de/aws-nuke 281, 319 and 470, hashicorp/terraform 8621, mozilla-services/userplex 17.
func deleteUser(c *call, u *user) any {
	var first string
	switch {
	case len(c.state.groupsOf(u)) > 0:
		first = "remove users from group"
	case len(u.attached) > 0:
		first = "detach all policies"
	case len(u.inline) > 0:
		first = "delete policies"
	case u.login != nil:
		first = "delete login profile"
	case len(u.keys) > 0:
		first = "delete access keys"
	case len(c.state.devicesOf(u)) > 0:
		first = "delete MFA device"
	case len(u.leftovers) > 0:
		first = "remove referenced objects"
	default:
		c.forget(u)
		return nil
	}
	return c.deleteConflict("Cannot delete entity, must %s first.", first)
}

// forget takes the user, on whom nothing hangs, out of the account.
func (c *call) forget(u *user) {
	delete(c.state.users, u.id)
	delete(c.state.userIDs, strings.ToLower(u.name))
	c.iam.deleted[strings.ToLower(u.name)] = true
}

func listUsers(c *call) any {
	var users []userXML
	for _, u := range c.state.users {
		if c.inPath(u.path) {
			users = append(users, c.brief(u))
		}
	}
	return page(c, "Users", users, userKey)
}

func userKey(u userXML) string { return strings.ToLower(u.UserName) }

var tagPattern = regexp.MustCompile(`^[\p{L}\p{Z}\p{N}_.:/=+\-@]*$`)

// sameKey: the keys of the tags of a user or a device must differ by more than case.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_tags.html
func (t tag) sameKey(other tag) bool { return strings.EqualFold(t.Key, other.Key) }

// tags reads the parameters Tags.member.N.
func (c *call) tags() []tag {
	var tags []tag
	for i := 1; c.params.Has(fmt.Sprintf("Tags.member.%d.Key", i)); i++ {
		prefix := fmt.Sprintf("Tags.member.%d.", i)
		key, value := fmt.Sprintf("tags.%d.member.key", i), fmt.Sprintf("tags.%d.member.value", i)
		t := tag{c.params.Get(prefix + "Key"), c.params.Get(prefix + "Value")}
		switch {
		case t.Key == "":
			c.violates(key, "have length greater than or equal to 1")
		case utf8.RuneCountInString(t.Key) > 128:
			c.violates(key, "have length less than or equal to 128")
		case utf8.RuneCountInString(t.Value) > 256:
			c.violates(value, "have length less than or equal to 256")
		case !tagPattern.MatchString(t.Key):
			c.violates(key, `satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]+`)
		case !tagPattern.MatchString(t.Value):
			c.violates(value, `satisfy regular expression pattern: [\p{L}\p{Z}\p{N}_.:/=+\-@]*`)
		case slices.ContainsFunc(tags, t.sameKey):
			c.fail(http.StatusBadRequest, "InvalidInput", "Duplicate tag keys found.")
		}
		tags = append(tags, t)
	}
	if len(tags) > tagsPerEntity {
		c.violates("tags", "have length less than or equal to %d", tagsPerEntity)
	}
	return tags
}

func tagUser(c *call, u *user) any {
	u.tags = c.withTags(u.tags, "TagsPerUser")
	return nil
}

func untagUser(c *call, u *user) any {
	u.tags = c.withoutTags(u.tags)
	return nil
}

// withTags returns the tags together with those of the request, which replace others of their keys.
func (c *call) withTags(tags []tag, quota string) []tag {
	added := c.tags()
	kept := slices.DeleteFunc(slices.Clone(tags), func(t tag) bool { return slices.ContainsFunc(added, t.sameKey) })
	if len(kept)+len(added) > tagsPerEntity {
		c.exceeds(quota, tagsPerEntity)
	}
	if c.err != nil {
		return tags
	}
	return append(kept, added...)
}

// withoutTags returns the tags without those whose keys the request names.
func (c *call) withoutTags(tags []tag) []tag {
	kept := slices.Clone(tags)
	for _, key := range c.members("TagKeys") {
		kept = slices.DeleteFunc(kept, tag{Key: key}.sameKey)
	}
	c.unchanged = len(kept) == len(tags)
	return kept
}

func listUserTags(c *call, u *user) any {
	return page(c, "Tags", slices.Clone(u.tags), tagKey)
}

func tagKey(t tag) string { return t.Key }
