// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package guard

import (
	"context"
	"fmt"
	"io/fs"
	"net/http"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	admissionv1 "k8s.io/api/admissionregistration/v1"
	corev1 "k8s.io/api/core/v1"
	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

const (
	operator  = "system:serviceaccount:ops:operator"
	namespace = "ops"
)

// manifest is a policy with its binding. The version is what a release changes.
func manifest(name, version string) string {
	return fmt.Sprintf(`# %[1]s
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicy
metadata:
  name: %[1]s
spec:
  matchConstraints:
    resourceRules:
    - {apiGroups: [access.hera.dev], apiVersions: ["*"], operations: [CREATE], resources: [accessapprovals]}
  validations:
  - expression: "object.spec.approver == request.userInfo.username || '%[2]s' == ''"
    message: approver must be the caller
---
apiVersion: admissionregistration.k8s.io/v1
kind: ValidatingAdmissionPolicyBinding
metadata:
  name: %[1]s
spec:
  policyName: %[1]s
  validationActions: [Deny]
`, name, version)
}

// release is a folder with policies: name, version, name, version, …
func release(namesAndVersions ...string) fs.FS {
	files := fstest.MapFS{"kustomization.yaml": {Data: []byte("kind: Kustomization")}, "README.md": {Data: []byte("no manifest")}}
	for i := 0; i < len(namesAndVersions); i += 2 {
		name := namesAndVersions[i]
		files[name+".yaml"] = &fstest.MapFile{Data: []byte(manifest(name, namesAndVersions[i+1]))}
	}
	return files
}

func policy(name string) object  { return object{policyKind, name} }
func binding(name string) object { return object{bindingKind, name} }

// world is a cluster: the policies, the operator's record, and a clock. Whatever else a Guard might call panics.
type world struct {
	client.Client
	t       *testing.T
	now     time.Time
	objects map[object]observed
	serial  int
	record  *corev1.ConfigMap
	writes  int
	looks   int
	// meanwhile happens while a probe is tried, once.
	meanwhile func()
	// down: no call is answered. mute: no dry run is. off: nothing is enforced. readOnly: the record cannot be written.
	down, mute, off, readOnly bool

	guard   *Guard
	options Options
	audit   []string
	changes int
}

var start = time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC)

// newWorld has a release installed, and an operator of it that has not looked yet.
func newWorld(t *testing.T, current, previous fs.FS) *world {
	t.Helper()
	w := &world{t: t, now: start, objects: map[object]observed{}}
	w.options = Options{
		Client: w, Now: func() time.Time { return w.now }, Namespace: namespace, Username: operator,
		Probes: []Probe{{Policy: "asked", Forged: forged, Object: DefaultProbes()[0].Object}},
		Audit: func(_ context.Context, broken string) error {
			if broken == "" {
				broken = "whole"
			}
			w.audit = append(w.audit, broken)
			return nil
		},
		OnChange: func(access.Guard) { w.changes++ },
	}
	w.operate(current, previous)
	w.apply(current)
	return w
}

// operate has a new process lead, which knows these releases.
func (w *world) operate(current, previous fs.FS) {
	w.t.Helper()
	w.options.Current, w.options.Previous = current, previous
	w.restart()
}

func (w *world) restart() {
	w.t.Helper()
	g, err := New(w.options)
	if err != nil {
		w.t.Fatal(err)
	}
	w.guard = g
	g.started = w.now
}

// stop ends the process in good order.
func (w *world) stop() { w.guard.part(w.t.Context()) }

func (w *world) pass(d time.Duration) { w.now = w.now.Add(d) }

func (w *world) look() {
	w.pass(time.Second)
	w.guard.look(w.t.Context())
}

// rest lets time pass with a look every interval.
func (w *world) rest(d time.Duration) {
	for end := w.now.Add(d); w.now.Before(end); {
		w.pass(interval - time.Second)
		w.look()
	}
}

// create is when an object created now is created.
func (w *world) create() time.Time { return w.now.Truncate(time.Second) }

func (w *world) parse(files fs.FS) specs {
	w.t.Helper()
	s, err := parse(files, operator, namespace)
	if err != nil {
		w.t.Fatal(err)
	}
	return s
}

// apply stores what differs, as kubectl does.
func (w *world) apply(files fs.FS, only ...object) {
	w.t.Helper()
	for o, spec := range w.parse(files) {
		if len(only) == 0 || o == only[0] {
			w.put(o, spec)
		}
	}
}

func (w *world) put(o object, spec any) {
	have, ok := w.objects[o]
	switch {
	case !ok:
		w.serial++
		have = observed{uid: types.UID(strconv.Itoa(w.serial))}
	case matches(specs{o: have.spec}, o, spec):
		return
	}
	have.generation++
	have.spec = spec
	w.objects[o] = have
}

// edit weakens a policy or a binding.
func (w *world) edit(o object) {
	switch o.kind {
	case policyKind:
		w.put(o, &admissionv1.ValidatingAdmissionPolicySpec{FailurePolicy: new(admissionv1.Ignore)})
	default:
		w.put(o, &admissionv1.ValidatingAdmissionPolicyBindingSpec{PolicyName: o.name,
			ValidationActions: []admissionv1.ValidationAction{admissionv1.Audit}})
	}
}

