// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package controlplane runs a real Kubernetes control plane on the loopback interface: etcd, kube-apiserver and
// the controllers of kube-controller-manager that the operator relies on. Test suites, the demo and the benchmark
// share it. There are no nodes: nothing schedules or runs pods.
package controlplane

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/wait"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// startTimeout is generous because suites share a machine with compilers; a start usually takes a few seconds.
const startTimeout = time.Minute

// tokenLifetime outlasts any test run, so that no suite has to renew a token.
const tokenLifetime = 24 * time.Hour

// Options says what a control plane holds when Start returns.
type Options struct {
	// CRDDirectories are files or directories of CustomResourceDefinitions.
	CRDDirectories []string
	// APIServerArgs sets flags of kube-apiserver, by name without dashes; they win over the defaults.
	APIServerArgs map[string]string
	// Log receives one line per step; nil discards them.
	Log io.Writer
}

// ControlPlane is a running control plane. Its methods may be called concurrently.
type ControlPlane struct {
	// Config is the administrator's (group system:masters), without a client-side rate limit. Copy before changing.
	Config *rest.Config
	// Kubeconfig is the path of a kubeconfig file with the same rights.
	Kubeconfig string
	// KubectlPath is the kubectl binary that matches the server.
	KubectlPath string
	// Dir holds everything on disk: certificates, data and, in logs, what each component wrote. Stop removes it.
	Dir string

	env       *envtest.Environment
	processes *processes
	log       io.Writer

	mu          sync.Mutex // guards controllers, and the certificate authority within env
	controllers *controllerManager
	stopOnce    sync.Once
	stopErr     error
}

// Start runs a control plane until Stop. It returns when the CRDs are served and the controllers are at work;
// when it fails, nothing is left running. Ending ctx aborts the start, not the control plane.
func Start(ctx context.Context, opts Options) (*ControlPlane, error) {
	assets, err := findAssets()
	if err != nil {
		return nil, err
	}
	cp := &ControlPlane{KubectlPath: filepath.Join(assets, "kubectl"), log: opts.Log}
	if cp.log == nil {
		cp.log = io.Discard
	}
	if cp.processes, err = newProcesses(); err != nil {
		return nil, err
	}
	cp.Dir = cp.processes.dir
	if err := cp.start(ctx, assets, opts); err != nil {
		err = fmt.Errorf("%w\n%s", err, cp.processes.logTails())
		return nil, errors.Join(err, cp.Stop())
	}
	return cp, nil
}

func (cp *ControlPlane) start(ctx context.Context, assets string, opts Options) error {
	if err := cp.startAPIServer(assets, opts); err != nil {
		return err
	}
	if err := context.Cause(ctx); err != nil {
		return err
	}
	cp.Kubeconfig = filepath.Join(cp.Dir, "admin.kubeconfig")
	if err := os.WriteFile(cp.Kubeconfig, cp.env.KubeConfig, 0o600); err != nil {
		return err
	}

	// Only now: the garbage collector looks for new kinds every 30 s, but starts with all that exist.
	cp.logf("starting kube-controller-manager")
	launcher, err := cp.processes.launcher(filepath.Join(assets, "kube-controller-manager"))
	if err != nil {
		return err
	}
	content, err := cp.KubeconfigFor("system:kube-controller-manager")
	if err != nil {
		return err
	}
	kubeconfig := filepath.Join(cp.Dir, "controller-manager.kubeconfig")
	if err := os.WriteFile(kubeconfig, content, 0o600); err != nil {
		return err
	}
	controllers, err := startControllerManager(ctx, launcher, kubeconfig)
	if err != nil {
		return err
	}
	cp.controllers = controllers
	if err := cp.waitForControllers(ctx); err != nil {
		return err
	}
	cp.logf("control plane is ready at %s", cp.Config.Host)
	return nil
}

