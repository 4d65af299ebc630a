// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package runbook carries out docs/runbooks: it takes the blocks out of the pages, changes nothing in them but the
// settings, and runs them with bash, kubectl and the AWS CLI against a real API server and the IAM fake, beside an operator
// that is dead or comes back. What comes of it is read from the API server and from IAM.
package runbook

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-logr/logr"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/controller"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// cliVariable names the AWS CLI to carry the runbook out with.
	cliVariable = "RUNBOOK_AWS"
	// soon bounds what follows from an event, on a machine that does other things as well.
	soon = 45 * time.Second
	// cluster is its name in fences.
	cluster = "runbook"
)

// site is a cluster with production access and its AWS account, as an administrator has them before them.
type site struct {
	cp     *controlplane.ControlPlane
	iam    *fake.IAM
	iamURL string
	admin  client.Client
	cli    string // the AWS CLI
	binary string // the operator
	dir    string
	// executed are the blocks that ran.
	executed map[string]bool
}

func newSite(t *testing.T) *site {
	t.Helper()
	s := &site{cli: os.Getenv(cliVariable), iam: fake.New(fake.Config{}), dir: t.TempDir(), executed: map[string]bool{}}
	if s.cli == "" {
		t.Skip(cliVariable + " is not set: make test-runbook installs an AWS CLI and sets it")
	}
	ctrl.SetLogger(logr.Discard())
	server := httptest.NewServer(s.iam)
	t.Cleanup(server.Close)
	s.iamURL, s.binary = server.URL, filepath.Join(s.dir, "manager")
	if err := operator.Build(t.Context(), s.binary, "-race"); err != nil {
		t.Fatal(err)
	}
	var err error
	if s.cp, err = controlplane.Start(t.Context(), controlplane.Options{}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.cp.Stop(); err != nil {
			t.Error(err)
		}
	})
	if err := operator.Install(t.Context(), s.cp, config); err != nil {
		t.Fatal(err)
	}
	// Nothing runs it: there are no nodes. It is there to be looked at.
	for _, manifest := range []string{filepath.Join(config, "manager", "deployment.yaml"), "../../hack/demo/people.yaml"} {
		s.kubectl(t, "apply", "-f", manifest)
	}
	for _, group := range []string{"hera-prod-infra-manager", "hera-prod-infra-member", "hera-prod-security-engineer"} {
		s.iam.AddGroup(group)
	}
	if err := policytest.GuardShipped(s.iam, filepath.Join(config, "roles")); err != nil {
		t.Fatal(err)
	}
	if s.admin, err = client.New(s.cp.Config, client.Options{Scheme: controller.NewScheme()}); err != nil {
		t.Fatal(err)
	}
	return s
}

// start runs the operator until the test ends, if nobody kills it before, and waits until it is ready.
func (s *site) start(t *testing.T, more ...string) *operator.Process {
	t.Helper()
	log := filepath.Join(t.TempDir(), "operator.log")
	args := append([]string{"--cluster-name=" + cluster, "--aws-sweep-every=2s"}, more...)
	p, err := operator.Start(t.Context(), s.cp, operator.Options{Binary: s.binary, Config: config, Args: args, Env: operator.AWSEnv(s.iamURL), Log: log})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("the operator's log:\n%s", p.LogTail(60))
		}
		if err := p.Stop(); err != nil {
			t.Error(err)
		}
	})
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := p.WaitReady(ctx); err != nil {
		t.Fatal(err)
	}
	return p
}

// guarded waits until the operator has found the admission guard whole.
func (s *site) guarded(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), soon)
	defer cancel()
	if err := operator.WaitGuarded(ctx, s.cp); err != nil {
		t.Fatal(err)
	}
}

// emergency is somebody who needs access, and the settings of the page for that.
type emergency struct {
	*site
	person, username, kubeconfig string
	values                       map[string]string
	dir                          string
	// mfa is typed by hand, if not empty; endpoint is where IAM is looked for.
	mfa, endpoint string
}

