// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// labelled and owned change an object that is not stored yet.
func labelled[O client.Object](o O, key, value string) O {
	o.SetLabels(map[string]string{key: value})
	return o
}

func owned[O client.Object](o O, by metav1.OwnerReference) O {
	o.SetOwnerReferences([]metav1.OwnerReference{by})
	return o
}

// generated leaves the end of an object's name to the API server.
func generated[O client.Object](o O) O {
	o.SetGenerateName(o.GetName())
	o.SetName("")
	return o
}

func bindingRows(_ *testing.T, s *scene) []row {
	no := func(words string) refusedBy { return refusedBy{"bindings", words} }
	bound, name, managed := no("is bound by the operator alone"), no("names of bindings that begin with prod-access- are the operator's"), no("or owned by an object of access.hera.dev")
	const infra = "prod-access-infra-manager"
	addSubject := func(p person) string { return operation("add", "/subjects/-", user(p)) }
	ofConfigMap := metav1.OwnerReference{APIVersion: "v1", Kind: "ConfigMap", Name: "held", UID: s.held.UID}
	toRole := func(b *rbacv1.RoleBinding) *rbacv1.RoleBinding {
		b.RoleRef.Kind = "Role"
		return b
	}
	const label = v1alpha1.ManagedByLabel

	var rows []row
	for _, p := range []person{dana, developer, member, manager, nora, argo, sam} {
		rows = append(rows,
			row{name: p.user + " binds a role's ClusterRole to themselves", who: p, do: create(clusterBinding("mine", infra, user(p))),
				want: bound, twin: twin{do: create(clusterBinding("mine", "cluster-admin", user(p)))}},
			row{name: p.user + " adds themselves to a managed binding", who: p, do: edit(s.binding, addSubject(p)),
				want: bound, twin: twin{who: theOperator}},
			row{name: p.user + " takes the label off a managed binding", who: p, do: edit(s.binding, operation("remove", "/metadata/labels", nil)),
				want: managed, twin: twin{who: theOperator}},
		)
	}
	return append(rows, []row{
		{name: "binding a role's ClusterRole in one's namespace", who: nora, do: create(roleBinding("payments", "mine", infra, user(nora))),
			want: no("the ClusterRole prod-access-infra-manager is bound by the operator alone: create a ProdAccessGrant"),
			twin: twin{do: create(roleBinding("payments", "mine", "admin", user(nora)))}},
		{name: "binding a role's ClusterRole and not a Role of that name", who: nora, do: create(roleBinding("payments", "mine", infra, user(nora))),
			want: bound, twin: twin{do: create(toRole(roleBinding("payments", "mine", infra, user(nora))))}},
		{name: "binding the operator's own ClusterRole", who: member, do: create(clusterBinding("mine", "prod-access-manager-role", user(member))),
			want: bound, twin: twin{who: ada}},
		{name: "binding a ready ClusterRole", who: member, do: create(clusterBinding("mine", "prod-access-approver", user(member))),
			want: bound, twin: twin{who: ada}},
		{name: "binding a ClusterRole that is still to come", who: member, do: create(clusterBinding("mine", "prod-access-tomorrow", user(member))),
			want: bound, twin: twin{who: theOperator}},
		{name: "adding a group to a binding of a ready ClusterRole", who: manager, do: edit(s.standing, operation("add", "/subjects/-", group("infra-managers"))),
			want: bound, twin: twin{do: edit(s.standing, operation("remove", "/subjects/1", nil))}},
		{name: "putting another group in a binding of a ready ClusterRole", who: manager, do: edit(s.standing, operation("replace", "/subjects/0", group("infra-managers"))),
			want: bound, twin: twin{do: edit(s.standing, operation("replace", "/subjects", nil))}},
		{name: "giving a binding of a ready ClusterRole a subject of another kind", who: manager, do: edit(s.standing, operation("replace", "/subjects/0/kind", "User")),
			want: bound, twin: twin{do: edit(s.standing, operation("add", "/metadata/annotations", map[string]string{"note": "seen"}))}},

		{name: "taking the name of a ClusterRoleBinding to come", who: manager, do: create(clusterBinding("prod-access-alice-0123456789", "view", user(manager))),
			want: name, twin: twin{do: create(clusterBinding("prod-acces-alice-0123456789", "view", user(manager)))}},
		{name: "taking the name of a RoleBinding to come", who: nora, do: create(roleBinding("payments", "prod-access-alice-0123456789", "view", user(nora))),
			want: name, twin: twin{do: create(roleBinding("payments", "alice-0123456789", "view", user(nora)))}},
		{name: "taking the name of a RoleBinding to come, for a Role", who: nora, do: create(toRole(roleBinding("payments", "prod-access-alice-0123456789", "mine", user(nora)))),
			want: name, twin: twin{who: ada}},
		{name: "having a name of ours generated", who: manager, do: create(generated(clusterBinding("prod-access-", "view", user(manager)))),
			want: name, twin: twin{do: create(generated(clusterBinding("prod-acces-", "view", user(manager))))}},
		{name: "taking a name, as Argo CD", who: argo, do: create(clusterBinding("prod-access-alice-0123456789", "view", user(alice))),
			want: name, twin: twin{who: theOperator}},

		{name: "a ClusterRoleBinding with our label", who: manager, do: create(labelled(clusterBinding("mine", "view", user(manager)), label, "prod-access-operator")),
			want: managed, twin: twin{do: create(labelled(clusterBinding("mine", "view", user(manager)), label, "argocd"))}},
		{name: "a RoleBinding with our label", who: nora, do: create(labelled(roleBinding("payments", "mine", "view", user(nora)), label, "prod-access-operator")),
			want: managed, twin: twin{do: create(labelled(roleBinding("payments", "mine", "view", user(nora)), "app.kubernetes.io/name", "prod-access-operator"))}},
		{name: "a binding with our label, by an administrator", who: ada, do: create(labelled(clusterBinding("mine", "view", user(manager)), label, "prod-access-operator")),
			want: managed, twin: twin{who: theOperator}},
		{name: "putting our label on a binding", who: manager, do: edit(s.standing, operation("add", "/metadata/labels", map[string]string{label: "prod-access-operator"})),
			want: managed, twin: twin{do: edit(s.standing, operation("add", "/metadata/labels", map[string]string{label: "helm"}))}},
		{name: "a binding that a grant owns", who: manager, do: create(owned(clusterBinding("mine", "view", user(manager)), ownedBy(s.held))),
			want: managed, twin: twin{do: create(owned(clusterBinding("mine", "view", user(manager)), ofConfigMap))}},
		{name: "giving a managed binding another label", who: ada, do: patch(s.binding, `{"metadata":{"labels":{"`+label+`":"helm"}}}`),
			want: managed, twin: twin{who: theOperator}},
		{name: "taking the owner off a managed binding", who: ada, do: edit(s.binding, operation("remove", "/metadata/ownerReferences", nil)),
			want: managed, twin: twin{who: theOperator}},
		{name: "orphaning a managed binding, as the garbage collector", who: collector, do: edit(s.binding, operation("remove", "/metadata/ownerReferences", nil)),
			want: managed, twin: twin{who: theOperator}},
		{name: "taking both marks off a managed binding", who: manager,
			do:   edit(s.binding, operation("remove", "/metadata/ownerReferences", nil), operation("remove", "/metadata/labels", nil)),
			want: managed, twin: twin{who: theOperator}},
		{name: "naming another grant on a managed binding", who: manager, do: patch(s.binding, `{"metadata":{"annotations":{"`+v1alpha1.GrantAnnotation+`":"other"}}}`),
			want: managed, twin: twin{do: patch(s.standing, `{"metadata":{"annotations":{"`+v1alpha1.GrantAnnotation+`":"other"}}}`)}},
		{name: "adding a subject to a managed binding, by an administrator", who: ada, do: edit(s.binding, addSubject(ada)),
			want: managed, twin: twin{do: edit(s.standing, addSubject(ada))}},
		{name: "emptying a managed binding and not deleting it", who: manager, do: edit(s.binding, operation("remove", "/subjects", nil)),
			want: managed, twin: twin{do: remove(s.binding)}},
		{name: "pointing a managed binding at another ClusterRole", who: root, do: edit(s.binding, operation("replace", "/roleRef/name", "view")),
			want: invalid{"roleRef", "field is immutable"}, twin: twin{do: remove(s.binding)}},
	}...)
}
