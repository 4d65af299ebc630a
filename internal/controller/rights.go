// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"time"

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

// rightsLast is how long an answer about somebody's right serves: long enough for one question where hundreds of grants
// are activated at once, short enough that nobody approves with a right that was taken away before they did.
const rightsLast = time.Second

// rights knows who holds the verb approve on a role. Safe for concurrent use.
type rights struct {
	client client.Client

	mu sync.Mutex
	// answers is when the API server last said yes.
	answers map[voice]time.Time
}

// voice is somebody with the groups that carry their right, on a role.
type voice struct{ role, user, groups string }

func newRights(c client.Client) *rights { return &rights{client: c, answers: map[voice]time.Time{}} }

func voiceOf(role, user string, groups []string) voice {
	return voice{role, user, strings.Join(groups, "\n")}
}

// mayApprove says which of those who have spoken about a grant hold the verb approve on its role. Admission has proven the
// groups of an approval; a review from Git has none but what everybody has.
func (r *rights) mayApprove(ctx context.Context, g *v1alpha1.ProdAccessGrant, approvals []v1alpha1.AccessApproval, now time.Time) (func(string, []string) bool, error) {
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	var mu sync.Mutex
	allowed := map[voice]bool{}
	var asking errgroup.Group
	asking.SetLimit(reviewsAtOnce)
	ask := func(user string, groups []string) {
		asking.Go(func() error {
			yes, err := r.ask(ctx, g.Spec.Role, user, groups, now)
			mu.Lock()
			defer mu.Unlock()
			allowed[voiceOf(g.Spec.Role, user, groups)] = yes
			return err
		})
	}
	for i := range approvals {
		if s := &approvals[i].Spec; s.Target.Kind == access.KindOf(g) && s.Target.Name == g.Name && s.Role == g.Spec.Role {
			ask(string(s.Approver), s.ApproverGroups)
		}
	}
	for _, reviewer := range g.Spec.ReviewedBy {
		ask(string(reviewer), nil)
	}
	if err := asking.Wait(); err != nil {
		return nil, err
	}
	return func(user string, groups []string) bool { return allowed[voiceOf(g.Spec.Role, user, groups)] }, nil
}

// ask asks the API server, unless it has just answered.
func (r *rights) ask(ctx context.Context, role, user string, groups []string, now time.Time) (bool, error) {
	key := voiceOf(role, user, groups)
	r.mu.Lock()
	at, ok := r.answers[key]
	r.mu.Unlock()
	if ok && now.Sub(at) < rightsLast {
		return true, nil
	}
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: append([]string{everybody}, groups...),
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: v1alpha1.GroupName, Version: v1alpha1.SchemeGroupVersion.Version, Resource: "accessroles", Verb: "approve", Name: role,
		},
	}}
	// A review is an answer, not an object: no watch would ever show it.
	if err := r.client.Create(ctx, review, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("asking whether %s may approve for the role %s: %w", user, role, err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for k, at := range r.answers {
		if now.Sub(at) >= rightsLast {
			delete(r.answers, k)
		}
	}
	if review.Status.Allowed {
		// A no is not kept: whoever is given the right at this moment need not approve twice.
		r.answers[key] = now
	}
	return review.Status.Allowed, nil
}
