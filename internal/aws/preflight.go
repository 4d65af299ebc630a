// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/arn"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"
	"github.com/aws/aws-sdk-go-v2/service/sts"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// TemporaryUserPath is where temporary users and their MFA devices live, as policy.BreakGlassPath says.
const TemporaryUserPath = "/prod-access/break-glass/"

var (
	isRole    = regexp.MustCompile(`^role/(?:[!-~]+/)?([A-Za-z0-9_+=,.@-]{1,64})$`)
	isSession = regexp.MustCompile(`^assumed-role/([^/]+)/`)
)

// Needs are the resources that the operator must have rights on.
type Needs struct {
	// Groups are the ARNs of the IAM groups that roles name.
	Groups []string
	// UserPath is the path of the users that are served, such as /hera/. Default: /.
	UserPath string
	// Boundary is the ARN of a permissions boundary that fenced users have. Default: the fence is off, and needs no rights.
	Boundary string
	// BreakGlassBoundary is the ARN of the permissions boundary of temporary users. Default: none are made, which needs no rights.
	BreakGlassBoundary string
}

// scope is what the rights of one role are asked for: on which resources, and with which keys of conditions.
type scope struct {
	on   map[Resource][]string
	keys map[string]string
}

// everyday is the scope of what is done about people.
func (n Needs) everyday(id arn.ARN) scope {
	id.Resource = "user" + cmp.Or(n.UserPath, "/") + preflightName
	s := scope{on: map[Resource][]string{OnGroup: n.Groups, OnUser: {id.String()}, OnAnything: {"*"}}}
	if n.Boundary != "" {
		s.keys = map[string]string{boundaryKey: n.Boundary}
	}
	return s
}

// temporary is the scope of what is done about temporary users.
func (n Needs) temporary(id arn.ARN) scope {
	id.Resource = "user" + TemporaryUserPath + preflightName
	user := []string{id.String()}
	id.Resource = "mfa" + TemporaryUserPath + preflightName
	return scope{
		on: map[Resource][]string{OnUser: user, OnTemporary: user, OnMFADevice: {id.String()}, OnAnything: {"*"}},
		keys: map[string]string{
			boundaryKey: n.BreakGlassBoundary, tagKey + v1alpha1.ClusterTag: preflightName, tagKey + v1alpha1.EmergencyTag: preflightName,
		},
	}
}

const (
	preflightName = "prod-access-preflight"
	boundaryKey   = "iam:PermissionsBoundary"
	tagKey        = "aws:RequestTag/"
	tagsKey       = "aws:TagKeys"
)

// Preflight asks AWS which rights the operator lacks, and names each with its resource and what it is for. It reads what
// the policies say and does nothing. What cannot be asked is the error, beside what could be: some accounts do not let a
// role look at itself, so it is nothing to stop for. One call for each group and each role,
// and some more.
// Source: https://docs.aws.amazon.com/IAM/latest/APIReference/API_SimulatePrincipalPolicy.html
func (c *Client) Preflight(ctx context.Context, n Needs) (missing []string, err error) {
	own, err := c.ownRole(ctx)
	if err != nil {
		return nil, err
	}
	revoker, breakGlass := c.signers.revoker, c.signers.breakGlass
	missing, err = c.lacks(ctx, own, n.everyday, func(a Action) bool {
		return (a.Grantor || a.Revoker && revoker == nil) && (!a.WithBoundary || n.Boundary != "")
	})
	if revoker != nil {
		if _, failed := revoker.creds.Retrieve(ctx); failed != nil {
			err = errors.Join(err, fmt.Errorf("the role %s cannot be assumed, so %s signs removals too: %s", revoker.arn, own, Explain(failed)))
		}
		more, failed := c.lacks(ctx, revoker.arn, n.everyday, func(a Action) bool { return a.Revoker })
		missing, err = append(missing, more...), errors.Join(err, failed)
	}
	if n.BreakGlassBoundary == "" {
		return missing, err
	}
	signs := own
	if breakGlass != nil {
		signs = breakGlass.arn
		if _, failed := breakGlass.creds.Retrieve(ctx); failed != nil {
			err = errors.Join(err, fmt.Errorf("the role %s cannot be assumed, so no temporary users are made: %s", signs, Explain(failed)))
		}
	}
	more, failed := c.lacks(ctx, signs, n.temporary, func(a Action) bool { return a.BreakGlass })
	return append(missing, more...), errors.Join(err, failed)
}

