// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access_test

import (
	"slices"
	"testing"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
)

func inAccount(id, name, kubernetesUsers string) access.User {
	u := access.User{UserID: id, Name: name, ARN: "arn:aws:iam::111122223333:user/people/" + name}
	if kubernetesUsers != "" {
		u.Tags = map[string]string{v1alpha1.KubernetesUsersTag: kubernetesUsers}
	}
	return u
}

func TestDirectory(t *testing.T) {
	d := access.NewDirectory(
		inAccount("AIDA3", "carol", ""),
		inAccount("AIDA1", "alice", "alice@hera.example  oidc:alice"),
		inAccount("AIDA2", "bob", "bob@hera.example"),
	)
	for _, pair := range []struct {
		a, b string
		same bool
	}{
		{"alice@hera.example", "oidc:alice", true},
		{"alice@hera.example", "alice", true},
		{"ALICE@hera.example", "Oidc:Alice", true},
		{"oidc:alice", "arn:aws:iam::111122223333:user/people/alice", true},
		{"arn:aws:iam::111122223333:user/alice", "alice@hera.example", true},
		{"carol", "arn:aws:iam::111122223333:user/people/carol", true},
		{"alice@hera.example", "bob@hera.example", false},
		{"alice", "carol", false},
		{"dave", "Dave", true},
		{"dave", "alice", false},
		{"dave", "erin", false},
	} {
		if d.Same(pair.a, pair.b) != pair.same || d.Same(pair.b, pair.a) != pair.same {
			t.Errorf("%s and %s: the same person is %v, want %v", pair.a, pair.b, d.Same(pair.a, pair.b), pair.same)
		}
	}
	for name, want := range map[string]string{
		"OIDC:alice": "AIDA1", "bob": "AIDA2", "arn:aws:iam::111122223333:user/people/carol": "AIDA3", "dave": "", "": "",
	} {
		if id, ok := d.Of(name); id != want || ok != (want != "") {
			t.Errorf("%q is %q %v, want %q", name, id, ok, want)
		}
	}
	want := []string{"alice", "arn:aws:iam::111122223333:user/people/alice", "AIDA1", "alice@hera.example", "oidc:alice"}
	if got := d.Names("oidc:alice"); !slices.Equal(got, want) {
		t.Errorf("alice's names are %q, want %q", got, want)
	}
	if got := d.Names("dave"); !slices.Equal(got, []string{"dave"}) {
		t.Errorf("a stranger's names are %q", got)
	}
	if got := d.Users("alice@hera.example"); len(got) != 1 || got[0].Name != "alice" {
		t.Errorf("alice's IAM users are %+v", got)
	}
}

// A name that two IAM users claim makes one person of them, whoever else shares names with either, in whatever order AWS
// lists them.
func TestI7SharedNamesAreOnePerson(t *testing.T) {
	users := []access.User{
		inAccount("AIDA1", "alice", "alice@hera.example"),
		inAccount("AIDA2", "alice-admin", "admin@hera.example Alice@hera.example"),
		inAccount("AIDA3", "robot", "alice-admin"),
		inAccount("AIDA4", "bob", "bob@hera.example"),
	}
	orders := [][]access.User{
		users,
		{users[3], users[2], users[1], users[0]},
		{users[0], users[2], users[3], users[1]},
	}
	for _, order := range orders {
		d := access.NewDirectory(order...)
		for _, name := range []string{"alice", "alice@hera.example", "admin@hera.example", "alice-admin", "robot"} {
			if !d.Same(name, "alice") || !d.Same("robot", name) {
				t.Errorf("%s is not the same person as alice and robot", name)
			}
			if len(d.Users(name)) != 3 || d.Users(name)[0].UserID != "AIDA1" {
				t.Errorf("%s has the IAM users %+v", name, d.Users(name))
			}
			if d.Same(name, "bob@hera.example") {
				t.Errorf("%s is taken for bob", name)
			}
		}
		// The IAM user of the name comes first, though another has the lower id.
		if id, _ := d.Of("alice-admin"); id != "AIDA2" {
			t.Errorf("alice-admin is %s", id)
		}
		if id, _ := d.Of("ALICE@hera.example"); id != "AIDA1" {
			t.Errorf("the shared name is %s, want that of the lowest id", id)
		}
	}
}

func TestZeroDirectoryKnowsNobody(t *testing.T) {
	var d access.Directory
	if id, ok := d.Of("alice"); ok || id != "" {
		t.Errorf("alice is %q", id)
	}
	if !d.Same("alice", "ALICE") || !d.Same("alice", "arn:aws:iam::111122223333:user/alice") || d.Same("alice", "bob") {
		t.Error("names are not compared as they are")
	}
	if got := d.Names("alice"); !slices.Equal(got, []string{"alice"}) || d.Users("alice") != nil {
		t.Errorf("alice has the names %q and users %v", got, d.Users("alice"))
	}
}

// The directory and the comparison of two names alone agree on what case is, beyond ASCII too.
func TestDirectoryFoldsCaseAsComparisonDoes(t *testing.T) {
	d := access.NewDirectory(inAccount("AIDA1", "alice", "ſtraße@hera.example"), inAccount("AIDA2", "bob", "ÉRIN@hera.example"))
	for name, want := range map[string]string{"Straße@hera.example": "alice", "érin@HERA.example": "bob"} {
		if !d.Same(name, want) {
			t.Errorf("%s is not %s", name, want)
		}
	}
	if _, ok := d.Of("strasse@hera.example"); ok {
		t.Error("another spelling is taken for another case")
	}
}
