// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

// Seed is the content of an account to start from.
type Seed struct {
	Users  []User  `json:"users,omitempty"`
	Groups []Group `json:"groups,omitempty"`
}

// User is a user to add.
type User struct {
	Name string            `json:"name"`
	Path string            `json:"path,omitempty"` // default "/"
	Tags map[string]string `json:"tags,omitempty"`
	MFA  bool              `json:"mfa,omitempty"` // whether to enable a virtual MFA device
	// Boundary is the ARN of the permissions boundary. A policy of the account is made if there is none.
	Boundary string `json:"boundary,omitempty"`
	// PasswordAge and KeyAge give the user a console password and an active access key made that long ago; nil for none.
	PasswordAge *metav1.Duration `json:"passwordAge,omitempty"`
	KeyAge      *metav1.Duration `json:"keyAge,omitempty"`
}

// Group is a group to add. Its members must exist by then.
type Group struct {
	Name    string   `json:"name"`
	Path    string   `json:"path,omitempty"` // default "/"
	Members []string `json:"members,omitempty"`
	// Policies are inline policy documents by name.
	Policies map[string]string `json:"policies,omitempty"`
}

// Load adds the users, then the groups of seed. It fails as AWS would, with what came before already added.
func (f *IAM) Load(seed Seed) error {
	for _, u := range seed.Users {
		params := map[string]string{"UserName": u.Name, "Path": u.Path}
		n := 0
		for key, value := range u.Tags {
			n++
			params[fmt.Sprintf("Tags.member.%d.Key", n)] = key
			params[fmt.Sprintf("Tags.member.%d.Value", n)] = value
		}
		if err := f.Admin("CreateUser", params); err != nil {
			return fmt.Errorf("user %q: %w", u.Name, err)
		}
		if u.MFA {
			f.AddMFA(u.Name)
		}
		if u.PasswordAge != nil {
			f.AddPasswordAt(u.Name, f.clock.Now().Add(-u.PasswordAge.Duration))
		}
		if u.KeyAge != nil {
			f.AddAccessKey(u.Name, f.clock.Now().Add(-u.KeyAge.Duration))
		}
		if u.Boundary != "" {
			if err := f.bound(u.Name, u.Boundary); err != nil {
				return fmt.Errorf("boundary of user %q: %w", u.Name, err)
			}
		}
	}
	for _, g := range seed.Groups {
		if err := f.Admin("CreateGroup", map[string]string{"GroupName": g.Name, "Path": g.Path}); err != nil {
			return fmt.Errorf("group %q: %w", g.Name, err)
		}
		for _, member := range g.Members {
			err := f.Admin("AddUserToGroup", map[string]string{"GroupName": g.Name, "UserName": member})
			if err != nil {
				return fmt.Errorf("member %q of group %q: %w", member, g.Name, err)
			}
		}
		for name, document := range g.Policies {
			err := f.Admin("PutGroupPolicy", map[string]string{"GroupName": g.Name, "PolicyName": name, "PolicyDocument": document})
			if err != nil {
				return fmt.Errorf("policy %q of group %q: %w", name, g.Name, err)
			}
		}
	}
	return nil
}

// Admin carries out one operation as somebody else in the account would: with all of its checks, but without HTTP,
// faults, throttle, hooks and log. The error begins with the code of AWS.
func (f *IAM) Admin(op string, params map[string]string) error {
	if _, ok := operations[op]; !ok {
		return errors.New("InvalidAction: " + op)
	}
	values := url.Values{}
	for name, value := range params {
		values.Set(name, value)
	}
	_, _, err := f.apply(op, values, f.operator())
	return err
}

// must is Admin for the helpers below, which are for tests: what cannot be done is a mistake in the test.
func (f *IAM) must(op string, params map[string]string) {
	if err := f.Admin(op, params); err != nil {
		panic(fmt.Sprintf("fake: %s %v: %v", op, params, err))
	}
}

// edit changes the state under the lock, past the checks of the API.
func (f *IAM) edit(change func(*call)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := &call{iam: f, state: f.state, now: f.clock.Now()}
	change(c)
	f.remember(c.now)
}

// mustUser returns the user of that name.
func (c *call) mustUser(name string) *user {
	u := c.state.userNamed(name)
	if u == nil {
		panic(fmt.Sprintf("fake: no user %q", name))
	}
	return u
}

