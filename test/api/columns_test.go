// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/discovery"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// fullGrantStatus is the largest status that a grant can have.
func fullGrantStatus() *v1alpha1.ProdAccessGrantStatus {
	at := metav1.NewTime(time.Date(2026, 11, 23, 9, 0, 0, 0, time.UTC))
	condition := func(kind, status, reason, message string) metav1.Condition {
		return metav1.Condition{Type: kind, Status: metav1.ConditionStatus(status), Reason: reason, Message: message, LastTransitionTime: at, ObservedGeneration: 1}
	}
	s := &v1alpha1.ProdAccessGrantStatus{
		ObservedGeneration: 1,
		SpecDigest:         "sha256:" + strings.Repeat("0a", 32),
		ApprovalDigest:     "sha256:" + strings.Repeat("0b", 32),
		ExpiresAt:          &at, ActivatedAt: &at, EndedAt: &at,
		Conditions: []metav1.Condition{
			condition(v1alpha1.ConditionReady, "True", v1alpha1.StateGranted, "access until 2099-11-23T13:00:00Z"),
			condition(v1alpha1.ConditionActive, "True", v1alpha1.StateGranted, "access until 2099-11-23T13:00:00Z"),
			condition(v1alpha1.ConditionApproved, "True", v1alpha1.ReasonApproved, "2 of 2 approvals"),
			condition(v1alpha1.ConditionEligible, "True", v1alpha1.ReasonEligible, strings.Repeat("é", 512)),
			condition(v1alpha1.ConditionMembershipsSynced, "True", v1alpha1.ReasonSynced, "IAM group"),
			condition(v1alpha1.ConditionBindingsSynced, "True", v1alpha1.ReasonSynced, "binding in"),
			condition(v1alpha1.ConditionReconciling, "True", v1alpha1.ReasonDeadline, "x"),
			condition(v1alpha1.ConditionStalled, "True", v1alpha1.ReasonPolicyViolation, "x"),
		},
		AWS:        v1alpha1.GrantAWSStatus{UserID: "AIDACKCEVSQ6C2EXAMPLE"},
		Kubernetes: v1alpha1.GrantKubernetesStatus{User: strings.Repeat("é", 256), ClusterRole: letters(253), RulesHash: "sha256:" + strings.Repeat("0c", 32)},
	}
	for _, approver := range append([]string{"bob@hera.example", "carol@hera.example"}, numbered("r-", 18)...) {
		s.Approvals = append(s.Approvals, v1alpha1.CountedApproval{Approver: v1alpha1.Username(approver), Source: v1alpha1.SourceApproval, At: at})
	}
	for i := range 5 {
		name := fmt.Sprintf("%d%s", i, letters(127))
		s.AWS.Groups = append(s.AWS.Groups, v1alpha1.GroupMembership{Name: v1alpha1.IAMGroupName(name), Intended: true, Observed: true})
	}
	for i := range 300 {
		ns := fmt.Sprintf("%03d%s", i, letters(60))
		s.Kubernetes.Bindings = append(s.Kubernetes.Bindings, v1alpha1.GrantBinding{Namespace: ns, Name: letters(253),
			UID: "6a2f41a3-c54c-4b6e-8b2f-5c1d2f0f9a10", NamespaceUID: "6a2f41a3-c54c-4b6e-8b2f-5c1d2f0f9a10", Intended: true, Observed: true})
	}
	s.AWS.Names = fullNames()
	s.Outbox = outbox()
	return s
}

// outbox is as much as a status can hold of what is still to be written to the audit trail.
func outbox() []v1alpha1.OutboxEntry {
	return slices.Repeat([]v1alpha1.OutboxEntry{{Event: letters(64), At: metav1.NewTime(time.Unix(1<<31, 0)), Message: strings.Repeat("é", 1024)}}, 16)
}

// fullEmergencyStatus is the largest status that an emergency can have.
func fullEmergencyStatus() *v1alpha1.BreakGlassStatus {
	g := fullGrantStatus()
	at := *g.ExpiresAt
	s := &v1alpha1.BreakGlassStatus{
		ObservedGeneration: 1, SpecDigest: g.SpecDigest, ReportDigest: "sha256:" + strings.Repeat("0d", 32),
		ReportDueAt: &at, ReportRemindedAt: &at, ReportApprovedBy: v1alpha1.Username(strings.Repeat("é", 256)),
		ExpiresAt: &at, ActivatedAt: &at, EndedAt: &at, AccessEndsNoLaterThan: v1alpha1.AccessEnds{AWS: &at},
		AWS: g.AWS, Kubernetes: g.Kubernetes, Outbox: g.Outbox,
		TemporaryUser: v1alpha1.TemporaryUserStatus{IAMUser: letters(64), MadeAt: &at, Credentials: letters(8192)},
		Facts: v1alpha1.EmergencyFacts{
			OpenedAt: &at, OpenedBy: v1alpha1.Username(strings.Repeat("é", 256)), Lasted: &metav1.Duration{Duration: 168 * time.Hour}, MFAUnverified: true,
			Bound: slices.Repeat([]string{strings.Repeat("é", 512)}, 16), Changes: slices.Repeat([]string{strings.Repeat("é", 1200)}, 16),
			OtherAccess: slices.Repeat([]v1alpha1.HeldAccess{{Kind: v1alpha1.TargetGrant, Name: letters(253), Role: letters(63), Until: at}}, 32),
		},
	}
	for _, c := range g.Conditions {
		if c.Type == v1alpha1.ConditionApproved {
			c.Type, c.Status, c.Reason, c.Message = v1alpha1.ConditionReported, "False", v1alpha1.ReasonReportPending, "the report is due"
		}
		s.Conditions = append(s.Conditions, c)
	}
	return s
}