func (cp *ControlPlane) startAPIServer(assets string, opts Options) error {
	cp.logf("starting etcd and kube-apiserver from %s", assets)
	etcd, server := &envtest.Etcd{}, &envtest.APIServer{}
	var err error
	if etcd.Path, err = cp.processes.launcher(filepath.Join(assets, "etcd")); err != nil {
		return err
	}
	if server.Path, err = cp.processes.launcher(filepath.Join(assets, "kube-apiserver")); err != nil {
		return err
	}
	// Folders of ours, so that whoever ends the processes removes their data as well.
	for dir, field := range map[string]*string{"etcd": &etcd.DataDir, "apiserver": &server.CertDir} {
		*field = filepath.Join(cp.Dir, dir)
		if err := os.Mkdir(*field, 0o700); err != nil {
			return err
		}
	}

	etcd.Configure().Set("unsafe-no-fsync", "true")
	// Without these the server looks for an address of the machine to advertise, which one without a network lacks.
	server.Configure().
		Set("advertise-address", "127.0.0.1").
		Set("endpoint-reconciler-type", "none")
	for flag, value := range opts.APIServerArgs {
		server.Configure().Set(flag, value)
	}

	cp.env = &envtest.Environment{
		ControlPlane:             envtest.ControlPlane{Etcd: etcd, APIServer: server, KubectlPath: cp.KubectlPath},
		CRDDirectoryPaths:        opts.CRDDirectories,
		ErrorIfCRDPathMissing:    true,
		UseExistingCluster:       new(false), // whatever the environment says: a suite must never touch a real cluster
		ControlPlaneStartTimeout: startTimeout,
	}
	config, err := cp.env.Start()
	if err != nil {
		return err
	}
	// Certificates for webhooks, which we have none of, in a folder that is not ours.
	if err := cp.env.WebhookInstallOptions.Cleanup(); err != nil {
		return err
	}
	cp.Config = rest.CopyConfig(config)
	cp.Config.QPS, cp.Config.Burst = -1, 0
	return nil
}

// waitForControllers waits until the view role has been aggregated, which takes an authorised, synced controller.
func (cp *ControlPlane) waitForControllers(ctx context.Context) error {
	client, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return err
	}
	err = wait.PollUntilContextTimeout(ctx, 50*time.Millisecond, startTimeout, true, func(ctx context.Context) (bool, error) {
		if err := cp.controllers.exited(); err != nil {
			return false, err
		}
		view, err := client.RbacV1().ClusterRoles().Get(ctx, "view", metav1.GetOptions{})
		return err == nil && len(view.Rules) > 0, nil
	})
	if err != nil {
		return fmt.Errorf("waiting for the controllers: %w", err)
	}
	return nil
}

// KubeconfigFor returns a kubeconfig that authenticates as user, member of groups, with a client certificate.
func (cp *ControlPlane) KubeconfigFor(user string, groups ...string) ([]byte, error) {
	cp.mu.Lock()
	defer cp.mu.Unlock()
	u, err := cp.env.AddUser(envtest.User{Name: user, Groups: groups}, nil)
	if err != nil {
		return nil, err
	}
	return u.KubeConfig()
}

// ConfigFor is the configuration of a client of a user in groups.
func (cp *ControlPlane) ConfigFor(user string, groups ...string) (*rest.Config, error) {
	kubeconfig, err := cp.KubeconfigFor(user, groups...)
	if err != nil {
		return nil, err
	}
	return clientcmd.RESTConfigFromKubeConfig(kubeconfig)
}

// ServiceAccountKubeconfig returns a kubeconfig with a fresh token of an existing service account.
func (cp *ControlPlane) ServiceAccountKubeconfig(ctx context.Context, namespace, name string) ([]byte, error) {
	client, err := kubernetes.NewForConfig(cp.Config)
	if err != nil {
		return nil, err
	}
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{
		ExpirationSeconds: new(int64(tokenLifetime / time.Second)),
	}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return nil, fmt.Errorf("requesting a token of service account %s/%s: %w", namespace, name, err)
	}
	const entry = "controlplane"
	return clientcmd.Write(clientcmdapi.Config{
		Clusters: map[string]*clientcmdapi.Cluster{
			entry: {Server: cp.Config.Host, CertificateAuthorityData: cp.Config.CAData},
		},
		AuthInfos:      map[string]*clientcmdapi.AuthInfo{entry: {Token: token.Status.Token}},
		Contexts:       map[string]*clientcmdapi.Context{entry: {Cluster: entry, AuthInfo: entry, Namespace: namespace}},
		CurrentContext: entry,
	})
}

// Pause freezes the API server: its connections stay open and answer nothing, as in an outage.
func (cp *ControlPlane) Pause() error {
	return cp.processes.signal("kube-apiserver", syscall.SIGSTOP)
}

// Resume ends a Pause.
func (cp *ControlPlane) Resume() error {
	return cp.processes.signal("kube-apiserver", syscall.SIGCONT)
}

// Stop ends every process and removes Dir. Calling it again returns what the first call did.
func (cp *ControlPlane) Stop() error {
	cp.stopOnce.Do(func() {
		cp.mu.Lock()
		defer cp.mu.Unlock()
		if cp.controllers != nil {
			cp.controllers.stop()
		}
		var err error
		if cp.env != nil {
			// A frozen server would not hear the request to end.
			_ = cp.Resume()
			err = cp.env.Stop()
		}
		cp.stopErr = errors.Join(err, cp.processes.close())
	})
	return cp.stopErr
}

func (cp *ControlPlane) logf(format string, args ...any) {
	_, _ = fmt.Fprintf(cp.log, "controlplane: "+format+"\n", args...)
}
