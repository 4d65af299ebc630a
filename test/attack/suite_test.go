// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package attack is a table of attempts to get, keep, approve or hide access that one should not have, made on a real
// API server by people who have every right that RBAC can give but those that admission asks for. So what stands in
// their way is what the row names, and nothing else.
package attack

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	config    = "../../config"
	namespace = "prod-access-system"
)

var cp *controlplane.ControlPlane

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) (code int) {
	var err error
	ctx := context.Background()
	if cp, err = controlplane.Start(ctx, controlplane.Options{}); err == nil {
		defer func() { _ = cp.Stop() }()
		err = errors.Join(operator.Install(ctx, cp, config), giveRights(ctx))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	// Rows wait more than they work. The command line still has the last word.
	if err := flag.Set("test.parallel", "8"); err != nil {
		panic(err)
	}
	return m.Run()
}

// person is a caller as the API server sees them.
type person struct {
	user   string
	groups []string
}

var (
	dana = person{"dana@hera.example", []string{"engineers"}}
	// alice is the subject of what Dana asks for.
	alice     = person{"alice@hera.example", []string{"engineers"}}
	developer = person{"eve@hera.example", []string{"engineers"}}
	member    = person{"mia@hera.example", []string{"engineers", "infra-members"}}
	manager   = person{"max@hera.example", []string{"engineers", "infra-managers"}}
	// nora has the ClusterRole admin in the namespace payments, and here all rights besides.
	nora = person{"nora@hera.example", []string{"payments-admins"}}
	// bob and carol approve for every role, pia for developer alone.
	bob   = person{"bob@hera.example", []string{"platform-leads"}}
	carol = person{"carol@hera.example", []string{"platform-leads"}}
	pia   = person{"pia@hera.example", []string{"team-leads"}}
	// otto and kim are on call; penny may open developer alone.
	oncall = person{"otto@hera.example", []string{"engineers", "on-call"}}
	other  = person{"kim@hera.example", []string{"engineers", "on-call"}}
	penny  = person{"penny@hera.example", []string{"on-call-teams"}}
	// sam revokes and lifts.
	sam = person{"sam@hera.example", []string{"security-team"}}
	// ada may break the wall.
	ada = person{"ada@hera.example", []string{"platform-team"}}

	// argo is Argo CD's own service account, syncer the one to which it hands one project's syncs: an attester.
	argo   = person{user: "system:serviceaccount:argocd:argocd-application-controller"}
	syncer = person{user: "system:serviceaccount:argocd:payments-sync"}

	// attester holds the verb, and no role names them.
	attester = person{"olga@hera.example", []string{"attesters"}}

	theOperator = person{user: "system:serviceaccount:prod-access-system:prod-access-controller-manager"}
	collector   = person{user: "system:serviceaccount:kube-system:generic-garbage-collector"}
	aggregator  = person{user: "system:serviceaccount:kube-system:clusterrole-aggregation-controller"}
	replicator  = person{user: "system:serviceaccount:kube-system:replicaset-controller"}
	scheduler   = person{user: "system:kube-scheduler"}
	controllers = person{user: "system:kube-controller-manager"}
	apiserver   = person{user: "system:apiserver"}
	kubelet     = person{"system:node:node-1", []string{"system:nodes"}}
	// root is the cluster's administrator, whom RBAC does not bind.
	root = person{"root", []string{"system:masters"}}
)

// giveRights gives everybody every verb that a resource can be asked for, escalation included, and the verbs that
// admission looks at to those whom they are for, by the ready ClusterRoles.
func giveRights(ctx context.Context) error {
	kube, err := client.New(cp.Config, client.Options{Scheme: controller.NewScheme()})
	if err != nil {
		return err
	}
	everybody := rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: "system:authenticated"}
	objects := []client.Object{
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "everything"}, Rules: []rbacv1.PolicyRule{{APIGroups: []string{"*"}, Resources: []string{"*"},
			Verbs: []string{"get", "list", "watch", "create", "update", "patch", "delete", "deletecollection", "bind", "escalate"}}}},
		clusterBinding("everybody", "everything", everybody),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "developer-approver"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"access.hera.dev"}, Resources: []string{"accessroles"}, ResourceNames: []string{"developer"}, Verbs: []string{"approve"}}}},
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "maintainer"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"access.hera.dev"}, Resources: []string{"accessroles"}, Verbs: []string{"maintain"}}}},
		clusterBinding("maintainers", "maintainer", group("maintainers")),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "attester"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"access.hera.dev"}, Resources: []string{"accessroles"}, ResourceNames: []string{"reviewed"}, Verbs: []string{"attest"}}}},
		clusterBinding("attesters", "attester", group("attesters"), user(syncer)),
		clusterBinding("team-leads", "developer-approver", group("team-leads")),
		&rbacv1.ClusterRole{ObjectMeta: metav1.ObjectMeta{Name: "developer-opener"}, Rules: []rbacv1.PolicyRule{{
			APIGroups: []string{"access.hera.dev"}, Resources: []string{"accessroles"}, ResourceNames: []string{"developer"}, Verbs: []string{"break-glass"}}}},
		clusterBinding("on-call-teams", "developer-opener", group("on-call-teams")),
		clusterBinding("on-call", "prod-access-break-glass", group("on-call")),
		clusterBinding("platform-leads", "prod-access-approver", group("platform-leads")),
		clusterBinding("security-team", "prod-access-security", group("security-team")),
		clusterBinding("platform-team", "prod-access-administrator", group("platform-team")),
	}
	for _, o := range objects {
		if err := kube.Create(ctx, o); err != nil {
			return err
		}
	}
	return nil
}

