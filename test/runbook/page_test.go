// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"bytes"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

const (
	config = "../../config"

	withoutOperator page = "../../docs/runbooks/break-glass-without-operator.md"
	sealedUser      page = "../../docs/runbooks/sealed-break-glass-user.md"

	// The blocks that all others build on.
	settings = "settings"
	derive   = "derive"

	// What cannot run against the fake is called so, and the page says so where people read it.
	untested = "untested-"
	notRun   = "**Not run by the tests**"
)

// page is the file of a runbook.
type page string

var pages = []page{withoutOperator, sealedUser}

func (p page) String() string { return strings.TrimSuffix(filepath.Base(string(p)), ".md") }

// eachPage runs a test on every page.
func eachPage(t *testing.T, run func(*testing.T, page)) {
	for _, p := range pages {
		t.Run(p.String(), func(t *testing.T) { run(t, p) })
	}
}

// block is a fenced block of the page; the word behind the language is its name.
type block struct{ name, script string }

var (
	fencedBlock = regexp.MustCompile("(?ms)^```(\\S*) ?([^\n]*)\n(.*?)^```$")
	setting     = regexp.MustCompile(`(?m)^([a-z_]+)=("[^"\n]*"|[^\s"#]*)`)
	heading     = regexp.MustCompile(`(?m)^#+ (.*)$`)
	link        = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	named       = regexp.MustCompile(`(?m)^\s*(?:- )?name: ([^\s#]+)`)
	called      = regexp.MustCompile(`\baws iam ([a-z-]+)`)
	assigned    = regexp.MustCompile(`(?m)^\s*(?:([a-z_]+)=|for ([a-z_]+) in )`)
	used        = regexp.MustCompile(`\$\{?([a-z_]+)`)
	ourName     = regexp.MustCompile(`\bprod-access-[a-z0-9.-]*[a-z0-9]`)
	ourHome     = regexp.MustCompile(`\bhera-prod-[a-z0-9-]*[a-z0-9]`)
)

func (p page) read(t *testing.T) string {
	t.Helper()
	content, err := os.ReadFile(string(p))
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

// blocks are those of the page, in its order.
func (p page) blocks(t *testing.T) []block {
	t.Helper()
	var all []block
	for _, m := range fencedBlock.FindAllStringSubmatch(p.read(t), -1) {
		if m[1] != "bash" || !regexp.MustCompile(`^[a-z]+(-[a-z]+)*$`).MatchString(m[2]) {
			t.Errorf("a block begins with ```%s %s: want ```bash and a name, by which the test finds it", m[1], m[2])
		}
		if slices.ContainsFunc(all, func(b block) bool { return b.name == m[2] }) {
			t.Errorf("two blocks are called %s", m[2])
		}
		all = append(all, block{m[2], m[3]})
	}
	if i := slices.IndexFunc(all, func(b block) bool { return b.name == settings }); i < 0 || i+1 >= len(all) || all[i+1].name != derive {
		t.Fatal("the page does not have the blocks settings and derive, one after the other")
	}
	return all
}

func (p page) script(t *testing.T, name string) string {
	t.Helper()
	all := p.blocks(t)
	i := slices.IndexFunc(all, func(b block) bool { return b.name == name })
	if i < 0 {
		t.Fatalf("the page has no block %s", name)
	}
	return all[i].script
}

// with replaces settings by others.
func with(script string, values map[string]string) (string, error) {
	left := maps.Clone(values)
	script = setting.ReplaceAllStringFunc(script, func(line string) string {
		name, _, _ := strings.Cut(line, "=")
		value, ok := left[name]
		if !ok {
			return line
		}
		delete(left, name)
		return name + "='" + value + "'"
	})
	if len(left) > 0 {
		return "", fmt.Errorf("the page has no settings %q", slices.Sorted(maps.Keys(left)))
	}
	return script, nil
}

func TestSettingsAreReplaced(t *testing.T) {
	const script = "person=alice   # the IAM user\nnamespaces=\"\"   # which ones\n"
	got, err := with(script, map[string]string{"person": "bob", "namespaces": "a b"})
	if want := "person='bob'   # the IAM user\nnamespaces='a b'   # which ones\n"; got != want || err != nil {
		t.Errorf("got %q, %v, want %q", got, err, want)
	}
	if _, err := with(script, map[string]string{"persom": "bob"}); err == nil || !strings.Contains(err.Error(), `no settings ["persom"]`) {
		t.Errorf("a setting that the page does not have is replaced: %v", err)
	}
}

func TestBlocksParse(t *testing.T) { eachPage(t, blocksParse) }

func blocksParse(t *testing.T, p page) {
	all := p.blocks(t)
	var together strings.Builder
	for _, b := range all {
		together.WriteString(b.script)
		cmd := exec.CommandContext(t.Context(), "bash", "-n")
		cmd.Stdin = strings.NewReader(b.script)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("bash does not understand the block %s: %v\n%s", b.name, err, out)
		}
	}
	set, first := map[string]bool{}, map[string]string{settings: p.script(t, settings), derive: p.script(t, derive)}
	for _, b := range all {
		own := map[string]bool{}
		for _, m := range assigned.FindAllStringSubmatch(b.script, -1) {
			own[m[1]+m[2]] = true
		}
		for _, m := range used.FindAllStringSubmatch(b.script, -1) {
			if !own[m[1]] && !set[m[1]] {
				t.Errorf("the block %s makes use of %s, which neither it nor the first two set", b.name, m[1])
			}
		}
		if first[b.name] != "" {
			maps.Copy(set, own)
		}
	}
	for name, script := range first {
		for _, m := range setting.FindAllStringSubmatch(script, -1) {
			if !regexp.MustCompile(`\$\{?` + m[1] + `\b`).MatchString(together.String()) {
				t.Errorf("no block makes use of %s, which the block %s sets", m[1], name)
			}
		}
	}
}

