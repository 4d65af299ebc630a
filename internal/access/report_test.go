// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// over is when the emergency of a writeUp ended: its report is due 72 hours later.
var over = begin.Add(time.Hour)

// A writeUp is a report in a world in which it is written and nothing keeps it from being approved: the emergency was opened by
// dana for alice and has ended, erin wrote the report, and bob has approved it. Tests change one thing.
type writeUp struct {
	t *testing.T
	access.ReportFacts
	now time.Time
}

func newWriteUp(t *testing.T) *writeUp {
	t.Helper()
	b := emergency("ledger-down")
	b.Spec.OpenedBy = "dana"
	b.Spec.Report = &v1alpha1.EmergencyReport{Summary: "the disk was full, and was made larger", WrittenBy: "erin"}
	b.Status.ActivatedAt, b.Status.EndedAt = &metav1.Time{Time: begin}, &metav1.Time{Time: over}
	b.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: v1alpha1.StateRevoked}}
	b.Status.AWS.Names = []string{"al"}
	w := &writeUp{t: t, now: over.Add(time.Hour), ReportFacts: access.ReportFacts{
		BreakGlass: b, MayApprove: func(string, []string) bool { return true }, Guard: access.Guard{Since: begin.Add(-time.Hour)},
		Role: &access.Role{Name: "infra-member", Spec: v1alpha1.AccessRoleSpec{
			BreakGlass: &v1alpha1.BreakGlassPolicy{MaxDuration: metav1.Duration{Duration: 4 * time.Hour}, ReportWithin: metav1.Duration{Duration: 72 * time.Hour}},
		}},
	}}
	w.approve("bob")
	return w
}

// approve adds an approval of the text as it is now.
func (w *writeUp) approve(approver v1alpha1.Username) *v1alpha1.AccessApproval {
	b := w.BreakGlass
	w.Approvals = append(w.Approvals, v1alpha1.AccessApproval{
		ObjectMeta: metav1.ObjectMeta{Name: "by-" + strings.ToLower(strings.NewReplacer(":", "-", "/", "-").Replace(string(approver))), CreationTimestamp: metav1.NewTime(over.Add(time.Minute))},
		Spec: v1alpha1.AccessApprovalSpec{
			Target: v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetBreakGlass, Name: b.Name, UID: string(b.UID)}, Role: b.Spec.Role,
			Digest: access.ReportDigest(string(b.UID), b.Spec.Report), Decision: v1alpha1.DecisionApprove, Approver: approver,
		},
	})
	return &w.Approvals[len(w.Approvals)-1]
}

// by replaces the approval.
func (w *writeUp) by(approver v1alpha1.Username) *v1alpha1.AccessApproval {
	w.Approvals = nil
	return w.approve(approver)
}

func (w *writeUp) decide() access.Report { return access.DecideReport(w.ReportFacts, w.now) }

// store decides, and stores what was decided.
func (w *writeUp) store() access.Report {
	r := w.decide()
	s := &w.BreakGlass.Status
	s.ReportDigest, s.ReportApprovedBy = r.Digest, r.ApprovedBy
	if s.ReportDueAt == nil && !r.DueAt.IsZero() {
		s.ReportDueAt = &metav1.Time{Time: r.DueAt}
	}
	status.Reported(w.BreakGlass, r.Reported, w.now)
	return r
}

func (w *writeUp) must(r access.Report, reason, message string) {
	w.t.Helper()
	if r.Reported.Reason != reason || !strings.Contains(r.Reported.Message, message) {
		w.t.Errorf("%s: %q, want %s: %q", r.Reported.Reason, r.Reported.Message, reason, message)
	}
	if r.Reported.Yes != (reason == v1alpha1.ReasonApproved) || (r.ApprovedBy != "") != r.Reported.Yes {
		w.t.Errorf("%s is %t, approved by %q", reason, r.Reported.Yes, r.ApprovedBy)
	}
}

