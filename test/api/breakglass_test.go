// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"reflect"
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

func TestBreakGlass(t *testing.T) {
	base := parse(t, emergencyManifest)

	t.Run("subject", func(t *testing.T) {
		const nobody = "subject names nobody: set iamUser (or, where the operator runs with --aws=disabled, kubernetesUser)"
		check(t, breakGlass, base, []row{
			{name: "absent", at: "spec.subject", to: absent{}, field: "spec", refused: either},
			{name: "an IAM user alone", at: "spec.subject.kubernetesUser", to: absent{}},
			{name: "a Kubernetes user alone", at: "spec.subject.iamUser", to: absent{}},
			{name: "nobody", at: "spec.subject", to: map[string]any{}, twin: map[string]any{"iamUser": "alice"}, refused: nobody},
		})
		check(t, breakGlass, base, iamNames("spec.subject.iamUser", 64, nil))
		check(t, breakGlass, base, usernames("spec.subject.kubernetesUser", false,
			"kubernetesUser must be a person: names beginning with system:, eks: or aws: are reserved"))
	})
	t.Run("role", func(t *testing.T) {
		check(t, breakGlass, base, objectNames("spec.role", 63))
	})
	t.Run("namespaces", func(t *testing.T) {
		check(t, breakGlass, base, namespaceLists("spec.namespaces"))
	})
	t.Run("incident", func(t *testing.T) {
		const at, not = "spec.incident", "incident must not be blank: name the incident"
		check(t, breakGlass, base, []row{
			{name: "absent", at: at, to: absent{}, schema: "Required value"},
			{name: "empty", at: at, to: "", twin: "x", refused: not},
			{name: "blank", at: at, to: " \t\u00a0", twin: " \t\u00a0x", refused: not},
			{name: "short", at: at, to: "7"},
			{name: "in any script", at: at, to: "障害-№7"},
			{name: "128 characters", at: at, to: strings.Repeat("é", 128)},
			{name: "129 characters", at: at, to: letters(129), twin: letters(128), schema: "may not be more than 128"},
			{name: "a number", at: at, to: 7, twin: "7", schema: "must be of type string"},
		})
	})
	t.Run("reason", func(t *testing.T) {
		check(t, breakGlass, base, reasons("spec.reason",
			"reason must say why, in words: at least 10 characters, white space at the ends not counted"))
	})
	t.Run("duration", func(t *testing.T) {
		check(t, breakGlass, base, durations("spec.duration", "duration", "1m", "168h", "59s", "168h0m1s", "1h or 1h30m"))
		check(t, breakGlass, base, []row{
			{name: "absent", at: "spec.duration", to: absent{}, schema: "Required value"},
			{name: "nothing", at: "spec.duration", to: "0h", twin: "1h", refused: "duration must be from 1m to 168h, in hours, minutes and seconds, such as 1h or 1h30m"},
			{name: "less than nothing", at: "spec.duration", to: "-1m", twin: "1m", refused: "duration must be from 1m to 168h, in hours, minutes and seconds, such as 1h or 1h30m"},
		})
	})
	t.Run("who opens", func(t *testing.T) {
		check(t, breakGlass, base, []row{{name: "absent", at: "spec.openedBy", to: absent{}, schema: "Required value"}})
		check(t, breakGlass, base, usernames("spec.openedBy", false,
			"openedBy must be a person: names beginning with system:, eks: or aws: are reserved"))
		check(t, breakGlass, base, []row{{name: "for somebody else", at: "spec.openedBy", to: "dana@hera.example"}})
	})
	t.Run("report", func(t *testing.T) {
		check(t, breakGlass, base, []row{
			{name: "absent", at: "spec.report", to: absent{}},
			{name: "of a summary alone", at: "spec.report", to: map[string]any{"summary": "The pods were restarted.", "writtenBy": "alice@hera.example"}},
			{name: "by somebody else", at: "spec.report.writtenBy", to: "dana@hera.example"},
			{name: "by nobody", at: "spec.report.writtenBy", to: absent{}, schema: "Required value"},
		})
		check(t, breakGlass, base, sentences("spec.report.summary",
			"summary must say what happened, in words: at least 10 characters, white space at the ends not counted", 4096))
		for _, at := range []string{"spec.report.rootCause", "spec.report.actions"} {
			check(t, breakGlass, base, []row{
				{name: at + " is absent", at: at, to: absent{}},
				{name: at + " is empty", at: at, to: ""},
				{name: at + " has lines, in any script", at: at, to: "証明書が切れていた。\nIt had expired.\n"},
				{name: at + " has 4096 characters", at: at, to: strings.Repeat("é", 4096)},
				{name: at + " has 4097 characters", at: at, to: letters(4097), twin: letters(4096), schema: "may not be more than 4096"},
			})
		}
		check(t, breakGlass, base, links("spec.report.url", "url must be a link that begins with https:// or http://"))
		check(t, breakGlass, base, usernames("spec.report.writtenBy", false,
			"writtenBy must be a person: names beginning with system:, eks: or aws: are reserved"))
	})
	t.Run("temporary user", testTemporaryUser)
	unknownFields(t, breakGlass, base, "spec", "spec.subject", "spec.report")
}

