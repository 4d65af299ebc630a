// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"bytes"
	"cmp"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

const docsDir = "../../docs/spec"

// page reads the specification of a kind, with the line breaks within paragraphs undone.
func page(t *testing.T, kind string) string {
	t.Helper()
	content, err := os.ReadFile(filepath.Join(docsDir, strings.ToLower(kind)+".md"))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// flowing undoes line breaks, so that a sentence is found wherever it was broken.
func flowing(s string) string { return strings.Join(strings.Fields(s), " ") }

// rows are the rows of all tables of a page, by the code in the first cell: each is the cells after that.
func rows(page string) map[string][][]string {
	all := map[string][][]string{}
	for line := range strings.Lines(page) {
		cells := strings.Split(strings.Trim(strings.TrimSpace(line), "|"), " | ")
		first := strings.TrimSpace(cells[0])
		if strings.HasPrefix(line, "| `") && strings.HasSuffix(first, "`") {
			key := strings.Trim(first, "`")
			all[key] = append(all[key], cells[1:])
		}
	}
	return all
}

// blocks are the fenced blocks of a language.
func blocks(page, language string) []string {
	var all []string
	for _, m := range regexp.MustCompile("(?ms)^```"+language+"\n(.*?)^```$").FindAllStringSubmatch(page, -1) {
		all = append(all, m[1])
	}
	return all
}

func TestDocsTellOfEveryField(t *testing.T) {
	for kind, root := range schemas(t) {
		told := rows(page(t, kind))
		known := map[string]bool{}
		for _, part := range []string{"spec", "status"} {
			if root.Properties[part] == nil {
				continue
			}
			required := map[string]bool{}
			root.Properties[part].walk(part, func(path string, n *node) {
				for _, name := range n.Required {
					required[path+"."+name] = true
				}
				if path == part || strings.HasPrefix(path, "status.conditions[]") || strings.HasSuffix(path, "[]") {
					return
				}
				known[path] = true
				if len(told[path]) != 1 {
					t.Errorf("%s: %s has %d rows in the tables of fields, want one", kind, path, len(told[path]))
					return
				}
				about := strings.Join(told[path][0], " | ")
				for _, want := range facts(n, part == "spec", required[path]) {
					if !regexp.MustCompile(want).MatchString(about) {
						t.Errorf("%s: the row of %s does not say %s: %s", kind, path, want, about)
					}
				}
			})
		}
		for path := range told {
			if (strings.HasPrefix(path, "spec.") || strings.HasPrefix(path, "status.")) && !known[path] {
				t.Errorf("%s: %s is documented and does not exist", kind, path)
			}
		}
	}
}

// facts are expressions that the row of a field must match.
func facts(n *node, spec, required bool) []string {
	number := func(v int64) string { return `\b` + strconv.FormatInt(v, 10) + `\b` }
	var want []string
	if spec {
		want = append(want, map[bool]string{true: `\brequired\b`, false: `\boptional\b`}[required])
	}
	for _, of := range []*node{n, n.Items} {
		if of == nil {
			continue
		}
		for _, v := range []*int64{of.MaxLength, of.MaxItems, of.MinItems} {
			if v != nil {
				want = append(want, number(*v))
			}
		}
		for _, v := range []*float64{of.Minimum, of.Maximum} {
			if v != nil {
				want = append(want, number(int64(*v)))
			}
		}
		for _, v := range of.Enum {
			want = append(want, "`"+v+"`")
		}
	}
	if n.Default != nil && n.Type != "object" {
		want = append(want, "default `"+regexp.QuoteMeta(fmt.Sprint(n.Default))+"`")
	}
	for _, key := range n.ListMapKeys {
		want = append(want, "list by `"+key+"`")
	}
	return want
}

func TestDocsQuoteEveryMessage(t *testing.T) {
	for kind, root := range schemas(t) {
		text := flowing(page(t, kind))
		root.walk("", func(path string, n *node) {
			for _, r := range n.Rules {
				if !strings.Contains(text, "`"+r.Message+"`") {
					t.Errorf("%s %s: not in the docs: %s", kind, path, r.Message)
				}
			}
		})
	}
}

// constant is a string constant of conditions.go, and the kind on whose page it is told.
type constant struct{ value, kind string }

// constants reads conditions.go. Whose a constant is, the comment says, of the constant or else of its block.
func constants(t *testing.T) map[string]constant {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "../../api/v1alpha1/conditions.go", nil, parser.ParseComments)
	if err != nil {
		t.Fatal(err)
	}
	about := func(comment string) string {
		comment = flowing(comment)
		switch {
		case strings.Contains(comment, "AccessRole.") || strings.Contains(comment, "on a role "):
			return accessRole.name
		case strings.Contains(comment, "an emergency"), strings.Contains(comment, "temporary user"):
			return breakGlass.name
		case strings.HasPrefix(comment, "States of a revocation") || strings.Contains(comment, "on a revocation "):
			return accessRevocation.name
		}
		return ""
	}
	all := map[string]constant{}
	for _, d := range file.Decls {
		block, ok := d.(*ast.GenDecl)
		if !ok || block.Tok != token.CONST {
			continue
		}
		for _, s := range block.Specs {
			spec, ok := s.(*ast.ValueSpec)
			if !ok || len(spec.Names) != 1 || len(spec.Values) != 1 {
				t.Fatalf("a constant of a shape that is not known here: %v", s)
			}
			literal, ok := spec.Values[0].(*ast.BasicLit)
			if !ok {
				t.Fatalf("%s is not a literal", spec.Names[0].Name)
			}
			v, err := strconv.Unquote(literal.Value)
			if err != nil {
				t.Fatal(err)
			}
			all[spec.Names[0].Name] = constant{v, cmp.Or(about(spec.Doc.Text()), about(block.Doc.Text()), prodAccessGrant.name)}
		}
	}
	return all
}

