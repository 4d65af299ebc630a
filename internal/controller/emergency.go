// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
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

// emergencies are all emergencies, in the form of grants, to be read alone.
func emergencies(ctx context.Context, c client.Reader, opts ...client.ListOption) ([]*v1alpha1.ProdAccessGrant, error) {
	var list v1alpha1.BreakGlassList
	if err := c.List(ctx, &list, append(opts, client.UnsafeDisableDeepCopy)...); err != nil {
		return nil, fmt.Errorf("listing BreakGlasses: %w", err)
	}
	all := make([]*v1alpha1.ProdAccessGrant, 0, len(list.Items))
	for i := range list.Items {
		all = append(all, access.ViewBreakGlass(&list.Items[i]))
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

// opened says whether the Kubernetes side of an emergency was seen: it gives access then, and AWS follows.
func (p *pass) opened() bool {
	return p.glass != nil && p.notes.Bindings.Reason == "" &&
		slices.ContainsFunc(p.g.Status.Kubernetes.Bindings, func(b v1alpha1.GrantBinding) bool { return b.Intended && b.Observed })
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
	p.noteTemporary()
	p.nameRecipients(told)
	p.collect(ctx, told)
	r := p.report(ctx)
	s, at := &p.glass.Status, metav1.NewTime(p.now.Truncate(time.Second))
	s.ReportDigest, s.ReportApprovedBy = r.Digest, r.ApprovedBy
	if s.ReportDueAt == nil && !r.DueAt.IsZero() && !p.reportUnread {
		s.ReportDueAt = &metav1.Time{Time: r.DueAt}
	}
	if s.ReportRemindedAt == nil && r.Remind {
		s.ReportRemindedAt = &at
	}
	status.Reported(p.glass, r.Reported, p.now)
	p.g.Status.Conditions = slices.Clone(s.Conditions)
	p.reportWake = r.WakeAt
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
		add(audit.EventReportWritten, fmt.Sprintf("the report of %s (%s): %s", after.Spec.Report.WrittenBy, d, cut(after.Spec.Report.Summary, maxSummary)))
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
	f := access.ReportFacts{BreakGlass: b, Role: p.facts.Role, Guard: p.guard.State(), Revocations: p.facts.Revocations, Unknown: access.Asking}
	if b.Status.EndedAt != nil && b.Status.ReportApprovedBy == "" {
		p.hear(ctx, &f)
	}
	r := access.DecideReport(f, p.now)
	if !r.Ask {
		return r
	}
	who, fresh := p.who()
	if f.Who, f.Unknown = who, ""; !fresh {
		// What is older tells who did not count, and nobody who does.
		if r = access.DecideReport(f, p.now); !r.Reported.Yes {
			return r
		}
		f.Unknown = access.Asking
	}
	return access.DecideReport(f, p.now)
}

// hear reads what people say about the report. What cannot be read is not heard, and is read again.
func (p *pass) hear(ctx context.Context, f *access.ReportFacts) {
	var err error
	if f.Role == nil {
		if f.Role, err = p.roles.Read(ctx, p.g.Spec.Role); err != nil {
			p.log.Info("the report's role is not read", "trouble", err.Error())
			p.reportUnread = !errors.Is(err, errNotLookedAt)
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

// directory is who is who, as AWS said at a time.
type directory struct {
	who access.Directory
	at  time.Time
}

// directoryLasts is how long that is good enough for somebody's approval of a report to count.
const directoryLasts = time.Minute

// who tells which names are one person's, and whether AWS said so just now. If it did not, it is asked, beside everything else.
func (p *pass) who() (who access.Directory, fresh bool) {
	if p.memberships == nil {
		return access.Directory{}, true
	}
	known := p.directory.Load()
	if known != nil && p.now.Sub(known.at) < directoryLasts {
		return known.who, true
	}
	p.tasks.begin(p.g.UID, keyOf(p.g), taskDirectory, p.tasks.granting, func(ctx context.Context) any {
		asked := p.clock.Now()
		who, err := p.memberships.Directory(ctx)
		if err == nil {
			p.directory.Store(&directory{who, asked})
		} else {
			p.log.Info("who is who cannot be told, so that no report is approved", "trouble", err.Error())
		}
		return nil
	})
	p.reportUnheard = true
	if known != nil {
		who = known.who
	}
	return who, false
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
	if access.Gives(p.g) {
		for _, what := range access.Given(p.g) {
			f.Bound = noted(f.Bound, cut(what, maxBoundText))
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
		if g.UID == p.g.UID || !access.Gives(g) || !access.SameSubject(g, p.g) {
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

// cut keeps so many bytes of a text, and no part of a character.
func cut(s string, most int) string { return strings.ToValidUTF8(s[:min(len(s), most)], "") }

// noted adds what is not there yet, as long as there is room.
func noted(list []string, what string) []string {
	if len(list) >= maxNoted || slices.Contains(list, what) {
		return list
	}
	return append(list, what)
}
