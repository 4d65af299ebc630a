// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// Bounds of what is collected for a report.
const (
	maxNoted       = 16
	maxOtherAccess = 32
	// maxBoundText is the longest that status.facts.bound holds, and maxSummary as much of a report as the trail tells.
	maxBoundText = 512
	maxSummary   = 256
)

// emergencies are all emergencies, in the form of grants.
func emergencies(ctx context.Context, c client.Reader) ([]*v1alpha1.ProdAccessGrant, error) {
	var list v1alpha1.BreakGlassList
	if err := c.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return nil, fmt.Errorf("listing BreakGlasses: %w", err)
	}
	all := make([]*v1alpha1.ProdAccessGrant, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, access.FromBreakGlass(&list.Items[i]))
	}
	return all, nil
}

// lane is where slow calls of the object run.
func (p *pass) lane() *lane {
	if p.glass != nil {
		return p.tasks.urgent
	}
	return p.tasks.granting
}

// urgently gives the calls of an emergency a share of their own of what AWS is asked.
func (p *pass) urgently(ctx context.Context) context.Context {
	if p.glass != nil {
		return aws.ForEmergency(ctx)
	}
	return ctx
}

// storeStatus writes the status, provided that nobody changed the object meanwhile.
func (p *pass) storeStatus(ctx context.Context) error {
	if p.glass == nil {
		return p.client.Status().Patch(ctx, p.g, client.MergeFromWithOptions(p.stored, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner))
	}
	access.IntoBreakGlass(p.g, p.glass) // the outbox has changed since
	err := p.client.Status().Patch(ctx, p.glass, client.MergeFromWithOptions(p.glassStored, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner))
	if err != nil {
		return err
	}
	p.glassStored = p.glass.DeepCopy()
	p.g.ObjectMeta = *p.glass.ObjectMeta.DeepCopy()
	return nil
}

// storeFinalizers writes the finalizers of an emergency.
func (p *pass) storeFinalizers(ctx context.Context) error {
	o := p.glassStored.DeepCopy()
	o.Finalizers = slices.Clone(p.g.Finalizers)
	if err := p.client.Patch(ctx, o, client.MergeFromWithOptions(p.glassStored, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner)); err != nil {
		return client.IgnoreNotFound(err)
	}
	p.glassStored, p.glass = o.DeepCopy(), o
	p.g.ObjectMeta = *o.ObjectMeta.DeepCopy()
	p.stored = p.g.DeepCopy()
	return nil
}

// account brings what an emergency has beyond a grant in line with what has become of it: the facts for whoever writes the
// report, and the report. told is what is new beside; it returns what else is.
func (p *pass) account(ctx context.Context, told []v1alpha1.OutboxEntry) []v1alpha1.OutboxEntry {
	access.IntoBreakGlass(p.g, p.glass)
	p.collect(ctx, told)
	r := p.report(ctx)
	s, at := &p.glass.Status, metav1.NewTime(p.now.Truncate(time.Second))
	s.ReportDigest, s.ReportApprovedBy = r.Digest, r.ApprovedBy
	if s.ReportDueAt == nil && !r.DueAt.IsZero() {
		s.ReportDueAt = &metav1.Time{Time: r.DueAt}
	}
	if s.ReportRemindedAt == nil && r.Remind {
		s.ReportRemindedAt = &at
	}
	status.Reported(p.glass, r.Reported, p.now)
	p.g.Status.Conditions = slices.Clone(s.Conditions)
	p.reportWake, p.reportUnheard = r.WakeAt, r.Ask
	return reportChanges(p.glassStored, p.glass, at)
}

// followReport says when to look at the report again.
func (p *pass) followReport(ctx context.Context, d *access.Decision) {
	if p.glass == nil {
		return
	}
	p.countEmergencies(ctx)
	if p.reportUnread || p.reportUnheard {
		p.again = access.RetryAfter
	}
	if !p.reportWake.IsZero() && (d.WakeAt.IsZero() || p.reportWake.Before(d.WakeAt)) {
		d.WakeAt = p.reportWake
	}
}

// reportChanges are what the trail has to say about the report.
func reportChanges(before, after *v1alpha1.BreakGlass, at metav1.Time) []v1alpha1.OutboxEntry {
	var entries []v1alpha1.OutboxEntry
	add := func(event, message string) {
		entries = append(entries, v1alpha1.OutboxEntry{Event: event, At: at, Message: status.Bounded(message)})
	}
	was, is := meta.FindStatusCondition(before.Status.Conditions, v1alpha1.ConditionReported), meta.FindStatusCondition(after.Status.Conditions, v1alpha1.ConditionReported)
	if d := after.Status.ReportDigest; d != "" && d != before.Status.ReportDigest && after.Spec.Report != nil {
		summary := after.Spec.Report.Summary
		add(audit.EventReportWritten, fmt.Sprintf("the report of %s (%s): %s", after.Spec.Report.WrittenBy, d, strings.ToValidUTF8(summary[:min(len(summary), maxSummary)], "")))
	}
	if before.Status.ReportRemindedAt == nil && after.Status.ReportRemindedAt != nil && is.Reason == v1alpha1.ReasonReportPending {
		add(audit.EventReportDue, "the report is due within a day: "+is.Message)
	}
	if was != nil && was.Reason == is.Reason {
		return entries
	}
	switch is.Reason {
	case v1alpha1.ReasonReportOverdue:
		add(audit.EventReportOverdue, "the report is "+is.Message)
	case v1alpha1.ReasonApproved:
		add(audit.EventReportApproved, is.Message)
	}
	return entries
}

