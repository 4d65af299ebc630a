// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

var (
	account = Account{Partition: "aws", ID: "111122223333"}
	known   = []string{infraManager, infraMember, securityEngineer, "somebodys-own"}
)

func specOf(networks ...v1alpha1.CIDR) *v1alpha1.AccessRoleSpec {
	return &v1alpha1.AccessRoleSpec{AWS: &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"g"}, AllowedSourceCIDRs: networks}}
}

// longest are n networks that take as much room as IPv4 can.
func longest(n int) []v1alpha1.CIDR {
	var out []v1alpha1.CIDR
	for i := range n {
		out = append(out, v1alpha1.CIDR(fmt.Sprintf("203.100.%d.100/32", 100+i)))
	}
	return out
}

func statementsOf(t *testing.T, document string) []statement {
	t.Helper()
	var d struct {
		Version   string
		Statement []struct {
			Sid, Effect string
		}
	}
	if err := json.Unmarshal([]byte(document), &d); err != nil {
		t.Fatalf("%v in %s", err, document)
	}
	if d.Version != "2012-10-17" {
		t.Errorf("Version is %q: policy variables would be plain text", d.Version)
	}
	var out []statement
	for _, s := range d.Statement {
		out = append(out, statement{Sid: s.Sid, Effect: s.Effect})
	}
	return out
}

func TestGuardDenies(t *testing.T) {
	for _, role := range known {
		document, err := Guard(role, specOf("203.0.113.0/24"), account)
		if err != nil {
			t.Fatal(err)
		}
		sids := map[string]bool{}
		for _, s := range statementsOf(t, document) {
			if s.Effect != "Deny" {
				t.Errorf("%s: the statement %s is %s: a guard allows nothing", role, s.Sid, s.Effect)
			}
			if sids[s.Sid] {
				t.Errorf("%s: there are two statements %s: nobody could tell which differs", role, s.Sid)
			}
			sids[s.Sid] = true
		}
		if !sids["OffNetwork"] {
			t.Errorf("%s: nothing denies other networks", role)
		}
		without, err := Guard(role, specOf(), account)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(without, "SourceIp") {
			t.Errorf("%s: a role without networks asks where requests come from: %s", role, without)
		}
	}
}

func TestGuardDependsOnNothingElse(t *testing.T) {
	spec := specOf("203.0.113.0/24", "198.51.100.0/24")
	document, err := Guard(infraMember, spec, account)
	if err != nil {
		t.Fatal(err)
	}
	other := specOf("198.51.100.0/24", "203.0.113.0/24")
	other.Description, other.AWS.Groups = "another", []v1alpha1.IAMGroupName{"h", "i"}
	if again, err := Guard(infraMember, other, account); err != nil || again != document {
		t.Errorf("the guard depends on the order of the networks, or on more than it says: %v\n%s\n%s", err, document, again)
	}
	if slices.Equal(spec.AWS.AllowedSourceCIDRs, other.AWS.AllowedSourceCIDRs) {
		t.Error("rendering sorted the networks of the role itself")
	}
	if _, err := Guard(infraMember, &v1alpha1.AccessRoleSpec{}, account); err != nil {
		t.Errorf("a role without AWS: %v", err)
	}
}

func TestGuardHasRoomForFiftyNetworks(t *testing.T) {
	for _, role := range known {
		if _, err := Guard(role, specOf(longest(50)...), account); err != nil {
			t.Error(err)
		}
		if _, err := Guard(role, specOf(longest(45)...), Account{Partition: "aws-us-gov", ID: "444455556666"}); err != nil {
			t.Error(err) // its longer ARNs cost a few
		}
	}
}

func TestGuardOverTheLimit(t *testing.T) {
	_, err := Guard(infraMember, specOf(longest(100)...), account)
	if err == nil {
		t.Fatal("a guard that IAM does not take was rendered")
	}
	for _, want := range []string{infraMember, "5120", "100 networks"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not say %q: %v", want, err)
		}
	}
}

func TestGuardOfOtherPartition(t *testing.T) {
	document, err := Guard(infraManager, specOf(), Account{Partition: "aws-us-gov", ID: "444455556666"})
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(document, "arn:aws:") || strings.Contains(document, "111122223333") {
		t.Errorf("the guard is for another account: %s", document)
	}
}

func TestRole(t *testing.T) {
	for _, role := range known {
		document, attach, err := Role(role, account)
		if err != nil {
			t.Fatal(err)
		}
		if role == "somebodys-own" {
			if document != "" || attach != nil {
				t.Errorf("an unknown role got %q and %q", document, attach)
			}
			continue
		}
		for _, s := range statementsOf(t, document) {
			if s.Effect != "Allow" {
				t.Errorf("%s: %s is %s: what is denied belongs into the guard, which is verified", role, s.Sid, s.Effect)
			}
		}
	}
	if _, attach, _ := Role(securityEngineer, Account{Partition: "aws-cn", ID: "111122223333"}); !slices.Equal(attach, []string{"arn:aws-cn:iam::aws:policy/SecurityAudit"}) {
		t.Errorf("attached in China: %q", attach)
	}
}

func TestSizeCountsLikeIAM(t *testing.T) {
	if n := size("{\"a\": [\n\t\"é\"]}"); n != len(`{"a":["e"]}`) {
		t.Errorf("size is %d", n)
	}
}

func TestAccountOf(t *testing.T) {
	for arn, want := range map[string]Account{
		"arn:aws:iam::111122223333:group/hera-prod-infra-member": account,
		"arn:aws:iam::111122223333:group/team/a:b":               account,
		"arn:aws-us-gov:iam::444455556666:user/hera/alice":       {"aws-us-gov", "444455556666"},
		"arn:aws:iam::aws:policy/SecurityAudit":                  {},
		"arn:aws:sts::111122223333:assumed-role/a/b":             {},
		"arn:aws:iam::11112222333:group/short":                   {},
		"arn:aws:iam::11112222333x:group/letter":                 {},
		"arn:aws\n:iam::111122223333:group/partition":            {},
		"arn:other:iam::111122223333:group/partition":            {},
		"group/hera-prod-infra-member":                           {},
		"":                                                       {},
	} {
		got, err := AccountOf(arn)
		if (want == Account{}) {
			if err == nil {
				t.Errorf("%q is taken for the account %v", arn, got)
			}
		} else if err != nil || got != want {
			t.Errorf("%q: %v, %v", arn, got, err)
		}
	}
}
