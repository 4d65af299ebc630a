// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// scaled is the number of objects to work with, of a full number.
func (b *bench) scaled(full, least int) int { return max(least, int(float64(full)*b.scale)) }

// counts measures the writes and IAM calls of whole lives.
func (b *bench) counts(ctx context.Context) {
	// Of people who were there when AWS made its credential report, as most are.
	b.newAccount()
	expiring, deleted := b.newRequests(5, time.Now().Add(time.Minute)), b.newRequests(5, time.Now().Add(time.Hour))
	all := slices.Concat(expiring, deleted)
	b.running(ctx)
	b.until(ctx, 100*time.Millisecond, "AWS is making its credential report", func() bool { return b.iam.Count("GetCredentialReport") > 0 })
	for _, r := range expiring {
		r.grant.Spec.ExpiresAt.Time = time.Now().Add(20 * time.Second).Truncate(time.Second)
	}
	b.settle(ctx)
	b.ask(ctx, all)
	b.approve(ctx, all)
	b.reachState(ctx, v1alpha1.StateGranted, all)
	activating := b.callsByPerson()
	b.each(ctx, "deleting", deleted, func(r *request) error { return b.kube.Delete(ctx, r.grant) })
	b.reachState(ctx, v1alpha1.StateExpired, expiring)
	b.clean(ctx)
	b.settle(ctx)
	writes, activate, end := b.costs(all, activating)
	b.counted("Kubernetes writes in a grant's life", writes, 10)
	b.counted("IAM calls to activate", activate, 8)
	b.counted("IAM calls to end", end, 5)
}

// costs are the most writes and IAM calls that any request has taken, of which these many to activate it.
func (b *bench) costs(all []*request, activating map[string]int) (most, activate, end int) {
	calls, writes := b.callsByPerson(), map[string][]write{}
	for _, w := range b.audit.writes() {
		writes[w.ObjectRef.Name] = append(writes[w.ObjectRef.Name], w)
	}
	var longest []write
	for _, r := range all {
		if l := slices.Concat(writes[r.grant.Name], writes[access.BindingName(r.grant)]); len(l) > len(longest) {
			longest = l
		}
		activate = max(activate, activating[r.person.Name])
		end = max(end, calls[r.person.Name]-activating[r.person.Name])
	}
	b.say("writes: %v", longest)
	return len(longest), activate, end
}

func (b *bench) callsByPerson() map[string]int {
	calls := map[string]int{}
	for _, c := range b.iam.Calls() {
		calls[c.Params.Get("UserName")]++
	}
	return calls
}

// oneApproved measures from approval to use, one grant at a time.
func (b *bench) oneApproved(ctx context.Context) {
	b.running(ctx)
	var measured, floor []time.Duration
	defer b.progress(ctx, func() { b.say("one approved: %d samples", len(measured)) })()
	for range b.scaled(50, 20) {
		one := b.newRequests(1, time.Now().Add(time.Hour))
		b.ask(ctx, one)
		began := time.Now()
		b.approve(ctx, one)
		usable := must(b.seen.wait(ctx, one[0].bound(), one[0].joined()))
		measured = append(measured, usable.Sub(began))
		b.reachState(ctx, v1alpha1.StateGranted, one)

		began = time.Now()
		check(b.bareLife(ctx, one[0], one[0].grant.Status))
		floor = append(floor, time.Since(began))
	}
	for _, p := range []int{50, 99} {
		b.timed(fmt.Sprintf("one approved → usable, p%d", p), percentile(measured, p), percentile(floor, p), 3)
	}
}

