// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package attack

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

type emergencySpec = v1alpha1.BreakGlassSpec

// emergency is a valid one of Alice, for infra-manager.
func emergency(by person, changes ...func(*emergencySpec)) *v1alpha1.BreakGlass {
	e := &v1alpha1.BreakGlass{ObjectMeta: metav1.ObjectMeta{Name: "attempt"}, Spec: emergencySpec{
		Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: v1alpha1.Username(alice.user)}, Role: "infra-manager", Incident: "INC-7",
		Reason: "the database of payments takes no writes", Duration: metav1.Duration{Duration: time.Hour}, OpenedBy: v1alpha1.Username(by.user),
	}}
	for _, change := range changes {
		change(&e.Spec)
	}
	return e
}

func openedBy(name string) func(*emergencySpec) {
	return func(s *emergencySpec) { s.OpenedBy = v1alpha1.Username(name) }
}

// opening is of another role, in so many namespaces.
func opening(role string, namespaces int) func(*emergencySpec) {
	return func(s *emergencySpec) {
		s.Role, s.Namespaces = role, nil
		for i := range namespaces {
			s.Namespaces = append(s.Namespaces, v1alpha1.NamespaceName(fmt.Sprintf("%060d", i)))
		}
	}
}

// recipient is a public key of age.
const recipient = "age1ytmy5yhs92f9g6j3kmuq7mrzk2c97vryeh59la7ka67vq4qwefnqg4zn4e"

