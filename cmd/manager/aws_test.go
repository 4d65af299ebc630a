// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// manager runs the command line as a shell would.
func manager(t *testing.T, args ...string) (string, error) {
	t.Helper()
	var out bytes.Buffer
	cmd := root()
	cmd.SetArgs(args)
	cmd.SetOut(&out)
	cmd.SetErr(&out)
	err := cmd.ExecuteContext(t.Context())
	return out.String(), err
}

const shippedRoles = "../../config/roles"

// rolesFile writes a file with one AccessRole beside things that are none.
func rolesFile(t *testing.T, name, aws string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "roles.yaml")
	text := fmt.Sprintf(`# A comment.
---
apiVersion: v1
kind: ConfigMap
metadata: {name: infra-manager}
---
apiVersion: other.example/v1
kind: AccessRole
metadata: {name: infra-manager}
spec: {unknown: true}
---
apiVersion: access.hera.dev/v1alpha1
kind: AccessRole
metadata: {name: %s}
spec:
  maxDuration: 4h
  aws: %s
`, name, aws)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRenderTheRolesThatComeWithTheOperator(t *testing.T) {
	for _, role := range []string{"infra-manager", "infra-member", "security-engineer"} {
		for _, format := range []string{"json", "cli", "terraform"} {
			out, err := manager(t, "aws", "render", "--role", role, "-f", shippedRoles, "--account", "111122223333", "--format", format)
			if err != nil {
				t.Fatalf("%s as %s: %v", role, format, err)
			}
			if !strings.Contains(out, "prod-access-guard") && format != "terraform" || !strings.Contains(out, "hera-prod-"+role) {
				t.Errorf("%s as %s: %.300s", role, format, out)
			}
			if format == "cli" {
				cmd := exec.CommandContext(t.Context(), "bash", "-n")
				cmd.Stdin = strings.NewReader(out)
				if said, err := cmd.CombinedOutput(); err != nil || len(said) > 0 {
					t.Errorf("%s: no shell takes that: %v %s", role, err, said)
				}
			}
			if format == "json" {
				var r policy.Rendered
				if err := json.Unmarshal([]byte(out), &r); err != nil || r.Role != role || r.Policy == nil || r.Guard == nil {
					t.Errorf("%s: %v in %.300s", role, err, out)
				}
			}
		}
	}
	for format, want := range map[string]string{
		"json":      "{\n  \"role\": \"developer\",\n  \"groups\": [],\n  \"note\": \"developer has no AWS groups: nothing to apply\"\n}\n",
		"cli":       "# developer has no AWS groups: nothing to apply\n",
		"terraform": "# developer has no AWS groups: nothing to apply\n",
	} {
		if out, err := manager(t, "aws", "render", "--role", "developer", "-f", shippedRoles, "--format", format); err != nil || out != want {
			t.Errorf("developer as %s: %v, %q", format, err, out)
		}
	}
}

func TestRenderOperator(t *testing.T) {
	for operator, file := range map[string]string{"both": "iam-policy", "grantor": "iam-policy-grantor", "revoker": "iam-policy-revoker"} {
		out, err := manager(t, "aws", "render", "--operator", operator, "-f", shippedRoles, "--account", "111122223333")
		if err != nil {
			t.Fatal(err)
		}
		if want, err := os.ReadFile("../../docs/aws/" + file + ".json"); err != nil || out != string(want) {
			t.Errorf("docs/aws/%s.json is not what is printed (%v): %s", file, err, out)
		}
	}
	// What is the same for all roles reads none.
	for file, args := range map[string][]string{
		"iam-policy-breakglass": {"--operator", "breakglass"}, "iam-policy-break-glass-boundary": {"--break-glass-boundary"},
	} {
		out, err := manager(t, append([]string{"aws", "render", "--account", "111122223333"}, args...)...)
		if want, readErr := os.ReadFile("../../docs/aws/" + file + ".json"); err != nil || readErr != nil || out != string(want) {
			t.Errorf("docs/aws/%s.json is not what is printed (%v, %v): %s", file, err, readErr, out)
		}
	}
	boundary, err := manager(t, "aws", "render", "--boundary", "--account", "111122223333")
	if want, readErr := os.ReadFile("../../docs/aws/iam-policy-boundary.json"); err != nil || readErr != nil || boundary != string(want) {
		t.Errorf("docs/aws/iam-policy-boundary.json is not what is printed (%v, %v): %s", err, readErr, boundary)
	}
	out, err := manager(t, "aws", "render", "--operator", "both", "-f", shippedRoles, "--account", "111122223333", "--partition", "aws-cn", "--user-path", "/hera/")
	if err != nil || !strings.Contains(out, `"arn:aws-cn:iam::111122223333:user/hera/*"`) {
		t.Errorf("with a path in China: %v, %s", err, out)
	}
}

