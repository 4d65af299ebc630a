// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

var (
	transitions = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "prod_access_transitions_total",
		Help: "Changes of state of grants, by the state that was entered.",
	}, []string{"kind", "state"})
	removalLag = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "prod_access_removal_lag_seconds",
		Help:    "Time from the deadline of a grant until its access was verified gone.",
		Buckets: []float64{0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800},
	}, []string{"kind"})
)

func init() { metrics.Registry.MustRegister(transitions, removalLag) }

// measure counts a change of state that was stored.
func measure(g *v1alpha1.ProdAccessGrant, state string, now time.Time) {
	const kind = "ProdAccessGrant"
	transitions.WithLabelValues(kind, state).Inc()
	if state == v1alpha1.StateExpired && g.Status.ActivatedAt != nil {
		removalLag.WithLabelValues(kind).Observe(now.Sub(access.Deadline(g)).Seconds())
	}
}
