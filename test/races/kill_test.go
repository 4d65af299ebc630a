// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package races

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"
	rbacv1 "k8s.io/api/rbac/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// minKills is how often the operator dies at least.
	minKills = 10
	// A life lasts from a start that has hardly begun to some work done.
	shortestLife, longestLife = 300 * time.Millisecond, 6 * time.Second
	// leisure is how long at most people wait between two revocations.
	leisure = 400 * time.Millisecond
)

// How a grant is revoked.
const (
	stays     = "" // not at all
	byGrant   = "an AccessRevocation of the grant"
	byPerson  = "an AccessRevocation of the person"
	byDelete  = "the deletion of the grant"
	byBinding = "the deletion of its binding"
)

// plan is how many grants are revoked in which way. No more bindings go than are believed to have been meant at once.
var plan = []struct {
	how string
	n   int
}{{byGrant, 40}, {byPerson, 30}, {byDelete, 25}, {byBinding, 5}, {stays, 10}}

// story is what happens to one grant.
type story struct {
	*v1alpha1.ProdAccessGrant
	how string
}

// TestKilledAtRandom has 100 grants made and approved, and then 100 revoked, while the operator is killed again and again.
// Nobody may notice: access is what the objects say, and the trail has every change.
func TestKilledAtRandom(t *testing.T) {
	rnd := rand.New(rand.NewPCG(seed(t), 1))
	var stories []*story
	for _, p := range plan {
		for i := range p.n {
			var user string
			if p.how == stays {
				user = stories[i].Spec.Subject.IAMUser // another grant of theirs is revoked, and the membership has to stay
			} else {
				user = person()
			}
			stories = append(stories, &story{request(user, time.Now().Add(time.Hour)), p.how})
		}
	}
	rnd.Shuffle(len(stories), func(i, j int) { stories[i], stories[j] = stories[j], stories[i] })

	first, err := startOperator(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	k := hunt(t, first, rnd)
	guarded(t)
	grantAll(t, stories)
	killsSoFar := k.kills.Load()
	revokeAll(t, stories, rnd)
	eventually(t, "enough kills", func(context.Context) (bool, error) { return k.kills.Load() >= minKills, nil })
	survivor := k.end(t)
	t.Logf("killed %d times while granting, %d times while revoking", killsSoFar, k.kills.Load()-killsSoFar)

	var again []*v1alpha1.ProdAccessGrant
	for _, s := range stories {
		again = append(again, s.over(t)...)
	}
	for _, g := range again {
		ends(t, g, v1alpha1.StateRevoked)
	}
	var revocations v1alpha1.AccessRevocationList
	if err := admin.List(t.Context(), &revocations); err != nil {
		t.Fatal(err)
	}
	for i := range revocations.Items {
		inForce(t, &revocations.Items[i])
	}
	onRecord(t)

	stop(t, survivor)
	untampered(t)
	events := trail(t)
	for _, s := range stories {
		must, may := []string{audit.EventRequested, audit.EventApproved, audit.EventGranted}, []string(nil)
		if s.how != stays {
			must = append(must, audit.EventRevoked)
		}
		if s.how == byBinding {
			may = []string{audit.EventDrift}
		}
		told(t, events, s, must, may)
	}
	for _, g := range again {
		told(t, events, g, []string{audit.EventRequested, audit.EventRevoked}, nil)
	}
	remembered := map[string]bool{}
	for i := range revocations.Items {
		r := &revocations.Items[i]
		told(t, events, r, executed(r), nil)
		if r.Spec.Grant != nil && r.Spec.RevokedBy == account {
			remembered[r.Spec.Grant.Name+r.Spec.Grant.SpecDigest] = true
		}
	}
	for _, s := range stories {
		if (s.how == byDelete || s.how == byBinding) && !remembered[s.Name+access.SpecDigest(&s.Spec)] {
			t.Errorf("I3: %s has ended by %s, and nothing remembers it", s.Name, s.how)
		}
	}
}

// grantAll has everything asked for, approved, and granted.
func grantAll(t *testing.T, stories []*story) {
	t.Helper()
	side, ctx := errgroup.WithContext(t.Context())
	side.SetLimit(abreast)
	for _, s := range stories {
		side.Go(func() error {
			if err := ask(ctx, s.ProdAccessGrant); err != nil {
				return err
			}
			return errors.Join(approve(ctx, bob, "bob", s.ProdAccessGrant), approve(ctx, carol, "carol", s.ProdAccessGrant))
		})
	}
	if err := side.Wait(); err != nil {
		t.Fatal(err)
	}
	for _, s := range stories {
		ends(t, s.ProdAccessGrant, v1alpha1.StateGranted)
	}
}

// revokeAll has everything revoked that is to be revoked, one after the other.
func revokeAll(t *testing.T, stories []*story, rnd *rand.Rand) {
	t.Helper()
	for _, s := range stories {
		if err := pause(t.Context(), within(rnd, leisure)); err != nil {
			t.Fatal(err)
		}
		var err error
		switch g := s.ProdAccessGrant; s.how {
		case byGrant:
			err = eve.Create(t.Context(), revocation(g, false))
		case byPerson:
			err = eve.Create(t.Context(), revocation(g, true))
		case byDelete:
			err = dana.Delete(t.Context(), g)
		case byBinding:
			err = admin.Delete(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)}})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// over waits until a grant is where its story ends, and returns what was asked for once more.
func (s *story) over(t *testing.T) (again []*v1alpha1.ProdAccessGrant) {
	t.Helper()
	switch s.how {
	case stays:
		ends(t, s.ProdAccessGrant, v1alpha1.StateGranted)
	case byDelete:
		eventually(t, s.Name+" is gone", func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(s), &v1alpha1.ProdAccessGrant{})
			return apierrors.IsNotFound(err), client.IgnoreNotFound(err)
		})
		g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: s.Name}, Spec: s.Spec}
		if err := dana.Create(t.Context(), g); err != nil {
			t.Fatal(err)
		}
		return []*v1alpha1.ProdAccessGrant{g}
	default:
		ends(t, s.ProdAccessGrant, v1alpha1.StateRevoked)
	}
	return nil
}