func TestDocsTellOfEveryStateAndReason(t *testing.T) {
	found := map[string]int{}
	for name, c := range constants(t) {
		for _, prefix := range []string{"State", "Reason", "Condition"} {
			if !strings.HasPrefix(name, prefix) {
				continue
			}
			found[prefix]++
			found[c.kind]++
			if text := page(t, c.kind); !strings.Contains(text, "`"+c.value+"`") && !strings.Contains(text, "### "+c.value+"\n") {
				t.Errorf("%s does not tell of %s (%s)", c.kind, c.value, name)
			}
		}
	}
	if found["State"] < 10 || found["Reason"] < 40 || found["Condition"] < 10 || found[accessRole.name] < 8 || found[accessRevocation.name] < 7 || found[breakGlass.name] < 5 {
		t.Errorf("found no more than %v: are the constants elsewhere?", found)
	}
}

// The columns Ready and Active of the tables of states are what the code says.
func TestDocsTellTheTruthAboutStates(t *testing.T) {
	// Nobody is asked before an emergency, and it begins at once.
	never := []string{v1alpha1.StatePendingApproval, v1alpha1.StateScheduled, v1alpha1.StateRejected}
	for _, k := range []kind{prodAccessGrant, breakGlass} {
		told := rows(page(t, k.name))
		for name, c := range constants(t) {
			if !strings.HasPrefix(name, "State") {
				continue
			}
			// A reason may have the name of a state: the table of states is the one with five more columns.
			i := slices.IndexFunc(told[c.value], func(cells []string) bool { return len(cells) == 5 })
			if k.name == breakGlass.name && slices.Contains(never, c.value) {
				if i >= 0 {
					t.Errorf("%s: %s is in the table of states", k.name, c.value)
				}
				continue
			}
			if i < 0 {
				t.Errorf("%s: %s is not in the table of states", k.name, c.value)
				continue
			}
			g := &v1alpha1.ProdAccessGrant{}
			status.Grant(g, &access.Decision{State: c.value, Message: "x"}, status.Notes{}, time.Unix(0, 0))
			var want []string
			for _, kind := range []string{v1alpha1.ConditionReady, v1alpha1.ConditionActive} {
				want = append(want, string(meta.FindStatusCondition(g.Status.Conditions, kind).Status))
			}
			if got := told[c.value][i][1:3]; !slices.Equal(got, want) {
				t.Errorf("%s: %s: the docs say Ready and Active are %v, the code says %v", k.name, c.value, got, want)
			}
		}
	}
}

