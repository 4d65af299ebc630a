// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// gathering makes a ClusterRole gather the rules of those that a selector selects.
func gathering(name string, selector metav1.LabelSelector) *rbacv1.ClusterRole {
	return &rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: name}, AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{selector}}}
}

func roleRows(t *testing.T, s *scene) []row {
	t.Helper()
	no := func(words string) refusedBy { return refusedBy{"clusterroles", words} }
	widened, selector := no("what an AccessRole gives: to create it"), no("every selector of the aggregationRule must name a label that begins with access.hera.dev/aggregate-to-")
	administers := refusedBy{"roles", "to create, change or delete an AccessRole takes the verb administer"}

	const aggregated, label = "access.hera.dev/aggregate-to-infra-member", "/metadata/labels/access.hera.dev~1aggregate-to-infra-member"
	var part, sum rbacv1.ClusterRole
	var held v1alpha1.AccessRole
	for name, o := range map[string]*rbacv1.ClusterRole{"prod-access-infra-rules": &part, "prod-access-infra-member": &sum} {
		if err := as(t, root).Get(t.Context(), nameOf(name), o); err != nil {
			t.Fatal(err)
		}
	}
	if err := as(t, root).Get(t.Context(), nameOf("infra-member"), &held); err != nil {
		t.Fatal(err)
	}
	secrets := rbacv1.PolicyRule{APIGroups: []string{"*"}, Resources: []string{"*"}, Verbs: []string{"*"}}
	ofOthers := metav1.LabelSelector{MatchLabels: map[string]string{"rbac.authorization.k8s.io/aggregate-to-view": "true"}}
	ofOurs := metav1.LabelSelector{MatchLabels: map[string]string{"access.hera.dev/aggregate-to-oncall": "true"}}
	ofExpression := metav1.LabelSelector{MatchExpressions: []metav1.LabelSelectorRequirement{{Key: "access.hera.dev/aggregate-to-oncall", Operator: metav1.LabelSelectorOpExists}}}
	of := func(clusterRole string) *v1alpha1.AccessRole {
		r := reviewed()
		r.Name, r.Spec.Kubernetes.ClusterRole = "mine", clusterRole
		return r
	}

	var rows []row
	for _, p := range []person{dana, member, manager, nora, argo, sam} {
		rows = append(rows,
			row{name: p.user + " creates an AccessRole", who: p, do: create(of("prod-access-infra-manager")), want: administers, twin: twin{who: ada}},
			row{name: p.user + " attests to their own grants", who: p, do: patch(&held, `{"spec":{"approval":{"attesters":["`+p.user+`"]}}}`), want: administers, twin: twin{who: ada}},
			row{name: p.user + " widens what a role is aggregated from", who: p, do: edit(&part, operation("add", "/rules/-", secrets)), want: widened, twin: twin{who: ada}},
		)
	}
	return append(rows, []row{
		{name: "a maintainer changes a role", who: person{argo.user, []string{"maintainers"}}, do: patch(&held, `{"spec":{"maxDuration":"168h"}}`), want: administers, twin: twin{who: ada}},
		{name: "one approval instead of two", who: manager, do: patch(&held, `{"spec":{"approval":{"required":1}}}`), want: administers, twin: twin{who: ada}},
		{name: "a role for a week", who: manager, do: patch(&held, `{"spec":{"maxDuration":"168h"}}`), want: administers, twin: twin{who: theOperator}},
		{name: "deleting a role", who: manager, do: remove(&held), want: administers, twin: twin{who: ada}},
		{name: "deleting a role as garbage", who: collector, do: remove(&held), want: administers, twin: twin{who: ada}},
		{name: "deleting all roles", who: manager, do: removeAll(&v1alpha1.AccessRole{}, marked), want: administers, twin: twin{who: ada}},
		{name: "a role that binds cluster-admin, by an administrator", who: ada, do: create(of("cluster-admin")),
			want: invalid{"spec.kubernetes.clusterRole", "must begin with prod-access-"}, twin: twin{do: create(of("prod-access-cluster-admin"))}},
		{name: "a role whose name is too long, by an administrator", who: ada, do: create(named(of("prod-access-x"), 64)),
			want: invalid{"<nil>", "at most 63 characters"}, twin: twin{do: create(named(of("prod-access-x"), 63))}},
		{name: "the status of a role, by an administrator", who: ada, do: patchStatus(&held, `{"status":{"meaningDigest":"sha256:0"}}`),
			want: refusedBy{"status", "the operator alone"}, twin: twin{who: theOperator}},

		{name: "a ClusterRole that a role may name", who: manager, do: create(clusterRole("prod-access-oncall", "get", "secrets")),
			want: widened, twin: twin{do: create(clusterRole("prod-acces-oncall", "get", "secrets"))}},
		{name: "a ClusterRole that a role may name, its name generated", who: manager, do: create(generated(clusterRole("prod-access-", "get", "secrets"))),
			want: widened, twin: twin{do: create(generated(clusterRole("prod-acces-", "get", "secrets")))}},
		{name: "a ClusterRole that is aggregated into a role", who: manager, do: create(labelled(clusterRole("mine", "get", "secrets"), aggregated, "true")),
			want: widened, twin: twin{do: create(labelled(clusterRole("mine", "get", "secrets"), "rbac.authorization.k8s.io/aggregate-to-view", "true"))}},
		{name: "a ClusterRole that is aggregated into a role to come", who: manager, do: create(labelled(clusterRole("mine", "get", "secrets"), "access.hera.dev/aggregate-to-oncall", "true")),
			want: widened, twin: twin{who: ada}},
		{name: "aggregating a ClusterRole into a role", who: manager, do: edit(s.other, operation("add", label, "true")),
			want: widened, twin: twin{do: edit(s.other, operation("add", "/metadata/labels/team", "true"))}},
		{name: "switching a part of a role on", who: manager, do: edit(s.switchedOff, operation("replace", label, "true")),
			want: widened, twin: twin{do: edit(s.switchedOff, operation("remove", label, nil))}},
		{name: "a verb more", who: manager, do: edit(&part, operation("add", "/rules/0/verbs/-", "impersonate")),
			want: widened, twin: twin{do: edit(&part, operation("remove", "/rules/0", nil))}},
		{name: "another rule in the place of one", who: manager, do: edit(&part, operation("replace", "/rules/0", secrets)),
			want: widened, twin: twin{do: edit(&part, operation("replace", "/rules", nil))}},
		{name: "taking the label off and widening at once", who: manager, do: edit(s.switchedOff, operation("remove", label, nil), operation("add", "/rules/-", secrets)),
			want: widened, twin: twin{do: edit(s.switchedOff, operation("remove", label, nil), operation("add", "/metadata/annotations", map[string]string{"note": "seen"}))}},
		{name: "widening a role that is aggregated", who: manager, do: edit(&sum, operation("add", "/rules/-", secrets)),
			want: widened, twin: twin{who: aggregator}},
		{name: "having a role gather more", who: manager, do: edit(&sum, operation("add", "/aggregationRule/clusterRoleSelectors/-", ofOurs)),
			want: widened, twin: twin{do: edit(&sum, operation("remove", "/aggregationRule", nil))}},
		{name: "having a role gather more, as the aggregation controller", who: aggregator, do: edit(&sum, operation("add", "/aggregationRule/clusterRoleSelectors/-", ofOurs)),
			want: widened, twin: twin{who: ada}},
		{name: "having a part gather", who: manager, do: edit(&part, operation("add", "/aggregationRule", gathering("", ofOurs).AggregationRule)),
			want: widened, twin: twin{who: ada}},
		{name: "aggregating a ClusterRole into a role, as the aggregation controller", who: aggregator, do: edit(s.other, operation("add", label, "true")),
			want: widened, twin: twin{who: theOperator}},
		{name: "creating a part of a role, as the aggregation controller", who: aggregator, do: create(clusterRole("prod-access-oncall", "get", "secrets")),
			want: widened, twin: twin{who: theOperator}},

		{name: "a role that gathers what nobody guards, by an administrator", who: ada, do: create(gathering("prod-access-oncall", ofOthers)),
			want: selector, twin: twin{do: create(gathering("prod-access-oncall", ofOurs))}},
		{name: "a role that gathers by an expression, by an administrator", who: ada, do: create(gathering("prod-access-oncall", ofExpression)),
			want: selector, twin: twin{do: create(gathering("prod-access-oncall", ofOurs))}},
		{name: "a role that gathers everything, by an administrator", who: ada, do: edit(&sum, operation("add", "/aggregationRule/clusterRoleSelectors/-", metav1.LabelSelector{})),
			want: selector, twin: twin{do: edit(&sum, operation("add", "/aggregationRule/clusterRoleSelectors/-", ofOurs))}},
	}...)
}