const (
	onlyReport = "nothing in spec can be changed but report: to end it early, create an AccessRevocation; for something else, create another BreakGlass"
	notOrder   = "nothing in spec can be changed but report, not even the order of namespaces: create another BreakGlass instead"
	frozen     = "the report is approved, and an approved report is never changed"
)

// Everything but the report stays as it was created; the report can be added, changed and taken back.
func TestImmutableEmergencies(t *testing.T) {
	full := breakGlass.store(t, parse(t, emergencyManifest))
	accepted := func(t *testing.T, what string, o *unstructured.Unstructured) {
		t.Helper()
		if _, err := breakGlass.update(t, o, metav1.DryRunAll); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	accepted(t, "labels", with(t, full, "metadata.labels", map[string]any{"team": "payments"}))
	accepted(t, "finalizers", with(t, full, "metadata.finalizers", []string{"example.org/x"}))
	needed := map[string]bool{"role": true, "incident": true, "reason": true, "duration": true, "openedBy": true, "report.summary": true, "report.writtenBy": true}
	emergencyChanges.each(t, breakGlass, func(t *testing.T, path string, to any) {
		if strings.HasPrefix(path, "spec.temporaryUser.") {
			t.Skip("it goes with no subject: TestImmutableTemporaryUsers changes it")
		}
		field, said := "spec", onlyReport
		if path == "spec.namespaces" {
			field, said = path, notOrder
		}
		if strings.HasPrefix(path, "spec.report.") {
			accepted(t, "a change of the report", with(t, full, path, to))
			if !needed[strings.TrimPrefix(path, "spec.")] {
				accepted(t, "a report without it", with(t, full, path, absent{}))
			}
			return
		}
		_, err := breakGlass.update(t, with(t, full, path, to), metav1.DryRunAll)
		refused(t, err, field, said, "")
		// Nor beside a change of the report.
		_, err = breakGlass.update(t, with(t, with(t, full, path, to), "spec.report.actions", "Nothing at all."), metav1.DryRunAll)
		refused(t, err, field, said, "")
		if needed[strings.TrimPrefix(path, "spec.")] {
			return
		}
		_, err = breakGlass.update(t, with(t, full, path, absent{}), metav1.DryRunAll)
		refused(t, err, "spec", onlyReport, "")
		without := with(t, parse(t, emergencyManifest), path, absent{})
		without.SetName("less-" + strings.ToLower(strings.ReplaceAll(path, ".", "-")))
		less := breakGlass.store(t, without)
		_, err = breakGlass.update(t, with(t, less, path, value(t, full, path)), metav1.DryRunAll)
		refused(t, err, "spec", onlyReport, "")
		accepted(t, "the twin, a change of the report", with(t, less, "spec.report.actions", "Nothing at all."))
	})
	t.Run("the whole report", func(t *testing.T) {
		accepted(t, "taken back", with(t, full, "spec.report", absent{}))
		bare := with(t, parse(t, emergencyManifest), "spec.report", absent{})
		bare.SetName("without-report")
		bare = breakGlass.store(t, bare)
		accepted(t, "added", with(t, bare, "spec.report", value(t, full, "spec.report")))
		_, err := breakGlass.update(t, with(t, bare, "spec.report", map[string]any{"summary": "Nothing.", "writtenBy": "alice"}), metav1.DryRunAll)
		refused(t, err, "spec.report.summary", "summary must say what happened, in words: at least 10 characters, white space at the ends not counted", "")
	})
	// To CEL, a list of the type set is the same in any order. To the digest it is not.
	t.Run("order", func(t *testing.T) {
		_, err := breakGlass.update(t, with(t, full, "spec.namespaces", []string{"ledger", "payments"}), metav1.DryRunAll)
		refused(t, err, "spec.namespaces", notOrder, "")
	})
	t.Run("the same duration in other words", func(t *testing.T) {
		if _, err := breakGlass.update(t, with(t, full, "spec.duration", "60m"), metav1.DryRunAll); err != nil {
			t.Error(err)
		}
	})
	t.Run("apply", func(t *testing.T) {
		apply := func(o *unstructured.Unstructured) error {
			_, err := breakGlass.client().Apply(t.Context(), full.GetName(), o, metav1.ApplyOptions{FieldManager: "kubectl", Force: true})
			return err
		}
		refused(t, apply(with(t, parse(t, emergencyManifest), "spec.duration", "2h")), "spec", onlyReport, "")
		if err := apply(parse(t, emergencyManifest)); err != nil {
			t.Errorf("applying the same again: %v", err)
		}
	})
}

// Once the operator has said that the report is approved, it is the record of what was approved.
func TestApprovedReportIsFrozen(t *testing.T) {
	opened := breakGlass.store(t, parse(t, emergencyManifest))
	judge := func(t *testing.T, kind, status, reason string) *unstructured.Unstructured {
		t.Helper()
		o := breakGlass.get(t, opened.GetName())
		o, err := breakGlass.client().UpdateStatus(t.Context(), with(t, o, "status.conditions", []metav1.Condition{{
			Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: "x", LastTransitionTime: metav1.Now(),
		}}), metav1.UpdateOptions{})
		if err != nil {
			t.Fatal(err)
		}
		return o
	}
	edits := map[string]func(o *unstructured.Unstructured) *unstructured.Unstructured{
		"taken back": func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(t, o, "spec.report", absent{})
		},
		"without a field": func(o *unstructured.Unstructured) *unstructured.Unstructured {
			return with(t, o, "spec.report.rootCause", absent{})
		},
	}
	for path, to := range emergencyChanges {
		if strings.HasPrefix(path, "report.") {
			edits[path] = func(o *unstructured.Unstructured) *unstructured.Unstructured { return with(t, o, "spec."+path, to) }
		}
	}
	for _, c := range []struct {
		kind, status, reason string
		frozen               bool
	}{
		{v1alpha1.ConditionReported, "True", v1alpha1.ReasonApproved, true},
		{v1alpha1.ConditionReported, "False", v1alpha1.ReasonReportNotDue, false},
		{v1alpha1.ConditionReported, "False", v1alpha1.ReasonReportPending, false},
		{v1alpha1.ConditionReported, "False", v1alpha1.ReasonReportOverdue, false},
		{v1alpha1.ConditionReported, "Unknown", v1alpha1.ReasonApproved, false},
		{v1alpha1.ConditionReady, "True", v1alpha1.ReasonApproved, false},
	} {
		t.Run(c.kind+" "+c.status+" "+c.reason, func(t *testing.T) {
			judged := judge(t, c.kind, c.status, c.reason)
			for name, edit := range edits {
				_, err := breakGlass.update(t, edit(judged), metav1.DryRunAll)
				if c.frozen {
					refused(t, err, "spec.report", frozen, "")
				} else if err != nil {
					t.Errorf("%s: %v", name, err)
				}
			}
			// What is frozen is the report alone.
			if _, err := breakGlass.update(t, with(t, judged, "metadata.finalizers", []string{"example.org/x"}), metav1.DryRunAll); err != nil {
				t.Errorf("finalizers: %v", err)
			}
			again := with(t, judged, "status.observedGeneration", 7)
			if _, err := breakGlass.client().UpdateStatus(t.Context(), again, metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}}); err != nil {
				t.Errorf("the status: %v", err)
			}
		})
	}
}

