// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package sealed

import (
	"bytes"
	"errors"

	"filippo.io/age"
	"filippo.io/age/agessh"
	"golang.org/x/crypto/ssh"
)

// Identities reads private keys: a file that age-keygen has made, or an SSH key. The passphrase is asked for only once a key
// that needs one fits.
func Identities(file []byte, passphrase func() ([]byte, error)) ([]age.Identity, error) {
	switch {
	case bytes.Contains(file, []byte("-----BEGIN AGE ENCRYPTED FILE-----")), bytes.HasPrefix(file, []byte("age-encryption.org/")):
		return nil, errors.New("the file of private keys is encrypted itself: decrypt it with age -d first")
	case !bytes.HasPrefix(bytes.TrimSpace(file), []byte("-----BEGIN")):
		ids, err := age.ParseIdentities(bytes.NewReader(file))
		if err != nil {
			return nil, errors.New("it holds no private key of age (AGE-SECRET-KEY-1…) and is no SSH private key")
		}
		return ids, nil
	}
	id, err := agessh.ParseIdentity(file)
	missing, locked := errors.AsType[*ssh.PassphraseMissingError](err)
	switch {
	case locked && missing.PublicKey == nil:
		return nil, errors.New("the SSH key is in an old format that does not tell its public key: ssh-keygen -p -f FILE writes it anew")
	case locked:
		id, err = agessh.NewEncryptedSSHIdentity(missing.PublicKey, file, passphrase)
	}
	if err != nil {
		return nil, errors.New("it is no SSH private key of the types ed25519 or rsa")
	}
	return []age.Identity{id}, nil
}
