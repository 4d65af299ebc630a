// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package rbac makes, checks and removes the bindings of grants, and reads what a ClusterRole comes to.
package rbac

import (
	"context"
	"fmt"
	"slices"

	corev1 "k8s.io/api/core/v1"
	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/equality"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/types"
	metav1ac "k8s.io/client-go/applyconfigurations/meta/v1"
	rbacv1ac "k8s.io/client-go/applyconfigurations/rbac/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// FieldOwner is the field manager of everything that the operator writes.
const FieldOwner = "prod-access-operator"

// Engine makes and removes bindings.
type Engine struct {
	// cached reads what watches have shown, our own writes included.
	cached client.Client
	// live reads from the API server.
	live client.Reader
}

// New makes an Engine.
func New(cached client.Client, live client.Reader) *Engine {
	return &Engine{cached: cached, live: live}
}

// Outcome says what became of one binding.
type Outcome struct {
	// Binding as it is to be recorded.
	Binding v1alpha1.GrantBinding
	// Waiting says that the binding's namespace does not exist yet, or is going away.
	Waiting bool
	// TakenAway says that somebody removed the binding, or the person from it.
	TakenAway bool
	// Obstacle is set when the binding cannot be made until somebody mends something.
	Obstacle access.Obstacle
	// Err is set when the outcome is not known. It is told to people.
	Err error
}

// Ensure makes a binding that is intended exist, or finds that somebody took it away. A binding is created once; one
// that was recorded is never created again, only put right under the uid that was recorded (invariant I5).
func (e *Engine) Ensure(ctx context.Context, g *v1alpha1.ProdAccessGrant, b v1alpha1.GrantBinding) Outcome {
	want := wanted(g, b)
	if b.UID != "" {
		return e.check(ctx, want, b)
	}
	o := Outcome{Binding: b}
	if b.Namespace != "" {
		ns, err := e.namespace(ctx, b.Namespace)
		if err != nil || ns == nil {
			o.Waiting, o.Err = err == nil, say(err)
			return o
		}
		o.Binding.NamespaceUID = string(ns.UID)
	}
	writing, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	err := e.cached.Create(writing, want, client.FieldOwner(FieldOwner))
	switch {
	case err == nil:
		o.Binding.UID, o.Binding.Observed = string(want.GetUID()), true
	case apierrors.IsAlreadyExists(err):
		return e.ours(ctx, g, o)
	case apierrors.HasStatusCause(err, corev1.NamespaceTerminatingCause), apierrors.IsNotFound(err) && b.Namespace != "":
		o.Waiting = true
	case apierrors.IsForbidden(err):
		o.Obstacle = access.Obstacle{Reason: v1alpha1.ReasonForbidden, Message: fmt.Sprintf("the operator may not bind the ClusterRole %s: "+
			"ask the platform team to give its service account the verb bind on it", g.Status.Kubernetes.ClusterRole)}
	default:
		o.Err = say(err)
	}
	return o
}

// ours decides about a binding that was there when we came to create it: it is ours if we died after creating it,
// and then it is exactly what we would have created.
func (e *Engine) ours(ctx context.Context, g *v1alpha1.ProdAccessGrant, o Outcome) Outcome {
	have, err := e.get(ctx, e.live, o.Binding)
	if err != nil || have == nil {
		o.Err = say(err)
		if err == nil {
			o.Err = fmt.Errorf("%s comes and goes", Describe(o.Binding))
		}
		return o
	}
	if !same(have, wanted(g, o.Binding)) {
		o.Obstacle = conflict(o.Binding)
		return o
	}
	o.Binding.UID, o.Binding.Observed = string(have.GetUID()), true
	return o
}

func conflict(b v1alpha1.GrantBinding) access.Obstacle {
	return access.Obstacle{Reason: v1alpha1.ReasonConflict, Message: fmt.Sprintf("%s exists and was not made by the operator: "+
		"it is not taken over; ask the platform team who made it, and delete it", Describe(b))}
}

// InTheWay says whether one of the bindings that a blocked grant would need is still somebody else's.
func (e *Engine) InTheWay(ctx context.Context, name string, namespaces []v1alpha1.NamespaceName) (access.Obstacle, error) {
	bindings := []v1alpha1.GrantBinding{{Name: name}}
	if len(namespaces) > 0 {
		bindings = bindings[:0]
		for _, ns := range namespaces {
			bindings = append(bindings, v1alpha1.GrantBinding{Namespace: string(ns), Name: name})
		}
	}
	for _, b := range bindings {
		have, err := e.get(ctx, e.live, b)
		if err != nil {
			return access.Obstacle{}, err
		}
		if have != nil {
			return conflict(b), nil
		}
	}
	return access.Obstacle{}, nil
}

// check looks whether a recorded binding is still there and as it was made. The watch is asked first, so that a binding
// that is in order costs nothing; its absence is believed only from the API server.
func (e *Engine) check(ctx context.Context, want client.Object, b v1alpha1.GrantBinding) Outcome {
	o := Outcome{Binding: b}
	have, err := e.get(ctx, e.cached, b)
	if err == nil && (have == nil || string(have.GetUID()) != b.UID) {
		have, err = e.get(ctx, e.live, b)
	}
	if err != nil {
		o.Err = say(err)
		return o
	}
	if have == nil || string(have.GetUID()) != b.UID {
		return e.vanished(ctx, o)
	}
	o.Binding.Observed = true
	if same(have, want) {
		return o
	}
	if !names(have, want) {
		o.TakenAway = true
		return o
	}
	// Applied under its uid: if somebody deletes it at this moment, it is not created again.
	writing, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	if err := e.cached.Apply(writing, applyOf(want, b.UID), client.FieldOwner(FieldOwner), client.ForceOwnership); err != nil {
		o.Err = say(err)
	}
	return o
}

// vanished decides about a recorded binding that is gone: with its namespace it went by itself, and comes back with it;
// alone, somebody removed it.
func (e *Engine) vanished(ctx context.Context, o Outcome) Outcome {
	o.Binding.Observed = false
	if o.Binding.Namespace == "" {
		o.TakenAway = true
		return o
	}
	ns, err := e.namespaceLive(ctx, o.Binding.Namespace)
	if err != nil {
		o.Err = say(err)
		return o
	}
	if ns != nil && string(ns.UID) == o.Binding.NamespaceUID {
		o.TakenAway = true
		return o
	}
	o.Binding.UID, o.Binding.NamespaceUID = "", ""
	if o.Waiting = ns == nil; ns != nil {
		// Not at once: were the new binding made before the old one's uid is off the record, a crash in between would
		// make the new one look like somebody else's.
		o.Err = fmt.Errorf("the namespace %s was created anew, and is bound anew", o.Binding.Namespace)
	}
	return o
}

// Seen says whether the watch shows a binding that the grant made, whatever its uid.
func (e *Engine) Seen(ctx context.Context, g *v1alpha1.ProdAccessGrant, b v1alpha1.GrantBinding) bool {
	have, err := e.get(ctx, e.cached, b)
	return err == nil && have != nil && metav1.IsControlledBy(have, g)
}

// Remove deletes a binding of ours and verifies that it is gone. A binding of the same name that is not ours stays.
func (e *Engine) Remove(ctx context.Context, g *v1alpha1.ProdAccessGrant, b v1alpha1.GrantBinding) Outcome {
	o := Outcome{Binding: b}
	o.Binding.Intended = false
	doomed := wanted(g, b)
	uid := types.UID(b.UID)
	if uid == "" {
		have, err := e.get(ctx, e.live, b)
		if err != nil {
			o.Err = say(err)
			return o
		}
		if !mine(have, g, b) {
			o.Binding.Observed = false
			return o
		}
		uid = have.GetUID()
	}
	writing, cancel := context.WithTimeout(ctx, access.CallTimeout)
	defer cancel()
	err := e.cached.Delete(writing, doomed, client.Preconditions{UID: &uid})
	if err != nil && !apierrors.IsNotFound(err) && !apierrors.IsConflict(err) {
		o.Err = say(err)
		return o
	}
	have, err := e.get(ctx, e.live, b)
	if err != nil {
		o.Err = say(err)
		return o
	}
	if o.Binding.Observed = mine(have, g, b); o.Binding.Observed {
		o.Err = fmt.Errorf("%s is still there: something holds it by a finalizer", Describe(b))
	}
	return o
}

// mine says whether an object is the binding that the grant made: by the recorded uid, or, when we died before
// recording it, by its owner.
func mine(have client.Object, g *v1alpha1.ProdAccessGrant, b v1alpha1.GrantBinding) bool {
	if have == nil {
		return false
	}
	return string(have.GetUID()) == b.UID || b.UID == "" && metav1.IsControlledBy(have, g)
}

func (e *Engine) get(ctx context.Context, from client.Reader, b v1alpha1.GrantBinding) (client.Object, error) {
	obj := client.Object(&rbacv1.ClusterRoleBinding{})
	if b.Namespace != "" {
		obj = &rbacv1.RoleBinding{}
	}
	err := from.Get(ctx, types.NamespacedName{Namespace: b.Namespace, Name: b.Name}, obj)
	if apierrors.IsNotFound(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return obj, nil
}

func (e *Engine) namespace(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	return getNamespace(ctx, e.cached, name)
}

func (e *Engine) namespaceLive(ctx context.Context, name string) (*metav1.PartialObjectMetadata, error) {
	return getNamespace(ctx, e.live, name)
}

// getNamespace returns nil for a namespace that does not exist or is going away.
func getNamespace(ctx context.Context, from client.Reader, name string) (*metav1.PartialObjectMetadata, error) {
	ns := &metav1.PartialObjectMetadata{}
	ns.SetGroupVersionKind(corev1.SchemeGroupVersion.WithKind("Namespace"))
	err := from.Get(ctx, types.NamespacedName{Name: name}, ns)
	if apierrors.IsNotFound(err) || err == nil && ns.DeletionTimestamp != nil {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return ns, nil
}

// wanted is the binding as it must be.
func wanted(g *v1alpha1.ProdAccessGrant, b v1alpha1.GrantBinding) client.Object {
	m := metav1.ObjectMeta{
		Name:            b.Name,
		Namespace:       b.Namespace,
		Labels:          map[string]string{v1alpha1.ManagedByLabel: v1alpha1.ManagedByValue},
		Annotations:     map[string]string{v1alpha1.GrantAnnotation: g.Name},
		OwnerReferences: []metav1.OwnerReference{ownerOf(g)},
	}
	subjects := []rbacv1.Subject{{Kind: rbacv1.UserKind, APIGroup: rbacv1.GroupName, Name: g.Status.Kubernetes.User}}
	ref := rbacv1.RoleRef{APIGroup: rbacv1.GroupName, Kind: "ClusterRole", Name: g.Status.Kubernetes.ClusterRole}
	if b.Namespace == "" {
		return &rbacv1.ClusterRoleBinding{ObjectMeta: m, Subjects: subjects, RoleRef: ref}
	}
	return &rbacv1.RoleBinding{ObjectMeta: m, Subjects: subjects, RoleRef: ref}
}

func ownerOf(g *v1alpha1.ProdAccessGrant) metav1.OwnerReference {
	return metav1.OwnerReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: string(access.KindOf(g)), Name: g.Name, UID: g.UID, Controller: new(true),
	}
}

// parts reads what matters of either kind of binding.
func parts(o client.Object) ([]rbacv1.Subject, rbacv1.RoleRef) {
	if crb, ok := o.(*rbacv1.ClusterRoleBinding); ok {
		return crb.Subjects, crb.RoleRef
	}
	rb := o.(*rbacv1.RoleBinding) //nolint:forcetypeassert // get and wanted make no third kind
	return rb.Subjects, rb.RoleRef
}

// same says whether a binding is as it must be; labels and annotations that others added do not matter.
func same(have, want client.Object) bool {
	hs, hr := parts(have)
	ws, wr := parts(want)
	return hr == wr && equality.Semantic.DeepEqual(hs, ws) &&
		equality.Semantic.DeepEqual(metav1.GetControllerOf(have), metav1.GetControllerOf(want)) &&
		have.GetLabels()[v1alpha1.ManagedByLabel] == v1alpha1.ManagedByValue &&
		have.GetAnnotations()[v1alpha1.GrantAnnotation] == want.GetAnnotations()[v1alpha1.GrantAnnotation]
}

// names says whether the person is still among the subjects.
func names(have, want client.Object) bool {
	hs, _ := parts(have)
	ws, _ := parts(want)
	return slices.Contains(hs, ws[0])
}

func applyOf(want client.Object, uid string) runtime.ApplyConfiguration {
	subjects, ref := parts(want)
	owner := want.GetOwnerReferences()[0]
	ownerAC := metav1ac.OwnerReference().WithAPIVersion(owner.APIVersion).WithKind(owner.Kind).WithName(owner.Name).WithUID(owner.UID).WithController(true)
	subject := rbacv1ac.Subject().WithKind(subjects[0].Kind).WithAPIGroup(subjects[0].APIGroup).WithName(subjects[0].Name)
	refAC := rbacv1ac.RoleRef().WithAPIGroup(ref.APIGroup).WithKind(ref.Kind).WithName(ref.Name)
	if want.GetNamespace() == "" {
		return rbacv1ac.ClusterRoleBinding(want.GetName()).WithUID(types.UID(uid)).WithLabels(want.GetLabels()).
			WithAnnotations(want.GetAnnotations()).WithOwnerReferences(ownerAC).WithSubjects(subject).WithRoleRef(refAC)
	}
	return rbacv1ac.RoleBinding(want.GetName(), want.GetNamespace()).WithUID(types.UID(uid)).WithLabels(want.GetLabels()).
		WithAnnotations(want.GetAnnotations()).WithOwnerReferences(ownerAC).WithSubjects(subject).WithRoleRef(refAC)
}

// Describe names a binding for people.
func Describe(b v1alpha1.GrantBinding) string {
	if b.Namespace == "" {
		return "the ClusterRoleBinding " + b.Name
	}
	return fmt.Sprintf("the RoleBinding %s in the namespace %s", b.Name, b.Namespace)
}
