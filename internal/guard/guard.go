// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package guard finds out whether the admission policies are whole, which prove who asked, who approved and who revoked:
// whether they are those of this or the previous release, whether they were all the time, and whether they work.
//
// Every 30 s, and as soon as one of them changes, it reads all of them live and tries, by dry runs, whether forged
// objects are refused. The guard is proven whole by a look that finds every policy and binding as released and every
// probe refused. What was in between two such looks is known from uid and generation, which an API server changes with
// every change of a spec: equal ones, or one step from a release to the other, leave no room for anything else.
//
// What it cannot see: enforcement that stops and starts again between two looks while the objects stay as they are (an
// API server restarted without the admission plugin), and, where several API servers run, those that do not answer.
//
// Nothing that only takes access away may depend on this package.
package guard

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"sync/atomic"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	toolscache "k8s.io/client-go/tools/cache"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"github.com/hera-platform/prod-access-operator/config/admission"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// The record, a ConfigMap, is covered by the Role prod-access-records.
// +kubebuilder:rbac:groups=admissionregistration.k8s.io,resources=validatingadmissionpolicies;validatingadmissionpolicybindings,verbs=get;list;watch
// +kubebuilder:rbac:groups=access.hera.dev,resources=accessapprovals;prodaccessgrants;accessrevocations,verbs=create

const (
	// interval is how long a proof is relied on without another.
	interval = 30 * time.Second
	// firstRetry is how long to wait when something is wrong; doubled each time, up to interval.
	firstRetry = time.Second
	// tolerated is how many looks may end without an answer while the guard still counts as whole.
	tolerated = 1
	// callTimeout bounds one look.
	callTimeout = 10 * time.Second
	// partingTimeout bounds the last write.
	partingTimeout = 5 * time.Second
)

const (
	unverified = "the admission guard has not been verified yet"
	remedy     = "a cluster administrator has to apply the admission policies of the installed release again (config/admission)"
	newer      = ", or to roll out the operator that they are of"
)

//go:embed previous
var previous embed.FS

// Options are what a Guard is made of.
type Options struct {
	// Client reads and writes live: not the manager's, which reads from its cache and would watch every kind it writes.
	Client client.Client
	// Cache has the informers that tell of changes.
	Cache cache.Cache
	// Clock has the timers, and Now is the time that access is decided by, never behind an API server's.
	Clock clock.Clock
	Now   func() time.Time
	// Namespace and Username are the operator's own.
	Namespace, Username string
	// Current and Previous are folders with the policies of this release and the one before; nil for those embedded.
	Current, Previous fs.FS
	// Probes are DefaultProbes when nil.
	Probes []Probe
	// OnChange is called when State().Broken has changed, and must not block.
	OnChange func(access.Guard)
	// Audit is called when the guard is found broken, with the reason, and when it is whole again, with "". What was found
	// out afterwards is told as both.
	Audit func(ctx context.Context, broken string) error
}

// Guard watches over the policies while it leads. State is safe for concurrent use.
type Guard struct {
	options  Options
	releases releases
	record   record
	kick     chan struct{}
	state    atomic.Pointer[access.Guard]

	// What follows belongs to Start.
	interval time.Duration
	ledger   ledger
	watched  map[string]bool
	started  time.Time
	loaded   bool // the record was read
	dirty    bool // the record differs from the ledger
	verified bool // proven whole by this process, or known to be broken
	missed   int  // looks in a row without an answer
	told     bool // the audit trail says that the guard is broken
	broken   string
}

// New makes a Guard. It fails when the manifests cannot be read, which a test of this package rules out for those embedded.
func New(o Options) (*Guard, error) {
	if o.Current == nil {
		o.Current = admission.Files
	}
	if o.Previous == nil {
		o.Previous, _ = fs.Sub(previous, "previous") // a constant, valid path
	}
	if o.Probes == nil {
		o.Probes = DefaultProbes()
	}
	g := &Guard{
		options: o, kick: make(chan struct{}, 1), interval: interval, broken: unverified, watched: map[string]bool{},
		record: record{client: o.Client, namespace: o.Namespace},
	}
	var err error
	if g.releases.current, err = parse(o.Current, o.Username, o.Namespace); err != nil {
		return nil, fmt.Errorf("the admission policies of this release: %w", err)
	}
	if g.releases.previous, err = parse(o.Previous, o.Username, o.Namespace); err != nil {
		return nil, fmt.Errorf("the admission policies of the previous release: %w", err)
	}
	for _, p := range o.Probes {
		if !g.releases.has(object{policyKind, p.Policy}) {
			return nil, fmt.Errorf("no release has the %s %s, which a probe is for", policyKind, p.Policy)
		}
	}
	g.state.Store(&access.Guard{Broken: unverified})
	return g, nil
}

// State is what is known now. The caller must not change it.
func (g *Guard) State() access.Guard { return *g.state.Load() }

