// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package api

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	apierrors "k8s.io/apimachinery/pkg/api/errors"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
)

// Public keys.
const (
	ageKey     = "age1ytmy5yhs92f9g6j3kmuq7mrzk2c97vryeh59la7ka67vq4qwefnqg4zn4e"
	ageKey2    = "age19dvy3hayh6nk7yh645ydrmhmqej34s9tndjjl9y92aes32tf5y7sx0yevt"
	ageKey3    = "age1s9dkpf9gpvr0kwu3t9rxd54hk89xezpdkdl0rwfrdctrp7gdfuvqqkzmjh"
	ed25519Key = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIOTLWEroHGMHThdkLXbbJ9UzRaLUMv/O39W6mlUifBWn"
	ecdsaKey   = "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBPO5rtcpWCMm8AiflJInhcFhi8pQ2dkdepg9W3sXrHwz/nO56F5LalUr35Q4W0QA3lM0QGUClb0QzpzdywOz3js="
)

// rsaKey is in the form of a public key of RSA, of so many characters.
func rsaKey(characters int) string {
	const start = "ssh-rsa AAAAB3NzaC1yc2EAAAADAQABAAABAQCo"
	return start + strings.Repeat("5", characters-len(start))
}

// quantumKey is in the form of a post-quantum public key of age, and as long as those are.
func quantumKey(c string) string { return "age1pq1" + strings.Repeat(c, 1952) }

const (
	notAKey     = "a recipient is a public key of age (age1…) or of SSH (ssh-ed25519 … or ssh-rsa …) on one line; plugins and other types of keys are not supported"
	privateKey  = "one of these is a private key: it is in other hands now, so make a new one, and name its public key, as age-keygen -y or ssh-keygen -y shows it"
	twice       = "each public key is named once, whatever the comment behind it"
	tooLarge    = "an RSA key has 4096 bits at most, so that there is room for what is encrypted to it"
	mixed       = "post-quantum keys (age1pq1…) are not mixed with others, which would undo what they are for, and there are 3 of them at most"
	either      = "name either subject, the person who gets access, or temporaryUser, for an IAM user that is made for this emergency"
	nowhere     = "a temporary user has access to AWS alone: leave namespaces out"
	notReorder  = "nothing in spec can be changed but report, not even the order of recipients: create another BreakGlass instead"
	recipientAt = "spec.temporaryUser.recipients"
)

func testTemporaryUser(t *testing.T) {
	base := parse(t, temporaryManifest)
	t.Run("or a subject", func(t *testing.T) {
		check(t, breakGlass, base, []row{
			{name: "neither", at: "spec.temporaryUser", to: absent{}, field: "spec", refused: either},
			{name: "both", at: "spec.subject", to: map[string]any{"iamUser": "alice"}, twin: absent{}, field: "spec", refused: either},
			{name: "in namespaces", at: "spec.namespaces", to: []string{"payments"}, twin: absent{}, refused: nowhere},
		})
	})
	t.Run("access key", func(t *testing.T) {
		const at = "spec.temporaryUser.accessKey"
		check(t, breakGlass, base, []row{
			{name: "absent", at: at, to: absent{}},
			{name: "none", at: at, to: "None"},
			{name: "made", at: at, to: "Create"},
			{name: "in another case", at: at, to: "create", twin: "Create", schema: "Unsupported value"},
			{name: "empty", at: at, to: "", twin: "None", schema: "Unsupported value"},
		})
	})
	t.Run("recipients", func(t *testing.T) {
		list := func(all ...string) []string { return all }
		check(t, breakGlass, base, []row{
			{name: "absent", at: recipientAt, to: absent{}, schema: "Required value"},
			{name: "none", at: recipientAt, to: []string{}, twin: list(ageKey), schema: "should have at least 1 items"},
			{name: "4 of different kinds", at: recipientAt, to: list(ageKey, ed25519Key, rsaKey(700), ageKey2)},
			{name: "5", at: recipientAt, to: list(ageKey, ed25519Key, rsaKey(700), ageKey2, ageKey3), twin: list(ageKey, ed25519Key, rsaKey(700), ageKey2), schema: "must have at most 4 items"},
			{name: "no list", at: recipientAt, to: ageKey, twin: list(ageKey), schema: "must be of type array"},
			{name: "3 post-quantum", at: recipientAt, to: list(quantumKey("q"), quantumKey("p"), quantumKey("z"))},
			{name: "4 post-quantum", at: recipientAt, to: list(quantumKey("q"), quantumKey("p"), quantumKey("z"), quantumKey("r")), twin: list(quantumKey("q"), quantumKey("p"), quantumKey("z")), refused: mixed},
			{name: "post-quantum beside another", at: recipientAt, to: list(quantumKey("q"), ageKey), twin: list(quantumKey("q"), quantumKey("p")), refused: mixed},
			{name: "another beside post-quantum", at: recipientAt, to: list(ed25519Key, quantumKey("q")), twin: list(ed25519Key, ageKey), refused: mixed},
			{name: "twice", at: recipientAt, to: list(ageKey, ageKey2, ageKey), twin: list(ageKey, ageKey2, ageKey3), refused: twice},
			{name: "twice, of SSH", at: recipientAt, to: list(ed25519Key, ed25519Key), twin: list(ed25519Key, rsaKey(700)), refused: twice},
			{name: "twice with other comments", at: recipientAt, to: list(ed25519Key+" alice", ageKey, ed25519Key+" alice@laptop"), twin: list(ed25519Key+" alice", ageKey), refused: twice},
			{name: "twice, once with a comment", at: recipientAt, to: list(ed25519Key, ed25519Key+" alice"), twin: list(ed25519Key), refused: twice},
			{name: "twice, once with a blank behind", at: recipientAt, to: list(ed25519Key, ed25519Key+" "), twin: list(ed25519Key + " "), refused: twice},
			{name: "two with the same comment", at: recipientAt, to: list(rsaKey(700)+" alice", rsaKey(701)+" alice")},
		})
		check(t, breakGlass, base, recipients())
	})
	unknownFields(t, breakGlass, base, "spec.temporaryUser")
}

