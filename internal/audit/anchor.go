// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package audit

import (
	"context"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/utils/clock"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// Where the head is anchored.
const (
	AnchorName = "prod-access-audit"
	AnchorKey  = "head"
	// anchorTimeKey is when, for people.
	anchorTimeKey = "time"
)

// Anchor keeps the head outside of the trail, so that a trail that was cut no longer fits it.
type Anchor interface {
	// Load returns nil where none is kept.
	Load(ctx context.Context) (*Head, error)
	Store(ctx context.Context, head Head) error
}

// ConfigMapAnchor keeps the head in the ConfigMap prod-access-audit. It is used by one goroutine at a time.
type ConfigMapAnchor struct {
	client client.Client
	key    client.ObjectKey
	clock  clock.PassiveClock
	// seen is the object as last read or written: whoever anchored meanwhile is not overwritten unseen.
	seen *corev1.ConfigMap
}

// NewConfigMapAnchor needs a client that reads from the API server, not from a cache: the operator may get this
// ConfigMap, and neither list nor watch any.
func NewConfigMapAnchor(c client.Client, namespace string, clk clock.PassiveClock) *ConfigMapAnchor {
	return &ConfigMapAnchor{client: c, key: client.ObjectKey{Namespace: namespace, Name: AnchorName}, clock: clk}
}

// Load implements Anchor. A ConfigMap that names no head is one in which nothing is anchored yet; a head that cannot be
// read is an error.
func (a *ConfigMapAnchor) Load(ctx context.Context) (*Head, error) {
	if err := a.read(ctx); err != nil {
		return nil, err
	}
	if a.seen == nil || a.seen.Data[AnchorKey] == "" {
		return nil, nil
	}
	head, err := ParseHead(a.seen.Data[AnchorKey])
	if err != nil {
		return nil, fmt.Errorf("the head of the audit trail in the ConfigMap %s: %w; find out who changed it, then restore it or delete the ConfigMap", a.key, err)
	}
	return &head, nil
}

// Store implements Anchor.
func (a *ConfigMapAnchor) Store(ctx context.Context, head Head) error {
	if a.seen == nil {
		if err := a.read(ctx); err != nil {
			return err
		}
	}
	data := map[string]string{AnchorKey: head.String(), anchorTimeKey: stamp(a.clock.Now())}
	var err error
	if a.seen == nil {
		a.seen = &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{
			Namespace: a.key.Namespace, Name: a.key.Name,
			Labels: map[string]string{"app.kubernetes.io/name": "prod-access-operator"},
		}, Data: data}
		err = a.client.Create(ctx, a.seen)
	} else {
		a.seen.Data = data
		err = a.client.Update(ctx, a.seen)
	}
	if err != nil {
		a.seen = nil
		return fmt.Errorf("writing the ConfigMap %s: %w", a.key, err)
	}
	return nil
}

func (a *ConfigMapAnchor) read(ctx context.Context) error {
	var cm corev1.ConfigMap
	err := a.client.Get(ctx, a.key, &cm)
	switch {
	case err == nil:
		a.seen = &cm
	case apierrors.IsNotFound(err):
		a.seen = nil
	default:
		return fmt.Errorf("reading the ConfigMap %s: %w", a.key, err)
	}
	return nil
}