func TestRenderRefuses(t *testing.T) {
	shipped := []string{"-f", shippedRoles, "--account", "111122223333"}
	of := func(aws string, more ...string) []string {
		return append([]string{"--role", "mine", "--account", "111122223333", "-f", rolesFile(t, "mine", aws)}, more...)
	}
	var many []string
	for i := range 120 {
		many = append(many, fmt.Sprintf("203.100.%d.100/32", i+100))
	}
	twice := rolesFile(t, "mine", "{groups: [a]}")
	for _, c := range []struct {
		name string
		args []string
		says string
	}{
		{"neither role nor operator", shipped, "name either a role (--role), or the operator's own policy"},
		{"both of them", append([]string{"--role", "infra-manager", "--operator", "both"}, shipped...), "name either a role"},
		{"an unknown role", append([]string{"--role", "admin"}, shipped...), `no AccessRole "admin"; there are: developer, infra-manager, infra-member, security-engineer`},
		{"an unknown format", append([]string{"--role", "infra-manager", "--format", "yaml"}, shipped...), `--format is json, terraform or cli, and not "yaml"`},
		{"an unknown operator", append([]string{"--operator", "auditor"}, shipped...), `--operator is grantor, revoker, both or breakglass, and not "auditor"`},
		{"a format for the operator", append([]string{"--operator", "both", "--format", "cli"}, shipped...), "only a role is printed as terraform or cli: leave --format out"},
		{"a boundary without account", []string{"--boundary"}, "which AWS account?"},
		{"temporary users' boundary without account", []string{"--break-glass-boundary"}, "which AWS account?"},
		{"both boundaries", []string{"--boundary", "--break-glass-boundary", "--account", "111122223333"}, "name either a role"},
		{"a break-glass role without account", []string{"--operator", "breakglass"}, "which AWS account?"},
		{"a revoker that assumes a role", append([]string{"--operator", "revoker", "--break-glass"}, shipped...), "--break-glass is of --operator grantor or both"},
		{"a break-glass role that assumes itself", []string{"--operator", "breakglass", "--break-glass", "--account", "111122223333"}, "--break-glass is of --operator grantor or both"},
		{"a boundary of a role", append([]string{"--boundary", "--role", "infra-manager"}, shipped...), "name either a role"},
		{"no account", []string{"--role", "infra-manager", "-f", shippedRoles}, "which AWS account? Name it (--account)"},
		{"no account for the operator", []string{"--operator", "both", "-f", shippedRoles}, "which AWS account?"},
		{"a short account", []string{"--role", "infra-manager", "-f", shippedRoles, "--account", "1111"}, `twelve digits, such as 111122223333, and not "1111"`},
		{"an odd partition", append([]string{"--role", "infra-manager", "--partition", "azure"}, shipped...), `and not "azure"`},
		{"a path without slashes", append([]string{"--operator", "both", "--user-path", "hera"}, shipped...), "--user-path begins and ends with a slash"},
		{"a path with a wildcard", append([]string{"--operator", "both", "--user-path", "/h*/"}, shipped...), "has no wildcards"},
		{"no such file", []string{"--role", "infra-manager", "-f", "no-such-file"}, "no-such-file"},
		{"a file without roles", []string{"--role", "infra-manager", "-f", "../../config/roles/kustomization.yaml"}, "there is no AccessRole in"},
		{"no YAML", []string{"--role", "infra-manager", "-f", "main.go"}, "main.go: "},
		{"one role in two files", []string{"--role", "mine", "-f", twice, "-f", twice}, "the AccessRole mine is in"},
		{"an unknown field", of("{groups: [a], cidrs: []}"), `json: unknown field "cidrs"`},
		{"a group that is none", of(`{groups: ["a b"]}`), `an IAM group cannot be named "a b"`},
		{"a group with a line of its own", of(`{groups: ["a\nrm"]}`), "an IAM group cannot be named"},
		{"a name that is none", []string{"--role", "a", "-f", rolesFile(t, `"a\nb"`, "{groups: [a]}")}, "an AccessRole cannot be named"},
		{"a private network", of("{groups: [a], allowedSourceCIDRs: [10.0.0.0/8]}"), "spec.aws.allowedSourceCIDRs of mine: 10.0.0.0/8 holds addresses of 10.0.0.0/8"},
		{"everywhere", of("{groups: [a], allowedSourceCIDRs: [0.0.0.0/0]}"), "0.0.0.0/0 is everywhere"},
		{"overlapping networks", of("{groups: [a], allowedSourceCIDRs: [203.0.113.0/24, 203.0.113.0/25]}"), "203.0.113.0/24 and 203.0.113.0/25 overlap"},
		{"an address locked out", of("{groups: [a], allowedSourceCIDRs: [203.0.113.0/24]}", "--must-allow", "203.0.113.7,198.51.100.1"), "198.51.100.1 would be locked out"},
		{"an address that is none", of("{groups: [a]}", "--must-allow", "office"), `--must-allow takes addresses, such as 203.0.113.7, and not "office"`},
		{"a guard over the limit", of("{groups: [a], allowedSourceCIDRs: [" + strings.Join(many, ", ") + "]}"), "IAM allows 5120 for all inline policies of a group together"},
		{"an operator without groups", []string{"--operator", "both", "--account", "111122223333", "-f", rolesFile(t, "mine", "{}")}, "the operator needs no AWS policy"},
		{"no cluster", []string{"--role", "infra-manager", "--kubeconfig", "no-such-kubeconfig"}, "no-such-kubeconfig"},
		{"a role as an argument", []string{"infra-manager"}, `unknown command "infra-manager"`},
	} {
		out, err := manager(t, slices.Concat([]string{"aws", "render"}, c.args)...)
		if err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: wanted %q, got: %v", c.name, c.says, err)
		}
		if out != "" {
			t.Errorf("%s: it refused and printed %.100q", c.name, out)
		}
	}

	// The twin of those: the same role, with nothing wrong.
	out, err := manager(t, append([]string{"aws", "render"},
		of("{groups: [a], allowedSourceCIDRs: [203.0.113.0/24]}", "--must-allow", "203.0.113.7")...)...)
	if err != nil || !strings.Contains(out, "203.0.113.0/24") {
		t.Errorf("%v, %.300s", err, out)
	}
}

