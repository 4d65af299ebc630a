// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/util/validation"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

func awsCommand() *cobra.Command {
	cmd := &cobra.Command{Use: "aws", Short: "What AWS must hold for the operator", Args: cobra.NoArgs}
	cmd.AddCommand(awsRenderCommand())
	return cmd
}

// renderOptions are the flags of aws render.
type renderOptions struct {
	role, operator, format         string
	files                          []string
	kubeconfig, account, partition string
	userPath                       string
	mustAllow                      []string
	boundary, breakGlassBoundary   bool
	breakGlass                     bool
}

func awsRenderCommand() *cobra.Command {
	var o renderOptions
	cmd := &cobra.Command{
		Use:   "render (--role ROLE | --operator grantor|revoker|both|breakglass | --boundary | --break-glass-boundary) [-f FILE|FOLDER]…",
		Short: "Print the IAM policies of a role, or of the operator, for an administrator to apply",
		Long: "Print the IAM policies of a role, or of the operator, for an administrator to apply. The operator verifies them and\n" +
			"never writes them. docs/aws/policies.md says what each statement is for.",
		Example: "  manager aws render --role infra-member -f config/roles --account 111122223333 --format terraform\n" +
			"  manager aws render --operator both -f config/roles --account 111122223333",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return o.render(cmd.Context(), cmd.OutOrStdout()) },
	}
	f := cmd.Flags()
	f.StringVar(&o.role, "role", "", "the AccessRole to render")
	f.StringVar(&o.operator, "operator", "", "render the operator's own policy: grantor, revoker, or both in one; or breakglass, of the role that makes temporary users")
	f.BoolVar(&o.breakGlass, "break-glass", false, "of the operator's own policy: let it assume the role that makes temporary users")
	f.BoolVar(&o.boundary, "boundary", false, "render a permissions boundary for people and the roles that they make")
	f.BoolVar(&o.breakGlassBoundary, "break-glass-boundary", false, "render the permissions boundary of temporary users")
	f.StringArrayVarP(&o.files, "file", "f", nil, "a YAML file with AccessRoles, or a folder of such files; "+
		"without it they are read from the cluster")
	f.StringVar(&o.kubeconfig, "kubeconfig", "", "the cluster to read from, when no file is named")
	f.StringVar(&o.account, "account", "", "the AWS account, twelve digits; without it the one of the groups that the operator has seen")
	f.StringVar(&o.partition, "partition", "aws", "the partition of AWS, with --account: aws, aws-cn or aws-us-gov")
	f.StringVar(&o.format, "format", "json", "of a role: json, terraform or cli")
	f.StringVar(&o.userPath, "user-path", "/", "the IAM path of the people, such as /hera/, for the operator's policy")
	f.StringSliceVar(&o.mustAllow, "must-allow", nil, "addresses that the role's networks must hold, such as the office's; refuse otherwise")
	return cmd
}

func (o *renderOptions) render(ctx context.Context, out io.Writer) error {
	asked := []bool{o.role != "", o.operator != "", o.boundary, o.breakGlassBoundary}
	if len(slices.DeleteFunc(asked, func(is bool) bool { return !is })) != 1 {
		return errors.New("name either a role (--role), or the operator's own policy (--operator grantor, revoker, both or breakglass), " +
			"or --boundary, or --break-glass-boundary")
	}
	if o.breakGlass && o.operator != "grantor" && o.operator != "both" {
		return errors.New("--break-glass is of --operator grantor or both: nothing else assumes a role")
	}
	if !slices.Contains([]string{"json", "terraform", "cli"}, o.format) {
		return fmt.Errorf("--format is json, terraform or cli, and not %.40q", o.format)
	}
	if o.format != "json" && o.role == "" {
		return errors.New("only a role is printed as terraform or cli: leave --format out")
	}
	if document := o.ofAnyRole(); document != nil {
		in, err := o.accountOf()
		if err != nil {
			return err
		}
		return printDocument(out, document(in))
	}
	roles, err := o.roles(ctx)
	if err != nil {
		return err
	}
	if o.operator != "" {
		return o.renderOperator(out, roles)
	}
	i := slices.IndexFunc(roles, func(r v1alpha1.AccessRole) bool { return r.Name == o.role })
	if i < 0 {
		return fmt.Errorf("there is no AccessRole %.80q; there are: %s", o.role, names(roles))
	}
	return o.renderRole(out, &roles[i])
}

