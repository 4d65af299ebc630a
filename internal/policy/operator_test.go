// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// The documents in docs/aws are for the groups of the roles that come with the operator.
func TestOperatorIsDocumented(t *testing.T) {
	grantor, revoker, both := Operator(account, []string{"hera-prod-security-engineer", "hera-prod-infra-manager", "hera-prod-infra-member"}, "/", false)
	for name, want := range map[string]string{
		"iam-policy.json": both, "iam-policy-grantor.json": grantor, "iam-policy-revoker.json": revoker,
		"iam-policy-boundary.json":   Boundary(account),
		"iam-policy-breakglass.json": BreakGlassRole(account), "iam-policy-break-glass-boundary.json": BreakGlassBoundary(account),
	} {
		got, err := os.ReadFile("../../docs/aws/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if difference := Compare(string(got), want); difference != "" {
			t.Errorf("docs/aws/%s is not what is rendered: %s. Write it anew: manager aws render", name, difference)
		}
		if n := size(want); n > ManagedLimit {
			t.Errorf("docs/aws/%s has %d characters", name, n)
		}
	}
}

func TestOperatorNamesExactly(t *testing.T) {
	for path, users := range map[string]string{
		"/":           `"arn:aws:iam::111122223333:user/*"`,
		"/hera/":      `"arn:aws:iam::111122223333:user/hera/*"`,
		"/hera/prod/": `"arn:aws:iam::111122223333:user/hera/prod/*"`,
	} {
		grantor, revoker, both := Operator(account, []string{"b", "arn:aws:iam::111122223333:group/team/a", "b"}, path, false)
		for name, document := range map[string]string{"grantor": grantor, "revoker": revoker, "both": both} {
			if !strings.Contains(document, users) {
				t.Errorf("%s: the users of %s are not %s: %s", name, path, users, document)
			}
		}
		exact := `["arn:aws:iam::111122223333:group/b","arn:aws:iam::111122223333:group/team/a"]`
		for name, document := range map[string]string{"grantor": grantor, "both": both} {
			if strings.Count(document, exact) != 2 {
				t.Errorf("%s: AddUserToGroup is not allowed on, and denied but on, %s: %s", name, exact, document)
			}
		}
	}
}

// What the documents allow is what the operator calls, and no more.
func TestOperatorMayDoWhatItCalls(t *testing.T) {
	grantor, revoker, both := Operator(account, []string{"a"}, "/", false)
	grantorToo, revokerToo, bothToo := Operator(account, []string{"a"}, "/", true)
	if revokerToo != revoker {
		t.Error("the revoker has more where temporary users are made")
	}
	assumes := []string{"sts:AssumeRole", "sts:TagSession"}
	isBoth := func(a aws.Action) bool { return a.Grantor || a.Revoker }
	for name, c := range map[string]struct {
		document string
		its      func(aws.Action) bool
		besides  []string
	}{
		"grantor": {grantor, func(a aws.Action) bool { return a.Grantor }, assumes},
		"revoker": {revoker, func(a aws.Action) bool { return a.Revoker }, nil},
		"both":    {both, isBoth, nil},

		"grantor, for emergencies too": {grantorToo, func(a aws.Action) bool { return a.Grantor }, assumes},
		"both, for emergencies too":    {bothToo, isBoth, assumes},
		"the break-glass role":         {BreakGlassRole(account), func(a aws.Action) bool { return a.BreakGlass }, nil},
	} {
		want := slices.Clone(c.besides)
		for _, a := range aws.Actions {
			if c.its(a) {
				want = append(want, "iam:"+a.Operation)
			}
		}
		var d struct {
			Statement []struct {
				Sid, Effect       string
				Action, NotAction any
			}
		}
		if err := json.Unmarshal([]byte(c.document), &d); err != nil {
			t.Fatal(err)
		}
		var may, butElse []string
		for _, s := range d.Statement {
			if s.Effect == allow {
				may = append(may, sorted(s.Action, false)...)
			}
			if s.Sid == "NothingElse" {
				butElse = sorted(s.NotAction, false)
			}
		}
		slices.Sort(want)
		slices.Sort(may)
		if !slices.Equal(may, want) {
			t.Errorf("%s may\n%q and needs\n%q", name, may, want)
		}
		if !slices.Equal(butElse, want) {
			t.Errorf("%s is denied all but\n%q and needs\n%q", name, butElse, want)
		}
	}
}

// Which roles may be assumed, by what renders with emergencies and without.
func TestOperatorAssumes(t *testing.T) {
	const revoker, breakGlass = `"arn:aws:iam::111122223333:role/prod-access/prod-access-revoker"`, `"arn:aws:iam::111122223333:role/prod-access/prod-access-breakglass"`
	grantor, _, both := Operator(account, []string{"a"}, "/", false)
	grantorToo, _, bothToo := Operator(account, []string{"a"}, "/", true)
	for name, c := range map[string]struct {
		document            string
		revoker, breakGlass bool
	}{
		"grantor": {grantor, true, false}, "both": {both, false, false},
		"grantor, for emergencies too": {grantorToo, true, true}, "both, for emergencies too": {bothToo, false, true},
	} {
		for role, wanted := range map[string]bool{revoker: c.revoker, breakGlass: c.breakGlass} {
			if n := strings.Count(c.document, role); wanted && n != 2 || !wanted && n != 0 { // allowed on it, and denied but on it
				t.Errorf("%s names %s %d times: %s", name, role, n, c.document)
			}
		}
	}
}

// internal/aws, which renders nothing, asks AWS about users on the path that the documents are for.
func TestPathsAgree(t *testing.T) {
	if aws.TemporaryUserPath != BreakGlassPath {
		t.Errorf("temporary users are at %s, and the documents are for %s", aws.TemporaryUserPath, BreakGlassPath)
	}
}