// An emergency has the conditions of a grant, so its page tells of their reasons too, or sends people to where they stand.
func TestDocsTellOfEveryConditionOfAnEmergency(t *testing.T) {
	text := page(t, breakGlass.name)
	for name, c := range constants(t) {
		if !strings.HasPrefix(name, "Condition") || c.kind != prodAccessGrant.name || c.value == v1alpha1.ConditionApproved {
			continue
		}
		if !strings.Contains(text, "`"+c.value+"`") && !strings.Contains(text, "### "+c.value+"\n") {
			t.Errorf("the page does not tell of the condition %s", c.value)
		}
	}
	told := rows(text)
	for _, reason := range []string{
		v1alpha1.ReasonEligible, v1alpha1.ReasonNotChecked, v1alpha1.ReasonUserNotFound, v1alpha1.ReasonIdentityMismatch, v1alpha1.ReasonMFAMissing,
		v1alpha1.ReasonMFAUnverified, v1alpha1.ReasonQuarantined, v1alpha1.ReasonAWSUnavailable, v1alpha1.ReasonAWSDisabled,
		v1alpha1.ReasonReportNotDue, v1alpha1.ReasonReportPending, v1alpha1.ReasonReportOverdue, v1alpha1.ReasonApproved,
		v1alpha1.ReasonPolicyViolation, v1alpha1.ReasonUnproven, v1alpha1.ReasonRoleNotFound, v1alpha1.ReasonRoleNotReady, v1alpha1.ReasonGuardMissing,
	} {
		if len(told[reason]) == 0 {
			t.Errorf("no table has a row of %s", reason)
		}
	}
}

// Every event of the audit trail has a row on its page, and those about emergencies stand on theirs too.
func TestDocsTellOfEveryEvent(t *testing.T) {
	file, err := parser.ParseFile(token.NewFileSet(), "../../internal/audit/entry.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	told := map[string]bool{}
	for line := range strings.Lines(page(t, "audit")) {
		if first, _, found := strings.Cut(strings.TrimPrefix(line, "| "), " | "); found {
			for _, m := range regexp.MustCompile("`([^`]+)`").FindAllStringSubmatch(first, -1) {
				told[m[1]] = true
			}
		}
	}
	events := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok || !strings.HasPrefix(spec.Names[0].Name, "Event") || len(spec.Values) != 1 {
			return true
		}
		event, err := strconv.Unquote(spec.Values[0].(*ast.BasicLit).Value)
		if err != nil {
			t.Fatal(err)
		}
		events++
		if !told[event] {
			t.Errorf("the event %s has no row", event)
		}
		if (event == audit.EventOpened || strings.HasPrefix(event, "report-")) && !strings.Contains(page(t, breakGlass.name), "`"+event+"`") {
			t.Errorf("the page of %s does not tell of the event %s", breakGlass.name, event)
		}
		return true
	})
	if events < 15 {
		t.Errorf("found no more than %d events: are the constants elsewhere?", events)
	}
}

func TestDocsExamplesAreAccepted(t *testing.T) {
	for _, k := range kinds {
		examples := blocks(page(t, k.name), "yaml")
		if len(examples) == 0 {
			t.Errorf("%s has no example", k.name)
		}
		for i, example := range examples {
			file := filepath.Join(t.TempDir(), "example.yaml")
			if err := os.WriteFile(file, []byte(example), 0o600); err != nil {
				t.Fatal(err)
			}
			if _, err := cp.Kubectl(t.Context(), "", "create", "--dry-run=server", "--validate=strict", "-f", file); err != nil {
				t.Errorf("%s, example %d: %v", k.name, i+1, err)
			}
			var object map[string]any
			if err := yaml.UnmarshalStrict([]byte(example), &object); err != nil {
				t.Errorf("%s, example %d: %v", k.name, i+1, err)
			}
			if i == 0 {
				decodes(t, k, parse(t, example))
			}
		}
		if k.name == accessRevocation.name || k.name == breakGlass.name {
			// One object cannot have all fields.
			complete(t, k, examples)
			continue
		}
		complete(t, k, examples[:1])
	}
}

