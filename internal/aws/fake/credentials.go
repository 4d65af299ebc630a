// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"net/http"
	"slices"
	"strings"
	"unicode"
)

type keyXML struct {
	UserName        string
	AccessKeyID     string `xml:"AccessKeyId"`
	Status          string
	SecretAccessKey string `xml:",omitempty"`
	CreateDate      string
}

func createAccessKey(c *call, u *user) any {
	if len(u.keys) >= keysPerUser {
		return c.exceeds("AccessKeysPerUser", keysPerUser)
	}
	k := accessKey{id: c.newID("AKIA", 20), status: "Active", created: c.now, changed: c.now}
	u.keys = append(u.keys, k)
	return struct{ AccessKey keyXML }{keyXML{u.name, k.id, k.status, c.newID("", 40), stamp(k.created)}}
}

// key returns which of the user's keys AccessKeyId names.
func (c *call) key(u *user) int {
	id := c.required("AccessKeyId")
	i := slices.IndexFunc(u.keys, func(k accessKey) bool { return k.id == id })
	if i < 0 {
		c.notFound("The Access Key with id %s cannot be found.", id)
	}
	return i
}

func updateAccessKey(c *call, u *user) any {
	status := c.required("Status")
	if status != "Active" && status != "Inactive" {
		c.violates("status", "satisfy enum value set: [Active, Inactive]")
	}
	if i := c.key(u); c.err == nil {
		if c.unchanged = u.keys[i].status == status; !c.unchanged {
			u.keys[i].status, u.keys[i].changed = status, c.now
		}
	}
	return nil
}

func deleteAccessKey(c *call, u *user) any {
	if i := c.key(u); c.err == nil {
		c.iam.deletedKeys[u.keys[i].id] = true
		u.keys = slices.Delete(u.keys, i, i+1)
	}
	return nil
}

func listAccessKeys(c *call, u *user) any {
	var keys []keyXML
	for _, k := range u.keys {
		keys = append(keys, keyXML{UserName: u.name, AccessKeyID: k.id, Status: k.status, CreateDate: stamp(k.created)})
	}
	return page(c, "AccessKeyMetadata", keys, func(k keyXML) string { return k.CreateDate + k.AccessKeyID })
}

func getAccessKeyLastUsed(c *call) any {
	id := c.required("AccessKeyId")
	u, k := c.state.accessKey(id)
	if k == nil {
		// AWS does not say here which keys exist (recorded).
		return c.fail(http.StatusForbidden, "AccessDenied",
			"User: %s is not authorized to perform iam:GetAccessKeyLastUsed on resource: access key %s", c.callerARN(), id)
	}
	type useXML struct {
		LastUsedDate        string `xml:",omitempty"`
		ServiceName, Region string
	}
	use := useXML{ServiceName: "N/A", Region: "N/A"}
	if last, ok := c.iam.lastUsed[id]; ok {
		use = useXML{LastUsedDate: stamp(last.at), ServiceName: last.service, Region: "us-east-1"}
	}
	return struct {
		UserName          string
		AccessKeyLastUsed useXML
	}{u.name, use}
}

type loginXML struct {
	UserName, CreateDate  string
	PasswordResetRequired bool
}

type loginResult struct{ LoginProfile loginXML }

// password returns a parameter that must be a password by the default policy.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_passwords_account-policy.html
func (c *call) password(parameter string, u *user) string {
	password, kinds := c.params.Get(parameter), 0
	for _, is := range []func(rune) bool{unicode.IsUpper, unicode.IsLower, unicode.IsDigit, unicode.IsPunct, unicode.IsSymbol} {
		if strings.ContainsFunc(password, is) {
			kinds++
		}
	}
	if len(password) < 8 || len(password) > 128 || kinds < 3 || strings.EqualFold(password, u.name) {
		c.fail(http.StatusBadRequest, "PasswordPolicyViolation", "Password does not conform to the account password policy.")
	}
	return password
}

func createLoginProfile(c *call, u *user) any {
	c.required("Password")
	if u.login != nil {
		c.exists("Login Profile for user %s already exists.", u.name)
	}
	password := c.password("Password", u)
	if c.err != nil {
		return nil
	}
	u.login = &loginProfile{
		created: c.now, changed: c.now, password: password, resetRequired: c.params.Get("PasswordResetRequired") == "true",
	}
	return getLoginProfile(c, u)
}

func getLoginProfile(c *call, u *user) any {
	if u.login == nil {
		return c.notFound("Login Profile for User %s cannot be found.", u.name)
	}
	return loginResult{loginXML{u.name, stamp(u.login.created), u.login.resetRequired}}
}

func updateLoginProfile(c *call, u *user) any {
	if getLoginProfile(c, u) == nil {
		return nil
	}
	c.settled("Login Profile for User "+u.name, u, u.login.created)
	login := *u.login
	if c.params.Has("Password") {
		login.password, login.changed = c.password("Password", u), c.now
	}
	if c.params.Has("PasswordResetRequired") {
		login.resetRequired = c.params.Get("PasswordResetRequired") == "true"
	}
	if c.err == nil {
		u.login = &login
	}
	return nil
}

// changePassword is for users themselves.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_ChangePassword.html
func changePassword(c *call) any {
	c.required("OldPassword")
	c.required("NewPassword")
	u := c.state.users[c.caller.user]
	switch {
	case u == nil:
		return c.fail(http.StatusForbidden, "InvalidUserType", "Only IAM Users can change their own password")
	case u.login == nil:
		return c.notFound("Login Profile for User %s cannot be found.", u.name)
	case u.login.password != c.params.Get("OldPassword"):
		return c.fail(http.StatusForbidden, "AccessDenied", "The old password was incorrect.")
	}
	if password := c.password("NewPassword", u); c.err == nil {
		u.login = &loginProfile{created: u.login.created, changed: c.now, password: password}
	}
	return nil
}

func deleteLoginProfile(c *call, u *user) any {
	if getLoginProfile(c, u) == nil {
		return nil
	}
	c.settled("Login Profile for User "+u.name, u, u.login.created)
	if c.err == nil {
		u.login = nil
	}
	return nil
}
