// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// maxCounted is how many approvals a status can hold; more than any role can demand.
const maxCounted = 20

// tally is what became of the approvals of a grant.
type tally struct {
	counted  []v1alpha1.CountedApproval
	rejected *v1alpha1.AccessApproval
	ignored  []string
}

// question is what an approval answers.
type question struct {
	grant *v1alpha1.ProdAccessGrant
	// spec and meaning are digests of what is asked for and of what the role gives; digest is of both and of the object.
	// There is no meaning, and no digest, without a role.
	spec, meaning, digest string
	// involved are the names of requester and subject.
	involved []string
}

func ask(g *v1alpha1.ProdAccessGrant, spec string, r *Role, p *Person) question {
	q := question{grant: g, spec: spec, involved: []string{
		string(g.Spec.RequestedBy), g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser),
	}}
	if r != nil {
		q.meaning = r.MeaningDigest()
		q.digest = ApprovalDigest(string(g.UID), q.spec, q.meaning)
	}
	if p != nil && p.Found {
		q.involved = append(q.involved, p.Names()...)
	}
	return q
}

// count sorts the approvals of a grant into those that count, a rejection, and those that are ignored with the reason.
//
// An approval counts only for this very object, its role and the digest of what it asks for and gives; from somebody
// who is neither the requester nor the subject under any name; and once for each person.
//
// A rejection of this very object counts on the same terms, but for the digest: the object never changes, so only the
// role can have changed since, and a no is not withdrawn by somebody who edits the role. A rejection of an earlier object
// of the same name counts if it asked for the same, which only the digest can tell.
func (q *question) count(approvals []v1alpha1.AccessApproval) tally {
	sorted := slices.Clone(approvals)
	slices.SortFunc(sorted, func(a, b v1alpha1.AccessApproval) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	var t tally
	for i := range sorted {
		t.consider(q, &sorted[i])
	}
	return t
}

// here says whether an approval is for this very object.
func (q *question) here(a *v1alpha1.AccessApproval) bool {
	return a.Spec.Target.UID == string(q.grant.UID)
}

// sameElsewhere says whether an approval is for another object that asked for the same, when its role gave the same.
func (q *question) sameElsewhere(a *v1alpha1.AccessApproval) bool {
	return q.meaning != "" && a.Spec.Digest == ApprovalDigest(a.Spec.Target.UID, q.spec, q.meaning)
}

// unheard says why neither a yes nor a no of this kind is heard, "" if it is.
func (q *question) unheard(a *v1alpha1.AccessApproval) string {
	approver := string(a.Spec.Approver)
	switch {
	case a.Spec.Role != q.grant.Spec.Role:
		return "it is for the role " + a.Spec.Role
	case reserved(approver) != "":
		return approver + " is not a person"
	case isOneOf(approver, q.involved):
		return approver + " is the requester or the subject"
	}
	return ""
}

func (t *tally) consider(q *question, a *v1alpha1.AccessApproval) {
	if a.Spec.Target.Kind != v1alpha1.TargetGrant || a.Spec.Target.Name != q.grant.Name {
		// About something else altogether: not worth a word.
		return
	}
	why := q.unheard(a)
	switch a.Spec.Decision {
	case v1alpha1.DecisionReject:
		if why == "" && t.rejected == nil && (q.here(a) || q.sameElsewhere(a)) {
			t.rejected = a
		}
	case v1alpha1.DecisionApprove:
		if why == "" {
			why = t.approve(q, a)
		}
	}
	if why != "" {
		t.ignored = append(t.ignored, a.Name+": "+why)
	}
}

// approve counts a yes, or says why it does not count.
func (t *tally) approve(q *question, a *v1alpha1.AccessApproval) string {
	switch {
	case !q.here(a):
		return fmt.Sprintf("it is for an earlier object of this name (uid %s)", a.Spec.Target.UID)
	case q.digest == "" || a.Spec.Digest != q.digest:
		return "its digest is not status.approvalDigest; approve again what the role gives now"
	case t.has(string(a.Spec.Approver)):
		return string(a.Spec.Approver) + " has approved already"
	case len(t.counted) < maxCounted:
		t.counted = append(t.counted, v1alpha1.CountedApproval{Approver: a.Spec.Approver, Source: v1alpha1.SourceApproval, At: a.CreationTimestamp})
	}
	return ""
}

// has says whether an approval of this person counts already.
func (t *tally) has(approver string) bool {
	return slices.ContainsFunc(t.counted, func(c v1alpha1.CountedApproval) bool { return samePerson(string(c.Approver), approver) })
}

// message says how many approvals count, and why others do not.
func (t *tally) message(g *v1alpha1.ProdAccessGrant, required int) string {
	m := fmt.Sprintf("%d of %d approvals", len(t.counted), required)
	if len(g.Spec.ReviewedBy) > 0 {
		m += "; spec.reviewedBy is not counted: this release cannot prove who wrote it"
	}
	if len(t.ignored) > 0 {
		m += "; not counted: " + listed(t.ignored)
	}
	return m
}
