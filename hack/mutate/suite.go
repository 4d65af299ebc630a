// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
)

// suite is a folder of tests with a TestMutants that switches off validations on a real API server, each in a subtest
// that fails if it is noticed. The first subtest and the last run with nothing switched off.
type suite struct{ folder string }

// whole is what those two are called.
const whole = "nothing is switched off"

// As `go test -json` has them, which is the only way to have them at once; a mark tells them from what tests print.
var (
	outcome = regexp.MustCompile(`^\x16\s*--- (PASS|FAIL): TestMutants/([^/]+?)(#\d+)?(?:/(\S+))? \(`)
	chatter = regexp.MustCompile(`^\x16(===|\s*--- PASS)`)
)

func (s suite) run(ctx context.Context, o options) (*result, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	binary := filepath.Join(dir, "suite.test")
	if out, err := exec.CommandContext(ctx, "go", "test", "-c", "-o", binary, "./"+s.folder).CombinedOutput(); err != nil {
		return nil, fmt.Errorf("%w\n%s", err, out)
	}
	only := o.only.String()
	if only == "" {
		only = "."
	}
	cmd := exec.CommandContext(ctx, binary, "-test.v=test2json", "-test.run", "^TestMutants$", "-test.timeout", "60m",
		"-mutate", only, "-mutate.limit", fmt.Sprint(o.limit))
	cmd.Dir = s.folder
	cmd.Stderr = os.Stderr
	lines, err := cmd.StdoutPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	r := &result{}
	var said []string // since the last outcome
	controls, noticed := 0, ""
	scanner := bufio.NewScanner(lines)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if !chatter.MatchString(scanner.Text()) {
			said = append(said, strings.TrimPrefix(scanner.Text(), "\x16"))
		}
		m := outcome.FindStringSubmatch(scanner.Text())
		if m == nil {
			continue
		}
		passed, name, inner := m[1] == "PASS", strings.ReplaceAll(m[2], "_", " "), m[4]
		switch {
		case inner != "" && !passed && noticed == "":
			noticed = inner
		case inner != "":
		case name == whole && !passed:
			err = errors.Join(err, fmt.Errorf("%s fails with nothing switched off:\n%s", s.folder, strings.Join(said, "\n")))
		case name == whole:
			controls++
		case !passed && noticed == "":
			err = errors.Join(err, fmt.Errorf("cannot switch off %s:\n%s", name, strings.Join(said, "\n")))
		default:
			r.add(name, noticed, 0)
		}
		if inner == "" {
			said, noticed = nil, ""
		}
	}
	// That it fails is as it should be.
	if failed := cmd.Wait(); err == nil && controls != 2 {
		err = fmt.Errorf("%s did not come to its end: %w\n%s", s.folder, failed, strings.Join(said, "\n"))
	}
	return r, err
}
