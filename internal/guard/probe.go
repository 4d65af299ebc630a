// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Probe is an object with a lie in it, which a policy must refuse. It is only ever created as a dry run.
type Probe struct {
	// Policy is the name of the ValidatingAdmissionPolicy that must refuse it.
	Policy string
	// Forged is the lie: the refusal is the policy's when it has one of the policy's fixed messages, or quotes this.
	Forged string
	// Object is the object. A copy of it is tried.
	Object client.Object
}

// forged is a name that nobody has (RFC 6761, 6.4).
const forged = "guard-probe@prod-access.invalid"

const probeName = "prod-access-guard-probe"

// +kubebuilder:rbac:groups=access.hera.dev,resources=breakglasses,verbs=create

// DefaultProbes try what decisions rely on: that nobody approves, asks, revokes or opens an emergency in another's name.
func DefaultProbes() []Probe {
	meta := metav1.ObjectMeta{Name: probeName}
	const reason = "a dry run that admission must refuse"
	return []Probe{
		{Policy: "prod-access-approvals", Forged: forged, Object: &v1alpha1.AccessApproval{ObjectMeta: meta, Spec: v1alpha1.AccessApprovalSpec{
			Target:   v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: probeName, UID: "00000000-0000-0000-0000-000000000000"},
			Role:     probeName,
			Digest:   "sha256:" + strings.Repeat("0", 64),
			Decision: v1alpha1.DecisionApprove, Approver: forged,
		}}},
		// Its window is over, and there is no such role. Without any AccessRole prod-access-grants refuses it as well, and
		// nothing is proven; nothing can be granted then either.
		{Policy: "prod-access-attesters", Forged: forged, Object: &v1alpha1.ProdAccessGrant{ObjectMeta: meta, Spec: v1alpha1.ProdAccessGrantSpec{
			Subject: v1alpha1.Subject{IAMUser: probeName}, Role: probeName, Reason: reason, RequestedBy: forged,
			ExpiresAt: metav1.NewTime(time.Unix(0, 0)),
		}}},
		{Policy: "prod-access-revocations", Forged: forged, Object: &v1alpha1.AccessRevocation{ObjectMeta: meta, Spec: v1alpha1.AccessRevocationSpec{
			Person: forged, Reason: reason, RevokedBy: forged, Credentials: v1alpha1.CredentialsKeep,
		}}},
		// There is no such role here either, and without any prod-access-openings refuses it as well.
		{Policy: "prod-access-emergencies", Forged: forged, Object: &v1alpha1.BreakGlass{ObjectMeta: meta, Spec: v1alpha1.BreakGlassSpec{
			Subject: v1alpha1.Subject{IAMUser: probeName}, Role: probeName, Incident: probeName, Reason: reason,
			Duration: metav1.Duration{Duration: time.Minute}, OpenedBy: forged,
		}}},
	}
}

// verdict is what a probe says.
type verdict int

const (
	// refused: the policy does its work.
	refused verdict = iota
	// accepted: it does not.
	accepted
	// silent: there was no answer that says either.
	silent
)

// run tries a probe; why says in words what was answered, unless it was refused as it must be.
func (p Probe) run(ctx context.Context, c client.Client, texts []string) (v verdict, why string) {
	err := c.Create(ctx, p.Object.DeepCopyObject().(client.Object), client.DryRunAll) //nolint:forcetypeassert // a copy of one
	switch {
	case err == nil:
		return accepted, fmt.Sprintf("the API server accepts an object in a forged name, which the %s %s must refuse "+
			"(it was a dry run: nothing is stored)", policyKind, p.Policy)
	case p.proves(err, texts):
		return refused, ""
	}
	return silent, fmt.Sprintf("%s %s could not be tried: %s", policyKind, p.Policy, say(err))
}

// proves says whether an error is the policy's refusal. That of a rule which could not be evaluated is not.
func (p Probe) proves(err error, texts []string) bool {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return false
	}
	_, refusal, ok := strings.Cut(status.Status().Message, fmt.Sprintf("%s '%s' with binding '", policyKind, p.Policy))
	if !ok {
		return false
	}
	_, text, ok := strings.Cut(refusal, "' denied request: ")
	if !ok {
		return false
	}
	return slices.Contains(texts, text) || strings.Contains(text, p.Forged) && !strings.Contains(text, "resulted in error")
}

// maxExplanation bounds what is told about one error, in bytes.
const maxExplanation = 300

// say is an error in words for people: bounded, and the same each time.
func say(err error) string {
	var status apierrors.APIStatus
	if !errors.As(err, &status) {
		return "the API server cannot be reached"
	}
	text := status.Status().Message
	if len(text) > maxExplanation {
		text = strings.ToValidUTF8(text[:maxExplanation], "") + "…"
	}
	return "the API server answered: " + text
}