func (w *world) delete(o object) { delete(w.objects, o) }

// enforced says whether the probed policy is.
func (w *world) enforced() bool {
	ok := !w.off
	for _, o := range []object{policy("asked"), binding("asked")} {
		have := w.objects[o]
		ok = ok && w.guard.releases.know(o, have.spec)
	}
	return ok
}

var errDown = apierrors.NewTimeoutError("the server is too busy", 1)

func (w *world) List(_ context.Context, list client.ObjectList, _ ...client.ListOption) error {
	if w.down {
		return errDown
	}
	if _, ok := list.(*admissionv1.ValidatingAdmissionPolicyList); ok {
		w.looks++
	}
	for o, s := range w.objects {
		meta := metav1.ObjectMeta{Name: o.name, UID: s.uid, Generation: s.generation}
		switch l := list.(type) {
		case *admissionv1.ValidatingAdmissionPolicyList:
			if spec, ok := s.spec.(*admissionv1.ValidatingAdmissionPolicySpec); ok {
				l.Items = append(l.Items, admissionv1.ValidatingAdmissionPolicy{ObjectMeta: meta, Spec: *spec})
			}
		case *admissionv1.ValidatingAdmissionPolicyBindingList:
			if spec, ok := s.spec.(*admissionv1.ValidatingAdmissionPolicyBindingSpec); ok {
				l.Items = append(l.Items, admissionv1.ValidatingAdmissionPolicyBinding{ObjectMeta: meta, Spec: *spec})
			}
		default:
			w.t.Fatalf("unexpected list of %T", list)
		}
	}
	return nil
}

func (w *world) Get(_ context.Context, key client.ObjectKey, o client.Object, _ ...client.GetOption) error {
	if w.down {
		return errDown
	}
	if want := (types.NamespacedName{Namespace: namespace, Name: RecordName}); key != want {
		w.t.Fatalf("unexpected get of %T %s", o, key)
	}
	if w.record == nil {
		return apierrors.NewNotFound(corev1.Resource("configmaps"), key.Name)
	}
	w.record.DeepCopyInto(o.(*corev1.ConfigMap))
	return nil
}

func (w *world) Create(_ context.Context, o client.Object, options ...client.CreateOption) error {
	var applied client.CreateOptions
	applied.ApplyOptions(options)
	if cm, ok := o.(*corev1.ConfigMap); ok {
		if w.record != nil {
			return apierrors.NewAlreadyExists(corev1.Resource("configmaps"), cm.Name)
		}
		return w.store(cm)
	}
	if len(applied.DryRun) != 1 || applied.DryRun[0] != metav1.DryRunAll {
		w.t.Fatalf("a probe that is stored: %T", o)
	}
	if w.meanwhile != nil {
		defer func() {
			w.meanwhile()
			w.meanwhile = nil
		}()
	}
	switch {
	case w.down || w.mute:
		return errDown
	case w.enforced():
		return refusal("ValidatingAdmissionPolicy 'asked' with binding 'asked' denied request: approver must be the caller")
	}
	return nil
}

func (w *world) Update(_ context.Context, o client.Object, _ ...client.UpdateOption) error {
	cm := o.(*corev1.ConfigMap)
	switch {
	case w.record == nil:
		return apierrors.NewNotFound(corev1.Resource("configmaps"), cm.Name)
	case w.record.ResourceVersion != cm.ResourceVersion:
		return apierrors.NewConflict(corev1.Resource("configmaps"), cm.Name, nil)
	}
	return w.store(cm)
}

func (w *world) store(cm *corev1.ConfigMap) error {
	if w.down || w.readOnly {
		return errDown
	}
	w.writes++
	cm.ResourceVersion = strconv.Itoa(w.writes)
	w.record = cm.DeepCopy()
	return nil
}

// refusal is how an API server tells what a policy says.
func refusal(text string) error {
	err := apierrors.NewForbidden(schema.GroupResource{Group: v1alpha1.GroupName, Resource: "accessapprovals"}, probeName, fmt.Errorf("%s", text))
	err.ErrStatus.Reason, err.ErrStatus.Code = metav1.StatusReasonInvalid, http.StatusUnprocessableEntity
	return err
}

// expect compares what is known with what should be; broken is part of the reason, "" when whole.
func (w *world) expect(broken string) {
	w.t.Helper()
	got := w.guard.State().Broken
	if (got == "") != (broken == "") || !strings.Contains(got, broken) {
		w.t.Errorf("after %s: broken is %q, want %q", w.now.Sub(start), got, broken)
	}
}

func (w *world) expectProven(what string, created time.Time, want bool) {
	w.t.Helper()
	if s := w.guard.State(); s.Proves(created) != want {
		w.t.Errorf("%s, created after %s: proven is %v, want %v (since %s, gaps %s)", what, created.Sub(start), !want, want, s.Since, s.Gaps)
	}
}
