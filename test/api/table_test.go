// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// row changes one field of a valid object.
type row struct {
	name string
	// at is the dotted path of the field.
	at string
	// to is the field's value; absent{} leaves the field out.
	to any
	// refused is the sentence that the object is refused with, exactly; "" if it is accepted.
	refused string
	// schema is a part of what the API server itself says when the value breaks the schema.
	schema string
	// field is what the refusal is about, if it is not at.
	field string
	// twin is a value that differs from a refused one only in what is forbidden, and is accepted; nil means the value
	// that the valid object has.
	twin any
}

// check runs a table against the API server. Nothing is stored.
func check(t *testing.T, k kind, base *unstructured.Unstructured, rows []row) {
	t.Helper()
	accepted := func(t *testing.T, what string, o *unstructured.Unstructured) {
		t.Helper()
		answer, err := k.create(t, o, metav1.DryRunAll)
		if err != nil {
			t.Errorf("%s was refused: %v", what, err)
			return
		}
		decodes(t, k, answer)
	}
	accepted(t, "the valid object", base)
	for _, r := range rows {
		t.Run(r.name, func(t *testing.T) {
			o := with(t, base, r.at, r.to)
			if r.refused == "" && r.schema == "" {
				accepted(t, "the row", o)
				return
			}
			_, err := k.create(t, o, metav1.DryRunAll)
			field := r.field
			if field == "" {
				field = r.at
			}
			refused(t, err, field, r.refused, r.schema)
			if r.twin != nil {
				accepted(t, "the twin", with(t, base, r.at, r.twin))
			}
		})
	}
}

func letters(n int) string { return strings.Repeat("a", n) }

// numbered makes n different strings.
func numbered(prefix string, n int) []string {
	all := make([]string, n)
	for i := range all {
		all[i] = prefix + string(rune('a'+i/26%26)) + string(rune('a'+i%26))
	}
	return all
}
