// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"errors"
	"math"
	"sync"
	"time"

	"golang.org/x/time/rate"
	"k8s.io/utils/clock"
)

// DefaultRate is how many reads a second AWS is asked at most unless told otherwise. The other limits follow from the rate
// of reads: a tenth of it for calls about the whole account, a quarter for what adds, a half for what removes. Calls for a
// removal have limits of their own besides, of the same size, but for twice the reads: an ending costs four for each
// removal. A second's worth may go at once.
//
// AWS publishes no figures. Its limits are for each operation in the whole account, shared with people and tools, and not
// adjustable. Source: https://repost.aws/knowledge-center/iam-sts-throttling-error
const DefaultRate = 20.0

// LowestRate is what a rate must be at least: below it, a tenth of it brings the second of two calls about the whole
// account its turn only after the 5 seconds that it waits for it, so that an account of two pages is never read.
const LowestRate = 2.0

const (
	// minRate is the share of a limit that throttling leaves in any case.
	minRate = 1.0 / 10
	// recovery is the share of a limit that comes back with each second without throttling.
	recovery = 1.0 / 20
)

type laneKey struct{}

// lane is what calls of one kind of work share their turns with.
type lane string

const (
	ordinary  lane = ""
	removal   lane = "removal"
	emergency lane = "emergency"
)

// ForRemoval marks what is done with the context as part of taking access away. It has a share of the limiter of its own,
// so that nothing else delays it, waits for its turn as long as the context allows, and is signed by the role of --revoke-role-arn where there is one.
func ForRemoval(ctx context.Context) context.Context {
	return context.WithValue(ctx, laneKey{}, removal)
}

// ForEmergency marks what is done with the context as part of opening an emergency: it takes its turn with ordinary work where
// nobody waits, and has a small share of the limiter of its own, so that it never stands in line behind that.
func ForEmergency(ctx context.Context) context.Context {
	return context.WithValue(ctx, laneKey{}, emergency)
}

// laneOf is the lane of a call. What only takes away is always part of a removal; what adds never is, lest it use up the share
// of removals, but for the policy that takes everything from a temporary user.
func laneOf(ctx context.Context, a Action) lane {
	marked, _ := ctx.Value(laneKey{}).(lane)
	switch {
	case a.Class == Remove && !a.Grantor:
		return removal
	case a.Class == Add && marked == removal && (!a.Contains || !isOnTemporaryUser(ctx)):
		return ordinary
	}
	return marked
}

type share struct {
	class Class
	lane  lane
}

// limiter has a bucket for each class of calls, and further ones for each class within removals and within emergencies.
type limiter map[share]*bucket

func newLimiter(reads float64, c clock.Clock) limiter {
	l := limiter{}
	for class, part := range map[Class]float64{Read: 1, Account: 1.0 / 10, Add: 1.0 / 4, Remove: 1.0 / 2} {
		l[share{class, ordinary}] = newBucket(reads*part, c)
		l[share{class, emergency}] = newBucket(max(1, reads*part/4), c)
		if class == Read {
			part *= 2
		}
		l[share{class, removal}] = newBucket(reads*part, c)
	}
	return l
}

// bucket lets calls through at a rate that halves when AWS throttles and comes back with time.
type bucket struct {
	clock clock.Clock
	full  float64       // calls a second when AWS does not throttle
	turn  chan struct{} // held by the one that is next, so that a rate that has changed holds for all behind it

	mu     sync.Mutex
	tokens *rate.Limiter
	cut    float64   // the rate after AWS throttled last
	cutAt  time.Time // when that was; zero if never
}

func newBucket(full float64, c clock.Clock) *bucket {
	return &bucket{clock: c, full: full, cut: full, turn: make(chan struct{}, 1), tokens: rate.NewLimiter(rate.Limit(full), int(math.Ceil(full)))}
}

// errNoTurn is a turn that did not come in time.
var errNoTurn = errors.New("no turn at the limiter")

// wait returns when the caller's turn has come, in the order of asking. It returns errNoTurn if that takes longer than the
// limit, 0 being none, and the error of the context if that ends.
func (b *bucket) wait(ctx context.Context, limit time.Duration) error {
	var late <-chan time.Time
	if limit > 0 {
		timer := b.clock.NewTimer(limit)
		defer timer.Stop()
		late = timer.C()
	}
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	case <-late:
		return errNoTurn
	case <-ctx.Done():
		return ctx.Err()
	}
	r, delay := b.reserve()
	if delay == 0 {
		return nil
	}
	timer := b.clock.NewTimer(delay)
	defer timer.Stop()
	var err error
	select {
	case <-timer.C():
		return nil
	case <-late:
		err = errNoTurn
	case <-ctx.Done():
		err = ctx.Err()
	}
	r.CancelAt(b.clock.Now())
	return err
}

// free takes a turn if it can be had at once, and nobody waits for it.
func (b *bucket) free() bool {
	select {
	case b.turn <- struct{}{}:
		defer func() { <-b.turn }()
	default:
		return false
	}
	r, delay := b.reserve()
	if delay > 0 {
		r.CancelAt(b.clock.Now())
		return false
	}
	return true
}

func (b *bucket) reserve() (*rate.Reservation, time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	now := b.clock.Now()
	b.tokens.SetLimitAt(now, rate.Limit(b.rateAt(now)))
	r := b.tokens.ReserveN(now, 1)
	return r, r.DelayFrom(now)
}

// throttled halves the rate because AWS throttled an attempt that began then. Attempts that began before the last time
// say nothing new: otherwise a few at once would bring the rate down to its floor.
func (b *bucket) throttled(began time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.cutAt.IsZero() && !began.After(b.cutAt) {
		return
	}
	now := b.clock.Now()
	b.cut, b.cutAt = max(b.rateAt(now)/2, b.full*minRate), now
	b.tokens.SetLimitAt(now, rate.Limit(b.cut))
	// What was saved up is not AWS's to give any more.
	b.tokens.AllowN(now, int(max(0, b.tokens.TokensAt(now))))
}

// rate is how many calls a second are let through now.
func (b *bucket) rate() float64 {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.rateAt(b.clock.Now())
}

func (b *bucket) rateAt(now time.Time) float64 {
	return min(b.full, b.cut+b.full*recovery*now.Sub(b.cutAt).Seconds())
}
