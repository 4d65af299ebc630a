// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package membership_test

import (
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
	"github.com/hera-platform/prod-access-operator/internal/access"
	"github.com/hera-platform/prod-access-operator/internal/aws/fake"
	"github.com/hera-platform/prod-access-operator/internal/membership"
	"github.com/hera-platform/prod-access-operator/internal/policy/policytest"
)

const (
	day    = 24 * time.Hour
	maxAge = 60 * day
)

// ofRole is a role that allows credentials of 60 days.
func ofRole() *access.Role {
	return &access.Role{Name: "infra-member", Spec: v1alpha1.AccessRoleSpec{
		Requirements: v1alpha1.Requirements{MaxCredentialAge: &metav1.Duration{Duration: maxAge}},
		AWS:          &v1alpha1.AWSRole{Groups: []v1alpha1.IAMGroupName{group}},
	}}
}

func (w *world) identify(t *testing.T) *access.Person {
	t.Helper()
	p := w.engine.Identify(t.Context(), "alice", ofRole())
	if p.Unavailable != "" {
		t.Fatalf("AWS is unavailable: %s", p.Unavailable)
	}
	return p
}

// ages is an account in which time has passed since the credentials were made.
func ages(t *testing.T, password, key time.Duration) *world {
	t.Helper()
	w := newWorld(t)
	w.AddPasswordAt("alice", start.Add(-password))
	w.AddAccessKey("alice", start.Add(-key))
	return w
}

// reported is an account of which AWS has begun to make a report, as it does when it is first asked for one.
func (w *world) reported() {
	if err := w.engine.Sweep(w.Context()); !errors.Is(err, membership.ErrReportInMaking) {
		panic(err)
	}
	w.after(membership.ReportTakes)
}

func TestStaleCredentials(t *testing.T) {
	for name, row := range map[string]struct {
		password, key time.Duration
		changed       bool
		set           func(*world)
		stale         string
		unknown       string
	}{
		"both young":                {password: 59 * day, key: 59 * day},
		"an old key":                {password: 59 * day, key: 61 * day, stale: "the access key AKIA"},
		"an old password":           {password: 61 * day, key: 59 * day, stale: "the console password is 61 days old"},
		"an old password, changed":  {password: 61 * day, changed: true},
		"an old key, inactive":      {password: day, key: 61 * day, set: func(w *world) { w.inactive("alice") }},
		"no report, though allowed": {password: 61 * day, set: func(w *world) { w.Inject("GetCredentialReport", fake.ErrorFault("ReportNotPresent", 410)) }, unknown: "ReportNotPresent"},
		"the report is denied":      {password: 61 * day, set: func(w *world) { w.Inject("GenerateCredentialReport", fake.AccessDenied) }, unknown: "AccessDenied"},
		"the report is being made":  {password: 61 * day, set: func(w *world) { w.Inject("GetCredentialReport", fake.ErrorFault("ReportInProgress", 404)) }, unknown: "ReportInProgress"},
		"the report has expired":    {password: 61 * day, set: func(w *world) { w.Inject("GetCredentialReport", fake.ErrorFault("ReportExpired", 410)) }, unknown: "ReportExpired"},
		"the report is cut":         {password: 61 * day, set: func(w *world) { w.Inject("GetCredentialReport", fake.Truncated) }, unknown: "AWS"},
		"the report is not needed":  {password: 59 * day, key: day, set: func(w *world) { w.Inject("GenerateCredentialReport", fake.AccessDenied) }},
	} {
		t.Run(name, func(t *testing.T) {
			w := ages(t, row.password, row.key)
			if row.changed {
				w.SetPasswordChanged("alice", start.Add(-day))
			}
			w.reported()
			if row.set != nil {
				row.set(w)
			}
			stale, unknown := w.identify(t).Credentials.Stale(maxAge, w.clock.Now())
			if !strings.HasPrefix(stale, row.stale) || stale != "" && row.stale == "" {
				t.Errorf("stale: %q, want %q", stale, row.stale)
			}
			if !strings.Contains(unknown, row.unknown) || unknown != "" && row.unknown == "" {
				t.Errorf("unknown: %q, want %q", unknown, row.unknown)
			}
		})
	}
}

