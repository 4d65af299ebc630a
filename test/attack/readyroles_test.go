// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"slices"
	"strings"
	"testing"
	"time"

	authorizationv1 "k8s.io/api/authorization/v1"
	"k8s.io/apimachinery/pkg/util/wait"
)

// TestReadyClusterRoles asks the API server what the ready ClusterRoles of config/rbac give: each action to those named,
// and to no other.
func TestReadyClusterRoles(t *testing.T) {
	all := []string{"requester", "attester", "approver", "break-glass", "security", "viewer", "auditor", "administrator"}
	readers := []string{"approver", "security", "viewer", "auditor", "administrator"}
	const (
		ours   = "access.hera.dev"
		rbac   = "rbac.authorization.k8s.io"
		policy = "admissionregistration.k8s.io"
	)
	may := func(ctx context.Context, role, verb, group, resource, name string) bool {
		t.Helper()
		resource, part, _ := strings.Cut(resource, "/")
		review := &authorizationv1.SubjectAccessReview{Spec: authorizationv1.SubjectAccessReviewSpec{User: "somebody", Groups: []string{"ready-" + role},
			ResourceAttributes: &authorizationv1.ResourceAttributes{Verb: verb, Group: group, Resource: resource, Subresource: part, Name: name}}}
		if err := as(t, root).Create(ctx, review); err != nil {
			t.Fatal(err)
		}
		return review.Status.Allowed
	}
	for _, role := range all {
		if err := as(t, root).Create(t.Context(), clusterBinding("ready-"+role, "prod-access-"+role, group("ready-"+role))); err != nil {
			t.Fatal(err)
		}
		// The API server learns of bindings by a watch of its own.
		err := wait.PollUntilContextTimeout(t.Context(), 20*time.Millisecond, 10*time.Second, true, func(ctx context.Context) (bool, error) {
			return may(ctx, role, "list", ours, "accessroles", ""), nil
		})
		if err != nil {
			t.Fatalf("prod-access-%s may not list accessroles: %v", role, err)
		}
	}
	for _, action := range []struct {
		verb, group, resource, name string
		who                         []string
	}{
		{"create", ours, "prodaccessgrants", "", []string{"requester", "attester"}},
		{"patch", ours, "prodaccessgrants", "g", []string{"requester", "attester"}},
		{"delete", ours, "prodaccessgrants", "g", []string{"requester", "attester"}},
		{"attest", ours, "accessroles", "infra-member", []string{"attester"}},
		{"attest", ours, "accessroles", "oncall", nil},
		{"deletecollection", ours, "prodaccessgrants", "", nil},
		{"patch", ours, "prodaccessgrants/status", "g", nil},
		{"list", ours, "prodaccessgrants", "", []string{"requester", "attester", "approver", "security", "viewer", "auditor", "administrator"}},
		{"create", ours, "accessapprovals", "", []string{"approver"}},
		{"patch", ours, "accessapprovals", "a", nil},
		{"delete", ours, "accessapprovals", "a", []string{"administrator"}},
		{"list", ours, "accessapprovals", "", readers},
		{"approve", ours, "accessroles", "infra-manager", []string{"approver"}},
		{"approve", ours, "accessroles", "infra-member", []string{"approver"}},
		{"approve", ours, "accessroles", "developer", []string{"approver"}},
		{"approve", ours, "accessroles", "security-engineer", []string{"approver"}},
		{"approve", ours, "accessroles", "oncall", nil},
		{"approve", ours, "accessroles", "", nil},
		{"create", ours, "breakglasses", "", []string{"break-glass"}},
		{"update", ours, "breakglasses", "e", []string{"break-glass"}},
		{"patch", ours, "breakglasses", "e", []string{"break-glass"}},
		{"delete", ours, "breakglasses", "e", []string{"break-glass", "administrator"}},
		{"deletecollection", ours, "breakglasses", "", nil},
		{"patch", ours, "breakglasses/status", "e", nil},
		{"list", ours, "breakglasses", "", []string{"approver", "break-glass", "security", "viewer", "auditor", "administrator"}},
		{"break-glass", ours, "accessroles", "infra-manager", []string{"break-glass"}},
		{"break-glass", ours, "accessroles", "infra-member", []string{"break-glass"}},
		{"break-glass", ours, "accessroles", "developer", []string{"break-glass"}},
		{"break-glass", ours, "accessroles", "security-engineer", []string{"break-glass"}},
		{"break-glass", ours, "accessroles", "oncall", nil},
		{"break-glass", ours, "accessroles", "", nil},
		{"create", ours, "accessrevocations", "", []string{"security"}},
		{"patch", ours, "accessrevocations", "r", []string{"security"}},
		{"delete", ours, "accessrevocations", "r", []string{"security"}},
		{"lift", ours, "accessrevocations", "r", []string{"security"}},
		{"list", ours, "accessrevocations", "", []string{"security", "viewer", "auditor", "administrator"}},
		{"administer", ours, "accessroles", "", []string{"administrator"}},
		{"maintain", ours, "accessroles", "", nil},
		{"create", ours, "accessroles", "", []string{"administrator"}},
		{"patch", ours, "accessroles", "r", []string{"administrator"}},
		{"delete", ours, "accessroles", "r", []string{"administrator"}},
		{"patch", ours, "accessroles/status", "r", nil},
		{"list", ours, "accessroles", "", all},
		{"list", rbac, "clusterrolebindings", "", []string{"auditor"}},
		{"create", rbac, "clusterrolebindings", "", nil},
		{"bind", rbac, "clusterroles", "prod-access-infra-member", nil},
		{"list", policy, "validatingadmissionpolicies", "", []string{"auditor"}},
		{"patch", policy, "validatingadmissionpolicies", "prod-access-grants", nil},
		{"list", "events.k8s.io", "events", "", []string{"auditor"}},
		{"list", "", "secrets", "", nil},
		{"impersonate", "", "users", "", nil},
	} {
		for _, role := range all {
			want := slices.Contains(action.who, role)
			if may(t.Context(), role, action.verb, action.group, action.resource, action.name) != want {
				t.Errorf("prod-access-%s may %s %s %q: %v, want %v", role, action.verb, action.resource, action.name, !want, want)
			}
		}
	}
}
