// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package sealed keeps the credentials of a temporary user from everybody but their recipients: they are encrypted as an age file.
// Source: https://age-encryption.org/v1
package sealed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"filippo.io/age/armor"
	"golang.org/x/crypto/ssh"
)

const (
	// MaxSize is how large a sealed file may be, in bytes: what the status of a BreakGlass holds.
	MaxSize = 8192
	// MaxRecipients is how many there may be.
	MaxRecipients = 4
	// shown is how much of a key is told.
	shown = 20
)

// Credentials are what it takes to use a temporary user. They print as nothing.
type Credentials struct {
	// Emergency is the name of the BreakGlass.
	Emergency string `json:"emergency"`
	// IAMUser is the name of the user.
	IAMUser string `json:"iamUser"`
	// ConsoleURL is where it signs in.
	ConsoleURL string `json:"consoleURL"`
	// Password is for the console.
	Password string `json:"password"`
	// MFASerial is the serial number of its MFA device, and OTPAuth what an authenticator takes.
	MFASerial string `json:"mfaSerial"`
	OTPAuth   string `json:"otpauth"`
	// AccessKeyID and SecretAccessKey are its access key, "" if it has none.
	AccessKeyID     string `json:"accessKeyID,omitempty"`
	SecretAccessKey string `json:"secretAccessKey,omitempty"`
	// Until is when it ends.
	Until time.Time `json:"until"`
}

const hidden = "the credentials of a temporary user"

// String implements fmt.Stringer.
func (Credentials) String() string { return hidden }

// GoString implements fmt.GoStringer.
func (Credentials) GoString() string { return hidden }

// Format implements fmt.Formatter.
func (Credentials) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, hidden) }

// MarshalLog implements logr.Marshaler.
func (Credentials) MarshalLog() any { return hidden }

// Recipients reads public keys, one for each recipient. The error is for whoever wrote them, and repeats no more of one than it takes
// to find it.
func Recipients(keys []string) ([]age.Recipient, error) {
	if len(keys) == 0 || len(keys) > MaxRecipients {
		return nil, fmt.Errorf("there are %d recipients, and there may be 1 to %d", len(keys), MaxRecipients)
	}
	var all []age.Recipient
	seen := map[string]int{}
	hybrid := 0
	for i, key := range keys {
		r, id, err := parse(strings.TrimSpace(key))
		if err != nil {
			return nil, fmt.Errorf("recipient %d: %w", i+1, err)
		}
		if before := seen[id]; before > 0 {
			return nil, fmt.Errorf("recipients %d and %d are the same key: leave one out", before, i+1)
		}
		seen[id] = i + 1
		if _, ok := r.(*age.HybridRecipient); ok {
			hybrid++
		}
		all = append(all, r)
	}
	if hybrid > 0 && hybrid < len(all) {
		return nil, errors.New("post-quantum recipients (age1pq1…) cannot be mixed with others: use one kind alone")
	}
	return all, nil
}

func parse(key string) (r age.Recipient, id string, err error) {
	switch {
	case strings.HasPrefix(strings.ToUpper(key), "AGE-SECRET-KEY-"), strings.HasPrefix(key, "-----BEGIN"):
		return nil, "", errors.New("it is a private key, which must be replaced now that it was written here: a recipient is the public key that belongs to it")
	case strings.ContainsAny(key, "\r\n"):
		return nil, "", errors.New("it has more than one line")
	case strings.HasPrefix(key, "ssh-ed25519 "), strings.HasPrefix(key, "ssh-rsa "):
		public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key))
		if err != nil {
			return nil, "", fmt.Errorf("%s is not an SSH public key: copy the line from the file that ends in .pub", cut(key))
		}
		if r, err = agessh.ParseRecipient(key); err != nil {
			return nil, "", fmt.Errorf("nothing can be encrypted to the SSH key %s (an RSA key needs 2048 bits or more)", ssh.FingerprintSHA256(public))
		}
		return r, string(public.Marshal()), nil
	case strings.HasPrefix(key, "age1pq1"):
		r, err = age.ParseHybridRecipient(key)
	case strings.HasPrefix(key, "age1") && strings.Count(key, "1") > 1 && strings.LastIndexByte(key, '1') > len("age"):
		return nil, "", fmt.Errorf("%s is of a plugin of age, and those are not supported: use the public key of a key pair that age-keygen makes, or of SSH", cut(key))
	case strings.HasPrefix(key, "age1"):
		r, err = age.ParseX25519Recipient(key)
	default:
		return nil, "", fmt.Errorf("%s is not a public key of age (age1…) or of SSH (ssh-ed25519 … or ssh-rsa …)", cut(key))
	}
	if err != nil {
		return nil, "", fmt.Errorf("%s is not a public key of age: it is mistyped or cut", cut(key))
	}
	return r, key, nil
}

func cut(key string) string { return strings.ToValidUTF8(fmt.Sprintf("%.*q", shown, key), "") }

// Fingerprint names a public key in public: an SSH key as ssh-keygen -l does, a key of age by how it begins.
func Fingerprint(key string) string {
	if public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(key)); err == nil {
		return ssh.FingerprintSHA256(public)
	}
	return strings.ToValidUTF8(key[:min(len(key), shown)], "") + "…"
}

// Seal encrypts credentials. The text is no longer than MaxSize.
func Seal(c Credentials, to []age.Recipient) (string, error) {
	plain, err := json.Marshal(c) //nolint:gosec // to be encrypted
	if err != nil {
		return "", errors.New("credentials cannot be written down")
	}
	var out bytes.Buffer
	armored := armor.NewWriter(&out)
	w, err := age.Encrypt(armored, to...)
	if err != nil {
		return "", fmt.Errorf("encrypting credentials: %w", err)
	}
	_, err = w.Write(plain)
	if err = errors.Join(err, w.Close(), armored.Close()); err != nil {
		return "", fmt.Errorf("encrypting credentials: %w", err)
	}
	if out.Len() > MaxSize {
		return "", fmt.Errorf("encrypted credentials have %d bytes, and there is room for %d: use fewer or shorter keys", out.Len(), MaxSize)
	}
	return out.String(), nil
}

// Open decrypts credentials.
func Open(file string, keys ...age.Identity) (Credentials, error) {
	r, err := age.Decrypt(armor.NewReader(strings.NewReader(file)), keys...)
	if none, ok := errors.AsType[*age.NoIdentityMatchError](err); ok && none != nil {
		return Credentials{}, errors.New("the credentials are not for any of these private keys: spec.temporaryUser.recipients names whose they are")
	}
	if err != nil {
		return Credentials{}, fmt.Errorf("the credentials cannot be read: %w", err)
	}
	plain, err := io.ReadAll(io.LimitReader(r, MaxSize))
	if err != nil {
		return Credentials{}, errors.New("the credentials were cut or changed")
	}
	var c Credentials
	if err := json.Unmarshal(plain, &c); err != nil {
		return Credentials{}, errors.New("the file is not credentials of a temporary user")
	}
	return c, nil
}
