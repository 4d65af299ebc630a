// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws

import (
	"context"
	"net/http"
	"time"

	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/smithy-go/middleware"
)

const (
	// accountFactor is how much longer a call about the whole account may take: its answers are large.
	accountFactor = 4
	// readFactor is how much longer than one attempt a read may take.
	readFactor = 3
)

// calls is what every call goes through.
type calls struct {
	options Options
	limiter limiter
	signers *signers
}

// call is one call on its way through its attempts.
type call struct {
	action   Action
	lane     lane
	removal  bool
	bucket   *bucket
	attempts int
	waited   time.Duration
	last     error // how the last attempt ended

	temporary bool       // about a temporary user
	by        *otherRole // who signed it, nil for the operator's own role
	passed    int        // how many of those who would sign it were passed over
}

// yields says whether somebody else may sign the call where the role that is meant for it does not work: a removal, and what it
// goes by, must not wait for that role.
func (c *call) yields() bool { return c.action.Class != Add || c.removal }

type callKey struct{}

func callOf(ctx context.Context) *call {
	c, _ := ctx.Value(callKey{}).(*call)
	return c
}

// register puts the limits around an operation: those of the call around its attempts, those of an attempt within.
func (c *calls) register(stack *middleware.Stack) error {
	if err := stack.Initialize.Add(middleware.InitializeMiddlewareFunc("BoundCall", c.bound), middleware.Before); err != nil {
		return err
	}
	return stack.Finalize.Insert(middleware.FinalizeMiddlewareFunc("BoundAttempt", c.attempt), "Retry", middleware.After)
}

func (c *calls) bound(ctx context.Context, in middleware.InitializeInput, next middleware.InitializeHandler) (
	out middleware.InitializeOutput, metadata middleware.Metadata, err error,
) {
	now := &call{action: actionOf(middleware.GetOperationName(ctx)), temporary: isOnTemporaryUser(ctx)}
	now.lane = laneOf(ctx, now.action)
	now.removal = now.lane == removal
	now.bucket = c.limiter[share{now.action.Class, now.lane}]
	ctx = context.WithValue(ctx, callKey{}, now)
	if c.options.Observe != nil {
		observed := now.bucket
		if now.lane == emergency {
			observed = c.limiter[share{now.action.Class, ordinary}] // its own is on top of that, and told by nobody
		}
		defer func() {
			c.options.Observe(Observation{
				Operation: now.action.Operation, Outcome: outcome(err), Class: now.action.Class, Removal: now.removal,
				Waited: now.waited, Rate: observed.rate(),
			})
		}()
	}
	if err := c.wait(ctx, now); err != nil {
		return out, metadata, &unasked{err}
	}
	// The time that it takes to get credentials is not the call's.
	if _, err := c.signers.Retrieve(ctx); ctx.Err() != nil {
		return out, metadata, &abandoned{ctx.Err()}
	} else if err != nil {
		return out, metadata, &unsigned{err}
	}
	bounded, cancel := context.WithTimeout(ctx, c.patience(now.action))
	defer cancel()
	out, metadata, err = next.HandleInitialize(bounded, in)
	c.signers.renew(err)
	// A removal goes on whatever is wrong with the role that is meant for it.
	for first := err; now.by != nil && now.yields() && c.signers.refused(ctx, now.by, err); {
		now.passed++
		if out, metadata, err = next.HandleInitialize(bounded, in); IsDenied(err) && now.by == nil {
			err = first
		}
	}
	err = now.judge(ctx, bounded, err)
	if now.action.Secret && err != nil {
		err = discreet(err)
	}
	return out, metadata, err
}

// patience is how long a call may take with all its attempts.
func (c *calls) patience(a Action) time.Duration {
	switch {
	case a.write():
		return c.options.Timeout
	case a.Class == Account:
		return accountFactor * readFactor * c.options.Timeout
	default:
		return readFactor * c.options.Timeout
	}
}

// wait waits for a turn: a removal as long as it takes, all else for the time of a call. Whoever waits holds what a removal
// of the same person may need, and goes by what was so before.
func (c *calls) wait(ctx context.Context, now *call) error {
	began := c.options.Clock.Now()
	defer func() { now.waited += c.options.Clock.Since(began) }()
	now.bucket = c.limiter[share{now.action.Class, now.lane}]
	if now.lane == emergency {
		if first := c.limiter[share{now.action.Class, ordinary}]; first.free() {
			now.bucket = first
			return nil
		}
	}
	limit := c.options.Timeout
	if now.removal {
		limit = 0
	}
	return now.bucket.wait(ctx, limit)
}

// attempt takes a turn for each further attempt, and notes how each ended.
func (c *calls) attempt(ctx context.Context, in middleware.FinalizeInput, next middleware.FinalizeHandler) (
	out middleware.FinalizeOutput, metadata middleware.Metadata, err error,
) {
	now := callOf(ctx)
	if now.attempts++; now.attempts > 1 {
		if err := c.wait(ctx, now); err != nil {
			return out, metadata, err
		}
	}
	began := c.options.Clock.Now()
	out, metadata, err = next.HandleFinalize(ctx, in)
	now.last = err
	if IsThrottled(err) {
		now.bucket.throttled(began)
	}
	return out, metadata, err
}

// judge is the error of a call as it is told. Time that ran out while waiting to try again hides what AWS had answered.
func (c *call) judge(ctx, bounded context.Context, err error) error {
	switch {
	case err == nil || Answered(err):
		return err
	case bounded.Err() == nil:
		return err
	case Answered(c.last):
		return c.last
	case ctx.Err() != nil:
		return &abandoned{err}
	default:
		return &unanswered{err}
	}
}

// transport is the HTTP client of the calls: patient with those about the whole account.
func (c *calls) transport(quick iam.HTTPClient) iam.HTTPClient {
	patient := quick
	if b, ok := quick.(*awshttp.BuildableClient); ok {
		patient = b.WithTimeout(accountFactor * c.options.Timeout)
	}
	do := exchange(func(req *http.Request) (*http.Response, error) {
		if callOf(req.Context()).action.Class == Account {
			return patient.Do(req)
		}
		return quick.Do(req)
	})
	if c.options.Watch == nil {
		return do
	}
	return exchange(c.options.Watch(do).RoundTrip)
}
