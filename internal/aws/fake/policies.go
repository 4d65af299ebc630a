// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"unicode"
)

// awsManaged are the policies of AWS that an empty account knows.
var awsManaged = []policy{
	{
		id: "ANPAADMINISTRATORAAAA", name: "AdministratorAccess", path: "/",
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}`,
	},
	{
		id: "ANPADENYALLAAAAAAAAAA", name: "AWSDenyAll", path: "/",
		document: `{"Version":"2012-10-17","Statement":[{"Sid":"DenyAll","Effect":"Deny","Action":["*"],"Resource":"*"}]}`,
	},
	// What goes with the role security-engineer, with little of what it allows.
	// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/SecurityAudit.html
	{
		id: "ANPASECURITYAUDITAAAA", name: "SecurityAudit", path: "/",
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["cloudtrail:Describe*","iam:Get*","iam:List*"],"Resource":"*"}]}`,
	},
	// What AWS attaches to a user whose key it found published.
	// https://docs.aws.amazon.com/aws-managed-policy/latest/reference/AWSCompromisedKeyQuarantineV3.html
	{
		id: "ANPAQUARANTINEVTWOAAA", name: "AWSCompromisedKeyQuarantineV2", path: "/",
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["iam:AddUserToGroup","iam:CreateAccessKey"],"Resource":"*"}]}`,
	},
	{
		id: "ANPAQUARANTINEVTHREEA", name: "AWSCompromisedKeyQuarantineV3", path: "/",
		document: `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":["iam:AddUserToGroup","iam:CreateAccessKey"],"Resource":"*"}]}`,
	},
}

// oneOrMany reads a JSON value that may stand alone or in a list.
type oneOrMany[T any] []T

func (o *oneOrMany[T]) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] == '[' {
		return json.Unmarshal(data, (*[]T)(o))
	}
	*o = make([]T, 1)
	return json.Unmarshal(data, &(*o)[0])
}

type statement struct {
	Sid, Effect                              string
	Action, NotAction, Resource, NotResource oneOrMany[string]
}

// document returns the parameter PolicyDocument and its version. It insists on the shape of a policy, but does not
// know the actions and resources of AWS.
func (c *call) document() (document, version string) {
	document = c.required("PolicyDocument")
	var parsed struct {
		Version   string
		Statement oneOrMany[statement]
	}
	err := json.Unmarshal([]byte(document), &parsed)
	if err != nil || len(parsed.Statement) == 0 || !slices.Contains([]string{"", "2008-10-17", "2012-10-17"}, parsed.Version) {
		c.malformed("Syntax errors in policy.")
	}
	sids := map[string]bool{}
	for _, s := range parsed.Statement {
		switch {
		case s.Effect != "Allow" && s.Effect != "Deny":
			c.malformed("Syntax errors in policy.")
		case len(s.Action)+len(s.NotAction) == 0:
			c.malformed("Policy statement must contain actions.")
		case len(s.Resource)+len(s.NotResource) == 0:
			c.malformed("Policy statement must contain resources.")
		case s.Sid != "" && sids[s.Sid]:
			c.malformed("Statement IDs (SID) in a single policy must be unique.")
		}
		sids[s.Sid] = true
	}
	return document, parsed.Version
}

func (c *call) malformed(message string) {
	c.fail(http.StatusBadRequest, "MalformedPolicyDocument", "%s", message)
}

// size counts the characters of a document as the quotas do.
func size(document string) int {
	return len([]rune(strings.Join(strings.FieldsFunc(document, unicode.IsSpace), "")))
}

// encode writes a document as AWS answers it: percent-encoded (RFC 3986).
func encode(document string) string { return strings.ReplaceAll(url.QueryEscape(document), "+", "%20") }

