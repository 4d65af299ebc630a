// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

func renderedRole(t *testing.T, role string, groups ...v1alpha1.IAMGroupName) Rendered {
	t.Helper()
	spec := specOf("203.0.113.0/24")
	spec.AWS.Groups = groups
	r, err := RenderRole(role, spec, account)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestRenderRole(t *testing.T) {
	r := renderedRole(t, infraMember, "a", "b")
	text, err := r.JSON()
	if err != nil {
		t.Fatal(err)
	}
	var back Rendered
	if err := json.Unmarshal([]byte(text), &back); err != nil {
		t.Fatal(err)
	}
	guard, _ := Guard(infraMember, specOf("203.0.113.0/24"), account)
	if back.Guard.Name != GuardName || Compare(string(back.Guard.Document), guard) != "" {
		t.Errorf("the guard is %s", text)
	}
	if back.Policy.Path != Path || back.Policy.Name != "prod-access-infra-member" || !slices.Equal(back.Groups, []string{"a", "b"}) {
		t.Errorf("rendered %s", text)
	}

	if own := renderedRole(t, "somebodys-own", "a"); own.Policy != nil || !strings.Contains(own.Note, "a policy of your own") {
		t.Errorf("a role of somebody's own: %+v", own)
	}
	none := renderedRole(t, "developer")
	if none.Guard != nil || none.Note != "developer has no AWS groups: nothing to apply" {
		t.Errorf("a role without groups: %+v", none)
	}
	terraform, err := none.Terraform()
	if want := "# " + none.Note + "\n"; err != nil || none.CLI() != want || terraform != want {
		t.Errorf("a role without groups: %q, %q, %v", none.CLI(), terraform, err)
	}

	spec := specOf(longest(100)...)
	if r, err := RenderRole(infraMember, spec, account); err == nil || !strings.Contains(err.Error(), "5120") {
		t.Errorf("a guard over the limit: %v, %v", r, err)
	}
}

// The commands are run by a shell, with an aws that writes down what it was told.
func TestCLI(t *testing.T) {
	folder := t.TempDir()
	calls := filepath.Join(folder, "calls")
	stub := "#!/bin/sh\nprintf '%s\\n' \"$@\" '' >>" + quote(calls) + "\n[ \"$FAIL\" != \"$2\" ]\n"
	if err := os.WriteFile(filepath.Join(folder, "aws"), []byte(stub), 0o700); err != nil {
		t.Fatal(err)
	}
	run := func(script, fail string) ([]string, error) {
		_ = os.Remove(calls)
		cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
		cmd.Env = []string{"PATH=" + folder + ":" + os.Getenv("PATH"), "FAIL=" + fail}
		if out, err := cmd.CombinedOutput(); err != nil {
			if fail == "" {
				t.Fatalf("%v: %s", err, out)
			}
		}
		text, err := os.ReadFile(calls)
		return strings.Split(strings.TrimSuffix(string(text), "\n\n"), "\n\n"), err
	}

	r := renderedRole(t, securityEngineer, "a", "it's+b")
	got, err := run(r.CLI(), "")
	if err != nil {
		t.Fatal(err)
	}
	policy := "arn:aws:iam::111122223333:policy/prod-access/prod-access-security-engineer"
	audit := "arn:aws:iam::aws:policy/SecurityAudit"
	want := []string{
		"iam\nput-group-policy\n--group-name=a\n--policy-name=prod-access-guard\n--policy-document=" + string(r.Guard.Document),
		"iam\nput-group-policy\n--group-name=it's+b\n--policy-name=prod-access-guard\n--policy-document=" + string(r.Guard.Document),
		"iam\ncreate-policy\n--path=/prod-access/\n--policy-name=prod-access-security-engineer\n--policy-document=" + string(r.Policy.Document),
		"iam\nattach-group-policy\n--group-name=a\n--policy-arn=" + policy,
		"iam\nattach-group-policy\n--group-name=a\n--policy-arn=" + audit,
		"iam\nattach-group-policy\n--group-name=it's+b\n--policy-arn=" + policy,
		"iam\nattach-group-policy\n--group-name=it's+b\n--policy-arn=" + audit,
	}
	if !slices.Equal(got, want) {
		t.Errorf("aws was told\n%s\ninstead of\n%s", strings.Join(got, "\n\n"), strings.Join(want, "\n\n"))
	}
	if got, err := run(r.CLI(), "put-group-policy"); err != nil || !slices.Equal(got, want[:1]) {
		t.Errorf("after a guard that was refused, aws was told\n%s\n%v", strings.Join(got, "\n\n"), err)
	}
}

func TestTerraform(t *testing.T) {
	for _, role := range known {
		r := renderedRole(t, role, "a", "b")
		text, err := r.Terraform()
		if err != nil {
			t.Fatal(err)
		}
		if open := regexp.MustCompile(`(^|[^$])\$\{`).FindString(text); open != "" {
			t.Errorf("%s: Terraform takes %q for a variable of its own", role, open)
		}
		heredocs := regexp.MustCompile(`(?m)^  (guard|policy) = <<-JSON\n([\s\S]*?)\n  JSON$`).FindAllStringSubmatch(text, -1)
		got := map[string]string{}
		for _, h := range heredocs {
			got[h[1]] = strings.ReplaceAll(h[2], "$${", "${")
		}
		if difference := Compare(got["guard"], string(r.Guard.Document)); difference != "" {
			t.Errorf("%s: the guard that Terraform would write: %s", role, difference)
		}
		if r.Policy != nil {
			if difference := Compare(got["policy"], string(r.Policy.Document)); difference != "" {
				t.Errorf("%s: the policy that Terraform would write: %s", role, difference)
			}
		}
		// What is left without the documents is one block of simple arguments.
		rest := regexp.MustCompile(`(?m)<<-JSON\n[\s\S]*?\n  JSON$`).ReplaceAllString(text, `""`)
		block := regexp.MustCompile(`^(#.*\n)?module "[a-z_]+" \{\n(  [a-z]+ += ("[^"]*"|\[("[^"]*"(, )?)+\])\n|\n)+\}\n$`)
		if !block.MatchString(rest) {
			t.Errorf("%s: this is no HCL:\n%s", role, rest)
		}
	}
}
