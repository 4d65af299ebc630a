// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package sealed_test

import (
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"fmt"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"golang.org/x/crypto/ssh"

	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

var credentials = sealed.Credentials{
	Emergency: "alice-inc-7", IAMUser: "bg-alice-inc-7-0c9d1a52", ConsoleURL: "https://hera.signin.aws.amazon.com/console", Password: "correct-horse", MFASerial: "arn:x",
	OTPAuth: "otpauth://totp/AWS:bg?secret=GEZDGNBVGY3TQOJQ", AccessKeyID: "AKIAEXAMPLE", SecretAccessKey: "battery-staple", Until: time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC),
}

func noPassphrase() ([]byte, error) { return nil, fmt.Errorf("nobody is asked") }

// sshPair is a key pair of SSH: a line for recipients, and the file of the private key.
func sshPair(t *testing.T, public, private any, passphrase string) (line string, file []byte) {
	t.Helper()
	p, err := ssh.NewPublicKey(public)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if passphrase != "" {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(private, "", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(ssh.MarshalAuthorizedKey(p))), pem.EncodeToMemory(block)
}

func ed25519Pair(t *testing.T, passphrase string) (line string, file []byte) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return sshPair(t, public, private, passphrase)
}

func rsaPair(t *testing.T, bits int) (line string, file []byte) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		t.Fatal(err)
	}
	return sshPair(t, &key.PublicKey, key, "")
}

func agePair(t *testing.T) (line string, file []byte) {
	t.Helper()
	key, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return key.Recipient().String(), []byte("# created\n" + key.String() + "\n")
}

func hybridPair(t *testing.T) (line string, file []byte) {
	t.Helper()
	key, err := age.GenerateHybridIdentity()
	if err != nil {
		t.Fatal(err)
	}
	return key.Recipient().String(), []byte(key.String() + "\n")
}

// Each kind of key opens what was sealed to it, and another of its kind does not.
func TestSealAndOpen(t *testing.T) {
	for name, pair := range map[string]func() (string, []byte){
		"age":                    func() (string, []byte) { return agePair(t) },
		"age, post-quantum":      func() (string, []byte) { return hybridPair(t) },
		"ssh-ed25519":            func() (string, []byte) { return ed25519Pair(t, "") },
		"ssh-ed25519, encrypted": func() (string, []byte) { return ed25519Pair(t, "abracadabra") },
		"ssh-rsa":                func() (string, []byte) { return rsaPair(t, 2048) },
	} {
		t.Run(name, func(t *testing.T) {
			line, own := pair()
			_, other := pair()
			to, err := sealed.Recipients([]string{line + " "})
			if err != nil {
				t.Fatal(err)
			}
			file, err := sealed.Seal(credentials, to)
			if err != nil {
				t.Fatal(err)
			}
			if strings.Contains(file, credentials.Password) {
				t.Error("the password is in the file")
			}
			asked := 0
			passphrase := func() ([]byte, error) { asked++; return []byte("abracadabra"), nil }
			ids, err := sealed.Identities(own, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if c, err := sealed.Open(file, ids...); err != nil || c != credentials {
				t.Errorf("opened by its own key: %v", err)
			}
			if asked > 1 || (asked == 1) != strings.Contains(name, "encrypted") {
				t.Errorf("asked for the passphrase %d times", asked)
			}
			others, err := sealed.Identities(other, passphrase)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := sealed.Open(file, others...); err == nil || !strings.Contains(err.Error(), "are not for any of these private keys") {
				t.Errorf("opened by another key: %v", err)
			}
			if _, err := sealed.Open(file[:len(file)*3/4], ids...); err == nil {
				t.Error("a file that was cut is opened")
			}
			if _, err := sealed.Open("hello", ids...); err == nil {
				t.Error("what is no file is opened")
			}
		})
	}
}

// The largest keys that the schema takes fit into the status.
func TestSealFits(t *testing.T) {
	var large, hybrid []string
	for range sealed.MaxRecipients {
		line, _ := rsaPair(t, 4096)
		large = append(large, line)
	}
	for range 3 {
		line, _ := hybridPair(t)
		hybrid = append(hybrid, line)
	}
	for _, keys := range [][]string{large, hybrid} {
		to, err := sealed.Recipients(keys)
		if err != nil {
			t.Fatal(err)
		}
		if file, err := sealed.Seal(credentials, to); err != nil || len(file) > sealed.MaxSize {
			t.Errorf("%d bytes: %v", len(file), err)
		}
	}
}

func TestRecipients(t *testing.T) {
	own, file := agePair(t)
	other, _ := agePair(t)
	quantum, _ := hybridPair(t)
	short, _ := rsaPair(t, 1024)
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	curve, _ := sshPair(t, &key.PublicKey, key, "")
	line, private := ed25519Pair(t, "")
	secret := strings.TrimSpace(strings.TrimPrefix(string(file), "# created\n"))
	for name, test := range map[string]struct {
		keys []string
		says string
	}{
		"none":             {nil, "there are 0 recipients, and there may be 1 to 4"},
		"too many":         {[]string{own, own, own, own, own}, "there are 5 recipients"},
		"a typo":           {[]string{other, own[:len(own)-1] + "b"}, "recipient 2"},
		"a plugin":         {[]string{"age1yubikey1" + own[4:]}, "is of a plugin of age"},
		"nothing":          {[]string{""}, "is not a public key"},
		"twice":            {[]string{own, other, own}, "recipients 1 and 3 are the same key"},
		"twice, commented": {[]string{line + " alice", line + " bob"}, "are the same key"},
		"mixed":            {[]string{own, quantum}, "cannot be mixed"},
		"another curve":    {[]string{curve}, "is not a public key of age (age1…) or of SSH"},
		"a short key":      {[]string{short}, "2048 bits or more"},
		"a private key":    {[]string{secret}, "it is a private key, which must be replaced"},
		"a file":           {[]string{string(private)}, "it is a private key"},
		"two lines":        {[]string{line + "\n" + line}, "more than one line"},
		"a cut line":       {[]string{line[:40]}, "is not an SSH public key"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := sealed.Recipients(test.keys)
			if err == nil || !strings.Contains(err.Error(), test.says) {
				t.Fatalf("%v, want %q", err, test.says)
			}
			if strings.Contains(err.Error(), secret[20:]) || len(err.Error()) > 400 {
				t.Errorf("the key is told: %v", err)
			}
		})
	}
	if to, err := sealed.Recipients([]string{own, other, line, "ssh-ed25519 " + strings.Fields(firstOf(ed25519Pair(t, "")))[1] + " PRIVATE KEY of bob"}); err != nil || len(to) != 4 {
		t.Errorf("%d recipients: %v", len(to), err)
	}
}

