// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package controller carries out what internal/access decides: it collects the facts, performs the effects in the order
// that survives a crash at any point, and writes down what was seen.
package controller

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/go-logr/logr"
	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	"k8s.io/client-go/util/workqueue"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/priorityqueue"
	"sigs.k8s.io/controller-runtime/pkg/event"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
)

// +kubebuilder:rbac:groups=access.hera.dev,resources=prodaccessgrants,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=access.hera.dev,resources=prodaccessgrants/status,verbs=patch
// +kubebuilder:rbac:groups=access.hera.dev,resources=breakglasses,verbs=get;list;watch;patch
// +kubebuilder:rbac:groups=access.hera.dev,resources=breakglasses/status,verbs=patch
// +kubebuilder:rbac:groups=access.hera.dev,resources=accessapprovals,verbs=get;list;watch
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterrolebindings;rolebindings,verbs=get;list;watch;create;patch;delete
// +kubebuilder:rbac:groups=rbac.authorization.k8s.io,resources=clusterroles,verbs=get;list;watch
// +kubebuilder:rbac:groups="",resources=namespaces,verbs=get;list;watch
// +kubebuilder:rbac:groups=events.k8s.io,resources=events,verbs=create;patch

// Clock tells the time.
type Clock interface{ Now() time.Time }

// Priorities of the work queue: removals first, then emergencies.
const (
	priorityRemoval   = 100
	priorityEmergency = 50
	priorityOrdinary  = 0
)

const (
	// grantWorkers is how many grants are looked at side by side. Nothing that a worker does waits for AWS.
	grantWorkers = 10
	// bindingWorkers is how many bindings of one grant are written side by side.
	bindingWorkers = 8
	// reconcileTimeout frees a worker that waits for a watch which has broken off.
	reconcileTimeout = time.Minute
	// Bounds of the wait before something that failed is tried again.
	minBackoff       = 200 * time.Millisecond
	maxBackoff       = time.Minute
	maxEndingBackoff = 5 * time.Second
)

// GrantReconciler reconciles ProdAccessGrants and BreakGlasses.
type GrantReconciler struct {
	client      client.Client
	live        client.Reader
	clock       Clock
	recorder    recorder.EventRecorder
	roles       *RoleReader
	bindings    *rbac.Engine
	memberships *membership.Engine // nil with --aws=disabled
	guard       Guard
	trail       Trail
	// fences says whether people are fenced at AWS.
	fences bool
	// temporaryUsers says whether temporary users are made.
	temporaryUsers bool
	// self is the username of the operator.
	self     string
	rights   *rights
	removals access.Removals
	wake     waker
	tasks    *tasks
	alarms   *alarms
	// Waits before something that failed is tried again: what has to end is tried again soon, however long something
	// else has been failing before.
	backoff, endingBackoff workqueue.TypedRateLimiter[types.UID]
	// unbound holds the Kubernetes side of grants whose bindings are verified gone while the AWS side is still being
	// removed, by UID.
	unbound sync.Map
	// people holds what AWS said about the person of a grant that is being activated, by the grant's UID.
	people sync.Map
	// looked holds when AWS was last asked about the person of a grant, by the grant's UID.
	looked sync.Map
	// released holds the UIDs of grants that nothing is left to do about.
	released sync.Map
	// orphans holds grants that went while they had access, by name, until what they left behind is revoked.
	orphans sync.Map
	// directory is what AWS last said about who is who, for reports; nil if it was not asked.
	directory atomic.Pointer[directory]
	// counting is held by whoever counts emergencies.
	counting sync.Mutex
}

// NewGrantReconciler makes a GrantReconciler. The client must see its own writes. memberships is nil with --aws=disabled.
func NewGrantReconciler(c client.Client, live client.Reader, clock Clock, rec recorder.EventRecorder, roles *RoleReader, memberships *membership.Engine, proof Proof) *GrantReconciler {
	return &GrantReconciler{
		guard: proof.Guard, trail: proof.Trail, self: proof.Self,
		client: c, live: live, clock: clock, recorder: rec, roles: roles, memberships: memberships,
		bindings:      rbac.New(c, live),
		rights:        newRights(c),
		backoff:       workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](minBackoff, maxBackoff),
		endingBackoff: workqueue.NewTypedItemExponentialFailureRateLimiter[types.UID](minBackoff, maxEndingBackoff),
	}
}

