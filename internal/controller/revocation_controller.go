// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/controller/controllerutil"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

const (
	// executingEvery is how soon to look again whether what is revoked is gone.
	executingEvery = time.Second
	// stayEvery is how often to look whether somebody who was removed from a group is still out of it.
	stayEvery = 5 * time.Minute
	// revocationWorkers is how many revocations are looked at side by side; each may wait for AWS.
	revocationWorkers = 8
)

// RevocationReconciler sees to it that what an AccessRevocation names is gone, and judges lifts. That grants end is the
// work of their own controller, which a revocation wakes; this one waits for it.
type RevocationReconciler struct {
	client      client.Client
	clock       Clock
	recorder    recorder.EventRecorder
	memberships *membership.Engine // nil with --aws=disabled
	guard       Guard
	trail       Trail
	self        string
	wake        waker
	// wakeGrant looks at a grant again, before others.
	wakeGrant func(name string)

	// deactivated holds the UIDs of revocations whose person has no credentials left.
	deactivated sync.Map

	mu sync.Mutex
	// unlifted is when this process last saw a revocation without a lift that is still to be judged.
	unlifted map[types.UID]time.Time
}

// NewRevocationReconciler makes a RevocationReconciler. memberships is nil with --aws=disabled.
func NewRevocationReconciler(c client.Client, clock Clock, rec recorder.EventRecorder, memberships *membership.Engine, proof Proof) *RevocationReconciler {
	return &RevocationReconciler{
		client: c, clock: clock, recorder: rec, memberships: memberships, guard: proof.Guard, trail: proof.Trail, self: proof.Self,
		unlifted: map[types.UID]time.Time{},
	}
}

// SetupWithManager registers the controller.
func (r *RevocationReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("accessrevocation").
		For(&v1alpha1.AccessRevocation{}).
		WatchesRawSource(source.Func(r.wake.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: revocationWorkers}).
		Complete(r)
}

