// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controlplane

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"

	"k8s.io/apimachinery/pkg/util/version"
)

var binaries = []string{"etcd", "kube-apiserver", "kube-controller-manager", "kubectl"}

// findAssets returns a folder that holds every binary: KUBEBUILDER_ASSETS when set, otherwise the newest that
// `make kube-assets` has put below the module's root.
func findAssets() (string, error) {
	if dir := os.Getenv("KUBEBUILDER_ASSETS"); dir != "" {
		if missing := missingFrom(dir); len(missing) > 0 {
			return "", fmt.Errorf("KUBEBUILDER_ASSETS=%s lacks %q: run `make kube-assets` and set it to the folder it prints",
				dir, missing)
		}
		return filepath.Abs(dir)
	}
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	if dir := newestAssets(filepath.Join(root, "bin", "kube-assets")); dir != "" {
		return dir, nil
	}
	return "", fmt.Errorf("no control plane binaries below %s: run `make kube-assets`", root)
}

// newestAssets returns the complete folder of the highest version for this platform below dir, or "".
func newestAssets(dir string) string {
	suffix := "-" + runtime.GOOS + "-" + runtime.GOARCH
	folders, _ := filepath.Glob(filepath.Join(dir, "v*"+suffix))
	var newest string
	var newestVersion *version.Version
	for _, folder := range folders {
		name := filepath.Base(folder)
		v, err := version.ParseSemantic(name[:len(name)-len(suffix)])
		if err != nil || len(missingFrom(folder)) > 0 {
			continue
		}
		if newestVersion == nil || newestVersion.LessThan(v) {
			newest, newestVersion = folder, v
		}
	}
	return newest
}

func missingFrom(dir string) []string {
	var missing []string
	for _, b := range binaries {
		if info, err := os.Stat(filepath.Join(dir, b)); err != nil || !info.Mode().IsRegular() || info.Mode()&0o111 == 0 {
			missing = append(missing, b)
		}
	}
	return missing
}

// moduleRoot walks up from the working directory, which in tests is the package's.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("no go.mod above the working directory: set KUBEBUILDER_ASSETS to the folder that `make kube-assets` prints")
		}
		dir = parent
	}
}
