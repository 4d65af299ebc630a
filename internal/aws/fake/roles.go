// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// caller is who signed a request: a user, or a session of a role.
type caller struct {
	user          string // id of the user; empty for a session
	role, session string
}

// role is a role that can be assumed. The fake evaluates no trust policies: whoever asks may assume it.
type role struct {
	id, name, path, trust string
	created               time.Time
}

// session is what AssumeRole and AssumeRoleWithWebIdentity gave out.
type session struct {
	role, name, token string
	expires           time.Time
}

// operator is the caller of requests that are signed with an access key which the fake does not know.
func (f *IAM) operator() caller { return caller{role: f.config.Role, session: "fake"} }

// AddRole adds a role that anybody may assume, in a path (empty means "/"), and returns its ARN. Roles are always seen
// as they are, not stale.
func (f *IAM) AddRole(name, path string) string {
	f.must("CreateRole", map[string]string{"RoleName": name, "Path": path, "AssumeRolePolicyDocument": f.trust()})
	f.mu.Lock()
	defer f.mu.Unlock()
	return (&call{iam: f}).roleARN(f.roles[strings.ToLower(name)])
}

// trust is the document of a role that everybody in the account may assume.
func (f *IAM) trust() string {
	const text = `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"AWS":"arn:aws:iam::%s:root"},"Action":"sts:AssumeRole"}]}`
	return fmt.Sprintf(text, f.config.Account)
}

// DenyActions takes the permission for these actions, such as iam:AddUserToGroup, from every caller: the operations
// answer AccessDenied, and SimulatePrincipalPolicy says so. It replaces the list given before; no actions end it.
// Nobody can be denied sts:GetCallerIdentity.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_GetCallerIdentity.html
func (f *IAM) DenyActions(actions ...string) { f.DenyRoleActions("", actions...) }

// DenyRoleActions is DenyActions for the sessions of one role, beside what is denied to everybody.
func (f *IAM) DenyRoleActions(role string, actions ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var lower []string
	for _, action := range actions {
		lower = append(lower, strings.ToLower(action))
	}
	f.deniedActions[strings.ToLower(role)] = lower
}

// mayNot reports whether the role, or everybody, is denied the action.
func (f *IAM) mayNot(role, action string) bool {
	action = strings.ToLower(action)
	return action != "sts:getcalleridentity" &&
		(slices.Contains(f.deniedActions[""], action) || slices.Contains(f.deniedActions[strings.ToLower(role)], action))
}

// authorize fails if the caller is denied the operation.
func (c *call) authorize() {
	action := "iam:" + c.op
	if operations[c.op].sts {
		action = "sts:" + c.op
	}
	if !c.iam.mayNot(c.caller.role, action) {
		return
	}
	resource := "*"
	for _, kind := range []string{"User", "Group", "Role"} { // of a membership, the group is the resource
		if name := c.params.Get(kind + "Name"); name != "" {
			resource = strings.ToLower(kind) + " " + name
		}
	}
	c.fail(http.StatusForbidden, "AccessDenied",
		"User: %s is not authorized to perform: %s on resource: %s because no identity-based policy allows the %s action",
		c.callerARN(), action, resource, action)
}

func (c *call) roleARN(r role) string { return c.arn("role", r.path, r.name) }

type roleXML struct {
	Path, RoleName                            string
	RoleID                                    string `xml:"RoleId"`
	Arn, CreateDate, AssumeRolePolicyDocument string
	MaxSessionDuration                        int `xml:",omitempty"` // not in the answer to CreateRole (recorded)
}

type roleResult struct{ Role roleXML }

func (c *call) roleXML(r role) roleXML {
	return roleXML{
		Path: r.path, RoleName: r.name, RoleID: r.id, Arn: c.roleARN(r), CreateDate: stamp(r.created), AssumeRolePolicyDocument: encode(r.trust),
	}
}

func createRole(c *call) any {
	name, path, trust := c.name("RoleName", 64), c.path("Path", "/"), c.required("AssumeRolePolicyDocument")
	if _, ok := c.iam.roles[strings.ToLower(name)]; ok {
		c.exists("Role with name %s already exists.", name)
	}
	if c.err == nil && !json.Valid([]byte(trust)) {
		c.malformed("This policy contains invalid Json")
	}
	if c.err != nil {
		return nil
	}
	r := role{id: c.newID("AROA", 21), name: name, path: path, trust: trust, created: c.now}
	c.iam.roles[strings.ToLower(name)] = r
	return roleResult{c.roleXML(r)}
}

func getRole(c *call) any {
	name := c.name("RoleName", 64)
	r, ok := c.iam.roles[strings.ToLower(name)]
	if !ok {
		c.notFound("The role with name %s cannot be found.", name)
	}
	if c.err != nil {
		return nil
	}
	x := c.roleXML(r)
	x.MaxSessionDuration = int(defaultSession / time.Second)
	return roleResult{x}
}

// defaultSession is how long a session lasts unless asked otherwise, and the most for a role assumed from a session.
// https://docs.aws.amazon.com/STS/latest/APIReference/API_AssumeRole.html
const defaultSession = time.Hour

var sessionPattern = regexp.MustCompile(`^[\w+=,.@-]{2,64}$`)

