// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package api tests the API as people meet it: what a real API server accepts and refuses, what it says then, what
// kubectl shows, and that docs/spec tells the truth about it. No operator runs here.
package api

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"k8s.io/apimachinery/pkg/runtime/schema"
	"k8s.io/client-go/dynamic"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/test/controlplane"
)

const crdDir = "../../config/crd/bases"

var (
	cp   *controlplane.ControlPlane
	kube dynamic.Interface
)

func TestMain(m *testing.M) { os.Exit(run(m)) }

func run(m *testing.M) int {
	var err error
	ctx := context.Background()
	if cp, err = controlplane.Start(ctx, controlplane.Options{CRDDirectories: []string{crdDir}}); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer func() { _ = cp.Stop() }()
	if kube, err = dynamic.NewForConfig(cp.Config); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return m.Run()
}

// kind is one of our kinds, as the tests see it.
type kind struct {
	name, resource string
	// object is an empty object of its Go type.
	object func() any
	// spec is the Go type of its spec.
	spec reflect.Type
}

var (
	accessRole = kind{"AccessRole", "accessroles",
		func() any { return &v1alpha1.AccessRole{} }, reflect.TypeFor[v1alpha1.AccessRoleSpec]()}
	prodAccessGrant = kind{"ProdAccessGrant", "prodaccessgrants",
		func() any { return &v1alpha1.ProdAccessGrant{} }, reflect.TypeFor[v1alpha1.ProdAccessGrantSpec]()}
	accessApproval = kind{"AccessApproval", "accessapprovals",
		func() any { return &v1alpha1.AccessApproval{} }, reflect.TypeFor[v1alpha1.AccessApprovalSpec]()}
	accessRevocation = kind{"AccessRevocation", "accessrevocations",
		func() any { return &v1alpha1.AccessRevocation{} }, reflect.TypeFor[v1alpha1.AccessRevocationSpec]()}
	breakGlass = kind{"BreakGlass", "breakglasses",
		func() any { return &v1alpha1.BreakGlass{} }, reflect.TypeFor[v1alpha1.BreakGlassSpec]()}

	kinds = []kind{accessRole, prodAccessGrant, breakGlass, accessApproval, accessRevocation}
)

func (k kind) client() dynamic.ResourceInterface {
	return kube.Resource(schema.GroupVersionResource{Group: v1alpha1.GroupName, Version: "v1alpha1", Resource: k.resource})
}

// create creates an object under strict field validation.
func (k kind) create(t *testing.T, o *unstructured.Unstructured, dryRun ...string) (*unstructured.Unstructured, error) {
	t.Helper()
	return k.client().Create(t.Context(), o, metav1.CreateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
}

// store creates an object for as long as the test runs.
func (k kind) store(t *testing.T, o *unstructured.Unstructured) *unstructured.Unstructured {
	t.Helper()
	stored, err := k.create(t, o)
	if err != nil {
		t.Fatalf("creating the %s %s: %v", k.name, o.GetName(), err)
	}
	t.Cleanup(func() {
		if err := k.client().Delete(contextOf(t), stored.GetName(), metav1.DeleteOptions{}); err != nil && !apierrors.IsNotFound(err) {
			t.Errorf("deleting the %s %s: %v", k.name, stored.GetName(), err)
		}
	})
	return stored
}

// contextOf is for clean-ups, which run when the context of the test has ended.
func contextOf(t *testing.T) context.Context { return context.WithoutCancel(t.Context()) }

// get reads an object.
func (k kind) get(t *testing.T, name string) *unstructured.Unstructured {
	t.Helper()
	o, err := k.client().Get(t.Context(), name, metav1.GetOptions{})
	if err != nil {
		t.Fatalf("reading the %s %s: %v", k.name, name, err)
	}
	return o
}

// update changes an object under strict field validation.
func (k kind) update(t *testing.T, o *unstructured.Unstructured, dryRun ...string) (*unstructured.Unstructured, error) {
	t.Helper()
	return k.client().Update(t.Context(), o, metav1.UpdateOptions{DryRun: dryRun, FieldValidation: metav1.FieldValidationStrict})
}

// parse reads one object from YAML.
func parse(t *testing.T, manifest string) *unstructured.Unstructured {
	t.Helper()
	o := &unstructured.Unstructured{}
	if err := yaml.UnmarshalStrict([]byte(manifest), &o.Object); err != nil {
		t.Fatalf("%v in\n%s", err, manifest)
	}
	return o
}

// absent stands for a field that is left out.
type absent struct{}

// with returns a copy of an object with another value in one field; the path is dotted.
func with(t *testing.T, o *unstructured.Unstructured, path string, value any) *unstructured.Unstructured {
	t.Helper()
	c := o.DeepCopy()
	fields := strings.Split(path, ".")
	if value == (absent{}) {
		unstructured.RemoveNestedField(c.Object, fields...)
		return c
	}
	// Through JSON, so that the value has the shape that it has on the wire.
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var plain any
	if err := json.Unmarshal(encoded, &plain); err != nil {
		t.Fatal(err)
	}
	if n, ok := plain.(float64); ok && n == float64(int64(n)) {
		plain = int64(n)
	}
	if err := unstructured.SetNestedField(c.Object, plain, fields...); err != nil {
		t.Fatal(err)
	}
	return c
}

func value(t *testing.T, o *unstructured.Unstructured, path string) any {
	t.Helper()
	v, found, err := unstructured.NestedFieldNoCopy(o.Object, strings.Split(path, ".")...)
	if err != nil {
		t.Fatal(err)
	}
	if !found {
		return absent{}
	}
	return v
}

// decodes checks that the Go types can read what the API server accepted: an object that they cannot read would stop
// the operator's watch, and with it every grant.
func decodes(t *testing.T, k kind, o *unstructured.Unstructured) {
	t.Helper()
	content, err := o.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	decoder := json.NewDecoder(strings.NewReader(string(content)))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(k.object()); err != nil {
		t.Errorf("the API server accepted what the operator cannot read: %v\n%s", err, content)
	}
}

// complaints are what an API server said against an object, by field.
func complaints(t *testing.T, err error) []metav1.StatusCause {
	t.Helper()
	var status apierrors.APIStatus
	if !errors.As(err, &status) || status.Status().Reason != metav1.StatusReasonInvalid {
		t.Fatalf("want a refusal of an invalid object, got %v", err)
	}
	// Said beside every violation of the schema.
	const unchecked = "some validation rules were not checked because the object was invalid; correct the existing errors to complete validation"
	return slices.DeleteFunc(slices.Clone(status.Status().Details.Causes), func(c metav1.StatusCause) bool {
		return strings.Contains(c.Message, unchecked)
	})
}

// refused checks that an object was refused once, for one field, in these words: exactly, or, in the words of the API
// server itself, at least.
func refused(t *testing.T, err error, field, exactly, atLeast string) {
	t.Helper()
	if err == nil {
		t.Error("accepted")
		return
	}
	causes := complaints(t, err)
	if len(causes) != 1 || causes[0].Field != field {
		t.Errorf("want one complaint, about %s, got %+v", field, causes)
		return
	}
	// The API server puts "Invalid value: " and the value in front of a sentence of ours.
	said := causes[0].Message
	if exactly != "" && (!strings.HasPrefix(said, "Invalid value: ") || !strings.HasSuffix(said, ": "+exactly)) || !strings.Contains(said, atLeast) {
		t.Errorf("refused with\n  %s\nwant\n  %s", said, exactly+atLeast)
	}
}
