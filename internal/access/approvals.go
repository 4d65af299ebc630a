// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// tally is what became of the approvals of a grant.
type tally struct {
	counted  []v1alpha1.CountedApproval
	rejected *v1alpha1.AccessApproval
	ignored  []string
}

// count sorts the approvals of a grant into those that count, a rejection, and those that are ignored with the reason.
// An approval counts only for this very object, its role and the digest of what it asks for and gives; from somebody
// who is neither the requester nor the subject under any name; and once for each person.
// A rejection counts on the same terms, and also for an earlier object of the same name that asked for the same.
func count(g *v1alpha1.ProdAccessGrant, r *Role, p *Person, approvals []v1alpha1.AccessApproval) tally {
	var t tally
	spec := SpecDigest(&g.Spec)
	meaning := r.MeaningDigest()
	involved := []string{string(g.Spec.RequestedBy), g.Spec.Subject.IAMUser, string(g.Spec.Subject.KubernetesUser)}
	if p != nil && p.Found {
		involved = append(involved, p.Names()...)
	}
	sorted := slices.Clone(approvals)
	slices.SortFunc(sorted, func(a, b v1alpha1.AccessApproval) int {
		return cmp.Or(a.CreationTimestamp.Compare(b.CreationTimestamp.Time), cmp.Compare(a.Name, b.Name))
	})
	var people []string
	for i := range sorted {
		a := &sorted[i]
		t.consider(g, a, ApprovalDigest(a.Spec.Target.UID, spec, meaning), involved, &people)
	}
	return t
}

func (t *tally) consider(g *v1alpha1.ProdAccessGrant, a *v1alpha1.AccessApproval, want string, involved []string, people *[]string) {
	ignore := func(format string, args ...any) {
		t.ignored = append(t.ignored, a.Name+": "+fmt.Sprintf(format, args...))
	}
	approver := string(a.Spec.Approver)
	here := a.Spec.Target.UID == string(g.UID)
	switch {
	case a.Spec.Target.Kind != v1alpha1.TargetGrant || a.Spec.Target.Name != g.Name:
		// About something else altogether: not worth a word.
	case !here && a.Spec.Decision != v1alpha1.DecisionReject:
		ignore("it is for an earlier object of this name (uid %s)", a.Spec.Target.UID)
	case a.Spec.Role != g.Spec.Role:
		ignore("it is for the role %s", a.Spec.Role)
	case a.Spec.Digest != want:
		if here {
			ignore("its digest is not status.approvalDigest; approve again what the role gives now")
		}
	case isOneOf(approver, involved):
		ignore("%s is the requester or the subject", approver)
	case a.Spec.Decision == v1alpha1.DecisionReject:
		if t.rejected == nil {
			t.rejected = a
		}
	case isOneOf(approver, *people):
		ignore("%s has approved already", approver)
	default:
		*people = append(*people, approver)
		t.counted = append(t.counted, v1alpha1.CountedApproval{Approver: a.Spec.Approver, Source: v1alpha1.SourceApproval, At: a.CreationTimestamp})
	}
}

// message says how many approvals count, and why others do not.
func (t *tally) message(g *v1alpha1.ProdAccessGrant, required int32) string {
	m := fmt.Sprintf("%d of %d approvals", len(t.counted), required)
	if len(g.Spec.ReviewedBy) > 0 {
		m += "; spec.reviewedBy is not counted: this release cannot prove who wrote it"
	}
	if len(t.ignored) > 0 {
		m += "; not counted: " + listed(t.ignored)
	}
	return m
}