// The helpers below seed and read the true state, whatever reads over HTTP may see. They panic on names that do not
// exist or cannot be.

// AddUser adds a user and returns its id.
func (f *IAM) AddUser(u User) string {
	if err := f.Load(Seed{Users: []User{u}}); err != nil {
		panic("fake: " + err.Error())
	}
	return f.UserID(u.Name)
}

// AddGroup adds a group with members, who must exist.
func (f *IAM) AddGroup(name string, members ...string) {
	if err := f.Load(Seed{Groups: []Group{{Name: name, Members: members}}}); err != nil {
		panic("fake: " + err.Error())
	}
}

// UserID returns the id of the user, or empty if there is none.
func (f *IAM) UserID(name string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.state.userIDs[strings.ToLower(name)]
}

// Members returns the names of the members of the group, sorted; none if there is no such group.
func (f *IAM) Members(group string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var names []string
	if g := f.state.groupNamed(group); g != nil {
		for id := range g.members {
			names = append(names, f.state.users[id].name)
		}
	}
	slices.Sort(names)
	return names
}

// IsMember reports whether the user is in the group.
func (f *IAM) IsMember(group, user string) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	g := f.state.groupNamed(group)
	return g != nil && g.members[f.state.userIDs[strings.ToLower(user)]]
}

// AddMember puts the user into the group.
func (f *IAM) AddMember(group, user string) {
	f.must("AddUserToGroup", map[string]string{"GroupName": group, "UserName": user})
}

// RemoveMember takes the user out of the group.
func (f *IAM) RemoveMember(group, user string) {
	f.must("RemoveUserFromGroup", map[string]string{"GroupName": group, "UserName": user})
}

// RenameUser renames the user, who keeps id, memberships and all else.
func (f *IAM) RenameUser(name, newName string) {
	f.must("UpdateUser", map[string]string{"UserName": name, "NewUserName": newName})
}

// RemoveUser deletes the user with everything that hangs on it.
func (f *IAM) RemoveUser(name string) {
	f.edit(func(c *call) {
		u := c.mustUser(name)
		for _, g := range c.state.groups {
			delete(g.members, u.id)
		}
		for _, d := range c.state.devicesOf(u) {
			delete(c.state.devices, d.serial)
		}
		delete(c.state.users, u.id)
		delete(c.state.userIDs, strings.ToLower(u.name))
	})
}

// RecreateUser deletes the user and makes another of the same name, without memberships, MFA or tags. It returns
// the new id.
func (f *IAM) RecreateUser(name string) string {
	f.RemoveUser(name)
	return f.AddUser(User{Name: name})
}

// AddMFA enables a further virtual MFA device for the user and returns its serial number.
func (f *IAM) AddMFA(name string) string {
	var serial string
	f.edit(func(c *call) {
		u := c.mustUser(name)
		serial = c.arn("mfa", "/", fmt.Sprintf("%s-%s", u.name, c.newID("", 8)))
		c.state.devices[serial] = device{serial: serial, seed: c.newSeed(), owner: u.id, enabled: c.now}
	})
	return serial
}

// RemoveMFA deactivates and deletes all MFA devices of the user.
func (f *IAM) RemoveMFA(name string) {
	f.edit(func(c *call) {
		for _, d := range c.state.devicesOf(c.mustUser(name)) {
			delete(c.state.devices, d.serial)
		}
	})
}

// AddAccessKey gives the user an active access key made at that time, and returns its id.
func (f *IAM) AddAccessKey(name string, created time.Time) string {
	var id string
	f.edit(func(c *call) {
		u := c.mustUser(name)
		id = c.newID("AKIA", 20)
		u.keys = append(u.keys, accessKey{id: id, status: "Active", created: created, changed: created})
	})
	return id
}

// ActiveKeys returns the ids of the user's active access keys, in the order in which they were added.
func (f *IAM) ActiveKeys(name string) []string {
	var ids []string
	f.look(name, func(u *user) {
		for _, k := range u.keys {
			if k.status == "Active" {
				ids = append(ids, k.id)
			}
		}
	})
	return ids
}

// AddPassword gives the user, who has none, a console password.
func (f *IAM) AddPassword(name string) {
	f.must("CreateLoginProfile", map[string]string{"UserName": name, "Password": "Correct-horse-9"})
}

