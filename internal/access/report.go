// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

const (
	reportDigestVersion = "access.hera.dev/report/v1"
	// ReportWarning is how long before a report is due people are told.
	ReportWarning = 24 * time.Hour
	// reportWithin is how long a report may take where no role says so any more.
	reportWithin = 72 * time.Hour
)

// ReportFacts are what the judgement of a report depends on, besides the time.
type ReportFacts struct {
	// BreakGlass as it is now, but for what is decided here.
	BreakGlass *v1alpha1.BreakGlass
	// Role that it names, nil when there is none any more.
	Role *Role
	// Approvals that name the emergency.
	Approvals []v1alpha1.AccessApproval
	// MayApprove says whether a user with these groups holds the right to approve for the role now; nil: nobody does.
	MayApprove func(user string, groups []string) bool
	// Revocations in the cluster.
	Revocations []v1alpha1.AccessRevocation
	// Guard is what is known about the admission guard.
	Guard Guard
	// Who tells which names are one person's; Unknown says why that cannot be told, "" if it can.
	Who     Directory
	Unknown string
}

// Asking says that it is being asked who is who, in words that stay the same for as long as that takes.
const Asking = "AWS is being asked"

// Report is what became of a report.
type Report struct {
	// Reported is the answer behind the condition of this name.
	Reported Answer
	// Digest identifies the text that is to be approved, "" if there is none, or not yet.
	Digest string
	// DueAt is when it is overdue, zero as long as none is due.
	DueAt time.Time
	// ApprovedBy is who approved it.
	ApprovedBy v1alpha1.Username
	// Ask says that somebody has approved it and that it must be known who is who, before that counts.
	Ask bool
	// Remind says that it is due within a day, or overdue.
	Remind bool
	// WakeAt is when time alone changes the answer; zero when it never does.
	WakeAt time.Time
}

// ReportDigest identifies the text of a report and the object that it is about.
func ReportDigest(uid string, report *v1alpha1.EmergencyReport) string {
	return digest(reportDigestVersion, []any{uid, report})
}

// DecideReport says what is to be said about the report of an emergency now. One is due once access that was given has
// ended; it is done when somebody who may approve for the role, and who is neither who opened it, nor whose access it was, nor
// who wrote it, has approved exactly its text. That is final.
func DecideReport(f ReportFacts, now time.Time) Report {
	b := f.BreakGlass
	s := &b.Status
	if last := meta.FindStatusCondition(s.Conditions, v1alpha1.ConditionReported); last != nil && last.Reason == v1alpha1.ReasonApproved {
		return Report{Reported: Answer{Yes: true, Reason: last.Reason, Message: last.Message}, Digest: s.ReportDigest, DueAt: f.dueAt(), ApprovedBy: s.ReportApprovedBy}
	}
	g := FromBreakGlass(b)
	switch {
	case !gave(b) && Terminal(StateOf(g)):
		return Report{Reported: Answer{Reason: v1alpha1.ReasonReportNotDue, Message: "it never gave access, so there is nothing to report"}}
	case s.EndedAt == nil:
		return Report{Reported: Answer{Reason: v1alpha1.ReasonReportNotDue, Message: "the report is due after the end; it may be written already"}}
	}
	r := Report{DueAt: f.dueAt()}
	todo := fmt.Sprintf("nobody has written the report: kubectl edit bg %s, and fill in spec.report", b.Name)
	if b.Spec.Report != nil {
		r.Digest = ReportDigest(string(b.UID), b.Spec.Report)
		todo = f.approve(g, &r)
	}
	if r.ApprovedBy != "" {
		return r
	}
	r.Reported = Answer{Reason: v1alpha1.ReasonReportPending, Message: fmt.Sprintf("due by %s: %s", stamp(r.DueAt), todo)}
	warn := r.DueAt.Add(-ReportWarning)
	r.Remind = !now.Before(warn)
	switch {
	case !now.Before(r.DueAt):
		r.Reported.Reason, r.Reported.Message = v1alpha1.ReasonReportOverdue, fmt.Sprintf("overdue since %s: %s", stamp(r.DueAt), todo)
	case !r.Remind:
		r.WakeAt = warn
	default:
		r.WakeAt = r.DueAt
	}
	return r
}

