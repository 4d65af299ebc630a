// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	config = "config"
	binary = "bin/manager"
	// cluster is the name of the cluster in fences.
	cluster = "demo"
	// startTimeout bounds each part of the start, on a machine that is busy compiling.
	startTimeout = 2 * time.Minute
)

// people are those who have a name in the story, with their Kubernetes groups, to which people.yaml gives rights.
var people = []struct {
	name, does string
	groups     []string
}{
	{"dana", "asks for access (after config/samples)", []string{"engineers"}},
	{"bob", "approves (after $DEMO/alice-chg-1042-bob.yaml)", []string{"platform-leads"}},
	{"carol", "approves, and is on call: opens roles in emergencies (after config/samples/breakglass.yaml)", []string{"platform-leads", "on-call"}},
	{"frank", "is security: revokes and lifts (after config/samples)", []string{"security"}},
	{"alice", "works on infrastructure, and is on call (after config/samples/breakglass-temporary-user.yaml)", []string{"on-call"}},
	{"grace", "works on infrastructure", nil},
	{"ivan", "works on infrastructure", nil},
	{"heidi", "audits", nil},
	{"eve", "is a developer", nil},
}

func username(name string) string { return name + "@hera.example" }

// stage is everything that runs, and a folder with what people need to take part.
type stage struct {
	out      *terminal
	dir, log string
	cp       *controlplane.ControlPlane
	kube     client.Client
	account  *fake.IAM
	server   *httptest.Server
	iam      *iam.Client
	operator *operator.Process
	// killed says that the operator is down because the story wants it to be.
	killed bool
}

func (s *stage) path(name string) string { return filepath.Join(s.dir, name) }

// open starts everything. Whatever becomes of it, close must be called.
func (s *stage) open(ctx context.Context) error {
	if _, err := os.Stat(binary); err != nil {
		return fmt.Errorf("%w: run `make demo` in the root of the repository", err)
	}
	for _, part := range []struct {
		what string
		do   func(context.Context) error
	}{
		{"etcd, kube-apiserver and kube-controller-manager run", s.startControlPlane},
		{"the manifests of config/crd, rbac, roles and admission are applied, and refuse what is forged", func(ctx context.Context) error { return operator.Install(ctx, s.cp, config) }},
		{"a fake IAM serves users with MFA devices, and the groups of the roles", s.startIAM},
		{"the groups have the policies that `manager aws render` prints, the users its permissions boundary; temporary users will have one as well", s.administer},
		{"people have certificates, and the right to ask, to approve, to open in an emergency or to revoke", s.equip},
		{"the operator is ready, with a token of its own service account", s.startOperator},
		{"the operator has seen for itself that admission refuses what is forged", s.waitForGuard},
	} {
		begin := time.Now()
		s.out.progress(part.what)
		ctx, cancel := context.WithTimeout(ctx, startTimeout)
		err := part.do(ctx)
		cancel()
		s.out.progress("")
		if err != nil {
			s.out.failed(part.what)
			return err
		}
		s.out.passed(part.what, brief(time.Since(begin)))
	}
	return nil
}

func (s *stage) startControlPlane(ctx context.Context) (err error) {
	if s.cp, err = controlplane.Start(ctx, controlplane.Options{}); err != nil {
		return err
	}
	s.dir = filepath.Join(s.cp.Dir, "demo") // goes with it
	if err := os.Mkdir(s.dir, 0o700); err != nil {
		return err
	}
	s.kube, err = client.New(s.cp.Config, client.Options{})
	return err
}

// equip gives people rights and a kubeconfig each, and writes down how to reach the stage from another terminal.
func (s *stage) equip(ctx context.Context) error {
	if _, err := s.cp.Kubectl(ctx, "", "apply", "-f", "hack/demo/people.yaml"); err != nil {
		return err
	}
	for _, p := range people {
		kubeconfig, err := s.cp.KubeconfigFor(username(p.name), p.groups...)
		if err != nil {
			return err
		}
		if err := os.WriteFile(s.path(p.name), kubeconfig, 0o600); err != nil {
			return err
		}
	}
	return os.WriteFile(s.path("env"), []byte("unset AWS_PROFILE AWS_SESSION_TOKEN\nexport "+strings.Join(s.env(), "\nexport ")+"\n"), 0o600)
}

