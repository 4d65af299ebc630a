// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
)

var (
	mutate      = flag.String("mutate", "", "TestMutants switches off the rules whose names match this `regexp`")
	mutateLimit = flag.Int("mutate.limit", 0, "TestMutants switches off at most so many; 0 is all")
)

const rules = "x-kubernetes-validations"

// TestMutants switches off one CEL rule of the CRDs at a time: some test of the package must then fail. So it is meant to
// fail, and only hack/mutate runs it.
func TestMutants(t *testing.T) {
	if *mutate == "" {
		t.Skip("it is meant to fail; make mutate runs it")
	}
	only := regexp.MustCompile(*mutate)
	tables := []struct {
		kind
		manifest string
		test     func(*testing.T)
	}{
		{accessRole, roleManifest, TestAccessRole}, {prodAccessGrant, grantManifest, TestProdAccessGrant},
		{accessApproval, approvalManifest, TestAccessApproval}, {accessRevocation, personManifest, TestAccessRevocation},
		{breakGlass, emergencyManifest, TestBreakGlass},
	}
	// Those of more than one kind, or for another kind of mistake. None by kubectl, which reads the published schema first:
	// that lags behind a CRD that changes every second.
	others := map[string]func(*testing.T){
		"TestImmutableSpecs": TestImmutableSpecs, "TestImmutableRevocations": TestImmutableRevocations, "TestLiftOnceUnlessItDidNotCount": TestLiftOnceUnlessItDidNotCount,
		"TestImmutableEmergencies": TestImmutableEmergencies, "TestImmutableTemporaryUsers": TestImmutableTemporaryUsers, "TestApprovedReportIsFrozen": TestApprovedReportIsFrozen,
		"TestMutableRole": TestMutableRole, "TestDefaults": TestDefaults, "TestStatusIsSeparate": TestStatusIsSeparate,
		"TestStatusHoldsWhatTheOperatorWrites": TestStatusHoldsWhatTheOperatorWrites, "TestStatusNamesNobodyInvisibly": TestStatusNamesNobodyInvisibly,
	}
	rest := func(t *testing.T) {
		for _, name := range slices.Sorted(maps.Keys(others)) {
			if !t.Run(name, others[name]) {
				return
			}
		}
	}
	whole := func(t *testing.T) {
		for _, k := range tables {
			k.test(t)
		}
		rest(t)
	}
	if !t.Run("nothing is switched off", whole) {
		return
	}
	done := 0
	for _, k := range tables {
		crd := definition(t, k.kind)
		n := 0
		eachRule(k.name, root(t, crd), func(path string, r map[string]any) {
			n++
			mutant := fmt.Sprintf("%s, rule %d: %s", path, n, strings.ReplaceAll(r["message"].(string), "/", " "))
			if !only.MatchString(mutant) || *mutateLimit > 0 && done == *mutateLimit {
				return
			}
			done++
			t.Run(mutant, func(t *testing.T) {
				install(t, k.kind, parse(t, k.manifest), fmt.Sprintf("mutant-%d", done), switchedOff(t, crd, n))
				if t.Run(k.name, k.test) {
					rest(t)
				}
			})
			// What should have been refused may be there.
			if err := k.client().DeleteCollection(t.Context(), metav1.DeleteOptions{}, metav1.ListOptions{}); err != nil {
				t.Fatal(err)
			}
		})
		install(t, k.kind, parse(t, k.manifest), "whole", crd)
	}
	t.Run("nothing is switched off", whole)
}

var definitions = schema.GroupVersionResource{Group: "apiextensions.k8s.io", Version: "v1", Resource: "customresourcedefinitions"}

// definition reads the CRD of a kind.
func definition(t *testing.T, k kind) *unstructured.Unstructured {
	t.Helper()
	crd, err := kube.Resource(definitions).Get(t.Context(), k.resource+".access.hera.dev", metav1.GetOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return crd
}

// root is the schema in a CRD, of the one version that there is.
func root(t *testing.T, crd *unstructured.Unstructured) map[string]any {
	t.Helper()
	versions, _, err := unstructured.NestedSlice(crd.Object, "spec", "versions")
	if err != nil || len(versions) != 1 {
		t.Fatalf("%d versions, %v", len(versions), err)
	}
	return crd.Object["spec"].(map[string]any)["versions"].([]any)[0].(map[string]any)["schema"].(map[string]any)["openAPIV3Schema"].(map[string]any)
}

// eachRule visits the rules of a schema, always in the same order.
func eachRule(path string, n map[string]any, visit func(path string, rule map[string]any)) {
	all, _ := n[rules].([]any)
	for _, r := range all {
		visit(path, r.(map[string]any))
	}
	fields, _ := n["properties"].(map[string]any)
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		eachRule(path+"."+name, fields[name].(map[string]any), visit)
	}
	if items, ok := n["items"].(map[string]any); ok {
		eachRule(path+"[]", items, visit)
	}
}

// switchedOff returns a CRD whose rule of this number, counted from 1, holds for everything.
func switchedOff(t *testing.T, crd *unstructured.Unstructured, number int) *unstructured.Unstructured {
	t.Helper()
	crd = crd.DeepCopy()
	n := 0
	eachRule("", root(t, crd), func(_ string, r map[string]any) {
		if n++; n == number {
			r["rule"] = "true"
		}
	})
	return crd
}

// install gives a CRD that exists another content, and waits until the API server acts by it: until it refuses what a rule
// refuses that comes with it.
func install(t *testing.T, k kind, base *unstructured.Unstructured, beacon string, crd *unstructured.Unstructured) {
	t.Helper()
	crd = crd.DeepCopy()
	top := root(t, crd)
	all, _ := top[rules].([]any)
	top[rules] = append(all, map[string]any{"rule": "self.metadata.name != '" + beacon + "'", "message": "seen " + beacon})
	crd.SetResourceVersion(definition(t, k).GetResourceVersion())
	if _, err := kube.Resource(definitions).Update(t.Context(), crd, metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	base.SetName(beacon)
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		_, err := k.client().Create(ctx, base, metav1.CreateOptions{DryRun: []string{metav1.DryRunAll}})
		return err != nil && strings.Contains(err.Error(), "seen "+beacon), nil
	})
	if err != nil {
		t.Fatalf("the %s does not come to act: %v", crd.GetName(), err)
	}
}
