// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"sync"
	"time"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// unheardFor is how long after a question that was not answered the next one still belongs to it: nobody knows what AWS
// would have answered in between.
const unheardFor = time.Minute

// reach knows since when AWS has given no answer at all. The zero reach has not asked. Safe for concurrent use.
type reach struct {
	mu sync.Mutex
	// since is when the first question was asked of those that were not answered, last when the last was, and heard when AWS
	// last answered anything.
	since, last, heard time.Time
}

// answered takes down that AWS has given an answer.
func (r *reach) answered(now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.since, r.heard = time.Time{}, now
}

// note takes down how a question to AWS ended that was asked at a time, and says since when nothing has been answered, zero if this
// question was. Being throttled or denied is an answer.
func (r *reach) note(err error, asked, now time.Time) time.Time {
	if err == nil || aws.Answered(err) {
		r.answered(now)
	}
	if !aws.IsUnreachable(err) {
		return time.Time{}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.since.IsZero() || asked.Sub(r.last) > unheardFor {
		r.since = asked
	}
	if r.since.Before(r.heard) {
		r.since = r.heard
	}
	r.last = asked
	return r.since
}
