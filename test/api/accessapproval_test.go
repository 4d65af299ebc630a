// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"
)

func TestAccessApproval(t *testing.T) {
	base := parse(t, approvalManifest)

	t.Run("target", func(t *testing.T) {
		const kind, uid = "spec.target.kind", "spec.target.uid"
		const not = "uid must be copied from the target's metadata.uid"
		const id = "6a2f41a3-c54c-4b6e-8b2f-5c1d2f0f9a10"
		check(t, accessApproval, base, []row{
			{name: "absent", at: "spec.target", to: absent{}, schema: "Required value"},
			{name: "no kind", at: kind, to: absent{}, schema: "Required value"},
			{name: "a report", at: kind, to: "BreakGlass"},
			{name: "another kind", at: kind, to: "AccessRole", schema: `Unsupported value: "AccessRole"`},
			{name: "no uid", at: uid, to: absent{}, schema: "Required value"},
			{name: "an empty uid", at: uid, to: "", refused: not},
			{name: "the name for the uid", at: uid, to: "payments-db-disk", refused: not},
			{name: "a uid with its last character cut off", at: uid, to: id[:len(id)-1], twin: id, refused: not},
			{name: "a uid in capitals", at: uid, to: strings.ToUpper(id), twin: id, refused: not},
			{name: "a uid and a blank", at: uid, to: id + " ", twin: id, refused: not},
			{name: "a uid and a line feed", at: uid, to: id + "\n", twin: id, refused: not},
			{name: "a uid of 65 characters", at: uid, to: letters(65), schema: "may not be more than 64"},
		})
		check(t, accessApproval, base, objectNames("spec.target.name", 253))
	})
	t.Run("role", func(t *testing.T) {
		check(t, accessApproval, base, objectNames("spec.role", 63))
	})
	t.Run("digest", func(t *testing.T) {
		check(t, accessApproval, base, digests("spec.digest",
			"digest must be copied from the target's status.approvalDigest, or status.reportDigest of a BreakGlass: sha256: followed by 64 digits and letters a to f"))
	})
	t.Run("decision", func(t *testing.T) {
		const at = "spec.decision"
		check(t, accessApproval, base, []row{
			{name: "absent", at: at, to: absent{}, schema: "Required value"},
			{name: "no", at: at, to: "Reject"},
			{name: "in lower case", at: at, to: "approve", twin: "Approve", schema: `Unsupported value: "approve"`},
			{name: "another word", at: at, to: "Approved", twin: "Approve", schema: `Unsupported value: "Approved"`},
			{name: "empty", at: at, to: "", schema: `Unsupported value: ""`},
		})
	})
	t.Run("approver", func(t *testing.T) {
		check(t, accessApproval, base, []row{{name: "absent", at: "spec.approver", to: absent{}, schema: "Required value"}})
		check(t, accessApproval, base, usernames("spec.approver", false,
			"approver must be a person: names beginning with system:, eks: or aws: are reserved"))
	})
	t.Run("groups of the approver", func(t *testing.T) {
		const at = "spec.approverGroups"
		check(t, accessApproval, base, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "none", at: at, to: []string{}},
			{name: "of Kubernetes itself", at: at, to: []string{"system:masters"}},
			{name: "20", at: at, to: numbered("g-", 20)},
			{name: "21", at: at, to: numbered("g-", 21), twin: numbered("g-", 20), schema: "must have at most 20 items"},
			{name: "twice", at: at, to: []string{"g", "g"}, field: at + "[1]", twin: []string{"g", "h"}, schema: "Duplicate value"},
			{name: "empty", at: at, to: []string{""}, field: at + "[0]", twin: []string{"g"}, schema: "should be at least 1 chars long"},
			{name: "256 characters", at: at, to: []string{letters(256)}},
			{name: "257 characters", at: at, to: []string{letters(257)}, field: at + "[0]", twin: []string{letters(256)}, schema: "may not be more than 256"},
		})
	})
	t.Run("comment", func(t *testing.T) {
		const at = "spec.comment"
		check(t, accessApproval, base, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "empty", at: at, to: ""},
			{name: "any script", at: at, to: "問題ありません。\nGo ahead 👍"},
			{name: "1024 characters", at: at, to: strings.Repeat("é", 1024)},
			{name: "1025 characters", at: at, to: letters(1025), twin: letters(1024), schema: "may not be more than 1024"},
		})
	})
	unknownFields(t, accessApproval, base, "spec", "spec.target")
}

// digests are the rows of a digest.
func digests(at, not string) []row {
	hash := strings.Repeat("0a", 32)
	good := "sha256:" + hash
	return []row{
		{name: "absent", at: at, to: absent{}, schema: "Required value"},
		{name: "whole", at: at, to: good},
		{name: "empty", at: at, to: "", twin: good, refused: not},
		{name: "without its algorithm", at: at, to: hash, twin: good, refused: not},
		{name: "of another algorithm", at: at, to: "sha512:" + hash, twin: good, refused: not},
		{name: "cut", at: at, to: good[:len(good)-1], twin: good, refused: not},
		{name: "one too long", at: at, to: good + "0", twin: good, refused: not},
		{name: "in capitals", at: at, to: "sha256:" + strings.ToUpper(hash), twin: good, refused: not},
		{name: "not hexadecimal", at: at, to: "sha256:" + strings.Repeat("0g", 32), twin: good, refused: not},
		{name: "with a line feed", at: at, to: good + "\n", twin: good, refused: not},
		{name: "81 characters", at: at, to: letters(81), twin: good, schema: "may not be more than 80"},
	}
}
