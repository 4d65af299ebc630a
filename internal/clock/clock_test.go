// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package clock_test

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	testclock "k8s.io/utils/clock/testing"

	"github.com/hera-platform/prod-access-operator/internal/clock"
)

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// I2: a clock that steps back, or is slow, keeps no access alive.
func TestI2NowIsTheLaterOfLocalAndServers(t *testing.T) {
	local := testclock.NewFakePassiveClock(start)
	c := clock.New(local)
	expect := func(want time.Time, when string) {
		t.Helper()
		if got := c.Now(); !got.Equal(want) {
			t.Errorf("%s: now is %s, want %s", when, got, want)
		}
	}
	expect(start, "at first")
	local.SetTime(start.Add(time.Minute))
	expect(start.Add(time.Minute), "as time goes by")
	local.SetTime(start)
	expect(start.Add(time.Minute), "after the local clock stepped back")

	date := start.Add(time.Hour).Format(http.TimeFormat)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header()["Date"] = []string{date}
	}))
	defer server.Close()
	ask := func() {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, server.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := c.Watch(http.DefaultTransport).RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		_ = resp.Body.Close()
	}
	ask()
	expect(start.Add(time.Hour), "after a server knew better")
	date = start.Format(http.TimeFormat)
	ask()
	expect(start.Add(time.Hour), "after a server that is slow")
	date = "yesterday"
	ask()
	expect(start.Add(time.Hour), "after a server that is silly")
	local.SetTime(start.Add(2 * time.Hour))
	expect(start.Add(2*time.Hour), "when the local clock has caught up")
}
