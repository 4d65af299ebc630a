// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"filippo.io/age"
	"github.com/pquerna/otp/totp"
	"github.com/spf13/cobra"
	"golang.org/x/term"
	"k8s.io/apimachinery/pkg/api/meta"
	"k8s.io/utils/clock"
	"sigs.k8s.io/yaml"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/sealed"
)

// maxInput bounds what is read: a BreakGlass has far less.
const maxInput = 1 << 20

type decryption struct {
	identities []string
	output     string
	clock      clock.PassiveClock
	passphrase func(file string) ([]byte, error)
}

func decryptCommand() *cobra.Command {
	d := &decryption{clock: clock.RealClock{}, passphrase: askPassphrase}
	cmd := &cobra.Command{
		Use:   "decrypt [FILE]",
		Short: "Show the credentials of a temporary user to one of their recipients",
		Long: "Show the credentials of a temporary user to whoever has the private key of a recipient. They are printed, and\n" +
			"written nowhere. FILE, or the standard input, is the BreakGlass or its status.temporaryUser.credentials alone:\n" +
			"  kubectl get bg NAME -o yaml | manager decrypt -i ~/.ssh/id_ed25519",
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if len(args) == 1 && args[0] != "-" {
				f, err := os.Open(args[0])
				if err != nil {
					return err
				}
				defer func() { _ = f.Close() }() // nothing was written
				in = f
			}
			return d.run(in, cmd.OutOrStdout())
		},
	}
	cmd.Flags().StringArrayVarP(&d.identities, "identity", "i", nil, "file with private keys of age or an SSH private key; repeatable. Default: ~/.ssh/id_ed25519 and ~/.ssh/id_rsa")
	cmd.Flags().StringVarP(&d.output, "output", "o", "", "json, for scripts; empty: for people")
	return cmd
}

func (d *decryption) run(in io.Reader, out io.Writer) error {
	if d.output != "" && d.output != "json" {
		return fmt.Errorf("-o must be json, not %q", d.output)
	}
	text, err := io.ReadAll(io.LimitReader(in, maxInput+1))
	if err != nil {
		return err
	}
	if len(text) > maxInput {
		return errors.New("the input is too large for a BreakGlass")
	}
	file, err := sealedIn(text)
	if err != nil {
		return err
	}
	keys, err := d.keys()
	if err != nil {
		return err
	}
	c, err := sealed.Open(file, keys...)
	if err != nil {
		return err
	}
	if d.output == "json" {
		e := json.NewEncoder(out)
		e.SetIndent("", "  ")
		return e.Encode(c) //nolint:gosec // to show them is what this is for
	}
	return d.show(out, c)
}

// sealedIn is the encrypted file that a BreakGlass holds, or that the input is.
func sealedIn(text []byte) (string, error) {
	if bytes.HasPrefix(bytes.TrimSpace(text), []byte("-----BEGIN AGE ENCRYPTED FILE-----")) {
		return string(bytes.TrimSpace(text)) + "\n", nil
	}
	var b v1alpha1.BreakGlass
	if err := yaml.Unmarshal(text, &b); err != nil || b.Kind != "BreakGlass" {
		return "", errors.New("the input is neither a BreakGlass nor an encrypted file: kubectl get bg NAME -o yaml | manager decrypt")
	}
	active := meta.FindStatusCondition(b.Status.Conditions, v1alpha1.ConditionActive)
	switch {
	case b.Spec.TemporaryUser == nil:
		return "", fmt.Errorf("the BreakGlass %s has no temporary user: it is for the person in spec.subject, who uses their own credentials", b.Name)
	case b.Status.TemporaryUser.Credentials != "":
		return b.Status.TemporaryUser.Credentials, nil
	case active == nil:
		return "", fmt.Errorf("the BreakGlass %s has no credentials: the operator has not looked at it yet", b.Name)
	}
	return "", fmt.Errorf("the BreakGlass %s has no credentials: it is %s, %s", b.Name, active.Reason, active.Message)
}

// keys are the private keys that are tried.
func (d *decryption) keys() ([]age.Identity, error) {
	files := d.identities
	if len(files) == 0 {
		home, err := os.UserHomeDir()
		if err != nil {
			return nil, errors.New("name the file of your private key: -i FILE")
		}
		for _, name := range []string{"id_ed25519", "id_rsa"} {
			if file := filepath.Join(home, ".ssh", name); exists(file) {
				files = append(files, file)
			}
		}
		if len(files) == 0 {
			return nil, errors.New("there is neither ~/.ssh/id_ed25519 nor ~/.ssh/id_rsa: name the file of your private key, -i FILE")
		}
	}
	var keys []age.Identity
	for _, file := range files {
		text, err := os.ReadFile(file) //nolint:gosec // the caller's own files
		if err != nil {
			return nil, err
		}
		more, err := sealed.Identities(text, func() ([]byte, error) { return d.passphrase(file) })
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		keys = append(keys, more...)
	}
	return keys, nil
}

func exists(file string) bool {
	_, err := os.Stat(file)
	return err == nil
}

// askPassphrase asks at the terminal: the standard input may be the BreakGlass.
func askPassphrase(file string) ([]byte, error) {
	tty, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return nil, fmt.Errorf("%s needs a passphrase, and there is no terminal to ask at", file)
	}
	defer func() { _ = tty.Close() }() // what was asked is answered
	if _, err := fmt.Fprintf(tty, "Passphrase of %s: ", file); err != nil {
		return nil, err
	}
	text, err := term.ReadPassword(int(tty.Fd()))
	_, _ = fmt.Fprintln(tty)
	return text, err
}

// mfaStep is for how long a code is good (RFC 6238, as AWS uses it).
const mfaStep = 30 * time.Second

func (d *decryption) show(out io.Writer, c sealed.Credentials) error {
	now := d.clock.Now()
	label, err := url.Parse(c.OTPAuth)
	if err != nil {
		return errors.New("the credentials hold no MFA device that can be used")
	}
	code, err := totp.GenerateCode(label.Query().Get("secret"), now)
	if err != nil {
		return errors.New("the credentials hold no MFA device that can be used")
	}
	var b strings.Builder
	row := func(name, value string) { fmt.Fprintf(&b, "%-13s %s\n", name, cmp.Or(value, "-")) }
	row("Emergency", c.Emergency)
	row("Ends", fmt.Sprintf("%s, in %s", c.Until.UTC().Format(time.RFC3339), c.Until.Sub(now).Round(time.Second)))
	row("Console", c.ConsoleURL)
	row("User name", c.IAMUser)
	row("Password", c.Password)
	row("MFA code", fmt.Sprintf("%s, good for %d s; run this again for another", code, int(mfaStep/time.Second)-int(now.Unix()%int64(mfaStep/time.Second))))
	row("Authenticator", c.OTPAuth)
	if c.AccessKeyID != "" {
		fmt.Fprintf(&b, "\nThe access key gives nothing without MFA. In a shell:\n  export AWS_ACCESS_KEY_ID=%s AWS_SECRET_ACCESS_KEY=%s\n"+
			"  aws sts get-session-token --serial-number %s --token-code CODE\n"+
			"and export what that answers: AccessKeyId, SecretAccessKey, and SessionToken as AWS_SESSION_TOKEN.\n", c.AccessKeyID, c.SecretAccessKey, c.MFASerial)
	}
	_, err = io.WriteString(out, b.String())
	return err
}
