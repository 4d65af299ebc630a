// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"
)

const (
	decisions = "internal/access"
	// offVariable is the environment variable that says which clause is off.
	offVariable = "SWITCHED_OFF"
	// long are the tests that live through many histories; they run only for what the others do not notice.
	long = "^(TestHistories|TestDecideIsTotal|TestRaces)$"
	// patience is how long tests may take that take seconds otherwise: a clause that ends a loop may be off.
	patience = 90 * time.Second
)

const theSwitch = `package access

import (
	"os"
	"strconv"
)

var switchedOff, _ = strconv.Atoi(os.Getenv("` + offVariable + `"))
`

// bench is the test binary of the decisions, with all clauses in it.
type bench struct {
	binary  string
	clauses []clause
}

// build builds the binary in a folder. The source is not touched: the compiler is told of other files in its place.
func build(ctx context.Context, dir string) (*bench, error) {
	folder, err := filepath.Abs(decisions)
	if err != nil {
		return nil, err
	}
	files, err := filepath.Glob(filepath.Join(folder, "*.go"))
	if err != nil {
		return nil, err
	}
	replace := map[string]string{}
	put := func(file string, content []byte) error {
		replace[file] = filepath.Join(dir, filepath.Base(file))
		return os.WriteFile(replace[file], content, 0o600)
	}
	b := &bench{binary: filepath.Join(dir, "access.test")}
	for _, file := range files {
		if strings.HasSuffix(file, "_test.go") {
			continue
		}
		source, err := os.ReadFile(file)
		if err != nil {
			return nil, err
		}
		source, clauses, err := install(filepath.Base(file), source, len(b.clauses)+1)
		if err == nil {
			err = put(file, source)
		}
		if err != nil {
			return nil, err
		}
		b.clauses = append(b.clauses, clauses...)
	}
	if err := put(filepath.Join(folder, "switched_off.go"), []byte(theSwitch)); err != nil {
		return nil, err
	}
	overlay, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		return nil, err
	}
	list := filepath.Join(dir, "overlay.json")
	if err := os.WriteFile(list, overlay, 0o600); err != nil {
		return nil, err
	}
	cmd := exec.CommandContext(ctx, "go", "test", "-c", "-overlay", list, "-o", b.binary, "./"+decisions)
	if out, err := cmd.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("with switches, %s does not compile: %w\n%s", decisions, err, out)
	}
	return b, nil
}

var failure = regexp.MustCompile(`(?m)^\s*--- FAIL: (\S+)`)

// run runs tests with one clause off, 0 for none, and says what noticed it, "" if nothing did.
func (b *bench) run(ctx context.Context, off int, selection ...string) (noticed string, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	// The same seed every time, so that a run can be repeated; a failure needs no small example.
	args := append([]string{"-test.failfast", "-rapid.seed=2", "-rapid.shrinktime=1ms"}, selection...)
	cmd := exec.CommandContext(ctx, b.binary, args...)
	cmd.Dir = decisions
	cmd.Env = append(os.Environ(), fmt.Sprintf("%s=%d", offVariable, off))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	switch {
	case err == nil:
		return "", nil
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return "their having no end", nil
	case ctx.Err() != nil:
		return "", ctx.Err()
	case !errors.As(err, &exit):
		return "", err
	}
	if failed := failure.FindAllStringSubmatch(string(out), -1); len(failed) > 0 {
		return slices.MaxFunc(failed, func(a, b []string) int { return len(a[1]) - len(b[1]) })[1], nil
	}
	return "a crash", nil
}

// notices says what notices that a clause is off, "" if nothing does: the quick tests if they can.
func (b *bench) notices(ctx context.Context, off int) (string, error) {
	noticed, err := b.run(ctx, off, "-test.skip", long)
	if noticed == "" && err == nil {
		noticed, err = b.run(ctx, off, "-test.run", long)
	}
	return noticed, err
}

// switchClauses switches off each clause of the decisions.
func switchClauses(ctx context.Context, o options) (*result, error) {
	dir, err := os.MkdirTemp("", "mutate-")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	b, err := build(ctx, dir)
	if err != nil {
		return nil, err
	}
	switch noticed, err := b.notices(ctx, 0); {
	case err != nil:
		return nil, err
	case noticed != "":
		return nil, fmt.Errorf("%s fails with nothing switched off: %s", decisions, noticed)
	}
	chosen := slices.DeleteFunc(b.clauses, func(c clause) bool { return !o.only.MatchString(c.String()) })
	if o.limit > 0 {
		chosen = chosen[:min(o.limit, len(chosen))]
	}
	r := &result{}
	err = inParallel(o.parallel, chosen, func(c clause) error {
		noticed, err := b.notices(ctx, c.number)
		if err == nil {
			r.add(decisions+"/"+c.String(), noticed, len(chosen))
		}
		return err
	})
	return r, err
}
