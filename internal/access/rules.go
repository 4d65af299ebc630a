// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"strings"

	rbacv1 "k8s.io/api/rbac/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

var (
	readVerbs = []string{"get", "list", "watch"}

	// Who can write one of these can extend, approve or fake access.
	guardedGroups = []string{
		v1alpha1.GroupName,
		"rbac.authorization.k8s.io",
		"admissionregistration.k8s.io",
		"apiextensions.k8s.io",
		// An APIService can put another server in the place of the one that answers for access.hera.dev.
		"apiregistration.k8s.io",
	}

	// A GET on one of these reaches into a pod or a node, or hands out what was stored as a secret
	// (https://kubernetes.io/docs/concepts/security/rbac-good-practices/, kubernetes/kubernetes#78741).
	notReadOnly = []string{
		"secrets",
		"pods/exec", "pods/attach", "pods/portforward", "pods/proxy",
		"services/proxy", "nodes/log",
	}

	// Who writes one of these in certificates.k8s.io makes certificates that the cluster trusts.
	signing = []string{"certificatesigningrequests/approval", "certificatesigningrequests/status", "signers"}
)

// ForbiddenRule looks for a rule that no role may hold, or, for any role that is not ReadWrite, that is more than
// reading. It returns a sentence that names the first such rule, or "".
func ForbiddenRule(rules []rbacv1.PolicyRule, level v1alpha1.AccessLevel) string {
	checks := []func(rbacv1.PolicyRule) string{holdsWildcard, empowers, writesGuarded, handsOut}
	if level != v1alpha1.AccessReadWrite {
		checks = append(checks, reachesBeyondReading, writesAnything)
	}
	for _, r := range rules {
		for _, check := range checks {
			if why := check(r); why != "" {
				return fmt.Sprintf("the rule %s %s", printRule(r), why)
			}
		}
	}
	return ""
}

func holdsWildcard(r rbacv1.PolicyRule) string {
	// "*/scale" is a wildcard as much as "*" is; a URL below a fixed path is not.
	wild := func(s string) bool { return strings.Contains(s, "*") && (s == "/*" || !strings.HasPrefix(s, "/")) }
	for _, part := range [][]string{r.Verbs, r.APIGroups, r.Resources, r.NonResourceURLs} {
		if slices.ContainsFunc(part, wild) {
			return "holds a wildcard; list what is meant instead"
		}
	}
	return ""
}

func empowers(r rbacv1.PolicyRule) string {
	for _, v := range r.Verbs {
		if strings.HasPrefix(v, "impersonate") || v == "escalate" || v == "bind" {
			return fmt.Sprintf("holds the verb %s, which lets its holder become or empower somebody else", v)
		}
	}
	return ""
}

func writes(r rbacv1.PolicyRule) bool {
	return slices.ContainsFunc(r.Verbs, func(v string) bool { return !slices.Contains(readVerbs, v) })
}

func writesGuarded(r rbacv1.PolicyRule) string {
	for _, g := range r.APIGroups {
		if slices.Contains(guardedGroups, g) && writes(r) {
			return fmt.Sprintf("writes in the API group %s, which decides who has access", g)
		}
	}
	return ""
}

// handsOut says how a rule reaches identities, or the pods of a node.
func handsOut(r rbacv1.PolicyRule) string {
	if slices.Contains(r.APIGroups, "") {
		switch {
		case slices.Contains(r.Resources, "serviceaccounts/token"):
			return "hands out tokens of service accounts"
		case slices.Contains(r.Resources, "nodes/proxy"):
			return "reaches every pod of a node through nodes/proxy"
		}
	}
	if slices.Contains(r.APIGroups, "certificates.k8s.io") && writes(r) && containsAny(r.Resources, signing) {
		return "approves or signs certificates, and with them identities"
	}
	return ""
}

func reachesBeyondReading(r rbacv1.PolicyRule) string {
	for _, res := range r.Resources {
		if slices.Contains(r.APIGroups, "") && slices.Contains(notReadOnly, res) {
			return fmt.Sprintf("reaches %s, which is more than reading", res)
		}
	}
	return ""
}

func writesAnything(r rbacv1.PolicyRule) string {
	if writes(r) {
		return "has a verb other than get, list and watch, in a role that is ReadOnly"
	}
	return ""
}

func containsAny(have, want []string) bool {
	return slices.ContainsFunc(have, func(s string) bool { return slices.Contains(want, s) })
}

// printRule writes a rule the way people write it, cut to what fits into a condition message.
func printRule(r rbacv1.PolicyRule) string {
	parts := []string{"verbs " + bounded(r.Verbs)}
	if len(r.APIGroups) > 0 {
		parts = append(parts, "apiGroups "+bounded(r.APIGroups))
	}
	if len(r.Resources) > 0 {
		parts = append(parts, "resources "+bounded(r.Resources))
	}
	if len(r.NonResourceURLs) > 0 {
		parts = append(parts, "nonResourceURLs "+bounded(r.NonResourceURLs))
	}
	return "{" + strings.Join(parts, ", ") + "}"
}

// bounded prints at most six elements, the remarkable ones first: wildcards and whatever is not plain reading or a
// plain resource would otherwise hide behind a long list.
func bounded(items []string) string {
	const most = 6
	sorted := slices.Clone(items)
	slices.SortStableFunc(sorted, func(a, b string) int { return remarkable(b) - remarkable(a) })
	for i := range sorted {
		if sorted[i] == "" {
			sorted[i] = `""`
		}
	}
	if len(sorted) > most {
		return fmt.Sprintf("[%s and %d more]", strings.Join(sorted[:most], " "), len(sorted)-most)
	}
	return "[" + strings.Join(sorted, " ") + "]"
}

func remarkable(s string) int {
	if strings.ContainsAny(s, "*/") || s == "secrets" || strings.HasPrefix(s, "impersonate") ||
		s == "escalate" || s == "bind" || slices.Contains(guardedGroups, s) {
		return 1
	}
	return 0
}

// RulesHash identifies effective rules by what they allow, not by how they are written: the same permissions spread
// over other rules, in another order or aggregated from other roles, have the same hash.
func RulesHash(rules []rbacv1.PolicyRule) string {
	var atoms [][]string
	for _, r := range rules {
		for _, v := range r.Verbs {
			for _, u := range r.NonResourceURLs {
				atoms = append(atoms, []string{v, u})
			}
			for _, g := range r.APIGroups {
				for _, res := range r.Resources {
					if len(r.ResourceNames) == 0 {
						atoms = append(atoms, []string{v, g, res})
					}
					for _, n := range r.ResourceNames {
						atoms = append(atoms, []string{v, g, res, n})
					}
				}
			}
		}
	}
	slices.SortFunc(atoms, slices.Compare)
	return digest(rulesHashVersion, slices.CompactFunc(atoms, slices.Equal))
}
