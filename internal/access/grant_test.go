// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

var states = []string{
	"", v1alpha1.StatePendingApproval, v1alpha1.StateScheduled, v1alpha1.StateBlocked, v1alpha1.StateGranting, v1alpha1.StateGranted,
	v1alpha1.StateSuspended, v1alpha1.StateRevoking, v1alpha1.StateExpired, v1alpha1.StateRevoked, v1alpha1.StateRejected,
}

// on is a grant with one membership on record.
func on(state string, intended, observed bool) *v1alpha1.ProdAccessGrant {
	g := &v1alpha1.ProdAccessGrant{Spec: v1alpha1.ProdAccessGrantSpec{ExpiresAt: metav1.NewTime(begin.Add(time.Hour))}}
	if state != "" {
		g.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: state}}
	}
	g.Status.AWS.Groups = []v1alpha1.GroupMembership{{Name: "prod-one", Intended: intended, Observed: observed}}
	return g
}

func TestI4Covers(t *testing.T) {
	for _, state := range states {
		for _, intended := range []bool{false, true} {
			for _, observed := range []bool{false, true} {
				g := on(state, intended, observed)
				want := intended && (state == v1alpha1.StateGranting || state == v1alpha1.StateGranted)
				if got := access.Covers(g, "prod-one", begin); got != want {
					t.Errorf("%s, intended %v, observed %v: covers %v", state, intended, observed, got)
				}
				if access.Covers(g, "prod-two", begin) {
					t.Errorf("%s covers another group", state)
				}
			}
		}
	}
	for name, spoil := range map[string]func(*v1alpha1.ProdAccessGrant){
		"deleted":                func(g *v1alpha1.ProdAccessGrant) { g.DeletionTimestamp = new(metav1.NewTime(begin)) },
		"over":                   func(g *v1alpha1.ProdAccessGrant) { g.Spec.ExpiresAt = metav1.NewTime(begin) },
		"over by what is stored": func(g *v1alpha1.ProdAccessGrant) { g.Status.ExpiresAt = new(metav1.NewTime(begin)) },
	} {
		g := on(v1alpha1.StateGranted, true, true)
		g.Status.ExpiresAt = new(metav1.NewTime(begin.Add(1)))
		if !access.Covers(g, "prod-one", begin) {
			t.Errorf("%s: the twin does not cover", name)
		}
		spoil(g)
		if access.Covers(g, "prod-one", begin) {
			t.Errorf("%s: covers", name)
		}
	}
	// To IAM they are one group: another grant's spelling of it must not take it away.
	if g := on(v1alpha1.StateGranted, true, true); !access.Covers(g, "PROD-one", begin) || !access.Claims(g, "PROD-one") {
		t.Error("in capitals it is another group")
	}
}

func TestI9Claims(t *testing.T) {
	for _, state := range states {
		for _, intended := range []bool{false, true} {
			for _, observed := range []bool{false, true} {
				g := on(state, intended, observed)
				want := observed || intended && state != v1alpha1.StateSuspended
				if got := access.Claims(g, "prod-one"); got != want {
					t.Errorf("%s, intended %v, observed %v: claims %v", state, intended, observed, got)
				}
				if got := access.MayExist(g); got != want {
					t.Errorf("%s, intended %v, observed %v: may exist %v", state, intended, observed, got)
				}
				if access.Claims(g, "prod-two") {
					t.Errorf("%s claims another group", state)
				}
				b := on(state, false, false)
				b.Status.Kubernetes.Bindings = []v1alpha1.GrantBinding{{Intended: intended, Observed: observed}}
				if got := access.MayExist(b); got != want {
					t.Errorf("%s, binding intended %v, observed %v: may exist %v", state, intended, observed, got)
				}
			}
		}
	}
}

func TestTerminal(t *testing.T) {
	for _, state := range states {
		want := strings.Contains("Expired Revoked Rejected", state) && state != ""
		if access.Terminal(state) != want {
			t.Errorf("%s: terminal %v", state, !want)
		}
		if got := access.StateOf(on(state, false, false)); got != state {
			t.Errorf("the state of %s is %s", state, got)
		}
	}
}

func TestBindingName(t *testing.T) {
	name := func(n, uid string) string {
		return access.BindingName(&v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: n, UID: types.UID(uid)}})
	}
	if got := name("ledger-disk", "7f3c"); got != "prod-access-ledger-disk-49c193240e" {
		t.Errorf("%s: the names of bindings that exist have changed", got)
	}
	if name("a", "1") == name("a", "2") || name("a", "1") == name("b", "1") {
		t.Error("two grants have one name")
	}
	if got := name(strings.Repeat("x", 253), "1"); len(got) != 63 {
		t.Errorf("%d bytes: %s", len(got), got)
	}
}