// A report is due once access that was given has ended, and not before; an early text is welcome, and is nothing that anybody could
// approve yet.
func TestReportIsDueAfterTheEnd(t *testing.T) {
	live := func(b *v1alpha1.BreakGlass) {
		b.Status.EndedAt, b.Status.Conditions[0].Reason = nil, v1alpha1.StateGranted
	}
	for name, test := range map[string]struct {
		change  func(*v1alpha1.BreakGlass)
		message string
	}{
		"new":              {func(b *v1alpha1.BreakGlass) { b.Status = v1alpha1.BreakGlassStatus{} }, "the report is due after the end"},
		"live":             {live, "the report is due after the end; it may be written already"},
		"being taken away": {func(b *v1alpha1.BreakGlass) { live(b); b.Status.Conditions[0].Reason = v1alpha1.StateRevoking }, "the report is due after the end"},
		"never active":     {func(b *v1alpha1.BreakGlass) { b.Status.ActivatedAt = nil }, "it never gave access, so there is nothing to report"},
		"never active, blocked": {func(b *v1alpha1.BreakGlass) {
			live(b)
			b.Status.ActivatedAt, b.Status.Conditions[0].Reason = nil, v1alpha1.StateBlocked
		}, "the report is due after the end"},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriteUp(t)
			w.must(w.decide(), v1alpha1.ReasonApproved, "the report of erin was approved by bob")
			test.change(w.BreakGlass)
			r := w.decide()
			w.must(r, v1alpha1.ReasonReportNotDue, test.message)
			if r.Digest != "" || !r.DueAt.IsZero() || !r.WakeAt.IsZero() || r.Remind || r.Ask {
				t.Errorf("%+v", r)
			}
		})
	}
}

// To the second, a report is pending, people are told a day before it is overdue, and then it is; each time is known beforehand.
func TestReportTimes(t *testing.T) {
	due := over.Add(72 * time.Hour)
	for _, written := range []bool{false, true} {
		w := newWriteUp(t)
		w.Approvals = nil
		todo := "to be approved by somebody who may approve for the role infra-member and is neither dana nor the subject"
		if !written {
			w.BreakGlass.Spec.Report, todo = nil, "nobody has written the report: kubectl edit bg ledger-down"
		}
		for _, row := range []struct {
			at     time.Time
			reason string
			says   string
			remind bool
			wake   time.Time
		}{
			{over.Add(-time.Hour), v1alpha1.ReasonReportPending, "due by 2026-11-26T10:00:00Z: ", false, due.Add(-24 * time.Hour)}, // the clock was set back
			{over, v1alpha1.ReasonReportPending, "due by 2026-11-26T10:00:00Z: ", false, due.Add(-24 * time.Hour)},
			{due.Add(-24*time.Hour - 1), v1alpha1.ReasonReportPending, "due by", false, due.Add(-24 * time.Hour)},
			{due.Add(-24 * time.Hour), v1alpha1.ReasonReportPending, "due by", true, due},
			{due.Add(-1), v1alpha1.ReasonReportPending, "due by", true, due},
			{due, v1alpha1.ReasonReportOverdue, "overdue since 2026-11-26T10:00:00Z: ", true, time.Time{}},
			{due.Add(1000 * time.Hour), v1alpha1.ReasonReportOverdue, "overdue since", true, time.Time{}},
		} {
			w.now = row.at
			r := w.store()
			w.must(r, row.reason, row.says)
			w.must(r, row.reason, todo)
			if r.Remind != row.remind || !r.WakeAt.Equal(row.wake) || !r.DueAt.Equal(due) || (r.Digest != "") != written {
				t.Errorf("at %s: remind %t, wakes at %s, due at %s, digest %q", row.at, r.Remind, r.WakeAt, r.DueAt, r.Digest)
			}
		}
		if written {
			w.approve("bob") // late is better than never
			w.must(w.decide(), v1alpha1.ReasonApproved, "approved by bob")
		}
	}
}