// ownRole is the ARN of the role that the operator is a session of.
func (c *Client) ownRole(ctx context.Context) (string, error) {
	me, err := c.identity.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return "", fmt.Errorf("the operator's rights cannot be checked, because it cannot ask AWS who it is: %s", Explain(err))
	}
	who := aws.ToString(me.Arn)
	session, err := arn.Parse(who)
	if err != nil {
		return "", errors.New("the operator's rights cannot be checked, because AWS does not say who it is")
	}
	name := isSession.FindStringSubmatch(session.Resource)
	if name == nil {
		return "", fmt.Errorf("the operator's rights cannot be checked, because it is %s and not a role: give its service account a role of its own", who)
	}
	// The ARN of a session leaves out the path of the role.
	out, err := c.GetRole(ctx, &iam.GetRoleInput{RoleName: &name[1]})
	if err != nil {
		return "", fmt.Errorf("the operator's rights cannot be checked, because its role %s cannot be read: %s", name[1], Explain(err))
	}
	if out.Role == nil || out.Role.Arn == nil {
		return "", fmt.Errorf("the operator's rights cannot be checked, because AWS cut short what it says of the role %s", name[1])
	}
	return *out.Role.Arn, nil
}

// lacks asks for the rights of one role. It asks about one resource at a time: of several, AWS answers with the worst.
func (c *Client) lacks(ctx context.Context, role string, in func(arn.ARN) scope, needs func(Action) bool) ([]string, error) {
	id, err := arn.Parse(role)
	if err != nil {
		return nil, err
	}
	of := in(id)
	var missing []string
	for _, on := range []Resource{OnGroup, OnUser, OnTemporary, OnMFADevice, OnAnything} {
		wanted := map[string]Action{}
		var names []string
		for _, a := range Actions {
			if a.On == on && needs(a) {
				names = append(names, "iam:"+a.Operation)
				wanted["iam:"+a.Operation] = a
			}
		}
		if len(names) == 0 {
			continue
		}
		for _, resource := range of.on[on] {
			denied, err := c.simulate(ctx, role, names, resource, of.keys)
			if err != nil {
				return missing, fmt.Errorf("the rights of %s on %s cannot be checked: %s", role, resource, Explain(err))
			}
			for _, name := range denied {
				missing = append(missing, fmt.Sprintf("%s on %s, which %s needs for %s", name, resource, role, wanted[name].For))
			}
		}
	}
	return missing, nil
}

// simulate names those of the rights that the role does not have.
func (c *Client) simulate(ctx context.Context, role string, names []string, resource string, keys map[string]string) ([]string, error) {
	in := &iam.SimulatePrincipalPolicyInput{PolicySourceArn: &role, ActionNames: names, ResourceArns: []string{resource}}
	var tags []string
	for _, key := range slices.Sorted(maps.Keys(keys)) {
		in.ContextEntries = append(in.ContextEntries, types.ContextEntry{
			ContextKeyName: &key, ContextKeyType: types.ContextKeyTypeEnumString, ContextKeyValues: []string{keys[key]},
		})
		if tag, is := strings.CutPrefix(key, tagKey); is {
			tags = append(tags, tag)
		}
	}
	if len(tags) > 0 {
		in.ContextEntries = append(in.ContextEntries, types.ContextEntry{
			ContextKeyName: aws.String(tagsKey), ContextKeyType: types.ContextKeyTypeEnumStringList, ContextKeyValues: tags,
		})
	}
	allowed := map[string]bool{}
	answered := 0
	pages := iam.NewSimulatePrincipalPolicyPaginator(c, in)
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		answered += len(page.EvaluationResults)
		for _, r := range page.EvaluationResults {
			allowed[aws.ToString(r.EvalActionName)] = r.EvalDecision == types.PolicyEvaluationDecisionTypeAllowed
		}
	}
	if answered < len(names) {
		return nil, io.ErrUnexpectedEOF
	}
	return slices.DeleteFunc(slices.Clone(names), func(name string) bool { return allowed[name] }), nil
}
