// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"context"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/test/operator"
)

const (
	// An operator that died left one of them when the deadline passed; the other stands further off than any emergency.
	pastFence   = "prod-access-fence-" + cluster + "-20260101T000000Z"
	futureFence = "prod-access-fence-elsewhere-20990101T000000Z"
)

// TestRunbook carries the pages out. The parts share a cluster, and have people and incidents of their own.
func TestRunbook(t *testing.T) {
	s := newSite(t)
	// First, because AWS makes no other credential report for hours once an operator has had one made.
	t.Run("the sealed user", func(t *testing.T) { sealedAndUsed(t, s) })
	t.Run("the operator is dead and comes back", func(t *testing.T) { deadAndBack(t, s) })
	t.Run("a role in namespaces", func(t *testing.T) { inNamespaces(t, s) })
	t.Run("without MFA", func(t *testing.T) { withoutMFA(t, s) })
	t.Run("AWS cannot be reached", func(t *testing.T) { unreachable(t, s) })
	t.Run("the guard is broken", func(t *testing.T) { brokenGuard(t, s) })
	t.Run("every block was carried out", func(t *testing.T) {
		for _, b := range withoutOperator.blocks(t) {
			if !s.executed[b.name] {
				t.Errorf("nothing carries out the block %s", b.name)
			}
		}
	})
}

// open opens both sides by the page, and looks at what came of it.
func (e *emergency) open(t *testing.T) *rbacv1.ClusterRoleBinding {
	t.Helper()
	e.may(t, false, "delete", "pods", "default")
	e.paste(t, "open-kubernetes")
	e.paste(t, "open-aws")
	e.may(t, true, "delete", "pods", "default")
	e.member(t, true)
	says(t, e.iam.UserPolicies(e.person)[e.byHand()], `"Effect":"Deny","Action":"*"`, "aws:CurrentTime")
	b := e.binding(t)
	if b == nil || b.Labels["prod-access/emergency"] != "by-hand" || b.Annotations["prod-access/incident"] != e.values["incident"] ||
		b.Annotations["prod-access/opened-by"] == "" || b.Annotations["prod-access/until"] == "" {
		t.Fatalf("the binding does not say that, by whom and until when it was made by hand: %+v", b)
	}
	lines := strings.Fields(e.paste(t, "check-open"))
	if want := []string{e.person, "yes"}; !slices.Equal(lines, want) {
		t.Errorf("check-open prints %q, want %q", lines, want)
	}
	return b
}

// close closes both sides by the page, and looks at what came of it.
func (e *emergency) close(t *testing.T) {
	t.Helper()
	e.paste(t, "close-kubernetes")
	e.paste(t, "close-aws")
	e.closed(t)
	e.paste(t, "close-denial")
	if left := e.iam.UserPolicies(e.person); left[e.byHand()] != "" {
		t.Errorf("the denial stays: %v", left)
	}
}

func (e *emergency) closed(t *testing.T) {
	t.Helper()
	e.may(t, false, "delete", "pods", "default")
	e.member(t, false)
	if b := e.binding(t); b != nil {
		t.Errorf("the binding stays: %+v", b)
	}
	out, err := e.try(t, "check-closed")
	if exitCode(err) != 1 || !strings.HasSuffix(strings.TrimSpace(out), "no") || strings.Contains(out, e.person) || strings.Contains(out, "yes") {
		t.Errorf("check-closed: %v, want the exit code 1 of a no, and nothing of %s:\n%s", err, e.person, out)
	}
}