// fullNames are as many names of a person as a status can hold.
func fullNames() []string {
	var names []string
	for i := range 160 {
		names = append(names, fmt.Sprintf("%03d%s", i, letters(1021)))
	}
	return names
}

// fullRevocationStatus is the largest status that a revocation can have.
func fullRevocationStatus() *v1alpha1.AccessRevocationStatus {
	at := metav1.NewTime(time.Date(2026, 11, 23, 13, 0, 0, 0, time.UTC))
	return &v1alpha1.AccessRevocationStatus{
		ObservedGeneration: 1, EndsAt: &at, Names: fullNames(), Outbox: outbox(),
		Conditions: []metav1.Condition{
			{Type: v1alpha1.ConditionReady, Status: "True", Reason: v1alpha1.ReasonInForce, Message: "no access is left, and none begins", LastTransitionTime: at, ObservedGeneration: 1},
			{Type: v1alpha1.ConditionLifted, Status: "False", Reason: v1alpha1.ReasonNotLifted, Message: strings.Repeat("é", 512), LastTransitionTime: at, ObservedGeneration: 1},
		},
	}
}

// column is a column of kubectl get.
type column struct {
	name string
	cell any
	wide bool
}

// table asks the API server for the table that kubectl prints.
func table(t *testing.T, k kind, name string) []column {
	t.Helper()
	client, err := discovery.NewDiscoveryClientForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	content, err := client.RESTClient().Get().AbsPath("/apis/access.hera.dev/v1alpha1/"+k.resource+"/"+name).
		SetHeader("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io").DoRaw(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var got metav1.Table
	if err := json.Unmarshal(content, &got); err != nil {
		t.Fatal(err)
	}
	if len(got.Rows) != 1 || len(got.Rows[0].Cells) != len(got.ColumnDefinitions) {
		t.Fatalf("not a table with one row: %s", content)
	}
	var columns []column
	for i, d := range got.ColumnDefinitions {
		columns = append(columns, column{d.Name, got.Rows[0].Cells[i], d.Priority > 0})
	}
	return columns
}

func TestColumns(t *testing.T) {
	grant := prodAccessGrant.store(t, with(t, with(t, parse(t, grantManifest), "spec.notBefore", "2099-11-23T09:00:00Z"), "spec.expiresAt", "2099-11-23T13:00:00Z"))
	status := fullGrantStatus()
	status.Approvals = status.Approvals[:2]
	if _, err := prodAccessGrant.client().UpdateStatus(t.Context(), with(t, grant, "status", status), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	nameless := with(t, parse(t, grantManifest), "spec.subject.iamUser", absent{})
	nameless.SetName("without-iam")
	prodAccessGrant.store(t, nameless)
	role := accessRole.store(t, parse(t, roleManifest))
	ready := []metav1.Condition{{Type: v1alpha1.ConditionReady, Status: "True", Reason: v1alpha1.ReasonRoleReady, Message: "the role can be granted", LastTransitionTime: metav1.Now()}}
	if _, err := accessRole.client().UpdateStatus(t.Context(), with(t, role, "status.conditions", ready), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	approval := accessApproval.store(t, parse(t, approvalManifest))
	revocation := accessRevocation.store(t, parse(t, personManifest))
	if _, err := accessRevocation.client().UpdateStatus(t.Context(), with(t, revocation, "status", fullRevocationStatus()), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	accessRevocation.store(t, parse(t, requestManifest))
	accessRevocation.store(t, parse(t, strangerManifest))
	emergency := breakGlass.store(t, parse(t, emergencyManifest))
	if _, err := breakGlass.client().UpdateStatus(t.Context(), with(t, emergency, "status", fullEmergencyStatus()), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}
	unseen := with(t, parse(t, emergencyManifest), "spec.subject.iamUser", absent{})
	unseen.SetName("unseen")
	breakGlass.store(t, unseen)
	// What people write into annotations and labels, and who wrote which field, is nobody's name.
	named := map[string]any{"iamUser": "mallory", "spec.subject.iamUser": "mallory", "status.temporaryUser.iamUser": "mallory"}
	asked := with(t, with(t, parse(t, temporaryManifest), "metadata.annotations", named), "metadata.labels", named)
	asked.SetName("asked")
	breakGlass.store(t, asked)
	temporary := breakGlass.store(t, with(t, with(t, parse(t, temporaryManifest), "metadata.annotations", named), "metadata.labels", named))
	made := fullEmergencyStatus()
	made.TemporaryUser.IAMUser = "bg-alice-inc-9-6a2f41a3"
	if _, err := breakGlass.client().UpdateStatus(t.Context(), with(t, temporary, "status", made), metav1.UpdateOptions{}); err != nil {
		t.Fatal(err)
	}

	const age = "some age"
	for _, c := range []struct {
		kind
		object string
		want   []column
	}{
		{prodAccessGrant, grant.GetName(), []column{
			{"Name", "payments-db-disk", false}, {"User", "alice", false}, {"Role", "infra-member", false}, {"State", "Granted", false},
			// A column of the type date would say <invalid> here.
			{"Expires", "2099-11-23T13:00:00Z", false}, {"Age", age, false}, {"Ticket", "CHG-1042", true},
			{"Approvers", `[{"approver":"bob@hera.example","at":"2026-11-23T09:00:00Z","source":"Approval"},` +
				`{"approver":"carol@hera.example","at":"2026-11-23T09:00:00Z","source":"Approval"}]`, true},
			{"Message", "access until 2099-11-23T13:00:00Z", true},
		}},
		{prodAccessGrant, "without-iam", []column{
			{"Name", "without-iam", false}, {"User", "alice@hera.example", false}, {"Role", "infra-member", false}, {"State", nil, false},
			{"Expires", "2026-11-23T13:00:00Z", false}, {"Age", age, false}, {"Ticket", "CHG-1042", true}, {"Approvers", nil, true}, {"Message", nil, true},
		}},
		{accessRole, role.GetName(), []column{
			{"Name", "infra-member", false}, {"Access", "ReadWrite", false}, {"Scope", "Namespaces", false}, {"Groups", `["hera-prod-infra-member"]`, false},
			{"Max", "8h", false}, {"Approvals", float64(2), false}, {"Ready", "True", false}, {"Age", age, false}, {"Message", "the role can be granted", true},
		}},
		{accessApproval, approval.GetName(), []column{
			{"Name", "payments-db-disk-bob", false}, {"Target", "payments-db-disk", false}, {"Role", "infra-member", false}, {"Decision", "Approve", false},
			{"Approver", "bob@hera.example", false}, {"Age", age, false}, {"Comment", "The disk is failing; the plan is sound.", true},
		}},
		{accessRevocation, revocation.GetName(), []column{
			{"Name", "alice-laptop", false}, {"Person", "alice", false}, {"Grant", nil, false}, {"Stranger", nil, false}, {"State", "InForce", false},
			{"RevokedBy", "eve@hera.example", false}, {"Age", age, false}, {"Reason", "Her laptop was stolen on the train.", true},
			{"Message", "no access is left, and none begins", true},
		}},
		{breakGlass, emergency.GetName(), []column{
			{"Name", "alice-inc-7", false}, {"User", "alice", false}, {"Role", "infra-member", false}, {"State", "Granted", false},
			{"Expires", "2026-11-23T09:00:00Z", false}, {"Report", "Pending", false}, {"Age", age, false}, {"Incident", "INC-7", true},
			{"Opened By", "alice@hera.example", true}, {"Message", "access until 2099-11-23T13:00:00Z", true},
		}},
		{breakGlass, "unseen", []column{
			{"Name", "unseen", false}, {"User", "alice@hera.example", false}, {"Role", "infra-member", false}, {"State", nil, false}, {"Expires", nil, false},
			{"Report", nil, false}, {"Age", age, false}, {"Incident", "INC-7", true}, {"Opened By", "alice@hera.example", true}, {"Message", nil, true},
		}},
		{breakGlass, "asked", []column{
			{"Name", "asked", false}, {"User", nil, false}, {"Role", "infra-member", false}, {"State", nil, false}, {"Expires", nil, false},
			{"Report", nil, false}, {"Age", age, false}, {"Incident", "INC-9", true}, {"Opened By", "alice@hera.example", true}, {"Message", nil, true},
		}},
		{breakGlass, temporary.GetName(), []column{
			{"Name", "alice-inc-9", false}, {"User", "bg-alice-inc-9-6a2f41a3", false}, {"Role", "infra-member", false}, {"State", "Granted", false},
			{"Expires", "2026-11-23T09:00:00Z", false}, {"Report", "Pending", false}, {"Age", age, false}, {"Incident", "INC-9", true},
			{"Opened By", "alice@hera.example", true}, {"Message", "access until 2099-11-23T13:00:00Z", true},
		}},
		{accessRevocation, "payments-db-disk-off", []column{
			{"Name", "payments-db-disk-off", false}, {"Person", nil, false}, {"Grant", "payments-db-disk", false}, {"Stranger", nil, false}, {"State", nil, false},
			{"RevokedBy", "eve@hera.example", false}, {"Age", age, false}, {"Reason", "The change was called off.", true}, {"Message", nil, true},
		}},
		{accessRevocation, "mallory-infra-member", []column{
			{"Name", "mallory-infra-member", false}, {"Person", nil, false}, {"Grant", nil, false}, {"Stranger", "mallory", false}, {"State", nil, false},
			{"RevokedBy", "eve@hera.example", false}, {"Age", age, false}, {"Reason", "Nobody knows who put mallory into the group.", true}, {"Message", nil, true},
		}},
	} {
		t.Run(c.object, func(t *testing.T) {
			got := table(t, c.kind, c.object)
			for i := range got {
				if s, ok := got[i].cell.(string); ok && got[i].name == "Age" && strings.HasSuffix(s, "s") {
					got[i].cell = age
				}
			}
			if !slices.Equal(got, c.want) {
				t.Errorf("got\n%v\nwant\n%v", got, c.want)
			}
		})
	}

	t.Run("kubectl get access", func(t *testing.T) {
		out, err := cp.Kubectl(t.Context(), "", "get", "access", "-o", "wide")
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{"accessrole.access.hera.dev/infra-member", "prodaccessgrant.access.hera.dev/payments-db-disk", "accessapproval.access.hera.dev/payments-db-disk-bob",
			"breakglass.access.hera.dev/alice-inc-7", "REPORT", "INCIDENT", "OPENED BY",
			"accessrevocation.access.hera.dev/alice-laptop", "InForce", "STRANGER", "REVOKEDBY",
			"EXPIRES", "2099-11-23T13:00:00Z", "Granted", "TICKET", "APPROVERS", "MESSAGE"} {
			if !strings.Contains(out, want) {
				t.Errorf("lacks %q:\n%s", want, out)
			}
		}
		if out, err = cp.Kubectl(t.Context(), "", "get", "bg"); err != nil || !strings.Contains(out, "Pending") || strings.Contains(out, "INCIDENT") {
			t.Errorf("emergencies (%v):\n%s", err, out)
		}
		out, err = cp.Kubectl(t.Context(), "", "get", "pag")
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(out, "TICKET") || strings.Contains(out, "<invalid>") {
			t.Errorf("too much, or an unreadable time:\n%s", out)
		}
	})
}

func TestNames(t *testing.T) {
	client, err := discovery.NewDiscoveryClientForConfig(cp.Config)
	if err != nil {
		t.Fatal(err)
	}
	list, err := client.ServerResourcesForGroupVersion(v1alpha1.SchemeGroupVersion.String())
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]metav1.APIResource{
		"accessroles":              {Kind: "AccessRole", SingularName: "accessrole", ShortNames: []string{"arole"}},
		"accessrevocations":        {Kind: "AccessRevocation", SingularName: "accessrevocation", ShortNames: []string{"arev"}},
		"accessrevocations/status": {Kind: "AccessRevocation"},
		"prodaccessgrants":         {Kind: "ProdAccessGrant", SingularName: "prodaccessgrant", ShortNames: []string{"pag"}},
		"accessapprovals":          {Kind: "AccessApproval", SingularName: "accessapproval", ShortNames: []string{"aa"}},
		"breakglasses":             {Kind: "BreakGlass", SingularName: "breakglass", ShortNames: []string{"bg"}},
		"breakglasses/status":      {Kind: "BreakGlass"},
		"accessroles/status":       {Kind: "AccessRole"},
		"prodaccessgrants/status":  {Kind: "ProdAccessGrant"},
	}
	for _, got := range list.APIResources {
		w, ok := want[got.Name]
		delete(want, got.Name)
		switch {
		case !ok:
			t.Errorf("%s is served, and not tested", got.Name)
		case got.Namespaced:
			t.Errorf("%s is not cluster-scoped", got.Name)
		case got.Kind != w.Kind || got.SingularName != w.SingularName || !slices.Equal(got.ShortNames, w.ShortNames):
			t.Errorf("%s: got %+v, want %+v", got.Name, got, w)
		case !strings.Contains(got.Name, "/") && !slices.Equal(got.Categories, []string{"access"}):
			t.Errorf("%s is in the categories %v", got.Name, got.Categories)
		}
	}
	for name := range want {
		t.Errorf("%s is not served", name)
	}
}