// emergencies measures from opening to use, one emergency at a time, and counts the writes and IAM calls of their lives.
func (b *bench) emergencies(ctx context.Context) {
	b.newAccount() // of people who were there when AWS made its credential report
	var all []*request
	for range b.scaled(50, 20) {
		all = append(all, b.newEmergency(b.newPerson(), time.Minute))
	}
	b.running(ctx)
	b.until(ctx, 100*time.Millisecond, "AWS is making its credential report", func() bool { return b.iam.Count("GetCredentialReport") > 0 })
	b.settle(ctx)
	var measured, floor []time.Duration
	stop := b.progress(ctx, func() { b.say("emergencies: %d samples", len(measured)) })
	for i, r := range all {
		began := time.Now()
		b.open(ctx, r)
		must(b.seen.wait(ctx, r.bound()))
		may, joined := b.mayRead(ctx, r), must(b.seen.wait(ctx, r.joined()))
		measured = append(measured, max(may.Sub(began), joined.Sub(began)))
		b.reachGlass(ctx, v1alpha1.StateGranted, all[i:i+1], glassIn(v1alpha1.StateGranted))

		// What is written until then: itself, the finalizer, the intent and the binding.
		began = time.Now()
		check(b.bareLife(ctx, r, granting(r), r.grant.Status))
		floor = append(floor, time.Since(began))
	}
	stop()
	for _, p := range []int{50, 99} {
		b.timed(fmt.Sprintf("emergency opened → usable, p%d", p), percentile(measured, p), percentile(floor, p), 3)
	}
	activating := b.callsByPerson()
	b.reachGlass(ctx, v1alpha1.StateExpired, all, glassIn(v1alpha1.StateExpired))
	b.each(ctx, "reporting", all, func(r *request) error { return b.report(ctx, r) })
	b.reachGlass(ctx, "reported", all, func(g *v1alpha1.BreakGlass) bool { return g.Status.ReportDigest != "" })
	b.each(ctx, "approving", all, func(r *request) error { return b.people[approvers[0]].Create(ctx, reportApproval(r, approvers[0])) })
	b.reachGlass(ctx, "approved", all, func(g *v1alpha1.BreakGlass) bool { return g.Status.ReportApprovedBy != "" })
	b.clean(ctx)
	b.settle(ctx)
	writes, activate, end := b.costs(all, activating)
	// Beyond a grant's there are those about the report: it is written and approved.
	b.counted("Kubernetes writes in an emergency's life", writes, 12)
	b.counted("IAM calls to open an emergency", activate, 8)
	b.counted("IAM calls to end an emergency", end, 5)
}

// manyApproved measures until all of many grants that were approved at once are usable.
func (b *bench) manyApproved(ctx context.Context) {
	b.running(ctx)
	all := b.newRequests(b.scaled(500, 10), time.Now().Add(time.Hour))
	b.ask(ctx, all)
	b.settle(ctx)
	before, _ := b.bareBindings(ctx, all)
	began := time.Now()
	b.approve(ctx, all)
	bound, joined := b.whenAll(ctx, all, (*request).bound), b.whenAll(ctx, all, (*request).joined)
	usable := max(bound.Sub(began), joined.Sub(began))
	b.reachState(ctx, v1alpha1.StateGranted, all)
	b.settle(ctx)
	after, _ := b.bareBindings(ctx, all)
	what := fmt.Sprintf("%d approved at once → all usable", len(all))
	b.timed(what, usable, (before+after)/2, 8)
	// How much of that are the writes themselves: an approval, the binding, the status before and after it.
	began = time.Now()
	b.each(ctx, "floor", all, func(r *request) error {
		return b.bareLife(ctx, r, granting(r), r.grant.Status)
	})
	same := time.Since(began)
	b.add(line{name: what + ", to the same writes bare", measured: short(usable), floor: short(same), ratio: fmt.Sprintf("%.1f", float64(usable)/float64(same))})
}

// granting is much like the status that a request had before it was granted.
func granting(r *request) v1alpha1.ProdAccessGrantStatus {
	s := r.grant.Status.DeepCopy()
	s.ActivatedAt, s.Conditions[0].Message = nil, "access is being written"
	return *s
}