// recipients are public keys, and what is none.
func recipients() []row {
	const field = recipientAt + "[1]"
	one := func(s string) []string { return []string{ageKey2, s} }
	rows := []row{
		{name: "longest", at: recipientAt, to: one(rsaKey(740) + " " + letters(1307))},
		{name: "too long", at: recipientAt, to: one(rsaKey(740) + " " + letters(1308)), twin: one(rsaKey(740) + " " + letters(1307)), refused: notAKey},
		{name: "endless", at: recipientAt, to: one(rsaKey(740) + " " + letters(3356)), field: field, twin: one(rsaKey(740) + " " + letters(1307)), schema: "may not be more than 4096"},
		{name: "RSA with more bits", at: recipientAt, to: one(rsaKey(741)), twin: one(rsaKey(740)), refused: tooLarge},
		{name: "RSA with more bits and a comment", at: recipientAt, to: one(rsaKey(741) + " alice"), twin: one(rsaKey(740) + " alice"), refused: tooLarge},
		{name: "a number", at: recipientAt, to: []any{ageKey2, 7}, field: field, schema: "must be of type string"},
		{name: "age", at: recipientAt, to: one(ageKey)},
		{name: "SSH", at: recipientAt, to: one(ed25519Key)},
		{name: "SSH with a comment", at: recipientAt, to: one(ed25519Key + " Alice's private key is on her laptop, 中村")},
	}
	for name, c := range map[string]struct{ bad, good string }{
		"blank":                         {" ", ageKey},
		"empty":                         {"", ageKey},
		"a word":                        {"alice", ageKey},
		"age in capitals":               {strings.ToUpper(ageKey), ageKey},
		"age with a comment":            {ageKey + " alice", ageKey},
		"age with a blank in front":     {" " + ageKey, ageKey},
		"age with a line feed":          {ageKey + "\n", ageKey},
		"age with another's letter":     {"age1b" + ageKey[5:], ageKey},
		"a prefix alone":                {"age1", ageKey},
		"a YubiKey":                     {"age1yubikey1" + ageKey[4:], ageKey},
		"a tag":                         {"age1tag1" + ageKey[4:], ageKey},
		"an identity of a plugin":       {"AGE-PLUGIN-YUBIKEY-1QQPSYQYFCDLX", ageKey},
		"two lines":                     {ageKey + "\n" + ageKey3, ageKey},
		"two lines of SSH":              {ed25519Key + " alice\n" + rsaKey(700), ed25519Key + " alice"},
		"a carriage return":             {ed25519Key + " alice\r", ed25519Key + " alice"},
		"ECDSA":                         {ecdsaKey, ed25519Key},
		"a security key":                {"sk-" + strings.Replace(ed25519Key, " ", "@openssh.com ", 1), ed25519Key},
		"a certificate":                 {strings.Replace(ed25519Key, " ", "-cert-v01@openssh.com ", 1), ed25519Key},
		"DSA":                           {"ssh-dss AAAAB3NzaC1kc3MAAACBAJ", ed25519Key},
		"options in front":              {`command="sh" ` + ed25519Key, ed25519Key},
		"SSH without its key":           {"ssh-ed25519", ed25519Key},
		"SSH without a key":             {"ssh-ed25519 alice@laptop", ed25519Key},
		"SSH with two blanks":           {strings.Replace(ed25519Key, " ", "  ", 1), ed25519Key},
		"a GitHub user":                 {"github:alice", ed25519Key},
		"a passphrase":                  {"correct horse battery staple", ageKey},
		"a public key in another shape": {"-----BEGIN PUBLIC KEY-----\nMCowBQYDK2VwAyEA\n-----END PUBLIC KEY-----", ed25519Key},
	} {
		rows = append(rows, row{name: name, at: recipientAt, to: one(c.bad), twin: one(c.good), refused: notAKey})
	}
	for name, key := range privateKeys() {
		rows = append(rows, row{name: name, at: recipientAt, to: one(key), twin: one(ed25519Key), refused: privateKey})
	}
	return rows
}

