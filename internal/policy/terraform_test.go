// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// outputs make what a caller said visible, without a provider, which Terraform would have to download.
const outputs = `
output "guard" { value = var.guard }
output "policy" { value = var.policy }
output "groups" { value = var.groups }
output "attach" { value = var.attach }
`

// terraform evaluates a call of the module, as far as the module's variables go.
func terraform(t *testing.T, call string) (map[string]any, string) {
	t.Helper()
	tool, err := exec.LookPath("terraform")
	if err != nil {
		t.Skip("terraform is not installed")
	}
	folder := t.TempDir()
	variables, err := os.ReadFile("../../deploy/terraform/variables.tf")
	if err != nil {
		t.Fatal(err)
	}
	name := strings.Split(call, `"`)[1]
	call = strings.Replace(call, "github.com/hera-platform/prod-access-operator//deploy/terraform", "./module", 1)
	for file, text := range map[string]string{
		"module/main.tf": string(variables) + outputs,
		"main.tf":        call + "output \"all\" { value = module." + name + " }\n",
	} {
		if err := os.MkdirAll(filepath.Dir(filepath.Join(folder, file)), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(folder, file), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	var out []byte
	for _, args := range [][]string{{"init"}, {"apply", "-auto-approve"}, {"output", "-json", "all"}} {
		cmd := exec.CommandContext(t.Context(), tool, args...)
		cmd.Dir = folder
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + folder, "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "NO_COLOR=1"}
		var said strings.Builder
		cmd.Stderr = &said
		if out, err = cmd.Output(); err != nil {
			return nil, said.String()
		}
	}
	var all map[string]any
	if err := json.Unmarshal(out, &all); err != nil {
		t.Fatal(err)
	}
	return all, ""
}

// What Terraform makes of the printed call is what was rendered, variables of IAM and all.
func TestTerraformTakesWhatIsPrinted(t *testing.T) {
	for _, role := range []string{infraMember, securityEngineer} {
		r := renderedRole(t, role, "a", "it_b")
		call, err := r.Terraform()
		if err != nil {
			t.Fatal(err)
		}
		got, wrong := terraform(t, call)
		if wrong != "" {
			t.Fatalf("%s: %s", role, wrong)
		}
		for name, want := range map[string]string{"guard": string(r.Guard.Document), "policy": string(r.Policy.Document)} {
			if difference := Compare(got[name].(string), want); difference != "" {
				t.Errorf("%s: Terraform reads another %s: %s", role, name, difference)
			}
		}
		if groups := got["groups"].([]any); len(groups) != 2 || groups[0] != "a" || groups[1] != "it_b" {
			t.Errorf("%s: the groups are %v", role, groups)
		}
		if attach := got["attach"].([]any); len(attach) != len(r.Attach) {
			t.Errorf("%s: attached are %v", role, attach)
		}
	}
}

func TestTerraformRefuses(t *testing.T) {
	r := renderedRole(t, infraMember, "a")
	call, err := r.Terraform()
	if err != nil {
		t.Fatal(err)
	}
	over := strings.Replace(call, `"203.0.113.0/24"`, `["`+strings.Join(wide(longest(100)), `","`)+`"]`, 1)
	for name, c := range map[string]struct{ call, says string }{
		"a guard that allows":    {strings.Replace(call, `"Effect": "Deny"`, `"Effect": "Allow"`, 1), "A guard only denies"},
		"a guard over the limit": {over, "IAM allows 5120 characters"},
		"no JSON":                {strings.Replace(call, `"Version"`, `Version`, 1), "must be a policy document in JSON"},
		"no group":               {strings.Replace(call, `["a"]`, `[]`, 1), "one to five groups"},
		"a group that is none":   {strings.Replace(call, `["a"]`, `["team/a"]`, 1), "without path"},
		"another role":           {strings.Replace(call, `"infra-member"`, `"Infra Member"`, 1), "must be the name of an AccessRole"},
	} {
		if c.call == call {
			t.Fatalf("%s: nothing was changed", name)
		}
		if _, wrong := terraform(t, c.call); !strings.Contains(strings.Join(strings.Fields(strings.ReplaceAll(wrong, "│", " ")), " "), c.says) {
			t.Errorf("%s: Terraform says %q", name, wrong)
		}
	}
}

func wide(networks []v1alpha1.CIDR) []string {
	var out []string
	for _, n := range networks {
		out = append(out, string(n))
	}
	return out
}
