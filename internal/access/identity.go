// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"fmt"
	"slices"
	"strings"

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
	// Memberships are the IAM groups that the user is in.
	Memberships []string
	// Foreign are those groups of the role that the user is in by somebody else's doing.
	Foreign []string
}

// Names are all names of the person: whoever uses one of them is this person.
func (p *Person) Names() []string { return append([]string{p.Name}, p.KubernetesUsers...) }

// KubernetesUsersOf reads the Kubernetes usernames of an IAM user from its tags; without the tag they are the user's
// name and ARN, as EKS has it by default.
func KubernetesUsersOf(name, arn string, tags map[string]string) []string {
	if users := strings.Fields(tags[v1alpha1.KubernetesUsersTag]); len(users) > 0 {
		return users
	}
	return []string{name, arn}
}

// samePerson compares usernames without case, as IAM does: a second spelling is never a second person.
func samePerson(a, b string) bool { return strings.EqualFold(a, b) }

func isOneOf(name string, names []string) bool {
	return slices.ContainsFunc(names, func(n string) bool { return samePerson(n, name) })
}

// verdict is an answer with a reason for machines and a message for people. A zero verdict means that all is well.
type verdict struct{ reason, message string }

func (v verdict) bad() bool { return v.reason != "" }

// kubernetesUser is the username that is bound for the subject.
func kubernetesUser(s v1alpha1.Subject, p *Person) string {
	if s.KubernetesUser != "" || p == nil {
		return string(s.KubernetesUser)
	}
	return p.KubernetesUsers[0]
}

// identity says what is wrong with a subject. p is nil where AWS is not used (--aws=disabled), and kubernetesUser
// then stands alone.
func identity(s v1alpha1.Subject, p *Person) verdict {
	if p == nil {
		if s.KubernetesUser == "" {
			return verdict{v1alpha1.ReasonIdentityMismatch, "the operator runs with --aws=disabled, so there is no IAM user to take a " +
				"Kubernetes username from: create another grant that names spec.subject.kubernetesUser"}
		}
		return verdict{}
	}
	switch {
	case p.Unavailable != "":
		return verdict{v1alpha1.ReasonAWSUnavailable, fmt.Sprintf("the IAM user %s cannot be verified, so nothing is granted: %s", s.IAMUser, p.Unavailable)}
	case s.IAMUser == "":
		return verdict{v1alpha1.ReasonUserNotFound, "spec.subject.iamUser is missing: create another grant that names the person's IAM user"}
	case !p.Found:
		return verdict{v1alpha1.ReasonUserNotFound, fmt.Sprintf("AWS has no IAM user %s: create another grant, or ask the AWS administrator for the user", s.IAMUser)}
	case p.Name != s.IAMUser:
		return verdict{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the IAM user is spelled %s, not %s: create another grant with that spelling", p.Name, s.IAMUser)}
	}
	user := kubernetesUser(s, p)
	if !slices.Contains(p.KubernetesUsers, user) {
		return verdict{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("kubernetesUser %s is not one of the Kubernetes usernames of the IAM user %s (%s): "+
			"create another grant with one of them, or ask the AWS administrator to mend the tag %s", user, s.IAMUser, listed(p.KubernetesUsers), v1alpha1.KubernetesUsersTag)}
	}
	if i := slices.IndexFunc(reservedPrefixes, func(prefix string) bool { return strings.HasPrefix(user, prefix) }); i >= 0 {
		return verdict{v1alpha1.ReasonIdentityMismatch, fmt.Sprintf("the Kubernetes username %s of the IAM user %s is not a person's: names beginning with %s are reserved; "+
			"ask the AWS administrator to mend the tag %s", user, s.IAMUser, reservedPrefixes[i], v1alpha1.KubernetesUsersTag)}
	}
	if !p.MFA {
		return verdict{v1alpha1.ReasonMFAMissing, fmt.Sprintf("the IAM user %s has no MFA device: %s must register one "+
			"(https://docs.aws.amazon.com/IAM/latest/UserGuide/id_credentials_mfa_enable.html); access follows within a minute", s.IAMUser, s.IAMUser)}
	}
	return verdict{}
}

// listed prints at most five names.
func listed(names []string) string {
	const most = 5
	if len(names) > most {
		return fmt.Sprintf("%s and %d more", strings.Join(names[:most], ", "), len(names)-most)
	}
	return strings.Join(names, ", ")
}
