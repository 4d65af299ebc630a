// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package clock tells the time that access is decided by.
package clock

import (
	"net/http"
	"sync"
	"time"

	"k8s.io/utils/clock"
)

// Clock is the later of the local clock and the latest time that a server whose answers we act on has told us, and it
// never goes back: a machine whose clock is slow, or steps back, must not keep access alive.
// Safe for concurrent use.
type Clock struct {
	local clock.PassiveClock

	mu     sync.Mutex
	latest time.Time
}

// New makes a Clock of a local one.
func New(local clock.PassiveClock) *Clock { return &Clock{local: local} }

// Now is the time.
func (c *Clock) Now() time.Time { return c.observe(c.local.Now()) }

func (c *Clock) observe(t time.Time) time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	if t.After(c.latest) {
		c.latest = t
	}
	return c.latest
}

// Watch wraps an HTTP transport so that the Date header of every answer is taken into account (RFC 9110, 6.6.1; whole
// seconds, rounded down by the server, so it is never ahead of the server's clock).
func (c *Clock) Watch(next http.RoundTripper) http.RoundTripper { return watcher{clock: c, next: next} }

type watcher struct {
	clock *Clock
	next  http.RoundTripper
}

// RoundTrip implements http.RoundTripper.
func (w watcher) RoundTrip(req *http.Request) (*http.Response, error) {
	resp, err := w.next.RoundTrip(req)
	if err != nil {
		return nil, err
	}
	if t, perr := http.ParseTime(resp.Header.Get("Date")); perr == nil {
		w.clock.observe(t)
	}
	return resp, nil
}

// WrappedRoundTripper lets client-go find the transport below, to cancel and to close idle connections.
func (w watcher) WrappedRoundTripper() http.RoundTripper { return w.next }
