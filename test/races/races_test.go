// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package races

import (
	"cmp"
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
)

const (
	// runs of each race, and how many of them go on at once.
	runs, abreast = 25, 5
	// near is how far two approvals may be from each other.
	near = 20 * time.Millisecond
)

// apart is how far an approval and what stands against it may be from each other, so that each of them wins now and then:
// as far as it takes to grant, which the first race finds out.
var apart = 100 * time.Millisecond

// outcome is how a race went, to be looked at again when all of them are over.
type outcome struct {
	grant      *v1alpha1.ProdAccessGrant
	revocation *v1alpha1.AccessRevocation
	took       time.Duration
}

// TestRaces lets two people decide at once. Either may win, but nothing is half done, and no is no.
func TestRaces(t *testing.T) {
	p, err := startOperator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer stop(t, p)
	guarded(t)
	rnd := rand.New(rand.NewPCG(seed(t), 0))
	var all []outcome
	for i, race := range []struct {
		name string
		run  func(*testing.T, *rand.Rand) outcome
	}{
		{"two approvers at once", twoApprovers},
		{"approve against reject", approveAgainstReject},
		{"approve against expiry", approveAgainstExpiry},
		{"revoke against grant", revokeAgainstGrant},
	} {
		t.Run(race.name, func(t *testing.T) { all = append(all, repeat(t, rnd, race.run)...) })
		if i == 0 && len(all) > 0 {
			slices.SortFunc(all, func(a, b outcome) int { return cmp.Compare(a.took, b.took) })
			apart = max(near, all[len(all)/2].took)
		}
	}
	// What was decided stays so, whatever was decided meanwhile.
	events := trail(t)
	for _, o := range all {
		judge(t, events, o)
	}
	onRecord(t)
}

// repeat runs a race, and says how often who won.
func repeat(t *testing.T, rnd *rand.Rand, race func(*testing.T, *rand.Rand) outcome) []outcome {
	t.Helper()
	var mu sync.Mutex
	var all []outcome
	won := map[string]int{}
	var side errgroup.Group
	side.SetLimit(abreast)
	for i := range runs {
		own := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
		side.Go(func() error {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				o := race(t, own)
				mu.Lock()
				defer mu.Unlock()
				all = append(all, o)
				how := access.StateOf(o.grant)
				if o.grant.Status.ActivatedAt != nil && how != v1alpha1.StateGranted {
					how += " after it was granted"
				}
				won[how]++
			})
			return nil
		})
	}
	_ = side.Wait() // nobody returns an error
	t.Logf("of %d: %v", runs, won)
	return all
}

// act is what somebody does, and how long after the signal.
type act struct {
	after time.Duration
	do    func(context.Context) error
}

// atOnce lets people act side by side.
func atOnce(t *testing.T, acts ...act) {
	t.Helper()
	signal := make(chan struct{})
	side, ctx := errgroup.WithContext(t.Context())
	for _, a := range acts {
		side.Go(func() error {
			<-signal
			if err := pause(ctx, a.after); err != nil {
				return err
			}
			return a.do(ctx)
		})
	}
	close(signal)
	if err := side.Wait(); err != nil {
		t.Fatal(err)
	}
}

func within(rnd *rand.Rand, d time.Duration) time.Duration {
	return time.Duration(rnd.Int64N(int64(d)))
}

// halfApproved is a request that Bob has approved, so that one approval more has it granted.
func halfApproved(t *testing.T, expiresAt time.Time) *v1alpha1.ProdAccessGrant {
	t.Helper()
	g := request(person(), expiresAt)
	if err := ask(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	if err := approve(t.Context(), bob, "bob", g); err != nil {
		t.Fatal(err)
	}
	return g
}

func carolApproves(g *v1alpha1.ProdAccessGrant, after time.Duration) act {
	return act{after, func(ctx context.Context) error { return approve(ctx, carol, "carol", g) }}
}

func twoApprovers(t *testing.T, rnd *rand.Rand) outcome {
	g := request(person(), time.Now().Add(time.Hour))
	if err := ask(t.Context(), g); err != nil {
		t.Fatal(err)
	}
	atOnce(t, carolApproves(g, within(rnd, near)), act{within(rnd, near), func(ctx context.Context) error { return approve(ctx, bob, "bob", g) }})
	approved := time.Now()
	ends(t, g, v1alpha1.StateGranted)
	took := time.Since(approved)
	has(t, g, true)
	if len(g.Status.Approvals) != 2 {
		t.Errorf("%s has the approvals %+v", g.Name, g.Status.Approvals)
	}
	return outcome{grant: g, took: took}
}

func approveAgainstReject(t *testing.T, rnd *rand.Rand) outcome {
	g := halfApproved(t, time.Now().Add(time.Hour))
	atOnce(t, carolApproves(g, within(rnd, near)), act{within(rnd, apart), func(ctx context.Context) error {
		return decide(ctx, ann, "ann", g, v1alpha1.DecisionReject)
	}})
	state := ends(t, g, v1alpha1.StateGranted, v1alpha1.StateRejected)
	has(t, g, state == v1alpha1.StateGranted)
	if approved := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionApproved); state == v1alpha1.StateGranted && strings.Contains(approved.Message, g.Name+"-ann") {
		t.Errorf("%s was granted although a rejection was seen: %s", g.Name, approved.Message)
	}
	return outcome{grant: g}
}

func approveAgainstExpiry(t *testing.T, rnd *rand.Rand) outcome {
	deadline := time.Now().Add(2500 * time.Millisecond).Truncate(time.Second)
	g := halfApproved(t, deadline)
	atOnce(t, carolApproves(g, max(0, time.Until(deadline)-apart)+within(rnd, apart)))
	ends(t, g, v1alpha1.StateExpired)
	has(t, g, false)
	if at := g.Status.ActivatedAt; at != nil && !at.Time.Before(deadline) {
		t.Errorf("I2: %s became active at %s, and its deadline was %s", g.Name, at, deadline)
	}
	return outcome{grant: g}
}

func revokeAgainstGrant(t *testing.T, rnd *rand.Rand) outcome {
	g := halfApproved(t, time.Now().Add(time.Hour))
	r := revocation(g, rnd.IntN(2) == 0)
	atOnce(t, carolApproves(g, within(rnd, near)), act{within(rnd, apart*3/2), func(ctx context.Context) error { return eve.Create(ctx, r) }})
	inForce(t, r)
	has(t, g, false) // the revocation says that no access is left
	ends(t, g, v1alpha1.StateRevoked)
	return outcome{grant: g, revocation: r}
}

// judge looks at a race when all of them are over.
func judge(t *testing.T, events map[string]map[string]bool, o outcome) {
	t.Helper()
	g, state := o.grant, access.StateOf(o.grant)
	ends(t, g, state) // still
	has(t, g, state == v1alpha1.StateGranted)
	must, may := []string{audit.EventRequested}, []string{audit.EventApproved}
	if g.Status.ActivatedAt != nil {
		must, may = append(must, audit.EventApproved, audit.EventGranted), nil
	}
	switch state {
	case v1alpha1.StateRejected:
		must = append(must, audit.EventRejected)
	case v1alpha1.StateExpired:
		must = append(must, audit.EventExpired)
	case v1alpha1.StateRevoked:
		must = append(must, audit.EventRevoked)
	}
	told(t, events, g, must, may)
	if o.revocation != nil {
		told(t, events, o.revocation, executed(o.revocation), nil)
	}
}
