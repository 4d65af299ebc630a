// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package status writes down what was decided and seen, in the words that people and tools read.
package status

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// maxMessage bounds a condition message, in bytes: readable in a terminal, and far below what the API allows.
const maxMessage = 1024

// Notes are what went wrong on either side while a decision was carried out, zero when nothing did, and what is new about
// the fence, zero when nothing is.
type Notes struct{ Memberships, Bindings, Fence access.Obstacle }

// Grant brings the status of a grant in line with a decision.
func Grant(g *v1alpha1.ProdAccessGrant, d *access.Decision, notes Notes, now time.Time) {
	s := &g.Status
	s.ObservedGeneration = g.Generation
	s.SpecDigest, s.ApprovalDigest, s.AttestedDigest, s.Approvals = d.SpecDigest, d.ApprovalDigest, d.AttestedDigest, d.Approvals
	s.AWS, s.Kubernetes = d.AWS, d.Kubernetes
	s.ExpiresAt = &metav1.Time{Time: access.Deadline(g)}
	at := metav1.NewTime(now.Truncate(time.Second))
	if d.State == v1alpha1.StateGranted && s.ActivatedAt == nil {
		s.ActivatedAt = &at
	}
	if access.Terminal(d.State) && s.EndedAt == nil {
		s.EndedAt = &at
	}

	c := conditions{of: &s.Conditions, generation: g.Generation, at: at}
	c.set(v1alpha1.ConditionActive, when(d.State == v1alpha1.StateGranted), d.State, d.Message)
	c.set(v1alpha1.ConditionReady, when(d.State == v1alpha1.StateGranted || access.Terminal(d.State)), d.State, d.Message)
	c.approved(g, d.Approved)
	c.answer(v1alpha1.ConditionEligible, d.Eligible)
	memberships := side(d.State, slices.Collect(func(yield func(entry) bool) {
		for _, m := range d.AWS.Groups {
			if !yield(entry{string(m.Name), m.Intended, m.Observed}) {
				return
			}
		}
	}), "IAM group")
	bindings := side(d.State, slices.Collect(func(yield func(entry) bool) {
		for _, b := range d.Kubernetes.Bindings {
			if !yield(entry{cmp.Or(b.Namespace, "the cluster"), b.Intended, b.Observed}) {
				return
			}
		}
	}), "binding in")
	if bindings.reason == v1alpha1.ReasonWriting && d.State == v1alpha1.StateGranted {
		bindings.reason = v1alpha1.ReasonWaitingForNamespace
		bindings.message = "these namespaces do not exist yet, and are bound when they do: " + bindings.names
	}
	c.side(v1alpha1.ConditionMembershipsSynced, memberships, about(d, notes.Memberships, membershipReasons))
	c.side(v1alpha1.ConditionBindingsSynced, bindings, about(d, notes.Bindings, bindingReasons))

	c.fence(g, d, notes.Fence)
	c.only(v1alpha1.ConditionReconciling, d.State == v1alpha1.StateGranting || d.State == v1alpha1.StateRevoking,
		cmp.Or(d.Cause, d.State), d.Message)
	// What a request is, and who can know who made it, cannot change: nothing else cannot end by itself or by somebody's help: the request never changes.
	c.only(v1alpha1.ConditionStalled, d.State == v1alpha1.StateBlocked && (d.Cause == v1alpha1.ReasonPolicyViolation || d.Cause == v1alpha1.ReasonUnproven), d.Cause, d.Message)
}

var (
	membershipReasons = []string{v1alpha1.ReasonForeignMembership, v1alpha1.ReasonQuotaExceeded, v1alpha1.ReasonGroupNotFound, v1alpha1.ReasonRemovedByOthers}
	bindingReasons    = []string{v1alpha1.ReasonConflict, v1alpha1.ReasonForbidden}
)

// about picks what there is to say about one side: what went wrong just now, or the cause of the state.
func about(d *access.Decision, note access.Obstacle, reasons []string) access.Obstacle {
	if note.Reason == "" && d.State == v1alpha1.StateBlocked && slices.Contains(reasons, d.Cause) {
		return access.Obstacle{Reason: d.Cause, Message: d.Message}
	}
	return note
}

type entry struct {
	name               string
	intended, observed bool
}

type sideView struct {
	synced                 bool
	reason, message, names string
}

// side sums up one side of a grant. While a grant is suspended its intentions are on hold.
func side(state string, entries []entry, noun string) sideView {
	var missing, surplus, present []string
	for _, e := range entries {
		intended := e.intended && state != v1alpha1.StateSuspended
		switch {
		case intended && e.observed:
			present = append(present, e.name)
		case intended:
			missing = append(missing, e.name)
		case e.observed:
			surplus = append(surplus, e.name)
		}
	}
	switch {
	case len(surplus) > 0:
		return sideView{reason: v1alpha1.ReasonRemoving, message: fmt.Sprintf("not yet verified gone: %s %s", noun, some(surplus))}
	case len(missing) > 0:
		return sideView{reason: v1alpha1.ReasonWriting, message: fmt.Sprintf("not yet seen: %s %s", noun, some(missing)), names: some(missing)}
	case len(present) > 0:
		return sideView{synced: true, reason: v1alpha1.ReasonSynced, message: fmt.Sprintf("%s %s", noun, some(present))}
	case len(entries) > 0:
		return sideView{synced: true, reason: v1alpha1.ReasonRemoved, message: "verified gone"}
	case state == v1alpha1.StateGranted || state == v1alpha1.StateGranting:
		return sideView{synced: true, reason: v1alpha1.ReasonNotNeeded, message: "the role calls for none"}
	default:
		return sideView{synced: true, reason: v1alpha1.ReasonNotGranted, message: "nothing was granted"}
	}
}

