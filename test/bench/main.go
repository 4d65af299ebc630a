// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Command bench measures the built operator against its budgets, on a real kube-apiserver and a fake IAM without added
// latency. Times are ratios to bare API calls of the same run, because machines differ: they are reported. Counts do
// not depend on the machine: one over its budget makes the command fail.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"slices"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

const legend = `
Floors are bare calls of one client without a rate limit, in the same run. Of one approved: a custom resource with the
schema of grants, a binding and a status patch, one after the other; of an emergency, two status patches. Of the others:
bindings; of many, by 10 workers, the mean of one time before and one after. Percentiles are by nearest rank.
Usable: binding seen by watch and membership in IAM's state; from just before the last approval is sent.
Of an emergency: from just before it is opened, and besides the API server says that the person may do what the role gives.
Gone: binding seen deleted by watch, from the exact deadline; a bare one from just before its deletion is sent.
Writes and IAM calls: the most of any of ten grants of one namespace, one group and two approvals, half of them ended by
their deadline and then deleted, half deleted while active. Writes are the API server's audit log of the operator,
refused ones included, without events and leases. Of emergencies: the most of any, all of one group, opened for a minute,
ended by their deadline, reported, approved and deleted.
Everybody has a password, an access key and a permissions boundary, so that activating includes their ages and a fence.
Sweeps: all calls of a minute in which everything is looked at every 15 seconds, divided by four.
At a rate: what goes beyond a second's worth, which may go at once, divided by time and rate.
First removal: binding seen deleted by watch, from the lease seen held by watch.
`

func main() {
	if err := run(); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run() error {
	b := &bench{began: time.Now(), seen: newSightings()}
	flags := flag.NewFlagSet("bench", flag.ContinueOnError)
	flags.Float64Var(&b.scale, "scale", 1, "share of the full number of objects, such as 0.1")
	flags.StringVar(&b.binary, "manager", "bin/manager", "the operator's binary")
	only := flags.String("only", "", "the parts to run, with commas: counts, one, emergency, many, end, storm, start, sweeps, limited; empty: all")
	if err := flags.Parse(os.Args[1:]); err != nil {
		return err
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	ctx, b.fail = context.WithCancelCause(ctx)
	err := b.measure(ctx, *only)
	if cause := context.Cause(ctx); cause != nil {
		err = cause
	}
	b.fail(nil) // the API server ends when its watches have
	err = errors.Join(err, b.tearDown())
	b.print(os.Stdout)
	if err == nil && slices.ContainsFunc(b.table, func(l line) bool { return l.count && l.over }) {
		err = errors.New("a count is over its budget")
	}
	return err
}

func (b *bench) measure(ctx context.Context, only string) (err error) {
	defer func() {
		r := recover()
		if f, ok := r.(failure); ok {
			err = f.error
		} else if r != nil {
			panic(r)
		}
	}()
	b.setUp(ctx)
	for _, part := range []struct {
		name string
		run  func(context.Context)
	}{{"counts", b.counts}, {"one", b.oneApproved}, {"emergency", b.emergencies}, {"many", b.manyApproved}, {"end", b.oneEnds}, {"storm", b.storm}, {"start", b.start}, {"sweeps", b.sweeps}, {"limited", b.limited}} {
		if only == "" || slices.Contains(strings.Split(only, ","), part.name) {
			part.run(ctx)
		}
	}
	return nil
}

// failure is the panic of check.
type failure struct{ error }

// check ends the run by a panic that measure recovers, so that everything is torn down.
func check(err error) {
	if err != nil {
		panic(failure{err})
	}
}

func must[T any](v T, err error) T {
	check(err)
	return v
}

// line is one row of the table.
type line struct {
	name, measured, floor, ratio, budget string
	count, over                          bool
}

// timed adds a time and its ratio to a floor.
func (b *bench) timed(name string, measured, floor time.Duration, budget float64) {
	ratio := float64(measured) / float64(floor)
	b.add(line{name: name, measured: short(measured), floor: short(floor), ratio: fmt.Sprintf("%.1f", ratio),
		budget: fmt.Sprintf("≤ %g × floor", budget), over: ratio > budget})
}

// counted adds a count that must not be over its budget.
func (b *bench) counted(name string, measured, budget int) {
	b.add(line{name: name, measured: fmt.Sprint(measured), budget: fmt.Sprintf("≤ %d", budget), count: true, over: measured > budget})
}

func (b *bench) add(l line) {
	b.table = append(b.table, l)
	b.say("%s: %s", l.name, l.measured)
}

func (b *bench) print(w io.Writer) {
	out := &strings.Builder{}
	fmt.Fprintf(out, "scale %g, %s\n\n", b.scale, time.Since(b.began).Round(time.Second))
	t := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	_, _ = fmt.Fprintln(t, "\tmeasured\tfloor\tratio\tbudget\t")
	for _, l := range b.table {
		verdict := "ok"
		if l.over {
			verdict = "OVER"
		} else if l.budget == "" {
			verdict = ""
		}
		_, _ = fmt.Fprintf(t, "%s\t%s\t%s\t%s\t%s\t%s\n", l.name, l.measured, l.floor, l.ratio, l.budget, verdict)
	}
	_ = t.Flush()
	out.WriteString(legend)
	_, _ = io.WriteString(w, out.String())
}

// say tells of progress.
func (b *bench) say(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "bench %5.1fs: %s\n", time.Since(b.began).Seconds(), fmt.Sprintf(format, args...))
}

func short(d time.Duration) string {
	if d < 100*time.Millisecond {
		return d.Round(100 * time.Microsecond).String()
	}
	return d.Round(time.Millisecond).String()
}

// percentile is by nearest rank.
func percentile(d []time.Duration, p int) time.Duration {
	return slices.Sorted(slices.Values(d))[max(0, (len(d)*p+99)/100-1)]
}
