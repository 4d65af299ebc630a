// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

type grantSpec = v1alpha1.ProdAccessGrantSpec

func requestedBy(name string) func(*grantSpec) {
	return func(s *grantSpec) { s.RequestedBy = v1alpha1.Username(name) }
}

func reviewedBy(names ...v1alpha1.Username) func(*grantSpec) {
	return func(s *grantSpec) { s.ReviewedBy = names }
}

func ticket(ticket string) func(*grantSpec) { return func(s *grantSpec) { s.ChangeTicket = ticket } }

func evidence(link string) func(*grantSpec) { return func(s *grantSpec) { s.StagingEvidence = link } }

// window is from so long from now to so long from now; without a beginning if that is 0.
func window(from, to time.Duration) func(*grantSpec) {
	return func(s *grantSpec) {
		s.ExpiresAt = in(to)
		if from != 0 {
			s.NotBefore = new(in(from))
		}
	}
}

// ofReviewed is for the role that the syncer attests to.
func ofReviewed(s *grantSpec) { s.Role, s.ChangeTicket = "reviewed", "OPS-7" }

// ofDeveloper is an emergency in so many namespaces.
func ofDeveloper(namespaces int) func(*grantSpec) {
	return func(s *grantSpec) {
		s.Role, s.Incident, s.ChangeTicket, s.StagingEvidence = "developer", "INC-7", "", ""
		for i := range namespaces {
			s.Namespaces = append(s.Namespaces, v1alpha1.NamespaceName(fmt.Sprintf("%060d", i)))
		}
	}
}

// of is for a role without demands of its own.
func of(role string) func(*grantSpec) { return func(s *grantSpec) { s.Role = role } }

func noIncident(s *grantSpec) { s.Incident = "" }

