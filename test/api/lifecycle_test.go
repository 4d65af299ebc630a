// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// changes says, for every field of a spec, to what else it could be set.
type changes map[string]any

var (
	roleChanges = changes{
		"description": "Something else.", "maxDuration": "2h", "maxLeadTime": "1h", "incident": "Required",
		"approval.required": 3, "approval.attesters": []string{"other"},
		"change.ticketPattern": "RFC-[0-9]+", "change.stagingEvidence": "Optional",
		"requirements.maxCredentialAge": "48h", "requirements.onStale": "Warn",
		"breakGlass.maxDuration": "1h", "breakGlass.reportWithin": "24h",
		"kubernetes.scope": "Cluster", "kubernetes.clusterRole": "prod-access-other", "kubernetes.access": "ReadOnly",
		"aws.groups": []string{"other"}, "aws.allowedSourceCIDRs": []string{"198.51.100.0/24"},
	}
	grantChanges = changes{
		"subject.iamUser": "eve", "subject.kubernetesUser": "eve@hera.example", "role": "infra-manager",
		"namespaces": []string{"payments"}, "reason": "Another reason altogether.", "changeTicket": "CHG-1043",
		"stagingEvidence": "https://ci.hera.example/runs/882", "incident": "INC-8", "requestedBy": "eve@hera.example",
		"reviewedBy": []string{"bob@hera.example"}, "notBefore": "2026-11-23T09:00:01Z", "expiresAt": "2026-11-23T12:59:59Z",
	}
	emergencyChanges = changes{
		"subject.iamUser": "eve", "subject.kubernetesUser": "eve@hera.example", "role": "infra-manager", "namespaces": []string{"payments"},
		"incident": "INC-8", "reason": "Another reason altogether.", "duration": "2h", "openedBy": "eve@hera.example",
		"report.summary": "Another summary altogether.", "report.rootCause": "Another cause.", "report.actions": "Other actions.",
		"report.url": "https://wiki.hera.example/incidents/8", "report.writtenBy": "eve@hera.example",
		"temporaryUser.recipients": temporaryChanges["temporaryUser.recipients"], "temporaryUser.accessKey": temporaryChanges["temporaryUser.accessKey"],
	}
	approvalChanges = changes{
		"target.kind": "BreakGlass", "target.name": "other", "target.uid": "7b2f41a3-c54c-4b6e-8b2f-5c1d2f0f9a10", "role": "infra-manager",
		"digest": "sha256:" + strings.Repeat("0a", 32), "decision": "Reject", "approver": "eve@hera.example",
		"approverGroups": []string{"others"}, "comment": "Another comment.",
	}
	revocationChanges = changes{
		"person": "mallory", "grant.kind": "BreakGlass", "grant.name": "other", "grant.specDigest": "sha256:" + strings.Repeat("0a", 32),
		"membership.group": "other", "membership.iamUser": "eve", "reason": "Another reason altogether.", "revokedBy": "bob@hera.example",
		"credentials": "Deactivate", "lift.by": "carol@hera.example", "lift.reason": "Another reason altogether.",
	}
)

// leaves walks the JSON fields of a Go type, so that a field which nobody thought of here is found.
func leaves(t *testing.T, typ reflect.Type) []string {
	t.Helper()
	var all []string
	for f := range typ.Fields() {
		name, _, _ := strings.Cut(f.Tag.Get("json"), ",")
		if name == "" {
			t.Fatalf("%s.%s has no name in JSON", typ, f.Name)
		}
		inner := f.Type
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() != reflect.Struct || inner == reflect.TypeFor[metav1.Time]() || inner == reflect.TypeFor[metav1.Duration]() {
			all = append(all, name)
			continue
		}
		for _, l := range leaves(t, inner) {
			all = append(all, name+"."+l)
		}
	}
	return all
}

// each runs a test for every field of a spec, and demands that there is a change for every one and for no other.
func (c changes) each(t *testing.T, k kind, run func(t *testing.T, path string, to any)) {
	t.Helper()
	fields := leaves(t, k.spec)
	for path := range c {
		if !slices.Contains(fields, path) {
			t.Errorf("%s has no field spec.%s", k.name, path)
		}
	}
	for _, path := range fields {
		to, ok := c[path]
		if !ok {
			t.Errorf("spec.%s of %s is not tested: add to what it could be changed", path, k.name)
			continue
		}
		t.Run(path, func(t *testing.T) { run(t, "spec."+path, to) })
	}
}

