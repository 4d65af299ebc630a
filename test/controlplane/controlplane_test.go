// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
)

func TestControlPlane(t *testing.T) {
	ctx := t.Context()
	cp, err := Start(ctx, Options{Log: t.Output()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		pids := recordedPids(t, cp)
		if err := cp.Stop(); err != nil {
			t.Error(err)
		}
		assertGone(t, cp.Dir, pids)
	})
	client, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}

	t.Run("kubectl reaches the server", func(t *testing.T) {
		out, err := cp.Kubectl(ctx, "", "version")
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(out, "Server Version: v") {
			t.Errorf("kubectl version printed %q", out)
		}
		if _, err := cp.Kubectl(ctx, "", "get", "nonsense"); err == nil || !strings.Contains(err.Error(), "nonsense") {
			t.Errorf("a failed kubectl returned %v, want its standard error", err)
		}
	})

	t.Run("the dependant of a deleted owner is collected", func(t *testing.T) {
		configMaps := client.CoreV1().ConfigMaps("default")
		owner := create(t, configMaps.Create, &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Name: "owner"}})
		ownedConfigMap(t, client, "dependant", metav1.OwnerReference{
			APIVersion: "v1", Kind: "ConfigMap", Name: owner.Name, UID: owner.UID,
		})
		if err := configMaps.Delete(ctx, "owner", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, isGone(client, "dependant"))
	})

	t.Run("an aggregated ClusterRole is filled", func(t *testing.T) {
		rule := rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}, Verbs: []string{"get"}}
		labels := map[string]string{"test.example/aggregate": "true"}
		roles := client.RbacV1().ClusterRoles()
		create(t, roles.Create, &rbacv1.ClusterRole{
			ObjectMeta:      metav1.ObjectMeta{Name: "sum"},
			AggregationRule: &rbacv1.AggregationRule{ClusterRoleSelectors: []metav1.LabelSelector{{MatchLabels: labels}}},
		})
		create(t, roles.Create, &rbacv1.ClusterRole{
			ObjectMeta: metav1.ObjectMeta{Name: "part", Labels: labels},
			Rules:      []rbacv1.PolicyRule{rule},
		})
		eventually(t, func(ctx context.Context) bool {
			sum, err := roles.Get(ctx, "sum", metav1.GetOptions{})
			return err == nil && equality.Semantic.DeepEqual(sum.Rules, []rbacv1.PolicyRule{rule})
		})
	})

	t.Run("a deleted namespace goes away", func(t *testing.T) {
		namespaces := client.CoreV1().Namespaces()
		create(t, namespaces.Create, &corev1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: "passing"}})
		if err := namespaces.Delete(ctx, "passing", metav1.DeleteOptions{}); err != nil {
			t.Fatal(err)
		}
		eventually(t, func(ctx context.Context) bool {
			_, err := namespaces.Get(ctx, "passing", metav1.GetOptions{})
			return apierrors.IsNotFound(err)
		})
	})

	t.Run("people and service accounts are who they say and no more", func(t *testing.T) {
		alice, err := cp.KubeconfigFor("alice", "sre", "oncall")
		if err != nil {
			t.Fatal(err)
		}
		create(t, client.CoreV1().ServiceAccounts("default").Create,
			&corev1.ServiceAccount{ObjectMeta: metav1.ObjectMeta{Name: "robot"}})
		robot, err := cp.ServiceAccountKubeconfig(ctx, "default", "robot")
		if err != nil {
			t.Fatal(err)
		}
		for name, c := range map[string]struct {
			kubeconfig []byte
			want       string
		}{
			"alice": {alice, "alice oncall,sre,system:authenticated"},
			"robot": {robot, "system:serviceaccount:default:robot " +
				"system:authenticated,system:serviceaccounts,system:serviceaccounts:default"},
		} {
			path := filepath.Join(t.TempDir(), name)
			if err := os.WriteFile(path, c.kubeconfig, 0o600); err != nil {
				t.Fatal(err)
			}
			out, err := cp.Kubectl(ctx, path, "auth", "whoami", "-o",
				`jsonpath={.status.userInfo.username} {.status.userInfo.groups}`)
			if err != nil {
				t.Fatal(err)
			}
			user, groups, _ := strings.Cut(out, " ")
			if got := user + " " + sortedList(groups); got != c.want {
				t.Errorf("%s is %q, want %q", name, got, c.want)
			}
			if _, err := cp.Kubectl(ctx, path, "get", "secrets", "-A"); err == nil || !strings.Contains(err.Error(), "Forbidden") {
				t.Errorf("%s listing secrets: %v, want Forbidden", name, err)
			}
		}
		if _, err := cp.ServiceAccountKubeconfig(ctx, "default", "nobody"); !apierrors.IsNotFound(err) {
			t.Errorf("token of a missing service account: %v, want NotFound", err)
		}
	})

	t.Run("one folder holds a kind and an object of it", func(t *testing.T) {
		for range 2 { // the second finds everything there
			if err := cp.Apply(ctx, filepath.Join("testdata", "widgets")); err != nil {
				t.Fatal(err)
			}
		}
		// The garbage collector knows the new kind at once, not only after its half-minute.
		uid, err := cp.Kubectl(ctx, "", "get", "widgets", "one", "-o", "jsonpath={.metadata.uid}")
		if err != nil {
			t.Fatal(err)
		}
		ownedConfigMap(t, client, "of-widget", metav1.OwnerReference{
			APIVersion: "test.example/v1", Kind: "Widget", Name: "one", UID: types.UID(uid),
		})
		if _, err := cp.Kubectl(ctx, "", "delete", "widget", "one"); err != nil {
			t.Fatal(err)
		}
		eventually(t, isGone(client, "of-widget"))
	})

	t.Run("a paused server answers nobody until it is resumed", func(t *testing.T) {
		if err := cp.Pause(); err != nil {
			t.Fatal(err)
		}
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := client.CoreV1().Namespaces().Get(short, "default", metav1.GetOptions{}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("a paused server answered: %v", err)
		}
		if err := cp.Resume(); err != nil {
			t.Fatal(err)
		}
		if _, err := client.CoreV1().Namespaces().Get(ctx, "default", metav1.GetOptions{}); err != nil {
			t.Error(err)
		}
	})
}