// cluster serves AccessRoles as an API server does, and returns its kubeconfig.
func cluster(t *testing.T, roles ...v1alpha1.AccessRole) string {
	t.Helper()
	in := v1alpha1.SchemeGroupVersion.String()
	version := metav1.GroupVersionForDiscovery{GroupVersion: in, Version: v1alpha1.SchemeGroupVersion.Version}
	group := metav1.APIGroup{Name: v1alpha1.GroupName, Versions: []metav1.GroupVersionForDiscovery{version}, PreferredVersion: version}
	answers := map[string]any{
		"/api":  metav1.APIVersions{TypeMeta: metav1.TypeMeta{Kind: "APIVersions", APIVersion: "v1"}},
		"/apis": metav1.APIGroupList{TypeMeta: metav1.TypeMeta{Kind: "APIGroupList", APIVersion: "v1"}, Groups: []metav1.APIGroup{group}},
		"/apis/" + in: metav1.APIResourceList{
			TypeMeta: metav1.TypeMeta{Kind: "APIResourceList", APIVersion: "v1"}, GroupVersion: in,
			APIResources: []metav1.APIResource{{Name: "accessroles", Kind: "AccessRole", Verbs: metav1.Verbs{"list"}}},
		},
		"/apis/" + in + "/accessroles": v1alpha1.AccessRoleList{
			TypeMeta: metav1.TypeMeta{Kind: "AccessRoleList", APIVersion: in}, Items: roles,
		},
	}
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		answer, ok := answers[r.URL.Path]
		if !ok {
			http.NotFound(w, r)
			return
		}
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(answer)
	}))
	t.Cleanup(server.Close)
	file := filepath.Join(t.TempDir(), "kubeconfig")
	text := fmt.Sprintf("apiVersion: v1\nkind: Config\ncurrent-context: c\ncontexts: [{name: c, context: {cluster: c}}]\n"+
		"clusters: [{name: c, cluster: {server: %q}}]\n", server.URL)
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