func TestImmutableSpecs(t *testing.T) {
	for _, c := range []struct {
		kind
		manifest, said string
		changes
		// needed may not be absent from a valid object.
		needed []string
	}{
		{prodAccessGrant, grantManifest, "spec cannot be changed, because approvals are for exactly this request: create another ProdAccessGrant instead",
			grantChanges, []string{"role", "reason", "requestedBy", "expiresAt"}},
		{accessApproval, approvalManifest, "spec cannot be changed: to take an approval back before access begins, create another AccessApproval with decision Reject",
			approvalChanges, []string{"target.kind", "target.name", "target.uid", "role", "digest", "decision", "approver"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			full := c.store(t, parse(t, c.manifest))
			// The twin of every change: an update that leaves the spec as it is.
			same := func(t *testing.T, o *unstructured.Unstructured) {
				t.Helper()
				if _, err := c.update(t, with(t, o, "metadata.labels", map[string]any{"team": "payments"}), metav1.DryRunAll); err != nil {
					t.Errorf("an update of the labels was refused: %v", err)
				}
				if _, err := c.update(t, with(t, o, "metadata.finalizers", []string{"example.org/x"}), metav1.DryRunAll); err != nil {
					t.Errorf("an update of the finalizers was refused: %v", err)
				}
			}
			same(t, full)
			c.each(t, c.kind, func(t *testing.T, path string, to any) {
				_, err := c.update(t, with(t, full, path, to), metav1.DryRunAll)
				refused(t, err, "spec", c.said, "")
				if slices.Contains(c.needed, strings.TrimPrefix(path, "spec.")) {
					return
				}
				_, err = c.update(t, with(t, full, path, absent{}), metav1.DryRunAll)
				refused(t, err, "spec", c.said, "")

				without := with(t, parse(t, c.manifest), path, absent{})
				without.SetName(full.GetName() + "-less")
				less := c.store(t, without)
				same(t, less)
				_, err = c.update(t, with(t, less, path, value(t, full, path)), metav1.DryRunAll)
				refused(t, err, "spec", c.said, "")
				if err := c.client().Delete(t.Context(), less.GetName(), metav1.DeleteOptions{}); err != nil {
					t.Error(err)
				}
			})
		})
	}

	// To CEL, a list of the type set is the same in any order. To the digest that people approve it is not.
	t.Run("order", func(t *testing.T) {
		g := prodAccessGrant.store(t, parse(t, grantManifest))
		for path, turned := range map[string][]string{"namespaces": {"ledger", "payments"}, "reviewedBy": {"carol@hera.example", "bob@hera.example"}} {
			_, err := prodAccessGrant.update(t, with(t, g, "spec."+path, turned), metav1.DryRunAll)
			refused(t, err, "spec."+path, "spec cannot be changed, not even the order of "+path+": create another ProdAccessGrant instead", "")
		}
		a := accessApproval.store(t, with(t, parse(t, approvalManifest), "spec.approverGroups", []string{"a", "b"}))
		_, err := accessApproval.update(t, with(t, a, "spec.approverGroups", []string{"b", "a"}), metav1.DryRunAll)
		refused(t, err, "spec.approverGroups", "spec cannot be changed, not even the order of approverGroups", "")
	})
	t.Run("apply", func(t *testing.T) {
		g := prodAccessGrant.store(t, parse(t, grantManifest))
		changed := with(t, parse(t, grantManifest), "spec.expiresAt", "2026-11-23T14:00:00Z")
		_, err := prodAccessGrant.client().Apply(t.Context(), g.GetName(), changed, metav1.ApplyOptions{FieldManager: "gitops", Force: true})
		refused(t, err, "spec", "spec cannot be changed, because approvals are for exactly this request: create another ProdAccessGrant instead", "")
		if _, err := prodAccessGrant.client().Apply(t.Context(), g.GetName(), parse(t, grantManifest), metav1.ApplyOptions{FieldManager: "gitops", Force: true}); err != nil {
			t.Errorf("applying the same again: %v", err)
		}
	})
}

// The platform team may change everything about a role.
func TestMutableRole(t *testing.T) {
	role := accessRole.store(t, parse(t, roleManifest))
	roleChanges.each(t, accessRole, func(t *testing.T, path string, to any) {
		answer, err := accessRole.update(t, with(t, role, path, to), metav1.DryRunAll)
		if err != nil {
			t.Error(err)
			return
		}
		if answer.GetGeneration() != role.GetGeneration()+1 {
			t.Errorf("the generation went from %d to %d", role.GetGeneration(), answer.GetGeneration())
		}
	})
	t.Run("a bad change", func(t *testing.T) {
		_, err := accessRole.update(t, with(t, role, "spec.change.ticketPattern", "CHG-("), metav1.DryRunAll)
		refused(t, err, "spec.change.ticketPattern", "error parsing regexp: missing closing ): `CHG-(` evaluating rule: "+
			"ticketPattern must be a regular expression in RE2 syntax, such as CHG-[0-9]+", "")
	})
}