// inactive sets the user's keys Inactive.
func (w *world) inactive(user string) {
	for _, id := range w.ActiveKeys(user) {
		if err := w.Admin("UpdateAccessKey", map[string]string{"UserName": user, "AccessKeyId": id, "Status": "Inactive"}); err != nil {
			panic(err)
		}
	}
}

// A report is used for four hours, whatever happens meanwhile, and one that AWS does not replace is not believed for ever.
func TestReportIsReadEveryFourHours(t *testing.T) {
	w := ages(t, 61*day, day)
	w.reported()
	w.identify(t)
	w.SetPasswordChanged("alice", start)
	w.after(4*time.Hour - 3*time.Second)
	if stale, _ := w.identify(t).Credentials.Stale(maxAge, w.clock.Now()); stale == "" || w.Count("GetCredentialReport") != 1 {
		t.Errorf("stale %q after %d readings", stale, w.Count("GetCredentialReport"))
	}
	w.after(3 * time.Second) // AWS begins another
	w.identify(t)
	w.after(membership.ReportTakes)
	if stale, unknown := w.identify(t).Credentials.Stale(maxAge, w.clock.Now()); stale != "" || unknown != "" || w.Count("GetCredentialReport") != 2 {
		t.Errorf("stale %q, unknown %q after %d readings", stale, unknown, w.Count("GetCredentialReport"))
	}
	w.after(62 * day)
	w.Inject("GenerateCredentialReport", fake.AccessDenied)
	if stale, unknown := w.identify(t).Credentials.Stale(maxAge, w.clock.Now()); strings.Contains(stale, "password") || !strings.Contains(unknown, "AccessDenied") {
		t.Errorf("by a report of long ago: stale %q, unknown %q", stale, unknown)
	}
}

// What the last report shows to be young need not be asked for; what it shows to be old, or is older than credentials may
// be, is.
func TestPasswordThatTheReportShowsToBeYoung(t *testing.T) {
	w := ages(t, 61*day, day)
	w.SetPasswordChanged("alice", start.Add(-day))
	w.reported()
	w.sweep()
	w.after(time.Hour)
	if c := w.identify(t).Credentials; !c.PasswordSince.Equal(start.Add(-day)) || w.Count("GetLoginProfile") != 0 {
		t.Errorf("a password since %s, after %d questions", c.PasswordSince, w.Count("GetLoginProfile"))
	}
	hour := ofRole()
	hour.Spec.Requirements.MaxCredentialAge.Duration = time.Hour
	if stale, _ := w.engine.Identify(t.Context(), "alice", hour).Credentials.Stale(time.Hour, w.clock.Now()); stale == "" || w.Count("GetLoginProfile") != 1 {
		t.Errorf("by a report of more than an hour ago: %q", stale)
	}
	other := ages(t, 61*day, day)
	other.reported()
	other.sweep()
	if err := other.Admin("DeleteLoginProfile", map[string]string{"UserName": "alice"}); err != nil {
		t.Fatal(err)
	}
	if c := other.identify(t).Credentials; !c.PasswordSince.IsZero() {
		t.Errorf("a password that was removed since the report: %+v", c)
	}
}

// A report that is missing is asked for a few times a minute, not by every grant.
func TestMissingReportIsNotAskedForAllTheTime(t *testing.T) {
	w := ages(t, 61*day, day)
	w.Inject("GenerateCredentialReport", fake.AccessDenied)
	for range 10 {
		w.identify(t)
	}
	if n := w.Count("GenerateCredentialReport"); n != 1 {
		t.Errorf("asked for %d times at once", n)
	}
	w.after(10 * time.Second)
	w.identify(t)
	if n := w.Count("GenerateCredentialReport"); n != 2 {
		t.Errorf("asked for %d times after ten seconds", n)
	}
}