// ofAnyRole is what is the same whatever roles there are, so that none is read; nil if it is not what was asked for.
func (o *renderOptions) ofAnyRole() func(policy.Account) string {
	switch {
	case o.boundary:
		return policy.Boundary
	case o.breakGlassBoundary:
		return policy.BreakGlassBoundary
	case o.operator == "breakglass":
		return policy.BreakGlassRole
	}
	return nil
}

func (o *renderOptions) renderRole(out io.Writer, role *v1alpha1.AccessRole) error {
	var in policy.Account
	if len(awsOf(role).Groups) > 0 {
		if err := o.checkNetworks(role); err != nil {
			return err
		}
		var err error
		if in, err = o.accountOf(role); err != nil {
			return err
		}
	}
	r, err := policy.RenderRole(role.Name, &role.Spec, in)
	if err != nil {
		return err
	}
	var text string
	switch o.format {
	case "cli":
		text = r.CLI()
	case "terraform":
		text, err = r.Terraform()
	default:
		text, err = r.JSON()
	}
	if err != nil {
		return err
	}
	_, err = io.WriteString(out, text)
	return err
}

func (o *renderOptions) checkNetworks(role *v1alpha1.AccessRole) error {
	networks := awsOf(role).AllowedSourceCIDRs
	if wrong := policy.CheckCIDRs(networks); wrong != "" {
		return fmt.Errorf("spec.aws.allowedSourceCIDRs of %s: %s", role.Name, wrong)
	}
	var addresses []netip.Addr
	for _, a := range o.mustAllow {
		address, err := netip.ParseAddr(strings.TrimSpace(a))
		if err != nil {
			return fmt.Errorf("--must-allow takes addresses, such as 203.0.113.7, and not %.60q", a)
		}
		addresses = append(addresses, address)
	}
	if out := policy.Excluded(networks, addresses); out != "" {
		return fmt.Errorf("%s would be locked out: no network in spec.aws.allowedSourceCIDRs of %s holds it", out, role.Name)
	}
	return nil
}

func (o *renderOptions) renderOperator(out io.Writer, roles []v1alpha1.AccessRole) error {
	if !strings.HasPrefix(o.userPath, "/") || !strings.HasSuffix(o.userPath, "/") || strings.ContainsAny(o.userPath, "*?$ ") {
		return fmt.Errorf("--user-path begins and ends with a slash, such as / or /hera/, and has no wildcards; not %.60q", o.userPath)
	}
	var groups []string
	var holders []*v1alpha1.AccessRole
	for i := range roles {
		for _, g := range awsOf(&roles[i]).Groups {
			groups = append(groups, groupARN(&roles[i], string(g)))
		}
		if len(awsOf(&roles[i]).Groups) > 0 {
			holders = append(holders, &roles[i])
		}
	}
	if len(groups) == 0 {
		return fmt.Errorf("none of the roles (%s) has AWS groups: the operator needs no AWS policy", names(roles))
	}
	in, err := o.accountOf(holders...)
	if err != nil {
		return err
	}
	grantor, revoker, both := policy.Operator(in, groups, o.userPath, o.breakGlass)
	document, ok := map[string]string{"grantor": grantor, "revoker": revoker, "both": both}[o.operator]
	if !ok {
		return fmt.Errorf("--operator is grantor, revoker, both or breakglass, and not %.40q", o.operator)
	}
	return printDocument(out, document)
}

func printDocument(out io.Writer, document string) error {
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(document), "", "  "); err != nil {
		return err
	}
	pretty.WriteByte('\n')
	_, err := pretty.WriteTo(out)
	return err
}

// accountOf is the account that was named, or the one that the operator has seen the groups of these roles in.
func (o *renderOptions) accountOf(roles ...*v1alpha1.AccessRole) (policy.Account, error) {
	if o.account != "" {
		in := policy.Account{Partition: o.partition, ID: o.account}
		return in, in.Check()
	}
	var seen []policy.Account
	for _, role := range roles {
		for _, g := range role.Status.AWS.Groups {
			if in, err := policy.AccountOf(g.ARN); err == nil && !slices.Contains(seen, in) {
				seen = append(seen, in)
			}
		}
	}
	switch len(seen) {
	case 0:
		return policy.Account{}, errors.New("which AWS account? Name it (--account): " +
			"no group of a role is known to be in one, for want of a cluster or because the operator has not seen any")
	case 1:
		return seen[0], nil
	}
	return policy.Account{}, fmt.Errorf("the groups are in several AWS accounts (%s, %s): name one (--account)", seen[0].ID, seen[1].ID)
}

