// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake

import (
	"bytes"
	"encoding/base64"
	"encoding/csv"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// reportColumns are the columns of a credential report (recorded; see testdata).
var reportColumns = []string{
	"user", "arn", "user_creation_time",
	"password_enabled", "password_last_used", "password_last_changed", "password_next_rotation",
	"mfa_active",
	"access_key_1_active", "access_key_1_last_rotated",
	"access_key_1_last_used_date", "access_key_1_last_used_region", "access_key_1_last_used_service",
	"access_key_2_active", "access_key_2_last_rotated",
	"access_key_2_last_used_date", "access_key_2_last_used_region", "access_key_2_last_used_service",
	"cert_1_active", "cert_1_last_rotated", "cert_2_active", "cert_2_last_rotated",
}

// report is a credential report: the users as they were when it was begun.
type report struct {
	begun   time.Time
	content []byte
}

// reportState is what stands in the way of reading the report at that time, if anything.
// https://docs.aws.amazon.com/IAM/latest/APIReference/API_GetCredentialReport.html
func (f *IAM) reportState(now time.Time) string {
	switch {
	case f.report == nil:
		return "ReportNotPresent"
	case now.Before(f.report.begun.Add(f.config.ReportTakes)):
		return "ReportInProgress"
	case !now.Before(f.report.begun.Add(f.config.ReportEvery)):
		return "ReportExpired"
	default:
		return ""
	}
}

func generateCredentialReport(c *call) any {
	type stateXML struct {
		State       string
		Description string `xml:",omitempty"`
	}
	switch c.iam.reportState(c.now) {
	case "":
		return stateXML{State: "COMPLETE"}
	case "ReportInProgress":
		return stateXML{State: "INPROGRESS"}
	}
	answer := stateXML{State: "STARTED"}
	if c.iam.report == nil {
		answer.Description = "No report exists. Starting a new report generation task"
	}
	c.iam.report = &report{begun: c.now, content: c.credentialReport()}
	return answer
}

func getCredentialReport(c *call) any {
	switch reason := c.iam.reportState(c.now); reason {
	case "":
	case "ReportInProgress":
		return c.fail(http.StatusNotFound, reason, "")
	default:
		return c.fail(http.StatusGone, reason, "")
	}
	return struct{ Content, ReportFormat, GeneratedTime string }{
		base64.StdEncoding.EncodeToString(c.iam.report.content), "text/csv", stamp(c.iam.report.begun),
	}
}

// credentialReport writes a line for the root user and each user, by name. The values that are no times are those of
// https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_getting-report.html
func (c *call) credentialReport() []byte {
	var content bytes.Buffer
	lines := csv.NewWriter(&content)
	root := []string{"<root_account>", fmt.Sprintf("arn:aws:iam::%s:root", c.iam.config.Account), reportTime(c.iam.opened)}
	root = append(root, "not_supported", "no_information", "not_supported", "not_supported", "true")
	root = append(root, slices.Concat(c.keyCells(nil, 0), c.keyCells(nil, 1), certificateCells(nil))...)
	table := [][]string{reportColumns, root}
	users := make([]*user, 0, len(c.state.users))
	for _, u := range c.state.users {
		users = append(users, u)
	}
	slices.SortFunc(users, func(a, b *user) int { return strings.Compare(strings.ToLower(a.name), strings.ToLower(b.name)) })
	for _, u := range users {
		table = append(table, c.reportLine(u))
	}
	if err := lines.WriteAll(table); err != nil {
		panic(err) // a buffer takes all
	}
	return content.Bytes()
}

func (c *call) reportLine(u *user) []string {
	line := []string{u.name, c.arn("user", u.path, u.name), reportTime(u.created)}
	if u.login == nil {
		line = append(line, "false", "N/A", "N/A", "N/A")
	} else {
		used := "no_information"
		if !u.passwordUsed.IsZero() {
			used = reportTime(u.passwordUsed)
		}
		line = append(line, "true", used, reportTime(u.login.changed), "N/A")
	}
	line = append(line, strconv.FormatBool(len(c.state.devicesOf(u)) > 0))
	return append(line, slices.Concat(c.keyCells(u, 0), c.keyCells(u, 1), certificateCells(u))...)
}

// keyCells tells of the user's nth key. An inactive key has a date, as one that is not there has none (recorded).
func (c *call) keyCells(u *user, n int) []string {
	if u == nil || n >= len(u.keys) {
		return []string{"false", "N/A", "N/A", "N/A", "N/A"}
	}
	k := u.keys[n]
	cells := []string{strconv.FormatBool(k.status == "Active"), reportTime(k.changed)}
	if use, ok := c.iam.lastUsed[k.id]; ok {
		return append(cells, reportTime(use.at), "us-east-1", use.service)
	}
	return append(cells, "N/A", "N/A", "N/A")
}

// certificateCells tells of the user's first two signing certificates.
func certificateCells(u *user) []string {
	cells := []string{"false", "N/A", "false", "N/A"}
	if u == nil {
		return cells
	}
	n := 0
	for _, l := range u.leftovers {
		if l.kind == SigningCertificate && n < len(cells) {
			cells[n], cells[n+1] = "true", reportTime(l.created)
			n += 2
		}
	}
	return cells
}

// reportTime formats t as the report does, which is not as the API does.
func reportTime(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05+00:00") }
