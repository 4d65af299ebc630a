// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

func client(t *testing.T, account *fake.IAM) *iam.Client {
	t.Helper()
	server := httptest.NewServer(account)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_IAM", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", "AKIAEXAMPLEEXAMPLE00")
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	t.Setenv("AWS_MAX_ATTEMPTS", "1")
	c, err := aws.New(t.Context(), time.Second, func(next http.RoundTripper) http.RoundTripper { return next })
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// What goes wrong is told with call and code, and without what changes from one time to the next.
func TestExplain(t *testing.T) {
	rows := map[string]struct {
		fault fake.Fault
		want  string
	}{
		"denied":    {fake.AccessDenied, "AWS IAM GetUser answered AccessDenied"},
		"throttled": {fake.Throttling, "AWS IAM GetUser answered Throttling"},
		"a gateway": {fake.BadGateway, "AWS IAM GetUser answered with HTTP status 502 (Bad Gateway)"},
		"reset":     {fake.ConnectionReset, "AWS IAM GetUser cannot be reached"},
		"hanging":   {fake.Hang, "AWS IAM GetUser cannot be reached"},
		"cut":       {fake.Truncated, "AWS IAM GetUser"},
		"long":      {fake.ErrorFault(strings.Repeat("X", 1000), 400), "AWS IAM GetUser answered XXX"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			account := fake.New(fake.Config{})
			account.AddUser(fake.User{Name: "alice"})
			c := client(t, account)
			account.Inject("GetUser", row.fault)
			user := "alice"
			explain := func() string {
				_, err := c.GetUser(t.Context(), &iam.GetUserInput{UserName: &user})
				if err == nil {
					t.Fatal("no error")
				}
				return aws.Explain(err)
			}
			got := explain()
			if !strings.HasPrefix(got, row.want) {
				t.Errorf("told as %q, want %q", got, row.want)
			}
			if again := explain(); again != got {
				t.Errorf("told as %q and then as %q", got, again)
			}
			if len(got) > 400 {
				t.Errorf("told in %d bytes", len(got))
			}
		})
	}
}

func TestExplainWithoutAWS(t *testing.T) {
	for err, want := range map[error]string{
		io.ErrUnexpectedEOF:      "AWS cut the answer short",
		context.DeadlineExceeded: "AWS cannot be reached",
		errors.New("dial tcp"):   "AWS cannot be reached",
	} {
		if got := aws.Explain(err); got != want {
			t.Errorf("%v is told as %q, want %q", err, got, want)
		}
	}
}

func TestPredicates(t *testing.T) {
	account := fake.New(fake.Config{})
	c := client(t, account)
	user := "nobody"
	_, err := c.GetUser(t.Context(), &iam.GetUserInput{UserName: &user})
	if !aws.IsNotFound(err) || aws.IsQuota(err) {
		t.Errorf("a missing user: %v", err)
	}
	account.AddUser(fake.User{Name: user})
	if _, err := c.GetUser(t.Context(), &iam.GetUserInput{UserName: &user}); aws.IsNotFound(err) {
		t.Errorf("an existing user: %v", err)
	}
	account.Inject("GetUser", fake.ErrorFault("LimitExceeded", 409))
	if _, err := c.GetUser(t.Context(), &iam.GetUserInput{UserName: &user}); !aws.IsQuota(err) || aws.IsNotFound(err) {
		t.Errorf("a quota: %v", err)
	}
}
