// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"

	"golang.org/x/sync/errgroup"
	authorizationv1 "k8s.io/api/authorization/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// +kubebuilder:rbac:groups=authorization.k8s.io,resources=subjectaccessreviews,verbs=create

// reviewsAtOnce is how many questions about approvers of one grant are asked side by side.
const reviewsAtOnce = 4

// everybody is the group that every caller of the API server is in, whatever an approval lists.
const everybody = "system:authenticated"

// mayApprove asks the API server which of those who have spoken about a grant hold the verb approve on its role now.
// Admission has proven the groups of an approval; a review from Git has none but what everybody has.
func mayApprove(ctx context.Context, c client.Client, g *v1alpha1.ProdAccessGrant, approvals []v1alpha1.AccessApproval) (func(string, []string) bool, error) {
	type voice struct {
		user   string
		groups []string
	}
	voices := map[string]voice{}
	for i := range approvals {
		if s := &approvals[i].Spec; s.Target.Kind == v1alpha1.TargetGrant && s.Target.Name == g.Name && s.Role == g.Spec.Role {
			voices[voiceKey(string(s.Approver), s.ApproverGroups)] = voice{string(s.Approver), s.ApproverGroups}
		}
	}
	for _, reviewer := range g.Spec.ReviewedBy {
		voices[voiceKey(string(reviewer), nil)] = voice{user: string(reviewer)}
	}
	allowed := make(map[string]bool, len(voices))
	answers := make(chan string, len(voices))
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	var asking errgroup.Group
	asking.SetLimit(reviewsAtOnce)
	for key, v := range voices {
		asking.Go(func() error {
			review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
				User: v.user, Groups: append([]string{everybody}, v.groups...),
				ResourceAttributes: &authorizationv1.ResourceAttributes{
					Group: v1alpha1.GroupName, Version: v1alpha1.SchemeGroupVersion.Version, Resource: "accessroles", Verb: "approve", Name: g.Spec.Role,
				},
			}}
			// A review is an answer, not an object: no watch would ever show it.
			if err := c.Create(ctx, review, client.DisableReadYourWritesConsistency); err != nil {
				return fmt.Errorf("asking whether %s may approve for the role %s: %w", v.user, g.Spec.Role, err)
			}
			if review.Status.Allowed {
				answers <- key
			}
			return nil
		})
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	close(answers)
	for key := range answers {
		allowed[key] = true
	}
	return func(user string, groups []string) bool { return allowed[voiceKey(user, groups)] }, nil
}

func voiceKey(user string, groups []string) string { return user + "\n" + strings.Join(groups, "\n") }
