// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package roles shows, against a real API server, that the roles of config/roles allow what they promise and nothing
// that no role may, and that config/samples are accepted.
package roles

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/discovery"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

const (
	rolesDir   = "../../config/roles"
	samplesDir = "../../config/samples"

	manager   = "infra-manager"
	member    = "infra-member"
	developer = "developer"
	security  = "security-engineer"
)

var (
	roles     = []string{manager, member, developer, security}
	readVerbs = []string{"get", "list", "watch"}
)

// suite is a control plane with config/roles applied, on which each role is bound to a user of the role's name: in the
// whole cluster or in the namespace payments, as its scope says.
type suite struct {
	cp     *controlplane.ControlPlane
	client client.Client
}

func TestRoles(t *testing.T) {
	s := start(t)
	t.Run("applying again changes nothing", s.applyingAgain)
	t.Run("no rule is forbidden", s.noForbiddenRule)
	t.Run("allowed and refused", s.allowedAndRefused)
	t.Run("nothing that Kubernetes serves is missing", s.nothingMissing)
	t.Run("a labelled ClusterRole widens its role", s.widening)
	t.Run("samples", s.samples)
}

func start(t *testing.T) *suite {
	t.Helper()
	cp, err := controlplane.Start(t.Context(), controlplane.Options{
		CRDDirectories: []string{"../../config/crd/bases"},
		// Everything that this version of Kubernetes can serve.
		APIServerArgs: map[string]string{"runtime-config": "api/all=true", "feature-gates": "AllAlpha=true,AllBeta=true"},
		Log:           t.Output(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{clientgoscheme.AddToScheme, v1alpha1.AddToScheme} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	c, err := client.New(cp.Config, client.Options{Scheme: scheme})
	if err != nil {
		t.Fatal(err)
	}
	s := &suite{cp: cp, client: c}

	s.apply(t)
	s.create(t, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "payments"}})
	for _, name := range roles {
		role := s.role(t, name)
		eventually(t, "the aggregated rules of "+name, func(ctx context.Context) bool {
			return s.filled(ctx, t, role.Spec.Kubernetes.ClusterRole)
		})
		s.bind(t, role)
	}
	return s
}

// apply does what a person does who installs or updates the roles.
func (s *suite) apply(t *testing.T) {
	t.Helper()
	if _, err := s.cp.Kubectl(t.Context(), "", "apply", "--server-side", "-k", rolesDir); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) create(t *testing.T, obj client.Object) {
	t.Helper()
	if err := s.client.Create(t.Context(), obj); err != nil {
		t.Fatal(err)
	}
}

func (s *suite) role(t *testing.T, name string) *v1alpha1.AccessRole {
	t.Helper()
	role := &v1alpha1.AccessRole{}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: name}, role); err != nil {
		t.Fatal(err)
	}
	return role
}

func (s *suite) clusterRole(t *testing.T, role *v1alpha1.AccessRole) *rbacv1.ClusterRole {
	t.Helper()
	clusterRole := &rbacv1.ClusterRole{}
	if err := s.client.Get(t.Context(), client.ObjectKey{Name: role.Spec.Kubernetes.ClusterRole}, clusterRole); err != nil {
		t.Fatal(err)
	}
	return clusterRole
}

// filled says whether an aggregating ClusterRole holds all the rules of the ClusterRoles that it selects, and no other.
func (s *suite) filled(ctx context.Context, t *testing.T, name string) bool {
	t.Helper()
	var sum rbacv1.ClusterRole
	if err := s.client.Get(ctx, client.ObjectKey{Name: name}, &sum); err != nil {
		t.Fatal(err)
	}
	if sum.AggregationRule == nil {
		t.Fatalf("the ClusterRole %s does not aggregate", name)
	}
	var rules []rbacv1.PolicyRule
	for _, selector := range sum.AggregationRule.ClusterRoleSelectors {
		var parts rbacv1.ClusterRoleList
		if err := s.client.List(ctx, &parts, client.MatchingLabels(selector.MatchLabels)); err != nil {
			t.Fatal(err)
		}
		for _, part := range parts.Items {
			rules = append(rules, part.Rules...)
		}
	}
	return len(rules) > 0 && access.RulesHash(rules) == access.RulesHash(sum.Rules)
}

