// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Rendered is what an administrator applies for one role.
type Rendered struct {
	Role   string   `json:"role"`
	Groups []string `json:"groups"`
	// Note tells of what is not here, and why.
	Note  string `json:"note,omitempty"`
	Guard *Named `json:"guard,omitempty"`
	// Policy is a managed policy; nil for roles that have none here.
	Policy *Named   `json:"policy,omitempty"`
	Attach []string `json:"attach,omitempty"`

	in Account
}

// Named is a policy's name, path and all, and its document.
type Named struct {
	Name     string          `json:"name"`
	Path     string          `json:"path,omitempty"`
	Document json.RawMessage `json:"document"`
}

// RenderRole renders everything that a role's groups carry.
func RenderRole(role string, spec *v1alpha1.AccessRoleSpec, in Account) (Rendered, error) {
	r := Rendered{Role: role, Groups: []string{}, in: in}
	if spec.AWS != nil {
		for _, g := range spec.AWS.Groups {
			r.Groups = append(r.Groups, string(g))
		}
	}
	if len(r.Groups) == 0 {
		r.Note = role + " has no AWS groups: nothing to apply"
		return r, nil
	}
	guard, err := Guard(role, spec, in)
	if err != nil {
		return Rendered{}, err
	}
	r.Guard = &Named{Name: GuardName, Document: json.RawMessage(guard)}
	document, attach, err := Role(role, in)
	if err != nil {
		return Rendered{}, err
	}
	r.Attach = attach
	if document != "" {
		r.Policy = &Named{Name: "prod-access-" + role, Path: Path, Document: json.RawMessage(document)}
	} else {
		r.Note = "the role " + role + " is not one of those that come with the operator: attach a policy of your own to its groups"
	}
	return r, nil
}

// JSON is for programs.
func (r Rendered) JSON() (string, error) {
	var out bytes.Buffer
	to := json.NewEncoder(&out)
	to.SetEscapeHTML(false)
	to.SetIndent("", "  ")
	err := to.Encode(r)
	return out.String(), err
}

// CLI is commands of the AWS CLI, to be pasted into a shell. Each runs only if the one before it succeeded, and the guards
// come first: a group never has its powers without them.
func (r Rendered) CLI() string {
	if r.Guard == nil {
		return "# " + r.Note + "\n"
	}
	var commands []string
	for _, g := range r.Groups {
		commands = append(commands, "aws iam put-group-policy --group-name="+quote(g)+" --policy-name="+quote(r.Guard.Name)+
			" --policy-document="+quote(string(r.Guard.Document)))
	}
	attach := r.Attach
	if r.Policy != nil {
		commands = append(commands, "aws iam create-policy --path="+quote(r.Policy.Path)+" --policy-name="+quote(r.Policy.Name)+
			" --policy-document="+quote(string(r.Policy.Document)))
		attach = append([]string{r.in.arn("policy" + r.Policy.Path + r.Policy.Name)}, attach...)
	}
	for _, g := range r.Groups {
		for _, arn := range attach {
			commands = append(commands, "aws iam attach-group-policy --group-name="+quote(g)+" --policy-arn="+quote(arn))
		}
	}
	head := fmt.Sprintf("# %s in account %s. For an administrator who is in none of these groups; the groups exist.\n", r.Role, r.in.ID)
	if r.Policy != nil {
		head += "# Where the managed policy exists: aws iam create-policy-version --set-as-default instead of create-policy.\n"
	}
	if r.Note != "" {
		head += "# " + r.Note + "\n"
	}
	return head + strings.Join(commands, " &&\n") + "\n"
}

// quote makes one word of a shell of s.
func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }

// Terraform is a call of the module in deploy/terraform.
func (r Rendered) Terraform() (string, error) {
	if r.Guard == nil {
		return "# " + r.Note + "\n", nil
	}
	var out strings.Builder
	if r.Note != "" {
		fmt.Fprintf(&out, "# %s\n", r.Note)
	}
	fmt.Fprintf(&out, "module %q {\n", "prod_access_"+strings.NewReplacer("-", "_", ".", "_").Replace(r.Role))
	fmt.Fprintf(&out, "  source = \"github.com/hera-platform/prod-access-operator//deploy/terraform\"\n\n")
	fmt.Fprintf(&out, "  role   = %q\n  groups = %s\n", r.Role, hclList(r.Groups))
	if len(r.Attach) > 0 {
		fmt.Fprintf(&out, "  attach = %s\n", hclList(r.Attach))
	}
	if err := heredoc(&out, "guard", r.Guard.Document); err != nil {
		return "", err
	}
	if r.Policy != nil {
		if err := heredoc(&out, "policy", r.Policy.Document); err != nil {
			return "", err
		}
	}
	out.WriteString("}\n")
	return out.String(), nil
}

func hclList(of []string) string {
	var quoted []string
	for _, s := range of {
		quoted = append(quoted, fmt.Sprintf("%q", s))
	}
	return "[" + strings.Join(quoted, ", ") + "]"
}

// heredoc writes an argument over several lines. Terraform would take ${aws:username} for a variable of its own.
func heredoc(out *strings.Builder, name string, document json.RawMessage) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, document, "    ", "  "); err != nil {
		return err
	}
	text := strings.NewReplacer("${", "$${", "%{", "%%{").Replace(pretty.String())
	fmt.Fprintf(out, "\n  %s = <<-JSON\n    %s\n  JSON\n", name, text)
	return nil
}