// SetupWithManager registers the controller.
func (r *GrantReconciler) SetupWithManager(mgr ctrl.Manager) error {
	r.tasks = newTasks(r.wake.wake)
	r.alarms = newAlarms(r.clock, func(name string) { r.wake.wake(name, priorityRemoval) })
	if err := mgr.Add(r.tasks); err != nil {
		return fmt.Errorf("adding the task runner: %w", err)
	}
	return ctrl.NewControllerManagedBy(mgr).
		Named("prodaccessgrant").
		WithOptions(controller.Options{
			MaxConcurrentReconciles: grantWorkers,
			ReconciliationTimeout:   reconcileTimeout,
			RateLimiter:             workqueue.NewTypedItemExponentialFailureRateLimiter[ctrl.Request](minBackoff, maxBackoff),
		}).
		Watches(&v1alpha1.ProdAccessGrant{}, r.onGrant(), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.BreakGlass{}, r.onGrant(), builder.WithPredicates(predicate.Or(predicate.GenerationChangedPredicate{}, predicate.AnnotationChangedPredicate{}))).
		Watches(&v1alpha1.AccessApproval{}, handler.EnqueueRequestsFromMapFunc(toTarget)).
		Watches(&v1alpha1.AccessRevocation{}, r.onRevocation()).
		Watches(&v1alpha1.AccessRole{}, handler.EnqueueRequestsFromMapFunc(r.toGrantsOfRole)).
		// The status of the role follows a ClusterRole only a moment later, and not at all if that changed back meanwhile.
		Watches(&rbacv1.ClusterRole{}, handler.EnqueueRequestsFromMapFunc(r.toGrantsOfClusterRole), builder.WithPredicates(notInitial())).
		Watches(&rbacv1.ClusterRoleBinding{}, handler.EnqueueRequestsFromMapFunc(toOwner), builder.WithPredicates(notInitial())).
		Watches(&rbacv1.RoleBinding{}, handler.EnqueueRequestsFromMapFunc(toOwner), builder.WithPredicates(notInitial())).
		WatchesMetadata(&corev1.Namespace{}, handler.EnqueueRequestsFromMapFunc(r.toGrantsOfNamespace), builder.WithPredicates(onlyCreated())).
		WatchesRawSource(source.Func(r.wake.start)).
		Complete(r)
}

// wakeAll looks at everything again that has not ended.
func (r *GrantReconciler) wakeAll(ctx context.Context) {
	for _, req := range r.unended(ctx) {
		r.wake.wake(req.Name, priorityOrdinary)
	}
}

// waker puts objects back into the queue from outside of any watch.
type waker struct {
	mu    sync.Mutex
	queue workqueue.TypedRateLimitingInterface[ctrl.Request]
}

func (w *waker) start(_ context.Context, q workqueue.TypedRateLimitingInterface[ctrl.Request]) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.queue = q
	return nil
}

func (w *waker) wake(name string, priority int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.queue != nil {
		enqueue(w.queue, name, priority)
	}
}

// all puts every object of a kind back.
func (w *waker) all(ctx context.Context, c client.Reader, list client.ObjectList) {
	err := c.List(ctx, list, client.UnsafeDisableDeepCopy)
	if err == nil {
		err = meta.EachListItem(list, func(o runtime.Object) error {
			w.wake(o.(client.Object).GetName(), priorityOrdinary) //nolint:forcetypeassert // nothing else is listed
			return nil
		})
	}
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "looking at everything again")
	}
}

func enqueue(q workqueue.TypedRateLimitingInterface[ctrl.Request], name string, priority int) {
	req := ctrl.Request{NamespacedName: types.NamespacedName{Name: name}}
	if pq, ok := q.(priorityqueue.PriorityQueue[ctrl.Request]); ok {
		pq.AddWithOpts(priorityqueue.AddOpts{Priority: &priority}, req)
		return
	}
	q.Add(req)
}

