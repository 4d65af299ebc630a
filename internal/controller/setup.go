// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"context"
	"fmt"
	"time"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/apimachinery/pkg/runtime"
	utilruntime "k8s.io/apimachinery/pkg/util/runtime"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	realclock "k8s.io/utils/clock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
)

// Name is what the operator calls itself in events, leases and field managers.
const Name = rbac.FieldOwner

// NewScheme knows every kind that the operator reads or writes.
func NewScheme() *runtime.Scheme {
	s := runtime.NewScheme()
	utilruntime.Must(clientgoscheme.AddToScheme(s))
	utilruntime.Must(v1alpha1.AddToScheme(s))
	return s
}

// Options adds to the options of a manager what the controllers rely on: reads that see the operator's own writes, and
// a cache that holds no binding but the operator's own.
func Options(o ctrl.Options) ctrl.Options {
	ours := cache.ByObject{Label: labels.SelectorFromSet(labels.Set{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue})}
	o.Scheme = NewScheme()
	o.Cache.ByObject = map[client.Object]cache.ByObject{&rbacv1.ClusterRoleBinding{}: ours, &rbacv1.RoleBinding{}: ours}
	o.Cache.DefaultTransform = cache.TransformStripManagedFields()
	o.Client.Cache = &client.CacheOptions{EnableReadYourWritesConsistency: new(true)}
	return o
}

// Proof is what nothing new is granted without: the guard that proves who said what, and the trail of what was done.
type Proof struct {
	Guard Guard
	Trail Trail
	// Self is the operator's own username.
	Self string
}

// AWS says how the operator uses AWS. The zero AWS is --aws=disabled.
type AWS struct {
	// API is nil with --aws=disabled.
	API aws.IAM
	// SweepEvery is how often the whole account is read, give or take a tenth.
	SweepEvery time.Duration
	// Preflight names the rights that the operator lacks on groups, by their ARNs; nil checks none.
	Preflight func(ctx context.Context, groups []string) (missing []string, err error)
	membership.Options
}

// Setup registers every controller. It returns what is to be called when the answer of the guard has changed.
func Setup(ctx context.Context, mgr ctrl.Manager, at AWS, clock Clock, proof Proof) (guardChanged func(context.Context), err error) {
	if err := AddIndexes(ctx, mgr.GetFieldIndexer()); err != nil {
		return nil, fmt.Errorf("adding indexes to the cache: %w", err)
	}
	// Every informer exists before the manager starts: it is ready only when all have synced, and a process that becomes
	// the leader has nothing left to read.
	namespaces := &metav1.PartialObjectMetadata{}
	namespaces.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	for _, o := range []client.Object{
		&v1alpha1.AccessRole{}, &v1alpha1.ProdAccessGrant{}, &v1alpha1.BreakGlass{}, &v1alpha1.AccessApproval{}, &v1alpha1.AccessRevocation{},
		&rbacv1.ClusterRole{}, &rbacv1.ClusterRoleBinding{}, &rbacv1.RoleBinding{}, namespaces,
	} {
		if _, err := mgr.GetCache().GetInformer(ctx, o, cache.BlockUntilSynced(false)); err != nil {
			return nil, fmt.Errorf("preparing to watch %T: %w", o, err)
		}
	}
	var memberships *membership.Engine
	if at.API != nil {
		memberships = membership.New(at.API, Grants{mgr.GetClient()}, clock, at.Options)
	}
	rec := mgr.GetEventRecorder(Name)
	roles := &RoleReader{Client: mgr.GetClient(), Live: mgr.GetAPIReader(), Rules: rbac.NewRules(mgr.GetClient(), mgr.GetClient())}
	roleReconciler := NewRoleReconciler(mgr.GetClient(), clock, rec, roles, memberships, proof)
	roleReconciler.groupsEvery = at.SweepEvery
	if err := roleReconciler.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the role controller: %w", err)
	}
	grants := NewGrantReconciler(mgr.GetClient(), mgr.GetAPIReader(), clock, rec, roles, memberships, proof)
	grants.fences, grants.temporaryUsers = at.Cluster != "", at.Boundary != ""
	if err := grants.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the grant controller: %w", err)
	}
	if memberships != nil {
		if err := mgr.Add(&sweeps{GrantReconciler: grants, every: at.SweepEvery, preflight: at.Preflight, ticker: realclock.RealClock{}}); err != nil {
			return nil, fmt.Errorf("adding the sweeps: %w", err)
		}
	}
	wakeGrant := func(key string) { grants.wake.wake(key, priorityRemoval) }
	roleReconciler.wakeGrant = wakeGrant
	revocations := NewRevocationReconciler(mgr.GetClient(), clock, rec, memberships, proof)
	revocations.wakeGrant = wakeGrant
	if err := revocations.SetupWithManager(mgr); err != nil {
		return nil, fmt.Errorf("setting up the revocation controller: %w", err)
	}
	return func(ctx context.Context) {
		roleReconciler.wake.all(ctx, mgr.GetClient(), &v1alpha1.AccessRoleList{})
		grants.wakeAll(ctx)
		revocations.wake.all(ctx, mgr.GetClient(), &v1alpha1.AccessRevocationList{})
	}, nil
}
