// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"strings"
	"testing"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

func TestAccessRevocation(t *testing.T) {
	person, request, stranger := parse(t, personManifest), parse(t, requestManifest), parse(t, strangerManifest)

	t.Run("what is revoked", func(t *testing.T) {
		const not = "exactly one of person, grant and membership says what is revoked"
		grant, membership := value(t, request, "spec.grant"), value(t, stranger, "spec.membership")
		check(t, accessRevocation, person, []row{
			{name: "nothing", at: "spec.person", to: absent{}, field: "spec", refused: not},
			{name: "a person and a grant", at: "spec.grant", to: grant, field: "spec", twin: absent{}, refused: not},
			{name: "a person and a membership", at: "spec.membership", to: membership, field: "spec", twin: absent{}, refused: not},
		})
		check(t, accessRevocation, request, []row{
			{name: "a grant and a membership", at: "spec.membership", to: membership, field: "spec", twin: absent{}, refused: not},
		})
		both := with(t, stranger, "spec.grant", grant)
		_, err := accessRevocation.create(t, with(t, both, "spec.person", "alice"), metav1.DryRunAll)
		refused(t, err, "spec", not, "")
	})
	t.Run("person", func(t *testing.T) {
		check(t, accessRevocation, person, usernames("spec.person", false,
			"person must be a person: names beginning with system:, eks: or aws: are reserved"))
	})
	t.Run("grant", func(t *testing.T) {
		const kind = "spec.grant.kind"
		check(t, accessRevocation, request, []row{
			{name: "no kind", at: kind, to: absent{}, schema: "Required value"},
			{name: "an emergency", at: kind, to: "BreakGlass"},
			{name: "another kind", at: kind, to: "AccessRole", schema: `Unsupported value: "AccessRole"`},
		})
		check(t, accessRevocation, request, objectNames("spec.grant.name", 253))
		check(t, accessRevocation, request, digests("spec.grant.specDigest",
			"specDigest must be copied from the grant's status.specDigest: sha256: followed by 64 digits and letters a to f"))
	})
	t.Run("membership", func(t *testing.T) {
		const group, user = "spec.membership.group", "spec.membership.iamUser"
		check(t, accessRevocation, stranger, []row{
			{name: "no group", at: group, to: absent{}, schema: "Required value"},
			{name: "no user", at: user, to: absent{}, schema: "Required value"},
		})
		check(t, accessRevocation, stranger, iamNames(group, 128, nil))
		check(t, accessRevocation, stranger, iamNames(user, 64, nil))
	})
	t.Run("reason", func(t *testing.T) {
		check(t, accessRevocation, person, reasons("spec.reason",
			"reason must say why, in words: at least 10 characters, white space at the ends not counted"))
	})
	t.Run("who revokes", func(t *testing.T) {
		check(t, accessRevocation, person, []row{{name: "absent", at: "spec.revokedBy", to: absent{}, schema: "Required value"}})
		// The operator revokes as well, and it is a service account.
		check(t, accessRevocation, person, usernames("spec.revokedBy", false, ""))
		check(t, accessRevocation, person, []row{{name: "themselves", at: "spec.revokedBy", to: "alice"}})
	})
	t.Run("credentials", func(t *testing.T) {
		const at = "spec.credentials"
		const not = "credentials: Deactivate is for a person: name one in person, or leave it out"
		check(t, accessRevocation, person, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "of a person", at: at, to: "Deactivate"},
			{name: "in lower case", at: at, to: "deactivate", twin: "Deactivate", schema: `Unsupported value: "deactivate"`},
			{name: "another word", at: at, to: "Delete", twin: "Deactivate", schema: `Unsupported value: "Delete"`},
			{name: "empty", at: at, to: "", schema: `Unsupported value: ""`},
		})
		for _, nobody := range []*unstructured.Unstructured{request, stranger} {
			check(t, accessRevocation, nobody, []row{{name: "of nobody", at: at, to: "Deactivate", twin: "Keep", refused: not}})
		}
	})
	t.Run("lift", func(t *testing.T) {
		const by, own = "spec.lift.by", "nobody lifts their own revocation"
		lifted := with(t, person, "spec.lift", lift("bob@hera.example"))
		check(t, accessRevocation, lifted, []row{
			{name: "nobody", at: by, to: absent{}, schema: "Required value"},
			{name: "the person", at: by, to: "alice", twin: "alicia", refused: own},
			{name: "the person, but for case", at: by, to: "ALICE", twin: "ALICIA", refused: own},
			{name: "who revoked", at: by, to: "eve@hera.example"},
		})
		check(t, accessRevocation, lifted, usernames(by, false, "lift.by must be a person: names beginning with system:, eks: or aws: are reserved"))
		check(t, accessRevocation, lifted, reasons("spec.lift.reason",
			"lift.reason must say why, in words: at least 10 characters, white space at the ends not counted"))
		// Only a person can be told by name; whose the grant is, the operator knows.
		check(t, accessRevocation, with(t, request, "spec.lift", lift("alice")), nil)
	})
	unknownFields(t, accessRevocation, with(t, person, "spec.lift", lift("bob@hera.example")), "spec", "spec.lift")
	unknownFields(t, accessRevocation, request, "spec.grant")
	unknownFields(t, accessRevocation, stranger, "spec.membership")
}

func lift(by string) map[string]any {
	return map[string]any{"by": by, "reason": "The laptop was found, and nobody had used it."}
}

