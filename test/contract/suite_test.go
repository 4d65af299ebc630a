// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

// Package contract says what the operator relies on in AWS IAM, operation by operation, and holds the strict fake to it
// and, where one is served, moto (https://docs.getmoto.org), which was written by others.
package contract

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"text/tabwriter"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	awshttp "github.com/aws/aws-sdk-go-v2/aws/transport/http"
	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/sts"
	"github.com/aws/smithy-go"
	clocktesting "k8s.io/utils/clock/testing"

	internalaws "github.com/hera-platform/prod-access-operator/internal/aws"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// endpointVariable names the address of a moto server to run the contract against. The server is emptied.
const endpointVariable = "CONTRACT_MOTO_ENDPOINT"

// check is one thing that the operator relies on.
type check struct {
	op    string
	holds string // what, as a sentence whose subject is the operation
	basis basis
	run   func(*account)
}

func (c check) name() string { return c.op + " " + c.holds }

// basis is why we believe that AWS does so.
type basis string

const (
	// recorded: an answer of real AWS; see internal/aws/fake/testdata.
	recorded basis = "recorded"
	// documented: the API reference of the operation, or the quotas and identifiers of the user guide
	// (https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html, …/reference_identifiers.html).
	documented basis = "documented"
)

// account is an empty account to try a check on.
type account struct {
	ctx      context.Context
	iam      *iam.Client
	sts      *sts.Client
	id       string // twelve digits
	now      time.Time
	failures []string
}

// now is when everything happens in the fake; moto does not look at the codes that depend on it.
var now = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func newAccount(t *testing.T, endpoint, id string) *account {
	client := awshttp.NewBuildableClient().WithTimeout(10 * time.Second)
	keys := credentials.NewStaticCredentialsProvider("AKIACONTRACTSUITE000", "not-checked", "")
	// The attempts of the default, without its pauses.
	retryer := retry.NewStandard(func(o *retry.StandardOptions) { o.MaxBackoff = time.Millisecond })
	return &account{
		ctx: t.Context(), id: id, now: now,
		iam: iam.New(iam.Options{BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: keys, HTTPClient: client, Retryer: retryer}),
		sts: sts.New(sts.Options{BaseEndpoint: &endpoint, Region: "us-east-1", Credentials: keys, HTTPClient: client, Retryer: retryer}),
	}
}

// stop ends a check that cannot go on.
type stop struct{ reason string }

// try runs a check and returns what does not hold.
func (a *account) try(c check) []string {
	func() {
		defer func() {
			if r := recover(); r != nil {
				s, ok := r.(stop)
				if !ok {
					panic(r)
				}
				a.failures = append(a.failures, s.reason)
			}
		}()
		c.run(a)
	}()
	return a.failures
}

// must returns the answer to a request that has to succeed.
func must[T any](answer T, err error) T {
	if err != nil {
		panic(stop{describe(err)})
	}
	return answer
}

// done is must for a request whose answer holds nothing.
func done(_ any, err error) { must(0, err) }

func (a *account) errorf(format string, args ...any) {
	a.failures = append(a.failures, fmt.Sprintf(format, args...))
}

// equal notes a value that is not the one wanted.
func equal[T comparable](a *account, what string, got, want T) {
	if got != want {
		a.errorf("%s is %v, want %v", what, got, want)
	}
}

// names notes a list that does not have exactly these items, in any order.
func (a *account) names(what string, got []string, want ...string) {
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		a.errorf("%s are %q, want %q", what, got, want)
	}
}

// matches notes a value that does not have the form wanted.
func (a *account) matches(what, got, pattern string) {
	if !regexp.MustCompile("^(?:" + pattern + ")$").MatchString(got) {
		a.errorf("%s is %q, want %s", what, got, pattern)
	}
}

// refused notes a request that was not refused with that code and status. Nothing relies on messages: what the fake says
// is compared with the recordings.
func (a *account) refused(err error, code string, status int) {
	gotCode, gotStatus, _ := parts(err)
	switch {
	case err == nil:
		a.errorf("it succeeds, want %s %d", code, status)
	case gotCode != code || gotStatus != status:
		a.errorf("%s, want %s %d", describe(err), code, status)
	}
}

// parts returns the code, HTTP status and message of an error of the SDK, as far as it has them.
func parts(err error) (code string, status int, message string) {
	if apiError, ok := errors.AsType[smithy.APIError](err); ok {
		code, message = apiError.ErrorCode(), apiError.ErrorMessage()
	}
	if response, ok := errors.AsType[*awshttp.ResponseError](err); ok {
		status = response.HTTPStatusCode()
	}
	return code, status, message
}

func describe(err error) string {
	code, status, message := parts(err)
	op := ""
	if operation, ok := errors.AsType[*smithy.OperationError](err); ok {
		op = operation.Operation() + " "
	}
	if code == "" && status == 0 {
		return fmt.Sprintf("%sfails: %v", op, err)
	}
	return fmt.Sprintf("%sanswers %s %d (%.100s)", op, code, status, message)
}