func some(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}

// conditions sets conditions that all belong to one generation and one moment.
type conditions struct {
	of         *[]metav1.Condition
	generation int64
	at         metav1.Time
}

func (c conditions) set(kind string, status metav1.ConditionStatus, reason, message string) {
	meta.SetStatusCondition(c.of, metav1.Condition{
		Type: kind, Status: status, Reason: reason, Message: Bounded(message), ObservedGeneration: c.generation, LastTransitionTime: c.at,
	})
}

// answer sets a condition from an answer; a question that was not asked this time keeps its last answer.
func (c conditions) answer(kind string, a access.Answer) {
	switch {
	case a.Reason == v1alpha1.ReasonAWSUnavailable:
		c.set(kind, metav1.ConditionUnknown, a.Reason, a.Message)
	case a.Reason != "":
		c.set(kind, when(a.Yes), a.Reason, a.Message)
	default:
		if last := meta.FindStatusCondition(*c.of, kind); last != nil {
			c.set(kind, last.Status, last.Reason, last.Message)
			return
		}
		c.set(kind, metav1.ConditionUnknown, v1alpha1.ReasonNotChecked, "not checked yet")
	}
}

// approved says whether a grant is approved; an emergency needs no approval.
func (c conditions) approved(g *v1alpha1.ProdAccessGrant, a access.Answer) {
	if !access.Emergency(g) {
		c.answer(v1alpha1.ConditionApproved, a)
	}
}

func (c conditions) side(kind string, v sideView, note access.Obstacle) {
	if note.Reason != "" {
		c.set(kind, metav1.ConditionFalse, note.Reason, note.Message)
		return
	}
	c.set(kind, when(v.synced), v.reason, v.message)
}

// fence says whether AWS ends the access by itself, and when.
func (c conditions) fence(g *v1alpha1.ProdAccessGrant, d *access.Decision, note access.Obstacle) {
	ends := &g.Status.AccessEndsNoLaterThan
	ends.AWS = nil
	if len(d.AWS.Groups) == 0 || access.Terminal(d.State) {
		meta.RemoveStatusCondition(c.of, v1alpha1.ConditionFenced)
		return
	}
	if note.Reason != "" {
		c.set(v1alpha1.ConditionFenced, when(note.Reason == v1alpha1.ReasonFenced), note.Reason, note.Message)
	}
	last := meta.FindStatusCondition(*c.of, v1alpha1.ConditionFenced)
	if last == nil {
		return
	}
	message := last.Message
	if last.Status == metav1.ConditionTrue && d.AWS.FencedUntil != nil {
		ends.AWS = d.AWS.FencedUntil.DeepCopy()
		message = fmt.Sprintf("from %s on AWS denies %s everything, whatever becomes of the operator, until the last access is gone", ends.AWS.UTC().Format(time.RFC3339),
			g.Spec.Subject.IAMUser)
	}
	c.set(last.Type, last.Status, last.Reason, message)
}

// only keeps a condition present just as long as it is True.
func (c conditions) only(kind string, present bool, reason, message string) {
	if present {
		c.set(kind, metav1.ConditionTrue, reason, message)
		return
	}
	meta.RemoveStatusCondition(c.of, kind)
}

func when(yes bool) metav1.ConditionStatus {
	if yes {
		return metav1.ConditionTrue
	}
	return metav1.ConditionFalse
}

// Bounded cuts a message to what a status holds.
func Bounded(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	s = s[:maxMessage-len("…")]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// Role brings the status of a role in line with what was found: ready is True, False or Unknown; broken says why the
// admission guard cannot be relied on, and shared what is wrong with an attester, "" if nothing is.
func Role(r *v1alpha1.AccessRole, ready metav1.ConditionStatus, reason, message, broken, shared string, now time.Time) {
	r.Status.ObservedGeneration = r.Generation
	c := conditions{of: &r.Status.Conditions, generation: r.Generation, at: metav1.NewTime(now.Truncate(time.Second))}
	c.set(v1alpha1.ConditionReady, ready, reason, message)
	if broken == "" {
		c.set(v1alpha1.ConditionGuardIntact, metav1.ConditionTrue, v1alpha1.ReasonGuardWhole, "the admission policies are as released, and were seen to refuse")
	} else {
		c.set(v1alpha1.ConditionGuardIntact, metav1.ConditionFalse, v1alpha1.ReasonGuardBroken, broken)
	}
	c.only(v1alpha1.ConditionAttesterShared, shared != "", v1alpha1.ReasonSharedAttester, shared)
}

// Revocation brings the status of a revocation in line with what was done and found.
func Revocation(r *v1alpha1.AccessRevocation, done, lifted access.Answer, now time.Time) {
	r.Status.ObservedGeneration = r.Generation
	c := conditions{of: &r.Status.Conditions, generation: r.Generation, at: metav1.NewTime(now.Truncate(time.Second))}
	c.answer(v1alpha1.ConditionReady, done)
	c.answer(v1alpha1.ConditionLifted, lifted)
}

// Reported brings the condition of this name of an emergency in line with what became of its report.
func Reported(b *v1alpha1.BreakGlass, a access.Answer, now time.Time) {
	conditions{of: &b.Status.Conditions, generation: b.Generation, at: metav1.NewTime(now.Truncate(time.Second))}.answer(v1alpha1.ConditionReported, a)
}