// liftManifest is of a revocation that was lifted.
func liftManifest(t *testing.T) *unstructured.Unstructured {
	t.Helper()
	o := with(t, parse(t, personManifest), "spec.lift", lift("bob@hera.example"))
	o.SetName("alice-laptop-found")
	return o
}

// Everything but lift stays as it was created, and a lift stays too.
func TestImmutableRevocations(t *testing.T) {
	const said = "spec cannot be changed, except that lift is added: create another AccessRevocation instead"
	const once = "lift is set once, unless it did not count: create another AccessRevocation to revoke again"
	forms := map[string]*unstructured.Unstructured{
		"":           accessRevocation.store(t, parse(t, personManifest)),
		"grant":      accessRevocation.store(t, parse(t, requestManifest)),
		"membership": accessRevocation.store(t, parse(t, strangerManifest)),
		"lift":       accessRevocation.store(t, liftManifest(t)),
	}
	for _, o := range forms {
		if _, err := accessRevocation.update(t, with(t, o, "metadata.labels", map[string]any{"team": "security"}), metav1.DryRunAll); err != nil {
			t.Errorf("an update of the labels was refused: %v", err)
		}
		if _, err := accessRevocation.update(t, with(t, o, "metadata.finalizers", []string{"example.org/x"}), metav1.DryRunAll); err != nil {
			t.Errorf("an update of the finalizers was refused: %v", err)
		}
	}
	revocationChanges.each(t, accessRevocation, func(t *testing.T, path string, to any) {
		part := ""
		if name, _, nested := strings.Cut(strings.TrimPrefix(path, "spec."), "."); nested {
			part = name
		}
		_, err := accessRevocation.update(t, with(t, forms[part], path, to), metav1.DryRunAll)
		if part == "lift" {
			refused(t, err, "spec.lift", once, "")
			return
		}
		refused(t, err, "spec", said, "")
	})
	t.Run("another form", func(t *testing.T) {
		other := with(t, with(t, forms[""], "spec.person", absent{}), "spec.grant", value(t, forms["grant"], "spec.grant"))
		_, err := accessRevocation.update(t, other, metav1.DryRunAll)
		refused(t, err, "spec", said, "")
	})
	t.Run("a lift with another change", func(t *testing.T) {
		lifted := with(t, forms[""], "spec.lift", lift("bob@hera.example"))
		_, err := accessRevocation.update(t, with(t, lifted, "spec.reason", "Another reason altogether."), metav1.DryRunAll)
		refused(t, err, "spec", said, "")
		if _, err := accessRevocation.update(t, lifted, metav1.DryRunAll); err != nil {
			t.Errorf("the twin, a lift alone, was refused: %v", err)
		}
	})
	t.Run("a lift by the person", func(t *testing.T) {
		_, err := accessRevocation.update(t, with(t, forms[""], "spec.lift", lift("Alice")), metav1.DryRunAll)
		refused(t, err, "spec.lift.by", "nobody lifts their own revocation", "")
	})
	t.Run("a lift is taken back", func(t *testing.T) {
		_, err := accessRevocation.update(t, with(t, forms["lift"], "spec.lift", absent{}), metav1.DryRunAll)
		refused(t, err, "spec.lift", once, "")
	})
}

// A lift is replaced only by another, and only where the operator has said that the first does not count.
func TestLiftOnceUnlessItDidNotCount(t *testing.T) {
	const once = "lift is set once, unless it did not count: create another AccessRevocation to revoke again"
	lifted := accessRevocation.store(t, liftManifest(t))
	for _, c := range []struct {
		kind, status, reason string
		again                bool
	}{
		{v1alpha1.ConditionLifted, "False", v1alpha1.ReasonGuardMissing, true},
		{v1alpha1.ConditionLifted, "False", v1alpha1.ReasonOwnRevocation, true},
		{v1alpha1.ConditionLifted, "True", v1alpha1.ReasonLifted, false},
		{v1alpha1.ConditionLifted, "False", v1alpha1.ReasonNotLifted, false},
		{v1alpha1.ConditionLifted, "Unknown", v1alpha1.ReasonAWSUnavailable, false},
		{v1alpha1.ConditionLifted, "True", v1alpha1.ReasonOwnRevocation, false},
		{v1alpha1.ConditionLifted, "Unknown", v1alpha1.ReasonGuardMissing, false},
		{v1alpha1.ConditionReady, "False", v1alpha1.ReasonGuardMissing, false},
	} {
		t.Run(c.kind+" "+c.status+" "+c.reason, func(t *testing.T) {
			judged := accessRevocation.get(t, lifted.GetName())
			judged, err := accessRevocation.client().UpdateStatus(t.Context(), with(t, judged, "status.conditions", []metav1.Condition{{
				Type: c.kind, Status: metav1.ConditionStatus(c.status), Reason: c.reason, Message: "x", LastTransitionTime: metav1.Now(),
			}}), metav1.UpdateOptions{})
			if err != nil {
				t.Fatal(err)
			}
			_, err = accessRevocation.update(t, with(t, judged, "spec.lift", lift("carol@hera.example")), metav1.DryRunAll)
			if c.again && err != nil {
				t.Errorf("another lift was refused: %v", err)
			}
			if !c.again {
				refused(t, err, "spec.lift", once, "")
			}
			_, err = accessRevocation.update(t, with(t, judged, "spec.lift", absent{}), metav1.DryRunAll)
			refused(t, err, "spec.lift", once, "")
		})
	}
}