// Of a user who was made anew the report says what their namesake had.
func TestReportOfANamesake(t *testing.T) {
	w := ages(t, 61*day, day)
	w.reported()
	w.identify(t)
	w.after(time.Hour)
	w.RecreateUser("alice")
	w.AddMFA("alice")
	w.AddPasswordAt("alice", start.Add(-61*day))
	w.after(time.Minute)
	if stale, unknown := w.identify(t).Credentials.Stale(maxAge, w.clock.Now()); stale != "" || !strings.Contains(unknown, "does not have the IAM user yet") {
		t.Errorf("stale %q, unknown %q", stale, unknown)
	}
}

func TestSwept(t *testing.T) {
	w := ages(t, 61*day, 50*day)
	id := w.UserID("alice")
	if s := w.engine.Swept(id); !s.At.IsZero() {
		t.Errorf("before any sweep: %+v", s)
	}
	w.reported()
	w.sweep()
	s := w.engine.Swept(id)
	if s.User == nil || s.User.Name != "alice" || s.Report.IsZero() || !s.MFA || !s.Credentials.PasswordSince.Equal(start.Add(-61*day)) || len(s.Credentials.Keys) != 1 {
		t.Errorf("the sweep saw %+v", s)
	}
	w.RemoveMFA("alice")
	w.Quarantine("alice")
	w.sweep()
	if s := w.engine.Swept(id); !s.MFA || s.User.Quarantine == "" {
		t.Errorf("the account was read anew, and the report not yet: %+v", s)
	}
	w.after(4 * time.Hour)
	w.sweep()
	w.after(membership.ReportTakes)
	w.sweep()
	if s := w.engine.Swept(id); s.MFA {
		t.Errorf("the report was not read anew: %+v", s)
	}
	w.RemoveUser("alice")
	w.sweep()
	if s := w.engine.Swept(id); s.At.IsZero() || s.User != nil {
		t.Errorf("who is gone is %+v", s)
	}
	if p := w.engine.Identify(t.Context(), "alice", ofRole()); p.Found {
		t.Error("who is gone is found")
	}
}

func TestQuarantineAndBoundary(t *testing.T) {
	w := newWorld(t)
	if p := w.identify(t); p.Quarantine != "" || p.Bounded {
		t.Errorf("%+v", p)
	}
	w.Quarantine("alice")
	w.SetBoundary("alice", boundary)
	w.after(time.Minute)
	if p := w.identify(t); !strings.HasPrefix(p.Quarantine, "AWSCompromisedKeyQuarantine") || !p.Bounded {
		t.Errorf("%+v", p)
	}
	// Whoever was let go need not wait until the account is read again.
	err := w.Admin("DetachUserPolicy", map[string]string{"UserName": "alice", "PolicyArn": "arn:aws:iam::aws:policy/AWSCompromisedKeyQuarantineV3"})
	if err != nil {
		t.Fatal(err)
	}
	if p := w.identify(t); p.Quarantine != "" {
		t.Errorf("%+v", p)
	}
}

// A group without its guard, or with another, is not joined.
func TestI10Guarded(t *testing.T) {
	w := newWorld(t)
	role := ofRole()
	if why := w.identify(t).Unguarded; !strings.Contains(why, "no inline policy prod-access-guard") || !strings.Contains(why, "manager aws render --role infra-member") {
		t.Errorf("without a guard: %q", why)
	}
	if err := policytest.Guard(w, &v1alpha1.AccessRole{ObjectMeta: metav1.ObjectMeta{Name: role.Name}, Spec: role.Spec}); err != nil {
		t.Fatal(err)
	}
	w.after(time.Minute)
	if why := w.identify(t).Unguarded; why != "" {
		t.Errorf("with it: %q", why)
	}
	if state, why, err := w.engine.Guarded(t.Context(), role, group); state != v1alpha1.PolicyVerified || why != "" || err != nil {
		t.Errorf("%s: %s (%v)", state, why, err)
	}
	role.Spec.AWS.AllowedSourceCIDRs = []v1alpha1.CIDR{"203.0.113.0/24"}
	if state, why, _ := w.engine.Guarded(t.Context(), role, group); state != v1alpha1.PolicyDifferent || !strings.Contains(why, "is not as rendered") {
		t.Errorf("another: %s: %s", state, why)
	}
	w.after(time.Minute)
	w.Inject(readUsers, fake.AccessDenied)
	if state, _, err := w.engine.Guarded(t.Context(), role, group); state != v1alpha1.PolicyUnknown || err == nil || !strings.Contains(err.Error(), "AccessDenied") {
		t.Errorf("unknown: %s: %v", state, err)
	}
}