// complete checks that examples set every field of the spec.
func complete(t *testing.T, k kind, examples []string) {
	t.Helper()
	for _, path := range leaves(t, k.spec) {
		if strings.HasPrefix(path, "lift.") {
			continue // nothing is lifted when it is created: a command of the page does that
		}
		if !slices.ContainsFunc(examples, func(e string) bool { return value(t, parse(t, e), "spec."+path) != (absent{}) }) {
			t.Errorf("no complete example of %s: spec.%s is missing", k.name, path)
		}
	}
}

// Every command of the docs is run as it stands there, against the objects of the examples.
func TestDocsCommandsWork(t *testing.T) {
	first := func(k kind) string { return blocks(page(t, k.name), "yaml")[0] }
	for _, k := range kinds {
		t.Run(k.name, func(t *testing.T) {
			role := accessRole.store(t, parse(t, first(accessRole)))
			ready := []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: "True", Reason: v1alpha1.ReasonRoleReady, LastTransitionTime: metav1.Now()}}
			// Until observedGeneration follows, kubectl wait does not believe the condition.
			role = with(t, with(t, role, "status.conditions", ready), "status.observedGeneration", 1)
			if _, err := accessRole.client().UpdateStatus(t.Context(), role, metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			grant := prodAccessGrant.store(t, parse(t, first(prodAccessGrant)))
			s := fullGrantStatus()
			if _, err := prodAccessGrant.client().UpdateStatus(t.Context(), with(t, grant, "status", s), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			revocation := accessRevocation.store(t, parse(t, first(accessRevocation)))
			if _, err := accessRevocation.client().UpdateStatus(t.Context(), with(t, revocation, "status", fullRevocationStatus()), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			emergency := breakGlass.store(t, parse(t, first(breakGlass)))
			e := fullEmergencyStatus()
			if _, err := breakGlass.client().UpdateStatus(t.Context(), with(t, emergency, "status", e), metav1.UpdateOptions{}); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { deleteAll(t, accessApproval, accessRevocation, breakGlass) })

			dir := t.TempDir()
			reported := false
			for _, script := range blocks(page(t, k.name), "sh") {
				shell(t, dir, script)
				if strings.Contains(script, "kubectl patch bg ") {
					o := breakGlass.get(t, emergency.GetName())
					reported = value(t, o, "spec.report.summary") != value(t, emergency, "spec.report.summary")
				}
			}

			switch k.name {
			case breakGlass.name:
				if !reported {
					t.Error("no command of the page writes the report")
				}
				checkEmergency(t, emergency, e)
			case accessApproval.name:
				list, err := accessApproval.client().List(t.Context(), metav1.ListOptions{})
				if err != nil || len(list.Items) != 1 {
					t.Fatalf("the commands made %v (%v), want one approval", list, err)
				}
				a := &list.Items[0]
				for path, want := range map[string]any{
					"spec.target.uid": string(grant.GetUID()), "spec.digest": s.ApprovalDigest, "spec.role": value(t, grant, "spec.role"), "spec.decision": "Approve",
				} {
					if got := value(t, a, path); got != want {
						t.Errorf("%s of the approval is %v, want %v", path, got, want)
					}
				}
			case accessRevocation.name:
				checkRevocations(t, s.SpecDigest)
			case prodAccessGrant.name:
				if _, err := prodAccessGrant.client().Get(t.Context(), grant.GetName(), metav1.GetOptions{}); err == nil {
					t.Error("the grant is still there after the command that deletes it")
				}
			}
		})
	}
}