func firstOf(line string, _ []byte) string { return line }

func TestIdentitiesRefuses(t *testing.T) {
	for text, says := range map[string]string{
		"":                                       "holds no private key of age",
		"age1qqqq":                               "holds no private key of age",
		"-----BEGIN AGE ENCRYPTED FILE-----\nxx": "is encrypted itself",
		"-----BEGIN OPENSSH PRIVATE KEY-----\nx": "is no SSH private key",
	} {
		if _, err := sealed.Identities([]byte(text), noPassphrase); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%q: %v", text, err)
		}
	}
}

func TestFingerprint(t *testing.T) {
	line, _ := ed25519Pair(t, "")
	own, _ := agePair(t)
	if got := sealed.Fingerprint(line); !strings.HasPrefix(got, "SHA256:") {
		t.Error(got)
	}
	if got := sealed.Fingerprint(own); got != own[:20]+"…" {
		t.Error(got)
	}
}

// What prints them by accident shows nothing.
func TestCredentialsPrintAsNothing(t *testing.T) {
	for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x"} {
		for _, what := range []any{credentials, &credentials, struct{ C sealed.Credentials }{credentials}, []sealed.Credentials{credentials}} {
			if got := fmt.Sprintf(verb, what); strings.Contains(got, "correct-horse") || strings.Contains(got, "636f7272") || strings.Contains(got, "battery") {
				t.Errorf("%s prints %s", verb, got)
			}
		}
	}
	if got := fmt.Sprint(credentials.MarshalLog()); strings.Contains(got, "battery") {
		t.Error(got)
	}
}

func FuzzRecipients(f *testing.F) {
	f.Add("age1qqqq")
	f.Add("ssh-rsa AAAA")
	f.Fuzz(func(t *testing.T, key string) {
		_, _ = sealed.Recipients([]string{key})
		if got := sealed.Fingerprint(key); len(got) > 64 {
			t.Error(got)
		}
	})
}