// temporary asks for a temporary user instead of naming a subject.
func temporary(s *emergencySpec) {
	s.Subject, s.Namespaces = v1alpha1.Subject{}, nil
	s.TemporaryUser = &v1alpha1.TemporaryUser{Recipients: []v1alpha1.Recipient{recipient, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOTLWEroHGMHThdkLXbbJ9UzRaLUMv/O39W6mlUifBWn otto"},
		AccessKey: v1alpha1.AccessKeyCreate}
}

func lasting(d time.Duration) func(*emergencySpec) {
	return func(s *emergencySpec) { s.Duration.Duration = d }
}

func reportedBy(by person) func(*emergencySpec) {
	return func(s *emergencySpec) {
		s.Report = &v1alpha1.EmergencyReport{Summary: "the volume was full and was enlarged", WrittenBy: v1alpha1.Username(by.user)}
	}
}

// writing is a patch of a report.
func writing(by person) string {
	return fmt.Sprintf(`{"spec":{"report":{"summary":"a disk was full, and a larger one was attached","writtenBy":%q}}}`, by.user)
}

// ofReport makes an approval one of the report on an emergency.
func ofReport(e *v1alpha1.BreakGlass) func(*approvalSpec) {
	return func(s *approvalSpec) {
		s.Role, s.Target = e.Spec.Role, v1alpha1.ApprovalTarget{Kind: v1alpha1.TargetBreakGlass, Name: e.Name, UID: string(e.UID)}
	}
}

// apply creates or changes an object by what some field manager holds to be its content.
func apply(o client.Object) attempt {
	return func(ctx context.Context, c *caller) error {
		o := o.DeepCopyObject().(client.Object)
		o.GetObjectKind().SetGroupVersionKind(v1alpha1.SchemeGroupVersion.WithKind("BreakGlass"))
		body, err := json.Marshal(o)
		if err != nil {
			return err
		}
		return c.Patch(ctx, o, client.RawPatch(types.ApplyPatchType, body), client.DryRunAll, client.FieldOwner("attack"))
	}
}

// emergencies are what the operator has made of some, by state.
type emergencies struct {
	// fresh was not seen by the operator; open gives access; leaving was deleted by an administrator and gives it, too;
	// suspended, revoking and blocked did; of stuck, the binding is there, and of halfway the membership may be.
	fresh, open, leaving, suspended, revoking, blocked, stuck, halfway *v1alpha1.BreakGlass
	// lent gives access to a temporary user; the one of begun may be there, and the one of returned is gone.
	lent, begun, returned *v1alpha1.BreakGlass
	// ended and revoked gave access; what Otto wrote on ended is not approved, and on closed it is.
	ended, revoked, closed *v1alpha1.BreakGlass
	// What follows never gave any.
	granting, waiting, missed, called *v1alpha1.BreakGlass
}

// setUpEmergencies makes them, as Otto and the operator do. Each has the finalizer, as those have that the operator has seen.
func setUpEmergencies(t *testing.T, store func(person, client.Object)) *emergencies {
	t.Helper()
	e := &emergencies{}
	for _, one := range []struct {
		where  **v1alpha1.BreakGlass
		name   string
		state  string
		active bool
	}{
		{&e.fresh, "fresh", "", false},
		{&e.open, "open", v1alpha1.StateGranted, true},
		{&e.leaving, "leaving", v1alpha1.StateGranted, true},
		{&e.suspended, "suspended", v1alpha1.StateSuspended, true},
		{&e.revoking, "revoking", v1alpha1.StateRevoking, true},
		{&e.blocked, "blocked", v1alpha1.StateBlocked, true},
		{&e.stuck, "stuck", v1alpha1.StateBlocked, false},
		{&e.halfway, "halfway", v1alpha1.StateBlocked, false},
		{&e.lent, "lent", v1alpha1.StateGranted, true},
		{&e.begun, "begun", v1alpha1.StateBlocked, false},
		{&e.returned, "returned", v1alpha1.StateExpired, true},
		{&e.ended, "ended", v1alpha1.StateExpired, true},
		{&e.revoked, "revoked", v1alpha1.StateRevoked, true},
		{&e.closed, "closed", v1alpha1.StateExpired, true},
		{&e.granting, "granting", v1alpha1.StateGranting, false},
		{&e.waiting, "waiting", v1alpha1.StateBlocked, false},
		{&e.missed, "missed", v1alpha1.StateExpired, false},
		{&e.called, "called", v1alpha1.StateRevoked, false},
	} {
		g := emergency(oncall)
		switch one.where {
		case &e.ended, &e.closed:
			reportedBy(oncall)(&g.Spec)
		case &e.lent, &e.begun:
			temporary(&g.Spec)
		case &e.returned:
			temporary(&g.Spec)
			reportedBy(oncall)(&g.Spec)
		}
		if g.Name = one.name; one.state != "" {
			g.Finalizers = []string{v1alpha1.Finalizer, "attack.example/other"}
		}
		store(oncall, g)
		*one.where = g
		if one.state == "" {
			continue
		}
		tell := func(condition string, status bool, reason string) {
			c := metav1.Condition{Type: condition, Status: metav1.ConditionFalse, Reason: reason, Message: "as it is", ObservedGeneration: g.Generation}
			if status {
				c.Status = metav1.ConditionTrue
			}
			meta.SetStatusCondition(&g.Status.Conditions, c)
		}
		tell(v1alpha1.ConditionActive, one.state == v1alpha1.StateGranted, one.state)
		tell(v1alpha1.ConditionReported, one.where == &e.closed, "AsItIs")
		if one.active {
			g.Status.ActivatedAt = new(in(-time.Minute))
		}
		switch one.where {
		case &e.stuck:
			g.Status.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Name: "prod-access-stuck", Observed: true}}
		case &e.halfway:
			g.Status.AWS.Groups = []v1alpha1.GroupMembership{{Name: "hera-prod-infra-manager", Intended: true}}
		case &e.lent:
			g.Status.AWS.Groups = []v1alpha1.GroupMembership{{Name: "hera-prod-infra-manager", Intended: true, Observed: true}}
			g.Status.TemporaryUser = v1alpha1.TemporaryUserStatus{IAMUser: "bg-lent-01234567", MadeAt: new(in(-time.Minute)), Credentials: "sealed"}
		case &e.begun, &e.returned:
			g.Status.TemporaryUser.IAMUser = "bg-" + g.Name + "-01234567"
		case &e.waiting:
			g.Status.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Name: "prod-access-waiting"}}
			g.Status.AWS.Groups = []v1alpha1.GroupMembership{{Name: "hera-prod-infra-manager"}}
		}
		if err := as(t, theOperator).Status().Update(t.Context(), g); err != nil {
			t.Fatal(err)
		}
	}
	if err := as(t, ada).Delete(t.Context(), e.leaving.DeepCopy()); err != nil {
		t.Fatal(err)
	}
	return e
}

func emergencyRows(_ *testing.T, s *scene) []row {
	return slices.Concat(openingRows(s), termsRows(), temporaryRows(s.emergencies), reportRows(s.emergencies), endingRows(s.emergencies))
}

