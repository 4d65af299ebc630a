// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package e2e

import (
	"context"
	"strings"
	"testing"
	"time"

	rbacv1 "k8s.io/api/rbac/v1"
	"k8s.io/apimachinery/pkg/api/meta"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// TestI5RemovalsAtOnce has bindings deleted by somebody else. A few are a person's decision; as much as all that there is,
// is an accident until somebody says otherwise: a restored backup, a run of another tool. Nothing is given back either way.
func TestI5RemovalsAtOnce(t *testing.T) {
	t.Run("a few are meant", func(t *testing.T) {
		start(t)
		grants := grantedMany(t, 8)
		lose(t, grants[:3])
		for _, g := range grants[:3] {
			reaches(t, g, v1alpha1.StateRevoked)
			has(t, g, false)
			if !remembered(t, g) {
				t.Errorf("nothing remembers that %s was taken away", g.Name)
			}
		}
		for _, g := range grants[3:] {
			reaches(t, g, v1alpha1.StateGranted)
			has(t, g, true)
		}
	})

	t.Run("all of them are held", func(t *testing.T) {
		p := start(t)
		grants := grantedMany(t, 8)
		lose(t, grants)
		held(t, grants)

		confirmed, rest := grants[0], grants[1:]
		if err := admin.Patch(t.Context(), &v1alpha1.ProdAccessGrant{ObjectMeta: metav1.ObjectMeta{Name: confirmed.Name}},
			client.RawPatch("application/merge-patch+json", []byte(`{"metadata":{"annotations":{"`+v1alpha1.ConfirmRemovalAnnotation+`":"true"}}}`))); err != nil {
			t.Fatal(err)
		}
		reaches(t, confirmed, v1alpha1.StateRevoked)
		has(t, confirmed, false)
		if !remembered(t, confirmed) {
			t.Errorf("nothing remembers that %s was taken away", confirmed.Name)
		}

		// The next operator has not seen how many went at once, and takes nothing for meant that its predecessor held.
		if err := p.Stop(); err != nil {
			t.Fatal(err)
		}
		start(t)
		leads(t, soon)
		settled := time.Now().Add(2 * settling)
		past(t, settled)
		held(t, rest)
		for _, g := range rest {
			if remembered(t, g) {
				t.Errorf("%s is held, and something remembers that it has ended", g.Name)
			}
		}
	})
}

// settling is how long the operator looks at what is gone before it takes that for a person's decision.
const settling = 3 * time.Second

func grantedMany(t *testing.T, n int) []*v1alpha1.ProdAccessGrant {
	t.Helper()
	var grants []*v1alpha1.ProdAccessGrant
	for range n {
		g := request(t, person("alice"), "infra-member", nil)
		approve(t, g)
		grants = append(grants, g)
	}
	for _, g := range grants {
		reaches(t, g, v1alpha1.StateGranted)
		has(t, g, true)
	}
	return grants
}

// lose lets an administrator delete the bindings of grants.
func lose(t *testing.T, grants []*v1alpha1.ProdAccessGrant) {
	t.Helper()
	for _, g := range grants {
		if err := admin.Delete(t.Context(), &rbacv1.ClusterRoleBinding{ObjectMeta: metav1.ObjectMeta{Name: access.BindingName(g)}}); err != nil {
			t.Fatal(err)
		}
	}
}

// held checks that grants without their bindings are neither ended nor mended.
func held(t *testing.T, grants []*v1alpha1.ProdAccessGrant) {
	t.Helper()
	for _, g := range grants {
		eventually(t, soon, "the removal of "+g.Name+" is held", func(ctx context.Context) (bool, error) {
			err := admin.Get(ctx, client.ObjectKeyFromObject(g), g)
			c := meta.FindStatusCondition(g.Status.Conditions, v1alpha1.ConditionBindingsSynced)
			return c.Reason == v1alpha1.ReasonRemovalHeld && strings.Contains(c.Message, "kubectl annotate pag "+g.Name), err
		})
		reaches(t, g, v1alpha1.StateGranted)
		if len(bindings(t, g)) > 0 {
			t.Errorf("the binding of %s was given back", g.Name)
		}
		if !iam.IsMember("hera-prod-infra-member", g.Spec.Subject.IAMUser) {
			t.Errorf("%s is held, and its membership was taken away", g.Name)
		}
	}
}

// remembered says whether the operator has written down that a request has ended.
func remembered(t *testing.T, g *v1alpha1.ProdAccessGrant) bool {
	t.Helper()
	var list v1alpha1.AccessRevocationList
	if err := admin.List(t.Context(), &list); err != nil {
		t.Fatal(err)
	}
	for _, r := range list.Items {
		if of := r.Spec.Grant; of != nil && of.Name == g.Name && of.SpecDigest == g.Status.SpecDigest && r.Spec.RevokedBy == account {
			return true
		}
	}
	return false
}
