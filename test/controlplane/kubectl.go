// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	utilyaml "k8s.io/apimachinery/pkg/util/yaml"
	"sigs.k8s.io/yaml"
)

// Kubectl runs kubectl with a kubeconfig file (the administrator's when the path is empty) and returns what it
// wrote to standard output; an error carries what it wrote to standard error.
func (cp *ControlPlane) Kubectl(ctx context.Context, kubeconfigPath string, args ...string) (string, error) {
	return cp.kubectl(ctx, kubeconfigPath, nil, args...)
}

func (cp *ControlPlane) kubectl(ctx context.Context, kubeconfigPath string, stdin []byte, args ...string) (string, error) {
	if kubeconfigPath == "" {
		kubeconfigPath = cp.Kubeconfig
	}
	flags := []string{"--kubeconfig=" + kubeconfigPath, "--cache-dir=" + filepath.Join(cp.Dir, "kubectl-cache")}
	cmd := exec.CommandContext(ctx, cp.KubectlPath, append(flags, args...)...)
	var stdout, stderr bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = bytes.NewReader(stdin), &stdout, &stderr
	if err := cmd.Run(); err != nil {
		return stdout.String(), fmt.Errorf("kubectl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(stderr.String()))
	}
	return stdout.String(), nil
}

// Apply applies a kustomize folder, server-side, as the administrator. Namespaces and CRDs go first, so that one
// folder may hold kinds and objects of these kinds.
func (cp *ControlPlane) Apply(ctx context.Context, kustomizeDir string) error {
	rendered, err := cp.Kubectl(ctx, "", "kustomize", kustomizeDir)
	if err != nil {
		return err
	}
	first, rest, crds, err := split(rendered)
	if err != nil {
		return fmt.Errorf("%s: %w", kustomizeDir, err)
	}
	before, err := cp.Kubectl(ctx, "", "get", "customresourcedefinitions", "-o", "name")
	if err != nil {
		return err
	}
	if err := cp.apply(ctx, first); err != nil {
		return err
	}
	known := strings.Fields(before)
	if slices.ContainsFunc(crds, func(crd string) bool { return !slices.Contains(known, crd) }) {
		if err := cp.registerKinds(ctx, crds); err != nil {
			return err
		}
	}
	return cp.apply(ctx, rest)
}

func (cp *ControlPlane) apply(ctx context.Context, manifest []byte) error {
	if len(manifest) == 0 {
		return nil
	}
	_, err := cp.kubectl(ctx, "", manifest, "apply", "--server-side", "--force-conflicts", "-f", "-")
	return err
}

// registerKinds waits until new kinds are served and lets the garbage collector know of them at once.
func (cp *ControlPlane) registerKinds(ctx context.Context, crds []string) error {
	args := append([]string{"wait", "--for=condition=Established", "--timeout=60s"}, crds...)
	if _, err := cp.Kubectl(ctx, "", args...); err != nil {
		return err
	}
	cp.logf("new kinds: restarting kube-controller-manager")
	cp.mu.Lock()
	defer cp.mu.Unlock()
	return cp.controllers.restart(ctx)
}

// split parts a stream of manifests into namespaces and CRDs, and the rest. It names the CRDs as kubectl does.
func split(stream string) (first, rest []byte, crds []string, err error) {
	reader := utilyaml.NewYAMLReader(bufio.NewReader(strings.NewReader(stream)))
	for {
		doc, err := reader.Read()
		if errors.Is(err, io.EOF) {
			return first, rest, crds, nil
		}
		if err != nil {
			return nil, nil, nil, err
		}
		var object metav1.PartialObjectMetadata
		if err := yaml.Unmarshal(doc, &object); err != nil {
			return nil, nil, nil, err
		}
		doc = append([]byte("---\n"), doc...)
		switch object.Kind {
		case "CustomResourceDefinition":
			crds = append(crds, "customresourcedefinition.apiextensions.k8s.io/"+object.Name)
			first = append(first, doc...)
		case "Namespace":
			first = append(first, doc...)
		default:
			rest = append(rest, doc...)
		}
	}
}