// oneEnds measures from the deadline, one grant a second.
func (b *bench) oneEnds(ctx context.Context) {
	b.running(ctx)
	// The last must be usable before the first ends.
	first := time.Now().Truncate(time.Second).Add(20 * time.Second)
	var all []*request
	for i := range b.scaled(50, 20) {
		all = append(all, b.newRequest(b.newPerson(), b.roles[0], first.Add(time.Duration(i)*time.Second)))
	}
	b.ask(ctx, all)
	b.approve(ctx, all)
	b.reachState(ctx, v1alpha1.StateGranted, all)
	if time.Now().After(first) {
		check(errors.New("activating the grants took longer than until the first deadline"))
	}
	var unbound, left, floor []time.Duration
	defer b.progress(ctx, func() { b.say("one ends: %d samples", len(unbound)) })()
	for _, r := range all {
		deadline := r.grant.Spec.ExpiresAt.Time
		unbound = append(unbound, must(b.seen.wait(ctx, r.unbound())).Sub(deadline))
		left = append(left, must(b.seen.wait(ctx, r.left())).Sub(deadline))
		// In between, the operator has nothing to do.
		check(pause(ctx, time.Until(deadline.Add(400*time.Millisecond))))
		binding := bareBinding(r.grant.Name, r)
		check(b.kube.Create(ctx, binding))
		must(b.seen.wait(ctx, "bound "+binding.Name))
		began := time.Now()
		check(b.kube.Delete(ctx, binding))
		floor = append(floor, must(b.seen.wait(ctx, "unbound "+binding.Name)).Sub(began))
	}
	if early := min(slices.Min(unbound), slices.Min(left)); early < 0 {
		check(fmt.Errorf("access ended %s before its deadline", -early))
	}
	for _, p := range []int{50, 99} {
		b.timed(fmt.Sprintf("deadline → binding gone, p%d", p), percentile(unbound, p), percentile(floor, p), 5)
	}
	b.add(line{name: "deadline → membership gone, p99", measured: short(percentile(left, 99))})
	b.clean(ctx)
}

// storm measures many grants that end in the same second.
func (b *bench) storm(ctx context.Context) {
	b.newAccount()
	n := b.scaled(1000, 10)
	// The operator must have seen them all before they end.
	// Whole seconds, as the grants themselves have it.
	deadline := time.Now().Add(30*time.Second + time.Duration(n)*30*time.Millisecond).Truncate(time.Second)
	all := b.newRequests(n, deadline)
	_, before := b.bareBindings(ctx, all)
	b.fillAll(ctx, all, false)
	b.startOperator(ctx, unlimited)
	b.settle(ctx)
	b.say("%d grants end in %s", n, time.Until(deadline).Round(time.Second))
	if time.Until(deadline) < time.Second {
		check(errors.New("filling in took longer than until the deadline: try a smaller --scale"))
	}
	unbound, left := b.whenAll(ctx, all, (*request).unbound), b.whenAll(ctx, all, (*request).left)
	b.settle(ctx)
	_, after := b.bareBindings(ctx, all)
	b.stormPace = unbound.Sub(deadline) / time.Duration(n)
	b.timed(fmt.Sprintf("%d end in one second: bindings gone", n), unbound.Sub(deadline), (before+after)/2, 3)
	b.add(line{name: fmt.Sprintf("%d end in one second: memberships gone", n), measured: short(left.Sub(deadline))})
	b.clean(ctx)
}

// start measures a start with many grants of which some are overdue, then rest and memory.
func (b *bench) start(ctx context.Context) {
	b.newAccount()
	overdue := b.newRequests(b.scaled(1000, 10), time.Now().Add(-time.Minute))
	var active []*request
	for range b.scaled(10_000, 40) / len(b.roles) {
		p := b.newPerson()
		for _, r := range b.roles {
			active = append(active, b.newRequest(p, r, time.Now().Add(12*time.Hour)))
		}
	}
	b.fillAll(ctx, overdue, false)
	b.fillAll(ctx, active, true)
	b.say("starting")
	held := b.startOperator(ctx, unlimited)
	unbound, left := b.whenAll(ctx, overdue, (*request).unbound).Sub(held), b.whenAll(ctx, overdue, (*request).left).Sub(held)
	first := b.seen.first(keys(overdue, (*request).unbound)...).Sub(held)
	what := fmt.Sprintf("start, %d active, %d overdue: ", len(active), len(overdue))
	b.add(line{name: what + "first removal", measured: short(first), budget: "≤ 1s", over: first > time.Second})
	gone := line{name: what + "bindings gone", measured: short(unbound)}
	if storm := b.stormPace * time.Duration(len(overdue)); storm > 0 {
		gone.floor, gone.ratio = "storm "+short(storm), fmt.Sprintf("%.1f", float64(unbound)/float64(storm))
	}
	b.add(gone)
	b.add(line{name: what + "memberships gone", measured: short(left)})

	const window = time.Minute
	b.settle(ctx)
	writes, cpu := len(b.audit.writes()), b.cpu()
	b.say("at rest for %s", window)
	check(pause(ctx, window))
	what = fmt.Sprintf("at rest, %d grants: ", len(active))
	b.counted(what+"writes in "+window.String(), len(b.audit.writes())-writes, 0)
	share := 100 * float64(b.cpu()-cpu) / float64(window)
	b.add(line{name: what + "CPU", measured: fmt.Sprintf("%.2f%% of a core", share), budget: "< 1%", over: share >= 1})
	now, peak := b.memory("VmRSS"), b.memory("VmHWM")
	b.add(line{name: fmt.Sprintf("memory, %d active grants, %d approvals", len(active), len(active)*len(approvers)),
		measured: fmt.Sprintf("%d MiB (peak %d)", now, peak), budget: "≤ 300 MiB", over: now > 300})
	b.clean(ctx)
}

