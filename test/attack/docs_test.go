// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"sigs.k8s.io/yaml"
)

const specification = "../../docs/spec/admission.md"

// tellsEveryRefusal holds the specification against the policies, and against what they were seen to say: there is one
// sentence for each validation, each was seen, and nothing else was. The sign … stands for a value.
func tellsEveryRefusal(t *testing.T) {
	content, err := os.ReadFile(specification)
	if err != nil {
		t.Fatal(err)
	}
	type sentence struct {
		text    string
		pattern *regexp.Regexp
		seen    bool
	}
	told := map[string][]*sentence{}
	for line := range strings.Lines(string(content)) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		if policy := strings.Trim(strings.TrimSpace(cells[0]), "`"); strings.HasPrefix(line, "| `prod-access-") && len(cells) == 3 {
			text := strings.ReplaceAll(strings.TrimSpace(cells[2]), `\|`, "|")
			told[policy] = append(told[policy], &sentence{text: text,
				pattern: regexp.MustCompile("^" + strings.ReplaceAll(regexp.QuoteMeta(text), "…", ".*") + "$")})
		}
	}
	policies := readPolicies(t)
	for name, p := range policies {
		if len(told[name]) != len(p.Spec.Validations) {
			t.Errorf("the specification has %d sentences of %s, which has %d validations", len(told[name]), name, len(p.Spec.Validations))
		}
	}
	for _, s := range seen {
		found := false
		for _, line := range told[s.policy] {
			if line.pattern.MatchString(s.sentence) {
				found, line.seen = true, true
			}
		}
		if !found && !fallback(policies[s.policy], s.sentence) {
			t.Errorf("%s refused with a sentence that the specification does not have: %s", s.policy, s.sentence)
		}
	}
	for policy, lines := range told {
		if policies[policy] == nil {
			t.Errorf("the specification tells of %s, which does not exist", policy)
		}
		for _, line := range lines {
			if !line.seen {
				t.Errorf("no row was refused by %s with: %s", policy, line.text)
			}
		}
	}
}

// fallback says whether a sentence is one that is said in place of another that would have several lines.
func fallback(p *admissionregistrationv1.ValidatingAdmissionPolicy, sentence string) bool {
	for _, v := range p.Spec.Validations {
		if v.MessageExpression != "" && v.Message == sentence {
			return true
		}
	}
	return false
}

// readPolicies reads config/admission, and holds every policy to what they have in common.
func readPolicies(t *testing.T) map[string]*admissionregistrationv1.ValidatingAdmissionPolicy {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(config, "admission", "*.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	policies := map[string]*admissionregistrationv1.ValidatingAdmissionPolicy{}
	bindings := map[string]bool{}
	for _, file := range files {
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for doc := range strings.SplitSeq(string(content), "\n---\n") {
			var p admissionregistrationv1.ValidatingAdmissionPolicy
			var b admissionregistrationv1.ValidatingAdmissionPolicyBinding
			if err := yaml.Unmarshal([]byte(doc), &p); err != nil {
				t.Fatalf("%s: %v", file, err)
			}
			switch p.Kind {
			case "ValidatingAdmissionPolicy":
				policies[p.Name] = &p
			case "ValidatingAdmissionPolicyBinding":
				if err := yaml.UnmarshalStrict([]byte(doc), &b); err != nil {
					t.Fatalf("%s: %v", file, err)
				}
				bindings[b.Name] = b.Name == b.Spec.PolicyName && fmt.Sprint(b.Spec.ValidationActions) == "[Deny]"
			}
		}
	}
	for name, p := range policies {
		var stored admissionregistrationv1.ValidatingAdmissionPolicy
		if err := as(t, root).Get(t.Context(), nameOf(name), &stored); err != nil {
			t.Fatal(err)
		}
		// Kustomize does not leave every way of writing a long expression as it is, and the operator compares.
		if !equality.Semantic.DeepEqual(stored.Spec.Variables, p.Spec.Variables) || !equality.Semantic.DeepEqual(stored.Spec.Validations, p.Spec.Validations) ||
			!equality.Semantic.DeepEqual(stored.Spec.MatchConditions, p.Spec.MatchConditions) {
			t.Errorf("the policy %s is not installed as it is written", name)
		}
		if !bindings[name] {
			t.Errorf("the policy %s has no binding of the same name that denies", name)
		}
		if p.Spec.FailurePolicy == nil || *p.Spec.FailurePolicy != admissionregistrationv1.Fail {
			t.Errorf("the policy %s does not say that a failure denies", name)
		}
		for _, v := range p.Spec.Validations {
			if v.Message == "" {
				t.Errorf("the policy %s has a validation without a message: %s", name, v.Expression)
			}
		}
		for _, v := range p.Spec.Variables {
			if v.Name == "operator" && v.Expression != "'"+theOperator.user+"'" {
				t.Errorf("the policy %s names another operator: %s", name, v.Expression)
			}
		}
	}
	if len(policies) == 0 || len(policies) != len(bindings) {
		t.Errorf("found %d policies and %d bindings", len(policies), len(bindings))
	}
	return policies
}
