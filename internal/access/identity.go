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

// MaxGroupsPerUser is how many groups an IAM user can be in.
// Source: https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const MaxGroupsPerUser = 10

// reservedPrefixes begin usernames that are never a person's.
var reservedPrefixes = []string{"system:", "eks:", "aws:"}

// Person is what AWS said about an IAM user when it was last asked.
type Person struct {
	// Unavailable says why AWS could not be asked, "" if it was. Nothing else is set then.
	Unavailable string
	// UnreachableSince is since when AWS has given no answer at all, if that is why; zero otherwise.
	UnreachableSince time.Time
	// Found is false when AWS has no such user. Nothing else is set then.
	Found bool
	// Name is spelled as AWS has it.
	Name string
	// UserID is the unique id, such as AIDACKCEVSQ6C2EXAMPLE.
	UserID string
	// KubernetesUsers are the person's Kubernetes usernames, in the order of preference.
	KubernetesUsers []string
	// MFA says whether the user has an MFA device.
	MFA bool
	// Bounded says whether the user has a permissions boundary.
	Bounded bool
	// Quarantine names the policy by which AWS has quarantined the user, "" if it has not.
	Quarantine string
	// Credentials are the person's own.
	Credentials Credentials
	// Memberships are the IAM groups that the user is in.
	Memberships []string
	// Directory tells which names are one person's.
	Directory Directory
	// Foreign are those groups of the role that the user is in by somebody else's doing.
	Foreign []string
	// Temporary says that it is a temporary user, and so nobody's.
	Temporary bool
	// Doubt says how a temporary user is not as it was made, "" if it is.
	Doubt string
	// Unguarded says why a group of the role is not to be joined: it lacks its guard; "" if all have theirs.
	Unguarded string
}

// Names are all names of the person, those of every IAM user who claims one of them included: whoever uses one of them is
// this person.
func (p *Person) Names() []string {
	names := append([]string{p.Name}, p.KubernetesUsers...)
	for _, name := range slices.Clone(names) {
		names = append(names, p.Directory.Names(name)...)
	}
	return distinct(names)
}

// KubernetesUsersOf reads the Kubernetes usernames of an IAM user from its tags; without the tag they are the user's
// name and ARN, as EKS has it by default.
func KubernetesUsersOf(name, arn string, tags map[string]string) []string {
	if users := strings.Fields(tags[v1alpha1.KubernetesUsersTag]); len(users) > 0 {
		return users
	}
	return []string{name, arn}
}

// sameName compares names of IAM users and groups: they are unique without regard to case.
func sameName(a, b string) bool { return strings.EqualFold(a, b) }

// samePerson compares usernames: another case is not another person, and neither is the ARN of an IAM user, which EKS
// uses where nobody chose a username.
func samePerson(a, b string) bool { return sameName(withoutARN(a), withoutARN(b)) }

func withoutARN(name string) string {
	if lower := strings.ToLower(name); strings.HasPrefix(lower, "arn:") && strings.Contains(lower, ":user/") {
		return name[strings.LastIndexByte(name, '/')+1:]
	}
	return name
}

// reserved returns the reserved prefix of a username, "" if it has none.
func reserved(user string) string {
	for _, prefix := range reservedPrefixes {
		if strings.HasPrefix(user, prefix) {
			return prefix
		}
	}
	return ""
}

// kubernetesUser is the username that is bound for the subject, "" if there is none. p is nil where AWS is not used.
func kubernetesUser(s v1alpha1.Subject, p *Person) string {
	if s.KubernetesUser != "" || p == nil || len(p.KubernetesUsers) == 0 {
		return string(s.KubernetesUser)
	}
	return p.KubernetesUsers[0]
}

// identity says why a subject may not be bound as this user. userID is the one on record, "" if there is none yet. p is
// nil where AWS is not used (--aws=disabled), and the Kubernetes username then stands alone.
func identity(s v1alpha1.Subject, user, userID string, p *Person) Obstacle {
	if p != nil {
		if o := known(s, userID, p); o.Reason != "" {
			return o
		}
	}
	switch {
	case p == nil && user == "":
		return Obstacle{v1alpha1.ReasonIdentityMismatch, "the operator runs with --aws=disabled, so there is no IAM user to take a " +
			"Kubernetes username from: create another grant that names spec.subject.kubernetesUser"}
	case p != nil && (user == "" || !slices.Contains(p.KubernetesUsers, user)):
		return Obstacle{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("kubernetesUser %s is not one of the Kubernetes usernames of the IAM user %s (%s): "+
			"create another grant with one of them, or ask the AWS administrator to mend the tag %s", user, s.IAMUser, listed(p.KubernetesUsers), v1alpha1.KubernetesUsersTag)}
	}
	if prefix := reserved(user); prefix != "" {
		return Obstacle{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the Kubernetes username %s of the IAM user %s is not a person's: names beginning with %s are reserved; "+
			"ask the AWS administrator to mend the tag %s", user, s.IAMUser, prefix, v1alpha1.KubernetesUsersTag)}
	}
	if p != nil && p.Quarantine != "" {
		return Obstacle{v1alpha1.ReasonQuarantined, fmt.Sprintf("AWS has quarantined the IAM user %s (%s), as it does when an access key was found in public: "+
			"the security team must look into it and remove the policy", s.IAMUser, p.Quarantine)}
	}
	if p != nil && !p.MFA {
		return Obstacle{v1alpha1.ReasonMFAMissing, fmt.Sprintf("the IAM user %s has no MFA device: %s must register one "+
			"(https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_enable.html); access follows within a minute", s.IAMUser, s.IAMUser)}
	}
	return Obstacle{}
}

// known says why a person is not the IAM user that a subject names.
func known(s v1alpha1.Subject, userID string, p *Person) Obstacle {
	switch {
	case p.Unavailable != "":
		return Obstacle{v1alpha1.ReasonAWSUnavailable, fmt.Sprintf("the IAM user %s cannot be verified, so nothing is granted: %s", s.IAMUser, p.Unavailable)}
	case s.IAMUser == "":
		return Obstacle{v1alpha1.ReasonUserNotFound, "spec.subject.iamUser is missing: create another grant that names the person's IAM user"}
	case !p.Found:
		return Obstacle{v1alpha1.ReasonUserNotFound, fmt.Sprintf("AWS has no IAM user %s: create another grant, or ask the AWS administrator for the user", s.IAMUser)}
	case p.Temporary:
		return Obstacle{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the IAM user %s is a temporary user, made for one emergency, and nobody else's: create another grant that names a person", p.Name)}
	case p.Name != s.IAMUser:
		return Obstacle{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the IAM user is spelled %s, not %s: create another grant with that spelling", p.Name, s.IAMUser)}
	case userID != "" && p.UserID != userID:
		return Obstacle{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the IAM user %s was created anew and is not the one that the grant was made for: create another grant", p.Name)}
	}
	return Obstacle{}
}

// listed prints at most five names.
func listed(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