func (s *suite) bind(t *testing.T, role *v1alpha1.AccessRole) {
	t.Helper()
	meta := metav1.ObjectMeta{Name: "test-" + role.Name}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: role.Spec.Kubernetes.ClusterRole}
	subjects := []rbacv1.Subject{{APIGroup: rbacv1.GroupName, Kind: rbacv1.UserKind, Name: role.Name}}
	if role.Spec.Kubernetes.Scope == v1alpha1.ScopeCluster {
		s.create(t, &rbacv1.ClusterRoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
	} else {
		meta.Namespace = "payments"
		s.create(t, &rbacv1.RoleBinding{ObjectMeta: meta, RoleRef: ref, Subjects: subjects})
	}
	// The authorizer reads bindings from a cache.
	eventually(t, "the binding of "+role.Name, func(ctx context.Context) bool {
		return s.allowed(ctx, t, role.Name, parse("get pods in payments"))
	})
}

func (s *suite) applyingAgain(t *testing.T) {
	before := map[string]string{}
	for _, name := range roles {
		before[name] = s.clusterRole(t, s.role(t, name)).ResourceVersion
	}
	s.apply(t)
	for _, name := range roles {
		// Rules that are empty for a moment refuse a live grant for a moment.
		if after := s.clusterRole(t, s.role(t, name)).ResourceVersion; after != before[name] {
			t.Errorf("%s: the ClusterRole was written", name)
		}
	}
}

func (s *suite) noForbiddenRule(t *testing.T) {
	var all v1alpha1.AccessRoleList
	if err := s.client.List(t.Context(), &all); err != nil {
		t.Fatal(err)
	}
	var names []string
	for i := range all.Items {
		names = append(names, all.Items[i].Name)
		s.assertBindable(t, &all.Items[i])
	}
	if want := slices.Sorted(slices.Values(roles)); !slices.Equal(names, want) {
		t.Errorf("config/roles holds the roles %q, this test knows %q", names, want)
	}
}

func (s *suite) assertBindable(t *testing.T, role *v1alpha1.AccessRole) {
	t.Helper()
	rules := s.clusterRole(t, role).Rules
	if len(rules) == 0 {
		t.Errorf("%s: its ClusterRole has no rules", role.Name)
	}
	if why := access.ForbiddenRule(rules, role.Spec.Kubernetes.Access); why != "" {
		t.Errorf("%s: %s", role.Name, why)
	}
}

// request is what a SubjectAccessReview asks about.
type request struct{ verb, group, resource, subresource, namespace string }

// parse reads "verb resource[.group][/subresource] [in namespace]". Without a namespace it is all of them.
func parse(text string) request {
	text, namespace, _ := strings.Cut(text, " in ")
	verb, resource, _ := strings.Cut(text, " ")
	resource, subresource, _ := strings.Cut(resource, "/")
	gr := schema.ParseGroupResource(resource)
	return request{verb, gr.Group, gr.Resource, subresource, namespace}
}

// differences says in how many parts two requests differ.
func differences(a, b request) int {
	n := 0
	for _, same := range []bool{
		a.verb == b.verb, a.group == b.group, a.resource == b.resource, a.subresource == b.subresource, a.namespace == b.namespace,
	} {
		if !same {
			n++
		}
	}
	return n
}

func (s *suite) allowed(ctx context.Context, t *testing.T, user string, r request) bool {
	t.Helper()
	review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{
		User: user, Groups: []string{"system:authenticated"},
		ResourceAttributes: &authorizationv1.ResourceAttributes{
			Verb: r.verb, Group: r.group, Resource: r.resource, Subresource: r.subresource, Namespace: r.namespace,
		},
	}}
	if err := s.client.Create(ctx, review); err != nil {
		t.Fatal(err)
	}
	if review.Status.EvaluationError != "" {
		t.Errorf("%s %+v: %s", user, r, review.Status.EvaluationError)
	}
	return review.Status.Allowed
}