// openingRows are about who opens.
func openingRows(s *scene) []row {
	no := func(words string) refusedBy { return refusedBy{"emergencies", words} }
	own := twin{do: create(emergency(oncall))}
	caller := person{syncer.user, oncall.groups}
	preset := emergency(oncall)
	preset.OwnerReferences = []metav1.OwnerReference{ownedBy(s.held)}

	rows := []row{
		{name: "opening in somebody else's name", who: other, do: create(emergency(oncall)),
			want: no("openedBy is otto@hera.example, but you are kim@hera.example: an emergency is opened by a person and in their own name"), twin: twin{who: oncall}},
		{name: "the subject opens in the name of somebody on call", who: alice, do: create(emergency(oncall)),
			want: no("but you are alice@hera.example"), twin: twin{who: oncall}},
		{name: "opening in somebody else's name under a generated name", who: other, do: create(generated(emergency(oncall))),
			want: no("openedBy is otto@hera.example, but you are kim@hera.example"), twin: twin{do: create(generated(emergency(other)))}},
		{name: "applying an emergency in somebody else's name", who: other, do: apply(emergency(oncall)),
			want: no("openedBy is otto@hera.example, but you are kim@hera.example"), twin: twin{do: apply(emergency(other))}},
		{name: "opening in one's name in another case", who: oncall, do: create(emergency(oncall, openedBy("Otto@hera.example"))),
			want: no("openedBy is Otto@hera.example"), twin: own},
		{name: "opening in a name that looks like one's own", who: oncall, do: create(emergency(oncall, openedBy("\u043etto@hera.example"))),
			want: no("but you are otto@hera.example"), twin: own},
		{name: "opening in one's name and an invisible character", who: oncall, do: create(emergency(oncall, openedBy("otto\u200b@hera.example"))),
			want: invalid{"spec.openedBy", "no white space and no invisible characters"}, twin: own},
		{name: "opening in another name of one's own", who: oncall, do: create(emergency(oncall, openedBy("arn:aws:iam::111122223333:user/otto"))),
			want: no("write your own username"), twin: own},
		{name: "the cluster's administrator opens in somebody else's name", who: root, do: create(emergency(oncall)),
			want: no("but you are root"), twin: twin{do: create(emergency(root))}},
		{name: "the operator opens in somebody's name", who: theOperator, do: create(emergency(oncall)),
			want: no("but you are system:serviceaccount:prod-access-system"), twin: twin{who: oncall}},
		{name: "a service account opens in somebody's name", who: caller, do: create(emergency(oncall)),
			want: no("by no service account and so not from Git"), twin: twin{who: oncall}},
		{name: "a service account opens", who: caller, do: create(emergency(caller)),
			want: invalid{"spec.openedBy", "openedBy must be a person"}, twin: twin{who: person{dana.user, caller.groups}, do: create(emergency(dana))}},
		{name: "Argo CD syncs an emergency", who: argo, do: apply(emergency(oncall)),
			want: no("but you are system:serviceaccount:argocd:argocd-application-controller"), twin: twin{who: oncall}},
		{name: "a node opens", who: person{kubelet.user, oncall.groups}, do: create(emergency(kubelet)),
			want: invalid{"spec.openedBy", "openedBy must be a person"}, twin: twin{who: oncall, do: create(emergency(oncall))}},

		{name: "opening a role that is not one's own", who: penny, do: create(emergency(penny)),
			want: no("penny@hera.example may not open the role infra-manager in an emergency: that takes the verb break-glass on accessroles/infra-manager"),
			twin: twin{do: create(emergency(penny, opening("developer", 1)))}},
		{name: "opening a role that does not exist", who: oncall, do: create(emergency(oncall, opening("infra-manager.x", 0))),
			want: no("may not open the role infra-manager.x"), twin: own},

		{name: "opening what somebody's object owns", who: oncall, do: create(preset),
			want: no("ownerReferences of a BreakGlass can have it deleted, so it has none"), twin: own},
	}
	for _, p := range []person{dana, alice, developer, member, manager, bob, pia, sam, ada, nora} {
		rows = append(rows, row{name: p.user + " opens without the right", who: p, do: create(emergency(p)),
			want: no(p.user + " may not open the role infra-manager in an emergency"), twin: twin{who: person{p.user, oncall.groups}}})
	}
	return rows
}

