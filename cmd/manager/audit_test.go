// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	realclock "k8s.io/utils/clock"

	"github.com/hera-platform/prod-access-operator/internal/audit"
)

func TestAuditVerify(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "audit.log")
	trail := audit.New(audit.Options{Sink: audit.NewFile(audit.FileOptions{Path: path, Clock: realclock.RealClock{}}), Clock: realclock.RealClock{}})
	for range 3 {
		if err := trail.Append(t.Context(), audit.Entry{Event: audit.EventGranted, Subject: "alice@hera.example"}); err != nil {
			t.Fatal(err)
		}
	}
	head, _ := trail.Head()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		name = filepath.Join(dir, name)
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return name
	}
	changed := write("changed.log", strings.Replace(string(text), "granted", "revoked", 1))
	cut := write("cut.log", string(text[:bytes.LastIndexByte(text[:len(text)-1], '\n')+1]))
	none := write("none.log", "")
	missing := filepath.Join(dir, "missing.log")

	for _, test := range []struct {
		name string
		args []string
		// out is in the output; fails is in the error, empty: there is none.
		out, fails string
	}{
		{name: "whole", args: []string{path, "--head", head.String()}, out: "4 lines in 1 segments and 1 files: 0 errors, 0 notes"},
		{name: "no head", args: []string{path}, out: "note: " + path + ":4: seq 0 of segment " + head.Segment + ": unanchored: "},
		{name: "changed", args: []string{changed, "--head", head.String()}, out: "error: " + changed + ":2: seq 1 of segment " + head.Segment + ": changed: ",
			fails: "the audit trail is not whole"},
		{name: "cut", args: []string{cut, "--head", head.String()}, out: "error: cut: the anchored head " + head.String() + " is not there", fails: "not whole"},
		{name: "cut, no head", args: []string{cut}, out: "0 errors, 1 notes"},
		{name: "empty", args: []string{none}, fails: "the files are empty"},
		{name: "no files", args: nil, fails: "name the files"},
		{name: "no such file", args: []string{path, missing}, fails: "open " + missing + ": no such file or directory"},
		{name: "a folder", args: []string{dir}, fails: "is a directory"},
		{name: "malformed head", args: []string{path, "--head", "latest"}, fails: `--head: "latest" is not a head`},
		{name: "malformed from", args: []string{path, "--from", "first"}, fails: `--from: "first" is not a head`},
		{name: "another head", args: []string{path, "--head", "0123456789abcdef:1:" + strings.Repeat("0", 64)}, out: "error: cut: ", fails: "not whole"},
	} {
		t.Run(test.name, func(t *testing.T) {
			var out bytes.Buffer
			cmd := root()
			cmd.SetOut(&out)
			cmd.SetArgs(append([]string{"audit", "verify"}, test.args...))
			err := cmd.ExecuteContext(t.Context())
			if (err != nil) != (test.fails != "") || err != nil && !strings.Contains(err.Error(), test.fails) {
				t.Errorf("error %v, want %q", err, test.fails)
			}
			if !strings.Contains(out.String(), test.out) {
				t.Errorf("output %q, want %q", out.String(), test.out)
			}
		})
	}
}