// pairs are requests that differ in one part only; the first is allowed, the second refused.
var pairs = []struct {
	roles            []string
	allowed, refused string
}{
	// What would let its holder approve or extend access.
	{[]string{manager, member, security}, "get accessroles.access.hera.dev", "approve accessroles.access.hera.dev"},
	{[]string{manager, member, security}, "get accessroles.access.hera.dev", "break-glass accessroles.access.hera.dev"},
	{[]string{manager, member, security}, "get accessroles.access.hera.dev", "administer accessroles.access.hera.dev"},
	{[]string{manager, member, security}, "get accessroles.access.hera.dev", "update accessroles.access.hera.dev"},
	{[]string{manager, member, security}, "list accessapprovals.access.hera.dev", "create accessapprovals.access.hera.dev"},
	{[]string{manager, member, security}, "watch prodaccessgrants.access.hera.dev", "create prodaccessgrants.access.hera.dev"},
	{[]string{manager, member, security}, "watch breakglasses.access.hera.dev", "create breakglasses.access.hera.dev"},
	{[]string{manager, member}, "get breakglasses.access.hera.dev/status", "patch breakglasses.access.hera.dev/status"},
	{[]string{manager, member}, "get prodaccessgrants.access.hera.dev/status", "patch prodaccessgrants.access.hera.dev/status"},
	{[]string{manager, member, security}, "list clusterroles.rbac.authorization.k8s.io", "create clusterroles.rbac.authorization.k8s.io"},
	{[]string{manager, member, security}, "get clusterroles.rbac.authorization.k8s.io", "bind clusterroles.rbac.authorization.k8s.io"},
	{[]string{manager, member, security}, "get clusterroles.rbac.authorization.k8s.io", "escalate clusterroles.rbac.authorization.k8s.io"},
	{[]string{manager, member, security}, "get clusterrolebindings.rbac.authorization.k8s.io", "delete clusterrolebindings.rbac.authorization.k8s.io"},
	{[]string{manager, member, security}, "get rolebindings.rbac.authorization.k8s.io in payments", "create rolebindings.rbac.authorization.k8s.io in payments"},
	{[]string{manager, member, security}, "get validatingadmissionpolicies.admissionregistration.k8s.io", "delete validatingadmissionpolicies.admissionregistration.k8s.io"},
	{[]string{manager, member, security}, "get customresourcedefinitions.apiextensions.k8s.io", "patch customresourcedefinitions.apiextensions.k8s.io"},
	{[]string{manager, member, security}, "get apiservices.apiregistration.k8s.io", "update apiservices.apiregistration.k8s.io"},
	{[]string{manager, member}, "patch deployments.apps in payments", "patch deployments.access.hera.dev in payments"},

	// What would let its holder become somebody else.
	{[]string{manager, member}, "create serviceaccounts in payments", "create serviceaccounts/token in payments"},
	{[]string{manager, member, security}, "get serviceaccounts in payments", "impersonate serviceaccounts in payments"},
	{[]string{manager, member}, "update certificatesigningrequests.certificates.k8s.io", "update certificatesigningrequests.certificates.k8s.io/approval"},
	{[]string{manager, member}, "update certificatesigningrequests.certificates.k8s.io", "update certificatesigningrequests.certificates.k8s.io/status"},
	{[]string{manager, member}, "create certificatesigningrequests.certificates.k8s.io", "create certificatesigningrequests.certificates.k8s.io/nodeclient"},
	{[]string{manager, member}, "patch podcertificaterequests.certificates.k8s.io in payments", "patch podcertificaterequests.certificates.k8s.io/status in payments"},
	{[]string{manager, member}, "get nodes/log", "get nodes/proxy"},

	// No cluster deletion.
	{[]string{member}, "update nodes", "delete nodes"},
	{[]string{member}, "create nodes", "deletecollection nodes"},
	{[]string{member}, "patch namespaces", "delete namespaces"},
	{[]string{member}, "delete persistentvolumeclaims", "delete persistentvolumes"},
	{[]string{member}, "create storageclasses.storage.k8s.io", "delete storageclasses.storage.k8s.io"},

	// Read-only is read-only.
	{[]string{developer, security}, "get configmaps in payments", "get secrets in payments"},
	{[]string{developer, security}, "list configmaps in payments", "list secrets in payments"},
	{[]string{developer, security}, "watch configmaps in payments", "watch secrets in payments"},
	{[]string{developer, security}, "get pods/log in payments", "get pods/exec in payments"},
	{[]string{developer, security}, "get pods/log in payments", "get pods/attach in payments"},
	{[]string{developer, security}, "get pods/log in payments", "get pods/portforward in payments"},
	{[]string{developer, security}, "get pods/log in payments", "get pods/proxy in payments"},
	{[]string{developer, security}, "get pods/log in payments", "create pods/log in payments"},
	{[]string{developer, security}, "get services in payments", "get services/proxy in payments"},
	{[]string{developer, security}, "get pods in payments", "create pods in payments"},
	{[]string{developer, security}, "get pods in payments", "delete pods in payments"},
	{[]string{developer, security}, "list deployments.apps in payments", "patch deployments.apps in payments"},
	{[]string{developer, security}, "get deployments.apps in payments", "get deployments.apps/scale in payments"},
	{[]string{developer, security}, "list events.events.k8s.io in payments", "create events.events.k8s.io in payments"},
	{[]string{developer, security}, "list pods.metrics.k8s.io in payments", "delete pods.metrics.k8s.io in payments"},
	{[]string{security}, "get nodes/metrics", "get nodes/log"},
	{[]string{security}, "get nodes/metrics", "get nodes/proxy"},
	{[]string{security}, "list networkpolicies.networking.k8s.io", "update networkpolicies.networking.k8s.io"},

	// A developer sees the named namespaces only, and nothing there that says who has access.
	{[]string{developer}, "get pods in payments", "get pods in kube-system"},
	{[]string{developer}, "list pods in payments", "list pods"},
	{[]string{developer}, "get pods in payments", "get serviceaccounts in payments"},
	{[]string{developer}, "get deployments.apps in payments", "get deployments.access.hera.dev in payments"},
}