func TestDefaults(t *testing.T) {
	role := with(t, parse(t, `
apiVersion: access.hera.dev/v1alpha1
kind: AccessRole
metadata:
  name: defaults
spec:
  maxDuration: 8h
  breakGlass:
    maxDuration: 1h
  kubernetes: {scope: Cluster, clusterRole: prod-access-view, access: ReadOnly}
`), "metadata.name", "defaults")
	grant := with(t, parse(t, grantManifest), "metadata.name", "defaults")
	revocation := with(t, parse(t, requestManifest), "metadata.name", "defaults")
	emergency := with(t, with(t, parse(t, emergencyManifest), "metadata.name", "defaults"), "spec.report", absent{})
	temporary := with(t, with(t, parse(t, temporaryManifest), "metadata.name", "temporary-defaults"), "spec.temporaryUser.accessKey", absent{})
	for _, c := range []struct {
		kind
		object *unstructured.Unstructured
		want   map[string]any
	}{
		{accessRole, role, map[string]any{
			"spec.maxLeadTime": "168h", "spec.incident": "Optional", "spec.approval.required": int64(2), "spec.approval.attesters": absent{},
			"spec.change.stagingEvidence": "Optional", "spec.change.ticketPattern": absent{}, "spec.requirements.onStale": "Suspend",
			"spec.requirements.maxCredentialAge": absent{}, "spec.breakGlass.reportWithin": "72h", "spec.aws": absent{},
			"status.observedGeneration": int64(-1),
		}},
		{prodAccessGrant, grant, map[string]any{"status.observedGeneration": int64(-1), "status.conditions": absent{}}},
		{breakGlass, emergency, map[string]any{
			"spec.report": absent{}, "status.observedGeneration": int64(-1), "status.conditions": absent{}, "status.facts": absent{},
			"status.reportDigest": absent{}, "status.reportDueAt": absent{}, "status.expiresAt": absent{},
		}},
		{breakGlass, temporary, map[string]any{
			"spec.temporaryUser.accessKey": "None", "spec.subject": absent{}, "spec.namespaces": absent{}, "status.temporaryUser": absent{},
		}},
		{accessRevocation, revocation, map[string]any{
			"spec.credentials": "Keep", "spec.lift": absent{}, "spec.person": absent{}, "spec.membership": absent{},
			"status.observedGeneration": int64(-1), "status.conditions": absent{}, "status.endsAt": absent{},
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			created := c.store(t, c.object)
			for _, o := range []*unstructured.Unstructured{created, c.get(t, created.GetName())} {
				for path, want := range c.want {
					if got := value(t, o, path); got != want {
						t.Errorf("%s is %v, want %v", path, got, want)
					}
				}
				decodes(t, c.kind, o)
			}
		})
	}
	t.Run("digests have no defaults to depend on", func(t *testing.T) {
		for i, c := range []struct {
			kind
			manifest string
		}{{prodAccessGrant, grantManifest}, {breakGlass, emergencyManifest}, {breakGlass, temporaryManifest}} {
			o := with(t, parse(t, c.manifest), "metadata.name", fmt.Sprintf("no-defaults-%d", i))
			if got, want := c.store(t, o).Object["spec"], o.Object["spec"]; !reflect.DeepEqual(got, want) {
				t.Errorf("the API server made\n%v\nof\n%v", got, want)
			}
		}
	})
}