// onGrant lets removals overtake: after a long outage the overdue come first, before thousands that are in order.
func (r *GrantReconciler) onGrant() handler.EventHandler {
	return handler.Funcs{
		CreateFunc: func(_ context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			g := grantOf(e.Object)
			if g == nil {
				return
			}
			r.alarms.set(g)
			priority := priorityOf(g)
			switch {
			case access.MayExist(g) && (g.DeletionTimestamp != nil || !r.clock.Now().Before(access.Deadline(g))):
				priority = priorityRemoval
			case e.IsInInitialList && priority == priorityOrdinary:
				priority = handler.LowPriority
			}
			enqueue(q, keyOf(g), priority)
		},
		UpdateFunc: func(_ context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			g := grantOf(e.ObjectNew)
			if g == nil {
				return
			}
			priority := priorityOf(g)
			if g.DeletionTimestamp != nil {
				priority = priorityRemoval
			}
			enqueue(q, keyOf(g), priority)
		},
		DeleteFunc: func(_ context.Context, e event.DeleteEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			r.alarms.stop(e.Object.GetUID())
			r.released.Delete(e.Object.GetUID())
			r.looked.Delete(e.Object.GetUID())
			r.people.Delete(e.Object.GetUID())
			r.unbound.Delete(e.Object.GetUID())
			r.removals.Forget(e.Object.GetUID())
			g := grantOf(e.Object)
			switch {
			case g == nil:
			case access.MayExist(g):
				r.orphans.Store(keyOf(g), g)
				enqueue(q, keyOf(g), priorityRemoval)
			case access.Emergency(g):
				enqueue(q, keyOf(g), priorityOrdinary) // to be counted no more
			}
		},
	}
}

// priorityOf is how urgent an object is that nothing has to be taken away of: an emergency comes before everything else.
func priorityOf(g *v1alpha1.ProdAccessGrant) int {
	if access.Emergency(g) && !access.Terminal(access.StateOf(g)) {
		return priorityEmergency
	}
	return priorityOrdinary
}

// notInitial leaves out what was there when the operator started: every grant is looked at then in any case.
func notInitial() predicate.Predicate {
	return predicate.Funcs{CreateFunc: func(e event.CreateEvent) bool { return !e.IsInInitialList }}
}

func onlyCreated() predicate.Predicate {
	return predicate.Funcs{
		UpdateFunc: func(event.UpdateEvent) bool { return false },
		DeleteFunc: func(event.DeleteEvent) bool { return false },
	}
}

func requestFor(name string) []ctrl.Request {
	return []ctrl.Request{{NamespacedName: types.NamespacedName{Name: name}}}
}

func toTarget(_ context.Context, o client.Object) []ctrl.Request {
	a, ok := o.(*v1alpha1.AccessApproval)
	if !ok {
		return nil
	}
	return requestFor(key(a.Spec.Target.Kind, a.Spec.Target.Name))
}

func toOwner(_ context.Context, o client.Object) []ctrl.Request {
	if owner := metav1.GetControllerOf(o); owner != nil {
		return requestFor(key(v1alpha1.TargetKind(owner.Kind), owner.Name))
	}
	return nil
}

// onRevocation puts what is revoked before everything else in the queue.
func (r *GrantReconciler) onRevocation() handler.EventHandler {
	wake := func(ctx context.Context, o client.Object, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
		revocation, ok := o.(*v1alpha1.AccessRevocation)
		if !ok {
			return
		}
		grants, err := Grants{r.client}.List(ctx, client.DisableReadYourWritesConsistency)
		if err != nil {
			logr.FromContextOrDiscard(ctx).Error(err, "looking for what is revoked")
			return
		}
		for i := range grants {
			g := &grants[i]
			switch {
			case access.Terminal(access.StateOf(g)):
			case access.Revokes(revocation, g):
				enqueue(q, keyOf(g), priorityRemoval)
			case revocation.Spec.Person != "" && g.Status.ActivatedAt == nil:
				// It may be the person under a name that only AWS knows, or one of the approvers.
				enqueue(q, keyOf(g), priorityOf(g))
			}
		}
	}
	return handler.Funcs{
		CreateFunc: func(ctx context.Context, e event.CreateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			if !e.IsInInitialList {
				wake(ctx, e.Object, q)
			}
		},
		UpdateFunc: func(ctx context.Context, e event.UpdateEvent, q workqueue.TypedRateLimitingInterface[ctrl.Request]) {
			wake(ctx, e.ObjectNew, q)
		},
	}
}

func (r *GrantReconciler) toGrantsOfRole(ctx context.Context, o client.Object) []ctrl.Request {
	return r.unended(ctx, client.MatchingFields{indexRole: o.GetName()})
}

func (r *GrantReconciler) toGrantsOfNamespace(ctx context.Context, o client.Object) []ctrl.Request {
	return r.unended(ctx, client.MatchingFields{indexNamespace: o.GetName()})
}

func (r *GrantReconciler) toGrantsOfClusterRole(ctx context.Context, o client.Object) []ctrl.Request {
	var reqs []ctrl.Request
	for _, name := range r.roles.Touched(ctx, o) {
		reqs = append(reqs, r.unended(ctx, client.MatchingFields{indexRole: name})...)
	}
	return reqs
}