// NeedLeaderElection implements manager.LeaderElectionRunnable: two who keep one record would contradict each other.
func (*Guard) NeedLeaderElection() bool { return true }

// Start implements manager.Runnable. It never fails: a guard that cannot be verified is broken, and the rest goes on.
func (g *Guard) Start(ctx context.Context) error {
	g.started = g.options.Now()
	retry := firstRetry
	for {
		g.watch(ctx)
		wait := retry
		if g.look(ctx) {
			wait, retry = g.interval, firstRetry
		} else {
			retry = min(2*retry, g.interval)
		}
		timer := g.options.Clock.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			g.part(ctx)
			return nil
		case <-g.kick:
			timer.Stop()
			retry = firstRetry
		case <-timer.C():
		}
	}
}

// watch asks the cache to tell of changes. What fails is tried again: until then changes are seen at the next look.
func (g *Guard) watch(ctx context.Context) {
	for _, kind := range []string{policyKind, bindingKind} {
		if g.watched[kind] {
			continue
		}
		metadata := &metav1.PartialObjectMetadata{}
		metadata.SetGroupVersionKind(admissionv1.SchemeGroupVersion.WithKind(kind))
		informer, err := g.options.Cache.GetInformer(ctx, metadata, cache.BlockUntilSynced(false))
		if err == nil {
			_, err = informer.AddEventHandler(g.handler(kind))
		}
		if err != nil {
			log.FromContext(ctx).Error(err, "cannot watch the admission guard", "kind", kind)
			continue
		}
		g.watched[kind] = true
	}
}

// handler has the next look taken at once when one of ours changes.
func (g *Guard) handler(kind string) toolscache.ResourceEventHandler {
	changed := func(o any) {
		if last, ok := o.(toolscache.DeletedFinalStateUnknown); ok {
			o = last.Obj
		}
		if m, ok := o.(metav1.Object); ok && g.releases.has(object{kind, m.GetName()}) {
			select {
			case g.kick <- struct{}{}:
			default: // it will be
			}
		}
	}
	return toolscache.ResourceEventHandlerFuncs{
		AddFunc:    changed,
		DeleteFunc: changed,
		UpdateFunc: func(before, after any) {
			b, okb := before.(metav1.Object)
			a, oka := after.(metav1.Object)
			if !okb || !oka || b.GetUID() != a.GetUID() || b.GetGeneration() != a.GetGeneration() {
				changed(after)
			}
		},
	}
}

// look finds out how things are, and returns whether all is well and on record.
func (g *Guard) look(ctx context.Context) bool {
	began := g.options.Now()
	calls, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	if !g.loaded {
		if err := g.load(calls); err != nil {
			g.silent(ctx, say(err))
			return false
		}
	}
	seen, err := g.read(calls)
	if err != nil {
		g.silent(ctx, say(err))
		return false
	}
	if why := g.fault(seen); why != "" {
		g.fail(ctx, why, false) // what happens to them will show in their pins
	} else if v, why := g.probe(calls, seen); v == accepted {
		g.fail(ctx, why+": see that every API server runs the admission plugin ValidatingAdmissionPolicy; if so, "+remedy, true)
	} else if v == silent {
		g.silent(ctx, why)
	} else {
		g.prove(ctx, began, g.releases.pins(seen))
	}
	g.save(ctx)
	return g.broken == "" && g.missed == 0 && !g.dirty
}

// load reads what is on record, once.
func (g *Guard) load(ctx context.Context) error {
	l, err := g.record.load(ctx)
	if err != nil {
		return err
	}
	g.ledger, g.loaded = l, true
	g.told = g.told || l.Since.IsZero() || g.ledger.lasting() != nil
	g.publish()
	return nil
}

// read reads our policies and bindings.
func (g *Guard) read(ctx context.Context) (map[object]observed, error) {
	var policies admissionv1.ValidatingAdmissionPolicyList
	if err := g.options.Client.List(ctx, &policies); err != nil {
		return nil, fmt.Errorf("listing ValidatingAdmissionPolicies: %w", err)
	}
	var bindings admissionv1.ValidatingAdmissionPolicyBindingList
	if err := g.options.Client.List(ctx, &bindings); err != nil {
		return nil, fmt.Errorf("listing ValidatingAdmissionPolicyBindings: %w", err)
	}
	seen := map[object]observed{}
	for i := range policies.Items {
		p := &policies.Items[i]
		seen[object{policyKind, p.Name}] = observed{p.UID, p.Generation, &p.Spec}
	}
	for i := range bindings.Items {
		b := &bindings.Items[i]
		seen[object{bindingKind, b.Name}] = observed{b.UID, b.Generation, &b.Spec}
	}
	for o := range seen {
		if !g.releases.has(o) {
			delete(seen, o)
		}
	}
	return seen, nil
}

