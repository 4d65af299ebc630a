// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"

	"github.com/gowebpki/jcs"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Versions of what the digests are made of. A version stands in front of what is hashed, so that a new field with a
// default can start a new version without changing the digest of any object that exists.
const (
	specDigestVersion     = "access.hera.dev/spec/v1"
	meaningDigestVersion  = "access.hera.dev/meaning/v1"
	approvalDigestVersion = "access.hera.dev/approval/v1"
	rulesHashVersion      = "access.hera.dev/rules/v1"
)

// SpecDigest identifies what a grant asks for, whatever object carries it: the SHA-256 of the canonical JSON
// (RFC 8785) of its spec. A field that is added later must be left out of the JSON at its default.
func SpecDigest(spec *v1alpha1.ProdAccessGrantSpec) string {
	return digest(specDigestVersion, spec)
}

// ApprovalDigest identifies what an approver says yes or no to: this very object (uid), what it asks for, and what its
// role means.
func ApprovalDigest(uid, specDigest, meaningDigest string) string {
	return digest(approvalDigestVersion, []string{uid, specDigest, meaningDigest})
}

// MeaningDigest identifies what the role gives: its ClusterRole with scope, access and effective rules, and its IAM
// groups. The order of the groups does not matter.
func (r *Role) MeaningDigest() string {
	m := struct {
		Kubernetes *v1alpha1.KubernetesRole `json:"kubernetes,omitempty"`
		RulesHash  string                   `json:"rulesHash,omitempty"`
		Groups     []v1alpha1.IAMGroupName  `json:"groups,omitempty"`
	}{Kubernetes: r.Spec.Kubernetes, RulesHash: r.RulesHash, Groups: slices.Sorted(slices.Values(r.Groups()))}
	return digest(meaningDigestVersion, m)
}

// digest cannot fail: every value that reaches it is made of strings, numbers and lists of ours, which always have a
// JSON form; anything else is a mistake in this package.
func digest(version string, v any) string {
	plain, err := json.Marshal(v)
	if err != nil {
		panic(fmt.Sprintf("access: %s has no JSON form: %v", version, err))
	}
	canonical, err := jcs.Transform(plain)
	if err != nil {
		panic(fmt.Sprintf("access: %s has no canonical form: %v", version, err))
	}
	sum := sha256.Sum256(append([]byte(version+"\n"), canonical...))
	return "sha256:" + hex.EncodeToString(sum[:])
}
