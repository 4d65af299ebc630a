// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package controller

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/builder"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/controller"
	"sigs.k8s.io/controller-runtime/pkg/handler"
	"sigs.k8s.io/controller-runtime/pkg/predicate"
	"sigs.k8s.io/controller-runtime/pkg/recorder"
	"sigs.k8s.io/controller-runtime/pkg/source"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/audit"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy"
	"github.com/hera-platform/prod-access-operator/internal/rbac"
	"github.com/hera-platform/prod-access-operator/internal/status"
)

// +kubebuilder:rbac:groups=access.hera.dev,resources=accessroles,verbs=get;list;watch
// +kubebuilder:rbac:groups=access.hera.dev,resources=accessroles/status,verbs=patch
// +kubebuilder:rbac:groups=authorization.k8s.io,resources=selfsubjectaccessreviews,verbs=create

const (
	// attestersEvery is how often it is looked at from where the attesters of a role may carry reviews.
	attestersEvery = 5 * time.Minute
	// roleWorkers is how many roles are looked at side by side, so that one whose groups AWS is slow about delays no other.
	roleWorkers = 4
	// maxStrangers bounds how many strangers of a group are named.
	maxStrangers = 100
)

// RoleReader reads roles as they stand.
type RoleReader struct {
	Client client.Reader
	Live   client.Reader
	Rules  *rbac.Rules
}

// errNotLookedAt says that a role has changed and its status does not yet: its next event is near.
var errNotLookedAt = errors.New("the role has just changed and is being looked at")

// Read returns a role with what its ClusterRole comes to, nil if there is none. That there is none is asked of the API
// server itself, because it ends every grant of the role. The error is errNotLookedAt, beside the role, while nobody has
// looked at the role as it is now.
func (r *RoleReader) Read(ctx context.Context, name string) (*access.Role, error) {
	var obj v1alpha1.AccessRole
	err := r.Client.Get(ctx, types.NamespacedName{Name: name}, &obj)
	if apierrors.IsNotFound(err) {
		err = r.Live.Get(ctx, types.NamespacedName{Name: name}, &obj)
	}
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("reading the AccessRole %s: %w", name, err)
	}
	role, why, err := r.inspect(ctx, &obj)
	if err != nil {
		return nil, err
	}
	ready := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	switch {
	case why.Reason != "":
		role.NotReady = why.Message
	case ready == nil || ready.ObservedGeneration != obj.Generation:
		role.NotReady = errNotLookedAt.Error()
		return role, errNotLookedAt
	case ready.Status != metav1.ConditionTrue && ready.Reason != v1alpha1.ReasonAWSDisabled: // the grant says that itself
		role.NotReady, role.NotReadyInAWS = ready.Message, slices.Contains(groupTroubles, ready.Reason)
	}
	return role, nil
}

// Touched names the roles that a change of a ClusterRole may concern. In doubt it names a role too many.
func (r *RoleReader) Touched(ctx context.Context, clusterRole client.Object) []string {
	var list v1alpha1.AccessRoleList
	if err := r.Client.List(ctx, &list, client.DisableReadYourWritesConsistency); err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "listing AccessRoles")
		return nil
	}
	var names []string
	for i := range list.Items {
		k := list.Items[i].Spec.Kubernetes
		if k == nil {
			continue
		}
		if touched, err := r.Rules.Touches(ctx, k.ClusterRole, clusterRole); touched || err != nil {
			names = append(names, list.Items[i].Name)
		}
	}
	return names
}

// inspect says what a role comes to, and what is wrong with it as far as the cluster can tell.
func (r *RoleReader) inspect(ctx context.Context, obj *v1alpha1.AccessRole) (*access.Role, access.Obstacle, error) {
	role := &access.Role{Name: obj.Name, Created: obj.CreationTimestamp.Time, Spec: obj.Spec}
	var why access.Obstacle
	if _, err := access.TicketPattern(&obj.Spec); err != nil {
		why = access.Obstacle{Reason: v1alpha1.ReasonInvalidTicketPattern, Message: "spec.change.ticketPattern is not a regular expression: " + err.Error()}
	}
	if obj.Spec.AWS != nil {
		if trouble := policy.CheckCIDRs(obj.Spec.AWS.AllowedSourceCIDRs); trouble != "" {
			why = access.Obstacle{Reason: v1alpha1.ReasonInvalidCIDRs, Message: "spec.aws.allowedSourceCIDRs: " + trouble}
		}
	}
	k := obj.Spec.Kubernetes
	if k == nil {
		return role, why, nil
	}
	hash, forbidden, found, err := r.Rules.Read(ctx, k.ClusterRole, k.Access)
	if err != nil {
		return nil, why, err
	}
	role.RulesHash = hash
	switch {
	case !found:
		why = access.Obstacle{Reason: v1alpha1.ReasonClusterRoleNotFound, Message: fmt.Sprintf("the ClusterRole %s does not exist: create it, or name another in spec.kubernetes.clusterRole", k.ClusterRole)}
	case forbidden != "":
		role.Forbidden = fmt.Sprintf("in the ClusterRole %s (%s), %s", k.ClusterRole, k.Access, forbidden)
		why = access.Obstacle{Reason: v1alpha1.ReasonForbiddenRule, Message: role.Forbidden}
	}
	return role, why, nil
}