// AddPasswordAt gives the user, who has none, a console password made at that time.
func (f *IAM) AddPasswordAt(name string, created time.Time) {
	f.AddPassword(name)
	f.edit(func(c *call) {
		u := c.mustUser(name)
		login := *u.login
		login.created, login.changed = created, created
		u.login = &login
	})
}

// SetPasswordChanged moves the time at which the user last set the console password, which the credential report shows;
// the creation time that GetLoginProfile shows stays.
func (f *IAM) SetPasswordChanged(name string, at time.Time) {
	f.edit(func(c *call) {
		u := c.mustUser(name)
		if u.login == nil {
			panic(fmt.Sprintf("fake: user %q has no password", name))
		}
		login := *u.login
		login.changed = at
		u.login = &login
	})
}

// HasPassword reports whether the user has a console password.
func (f *IAM) HasPassword(name string) bool {
	var has bool
	f.look(name, func(u *user) { has = u.login != nil })
	return has
}

// look reads a user under the lock.
func (f *IAM) look(name string, read func(*user)) {
	f.mu.Lock()
	defer f.mu.Unlock()
	read((&call{state: f.state}).mustUser(name))
}

// UseAccessKey notes that the access key was last used at that time for that service.
func (f *IAM) UseAccessKey(id string, at time.Time, service string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.lastUsed[id] = keyUse{at: at, service: service}
}

// UsePassword notes that the user last signed in to the console at that time.
func (f *IAM) UsePassword(name string, at time.Time) {
	f.edit(func(c *call) { c.mustUser(name).passwordUsed = at })
}

// AddLeftover gives the user a credential of a rarer kind, which stands in the way of DeleteUser, and returns its id.
func (f *IAM) AddLeftover(name string, kind Leftover) string {
	var id string
	f.edit(func(c *call) {
		u := c.mustUser(name)
		id = c.newID(leftoverKinds[kind].prefix, 21)
		u.leftovers = append(u.leftovers, leftover{
			kind: kind, id: id, login: fmt.Sprintf("%s-at-%s", u.name, f.config.Account), created: c.now,
		})
	})
	return id
}

// PutGroupPolicy gives the group an inline policy, or replaces it.
func (f *IAM) PutGroupPolicy(group, name, document string) {
	f.must("PutGroupPolicy", map[string]string{"GroupName": group, "PolicyName": name, "PolicyDocument": document})
}

// UserPolicies returns the user's inline policy documents by name.
func (f *IAM) UserPolicies(name string) map[string]string {
	var documents map[string]string
	f.look(name, func(u *user) { documents = maps.Clone(u.inline) })
	return documents
}

// Quarantine does to the user what AWS does when it finds a key of the user published.
func (f *IAM) Quarantine(name string) {
	f.must("AttachUserPolicy", map[string]string{"UserName": name, "PolicyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"})
}

// SetBoundary gives the user a permissions boundary, or takes it away if arn is empty. A policy of the account is made
// if there is none of that ARN.
func (f *IAM) SetBoundary(name, arn string) {
	if err := f.bound(name, arn); err != nil {
		panic(fmt.Sprintf("fake: boundary %q of %q: %v", arn, name, err))
	}
}

func (f *IAM) bound(name, arn string) error {
	if arn == "" {
		return f.Admin("DeleteUserPermissionsBoundary", map[string]string{"UserName": name})
	}
	f.mu.Lock()
	_, exists := f.state.policies[arn]
	f.mu.Unlock()
	if place, ours := strings.CutPrefix(arn, fmt.Sprintf("arn:aws:iam::%s:policy", f.config.Account)); ours && !exists {
		slash := strings.LastIndex(place, "/") + 1
		err := f.Admin("CreatePolicy", map[string]string{
			"PolicyName": place[slash:], "Path": place[:slash],
			"PolicyDocument": `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
		})
		if err != nil {
			return err
		}
	}
	return f.Admin("PutUserPermissionsBoundary", map[string]string{"UserName": name, "PermissionsBoundary": arn})
}

// Under counts the users and virtual MFA devices of a name directly below a path.
func (f *IAM) Under(path, name string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	count := 0
	for _, u := range f.state.users {
		if u.path == path && u.name == name {
			count++
		}
	}
	for _, d := range f.state.devices {
		if strings.HasSuffix(d.serial, ":mfa"+path+name) {
			count++
		}
	}
	return count
}
