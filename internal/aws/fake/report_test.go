// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package fake_test

import (
	"encoding/csv"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/iam"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
)

// generate asks for a report and returns the state that is answered.
func (r *rig) generate() string {
	r.t.Helper()
	state, _ := r.do("GenerateCredentialReport", in{})["State"].(string)
	return state
}

// report returns the lines of the credential report by user, each a value by column, and when it was made.
func (r *rig) report() (map[string]map[string]string, time.Time) {
	r.t.Helper()
	answer, err := r.iam.GetCredentialReport(r.t.Context(), &iam.GetCredentialReportInput{})
	if err != nil {
		r.t.Fatal(err)
	}
	return lines(r.t, string(answer.Content)), *answer.GeneratedTime
}

func lines(t *testing.T, content string) map[string]map[string]string {
	t.Helper()
	table, err := csv.NewReader(strings.NewReader(content)).ReadAll()
	if err != nil {
		t.Fatal(err)
	}
	users := map[string]map[string]string{}
	for _, line := range table[1:] {
		user := map[string]string{}
		for i, column := range table[0] {
			user[column] = line[i]
		}
		users[user["user"]] = user
	}
	return users
}

func TestCredentialReportStates(t *testing.T) {
	r := newRigOf(t, fake.Config{ReportTakes: time.Minute})
	r.refuse("GetCredentialReport", in{}, "ReportNotPresent", 410)
	if got := r.generate(); got != "STARTED" {
		t.Errorf("the first is %s", got)
	}
	r.clock.Step(time.Minute - time.Second)
	r.refuse("GetCredentialReport", in{}, "ReportInProgress", 404)
	if got := r.generate(); got != "INPROGRESS" {
		t.Errorf("on its way it is %s", got)
	}
	r.clock.Step(time.Second)
	if got := r.generate(); got != "COMPLETE" {
		t.Errorf("in the end it is %s", got)
	}
	if _, made := r.report(); !made.Equal(start) {
		t.Errorf("made at %s", made)
	}

	// For four hours it is the same one, whoever comes and goes.
	r.fake.AddUser(fake.User{Name: "alice"})
	r.clock.Step(4*time.Hour - time.Minute - time.Second)
	if got := r.generate(); got != "COMPLETE" {
		t.Errorf("after almost four hours it is %s", got)
	}
	if users, made := r.report(); users["alice"] != nil || !made.Equal(start) {
		t.Errorf("another report was made at %s: %v", made, users)
	}
	r.clock.Step(time.Second)
	r.refuse("GetCredentialReport", in{}, "ReportExpired", 410)
	if got := r.generate(); got != "STARTED" {
		t.Errorf("after four hours it is %s", got)
	}
	r.clock.Step(time.Minute)
	if users, made := r.report(); users["alice"] == nil || !made.Equal(start.Add(4*time.Hour)) {
		t.Errorf("the second report, made at %s, has %v", made, users)
	}
}

// The account's next report may be had sooner, and a report takes no time unless it is asked to.
func TestCredentialReportSooner(t *testing.T) {
	r := newRigOf(t, fake.Config{ReportEvery: time.Second})
	for range 2 {
		if got := r.generate(); got != "STARTED" {
			t.Errorf("it is %s", got)
		}
		r.report()
		if got := r.generate(); got != "COMPLETE" {
			t.Errorf("then it is %s", got)
		}
		r.clock.Step(time.Second)
	}
}

