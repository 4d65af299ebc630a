// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"net/http"
	"testing"

	coordinationv1 "k8s.io/api/coordination/v1"
	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// namespaceRows are attempts to become the operator by way of its namespace.
func namespaceRows(_ *testing.T, _ *scene) []row {
	want := refusedBy{"namespace", "the namespace prod-access-system is the operator's"}
	agent := person{user: "system:serviceaccount:calico-system:calico-node"}
	const other = "payments"
	meta := func(in, name string) metav1.ObjectMeta { return metav1.ObjectMeta{Namespace: in, Name: name} }
	objects := []struct {
		what   string
		object func(in string) client.Object
	}{
		{"a pod", func(in string) client.Object { return pod(in, "mine") }},
		{"a token's secret", func(in string) client.Object { return tokenSecret(meta(in, "mine")) }},
		{"a lease", func(in string) client.Object { return &coordinationv1.Lease{ObjectMeta: meta(in, "mine")} }},
		{"a record", func(in string) client.Object { return &corev1.ConfigMap{ObjectMeta: meta(in, "prod-access-audit")} }},
		{"an event", func(in string) client.Object {
			return &corev1.Event{ObjectMeta: meta(in, "mine"), InvolvedObject: corev1.ObjectReference{Namespace: in}}
		}},
		{"a RoleBinding", func(in string) client.Object { return roleBinding(in, "mine", "admin", user(nora)) }},
		{"a service account", func(in string) client.Object { return &corev1.ServiceAccount{ObjectMeta: meta(in, "mine")} }},
	}
	// No kubelet answers: what admission lets pass ends there.
	const noNode = "does not have a host assigned"
	entries := []struct{ what, path, until string }{
		{"exec", "pods/target/exec?command=sh", noNode}, {"attach", "pods/target/attach?stdin=true", noNode},
		{"portforward", "pods/target/portforward?ports=8443", noNode}, {"the proxy", "pods/target/proxy/", "address not allowed"},
	}

	var rows []row
	for _, o := range objects {
		for _, p := range []person{manager, nora} {
			rows = append(rows, row{name: p.user + " creates " + o.what, who: p, do: create(o.object(namespace)), want: want, twin: twin{do: create(o.object(other))}})
		}
	}
	for _, e := range entries {
		for _, p := range []person{member, manager, argo} {
			rows = append(rows, row{name: p.user + " enters by " + e.what, who: p, do: connect(namespace + "/" + e.path), want: want,
				twin: twin{do: connect(other + "/" + e.path), until: e.until}})
		}
	}
	token := func(in string) attempt {
		return request(http.MethodPost, "/api/v1/namespaces/"+in+"/serviceaccounts/target/token", `{"apiVersion":"authentication.k8s.io/v1","kind":"TokenRequest","spec":{}}`)
	}
	eviction := func(in string) attempt {
		return request(http.MethodPost, "/api/v1/namespaces/"+in+"/pods/target/eviction?dryRun=All", `{"apiVersion":"policy/v1","kind":"Eviction","metadata":{"name":"target"}}`)
	}
	place := func(in string) attempt {
		return request(http.MethodPost, "/api/v1/namespaces/"+in+"/pods/target/binding?dryRun=All",
			`{"apiVersion":"v1","kind":"Binding","metadata":{"name":"target"},"target":{"kind":"Node","name":"mine"}}`)
	}
	theirs := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: namespace}}
	others := &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: other}}
	const terminating = `{"status":{"conditions":[{"type":"NamespaceContentRemaining","status":"True"}]}}`
	const note = `{"metadata":{"annotations":{"note":"seen"}}}`
	rows = append(rows, []row{
		{name: "the operator's token", who: manager, do: token(namespace), want: want, twin: twin{do: token(other)}},
		{name: "the operator's token, as Argo CD", who: argo, do: token(namespace), want: want, twin: twin{who: ada}},
		{name: "the operator's token, as a controller outside of kube-system", who: person{user: "system:serviceaccount:kube-systems:replicaset-controller"},
			do: token(namespace), want: want, twin: twin{who: replicator}},
		{name: "entering a service", who: manager, do: connect(namespace + "/services/none/proxy/"), want: want,
			twin: twin{do: connect(other + "/services/none/proxy/"), until: "no endpoints available"}},
		{name: "evicting a pod", who: manager, do: eviction(namespace), want: want, twin: twin{do: eviction(other)}},
		{name: "placing a pod on a node of one's own", who: manager, do: place(namespace), want: want, twin: twin{who: scheduler}},
		{name: "a container beside the operator", who: manager,
			do: patchPart(pod(namespace, "target"), "ephemeralcontainers", ephemeral), want: want, twin: twin{do: patchPart(pod(other, "target"), "ephemeralcontainers", ephemeral)}},
		{name: "the status of a pod", who: manager, do: patchStatus(pod(namespace, "target"), `{"status":{"message":"mine"}}`), want: want,
			twin: twin{do: patchStatus(pod(other, "target"), `{"status":{"message":"mine"}}`)}},
		{name: "a note on a pod", who: manager, do: patch(pod(namespace, "target"), note), want: want, twin: twin{who: kubelet, do: patchStatus(pod(namespace, "target"), note)}},
		{name: "deleting a pod", who: manager, do: remove(pod(namespace, "target")), want: want, twin: twin{who: controllers}},
		{name: "deleting all pods", who: manager, do: removeAllIn(&corev1.Pod{}, namespace), want: want, twin: twin{do: removeAllIn(&corev1.Pod{}, other)}},
		{name: "a pod, as somebody called like a group", who: person{user: "system:nodes"}, do: create(pod(namespace, "mine")), want: want, twin: twin{who: apiserver}},
		{name: "a pod, as Argo CD", who: argo, do: create(pod(namespace, "mine")), want: want, twin: twin{who: replicator}},
		{name: "a note on a pod, as a network agent", who: agent, do: patch(pod(namespace, "target"), note), want: want, twin: twin{who: person{agent.user, []string{"maintainers"}}}},
		{name: "a record, and not the operator", who: sam, do: create(&corev1.ConfigMap{ObjectMeta: meta(namespace, "prod-access-audit")}), want: want, twin: twin{who: theOperator}},
		{name: "a note on the namespace", who: manager, do: patch(theirs, note), want: want, twin: twin{do: patch(others, note)}},
		{name: "another name in the namespace's label", who: manager, do: patch(theirs, `{"metadata":{"labels":{"kubernetes.io/metadata.name":"payments"}}}`), want: want,
			twin: twin{do: patch(others, `{"metadata":{"labels":{"kubernetes.io/metadata.name":"prod-access-system"}}}`)}},
		{name: "deleting the namespace", who: manager, do: remove(theirs), want: want, twin: twin{do: remove(others)}},
		{name: "the status of the namespace", who: manager, do: patchStatus(theirs, terminating), want: want,
			twin: twin{do: patchStatus(others, terminating)}},
	}...)
	return rows
}

const ephemeral = `{"spec":{"ephemeralContainers":[{"name":"mine","image":"none","securityContext":{"allowPrivilegeEscalation":false,"capabilities":{"drop":["ALL"]}}}]}}`

func tokenSecret(meta metav1.ObjectMeta) *corev1.Secret {
	meta.Annotations = map[string]string{corev1.ServiceAccountNameKey: "prod-access-controller-manager"}
	return &corev1.Secret{ObjectMeta: meta, Type: corev1.SecretTypeServiceAccountToken}
}