// A group that is there and not listed yet may lack its guard.
func TestI10GuardOfAGroupThatIsNotListedYet(t *testing.T) {
	w := newWorld(t)
	w.SetStaleness(10 * time.Second)
	w.AddGroup("new")
	role := ofRole()
	role.Spec.AWS.Groups = []v1alpha1.IAMGroupName{"new"}
	w.onCall = func(call url.Values) {
		if call.Get("Action") == "GetGroup" {
			w.SetStaleness(0) // what is listed is older than what is asked for
		}
	}
	if why := w.engine.Identify(t.Context(), "alice", role).Unguarded; !strings.Contains(why, "cannot be verified yet") {
		t.Errorf("unguarded: %q", why)
	}
	role.Spec.AWS.Groups = []v1alpha1.IAMGroupName{"none"}
	if why := w.engine.Identify(t.Context(), "alice", role).Unguarded; why != "" {
		t.Errorf("a group that does not exist: %q", why)
	}
}

// A guard that is not seen to be there, and of which AWS says no more, lets nobody in.
func TestI10GuardThatCannotBeReadAgain(t *testing.T) {
	w := newWorld(t)
	w.identify(t)
	w.Inject(readUsers, fake.AccessDenied)
	if p := w.engine.Identify(t.Context(), "alice", ofRole()); !strings.Contains(p.Unavailable, "AccessDenied") {
		t.Errorf("%+v", p)
	}
	w.ClearFaults()
	if p := w.identify(t); p.Unguarded == "" {
		t.Error("the twin is guarded")
	}
}

// What is too old is made unusable, and nothing else.
func TestRetire(t *testing.T) {
	for name, row := range map[string]struct {
		password, old, young time.Duration
		keeps                bool
	}{
		"the keys alone":    {password: 59 * day, keeps: true},
		"the password, too": {password: 61 * day},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.AddPasswordAt("alice", start.Add(-row.password))
			w.AddAccessKey("alice", start.Add(-61*day))
			young := w.AddAccessKey("alice", start.Add(-day))
			w.reported()
			m := w.alice()
			m.Known = w.identify(t)
			d := w.engine.Retire(t.Context(), m, maxAge, start.Add(-time.Second))
			if d.Err != nil || d.Keys != 1 || d.Password == row.keeps {
				t.Errorf("%+v", d)
			}
			if keys := w.ActiveKeys("alice"); len(keys) != 1 || keys[0] != young || w.HasPassword("alice") != row.keeps {
				t.Errorf("active keys %v, a password %v", keys, w.HasPassword("alice"))
			}
		})
	}
	// A password that may have been changed since the report stays.
	w := newWorld(t)
	w.AddPasswordAt("alice", start.Add(-61*day))
	w.reported()
	m := w.alice()
	m.Known = w.identify(t)
	if d := w.engine.Retire(t.Context(), m, maxAge, w.clock.Now()); d.Err != nil || d.Password || !w.HasPassword("alice") {
		t.Errorf("%+v", d)
	}
	w = newWorld(t)
	if d := w.engine.Retire(t.Context(), w.alice(), maxAge, start); d.Err == nil {
		t.Error("of somebody who was not asked about")
	}
}