// sweeps counts the IAM calls of one look at everything, with few grants and with many.
func (b *bench) sweeps(ctx context.Context) {
	const every, window = 15 * time.Second, time.Minute
	for _, n := range []int{b.scaled(100, 20), b.scaled(5000, 40)} {
		b.newAccount()
		var active []*request
		for range n / len(b.roles) {
			p := b.newPerson()
			for _, r := range b.roles {
				active = append(active, b.newRequest(p, r, time.Now().Add(12*time.Hour)))
			}
		}
		b.fillAll(ctx, active, false)
		b.startOperator(ctx, unlimited, "--aws-sweep-every="+every.String())
		b.settle(ctx)
		began := len(b.iam.Calls())
		b.say("sweeping for %s", window)
		check(pause(ctx, window))
		calls := map[string]int{}
		for _, c := range b.iam.Calls()[began:] {
			calls[c.Op]++
		}
		each := func(op string) float64 { return float64(calls[op]) * float64(every) / float64(window) }
		var total int
		for _, n := range calls {
			total += n
		}
		b.say("calls in %s: %v", window, calls)
		b.add(line{name: fmt.Sprintf("IAM calls per sweep, %d grants", len(active)),
			measured: fmt.Sprintf("%.1f (groups %.1f, account %.1f)", float64(total)*float64(every)/float64(window), each("GetGroup"), each("GetAccountAuthorizationDetails"))})
		b.clean(ctx)
	}
}

// limited measures how much of a rate is made use of.
func (b *bench) limited(ctx context.Context) {
	// Of 20 reads a second follow 10 removals and 5 additions; a second's worth may go at once.
	const rate, removals, additions = "--aws-rate=20", 10.0, 5.0
	n := b.scaled(200, 40)
	b.newAccount()
	deadline := time.Now().Add(30*time.Second + time.Duration(n)*30*time.Millisecond).Truncate(time.Second)
	all := b.newRequests(n, deadline)
	b.fillAll(ctx, all, false)
	b.startOperator(ctx, rate)
	b.rolesReady(ctx)
	left := b.whenAll(ctx, all, (*request).left)
	b.share(fmt.Sprintf("%d memberships ending at %g a second", n, removals), float64(n), removals, left.Sub(deadline))
	b.clean(ctx)

	n = b.scaled(50, 20)
	all = b.newRequests(n, time.Now().Add(time.Hour))
	b.ask(ctx, all)
	began := time.Now()
	b.approve(ctx, all)
	joined := b.whenAll(ctx, all, (*request).joined)
	b.share(fmt.Sprintf("%d memberships and fences beginning at %g a second", n, additions), float64(2*n), additions, joined.Sub(began))
	b.reachState(ctx, v1alpha1.StateGranted, all)
	b.clean(ctx)
}

// share adds how much of a rate was made use of by n calls; those that could go at once do not count.
func (b *bench) share(name string, n, perSecond float64, took time.Duration) {
	used := (n - perSecond) / took.Seconds() / perSecond
	b.add(line{name: name, measured: fmt.Sprintf("%.1f/s", n/took.Seconds()), ratio: fmt.Sprintf("%.2f", used), budget: "≥ 0.9 of it", over: used < 0.9})
}