// gave says whether an emergency ever gave anything, be it a part of what was asked for.
func gave(b *v1alpha1.BreakGlass) bool {
	return b.Status.ActivatedAt != nil || len(b.Status.Facts.Bound) > 0
}

// dueAt is when the report is overdue: what is stored, or what the role says, counted from the end.
func (f *ReportFacts) dueAt() time.Time {
	s := &f.BreakGlass.Status
	switch {
	case s.ReportDueAt != nil:
		return s.ReportDueAt.Time
	case s.EndedAt == nil:
		return time.Time{}
	}
	within := reportWithin
	if f.Role != nil && f.Role.Spec.BreakGlass != nil && f.Role.Spec.BreakGlass.ReportWithin.Duration > 0 {
		within = f.Role.Spec.BreakGlass.ReportWithin.Duration
	}
	return s.EndedAt.Add(within)
}

// approve says whether the text is approved, and otherwise what is to be done.
func (f *ReportFacts) approve(g *v1alpha1.ProdAccessGrant, r *Report) (todo string) {
	spec := &f.BreakGlass.Spec
	todo = fmt.Sprintf("the report of %s is to be approved by somebody who may approve for the role %s and is neither %s nor the subject", spec.Report.WrittenBy, spec.Role, spec.OpenedBy)
	by, ignored := f.approver(g, r.Digest)
	switch {
	case by != "" && f.Unknown == "":
		r.ApprovedBy = by
		r.Reported = Answer{Yes: true, Reason: v1alpha1.ReasonApproved, Message: fmt.Sprintf("the report of %s was approved by %s", spec.Report.WrittenBy, by)}
	case by != "":
		r.Ask = true
		todo += fmt.Sprintf("; the approval of %s does not count yet, because it cannot be told who is who: %s", by, f.Unknown)
	case len(ignored) > 0:
		todo += "; not counted: " + listed(ignored)
	}
	return todo
}

// approver is whose approval of the text counts, "" if nobody's does, and why others do not.
func (f *ReportFacts) approver(g *v1alpha1.ProdAccessGrant, digest string) (by v1alpha1.Username, ignored []string) {
	c := &decider{Facts: Facts{Revocations: f.Revocations, Person: &Person{Directory: f.Who}}}
	q := question{grant: g, role: f.Role, who: f.Who, guard: f.Guard, mayApprove: f.MayApprove, revoked: c.revokedPerson,
		involved: append(SubjectNames(g), string(g.Spec.RequestedBy))}
	if written := f.BreakGlass.Spec.Report; written != nil {
		q.involved = append(q.involved, string(written.WrittenBy))
		q.asWhat = "the one who opened it, whose access it was, or who wrote the report"
	}
	approvals := slices.SortedFunc(slices.Values(f.Approvals), func(a, b v1alpha1.AccessApproval) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	for i := range approvals {
		a := &approvals[i]
		if a.Spec.Target.Kind != v1alpha1.TargetBreakGlass || a.Spec.Target.Name != g.Name {
			continue
		}
		why := q.unheard(a)
		switch {
		case why != "":
		case !q.here(a):
			why = "it is for an earlier object of this name"
		case a.Spec.Decision == v1alpha1.DecisionReject:
			why = fmt.Sprintf("%s rejects it", a.Spec.Approver)
			if a.Spec.Comment != "" {
				why += " (" + a.Spec.Comment + ")"
			}
		case a.Spec.Digest != digest:
			why = "it is for another text: its digest is not status.reportDigest"
		default:
			return a.Spec.Approver, ignored
		}
		ignored = append(ignored, a.Name+": "+why)
	}
	return "", ignored
}
