// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/go-logr/logr"
	"github.com/go-logr/logr/funcr"

	"github.com/hera-platform/prod-access-operator/internal/aws"
)

// hidden is what no error may repeat, whichever way it went.
const hidden = "Tr0ub4dor-and-3"

// withSecret are the calls of the operations that carry one: in the request, or in the answer that is named.
var withSecret = map[string]struct {
	call   func(context.Context, *aws.Client) error
	answer string // with the secret in it; empty where there is none
}{
	"CreateLoginProfile": {call: func(ctx context.Context, c *aws.Client) error {
		_, err := c.CreateLoginProfile(ctx, &iam.CreateLoginProfileInput{UserName: new("bg-x"), Password: new(hidden)})
		return err
	}},
	"EnableMFADevice": {call: func(ctx context.Context, c *aws.Client) error {
		_, err := c.EnableMFADevice(ctx, &iam.EnableMFADeviceInput{
			UserName: new("bg-x"), SerialNumber: new("arn:aws:iam::111122223333:mfa/bg-x"), AuthenticationCode1: new(hidden), AuthenticationCode2: new(hidden),
		})
		return err
	}},
	"CreateVirtualMFADevice": {call: func(ctx context.Context, c *aws.Client) error {
		_, err := c.CreateVirtualMFADevice(ctx, &iam.CreateVirtualMFADeviceInput{VirtualMFADeviceName: new("bg-x")})
		return err
	}, answer: "<VirtualMFADevice><Base32StringSeed>" + hidden + "</Base32StringSeed></VirtualMFADevice>"},
	"CreateAccessKey": {call: func(ctx context.Context, c *aws.Client) error {
		_, err := c.CreateAccessKey(ctx, &iam.CreateAccessKeyInput{UserName: new("bg-x")})
		return err
	}, answer: "<AccessKey><SecretAccessKey>" + hidden + "</SecretAccessKey></AccessKey>"},
}

// telling is an AWS that gives every request the same answer.
func telling(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/xml")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func errorOf(code, message string) string {
	return fmt.Sprintf("<ErrorResponse><Error><Type>Sender</Type><Code>%s</Code><Message>%s</Message></Error></ErrorResponse>", code, message)
}

// What AWS says of a value that it does not take, and what is left of an answer that was cut short, may have a secret in it.
func TestSecretsAreNotRepeated(t *testing.T) {
	for _, a := range aws.Actions {
		if !a.Secret {
			continue
		}
		row, there := withSecret[a.Operation]
		if !there {
			t.Errorf("nothing asks whether what goes wrong in %s repeats its secret", a.Operation)
			continue
		}
		message := "Value '" + hidden + "' failed to satisfy constraint"
		whole := fmt.Sprintf("<%[1]sResponse><%[1]sResult>%[2]s</%[1]sResult></%[1]sResponse>", a.Operation, row.answer)
		answers := map[string]http.HandlerFunc{
			"a value refused":        telling(400, errorOf("ValidationError", message)),
			"a password too weak":    telling(400, errorOf("PasswordPolicyViolation", message)),
			"an unknown error":       telling(409, errorOf("SomethingNew", message)),
			"a failure of AWS":       telling(500, errorOf("ServiceFailure", message)),
			"an error that is none":  telling(400, message),
			"a gateway that quotes":  telling(502, "<html>"+message+"</html>"),
			"an answer cut short":    telling(200, strings.TrimSuffix(whole, "nse>")),
			"an answer that is none": telling(200, message),
		}
		if row.answer != "" {
			answers["cut short in the secret"] = telling(200, whole[:strings.Index(whole, hidden)+len(hidden)])
			answers["another element in it"] = telling(200, strings.Replace(whole, hidden, hidden+"</x>", 1))
		}
		for name, answer := range answers {
			t.Run(a.Operation+", "+name, func(t *testing.T) {
				var logged strings.Builder
				log := funcr.New(func(prefix, args string) { fmt.Fprintln(&logged, prefix, args) }, funcr.Options{Verbosity: 10})
				err := row.call(logr.NewContext(t.Context(), log), connect(t, answer, aws.Options{}))
				if err == nil {
					if strings.HasPrefix(name, "an answer") {
						t.Skip("the SDK makes nothing of this answer, and no error")
					}
					t.Fatal("no error")
				}
				for where, said := range map[string]string{
					"the error": err.Error(), "the error, in full": fmt.Sprintf("%+v", err), "what is explained": aws.Explain(err), "the log": logged.String(),
				} {
					if strings.Contains(said, hidden) {
						t.Errorf("%s repeats the secret: %s", where, said)
					}
				}
			})
		}
	}
}

// What has no secret is quoted: it is for the person who reads it.
func TestNoSecretIsQuoted(t *testing.T) {
	c := connect(t, telling(400, errorOf("ValidationError", "Value 'bg x' failed to satisfy constraint")), aws.Options{})
	_, err := c.CreateUser(t.Context(), &iam.CreateUserInput{UserName: new("bg x")})
	if err == nil || !strings.Contains(aws.Explain(err), "Value 'bg x' failed") {
		t.Errorf("it says %q", aws.Explain(err))
	}
}