func TestFake(t *testing.T) {
	for _, c := range checks() {
		t.Run(c.name(), func(t *testing.T) {
			server := httptest.NewServer(fake.New(fake.Config{Clock: clocktesting.NewFakeClock(now), Seed: 1}))
			t.Cleanup(server.Close)
			for _, failure := range newAccount(t, server.URL, "111122223333").try(c) {
				t.Error(failure)
			}
		})
	}
}

// TestMoto allows the differences that are known, and those only, as long as they show.
func TestMoto(t *testing.T) {
	endpoint := os.Getenv(endpointVariable)
	if endpoint == "" {
		t.Skip(endpointVariable + " is not set: make test-moto serves one")
	}
	seen := map[string]string{}
	for _, c := range checks() {
		t.Run(c.name(), func(t *testing.T) {
			empty(t, endpoint)
			failures := newAccount(t, endpoint, "123456789012").try(c)
			if err := judge(c, failures); err != nil {
				t.Error(err)
			}
			if len(failures) > 0 {
				seen[c.name()] = strings.Join(failures, "; ")
			}
		})
	}
	table := []string{"", "OPERATION\tIN AWS\tBASIS\tIN MOTO\tREASON"}
	for _, d := range differences {
		c := d.check()
		table = append(table, fmt.Sprintf("%s\t%s\t%s\t%.60s\t%s", d.op, d.holds, c.basis, seen[c.name()], d.reason))
	}
	table = append(table, "", fmt.Sprintf("%d checks: %d hold in moto, %d are known to differ\n", len(checks()), len(checks())-len(seen), len(differences)))
	out := tabwriter.NewWriter(os.Stdout, 0, 4, 2, ' ', 0)
	_, err := io.WriteString(out, strings.Join(table, "\n"))
	if err := errors.Join(err, out.Flush()); err != nil {
		t.Error(err)
	}
}

// empty takes everything out of moto.
func empty(t *testing.T, endpoint string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodPost, endpoint+"/moto-api/reset", nil)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	if err := answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
		t.Fatalf("moto cannot be emptied: %s, %v", answer.Status, err)
	}
}

// judge says what is wrong with these failures of a check, given the known differences.
func judge(c check, failures []string) error {
	i := slices.IndexFunc(differences, func(d difference) bool { return d.op == c.op && d.holds == c.holds })
	seen := strings.Join(failures, "; ")
	switch {
	case i < 0 && len(failures) == 0:
		return nil
	case i < 0:
		return errors.New(seen)
	case len(failures) == 0:
		return fmt.Errorf("moto does as AWS does now: take the entry out of the table of differences")
	case !strings.Contains(seen, differences[i].shows):
		return fmt.Errorf("it differs in another way than the table says (%s): %s", differences[i].shows, seen)
	default:
		return nil
	}
}

// check returns the check that the difference is of, or one without a name.
func (d difference) check() check {
	for _, c := range checks() {
		if c.op == d.op && c.holds == d.holds {
			return c
		}
	}
	return check{}
}

func TestJudge(t *testing.T) {
	defer func(before []difference) { differences = before }(differences)
	differences = []difference{{"Op", "differs", "NoSuchEntity 404", "it is moto"}}
	for _, test := range []struct {
		holds    string
		failures []string
		want     string // part of the error
	}{
		{"holds", nil, ""},
		{"holds", []string{"it succeeds"}, "it succeeds"},
		{"differs", []string{"answers NoSuchEntity 404"}, ""},
		{"differs", nil, "take the entry out"},
		{"differs", []string{"answers InternalError 500"}, "in another way"},
	} {
		err := judge(check{op: "Op", holds: test.holds}, test.failures)
		if (err == nil) != (test.want == "") || (err != nil && !strings.Contains(err.Error(), test.want)) {
			t.Errorf("%s with %q: got %v, want %q", test.holds, test.failures, err, test.want)
		}
	}
}

// Every operation that the operator uses is checked, every check has a name of its own, and every difference a check.
func TestTables(t *testing.T) {
	known := map[string]bool{}
	checked := map[string]bool{}
	for _, c := range checks() {
		if known[c.name()] {
			t.Errorf("two checks are called %q", c.name())
		}
		known[c.name()], checked[c.op] = true, true
	}
	for method := range reflect.TypeFor[internalaws.IAM]().Methods() {
		if !checked[method.Name] {
			t.Errorf("the operator uses %s, of which nothing is checked", method.Name)
		}
	}
	for _, d := range differences {
		if d.check().op == "" {
			t.Errorf("a difference is known of %s %s, which is not checked", d.op, d.holds)
		}
	}
}

func str(s *string) string { return aws.ToString(s) }
