// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/internal/access"
)

func TestSharedAttester(t *testing.T) {
	const attester = "system:serviceaccount:argocd:access"
	project := func(name string, accounts ...string) access.Project {
		return access.Project{Namespace: "argocd", Name: name, Accounts: accounts}
	}
	for name, test := range map[string]struct {
		attester string
		projects []access.Project
		says     string // "": nothing
	}{
		"one project":                      {attester, []access.Project{project("access", "argocd:access"), project("shop", "argocd:shop")}, ""},
		"one project, twice":               {attester, []access.Project{project("access", "argocd:access", "argocd:access")}, ""},
		"two projects":                     {attester, []access.Project{project("shop", "argocd:access"), project("access", "argocd:access")}, "(argocd/access, argocd/shop)"},
		"a second by the bare name":        {attester, []access.Project{project("access", "argocd:access"), project("shop", "access")}, "several AppProjects"},
		"another account of the same name": {attester, []access.Project{project("access", "argocd:access"), project("shop", "shop:access")}, ""},
		"no project":                       {attester, []access.Project{project("shop", "argocd:shop")}, "no AppProject gives the attester " + attester},
		"a person":                         {"ci@hera.example", nil, ""},
	} {
		t.Run(name, func(t *testing.T) {
			got := access.SharedAttester(test.attester, test.projects)
			if (got == "") != (test.says == "") || !strings.Contains(got, test.says) {
				t.Errorf("it says %q, want %q", got, test.says)
			}
		})
	}
}