func putPolicy(c *call, e *entity) any {
	name := c.name("PolicyName", 128)
	document, _ := c.document()
	limit, total := inlineSizePerUser, size(document)
	if e.kind == "group" {
		limit = inlineSizePerGroup
	}
	for other, text := range e.inline {
		if other != name {
			total += size(text)
		}
	}
	if total > limit {
		c.fail(http.StatusConflict, "LimitExceeded", "Maximum policy size of %d bytes exceeded for %s %s", limit, e.kind, e.name)
	}
	if c.err == nil {
		c.unchanged = e.inline[name] == document
		e.inline[name] = document
	}
	return nil
}

// inline returns the inline policy that PolicyName names.
func (c *call) inline(e *entity) (name, document string) {
	name = c.name("PolicyName", 128)
	document, ok := e.inline[name]
	if !ok {
		c.notFound("The %s policy with name %s cannot be found.", e.kind, name)
	}
	return name, document
}

func getInlinePolicy(c *call, e *entity) any {
	name, document := c.inline(e)
	result := struct {
		UserName                   string `xml:",omitempty"`
		GroupName                  string `xml:",omitempty"`
		PolicyName, PolicyDocument string
	}{PolicyName: name, PolicyDocument: encode(document)}
	if e.kind == "user" {
		result.UserName = e.name
	} else {
		result.GroupName = e.name
	}
	return result
}

func deleteInlinePolicy(c *call, e *entity) any {
	name, _ := c.inline(e)
	delete(e.inline, name)
	return nil
}

func listInlinePolicies(c *call, e *entity) any {
	var names []string
	for name := range e.inline {
		names = append(names, name)
	}
	return page(c, "PolicyNames", names, func(name string) string { return name })
}

func attachPolicy(c *call, e *entity) any {
	arn := c.required("PolicyArn")
	switch {
	case c.state.policies[arn] == nil:
		c.notFound("Policy %s does not exist or is not attachable.", arn)
	case slices.Contains(e.attached, arn):
		c.unchanged = true
	case len(e.attached) >= attachedPerEntity && e.kind == "user":
		c.exceeds("PoliciesPerUser", attachedPerEntity)
	case len(e.attached) >= attachedPerEntity:
		c.exceeds("PoliciesPerGroup", attachedPerEntity)
	default:
		e.attached = append(e.attached, arn)
	}
	return nil
}

func detachPolicy(c *call, e *entity) any {
	arn := c.required("PolicyArn")
	i := slices.Index(e.attached, arn)
	if i < 0 {
		return c.notFound("Policy %s was not found.", arn)
	}
	e.attached = slices.Delete(e.attached, i, i+1)
	return nil
}

type attachedXML struct{ PolicyName, PolicyArn string }

func listAttachedPolicies(c *call, e *entity) any {
	var policies []attachedXML
	for _, arn := range e.attached {
		if p := c.state.policies[arn]; c.inPath(p.path) {
			policies = append(policies, attachedXML{p.name, arn})
		}
	}
	return page(c, "AttachedPolicies", policies, func(p attachedXML) string { return p.PolicyArn })
}

// boundary returns the parameter PermissionsBoundary, which must be a policy if it is given.
func (c *call) boundary() string {
	arn := c.params.Get("PermissionsBoundary")
	if arn != "" && c.state.policies[arn] == nil {
		c.notFound("Scope ARN: %s does not exist or is not attachable.", arn)
	}
	return arn
}

func putUserPermissionsBoundary(c *call, u *user) any {
	c.required("PermissionsBoundary")
	arn := c.boundary()
	if c.err == nil {
		c.unchanged = u.boundary == arn
		u.boundary = arn
	}
	return nil
}

func deleteUserPermissionsBoundary(c *call, u *user) any {
	// What AWS says to this is not recorded; a client should be ready for the harsher answer.
	if u.boundary == "" {
		return c.notFound("The user with name %s does not have a permissions boundary.", u.name)
	}
	u.boundary = ""
	return nil
}