// RoleReconciler keeps the status of AccessRoles.
type RoleReconciler struct {
	client      client.Client
	clock       Clock
	recorder    recorder.EventRecorder
	roles       *RoleReader
	memberships *membership.Engine // nil with --aws=disabled
	guard       Guard
	trail       Trail
	self        string
	wake        waker
	// wakeGrant looks at a grant again, before others.
	wakeGrant func(name string)

	// groupsEvery is how often the groups of a role are read from AWS, give or take a tenth.
	groupsEvery time.Duration

	mu     sync.Mutex
	groups map[types.UID]groupsSeen
}

// groupsSeen is what the last reading of a role's groups came to, and until when it serves.
type groupsSeen struct {
	generation int64
	until      time.Time
	trouble    access.Obstacle
}

// NewRoleReconciler makes a RoleReconciler. memberships is nil with --aws=disabled.
func NewRoleReconciler(c client.Client, clock Clock, rec recorder.EventRecorder, roles *RoleReader, memberships *membership.Engine, proof Proof) *RoleReconciler {
	return &RoleReconciler{
		client: c, clock: clock, recorder: rec, roles: roles, memberships: memberships, guard: proof.Guard, trail: proof.Trail, self: proof.Self,
		groups: map[types.UID]groupsSeen{},
	}
}

// SetupWithManager registers the controller.
func (r *RoleReconciler) SetupWithManager(mgr ctrl.Manager) error {
	return ctrl.NewControllerManagedBy(mgr).
		Named("accessrole").
		For(&v1alpha1.AccessRole{}, builder.WithPredicates(predicate.GenerationChangedPredicate{})).
		Watches(&rbacv1.ClusterRole{}, handler.EnqueueRequestsFromMapFunc(r.toRoles)).
		WatchesRawSource(source.Func(r.wake.start)).
		WithOptions(controller.Options{MaxConcurrentReconciles: roleWorkers}).
		Complete(r)
}

func (r *RoleReconciler) toRoles(ctx context.Context, o client.Object) []ctrl.Request {
	var reqs []ctrl.Request
	for _, name := range r.roles.Touched(ctx, o) {
		reqs = append(reqs, requestFor(name)...)
	}
	return reqs
}

// Reconcile implements reconcile.Reconciler.
func (r *RoleReconciler) Reconcile(ctx context.Context, req ctrl.Request) (ctrl.Result, error) {
	obj := &v1alpha1.AccessRole{}
	if err := r.client.Get(ctx, req.NamespacedName, obj); err != nil {
		return ctrl.Result{}, client.IgnoreNotFound(err)
	}
	if obj.DeletionTimestamp != nil {
		return ctrl.Result{}, nil
	}
	stored := obj.DeepCopy()
	now := r.clock.Now()
	role, why, err := r.roles.inspect(ctx, obj)
	if err != nil {
		return ctrl.Result{}, err
	}
	obj.Status.MeaningDigest = role.MeaningDigest()
	obj.Status.Kubernetes.RulesHash = role.RulesHash
	if k := obj.Spec.Kubernetes; k != nil && why.Reason == "" {
		may, err := r.roles.Rules.MayBind(ctx, k.ClusterRole)
		if err != nil {
			return ctrl.Result{}, err
		}
		if !may {
			why = access.Obstacle{Reason: v1alpha1.ReasonBindNotAllowed, Message: fmt.Sprintf("the operator may not bind the ClusterRole %s: "+
				"give its service account the verb bind on it", k.ClusterRole)}
		}
	}
	trouble, again := r.inspectGroups(ctx, obj, role, now)
	if why.Reason == "" {
		why = trouble
	}
	ready := metav1.ConditionTrue
	switch why.Reason {
	case "":
		why = access.Obstacle{Reason: v1alpha1.ReasonRoleReady, Message: "the role can be granted"}
	case v1alpha1.ReasonAWSUnavailable:
		ready = metav1.ConditionUnknown
	default:
		ready = metav1.ConditionFalse
	}
	shared, err := r.sharedAttester(ctx, obj)
	if err != nil {
		// A warning that cannot be given keeps nobody from their access.
		ctrl.LoggerFrom(ctx).Error(err, "looking after attesters")
		if last := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionAttesterShared); last != nil {
			shared = last.Message
		}
	}
	if len(obj.Spec.Approval.Attesters) > 0 {
		again = sooner(again, attestersEvery)
	}
	status.Role(obj, ready, why.Reason, why.Message, r.guard.State().Broken, shared, now)
	if err := r.write(ctx, obj, stored); err != nil {
		return ctrl.Result{}, err
	}
	return ctrl.Result{RequeueAfter: again}, nil
}

