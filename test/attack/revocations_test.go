// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

type revocationSpec = v1alpha1.AccessRevocationSpec

func liftOf(by string) *v1alpha1.Lift {
	return &v1alpha1.Lift{By: v1alpha1.Username(by), Reason: "it was somebody else"}
}

// lift is a patch that lifts.
func lift(by person) string {
	return fmt.Sprintf(`{"spec":{"lift":{"by":%q,"reason":"it was somebody else"}}}`, by.user)
}

func revocationRows(_ *testing.T, s *scene) []row {
	no := func(words string) refusedBy { return refusedBy{"revocations", words} }
	// Mallory may lift, and is revoked.
	mallory := person{"mallory", sam.groups}
	lifter := person{syncer.user, sam.groups}
	whole := s.revoked.DeepCopy()
	whole.Spec.Lift = liftOf(manager.user)
	const note = `{"metadata":{"annotations":{"note":"seen"}}}`

	rows := []row{
		{name: "revoking in somebody else's name", who: dana, do: create(revocation(sam)),
			want: no("revokedBy is sam@hera.example, but you are dana@hera.example"), twin: twin{do: create(revocation(dana))}},
		{name: "revoking in the operator's name", who: manager, do: create(revocation(theOperator)),
			want: no("but you are max@hera.example"), twin: twin{who: theOperator}},
		{name: "the operator revokes in somebody else's name", who: theOperator, do: create(revocation(sam)),
			want: no("revokedBy is sam@hera.example"), twin: twin{do: create(revocation(theOperator))}},
		{name: "the cluster's administrator revokes in somebody else's name", who: root, do: create(revocation(sam)),
			want: no("but you are root"), twin: twin{do: create(revocation(root))}},
		{name: "revoking in one's name in another case", who: sam, do: create(revocation(sam, func(s *revocationSpec) { s.RevokedBy = "Sam@hera.example" })),
			want: no("revokedBy is Sam@hera.example"), twin: twin{do: create(revocation(sam))}},
		{name: "a revocation that begins lifted", who: sam, do: create(revocation(sam, func(s *revocationSpec) { s.Lift = liftOf(sam.user) })),
			want: no("cannot begin lifted"), twin: twin{do: create(revocation(sam))}},
		{name: "the operator makes a revocation that begins lifted", who: theOperator,
			do:   create(revocation(theOperator, func(s *revocationSpec) { s.Lift = liftOf(sam.user) })),
			want: no("cannot begin lifted"), twin: twin{do: create(revocation(theOperator))}},

		{name: "lifting in somebody else's name", who: sam, do: patch(s.revoked, lift(carol)),
			want: no("lift.by is carol@hera.example, but you are sam@hera.example"), twin: twin{do: patch(s.revoked, lift(sam))}},
		{name: "lifting one's own revocation in somebody else's name", who: mallory, do: patch(s.revoked, lift(sam)),
			want: no("lift.by is sam@hera.example, but you are mallory"), twin: twin{who: sam}},
		{name: "lifting one's own revocation", who: mallory, do: patch(s.revoked, lift(mallory)),
			want: invalid{"spec.lift.by", "nobody lifts their own revocation"}, twin: twin{who: sam, do: patch(s.revoked, lift(sam))}},
		{name: "lifting one's own revocation in another case", who: person{"Mallory", sam.groups}, do: patch(s.revoked, lift(person{user: "Mallory"})),
			want: invalid{"spec.lift.by", "nobody lifts their own revocation"}, twin: twin{who: sam, do: patch(s.revoked, lift(sam))}},
		{name: "a service account lifts", who: lifter, do: patch(s.revoked, lift(syncer)),
			want: invalid{"spec.lift.by", "must be a person"}, twin: twin{who: sam, do: patch(s.revoked, lift(sam))}},
		{name: "a service account lifts in somebody's name", who: lifter, do: patch(s.revoked, lift(sam)),
			want: no("but you are system:serviceaccount:argocd:payments-sync"), twin: twin{who: sam}},
		{name: "the operator lifts in somebody's name", who: theOperator, do: patch(s.revoked, lift(sam)),
			want: no("may not lift a revocation"), twin: twin{who: sam}},
		{name: "lifting again", who: sam, do: patch(s.lifted, `{"spec":{"lift":{"reason":"it was nobody at all"}}}`),
			want: invalid{"spec.lift", "lift is set once"}, twin: twin{do: patch(s.lifted, note)}},
		{name: "taking a lift back", who: sam, do: patch(s.lifted, `{"spec":{"lift":null}}`),
			want: invalid{"spec.lift", "lift is set once"}, twin: twin{do: patch(s.lifted, note)}},

		{name: "revoking somebody else instead", who: sam, do: patch(s.revoked, `{"spec":{"person":"eve"}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.revoked, note)}},
		{name: "changing who revoked", who: root, do: patch(s.revoked, `{"spec":{"revokedBy":"eve"}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.revoked, note)}},
		{name: "sparing the credentials", who: root, do: patch(s.revoked, `{"spec":{"credentials":"Deactivate"}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.revoked, note)}},
	}
	for _, p := range []person{sam, manager, argo, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " deletes a revocation that was not lifted", who: p, do: remove(s.revoked),
				want: no("deleted only after it was lifted"), twin: twin{do: remove(s.lifted)}},
			row{name: p.user + " lets a revocation go", who: p, do: edit(s.revoked, operation("replace", "/metadata/finalizers", []string{"attack.example/other"})),
				want: refusedBy{"finalizers", "only the operator removes it"}, twin: twin{who: theOperator}},
			row{name: p.user + " writes the status of a revocation", who: p, do: patchStatus(s.revoked, `{"status":{"endsAt":"2026-01-01T00:00:00Z"}}`),
				want: refusedBy{"status", "the operator alone"}, twin: twin{who: theOperator}},
		)
	}
	for _, p := range []person{dana, developer, member, manager, bob, ada, nora} {
		rows = append(rows, row{name: p.user + " lifts without the right", who: p, do: patch(s.revoked, lift(p)),
			want: no(p.user + " may not lift a revocation"), twin: twin{who: person{p.user, sam.groups}}})
	}
	return append(rows,
		row{name: "deleting a lifted revocation before the operator knows of it", who: sam, do: remove(s.unseen),
			want: no("deleted only after it was lifted"), twin: twin{do: remove(s.lifted)}},
		row{name: "deleting all revocations", who: sam, do: removeAll(&v1alpha1.AccessRevocation{}, marked),
			want: no("deleted only after it was lifted"), twin: twin{who: theOperator}},
		row{name: "putting a lift in place of a revocation", who: manager, do: update(whole), want: no("max@hera.example may not lift a revocation"),
			twin: twin{who: person{manager.user, sam.groups}}},
	)
}
