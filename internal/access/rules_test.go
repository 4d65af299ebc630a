// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"pgregory.net/rapid"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// rule reads "verbs groups resources", each separated by commas, "-" for the core group.
func rule(text string) rbacv1.PolicyRule {
	f := strings.Fields(text)
	r := rbacv1.PolicyRule{Verbs: strings.Split(f[0], ","), APIGroups: strings.Split(f[1], ","), Resources: strings.Split(f[2], ",")}
	for i := range r.APIGroups {
		r.APIGroups[i] = strings.TrimPrefix(r.APIGroups[i], "-")
	}
	return r
}

func urls(verbs string, paths ...string) rbacv1.PolicyRule {
	return rbacv1.PolicyRule{Verbs: strings.Split(verbs, ","), NonResourceURLs: paths}
}

const (
	readOnly  = v1alpha1.AccessReadOnly
	readWrite = v1alpha1.AccessReadWrite
)

func TestI6ForbiddenRule(t *testing.T) {
	tests := []struct {
		level     v1alpha1.AccessLevel
		bad, good rbacv1.PolicyRule
		message   string
	}{
		{readWrite, rule("* - pods"), rule("get - pods"), "holds a wildcard"},
		{readWrite, rule("get * pods"), rule("get apps pods"), "holds a wildcard"},
		{readWrite, rule("get - *"), rule("get - pods"), "holds a wildcard"},
		{readWrite, rule("get - pods/*"), rule("get - pods/log"), "holds a wildcard"},
		{readWrite, rule("update apps */scale"), rule("update apps deployments/scale"), "holds a wildcard"},
		{readWrite, rule("get *.example.com things"), rule("get x.example.com things"), "holds a wildcard"},
		{readWrite, urls("get", "*"), urls("get", "/metrics"), "holds a wildcard"},
		{readWrite, urls("get", "/*"), urls("get", "/healthz/*"), "holds a wildcard"},
		{readWrite, urls("*", "/metrics"), urls("get", "/metrics"), "holds a wildcard"},
		{readWrite, rule("get,impersonate - users"), rule("get - users"), "holds the verb impersonate"},
		{readWrite, rule("impersonate:user-info authentication.k8s.io users"), rule("get authentication.k8s.io users"), "holds the verb impersonate:user-info"},
		{readWrite, rule("escalate example.com roles"), rule("get example.com roles"), "holds the verb escalate"},
		{readWrite, rule("bind example.com roles"), rule("get example.com roles"), "holds the verb bind"},
		{readWrite, rule("create access.hera.dev accessapprovals"), rule("get,list,watch access.hera.dev accessapprovals"), "writes in the API group access.hera.dev"},
		{readWrite, rule("patch access.hera.dev prodaccessgrants/status"), rule("get access.hera.dev prodaccessgrants/status"), "writes in the API group access.hera.dev"},
		{readWrite, rule("approve access.hera.dev accessroles"), rule("watch access.hera.dev accessroles"), "writes in the API group access.hera.dev"},
		{readWrite, rule("get,delete rbac.authorization.k8s.io clusterrolebindings"), rule("get rbac.authorization.k8s.io clusterrolebindings"), "writes in the API group rbac.authorization.k8s.io"},
		{readWrite, rule("create apps,rbac.authorization.k8s.io rolebindings"), rule("create apps rolebindings"), "writes in the API group rbac.authorization.k8s.io"},
		{readWrite, rule("update admissionregistration.k8s.io validatingadmissionpolicies"), rule("list admissionregistration.k8s.io validatingadmissionpolicies"), "writes in the API group admissionregistration.k8s.io"},
		{readWrite, rule("create apiregistration.k8s.io apiservices"), rule("get apiregistration.k8s.io apiservices"), "writes in the API group apiregistration.k8s.io"},
		{readWrite, rule("deletecollection apiextensions.k8s.io customresourcedefinitions"), rule("list apiextensions.k8s.io customresourcedefinitions"), "writes in the API group apiextensions.k8s.io"},
		{readWrite, rule("create - serviceaccounts/token"), rule("create - serviceaccounts"), "hands out tokens"},
		{readWrite, rule("get - pods,serviceaccounts/token"), rule("get example.com pods,serviceaccounts/token"), "hands out tokens"},
		{readWrite, rule("get - nodes/proxy"), rule("get - nodes"), "nodes/proxy"},
		{readWrite, rule("get - nodes/proxy"), rule("get example.com nodes/proxy"), "nodes/proxy"},
		{readWrite, rule("update certificates.k8s.io certificatesigningrequests/approval"), rule("get certificates.k8s.io certificatesigningrequests/approval"), "approves or signs certificates"},
		{readWrite, rule("patch certificates.k8s.io certificatesigningrequests/status"), rule("create certificates.k8s.io certificatesigningrequests"), "approves or signs certificates"},
		{readWrite, rule("approve certificates.k8s.io signers"), rule("approve example.com signers"), "approves or signs certificates"},
		{readWrite, rule("sign certificates.k8s.io signers"), rule("watch certificates.k8s.io signers"), "approves or signs certificates"},
		{readOnly, rule("get,update apps deployments"), rule("get,list,watch apps deployments"), "a verb other than get, list and watch"},
		{readOnly, rule("use policy podsecuritypolicies"), rule("get policy podsecuritypolicies"), "a verb other than get, list and watch"},
		{readOnly, urls("post", "/flush"), urls("get", "/flush"), "a verb other than get, list and watch"},
		{readOnly, rule("get - secrets"), rule("get - configmaps"), "reaches secrets, which is more than reading"},
		{readOnly, rule("list - pods,secrets"), rule("list example.com pods,secrets"), "reaches secrets"},
		{readOnly, rule("get - pods/exec"), rule("get - pods"), "reaches pods/exec"},
		{readOnly, rule("get - pods/attach"), rule("get - pods/log"), "reaches pods/attach"},
		{readOnly, rule("get - pods/portforward"), rule("get - pods/status"), "reaches pods/portforward"},
		{readOnly, rule("get - pods/proxy"), rule("get - pods"), "reaches pods/proxy"},
		{readOnly, rule("get - services/proxy"), rule("get - services"), "reaches services/proxy"},
		{readOnly, rule("get - nodes/log"), rule("get - nodes/metrics"), "reaches nodes/log"},
		{"", rule("delete - pods"), rule("get - pods"), "a verb other than get, list and watch"},
	}
	for _, test := range tests {
		t.Run(fmt.Sprintf("%s %v", test.level, test.bad), func(t *testing.T) {
			harmless := rule("get,list,watch - pods")
			if why := access.ForbiddenRule([]rbacv1.PolicyRule{harmless, test.good}, test.level); why != "" {
				t.Errorf("the twin: %s", why)
			}
			why := access.ForbiddenRule([]rbacv1.PolicyRule{harmless, test.bad}, test.level)
			if !strings.Contains(why, test.message) || !strings.HasPrefix(why, "the rule {verbs [") {
				t.Errorf("%q, want it to say %q", why, test.message)
			}
			if test.level == readOnly && !strings.Contains(test.message, "wildcard") {
				if why := access.ForbiddenRule([]rbacv1.PolicyRule{test.bad}, readWrite); why != "" {
					t.Errorf("forbidden for ReadWrite as well: %s", why)
				}
			}
			if test.level == readWrite && access.ForbiddenRule([]rbacv1.PolicyRule{test.bad}, readOnly) == "" {
				t.Error("allowed for ReadOnly")
			}
		})
	}
	if why := access.ForbiddenRule(nil, readOnly); why != "" {
		t.Errorf("no rules at all: %s", why)
	}
}