// checkEmergency checks what the commands of the page have made: another emergency, an approval of the report, and a
// revocation of the emergency, which is deleted at last.
func checkEmergency(t *testing.T, was *unstructured.Unstructured, s *v1alpha1.BreakGlassStatus) {
	t.Helper()
	for k, want := range map[*kind]map[string]any{
		&accessApproval: {
			"spec.target.kind": "BreakGlass", "spec.target.name": was.GetName(), "spec.target.uid": string(was.GetUID()),
			"spec.digest": s.ReportDigest, "spec.role": value(t, was, "spec.role"), "spec.decision": "Approve",
		},
		&accessRevocation: {"spec.grant.kind": "BreakGlass", "spec.grant.name": was.GetName(), "spec.grant.specDigest": s.SpecDigest},
		&breakGlass:       {"spec.subject": value(t, was, "spec.subject"), "spec.role": value(t, was, "spec.role"), "spec.report": absent{}},
	} {
		list, err := k.client().List(t.Context(), metav1.ListOptions{})
		if err != nil {
			t.Fatal(err)
		}
		made := slices.DeleteFunc(list.Items, func(o unstructured.Unstructured) bool {
			return o.GetName() == "alice-laptop" || o.GetName() == was.GetName()
		})
		if len(made) != 1 {
			t.Errorf("the commands made %d objects of the kind %s, want 1", len(made), k.name)
			continue
		}
		for path, want := range want {
			if got := value(t, &made[0], path); !reflect.DeepEqual(got, want) {
				t.Errorf("%s of the %s is %v, want %v", path, k.name, got, want)
			}
		}
	}
	if _, err := breakGlass.client().Get(t.Context(), was.GetName(), metav1.GetOptions{}); !apierrors.IsNotFound(err) {
		t.Errorf("after the command that deletes it, the emergency is still there (%v)", err)
	}
}

// checkRevocations checks what the commands of the page have made: a person is revoked twice, once by the example, which
// was lifted, and a grant once.
func checkRevocations(t *testing.T, specDigest string) {
	t.Helper()
	list, err := accessRevocation.client().List(t.Context(), metav1.ListOptions{})
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]int{}
	for i := range list.Items {
		r := &list.Items[i]
		switch lifted := value(t, r, "spec.lift.by") != (absent{}); {
		case value(t, r, "spec.grant.specDigest") == specDigest:
			found["grant"]++
		case value(t, r, "spec.person") == "alice" && value(t, r, "spec.credentials") == "Deactivate" && lifted == (r.GetName() == "alice-laptop"):
			found["person"]++
		default:
			t.Errorf("the commands made %v", r.Object)
		}
	}
	if found["grant"] != 1 || found["person"] != 2 {
		t.Errorf("the commands made %v", found)
	}
}

func deleteAll(t *testing.T, kinds ...kind) {
	t.Helper()
	for _, k := range kinds {
		if _, err := cp.Kubectl(contextOf(t), "", "delete", k.resource, "--all"); err != nil {
			t.Error(err)
		}
	}
}

// shell runs commands as a person would, with kubectl on the path.
func shell(t *testing.T, dir, script string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "KUBECONFIG="+cp.Kubeconfig, "HOME="+dir,
		"PATH="+filepath.Dir(cp.KubectlPath)+string(os.PathListSeparator)+os.Getenv("PATH"))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := cmd.Run(); err != nil {
		t.Errorf("%v\n%s\n%s", err, script, out.String())
	}
}

func TestDocsLinksLead(t *testing.T) {
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, k := range kinds {
		for _, m := range link.FindAllStringSubmatch(page(t, k.name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			file, anchor, _ := strings.Cut(m[1], "#")
			if file == "" {
				file = strings.ToLower(k.name) + ".md"
			}
			content, err := os.ReadFile(filepath.Join(docsDir, file))
			if info, statErr := os.Stat(filepath.Join(docsDir, file)); statErr == nil && info.IsDir() {
				continue
			}
			if err != nil {
				t.Errorf("%s: %v", k.name, err)
				continue
			}
			if anchor != "" && !slices.Contains(anchors(string(content)), anchor) {
				t.Errorf("%s: %s has no heading #%s", k.name, file, anchor)
			}
		}
	}
}

// anchors are the anchors of a page's headings, as GitHub makes them.
func anchors(page string) []string {
	var all []string
	for _, m := range regexp.MustCompile(`(?m)^#+ (.*)$`).FindAllStringSubmatch(page, -1) {
		a := strings.ToLower(m[1])
		a = regexp.MustCompile(`[^\p{L}\p{N} -]`).ReplaceAllString(a, "")
		all = append(all, strings.ReplaceAll(a, " ", "-"))
	}
	return all
}