// termsRows are about what the role allows.
func termsRows() []row {
	no := func(words string) refusedBy { return refusedBy{"openings", words} }
	own := twin{do: create(emergency(oncall))}
	in := func(namespaces int) attempt { return create(emergency(oncall, opening("developer", namespaces))) }
	return []row{
		{name: "opening a role that is not for emergencies", who: root, do: create(emergency(root, opening("reviewed", 0))),
			want: no("the role reviewed cannot be opened in an emergency: create a ProdAccessGrant"), twin: twin{do: create(emergency(root))}},
		{name: "opening for longer than the role allows", who: oncall, do: create(emergency(oncall, lasting(4*time.Hour+time.Second))),
			want: no("the role infra-manager is opened for at most 4h, and duration is 4h0m1s: make it shorter"),
			twin: twin{do: create(emergency(oncall, lasting(4*time.Hour)))}},
		{name: "opening a role of namespaces in none", who: oncall, do: in(0),
			want: no("the role developer is bound in namespaces: list them in spec.namespaces"), twin: twin{do: in(300)}},
		{name: "opening a role of namespaces in 301", who: oncall, do: in(301), want: invalid{"spec.namespaces", "300"}, twin: twin{do: in(300)}},
		{name: "opening a role of the cluster in a namespace", who: oncall, do: create(emergency(oncall, opening("infra-manager", 1))),
			want: no("the role infra-manager is not bound in namespaces: leave spec.namespaces out"), twin: own},
		{name: "opening for no time", who: oncall, do: create(emergency(oncall, lasting(0))),
			want: invalid{"spec.duration", "duration must be from 1m to 168h"}, twin: twin{do: create(emergency(oncall, lasting(time.Minute)))}},
		{name: "opening backwards", who: oncall, do: create(emergency(oncall, lasting(-time.Hour))),
			want: invalid{"spec.duration", "duration must be from 1m to 168h"}, twin: own},
		{name: "opening without an incident", who: oncall, do: create(emergency(oncall, func(s *emergencySpec) { s.Incident = " " })),
			want: invalid{"spec.incident", "incident must not be blank"}, twin: own},
	}
}

