// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package rbac

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"

	authorizationv1 "k8s.io/api/authorization/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// Rules reads what ClusterRoles come to, and remembers the answer until one of them changes. Safe for concurrent use.
type Rules struct {
	cached client.Reader
	create client.Writer

	mu    sync.Mutex
	known map[string]answer
}

type answer struct {
	versions  string
	hash      string
	forbidden map[v1alpha1.AccessLevel]string
}

// NewRules makes Rules.
func NewRules(cached client.Reader, create client.Writer) *Rules {
	return &Rules{cached: cached, create: create, known: map[string]answer{}}
}

// Read says what a ClusterRole comes to for a role of this access level: the hash of its effective rules, and a
// forbidden rule, "" if there is none. found is false when there is no such ClusterRole.
func (r *Rules) Read(ctx context.Context, clusterRole string, level v1alpha1.AccessLevel) (hash, forbidden string, found bool, err error) {
	parts, err := r.collect(ctx, clusterRole)
	if err != nil || len(parts) == 0 {
		return "", "", false, err
	}
	versions := make([]string, 0, len(parts))
	for _, p := range parts {
		versions = append(versions, string(p.UID)+"@"+p.ResourceVersion)
	}
	key := strings.Join(versions, ",")

	r.mu.Lock()
	defer r.mu.Unlock()
	a, ok := r.known[clusterRole]
	if !ok || a.versions != key {
		var rules []rbacv1.PolicyRule
		for _, p := range parts {
			rules = append(rules, p.Rules...)
		}
		a = answer{versions: key, hash: access.RulesHash(rules), forbidden: map[v1alpha1.AccessLevel]string{}}
		for _, l := range []v1alpha1.AccessLevel{v1alpha1.AccessReadOnly, v1alpha1.AccessReadWrite} {
			a.forbidden[l] = access.ForbiddenRule(rules, l)
		}
		r.known[clusterRole] = a
	}
	return a.hash, a.forbidden[level], true, nil
}

// collect gathers a ClusterRole and all that it aggregates, directly or through others. What an aggregating role shows
// as its own rules is written by a controller and follows a little later, so the parts are asked as well
// (https://kubernetes.io/docs/reference/access-authn-authz/rbac/#aggregated-clusterroles).
func (r *Rules) collect(ctx context.Context, name string) ([]rbacv1.ClusterRole, error) {
	var root rbacv1.ClusterRole
	err := r.cached.Get(ctx, types.NamespacedName{Name: name}, &root)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the ClusterRole %s: %w", name, err)
	}
	seen := map[types.UID]bool{root.UID: true}
	parts := []rbacv1.ClusterRole{root}
	for i := 0; i < len(parts); i++ {
		if parts[i].AggregationRule == nil {
			continue
		}
		for _, s := range parts[i].AggregationRule.ClusterRoleSelectors {
			selector, err := metav1.LabelSelectorAsSelector(&s)
			if err != nil {
				return nil, fmt.Errorf("the ClusterRole %s selects by an invalid expression: %w", parts[i].Name, err)
			}
			found, err := r.selected(ctx, selector)
			if err != nil {
				return nil, err
			}
			for _, c := range found {
				if !seen[c.UID] {
					seen[c.UID] = true
					parts = append(parts, c)
				}
			}
		}
	}
	return parts, nil
}

// Touches says whether a change of another ClusterRole, before or after it, may change what this one comes to.
func (r *Rules) Touches(ctx context.Context, clusterRole string, changed client.Object) (bool, error) {
	if changed.GetName() == clusterRole {
		return true, nil
	}
	parts, err := r.collect(ctx, clusterRole)
	if err != nil {
		return false, err
	}
	for _, p := range parts {
		if p.Name == changed.GetName() {
			return true, nil
		}
		if p.AggregationRule == nil {
			continue
		}
		for _, s := range p.AggregationRule.ClusterRoleSelectors {
			// collect has read the same selectors.
			if selector, err := metav1.LabelSelectorAsSelector(&s); err == nil && selector.Matches(labels.Set(changed.GetLabels())) {
				return true, nil
			}
		}
	}
	return false, nil
}

func (r *Rules) selected(ctx context.Context, selector labels.Selector) ([]rbacv1.ClusterRole, error) {
	var list rbacv1.ClusterRoleList
	if err := r.cached.List(ctx, &list, client.MatchingLabelsSelector{Selector: selector}); err != nil {
		return nil, fmt.Errorf("listing ClusterRoles: %w", err)
	}
	slices.SortFunc(list.Items, func(a, b rbacv1.ClusterRole) int { return strings.Compare(a.Name, b.Name) })
	return list.Items, nil
}

// MayBind says whether the operator's own identity may bind the ClusterRole.
func (r *Rules) MayBind(ctx context.Context, clusterRole string) (bool, error) {
	review := &authorizationv1.SelfSubjectAccessReview{Spec: authorizationv1.SelfSubjectAccessReviewSpec{
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Group: rbacv1.GroupName, Resource: "clusterroles", Verb: "bind", Name: clusterRole,
		},
	}}
	// A review is an answer, not an object: no watch would ever show it.
	if err := r.create.Create(ctx, review, client.DisableReadYourWritesConsistency); err != nil {
		return false, fmt.Errorf("asking whether the ClusterRole %s may be bound: %w", clusterRole, err)
	}
	return review.Status.Allowed, nil
}
