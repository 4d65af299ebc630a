// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package operator runs the built operator as a process beside a local control plane, as its Deployment would in a
// pod: with the Deployment's arguments and environment, a token of its own service account, and nothing else.
package operator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

// serial tells the processes beside one control plane apart.
var serial atomic.Int64

// Install applies what the operator needs in the cluster, without its Deployment: there are no nodes to run it. It
// returns when the admission policies act.
func Install(ctx context.Context, cp *controlplane.ControlPlane, config string) error {
	if err := cp.Apply(ctx, filepath.Join(config, "crd")); err != nil {
		return err
	}
	if _, err := cp.Kubectl(ctx, "", "apply", "--server-side", "-f", filepath.Join(config, "manager", "namespace.yaml")); err != nil {
		return err
	}
	for _, dir := range []string{"rbac", "roles", "admission"} {
		if err := cp.Apply(ctx, filepath.Join(config, dir)); err != nil {
			return err
		}
	}
	return WaitForAdmission(ctx, cp)
}

// WaitForAdmission waits until the API server has taken up the policies of config/admission; the AccessRole infra-member
// must be there. It does so in the order in which they were
// created, so the one on status, the last by name, stands for all; the one on grants takes a watch of its params besides.
func WaitForAdmission(ctx context.Context, cp *controlplane.ControlPlane) error {
	kube, err := client.New(cp.Config, client.Options{})
	if err != nil {
		return err
	}
	forged := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "access.hera.dev/v1alpha1", "kind": "ProdAccessGrant", "metadata": map[string]any{"name": "forged"},
		"spec": map[string]any{
			"subject": map[string]any{"iamUser": "alice"}, "role": "infra-member", "reason": "see whether admission acts",
			"requestedBy": "somebody-else", "expiresAt": "2026-01-01T00:00:00Z",
		},
	}}
	role := &unstructured.Unstructured{Object: map[string]any{
		"apiVersion": "access.hera.dev/v1alpha1", "kind": "AccessRole", "metadata": map[string]any{"name": "infra-member"},
	}}
	probes := map[string]func(context.Context) error{
		"requestedBy is somebody-else": func(ctx context.Context) error {
			return kube.Create(ctx, forged.DeepCopy(), client.DryRunAll)
		},
		"status is written by the operator alone": func(ctx context.Context) error {
			return kube.Status().Patch(ctx, role.DeepCopy(), client.RawPatch(types.MergePatchType, []byte(`{"status":{"meaningDigest":"forged"}}`)), client.DryRunAll)
		},
	}
	for refusal, probe := range probes {
		var answer error
		err := wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, time.Minute, true, func(ctx context.Context) (bool, error) {
			if err := probe(ctx); ctx.Err() == nil {
				answer = err
			}
			return answer != nil && strings.Contains(answer.Error(), refusal), nil
		})
		if err != nil {
			return fmt.Errorf("waiting for the admission policies to refuse what they must (%q): %w; the last answer was: %w", refusal, err, answer)
		}
	}
	return nil
}

// Build builds the manager of this module into a file, with more flags of go build.
func Build(ctx context.Context, binary string, flags ...string) error {
	args := append(append([]string{"build"}, flags...), "-o", binary, "github.com/hera-platform/prod-access-operator/cmd/manager")
	if out, err := exec.CommandContext(ctx, "go", args...).CombinedOutput(); err != nil {
		return fmt.Errorf("building the operator: %w\n%s", err, out)
	}
	return nil
}

// Options says what to run.
type Options struct {
	// Binary is the built manager.
	Binary string
	// Config is the folder with the manifests, of which Install and Start make use.
	Config string
	// Args are added to those of the Deployment.
	Args []string
	// Env is added to that of the Deployment. Nothing is inherited, so that no credentials of a real account are.
	Env []string
	// Log is the file to which what it says is appended; what it prints goes to Log.trail.
	Log string
}

// Process is a running operator, or one that has ended.
type Process struct {
	// Log is the file with its output.
	Log string
	// ProbeURL and MetricsURL are where it serves /healthz and /readyz, and /metrics.
	ProbeURL, MetricsURL string

	cmd    *exec.Cmd
	grace  time.Duration
	killed atomic.Bool
	done   chan struct{}
	err    error // set before done is closed
}

