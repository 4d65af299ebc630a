// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// Trail is where every change of access is written.
type Trail interface {
	// Append writes entries; when it returns nil they are durable.
	Append(ctx context.Context, entries ...audit.Entry) error
	// Broken says why entries cannot be written, "" if they can.
	Broken() string
}

// appendTo writes entries, within the time that a call may take.
func appendTo(ctx context.Context, t Trail, entries ...audit.Entry) error {
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	return t.Append(ctx, entries...)
}

// Guard tells whether the admission policies can be relied on.
type Guard interface{ State() access.Guard }

// maxOutbox is how many entries a status can hold.
const maxOutbox = 16

// changes are what the audit trail has to say about a new status of a grant.
//
// A change is written to the trail before the status that shows it is stored: a crash in between repeats the line, and
// never loses it. What was written down is true then, because a status follows the facts that it tells.
func changes(before, after *v1alpha1.ProdAccessGrant, now time.Time) []v1alpha1.OutboxEntry {
	at := metav1.NewTime(now.Truncate(time.Second))
	var entries []v1alpha1.OutboxEntry
	add := func(event, message string) {
		entries = append(entries, v1alpha1.OutboxEntry{Event: event, At: at, Message: status.Bounded(message)})
	}
	was, is := access.StateOf(before), access.StateOf(after)
	if was == "" && is != "" {
		add(asked(after))
	}
	if approved := meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionApproved); approved != nil &&
		approved.Status == metav1.ConditionTrue && !meta.IsStatusConditionTrue(before.Status.Conditions, v1alpha1.ConditionApproved) {
		add(audit.EventApproved, approved.Message)
	}
	for _, side := range []string{v1alpha1.ConditionMembershipsSynced, v1alpha1.ConditionBindingsSynced} {
		c, last := meta.FindStatusCondition(after.Status.Conditions, side), meta.FindStatusCondition(before.Status.Conditions, side)
		if c != nil && drifted(c.Reason) && (last == nil || last.Reason != c.Reason) {
			add(audit.EventDrift, c.Message)
		}
	}
	if event := eventOf[is]; event != "" && (was != is || followed(before, after)) {
		add(event, meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionActive).Message)
	}
	return append(entries, inPart(before, after, at)...)
}

// inPart tells of an emergency of which one side exists already, and not the other.
func inPart(before, after *v1alpha1.ProdAccessGrant, at metav1.Time) []v1alpha1.OutboxEntry {
	if !access.Emergency(after) || access.StateOf(after) != v1alpha1.StateGranting || access.Gives(before) || !access.Gives(after) {
		return nil
	}
	return []v1alpha1.OutboxEntry{{Event: audit.EventGranted, At: at, Message: status.Bounded("in part, the rest follows: " + strings.Join(access.Given(after), "; "))}}
}

// followed says whether the AWS side of an emergency now exists which had only its Kubernetes side.
func followed(before, after *v1alpha1.ProdAccessGrant) bool {
	missing := func(g *v1alpha1.ProdAccessGrant) bool {
		return slices.ContainsFunc(g.Status.AWS.Groups, func(m v1alpha1.GroupMembership) bool { return m.Intended && !m.Observed })
	}
	return access.Emergency(after) && access.StateOf(after) == v1alpha1.StateGranted && missing(before) && !missing(after)
}

// asked says that somebody asks.
func asked(g *v1alpha1.ProdAccessGrant) (event, message string) {
	if access.Emergency(g) {
		return audit.EventOpened, fmt.Sprintf("emergency %s: opened %s until %s", g.Spec.Incident, g.Spec.Role, access.Deadline(g).UTC().Format(time.RFC3339))
	}
	return audit.EventRequested, "asked for " + g.Spec.Role
}

func drifted(reason string) bool {
	return reason == v1alpha1.ReasonRemovedByOthers || reason == v1alpha1.ReasonRemovalHeld
}

// eventOf is what the trail calls it when a grant enters a state.
var eventOf = map[string]string{
	v1alpha1.StateGranted: audit.EventGranted, v1alpha1.StateSuspended: audit.EventSuspended, v1alpha1.StateRevoked: audit.EventRevoked,
	v1alpha1.StateExpired: audit.EventExpired, v1alpha1.StateRejected: audit.EventRejected,
}

// eventReasons are the Kubernetes events for changes that are no change of state.
var eventReasons = map[string]struct{ name, kind string }{
	audit.EventRequested: {"Requested", corev1.EventTypeNormal},
	audit.EventApproved:  {"Approved", corev1.EventTypeNormal},
	audit.EventDrift:     {"Drift", corev1.EventTypeWarning},

	audit.EventOpened:         {"Opened", corev1.EventTypeWarning},
	audit.EventReportWritten:  {"ReportWritten", corev1.EventTypeNormal},
	audit.EventReportDue:      {"ReportDue", corev1.EventTypeWarning},
	audit.EventReportOverdue:  {"ReportOverdue", corev1.EventTypeWarning},
	audit.EventReportApproved: {"ReportApproved", corev1.EventTypeNormal},
}

// entriesOf says in the words of the trail what happened to a grant.
func entriesOf(g *v1alpha1.ProdAccessGrant, by string, pending []v1alpha1.OutboxEntry) []audit.Entry {
	var entries []audit.Entry
	for _, o := range pending {
		e := audit.Entry{
			Event: o.Event, Time: o.At.Time, Kind: string(access.KindOf(g)), Name: g.Name, UID: string(g.UID), Digest: g.Status.SpecDigest,
			Role: g.Spec.Role, Ticket: g.Spec.ChangeTicket, Incident: g.Spec.Incident, Change: o.Message,
			Subject: subjectOf(g), RequestedBy: string(g.Spec.RequestedBy), AppliedBy: by, Reason: g.Spec.Reason,
		}
		for _, a := range g.Status.Approvals {
			e.Approvers = append(e.Approvers, string(a.Approver))
		}
		entries = append(entries, e)
	}
	return entries
}

func subjectOf(g *v1alpha1.ProdAccessGrant) string {
	if g.Spec.Subject.IAMUser != "" {
		return g.Spec.Subject.IAMUser
	}
	return string(g.Spec.Subject.KubernetesUser)
}

// keep puts what could not be written to the trail into an outbox. Once that is full the last entry stands for all that
// came after it.
func keep(outbox, entries []v1alpha1.OutboxEntry) []v1alpha1.OutboxEntry {
	for _, e := range entries {
		if len(outbox) == maxOutbox {
			e.Message = status.Bounded(fmt.Sprintf("(after changes that are not listed, because there was no room) %s", e.Message))
			outbox[maxOutbox-1] = e
			continue
		}
		outbox = append(outbox, e)
	}
	return outbox
}
