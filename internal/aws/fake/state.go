// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// state is everything the account holds.
type state struct {
	users    map[string]*user  // by id
	userIDs  map[string]string // id by lower-case name
	groups   map[string]*group // by lower-case name
	policies map[string]*policy
	devices  map[string]device // by serial number
	alias    string            // of the account
}

// entity is what users and groups have in common.
type entity struct {
	kind     string // "user" or "group"
	id       string
	name     string
	path     string
	created  time.Time
	inline   map[string]string // policy document by name
	attached []string          // policy ARNs
}

type user struct {
	entity
	tags         []tag
	boundary     string // policy ARN
	keys         []accessKey
	login        *loginProfile
	leftovers    []leftover
	passwordUsed time.Time
	again        bool // whether the name was that of a user who is deleted
}

type group struct {
	entity
	members map[string]bool // by user id, so that a rename keeps and a re-creation loses the membership
}

// policy is a managed policy. It does not change once made.
type policy struct {
	id, name, path, arn, description, document string
	created                                    time.Time
}

// device is an MFA device. A virtual one is of nobody until it is enabled; a security key has no seed, path or tags, and
// is gone once it is of nobody.
type device struct {
	serial, seed, owner string
	path                string
	tags                []tag
	enabled             time.Time
}

// virtual reports whether CreateVirtualMFADevice made the device.
func (d device) virtual() bool { return d.seed != "" }

type accessKey struct {
	id, status string
	created    time.Time
	changed    time.Time // when it was made or its status last changed, which the credential report shows
}

// loginProfile is a console password. It does not change: another takes its place.
type loginProfile struct {
	created       time.Time
	changed       time.Time // when the password was last set
	password      string
	resetRequired bool
}

type tag struct{ Key, Value string }

func newState(now time.Time) *state {
	s := &state{
		users: map[string]*user{}, userIDs: map[string]string{}, groups: map[string]*group{},
		policies: map[string]*policy{}, devices: map[string]device{},
	}
	for _, p := range awsManaged {
		p.arn = "arn:aws:iam::aws:policy" + p.path + p.name
		p.created = now
		s.policies[p.arn] = &p
	}
	return s
}

func (s *state) clone() *state {
	c := &state{
		users: make(map[string]*user, len(s.users)), userIDs: maps.Clone(s.userIDs),
		groups: make(map[string]*group, len(s.groups)), policies: maps.Clone(s.policies), devices: maps.Clone(s.devices),
		alias: s.alias,
	}
	for id, old := range s.users {
		u := *old
		u.entity = old.cloneEntity()
		u.tags, u.keys = slices.Clone(old.tags), slices.Clone(old.keys)
		u.leftovers = slices.Clone(old.leftovers)
		c.users[id] = &u
	}
	for name, old := range s.groups {
		c.groups[name] = &group{entity: old.cloneEntity(), members: maps.Clone(old.members)}
	}
	return c
}

// newEntity returns what a new user or group starts from.
func (c *call) newEntity(kind, idPrefix, name, path string) entity {
	return entity{
		kind: kind, id: c.newID(idPrefix, 21), name: name, path: path, created: c.now, inline: map[string]string{},
	}
}

func (e entity) cloneEntity() entity {
	e.inline, e.attached = maps.Clone(e.inline), slices.Clone(e.attached)
	return e
}

// userNamed returns the user of that name in any case, or nil.
func (s *state) userNamed(name string) *user {
	return s.users[s.userIDs[strings.ToLower(name)]]
}

// groupNamed returns the group of that name in any case, or nil.
func (s *state) groupNamed(name string) *group {
	return s.groups[strings.ToLower(name)]
}

func (s *state) groupsOf(u *user) []*group {
	var groups []*group
	for _, g := range s.groups {
		if g.members[u.id] {
			groups = append(groups, g)
		}
	}
	return groups
}

func (s *state) devicesOf(u *user) []device {
	var devices []device
	for _, d := range s.devices {
		if d.owner == u.id {
			devices = append(devices, d)
		}
	}
	return devices
}

// accessKey returns the key with that id and its owner, or nil twice.
func (s *state) accessKey(id string) (*user, *accessKey) {
	for _, u := range s.users {
		for i := range u.keys {
			if u.keys[i].id == id {
				return u, &u.keys[i]
			}
		}
	}
	return nil, nil
}

// attachments counts the users and groups that hold the policy, and the users it bounds.
func (s *state) attachments(arn string) (attached, bounding int) {
	for _, u := range s.users {
		if slices.Contains(u.attached, arn) {
			attached++
		}
		if u.boundary == arn {
			bounding++
		}
	}
	for _, g := range s.groups {
		if slices.Contains(g.attached, arn) {
			attached++
		}
	}
	return attached, bounding
}
