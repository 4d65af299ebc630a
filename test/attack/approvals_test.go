// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

type approvalSpec = v1alpha1.AccessApprovalSpec

func approver(name string) func(*approvalSpec) {
	return func(s *approvalSpec) { s.Approver = v1alpha1.Username(name) }
}

func groups(names ...string) func(*approvalSpec) {
	return func(s *approvalSpec) { s.ApproverGroups = names }
}

func forRole(name string) func(*approvalSpec) { return func(s *approvalSpec) { s.Role = name } }

func rejecting(s *approvalSpec) { s.Decision = v1alpha1.DecisionReject }

// many are names of groups that somebody is a member of.
func many(n int) (names []string) {
	for i := range n {
		names = append(names, fmt.Sprintf("group-%d", i))
	}
	return names
}

func approvalRows(_ *testing.T, s *scene) []row {
	no := func(words string) refusedBy { return refusedBy{"approvals", words} }
	own := twin{do: create(approval(bob))}
	joiner := person{bob.user, append(many(21), bob.groups...)}
	ownerReference := operation("add", "/metadata/ownerReferences", []any{ownedBy(s.ending)})

	rows := []row{
		{name: "approving in another approver's name", who: bob, do: create(approval(carol)),
			want: no("approver is carol@hera.example, but you are bob@hera.example"), twin: own},
		{name: "rejecting in another approver's name", who: bob, do: create(approval(carol, rejecting)),
			want: no("approver is carol@hera.example, but you are bob@hera.example"), twin: twin{do: create(approval(bob, rejecting))}},
		{name: "the subject approves in an approver's name", who: alice, do: create(approval(bob)),
			want: no("but you are alice@hera.example"), twin: twin{who: bob}},
		{name: "approving in one's name in another case", who: bob, do: create(approval(bob, approver("BOB@hera.example"))),
			want: no("approver is BOB@hera.example, but you are bob@hera.example"), twin: own},
		{name: "approving in a name that looks like another approver's", who: bob, do: create(approval(bob, approver("c\u0430rol@hera.example"))),
			want: no("but you are bob@hera.example"), twin: own},
		{name: "approving in another name of one's own", who: bob, do: create(approval(bob, approver("arn:aws:iam::111122223333:user/bob"))),
			want: no("nobody approves in somebody else's name"), twin: own},
		{name: "the cluster's administrator approves in an approver's name", who: root, do: create(approval(bob)),
			want: no("but you are root"), twin: twin{who: bob}},
		{name: "the operator approves in an approver's name", who: theOperator, do: create(approval(bob)),
			want: no("but you are system:serviceaccount"), twin: twin{who: bob}},
		{name: "Argo CD syncs an approval", who: syncer, do: create(approval(bob)),
			want: no("but you are system:serviceaccount:argocd:payments-sync"), twin: twin{who: bob}},
		{name: "a service account approves", who: person{syncer.user, bob.groups}, do: create(approval(syncer)),
			want: invalid{"spec.approver", "must be a person"}, twin: twin{who: person{dana.user, bob.groups}, do: create(approval(dana))}},

		{name: "the requester approves without the right", who: dana, do: create(approval(dana)),
			want: no("dana@hera.example may not approve or reject requests or reports for the role infra-member"), twin: twin{who: person{dana.user, bob.groups}}},
		{name: "the requester rejects without the right", who: dana, do: create(approval(dana, rejecting)),
			want: no("may not approve or reject requests or reports for the role infra-member"), twin: twin{who: person{dana.user, bob.groups}}},
		{name: "the platform team approves without the right", who: ada, do: create(approval(ada)),
			want: no("that takes the verb approve on accessroles/infra-member"), twin: twin{who: person{ada.user, bob.groups}}},
		{name: "approving for a role that is not one's own", who: pia, do: create(approval(pia)),
			want: no("may not approve or reject requests or reports for the role infra-member"), twin: twin{do: create(approval(pia, forRole("developer")))}},
		{name: "approving for a role that does not exist", who: bob, do: create(approval(bob, forRole("infra-member.x"))),
			want: no("for the role infra-member.x"), twin: own},

		{name: "borrowing the authority of a group", who: bob, do: create(approval(bob, groups("security-team"))),
			want: no("approverGroups names security-team, and bob@hera.example is not in that group"), twin: twin{do: create(approval(bob, groups("platform-leads")))}},
		{name: "borrowing the authority of a group beside one's own", who: bob, do: create(approval(bob, groups("platform-leads", "system:masters"))),
			want: no("approverGroups names system:masters"), twin: twin{do: create(approval(bob, groups("platform-leads", "system:authenticated")))}},
		{name: "a group in another case", who: bob, do: create(approval(bob, groups("Platform-Leads"))),
			want: no("approverGroups names Platform-Leads"), twin: twin{do: create(approval(bob, groups("platform-leads")))}},
		{name: "more groups than anybody checks", who: joiner, do: create(approval(bob, groups(many(21)...))),
			want: invalid{"spec.approverGroups", "at most 20"}, twin: twin{do: create(approval(bob, groups(many(20)...)))}},

		{name: "turning a yes into a no", who: bob, do: patch(s.approval, `{"spec":{"decision":"Reject"}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.approval, `{"spec":{"decision":"Approve"}}`)}},
		{name: "moving an approval to another object", who: manager, do: patch(s.approval, `{"spec":{"target":{"uid":"00000000-0000-4000-8000-000000000000"}}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.approval, `{"metadata":{"labels":{"read":"yes"}}}`)}},
	}
	for _, p := range []person{bob, dana, manager, argo, sam} {
		rows = append(rows,
			row{name: p.user + " deletes an approval", who: p, do: remove(s.approval),
				want: no("an AccessApproval is a record"), twin: twin{who: ada}},
			row{name: p.user + " deletes all approvals", who: p, do: removeAll(&v1alpha1.AccessApproval{}, marked),
				want: no("an AccessApproval is a record"), twin: twin{who: theOperator}},
			row{name: p.user + " has an approval collected with something else", who: p, do: edit(s.approval, ownerReference),
				want: no("ownerReferences of an AccessApproval can have it deleted"), twin: twin{who: ada}},
		)
	}
	return append(rows,
		row{name: "deleting an approval as anybody's garbage", who: aggregator, do: remove(s.approval),
			want: no("an AccessApproval is a record"), twin: twin{who: collector}},
		row{name: "owning an approval as anybody's garbage", who: aggregator, do: edit(s.approval, ownerReference),
			want: no("ownerReferences"), twin: twin{who: collector}},
		row{name: "owning an approval as anything but the operator", who: replicator, do: edit(s.approval, ownerReference),
			want: no("ownerReferences"), twin: twin{who: theOperator}},
	)
}
