// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	admissionregistrationv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

var (
	mutate      = flag.String("mutate", "", "TestMutants switches off the validations whose names match this `regexp`")
	mutateLimit = flag.Int("mutate.limit", 0, "TestMutants switches off at most so many; 0 is all")
)

// TestMutants switches off one validation of the policies at a time: some row that the policy refuses must then fail. So
// it is meant to fail, and only hack/mutate runs it.
func TestMutants(t *testing.T) {
	if *mutate == "" {
		t.Skip("it is meant to fail; make mutate runs it")
	}
	only := regexp.MustCompile(*mutate)
	s := setUp(t)
	all := map[string][]row{} // by policy
	for _, topic := range topics {
		for _, r := range topic.rows(t, s) {
			if want, ok := r.want.(refusedBy); ok {
				name := "prod-access-" + want.policy
				all[name] = append(all[name], r)
			}
		}
	}
	policies := readPolicies(t)
	b := newBeacon(t)
	check := func(t *testing.T, rows []row) {
		for _, r := range rows {
			if !t.Run(r.name, func(t *testing.T) { r.want.check(t, r.do(t.Context(), as(t, r.who))) }) {
				return
			}
		}
	}
	whole := func(t *testing.T) {
		b.settle(t)
		for _, name := range slices.Sorted(maps.Keys(policies)) {
			check(t, all[name])
		}
	}
	if !t.Run("nothing is switched off", whole) {
		return
	}
	done := 0
	for _, name := range slices.Sorted(maps.Keys(policies)) {
		for i, v := range policies[name].Spec.Validations {
			mutant := fmt.Sprintf("%s, validation %d: %s", name, i+1, strings.ReplaceAll(strings.TrimSpace(v.Message), "/", " "))
			if !only.MatchString(mutant) || *mutateLimit > 0 && done == *mutateLimit {
				continue
			}
			done++
			t.Run(mutant, func(t *testing.T) {
				off := policies[name].Spec.DeepCopy()
				off.Validations[i].Expression = "true"
				install(t, name, off)
				// Once more for what nobody noticed: see settle.
				for range 2 {
					b.settle(t)
					if check(t, all[name]); t.Failed() {
						return
					}
				}
			})
			install(t, name, &policies[name].Spec)
		}
	}
	t.Run("nothing is switched off", whole)
}

// install gives a policy that exists another content.
func install(t *testing.T, name string, spec *admissionregistrationv1.ValidatingAdmissionPolicySpec) {
	t.Helper()
	p := &admissionregistrationv1.ValidatingAdmissionPolicy{}
	if err := as(t, root).Get(t.Context(), nameOf(name), p); err != nil {
		t.Fatal(err)
	}
	spec.DeepCopyInto(&p.Spec)
	if err := as(t, root).Update(t.Context(), p); err != nil {
		t.Fatal(err)
	}
}

// beacon is a policy that shows when those which were changed before it act.
type beacon struct {
	name string
	spec admissionregistrationv1.ValidatingAdmissionPolicySpec
	seen int
}

func newBeacon(t *testing.T) *beacon {
	t.Helper()
	const name = "beacon"
	b := &beacon{name: name, spec: admissionregistrationv1.ValidatingAdmissionPolicySpec{
		MatchConstraints: &admissionregistrationv1.MatchResources{ResourceRules: []admissionregistrationv1.NamedRuleWithOperations{{
			RuleWithOperations: admissionregistrationv1.RuleWithOperations{Operations: []admissionregistrationv1.OperationType{admissionregistrationv1.Create},
				Rule: admissionregistrationv1.Rule{APIGroups: []string{""}, APIVersions: []string{"v1"}, Resources: []string{"configmaps"}}}}}},
		Validations: []admissionregistrationv1.Validation{{Expression: "object.metadata.name != '" + name + "'", Message: "0"}},
	}}
	for _, o := range []client.Object{
		&admissionregistrationv1.ValidatingAdmissionPolicy{ObjectMeta: metav1.ObjectMeta{Name: name}, Spec: b.spec},
		&admissionregistrationv1.ValidatingAdmissionPolicyBinding{ObjectMeta: metav1.ObjectMeta{Name: name},
			Spec: admissionregistrationv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: name, ValidationActions: []admissionregistrationv1.ValidationAction{admissionregistrationv1.Deny}}},
	} {
		if err := as(t, root).Create(t.Context(), o); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

// settle waits until the API server acts by what the policies say now. It takes all of them up together, once a second,
// from one watch; so when the beacon says something new, what was changed before it acts, unless the change came in the
// very moment between reading the two. A second time leaves no doubt.
func (b *beacon) settle(t *testing.T) {
	t.Helper()
	b.seen++
	b.spec.Validations[0].Message = strconv.Itoa(b.seen)
	install(t, b.name, &b.spec)
	light := create(&corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: b.name}})
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true, func(ctx context.Context) (bool, error) {
		err := light(ctx, as(t, root))
		if err == nil {
			return false, nil
		}
		_, sentence := refusal(err)
		return sentence == b.spec.Validations[0].Message, nil
	})
	if err != nil {
		t.Fatalf("the policies do not come to act: %v", err)
	}
}
