// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"fmt"
	"slices"
	"time"

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
	role  *Role
	// spec and meaning are digests of what is asked for and of what the role gives; digest is of both and of the object.
	// There is no meaning, and no digest, without a role.
	spec, meaning, digest string
	// involved are the names of requester and subject.
	involved []string
	// asWhat says in words what the involved are; "" for requester and subject.
	asWhat string
	// who tells which names are one person's, as far as it is known.
	who Directory
	// guard, mayApprove and revoked say whose word is proven, and whose is worth anything.
	guard      Guard
	mayApprove func(user string, groups []string) bool
	revoked    func(name string) *v1alpha1.AccessRevocation
}

func (c *decider) ask() question {
	g := c.Grant
	q := question{grant: g, role: c.Role, spec: c.spec, who: c.who(), guard: c.Guard, mayApprove: c.MayApprove, revoked: c.revokedPerson,
		involved: append(SubjectNames(g), string(g.Spec.RequestedBy))}
	if c.Role != nil {
		q.meaning = c.Role.MeaningDigest()
		q.digest = ApprovalDigest(string(g.UID), q.spec, q.meaning)
	}
	if p := c.Person; p != nil && p.Found {
		q.involved = append(q.involved, p.Names()...)
	}
	return q
}

// revokedPerson is a revocation in force of a person, nil if there is none.
func (c *decider) revokedPerson(name string) *v1alpha1.AccessRevocation {
	for i := range c.Revocations {
		if r := &c.Revocations[i]; InForce(r) && ofAny(r, []string{name}, c.who()) {
			return r
		}
	}
	return nil
}

// attested is the digest that reviews from Git are for: a review carries none, so it is the one of when they were first
// seen.
func (q *question) attested() string { return cmp.Or(q.grant.Status.AttestedDigest, q.digest) }

// count sorts the approvals of a grant into those that count, a rejection, and those that are ignored with the reason.
//
// An approval counts only for this very object, its role and the digest of what it asks for and gives; if admission has
// proven who gave it; from somebody who still holds the right to approve, is not revoked, and is neither the requester
// nor the subject under any name; and once for each person. A review that an attester carried in from Git counts on the
// same terms: admission lets nobody else carry it.
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
	for _, reviewer := range q.grant.Spec.ReviewedBy {
		if why := t.attest(q, reviewer); why != "" {
			t.ignored = append(t.ignored, fmt.Sprintf("the review of %s: %s", reviewer, why))
		}
	}
	return t
}

// attest counts a review from Git, or says why it does not count. The object that carries it is the one it is about.
func (t *tally) attest(q *question, reviewer v1alpha1.Username) string {
	created := q.grant.CreationTimestamp
	why := q.unworthy(string(reviewer), nil, created.Time)
	switch {
	case why != "":
		return why
	case q.digest == "":
		return "there is no role to review"
	case len(q.role.Spec.Approval.Attesters) == 0 || !created.After(q.role.Created):
		// Admission asks a role that it knows who its attesters are.
		return fmt.Sprintf("no attester of the role carried it: the grant is not younger than the role (%s), or the role has none", stamp(q.role.Created))
	case q.digest != q.attested():
		return "the role has come to give something else since: create another grant, or ask for AccessApprovals"
	}
	return t.add(q, v1alpha1.CountedApproval{Approver: reviewer, Source: v1alpha1.SourceAttested, At: created})
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
	if a.Spec.Role != q.grant.Spec.Role {
		return "it is for the role " + a.Spec.Role
	}
	return q.unworthy(string(a.Spec.Approver), a.Spec.ApproverGroups, a.CreationTimestamp.Time)
}

// unworthy says why somebody's word, given at a time, is not heard, "" if it is.
func (q *question) unworthy(name string, groups []string, at time.Time) string {
	switch {
	case name == "":
		return "it is nobody's" // the API server stores none
	case reserved(name) != "":
		return name + " is not a person"
	case slices.ContainsFunc(q.involved, func(n string) bool { return q.who.Same(n, name) }):
		return name + " is " + cmp.Or(q.asWhat, "the requester or the subject")
	case !q.guard.Proves(at):
		return fmt.Sprintf("it was made at %s, when the admission guard was not known to be whole", stamp(at))
	case q.mayApprove == nil || !q.mayApprove(name, groups):
		return fmt.Sprintf("%s does not hold the verb approve on accessroles/%s", name, q.grant.Spec.Role)
	}
	if r := q.revoked(name); r != nil {
		return fmt.Sprintf("%s is revoked (%s)", name, r.Name)
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
	}
	return t.add(q, v1alpha1.CountedApproval{Approver: a.Spec.Approver, Source: v1alpha1.SourceApproval, At: a.CreationTimestamp})
}

// add counts a yes, once for each person.
func (t *tally) add(q *question, yes v1alpha1.CountedApproval) string {
	for _, c := range t.counted {
		switch {
		case c.Approver == yes.Approver:
			return string(yes.Approver) + " has approved already"
		case q.who.Same(string(c.Approver), string(yes.Approver)):
			return fmt.Sprintf("%s is the same person as %s, who has approved already", yes.Approver, c.Approver)
		}
	}
	if len(t.counted) < maxCounted {
		t.counted = append(t.counted, yes)
	}
	return ""
}

// message says how many approvals count, and why others do not.
func (t *tally) message(required int) string {
	m := fmt.Sprintf("%d of %d approvals", len(t.counted), required)
	if len(t.ignored) > 0 {
		m += "; not counted: " + listed(t.ignored)
	}
	return m
}
