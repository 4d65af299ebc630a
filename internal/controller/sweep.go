// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// sweeps read the whole account from time to time: what has happened to the people of live grants, whose credentials are
// about to be too old, and what fences tell to be left over. They cost calls by the pages of the account, not by grants.
type sweeps struct {
	*GrantReconciler
	every  time.Duration
	ticker clock.Clock
	// preflight is what to check once, after the first sweep; nil when there is nothing to check.
	preflight func(ctx context.Context, groups []string) (missing []string, err error)
	// warned is how near to too old the credentials of a grant's person were when it was last told, by the grant's UID.
	warned map[types.UID]int
}

// startAfter is how long after the start the first sweep begins.
const startAfter = 2 * time.Second

// Start implements manager.Runnable.
func (s *sweeps) Start(ctx context.Context) error {
	log := logr.FromContextOrDiscard(ctx).WithName("sweep")
	ctx = logr.NewContext(ctx, log)
	// What is overdue at the start goes before everything else.
	select {
	case <-ctx.Done():
		return nil
	case <-s.ticker.After(min(s.every, startAfter)):
	}
	for {
		s.sweep(ctx)
		next := s.ticker.After(s.every*9/10 + rand.N(s.every/5+1)) //nolint:gosec // jitter, not a secret
		// A report that AWS is making is waited for longer and longer, and nothing but that is asked for meanwhile.
		for wait, waiting := membership.ReportTakes, true; waiting; wait *= 2 {
			var soon <-chan time.Time
			if errors.Is(s.memberships.Report(ctx), membership.ErrReportInMaking) {
				soon = s.ticker.After(wait)
			} else if wait > membership.ReportTakes {
				s.look(ctx)
			}
			select {
			case <-ctx.Done():
				return nil
			case <-next:
				waiting = false
			case <-soon:
			}
		}
	}
}

// NeedLeaderElection implements manager.LeaderElectionRunnable.
func (s *sweeps) NeedLeaderElection() bool { return true }

func (s *sweeps) sweep(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	if err := s.memberships.Sweep(ctx); err != nil {
		log.Info("the account was not read as a whole; trying again", "trouble", err.Error())
	}
	s.look(ctx)
}

// look draws the conclusions from what was read last.
func (s *sweeps) look(ctx context.Context) {
	log := logr.FromContextOrDiscard(ctx)
	var roles v1alpha1.AccessRoleList
	err := s.client.List(ctx, &roles, client.UnsafeDisableDeepCopy, client.DisableReadYourWritesConsistency)
	grants, also := Grants{s.client}.List(ctx, client.DisableReadYourWritesConsistency)
	if err := errors.Join(err, also); err != nil {
		log.Error(err, "listing roles and grants")
		return
	}
	managed := managedBy(roles.Items)
	s.check(ctx, managed, roles.Items)
	s.reclaim(ctx, managed)
	s.deleteStrays(ctx)
	s.judge(roles.Items, grants)
}

// managedBy are the IAM groups that roles name.
func managedBy(roles []v1alpha1.AccessRole) (managed []v1alpha1.IAMGroupName) {
	for i := range roles {
		if a := roles[i].Spec.AWS; a != nil {
			managed = append(managed, a.Groups...)
		}
	}
	return managed
}

// check tells once which rights the operator lacks in AWS. It goes on without them: removals may work all the same.
func (s *sweeps) check(ctx context.Context, managed []v1alpha1.IAMGroupName, roles []v1alpha1.AccessRole) {
	arns := s.memberships.ARNs(managed)
	if s.preflight == nil || len(arns) == 0 {
		return
	}
	log := logr.FromContextOrDiscard(ctx)
	missing, err := s.preflight(ctx, arns)
	s.preflight = nil
	if err != nil {
		log.Info("not all rights in AWS were checked", "trouble", err.Error())
	}
	if len(missing) == 0 {
		log.Info("no right in AWS was seen to be missing", "groups", len(arns), "complete", err == nil)
		return
	}
	for _, m := range missing {
		log.Error(nil, "a right in AWS is missing", "right", m)
	}
	what := status.Bounded(fmt.Sprintf("the operator lacks %d rights in AWS: %s", len(missing), strings.Join(missing, "; ")))
	for i := range roles {
		if a := roles[i].Spec.AWS; a != nil && len(a.Groups) > 0 {
			s.recorder.Eventf(&roles[i], nil, corev1.EventTypeWarning, "RightsMissing", "Inspect", "%s", what)
		}
	}
}

// reclaim takes away what fences tell to be left over.
func (s *sweeps) reclaim(ctx context.Context, managed []v1alpha1.IAMGroupName) {
	log := logr.FromContextOrDiscard(ctx)
	err := s.memberships.Reclaim(ctx, managed, func(user string) {
		what := fmt.Sprintf("the memberships of the IAM user %s are removed: a fence of this cluster tells that they are the operator's, and no grant calls for them", user)
		log.Info(what)
		if err := appendTo(ctx, s.trail, audit.Entry{Event: audit.EventDrift, Time: s.clock.Now(), Subject: user, AppliedBy: s.self, Change: what}); err != nil {
			log.Error(err, "writing the audit trail")
		}
	})
	if err != nil {
		log.Info("what fences tell to be left over is not all gone; trying again", "trouble", err.Error())
	}
}

// judge has looked at again whoever looks as if they were no longer eligible, and warns of credentials.
func (s *sweeps) judge(roles []v1alpha1.AccessRole, grants []v1alpha1.ProdAccessGrant) {
	byName := map[string]*access.Role{}
	for i := range roles {
		byName[roles[i].Name] = &access.Role{Name: roles[i].Name, Spec: roles[i].Spec}
	}
	now := s.clock.Now()
	warned := map[types.UID]int{}
	aging := map[string][4]int{}
	for i := range grants {
		g, role := &grants[i], byName[grants[i].Spec.Role]
		if g.Status.AWS.UserID == "" || access.Terminal(access.StateOf(g)) || role == nil {
			continue
		}
		seen := s.memberships.Swept(g.Status.AWS.UserID)
		if access.StateOf(g) == v1alpha1.StateGranted && (access.Unfenced(g, s.memberships.Fenced) || access.Suspicion(g, role, seen, now) != "") {
			s.wake.wake(keyOf(g), priorityOf(g))
		}
		maxAge := role.MaxCredentialAge()
		near := seen.Credentials.Warning(maxAge, now)
		warned[g.UID] = near
		counts := aging[role.Name]
		counts[near]++
		aging[role.Name] = counts
		if near > s.warned[g.UID] {
			s.recorder.Eventf(g, nil, corev1.EventTypeWarning, "CredentialsAging", "Decide", "the oldest credential of the IAM user %s is %d days old, and the role %s "+
				"allows %d: replace it in time", g.Spec.Subject.IAMUser, days(seen.Credentials.Oldest(now)), role.Name, days(maxAge))
		}
	}
	s.warned = warned
	credentialsAging.Reset()
	for role, counts := range aging {
		for near, level := range agingLevels {
			credentialsAging.WithLabelValues(role, level).Set(float64(counts[near+1]))
		}
	}
}

func days(d time.Duration) int { return int(d.Hours() / 24) }
