// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership

import (
	"bytes"
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	"github.com/aws/aws-sdk-go-v2/service/iam/types"

	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws"
)

const (
	// ReportEvery is how often AWS makes a credential report at most.
	// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html
	ReportEvery = 4 * time.Hour
	// ReportTakes is how long to wait before AWS is asked once more for a report that it is making: some seconds.
	ReportTakes = 2 * time.Second
	// reportAgain is how long to wait before it is asked for one that it did not give.
	reportAgain = 10 * time.Second
)

// credentialReport is the last report, and why there is no younger one. Reading it is done by one caller at a time.
type credentialReport struct {
	turn  keyedMutex
	mu    sync.Mutex
	last  *report
	err   error // of the last attempt to read another
	again time.Time
}

// report is what a credential report says, by user name.
type report struct {
	made time.Time
	rows map[string]reportRow
}

// reportRow is what it says about one user.
type reportRow struct {
	arn     string
	created time.Time
	mfa     bool
	access.Credentials
}

// reported is a credential report that is no older than AWS makes them, or why there is none. Two calls when it is time
// for another, none otherwise.
func (e *Engine) reported(ctx context.Context) (*report, string) {
	r := &e.report
	unlock, err := r.turn.lock(ctx, "report")
	if err != nil {
		return nil, err.Error()
	}
	defer unlock()
	now := e.clock.Now()
	if last := r.lastReport(); last != nil && now.Sub(last.made) < e.options.ReportEvery {
		return last, ""
	}
	if !now.Before(r.again) {
		r.again = now.Add(reportAgain)
		fresh, err := e.makeReport(ctx)
		if errors.Is(err, ErrReportInMaking) {
			r.again = now.Add(ReportTakes)
		}
		r.mu.Lock()
		if r.err = err; err == nil {
			r.last, r.again = fresh, now
		}
		r.mu.Unlock()
	}
	last, err := r.lastReport(), r.err
	switch {
	case err != nil && last == nil:
		return nil, "there is no credential report: " + say(err).Error()
	case err != nil && now.Sub(last.made) > 2*e.options.ReportEvery:
		return nil, fmt.Sprintf("the last credential report is of %s: %s", last.made.UTC().Format(time.RFC3339), say(err).Error())
	}
	return last, ""
}

func (r *credentialReport) inMaking() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Is(r.err, ErrReportInMaking)
}

func (r *credentialReport) lastReport() *report {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.last
}

// makeReport has AWS make a report, and reads it when it is made.
func (e *Engine) makeReport(ctx context.Context) (*report, error) {
	made, err := e.iam.GenerateCredentialReport(ctx, &iam.GenerateCredentialReportInput{})
	if err != nil {
		return nil, err
	}
	if made.State != types.ReportStateTypeComplete {
		return nil, told{text: ErrReportInMaking.Error(), err: ErrReportInMaking}
	}
	out, err := e.iam.GetCredentialReport(ctx, &iam.GetCredentialReportInput{})
	if err != nil {
		return nil, err
	}
	if out.GeneratedTime == nil || len(out.Content) == 0 {
		return nil, errIncomplete
	}
	rows, err := parseReport(out.Content)
	if err != nil {
		return nil, err
	}
	return &report{made: *out.GeneratedTime, rows: rows}, nil
}

// parseReport reads the CSV of a credential report. Columns are found by name: AWS may add some.
func parseReport(content []byte) (map[string]reportRow, error) {
	lines, err := csv.NewReader(bytes.NewReader(content)).ReadAll()
	if err != nil || len(lines) == 0 {
		return nil, errIncomplete
	}
	column := map[string]int{}
	for i, name := range lines[0] {
		column[name] = i
	}
	for _, name := range []string{"user", "arn", "user_creation_time", "password_enabled", "password_last_changed", "mfa_active",
		"access_key_1_active", "access_key_1_last_rotated", "access_key_2_active", "access_key_2_last_rotated"} {
		if _, ok := column[name]; !ok {
			return nil, told{text: "the credential report has no column " + name}
		}
	}
	rows := map[string]reportRow{}
	for _, line := range lines[1:] {
		at := func(name string) string { return line[column[name]] }
		row := reportRow{arn: at("arn"), created: instant(at("user_creation_time")), mfa: strings.EqualFold(at("mfa_active"), "true")}
		// Of a person without a password it says N/A.
		if row.PasswordSince = instant(at("password_last_changed")); row.PasswordSince.IsZero() && strings.EqualFold(at("password_enabled"), "true") {
			row.PasswordUnknown = "the credential report does not say when the password was changed"
		}
		for _, key := range []string{"access_key_1", "access_key_2"} {
			if rotated := instant(at(key + "_last_rotated")); strings.EqualFold(at(key+"_active"), "true") && !rotated.IsZero() {
				row.Keys = append(row.Keys, access.Key{ID: "number " + key[len(key)-1:], Created: rotated})
			}
		}
		rows[at("user")] = row
	}
	return rows, nil
}

