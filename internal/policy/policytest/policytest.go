// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package policytest gives the groups of an account the documents that their roles demand.
package policytest

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"

	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/policy"
)

// Admin is whoever administers an account.
type Admin interface {
	Admin(operation string, params map[string]string) error
}

// Account is the account that fakes are, unless they are told otherwise.
var Account = policy.Account{Partition: "aws", ID: "111122223333"}

// Guard gives all groups of roles, which must exist, their guard documents, as an administrator applies what is rendered.
func Guard(account Admin, roles ...*v1alpha1.AccessRole) error {
	for _, r := range roles {
		if r.Spec.AWS == nil {
			continue
		}
		document, err := policy.Guard(r.Name, &r.Spec, Account)
		if err != nil {
			return err
		}
		for _, group := range r.Spec.AWS.Groups {
			err := account.Admin("PutGroupPolicy", map[string]string{"GroupName": string(group), "PolicyName": policy.GuardName, "PolicyDocument": document})
			if err != nil {
				return fmt.Errorf("the guard of the group %s: %w", group, err)
			}
		}
	}
	return nil
}

// GuardShipped does the same for the AccessRoles in the YAML files of a folder, such as config/roles.
func GuardShipped(account Admin, folder string) error {
	files, err := filepath.Glob(filepath.Join(folder, "*.yaml"))
	if err != nil {
		return err
	}
	for _, file := range files {
		content, err := os.ReadFile(file) //nolint:gosec // the tests name the folder
		if err != nil {
			return err
		}
		for document := range bytes.SplitSeq(content, []byte("\n---\n")) {
			var r v1alpha1.AccessRole
			if err := yaml.Unmarshal(document, &r); err != nil {
				return fmt.Errorf("%s: %w", file, err)
			}
			if r.Kind != "AccessRole" {
				continue
			}
			if err := Guard(account, &r); err != nil {
				return err
			}
		}
	}
	return nil
}
