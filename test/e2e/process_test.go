// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"errors"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/tools/clientcmd"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

// leaseDuration is how long a dead leader is waited for: the 15 s of its lease, and two waits between looks at it.
const leaseDuration = 25 * time.Second

func TestLeaderIsKilled(t *testing.T) {
	first := start(t)
	leader := leads(t, soon)
	start(t)
	var stay []*v1alpha1.ProdAccessGrant
	for range 3 {
		stay = append(stay, granted(t, person("alice"), "infra-member", nil))
	}
	due := granted(t, person("alice"), "infra-member", ending(15*time.Second))
	has(t, due, true)
	if now := holder(t); now != leader {
		t.Fatalf("%s leads instead of %s, which nobody killed", now, leader)
	}
	first.Kill()
	at := time.Now()
	past(t, due.Spec.ExpiresAt.Time)
	leads(t, leaseDuration+soon, leader)
	t.Logf("another leads %s after the kill", time.Since(at).Round(time.Millisecond))
	reaches(t, due, v1alpha1.StateExpired)
	if took := time.Since(at); took > leaseDuration+punctual {
		t.Errorf("the survivor took %s", took)
	}
	has(t, due, false)
	for _, g := range stay {
		reaches(t, g, v1alpha1.StateGranted)
		has(t, g, true)
	}
}

func TestShutdownWithARemovalInFlight(t *testing.T) {
	p := start(t)
	g := granted(t, person("alice"), "infra-member", nil)
	leads(t, soon)

	begun, stopped := make(chan struct{}, 100), make(chan struct{}) // it may be tried more than once
	iam.OnWrite(func(c fake.Call) error {
		if c.Op == "RemoveUserFromGroup" && c.Params.Get("UserName") == g.Spec.Subject.IAMUser {
			begun <- struct{}{}
			<-stopped
			return errors.New("the network fails")
		}
		return nil
	}, nil)
	t.Cleanup(func() { iam.OnWrite(nil, nil) })
	if err := dana.Delete(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	select {
	case <-begun:
	case <-t.Context().Done():
		t.Fatal("the removal never began")
	}
	asked := time.Now()
	err := p.Stop()
	close(stopped)
	if err != nil { // an exit code other than 0, or killed after the grace period
		t.Fatalf("%v\n%s", err, p.LogTail(30))
	}
	t.Logf("ended %s after SIGTERM", time.Since(asked).Round(time.Millisecond))
	if h := holder(t); h != "" {
		t.Errorf("the lease is still held by %s", h)
	}
	iam.OnWrite(nil, nil)

	// The next one does not wait for the lease, and finishes what was begun.
	asked = time.Now()
	start(t)
	leads(t, soon)
	eventually(t, soon, "the membership is gone", func(context.Context) (bool, error) {
		return !iam.IsMember("hera-prod-infra-member", g.Spec.Subject.IAMUser), nil
	})
	if took := time.Since(asked); took > 10*time.Second {
		t.Errorf("the next operator took %s", took)
	}
	has(t, g, false)
}

func TestProbesAndMetrics(t *testing.T) {
	p := start(t)
	granted(t, person("alice"), "infra-member", nil)
	for _, path := range []string{"/healthz", "/readyz"} {
		if status, body, err := operator.Get(t.Context(), p.ProbeURL+path, ""); err != nil || status != http.StatusOK {
			t.Errorf("%s: %d %q %v", path, status, body, err)
		}
	}

	scraper, passer := serviceAccount(t, "scraper"), serviceAccount(t, "passer")
	if err := admin.Create(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: "e2e-scraper"},
		RoleRef:  rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: "prod-access-metrics-reader"},
		Subjects: []rbacv1.Subject{{Kind: rbacv1.ServiceAccountKind, Namespace: "default", Name: "scraper"}},
	}); err != nil {
		t.Fatal(err)
	}
	if status, _, err := operator.Get(t.Context(), p.MetricsURL, ""); err != nil || status != http.StatusUnauthorized {
		t.Errorf("without a token: %d %v", status, err)
	}
	if status, _, err := operator.Get(t.Context(), p.MetricsURL, passer); err != nil || status != http.StatusForbidden {
		t.Errorf("with a token that may not: %d %v", status, err)
	}
	if status, _, err := operator.Get(t.Context(), strings.Replace(p.MetricsURL, "https:", "http:", 1), scraper); err == nil && status == http.StatusOK {
		t.Error("served without TLS")
	}
	var body string
	eventually(t, punctual, "metrics are served to those who may", func(ctx context.Context) (bool, error) {
		status, got, err := operator.Get(ctx, p.MetricsURL, scraper)
		body = got
		return status == http.StatusOK, err
	})
	for _, want := range []string{`prod_access_transitions_total{kind="ProdAccessGrant",state="Granted"} 1`, "controller_runtime_reconcile_total", "leader_election_master_status"} {
		if !strings.Contains(body, want) {
			t.Errorf("no %s in the metrics:\n%s", want, body)
		}
	}
}

// serviceAccount makes one in the namespace default, and returns a token of it.
func serviceAccount(t *testing.T, name string) (token string) {
	t.Helper()
	if err := admin.Create(t.Context(), &corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: name}}); err != nil {
		t.Fatal(err)
	}
	kubeconfig, err := cp.ServiceAccountKubeconfig(t.Context(), "default", name)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := clientcmd.RESTConfigFromKubeConfig(kubeconfig)
	if err != nil {
		t.Fatal(err)
	}
	return cfg.BearerToken
}

func TestMistakesOfTheOneWhoStartsIt(t *testing.T) {
	broken := filepath.Join(t.TempDir(), "kubeconfig")
	if err := os.WriteFile(broken, []byte("apiVersion: v1\nkind: Config\ncurrent-context: prod\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		args []string
		want string
	}{
		"no such command":       {[]string{"walk"}, `unknown command "walk"`},
		"no such flag":          {[]string{"run", "--leader-elected"}, "unknown flag: --leader-elected"},
		"an argument":           {[]string{"run", "now"}, `unknown command "now"`},
		"a bad value":           {[]string{"run", "--aws=maybe"}, `--aws must be enabled or disabled, not "maybe"`},
		"not a boolean":         {[]string{"run", "--leader-elect=perhaps"}, "--leader-elect"},
		"a missing kubeconfig":  {[]string{"run", "--kubeconfig=/no/such/file"}, "/no/such/file: no such file"},
		"a broken kubeconfig":   {[]string{"run", "--kubeconfig=" + broken}, "context was not found for specified context: prod"},
		"no kubeconfig":         {[]string{"run"}, "--kubeconfig"},
		"no namespace of lease": {[]string{"run", "--kubeconfig=" + cp.Kubeconfig}, "leader election namespace"},
	} {
		t.Run(name, func(t *testing.T) {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "manager"), c.args...)
			cmd.Env = operator.AWSEnv(iamURL)
			out, err := cmd.CombinedOutput()
			if cmd.ProcessState.ExitCode() != 1 {
				t.Errorf("exit code %d (%v), want 1", cmd.ProcessState.ExitCode(), err)
			}
			lines := strings.Split(strings.TrimSpace(string(out)), "\n")
			if last := lines[len(lines)-1]; !strings.HasPrefix(last, "Error: ") || !strings.Contains(last, c.want) {
				t.Errorf("the last line is not an error about %q:\n%s", c.want, out)
			}
		})
	}
}
