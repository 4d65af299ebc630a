// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// +kubebuilder:rbac:groups=argoproj.io,resources=appprojects,verbs=list

// sharedAttester says why the attesters of a role may be too many, "" if nothing speaks for that. Without Argo CD nothing
// does.
func (r *RoleReconciler) sharedAttester(ctx context.Context, obj *v1alpha1.AccessRole) (string, error) {
	if len(obj.Spec.Approval.Attesters) == 0 {
		return "", nil
	}
	list := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "argoproj.io/v1alpha1", "kind": "AppProjectList"}}
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	if err := r.roles.Live.List(ctx, list); meta.IsNoMatchError(err) || apierrors.IsNotFound(err) {
		return "", nil
	} else if err != nil {
		return "", fmt.Errorf("listing AppProjects: %w", err)
	}
	var projects []access.Project
	for i := range list.Items {
		p := access.Project{Namespace: list.Items[i].GetNamespace(), Name: list.Items[i].GetName()}
		accounts, _, _ := unstructured.NestedSlice(list.Items[i].Object, "spec", "destinationServiceAccounts")
		for _, a := range accounts {
			if a, ok := a.(map[string]any); ok {
				name, _ := a["defaultServiceAccount"].(string)
				p.Accounts = append(p.Accounts, name)
			}
		}
		projects = append(projects, p)
	}
	for _, attester := range obj.Spec.Approval.Attesters {
		if why := access.SharedAttester(string(attester), projects); why != "" {
			return why, nil
		}
	}
	return "", nil
}
