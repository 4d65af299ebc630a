// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// Guarded says whether an IAM group carries the guard document of a role as rendered, from a reading of the account that
// is less than a minute old, or a new one unless all is well; why says what is wrong, and what to do. It is Unknown of a
// group that AWS does not have, and with an error.
func (e *Engine) Guarded(ctx context.Context, role *access.Role, group v1alpha1.IAMGroupName) (state v1alpha1.PolicyState, why string, err error) {
	for _, young := range []time.Duration{accountFor, 0} {
		all, err := e.readAccount(ctx, young)
		if err != nil {
			return v1alpha1.PolicyUnknown, "", err
		}
		if state, why = guarded(all, role, group); state == v1alpha1.PolicyVerified {
			break
		}
	}
	return state, why, nil
}

func guarded(all *reading, role *access.Role, group v1alpha1.IAMGroupName) (v1alpha1.PolicyState, string) {
	g := all.groups[strings.ToLower(string(group))]
	if g == nil {
		return v1alpha1.PolicyUnknown, fmt.Sprintf("AWS has no IAM group %s", group)
	}
	in, err := policy.AccountOf(g.arn)
	if err != nil {
		return v1alpha1.PolicyUnknown, err.Error()
	}
	wanted, err := policy.Guard(role.Name, &role.Spec, in)
	if err != nil {
		return v1alpha1.PolicyDifferent, err.Error()
	}
	found, ok := g.policies[policy.GuardName]
	if !ok {
		return v1alpha1.PolicyDifferent, fmt.Sprintf("the IAM group %s has no inline policy %s: apply what `manager aws render --role %s` prints",
			group, policy.GuardName, role.Name)
	}
	if difference := policy.Compare(found, wanted); difference != "" {
		return v1alpha1.PolicyDifferent, fmt.Sprintf("the inline policy %s of the IAM group %s is not as rendered: %s; apply what `manager aws render --role %s` prints",
			policy.GuardName, group, difference, role.Name)
	}
	return v1alpha1.PolicyVerified, ""
}

// ARNs are those of IAM groups, as far as the last reading of the account has them.
func (e *Engine) ARNs(groups []v1alpha1.IAMGroupName) []string {
	all := e.lastReading()
	if all == nil {
		return nil
	}
	var arns []string
	for _, group := range groups {
		if g := all.groups[strings.ToLower(string(group))]; g != nil && !slices.Contains(arns, g.arn) {
			arns = append(arns, g.arn)
		}
	}
	return arns
}

// unguarded says which of a role's groups is not known to carry its guard, "" if all do. A group that AWS does not have is
// found out when it is to be joined.
func (e *Engine) unguarded(ctx context.Context, role *access.Role) (string, error) {
	for _, group := range role.Groups() {
		switch state, why, err := e.Guarded(ctx, role, group); {
		case err != nil:
			return "", err
		case state == v1alpha1.PolicyVerified:
		case state == v1alpha1.PolicyDifferent:
			return why, nil
		default:
			// One that was just made is there, and not listed yet.
			_, err := e.iam.GetGroup(ctx, &iam.GetGroupInput{GroupName: new(string(group)), MaxItems: new(int32(1))})
			if !aws.IsNotFound(err) {
				return fmt.Sprintf("the guard of the IAM group %s cannot be verified yet: %s", group, why), nil
			}
		}
	}
	return "", nil
}