func group(name string) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.GroupKind, Name: name}
}

func user(p person) rbacv1.Subject {
	return rbacv1.Subject{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: p.user}
}

func clusterBinding(name, clusterRole string, subjects ...rbacv1.Subject) *rbacv1.ClusterRoleBinding {
	return &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}}
}

func roleBinding(in, name, clusterRole string, subjects ...rbacv1.Subject) *rbacv1.RoleBinding {
	return &rbacv1.RoleBinding{ObjectMeta: metav1.ObjectMeta{Namespace: in, Name: name}, Subjects: subjects,
		RoleRef: rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: clusterRole}}
}

// caller makes requests as a person.
type caller struct {
	client.Client
	core rest.Interface
}

var (
	callersMu sync.Mutex
	callers   = map[string]*caller{}
)

func as(t *testing.T, p person) *caller {
	t.Helper()
	callersMu.Lock()
	defer callersMu.Unlock()
	key := p.user + " " + strings.Join(p.groups, " ")
	if callers[key] == nil {
		cfg := rest.CopyConfig(cp.Config)
		cfg.Impersonate = rest.ImpersonationConfig{UserName: p.user, Groups: p.groups}
		kube, err := client.New(cfg, client.Options{Scheme: controller.NewScheme()})
		if err != nil {
			t.Fatal(err)
		}
		set, err := kubernetes.NewForConfig(cfg)
		if err != nil {
			t.Fatal(err)
		}
		callers[key] = &caller{kube, set.CoreV1().RESTClient()}
	}
	return callers[key]
}

// attempt is something that somebody tries. Those below change nothing if they succeed, so that a row leaves everything
// as it found it.
type attempt func(context.Context, *caller) error

func create(o client.Object) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.Create(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll, client.FieldValidation("Strict"))
	}
}

// update replaces an object.
func update(o client.Object) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.Update(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

// patch merges JSON into an object.
func patch(o client.Object, merge string) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.Patch(ctx, o.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(merge)), client.DryRunAll)
	}
}

// edit makes an exact change: operations of a JSON patch.
func edit(o client.Object, operations ...string) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.Patch(ctx, o.DeepCopyObject().(client.Object), client.RawPatch(types.JSONPatchType, []byte("["+strings.Join(operations, ",")+"]")), client.DryRunAll)
	}
}

// operation is one of a JSON patch.
func operation(op, path string, value any) string {
	o := map[string]any{"op": op, "path": path}
	if op != "remove" {
		o["value"] = value
	}
	encoded, err := json.Marshal(o)
	if err != nil {
		panic(err)
	}
	return string(encoded)
}

// patchStatus merges JSON into an object by its status.
func patchStatus(o client.Object, merge string) attempt { return patchPart(o, "status", merge) }

// patchPart merges JSON into an object by a subresource.
func patchPart(o client.Object, part, merge string) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.SubResource(part).Patch(ctx, o.DeepCopyObject().(client.Object), client.RawPatch(types.MergePatchType, []byte(merge)), client.DryRunAll)
	}
}

func remove(o client.Object) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.Delete(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll)
	}
}

// removeAll deletes every object of a kind that has a label.
func removeAll(o client.Object, label string) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.DeleteAllOf(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll, client.HasLabels{label})
	}
}