func grantRows(_ *testing.T, s *scene) []row {
	const policy, cyrillicA = "grants", "\u0430"
	no := func(words string) refusedBy { return refusedBy{policy, words} }
	names := func(words string) refusedBy { return refusedBy{"attesters", words} }
	const hour = time.Hour
	finalizers := func(kept ...string) string {
		return operation("replace", "/metadata/finalizers", kept)
	}
	guarded := refusedBy{"finalizers", "only the operator removes it"}
	status := refusedBy{"status", "the operator alone"}

	rows := []row{
		// Who asks.
		{name: "asking in somebody else's name", who: developer, do: create(grant()),
			want: names("requestedBy is dana@hera.example, but you are eve@hera.example"), twin: twin{who: dana}},
		{name: "asking for oneself in somebody else's name", who: alice, do: create(grant()),
			want: names("but you are alice@hera.example: write your own username"), twin: twin{do: create(grant(requestedBy(alice.user)))}},
		{name: "asking in one's name in another case", who: dana, do: create(grant(requestedBy("Dana@hera.example"))),
			want: names("requestedBy is Dana@hera.example, but you are dana@hera.example"), twin: twin{do: create(grant())}},
		{name: "asking in a name that looks like one's own", who: dana, do: create(grant(requestedBy("d" + cyrillicA + "na@hera.example"))),
			want: names("but you are dana@hera.example"), twin: twin{do: create(grant())}},
		{name: "asking in one's name and a space", who: dana, do: create(grant(requestedBy("dana@hera.example "))),
			want: invalid{"spec.requestedBy", "no white space and no invisible characters"}, twin: twin{do: create(grant())}},
		{name: "asking in one's name and an invisible character", who: dana, do: create(grant(requestedBy("dana\u200b@hera.example"))),
			want: invalid{"spec.requestedBy", "no white space and no invisible characters"}, twin: twin{do: create(grant())}},
		{name: "the cluster's administrator asks in somebody else's name", who: root, do: create(grant()),
			want: refusedBy{"grants", "but you are root, whom the role infra-member does not name among its attesters"}, twin: twin{do: create(grant(requestedBy(root.user)))}},
		{name: "the operator asks", who: theOperator, do: create(grant()),
			want: names("but you are system:serviceaccount:prod-access-system:prod-access-controller-manager"), twin: twin{who: dana}},
		{name: "Argo CD asks for a role that it does not attest to", who: syncer, do: create(grant()),
			want: names("to ask for somebody else takes the verb attest on accessroles/infra-member"), twin: twin{do: create(grant(ofReviewed))}},
		{name: "asking for somebody else before there is such a role", who: dana, do: create(grant(of("later"), requestedBy("erin@hera.example"))),
			want: names("takes the verb attest on accessroles/later"), twin: twin{do: create(grant(of("later")))}},
		{name: "Argo CD's own service account asks in place of the project's", who: argo, do: create(grant(ofReviewed)),
			want: names("takes the verb attest on accessroles/reviewed"), twin: twin{who: syncer}},
		{name: "an attester by RBAC whom the role does not name", who: attester, do: create(grant(ofReviewed)),
			want: no("whom the role reviewed does not name among its attesters"), twin: twin{who: syncer}},
		{name: "Argo CD asks in its own name", who: syncer, do: create(grant(ofReviewed, requestedBy(syncer.user))),
			want: invalid{"spec.requestedBy", "must be a person"}, twin: twin{do: create(grant(ofReviewed))}},
		{name: "a username that is longer than a message", who: person{user: "e" + strings.Repeat("v", 6000)}, do: create(grant()),
			want: names("but you are evvv"), twin: twin{who: dana}},

		// Who reviewed.
		{name: "bringing one's own reviewers", who: dana, do: create(grant(reviewedBy("bob@hera.example", "carol@hera.example"))),
			want: names("reviewedBy takes the verb attest on accessroles/infra-member, which dana@hera.example does not hold"), twin: twin{do: create(grant())}},
		{name: "bringing reviewers before there is such a role", who: dana, do: create(grant(of("later"), reviewedBy("bob@hera.example"))),
			want: names("reviewedBy takes the verb attest on accessroles/later"), twin: twin{do: create(grant(of("later")))}},
		{name: "reviewers of an attester whom the role does not name", who: attester, do: create(grant(ofReviewed, requestedBy(attester.user), reviewedBy("bob@hera.example"))),
			want: no("reviewedBy is for the attesters of the role reviewed"), twin: twin{do: create(grant(ofReviewed, requestedBy(attester.user)))}},
		{name: "bringing reviewers for a role that has attesters", who: dana, do: create(grant(ofReviewed, requestedBy(dana.user), reviewedBy("bob@hera.example"))),
			want: names("which dana@hera.example does not hold"), twin: twin{who: syncer}},
		{name: "the requester reviews", who: syncer, do: create(grant(ofReviewed, reviewedBy("DANA@hera.example"))),
			want: invalid{"spec.reviewedBy", "nobody reviews their own request"}, twin: twin{do: create(grant(ofReviewed, reviewedBy("bob@hera.example")))}},
		{name: "the subject reviews", who: syncer, do: create(grant(ofReviewed, reviewedBy("Alice"))),
			want: invalid{"spec.reviewedBy", "nobody reviews their own access"}, twin: twin{do: create(grant(ofReviewed, reviewedBy("bob@hera.example")))}},
		{name: "a service account reviews", who: syncer, do: create(grant(ofReviewed, reviewedBy(v1alpha1.Username(argo.user)))),
			want: invalid{"spec.reviewedBy", "must name people"}, twin: twin{do: create(grant(ofReviewed, reviewedBy("bob@hera.example")))}},
		{name: "eleven reviewers", who: syncer, do: create(grant(ofReviewed, reviewedBy("1", "2", "3", "4", "5", "6", "7", "8", "9", "10", "11"))),
			want: invalid{"spec.reviewedBy", "at most 10"}, twin: twin{do: create(grant(ofReviewed, reviewedBy("1", "2", "3", "4", "5", "6", "7", "8", "9", "10")))}},

		// For how long, and when.
		{name: "longer than the role allows", who: dana, do: create(grant(window(0, 8*hour+time.Minute))),
			want: no("the role infra-member is given for at most 8h, so expiresAt is"), twin: twin{do: create(grant(window(0, 8*hour-time.Minute)))}},
		{name: "longer than the role allows, by a second, later", who: dana, do: create(grant(window(hour, 9*hour+time.Second))),
			want: no("for at most 8h"), twin: twin{do: create(grant(window(hour, 9*hour)))}},
		{name: "a beginning in the past does not stretch the window", who: dana, do: create(grant(window(-hour, 8*hour+time.Minute))),
			want: no("for at most 8h"), twin: twin{do: create(grant(window(-100*hour, 7*hour)))}},
		{name: "for ever", who: dana, do: create(grant(func(s *grantSpec) { s.ExpiresAt.Time = time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC) })),
			want: no("for at most 8h"), twin: twin{do: create(grant(func(s *grantSpec) { s.ExpiresAt.Time = time.Date(1970, 1, 1, 0, 0, 0, 0, time.UTC) }))}},
		{name: "further ahead than the role allows", who: dana, do: create(grant(window(168*hour+time.Minute, 169*hour))),
			want: no("the role infra-member is asked for at most 168h ahead, so notBefore is"), twin: twin{do: create(grant(window(168*hour-time.Minute, 169*hour)))}},
		{name: "an emergency next week", who: developer, do: create(grant(requestedBy(developer.user), ofDeveloper(1), window(hour, 2*hour))),
			want: no("the role developer is asked for at most 0s ahead"),
			twin: twin{do: create(grant(requestedBy(developer.user), ofDeveloper(1), window(-hour, 2*hour)))}},

		// Why.
		{name: "an emergency without an incident", who: developer, do: create(grant(requestedBy(developer.user), ofDeveloper(1), noIncident)),
			want: no("the role developer is for incidents only"), twin: twin{do: create(grant(requestedBy(developer.user), ofDeveloper(1)))}},
		{name: "without a ticket", who: dana, do: create(grant(ticket(""))),
			want: no("changeTicket '' does not match ^CHG-[0-9]+$"), twin: twin{do: create(grant())}},
		{name: "a ticket of another kind", who: dana, do: create(grant(ticket("PAY-1"))),
			want: no("changeTicket 'PAY-1' does not match"), twin: twin{do: create(grant())}},
		{name: "a ticket in the second line", who: dana, do: create(grant(ticket("PAY-1\nCHG-1"))),
			want: no("changeTicket is not what the role's ticketPattern demands"), twin: twin{do: create(grant())}},
		{name: "a ticket and a line break", who: dana, do: create(grant(ticket("CHG-1\n"))),
			want: no("changeTicket is not what the role's ticketPattern demands"), twin: twin{do: create(grant())}},
		{name: "a ticket that matches the beginning of an alternative", who: syncer, do: create(grant(ofReviewed, ticket("CHG-1 and more"))),
			want: no("changeTicket 'CHG-1 and more' does not match CHG-[0-9]+|OPS-[0-9]+, which the role reviewed demands as a whole"),
			twin: twin{do: create(grant(ofReviewed, ticket("CHG-1")))}},
		{name: "a ticket that matches the end of an alternative", who: syncer, do: create(grant(ofReviewed, ticket("see OPS-7"))),
			want: no("as a whole"), twin: twin{do: create(grant(ofReviewed, ticket("OPS-7")))}},
		{name: "a ticket that is too long", who: dana, do: create(grant(ticket("CHG-" + strings.Repeat("1", 125)))),
			want: invalid{"spec.changeTicket", "128"}, twin: twin{do: create(grant(ticket("CHG-" + strings.Repeat("1", 124))))}},
		{name: "without evidence", who: dana, do: create(grant(evidence(""))),
			want: no("the role infra-member demands proof of a test in staging"), twin: twin{do: create(grant())}},

		// Where.
		{name: "a role of namespaces in none", who: developer, do: create(grant(requestedBy(developer.user), ofDeveloper(0))),
			want: no("the role developer is bound in namespaces"), twin: twin{do: create(grant(requestedBy(developer.user), ofDeveloper(300)))}},
		{name: "a role of the cluster in a namespace", who: dana, do: create(grant(func(s *grantSpec) { s.Namespaces = []v1alpha1.NamespaceName{"payments"} })),
			want: no("the role infra-member is not bound in namespaces"), twin: twin{do: create(grant())}},
		{name: "in 301 namespaces", who: developer, do: create(grant(requestedBy(developer.user), ofDeveloper(301))),
			want: invalid{"spec.namespaces", "300"}, twin: twin{do: create(grant(requestedBy(developer.user), ofDeveloper(300)))}},

		// Afterwards.
		{name: "moving the deadline", who: dana, do: patch(s.held, `{"spec":{"expiresAt":"2099-01-01T00:00:00Z"}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.held, `{"metadata":{"annotations":{"note":"2099"}}}`)}},
		{name: "changing the subject", who: root, do: patch(s.held, `{"spec":{"subject":{"iamUser":"eve"}}}`),
			want: invalid{"spec", "spec cannot be changed"}, twin: twin{do: patch(s.held, `{"spec":{"subject":{"iamUser":"alice"}}}`)}},
	}
	for _, p := range []person{dana, manager, argo, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " removes the finalizer of a grant", who: p, do: edit(s.held, finalizers("attack.example/other")),
				want: guarded, twin: twin{do: edit(s.held, finalizers(v1alpha1.Finalizer))}},
			row{name: p.user + " lets a deleted grant go", who: p, do: edit(s.ending, operation("remove", "/metadata/finalizers", nil)),
				want: guarded, twin: twin{who: theOperator}},
			row{name: p.user + " writes the status of a grant", who: p, do: patchStatus(s.held, `{"status":{"approvals":[{"approver":"bob","source":"Approval","at":"2026-01-01T00:00:00Z"}]}}`),
				want: status, twin: twin{who: theOperator}},
		)
	}
	return append(rows,
		row{name: "moving the deadline in the status", who: alice, do: patchStatus(s.held, `{"status":{"expiresAt":"2099-01-01T00:00:00Z"}}`),
			want: status, twin: twin{who: theOperator}},
		row{name: "somebody called like the service account", who: person{user: "prod-access-controller-manager"}, do: patchStatus(s.held, `{"status":{"expiresAt":"2099-01-01T00:00:00Z"}}`),
			want: status, twin: twin{who: theOperator}},
	)
}
