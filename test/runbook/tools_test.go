// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package runbook

import (
	"bufio"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"filippo.io/age"
	"filippo.io/age/armor"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// toolVariable has the test's binary be one of the tools.
const toolVariable = "RUNBOOK_TOOL"

// tools stand in for commands that the page calls and that not every machine has. They know the options of the page and no
// others. The cryptography is that of age, as a library.
var tools = map[string]func(args []string) error{"age": ageTool, "age-keygen": ageKeygen, "oathtool": oathtool}

func TestMain(m *testing.M) {
	tool := os.Getenv(toolVariable)
	if tool == "" {
		os.Exit(m.Run())
	}
	if err := tools[tool](os.Args[1:]); err != nil {
		fmt.Fprintf(os.Stderr, "%s: %v\n", tool, err)
		os.Exit(1)
	}
}

// addTools writes the tools into a folder. It is for the end of PATH: what is installed comes first.
func addTools(folder string) error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	for tool := range tools {
		script := fmt.Sprintf("#!/bin/sh\n%s=%s exec '%s' \"$@\"\n", toolVariable, tool, self)
		if err := os.WriteFile(filepath.Join(folder, tool), []byte(script), 0o700); err != nil {
			return err
		}
	}
	return nil
}

func ageTool(args []string) error {
	flags := flag.NewFlagSet("age", flag.ContinueOnError)
	encrypt, decrypt, armored := flags.Bool("encrypt", false, ""), flags.Bool("decrypt", false, ""), flags.Bool("armor", false, "")
	output, identity := flags.String("output", "", ""), flags.String("identity", "", "")
	var recipients []age.Recipient
	flags.Func("recipient", "", func(key string) error {
		r, err := age.ParseX25519Recipient(key)
		recipients = append(recipients, r)
		return err
	})
	if err := flags.Parse(args); err != nil {
		return err
	}
	in := io.Reader(os.Stdin)
	if flags.NArg() > 0 {
		file, err := os.Open(flags.Arg(0))
		if err != nil {
			return err
		}
		defer file.Close() //nolint:errcheck // it is read
		in = file
	}
	switch {
	case *encrypt && *armored && *output != "" && *identity == "":
		return encryptTo(*output, in, recipients)
	case *decrypt && *identity != "" && *output == "":
		return decryptWith(*identity, in)
	}
	return fmt.Errorf("the stand-in does not know %q", args)
}

func encryptTo(file string, in io.Reader, recipients []age.Recipient) error {
	out, err := os.OpenFile(file, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	outer := armor.NewWriter(out)
	inner, err := age.Encrypt(outer, recipients...)
	if err == nil {
		_, err = io.Copy(inner, in)
	}
	if err == nil {
		err = errors.Join(inner.Close(), outer.Close())
	}
	return errors.Join(err, out.Close())
}

func decryptWith(identity string, in io.Reader) error {
	file, err := os.Open(identity)
	if err != nil {
		return err
	}
	defer file.Close() //nolint:errcheck // it is read
	keys, err := age.ParseIdentities(file)
	if err != nil {
		return err
	}
	plain, err := age.Decrypt(armor.NewReader(bufio.NewReader(in)), keys...)
	if err != nil {
		return err
	}
	_, err = io.Copy(os.Stdout, plain)
	return err
}

func ageKeygen(args []string) error {
	if len(args) != 2 || args[0] != "--output" {
		return fmt.Errorf("the stand-in does not know %q", args)
	}
	key, err := age.GenerateX25519Identity()
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "Public key: %s\n", key.Recipient())
	return os.WriteFile(args[1], []byte(key.String()+"\n"), 0o600)
}

// oathtool prints the codes of the seed that it reads: the present one, or the one before and the present one.
func oathtool(args []string) error {
	var steps []int
	switch {
	case slices.Equal(args, []string{"--totp", "--base32", "-"}):
		steps = []int{0}
	case slices.Equal(args, []string{"--totp", "--base32", "--window=1", "--now=30 seconds ago", "-"}):
		steps = []int{-1, 0}
	default:
		return fmt.Errorf("the stand-in does not know %q", args)
	}
	seed, err := io.ReadAll(os.Stdin)
	if err != nil {
		return err
	}
	now := time.Now()
	for _, step := range steps {
		code, err := fake.TOTP(strings.TrimSpace(string(seed)), now.Add(time.Duration(step)*30*time.Second))
		if err != nil {
			return err
		}
		fmt.Println(code)
	}
	return nil
}
