// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"reflect"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

// What is hashed, as text. These strings are part of the API: approvals are bound to their digests, so a change here
// voids every approval that exists.
const (
	goldenSpec = "access.hera.dev/spec/v1\n" +
		`{"changeTicket":"CHG-1042","expiresAt":"2026-11-23T13:00:00Z","incident":"INC-7","namespaces":["payments","billing"],` +
		`"notBefore":"2026-11-23T09:00:00Z","reason":"the disk of <ledger> & co is full – \"now\"","requestedBy":"dana","reviewedBy":["bob","carol"],` +
		`"role":"infra-member","stagingEvidence":"https://ci.hera.example/42","subject":{"iamUser":"alice","kubernetesUser":"alice@hera.example"}}`
	goldenMeaning = "access.hera.dev/meaning/v1\n" +
		`{"groups":["prod-a","prod-b"],"kubernetes":{"access":"ReadWrite","clusterRole":"prod-access-infra-member","scope":"Namespaces"},"rulesHash":"sha256:rules"}`
	goldenApproval = "access.hera.dev/approval/v1\n" + `["7f3c","sha256:spec","sha256:meaning"]`

	goldenSpecDigest = "sha256:89c7028d18a89413dd6733722fee8c11e6065873519cf7d1e64773dd5f2a1adb"
)

func fullSpec() v1alpha1.ProdAccessGrantSpec {
	return v1alpha1.ProdAccessGrantSpec{
		Subject: v1alpha1.Subject{IAMUser: "alice", KubernetesUser: "alice@hera.example"}, Role: "infra-member",
		Namespaces: []v1alpha1.NamespaceName{"payments", "billing"}, Reason: "the disk of <ledger> & co is full – \"now\"",
		ChangeTicket: "CHG-1042", StagingEvidence: "https://ci.hera.example/42", Incident: "INC-7",
		RequestedBy: "dana", ReviewedBy: []v1alpha1.Username{"bob", "carol"},
		NotBefore: new(metav1.NewTime(begin)), ExpiresAt: metav1.NewTime(begin.Add(4 * time.Hour)),
	}
}

func fullRole() *access.Role {
	return &access.Role{Name: "infra-member", RulesHash: "sha256:rules", Spec: v1alpha1.AccessRoleSpec{
		Kubernetes: &v1alpha1.KubernetesRole{Scope: v1alpha1.ScopeNamespaces, ClusterRole: "prod-access-infra-member", Access: v1alpha1.AccessReadWrite},
		AWS:        &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"prod-b", "prod-a"}},
	}}
}

func sum(text string) string {
	h := sha256.Sum256([]byte(text))
	return "sha256:" + hex.EncodeToString(h[:])
}

func TestI1GoldenDigests(t *testing.T) {
	spec := fullSpec()
	for field, value := range reflect.ValueOf(spec).Fields() {
		if value.IsZero() {
			t.Errorf("the golden spec does not set %s", field.Name)
		}
	}
	if got := access.SpecDigest(&spec); got != sum(goldenSpec) || got != goldenSpecDigest {
		t.Errorf("the digest of the spec is %s; of its text %s; pinned %s", got, sum(goldenSpec), goldenSpecDigest)
	}
	if got := fullRole().MeaningDigest(); got != sum(goldenMeaning) {
		t.Errorf("the digest of the meaning is %s, want that of %s", got, goldenMeaning)
	}
	if got := access.ApprovalDigest("7f3c", "sha256:spec", "sha256:meaning"); got != sum(goldenApproval) {
		t.Errorf("the digest of the approval is %s, want that of %s", got, goldenApproval)
	}
}

// The same request has the same digest, however its manifest is written.
func TestSpecDigestOfManifests(t *testing.T) {
	manifests := []string{
		`{"subject":{"iamUser":"alice"},"role":"r","reason":"because of it","requestedBy":"dana","expiresAt":"2026-11-23T13:00:00Z"}`,
		`{"expiresAt":"2026-11-23T13:00:00Z","requestedBy":"dana","reason":"because of it","role":"r","subject":{"iamUser":"alice"}}`,
		`{"subject":{"iamUser":"alice","kubernetesUser":""},"namespaces":[],"changeTicket":"","stagingEvidence":"","incident":"","reviewedBy":null,
		  "notBefore":null,"role":"r","reason":"because\u0020of it","requestedBy":"dana","expiresAt":"2026-11-23T14:00:00+01:00"}`,
		`{"aFieldOfTheFuture":"at its default","subject":{"iamUser":"alice"},"role":"r","reason":"because of it","requestedBy":"dana","expiresAt":"2026-11-23T13:00:00Z"}`,
	}
	var first string
	for _, m := range manifests {
		var spec v1alpha1.ProdAccessGrantSpec
		if err := json.Unmarshal([]byte(m), &spec); err != nil {
			t.Fatal(err)
		}
		if d := access.SpecDigest(&spec); first == "" {
			first = d
		} else if d != first {
			t.Errorf("%s has the digest %s, and the first manifest %s", m, d, first)
		}
	}
}