// instant is a time of the report, zero for N/A, no_information and not_supported.
func instant(s string) time.Time {
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return time.Time{}
	}
	return t
}

// of is what a report says about a user; nothing if the name was somebody else's when it was made.
func (r *report) of(u *userDetail) (reportRow, bool) {
	row, ok := r.rows[u.Name]
	return row, ok && row.arn == u.ARN && row.created.Truncate(time.Second).Equal(u.created.Truncate(time.Second))
}

// credentials are a person's own as AWS has them now. One call where the last report shows that the password is young,
// else two, and those for the report.
func (e *Engine) credentials(ctx context.Context, name string, u *userDetail, maxAge time.Duration) (c access.Credentials, err error) {
	if c.Keys, err = e.keys(ctx, name); err != nil {
		return c, err
	}
	now := e.clock.Now()
	if last := e.report.lastReport(); last != nil && now.Sub(last.made) <= min(maxAge, 2*e.options.ReportEvery) {
		// Whatever was changed since is younger than the report.
		if row, ok := last.of(u); ok && row.PasswordUnknown == "" && (row.PasswordSince.IsZero() || now.Sub(row.PasswordSince) <= maxAge) {
			c.PasswordSince = row.PasswordSince
			return c, nil
		}
	}
	err = e.password(ctx, name, u, maxAge, &c)
	return c, err
}

// password adds how old the console password is. When it was last changed only the credential report tells, which is read
// if the password may be older than maxAge.
func (e *Engine) password(ctx context.Context, name string, u *userDetail, maxAge time.Duration, c *access.Credentials) error {
	out, err := e.iam.GetLoginProfile(ctx, &iam.GetLoginProfileInput{UserName: &name})
	switch {
	case aws.IsNotFound(err):
		return nil
	case err != nil:
		return err
	case out.LoginProfile == nil || out.LoginProfile.CreateDate == nil:
		return errIncomplete
	}
	if c.PasswordSince = *out.LoginProfile.CreateDate; e.clock.Now().Sub(c.PasswordSince) <= maxAge {
		return nil
	}
	r, why := e.reported(ctx)
	if c.PasswordUnknown = why; why != "" {
		return nil
	}
	row, ok := r.of(u)
	c.PasswordAsOf, c.PasswordUnknown = r.made, row.PasswordUnknown
	switch {
	case !ok:
		c.PasswordUnknown = "the credential report of " + r.made.UTC().Format(time.RFC3339) + " does not have the IAM user yet"
	case row.PasswordSince.After(c.PasswordSince):
		c.PasswordSince = row.PasswordSince
	}
	return nil
}

// keys are a user's active access keys.
func (e *Engine) keys(ctx context.Context, user string) ([]access.Key, error) {
	var keys []access.Key
	pages := iam.NewListAccessKeysPaginator(e.iam, &iam.ListAccessKeysInput{UserName: &user})
	for pages.HasMorePages() {
		page, err := pages.NextPage(ctx)
		if err != nil {
			return nil, err
		}
		if page.AccessKeyMetadata == nil || page.IsTruncated && page.Marker == nil {
			return nil, errIncomplete
		}
		for _, k := range page.AccessKeyMetadata {
			if k.AccessKeyId == nil || k.CreateDate == nil {
				return nil, errIncomplete
			}
			// Whatever is not Inactive may work.
			if k.Status != types.StatusTypeInactive {
				keys = append(keys, access.Key{ID: *k.AccessKeyId, Created: *k.CreateDate})
			}
		}
	}
	return keys, nil
}

// ErrReportInMaking says that AWS is making a credential report, which takes it some seconds.
var ErrReportInMaking = errors.New("AWS is making the credential report")

// Sweep reads the whole account anew, and the credential report when it is time. The error is ErrReportInMaking when that
// is all that is missing. Calls: one for each 1,000 users and groups, and two for the report.
func (e *Engine) Sweep(ctx context.Context) error {
	if _, err := e.readAccount(ctx, 0); err != nil {
		return err
	}
	return e.Report(ctx)
}

// Report reads the credential report when it is time. The error is ErrReportInMaking while AWS is making it.
func (e *Engine) Report(ctx context.Context) error {
	switch _, why := e.reported(ctx); {
	case why == "":
		return nil
	case e.report.inMaking():
		return ErrReportInMaking
	default:
		return told{text: why}
	}
}

// Swept is what the last readings say about a person. It asks AWS nothing.
func (e *Engine) Swept(userID string) access.Sweep {
	all := e.lastReading()
	if all == nil {
		return access.Sweep{}
	}
	s := access.Sweep{At: all.began}
	u := all.users[userID]
	if u == nil {
		return s
	}
	s.User = &u.User
	if r := e.report.lastReport(); r != nil {
		if row, ok := r.of(u); ok {
			s.Report, s.MFA, s.Credentials = r.made, row.mfa, row.Credentials
		}
	}
	return s
}