// byRole are requests that some roles allow and others refuse.
var byRole = []struct {
	request          string
	allowed, refused []string
}{
	{"create pods/exec in payments", []string{manager, member}, []string{developer, security}},
	{"get pods/attach in payments", []string{manager, member}, []string{developer, security}},
	{"create pods/portforward in payments", []string{manager, member}, []string{developer, security}},
	{"get services/proxy in payments", []string{manager, member}, []string{developer, security}},
	{"get secrets in payments", []string{manager, member}, []string{developer, security}},
	{"patch deployments.apps in payments", []string{manager, member}, []string{developer, security}},
	{"delete persistentvolumeclaims in payments", []string{manager, member}, []string{developer, security}},
	{"get nodes/log", []string{manager, member}, []string{developer, security}},
	{"delete nodes", []string{manager}, []string{member, developer, security}},
	{"delete namespaces", []string{manager}, []string{member, developer, security}},
	{"deletecollection persistentvolumes", []string{manager}, []string{member, developer, security}},
	{"get pods in kube-system", []string{manager, member, security}, []string{developer}},
	{"get nodes", []string{manager, member, security}, []string{developer}},
	{"list accessapprovals.access.hera.dev", []string{manager, member, security}, []string{developer}},
	{"list breakglasses.access.hera.dev", []string{manager, member, security}, []string{developer}},
}

func (s *suite) allowedAndRefused(t *testing.T) {
	for _, pair := range pairs {
		if differences(parse(pair.allowed), parse(pair.refused)) != 1 {
			t.Errorf("%q and %q differ in more than one part or in none", pair.allowed, pair.refused)
		}
		for _, role := range pair.roles {
			s.assertAllowed(t, role, pair.allowed, true)
			s.assertAllowed(t, role, pair.refused, false)
		}
	}
	for _, r := range byRole {
		for _, role := range r.allowed {
			s.assertAllowed(t, role, r.request, true)
		}
		for _, role := range r.refused {
			s.assertAllowed(t, role, r.request, false)
		}
	}
}

func (s *suite) assertAllowed(t *testing.T, role, request string, want bool) {
	t.Helper()
	if got := s.allowed(t.Context(), t, role, parse(request)); got != want {
		t.Errorf("%s, %s: allowed is %t, want %t", role, request, got, want)
	}
}

// withheld is what full control leaves out of what Kubernetes serves. Reading it is part of full control all the same,
// unless noRead is set.
var withheld = []struct {
	group, resource string // no resource: all of the group
	noRead          bool
}{
	// They decide who has access.
	{group: "access.hera.dev"},
	{group: "rbac.authorization.k8s.io"},
	{group: "admissionregistration.k8s.io"},
	{group: "apiextensions.k8s.io"},
	// An APIService would let a server of its writer answer for access.hera.dev.
	{group: "apiregistration.k8s.io"},
	// They hand out or make identities.
	{resource: "serviceaccounts/token", noRead: true},
	{group: "certificates.k8s.io", resource: "certificatesigningrequests/approval"},
	{group: "certificates.k8s.io", resource: "certificatesigningrequests/status"},
	{group: "certificates.k8s.io", resource: "podcertificaterequests/status"},
	// A GET on it can run a command in any pod of the node.
	{resource: "nodes/proxy", noRead: true},
}

// served is a resource or subresource that the API server has, in any version of its group.
type served struct {
	group, resource string
	namespaced      bool
	verbs           []string
}

func (r served) String() string { return fmt.Sprintf("%q %s", r.group, r.resource) }