// temporaryRows are about temporary users: who asks for one, for which role, and that nothing about one changes.
func temporaryRows(e *emergencies) []row {
	no := func(words string) refusedBy { return refusedBy{"emergencies", words} }
	terms := func(words string) refusedBy { return refusedBy{"openings", words} }
	opens := func(p person, changes ...func(*emergencySpec)) attempt {
		return create(emergency(p, append([]func(*emergencySpec){temporary}, changes...)...))
	}
	of := func(role string) func(*emergencySpec) { return func(s *emergencySpec) { s.Role = role } }
	caller := person{syncer.user, oncall.groups}
	const unchanged, order = "nothing in spec can be changed but report", "nothing in spec can be changed but report, not even the order of recipients"
	person1 := emergency(oncall)
	temporaryUser := `{"recipients":["` + recipient + `"]}`

	rows := []row{
		{name: "a temporary user in somebody else's name", who: other, do: opens(oncall),
			want: no("openedBy is otto@hera.example, but you are kim@hera.example"), twin: twin{do: opens(other)}},
		{name: "the cluster's administrator asks for a temporary user in somebody's name", who: root, do: opens(oncall),
			want: no("but you are root"), twin: twin{do: opens(root)}},
		{name: "the operator asks for a temporary user", who: theOperator, do: opens(oncall),
			want: no("but you are system:serviceaccount:prod-access-system"), twin: twin{who: oncall}},
		{name: "a service account asks for a temporary user", who: caller, do: opens(caller),
			want: invalid{"spec.openedBy", "openedBy must be a person"}, twin: twin{who: oncall, do: opens(oncall)}},
		{name: "Argo CD syncs a temporary user", who: argo, do: apply(emergency(oncall, temporary)),
			want: no("by no service account and so not from Git"), twin: twin{who: oncall}},
		{name: "a temporary user for a role that is not one's own", who: penny, do: opens(penny),
			want: no("penny@hera.example may not open the role infra-manager in an emergency"), twin: twin{who: person{penny.user, oncall.groups}}},
		{name: "a temporary user in a role without IAM groups", who: oncall, do: opens(oncall, of("developer")),
			want: terms("the role developer has no IAM groups, and so nothing for a temporary user: name a person in spec.subject, or open another role"),
			twin: twin{do: create(emergency(oncall, opening("developer", 1)))}},
		{name: "a temporary user in a role without an AWS side", who: root, do: opens(root, of("near")),
			want: terms("the role near has no IAM groups"), twin: twin{do: create(emergency(root, opening("near", 0)))}},
		{name: "a person in no namespace, where a temporary user needs none", who: root, do: create(emergency(root, opening("teams", 0))),
			want: terms("the role teams is bound in namespaces"), twin: twin{do: opens(root, of("teams"))}},
		{name: "a temporary user in a namespace", who: root, do: opens(root, opening("teams", 1)),
			want: invalid{"spec.namespaces", "a temporary user has access to AWS alone: leave namespaces out"}, twin: twin{do: opens(root, of("teams"))}},
		{name: "a temporary user in a role that is not for emergencies", who: root, do: opens(root, of("reviewed")),
			want: terms("the role reviewed cannot be opened in an emergency"), twin: twin{do: opens(root)}},
		{name: "a temporary user for longer than the role allows", who: oncall, do: opens(oncall, lasting(4*time.Hour+time.Second)),
			want: terms("the role infra-manager is opened for at most 4h"), twin: twin{do: opens(oncall, lasting(4*time.Hour))}},
		{name: "a temporary user beside a person", who: oncall, do: opens(oncall, func(s *emergencySpec) { s.Subject = person1.Spec.Subject }),
			want: invalid{"spec", "name either subject"}, twin: twin{do: opens(oncall)}},
		{name: "a temporary user whose credentials nobody can read", who: oncall, do: opens(oncall, func(s *emergencySpec) { s.TemporaryUser.Recipients = nil }),
			want: invalid{"spec.temporaryUser.recipients", "Required value"}, twin: twin{do: opens(oncall)}},
	}
	for _, p := range []person{dana, alice, developer, member, manager, bob, pia, sam, ada, nora} {
		rows = append(rows, row{name: p.user + " asks for a temporary user without the right", who: p, do: opens(p),
			want: no(p.user + " may not open the role infra-manager in an emergency"), twin: twin{who: person{p.user, oncall.groups}}})
	}
	status := refusedBy{"status", "the operator alone"}
	for _, p := range []person{oncall, other, manager, argo, ada, theOperator, root} {
		rows = append(rows,
			row{name: p.user + " swaps the recipients of a temporary user", who: p, do: patch(e.lent, `{"spec":{"temporaryUser":`+temporaryUser+`}}`),
				want: invalid{"spec.temporaryUser", order}, twin: twin{do: patch(e.lent, `{"metadata":{"annotations":{"note":"seen"}}}`)}},
			row{name: p.user + " asks for an access key later", who: p, do: patch(e.lent, `{"spec":{"temporaryUser":{"accessKey":"None"}}}`),
				want: invalid{"spec.temporaryUser", order}, twin: twin{do: patch(e.lent, `{"spec":{"temporaryUser":{"accessKey":"Create"}}}`)}},
			row{name: p.user + " adds a temporary user to an emergency that lasts", who: p, do: patch(e.open, `{"spec":{"temporaryUser":`+temporaryUser+`}}`),
				want: invalid{"spec", unchanged}, twin: twin{do: patch(e.open, `{"metadata":{"annotations":{"note":"seen"}}}`)}},
			row{name: p.user + " makes an emergency one of a temporary user", who: p, do: patch(e.open, `{"spec":{"subject":null,"temporaryUser":`+temporaryUser+`}}`),
				want: invalid{"spec", unchanged}, twin: twin{do: patch(e.open, `{"metadata":{"annotations":{"note":"seen"}}}`)}},
			row{name: p.user + " takes a temporary user over", who: p, do: patch(e.lent, `{"spec":{"temporaryUser":null,"subject":{"iamUser":"eve"}}}`),
				want: invalid{"spec", unchanged}, twin: twin{do: patch(e.lent, `{"metadata":{"annotations":{"note":"seen"}}}`)}},
		)
	}
	for _, p := range []person{oncall, other, bob, manager, argo, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " writes credentials", who: p, do: patchStatus(e.lent, `{"status":{"temporaryUser":{"credentials":"others"}}}`),
				want: status, twin: twin{who: theOperator}},
			row{name: p.user + " drops the credentials", who: p, do: patchStatus(e.lent, `{"status":{"temporaryUser":{"credentials":null}}}`),
				want: status, twin: twin{who: theOperator}},
			row{name: p.user + " says which the temporary user is", who: p, do: patchStatus(e.lent, `{"status":{"temporaryUser":{"iamUser":"alice"}}}`),
				want: status, twin: twin{who: theOperator}},
			row{name: p.user + " has the operator forget the temporary user", who: p, do: patchStatus(e.lent, `{"status":{"temporaryUser":null,"aws":null}}`),
				want: status, twin: twin{who: theOperator}},
		)
	}
	return append(rows,
		row{name: "approving the report on one's temporary user without the right", who: oncall, do: create(approval(oncall, ofReport(e.returned))),
			want: refusedBy{"approvals", "otto@hera.example may not approve or reject requests or reports for the role infra-manager"}, twin: twin{who: person{oncall.user, bob.groups}}},
		row{name: "approving the report on one's temporary user in an approver's name", who: oncall, do: create(approval(bob, ofReport(e.returned))),
			want: refusedBy{"approvals", "approver is bob@hera.example, but you are otto@hera.example"}, twin: twin{who: bob}},
	)
}

