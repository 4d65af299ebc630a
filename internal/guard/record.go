// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"encoding/json"
	"fmt"

	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"
)

// RecordName is the ConfigMap, in the operator's namespace, in which the operator keeps for its successor what it knows
// of the guard. Without it, nothing that was created before the successor's first look is proven.
const RecordName = "prod-access-guard"

// recordKey is the only key of its data.
const recordKey = "record"

// record reads and writes the ConfigMap. It is read once: a conflict says that somebody else wrote it.
type record struct {
	client    client.Client
	namespace string
	// stored is as last read or written, nil while it does not exist.
	stored *corev1.ConfigMap
}

// load reads the ledger; an empty one if there is none, or none that can be read.
func (r *record) load(ctx context.Context) (ledger, error) {
	var cm corev1.ConfigMap
	err := r.client.Get(ctx, types.NamespacedName{Namespace: r.namespace, Name: RecordName}, &cm)
	if apierrors.IsNotFound(err) {
		r.stored = nil
		return ledger{}, nil
	}
	if err != nil {
		return ledger{}, fmt.Errorf("reading the ConfigMap %s/%s: %w", r.namespace, RecordName, err)
	}
	r.stored = &cm
	var l ledger
	if json.Unmarshal([]byte(cm.Data[recordKey]), &l) != nil {
		return ledger{}, nil //nolint:nilerr // as if it were gone: it proves nothing, and is written anew
	}
	return l, nil
}

// save writes the ledger. A conflict is apierrors.IsConflict or IsAlreadyExists: load again, absorb, save.
func (r *record) save(ctx context.Context, l ledger) error {
	text, err := json.Marshal(l)
	if err != nil {
		return err
	}
	cm := &corev1.ConfigMap{}
	if r.stored != nil {
		cm = r.stored.DeepCopy()
	}
	cm.Namespace, cm.Name, cm.Data = r.namespace, RecordName, map[string]string{recordKey: string(text)}
	if r.stored == nil {
		err = r.client.Create(ctx, cm)
	} else if err = r.client.Update(ctx, cm); apierrors.IsNotFound(err) {
		r.stored = nil // somebody deleted it: the next attempt creates it
	}
	if err != nil {
		return fmt.Errorf("writing the ConfigMap %s/%s: %w", r.namespace, RecordName, err)
	}
	r.stored = cm
	return nil
}