func (r *RoleReconciler) write(ctx context.Context, obj, stored *v1alpha1.AccessRole) error {
	if equality.Semantic.DeepEqual(stored.Status, obj.Status) {
		return nil
	}
	// The trail first: a status that is not stored makes it be told again, and not be lost.
	told := roleChanges(stored, obj)
	for i := range told {
		told[i].Time, told[i].AppliedBy = r.clock.Now(), r.self
	}
	if err := appendTo(ctx, r.trail, told...); err != nil {
		return fmt.Errorf("the audit trail cannot be written: %w", err)
	}
	before := meta.FindStatusCondition(stored.Status.Conditions, v1alpha1.ConditionReady)
	err := r.client.Status().Patch(ctx, obj, client.MergeFromWithOptions(stored, client.MergeFromWithOptimisticLock{}), client.FieldOwner(rbac.FieldOwner))
	if err != nil {
		return client.IgnoreNotFound(err)
	}
	after := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	if before == nil || before.Reason != after.Reason {
		kind := "Normal"
		if after.Status != metav1.ConditionTrue {
			kind = "Warning"
		}
		r.recorder.Eventf(obj, nil, kind, after.Reason, "Inspect", "%s", after.Message)
	}
	const shared = v1alpha1.ConditionAttesterShared
	if c := meta.FindStatusCondition(obj.Status.Conditions, shared); c != nil && !meta.IsStatusConditionTrue(stored.Status.Conditions, shared) {
		r.recorder.Eventf(obj, nil, "Warning", c.Reason, "Inspect", "%s", c.Message)
	}
	for _, e := range told {
		if reason, ok := roleEvents[e.Event]; ok {
			r.recorder.Eventf(obj, nil, "Warning", reason, "Inspect", "%s", e.Change)
		}
	}
	return nil
}

var roleEvents = map[string]string{audit.EventRoleChanged: "RoleChanged", audit.EventStranger: "Stranger"}

// roleChanges are what the audit trail has to say about a new status of a role.
func roleChanges(before, after *v1alpha1.AccessRole) []audit.Entry {
	var told []audit.Entry
	add := func(event, subject, change string) {
		told = append(told, audit.Entry{
			Event: event, Kind: "AccessRole", Name: after.Name, UID: string(after.UID), Digest: after.Status.MeaningDigest, Role: after.Name,
			Subject: subject, Change: change,
		})
	}
	if was := before.Status.ObservedGeneration; was > 0 && was != after.Generation {
		s := after.Spec
		add(audit.EventRoleChanged, "", fmt.Sprintf("the AccessRole was edited: it demands %d approvals (attesters: %v), a window of at most %s that begins within %s, "+
			"incident %s, tickets like %q, staging evidence %s", s.Approval.Required, s.Approval.Attesters, s.MaxDuration.Duration, s.MaxLeadTime.Duration,
			s.Incident, s.Change.TicketPattern, s.Change.StagingEvidence))
	}
	if before.Status.MeaningDigest == "" {
		add(audit.EventRoleChanged, "", "the AccessRole is new")
	}
	if was, is := before.Status.MeaningDigest, after.Status.MeaningDigest; was != "" && was != is {
		add(audit.EventRoleChanged, "", fmt.Sprintf("the role gives something else than before (rules %s): approvals of pending grants are void, and live grants "+
			"of this ClusterRole have what it gives now", after.Status.Kubernetes.RulesHash))
	}
	for _, g := range after.Status.AWS.Groups {
		known := map[string]bool{}
		for _, b := range before.Status.AWS.Groups {
			if b.Name == g.Name {
				for _, s := range b.Strangers {
					known[s.IAMUser] = true
				}
			}
		}
		for _, s := range g.Strangers {
			if !known[s.IAMUser] {
				add(audit.EventStranger, s.IAMUser, fmt.Sprintf("a member of the IAM group %s without a grant", g.Name))
			}
		}
	}
	return told
}