// reportRows are about the report, and who approves it.
func reportRows(e *emergencies) []row {
	no := func(words string) refusedBy { return refusedBy{"emergencies", words} }
	approvals := func(words string) refusedBy { return refusedBy{"approvals", words} }
	const edited, frozen = `{"spec":{"report":{"summary":"nothing happened at all"}}}`, "the report is approved, and an approved report is never changed"
	const removed, noted = `{"spec":{"report":null}}`, `{"metadata":{"annotations":{"note":"seen"}}}`
	approved := `{"status":{"conditions":[{"type":"Reported","status":"True","reason":"Approved","message":"","lastTransitionTime":"2026-01-01T00:00:00Z"}]}}`
	put := func(by person, changes ...func(*emergencySpec)) *v1alpha1.BreakGlass {
		whole := e.revoked.DeepCopy()
		for _, change := range append([]func(*emergencySpec){reportedBy(by)}, changes...) {
			change(&whole.Spec)
		}
		return whole
	}
	long := func(s *emergencySpec) {
		text := strings.Repeat("long ", 819)
		s.Report.Summary, s.Report.RootCause, s.Report.Actions = text, text, text
	}

	rows := []row{
		{name: "a report in somebody else's name", who: other, do: patch(e.revoked, writing(oncall)),
			want: no("report.writtenBy is otto@hera.example, but you are kim@hera.example: the writer is the person who last changed the report"),
			twin: twin{do: patch(e.revoked, writing(other))}},
		{name: "as long a report as can be, in somebody else's name", who: other, do: update(put(oncall, long)),
			want: no("report.writtenBy is otto@hera.example"), twin: twin{do: update(put(other, long))}},
		{name: "putting a report in place, in somebody else's name", who: other, do: update(put(oncall)),
			want: no("report.writtenBy is otto@hera.example, but you are kim@hera.example"), twin: twin{do: update(put(other))}},
		{name: "opening with a report in somebody else's name", who: oncall, do: create(emergency(oncall, reportedBy(other))),
			want: no("report.writtenBy is kim@hera.example, but you are otto@hera.example"), twin: twin{do: create(emergency(oncall, reportedBy(oncall)))}},
		{name: "editing somebody's report and leaving their name", who: other, do: patch(e.ended, edited),
			want: no("report.writtenBy is otto@hera.example, but you are kim@hera.example"), twin: twin{who: oncall}},
		{name: "putting somebody's name on one's words", who: oncall, do: patch(e.ended, `{"spec":{"report":{"writtenBy":"kim@hera.example"}}}`),
			want: no("report.writtenBy is kim@hera.example, but you are otto@hera.example"), twin: twin{who: other}},
		{name: "a report in one's name in another case", who: oncall, do: patch(e.revoked, writing(person{user: "OTTO@hera.example"})),
			want: no("report.writtenBy is OTTO@hera.example"), twin: twin{do: patch(e.revoked, writing(oncall))}},
		{name: "a service account writes the report", who: syncer, do: patch(e.revoked, writing(syncer)),
			want: invalid{"spec.report.writtenBy", "writtenBy must be a person"}, twin: twin{who: oncall, do: patch(e.revoked, writing(oncall))}},
		{name: "the operator writes the report", who: theOperator, do: patch(e.revoked, writing(theOperator)),
			want: invalid{"spec.report.writtenBy", "writtenBy must be a person"}, twin: twin{who: oncall, do: patch(e.revoked, writing(oncall))}},
		{name: "opening anew by the report", who: oncall, do: patch(e.ended, `{"spec":{"duration":"4h"}}`),
			want: invalid{"spec", "nothing in spec can be changed but report"}, twin: twin{do: patch(e.ended, edited)}},
		{name: "another subject", who: root, do: patch(e.open, `{"spec":{"subject":{"iamUser":"eve"}}}`),
			want: invalid{"spec", "nothing in spec can be changed but report"}, twin: twin{do: patch(e.open, writing(root))}},
		{name: "another opener", who: root, do: patch(e.open, `{"spec":{"openedBy":"kim@hera.example"}}`),
			want: invalid{"spec", "nothing in spec can be changed but report"}, twin: twin{do: patch(e.open, writing(root))}},

		{name: "approving a report in an approver's name", who: oncall, do: create(approval(bob, ofReport(e.ended))),
			want: approvals("approver is bob@hera.example, but you are otto@hera.example"), twin: twin{who: bob}},
		{name: "approving one's report without the right", who: oncall, do: create(approval(oncall, ofReport(e.ended))),
			want: approvals("otto@hera.example may not approve or reject requests or reports for the role infra-manager"),
			twin: twin{who: person{oncall.user, bob.groups}}},
		{name: "approving a report on a role that is not one's own", who: pia, do: create(approval(pia, ofReport(e.ended))),
			want: approvals("that takes the verb approve on accessroles/infra-manager"), twin: twin{do: create(approval(pia, ofReport(e.ended), forRole("developer")))}},
		{name: "a service account approves a report", who: person{syncer.user, bob.groups}, do: create(approval(syncer, ofReport(e.ended))),
			want: invalid{"spec.approver", "must be a person"}, twin: twin{who: bob, do: create(approval(bob, ofReport(e.ended)))}},
	}
	for _, p := range []person{syncer, theOperator, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " writes a report in somebody's name", who: p, do: patch(e.revoked, writing(oncall)),
				want: no("report.writtenBy is otto@hera.example, but you are " + p.user), twin: twin{who: oncall}},
			row{name: p.user + " takes a report away", who: p, do: patch(e.ended, removed),
				want: no("a report that was written is not taken away"), twin: twin{do: patch(e.ended, noted)}},
		)
	}
	for _, p := range []person{oncall, other, bob, ada, theOperator, root} {
		rows = append(rows,
			row{name: p.user + " changes an approved report", who: p, do: patch(e.closed, edited),
				want: invalid{"spec.report", frozen}, twin: twin{do: patch(e.closed, noted)}},
			row{name: p.user + " takes an approved report away", who: p, do: patch(e.closed, removed),
				want: invalid{"spec.report", frozen}, twin: twin{do: patch(e.closed, noted)}},
		)
	}
	rows = append(rows, row{name: "putting an approved report in another's name", who: other, do: patch(e.closed, writing(other)),
		want: invalid{"spec.report", frozen}, twin: twin{do: patch(e.ended, writing(other))}})
	status := refusedBy{"status", "the operator alone"}
	for _, p := range []person{oncall, bob, manager, argo, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " says that the report is approved", who: p, do: patchStatus(e.ended, approved), want: status, twin: twin{who: theOperator}},
			row{name: p.user + " says that it never gave access", who: p, do: patchStatus(e.ended, `{"status":{"activatedAt":null}}`),
				want: status, twin: twin{who: theOperator}},
			row{name: p.user + " moves the deadline of an emergency", who: p, do: patchStatus(e.open, `{"status":{"expiresAt":"2099-01-01T00:00:00Z"}}`),
				want: status, twin: twin{who: theOperator}},
		)
	}
	return rows
}

