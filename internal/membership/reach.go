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
	mu          sync.Mutex
	since, last time.Time
}

// note takes down how a question to AWS ended that was asked at a time, and says since when no question has been answered,
// zero if this one was. Being throttled or denied is an answer.
func (r *reach) note(err error, asked time.Time) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !aws.IsUnreachable(err) {
		if err == nil || aws.Answered(err) {
			r.since = time.Time{}
		}
		return time.Time{}
	}
	if r.since.IsZero() || asked.Sub(r.last) > unheardFor {
		r.since = asked
	}
	r.last = asked
	return r.since
}