// Start runs the operator until Stop or Kill.
func Start(ctx context.Context, cp *controlplane.ControlPlane, o Options) (*Process, error) {
	deployment, err := readDeployment(filepath.Join(o.Config, "manager", "deployment.yaml"))
	if err != nil {
		return nil, err
	}
	pod := deployment.Spec.Template.Spec
	name := fmt.Sprintf("manager-%d", serial.Add(1))
	token, err := cp.ServiceAccountKubeconfig(ctx, deployment.Namespace, pod.ServiceAccountName)
	if err != nil {
		return nil, err
	}
	kubeconfig := filepath.Join(cp.Dir, name+".kubeconfig")
	if err := os.WriteFile(kubeconfig, token, 0o600); err != nil {
		return nil, err
	}

	p := &Process{Log: o.Log, grace: time.Duration(*pod.TerminationGracePeriodSeconds) * time.Second, done: make(chan struct{})}
	container := pod.Containers[0]
	args, err := p.onLoopback(container.Args)
	if err != nil {
		return nil, err
	}
	// What a pod gets from the kubelet.
	args = append(args, "--kubeconfig="+kubeconfig, "--leader-election-namespace="+deployment.Namespace)
	// Not bound to ctx: it ends by Stop, as a pod does.
	p.cmd = exec.Command(o.Binary, append(args, o.Args...)...)
	for _, e := range container.Env {
		p.cmd.Env = append(p.cmd.Env, e.Name+"="+e.Value)
	}
	p.cmd.Env = append(p.cmd.Env, o.Env...)
	// A group of its own: Ctrl-C in a terminal must reach whoever started it first.
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	log, err := os.OpenFile(o.Log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = log.Close() }()
	// The audit trail goes to standard output, unless an argument names a file for it.
	trail, err := os.OpenFile(o.Log+".trail", os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, err
	}
	defer func() { _ = trail.Close() }()
	p.cmd.Stdout, p.cmd.Stderr = trail, log
	if err := p.cmd.Start(); err != nil {
		return nil, err
	}
	// Recorded here, it ends with the control plane if the process that started both is killed.
	record := filepath.Join(cp.Dir, "pids", name)
	recordErr := os.WriteFile(record, []byte(strconv.Itoa(p.cmd.Process.Pid)), 0o600)
	go func() {
		p.err = p.cmd.Wait()
		_ = os.Remove(record)
		close(p.done)
	}()
	if recordErr != nil {
		p.Kill()
		return nil, recordErr
	}
	return p, nil
}

func readDeployment(path string) (*appsv1.Deployment, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var d appsv1.Deployment
	if err := yaml.UnmarshalStrict(content, &d); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if pod := d.Spec.Template.Spec; len(pod.Containers) != 1 || pod.TerminationGracePeriodSeconds == nil {
		return nil, fmt.Errorf("%s: want one container, and a grace period", path)
	}
	return &d, nil
}

// onLoopback gives the addresses among the arguments free ports of the loopback interface.
func (p *Process) onLoopback(args []string) ([]string, error) {
	own := make([]string, 0, len(args))
	for _, arg := range args {
		flag, _, _ := strings.Cut(arg, "=")
		if !strings.HasSuffix(flag, "-bind-address") {
			own = append(own, arg)
			continue
		}
		address, err := freeAddress()
		if err != nil {
			return nil, err
		}
		switch flag {
		case "--health-probe-bind-address":
			p.ProbeURL = "http://" + address
		case "--metrics-bind-address":
			p.MetricsURL = "https://" + address + "/metrics"
		}
		own = append(own, flag+"="+address)
	}
	return own, nil
}

func freeAddress() (string, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return listener.Addr().String(), listener.Close()
}

// AWSEnv is the environment in which the AWS SDK and CLI find an IAM at url and no other.
func AWSEnv(url string) []string {
	return []string{
		"AWS_ENDPOINT_URL_IAM=" + url,
		"AWS_ACCESS_KEY_ID=AKIAFAKEOPERATORROLE",
		"AWS_SECRET_ACCESS_KEY=not-checked",
		"AWS_CONFIG_FILE=/dev/null",
		"AWS_SHARED_CREDENTIALS_FILE=/dev/null",
	}
}

