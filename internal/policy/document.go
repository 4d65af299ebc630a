// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package policy says what the IAM policies of the roles, and of the operator itself, must be: it renders them for an
// administrator to apply, and tells how a document that was found differs. It calls nobody.
package policy

import (
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode"
)

// IAM's limits, in characters without white space.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const (
	// GuardLimit is for all inline policies of one group together.
	GuardLimit = 5120
	// ManagedLimit is for one managed policy.
	ManagedLimit = 6144
)

// Path is where the operator's own IAM roles and policies live, by convention: no role may change what lies there.
const Path = "/prod-access/"

// BoundaryName is the name, below Path, of the permissions boundary of people and of roles that people make.
const BoundaryName = "prod-access-boundary"

// BreakGlassBoundaryName is the name, below Path, of the permissions boundary of temporary users.
const BreakGlassBoundaryName = "prod-access-break-glass-boundary"

var partition = regexp.MustCompile(`^aws(-[a-z]+)*$`)

// Account is where documents are for.
type Account struct{ Partition, ID string }

// AccountOf reads the account from the ARN of anything in IAM.
func AccountOf(arn string) (Account, error) {
	parts := strings.SplitN(arn, ":", 6)
	if len(parts) != 6 || parts[0] != "arn" || parts[2] != "iam" {
		return Account{}, fmt.Errorf("%.100q is not the ARN of an IAM object", arn)
	}
	in := Account{Partition: parts[1], ID: parts[4]}
	return in, in.Check()
}

// Check says what is wrong with an account that a person typed.
func (a Account) Check() error {
	if len(a.ID) != 12 || strings.Trim(a.ID, "0123456789") != "" {
		return fmt.Errorf("an AWS account is twelve digits, such as 111122223333, and not %.40q", a.ID)
	}
	if !partition.MatchString(a.Partition) {
		return fmt.Errorf("a partition of AWS is aws, aws-cn, aws-us-gov or the like, and not %.40q", a.Partition)
	}
	return nil
}

// arn names something in IAM, such as group/*.
func (a Account) arn(resource string) string {
	return "arn:" + a.Partition + ":iam::" + a.ID + ":" + resource
}

// Boundary is the ARN of the permissions boundary.
func (a Account) Boundary() string { return a.arn("policy" + Path + BoundaryName) }

// BreakGlassBoundary is the ARN of the permissions boundary of temporary users.
func (a Account) BreakGlassBoundary() string { return a.arn("policy" + Path + BreakGlassBoundaryName) }

// list is one string or several. One is written without brackets, which saves characters.
type list []string

func (l list) MarshalJSON() ([]byte, error) {
	if len(l) == 1 {
		return json.Marshal(l[0])
	}
	return json.Marshal([]string(l))
}

// conditions are operator, key, values.
type conditions map[string]map[string]list

type statement struct {
	Sid         string
	Effect      string
	Action      list       `json:",omitempty"`
	NotAction   list       `json:",omitempty"`
	Resource    list       `json:",omitempty"`
	NotResource list       `json:",omitempty"`
	Condition   conditions `json:",omitempty"`
}

const (
	allow = "Allow"
	deny  = "Deny"
)

// render writes a document. The version is not optional: without it variables such as ${aws:username} are plain text.
func render(statements ...statement) string {
	out, err := json.Marshal(struct {
		Version   string
		Statement []statement
	}{"2012-10-17", statements})
	if err != nil {
		panic(err) // strings always marshal
	}
	return string(out)
}

// size is how IAM counts a document.
func size(document string) int {
	n := 0
	for _, r := range document {
		if !unicode.IsSpace(r) {
			n++
		}
	}
	return n
}