func TestRenderFromTheCluster(t *testing.T) {
	seen := func(name string, arns ...string) v1alpha1.AccessRole {
		r := v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: name}}
		r.Spec.AWS = &v1alpha1.AWSRole{}
		for i, arn := range arns {
			group := v1alpha1.IAMGroupName(fmt.Sprintf("%s-%d", name, i))
			r.Spec.AWS.Groups = append(r.Spec.AWS.Groups, group)
			r.Status.AWS.Groups = append(r.Status.AWS.Groups, v1alpha1.RoleGroupStatus{Name: group, ARN: arn})
		}
		return r
	}
	ours := seen("ours", "arn:aws-cn:iam::444455556666:group/team/ours-0", "")
	kubeconfig := cluster(t, ours, seen("theirs", "arn:aws:iam::111122223333:group/theirs-0"), seen("new", ""), seen("nothing"))

	out, err := manager(t, "aws", "render", "--role", "ours", "--kubeconfig", kubeconfig)
	if err != nil || !strings.Contains(out, "arn:aws-cn:iam::444455556666:group/*") {
		t.Errorf("the account is the one that the operator saw: %v, %.300s", err, out)
	}
	out, err = manager(t, "aws", "render", "--role", "ours", "--kubeconfig", kubeconfig, "--account", "111122223333")
	if err != nil || strings.Contains(out, "444455556666") {
		t.Errorf("an account that was named comes first: %v, %.300s", err, out)
	}
	out, err = manager(t, "aws", "render", "--operator", "grantor", "--kubeconfig", cluster(t, ours))
	if err != nil || !strings.Contains(out, `"arn:aws-cn:iam::444455556666:group/team/ours-0"`) || !strings.Contains(out, `"arn:aws-cn:iam::444455556666:group/ours-1"`) {
		t.Errorf("groups are named with the path that they have: %v, %s", err, out)
	}
	for _, c := range []struct {
		says string
		args []string
	}{
		{"which AWS account?", []string{"--role", "new", "--kubeconfig", kubeconfig}},
		{"in several AWS accounts (444455556666, 111122223333)", []string{"--operator", "both", "--kubeconfig", kubeconfig}},
		{"there is no AccessRole in the cluster", []string{"--role", "ours", "--kubeconfig", cluster(t)}},
	} {
		if _, err := manager(t, append([]string{"aws", "render"}, c.args...)...); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("wanted %q, got: %v", c.says, err)
		}
	}
}
