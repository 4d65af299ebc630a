// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
)

func TestFindAssets(t *testing.T) {
	platform := "-" + runtime.GOOS + "-" + runtime.GOARCH
	root := t.TempDir()
	add := func(name string, mode os.FileMode, files ...string) string {
		t.Helper()
		dir := filepath.Join(root, "bin", "kube-assets", name)
		if err := os.MkdirAll(dir, 0o700); err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if err := os.WriteFile(filepath.Join(dir, file), nil, mode); err != nil {
				t.Fatal(err)
			}
		}
		return dir
	}
	if err := os.WriteFile(filepath.Join(root, "go.mod"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("KUBEBUILDER_ASSETS", "")
	t.Chdir(add("external", 0o700, binaries...)) // deep below the root, and no version of ours

	if dir, err := findAssets(); err == nil || !strings.Contains(err.Error(), "make kube-assets") {
		t.Errorf("nothing built: got %q, %v", dir, err)
	}

	add("v1.100.0"+platform, 0o700, "etcd", "kube-apiserver", "kubectl") // a build under way
	add("v1.101.0"+platform, 0o600, binaries...)
	add("v1.102.0-plan9-mips", 0o700, binaries...)
	add("v1.9.3"+platform, 0o700, binaries...)
	newest := add("v1.37.2"+platform, 0o700, binaries...)
	if dir, err := findAssets(); err != nil || dir != newest {
		t.Errorf("got %q, %v, want %q", dir, err, newest)
	}

	t.Setenv("KUBEBUILDER_ASSETS", add("v1.9.3"+platform, 0o700))
	if dir, err := findAssets(); err != nil || dir != os.Getenv("KUBEBUILDER_ASSETS") {
		t.Errorf("KUBEBUILDER_ASSETS was not used: %q, %v", dir, err)
	}
	t.Setenv("KUBEBUILDER_ASSETS", add("v1.100.0"+platform, 0o700))
	if dir, err := findAssets(); err == nil || !strings.Contains(err.Error(), "kube-controller-manager") {
		t.Errorf("KUBEBUILDER_ASSETS without all binaries: got %q, %v", dir, err)
	}
}