// report judges the report. Who is who is asked only when somebody's approval depends on it.
func (p *pass) report(ctx context.Context) access.Report {
	b := p.glass
	f := access.ReportFacts{BreakGlass: b, Role: p.facts.Role, Guard: p.guard.State(), Revocations: p.facts.Revocations, Unknown: "it is being asked"}
	if b.Status.EndedAt != nil && b.Status.ActivatedAt != nil {
		p.hear(ctx, &f)
	}
	r := access.DecideReport(f, p.now)
	if !r.Ask {
		return r
	}
	f.Unknown = p.learnWho()
	f.Who = p.who
	return access.DecideReport(f, p.now)
}

// hear reads what people say about the report. What cannot be read is not heard, and is read again.
func (p *pass) hear(ctx context.Context, f *access.ReportFacts) {
	var err error
	if f.Role == nil {
		if f.Role, err = p.roles.Read(ctx, p.g.Spec.Role); err != nil {
			p.log.Info("the report's role is not read", "trouble", err.Error())
		}
	}
	if f.BreakGlass.Spec.Report == nil {
		return
	}
	if err = p.readApprovals(ctx); err == nil && len(p.facts.Approvals) > 0 {
		f.Approvals = p.facts.Approvals
		f.MayApprove, err = p.rights.mayApprove(ctx, p.g, f.Approvals, p.now)
	}
	if err != nil {
		p.reportUnread = true
		p.log.Error(err, "looking whether the report is approved")
	}
}

// directory is who is who, as AWS says.
type directory struct {
	who access.Directory
	err error
}

// learnWho asks AWS who is who; it says why that is not known, "" if it is.
func (p *pass) learnWho() (unknown string) {
	if p.memberships == nil || p.whoKnown {
		return ""
	}
	answer, ok := await(p, taskDirectory, p.tasks.granting, func(ctx context.Context) directory {
		who, err := p.memberships.Directory(ctx)
		return directory{who, err}
	})
	switch {
	case !ok:
		return "AWS is being asked"
	case answer.err != nil:
		return answer.err.Error()
	}
	p.who, p.whoKnown = answer.who, true
	return ""
}

// collect keeps the facts for whoever writes the report.
func (p *pass) collect(ctx context.Context, told []v1alpha1.OutboxEntry) {
	s := &p.glass.Status
	f := &s.Facts
	f.OpenedAt, f.OpenedBy = p.glass.CreationTimestamp.DeepCopy(), p.glass.Spec.OpenedBy
	if s.ActivatedAt != nil && s.EndedAt != nil {
		f.Lasted = &metav1.Duration{Duration: s.EndedAt.Sub(s.ActivatedAt.Time)}
	}
	if c := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionEligible); c != nil && c.Reason == v1alpha1.ReasonMFAUnverified {
		f.MFAUnverified = true
	}
	p.collectChanges(f, told)
	if access.StateOf(p.g) == v1alpha1.StateGranted {
		for _, what := range access.Given(p.g) {
			f.Bound = noted(f.Bound, what[:min(len(what), maxBoundText)])
		}
		p.collectOtherAccess(ctx, f)
	}
}

// collectChanges keeps what others did to the access.
func (p *pass) collectChanges(f *v1alpha1.EmergencyFacts, told []v1alpha1.OutboxEntry) {
	s := &p.glass.Status
	for _, e := range told {
		if e.Event == audit.EventDrift {
			f.Changes = noted(f.Changes, e.Message)
		}
	}
	if was, is := p.glassStored.Status.Kubernetes.RulesHash, s.Kubernetes.RulesHash; was != "" && is != "" && was != is {
		f.Changes = noted(f.Changes, fmt.Sprintf("%s: the rules of the ClusterRole %s changed", p.now.UTC().Format(time.RFC3339), s.Kubernetes.ClusterRole))
	}
	if person := p.facts.Person; person != nil && s.ActivatedAt == nil {
		for _, group := range person.Foreign {
			f.Changes = noted(f.Changes, fmt.Sprintf("the IAM user %s was in the IAM group %s already, by somebody else's doing: that membership is left alone", person.Name, group))
		}
	}
}

// collectOtherAccess keeps what else the person holds.
func (p *pass) collectOtherAccess(ctx context.Context, f *v1alpha1.EmergencyFacts) {
	grants, err := Grants{p.client}.List(ctx, client.DisableReadYourWritesConsistency)
	if err != nil {
		p.log.Error(err, "looking for what else the person holds")
		return
	}
	for i := range grants {
		g := &grants[i]
		if g.UID == p.g.UID || access.StateOf(g) != v1alpha1.StateGranted || !access.SameSubject(g, p.g) {
			continue
		}
		held := v1alpha1.HeldAccess{Kind: access.KindOf(g), Name: g.Name, Role: g.Spec.Role, Until: metav1.NewTime(access.Deadline(g).UTC())}
		if len(f.OtherAccess) < maxOtherAccess && !slices.ContainsFunc(f.OtherAccess, func(h v1alpha1.HeldAccess) bool { return h.Kind == held.Kind && h.Name == held.Name }) {
			f.OtherAccess = append(f.OtherAccess, held)
			slices.SortFunc(f.OtherAccess, func(a, b v1alpha1.HeldAccess) int {
				return cmp.Or(cmp.Compare(a.Kind, b.Kind), cmp.Compare(a.Name, b.Name))
			})
		}
	}
}

// noted adds what is not there yet, as long as there is room.
func noted(list []string, what string) []string {
	if len(list) >= maxNoted || slices.Contains(list, what) {
		return list
	}
	return append(list, what)
}