// How long a report may take is what is stored, else what the role says, else three days; and a role that changes its mind
// changes nothing that is stored.
func TestReportWithin(t *testing.T) {
	const day = 24 * time.Hour
	within := func(d time.Duration) func(*writeUp) {
		return func(w *writeUp) { w.Role.Spec.BreakGlass.ReportWithin.Duration = d }
	}
	for name, test := range map[string]struct {
		change func(*writeUp)
		want   time.Duration
	}{
		"the role's":                 {within(7 * day), 7 * day},
		"the role's, short":          {within(time.Hour), time.Hour},
		"no role any more":           {func(w *writeUp) { w.Role = nil }, 3 * day},
		"no emergencies any more":    {func(w *writeUp) { w.Role.Spec.BreakGlass = nil }, 3 * day},
		"a role that does not say":   {within(0), 3 * day},
		"stored":                     {func(w *writeUp) { w.BreakGlass.Status.ReportDueAt = &metav1.Time{Time: over.Add(2 * day)} }, 2 * day},
		"stored before it was less":  {func(w *writeUp) { within(2 * day)(w); w.store(); within(time.Hour)(w) }, 2 * day},
		"stored before it was more":  {func(w *writeUp) { within(2 * day)(w); w.store(); within(9 * day)(w) }, 2 * day},
		"stored, and the role is no": {func(w *writeUp) { within(2 * day)(w); w.store(); w.Role = nil }, 2 * day},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWriteUp(t)
			w.Approvals = nil
			test.change(w)
			r := w.decide()
			if !r.DueAt.Equal(over.Add(test.want)) {
				t.Errorf("due %s after the end, want %s", r.DueAt.Sub(over), test.want)
			}
			if r.Remind != (test.want <= 25*time.Hour) && test.want != time.Hour {
				t.Errorf("remind %t", r.Remind)
			}
		})
	}
}

