// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"strings"
)

// Project is an Argo CD AppProject with the service accounts that its Applications sync as.
// Source: https://argo-cd.readthedocs.io/en/stable/operator-manual/app-sync-using-impersonation/
type Project struct {
	// Namespace and Name are those of the AppProject.
	Namespace, Name string
	// Accounts are spec.destinationServiceAccounts[].defaultServiceAccount: NAMESPACE:NAME, or NAME alone for one in the
	// namespace that an Application is synced to.
	Accounts []string
}

// SharedAttester says why the reviews that an attester carries may come from more places than somebody reviewed, "" if
// nothing speaks for that. Whoever can make any Application sync as the attester can name reviewers. Only service accounts
// are judged: who else is an attester is not Argo CD's.
func SharedAttester(attester string, projects []Project) string {
	account, ok := strings.CutPrefix(attester, "system:serviceaccount:")
	if !ok {
		return ""
	}
	_, name, _ := strings.Cut(account, ":")
	var of []string
	for _, p := range projects {
		if slices.ContainsFunc(p.Accounts, func(a string) bool { return a == account || a == name }) {
			of = append(of, p.Namespace+"/"+p.Name)
		}
	}
	slices.Sort(of)
	switch len(of) {
	case 0:
		return fmt.Sprintf("no AppProject gives the attester %s to its Applications by sync impersonation; if it is Argo CD's own, every Application can carry "+
			"reviews: give one AppProject a service account of its own (spec.destinationServiceAccounts), and make that the attester", attester)
	case 1:
		return ""
	}
	return fmt.Sprintf("Applications of several AppProjects sync as the attester %s (%s), and each can carry reviews: give one AppProject a service account of "+
		"its own (spec.destinationServiceAccounts), and make that the attester", attester, listed(of))
}