// removeAllIn deletes every object of a kind in a namespace.
func removeAllIn(o client.Object, in string) attempt {
	return func(ctx context.Context, c *caller) error {
		return c.DeleteAllOf(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll, client.InNamespace(in))
	}
}

// request is one of the core API, with a body of JSON if it has one. It may change something.
func request(method, path, body string) attempt {
	return func(ctx context.Context, c *caller) error {
		r := c.core.Verb(method).RequestURI(path)
		if body != "" {
			r = r.SetHeader("Content-Type", "application/json").Body([]byte(body))
		}
		return r.Do(ctx).Error()
	}
}

// connect enters a pod or a service.
func connect(path string) attempt { return request(http.MethodPost, "/api/v1/namespaces/"+path, "") }

// row is an attempt, and what must come of it.
type row struct {
	name string
	who  person
	do   attempt
	want outcome
	// twin differs from the attempt only in what is forbidden, and succeeds.
	twin twin
}

// twin says in what it differs from its row.
type twin struct {
	who person
	do  attempt
	// until is a part of the error that a twin ends with which admission has let pass, but which there is no node for.
	until string
}

// outcome is what must come of an attempt.
type outcome interface {
	check(t *testing.T, err error)
}

// refusedBy is a refusal by a policy of config/admission, in a sentence that has these words.
type refusedBy struct{ policy, words string }

func (want refusedBy) check(t *testing.T, err error) {
	t.Helper()
	if err == nil {
		t.Error("not refused")
		return
	}
	policy, sentence := refusal(err)
	if policy != "prod-access-"+want.policy || !strings.Contains(sentence, want.words) {
		t.Errorf("refused with\n  %v\nwant the policy prod-access-%s and the words\n  %s", err, want.policy, want.words)
	}
	seenMu.Lock()
	defer seenMu.Unlock()
	seen = append(seen, sighting{policy, sentence})
}

// refusal takes apart what the API server says when a policy refuses.
func refusal(err error) (policy, sentence string) {
	_, said, _ := strings.Cut(err.Error(), "ValidatingAdmissionPolicy '")
	policy, said, _ = strings.Cut(said, "'")
	_, sentence, _ = strings.Cut(said, " denied request: ")
	return policy, sentence
}

// sighting is a refusal that was seen.
type sighting struct{ policy, sentence string }

// seen are all of them.
var (
	seenMu sync.Mutex
	seen   []sighting
)

// invalid is a refusal by the schema, for a field, in these words.
type invalid struct{ field, words string }

func (want invalid) check(t *testing.T, err error) {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Details == nil {
		t.Errorf("want a refusal by the schema, got %v", err)
		return
	}
	for _, c := range status.Status().Details.Causes {
		if c.Field == want.field && strings.Contains(c.Message, want.words) {
			return
		}
	}
	t.Errorf("refused with\n  %v\nwant the field %s and the words\n  %s", err, want.field, want.words)
}

var topics = []struct {
	name string
	rows func(*testing.T, *scene) []row
}{
	{"grants", grantRows}, {"approvals", approvalRows}, {"revocations", revocationRows}, {"emergencies", emergencyRows},
	{"bindings", bindingRows}, {"roles", roleRows}, {"namespace", namespaceRows},
}

// TestAttacks makes every attempt.
func TestAttacks(t *testing.T) {
	s := setUp(t)
	made, all := 0, 0
	for _, topic := range topics {
		t.Run(topic.name, func(t *testing.T) {
			for _, r := range topic.rows(t, s) {
				all++
				t.Run(r.name, func(t *testing.T) {
					made++
					try(t, r)
				})
			}
		})
	}
	t.Logf("%d attempts", made)
	if made == all && made > 0 && !t.Failed() {
		t.Run("the specification tells every refusal", tellsEveryRefusal)
	}
}

func try(t *testing.T, r row) {
	t.Helper()
	r.want.check(t, r.do(t.Context(), as(t, r.who)))
	who, do := r.who, r.do
	if r.twin.who.user != "" {
		who = r.twin.who
	}
	if r.twin.do != nil {
		do = r.twin.do
	}
	if r.twin.who.user == "" && r.twin.do == nil {
		t.Fatal("the row has no twin")
	}
	err := do(t.Context(), as(t, who))
	if r.twin.until != "" && (err == nil || !strings.Contains(err.Error(), r.twin.until)) || r.twin.until == "" && err != nil {
		t.Errorf("the twin ended with %v, want %q", err, r.twin.until)
	}
}