type policyXML struct {
	PolicyName                    string
	PolicyID                      string `xml:"PolicyId"`
	Arn                           string
	Path                          string
	DefaultVersionID              string `xml:"DefaultVersionId"`
	AttachmentCount               int
	PermissionsBoundaryUsageCount int
	IsAttachable                  bool
	Description                   string `xml:",omitempty"`
	CreateDate, UpdateDate        string
	Tags                          *list[tag] `xml:",omitempty"`
}

type policyResult struct{ Policy policyXML }

func (c *call) policyXML(p *policy) policyXML {
	attached, bounding := c.state.attachments(p.arn)
	return policyXML{
		PolicyName: p.name, PolicyID: p.id, Arn: p.arn, Path: p.path, DefaultVersionID: "v1",
		AttachmentCount: attached, PermissionsBoundaryUsageCount: bounding, IsAttachable: true,
		CreateDate: stamp(p.created), UpdateDate: stamp(p.created),
	}
}

func createPolicy(c *call) any {
	name, path := c.name("PolicyName", 128), c.path("Path", "/")
	document, version := c.document()
	if version != "2012-10-17" {
		c.malformed("Policy document must be version 2012-10-17 or greater.")
	}
	if size(document) > policySize {
		c.exceeds("PolicySize", policySize)
	}
	for _, other := range c.state.policies {
		if strings.EqualFold(other.name, name) && !other.ofAWS() {
			c.exists("A policy called %s already exists. Duplicate names are not allowed.", name)
		}
	}
	if c.err != nil {
		return nil
	}
	p := &policy{
		id: c.newID("ANPA", 21), name: name, path: path, arn: c.arn("policy", path, name),
		description: c.params.Get("Description"), document: document, created: c.now,
	}
	c.state.policies[p.arn] = p
	return policyResult{c.policyXML(p)}
}

func (p *policy) ofAWS() bool { return strings.HasPrefix(p.arn, "arn:aws:iam::aws:") }

// policy returns the managed policy that PolicyArn names, or fails and returns nil.
func (c *call) policy() *policy {
	arn := c.required("PolicyArn")
	p := c.state.policies[arn]
	if p == nil {
		c.notFound("Policy %s was not found.", arn)
	}
	return p
}

func getPolicy(c *call) any {
	p := c.policy()
	if p == nil {
		return nil
	}
	x := c.policyXML(p)
	x.Description, x.Tags = p.description, &list[tag]{}
	return policyResult{x}
}

// getPolicyVersion knows one version of each policy: no operation here makes a second.
func getPolicyVersion(c *call) any {
	arn, version := c.required("PolicyArn"), c.required("VersionId")
	p := c.state.policies[arn]
	if p == nil || version != "v1" {
		return c.notFound("Policy %s version %s does not exist or is not attachable.", arn, version)
	}
	return struct{ PolicyVersion versionXML }{p.versionXML()}
}

type versionXML struct {
	Document         string
	VersionID        string `xml:"VersionId"`
	IsDefaultVersion bool
	CreateDate       string
}

func (p *policy) versionXML() versionXML {
	return versionXML{encode(p.document), "v1", true, stamp(p.created)}
}

func listPolicies(c *call) any {
	scope := c.params.Get("Scope")
	var policies []policyXML
	for _, p := range c.state.policies {
		x := c.policyXML(p)
		switch {
		case scope == "AWS" && !p.ofAWS(), scope == "Local" && p.ofAWS():
		case c.params.Get("OnlyAttached") == "true" && x.AttachmentCount == 0:
		case c.inPath(p.path):
			policies = append(policies, x)
		}
	}
	return page(c, "Policies", policies, func(p policyXML) string { return p.Arn })
}

func deletePolicy(c *call) any {
	p := c.policy()
	if p == nil {
		return nil
	}
	attached, bounding := c.state.attachments(p.arn)
	switch {
	case p.ofAWS():
		return c.fail(http.StatusForbidden, "AccessDenied", "Policy %s belongs to AWS.", p.arn)
	case attached+bounding > 0:
		return c.deleteConflict("Cannot delete a policy attached to entities.")
	}
	delete(c.state.policies, p.arn)
	return nil
}
