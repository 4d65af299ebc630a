// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	testclock "k8s.io/utils/clock/testing"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

// sealedGlass is an emergency with credentials, and the file of the private key that opens them.
func sealedGlass(t *testing.T, change func(*sealed.Credentials)) (b *v1alpha1.BreakGlass, file string) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	c := sealed.Credentials{
		Emergency: "alice-inc-7", IAMUser: "bg-alice-inc-7-0c9d1a52", ConsoleURL: "https://hera.signin.aws.amazon.com/console", Password: "CORRECT-horse-9",
		MFASerial: "arn:aws:iam::111122223333:mfa/prod-access/break-glass/bg-alice-inc-7-0c9d1a52", OTPAuth: "otpauth://totp/AWS:bg?issuer=AWS&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ",
		Until: time.Date(2026, 11, 24, 4, 0, 0, 0, time.UTC),
	}
	if change != nil {
		change(&c)
	}
	text, err := sealed.Seal(c, []age.Recipient{key.Recipient()})
	if err != nil {
		t.Fatal(err)
	}
	file = filepath.Join(t.TempDir(), "key.txt")
	if err := os.WriteFile(file, []byte(key.String()+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return &v1alpha1.BreakGlass{
		TypeMeta: metav1.TypeMeta{APIVersion: v1alpha1.SchemeGroupVersion.String(), Kind: "BreakGlass"}, ObjectMeta: metav1.ObjectMeta{Name: "alice-inc-7"},
		Spec:   v1alpha1.BreakGlassSpec{TemporaryUser: &v1alpha1.TemporaryUser{Recipients: []v1alpha1.Recipient{v1alpha1.Recipient(key.Recipient().String())}}},
		Status: v1alpha1.BreakGlassStatus{TemporaryUser: v1alpha1.TemporaryUserStatus{Credentials: text}},
	}, file
}

// decrypt runs the command at 03:00:10.
func decrypt(t *testing.T, in, output string, keys ...string) (string, error) {
	t.Helper()
	var out strings.Builder
	d := &decryption{
		identities: keys, output: output, clock: testclock.NewFakePassiveClock(time.Date(2026, 11, 24, 3, 0, 10, 0, time.UTC)),
		passphrase: func(string) ([]byte, error) { return nil, errors.New("nobody is asked") },
	}
	err := d.run(strings.NewReader(in), &out)
	return out.String(), err
}

func manifest(t *testing.T, b *v1alpha1.BreakGlass) string {
	t.Helper()
	text, err := yaml.Marshal(b)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDecrypt(t *testing.T) {
	b, key := sealedGlass(t, nil)
	const want = `Emergency     alice-inc-7
Ends          2026-11-24T04:00:00Z, in 59m50s
Console       https://hera.signin.aws.amazon.com/console
User name     bg-alice-inc-7-0c9d1a52
Password      CORRECT-horse-9
MFA code      CODE, good for 20 s; run this again for another
Authenticator otpauth://totp/AWS:bg?issuer=AWS&secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ
`
	for name, in := range map[string]string{"the object": manifest(t, b), "the file alone": "\n" + b.Status.TemporaryUser.Credentials} {
		got, err := decrypt(t, in, "", key)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		code := strings.Index(got, "MFA code      ") + len("MFA code      ")
		if digits := got[code : code+6]; strings.Trim(digits, "0123456789") != "" {
			t.Errorf("the code is %q", digits)
		} else if got = got[:code] + "CODE" + got[code+6:]; got != want {
			t.Errorf("%s:\n%s\nwant:\n%s", name, got, want)
		}
	}
	text, err := decrypt(t, manifest(t, b), "json", key)
	var c sealed.Credentials
	if err != nil || json.Unmarshal([]byte(text), &c) != nil || c.Password != "CORRECT-horse-9" {
		t.Errorf("json: %v", err)
	}
}

func TestDecryptShowsTheAccessKey(t *testing.T) {
	b, key := sealedGlass(t, func(c *sealed.Credentials) { c.AccessKeyID, c.SecretAccessKey = "AKIAEXAMPLE", "battery-staple" })
	got, err := decrypt(t, manifest(t, b), "", key)
	if err != nil || !strings.Contains(got, "export AWS_ACCESS_KEY_ID=AKIAEXAMPLE AWS_SECRET_ACCESS_KEY=battery-staple\n") ||
		!strings.Contains(got, "aws sts get-session-token --serial-number arn:aws:iam::111122223333:mfa/prod-access/break-glass/bg-alice-inc-7-0c9d1a52") {
		t.Errorf("%v\n%s", err, got)
	}
}

func TestDecryptRefuses(t *testing.T) {
	b, key := sealedGlass(t, nil)
	_, other := sealedGlass(t, nil)
	changed := func(change func(*v1alpha1.BreakGlass)) string {
		o := b.DeepCopy()
		change(o)
		return manifest(t, o)
	}
	for name, test := range map[string]struct{ in, output, key, says string }{
		"another key":       {manifest(t, b), "", other, "are not for any of these private keys"},
		"no file of a key":  {manifest(t, b), "", key + "-none", "no such file"},
		"another output":    {manifest(t, b), "yaml", key, "-o must be json"},
		"something else":    {"kind: Pod", "", key, "neither a BreakGlass nor an encrypted file"},
		"nothing":           {"", "", key, "neither a BreakGlass nor an encrypted file"},
		"too much":          {strings.Repeat("x", maxInput+1), "", key, "too large"},
		"no temporary user": {changed(func(o *v1alpha1.BreakGlass) { o.Spec.TemporaryUser = nil }), "", key, "has no temporary user: it is for the person in spec.subject"},
		"not looked at":     {changed(func(o *v1alpha1.BreakGlass) { o.Status.TemporaryUser.Credentials = "" }), "", key, "the operator has not looked at it yet"},
		"over": {changed(func(o *v1alpha1.BreakGlass) {
			o.Status.TemporaryUser.Credentials = ""
			o.Status.Conditions = []metav1.Condition{{Type: v1alpha1.ConditionActive, Reason: v1alpha1.StateExpired, Message: "access ended at the deadline"}}
		}), "", key, "it is Expired, access ended at the deadline"},
		"cut": {changed(func(o *v1alpha1.BreakGlass) {
			o.Status.TemporaryUser.Credentials = o.Status.TemporaryUser.Credentials[:200]
		}), "", key, "the credentials"},
	} {
		got, err := decrypt(t, test.in, test.output, test.key)
		if err == nil || !strings.Contains(err.Error(), test.says) || got != "" {
			t.Errorf("%s: %v, want %q; printed %q", name, err, test.says, got)
		}
	}
	if _, err := decrypt(t, manifest(t, b), "", key); err != nil {
		t.Errorf("with its own key: %v", err)
	}
}
