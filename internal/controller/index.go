// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
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
	var errs []error
	for name, keys := range map[string]func(*v1alpha1.ProdAccessGrant) []string{
		indexRole: func(g *v1alpha1.ProdAccessGrant) []string { return []string{g.Spec.Role} },
		indexNamespace: func(g *v1alpha1.ProdAccessGrant) []string {
			names := make([]string, 0, len(g.Spec.Namespaces))
			for _, ns := range g.Spec.Namespaces {
				names = append(names, string(ns))
			}
			return names
		},
		indexPerson: func(g *v1alpha1.ProdAccessGrant) []string {
			if g.Status.AWS.UserID == "" {
				return nil
			}
			return []string{g.Status.AWS.UserID}
		},
	} {
		of := func(o client.Object) []string {
			if g := grantOf(o); g != nil {
				return keys(g)
			}
			return nil
		}
		errs = append(errs, indexer.IndexField(ctx, &v1alpha1.ProdAccessGrant{}, name, of), indexer.IndexField(ctx, &v1alpha1.BreakGlass{}, name, of))
	}
	return errors.Join(append(errs, indexer.IndexField(ctx, &v1alpha1.AccessApproval{}, indexTarget, func(o client.Object) []string {
		a, ok := o.(*v1alpha1.AccessApproval)
		if !ok {
			return nil
		}
		return []string{key(a.Spec.Target.Kind, a.Spec.Target.Name)}
	}))...)
}

// Grants finds grants in the cache, and emergencies in the form of grants.
type Grants struct{ Reader client.Reader }

// OfPerson implements membership.Grants.
func (g Grants) OfPerson(ctx context.Context, userID string) ([]v1alpha1.ProdAccessGrant, error) {
	return g.List(ctx, client.MatchingFields{indexPerson: userID})
}

// List finds them by what the options say. They are shared with the cache, and never to be changed.
func (g Grants) List(ctx context.Context, of ...client.ListOption) ([]v1alpha1.ProdAccessGrant, error) {
	var grants v1alpha1.ProdAccessGrantList
	var emergencies v1alpha1.BreakGlassList
	of = append(of, client.UnsafeDisableDeepCopy)
	if err := g.Reader.List(ctx, &grants, of...); err != nil {
		return nil, fmt.Errorf("listing ProdAccessGrants: %w", err)
	}
	if err := g.Reader.List(ctx, &emergencies, of...); err != nil {
		return nil, fmt.Errorf("listing BreakGlasses: %w", err)
	}
	all := slices.Clip(grants.Items)
	for i := range emergencies.Items {
		all = append(all, *access.ViewBreakGlass(&emergencies.Items[i]))
	}
	return all, nil
}

// grantOf is the form in which an object is worked on; nil if it gives no access.
func grantOf(o client.Object) *v1alpha1.ProdAccessGrant {
	switch o := o.(type) {
	case *v1alpha1.ProdAccessGrant:
		return o
	case *v1alpha1.BreakGlass:
		return access.FromBreakGlass(o)
	}
	return nil
}

// emergencyKey begins the keys of emergencies. No name of an object has a slash.
const emergencyKey = "breakglass/"

// key tells objects of both kinds apart in the queue.
func key(kind v1alpha1.TargetKind, name string) string {
	if kind == v1alpha1.TargetBreakGlass {
		return emergencyKey + name
	}
	return name
}

func keyOf(g *v1alpha1.ProdAccessGrant) string { return key(access.KindOf(g), g.Name) }