func (r *GrantReconciler) unended(ctx context.Context, of ...client.ListOption) []ctrl.Request {
	// Waiting for our own writes would make every role event wait for the busiest moment.
	grants, err := Grants{r.client}.List(ctx, append(of, client.DisableReadYourWritesConsistency)...)
	if err != nil {
		logr.FromContextOrDiscard(ctx).Error(err, "looking for what has not ended")
		return nil
	}
	var reqs []ctrl.Request
	for i := range grants {
		if !access.Terminal(access.StateOf(&grants[i])) {
			reqs = append(reqs, requestFor(keyOf(&grants[i]))...)
		}
	}
	return reqs
}

// Reconcile implements reconcile.Reconciler.
func (r *GrantReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	if err := r.expelOrphans(ctx, req.Name); err != nil {
		return ctrl.Result{}, err
	}
	g, glass, unfit, err := r.read(ctx, req.Name)
	if errors.Is(err, errNotFirst) {
		return ctrl.Result{RequeueAfter: minBackoff, Priority: new(priorityEmergency)}, nil
	}
	if g == nil {
		if strings.HasPrefix(req.Name, emergencyKey) {
			r.countEmergencies(ctx)
		}
		return ctrl.Result{}, err
	}
	if _, done := r.released.Load(g.UID); done {
		// Gone, and the watch does not say so yet; or kept by somebody else's finalizer.
		return ctrl.Result{}, nil
	}
	p := &pass{
		GrantReconciler: r, g: g, stored: g.DeepCopy(), glass: glass, glassStored: glass.DeepCopy(), now: r.clock.Now(), log: logr.FromContextOrDiscard(ctx), ready: r.tasks.take(g.UID),
	}
	p.facts = access.Facts{Grant: g, AWS: r.memberships != nil, Fences: r.fences, Unfit: unfit, NoTemporary: r.noTemporary(glass)}
	return p.run(ctx)
}

// errNotFirst says that another emergency is to be looked at first, with which this one shares a deadline.
var errNotFirst = errors.New("another emergency was opened before")

// read reads what is to be looked at; nil if it is gone. Of an emergency, it is the object too, and what is known against its person.
func (r *GrantReconciler) read(ctx context.Context, key string) (*v1alpha1.ProdAccessGrant, *v1alpha1.BreakGlass, access.Obstacle, error) {
	name, ok := strings.CutPrefix(key, emergencyKey)
	if !ok {
		g := &v1alpha1.ProdAccessGrant{}
		if err := r.client.Get(ctx, types.NamespacedName{Name: name}, g); err != nil {
			return nil, nil, access.Obstacle{}, client.IgnoreNotFound(err)
		}
		return g, nil, access.Obstacle{}, nil
	}
	glass := &v1alpha1.BreakGlass{}
	if err := r.client.Get(ctx, types.NamespacedName{Name: name}, glass); err != nil {
		return nil, nil, access.Obstacle{}, client.IgnoreNotFound(err)
	}
	g := access.FromBreakGlass(glass)
	unfit, err := r.lookBeside(ctx, g)
	if err != nil {
		return nil, nil, access.Obstacle{}, err
	}
	return g, glass, unfit, nil
}

// lookBeside has an emergency share the deadline of the same one that was opened before, and says what is known against its
// person.
func (r *GrantReconciler) lookBeside(ctx context.Context, g *v1alpha1.ProdAccessGrant) (unfit access.Obstacle, err error) {
	now, state := r.clock.Now(), access.StateOf(g)
	if access.Terminal(state) || state == v1alpha1.StateRevoking || g.DeletionTimestamp != nil || !now.Before(access.Deadline(g)) {
		return access.Obstacle{}, nil // an end waits for nothing that others do
	}
	begun := g.Status.ActivatedAt != nil || access.MayExist(g)
	var how []client.ListOption
	if begun {
		how = append(how, client.DisableReadYourWritesConsistency) // nor does a revocation
	}
	others, err := emergencies(ctx, r.client, how...)
	if err != nil {
		return access.Obstacle{}, err
	}
	if access.ShareDeadline(g, others, now) && state == "" {
		return access.Obstacle{}, errNotFirst
	}
	if begun {
		return access.Obstacle{}, nil
	}
	// A grant may know better than an emergency of long ago.
	grants, err := Grants{r.client}.List(ctx)
	if err != nil {
		return access.Obstacle{}, err
	}
	others = others[:0]
	for i := range grants {
		others = append(others, &grants[i])
	}
	return access.KnownUnfit(g, others), nil
}