func TestCredentialReportLines(t *testing.T) {
	r := newRig(t)
	r.clock.Step(24 * time.Hour)
	hours := func(n int) *metav1.Duration { return &metav1.Duration{Duration: time.Duration(n) * time.Hour} }
	r.fake.AddUser(fake.User{Name: "alice", Path: "/people/", MFA: true, PasswordAge: hours(10), KeyAge: hours(5)})
	r.fake.AddUser(fake.User{Name: "bob"})
	r.fake.SetPasswordChanged("alice", start)
	r.fake.UsePassword("alice", start.Add(time.Hour))
	r.fake.UseAccessKey(r.fake.ActiveKeys("alice")[0], start.Add(2*time.Hour), "s3")
	second := r.fake.AddAccessKey("alice", start)
	r.do("UpdateAccessKey", in{"UserName": "alice", "AccessKeyId": second, "Status": "Inactive"})
	r.fake.AddLeftover("bob", fake.SigningCertificate)
	r.fake.AddPasswordAt("bob", start)
	r.generate()
	users, _ := r.report()
	const made, today = "2026-03-02T09:00:00+00:00", "2026-03-03T09:00:00+00:00"
	for _, want := range []map[string]string{
		{
			"user": "<root_account>", "arn": "arn:aws:iam::111122223333:root", "user_creation_time": made,
			"password_enabled": "not_supported", "password_last_used": "no_information", "password_last_changed": "not_supported",
			"password_next_rotation": "not_supported", "mfa_active": "true",
		},
		{
			"user": "alice", "arn": "arn:aws:iam::111122223333:user/people/alice", "user_creation_time": today,
			"password_enabled": "true", "password_last_used": "2026-03-02T10:00:00+00:00", "password_last_changed": made, "mfa_active": "true",
			"access_key_1_active": "true", "access_key_1_last_rotated": "2026-03-03T04:00:00+00:00",
			"access_key_1_last_used_date": "2026-03-02T11:00:00+00:00", "access_key_1_last_used_region": "us-east-1", "access_key_1_last_used_service": "s3",
			"access_key_2_active": "false", "access_key_2_last_rotated": today, // its status was changed today
		},
		{
			"user": "bob", "arn": "arn:aws:iam::111122223333:user/bob", "user_creation_time": today,
			"password_enabled": "true", "password_last_used": "no_information", "password_last_changed": made,
			"cert_1_active": "true", "cert_1_last_rotated": today,
		},
	} {
		got := users[want["user"]]
		for column, value := range got {
			expected, told := want[column]
			if !told && strings.HasSuffix(column, "_active") {
				expected = "false"
			} else if !told {
				expected = "N/A"
			}
			if value != expected {
				t.Errorf("%s of %s is %s, want %s", column, want["user"], value, expected)
			}
		}
	}
	if len(users) != 3 {
		t.Errorf("there are %d lines", len(users))
	}
}

// When the password was set is not when the login profile was made.
func TestPasswordChanged(t *testing.T) {
	r := newRigOf(t, fake.Config{ReportEvery: time.Nanosecond})
	r.fake.AddUser(fake.User{Name: "alice"})
	alice := r.as(r.fake.AddAccessKey("alice", start))
	r.do("CreateLoginProfile", in{"UserName": "alice", "Password": "Correct-horse-1"})
	changed := func(want time.Time) {
		t.Helper()
		r.clock.Step(time.Hour)
		r.generate()
		users, _ := r.report()
		if got := users["alice"]["password_last_changed"]; got != want.Format("2006-01-02T15:04:05+00:00") {
			t.Errorf("changed at %s, want %s", got, want)
		}
		profile := r.do("GetLoginProfile", in{"UserName": "alice"})["LoginProfile"].(map[string]any)
		if profile["CreateDate"] != start.Format(time.RFC3339) {
			t.Errorf("created at %v", profile["CreateDate"])
		}
	}
	changed(start)
	r.do("UpdateLoginProfile", in{"UserName": "alice", "PasswordResetRequired": true})
	changed(start)
	r.do("UpdateLoginProfile", in{"UserName": "alice", "Password": "Correct-horse-2"})
	changed(start.Add(2 * time.Hour))
	for _, test := range []struct {
		client   *iam.Client
		old, new string
		want     string
	}{
		{r.iam, "Correct-horse-2", "Correct-horse-3", "InvalidUserType"},
		{alice, "Correct-horse-1", "Correct-horse-3", "AccessDenied"},
		{alice, "Correct-horse-2", "short", "PasswordPolicyViolation"},
		{alice, "Correct-horse-2", "Correct-horse-3", ""},
	} {
		_, err := call(t, test.client, "ChangePassword", in{"OldPassword": test.old, "NewPassword": test.new})
		if code, _, _ := failure(err); code != test.want {
			t.Errorf("from %q to %q: got %v, want %q", test.old, test.new, err, test.want)
		}
	}
	changed(start.Add(3 * time.Hour))
	if slices.ContainsFunc(r.fake.Calls(), func(c fake.Call) bool { return c.Params.Has("NewPassword") || c.Params.Has("OldPassword") }) {
		t.Error("passwords are logged")
	}
}

// A report is made of what a reader can see at that time.
func TestCredentialReportIsStale(t *testing.T) {
	r := newRigOf(t, fake.Config{ReportEvery: time.Second})
	r.fake.SetStaleness(10 * time.Second)
	r.fake.AddUser(fake.User{Name: "alice"})
	for _, want := range []bool{false, true} {
		r.generate()
		if users, _ := r.report(); (users["alice"] != nil) != want {
			t.Errorf("the report has alice: %v", !want)
		}
		r.clock.Step(10 * time.Second)
	}
}