func (s *suite) served(t *testing.T) []served {
	t.Helper()
	d, err := discovery.NewDiscoveryClientForConfig(s.cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	_, lists, err := d.ServerGroupsAndResources()
	if err != nil {
		t.Fatal(err)
	}
	found := map[schema.GroupResource]served{}
	for _, list := range lists {
		gv, err := schema.ParseGroupVersion(list.GroupVersion)
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range list.APIResources {
			key := schema.GroupResource{Group: gv.Group, Resource: r.Name}
			one := found[key]
			found[key] = served{gv.Group, r.Name, r.Namespaced, append(one.verbs, r.Verbs...)}
		}
	}
	var all []served
	for _, r := range found {
		slices.Sort(r.verbs)
		r.verbs = slices.Compact(r.verbs)
		all = append(all, r)
	}
	slices.SortFunc(all, func(a, b served) int {
		return cmp.Or(strings.Compare(a.group, b.group), strings.Compare(a.resource, b.resource))
	})
	return all
}

// nothingMissing compares the roles with what the API server says it has, so that a newer Kubernetes, or a new kind of
// ours, fails here instead of being out of reach of full control without anybody noticing.
func (s *suite) nothingMissing(t *testing.T) {
	rules := map[string][]rbacv1.PolicyRule{}
	for _, name := range roles {
		rules[name] = s.clusterRole(t, s.role(t, name)).Rules
	}
	used := make([]bool, len(withheld))
	all := s.served(t)
	if len(all) < 100 {
		t.Fatalf("discovery shows %d resources only", len(all))
	}
	for _, r := range all {
		full := r.verbs
		for i, w := range withheld {
			if w.group != r.group || (w.resource != "" && w.resource != r.resource) {
				continue
			}
			used[i] = true
			full = slices.DeleteFunc(slices.Clone(full), func(v string) bool {
				return w.noRead || !slices.Contains(readVerbs, v)
			})
		}
		kept := slices.DeleteFunc(slices.Clone(full), func(v string) bool {
			return !r.namespaced && strings.HasPrefix(v, "delete")
		})
		assertVerbs(t, manager, rules[manager], r, full)
		assertVerbs(t, member, rules[member], r, kept)
		// What a subresource shows, its object shows as well; those that show more are in the table of pairs.
		if !strings.Contains(r.resource, "/") && r.resource != "secrets" {
			reads := slices.DeleteFunc(slices.Clone(r.verbs), func(v string) bool { return !slices.Contains(readVerbs, v) })
			assertVerbs(t, security, rules[security], r, reads)
		}
	}
	for i, w := range withheld {
		if !used[i] {
			t.Errorf("nothing is served that the exception %+v is about", w)
		}
	}
}

// assertVerbs checks that, of the verbs that the API server has for a resource, the rules allow exactly these.
func assertVerbs(t *testing.T, role string, rules []rbacv1.PolicyRule, r served, want []string) {
	t.Helper()
	var got []string
	for _, verb := range r.verbs {
		if slices.ContainsFunc(rules, func(rule rbacv1.PolicyRule) bool {
			return len(rule.ResourceNames) == 0 && slices.Contains(rule.APIGroups, r.group) &&
				slices.Contains(rule.Resources, r.resource) && slices.Contains(rule.Verbs, verb)
		}) {
			got = append(got, verb)
		}
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s has %q on %s, want %q: add it to config/roles or to the exceptions of this test", role, got, r, want)
	}
}

func (s *suite) widening(t *testing.T) {
	// Named like their labels, so that each role has a right of its own to look for.
	for _, name := range roles {
		resource := strings.ReplaceAll(name, "-", "")
		r := parse("get " + resource + ".example.com in payments")
		if s.allowed(t.Context(), t, name, r) {
			t.Errorf("%s may get %s.example.com before any rule says so", name, resource)
		}
		s.create(t, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{
				Name:   "example-" + name,
				Labels: map[string]string{"access.hera.dev/aggregate-to-" + name: "true"},
			},
			Rules: []rbacv1.PolicyRule{{APIGroups: []string{"example.com"}, Resources: []string{resource}, Verbs: []string{"get"}}},
		})
		eventually(t, name+" being widened", func(ctx context.Context) bool { return s.allowed(ctx, t, name, r) })
		for _, other := range roles {
			if other != name && s.allowed(t.Context(), t, other, r) {
				t.Errorf("the label of %s widened %s", name, other)
			}
		}
	}
}