// Readers know which block was never carried out.
func TestUntestedBlocksSaySo(t *testing.T) { eachPage(t, untestedSaySo) }

func untestedSaySo(t *testing.T, p page) {
	text := p.read(t)
	for _, at := range fencedBlock.FindAllStringSubmatchIndex(text, -1) {
		name, before := text[at[4]:at[5]], strings.TrimSpace(text[:at[0]])
		if i := strings.LastIndex(before, "\n\n"); i >= 0 {
			before = before[i:]
		}
		said := strings.Contains(strings.Join(strings.Fields(before), " "), notRun)
		if said != strings.HasPrefix(name, untested) {
			t.Errorf("the block %s: the paragraph before it says %s: %v, want that of blocks called %s… and of no others", name, notRun, said, untested)
		}
	}
}

// manifests are what a folder and those in it hold.
func manifests(t *testing.T, folder string) string {
	t.Helper()
	var all bytes.Buffer
	err := filepath.WalkDir(folder, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".yaml" {
			return err
		}
		content, err := os.ReadFile(path)
		all.Write(content)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return all.String()
}

func TestPageNamesWhatExists(t *testing.T) { eachPage(t, namesWhatExists) }

func namesWhatExists(t *testing.T, p page) {
	text := p.read(t)
	known := map[string]bool{
		"prod-access-operator":                true, // the label of everything that is ours
		controller.Name + ".hera.dev":         true, // the lease
		strings.Trim(policy.FencePrefix, "-"): true,
		policy.BoundaryName:                   true,
	}
	shipped := manifests(t, config)
	for _, m := range named.FindAllStringSubmatch(shipped, -1) {
		known[m[1]] = true
	}
	for _, name := range ourName.FindAllString(text, -1) {
		if !known[name] {
			t.Errorf("the page speaks of %s, and nothing in config has this name", name)
		}
	}
	for _, group := range ourHome.FindAllString(text, -1) {
		if !strings.Contains(shipped, "- "+group+"\n") {
			t.Errorf("the page speaks of the IAM group %s, which no AccessRole names", group)
		}
	}
	account := fake.New(fake.Config{})
	for _, b := range p.blocks(t) {
		if strings.HasPrefix(b.name, untested) {
			text = strings.Replace(text, b.script, "", 1)
		}
		if strings.Contains(b.script, v1alpha1.ManagedByLabel) {
			t.Errorf("the block %s writes or asks for the label of what the operator makes", b.name)
		}
	}
	for _, m := range called.FindAllStringSubmatch(text, -1) {
		if err := account.Admin(operation(m[1]), nil); err != nil && strings.HasPrefix(err.Error(), "InvalidAction") {
			t.Errorf("aws iam %s: %v", m[1], err)
		}
	}
}

func TestMadeByHandIsNotCalledLikeTheOperators(t *testing.T) {
	name := regexp.MustCompile(`(?m)^name=(\S+)$`).FindStringSubmatch(withoutOperator.script(t, derive))
	if name == nil || strings.HasPrefix(name[1], "prod-access-") {
		t.Errorf("what is made by hand is called %v, a name of the operator's", name)
	}
}

// operation is the operation of IAM that a command of the AWS CLI calls.
func operation(command string) string {
	var words strings.Builder
	for word := range strings.SplitSeq(command, "-") {
		if word == "mfa" {
			word = "MFA"
		}
		words.WriteString(string(unicode.ToUpper(rune(word[0]))) + word[1:])
	}
	return words.String()
}

// The table for the night in which not even the AccessRoles can be read has all of them.
func TestPageHasTheRoles(t *testing.T) {
	want := map[string]string{}
	for document := range strings.SplitSeq(manifests(t, filepath.Join(config, "roles")), "---\n") {
		var role v1alpha1.AccessRole
		if yaml.Unmarshal([]byte(document), &role) != nil || role.Kind != "AccessRole" {
			continue
		}
		var groups []string
		if role.Spec.AWS != nil {
			for _, g := range role.Spec.AWS.Groups {
				groups = append(groups, string(g))
			}
		}
		want[role.Name] = strings.TrimSpace(fmt.Sprintf("| %s | %s | %s | %s", role.Name, role.Spec.Kubernetes.ClusterRole, role.Spec.Kubernetes.Scope,
			strings.Join(groups, " ")))
	}
	if len(want) == 0 {
		t.Fatal("config/roles has no AccessRole")
	}
	for role, row := range want {
		if !strings.Contains(withoutOperator.read(t), row) {
			t.Errorf("the table of roles lacks the row of %s: %s", role, row)
		}
	}
}

func TestLinksLeadSomewhere(t *testing.T) { eachPage(t, linksLeadSomewhere) }

func linksLeadSomewhere(t *testing.T, p page) {
	for _, m := range link.FindAllStringSubmatch(p.read(t), -1) {
		if strings.HasPrefix(m[1], "https://") {
			continue
		}
		file, anchor, _ := strings.Cut(m[1], "#")
		target := string(p)
		if file != "" {
			target = filepath.Join(filepath.Dir(target), file)
		}
		content, err := os.ReadFile(target)
		if err != nil {
			t.Errorf("%s: %v", m[1], err)
			continue
		}
		var anchors []string
		for _, h := range heading.FindAllStringSubmatch(string(content), -1) {
			anchors = append(anchors, strings.ReplaceAll(regexp.MustCompile(`[^a-z0-9 _-]`).ReplaceAllString(strings.ToLower(h[1]), ""), " ", "-"))
		}
		if anchor != "" && !slices.Contains(anchors, anchor) {
			t.Errorf("%s: there is no such heading", m[1])
		}
	}
}
