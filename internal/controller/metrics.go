// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/metrics"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
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

var credentialsAging = prometheus.NewGaugeVec(prometheus.GaugeOpts{
	Name: "prod_access_credentials_aging",
	Help: "Unended grants whose person has credentials past three quarters or eleven twelfths of the age that the role allows, or past it.",
}, []string{"role", "past"})

var (
	emergenciesOpen = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "prod_access_break_glass_open",
		Help: "Emergencies that give access now, by role and by whether the person's MFA device was verified.",
	}, []string{"role", "mfa"})
	reports = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "prod_access_break_glass_reports",
		Help: "Emergencies by what became of their report: the reason of the condition Reported.",
	}, []string{"state"})
)

// agingLevels are the values of the label past, in the order of access.Credentials.Warning.
var agingLevels = []string{"three-quarters", "eleven-twelfths", "all"}

var (
	awsCalls = prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "prod_access_aws_calls_total",
		Help: "Calls to AWS, by what came of them: OK, the error code of AWS, or in one word what happened instead of an answer.",
	}, []string{"operation", "outcome"})
	awsWait = prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name:    "prod_access_aws_wait_seconds",
		Help:    "Time that calls to AWS waited for their turn, so as to stay below the limits of the account.",
		Buckets: []float64{0.001, 0.01, 0.1, 0.5, 1, 5, 10, 30, 60},
	}, []string{"class", "removal"})
	awsRate = prometheus.NewGaugeVec(prometheus.GaugeOpts{
		Name: "prod_access_aws_rate",
		Help: "Calls a second that are allowed at the moment; it falls when AWS throttles, and comes back.",
	}, []string{"class", "removal"})
)

func init() {
	metrics.Registry.MustRegister(transitions, removalLag, credentialsAging, emergenciesOpen, reports, awsCalls, awsWait, awsRate)
}

// ObserveAWS counts a call to AWS that is over.
func ObserveAWS(o aws.Observation) {
	class, removal := string(o.Class), strconv.FormatBool(o.Removal)
	awsCalls.WithLabelValues(o.Operation, o.Outcome).Inc()
	awsWait.WithLabelValues(class, removal).Observe(o.Waited.Seconds())
	awsRate.WithLabelValues(class, removal).Set(o.Rate)
}

// measure counts a change of state that was stored.
func measure(g *v1alpha1.ProdAccessGrant, state string, now time.Time) {
	kind := string(access.KindOf(g))
	transitions.WithLabelValues(kind, state).Inc()
	if state == v1alpha1.StateExpired && g.Status.ActivatedAt != nil {
		removalLag.WithLabelValues(kind).Observe(now.Sub(access.Deadline(g)).Seconds())
	}
}

// countEmergencies measures the emergencies that there are.
func (r *GrantReconciler) countEmergencies(ctx context.Context) {
	all, err := emergencies(ctx, r.client, client.DisableReadYourWritesConsistency)
	if err != nil {
		return // counted the next time
	}
	r.counting.Lock()
	defer r.counting.Unlock()
	emergenciesOpen.Reset()
	for _, state := range []string{v1alpha1.ReasonReportNotDue, v1alpha1.ReasonReportPending, v1alpha1.ReasonReportOverdue, v1alpha1.ReasonApproved} {
		reports.WithLabelValues(state).Set(0)
	}
	for _, g := range all {
		if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionReported); c != nil {
			reports.WithLabelValues(c.Reason).Inc()
		}
		if !access.Gives(g) {
			continue
		}
		mfa := "verified"
		if c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionEligible); c != nil && c.Reason == v1alpha1.ReasonMFAUnverified {
			mfa = "unverified"
		}
		emergenciesOpen.WithLabelValues(g.Spec.Role, mfa).Inc()
	}
}