// I7: nobody approves the report of an emergency that they opened, had, or wrote about, under any name of theirs; nobody
// without the right, revoked, or whose word is not proven; and only exactly this text of this object.
func TestI7ReportApprovals(t *testing.T) {
	tags := func(users string) map[string]string { return map[string]string{v1alpha1.KubernetesUsersTag: users} }
	tests := map[string]struct {
		spoil func(*writeUp)
		says  string
	}{
		"nobody":                       {func(w *writeUp) { w.Approvals = nil }, "the report of erin is to be approved by somebody"},
		"the opener":                   {func(w *writeUp) { w.by("dana") }, "by-dana: dana is the one who opened it, whose access it was, or who wrote the report"},
		"the opener in another case":   {func(w *writeUp) { w.by("DANA") }, "DANA is the one who opened it"},
		"the subject":                  {func(w *writeUp) { w.by("alice@hera.example") }, "alice@hera.example is the one who opened it"},
		"the subject's IAM user":       {func(w *writeUp) { w.by("alice") }, "alice is the one"},
		"the subject's ARN":            {func(w *writeUp) { w.by("arn:aws:iam::111122223333:user/alice") }, "is the one who opened it"},
		"the subject by a stored name": {func(w *writeUp) { w.by("al") }, "al is the one who opened it"},
		"the writer":                   {func(w *writeUp) { w.by("erin") }, "erin is the one who opened it, whose access it was, or who wrote the report"},
		"the opener by the directory": {func(w *writeUp) {
			w.by("d@hera.example")
			w.Who = access.NewDirectory(access.User{UserID: "AIDADANA", Name: "dana", Tags: tags("d@hera.example")})
		}, "d@hera.example is the one"},
		"the subject by the directory": {func(w *writeUp) {
			w.by("a@hera.example")
			w.Who = access.NewDirectory(access.User{UserID: "AIDAALICE", Name: "alice", Tags: tags("a@hera.example")})
		}, "a@hera.example is the one"},
		"the writer by the directory": {func(w *writeUp) {
			w.by("e@hera.example")
			w.Who = access.NewDirectory(access.User{UserID: "AIDAERIN", Name: "Erin", Tags: tags("e@hera.example")})
		}, "e@hera.example is the one"},
		"a shared name": {func(w *writeUp) { // two IAM users who claim one name are one person
			w.Who = access.NewDirectory(access.User{UserID: "AIDAERIN", Name: "erin", Tags: tags("ops")}, access.User{UserID: "AIDABOB", Name: "bob", Tags: tags("ops")})
		}, "bob is the one"},
		"a service account":  {func(w *writeUp) { w.by("system:serviceaccount:a:b") }, "is not a person"},
		"without the right":  {func(w *writeUp) { w.MayApprove = func(user string, _ []string) bool { return user != "bob" } }, "bob does not hold the verb approve on accessroles/infra-member"},
		"nobody was asked":   {func(w *writeUp) { w.MayApprove = nil }, "bob does not hold the verb approve"},
		"a revoked approver": {func(w *writeUp) { w.revoke("bob") }, "bob is revoked (r)"},
		"a revoked approver by a name": {func(w *writeUp) {
			w.revoke("robert")
			w.Who = access.NewDirectory(access.User{UserID: "AIDABOB", Name: "robert", Tags: tags("bob")})
		}, "bob is revoked (r)"},
		"an unproven approver": {func(w *writeUp) {
			w.Guard.Gaps = []access.Gap{{From: over.Add(time.Minute), To: over.Add(2 * time.Minute)}}
		},
			"it was made at 2026-11-23T10:01:00Z, when the admission guard was not known to be whole"},
		"another text":        {func(w *writeUp) { w.Approvals[0].Spec.Digest = "sha256:another" }, "by-bob: it is for another text: its digest is not status.reportDigest"},
		"a changed text":      {func(w *writeUp) { w.BreakGlass.Spec.Report.Summary += "!" }, "it is for another text"},
		"a changed cause":     {func(w *writeUp) { w.BreakGlass.Spec.Report.RootCause = "a log" }, "it is for another text"},
		"changed actions":     {func(w *writeUp) { w.BreakGlass.Spec.Report.Actions = "an alert" }, "it is for another text"},
		"a changed link":      {func(w *writeUp) { w.BreakGlass.Spec.Report.URL = "https://hera.example" }, "it is for another text"},
		"another writer":      {func(w *writeUp) { w.BreakGlass.Spec.Report.WrittenBy = "frank" }, "it is for another text"},
		"another object":      {func(w *writeUp) { w.Approvals[0].Spec.Target.UID = "earlier" }, "it is for an earlier object of this name"},
		"the object anew":     {func(w *writeUp) { w.BreakGlass.UID = "later" }, "it is for an earlier object of this name"},
		"a grant of the name": {func(w *writeUp) { w.Approvals[0].Spec.Target.Kind = v1alpha1.TargetGrant }, "to be approved by somebody"},
		"another emergency":   {func(w *writeUp) { w.Approvals[0].Spec.Target.Name = "another" }, "to be approved by somebody"},
		"another role":        {func(w *writeUp) { w.Approvals[0].Spec.Role = "developer" }, "it is for the role developer"},
		"a rejection": {func(w *writeUp) {
			w.Approvals[0].Spec.Decision, w.Approvals[0].Spec.Comment = v1alpha1.DecisionReject, "what was deleted?"
		},
			"by-bob: bob rejects it (what was deleted?)"},
		"no text any more": {func(w *writeUp) { w.BreakGlass.Spec.Report = nil }, "nobody has written the report"},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			w := newWriteUp(t)
			w.must(w.decide(), v1alpha1.ReasonApproved, "the report of erin was approved by bob")
			test.spoil(w)
			r := w.decide()
			w.must(r, v1alpha1.ReasonReportPending, test.says)
			if r.Ask {
				t.Error("asks who is who, and knows it")
			}
			if w.BreakGlass.Spec.Report != nil {
				w.MayApprove, w.Guard.Gaps = func(string, []string) bool { return true }, nil
				a := w.approve("frank@hera.example") // a twin whose word counts, beside the one whose does not
				a.CreationTimestamp = metav1.NewTime(over.Add(time.Hour))
				if r = w.decide(); r.ApprovedBy == "" {
					t.Errorf("somebody else's approval does not count: %s", r.Reported.Message)
				}
			}
		})
	}
}

