// Copyright 2026 The prod-access-operator Authors
// SPDX-License-Identifier: Apache-2.0

package access

import (
	"cmp"
	"slices"
	"strings"
	"unicode"
)

// User is an IAM user as far as it tells who is who.
type User struct {
	UserID, Name, ARN string
	Tags              map[string]string
	// Quarantine names the policy by which AWS has quarantined the user, "" if it has not.
	Quarantine string
}

// names are all names of the user: those that the tag lists do not replace its own, and the UserId is what stays when the
// user is renamed.
func (u *User) names() []string {
	return distinct(append([]string{u.Name, u.ARN, u.UserID}, KubernetesUsersOf(u.Name, u.ARN, u.Tags)...))
}

// Directory tells which names are one person's, among all IAM users of the account. A name that two IAM users claim makes
// them one person: two people who are taken for one can do less, one person who is taken for two could approve their own
// access. Names compare without case, and the ARN of an IAM user is that user's name. It never changes once made; the
// zero Directory knows nobody.
type Directory struct {
	people map[string]*individual // by folded name
	owners map[string]string      // UserID by folded name
}

// individual is a person: nearly always one IAM user.
type individual struct {
	users []User
	names []string
}

// NewDirectory makes a Directory of all IAM users.
func NewDirectory(users ...User) Directory {
	d := Directory{people: make(map[string]*individual, 3*len(users)), owners: make(map[string]string, 3*len(users))}
	users = slices.SortedFunc(slices.Values(users), func(a, b User) int { return cmp.Compare(a.UserID, b.UserID) })
	for _, u := range users {
		d.owners[folded(u.Name)] = u.UserID
	}
	for _, u := range users {
		who := &individual{users: []User{u}, names: u.names()}
		for _, name := range who.names {
			key := folded(name)
			if _, ok := d.owners[key]; !ok {
				d.owners[key] = u.UserID
			}
			if other := d.people[key]; other != nil && other != who {
				who = d.merge(other, who)
			}
			d.people[key] = who
		}
	}
	return d
}

// merge makes one person of two, of whom the second is not in the directory with all names yet.
func (d *Directory) merge(into, from *individual) *individual {
	into.users = append(into.users, from.users...)
	into.names = distinct(append(into.names, from.names...))
	for _, name := range from.names {
		if d.people[folded(name)] == from {
			d.people[folded(name)] = into
		}
	}
	return into
}

// Of is the UserId of the IAM user that claims a name. Of several it is the one whose IAM user name it is, else the one
// with the lowest UserId; so UserIds do not tell whether two names are one person's: Same does.
func (d Directory) Of(name string) (userID string, ok bool) {
	userID, ok = d.owners[folded(name)]
	return userID, ok
}

// Same says whether two names are one person's: the same IAM user's, or equal without case.
func (d Directory) Same(a, b string) bool {
	if samePerson(a, b) {
		return true
	}
	who := d.people[folded(a)]
	return who != nil && who == d.people[folded(b)]
}

// Names are all names of the person who uses a name; of a name that is not known, that name alone.
func (d Directory) Names(name string) []string {
	if who := d.people[folded(name)]; who != nil {
		return slices.Clone(who.names)
	}
	return []string{name}
}

// Extend adds to names that are known of a person those that the directory has for a name of theirs.
func (d Directory) Extend(known []string, name string) []string {
	if _, ok := d.Of(name); !ok {
		return known
	}
	return distinct(append(slices.Clone(known), d.Names(name)...))
}

// Users are the IAM users of the person who uses a name, by UserId: one, unless several claim a name; none, if nobody
// does.
func (d Directory) Users(name string) []User {
	who := d.people[folded(name)]
	if who == nil {
		return nil
	}
	return slices.SortedFunc(slices.Values(who.users), func(a, b User) int { return cmp.Compare(a.UserID, b.UserID) })
}

// folded makes strings equal that are the same person's name (samePerson).
func folded(name string) string {
	return strings.Map(func(r rune) rune {
		least := r
		for other := unicode.SimpleFold(r); other != r; other = unicode.SimpleFold(other) {
			least = min(least, other)
		}
		return least
	}, withoutARN(name))
}