// secret stands in what looks like a private key, and must never come back.
const secret = "b3BlbnNzaHNlY3JldA"

// privateKeys have the form of private keys.
func privateKeys() map[string]string {
	pem := func(kind string, characters int) string {
		return fmt.Sprintf("-----BEGIN %s-----\n%s\n-----END %s-----\n", kind, strings.Repeat(secret, characters/len(secret)), kind)
	}
	return map[string]string{
		"a private key of age":                    "AGE-SECRET-KEY-1" + strings.ToUpper(secret),
		"a private key of age with a comment":     "# public key: " + ageKey + "\nAGE-SECRET-KEY-1" + secret,
		"a private key of age in small letters":   "age-secret-key-1" + secret,
		"a post-quantum private key of age":       "AGE-SECRET-KEY-PQ-1" + secret,
		"a private key of OpenSSH":                pem("OPENSSH PRIVATE KEY", 360),
		"a private key of OpenSSH with 4096 bits": pem("OPENSSH PRIVATE KEY", 3340),
		"a private key in PEM":                    pem("RSA PRIVATE KEY", 1600),
		"an encrypted private key":                pem("ENCRYPTED PRIVATE KEY", 1600),
		"a private key of PuTTY":                  "PuTTY-User-Key-File-3: ssh-ed25519\nPrivate-Lines: 1\n" + secret,
	}
}

// Whoever pastes a private key is told so, and nothing of it comes back: what the API server answers is in its audit log,
// which many more may read than have seen the key. So the rules of recipients stand on the list, and it is no set: the API
// server repeats a text that a rule refuses, and one that is twice in a set.
func TestNoKeyComesBack(t *testing.T) {
	base := parse(t, temporaryManifest)
	for name, key := range privateKeys() {
		t.Run(name, func(t *testing.T) {
			for what, o := range map[string]*unstructured.Unstructured{
				"a recipient":       with(t, base, recipientAt, []string{key}),
				"two recipients":    with(t, base, recipientAt, []string{key, key}),
				"no list":           with(t, base, recipientAt, key),
				"beside a mistake":  with(t, with(t, base, recipientAt, []string{ageKey, key}), "spec.duration", "1s"),
				"in a longer one":   with(t, base, recipientAt, []string{key + strings.Repeat(secret, 300)}),
				"in an object":      with(t, base, recipientAt, []any{map[string]any{"key": key}}),
				"the user":          with(t, base, "spec.temporaryUser", key),
				"among too many":    with(t, base, recipientAt, []string{key, key, key, key, key}),
				"of another status": with(t, with(t, base, recipientAt, []string{key}), "spec.subject", map[string]any{}),
			} {
				_, err := breakGlass.create(t, o, metav1.DryRunAll)
				var status apierrors.APIStatus
				if !errors.As(err, &status) {
					t.Fatalf("%s: got %v", what, err)
				}
				said, err := json.Marshal(status.Status())
				if err != nil {
					t.Fatal(err)
				}
				if strings.Contains(strings.ToLower(string(said)), strings.ToLower(secret)) {
					t.Errorf("%s: the key comes back: %s", what, said)
				}
			}
		})
	}
}