// Every field of the request, and every part of what a role means, changes the digest; nothing else does.
func TestI1DigestsAreOfEverything(t *testing.T) {
	whole := fullSpec()
	seen := map[string]string{access.SpecDigest(&whole): "nothing"}
	for i := range reflect.TypeOf(whole).NumField() {
		spec := fullSpec()
		name := reflect.TypeOf(spec).Field(i).Name
		reflect.ValueOf(&spec).Elem().Field(i).SetZero()
		d := access.SpecDigest(&spec)
		if other, ok := seen[d]; ok {
			t.Errorf("leaving out %s has the same digest as leaving out %s", name, other)
		}
		seen[d] = name
	}

	meaning := fullRole().MeaningDigest()
	same := map[string]func(*access.Role){
		"order of groups": func(r *access.Role) { r.Spec.AWS.Groups = []v1alpha1.IAMGroupName{"prod-a", "prod-b"} },
		"networks":        func(r *access.Role) { r.Spec.AWS.AllowedSourceCIDRs = []v1alpha1.CIDR{"203.0.113.0/24"} },
		"description":     func(r *access.Role) { r.Spec.Description = "x" },
		"approvals":       func(r *access.Role) { r.Spec.Approval.Required = 3 },
		"duration":        func(r *access.Role) { r.Spec.MaxDuration.Duration = time.Hour },
		"forbidden":       func(r *access.Role) { r.Forbidden, r.NotReady = "x", "x" },
	}
	for name, change := range same {
		r := fullRole()
		change(r)
		if r.MeaningDigest() != meaning {
			t.Errorf("%s: part of the meaning", name)
		}
	}
	other := map[string]func(*access.Role){
		"group more":    func(r *access.Role) { r.Spec.AWS.Groups = append(r.Spec.AWS.Groups, "prod-c") },
		"group less":    func(r *access.Role) { r.Spec.AWS.Groups = r.Spec.AWS.Groups[:1] },
		"no AWS":        func(r *access.Role) { r.Spec.AWS = nil },
		"no Kubernetes": func(r *access.Role) { r.Spec.Kubernetes = nil },
		"ClusterRole":   func(r *access.Role) { r.Spec.Kubernetes.ClusterRole = "cluster-admin" },
		"scope":         func(r *access.Role) { r.Spec.Kubernetes.Scope = v1alpha1.ScopeCluster },
		"access":        func(r *access.Role) { r.Spec.Kubernetes.Access = v1alpha1.AccessReadOnly },
		"rules":         func(r *access.Role) { r.RulesHash = "sha256:more" },
	}
	for name, change := range other {
		r := fullRole()
		change(r)
		if r.MeaningDigest() == meaning {
			t.Errorf("%s: not part of the meaning", name)
		}
	}
}

// Where one part ends and the next begins is part of what is hashed.
func TestDigestsDoNotRunTogether(t *testing.T) {
	if access.ApprovalDigest("a", "b", "c") == access.ApprovalDigest("ab", "", "c") {
		t.Error("uid and spec run together")
	}
	one := &access.Role{Spec: v1alpha1.AccessRoleSpec{AWS: &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"a,b"}}}}
	two := &access.Role{Spec: v1alpha1.AccessRoleSpec{AWS: &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{"a", "b"}}}}
	if one.MeaningDigest() == two.MeaningDigest() {
		t.Error("groups run together")
	}
}

// Any text has a digest, and another text another.
func FuzzSpecDigest(f *testing.F) {
	f.Add("because", "because of it")
	f.Add("a\u2028b", "a\u2029b")
	f.Add("\x00", "\x01")
	f.Add("<&>", "\\u003c")
	f.Add("\U0001F600", "\"")
	f.Fuzz(func(t *testing.T, a, b string) {
		digest := func(reason string) string { return access.SpecDigest(&v1alpha1.ProdAccessGrantSpec{Reason: reason}) }
		valid := strings.ToValidUTF8(a, "\ufffd") == a && strings.ToValidUTF8(b, "\ufffd") == b
		if valid && (digest(a) == digest(b)) != (a == b) {
			t.Errorf("%q and %q", a, b)
		}
		_, _ = digest(a), digest(b)
	})
}
