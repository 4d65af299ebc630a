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

	"k8s.io/apimachinery/pkg/api/equality"
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
	// Object makes the object, nil while there is nothing to try it on. It reads live.
	Object func(ctx context.Context, live client.Reader, now time.Time) (client.Object, error)
}

// forged is a name that nobody has (RFC 6761, 6.4).
const forged = "guard-probe@prod-access.invalid"

const probeName = "prod-access-guard-probe"

// roleAge is how old an AccessRole must be before the probe of grants relies on every API server's knowing it.
const roleAge = 10 * time.Second

// DefaultProbes try what decisions rely on: that nobody approves, asks or revokes in another's name.
func DefaultProbes() []Probe {
	return []Probe{
		{Policy: "prod-access-approvals", Forged: forged, Object: forgedApproval},
		{Policy: "prod-access-grants", Forged: forged, Object: forgedGrant},
		{Policy: "prod-access-revocations", Forged: forged, Object: forgedRevocation},
	}
}

func forgedApproval(context.Context, client.Reader, time.Time) (client.Object, error) {
	return &v1alpha1.AccessApproval{ObjectMeta: metav1.ObjectMeta{Name: probeName}, Spec: v1alpha1.AccessApprovalSpec{
		Target:   v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetGrant, Name: probeName, UID: "00000000-0000-0000-0000-000000000000"},
		Role:     probeName,
		Digest:   "sha256:" + strings.Repeat("0", 64),
		Decision: v1alpha1.DecisionApprove, Approver: forged,
	}}, nil
}

func forgedRevocation(context.Context, client.Reader, time.Time) (client.Object, error) {
	return &v1alpha1.AccessRevocation{ObjectMeta: metav1.ObjectMeta{Name: probeName}, Spec: v1alpha1.AccessRevocationSpec{
		Person: forged, Reason: "a dry run that admission must refuse", RevokedBy: forged, Credentials: v1alpha1.CredentialsKeep,
	}}, nil
}

// forgedGrant asks for the oldest AccessRole, which is what the policy compares it with. Its window is over, which every
// role accepts.
func forgedGrant(ctx context.Context, live client.Reader, now time.Time) (client.Object, error) {
	var roles v1alpha1.AccessRoleList
	if err := live.List(ctx, &roles); err != nil {
		return nil, fmt.Errorf("listing AccessRoles: %w", err)
	}
	if len(roles.Items) == 0 {
		return nil, nil //nolint:nilnil // nothing to try it on
	}
	role := slices.MinFunc(roles.Items, func(a, b v1alpha1.AccessRole) int {
		if c := a.CreationTimestamp.Compare(b.CreationTimestamp.Time); c != 0 {
			return c
		}
		return strings.Compare(a.Name, b.Name)
	})
	if now.Sub(role.CreationTimestamp.Time) < roleAge {
		return nil, nil //nolint:nilnil // nothing to try it on yet
	}
	g := &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: probeName}, Spec: v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: probeName}, Role: role.Name, Reason: "a dry run that admission must refuse",
		RequestedBy: forged, ExpiresAt: role.CreationTimestamp,
	}}
	if role.Spec.Kubernetes != nil && role.Spec.Kubernetes.Scope == v1alpha1.ScopeNamespaces {
		g.Spec.Namespaces = []v1alpha1.NamespaceName{"default"}
	}
	return g, nil
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
	// skipped: there was nothing to try it on.
	skipped
)

// run tries a probe; why says in words what was answered, unless it was refused as it must be.
func (p Probe) run(ctx context.Context, c client.Client, texts []string, now time.Time) (v verdict, why string) {
	o, err := p.Object(ctx, c, now)
	if err != nil {
		return silent, say(err)
	}
	if o == nil {
		return skipped, ""
	}
	err = c.Create(ctx, o.DeepCopyObject().(client.Object), client.DryRunAll) //nolint:forcetypeassert // a copy of one
	if err != nil {
		if p.proves(err, texts) {
			return refused, ""
		}
		return silent, fmt.Sprintf("%s %s could not be tried: %s", policyKind, p.Policy, say(err))
	}
	// What it was tried on may have gone meanwhile; an error shows nothing either.
	if again, _ := p.Object(ctx, c, now); !equality.Semantic.DeepEqual(o, again) {
		return silent, fmt.Sprintf("%s %s could not be tried: what it is tried on has just changed", policyKind, p.Policy)
	}
	return accepted, fmt.Sprintf("the API server accepts an object in a forged name, which the %s %s must refuse "+
		"(it was a dry run: nothing is stored)", policyKind, p.Policy)
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
