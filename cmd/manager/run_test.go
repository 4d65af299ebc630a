// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// A limit of the client's own (5 requests per second, where nothing is set) would make a thousand removals wait for
// each other.
func TestClientHasNoLimitOfItsOwn(t *testing.T) {
	path := filepath.Join(t.TempDir(), "kubeconfig")
	config := "apiVersion: v1\nkind: Config\nclusters: [{name: c, cluster: {server: 'https://127.0.0.1:1'}}]\n" +
		"contexts: [{name: c, context: {cluster: c}}]\ncurrent-context: c\n"
	if err := os.WriteFile(path, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := restConfig(path)
	if err != nil {
		t.Fatal(err)
	}
	if cfg.QPS >= 0 {
		t.Errorf("the client allows itself %v requests per second, want no limit", cfg.QPS)
	}
}

func TestOptions(t *testing.T) {
	o := defaults()
	if err := o.validate(); err != nil {
		t.Errorf("the defaults are refused: %v", err)
	}
	o.aws = "off"
	if err := o.validate(); err == nil || !strings.Contains(err.Error(), "enabled or disabled") {
		t.Errorf("--aws=off: %v", err)
	}
	o = defaults()
	for _, rate := range []float64{-1, 0, 1.9, math.NaN()} {
		o.awsRate = rate
		if err := o.validate(); err == nil || !strings.Contains(err.Error(), "--aws-rate must be at least 2, not "+fmt.Sprint(rate)+": calls about the whole account") {
			t.Errorf("--aws-rate=%v: %v", rate, err)
		}
	}
	o.awsRate = 2
	if err := o.validate(); err != nil {
		t.Errorf("--aws-rate=2: %v", err)
	}
}