// temporaryChanges are of an emergency with a temporary user, in what one with a subject does not have.
var temporaryChanges = changes{
	"temporaryUser.recipients": []string{ageKey, ed25519Key + " mallory@laptop"}, "temporaryUser.accessKey": "None",
}

// What was asked for a temporary user stays: whose keys, their order, and that there is one at all.
func TestImmutableTemporaryUsers(t *testing.T) {
	full := breakGlass.store(t, parse(t, temporaryManifest))
	update := func(t *testing.T, path string, to any) error {
		t.Helper()
		_, err := breakGlass.update(t, with(t, full, path, to), metav1.DryRunAll)
		return err
	}
	for path, to := range map[string]any{"metadata.labels": map[string]any{"team": "payments"}, "spec.report.actions": "Nothing at all.", "spec.report": absent{}} {
		if err := update(t, path, to); err != nil {
			t.Errorf("%s: %v", path, err)
		}
	}
	for path, to := range emergencyChanges {
		if _, temporary := temporaryChanges[path]; temporary || strings.HasPrefix(path, "report.") || strings.HasPrefix(path, "subject.") || path == "namespaces" {
			continue
		}
		refused(t, update(t, "spec."+path, to), "spec", onlyReport, "")
	}
	for name, c := range map[string]struct {
		path string
		to   any
	}{
		"another recipient":    {recipientAt, temporaryChanges["temporaryUser.recipients"]},
		"one more":             {recipientAt, []string{ageKey, ed25519Key + " alice@laptop", ageKey2}},
		"one less":             {recipientAt, []string{ageKey}},
		"another order":        {recipientAt, []string{ed25519Key + " alice@laptop", ageKey}},
		"another comment":      {recipientAt, []string{ageKey, ed25519Key + " alice@desktop"}},
		"no access key":        {"spec.temporaryUser.accessKey", "None"},
		"the default":          {"spec.temporaryUser.accessKey", absent{}},
		"both, with a mistake": {"spec.temporaryUser", map[string]any{"recipients": []string{ageKey3}, "accessKey": "None"}},
	} {
		t.Run(name, func(t *testing.T) { refused(t, update(t, c.path, c.to), "spec.temporaryUser", notReorder, "") })
	}
	t.Run("the same once more", func(t *testing.T) {
		if err := update(t, "spec.temporaryUser", value(t, full, "spec.temporaryUser")); err != nil {
			t.Error(err)
		}
	})
	t.Run("an access key afterwards", func(t *testing.T) {
		without := with(t, parse(t, temporaryManifest), "spec.temporaryUser.accessKey", absent{})
		without.SetName("without-key")
		stored := breakGlass.store(t, without)
		_, err := breakGlass.update(t, with(t, stored, "spec.temporaryUser.accessKey", "Create"), metav1.DryRunAll)
		refused(t, err, "spec.temporaryUser", notReorder, "")
		if _, err := breakGlass.update(t, with(t, stored, "spec.temporaryUser.accessKey", "None"), metav1.DryRunAll); err != nil {
			t.Error(err)
		}
	})
	// Each of the two alone is a valid emergency.
	person := breakGlass.store(t, parse(t, emergencyManifest))
	for name, o := range map[string]*unstructured.Unstructured{
		"a subject instead":        with(t, with(t, full, "spec.temporaryUser", absent{}), "spec.subject", value(t, person, "spec.subject")),
		"a temporary user instead": with(t, with(t, with(t, person, "spec.subject", absent{}), "spec.namespaces", absent{}), "spec.temporaryUser", value(t, full, "spec.temporaryUser")),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := breakGlass.update(t, o, metav1.DryRunAll)
			refused(t, err, "spec", onlyReport, "")
		})
	}
	for name, o := range map[string]*unstructured.Unstructured{
		"a subject as well": with(t, full, "spec.subject", value(t, person, "spec.subject")), "nobody any more": with(t, full, "spec.temporaryUser", absent{}),
	} {
		t.Run(name, func(t *testing.T) {
			_, err := breakGlass.update(t, o, metav1.DryRunAll)
			said := map[string]bool{}
			for _, c := range complaints(t, err) {
				said[strings.TrimPrefix(c.Message, "Invalid value: ")] = c.Field == "spec"
			}
			if len(said) != 2 || !said[onlyReport] || !said[either] {
				t.Errorf("refused with %v", said)
			}
		})
	}
}
