// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// A status tells of approvers as they are told of everywhere: what looks like another name must not get there either.
func TestStatusNamesNobodyInvisibly(t *testing.T) {
	o := prodAccessGrant.store(t, parse(t, grantManifest))
	names := map[v1alpha1.Username]string{
		"bob":       "",
		"bob\u200b": "a username holds no white space and no invisible characters: write it as kubectl auth whoami shows it",
	}
	for approver, sentence := range names {
		s := fullGrantStatus()
		s.Approvals = []v1alpha1.CountedApproval{{Approver: approver, Source: v1alpha1.SourceApproval, At: s.Approvals[0].At}}
		_, err := prodAccessGrant.client().UpdateStatus(t.Context(), with(t, o, "status", s), metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
		if sentence == "" && err != nil {
			t.Errorf("%q: %v", approver, err)
		}
		if sentence != "" {
			refused(t, err, "status.approvals[0].approver", sentence, "")
		}
	}
	e := breakGlass.store(t, parse(t, emergencyManifest))
	for path, set := range map[string]func(*v1alpha1.BreakGlassStatus, v1alpha1.Username){
		"status.reportApprovedBy": func(s *v1alpha1.BreakGlassStatus, name v1alpha1.Username) { s.ReportApprovedBy = name },
		"status.facts.openedBy":   func(s *v1alpha1.BreakGlassStatus, name v1alpha1.Username) { s.Facts.OpenedBy = name },
	} {
		for name, sentence := range names {
			s := fullEmergencyStatus()
			set(s, name)
			_, err := breakGlass.client().UpdateStatus(t.Context(), with(t, e, "status", s), metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}})
			if sentence == "" && err != nil {
				t.Errorf("%s %q: %v", path, name, err)
			}
			if sentence != "" {
				refused(t, err, path, sentence, "")
			}
		}
	}
}