func assumeRole(c *call) any {
	r, ok := c.roleToAssume()
	if !ok {
		c.fail(http.StatusForbidden, "AccessDenied", "User: %s is not authorized to perform: sts:AssumeRole on resource: %s",
			c.callerARN(), c.params.Get("RoleArn"))
	}
	duration := c.sessionDuration()
	if c.caller.user == "" && duration > defaultSession {
		c.invalid("The requested DurationSeconds exceeds the 1 hour session limit for roles assumed by role chaining")
	}
	return c.newSession(r, duration)
}

// assumeRoleWithWebIdentity believes any token.
func assumeRoleWithWebIdentity(c *call) any {
	c.required("WebIdentityToken")
	r, ok := c.roleToAssume()
	if !ok {
		c.fail(http.StatusForbidden, "AccessDenied", "Not authorized to perform sts:AssumeRoleWithWebIdentity")
	}
	return c.newSession(r, c.sessionDuration())
}

// roleToAssume returns the role that RoleArn names, if there is one.
func (c *call) roleToAssume() (role, bool) {
	arn := c.required("RoleArn")
	if !sessionPattern.MatchString(c.required("RoleSessionName")) {
		c.violates("RoleSessionName", `satisfy regular expression pattern: [\w+=,.@-]*`)
	}
	for _, r := range c.iam.roles {
		if c.roleARN(r) == arn {
			return r, true
		}
	}
	return role{}, false
}

func (c *call) sessionDuration() time.Duration {
	text := c.params.Get("DurationSeconds")
	if text == "" {
		return defaultSession
	}
	seconds, err := strconv.Atoi(text)
	switch {
	case err != nil || seconds < 900:
		c.violates("DurationSeconds", "have value greater than or equal to 900")
	case seconds > 43200:
		c.violates("DurationSeconds", "have value less than or equal to 43200")
	}
	return time.Duration(seconds) * time.Second
}

func (c *call) newSession(r role, duration time.Duration) any {
	if c.err != nil {
		return nil
	}
	name := c.params.Get("RoleSessionName")
	key := c.newID("ASIA", 20)
	s := session{role: r.name, name: name, token: c.newID("", 64), expires: c.now.Add(duration)}
	c.iam.sessions[key] = s
	type credentialsXML struct {
		AccessKeyID                               string `xml:"AccessKeyId"`
		SecretAccessKey, SessionToken, Expiration string
	}
	type assumedXML struct {
		AssumedRoleID string `xml:"AssumedRoleId"`
		Arn           string
	}
	return struct {
		Credentials     credentialsXML
		AssumedRoleUser assumedXML
	}{
		credentialsXML{key, c.newID("", 40), s.token, stamp(s.expires)},
		assumedXML{r.id + ":" + name, c.sessionARN(r.name, name)},
	}
}

// sessionARN does not have the path of the role, as it does not in AWS.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_identifiers.html
func (c *call) sessionARN(role, session string) string {
	return fmt.Sprintf("arn:aws:sts::%s:assumed-role/%s/%s", c.iam.config.Account, role, session)
}

var principalPattern = regexp.MustCompile(`^arn:aws:iam::\d{12}:(user|group|role)/(?:.*/)?([^/]+)$`)

// simulatePrincipalPolicy evaluates no policies: whatever is not denied with DenyActions or DenyRoleActions is allowed.
// Each action is answered for each resource.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func simulatePrincipalPolicy(c *call) any {
	role := c.simulatedRole()
	actions, resources := c.members("ActionNames"), c.members("ResourceArns")
	if len(actions) == 0 {
		c.violates("ActionNames", "not be null")
	}
	if len(resources) == 0 {
		resources = []string{"*"}
	}
	if c.err != nil {
		return nil
	}
	type resultXML struct {
		EvalActionName, EvalResourceName, EvalDecision string
		MatchedStatements, MissingContextValues        membersXML[string]
		position                                       string
	}
	var results []resultXML
	for _, action := range actions {
		for _, resource := range resources {
			decision := "allowed"
			if c.iam.mayNot(role, action) {
				decision = "implicitDeny"
			}
			results = append(results, resultXML{
				EvalActionName: action, EvalResourceName: resource, EvalDecision: decision, position: fmt.Sprintf("%06d", len(results)),
			})
		}
	}
	return page(c, "EvaluationResults", results, func(r resultXML) string { return r.position })
}

// simulatedRole returns the name of the role that PolicySourceArn names, or empty if it names a user or group. The ARN
// must be the entity's own, path and all.
func (c *call) simulatedRole() string {
	arn := c.required("PolicySourceArn")
	match := principalPattern.FindStringSubmatch(arn)
	if match == nil {
		c.fail(http.StatusBadRequest, "InvalidInput", "Invalid Entity Arn: %s does not clearly define entity type and name.", arn)
		return ""
	}
	kind, name, known := match[1], match[2], ""
	switch u, g := c.state.userNamed(name), c.state.groupNamed(name); {
	case kind == "user" && u != nil:
		known = c.arn(kind, u.path, u.name)
	case kind == "group" && g != nil:
		known = c.arn(kind, g.path, g.name)
	case kind == "role":
		if r, ok := c.iam.roles[strings.ToLower(name)]; ok {
			known = c.roleARN(r)
		}
	}
	if known != arn {
		c.notFound("The %s with name %s cannot be found.", kind, name)
	}
	if kind == "role" {
		return name
	}
	return ""
}

// members reads the parameters NAME.member.N.
func (c *call) members(name string) []string {
	var values []string
	for i := 1; c.params.Has(fmt.Sprintf("%s.member.%d", name, i)); i++ {
		values = append(values, c.params.Get(fmt.Sprintf("%s.member.%d", name, i)))
	}
	return values
}
