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
	for approver, sentence := range map[v1alpha1.Username]string{
		"bob":       "",
		"bob\u200b": "a username holds no white space and no invisible characters: write it as kubectl auth whoami shows it",
	} {
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
}
