// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"slices"
	"strings"

	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// +kubebuilder:rbac:groups=access.hera.dev,resources=accessrevocations,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=access.hera.dev,resources=accessrevocations/status,verbs=patch
// +kubebuilder:rbac:groups=access.hera.dev,resources=accessapprovals,verbs=delete

// readRevocations reads what may concern the grant, its people and its approvers, as the watch has shown it.
func (p *pass) readRevocations(ctx context.Context) error {
	var list v1alpha1.AccessRevocationList
	if err := p.client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
		return fmt.Errorf("listing AccessRevocations: %w", err)
	}
	p.facts.Revocations = list.Items
	return nil
}

// revoked says whether a revocation names the grant, or its subject under a name that the grant knows.
func (p *pass) revoked() bool {
	return slices.ContainsFunc(p.facts.Revocations, func(r v1alpha1.AccessRevocation) bool {
		return access.InForce(&r) && access.Revokes(&r, p.g)
	})
}

// readLive reads them from the API server itself.
func (p *pass) readLive(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	var list v1alpha1.AccessRevocationList
	if err := p.live.List(ctx, &list); err != nil {
		return fmt.Errorf("listing AccessRevocations: %w", err)
	}
	p.facts.Revocations, p.unrevoked = list.Items, true
	return nil
}

// remember makes sure that the request stays ended when its object is gone: the same manifest, applied again, is revoked.
func (p *pass) remember(ctx context.Context, d *access.Decision) error {
	ctx, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	r := &v1alpha1.AccessRevocation{
		ObjectMeta: metav1.ObjectMeta{Name: memoryName(keyOf(p.g), d.SpecDigest), Finalizers: []string{v1alpha1.Finalizer}},
		Spec: v1alpha1.AccessRevocationSpec{
			Grant:  &v1alpha1.GrantReference{Kind: access.KindOf(p.g), Name: p.g.Name, SpecDigest: d.SpecDigest},
			Reason: status.Bounded(remembered(p.g) + d.Message), RevokedBy: v1alpha1.Username(p.self),
			Credentials: v1alpha1.CredentialsKeep,
		},
	}
	want := r.DeepCopy()
	err := p.client.Create(ctx, r, client.FieldOwner(rbac.FieldOwner))
	if apierrors.IsAlreadyExists(err) {
		err = p.live.Get(ctx, types.NamespacedName{Name: r.Name}, r)
		if err == nil && (!equality.Semantic.DeepEqual(r.Spec.Grant, want.Spec.Grant) || !access.InForce(r)) {
			// Lifted since an earlier end, or made by somebody who knew the name.
			want.GenerateName, want.Name = want.Name+"-", ""
			r = want
			err = p.client.Create(ctx, r, client.FieldOwner(rbac.FieldOwner))
		}
	}
	if err != nil {
		return fmt.Errorf("remembering that the grant has ended: %w", err)
	}
	if err := p.setEnd(ctx, r); err != nil {
		return err
	}
	p.facts.Revocations = append(p.facts.Revocations, *r)
	return nil
}

// setEnd stores when a revocation of the request has nothing left to say. Without the grant nobody could tell.
func (p *pass) setEnd(ctx context.Context, r *v1alpha1.AccessRevocation) error {
	if r.Status.EndsAt != nil {
		return nil
	}
	base := r.DeepCopy()
	r.Status.Names = access.SubjectNames(p.g)
	if !access.Emergency(p.g) {
		// The window of an emergency begins whenever it is created, so that there is always one to keep shut.
		r.Status.EndsAt = &metav1.Time{Time: access.Deadline(p.g)}
	}
	if equality.Semantic.DeepEqual(base.Status, r.Status) {
		return nil
	}
	if err := p.client.Status().Patch(ctx, r, client.MergeFrom(base), client.FieldOwner(rbac.FieldOwner)); err != nil {
		return fmt.Errorf("remembering when the window of the grant ends: %w", err)
	}
	return nil
}

// remembered begins the reason of a revocation that is a memory.
func remembered(g *v1alpha1.ProdAccessGrant) string {
	if access.Emergency(g) {
		return "remembered, so that the same manifest does not open it again: "
	}
	return "remembered for as long as its window lasts: "
}

// memoryName is the same for every object that asks for the same under one name.
func memoryName(grant, specDigest string) string {
	const readable = 40
	sum := sha256.Sum256([]byte(grant + "\n" + specDigest))
	return "ended-" + strings.TrimRight(strings.ReplaceAll(grant[:min(len(grant), readable)], "/", "-"), ".-") + "-" + hex.EncodeToString(sum[:5])
}

// release lets the object go, once the trail has everything and the approvals, which are for it alone, are gone.
func (p *pass) release(ctx context.Context, d *access.Decision) error {
	d.AWS, d.Kubernetes = p.g.Status.AWS, p.g.Status.Kubernetes
	p.flush(ctx)
	after := p.g.DeepCopy()
	status.Grant(after, d, p.notes, p.now)
	p.tell(ctx, changes(p.stored, after, p.now))
	if len(p.g.Status.Outbox) > 0 {
		return fmt.Errorf("the object is kept until the audit trail can be written: %s", p.trail.Broken())
	}
	for i := range p.facts.Revocations {
		if r := &p.facts.Revocations[i]; r.Spec.Grant != nil && access.Revokes(r, p.g) {
			if err := p.setEnd(ctx, r); client.IgnoreNotFound(err) != nil {
				return err
			}
		}
	}
	for i := range p.facts.Approvals {
		a := &p.facts.Approvals[i]
		if a.Spec.Target.UID != string(p.g.UID) {
			continue
		}
		if err := p.client.Delete(ctx, a, client.Preconditions{UID: &a.UID}); err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
			return fmt.Errorf("deleting the approval %s with its grant: %w", a.Name, err)
		}
	}
	// Before: the watch may show the end of the object before the answer is here.
	p.released.Store(p.g.UID, true)
	err := p.setFinalizer(ctx, controllerutil.RemoveFinalizer)
	if err != nil {
		p.released.Delete(p.g.UID)
	}
	return err
}

// tell writes changes to the trail, or keeps them for later.
func (p *pass) tell(ctx context.Context, told []v1alpha1.OutboxEntry) {
	if len(told) == 0 {
		return
	}
	// In order: what happened before is told before.
	if len(p.g.Status.Outbox) == 0 && (p.glass == nil || p.trail.Broken() == "") {
		err := appendTo(ctx, p.trail, entriesOf(p.g, p.self, told)...)
		if err == nil {
			return
		}
		p.log.Error(err, "the audit trail cannot be written; its entries are kept in the status")
	}
	p.g.Status.Outbox = keep(p.g.Status.Outbox, told)
}

// flush writes what was kept.
func (p *pass) flush(ctx context.Context) {
	if len(p.g.Status.Outbox) == 0 {
		return
	}
	if err := appendTo(ctx, p.trail, entriesOf(p.g, p.self, p.g.Status.Outbox)...); err == nil {
		p.g.Status.Outbox = nil
	}
}