// env is the environment in which the commands of the story work.
func (s *stage) env() []string {
	return append(operator.AWSEnv(s.server.URL), "AWS_ENDPOINT_URL_STS="+s.server.URL, "AWS_DEFAULT_REGION=us-east-1", "DEMO="+s.dir, "KUBECONFIG="+s.cp.Kubeconfig,
		`PATH="$PATH:`+filepath.Dir(s.cp.KubectlPath)+`"`)
}

func (s *stage) startOperator(ctx context.Context) error {
	if s.log == "" {
		log, err := os.CreateTemp("", "prod-access-demo-*.log")
		if err != nil {
			return err
		}
		s.log = log.Name()
		_ = log.Close()
	}
	process, err := operator.Start(ctx, s.cp, operator.Options{Binary: binary, Config: config, Env: operator.AWSEnv(s.server.URL), Log: s.log, Args: []string{
		"--audit-file=" + s.path(trail), "--cluster-name=" + cluster, "--aws-sweep-every=1s", "--credential-report-every=1s",
		"--break-glass-boundary-arn=" + temporaryBoundary,
	}})
	if err != nil {
		return err
	}
	s.operator, s.killed = process, false
	return s.operator.WaitReady(ctx)
}

// kill ends the operator as a failing node does.
func (s *stage) kill() {
	s.killed = true
	s.operator.Kill()
}

// crashed says that the operator has ended, and nobody wanted it to.
func (s *stage) crashed() bool {
	select {
	case <-s.operator.Done():
		return !s.killed
	default:
		return false
	}
}

// waitForGuard waits until what people create counts.
func (s *stage) waitForGuard(ctx context.Context) error {
	if err := operator.WaitGuarded(ctx, s.cp); err != nil {
		return fmt.Errorf("%w. %s", err, s.logTail())
	}
	return nil
}

func (s *stage) logTail() string {
	return fmt.Sprintf("The operator's log, %s, ends with:\n%s", s.log, s.operator.LogTail(15))
}

// close ends everything. The operator's log stays if it is needed.
func (s *stage) close(keepLog bool) error {
	var errs []error
	if s.operator != nil {
		errs = append(errs, s.operator.Stop())
	}
	if s.server != nil {
		s.server.Close()
	}
	if s.cp != nil {
		errs = append(errs, s.cp.Stop())
	}
	if s.log != "" {
		_ = os.Remove(s.log + ".trail") // empty: the audit trail has a file of its own
	}
	if s.log != "" && !keepLog {
		errs = append(errs, os.Remove(s.log))
	}
	return errors.Join(errs...)
}

// invite tells how to go on alone.
func (s *stage) invite() {
	s.out.title("All of it stays up until Ctrl-C")
	s.out.printf("   In another terminal, first:  %s   which does:\n     export %s\n", s.out.strong(". "+s.path("env")), strings.Join(s.env(), "\n     export "))
	s.out.printf("   Then, for example:\n")
	for _, c := range []string{
		"kubectl get access", "kubectl describe pag " + planned, "aws iam get-group --group-name " + memberGroup,
		"kubectl --kubeconfig $DEMO/eve auth can-i --list -n payments", binary + " audit verify $DEMO/" + trail,
	} {
		s.out.printf("     $ %s\n", c)
	}
	s.out.printf("   People, by kubeconfig (without one you are the administrator):\n")
	for _, p := range people {
		s.out.printf("     $DEMO/%-6s %s\n", p.name, p.does)
	}
	s.out.printf("   The operator's log: %s\n", s.log)
}