func (w *writeUp) revoke(person string) {
	w.Revocations = append(w.Revocations, v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: "r"}, Spec: v1alpha1.AccessRevocationSpec{Person: v1alpha1.Username(person)},
	})
}

// The approver's groups are what their right is asked with.
func TestReportApproverGroups(t *testing.T) {
	w := newWriteUp(t)
	w.Approvals[0].Spec.ApproverGroups = []string{"leads"}
	w.MayApprove = func(user string, groups []string) bool {
		return user == "bob" && len(groups) == 1 && groups[0] == "leads"
	}
	w.must(w.decide(), v1alpha1.ReasonApproved, "")
	w.Approvals[0].Spec.ApproverGroups = nil
	w.must(w.decide(), v1alpha1.ReasonReportPending, "does not hold the verb approve")
}

// A rejection has no effect beside an approval, whichever is first.
func TestReportRejectionIsNoVeto(t *testing.T) {
	for _, at := range []time.Duration{0, time.Hour} {
		w := newWriteUp(t)
		a := w.approve("frank")
		a.Spec.Decision, a.CreationTimestamp = v1alpha1.DecisionReject, metav1.NewTime(over.Add(at))
		w.must(w.decide(), v1alpha1.ReasonApproved, "by bob")
	}
}

// Who is who has to be known before an approval counts; it is asked for when, and only when, one depends on it.
func TestI7ReportWaitsForWhoIsWho(t *testing.T) {
	w := newWriteUp(t)
	w.Unknown = "AWS IAM GetAccountAuthorizationDetails cannot be reached"
	r := w.decide()
	w.must(r, v1alpha1.ReasonReportPending, "it cannot be told who is who: AWS IAM GetAccountAuthorizationDetails cannot be reached")
	if !r.Ask {
		t.Error("does not ask who is who")
	}
	w.Unknown = ""
	w.must(w.decide(), v1alpha1.ReasonApproved, "")
	w.Unknown = "unknown"
	w.by("erin")
	if r = w.decide(); r.Ask {
		t.Error("asks who is who for an approval that counts in no case")
	}
	w.must(r, v1alpha1.ReasonReportPending, "erin is the one who opened it")
}

// I3: an approved report stays approved, with its text and its approver, whatever becomes of them, of the role and of the time.
func TestI3ApprovedReportIsFinal(t *testing.T) {
	w := newWriteUp(t)
	first := w.store()
	for name, change := range map[string]func(*writeUp){
		"no approval any more": func(w *writeUp) { w.Approvals = nil },
		"a revoked approver":   func(w *writeUp) { w.revoke("bob") },
		"no right any more":    func(w *writeUp) { w.MayApprove = nil },
		"no role":              func(w *writeUp) { w.Role = nil },
		"a broken guard":       func(w *writeUp) { w.Guard = access.Guard{} },
		"nobody is known":      func(w *writeUp) { w.Unknown = "AWS" },
		"another text": func(w *writeUp) {
			w.BreakGlass.Spec.Report = &v1alpha1.EmergencyReport{Summary: "all was well with the disk", WrittenBy: "erin"}
		},
		"long after":         func(w *writeUp) { w.now = over.Add(1000 * time.Hour) },
		"the clock set back": func(w *writeUp) { w.now = begin },
		"another approval":   func(w *writeUp) { w.approve("alan").CreationTimestamp = metav1.NewTime(over) },
		"no times":           func(w *writeUp) { w.BreakGlass.Status.EndedAt = nil },
	} {
		change(w)
		if r := w.store(); r != first && (r.Reported != first.Reported || r.Digest != first.Digest || r.ApprovedBy != first.ApprovedBy || !r.DueAt.Equal(first.DueAt) || r.Ask || r.Remind || !r.WakeAt.IsZero()) {
			t.Errorf("%s: %+v, and before %+v", name, r, first)
		}
	}
}