// Reconcile implements reconcile.Reconciler.
func (r *RevocationReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.AccessRevocation{}
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if err := r.hold(ctx, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	stored, now := obj.DeepCopy(), r.clock.Now()
	again, err := r.inspect(ctx, obj, now)
	if err != nil {
		return ctrl.Result{}, err
	}
	if err := r.write(ctx, obj, stored, now); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	ends := access.RevocationEnds(obj)
	over := !ends.IsZero() && !now.Before(ends)
	switch {
	case obj.DeletionTimestamp != nil && (over || !access.InForce(obj)) && len(obj.Status.Outbox) == 0:
		return ctrl.Result{}, r.release(ctx, obj)
	case obj.DeletionTimestamp == nil && over:
		return ctrl.Result{}, client.IgnoreNotFound(r.client.Delete(ctx, obj, client.Preconditions{UID: &obj.UID}))
	}
	if len(obj.Status.Outbox) > 0 {
		again = sooner(again, access.RetryAfter)
	}
	if !ends.IsZero() {
		again = sooner(again, max(time.Second, ends.Sub(now)))
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

// hold makes sure of the finalizer: what is deleted without having been lifted stays in force.
func (r *RevocationReconciler) hold(ctx context.Context, obj *v1alpha1.AccessRevocation) error {
	base := obj.DeepCopy()
	if obj.DeletionTimestamp != nil || !controllerutil.AddFinalizer(obj, v1alpha1.Finalizer) {
		return nil
	}
	return r.client.Patch(ctx, obj, client.MergeFromWithOptions(base, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner))
}

// sooner is the shorter of two waits, of which zero is none.
func sooner(a, b time.Duration) time.Duration {
	if a == 0 || b == 0 {
		return cmp.Or(a, b)
	}
	return min(a, b)
}

func (r *RevocationReconciler) release(ctx context.Context, obj *v1alpha1.AccessRevocation) error {
	r.mu.Lock()
	delete(r.unlifted, obj.UID)
	r.deactivated.Delete(obj.UID)
	r.mu.Unlock()
	base := obj.DeepCopy()
	if !controllerutil.RemoveFinalizer(obj, v1alpha1.Finalizer) {
		return nil
	}
	return client.IgnoreNotFound(r.client.Patch(ctx, obj, client.MergeFrom(base), client.FieldOwner(rbac.FieldOwner)))
}

// inspect brings the status in line with what is found, and executes what is this controller's to execute.
func (r *RevocationReconciler) inspect(ctx context.Context, obj *v1alpha1.AccessRevocation, now time.Time) (again time.Duration, err error) {
	if obj.Spec.Grant != nil && obj.Status.EndsAt == nil {
		if err := r.learnEnd(ctx, obj); err != nil {
			return 0, err
		}
	}
	lifted, again := r.lifted(ctx, obj, now)
	if !lifted.Yes && obj.Spec.Person != "" && r.memberships != nil {
		// A name that the person is given later is one of theirs.
		again = sooner(again, access.RecheckAfter)
		if who, err := r.memberships.Directory(ctx); err == nil {
			obj.Status.Names = access.Stored(who.Extend(obj.Status.Names, string(obj.Spec.Person)))
		} else {
			again = sooner(again, access.RetryAfter)
		}
	}
	if lifted.Yes {
		status.Revocation(obj, lifted, lifted, now)
		return again, nil
	}
	done, wait := r.execute(ctx, obj)
	status.Revocation(obj, done, lifted, now)
	return sooner(again, wait), nil
}

// learnEnd reads from the grant whose it is and when its window ends. That of an emergency would begin anew with its object.
func (r *RevocationReconciler) learnEnd(ctx context.Context, obj *v1alpha1.AccessRevocation) error {
	var o client.Object = &v1alpha1.ProdAccessGrant{}
	if obj.Spec.Grant.Kind == v1alpha1.TargetBreakGlass {
		o = &v1alpha1.BreakGlass{}
	}
	if err := r.client.Get(ctx, types.NamespacedName{Name: obj.Spec.Grant.Name}, o); err != nil {
		return client.IgnoreNotFound(err)
	}
	g := grantOf(o)
	if !access.Requests(obj, g) {
		return nil
	}
	obj.Status.Names = access.SubjectNames(g)
	if !access.Emergency(g) {
		obj.Status.EndsAt = &metav1.Time{Time: access.Deadline(g)}
	}
	return nil
}

// lifted says whether the revocation was lifted by somebody who may.
func (r *RevocationReconciler) lifted(ctx context.Context, obj *v1alpha1.AccessRevocation, now time.Time) (access.Answer, time.Duration) {
	if judged, ok := access.JudgedLift(obj); ok {
		r.sawUnlifted(obj.UID, now)
		return judged, 0
	}
	f := access.LiftFacts{Revocation: obj, Guard: r.guard.State(), Unlifted: r.seenUnlifted(obj)}
	for _, name := range access.RevokedNames(obj) {
		own, err := r.same(ctx, name, string(obj.Spec.Lift.By))
		if err != nil {
			f.Unknown = err.Error()
			break
		}
		if own {
			f.Own = name
			break
		}
	}
	a := access.JudgeLift(f)
	if a.Reason == v1alpha1.ReasonAWSUnavailable {
		return a, access.RetryAfter
	}
	return a, 0
}

// seenUnlifted is when this process last saw the revocation without a lift that is still to be judged; if it never did, when
// it was made.
func (r *RevocationReconciler) seenUnlifted(obj *v1alpha1.AccessRevocation) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	if since, ok := r.unlifted[obj.UID]; ok {
		return since
	}
	return obj.CreationTimestamp.Time
}

// same says whether two names are one person's. AWS is asked about both, because the directory may be older than they are.
func (r *RevocationReconciler) same(ctx context.Context, a, b string) (bool, error) {
	who := access.Directory{}
	if r.memberships != nil {
		var err error
		if who, err = r.memberships.Directory(ctx); err != nil {
			return false, err
		}
		for name, other := range map[string]string{a: b, b: a} {
			p := r.memberships.Identify(ctx, name, nil)
			if p.Unavailable != "" {
				return false, errors.New(p.Unavailable)
			}
			if p.Found && slices.ContainsFunc(p.Names(), func(n string) bool { return who.Same(n, other) }) {
				return true, nil
			}
		}
	}
	return who.Same(a, b), nil
}

func (r *RevocationReconciler) sawUnlifted(uid types.UID, now time.Time) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.unlifted[uid] = now
}

// execute does what no grant's controller does, and says whether everything that is revoked is gone.
func (r *RevocationReconciler) execute(ctx context.Context, obj *v1alpha1.AccessRevocation) (access.Answer, time.Duration) {
	if m := obj.Spec.Membership; m != nil {
		return r.expel(ctx, m)
	}
	// The grants are their own controller's; nothing that keeps one of them keeps the credentials.
	deactivate := r.deactivateOnce(ctx, obj)
	left, err := r.unended(ctx, obj)
	switch {
	case err != nil:
		return executing(err.Error()), access.RetryAfter
	case deactivate != nil:
		return executing(deactivate.Error()), access.RetryAfter
	case len(left) > 0:
		return executing(fmt.Sprintf("not yet verified gone: %s", left[0])), executingEvery
	case obj.Spec.Credentials == v1alpha1.CredentialsDeactivate:
		return inForce("no access is left; access keys are Inactive, and there is no console password"), 0
	}
	return inForce("no access is left, and none begins"), 0
}

// deactivateOnce takes the person's own credentials away, if that is asked for, until it was seen to be done: what the
// person is given later is given knowingly.
func (r *RevocationReconciler) deactivateOnce(ctx context.Context, obj *v1alpha1.AccessRevocation) error {
	last := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	if obj.Spec.Credentials != v1alpha1.CredentialsDeactivate || last != nil && last.Reason == v1alpha1.ReasonInForce {
		return nil
	}
	if _, done := r.deactivated.Load(obj.UID); done {
		return nil
	}
	if err := r.deactivate(ctx, string(obj.Spec.Person)); err != nil {
		return err
	}
	r.deactivated.Store(obj.UID, true)
	return nil
}

func executing(message string) access.Answer {
	return access.Answer{Reason: v1alpha1.ReasonExecuting, Message: message}
}

func inForce(message string) access.Answer {
	return access.Answer{Yes: true, Reason: v1alpha1.ReasonInForce, Message: message}
}

var errNoAWS = errors.New("the operator runs with --aws=disabled and cannot reach IAM: enable AWS, or do it by hand")

func (r *RevocationReconciler) expel(ctx context.Context, m *v1alpha1.MembershipReference) (access.Answer, time.Duration) {
	managed, err := r.managed(ctx, m.Group)
	switch {
	case err != nil:
		return executing(err.Error()), access.RetryAfter
	case !managed:
		return access.Answer{Reason: v1alpha1.ReasonNotManaged, Message: fmt.Sprintf("no AccessRole names the IAM group %s, so its members are not the operator's to remove", m.Group)}, 0
	case r.memberships == nil:
		return executing(errNoAWS.Error()), access.RecheckAfter
	}
	switch o := r.memberships.Expel(ctx, m.IAMUser, string(m.Group)); {
	case o.Err != nil:
		return executing(o.Err.Error()), access.RetryAfter
	case o.Covered:
		return executing(fmt.Sprintf("a live grant puts %s into the IAM group %s: revoke the grant or the person", m.IAMUser, m.Group)), access.RecheckAfter
	}
	// Whoever puts the stranger back finds the revocation still there.
	return inForce(fmt.Sprintf("%s is not in the IAM group %s", m.IAMUser, m.Group)), stayEvery
}

// managed says whether a group is one of ours to look after.
func (r *RevocationReconciler) managed(ctx context.Context, group v1alpha1.IAMGroupName) (bool, error) {
	var list v1alpha1.AccessRoleList
	if err := r.client.List(ctx, &list); err != nil {
		return false, fmt.Errorf("listing AccessRoles: %w", err)
	}
	for i := range list.Items {
		if access.NamesGroup(&list.Items[i].Spec, group) {
			return true, nil
		}
	}
	return false, nil
}

// unended names the grants that are revoked and not over.
func (r *RevocationReconciler) unended(ctx context.Context, obj *v1alpha1.AccessRevocation) ([]string, error) {
	grants, err := Grants{r.client}.List(ctx)
	if err != nil {
		return nil, err
	}
	var left []string
	for i := range grants {
		if g := &grants[i]; !access.Terminal(access.StateOf(g)) && access.Revokes(obj, g) {
			// However long its queue is: after a start it may be one of thousands.
			r.wakeGrant(keyOf(g))
			left = append(left, fmt.Sprintf("the %s %s", nouns[access.KindOf(g)], g.Name))
		}
	}
	return left, nil
}

// deactivate takes the person's own credentials away, whichever of their names was revoked.
func (r *RevocationReconciler) deactivate(ctx context.Context, person string) error {
	if r.memberships == nil {
		return errNoAWS
	}
	// Without the directory, or for an IAM user who is younger, the name has to do: what can be taken away is.
	who, err := r.memberships.Directory(ctx)
	users := who.Users(person)
	if len(users) == 0 {
		users = []access.User{{Name: person}}
	}
	found := false
	for _, u := range users {
		d := r.memberships.Deactivate(ctx, membership.Member{UserID: u.UserID, Name: u.Name})
		found, err = found || d.Found, errors.Join(err, d.Err)
	}
	if err != nil {
		return err
	}
	if !found {
		return fmt.Errorf("no IAM user has the name %s, so there are no credentials to deactivate: create another AccessRevocation with a name of theirs", person)
	}
	return nil
}

// write tells the trail what is new, and stores the status.
func (r *RevocationReconciler) write(ctx context.Context, obj, stored *v1alpha1.AccessRevocation, now time.Time) error {
	r.tell(ctx, obj, stored, now)
	if equality.Semantic.DeepEqual(stored.Status, obj.Status) {
		return nil
	}
	if err := r.client.Status().Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner)); err != nil {
		return err
	}
	before, after := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionReady), meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	if before == nil || before.Reason != after.Reason {
		r.recorder.Eventf(obj, nil, corev1.EventTypeNormal, after.Reason, "Revoke", "%s", after.Message)
	}
	return nil
}

