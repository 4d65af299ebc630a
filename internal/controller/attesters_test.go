// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller_test

import (
	"strings"
	"testing"

	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// appProjects is as much of Argo CD's kind as matters here.
const appProjects = `
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: appprojects.argoproj.io}
spec:
  group: argoproj.io
  scope: Namespaced
  names: {plural: appprojects, singular: appproject, kind: AppProject, listKind: AppProjectList}
  versions:
  - {name: v1alpha1, served: true, storage: true, schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}}
`

func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.Unmarshal([]byte(manifest), &o.Object); err != nil {
		t.Fatal(err)
	}
	return o
}

// An attester that several AppProjects sync as is told of; one that a single project has is not.
func TestSharedAttesterIsTold(t *testing.T) {
	attested := func(r *v1alpha1.AccessRole) {
		r.Spec.Approval.Attesters = []v1alpha1.Username{"system:serviceaccount:default:access"}
	}
	judged := func(r *v1alpha1.AccessRole) bool {
		return meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady)
	}
	before := role(t, attested)
	eventually(t, before, "a role without Argo CD", func() bool { return judged(before) })
	if meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionAttesterShared) != nil {
		t.Error("without Argo CD the attester is said to be shared")
	}
	crd := parse(t, appProjects)
	create(t, crd)
	eventually(t, crd, "its being served", func() bool {
		conditions, _, _ := unstructured.NestedSlice(crd.Object, "status", "conditions")
		for _, c := range conditions {
			if c := c.(map[string]any); c["type"] == "Established" && c["status"] == "True" { //nolint:forcetypeassert // so the API has it
				return true
			}
		}
		return false
	})
	project := func(name string) {
		create(t, parse(t, "{apiVersion: argoproj.io/v1alpha1, kind: AppProject, metadata: {namespace: default, name: "+name+
			"}, spec: {destinationServiceAccounts: [{server: '*', namespace: '*', defaultServiceAccount: 'default:access'}]}}"))
	}
	project("access")
	one := role(t, attested)
	eventually(t, one, "a role with one project", func() bool { return judged(one) })
	if c := meta.FindStatusCondition(one.Status.Conditions, v1alpha1.ConditionAttesterShared); c != nil {
		t.Errorf("with one project the attester is said to be shared: %s", c.Message)
	}
	project("shop")
	edit(t, one, func() { one.Spec.Description = "looked at again" })
	eventually(t, one, "a warning", func() bool {
		c := meta.FindStatusCondition(one.Status.Conditions, v1alpha1.ConditionAttesterShared)
		return c != nil && strings.Contains(c.Message, "default/access, default/shop")
	})
	if !judged(one) {
		t.Error("a warning makes the role not Ready")
	}
}