// groupARN is the group as the operator saw it, path and all, or its name.
func groupARN(role *v1alpha1.AccessRole, group string) string {
	for _, g := range role.Status.AWS.Groups {
		if strings.EqualFold(string(g.Name), group) && g.ARN != "" {
			return g.ARN
		}
	}
	return group
}

// roles reads the AccessRoles from the files, or from the cluster.
func (o *renderOptions) roles(ctx context.Context) ([]v1alpha1.AccessRole, error) {
	if len(o.files) > 0 {
		return rolesOfFiles(o.files)
	}
	cfg, err := restConfig(o.kubeconfig)
	if err != nil {
		return nil, fmt.Errorf("finding the roles: name files (-f), or a cluster: %w", err)
	}
	scheme := runtime.NewScheme()
	if err := v1alpha1.AddToScheme(scheme); err != nil {
		return nil, err
	}
	reader, err := client.New(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("reading the roles from the cluster: %w", err)
	}
	var list v1alpha1.AccessRoleList
	if err := reader.List(ctx, &list); err != nil {
		return nil, fmt.Errorf("reading the roles from the cluster: %w", err)
	}
	if len(list.Items) == 0 {
		return nil, errors.New("there is no AccessRole in the cluster: name files (-f)")
	}
	return list.Items, nil
}

func rolesOfFiles(paths []string) ([]v1alpha1.AccessRole, error) {
	var roles []v1alpha1.AccessRole
	from := map[string]string{}
	for _, path := range paths {
		files := []string{path}
		if info, err := os.Stat(path); err != nil {
			return nil, err
		} else if info.IsDir() {
			if files, err = filepath.Glob(filepath.Join(path, "*.y*ml")); err != nil {
				return nil, err
			}
		}
		for _, file := range files {
			found, err := rolesOfFile(file)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", file, err)
			}
			for _, r := range found {
				if before := from[r.Name]; before != "" {
					return nil, fmt.Errorf("the AccessRole %s is in %s and in %s", r.Name, before, file)
				}
				from[r.Name] = file
			}
			roles = append(roles, found...)
		}
	}
	if len(roles) == 0 {
		return nil, fmt.Errorf("there is no AccessRole in %s", strings.Join(paths, ", "))
	}
	return roles, nil
}

// rolesOfFile reads the AccessRoles of one file and passes over everything else in it.
func rolesOfFile(file string) ([]v1alpha1.AccessRole, error) {
	content, err := os.ReadFile(file) //nolint:gosec // the caller's own files
	if err != nil {
		return nil, err
	}
	var roles []v1alpha1.AccessRole
	for documents := utilyaml.NewYAMLReader(bufio.NewReader(bytes.NewReader(content))); ; {
		document, err := documents.Read()
		if errors.Is(err, io.EOF) {
			return roles, nil
		}
		if err != nil {
			return nil, err
		}
		var kind struct{ APIVersion, Kind string }
		if err := yaml.Unmarshal(document, &kind); err != nil {
			return nil, err
		}
		if kind.Kind != "AccessRole" || kind.APIVersion != v1alpha1.SchemeGroupVersion.String() {
			continue
		}
		var role v1alpha1.AccessRole
		if err := yaml.UnmarshalStrict(document, &role); err != nil {
			return nil, fmt.Errorf("the AccessRole %.80q: %w", role.Name, err)
		}
		if err := checkRole(&role); err != nil {
			return nil, err
		}
		roles = append(roles, role)
	}
}

var groupName = regexp.MustCompile(`^[A-Za-z0-9_+=,.@-]{1,128}$`)

// checkRole checks, of a role that no API server has seen, the names that are printed into scripts.
func checkRole(role *v1alpha1.AccessRole) error {
	if wrong := validation.IsDNS1123Subdomain(role.Name); len(wrong) > 0 {
		return fmt.Errorf("an AccessRole cannot be named %.80q", role.Name)
	}
	for _, g := range awsOf(role).Groups {
		if !groupName.MatchString(string(g)) {
			return fmt.Errorf("the AccessRole %s: an IAM group cannot be named %.80q", role.Name, g)
		}
	}
	return nil
}

// awsOf is what a role means in AWS, nothing if it means nothing there.
func awsOf(role *v1alpha1.AccessRole) v1alpha1.AWSRole {
	if role.Spec.AWS == nil {
		return v1alpha1.AWSRole{}
	}
	return *role.Spec.AWS
}

func names(roles []v1alpha1.AccessRole) string {
	var all []string
	for _, r := range roles {
		all = append(all, r.Name)
	}
	slices.Sort(all)
	return strings.Join(all, ", ")
}