// The digest is of this object and of every word, and of nothing else.
func TestReportDigest(t *testing.T) {
	base := v1alpha1.EmergencyReport{Summary: "s", RootCause: "r", Actions: "a", URL: "https://x", WrittenBy: "w"}
	seen := map[string]string{access.ReportDigest("u", &base): "the text"}
	for name, change := range map[string]func(*v1alpha1.EmergencyReport){
		"summary": func(r *v1alpha1.EmergencyReport) { r.Summary = "S" }, "root cause": func(r *v1alpha1.EmergencyReport) { r.RootCause = "R" },
		"actions": func(r *v1alpha1.EmergencyReport) { r.Actions = "A" }, "url": func(r *v1alpha1.EmergencyReport) { r.URL = "https://y" },
		"writer":       func(r *v1alpha1.EmergencyReport) { r.WrittenBy = "W" },
		"another home": func(r *v1alpha1.EmergencyReport) { r.RootCause, r.Actions = r.Actions, r.RootCause },
	} {
		r := base
		change(&r)
		d := access.ReportDigest("u", &r)
		if seen[d] != "" || !strings.HasPrefix(d, "sha256:") {
			t.Errorf("%s has the digest of %s", name, seen[d])
		}
		seen[d] = name
	}
	if d := access.ReportDigest("v", &base); seen[d] != "" {
		t.Error("another object has the same digest")
	}
	again := base
	if d := access.ReportDigest("u", &again); seen[d] != "the text" {
		t.Error("the same text has another digest")
	}
}

// Whatever order things happen in: nothing but an approval of exactly the present text by somebody who is not involved makes it
// approved, and nothing takes that back; looking again without news says the same.
func TestI7ReportHistories(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		w := newWriteUp(t)
		w.Approvals, w.BreakGlass.Spec.Report = nil, nil
		approved := ""
		for range rapid.IntRange(1, 25).Draw(r, "steps") {
			report := w.BreakGlass.Spec.Report
			switch rapid.IntRange(0, 4).Draw(r, "what") {
			case 0:
				if approved == "" { // the API server refuses it otherwise
					w.BreakGlass.Spec.Report = &v1alpha1.EmergencyReport{
						Summary: rapid.SampledFrom([]string{"one", "two"}).Draw(r, "text"), WrittenBy: rapid.SampledFrom([]v1alpha1.Username{"erin", "bob", "frank"}).Draw(r, "writer"),
					}
				}
			case 1:
				if report != nil {
					w.approve(rapid.SampledFrom([]v1alpha1.Username{"dana", "alice", "AL", "bob", "frank", "erin"}).Draw(r, "approver"))
				}
			case 2:
				w.now = w.now.Add(time.Duration(rapid.IntRange(-24, 48).Draw(r, "hours")) * time.Hour)
			case 3:
				w.Unknown = rapid.SampledFrom([]string{"", "AWS"}).Draw(r, "unknown")
			default:
				w.MayApprove = rapid.SampledFrom([]func(string, []string) bool{nil, func(string, []string) bool { return true }}).Draw(r, "rights")
			}
			got := w.store()
			if again := w.decide(); again.Reported != got.Reported || again.Digest != got.Digest {
				r.Fatalf("says %+v, and then %+v", got.Reported, again.Reported)
			}
			switch {
			case approved != "" && (string(got.ApprovedBy) != approved || !got.Reported.Yes):
				r.Fatalf("approved by %s, and then %+v", approved, got)
			case approved == "" && got.Reported.Yes:
				approved = string(got.ApprovedBy)
				if approved != "bob" && approved != "frank" && approved != "erin" || got.ApprovedBy == w.BreakGlass.Spec.Report.WrittenBy || w.Unknown != "" || w.MayApprove == nil {
					r.Fatalf("approved by %s, who wrote it or had it", approved)
				}
			}
		}
	})
}