// What is wrong with a long rule is not hidden behind its length.
func TestForbiddenRuleIsPrinted(t *testing.T) {
	r := rule("get,list,watch,create,update,patch,delete - a,b,c,d,e,f,g,secrets,h")
	why := access.ForbiddenRule([]rbacv1.PolicyRule{r}, readOnly)
	if !strings.Contains(why, "resources [secrets a b c d e and 3 more]") || !strings.Contains(why, `apiGroups [""]`) || len(why) > 400 {
		t.Error(why)
	}
}

// The hash is of what is allowed, not of how it is written.
func TestRulesHashIgnoresArrangement(t *testing.T) {
	base := []rbacv1.PolicyRule{rule("get,list -,apps pods,deployments"), urls("get,post", "/metrics", "/healthz")}
	hash := access.RulesHash(base)
	same := map[string][]rbacv1.PolicyRule{
		"another order":   {urls("post,get", "/healthz", "/metrics"), rule("list,get apps,- deployments,pods")},
		"split by verb":   {rule("get -,apps pods,deployments"), rule("list -,apps pods,deployments"), urls("get,post", "/metrics"), urls("get,post", "/healthz")},
		"twice":           append(slices.Clone(base), base...),
		"with a dead one": append(slices.Clone(base), rbacv1.PolicyRule{Verbs: []string{"get"}}, rbacv1.PolicyRule{APIGroups: []string{""}, Resources: []string{"pods"}}),
		"overlapping":     append(slices.Clone(base), rule("list apps pods")),
	}
	for name, rules := range same {
		if access.RulesHash(rules) != hash {
			t.Errorf("%s: another hash", name)
		}
	}
	named := func(names ...string) rbacv1.PolicyRule {
		r := rule("get - configmaps")
		r.ResourceNames = names
		return r
	}
	if access.RulesHash([]rbacv1.PolicyRule{named("a", "b")}) != access.RulesHash([]rbacv1.PolicyRule{named("b"), named("a")}) {
		t.Error("the names of objects: another hash")
	}
}