func TestOptionsAndStopOfAPausedServer(t *testing.T) {
	cp, err := Start(t.Context(), Options{
		CRDDirectories: []string{filepath.Join("testdata", "widgets", "crd.yaml")},
		APIServerArgs:  map[string]string{"runtime-config": "autoscaling/v2=false"},
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := cp.Kubectl(t.Context(), "", "get", "widgets"); err != nil {
		t.Error(err)
	}
	if out, err := cp.Kubectl(t.Context(), "", "api-versions"); err != nil || strings.Contains(out, "autoscaling/v2") {
		t.Errorf("the flag had no effect: %v\n%s", err, out)
	}
	pids := recordedPids(t, cp)
	if err := cp.Pause(); err != nil {
		t.Error(err)
	}
	if err := cp.Stop(); err != nil {
		t.Error(err)
	}
	if err := cp.Stop(); err != nil {
		t.Errorf("the second Stop: %v", err)
	}
	assertGone(t, cp.Dir, pids)
}

func TestFailedStartLeavesNothingAndSaysWhy(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	_, err := Start(t.Context(), Options{APIServerArgs: map[string]string{"no-such-flag": "1"}})
	if err == nil || !strings.Contains(err.Error(), "unknown flag: --no-such-flag") {
		t.Errorf("got %v, want the server's own complaint", err)
	}
	left, err := os.ReadDir(tmp)
	if err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// TestReaper starts a control plane in a process of its own, which is then killed.
func TestReaper(t *testing.T) {
	const reportTo = "CONTROLPLANE_TEST_REPORT"
	if path := os.Getenv(reportTo); path != "" {
		cp, err := Start(t.Context(), Options{})
		if err != nil {
			t.Fatal(err)
		}
		report, err := json.Marshal(started{cp.Dir, recordedPids(t, cp)})
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, report, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := syscall.Kill(os.Getpid(), syscall.SIGKILL); err != nil {
			t.Fatal(err)
		}
	}

	path, tmp := filepath.Join(t.TempDir(), "report"), t.TempDir()
	cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestReaper$")
	cmd.Env = append(os.Environ(), reportTo+"="+path, "TMPDIR="+tmp)
	if out, err := cmd.CombinedOutput(); err == nil {
		t.Fatalf("the helper was not killed:\n%s", out)
	}
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	var left started
	if err := json.Unmarshal(content, &left); err != nil {
		t.Fatal(err)
	}
	eventually(t, func(context.Context) bool {
		files, err := os.ReadDir(tmp)
		return err == nil && len(files) == 0
	})
	assertGone(t, left.Dir, left.Pids)
}

type started struct {
	Dir  string
	Pids []int
}

func create[T any](t *testing.T, create func(context.Context, *T, metav1.CreateOptions) (*T, error), object *T) *T {
	t.Helper()
	created, err := create(t.Context(), object, metav1.CreateOptions{})
	if err != nil {
		t.Fatal(err)
	}
	return created
}

func ownedConfigMap(t *testing.T, client kubernetes.Interface, name string, owner metav1.OwnerReference) {
	t.Helper()
	create(t, client.CoreV1().ConfigMaps("default").Create, &corev1.ConfigMap{
		ObjectMeta: metav1.ObjectMeta{Name: name, OwnerReferences: []metav1.OwnerReference{owner}},
	})
}

func isGone(client kubernetes.Interface, configMap string) func(context.Context) bool {
	return func(ctx context.Context) bool {
		_, err := client.CoreV1().ConfigMaps("default").Get(ctx, configMap, metav1.GetOptions{})
		return apierrors.IsNotFound(err)
	}
}

func eventually(t *testing.T, condition func(context.Context) bool) {
	t.Helper()
	err := wait.PollUntilContextTimeout(t.Context(), 50*time.Millisecond, 20*time.Second, true,
		func(ctx context.Context) (bool, error) { return condition(ctx), nil })
	if err != nil {
		t.Fatal(err)
	}
}

func recordedPids(t *testing.T, cp *ControlPlane) []int {
	t.Helper()
	var pids []int
	for _, name := range []string{"etcd", "kube-apiserver", "kube-controller-manager"} {
		pid, err := cp.processes.pid(name)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	return append(pids, cp.processes.reaper.Process.Pid)
}

func assertGone(t *testing.T, dir string, pids []int) {
	t.Helper()
	if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("%s is still there: %v", dir, err)
	}
	eventually(t, func(context.Context) bool {
		return !slices.ContainsFunc(pids, func(pid int) bool { return syscall.Kill(pid, 0) == nil })
	})
}

func sortedList(jsonArray string) string {
	var items []string
	_ = json.Unmarshal([]byte(jsonArray), &items)
	slices.Sort(items)
	return strings.Join(items, ",")
}