// endingRows are about what is deleted or let go.
func endingRows(e *emergencies) []row {
	no := func(words string) refusedBy { return refusedBy{"emergencies", words} }
	lasts := no("a BreakGlass is not ended by deleting it: create an AccessRevocation")
	unreported := no("this emergency gave access, so it is kept until its report is approved")
	held := refusedBy{"finalizers", "only the operator removes it"}
	owner := operation("add", "/metadata/ownerReferences", []any{metav1.OwnerReference{
		APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "BreakGlass", Name: "none", UID: "00000000-0000-4000-8000-000000000000"}})
	finalizers := func(kept ...string) string { return operation("replace", "/metadata/finalizers", kept) }

	var rows []row
	for _, p := range []person{oncall, other, alice, bob, sam, manager, argo, theOperator, collector} {
		rows = append(rows,
			row{name: p.user + " deletes an emergency that lasts", who: p, do: remove(e.open), want: lasts, twin: twin{do: remove(e.closed)}},
			row{name: p.user + " deletes an emergency whose report is not approved", who: p, do: remove(e.ended),
				want: unreported, twin: twin{do: remove(e.closed)}},
		)
	}
	for _, p := range []person{oncall, manager, argo, ada, collector, root} {
		rows = append(rows,
			row{name: p.user + " removes the finalizer that a temporary user is deleted by", who: p, do: edit(e.lent, finalizers("attack.example/other")),
				want: held, twin: twin{do: edit(e.lent, finalizers(v1alpha1.Finalizer))}},
			row{name: p.user + " removes the finalizer of an emergency", who: p, do: edit(e.open, finalizers("attack.example/other")),
				want: held, twin: twin{do: edit(e.open, finalizers(v1alpha1.Finalizer))}},
			row{name: p.user + " lets a deleted emergency go", who: p, do: edit(e.leaving, operation("remove", "/metadata/finalizers", nil)),
				want: held, twin: twin{who: theOperator}},
		)
	}
	for _, p := range []person{oncall, alice, argo, sam, aggregator} {
		rows = append(rows, row{name: p.user + " has an emergency collected with something else", who: p, do: edit(e.ended, owner),
			want: no("ownerReferences of a BreakGlass can have it deleted"), twin: twin{who: ada}})
	}
	for _, one := range []struct {
		what     string
		e, other *v1alpha1.BreakGlass
		want     refusedBy
	}{
		{"that was just created", e.fresh, e.waiting, lasts},
		{"that is being granted", e.granting, e.waiting, lasts},
		{"that is suspended", e.suspended, e.called, lasts},
		{"that is not verified gone", e.revoking, e.called, lasts},
		{"that is blocked after it gave access", e.blocked, e.waiting, lasts},
		{"that is blocked while its binding is there", e.stuck, e.waiting, lasts},
		{"that is blocked while its membership may be", e.halfway, e.waiting, lasts},
		{"that lasts for a temporary user", e.lent, e.waiting, lasts},
		{"that is blocked while its temporary user may be there", e.begun, e.waiting, lasts},
		{"of a temporary user, whose report waits", e.returned, e.missed, unreported},
		{"that was revoked, and has no report", e.revoked, e.called, unreported},
		{"that is over, and whose report waits", e.ended, e.missed, unreported},
		{"that was deleted and lasts", e.leaving, e.closed, lasts},
	} {
		rows = append(rows,
			row{name: "deleting an emergency " + one.what, who: oncall, do: remove(one.e), want: one.want, twin: twin{do: remove(one.other)}},
			row{name: "deleting an emergency " + one.what + ", without administer", who: manager, do: remove(one.e), want: one.want, twin: twin{who: ada}},
		)
	}
	return append(rows,
		row{name: "deleting all emergencies", who: oncall, do: removeAll(&v1alpha1.BreakGlass{}, marked),
			want: no("takes the verb administer on accessroles"), twin: twin{who: ada}},
		row{name: "owning an emergency as anything but the collector", who: replicator, do: edit(e.ended, owner),
			want: no("ownerReferences of a BreakGlass"), twin: twin{who: collector}},
		row{name: "owning an emergency as anything but the operator", who: scheduler, do: edit(e.ended, owner),
			want: no("ownerReferences of a BreakGlass"), twin: twin{who: theOperator}},
	)
}