// Whatever changes what is allowed changes the hash.
func TestI1RulesHashIsOfEverything(t *testing.T) {
	named := func(names ...string) rbacv1.PolicyRule {
		r := rule("get - pods")
		r.ResourceNames = names
		return r
	}
	variants := [][]rbacv1.PolicyRule{
		nil,
		{rule("get - pods")},
		{rule("get - pods"), rule("list - pods")},
		{rule("list - pods")},
		{rule("get apps pods")},
		{rule("get - services")},
		{rule("get - pods/log")},
		{named("a")},
		{named("a", "b")},
		{named("")},
		{urls("get", "/metrics")},
		{urls("get", "pods")},
		{urls("get", "/metrics"), rule("get - pods")},
		{{Verbs: []string{"get\x00"}, APIGroups: []string{""}, Resources: []string{"pods"}}},
		{{Verbs: []string{"get"}, APIGroups: []string{""}, Resources: []string{"pods\x00a"}}},
	}
	seen := map[string]int{}
	for i, rules := range variants {
		h := access.RulesHash(rules)
		if other, ok := seen[h]; ok {
			t.Errorf("%v has the hash of %v", rules, variants[other])
		}
		seen[h] = i
	}
}

func anyRule() *rapid.Generator[rbacv1.PolicyRule] {
	some := func(from ...string) *rapid.Generator[[]string] { return rapid.SliceOfN(rapid.SampledFrom(from), 0, 3) }
	return rapid.Custom(func(t *rapid.T) rbacv1.PolicyRule {
		return rbacv1.PolicyRule{
			Verbs: some("get", "list", "delete", "bind", "*").Draw(t, "verbs"), APIGroups: some("", "apps", "access.hera.dev").Draw(t, "groups"),
			Resources: some("pods", "secrets", "pods/exec").Draw(t, "resources"), ResourceNames: some("a", "b").Draw(t, "names"),
			NonResourceURLs: some("/metrics", "/*").Draw(t, "urls"),
		}
	})
}

// Shuffled and split into single permissions, rules have the same hash, and are forbidden or not as before.
func TestRulesInAnyArrangement(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rules := rapid.SliceOfN(anyRule(), 0, 4).Draw(t, "rules")
		var split []rbacv1.PolicyRule
		for _, r := range rules {
			for _, v := range r.Verbs {
				for _, g := range r.APIGroups {
					for _, res := range r.Resources {
						split = append(split, rbacv1.PolicyRule{Verbs: []string{v}, APIGroups: []string{g}, Resources: []string{res}, ResourceNames: r.ResourceNames})
					}
				}
				for _, u := range r.NonResourceURLs {
					split = append(split, urls(v, u))
				}
			}
		}
		shuffled := rapid.Permutation(split).Draw(t, "order")
		if access.RulesHash(rules) != access.RulesHash(shuffled) {
			t.Errorf("%v and %v have different hashes", rules, shuffled)
		}
		for _, level := range []v1alpha1.AccessLevel{readOnly, readWrite} {
			// A rule that allows nothing, such as one without verbs, may be refused nevertheless.
			if access.ForbiddenRule(shuffled, level) != "" && access.ForbiddenRule(rules, level) == "" {
				t.Errorf("%s: %v is allowed, and its parts %v are not", level, rules, shuffled)
			}
		}
	})
}