// fault says what is wrong with the policies and bindings, "" if nothing.
func (g *Guard) fault(seen map[object]observed) string {
	missing, foreign := g.releases.judge(seen, g.ledger.Pins)
	var faults []string
	mend := remedy
	if len(missing) > 0 {
		faults = append(faults, "missing: "+list(names(missing)))
	}
	if len(foreign) > 0 {
		faults = append(faults, "not as released: "+list(names(foreign)))
		mend += newer
	}
	if len(faults) == 0 {
		return ""
	}
	return "the admission guard is broken; " + strings.Join(faults, "; ") + ": " + mend
}

func names(objects []object) []string {
	var names []string
	for _, o := range objects {
		names = append(names, o.String())
	}
	return names
}

// probe tries whether the policies work; the worst answer counts.
func (g *Guard) probe(ctx context.Context, seen map[object]observed) (v verdict, why string) {
	for _, p := range g.options.Probes {
		if _, ok := seen[object{policyKind, p.Policy}]; !ok {
			continue // the other release is installed
		}
		switch each, text := p.run(ctx, g.options.Client, g.releases.refusals(p.Policy)); each {
		case accepted:
			return accepted, text
		case silent:
			v, why = silent, text
		case refused:
		}
	}
	return v, why
}

// prove notes that a look which began at a time has proven the guard whole.
func (g *Guard) prove(ctx context.Context, began time.Time, pins map[string]pin) {
	found, changed := g.ledger.proven(began, g.options.Now(), pins)
	g.dirty = g.dirty || changed
	g.missed, g.verified, g.broken = 0, true, ""
	g.publish()
	if found != "" {
		g.tell(ctx, found)
	}
	g.tell(ctx, "")
}

// fail notes that something is wrong; breach, that pins do not show it.
func (g *Guard) fail(ctx context.Context, why string, breach bool) {
	changed := g.ledger.broken(breach)
	g.dirty = g.dirty || changed
	g.missed, g.verified, g.broken = 0, true, why
	g.publish()
	g.tell(ctx, why)
}

// silent notes that a look had no answer. That is nothing new for a guard that is known to be broken, and means nothing
// for one that was whole a moment ago.
func (g *Guard) silent(ctx context.Context, why string) {
	if ctx.Err() != nil {
		return // we are ending
	}
	g.missed++
	now := g.options.Now()
	switch {
	case !g.verified:
		// What was before is not judged by this: the pins will tell.
		g.broken = unverified + ": " + why
		g.publish()
		if now.Sub(g.started) >= 2*g.interval {
			g.tell(ctx, g.broken)
		}
	case g.broken == "" && g.missed > tolerated && now.Sub(g.ledger.LastWhole) >= 2*g.interval:
		changed := g.ledger.broken(false)
		g.dirty = g.dirty || changed
		g.broken = "the admission guard is not known to be whole: " + why
		g.publish()
		g.tell(ctx, g.broken)
	}
}

// publish makes what is known available to others.
func (g *Guard) publish() {
	now := g.ledger.guard(g.broken)
	before := g.state.Swap(&now)
	if before.Broken != now.Broken && g.options.OnChange != nil {
		g.options.OnChange(now)
	}
}

// tell brings the audit trail up to date.
func (g *Guard) tell(ctx context.Context, broken string) {
	if g.told == (broken != "") {
		return
	}
	if g.options.Audit != nil {
		// What could not be told is told at the next look.
		ctx, cancel := context.WithTimeout(ctx, callTimeout)
		defer cancel()
		if g.options.Audit(ctx, broken) != nil {
			return
		}
	}
	g.told = broken != ""
}

// save brings the record up to date. What fails is tried again at the next look: the guard is no worse for it.
func (g *Guard) save(ctx context.Context) {
	if !g.dirty {
		return
	}
	calls, cancel := context.WithTimeout(ctx, callTimeout)
	defer cancel()
	err := g.record.save(calls, g.ledger)
	if apierrors.IsConflict(err) || apierrors.IsAlreadyExists(err) {
		var other ledger
		if other, err = g.record.load(calls); err == nil {
			g.ledger.absorb(other, g.options.Now())
			g.publish()
			err = g.record.save(calls, g.ledger)
		}
	}
	if err != nil && ctx.Err() == nil && !errors.Is(err, context.Canceled) {
		log.FromContext(ctx).Error(err, "cannot record what is known of the admission guard")
	}
	g.dirty = err != nil
}

// part leaves the time of the last proof to the successor.
func (g *Guard) part(ctx context.Context) {
	if whole := g.verified && g.broken == ""; !whole && !g.dirty {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), partingTimeout)
	defer cancel()
	if err := g.record.save(ctx, g.ledger); err != nil {
		log.FromContext(ctx).Error(err, "cannot record when the admission guard was last whole")
	}
}
