// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command mutate finds what no test would miss. It switches off, one at a time, each clause of the decisions in
// internal/access and each CEL validation of the CRDs and of the admission policies; each time some test should fail.
// What none noticed is listed for a person to judge: a test is missing, or the clause makes no difference. It runs in the
// root of the repository, as `make mutate` does.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"regexp"
	"strings"
	"sync"
	"syscall"
)

type options struct {
	only     *regexp.Regexp
	limit    int
	parallel int
}

func main() {
	only := flag.String("only", "", "switch off only what matches this `regexp`: clauses as file:line kind text, validations by the name they are shown with")
	limit := flag.Int("limit", 0, "switch off at most so many of each part; 0 is all")
	parallel := flag.Int("parallel", 1, "how many clauses to switch off side by side, each in a process of its own")
	part := flag.String("part", "", "switch off only `clauses`, schemas or policies")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	pattern, err := regexp.Compile(*only)
	if err == nil {
		err = run(ctx, *part, options{only: pattern, limit: *limit, parallel: *parallel})
	}
	stop()
	if err != nil {
		fmt.Fprintln(os.Stderr, "mutate:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, only string, o options) error {
	parts := []struct {
		name string
		run  func(context.Context, options) (*result, error)
	}{
		{"clauses", switchClauses},
		{"schemas", suite{"test/api"}.run},
		{"policies", suite{"test/attack"}.run},
	}
	var summary strings.Builder
	known := false
	for _, p := range parts {
		if only != "" && only != p.name {
			continue
		}
		known = true
		r, err := p.run(ctx, o)
		if err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
		fmt.Fprintf(&summary, "%s: %d switched off, %d noticed, %d not\n", p.name, r.tried, r.tried-len(r.survivors), len(r.survivors))
		for _, s := range r.survivors {
			fmt.Fprintf(&summary, "  %s\n", s)
		}
	}
	if !known {
		return fmt.Errorf("there is no part %s", only)
	}
	fmt.Printf("\n%s", summary.String())
	return nil
}

// result counts. Safe for concurrent use.
type result struct {
	mu        sync.Mutex
	tried     int
	survivors []string
}

// add takes what noticed that something was off, "" if nothing did, of so many in all; 0 if nobody knows yet.
func (r *result) add(what, noticed string, all int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tried++
	count := fmt.Sprint(r.tried)
	if all > 0 {
		count += fmt.Sprintf("/%d", all)
	}
	if noticed == "" {
		r.survivors = append(r.survivors, what)
		fmt.Printf("%s NOT NOTICED %s\n", count, what)
		return
	}
	fmt.Printf("%s noticed %s by %s\n", count, what, noticed)
}

// inParallel does something with every item, so many at a time, until one fails.
func inParallel[T any](workers int, items []T, do func(T) error) error {
	queue := make(chan T, len(items))
	for _, item := range items {
		queue <- item
	}
	close(queue)
	failures := make(chan error, max(workers, 1))
	for range cap(failures) {
		go func() {
			for item := range queue {
				if err := do(item); err != nil {
					failures <- err
					return
				}
			}
			failures <- nil
		}()
	}
	var first error
	for range cap(failures) {
		if err := <-failures; err != nil && first == nil {
			first = err
			for range queue { // nobody begins another
			}
		}
	}
	return first
}
