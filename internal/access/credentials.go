// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/hera-platform/prod-access-operator/api/v1alpha1"
)

// Credentials are a person's own at AWS, as far as their age matters.
type Credentials struct {
	// PasswordSince is when the console password was last set, as late as is known; zero when there is none.
	PasswordSince time.Time
	// PasswordUnknown says why it may have been set later than that, "" if it is known.
	PasswordUnknown string
	// PasswordAsOf is when AWS made the credential report that says so; zero where no report had to be asked.
	PasswordAsOf time.Time
	// Keys are the active access keys.
	Keys []Key
}

// Key is an active access key.
type Key struct {
	ID      string
	Created time.Time
}

// Stale tells which credentials are older than they may be, "" if none is known to be. unknown says why the age of the
// password cannot be judged, "" if it can. A maximum of zero allows every age.
func (c Credentials) Stale(maxAge time.Duration, now time.Time) (stale, unknown string) {
	if maxAge <= 0 {
		return "", ""
	}
	var old []string
	if since := c.PasswordSince; !since.IsZero() && now.Sub(since) > maxAge {
		if c.PasswordUnknown == "" {
			old = append(old, "the console password is "+days(now.Sub(since))+" old")
		} else {
			unknown = c.PasswordUnknown
		}
	}
	for _, k := range c.Keys {
		if age := now.Sub(k.Created); age > maxAge {
			old = append(old, fmt.Sprintf("the access key %s is %s old", k.ID, days(age)))
		}
	}
	return strings.Join(old, " and "), unknown
}

// Retire are the credentials to be made unusable because they are too old. The report that tells of passwords is hours old,
// and the person may have changed theirs since: it goes only by a report that was made after they were told so.
func (c Credentials) Retire(maxAge time.Duration, told, now time.Time) (keys []Key, password bool) {
	for _, k := range c.Keys {
		if now.Sub(k.Created) > maxAge {
			keys = append(keys, k)
		}
	}
	stale, _ := Credentials{PasswordSince: c.PasswordSince, PasswordUnknown: c.PasswordUnknown}.Stale(maxAge, now)
	return keys, stale != "" && c.PasswordAsOf.After(told)
}

// Oldest is the age of the oldest credential whose age is known, zero if there is none.
func (c Credentials) Oldest(now time.Time) time.Duration {
	var age time.Duration
	if !c.PasswordSince.IsZero() && c.PasswordUnknown == "" {
		age = now.Sub(c.PasswordSince)
	}
	for _, k := range c.Keys {
		age = max(age, now.Sub(k.Created))
	}
	return age
}

// Warning is how near credentials are to the age that they may have: 0 for not near, 1 from three quarters of it on, 2 from
// eleven twelfths, 3 beyond. Of 60 days that is 45 and 55.
func (c Credentials) Warning(maxAge time.Duration, now time.Time) int {
	switch age := c.Oldest(now); {
	case maxAge <= 0 || age < maxAge*3/4:
		return 0
	case age < maxAge*11/12:
		return 1
	case age <= maxAge:
		return 2
	}
	return 3
}

// days is an age as people read it: in steps so large that a status that tells it is not written all the time.
func days(age time.Duration) string {
	if age < 48*time.Hour {
		return fmt.Sprintf("%d hours", int(age.Hours()))
	}
	return fmt.Sprintf("%d days", int(age.Hours()/24))
}

// MaxCredentialAge is how old credentials may be for the role, zero for any age.
func (r *Role) MaxCredentialAge() time.Duration {
	if m := r.Spec.Requirements.MaxCredentialAge; m != nil {
		return m.Duration
	}
	return 0
}

// aged says why credentials are too old for the role, or may be. What is not known takes nothing away, and gives nothing
// back (invariant I10).
func (c *decider) aged() (stale, unknown Obstacle) {
	if c.Role == nil || c.Role.Spec.Requirements.OnStale == v1alpha1.StaleWarn || Emergency(c.Grant) {
		return Obstacle{}, Obstacle{}
	}
	name, maxAge := c.Person.Name, c.Role.MaxCredentialAge()
	old, why := c.Person.Credentials.Stale(maxAge, c.now)
	switch {
	case old != "":
		return Obstacle{v1alpha1.ReasonCredentialsStale, fmt.Sprintf("of the IAM user %s, %s, and the role %s allows %s: %s must replace or remove it; "+
			"AWS tells of a new password up to 4 hours later, of a new key at once", name, old, c.Role.Name, days(maxAge), name)}, Obstacle{}
	case why != "" && c.prior != v1alpha1.StateGranted:
		return Obstacle{}, Obstacle{v1alpha1.ReasonAWSUnavailable, fmt.Sprintf("the age of the console password of the IAM user %s cannot be verified, so nothing is "+
			"granted: %s", name, why)}
	}
	return Obstacle{}, Obstacle{}
}

// retire has credentials that are too old made unusable, where the role says so. What came of it AWS is asked when the grant is
// looked at again.
func (c *decider) retire(d Decision) Decision {
	if d.Cause != v1alpha1.ReasonCredentialsStale || c.Role.Spec.Requirements.OnStale != v1alpha1.StaleDeactivate {
		return d
	}
	if !c.Done {
		d.Effect = EffectDeactivate
	}
	return d
}

// Sweep is what the last readings of the whole account say about a person. They may be minutes old, and the credential
// report hours: they take nothing away, but say that it is time to ask about the person.
type Sweep struct {
	// At is when the reading of all users began; zero when there was none.
	At time.Time
	// User is the person; nil when the account has no user of that UserId.
	User *User
	// Report is when AWS made the credential report; zero when it says nothing about the person.
	Report time.Time
	// MFA and Credentials are what it says.
	MFA         bool
	Credentials Credentials
}

// Suspicion says why AWS has to be asked about the person of a live grant, "" if it need not.
func Suspicion(g *v1alpha1.ProdAccessGrant, r *Role, s Sweep, now time.Time) string {
	switch {
	case s.At.IsZero() || g.Status.AWS.UserID == "":
		return ""
	case Temporary(g):
		return "a temporary user is looked at with every sweep"
	case s.User == nil:
		return "the IAM user is gone"
	case s.User.Name != g.Spec.Subject.IAMUser:
		return "the IAM user was renamed"
	case s.User.Quarantine != "":
		return "AWS has quarantined the IAM user"
	}
	if user := g.Status.Kubernetes.User; user != "" && !slices.Contains(KubernetesUsersOf(s.User.Name, s.User.ARN, s.User.Tags), user) {
		return "the Kubernetes username is no longer the IAM user's"
	}
	if s.Report.IsZero() {
		return ""
	}
	if !s.MFA {
		return "the credential report knows no MFA device"
	}
	if r != nil && r.Spec.Requirements.OnStale != v1alpha1.StaleWarn {
		if stale, _ := s.Credentials.Stale(r.MaxCredentialAge(), now); stale != "" {
			return stale
		}
	}
	return ""
}
