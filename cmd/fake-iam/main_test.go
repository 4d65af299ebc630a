// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"context"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/iam"
)

func TestServe(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, out := io.Pipe()
	done := make(chan error, 1)
	go func() {
		done <- run(ctx, []string{"--listen", "127.0.0.1:0", "--seed", "testdata/seed.yaml"}, out, io.Discard)
		_ = out.Close()
	}()
	environment := map[string]string{}
	for lines := bufio.NewScanner(stdout); len(environment) < 6 && lines.Scan(); {
		if name, value, ok := strings.Cut(strings.TrimPrefix(lines.Text(), "export "), "="); ok {
			environment[name] = value
		}
	}
	client := iam.New(iam.Options{
		BaseEndpoint: aws.String(environment["AWS_ENDPOINT_URL_IAM"]),
		Region:       environment["AWS_REGION"],
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{
				AccessKeyID: environment["AWS_ACCESS_KEY_ID"], SecretAccessKey: environment["AWS_SECRET_ACCESS_KEY"],
			}, nil
		}),
	})
	group, err := client.GetGroup(ctx, &iam.GetGroupInput{GroupName: aws.String("hera-prod-infra-member")})
	if err != nil {
		t.Fatal(err)
	}
	if len(group.Users) != 1 || *group.Users[0].UserName != "alice" {
		t.Errorf("members %v", group.Users)
	}
	devices, err := client.ListMFADevices(ctx, &iam.ListMFADevicesInput{UserName: aws.String("alice")})
	if err != nil || len(devices.MFADevices) != 1 {
		t.Errorf("devices %v, %v", devices, err)
	}
	stop()
	if err := <-done; err != nil {
		t.Errorf("stopped with %v", err)
	}
}

func TestRefusals(t *testing.T) {
	typo := filepath.Join(t.TempDir(), "seed.yaml")
	if err := os.WriteFile(typo, []byte("people: []\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		args []string
		want string
	}{
		{[]string{"--listen", "0.0.0.0:0"}, "not a loopback address"},
		{[]string{"--listen", ":0"}, "not a loopback address"},
		{[]string{"--listen", "192.0.2.1:80"}, "not a loopback address"},
		{[]string{"--listen", "127.0.0.1"}, "missing port"},
		{[]string{"--listen", "127.0.0.1:0", "--seed", "testdata/none.yaml"}, "no such file"},
		{[]string{"--listen", "127.0.0.1:0", "--seed", typo}, "unknown field"},
		{[]string{"--listen", "127.0.0.1:0", "--credential-report-every", "0s"}, "give a positive duration"},
		{[]string{"serve"}, "unexpected argument"},
		{[]string{"--port", "1"}, "not defined"},
	} {
		t.Run(strings.Join(test.args, " "), func(t *testing.T) {
			err := run(t.Context(), test.args, io.Discard, io.Discard)
			if err == nil || !strings.Contains(err.Error(), test.want) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}
