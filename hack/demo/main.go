// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command demo shows the operator at work: the built manager on a local control plane, with a fake IAM, and people who
// ask, approve and use access. It runs in the root of the repository, as `make demo` does.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"syscall"
	"time"
)

func main() {
	check := flag.Bool("check", false, "end after the story, with exit code 1 unless everything went as told")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // so that a second signal ends it at once
	ctx, end := context.WithCancel(ctx)
	go whenOrphaned(ctx, end)
	if err := run(ctx, *check, newTerminal(os.Stdout)); err != nil {
		fmt.Fprintln(os.Stderr, "demo:", err)
		os.Exit(1)
	}
}

// whenOrphaned ends the demo when its parent is gone: `go run` does not pass a SIGTERM on.
func whenOrphaned(ctx context.Context, end func()) {
	for parent := os.Getppid(); os.Getppid() == parent && ctx.Err() == nil; {
		pause(ctx, time.Second)
	}
	end()
}

func run(ctx context.Context, check bool, out *terminal) (err error) {
	begin := time.Now()
	s := &stage{out: out}
	defer func() {
		out.printf("\nStopping everything.\n")
		err = errors.Join(err, s.close(err != nil && ctx.Err() == nil))
	}()
	out.title("The stage: a control plane, IAM and the operator, all on this machine")
	if err := s.open(ctx); err != nil {
		return err
	}
	out.printf("\n   To type the commands below in a second terminal, first:  %s\n", out.strong(". "+s.path("env")))
	err = tell(ctx, s)
	switch {
	case ctx.Err() != nil:
		return errors.New("interrupted")
	case err != nil:
		return err
	}
	out.printf("\n%s (%s)\n", out.good("Everything went as told."), brief(time.Since(begin)))
	if check {
		return nil
	}
	s.invite()
	select {
	case <-ctx.Done():
		return nil
	case <-s.operator.Done():
		return fmt.Errorf("the operator has ended. %s", s.logTail())
	}
}