// digest is in the form of a digest, and of nothing in particular.
var digest = "sha256:" + strings.Repeat("0123456789abcdef", 4)

// placeholders are what a reader of the samples replaces.
var placeholders = strings.NewReplacer("REPLACE_WITH_UID", "7f3d6a52-63a1-4d0f-9f0e-0c1d2b3a4f5e", "REPLACE_WITH_DIGEST", digest,
	"REPLACE_WITH_PUBLIC_KEY", publicKey)

// publicKey is one of age.
const publicKey = "age1ytmy5yhs92f9g6j3kmuq7mrzk2c97vryeh59la7ka67vq4qwefnqg4zn4e"

func (s *suite) samples(t *testing.T) {
	broken := map[string]struct{ old, new, message string }{
		"grant-infra-member.yaml":        {`"2030-01-15T13:00:00Z"`, `"2030-01-15T08:00:00Z"`, "expiresAt must be later than notBefore"},
		"grant-developer.yaml":           {"requestedBy: dana@hera.example", "requestedBy: system:admin", "requestedBy must be a person"},
		"grant-from-git.yaml":            {"- bob@hera.example", "- Alice@Hera.example", "reviewedBy names requestedBy: nobody reviews their own request"},
		"revocation-person.yaml":         {"person: alice", "person: system:alice", "person must be a person"},
		"revocation-grant.yaml":          {digest, "REPLACE_WITH_DIGEST", "specDigest must be copied from the grant's status.specDigest"},
		"revocation-stranger.yaml":       {"iamUser: mallory", "iamUser: ma/llory", "should match"},
		"approval.yaml":                  {digest, "REPLACE_WITH_DIGEST", "digest must be copied from the target's status.approvalDigest"},
		"breakglass.yaml":                {"duration: 1h", "duration: 0s", "duration must be from 1m to 168h"},
		"breakglass-temporary-user.yaml": {publicKey, "REPLACE_WITH_PUBLIC_KEY", "a recipient is a public key of age (age1…) or of SSH"},
		"breakglass-approval.yaml":       {digest, "REPLACE_WITH_DIGEST", "or status.reportDigest of a BreakGlass"},
		"drill.yaml":                     {"openedBy: alice@hera.example", "openedBy: system:admin", "openedBy must be a person"},
		"role-custom.yaml":               {"maxDuration: 12h", "maxDuration: 200h", "maxDuration must be from 1m to 168h"},
	}
	files, err := os.ReadDir(samplesDir)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		t.Run(file.Name(), func(t *testing.T) {
			b, ok := broken[file.Name()]
			if !ok {
				t.Fatal("this test does not know how to break the sample")
			}
			delete(broken, file.Name())
			content, err := os.ReadFile(filepath.Join(samplesDir, file.Name()))
			if err != nil {
				t.Fatal(err)
			}
			good := placeholders.Replace(string(content))
			if err := s.dryRun(t, good); err != nil {
				t.Error(err)
			}
			if strings.Count(good, b.old) != 1 {
				t.Fatalf("%q is not in the sample exactly once", b.old)
			}
			if err := s.dryRun(t, strings.Replace(good, b.old, b.new, 1)); err == nil || !strings.Contains(err.Error(), b.message) {
				t.Errorf("with %q: %v, want %q", b.new, err, b.message)
			}
		})
	}
	if len(broken) > 0 {
		t.Errorf("no such samples: %v", broken)
	}

	for file, role := range map[string]string{"role-custom.yaml": "oncall", "drill.yaml": "drill"} {
		if _, err := s.cp.Kubectl(t.Context(), "", "create", "-f", filepath.Join(samplesDir, file)); err != nil {
			t.Fatal(err)
		}
		s.assertBindable(t, s.role(t, role))
	}
}

// dryRun asks the API server whether it would accept a manifest.
func (s *suite) dryRun(t *testing.T, manifest string) error {
	t.Helper()
	path := filepath.Join(t.TempDir(), "manifest.yaml")
	if err := os.WriteFile(path, []byte(manifest), 0o600); err != nil {
		t.Fatal(err)
	}
	_, err := s.cp.Kubectl(t.Context(), "", "create", "--dry-run=server", "-f", path)
	return err
}

func eventually(t *testing.T, what string, condition func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 30*time.Second, true,
		func(ctx context.Context) (bool, error) { return condition(ctx), nil })
	if err != nil {
		t.Fatalf("waiting for %s: %v", what, err)
	}
}