func (r *RevocationReconciler) tell(ctx context.Context, obj, stored *v1alpha1.AccessRevocation, now time.Time) {
	at := metav1.NewTime(now.Truncate(time.Second))
	var told []v1alpha1.OutboxEntry
	was := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionReady)
	if was == nil {
		told = append(told, v1alpha1.OutboxEntry{Event: audit.EventRevocation, At: at, Message: "revoked " + revokedWhat(obj)})
	}
	if ready := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady); obj.Spec.Grant == nil &&
		ready.Reason == v1alpha1.ReasonInForce && (was == nil || was.Reason != ready.Reason) {
		told = append(told, v1alpha1.OutboxEntry{Event: audit.EventExecuted, At: at, Message: ready.Message})
	}
	if !access.InForce(obj) && access.InForce(stored) {
		told = append(told, v1alpha1.OutboxEntry{Event: audit.EventLifted, At: at, Message: "lifted the revocation of " + revokedWhat(obj)})
	}
	pending := keep(obj.Status.Outbox, told)
	if len(pending) == 0 {
		return
	}
	var entries []audit.Entry
	for _, o := range pending {
		e := audit.Entry{
			Event: o.Event, Time: o.At.Time, Kind: "AccessRevocation", Name: obj.Name, UID: string(obj.UID), Change: o.Message,
			Subject: string(obj.Spec.Person), AppliedBy: string(obj.Spec.RevokedBy), Reason: obj.Spec.Reason,
		}
		switch {
		case obj.Spec.Grant != nil:
			e.Digest = obj.Spec.Grant.SpecDigest
		case obj.Spec.Membership != nil:
			e.Subject = obj.Spec.Membership.IAMUser
		}
		if lift := obj.Spec.Lift; o.Event == audit.EventLifted && lift != nil {
			e.AppliedBy, e.Reason = string(lift.By), lift.Reason
		}
		entries = append(entries, e)
	}
	if obj.Status.Outbox = nil; appendTo(ctx, r.trail, entries...) != nil {
		obj.Status.Outbox = pending
	}
}

func revokedWhat(obj *v1alpha1.AccessRevocation) string {
	switch s := obj.Spec; {
	case s.Grant != nil:
		return "the grant " + s.Grant.Name
	case s.Membership != nil:
		return fmt.Sprintf("the membership of %s in the IAM group %s", s.Membership.IAMUser, s.Membership.Group)
	case s.Credentials == v1alpha1.CredentialsDeactivate:
		return fmt.Sprintf("%s, credentials included", s.Person)
	default:
		return string(s.Person)
	}
}