// emergency adds a person with an MFA device.
func (s *site) emergency(t *testing.T, person, role string, values map[string]string) *emergency {
	t.Helper()
	e := &emergency{site: s, person: person, username: person + "@hera.example", dir: t.TempDir(), endpoint: s.iamURL}
	s.iam.AddUser(fake.User{Name: person, MFA: true, Tags: map[string]string{v1alpha1.KubernetesUsersTag: e.username}})
	release, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	e.values = map[string]string{"person": person, "kubernetes_user": e.username, "role": role, "incident": "INC-" + person, "release": release}
	maps.Copy(e.values, values)
	content, err := s.cp.KubeconfigFor(e.username)
	if err != nil {
		t.Fatal(err)
	}
	e.kubeconfig = filepath.Join(e.dir, "kubeconfig")
	if err := os.WriteFile(e.kubeconfig, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return e
}

// byHand is the name of what the page makes.
func (e *emergency) byHand() string { return "emergency-" + e.values["incident"] + "-" + e.person }

// paste carries a block out as somebody does who has pasted the first two before, and returns what it printed. A block that
// does not end well fails the test.
func (e *emergency) paste(t *testing.T, name string) string {
	t.Helper()
	out, err := e.try(t, name)
	if err != nil {
		t.Fatalf("the block %s: %v\n%s", name, err, out)
	}
	return out
}

// marker stands between what the first two blocks print and what the one in question does.
const marker = "-- the block --"

func (e *emergency) try(t *testing.T, name string) (string, error) {
	t.Helper()
	set, err := with(withoutOperator.script(t, settings), e.values)
	if err != nil {
		t.Fatal(err)
	}
	script := set + withoutOperator.script(t, derive)
	if e.mfa != "" {
		script += "mfa=" + e.mfa + "\n"
	}
	script += "echo '" + marker + "'\nexec 2>&1\n"
	if name != derive {
		script += withoutOperator.script(t, name)
	}
	// Whoever pastes sees what fails; here the first failure ends it.
	cmd := exec.CommandContext(t.Context(), "bash", "-euo", "pipefail", "-c", script)
	cmd.Dir = e.dir
	path := []string{filepath.Dir(e.cli), filepath.Dir(e.cp.KubectlPath), os.Getenv("PATH")}
	cmd.Env = append(operator.AWSEnv(e.endpoint), "PATH="+strings.Join(path, string(os.PathListSeparator)), "HOME="+e.dir, "KUBECONFIG="+e.cp.Kubeconfig,
		"AWS_DEFAULT_REGION=us-east-1", "AWS_EC2_METADATA_DISABLED=true", "AWS_MAX_ATTEMPTS=1")
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err = cmd.Run()
	e.executed[settings], e.executed[derive], e.executed[name] = true, true, true
	before, out, reached := strings.Cut(stdout.String(), marker+"\n")
	if !reached {
		t.Fatalf("the blocks %s and %s: %v\n%s%s", settings, derive, err, stdout.String(), stderr.String())
	}
	if name == derive {
		return before, err
	}
	return out, err
}

// says fails the test unless a text has a part.
func says(t *testing.T, text string, parts ...string) {
	t.Helper()
	for _, part := range parts {
		if !strings.Contains(text, part) {
			t.Errorf("it does not say %q:\n%s", part, text)
		}
	}
}

// eventually waits for a condition.
func eventually(t *testing.T, what string, holds func(context.Context) (bool, error)) {
	t.Helper()
	if err := wait.PollUntilContextTimeout(t.Context(), 100*time.Millisecond, soon, true, holds); err != nil {
		t.Fatalf("not within %s: %s: %v", soon, what, err)
	}
}

// may waits until kubectl tells the person so. The API server learns of bindings by a watch of its own.
func (e *emergency) may(t *testing.T, want bool, verb, resource, namespace string) {
	t.Helper()
	answer := map[bool]string{true: "yes", false: "no"}[want]
	var last string
	eventually(t, fmt.Sprintf("whether %s may %s %s in %s: %s", e.username, verb, resource, namespace, answer), func(ctx context.Context) (bool, error) {
		out, err := e.cp.Kubectl(ctx, e.kubeconfig, "-n", namespace, "auth", "can-i", verb, resource)
		if last = strings.TrimSpace(out); last == "" {
			return false, err
		}
		return last == answer, nil
	})
}

// binding is the ClusterRoleBinding that the page makes; nil if there is none.
func (e *emergency) binding(t *testing.T) *rbacv1.ClusterRoleBinding {
	t.Helper()
	var b rbacv1.ClusterRoleBinding
	err := e.admin.Get(t.Context(), client.ObjectKey{Name: e.byHand()}, &b)
	if client.IgnoreNotFound(err) != nil {
		t.Fatal(err)
	}
	if err != nil {
		return nil
	}
	return &b
}

// untouched fails the test unless a binding is as it was.
func (e *emergency) untouched(t *testing.T, was *rbacv1.ClusterRoleBinding) {
	t.Helper()
	now := e.binding(t)
	switch {
	case now == nil || now.UID != was.UID:
		t.Errorf("somebody removed the binding %s", was.Name)
	case now.ResourceVersion != was.ResourceVersion:
		t.Errorf("somebody changed the binding %s: %v", was.Name, now.ManagedFields)
	}
}

// member fails the test unless the person is in the group of the role, or is not.
func (e *emergency) member(t *testing.T, want bool) {
	t.Helper()
	if got := e.iam.IsMember("hera-prod-"+e.values["role"], e.person); got != want {
		t.Errorf("%s in the IAM group of %s: %v, want %v", e.person, e.values["role"], got, want)
	}
}

// stranger waits until the operator tells of the person as a stranger, or does not.
func (e *emergency) stranger(t *testing.T, want bool) {
	t.Helper()
	eventually(t, fmt.Sprintf("%s a stranger of %s: %v", e.person, e.values["role"], want), func(ctx context.Context) (bool, error) {
		var role v1alpha1.AccessRole
		if err := e.admin.Get(ctx, client.ObjectKey{Name: e.values["role"]}, &role); err != nil {
			return false, err
		}
		told := false
		for _, g := range role.Status.AWS.Groups {
			for _, s := range g.Strangers {
				told = told || s.IAMUser == e.person
			}
		}
		return told == want, nil
	})
}

// exitCode is that of a block; -1 if it did not come to one.
func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return -1
}