// WaitReady waits until the readiness probe passes.
func (p *Process) WaitReady(ctx context.Context) error {
	err := wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		select {
		case <-p.done:
			return false, fmt.Errorf("the operator ended: %w", errors.Join(p.err, errors.New(p.LogTail(15))))
		default:
		}
		status, _, err := Get(ctx, p.ProbeURL+"/readyz", "")
		return err == nil && status == http.StatusOK, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the operator to be ready: %w", err)
	}
	return nil
}

// WaitGuarded waits until an operator has found the admission guard whole, so that what is created from then on counts.
// Roles tell of it; there must be one.
func WaitGuarded(ctx context.Context, cp *controlplane.ControlPlane) error {
	kube, err := client.New(cp.Config, client.Options{})
	if err != nil {
		return err
	}
	err = wait.PollUntilContextCancel(ctx, 50*time.Millisecond, true, func(ctx context.Context) (bool, error) {
		roles := &unstructured.UnstructuredList{Object: map[string]any{"apiVersion": "access.hera.dev/v1alpha1", "kind": "AccessRoleList"}}
		if err := kube.List(ctx, roles); err != nil || len(roles.Items) == 0 {
			return false, nil //nolint:nilerr // asked again
		}
		for _, role := range roles.Items {
			since, ok := intactSince(&role)
			// A creation time is in whole seconds, rounded down.
			if !ok || !time.Now().After(since.Add(2*time.Second)) {
				return false, nil
			}
		}
		return true, nil
	})
	if err != nil {
		return fmt.Errorf("waiting until the admission guard is found whole: %w", err)
	}
	return nil
}

// intactSince is when a role was first told that the guard is whole.
func intactSince(role *unstructured.Unstructured) (since time.Time, ok bool) {
	conditions, _, _ := unstructured.NestedSlice(role.Object, "status", "conditions")
	for _, c := range conditions {
		if c, isMap := c.(map[string]any); isMap && c["type"] == "GuardIntact" && c["status"] == "True" {
			at, _ := c["lastTransitionTime"].(string)
			since, err := time.Parse(time.RFC3339, at)
			return since, err == nil
		}
	}
	return time.Time{}, false
}

// Get asks one of the operator's servers, which sign their certificate themselves, with a bearer token if not empty.
func Get(ctx context.Context, url, token string) (status int, body string, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, "", err
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true}
	resp, err := (&http.Client{Transport: transport, Timeout: 10 * time.Second}).Do(req)
	if err != nil {
		return 0, "", err
	}
	defer func() { _ = resp.Body.Close() }()
	content, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(content), err
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// PID is the process's id, also when it has ended.
func (p *Process) PID() int { return p.cmd.Process.Pid }

// Stop asks the process to end, as a kubelet does, and kills it after the grace period. It returns an error unless
// the process ended by itself, in time and with exit code 0, or had been killed before.
func (p *Process) Stop() error {
	_ = p.cmd.Process.Signal(syscall.SIGTERM) // fails when it has ended
	grace := time.NewTimer(p.grace)
	defer grace.Stop()
	select {
	case <-p.done:
	case <-grace.C:
		p.Kill()
		return fmt.Errorf("the operator did not end within its grace period of %s", p.grace)
	}
	if p.err != nil && !p.killed.Load() {
		return fmt.Errorf("the operator ended with: %w", p.err)
	}
	return nil
}

// Kill ends the process as a failing node would.
func (p *Process) Kill() {
	p.killed.Store(true)
	_ = p.cmd.Process.Kill() // fails when it has ended
	<-p.done
}

// LogTail returns the last lines of the log.
func (p *Process) LogTail(lines int) string {
	content, err := os.ReadFile(p.Log)
	if err != nil {
		return err.Error()
	}
	all := bytes.Split(bytes.TrimSpace(content), []byte("\n"))
	return string(bytes.Join(all[max(0, len(all)-lines):], []byte("\n")))
}