// inspectGroups reads the groups of a role from AWS when it is time to. What cannot be read stays as it was, and makes
// the role unready only if the group was never seen: every grant asks AWS again in any case.
func (r *RoleReconciler) inspectGroups(ctx context.Context, obj *v1alpha1.AccessRole, role *access.Role, now time.Time) (trouble access.Obstacle, again time.Duration) {
	if obj.Spec.AWS == nil || len(obj.Spec.AWS.Groups) == 0 {
		obj.Status.AWS.Groups = nil
		return access.Obstacle{}, 0
	}
	if r.memberships == nil {
		return access.Obstacle{Reason: v1alpha1.ReasonAWSDisabled, Message: "the role has IAM groups, and the operator runs with --aws=disabled"}, 0
	}
	r.mu.Lock()
	seen, ok := r.groups[obj.UID]
	r.mu.Unlock()
	if ok && seen.generation == obj.Generation {
		if left := seen.until.Sub(now); left > 0 {
			return seen.trouble, left
		}
	}
	last := obj.Status.AWS.Groups
	obj.Status.AWS.Groups = nil
	again = r.groupsEvery*9/10 + rand.N(r.groupsEvery/5+1) //nolint:gosec // jitter, not a secret
	for _, name := range obj.Spec.AWS.Groups {
		var before v1alpha1.RoleGroupStatus
		if i := slices.IndexFunc(last, func(g v1alpha1.RoleGroupStatus) bool { return g.Name == name }); i >= 0 {
			before = last[i]
		}
		g, why := r.inspectGroup(ctx, role, name, before, troubleOf(obj, name), now)
		obj.Status.AWS.Groups = append(obj.Status.AWS.Groups, g)
		if look := r.missing(ctx, name); look > 0 {
			again = min(again, look)
		}
		if why.Reason != "" {
			again = min(again, access.RecheckAfter)
			if trouble.Reason == "" {
				trouble = why
			}
		}
	}
	r.mu.Lock()
	r.groups[obj.UID] = groupsSeen{generation: obj.Generation, until: now.Add(again), trouble: trouble}
	r.mu.Unlock()
	return trouble, again
}

// troubleOf is what is on record as wrong with a group, nothing if nothing is.
func troubleOf(obj *v1alpha1.AccessRole, group v1alpha1.IAMGroupName) access.Obstacle {
	c := meta.FindStatusCondition(obj.Status.Conditions, v1alpha1.ConditionReady)
	if c == nil || c.Status == metav1.ConditionTrue || !slices.Contains(groupTroubles, c.Reason) || !strings.Contains(c.Message, string(group)) {
		return access.Obstacle{}
	}
	return access.Obstacle{Reason: c.Reason, Message: c.Message}
}

var groupTroubles = []string{
	v1alpha1.ReasonPolicyDifferent, v1alpha1.ReasonGroupClaimed, v1alpha1.ReasonForeignFence, v1alpha1.ReasonGroupNotFound, v1alpha1.ReasonAWSUnavailable,
}

// missing wakes the grants whose membership in a group AWS does not show any more, and says how soon the group has to be
// read again to be sure of others; zero if none is in doubt.
func (r *RoleReconciler) missing(ctx context.Context, group v1alpha1.IAMGroupName) (again time.Duration) {
	grants, err := Grants{r.client}.List(ctx)
	if err != nil {
		ctrl.LoggerFrom(ctx).Error(err, "looking for whom a membership is missing")
		return access.RecheckAfter
	}
	for i := range grants {
		g := &grants[i]
		if access.StateOf(g) != v1alpha1.StateGranted || !access.Claims(g, string(group)) {
			continue
		}
		switch a := r.memberships.Absent(g.Status.AWS.UserID, string(group)); {
		case a.Confirmed:
			r.wakeGrant(keyOf(g))
		case a.Suspected:
			again = sooner(again, max(time.Second, a.Again))
		}
	}
	return again
}