func deadAndBack(t *testing.T, s *site) {
	p := s.start(t)
	s.guarded(t)
	// Gwen's access is ended by hand, while nobody else could.
	gwen := s.emergency(t, "gwen", "infra-member", nil)
	granted := gwen.ask(t)
	s.reaches(t, granted, v1alpha1.StateGranted)
	gwen.may(t, true, "delete", "pods", "default")
	p.Kill()
	s.kubectl(t, "delete", "clusterrolebinding", access.BindingName(granted))

	e := s.emergency(t, "alice", "infra-manager", nil)
	says(t, e.paste(t, derive), "alice (alice@hera.example): prod-access-infra-manager in Kubernetes (Cluster ), hera-prod-infra-manager in AWS", "MFA devices: 1")
	says(t, e.paste(t, "look"), "prod-access-controller-manager   0/2", "lease of ", ", renewed 20", "infra-manager       Ready   True")
	e.paste(t, "restart")
	for _, fence := range []string{pastFence, futureFence} {
		fenced(t, s, e.person, fence)
	}
	says(t, e.paste(t, "look-person"), "alice@hera.example", ":mfa/alice-", pastFence)
	by := e.open(t)
	if left := s.iam.UserPolicies(e.person); left[pastFence] != "" || left[futureFence] == "" {
		t.Errorf("alice has %q, want the fence of the past gone, which denies everything, and that of the future kept", slices.Sorted(maps.Keys(left)))
	}
	if err := s.iam.Admin("DeleteUserPolicy", map[string]string{"UserName": e.person, "PolicyName": futureFence}); err != nil {
		t.Fatal(err)
	}
	e.paste(t, "record")
	record, err := os.ReadFile(filepath.Join(e.dir, e.byHand()+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	says(t, string(record), "infra-manager for alice (alice@hera.example), INC-alice, by ", "name: "+e.byHand(), "prod-access/until")

	// Somebody whom an operator that died left in the group, as their fence tells: when that has gone, all was looked at that
	// an operator takes away when it is back.
	s.iam.AddUser(fake.User{Name: "leftover", MFA: true})
	fenced(t, s, "leftover", pastFence)
	s.iam.AddMember("hera-prod-infra-manager", "leftover")
	s.start(t)
	e.stranger(t, true)
	eventually(t, "the operator has taken the leftover away", func(context.Context) (bool, error) {
		return !s.iam.IsMember("hera-prod-infra-manager", "leftover"), nil
	})
	e.member(t, true)
	e.may(t, true, "delete", "pods", "default")
	e.untouched(t, by)
	if s.iam.UserPolicies(e.person)[e.byHand()] == "" {
		t.Error("the operator has removed the denial")
	}
	says(t, e.paste(t, "look-back"), "alice", e.byHand())
	s.reaches(t, granted, v1alpha1.StateRevoked)
	gwen.closed(t)
	// What alice has is nobody's grant, and a grant does not take it over.
	planned := e.ask(t)
	s.reaches(t, planned, v1alpha1.StateBlocked)
	synced := meta.FindStatusCondition(planned.Status.Conditions, v1alpha1.ConditionMembershipsSynced)
	if synced == nil || synced.Reason != v1alpha1.ReasonForeignMembership {
		t.Errorf("the grant of somebody who is in the group by hand: %+v, want %s", synced, v1alpha1.ReasonForeignMembership)
	}
	if err := s.admin.Delete(t.Context(), planned); err != nil {
		t.Fatal(err)
	}
	e.member(t, true)
	// An emergency is opened beside it, and leaves it alone when it ends.
	e.openAndEnd(t)
	e.member(t, true)
	e.may(t, true, "delete", "pods", "default")
	e.untouched(t, by)

	e.close(t)
	e.stranger(t, false)
	if out := e.paste(t, "look-back"); strings.Contains(out, "alice") {
		t.Errorf("look-back still names alice:\n%s", out)
	}
}

// fenced gives somebody a fence.
func fenced(t *testing.T, s *site, person, name string) {
	t.Helper()
	const deny = `{"Version":"2012-10-17","Statement":[{"Effect":"Deny","Action":"*","Resource":"*"}]}`
	if err := s.iam.Admin("PutUserPolicy", map[string]string{"UserName": person, "PolicyName": name, "PolicyDocument": deny}); err != nil {
		t.Fatal(err)
	}
}

func inNamespaces(t *testing.T, s *site) {
	e := s.emergency(t, "dora", "developer", map[string]string{"namespaces": "payments", "check": "list pods"})
	e.may(t, false, "list", "pods", "payments")
	e.paste(t, "open-kubernetes")
	e.paste(t, "open-aws")
	e.may(t, true, "list", "pods", "payments")
	e.may(t, false, "list", "pods", "default")
	e.may(t, false, "delete", "pods", "payments")
	if denied := s.iam.UserPolicies(e.person); len(denied) > 0 {
		t.Errorf("a role without IAM groups needs no denial in AWS: %v", denied)
	}
	says(t, e.paste(t, "check-open"), "yes")
	e.paste(t, "close-kubernetes")
	e.paste(t, "close-aws")
	e.may(t, false, "list", "pods", "payments")
	if out, err := e.try(t, "check-closed"); exitCode(err) != 1 || strings.TrimSpace(out[strings.LastIndex(strings.TrimSpace(out), "\n")+1:]) != "no" {
		t.Errorf("check-closed: %v\n%s", err, out)
	}

	// A role in namespaces is not bound anywhere if none is named.
	e.values["namespaces"] = ""
	e.paste(t, "open-kubernetes")
	if b := e.binding(t); b != nil {
		t.Errorf("a role in namespaces was bound in the whole cluster: %+v", b)
	}
}

func withoutMFA(t *testing.T, s *site) {
	e := s.emergency(t, "mallory", "infra-member", nil)
	s.iam.RemoveMFA(e.person)
	says(t, e.paste(t, "open-kubernetes"), "STOP: mallory has no MFA device")
	says(t, e.paste(t, "open-aws"), "STOP: no MFA device of mallory is known")
	e.closed(t)
	if left := s.iam.UserPolicies(e.person); len(left) > 0 {
		t.Errorf("a block that stops has written %v", left)
	}

	s.iam.AddMFA(e.person)
	e.open(t)
	e.close(t)
}

func unreachable(t *testing.T, s *site) {
	e := s.emergency(t, "carol", "infra-member", nil)
	e.endpoint = "http://127.0.0.1:1" // nothing listens there
	says(t, e.paste(t, "open-kubernetes"), "STOP: AWS does not say whether carol has an MFA device")
	e.may(t, false, "delete", "pods", "default")
	e.mfa = "unverified"
	says(t, e.paste(t, "open-aws"), "STOP: no MFA device of carol is known")
	e.paste(t, "open-kubernetes")
	e.may(t, true, "delete", "pods", "default")
	e.member(t, false)

	// AWS comes back, the other side follows, and AWS goes away again before it is closed.
	e.mfa, e.endpoint = "", s.iamURL
	e.paste(t, "open-aws")
	e.member(t, true)
	e.endpoint = "http://127.0.0.1:1"
	e.paste(t, "close-kubernetes")
	if out, err := e.try(t, "close-aws"); err == nil {
		t.Errorf("close-aws does not tell that AWS cannot be reached:\n%s", out)
	}
	e.paste(t, "leave-to-operator")
	e.member(t, true)

	s.start(t)
	eventually(t, "the AccessRevocation is carried out", func(ctx context.Context) (bool, error) {
		var all v1alpha1.AccessRevocationList
		err := s.admin.List(ctx, &all)
		for _, r := range all.Items {
			if m := r.Spec.Membership; m != nil && m.IAMUser == "carol" && meta.IsStatusConditionTrue(r.Status.Conditions, v1alpha1.ConditionReady) {
				return true, nil
			}
		}
		return false, err
	})
	e.endpoint = s.iamURL
	e.closed(t)
	e.paste(t, "close-denial")
}

// brokenGuard has one policy deleted and another changed so that it refuses every binding, while no operator runs. An
// operator comes back before the guard is mended.
func brokenGuard(t *testing.T, s *site) {
	e := s.emergency(t, "bob", "infra-manager", nil)
	if out, err := e.try(t, "look-guard"); err != nil {
		t.Fatalf("a guard that is whole differs: %v\n%s", err, out)
	}
	const refuseAll = `[{"op": "replace", "path": "/spec/validations/0/expression", "value": "false"}]`
	s.kubectl(t, "delete", "validatingadmissionpolicy", "prod-access-revocations")
	s.kubectl(t, "patch", "validatingadmissionpolicy", "prod-access-bindings", "--type=json", "-p", refuseAll)
	eventually(t, "the changed policy refuses every binding", func(ctx context.Context) (bool, error) {
		_, err := s.cp.Kubectl(ctx, "", "create", "clusterrolebinding", "any", "--clusterrole=view", "--user=any", "--dry-run=server")
		return err != nil, nil
	})
	out, err := e.try(t, "look-guard")
	if exitCode(err) != 1 {
		t.Errorf("look-guard: %v, want the exit code 1 of a difference", err)
	}
	says(t, out, "prod-access-revocations", `expression: "false"`)

	out, err = e.try(t, "open-kubernetes")
	if err == nil {
		t.Fatal("the changed policy does not refuse the binding")
	}
	says(t, out, "ValidatingAdmissionPolicy 'prod-access-bindings'", "denied request")
	says(t, e.paste(t, "may-administer"), "yes")
	says(t, e.paste(t, "pass-policy"), "created (server dry run)")
	by := e.open(t)

	s.start(t)
	eventually(t, "the operator tells that the guard is broken", func(ctx context.Context) (bool, error) {
		var role v1alpha1.AccessRole
		err := s.admin.Get(ctx, client.ObjectKey{Name: "infra-manager"}, &role)
		c := meta.FindStatusCondition(role.Status.Conditions, v1alpha1.ConditionGuardIntact)
		return c != nil && c.Status == "False" && strings.Contains(c.Message, "prod-access-revocations"), err
	})
	e.stranger(t, true)
	e.member(t, true)
	e.untouched(t, by)

	e.paste(t, "mend-guard")
	s.guarded(t)
	if err := operator.WaitForAdmission(t.Context(), s.cp); err != nil {
		t.Error(err)
	}
	if out, err := e.try(t, "look-guard"); err != nil {
		t.Errorf("the guard was mended and differs: %v\n%s", err, out)
	}
	e.member(t, true)
	e.may(t, true, "delete", "pods", "default")
	e.untouched(t, by)
	e.close(t)
	e.stranger(t, false)
}
