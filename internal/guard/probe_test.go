// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"testing/fstest"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/runtime/schema"

	"github.com/hera-platform/prod-access-operator/config/admission"
)

// TestProof: only the policy's own refusal proves that it works.
func TestProof(t *testing.T) {
	w := newWorld(t, first, none)
	probe := w.options.Probes[0]
	const prefix = "ValidatingAdmissionPolicy 'asked' with binding 'asked' denied request: "
	tests := map[string]struct {
		err  error
		want bool
	}{
		"a fixed message":        {refusal(prefix + "approver must be the caller"), true},
		"another binding of it":  {refusal(strings.Replace(prefix, "binding 'asked'", "binding 'b'", 1) + "approver must be the caller"), true},
		"the forged name quoted": {refusal(prefix + "approver is " + forged + ", but you are eve"), true},
		"a name quoted":          {refusal(prefix + "approver is bob, but you are eve"), false},
		"another text":           {refusal(prefix + "failed to configure binding: no params found"), false},
		"an error of the rule":   {refusal(prefix + "expression 'x == \"" + forged + "\"' resulted in error: no such key"), false},
		"no binding":             {refusal("ValidatingAdmissionPolicy 'asked' denied request: approver must be the caller"), false},
		"another policy":         {refusal(strings.Replace(prefix, "asked", "bound", 1) + "approver must be the caller"), false},
		"a webhook":              {refusal("admission webhook denied the request: approver must be the caller"), false},
		"RBAC":                   {refusal("User \"x\" cannot create resource \"accessapprovals\""), false},
		"the schema":             {apierrors.NewInvalid(schema.GroupKind{Kind: "AccessApproval"}, probeName, nil), false},
		"no answer":              {errors.New(prefix + "approver must be the caller"), false},
	}
	for name, tt := range tests {
		if got := probe.proves(tt.err, w.guard.releases.refusals("asked")); got != tt.want {
			t.Errorf("%s: proves is %v, want %v", name, got, tt.want)
		}
	}
}

// TestEmbedded: what is released can be read, is complete, and is about the operator as it is called.
func TestEmbedded(t *testing.T) {
	g, err := New(Options{Username: operator, Namespace: namespace})
	if err != nil {
		t.Fatal(err)
	}
	for o, spec := range g.releases.current {
		if b, ok := spec.(*admissionv1.ValidatingAdmissionPolicyBindingSpec); ok {
			if !g.releases.has(object{policyKind, b.PolicyName}) {
				t.Errorf("%s binds %s, which is not released", o, b.PolicyName)
			}
			if !slices.Equal(b.ValidationActions, []admissionv1.ValidationAction{admissionv1.Deny}) {
				t.Errorf("%s does not deny", o)
			}
			continue
		}
		if !slices.ContainsFunc(bindings(g.releases.current), func(b *admissionv1.ValidatingAdmissionPolicyBindingSpec) bool {
			return b.PolicyName == o.name
		}) {
			t.Errorf("%s has no binding", o)
		}
	}
	text := describe(t, g.releases.current)
	if strings.Contains(text, releasedNamespace) || !strings.Contains(text, operator) {
		t.Error("the policies are about another operator")
	}
}

func bindings(s specs) (found []*admissionv1.ValidatingAdmissionPolicyBindingSpec) {
	for _, spec := range s {
		if b, ok := spec.(*admissionv1.ValidatingAdmissionPolicyBindingSpec); ok {
			found = append(found, b)
		}
	}
	return found
}

func describe(t *testing.T, s specs) string {
	t.Helper()
	var text strings.Builder
	for _, spec := range s {
		if p, ok := spec.(*admissionv1.ValidatingAdmissionPolicySpec); ok {
			text.WriteString(p.String())
		}
	}
	return text.String()
}

// TestParseRefuses: what is no policy would be guarded by nobody.
func TestParseRefuses(t *testing.T) {
	good := manifest("a", "1")
	tests := map[string]struct{ content, want string }{
		"a policy":      {good, ""},
		"another kind":  {"apiVersion: admissionregistration.k8s.io/v1\nkind: Role\nmetadata: {name: a}", "Role a is neither"},
		"beta":          {strings.Replace(good, "k8s.io/v1", "k8s.io/v1beta1", 1), "v1beta1"},
		"an odd field":  {strings.Replace(good, "spec:", "spec:\n  failurePolicies: Ignore", 1), "failurePolicies"},
		"the same name": {good + "---\n" + good, "exists twice"},
		"no YAML":       {"{", "a.yaml"},
	}
	for name, tt := range tests {
		_, err := parse(fstest.MapFS{"a.yaml": {Data: []byte(tt.content)}}, operator, namespace)
		if (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v, want %q", name, err, tt.want)
		}
	}
	if _, err := New(Options{Current: admission.Files, Probes: []Probe{{Policy: "nobody"}}}); err == nil {
		t.Error("a probe for a policy that nobody released is taken")
	}
}
