// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package v1alpha1 holds the API of production access: what a role means, who asks for it, who approves it, what
// is revoked.
// +kubebuilder:object:generate=true
// +kubebuilder:ac:generate=true
// +groupName=access.hera.dev
package v1alpha1

import (
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
)

// GroupName is the API group of every kind in this package.
const GroupName = "access.hera.dev"

var (
	// SchemeGroupVersion is the group and version of every kind in this package.
	SchemeGroupVersion = schema.GroupVersion{Group: GroupName, Version: "v1alpha1"}

	schemeBuilder = runtime.NewSchemeBuilder(addKnownTypes)

	// AddToScheme registers the kinds of this package.
	AddToScheme = schemeBuilder.AddToScheme
)

func addKnownTypes(s *runtime.Scheme) error {
	s.AddKnownTypes(SchemeGroupVersion,
		&AccessRole{}, &AccessRoleList{},
		&ProdAccessGrant{}, &ProdAccessGrantList{},
		&BreakGlass{}, &BreakGlassList{},
		&AccessApproval{}, &AccessApprovalList{},
		&AccessRevocation{}, &AccessRevocationList{},
	)
	metav1.AddToGroupVersion(s, SchemeGroupVersion)
	return nil
}
