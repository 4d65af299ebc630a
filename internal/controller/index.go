// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Indexes of the cache.
const (
	indexRole      = "role"
	indexNamespace = "namespace"
	indexPerson    = "person"
	indexTarget    = "target"
)

var errAWSDisabled = errors.New("the operator runs with --aws=disabled and cannot verify that the membership is gone: enable AWS")

// AddIndexes teaches the cache the look-ups that reconciles need.
func AddIndexes(ctx context.Context, indexer client.FieldIndexer) error {
	grant := func(f func(*v1alpha1.ProdAccessGrant) []string) client.IndexerFunc {
		return func(o client.Object) []string {
			g, ok := o.(*v1alpha1.ProdAccessGrant)
			if !ok {
				return nil
			}
			return f(g)
		}
	}
	return errors.Join(
		indexer.IndexField(ctx, &v1alpha1.ProdAccessGrant{}, indexRole, grant(func(g *v1alpha1.ProdAccessGrant) []string {
			return []string{g.Spec.Role}
		})),
		indexer.IndexField(ctx, &v1alpha1.ProdAccessGrant{}, indexNamespace, grant(func(g *v1alpha1.ProdAccessGrant) []string {
			names := make([]string, 0, len(g.Spec.Namespaces))
			for _, ns := range g.Spec.Namespaces {
				names = append(names, string(ns))
			}
			return names
		})),
		indexer.IndexField(ctx, &v1alpha1.ProdAccessGrant{}, indexPerson, grant(func(g *v1alpha1.ProdAccessGrant) []string {
			if g.Status.AWS.UserID == "" {
				return nil
			}
			return []string{g.Status.AWS.UserID}
		})),
		indexer.IndexField(ctx, &v1alpha1.AccessApproval{}, indexTarget, func(o client.Object) []string {
			a, ok := o.(*v1alpha1.AccessApproval)
			if !ok || a.Spec.Target.Kind != v1alpha1.TargetGrant {
				return nil
			}
			return []string{a.Spec.Target.Name}
		}),
	)
}

// Grants finds grants in the cache.
type Grants struct{ Reader client.Reader }

// OfPerson implements membership.Grants.
func (g Grants) OfPerson(ctx context.Context, userID string) ([]v1alpha1.ProdAccessGrant, error) {
	var list v1alpha1.ProdAccessGrantList
	if err := g.Reader.List(ctx, &list, client.MatchingFields{indexPerson: userID}, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing the grants of %s: %w", userID, err)
	}
	return list.Items, nil
}
