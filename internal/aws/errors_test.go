// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package aws_test

import (
	"cmp"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"

	"github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// connect is a client of the account that makes a single attempt unless the test says otherwise.
func connect(t *testing.T, account http.Handler, o aws.Options) *aws.Client {
	t.Helper()
	server := httptest.NewServer(account)
	t.Cleanup(server.Close)
	t.Setenv("AWS_ENDPOINT_URL_IAM", server.URL)
	t.Setenv("AWS_ENDPOINT_URL_STS", server.URL)
	t.Setenv("AWS_ACCESS_KEY_ID", ownKey)
	t.Setenv("AWS_SECRET_ACCESS_KEY", "secret")
	if os.Getenv("AWS_MAX_ATTEMPTS") == "" {
		t.Setenv("AWS_MAX_ATTEMPTS", "1")
	}
	o.Timeout = cmp.Or(o.Timeout, time.Minute)
	c, err := aws.New(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

const ownKey = "AKIAEXAMPLEEXAMPLE00"

func client(t *testing.T, account *fake.IAM) *aws.Client {
	return connect(t, account, aws.Options{Timeout: time.Second})
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

func getUser(c *aws.Client) func(context.Context) error {
	return func(ctx context.Context) error {
		user := "alice"
		_, err := c.GetUser(ctx, &iam.GetUserInput{UserName: &user})
		return err
	}
}

// What never changes is what is told, not what AWS adds to it; and it says what to do where AWS does not.
func TestExplainRemedies(t *testing.T) {
	rows := map[string]string{
		"ExpiredToken":          "AWS IAM GetUser answered ExpiredToken: the credentials that the call was signed with have expired; look at the clock of the node that the operator runs on",
		"RequestExpired":        "AWS IAM GetUser answered RequestExpired: the call was signed too long ago; look at the clock of the node that the operator runs on",
		"InvalidClientTokenId":  "AWS IAM GetUser answered InvalidClientTokenId: AWS does not know the operator's own credentials; look at the role of its service account",
		"SignatureDoesNotMatch": "AWS IAM GetUser answered SignatureDoesNotMatch: the signature is wrong or too old; look at the operator's own credentials and at the clock of the node",
		"ServiceFailure":        "AWS IAM GetUser answered ServiceFailure: injected ServiceFailure",
	}
	for code, want := range rows {
		t.Run(code, func(t *testing.T) {
			account := fake.New(fake.Config{})
			account.Inject("GetUser", fake.ErrorFault(code, http.StatusForbidden))
			if got := aws.Explain(getUser(client(t, account))(t.Context())); got != want {
				t.Errorf("told as %q, want %q", got, want)
			}
		})
	}
}

// Each failure is one thing only: what blocks a grant and what opens the glass hang on it.
func TestPredicates(t *testing.T) {
	predicates := map[string]func(error) bool{
		"not found": aws.IsNotFound, "quota": aws.IsQuota, "throttled": aws.IsThrottled, "denied": aws.IsDenied,
		"unreachable": aws.IsUnreachable, "report missing": aws.IsReportMissing, "report in progress": aws.IsReportInProgress,
		"exists": aws.IsExists, "conflict": aws.IsConflict, "invalid code": aws.IsInvalidCode,
	}
	rows := map[string]struct {
		fault fake.Fault
		want  string
	}{
		"NoSuchEntity":             {fake.ErrorFault("NoSuchEntity", 404), "not found"},
		"LimitExceeded":            {fake.ErrorFault("LimitExceeded", 409), "quota"},
		"Throttling":               {fake.Throttling, "throttled"},
		"ThrottlingException":      {fake.ErrorFault("ThrottlingException", 400), "throttled"},
		"RequestLimitExceeded":     {fake.RequestLimitExceeded, "throttled"},
		"TooManyRequestsException": {fake.ErrorFault("TooManyRequestsException", 429), "throttled"},
		"SlowDown":                 {fake.ErrorFault("SlowDown", 503), "throttled"},
		"AccessDenied":             {fake.AccessDenied, "denied"},
		"UnauthorizedOperation":    {fake.ErrorFault("UnauthorizedOperation", 403), "denied"},
		"ReportNotPresent":         {fake.ErrorFault("ReportNotPresent", 410), "report missing"},
		"ReportExpired":            {fake.ErrorFault("ReportExpired", 410), "report missing"},
		"ReportInProgress":         {fake.ErrorFault("ReportInProgress", 404), "report in progress"},
		"a reset":                  {fake.ConnectionReset, "unreachable"},
		"a hang":                   {fake.Hang, "unreachable"},
		"expired":                  {fake.ErrorFault("ExpiredToken", 403), ""},
		"unavailable":              {fake.ServiceUnavailable, ""},
		"a gateway":                {fake.BadGateway, ""},
		"cut":                      {fake.Truncated, ""},
		"a conflict":               {fake.ConcurrentModification, "conflict"},
		"DeleteConflict":           {fake.ErrorFault("DeleteConflict", 409), "conflict"},
		"unmodifiable":             {fake.ErrorFault("EntityTemporarilyUnmodifiable", 409), "conflict"},
		"EntityAlreadyExists":      {fake.ErrorFault("EntityAlreadyExists", 409), "exists"},
		"invalid code":             {fake.ErrorFault("InvalidAuthenticationCode", 403), "invalid code"},
	}
	for name, row := range rows {
		t.Run(name, func(t *testing.T) {
			account := fake.New(fake.Config{})
			account.AddUser(fake.User{Name: "alice"})
			call := getUser(client(t, account))
			if err := call(t.Context()); err != nil {
				t.Fatalf("without the fault: %v", err)
			}
			account.Inject("GetUser", row.fault)
			err := call(t.Context())
			if err == nil {
				t.Fatal("no error")
			}
			for predicate, holds := range predicates {
				if holds(err) != (predicate == row.want) {
					t.Errorf("%v is %s: %t", err, predicate, holds(err))
				}
			}
		})
	}
	for name, holds := range predicates {
		if holds(nil) {
			t.Errorf("success is %s", name)
		}
	}
}

// AWS is unreachable when there is nobody to talk to. It is not when the caller leaves, or when there is nothing to sign with.
func TestUnreachable(t *testing.T) {
	nobody := func(t *testing.T) string {
		t.Helper()
		listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		_ = listener.Close()
		return "http://" + listener.Addr().String()
	}
	t.Run("nobody listens", func(t *testing.T) {
		c := connect(t, fake.New(fake.Config{}), aws.Options{})
		endpoint := nobody(t)
		_, err := c.GetUser(t.Context(), &iam.GetUserInput{UserName: new("alice")}, func(o *iam.Options) { o.BaseEndpoint = &endpoint })
		if got := aws.Explain(err); !aws.IsUnreachable(err) || got != "AWS IAM GetUser cannot be reached" {
			t.Errorf("%q: %v", got, err)
		}
	})
	t.Run("the caller leaves", func(t *testing.T) {
		account := fake.New(fake.Config{})
		account.Inject("GetUser", fake.Hang)
		c := connect(t, account, aws.Options{})
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		err := getUser(c)(ctx)
		if got := aws.Explain(err); aws.IsUnreachable(err) || got != "AWS IAM GetUser was given up before AWS answered" {
			t.Errorf("%q: %v", got, err)
		}
	})
	const noCredentials = "AWS cannot be called: the operator has no credentials; look at the role of its service account"
	for name, row := range map[string]struct {
		prepare     func(*testing.T)
		want        string
		unreachable bool
	}{
		"STS does not answer": {func(t *testing.T) {
			podToken(t)
			t.Setenv("AWS_ENDPOINT_URL_STS", nobody(t))
		}, "AWS STS AssumeRoleWithWebIdentity cannot be reached", true},
		"no token": {func(t *testing.T) { t.Setenv("AWS_WEB_IDENTITY_TOKEN_FILE", t.TempDir()+"/none") }, noCredentials, false},
		"nothing that gives credentials": {func(t *testing.T) {
			t.Setenv("AWS_ROLE_ARN", "")
			t.Setenv("AWS_EC2_METADATA_SERVICE_ENDPOINT", nobody(t))
		}, noCredentials, false},
		"the role is not ours": {podToken, "AWS STS AssumeRoleWithWebIdentity answered AccessDenied: Not authorized to perform sts:AssumeRoleWithWebIdentity", false},
	} {
		t.Run(name, func(t *testing.T) {
			connect(t, fake.New(fake.Config{}), aws.Options{})
			t.Setenv("AWS_ACCESS_KEY_ID", "")
			t.Setenv("AWS_SECRET_ACCESS_KEY", "")
			t.Setenv("AWS_ROLE_ARN", "arn:aws:iam::111122223333:role/nobody")
			row.prepare(t)
			c, err := aws.New(t.Context(), aws.Options{Timeout: time.Second})
			if err != nil {
				t.Fatal(err)
			}
			err = getUser(c)(t.Context())
			if got := aws.Explain(err); aws.IsUnreachable(err) != row.unreachable || got != row.want {
				t.Errorf("unreachable: %t, told as %q: %v", aws.IsUnreachable(err), got, err)
			}
		})
	}
}