// What the Go types read and write back is what the API server had: a field that they lost would be lost for good, and one
// that they added would change the digest of what is stored.
func TestEmergencyRoundTrip(t *testing.T) {
	kept := map[string]bool{}
	for _, manifest := range []string{emergencyManifest, temporaryManifest} {
		// Go writes a duration of an hour like this.
		o := breakGlass.store(t, with(t, parse(t, manifest), "spec.duration", "1h0m0s"))
		o, err := breakGlass.client().UpdateStatus(t.Context(), with(t, o, "status", fullEmergencyStatus()), metav1.UpdateOptions{FieldValidation: metav1.FieldValidationStrict})
		if err != nil {
			t.Fatal(err)
		}
		decodes(t, breakGlass, o)
		content, err := o.MarshalJSON()
		if err != nil {
			t.Fatal(err)
		}
		var typed v1alpha1.BreakGlass
		if err := json.Unmarshal(content, &typed); err != nil {
			t.Fatal(err)
		}
		if content, err = json.Marshal(&typed); err != nil {
			t.Fatal(err)
		}
		var back unstructured.Unstructured
		if err := back.UnmarshalJSON(content); err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"spec", "status"} {
			if !reflect.DeepEqual(back.Object[part], o.Object[part]) {
				t.Errorf("%s went in as\n%v\nand came out as\n%v", part, o.Object[part], back.Object[part])
			}
		}
		for _, path := range leaves(t, breakGlass.spec) {
			kept[path] = kept[path] || value(t, &back, "spec."+path) != (absent{})
		}
	}
	for _, path := range leaves(t, breakGlass.spec) {
		if !kept[path] {
			t.Errorf("spec.%s is lost", path)
		}
	}
}