// inspectGroup reads a group. What was found wrong the last time stays wrong until it is seen to be right.
func (r *RoleReconciler) inspectGroup(ctx context.Context, role *access.Role, name v1alpha1.IAMGroupName, before v1alpha1.RoleGroupStatus, last access.Obstacle, now time.Time) (v1alpha1.RoleGroupStatus, access.Obstacle) {
	before.Name = name
	group, err := r.memberships.Inspect(ctx, string(name))
	switch {
	case err != nil && before.ARN != "":
		return before, last
	case err != nil:
		return before, access.Obstacle{Reason: v1alpha1.ReasonAWSUnavailable, Message: fmt.Sprintf("the IAM group %s cannot be verified: %s", name, err)}
	case group == nil:
		return v1alpha1.RoleGroupStatus{Name: name, PolicyVerified: v1alpha1.PolicyUnknown}, access.Obstacle{Reason: v1alpha1.ReasonGroupNotFound,
			Message: fmt.Sprintf("AWS has no IAM group %s: create it, or name another in spec.aws.groups", name)}
	}
	now = now.Truncate(time.Second)
	g := v1alpha1.RoleGroupStatus{Name: name, ARN: group.ARN, Members: int32(len(group.Members))} //nolint:gosec // IAM has 5,000 users at most
	for id, user := range group.Members {
		if claimed, err := r.memberships.Claimed(ctx, id, string(name)); err != nil || claimed {
			continue
		}
		s := v1alpha1.Stranger{IAMUser: user, Since: metav1.NewTime(now)}
		if i := slices.IndexFunc(before.Strangers, func(b v1alpha1.Stranger) bool { return b.IAMUser == user }); i >= 0 {
			s.Since = before.Strangers[i].Since
		}
		g.Strangers = append(g.Strangers, s)
	}
	slices.SortFunc(g.Strangers, func(a, b v1alpha1.Stranger) int { return strings.Compare(a.IAMUser, b.IAMUser) })
	why := r.guardTrouble(ctx, role, &g, before.PolicyVerified)
	if len(g.Strangers) > maxStrangers {
		g.Strangers = g.Strangers[:maxStrangers]
	}
	return g, why
}

// guardTrouble compares the guard document of a group, and says what keeps the role from being granted.
func (r *RoleReconciler) guardTrouble(ctx context.Context, role *access.Role, g *v1alpha1.RoleGroupStatus, before v1alpha1.PolicyState) access.Obstacle {
	if other, err := r.claimedBy(ctx, role, g); err != nil {
		return access.Obstacle{Reason: v1alpha1.ReasonError, Message: err.Error()}
	} else if other != "" {
		return access.Obstacle{Reason: v1alpha1.ReasonGroupClaimed, Message: fmt.Sprintf("the IAM group %s is also the AccessRole %s's, which calls for another guard document: "+
			"give each role groups of its own", g.Name, other)}
	}
	state, why, err := r.memberships.Guarded(ctx, role, g.Name)
	switch g.PolicyVerified = state; {
	case err != nil && before == v1alpha1.PolicyVerified:
		g.PolicyVerified = before // every grant looks at it again in any case
	case err != nil:
		return access.Obstacle{Reason: v1alpha1.ReasonAWSUnavailable, Message: fmt.Sprintf("the guard of the IAM group %s cannot be verified: %s", g.Name, err)}
	case why != "":
		return access.Obstacle{Reason: v1alpha1.ReasonPolicyDifferent, Message: why}
	}
	strangers := make([]string, 0, len(g.Strangers))
	for _, s := range g.Strangers {
		strangers = append(strangers, s.IAMUser)
	}
	if user, cluster := r.memberships.FencedElsewhere(strangers); user != "" {
		return access.Obstacle{Reason: v1alpha1.ReasonForeignFence, Message: fmt.Sprintf("%s is in the IAM group %s by the operator of another cluster (%s): "+
			"give each cluster groups of its own", user, g.Name, cluster)}
	}
	return access.Obstacle{}
}

// claimedBy names an older role that calls for another guard document of a group, "" if there is none.
func (r *RoleReconciler) claimedBy(ctx context.Context, role *access.Role, g *v1alpha1.RoleGroupStatus) (string, error) {
	var list v1alpha1.AccessRoleList
	if err := r.client.List(ctx, &list, client.UnsafeDisableDeepCopy); err != nil {
		return "", fmt.Errorf("listing AccessRoles: %w", err)
	}
	in, err := policy.AccountOf(g.ARN)
	if err != nil {
		return "", err
	}
	// A document that cannot be rendered is not the same as any.
	ours, _ := policy.Guard(role.Name, &role.Spec, in)
	for i := range list.Items {
		o := &list.Items[i]
		older := cmp.Or(o.CreationTimestamp.Compare(role.Created), strings.Compare(o.Name, role.Name)) < 0
		if o.Name == role.Name || !older || !access.NamesGroup(&o.Spec, g.Name) {
			continue
		}
		if theirs, _ := policy.Guard(o.Name, &o.Spec, in); theirs == "" || theirs != ours {
			return o.Name, nil
		}
	}
	return "", nil
}