// hunter kills operators and starts others.
type hunter struct {
	kills atomic.Int64
	quit  chan struct{}
	once  sync.Once
	done  chan struct{}
	// last is the operator that lives on, nil where err says why; both are set before done is closed.
	last *operator.Process
	err  error
}

// hunt goes on until end, and no longer than the test.
func hunt(t *testing.T, p *operator.Process, rnd *rand.Rand) *hunter {
	t.Helper()
	h := &hunter{quit: make(chan struct{}), done: make(chan struct{})}
	t.Cleanup(func() {
		h.once.Do(func() { close(h.quit) })
		if <-h.done; h.last != nil {
			_ = h.last.Stop() // it has been judged before
		}
	})
	own := rand.New(rand.NewPCG(rnd.Uint64(), rnd.Uint64()))
	ctx := context.WithoutCancel(t.Context())
	go func() {
		defer close(h.done)
		for {
			life := time.NewTimer(shortestLife + within(own, longestLife-shortestLife))
			select {
			case <-h.quit:
				life.Stop()
				h.last = p
				return
			case <-p.Done():
				h.err = errors.New("the operator has ended by itself")
				return
			case <-life.C:
			}
			p.Kill()
			h.kills.Add(1)
			if p, h.err = startOperator(ctx); h.err != nil {
				return
			}
		}
	}()
	return h
}

// end lets the last operator live.
func (h *hunter) end(t *testing.T) *operator.Process {
	t.Helper()
	h.once.Do(func() { close(h.quit) })
	if <-h.done; h.err != nil {
		t.Fatal(h.err)
	}
	return h.last
}
