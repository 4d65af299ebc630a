// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"reflect"
	"testing"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// What the operator calls is what it asks the right for, paces and explains; and it asks for nothing that it does not call.
func TestActionsCoverTheInterface(t *testing.T) {
	rows := map[string]int{}
	for _, a := range aws.Actions {
		rows[a.Operation]++
		if a.Class == "" || a.On == "" || a.For == "" || !a.Grantor && !a.Revoker && !a.BreakGlass {
			t.Errorf("the row of %s is incomplete: %+v", a.Operation, a)
		}
		if a.Class == aws.Add && a.Revoker {
			t.Errorf("the revoker may %s, which gives access", a.Operation)
		}
	}
	if rows["CreateUser"] != rows["TagUser"] || rows["CreateVirtualMFADevice"] != rows["TagMFADevice"] {
		t.Error("what is made with tags needs the right to tag")
	}
	for m := range reflect.TypeFor[aws.IAM]().Methods() {
		if rows[m.Name] != 1 {
			t.Errorf("%s has %d rows in Actions", m.Name, rows[m.Name])
		}
		delete(rows, m.Name)
	}
	for _, a := range aws.Actions {
		if a.Within != "" && rows[a.Within] != 0 {
			t.Errorf("%s is a right of %s, which is not called", a.Operation, a.Within)
		}
		if rows[a.Operation] > 0 && !a.Optional && a.Within == "" {
			t.Errorf("%s has a row and is not in the interface", a.Operation)
		}
	}
}