func TestStatusIsSeparate(t *testing.T) {
	const seen = "status.observedGeneration"
	for k, manifest := range map[string]string{"AccessRole": roleManifest, "ProdAccessGrant": grantManifest, "AccessRevocation": personManifest,
		"BreakGlass": emergencyManifest} {
		k := kinds[slices.IndexFunc(kinds, func(x kind) bool { return x.name == k })]
		t.Run(k.name, func(t *testing.T) {
			created := k.store(t, with(t, parse(t, manifest), seen, 7))
			if got := value(t, created, seen); got != int64(-1) {
				t.Errorf("a status that came with the object was taken: observedGeneration is %v", got)
			}
			updated, err := k.update(t, with(t, created, seen, 7))
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, updated, seen); got != int64(-1) {
				t.Errorf("an update of the object wrote the status: observedGeneration is %v", got)
			}

			forged := with(t, with(t, updated, seen, 1), "metadata.labels", map[string]any{"forged": "yes"})
			forged = with(t, forged, "spec", map[string]any{"nonsense": true})
			after, err := k.client().UpdateStatus(t.Context(), forged, metav1.UpdateOptions{FieldValidation: metav1.FieldValidationIgnore})
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, after, seen); got != int64(1) {
				t.Errorf("an update of the status did not write it: observedGeneration is %v", got)
			}
			if !reflect.DeepEqual(after.Object["spec"], updated.Object["spec"]) || after.GetGeneration() != updated.GetGeneration() || after.GetLabels()["forged"] != "" {
				t.Errorf("an update of the status changed more than that: %v", after.Object)
			}

			changed, err := k.update(t, with(t, after, "metadata.labels", map[string]any{"team": "payments"}))
			if err != nil {
				t.Fatal(err)
			}
			if got := value(t, changed, seen); got != int64(1) {
				t.Errorf("an update of the object lost the status: observedGeneration is %v", got)
			}
		})
	}
	t.Run("AccessApproval", func(t *testing.T) {
		a := accessApproval.store(t, parse(t, approvalManifest))
		if _, err := accessApproval.client().UpdateStatus(t.Context(), a, metav1.UpdateOptions{}); !apierrors.IsNotFound(err) {
			t.Errorf("an approval has no status to write, got %v", err)
		}
	})
}

// What the operator writes is bounded as well: a status that the API server refuses would leave an object without one.
func TestStatusHoldsWhatTheOperatorWrites(t *testing.T) {
	dryRun := metav1.UpdateOptions{DryRun: []string{metav1.DryRunAll}, FieldValidation: metav1.FieldValidationStrict}
	grant, revocation := fullGrantStatus(), fullRevocationStatus()
	crowded := fullGrantStatus()
	crowded.Kubernetes.Bindings = append(crowded.Kubernetes.Bindings, v1alpha1.GrantBinding{Namespace: "one-more", Name: "x"})
	named := fullGrantStatus()
	named.AWS.Names = append(named.AWS.Names, "one-more")
	behind := fullRevocationStatus()
	behind.Outbox = append(behind.Outbox, behind.Outbox[0])
	emergency := fullEmergencyStatus()
	emergencyWith := func(more func(*v1alpha1.BreakGlassStatus)) *v1alpha1.BreakGlassStatus {
		s := fullEmergencyStatus()
		more(s)
		return s
	}
	for _, c := range []struct {
		kind
		manifest   string
		full, more any
		field      string
		most       int
	}{
		{prodAccessGrant, grantManifest, grant, crowded, "status.kubernetes.bindings", 300},
		{prodAccessGrant, grantManifest, grant, named, "status.aws.names", 160},
		{accessRevocation, personManifest, revocation, behind, "status.outbox", 16},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.Kubernetes.Bindings = append(s.Kubernetes.Bindings, v1alpha1.GrantBinding{Namespace: "one-more", Name: "x"})
		}), "status.kubernetes.bindings", 300},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.AWS.Names = append(s.AWS.Names, "one-more")
		}), "status.aws.names", 160},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.Outbox = append(s.Outbox, s.Outbox[0])
		}), "status.outbox", 16},
		{breakGlass, temporaryManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.TemporaryUser.Credentials += "x"
		}), "status.temporaryUser.credentials", 8192},
		{breakGlass, temporaryManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.TemporaryUser.IAMUser += "x"
		}), "status.temporaryUser.iamUser", 64},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.Facts.Bound = append(s.Facts.Bound, "one more")
		}), "status.facts.bound", 16},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.Facts.OtherAccess = append(s.Facts.OtherAccess, s.Facts.OtherAccess[0])
		}), "status.facts.otherAccess", 32},
		{breakGlass, emergencyManifest, emergency, emergencyWith(func(s *v1alpha1.BreakGlassStatus) {
			s.Facts.Changes = append(s.Facts.Changes, "one more")
		}), "status.facts.changes", 16},
	} {
		t.Run(c.name+" "+c.field, func(t *testing.T) {
			o := c.store(t, parse(t, c.manifest))
			answer, err := c.client().UpdateStatus(t.Context(), with(t, o, "status", c.full), dryRun)
			if err != nil {
				t.Fatal(err)
			}
			decodes(t, c.kind, answer)
			_, err = c.client().UpdateStatus(t.Context(), with(t, o, "status", c.more), dryRun)
			said := "must have at most %d items"
			if _, text := value(t, answer, c.field).(string); text {
				said = "may not be more than %d"
			}
			refused(t, err, c.field, "", fmt.Sprintf(said, c.most))
			if err := c.client().Delete(t.Context(), o.GetName(), metav1.DeleteOptions{}); err != nil {
				t.Error(err)
			}
		})
	}
}