// TestPresetEmergency: whoever opens one that calls itself over and reported has opened a new one, which they cannot delete.
func TestPresetEmergency(t *testing.T) {
	e := emergency(oncall)
	e.Name = "preset"
	temporary(&e.Spec)
	e.Status = v1alpha1.BreakGlassStatus{
		TemporaryUser: v1alpha1.TemporaryUserStatus{IAMUser: "alice", MadeAt: new(in(0)), Credentials: "others"},
		AWS:           v1alpha1.GrantAWSStatus{UserID: "AIDACKCEVSQ6C2EXAMPLE"},
		ExpiresAt:     new(in(24 * time.Hour)), ActivatedAt: new(in(0)), EndedAt: new(in(0)), ReportDigest: "sha256:" + strings.Repeat("0", 64),
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionActive, Status: metav1.ConditionFalse, Reason: v1alpha1.StateExpired, LastTransitionTime: in(0)},
			{Type: v1alpha1.ConditionReported, Status: metav1.ConditionTrue, Reason: "Approved", LastTransitionTime: in(0)},
		},
	}
	if err := as(t, oncall).Create(t.Context(), e); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		// The operator of another test may have seen it, and must not be left with it.
		if err := as(t, ada).Delete(context.WithoutCancel(t.Context()), e); err != nil {
			t.Error(err)
		}
	})
	var stored v1alpha1.BreakGlass
	if err := as(t, oncall).Get(t.Context(), nameOf(e.Name), &stored); err != nil {
		t.Fatal(err)
	}
	if s := stored.Status; s.ObservedGeneration != -1 || len(s.Conditions) > 0 || s.ExpiresAt != nil || s.ActivatedAt != nil || s.EndedAt != nil || s.ReportDigest != "" ||
		s.TemporaryUser != (v1alpha1.TemporaryUserStatus{}) || s.AWS.UserID != "" {
		t.Errorf("what was written into the status on creation is stored: %+v", s)
	}
	refusedBy{"emergencies", "a BreakGlass is not ended by deleting it"}.check(t, remove(e)(t.Context(), as(t, oncall)))
}
